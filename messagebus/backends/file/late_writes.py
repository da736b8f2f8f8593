"""Writes into an archive after a reader has passed it: the reader would never see them.

A program that does not know rotation may have the live file open, and even locked, while it becomes
an archive, and then write into it (SPEC.md, "Reading").
"""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from typing import NamedTuple

from messagebus.backends.file.segments import LogSnapshot
from messagebus.errors import GapWarning

_NEWEST = 8  # archives checked: a writer waits for the lock through fewer rotations than that
_MAX_READS = 64  # remembered: of so many followers


class End(NamedTuple):
    """An archive, and up to which byte it was read."""

    path: str
    size: int


Ends = dict[int, End]  # by inode


class PassedArchives:
    """The sizes of the newest archives when a read passed them, by the id at which that read ended."""

    def __init__(self) -> None:
        self._ends: dict[str | None, Ends] = {}

    def check(self, log: LogSnapshot, position: int, since_id: str | None) -> Ends:
        """The archives before ``position`` as they are now; a GapWarning for each that has grown since
        the read that ended at ``since_id``."""
        known, now = self._ends.get(since_id, {}), Ends()
        for number in range(max(position - _NEWEST, 0), position):
            path = log.name(number)
            with suppress(FileNotFoundError):
                status = os.lstat(path)
                now[status.st_ino] = End(path, status.st_size)
                before = known.get(status.st_ino)
                if before and before.size < status.st_size:
                    warnings.warn(_text(path, before.size), GapWarning, stacklevel=2)
        return now

    def remember(self, msg_id: str | None, ends: Ends) -> None:
        """A read ended at ``msg_id`` and has passed the archives ``ends``."""
        if not ends:
            return
        self._ends.pop(msg_id, None)
        self._ends[msg_id] = dict(list(ends.items())[-_NEWEST:])
        while len(self._ends) > _MAX_READS:
            self._ends.pop(next(iter(self._ends)), None)


def _text(path: str, size: int) -> str:
    return (
        f"{path} was written to after it had become an archive and was read: messages after byte {size:,} of it "
        "were missed; read the log again from an earlier message"
    )
