"""The lock: who waits, who gives up, and what threads and forks share."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from patience import SECONDS

from messagebus import Draft, InvalidBusPathError, LockTimeoutError, Message, MessageBus, SinceIDNotFoundError
from messagebus.backends.file import append, live_file

HURRIED = {"lock_timeout": 0.05, "max_retries": 3, "retry_backoff": 0.01}


def draft(body: str) -> Draft:
    return Draft("FACT", "demo", body)


@pytest.fixture
def stopped(work, path):
    """A writer that was stopped while it held the lock."""
    worker = work("halting_writer", path=path, body="from the stopped one")
    assert worker.event() == {"holding": True}
    os.kill(worker.process.pid, signal.SIGSTOP)
    _, status = os.waitpid(worker.process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    return worker


def test_lock_timeout_tells_what_was_tried(stopped, path):
    bus = MessageBus(path, **HURRIED)
    before = time.monotonic()
    with pytest.raises(LockTimeoutError) as caught:
        bus.append_message(draft("one"))
    took = time.monotonic() - before
    error = caught.value
    assert (error.path, error.attempts) == (str(path), 3)
    assert 3 * 0.05 + 0.01 + 0.02 <= error.waited <= took < SECONDS
    for part in (str(path), "3 attempts", f"{error.waited:.1f} seconds"):
        assert part in str(error)
    assert bus.contention_stats() == (3, 2)
    assert bus.read_messages() == []


def test_readers_do_not_mind_a_stopped_writer(path, request):
    before = MessageBus(path).append_message(draft("before"))
    request.getfixturevalue("stopped")
    assert MessageBus(path).read_messages() == [before]


def test_the_message_goes_through_once_the_stopped_writer_goes_on(stopped, path):
    bus = MessageBus(path, **HURRIED)
    with pytest.raises(LockTimeoutError):
        bus.append_message(draft("one"))
    os.kill(stopped.process.pid, signal.SIGCONT)
    stopped.tell()
    theirs = stopped.event()["posted"]
    stopped.finish()
    own = bus.append_message(draft("one"))
    assert [message.msg_id for message in bus.read_messages()] == [theirs, own.msg_id]
    assert bus.contention_stats() == (4, 2)


def test_the_message_goes_through_once_the_stopped_writer_is_killed(stopped, path, monkeypatch, patched):
    """... in the same call: the writer dies while we pause between two attempts."""
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            stopped.kill()

    monkeypatch.setattr(append, "time", patched(time, sleep=pause))
    bus = MessageBus(path, lock_timeout=0.01, max_retries=10, retry_backoff=0.1)
    message = bus.append_message(draft("one"))
    assert pauses == [0.1, 0.2, 0.4]
    assert bus.contention_stats() == (4, 3)
    assert bus.read_messages() == [message]


def test_a_waiting_append_gets_the_lock_as_soon_as_it_is_free(stopped, path):
    bus = MessageBus(path, lock_timeout=SECONDS, max_retries=1)
    thread = threading.Thread(target=bus.append_message, args=(draft("one"),))
    thread.start()
    stopped.kill()
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert [message.body for message in bus.read_messages()] == ["one"]
    assert bus.contention_stats() == (1, 0)


def test_a_thread_that_holds_the_bus_makes_others_of_it_time_out(path, monkeypatch, patched):
    inside, go_on = threading.Event(), threading.Event()

    def write(fd: int, data: bytes) -> int:
        inside.set()
        assert go_on.wait(SECONDS)
        return os.write(fd, data)

    bus = MessageBus(path, **HURRIED)
    monkeypatch.setattr(live_file, "os", patched(os, write=write))
    thread = threading.Thread(target=bus.append_message, args=(draft("first"),))
    thread.start()
    assert inside.wait(SECONDS)
    with pytest.raises(LockTimeoutError):
        bus.append_message(draft("too early"))
    go_on.set()
    thread.join(SECONDS)
    bus.append_message(draft("second"))
    assert [message.body for message in bus.read_messages()] == ["first", "second"]


def in_threads(count: int, task: Callable[[int], list[Message]]) -> list[list[Message]]:
    results: list[list[Message]] = [[] for _ in range(count)]
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        barrier.wait(SECONDS)
        results[number] = task(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    return results


def assert_stored(path: Path, results: list[list[Message]], count: int) -> None:
    stored = MessageBus(path).read_messages()
    assert len(stored) == len(results) * count
    assert stored == sorted((message for result in results for message in result), key=lambda m: m.msg_id)
    assert all(one.msg_id < two.msg_id for result in results for one, two in pairwise(result))


@pytest.mark.parametrize("rotate", [0, 4096])
def test_threads_share_one_bus(path, rotate):
    with MessageBus(path, lock_timeout=SECONDS, auto_rotate_bytes=rotate) as bus:
        results = in_threads(8, lambda n: [bus.append_message(draft(f"{n} {i}")) for i in range(150)])
    assert_stored(path, results, 150)


@pytest.mark.parametrize("rotate", [0, 4096])
def test_threads_with_a_bus_each(path, rotate):
    def run(number: int) -> list[Message]:
        with MessageBus(path, lock_timeout=SECONDS, auto_rotate_bytes=rotate) as bus:
            return [bus.append_message(draft(f"{number} {i}")) for i in range(150)]

    assert_stored(path, in_threads(8, run), 150)


def test_parent_and_children_of_a_fork_append_together(work, logged, path, tmp_path):
    worker = work("forking_writer", path=path, log=tmp_path / "log", children=4, count=300)
    assert worker.event() == {"statuses": [0, 0, 0, 0]}
    worker.finish()
    logs = [tmp_path / "log", *(tmp_path / f"log.{child}" for child in range(4))]
    stored = [(message.msg_id, message.body) for message in MessageBus(path).read_messages()]
    assert len(stored) == 1 + 5 * 300
    assert all(one < two for (one, _), (two, _) in pairwise(stored)), "inversion"
    assert sorted(logged(*logs)) == stored


def test_the_lock_of_a_killed_parent_does_not_live_on_in_its_child(work, path):
    worker = work("fork_while_writing", path=path)
    assert worker.event() == {"blocked": True}, "the child had the lock of its parent"
    worker.kill()
    with MessageBus(path, lock_timeout=2, max_retries=1) as bus:
        own = bus.append_message(draft("while the child lives"))
        worker.tell()
        theirs = worker.event()["posted"]
        assert [message.msg_id for message in bus.read_messages(own.msg_id)] == [theirs]


def test_nothing_stays_open(path, descriptors):
    def use() -> None:
        bus = MessageBus(path, auto_rotate_bytes=2_000, lock_timeout=0.01, max_retries=1)
        messages = [bus.append_message(draft("x" * 300)) for _ in range(20)]
        bus.append_message(draft("again"), idempotency_key=messages[-1].msg_id)
        next(bus.iter_messages())
        next(bus.iter_messages(messages[3].msg_id))
        bus.read_messages(messages[0].msg_id, limit=2)
        bus.read_last_n(12)
        assert bus.poll_for_new(bus.last_id(), timeout=0) == []
        with pytest.raises(SinceIDNotFoundError):
            bus.read_messages("MSG-unknown")
        with pytest.raises(InvalidBusPathError):
            MessageBus(path.parent).append_message(draft("to a directory"))
        with pytest.raises(InvalidBusPathError):
            MessageBus(path.parent).read_messages()
        bus.close()
        bus.append_message(draft("after close"))  # and left to the garbage collector

    use()
    before = descriptors()
    for _ in range(5):
        use()
    assert descriptors() == before


def test_fsync_leaves_nothing_open_either(path, descriptors):
    before = descriptors()
    with MessageBus(path, fsync=True, auto_rotate_bytes=500) as bus:
        for _ in range(10):
            bus.append_message(draft("x" * 100))
    assert descriptors() == before
    assert len(MessageBus(path).read_messages()) == 10
