"""Processes with limits: ``python rlimits.py VERB '{"option": ...}'``.

What a limit applies to is a whole process, so each test that sets one has a process of its own, which says
on stdout what came of its trials (``invariants.py``).
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import invariants
import worker

from messagebus import MessageBus
from messagebus.backends.file import watch

_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2


# --- starting another program ------------------------------------------------------------------


def run(command: list[str], *, descriptors: int = 0, bound: bool = False) -> None:
    """Become this program, with so few descriptors, or bound by permissions even as root."""
    if descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    if bound:
        _give_up_privileges()
    os.execvp(command[0], command)  # noqa: S606 - this is what the verb is for


def _give_up_privileges() -> None:
    """Root is not asked for permission because of two capabilities; what is executed next has them no more.

    (To become another user would do as well, if that one could read the interpreter.)
    """
    with suppress(AttributeError):  # no Linux: who is not root is bound anyway
        prctl = ctypes.CDLL(None).prctl
        for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
            prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


# --- a file-size limit -------------------------------------------------------------------------


def outgrowing(path: str) -> None:
    """Append where the file may still grow by more and more bytes, until that is enough."""
    for name, way in invariants.KINDS.items():
        stride = 41 if way.fsync else 7  # a flush takes a thousand times as long as a write
        tried = _outgrow(Path(path), way, stride)
        worker.say(kind=name, tried=len(tried), found=invariants.total(tried))


def _outgrow(path: Path, way: invariants.Kind, stride: int) -> list[dict[str, int]]:
    tried = []
    for room in count(step=stride):
        trial = invariants.Trial(path, way)
        with _longest_file(room if way.new or way.rotate else len(trial.before) + room):
            trial.append()
        done = not trial.failure
        tried.append(trial.settle())
        if done:
            break
    return tried


@contextmanager
def _longest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- no descriptors left -----------------------------------------------------------------------


def open_descriptors() -> list[int]:
    """... without the one that it takes to look."""
    numbers = [int(name) for name in os.listdir("/dev/fd")]  # noqa: PTH208
    return sorted(numbers)[:-1]


@contextmanager
def descriptors_left(number: int) -> Iterator[None]:
    """No more than so many can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY)]
    while taken[-1] < max(open_descriptors()):  # leave no number free below the limit
        taken.append(os.open(os.devnull, os.O_RDONLY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[-1] + 1 + number, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)


ENOUGH = 8  # descriptors: nothing that one call does needs more


def appending_without_descriptors(path: str) -> None:
    """Append with none left, with one left, ..."""
    for name, way in invariants.KINDS.items():
        tried, failures = [], []
        first = invariants.Trial(Path(path), way)
        first.append()
        first.settle()  # the imports are done
        for left in range(ENOUGH):
            before = open_descriptors()
            trial = invariants.Trial(Path(path), way)
            with descriptors_left(left):
                trial.append()
            failures.append(trial.failure)
            tried.append(trial.settle())
            assert open_descriptors() == before, (name, left)
        worker.say(kind=name, tried=len(tried), found=invariants.total(tried), failures=failures)


def reading_without_descriptors(path: str) -> None:
    """Read in every way with none left, with one left, ..., where there are archives."""
    with MessageBus(path, auto_rotate_bytes=300) as bus:
        stored = [bus.append_message(invariants.draft(f"{number} {'x' * 90}")) for number in range(6)]
        assert bus.read_messages() == stored  # the imports are done
    ways: list[Callable[[MessageBus], list[Any]]] = [
        lambda bus: bus.read_messages(),
        lambda bus: bus.read_last_n(len(stored)),
        lambda bus: [bus.get_message(message.msg_id) for message in stored],
        lambda bus: stored[:1] + bus.poll_for_new(stored[0].msg_id),
        lambda bus: stored + bus.poll_for_new(stored[-1].msg_id, timeout=0.02),
    ]
    told = []
    for left, way in ((left, way) for way in ways for left in range(ENOUGH)):
        bus, before = MessageBus(path, poll_interval=0.005), open_descriptors()
        with descriptors_left(left):
            try:
                assert way(bus) == stored
                told.append("")
            except OSError as error:
                told.append(str(error))
        assert open_descriptors() == before, f"{left} left, way {ways.index(way)}"
        assert way(bus) == stored
    worker.say(told=told)


def following_without_descriptors(path: str, left: int, look: int) -> None:
    """Follow, and find all but so many descriptors taken from this look at the file on; say what comes."""
    looks, wait = 0, watch.FileWatch.wait
    with MessageBus(path, poll_interval=0.02) as bus, ExitStack() as limits:
        bus.poll_for_new(bus.last_id(), timeout=0.02)  # the imports are done
        before = open_descriptors()

        def counting_wait(self: watch.FileWatch, mark: watch.Mark, timeout: float) -> bool:
            nonlocal looks
            looks += 1
            if looks == look:
                limits.enter_context(descriptors_left(left))
            if looks == look + 3:
                worker.say(waiting=True)
            return wait(self, mark, timeout)

        watch.FileWatch.wait = counting_wait  # type: ignore[method-assign]
        with closing(bus.follow()) as messages:
            worker.say(came=next(messages).body)
            _say_next(messages)
        limits.close()
        worker.say(leaked=len(open_descriptors()) - len(before))


def _say_next(messages: Iterator[Any]) -> None:
    try:
        worker.say(came=next(messages).body)
    except OSError as error:
        worker.say(error=str(error))


# --- permissions -------------------------------------------------------------------------------


def forbidden(path: str, cases: list[tuple[str, str, str, str]]) -> None:
    """Append without permission: the kind, what is changed, its mode, and what must come of it."""
    worker.say(bound=_is_bound(Path(path).parent))
    tried = []
    for kind, target, mode, expected in cases:
        trial = invariants.Trial(Path(path), invariants.KINDS[kind])
        with _mode({"file": Path(path), "directory": Path(path).parent}[target], int(mode, 8)):
            trial.append()
        assert trial.failure == expected, (kind, target, mode, trial.told)
        tried.append(trial.settle())
    worker.say(tried=len(tried), found=invariants.total(tried))


@contextmanager
def _mode(target: Path, mode: int) -> Iterator[None]:
    before = target.stat().st_mode
    target.chmod(mode)
    try:
        yield
    finally:
        target.chmod(before)


def _is_bound(place: Path) -> bool:
    """Do permissions apply to us?"""
    probe = place / "probe"
    probe.touch(0)
    try:
        probe.read_bytes()
    except PermissionError:
        return True
    finally:
        probe.unlink()
    return False


if __name__ == "__main__":
    import json

    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
