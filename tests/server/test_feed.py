"""One reading for many streams: what a stream misses while it changes from the file to the feed, or
falls behind it, and what is left when it ends.

The narrow places are held open: a look at the file that comes back late, a feed that begins late, ends
early, or begins anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from messagebus import Message, MessageBus, SinceIDNotFoundError
from messagebus.backends.file import watch
from run_agent.server.live import feed, stream

PROJECT = "/api/projects/demo/messages/stream"

Tell = Callable[..., list[str]]
Listen = Callable[..., Any]


@pytest.fixture
def late_feed(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Feeds begin only once this is set."""
    may_begin = threading.Event()
    last_id = MessageBus.last_id

    def wait_and_look(bus: MessageBus) -> str | None:
        may_begin.wait()
        return last_id(bus)

    monkeypatch.setattr(MessageBus, "last_id", wait_and_look)
    yield may_begin
    may_begin.set()


@pytest.fixture
def after_a_look(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What happens between a look at the file and its answer, one thing a look that found nothing."""
    todo: list[Callable[[], object]] = []
    page = stream._events_after

    def look(bus: MessageBus, after: str | None) -> tuple[bytes, str | None]:
        found = page(bus, after)
        if todo and not found[0]:
            todo.pop(0)()
        return found

    monkeypatch.setattr(stream, "_events_after", look)
    return todo


def called(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> threading.Event:
    """Set once this method has been called."""
    event = threading.Event()
    method = getattr(owner, name)

    def calling(*args: Any) -> Any:
        found = method(*args)
        event.set()
        return found

    monkeypatch.setattr(owner, name, calling)
    return event


def test_a_feed_that_begins_behind_the_streams_look(
    served: Any,
    listen: Listen,
    tell: Tell,
    late_feed: threading.Event,
    after_a_look: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A message is posted after the look, and the feed begins behind it: the stream must look again."""
    [first] = tell("first")
    has_begun = called(monkeypatch, feed.Feed, "_start_after")

    def post_and_begin() -> None:
        tell("missed?")
        late_feed.set()
        has_begun.wait()

    after_a_look += [lambda: None, post_and_begin]  # the first look is the opening
    assert listen(served.url + PROJECT, last_id=first).bodies(1) == ["missed?"]
    assert after_a_look == []


def test_a_feed_that_passes_by_while_a_stream_looks(
    served: Any,
    listen: Listen,
    tell: Tell,
    after_a_look: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[..., Any],
) -> None:
    """So many messages come after the look that the feed has forgotten where the stream stands."""
    monkeypatch.setattr(feed, "_RING_EVENTS", 5)
    [first] = tell("first")
    bodies = [str(number) for number in range(20)]
    number_after = feed.Feed.number_after
    answers = [None]  # as if it had not begun

    def forgetful(one: feed.Feed, msg_id: str | None) -> int | None:
        return answers.pop() if answers else number_after(one, msg_id)

    def post_and_pass() -> None:
        [(one, _)] = served.app.state.end_streams.__self__._feeds.values()
        eventually(lambda: number_after(one, first))
        tell(*bodies)
        eventually(lambda: one._ring and one._ring[-1].data.count(b'"19"'))
        assert number_after(one, first) is None

    after_a_look += [lambda: None, post_and_pass]
    monkeypatch.setattr(feed.Feed, "number_after", forgetful)
    assert listen(served.url + PROJECT, last_id=first).bodies(20) == bodies
    assert after_a_look == []


def test_a_feed_that_ends_while_a_stream_looks(
    served: Any, listen: Listen, tell: Tell, late_feed: threading.Event, after_a_look: list[Any]
) -> None:
    """The stream ends, rather than wait for news of it."""
    [first] = tell("first")
    has_ended = threading.Event()

    def end() -> None:
        served.begin_to_end()
        served.loop.call_soon_threadsafe(has_ended.set)
        has_ended.wait()

    after_a_look += [lambda: None, end]
    listener = listen(served.url + PROJECT, last_id=first)
    assert listener.rest() == []
    assert listener.ended
    assert not late_feed.is_set()


def test_a_feed_that_begins_anew(
    served: Any, listen: Listen, tell: Tell, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Any]
) -> None:
    """Where it stood was removed in just that moment: its streams look in the file for what came between."""
    follow = MessageBus.follow
    begun: list[str | None] = []

    def interrupted(bus: MessageBus, since_id: str | None, **options: Any) -> Iterator[Message]:
        begun.append(since_id)
        messages = follow(bus, since_id, **options)
        if len(begun) > 1:
            yield from messages
            return
        for message in messages:
            yield message
            if message.body == "two":
                tell("between")
                raise SinceIDNotFoundError("the log", message.msg_id)

    monkeypatch.setattr(MessageBus, "follow", interrupted)
    tell("first")
    listener = listen(served.url + PROJECT)
    assert listener.bodies(1) == ["first"]
    eventually(lambda: begun)
    tell("one", "two")
    assert listener.bodies(3) == ["one", "two", "between"]
    eventually(lambda: len(begun) == 2)
    tell("last")
    assert listener.bodies(1) == ["last"]


