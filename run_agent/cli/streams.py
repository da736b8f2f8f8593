"""Standard input, output and error, whatever is at their other ends.

The interpreter's own streams lose bytes: of a descriptor that somebody made non-blocking (the flag
is shared with everyone who has the pipe or socket open), and, under ``PYTHONUNBUFFERED``, of a write
that the system takes only in part. A standard error that cannot be written turns exit codes into
others. ``take_over`` puts streams in their place that wait, and lose nothing:

- standard input waits for what is still to come;
- standard output hands over every byte, or raises: ``BrokenOutputError``, or an ``OSError`` that names it;
- standard error drops what it cannot tell, and never raises.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
import threading
from collections.abc import Callable
from typing import Any

_BUFFER_SIZE = 64 * 1024  # bytes


class BrokenOutputError(Exception):
    """Whoever read our output has gone: there is no one left to talk to."""


def take_over() -> None:
    """Replace the three streams of ``sys``. One that was closed before we began stays None there."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if stream is None:  # or the next file that is opened, perhaps a bus, would be taken for the stream
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is not None:
        sys.stdin = _text(io.BufferedReader(_Input(0, closefd=False)))
    if sys.stdout is not None:
        sys.stdout = _text(io.BufferedWriter(_Output(1, "w", closefd=False), _BUFFER_SIZE))
    sys.stderr = _text(io.BufferedWriter(_Error(2, "w", closefd=False)), line_buffering=True)


def drop_output() -> None:
    """What was written and not handed over is dropped, and what is written from now on."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.close(devnull)


def reader_gone() -> threading.Event:
    """An event that is set once whoever reads our output has gone: from a pipe, a socket, a terminal.

    Writing would tell as well, but a follower may have nothing to write for hours.
    """
    gone = threading.Event()
    if sys.stdout is None:
        gone.set()
    elif not stat.S_ISREG(os.fstat(1).st_mode):
        threading.Thread(target=_wait_for_hang_up, args=[gone], daemon=True).start()
    return gone


class _Input(io.FileIO):
    def readinto(self, buffer: Any) -> int:
        try:
            return _waiting(super().readinto, buffer, 0, "POLLIN")
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard input") from None


class _Output(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return _waiting(super().write, data, 1, "POLLOUT")
        except OSError as error:
            gone = _says_reader_gone(error)
            drop_output()  # the interpreter would try once more as it ends, and complain
            if gone:
                raise BrokenOutputError from None
            raise OSError(error.errno, error.strerror, "standard output") from None


class _Error(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return _waiting(super().write, data, 2, "POLLOUT")
        except OSError:
            return len(data)


def _text(buffer: Any, **options: Any) -> io.TextIOWrapper:
    return io.TextIOWrapper(buffer, "utf-8", "backslashreplace", newline="\n", **options)


def _waiting(transfer: Callable[[Any], int | None], data: Any, fd: int, event: str) -> int:
    """The count of a read or write; where a non-blocking descriptor is not ready, wait until it is."""
    while (count := transfer(data)) is None:
        import select

        poll = select.poll()
        poll.register(fd, getattr(select, event))
        poll.poll()
    return count


def _says_reader_gone(error: OSError) -> bool:
    """Of a pipe and a socket, or of a terminal."""
    if error.errno in (errno.EPIPE, errno.ECONNRESET):
        return True
    return error.errno == errno.EIO and stat.S_ISCHR(os.fstat(1).st_mode)


def _wait_for_hang_up(gone: threading.Event) -> None:
    import select

    poll = select.poll()
    poll.register(1, 0)  # errors and hang-ups only
    if any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll()):
        gone.set()
