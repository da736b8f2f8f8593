"""The lock: an exclusive flock on the bus file itself.

A free lock takes the one system call that portalocker makes, too. portalocker itself comes in when another
process holds the lock: its import takes longer than all else that a ``bus post`` does (docs/performance.md).
"""

from __future__ import annotations

import errno
import os
import time
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from typing import NamedTuple

from messagebus.errors import InvalidBusPathError

_TRY = LOCK_EX | LOCK_NB


class Backoff(NamedTuple):
    """How to wait for a lock that another process holds: try ``yields`` times, letting others run in
    between, then sleep between tries, from ``first_sleep`` doubling to ``longest_sleep`` seconds."""

    yields: int
    first_sleep: float
    longest_sleep: float


# An append takes some 15 us, so the holder of the lock is best left alone on its core for a while
# (docs/adr/0003, docs/adr/0008). With a flush it takes ten times as long, nearly all of it
# after unlocking, and a writer that gets the lock soon shares the next flush.
RELAXED = Backoff(2, 1e-3, 16e-3)
EAGER = Backoff(200, 50e-6, 1e-3)


# The errors of flock where the file system has no locks (NFS without its lock service, Lustre without -o flock, ...).
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def try_acquire(fd: int) -> bool:
    """Lock the file, unless another process holds the lock. Raises OSError."""
    try:
        flock(fd, _TRY)
    except BlockingIOError:
        return False
    return True


def acquire(fd: int, path: str, timeout: float, backoff: Backoff = RELAXED) -> bool:
    """Lock the file at ``path``, open as ``fd``; False if that takes more than ``timeout`` seconds.

    Raises InvalidBusPathError where its file system has no locks, OSError.
    """
    try:
        return try_acquire(fd) or _wait(fd, timeout, backoff)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise InvalidBusPathError(
            f"{path} cannot be locked: its file system has no file locks (flock: {error.strerror}). Put the bus "
            "on a local disk, or mount that file system with locks"
        ) from None


def _wait(fd: int, timeout: float, backoff: Backoff) -> bool:
    deadline = time.monotonic() + timeout
    for _ in range(backoff.yields):
        os.sched_yield()
        if try_acquire(fd):
            return True
    from portalocker import AlreadyLocked, LockFlags
    from portalocker.portalocker import FlockLocker

    pause = backoff.first_sleep
    while True:
        try:
            FlockLocker().lock(fd, LockFlags.EXCLUSIVE | LockFlags.NON_BLOCKING)
        except AlreadyLocked:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(pause * 2, backoff.longest_sleep)
        else:
            return True


def release(fd: int) -> None:
    """Unlock the file. Closing the last descriptor of the open file does the same."""
    flock(fd, LOCK_UN)
