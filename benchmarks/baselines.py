"""The sides of the comparisons: each opens a file and yields a function that appends to it.

SQLite is used as a good program would use it: WAL, synchronous=NORMAL, one prepared INSERT per transaction, an
integer key of its own, the same fields and the same body.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.corpus import BODY
from messagebus import Draft, MessageBus, Parent

Append = Callable[[], object]
Opener = Callable[[Path], AbstractContextManager[Append]]

SCALAR_FIELDS = ("FACT", "demo", "task-1", "run-1")
assert len(BODY.encode()) == 100  # noqa: S101 - a mistake here would spoil every row

_RECORD = (
    "\n---\nmsg_id: MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA\nts: 2026-11-21T03:14:15.926535Z\ntype: FACT\nproject_id: demo\n"
    f"task_id: task-1\nrun_id: run-1\ncontent_length: 100\n---\n{BODY}\n"
).encode()
_BARE = (
    "\n---\nmsg_id: MSG-{number:026d}\nts: {stamp}Z\ntype: FACT\nproject_id: demo\n"
    f"task_id: task-1\nrun_id: run-1\ncontent_length: 100\n---\n{BODY}\n"
)
_TABLE = (
    "CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, ts TEXT, type TEXT, project_id TEXT, "
    "task_id TEXT, run_id TEXT, body TEXT)"
)
_INSERT = "INSERT INTO messages (ts, type, project_id, task_id, run_id, body) VALUES (?, ?, ?, ?, ?, ?)"
_flush = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


def draft() -> Draft:
    type_, project, task, run = SCALAR_FIELDS
    return Draft(type_, project, BODY, task_id=task, run_id=run)


def row() -> tuple[str, ...]:
    return (datetime.now(UTC).isoformat(), *SCALAR_FIELDS, BODY)


def connect(path: Path) -> sqlite3.Connection:
    """A connection as the comparison uses it; the busy timeout lets writers wait for each other."""
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(_TABLE)
    return connection


def fill(connection: sqlite3.Connection, rows: int) -> None:
    """Insert that many rows, in one transaction."""
    connection.execute("BEGIN")
    connection.executemany(_INSERT, (row() for _ in range(rows)))
    connection.execute("COMMIT")


@contextmanager
def sqlite(path: Path) -> Iterator[Append]:
    with closing(connect(path)) as connection:
        yield lambda: connection.execute(_INSERT, row())


@contextmanager
def bus(path: Path) -> Iterator[Append]:
    with MessageBus(path) as log:
        yield lambda: log.append_message(draft())


@contextmanager
def bus_as_agents(path: Path) -> Iterator[Append]:
    """Each message has a sender, and answers the one before."""
    type_, project, task, run = SCALAR_FIELDS
    with MessageBus(path) as log:
        last = log.append_message(draft()).msg_id

        def append() -> None:
            nonlocal last
            parents = [Parent(last, "answers")]
            meta = {"from": "coder-1"}
            message = Draft(type_, project, BODY, task_id=task, run_id=run, parents=parents, meta=meta)
            last = log.append_message(message).msg_id

        yield append


@contextmanager
def bare_loop(path: Path) -> Iterator[Append]:
    """The system calls of an append of the bus, and one formatted record: what it would take without any check."""
    number = 0

    def append() -> None:
        nonlocal number
        number += 1
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.lstat(path)
        stamp = datetime.now(UTC).isoformat(timespec="microseconds")[:-6]
        os.write(fd, (_BARE.format(number=number, stamp=stamp)).encode())
        os.lstat(path)
        fcntl.flock(fd, fcntl.LOCK_UN)

    with _opened(path) as fd:
        yield append


@contextmanager
def bus_fsync(path: Path) -> Iterator[Append]:
    with MessageBus(path, fsync=True) as log:
        yield lambda: log.append_message(draft())


@contextmanager
def raw_flock(path: Path) -> Iterator[Append]:
    """Lock, write, unlock: the least that a safe append does."""

    def append() -> None:
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.write(fd, _RECORD)
        fcntl.flock(fd, fcntl.LOCK_UN)

    with _opened(path) as fd:
        yield append


@contextmanager
def raw_fsync(path: Path) -> Iterator[Append]:
    """Write, then flush to disk."""

    def append() -> None:
        os.write(fd, _RECORD)
        _flush(fd)

    with _opened(path) as fd:
        yield append


@contextmanager
def raw_flock_fsync(path: Path) -> Iterator[Append]:
    """Lock, write, unlock, then flush: the least that a safe and durable append does."""

    def append() -> None:
        append_locked()
        _flush(fd)

    with raw_flock(path) as append_locked, _opened(path) as fd:
        yield append


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        yield fd
    finally:
        os.close(fd)


OPENERS: dict[str, Opener] = {
    "bus": bus,
    "bus, as agents": bus_as_agents,
    "bare loop": bare_loop,
    "sqlite": sqlite,
    "raw flock": raw_flock,
    "bus fsync": bus_fsync,
    "raw fsync": raw_fsync,
    "raw flock fsync": raw_flock_fsync,
}