def test_a_log_that_is_empty_again(served: Any, listen: Listen, tell: Tell, root: Path) -> None:
    """Somebody removed it: who comes then is not given what the feed remembers of it."""
    first = listen(served.url + PROJECT)
    tell("one", "two")
    assert first.bodies(2) == ["one", "two"]
    (root / "demo/PROJECT-MESSAGE-BUS.md").unlink()
    second = listen(served.url + PROJECT)
    tell("new")
    assert second.bodies(1) == ["new"]


def test_a_feed_that_fails(
    served: Any, listen: Listen, tell: Tell, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Any]
) -> None:
    """Its streams end in good order; who comes again gets another feed, and has missed nothing."""
    follow = MessageBus.follow
    failing = [True]

    def broken(bus: MessageBus, since_id: str | None, **options: Any) -> Iterator[Message]:
        for message in follow(bus, since_id, **options):
            if failing and failing.pop():
                raise OSError("the disk is gone")
            yield message

    monkeypatch.setattr(MessageBus, "follow", broken)
    [first] = tell("first")
    listener = listen(served.url + PROJECT)
    assert listener.bodies(1) == ["first"]
    feeds = served.app.state.end_streams.__self__._feeds
    eventually(lambda: any(one.number_after(first) is not None for one, _ in feeds.values()))
    tell("second")
    bodies = [event.json["body"] for event in listener.rest()]
    assert listener.ended
    tell("third")
    bodies += listen(served.url + PROJECT, last_id=listener.parser.last_id).until("third")
    assert bodies == ["second", "third"]


@pytest.mark.parametrize(("limit", "value"), [("_RING_EVENTS", 5), ("_RING_BYTES", 10_000)])
def test_who_falls_behind_is_given_the_file(
    served: Any, listen: Listen, tell: Tell, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    """Without loss or repetition, while the others go on; and the feed keeps no more than it should."""
    monkeypatch.setattr(feed, limit, value)
    slow = listen(served.url + PROJECT, buffer=4096)
    fast = listen(served.url + PROJECT)
    bodies = [f"{number} {'x' * 2_000}" for number in range(3_000)]
    for start in range(0, len(bodies), 100):
        tell(*bodies[start : start + 100])
        assert fast.bodies(100) == bodies[start : start + 100]
    [(one, _)] = served.app.state.end_streams.__self__._feeds.values()
    assert len(one._ring) <= feed._RING_EVENTS
    assert one._bytes <= feed._RING_BYTES
    assert len(one._number_after) <= len(one._ring) + 1
    assert slow.bodies(3_000) == bodies
    tell("live")
    assert (slow.bodies(1), fast.bodies(1)) == (["live"], ["live"])


def test_one_reading_for_all(
    served: Any, listen: Listen, tell: Tell, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Any]
) -> None:
    """However many listen, and each message is encoded once."""
    encoded: list[str] = []
    encode = feed.message_event

    def counting(message: Message) -> bytes:
        encoded.append(message.body)
        return encode(message)

    monkeypatch.setattr(feed, "message_event", counting)
    listeners = [listen(served.url + PROJECT) for _ in range(30)]
    feeds = served.app.state.end_streams.__self__._feeds
    eventually(lambda: all(one.number_after(None) is not None for one, _ in feeds.values()))
    tell("one", "two")
    assert [listener.bodies(2) for listener in listeners] == [["one", "two"]] * 30
    assert encoded == ["one", "two"]
    eventually(lambda: sum(thread.name == "feed" for thread in threading.enumerate()) == 1)


def test_ended_streams_leave_nothing(
    served: Any, listen: Listen, tell: Tell, root: Path, eventually: Callable[..., Any]
) -> None:
    """No thread, watch or descriptor; however they ended."""
    tell("first")
    for directory in ("demo/t1", "demo/t2"):
        (root / directory).mkdir()
    tasks = [f"/api/projects/demo/tasks/t{number}/messages/stream" for number in (1, 2, 3)]
    served.client.get("/healthz")
    descriptors = Path("/dev/fd")
    before = (threading.active_count(), len(list(descriptors.iterdir())))
    for _ in range(3):
        listeners = [listen(served.url + path) for path in (PROJECT, *tasks) for _ in range(3)]
        tell("more")
        assert listeners[0].next().type == "message"
        for listener in listeners:
            listener.close()
    feeds = served.app.state.end_streams.__self__
    eventually(lambda: not any(thread.name == "feed" for thread in threading.enumerate()))
    eventually(lambda: not feeds._feeds and feeds._streams == 0)
    assert watch._hub._directories == {}
    workers = sum(thread.name.startswith("AnyIO worker") for thread in threading.enumerate())
    assert threading.active_count() - workers <= before[0]
    eventually(lambda: len(list(descriptors.iterdir())) <= before[1] + 1)  # the bus may have been opened to post
