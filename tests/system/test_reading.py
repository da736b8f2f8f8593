"""Reading while others write, rotate and delete; following, and leaving nothing over."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import gc
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from patience import SECONDS

from messagebus import Draft, Message, MessageBus, SinceIDNotFoundError
from messagebus.backends.file import segments, watch


def draft(body: str = "text") -> Draft:
    return Draft("FACT", "demo", body)


@pytest.mark.parametrize("count", [300, pytest.param(2_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
def test_long_bodies_are_never_read_truncated(work, start_together, logged, path, *, tmp_path, count):
    """Each reader checks each body it sees: 60 KB, of many lines, some of them hostile."""
    verbs = ("follower", "poller", "tail_reader")
    readers = [work(verb, path=path, log=tmp_path / verb) for verb in verbs]
    for reader in readers:
        assert reader.event() == {"ready": True}
    logs = [tmp_path / "log0", tmp_path / "log1"]
    writers = [
        work("writer", path=path, name=log.name, count=count // 2, log=log, size="long", rotate=4 * 2**20)
        for log in logs
    ]
    start_together(writers)
    for writer in writers:
        writer.finish(timeout=800)
    MessageBus(path).append_message(Draft("END", "demo"))
    for reader in readers:
        reader.finish()
    for verb in ("follower", "poller"):
        assert logged(tmp_path / verb) == sorted(logged(*logs))
    assert set(logged(tmp_path / "tail_reader")) <= set(logged(*logs))


# --- following -------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["BUS.md", "to/come/BUS.md"], ids=["file", "directory"])
def test_follow_waits_for_a_bus_that_does_not_exist(tmp_path, following, place):
    path = tmp_path / place
    follower = following(MessageBus(path))
    assert follower.waiting.wait(SECONDS)
    assert not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    messages = [MessageBus(path).append_message(draft(f"{number}")) for number in range(3)]
    assert [follower.next() for _ in messages] == messages
    follower.end()


def test_poll_for_new_waits_for_a_bus_that_does_not_exist(path):
    assert MessageBus(path).poll_for_new(None, timeout=0.01) == []
    thread = threading.Thread(target=MessageBus(path).append_message, args=(draft(),))
    thread.start()
    assert len(MessageBus(path).poll_for_new(None, timeout=SECONDS)) == 1
    thread.join()


def test_follow_goes_on_when_its_directory_is_replaced(tmp_path, following):
    path = tmp_path / "place" / "BUS.md"
    path.parent.mkdir()
    follower = following(MessageBus(path))
    for number in range(3):
        posted = MessageBus(path).append_message(draft(f"{number}"))
        assert follower.next() == posted
        path.parent.rename(tmp_path / f"old{number}")
        path.parent.mkdir()
        path.write_bytes((tmp_path / f"old{number}" / path.name).read_bytes())
    follower.end()


def test_follow_refuses_an_unknown_cursor(path, following):
    MessageBus(path).append_message(draft())
    with pytest.raises(SinceIDNotFoundError):
        following(MessageBus(path), "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA").next()


def observers() -> list[str]:
    return [type(thread).__name__ for thread in threading.enumerate() if type(thread).__name__.endswith("Observer")]


def test_follow_stops_from_outside_and_leaves_nothing(tmp_path, following, descriptors, inotify_turn):
    def round_of_followers() -> None:
        paths = [tmp_path / f"{number % 2}" / f"BUS{number}.md" for number in range(6)]
        followers = [following(MessageBus(path)) for path in paths]
        for path, follower in zip(paths, followers, strict=True):
            posted = MessageBus(path).append_message(draft())
            assert follower.next() == posted
            assert follower.waiting.wait(SECONDS)
            path.unlink()
        assert len(observers()) == 1, "each process has one observer"
        for follower in followers:
            follower.end()

    (tmp_path / "0").mkdir()
    (tmp_path / "1").mkdir()
    with inotify_turn(fcntl.LOCK_SH):
        round_of_followers()
        gc.collect()
        threads, open_files = threading.enumerate(), descriptors()
        for _ in range(2):
            round_of_followers()
        assert threading.enumerate() == threads
        assert descriptors() == open_files
        assert observers() == []
        assert watch._hub._observer is None
        assert watch._hub._directories == {}


def test_follow_stops_in_the_middle_of_a_backlog(path):
    MessageBus(path).append_messages([draft()] * 100)
    stop = threading.Event()
    seen = []
    for message in MessageBus(path).follow(stop=stop):
        seen.append(message)
        if len(seen) == 10:
            stop.set()
    assert len(seen) == 10


def test_a_follow_that_is_closed_or_forgotten_leaves_nothing(path, descriptors):
    bus = MessageBus(path)
    bus.append_message(draft())

    def wait_once() -> tuple[int, int]:
        messages = bus.follow()
        next(messages)
        late = threading.Thread(target=bus.append_message, args=(draft(),))
        late.start()
        next(messages)
        late.join()
        return descriptors(), len(threading.enumerate())

    wait_once()
    before = descriptors(), len(threading.enumerate())
    wait_once()
    assert bus.poll_for_new(bus.last_id(), timeout=0.01) == []
    next(bus.follow())
    assert (descriptors(), len(threading.enumerate())) == before


def test_follow_polls_where_inotify_is_used_up(work, path, inotify_turn):
    with inotify_turn(fcntl.LOCK_EX):
        worker = work("starved_follower", path=path)
        if not worker.event()["starved"]:
            pytest.skip("this user may have more inotify instances than descriptors")
        posted = MessageBus(path).append_message(draft())
        assert worker.event() == {"posted": posted.msg_id, "polled": True}
        worker.finish()


@pytest.mark.skipif(sys.platform != "linux", reason="inotify")
def test_follow_polls_where_inotify_watches_are_used_up(path, monkeypatch, descriptors):
    """To be refused must not cost descriptors, however often we ask (watchdog 6.0 leaks three)."""
    from watchdog.observers import inotify_c

    refusals = []

    def refuse(*_arguments: object) -> int:
        refusals.append(ctypes.set_errno(errno.ENOSPC))
        return -1

    monkeypatch.setattr(inotify_c, "inotify_add_watch", refuse)
    bus = MessageBus(path, poll_interval=0.001)
    last = bus.append_message(draft()).msg_id
    assert bus.poll_for_new(last, timeout=0.1) == []
    gc.collect()
    before = descriptors(), threading.enumerate()
    assert bus.poll_for_new(last, timeout=0.1) == []
    followed = bus.follow(last)
    thread = threading.Thread(target=bus.append_message, args=(draft("late"),))
    thread.start()
    assert next(followed).body == "late"
    thread.join()
    followed.close()
    assert refusals
    assert (descriptors(), threading.enumerate()) == before


def test_a_process_that_forks_with_a_follower_open(work, path):
    worker = work("fork_while_following", path=path)
    assert worker.event() == {"status": 0, "goes_on": True}
    worker.finish()


# --- rotation under a reader -----------------------------------------------------------------


@pytest.mark.parametrize("since", [None, 5], ids=["from-the-beginning", "from-a-cursor"])
@pytest.mark.parametrize("live", [True, False], ids=["in-the-live-file", "in-an-archive"])
def test_rotation_while_an_iterator_is_half_way(path, since, live):
    bus = MessageBus(path, auto_rotate_bytes=0 if live else 8_000)
    before = [bus.append_message(draft(f"{number}\n" + "text\n" * 100)) for number in range(120)]
    start = 0 if since is None else since + 1
    iterator = MessageBus(path).iter_messages(None if since is None else before[since].msg_id)
    seen = [next(iterator) for _ in range(10)]
    assert seen == before[start : start + 10]
    archives = count_archives(path)
    rotating = MessageBus(path, auto_rotate_bytes=3_000)
    after = [rotating.append_message(draft("x" * 1_000)) for _ in range(20)]
    assert count_archives(path) > archives + 3
    seen += iterator
    everything = [*before, *after]
    assert len(seen) >= len(before) - start
    assert seen == everything[start : start + len(seen)]
    assert MessageBus(path).read_messages(seen[-1].msg_id) == everything[start + len(seen) :]


def count_archives(path: Path) -> int:
    return len(list(path.parent.glob("BUS.md.*.archived")))


@pytest.mark.parametrize("step", ["open_to_read", "list_archives"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("read", [MessageBus.read_messages, lambda bus: bus.read_last_n(100)], ids=["all", "tail"])
def test_a_rotation_while_a_reader_opens_the_log(path, monkeypatch, *, step, after, read):
    """The reader opens the live file and lists the archives; just there the log is rotated."""
    before = [MessageBus(path).append_message(draft(f"{number}")) for number in range(3)]
    real, rotated = getattr(segments, step), []

    def rotate() -> None:
        if not rotated:
            rotated.append(None)
            rotated[0] = MessageBus(path, auto_rotate_bytes=1).append_message(draft("in the new file"))

    def racing(place: str) -> object:
        if not after:
            rotate()
        result = real(place)
        rotate()
        return result

    monkeypatch.setattr(segments, step, racing)
    assert read(MessageBus(path)) == [*before, *rotated]
    assert count_archives(path) == 1


def test_each_step_of_a_rotation_is_seen_by_a_follower(path, follow_through):
    """Between the rename and the new file, and after each message of it."""
    bus = MessageBus(path)
    posted: list[Message] = []

    def post() -> None:
        posted.append(bus.append_message(draft(f"{len(posted)}")))

    def rotate() -> None:
        path.rename(f"{path}.20261121-0314{len(posted):02d}-926535.archived")

    steps: list[Callable[[], object]] = [post, post, rotate, post, rotate, rotate_nothing, post, post, rotate, post]
    assert follow_through(path, steps) == posted
    assert len(posted) == 6
    assert MessageBus(path).read_messages() == posted


def rotate_nothing() -> None:
    """Nothing happens, and the follower looks."""


@pytest.mark.parametrize("n", [1, 3, 4, 7, 100])
def test_a_tail_over_archives(path, n):
    bus = MessageBus(path, auto_rotate_bytes=600)
    messages = [bus.append_message(draft("x" * 100)) for _ in range(20)]
    assert count_archives(path) > 4
    assert bus.read_last_n(n) == messages[-n:]
    path.unlink()  # the log between a rename and the next append
    left = bus.read_messages()
    assert left == messages[: len(left)]
    assert bus.read_last_n(n) == left[-n:]


def test_a_cursor_is_found_in_any_of_many_archives_by_opening_a_few(path, monkeypatch):
    bus = MessageBus(path, auto_rotate_bytes=1)
    messages = [bus.append_message(draft(f"{number}")) for number in range(200)]
    opened: list[str] = []

    def open_archive(archive: str) -> int | None:
        opened.append(archive)
        return really(archive)

    really = segments.open_archive
    monkeypatch.setattr(segments, "open_archive", open_archive)
    for number, message in enumerate(messages):
        opened.clear()
        assert f"{message.msg_id}\n".encode() in MessageBus(path).get_stored(message.msg_id)
        assert len(set(opened)) <= 2 * len(messages).bit_length(), f"for the {number}th of {len(messages)}"
