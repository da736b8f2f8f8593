"""The lock: an exclusive flock on the bus file itself.

portalocker is used for its primitive: its ``lock`` and ``unlock`` wrap each call in checks
that cost more than an uncontended append spends on locking (docs/performance.md).
"""

from __future__ import annotations

import errno
import os
import time
from typing import NamedTuple

from portalocker.constants import LockFlags
from portalocker.portalocker import FlockLocker

from messagebus.errors import InvalidBusPathError

_flock = FlockLocker().locker
_TRY = int(LockFlags.EXCLUSIVE | LockFlags.NON_BLOCKING)
_UNLOCK = int(LockFlags.UNBLOCK)


class Backoff(NamedTuple):
    """How to wait for a lock that others hold: first so many tries that only let others run,
    then sleeps that double from the first to the longest (seconds)."""

    yields: int
    first_sleep: float
    longest_sleep: float


# An append takes some 15 us, so whoever holds the lock is best left alone on its core for a while
# (docs/adr/0003-waiting-for-the-lock.md). With a flush it takes ten times that, nearly all of it
# after the lock is given up, and who comes soon shares the next flush.
RELAXED = Backoff(2, 1e-3, 4e-3)
EAGER = Backoff(200, 50e-6, 1e-3)


# What flock fails with where the file system has no locks (NFS without its lock service, Lustre without -o flock, ...).
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def acquire(fd: int, path: str, timeout: float, backoff: Backoff = RELAXED) -> bool:
    """Lock the file at ``path`` that is open as ``fd``; False where ``timeout`` seconds did not suffice.

    Raises InvalidBusPathError where its file system has no locks, OSError.
    """
    try:
        _flock(fd, _TRY)
    except BlockingIOError:
        return _wait(fd, timeout, backoff)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise InvalidBusPathError(
            f"{path} cannot be locked: its file system has no locks for files (flock: {error.strerror}). Put the bus "
            "on a local disk, or have that file system mounted with locks"
        ) from None
    return True


def _wait(fd: int, timeout: float, backoff: Backoff) -> bool:
    for _ in range(backoff.yields):
        os.sched_yield()
        if _acquired(fd):
            return True
    deadline = time.monotonic() + timeout
    pause = backoff.first_sleep
    while not _acquired(fd):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
        pause = min(pause * 2, backoff.longest_sleep)
    return True


def release(fd: int) -> None:
    """Unlock it. Closing the last descriptor of the open file does the same."""
    _flock(fd, _UNLOCK)


def _acquired(fd: int) -> bool:
    try:
        _flock(fd, _TRY)
    except BlockingIOError:
        return False
    return True
