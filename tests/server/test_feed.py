"""One reader for many streams: whether a stream misses anything as it switches from the file to the feed or
falls out of the ring, and what is left when it ends.

The races are forced: a read of the file that returns late, a feed that starts late, ends early, or restarts.
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

PostBodies = Callable[..., list[str]]
Listen = Callable[..., Any]


@pytest.fixture
def delayed_feed(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Feeds start only once this is set."""
    may_begin = threading.Event()
    last_id = MessageBus.last_id

    def wait_and_look(bus: MessageBus) -> str | None:
        may_begin.wait()
        return last_id(bus)

    monkeypatch.setattr(MessageBus, "last_id", wait_and_look)
    yield may_begin
    may_begin.set()


@pytest.fixture
def after_a_read(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """Actions to run before a read of the file that found nothing returns, one for each such read."""
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
    """An event that is set once this method has been called."""
    event = threading.Event()
    method = getattr(owner, name)

    def calling(*args: Any) -> Any:
        found = method(*args)
        event.set()
        return found

    monkeypatch.setattr(owner, name, calling)
    return event


def test_a_feed_that_starts_after_the_stream_has_read(
    served: Any,
    listen: Listen,
    post_bodies: PostBodies,
    delayed_feed: threading.Event,
    after_a_read: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A message is posted after the read, and the feed starts after that message: the stream must read again."""
    [first] = post_bodies("first")
    has_begun = called(monkeypatch, feed.Feed, "_start_after")

    def post_and_begin() -> None:
        post_bodies("missed?")
        delayed_feed.set()
        has_begun.wait()

    after_a_read += [lambda: None, post_and_begin]  # the first look is the opening
    assert listen(served.url + PROJECT, last_id=first).bodies(1) == ["missed?"]
    assert after_a_read == []


def test_a_feed_that_overtakes_a_reading_stream(
    served: Any,
    listen: Listen,
    post_bodies: PostBodies,
    after_a_read: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[..., Any],
) -> None:
    """So many messages are posted after the read that the stream's cursor has left the ring."""
    monkeypatch.setattr(feed, "_RING_EVENTS", 5)
    [first] = post_bodies("first")
    bodies = [str(number) for number in range(20)]
    number_after = feed.Feed.number_after
    answers = [None]  # as if it had not begun

    def forgetful(one: feed.Feed, msg_id: str | None) -> int | None:
        return answers.pop() if answers else number_after(one, msg_id)

    def post_and_pass() -> None:
        [(one, _)] = served.app.state.end_streams.__self__._feeds.values()
        eventually(lambda: number_after(one, first))
        post_bodies(*bodies)
        eventually(lambda: one._ring and one._ring[-1].data.count(b'"19"'))
        assert number_after(one, first) is None

    after_a_read += [lambda: None, post_and_pass]
    monkeypatch.setattr(feed.Feed, "number_after", forgetful)
    assert listen(served.url + PROJECT, last_id=first).bodies(20) == bodies
    assert after_a_read == []


def test_a_feed_that_ends_while_a_stream_reads(
    served: Any, listen: Listen, post_bodies: PostBodies, delayed_feed: threading.Event, after_a_read: list[Any]
) -> None:
    """The stream ends instead of waiting for it."""
    [first] = post_bodies("first")
    has_ended = threading.Event()

    def end() -> None:
        served.start_shutdown()
        served.loop.call_soon_threadsafe(has_ended.set)
        has_ended.wait()

    after_a_read += [lambda: None, end]
    listener = listen(served.url + PROJECT, last_id=first)
    assert listener.rest() == []
    assert listener.ended
    assert not delayed_feed.is_set()


def test_a_feed_that_restarts(
    served: Any,
    listen: Listen,
    post_bodies: PostBodies,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[..., Any],
) -> None:
    """Its cursor was just removed: its streams read from the file what was posted in between."""
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
                post_bodies("between")
                raise SinceIDNotFoundError("the log", message.msg_id)

    monkeypatch.setattr(MessageBus, "follow", interrupted)
    post_bodies("first")
    listener = listen(served.url + PROJECT)
    assert listener.bodies(1) == ["first"]
    eventually(lambda: begun)
    post_bodies("one", "two")
    assert listener.bodies(3) == ["one", "two", "between"]
    eventually(lambda: len(begun) == 2)
    post_bodies("last")
    assert listener.bodies(1) == ["last"]


def test_a_log_that_is_empty_again(served: Any, listen: Listen, post_bodies: PostBodies, root: Path) -> None:
    """The file was removed: a new stream does not get the old messages in the ring."""
    first = listen(served.url + PROJECT)
    post_bodies("one", "two")
    assert first.bodies(2) == ["one", "two"]
    (root / "demo/PROJECT-MESSAGE-BUS.md").unlink()
    second = listen(served.url + PROJECT)
    post_bodies("new")
    assert second.bodies(1) == ["new"]


def test_a_feed_that_fails(
    served: Any,
    listen: Listen,
    post_bodies: PostBodies,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[..., Any],
) -> None:
    """Its streams end in good order; a client that reconnects gets another feed, and misses nothing."""
    follow = MessageBus.follow
    failing = [True]

    def broken(bus: MessageBus, since_id: str | None, **options: Any) -> Iterator[Message]:
        for message in follow(bus, since_id, **options):
            if failing and failing.pop():
                raise OSError("the disk is gone")
            yield message

    monkeypatch.setattr(MessageBus, "follow", broken)
    [first] = post_bodies("first")
    listener = listen(served.url + PROJECT)
    assert listener.bodies(1) == ["first"]
    feeds = served.app.state.end_streams.__self__._feeds
    eventually(lambda: any(one.number_after(first) is not None for one, _ in feeds.values()))
    post_bodies("second")
    bodies = [event.json["body"] for event in listener.rest()]
    assert listener.ended
    post_bodies("third")
    bodies += listen(served.url + PROJECT, last_id=listener.parser.last_id).until("third")
    assert bodies == ["second", "third"]


@pytest.mark.parametrize(("limit", "value"), [("_RING_EVENTS", 5), ("_RING_BYTES", 10_000)])
def test_a_slow_stream_reads_the_file(
    served: Any, listen: Listen, post_bodies: PostBodies, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    """Without loss or repetition, and without slowing the others; the ring stays within its limits."""
    monkeypatch.setattr(feed, limit, value)
    slow = listen(served.url + PROJECT, buffer=4096)
    fast = listen(served.url + PROJECT)
    bodies = [f"{number} {'x' * 2_000}" for number in range(3_000)]
    for start in range(0, len(bodies), 100):
        post_bodies(*bodies[start : start + 100])
        assert fast.bodies(100) == bodies[start : start + 100]
    [(one, _)] = served.app.state.end_streams.__self__._feeds.values()
    assert len(one._ring) <= feed._RING_EVENTS
    assert one._bytes <= feed._RING_BYTES
    assert len(one._number_after) <= len(one._ring) + 1
    assert slow.bodies(3_000) == bodies
    post_bodies("live")
    assert (slow.bodies(1), fast.bodies(1)) == (["live"], ["live"])


def test_one_reader_for_all_streams(
    served: Any,
    listen: Listen,
    post_bodies: PostBodies,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[..., Any],
) -> None:
    """However many streams there are, each message is encoded once."""
    encoded: list[str] = []
    encode = feed.message_event

    def counting(message: Message) -> bytes:
        encoded.append(message.body)
        return encode(message)

    monkeypatch.setattr(feed, "message_event", counting)
    listeners = [listen(served.url + PROJECT) for _ in range(30)]
    feeds = served.app.state.end_streams.__self__._feeds
    eventually(lambda: all(one.number_after(None) is not None for one, _ in feeds.values()))
    post_bodies("one", "two")
    assert [listener.bodies(2) for listener in listeners] == [["one", "two"]] * 30
    assert encoded == ["one", "two"]
    eventually(lambda: sum(thread.name == "feed" for thread in threading.enumerate()) == 1)


def test_ended_streams_leave_no_resources(
    served: Any, listen: Listen, post_bodies: PostBodies, root: Path, eventually: Callable[..., Any]
) -> None:
    """No thread, watch or descriptor."""
    post_bodies("first")
    for directory in ("demo/t1", "demo/t2"):
        (root / directory).mkdir()
    tasks = [f"/api/projects/demo/tasks/t{number}/messages/stream" for number in (1, 2, 3)]
    served.client.get("/healthz")
    descriptors = Path("/dev/fd")
    before = (threading.active_count(), len(list(descriptors.iterdir())))
    for _ in range(3):
        listeners = [listen(served.url + path) for path in (PROJECT, *tasks) for _ in range(3)]
        post_bodies("more")
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
