"""Archives that a reader has left behind: what is written into one after that, it would never see.

A program that does not know rotations may have the file open, and even its lock, while it becomes an
archive, and then write into it (SPEC.md, "Reading").
"""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from typing import NamedTuple

from messagebus.backends.file.segments import LogSnapshot
from messagebus.errors import GapWarning

_NEWEST = 8  # archives looked at: whoever waits for a lock does not sleep through more rotations
_ENDS = 64  # ends of reads that are remembered: of so many followers


class End(NamedTuple):
    """How far an archive was read."""

    path: str
    size: int


Ends = dict[int, End]  # by inode


class Passed:
    """Remembers how long the newest archives were when a read passed them, by the id where it ended."""

    def __init__(self) -> None:
        self._ends: dict[str | None, Ends] = {}

    def look_back(self, log: LogSnapshot, position: int, since_id: str | None) -> Ends:
        """The archives in front of ``position``; warns of each that has grown since the read that
        ended at ``since_id``."""
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

    def keep(self, msg_id: str | None, ends: Ends) -> None:
        """A read ended at ``msg_id``, having passed these archives."""
        if not ends:
            return
        self._ends.pop(msg_id, None)
        self._ends[msg_id] = dict(list(ends.items())[-_NEWEST:])
        while len(self._ends) > _ENDS:
            self._ends.pop(next(iter(self._ends)), None)


def _text(path: str, size: int) -> str:
    return (
        f"{path} was written to after it had become an archive and was read: messages behind byte {size:,} of it "
        "were missed; read the log again from an earlier message"
    )
