"""Processes that damage a bus, or die while they repair it: ``python repairing.py VERB '{"option": ...}'``."""

from __future__ import annotations

import json
import os
import signal
import sys
from base64 import b64decode
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import crash_writer
from patched import Patched

from messagebus import Draft, MessageBus, check_bus, repair_bus
from messagebus.backends.file import live_file

CHANGING = {"open", "link", "replace", "rename", "unlink", "fsync", "fchmod", "fchown"}
SOME = 9  # of the calls that change nothing, one in so many


def die_writing(path: str, body: str, written: int) -> None:
    """Append, and be killed when so many bytes of it are written."""

    def write(fd: int, data: bytes) -> int:
        os.write(fd, data[:written])
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")

    live_file.os = Patched(os, write=write)  # type: ignore[assignment]
    MessageBus(path).append_message(Draft("FACT", "demo", body))


def die_repairing(path: str, journal: str, files: dict[str, str]) -> None:
    """Repair a log that is these files, and be killed before each call that changes something, and before some that
    do not, one after another. After each death: what is there, what a second repair makes of it, and what is
    found then."""
    said = []
    for call in calls_to_die_in(path, files):
        lay_out(path, files)
        child = crash_writer.Forked(partial(_mend, path, crash_writer.Moment(call)))
        assert child.end() == -signal.SIGKILL
        left = names(path)
        repair_bus(path)
        there = [file.read_bytes() for file in Path(path).parent.glob("BUS.md*")]
        kept = all(b64decode(text) in there for name, text in files.items() if not name.endswith(".mending"))
        damage = [found.text for found in check_bus(path) if found.is_damage]
        bodies = [message.body for message in MessageBus(path).read_messages()]
        died = [word["call"] for word in child.words()]
        after = names(path)
        said.append({"died": died, "left": left, "after": after, "kept": kept, "damage": damage, "bodies": bodies})
    Path(journal).write_text(json.dumps(said))


def calls_to_die_in(path: str, files: dict[str, str]) -> list[int]:
    lay_out(path, files)
    child = crash_writer.Forked(partial(_mend, path, crash_writer.Moment()))
    assert child.end() == 0
    [word] = child.words()
    return [number for number, call in enumerate(word["calls"]) if call in CHANGING or number % SOME == 0]


def _mend(path: str, moment: crash_writer.Moment, say: Callable[[dict[str, Any]], None]) -> None:
    deadly = crash_writer.Deadly(moment, say)
    deadly.spread()
    repair_bus(path)
    say({"calls": deadly._calls})


def lay_out(path: str, files: dict[str, str]) -> None:
    for entry in Path(path).parent.glob("BUS.md*"):
        entry.unlink()
    for name, content in files.items():
        Path(path).with_name(name).write_bytes(b64decode(content))


def names(path: str) -> list[str]:
    return [file.name for file in Path(path).parent.glob("BUS.md*")]


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
