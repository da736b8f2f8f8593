"""What is left over by 10,000 appends, 1,000 opens and 200 follows: nothing. 300 buses at once.

Descriptors, threads and inotify watches are counted before and after. Memory is measured by
tracemalloc after each of several equal portions of the work: what leaks does so in every portion,
caches and free lists fill in some. A portion without a leak grows by less than one small object
an operation.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import gc
import logging
import re
import sys
import threading
import tracemalloc
from collections.abc import Callable
from itertools import count, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from patience import SECONDS

from messagebus import Draft, MessageBus, Parent
from messagebus.backends.file import watch

PORTIONS = 4
NOISE = 8192  # bytes that the free lists of the interpreter may seem to take, as they fill with what was traced
BUSES = 300
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="watches and descriptors are counted in /proc")


def draft(body: str = "text") -> Draft:
    """As agents write: with a run, a sender, and a message that it answers."""
    parents = [Parent("MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA", "answers")]
    return Draft("FACT", "demo", body, run_id="run-1", meta={"from": "coder-1"}, parents=parents)


class Held(NamedTuple):
    """What this process holds of the system."""

    descriptors: int
    threads: int
    watches: int


def held() -> Held:
    gc.collect()
    infos = [read_info(info) for info in Path("/proc/self/fdinfo").iterdir()]
    return Held(len(infos), threading.active_count(), sum(text.count("inotify wd:") for text in infos))


def read_info(info: Path) -> str:
    try:
        return info.read_text()
    except FileNotFoundError:  # the descriptor by which the directory was listed
        return ""


def memory_after(work: Callable[[], object]) -> int:
    """Bytes in use after a portion of the work."""
    work()
    re.purge()  # its cache grows to 512 patterns, and no further
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def assert_nothing_is_left(work: Callable[[], object], *, operations: int) -> None:
    """Do a portion of the work, of so many operations, again and again."""
    work()
    before = held()
    tracemalloc.start()
    try:
        used = [memory_after(work) for _ in range(PORTIONS)]
    finally:
        tracemalloc.stop()
    assert held() == before
    grown = [later - earlier for earlier, later in pairwise(used)]
    assert min(grown) < NOISE + 16 * operations, f"the portions took {grown} bytes"


# --- one after another -----------------------------------------------------------------------


def test_appends_leave_nothing(path):
    """10,000 and more, through some rotations."""
    bus = MessageBus(path, auto_rotate_bytes=100_000)

    def append() -> None:
        for number in range(2_100):
            bus.append_message(draft(f"{number}"))

    assert_nothing_is_left(append, operations=2_100)
    assert len(list(path.parent.iterdir())) > 10


def test_opens_leave_nothing(path):
    """1,000 and more: buses that append and read, closed and not closed."""

    def use() -> None:
        for number in range(220):
            bus = MessageBus(path)
            last = bus.append_message(draft())
            assert bus.read_last_n(1) == [last]
            if number % 2:
                bus.close()

    assert_nothing_is_left(use, operations=220)


@pytest.fixture
def post_when_it_waits(monkeypatch):
    """A message comes to this bus whenever a follower of it has asked for events."""

    def arrange(path: Path, bus: MessageBus) -> None:
        subscribe = watch.FileWatch._subscribe

        def subscribe_and_post(waiting: watch.FileWatch) -> None:
            subscribe(waiting)
            if waiting.name == path.name:
                bus.append_message(draft())

        monkeypatch.setattr(watch.FileWatch, "_subscribe", subscribe_and_post)

    return arrange


def start_another(path: Path, following: Callable[..., Any]) -> None:
    """A follower that waits for events."""
    path.parent.mkdir()
    other = following(MessageBus(path))
    assert other.waiting.wait(SECONDS)
    posted = MessageBus(path).append_message(draft())
    assert other.next() == posted


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside another"])
def test_follows_leave_nothing(path, following, post_when_it_waits, monkeypatch, inotify_turn, beside):
    """200 and more that start an observer and stop it, and as many that find one running for another
    directory; each is ended in one of the ways there are."""
    monkeypatch.setattr(logging.getLogger("watchdog.observers.inotify"), "disabled", True)  # pytest keeps what it says
    bus = MessageBus(path)
    post_when_it_waits(path, bus)

    def follow() -> None:
        for number in range(42):
            stop = threading.Event()
            messages = bus.follow(bus.last_id(), stop=stop)
            next(messages)
            if number == 0:
                assert held().watches == before.watches + 1 + beside
            if number % 3 == 0:
                messages.close()
            elif number % 3 == 1:
                stop.set()
                assert list(messages) == []

    with inotify_turn(fcntl.LOCK_SH):
        before = held()
        if beside:
            start_another(path.with_name("other") / "OTHER.md", following)
        assert_nothing_is_left(follow, operations=42)


# --- many at once ----------------------------------------------------------------------------


@pytest.fixture
def buses(tmp_path):
    """Where 300 buses may be, each in a directory of its own."""
    paths = [tmp_path / f"{number}" / "BUS.md" for number in range(BUSES)]
    for path in paths:
        path.parent.mkdir()
    return paths


def follow_all(
    buses: list[Path], following: Callable[..., Any], poll_interval: float, tally: Callable[..., None]
) -> Held:
    """Follow all, post to all again and again, and end; what was held meanwhile."""
    followers = [following(MessageBus(path, poll_interval=poll_interval)) for path in buses]
    lost = 0
    for number in range(5):
        posted = [MessageBus(path).append_message(draft(f"{number} to {path}")) for path in buses]
        given = [follower.next() for follower in followers]
        lost += sum(one != other for one, other in zip(posted, given, strict=True))
    tally("messages of 300 buses to followers in one process", 5 * BUSES, lost=lost)
    during = held()
    for path, follower in zip(buses, followers, strict=True):
        follower.stop.set()
        MessageBus(path).append_message(draft("to wake it"))
    for follower in followers:
        follower.end()
    return during


def test_one_process_follows_300_buses(buses, following, inotify_turn, tally):
    """By events: to poll every ten minutes would be too late."""
    with inotify_turn(fcntl.LOCK_SH):
        before = held()
        during = follow_all(buses, following, 600, tally)
        assert during.watches == before.watches + BUSES
        assert held() == before


@pytest.mark.parametrize("room", [0, 100])
def test_one_process_follows_300_buses_where_watches_run_out(buses, following, monkeypatch, inotify_turn, tally, room):
    from watchdog.observers import inotify_c

    add_watch, asked = inotify_c.inotify_add_watch, count()

    def add_few(*arguments: Any) -> int:
        if next(asked) < room:
            return add_watch(*arguments)
        ctypes.set_errno(errno.ENOSPC)
        return -1

    monkeypatch.setattr(inotify_c, "inotify_add_watch", add_few)
    with inotify_turn(fcntl.LOCK_SH):
        before = held()
        during = follow_all(buses, following, 0.2, tally)
        assert during.watches == before.watches + room
        assert held() == before
