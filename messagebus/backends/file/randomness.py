"""Random bytes, drawn from the system many at a time: a call costs as much as all the rest of an id."""

from __future__ import annotations

import os

_DRAWN_AT_A_TIME = 256  # bytes


class Randomness:
    """For one process: a child that forked must begin with its own, or it would draw what its parent draws."""

    def __init__(self) -> None:
        self._bytes, self._used = b"", 0

    def draw(self, n: int) -> bytes:
        """``n`` random bytes, which are given to no one else."""
        start = self._used
        if start + n > len(self._bytes):
            self._bytes, start = os.urandom(_DRAWN_AT_A_TIME), 0
        self._used = start + n
        return self._bytes[start : start + n]
