"""Every call that an append makes to the system fails once, with every error that it may have.

So each place on the write path where something can go wrong does. What must hold then says ``invariants.py``.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path

import fault_injection
import invariants
import pytest

from messagebus import DurabilityError, MessageBus


def in_turns(call: int) -> tuple[int, ...]:
    """In CI each call has one error, another than its neighbours."""
    return (fault_injection.ERRORS[call % len(fault_injection.ERRORS)],)


def all_of_them(_call: int) -> tuple[int, ...]:
    return fault_injection.ERRORS


def fail_each_call_of_an_append(
    path: Path, kind: str, codes_of: Callable[[int], tuple[int, ...]], descriptors: Callable[[], int]
) -> tuple[list[dict[str, int]], set[str]]:
    """What each failure left, and which calls failed."""
    found, failed, before = [], set(), descriptors()
    for call, code in ((number, code) for number in count() for code in codes_of(number)):
        trial = invariants.Trial(path, invariants.KINDS[kind])
        system = fault_injection.System(fault_injection.nth(call, code))
        with system.spread():
            trial.append()
        result = trial.settle()
        if not system.failed:  # it came to the end: there is no such call
            break
        found.append(result)
        failed |= system.failed
        assert descriptors() == before, system.calls
    return found, failed


MUST_HAVE_FAILED = {
    "new": {"open", "flock", "lstat", "fstat", "pread", "listdir", "write"},
    "known-file": {"flock", "lstat", "write"},
    "keyed": {"listdir", "pread", "write"},
    "rotation": {"listdir", "rename", "open", "write"},
    "known-healing": {"pread", "ftruncate", "write"},
    "flushed": {"write", "dup", "flush", "fsync"},
    "flushed-rotation": {"flush", "rename", "fsync", "open", "write", "dup"},
}


@pytest.mark.parametrize("kind", invariants.KINDS)
def test_each_call_of_an_append_fails(path, descriptors, tally, kind):
    found, failed = fail_each_call_of_an_append(path, kind, in_turns, descriptors)
    tally(invariants.TALLY, len(found), **invariants.total(found))
    assert failed >= MUST_HAVE_FAILED.get(kind, {"lstat"})


@pytest.mark.soak
@pytest.mark.parametrize("kind", invariants.KINDS)
def test_each_call_of_an_append_fails_with_each_error(path, descriptors, tally, kind):
    found, _ = fail_each_call_of_an_append(path, kind, all_of_them, descriptors)
    tally(invariants.TALLY, len(found), **invariants.total(found))


@pytest.mark.parametrize("kind", ["known-file", "batch", "healing", "flushed"])
def test_a_short_write_is_taken_back(path, tally, kind):
    found = []
    for written in range(0, 600, 37):
        trial = invariants.Trial(path, invariants.KINDS[kind])
        with fault_injection.System(fault_injection.by_name(write=fault_injection.Short(written))).spread():
            trial.append()
        assert trial.failure == "OSError" or len(invariants.log_of(path)) > len(trial.before)
        found.append(trial.settle())
    tally(invariants.TALLY, len(found), **invariants.total(found))


@pytest.mark.parametrize("left", [0, 1, 30, 100, -100, -20, -1])
@pytest.mark.parametrize("kind", ["one", "known-file", "batch", "keyed"])
def test_what_a_failed_write_leaves_is_recovered(path, tally, kind, left):
    """The disk takes a part of the record and then neither more nor a truncation."""
    way = invariants.KINDS[kind]
    drafted = {f"the message {number}" for number in range(way.batch)} or {"the message"}
    with way.open(path) as bus, way.open(path) as other:
        before = way.append(bus, "before") if way.known else []
        system = fault_injection.System(fault_injection.by_name(write=fault_injection.Short(left), ftruncate=errno.EIO))
        with (
            system.spread(),
            pytest.raises(OSError, match=rf"the message may be stored: '{path}'"),
        ):
            way.append(bus, "the message")
        partial = [message for message in other.read_messages() if message not in before]
        after = [one.append_message(invariants.draft("afterwards")) for one in (other, bus)]
        stored = other.read_messages()
    left_over = [message for message in stored if message not in before + after]
    whole = [message for message in left_over if message.intact]
    assert whole[: len(partial)] == partial, "what readers saw went away"
    assert len(left_over) - len(whole) <= 1
    tally(
        invariants.TALLY,
        1,
        lost=sum(message not in stored for message in before + after),
        forged=len({message.body for message in whole} - drafted),
    )


def test_a_flush_that_fails_says_what_is_written(path, tally):
    with MessageBus(path, fsync=True) as bus, MessageBus(path) as reader:
        with (
            fault_injection.System(fault_injection.by_name(flush=errno.EIO)).spread(),
            pytest.raises(DurabilityError) as caught,
        ):
            bus.append_messages([invariants.draft(body) for body in ("one", "two")])
        assert [message.msg_id for message in reader.read_messages()] == [*caught.value.msg_ids]
        for part in (*caught.value.msg_ids, str(path), os.strerror(errno.EIO), "Do not post it again"):
            assert part in str(caught.value)
        bus.append_message(invariants.draft("three"))
        tally(invariants.TALLY, 1, lost=3 - len(reader.read_messages()))
