"""Random bytes, taken from the system many at a time: a system call costs as much as the rest of an id."""

from __future__ import annotations

import os

_DRAWN_AT_A_TIME = 1024  # bytes


class Randomness:
    """Random bytes for one process. A forked child must have its own, or it would draw those of its parent."""

    def __init__(self) -> None:
        self._bytes, self._used = b"", 0

    def draw(self, n: int) -> bytes:
        """``n`` random bytes, each of them drawn once."""
        start, end = self._used, self._used + n
        if end > len(self._bytes):
            self._bytes, start, end = os.urandom(_DRAWN_AT_A_TIME), 0, n
        self._used = end
        return self._bytes[start:end]
