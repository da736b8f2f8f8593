"""What must hold of a bus when something failed, and when it fails no longer.

A failed append leaves every byte of the log as it was, but for the unfinished end that it may have
recovered; the error names the file; no one holds the lock; and once the fault has passed, the same bus object
and a new one append.
"""

from __future__ import annotations

import fcntl
import warnings
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from messagebus import BusError, Draft, Message, MessageBus

TALLY = "faults: a full disk, limits, permissions, I/O errors"
TORN = b"\n---\nmsg_id: MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA\nts: 2026-11"  # what a writer left that died


def draft(body: str) -> Draft:
    return Draft("FACT", "demo", body)


class Kind(NamedTuple):
    """A way to append, and what has happened to the log before."""

    new: bool = False  # there is no file yet
    known: bool = False  # the bus object has the file open already
    torn: bool = False  # a writer that died left the beginning of a record
    repeated: bool = False  # the key stands for the message already
    key: str | None = None
    batch: int = 0  # messages; 0 for a single one
    rotate: int = 0
    fsync: bool = False

    def open(self, path: Path) -> MessageBus:
        return MessageBus(path, lock_timeout=0, max_retries=1, auto_rotate_bytes=self.rotate, fsync=self.fsync)

    def append(self, bus: MessageBus, body: str) -> list[Message]:
        if self.batch:
            return bus.append_messages([draft(f"{body} {number}") for number in range(self.batch)])
        return [bus.append_message(draft(body), idempotency_key=self.key)]


KINDS = {
    "new": Kind(new=True),
    "one": Kind(),
    "known-file": Kind(known=True),
    "batch": Kind(known=True, batch=3),
    "keyed": Kind(key="k"),
    "keyed-again": Kind(key="k", repeated=True),
    "rotation": Kind(rotate=1),
    "known-rotation": Kind(known=True, rotate=1),
    "healing": Kind(torn=True),
    "known-healing": Kind(known=True, torn=True, batch=3),
    "flushed": Kind(fsync=True),
    "flushed-rotation": Kind(rotate=1, fsync=True, batch=3),
}


def log_of(path: Path) -> bytes:
    """Every byte of the log, archives first."""
    files = [*sorted(path.parent.glob(f"{path.name}.*.archived")), path]
    return b"".join(file.read_bytes() for file in files if file.exists())


def assert_unlocked(path: Path) -> None:
    if path.exists():
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Trial:
    """One append while something fails, and what came of it."""

    def __init__(self, path: Path, kind: Kind, body: str = "the message", preamble: bytes = b"") -> None:
        """Begin a log of this kind, while nothing fails yet."""
        self._path, self._kind, self._body = path, kind, body
        self._drop()
        if preamble:
            path.write_bytes(preamble)
        if not kind.new:
            with MessageBus(path) as another:
                another.append_message(draft("before"))
        self.bus = kind.open(path)
        if kind.known or kind.repeated:
            kind.append(self.bus, body if kind.repeated else "known")
        if kind.torn:
            with path.open("ab") as file:
                file.write(TORN)
        self._expected = MessageBus(path).read_messages()
        self.before = log_of(path)
        self.failure = ""  # the name of the error
        self.told: list[str] = []
        self._durability_unknown: tuple[str, ...] = ()

    def append(self) -> None:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                messages = self._kind.append(self.bus, self._body)
                self._expected += [message for message in messages if message not in self._expected]
            except (BusError, OSError) as error:  # keeping it would keep its frames, and what they have open
                self.failure = type(error).__name__
                self.told.append(str(error))
                self._durability_unknown = getattr(error, "msg_ids", ())
        self.told += [str(warning.message) for warning in warned]

    def settle(self) -> dict[str, int]:
        """The fault has passed: what is lost, repeated and forged once everything works again."""
        for text in self.told:
            assert str(self._path.parent) in text, f"which file? {text}"
        if self._durability_unknown:
            self._expected += self._written()
        elif self.failure:
            assert log_of(self._path) in (self.before, self.before.removesuffix(TORN)), f"it wrote: {self.told}"
        assert_unlocked(self._path)
        with self.bus, self._kind.open(self._path) as other:
            self._expected += [bus.append_message(draft("afterwards")) for bus in (self.bus, other, self.bus)]
        return differences(self._expected, MessageBus(self._path).read_messages())

    def _written(self) -> list[Message]:
        """What the append wrote of which it did not know whether it would last."""
        new = [message for message in MessageBus(self._path).read_messages() if message not in self._expected]
        assert tuple(message.msg_id for message in new) == self._durability_unknown
        assert len(new) == (self._kind.batch or 1)
        return new

    def _drop(self) -> None:
        """Remove the log of the trial before."""
        for file in self._path.parent.glob(f"{self._path.name}*"):
            file.unlink()


def differences(expected: list[Message], found: list[Message]) -> dict[str, int]:
    """What is wrong with ``found``, in the words of the tally."""
    assert all(one.msg_id < two.msg_id for one, two in pairwise(found)), "ids do not increase"
    return {
        "lost": sum(message not in found for message in expected),
        "repeated": len(found) - len({(message.type, message.body, message.msg_id) for message in found}),
        "forged": sum(message not in expected for message in found),
    }


def total(found: Iterable[dict[str, int]]) -> dict[str, int]:
    """All the differences together."""
    return dict(sum(map(Counter, found), Counter({"lost": 0})))


def complaint(code: int, err: Any, *, expected: int, path: Path) -> str:
    """What the program told when it failed as it should: a sentence or two that name the file."""
    text = err.decode() if isinstance(err, bytes) else err
    assert code == expected, text
    assert "Traceback" not in text
    assert "unexpected" not in text, text
    assert 1 <= text.count("\n") <= 2, text
    assert str(path) in text, text
    return text
