"""Every call that reading, following or the program makes to the system fails once.

A read gives all that there is or says which file it could not read; it never gives less and keeps silent.
"""

from __future__ import annotations

import errno
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count, islice
from pathlib import Path
from typing import Any

import fault_injection
import invariants
import pytest

from messagebus import Message, MessageBus
from run_agent.cli import main

# --- reads -------------------------------------------------------------------------------------

READS: dict[str, Callable[[MessageBus, list[Message]], Any]] = {
    "all": lambda bus, _: bus.read_messages(),
    "after": lambda bus, those: bus.read_messages(those[1].msg_id),
    "tail": lambda bus, _: bus.read_last_n(3),
    "filtered": lambda bus, _: bus.read_messages(types=["FACT"]),
    "filtered-tail": lambda bus, _: bus.read_messages(limit=3, types=["FACT"]),
    "stored": lambda bus, _: [*bus.iter_stored()],
    "get": lambda bus, those: bus.get_message(those[2].msg_id),
    "last-id": lambda bus, _: bus.last_id(),
    "poll": lambda bus, those: bus.poll_for_new(those[0].msg_id, timeout=0),
    "follow": lambda bus, those: [*islice(bus.follow(those[0].msg_id), len(those) - 1)],
}


@pytest.fixture
def rotated(path):
    """Messages in two archives and the live file."""
    with MessageBus(path, auto_rotate_bytes=400) as bus:
        return [bus.append_message(invariants.draft(f"{number} {'x' * 100}")) for number in range(5)]


@pytest.mark.parametrize("way", READS)
def test_each_call_of_a_read_fails(path, rotated, descriptors, tally, way):
    with MessageBus(path) as calm:
        wanted = READS[way](calm, rotated)
    before, tried = descriptors(), 0
    for call in count():
        bus, system = (
            MessageBus(path),
            fault_injection.System(
                fault_injection.nth(call, fault_injection.ERRORS[call % len(fault_injection.ERRORS)])
            ),
        )
        with system.spread():
            told = told_or(lambda: READS[way](bus, rotated), wanted)  # noqa: B023 - called at once
        if not system.failed:
            break
        assert str(path.parent) in told, f"which file? {told}"
        assert descriptors() == before, system.calls
        assert READS[way](bus, rotated) == wanted, "the same bus object does not read any more"
        tried += 1
    tally(invariants.TALLY, tried)


def told_or(use: Callable[[], Any], wanted: Any) -> str:
    """What the error says; where there is none, nothing may be missing."""
    try:
        assert use() == wanted
    except OSError as error:
        return str(error)
    return ""


def test_a_follower_that_fails_says_so_and_loses_nothing(path, rotated, script, descriptors, tally):
    """Whichever call fails: a reader that continues after the last message delivered misses none."""
    records = [b"\n" * bool(number) + stored for number, (_, stored) in enumerate(MessageBus(path).iter_stored())]
    before = descriptors()
    for call in count():
        for file in path.parent.iterdir():
            file.unlink()
        steps = iter([*(adding(path, record) for record in records[:3]), *rotating(path, records[3:])])
        given: list[Message] = []
        system = fault_injection.System(
            fault_injection.nth(call, fault_injection.ERRORS[call % len(fault_injection.ERRORS)])
        )
        with system.spread():
            told = follow(path, script, steps, given)
        assert bool(told) == bool(system.failed)
        assert str(path.parent) in told or not told, f"which file? {told}"
        assert descriptors() == before
        for step in steps:
            step()
        assert follow(path, script, iter([]), given) == ""
        assert given == rotated
        if not told:
            break
    tally(invariants.TALLY, call)


def adding(path: Path, record: bytes) -> Callable[[], object]:
    def add() -> None:
        with path.open("ab") as file:
            file.write(record)

    return add


def rotating(path: Path, records: list[bytes]) -> list[Callable[[], object]]:
    archive = path.with_name(f"{path.name}.20261121-100000-000000.archived")
    return [lambda: path.rename(archive), *(adding(path, record) for record in records)]


def follow(path: Path, script: Any, steps: Iterator[Callable[[], object]], given: list[Message]) -> str:
    """Do the steps, each once all that was there is ``given``; and what ended it."""
    bus, stop = MessageBus(path), threading.Event()
    bus._backend.watch = lambda: script(steps, stop)
    try:
        with closing(bus.follow(given[-1].msg_id if given else None, stop=stop)) as messages:
            given.extend(messages)
    except OSError as error:
        return str(error)
    return ""


# --- the program -------------------------------------------------------------------------------

COMMANDS = {
    "post": ["post", "--project", "demo", "--body", "x", "--idempotency-key", "k", "--rotate-bytes", "1"],
    "post-fsync": ["post", "--project", "demo", "--body", "x", "--fsync", "--quiet"],
    "read": ["read", "--tail", "0"],
    "read-raw": ["read", "--raw"],
    "read-id": ["read", "--id", "MSG-none"],
}


@pytest.mark.parametrize(("code", "exit_code"), [(errno.EIO, 70), (errno.EACCES, 6)], ids=["EIO", "EACCES"])
@pytest.mark.parametrize("command", COMMANDS)
def test_each_call_of_the_program_fails(path, rotated, monkeypatch, capfd, tally, command, code, exit_code):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # which the program replaces
    tried = 0
    for call in count():
        system = fault_injection.System(fault_injection.nth(call, code))
        with system.spread(), warnings.catch_warnings():
            warnings.simplefilter("always", RuntimeWarning)
            status = main.main(["bus", *COMMANDS[command], "--bus", str(path)])
        told = capfd.readouterr().err
        if not system.failed:
            break
        tried += 1
        if code == errno.EACCES and ("their messages are missing" in told or (command == "post-fsync" and not told)):
            # A directory that may not be listed, nor opened to be flushed: all the rest works.
            assert system.failed <= {"stat", "listdir", "open"}
            assert status == (1 if command == "read-id" else 0)
            continue
        expected = 0 if "could not rotate" in told else 70 if "Do not post it again" in told else exit_code
        invariants.complaint(status, told, expected=expected, path=path.parent)
    tally(invariants.TALLY, tried)
