"""Standard input, output and error that lose no bytes, whether they are files, pipes, sockets or terminals.

The interpreter's own streams lose bytes when a descriptor is non-blocking (another process that has the
pipe or socket open can set that flag) and, under ``PYTHONUNBUFFERED``, when the system takes only part
of a write. A standard error that cannot be written changes exit codes. ``install`` replaces all three:

- standard input waits until more data is available;
- standard output delivers every byte, or raises ``BrokenOutputError`` or an ``OSError`` that names it;
- standard error drops what it cannot write, and never raises.
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
    """The reader of standard output has gone, so there is no more to do."""


def install() -> None:
    """Replace the three streams of ``sys``. Input or output that was closed at the start stays None."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if stream is None:  # else the next file to be opened, perhaps a bus, would get the stream's descriptor
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is not None:
        sys.stdin = _text(io.BufferedReader(_Input(0, closefd=False)))
    if sys.stdout is not None:
        sys.stdout = _text(io.BufferedWriter(_Output(1, "w", closefd=False), _BUFFER_SIZE))
    sys.stderr = _text(io.BufferedWriter(_Error(2, "w", closefd=False)), line_buffering=True)


def discard_output() -> None:
    """Discard buffered output, and all that is written from now on."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.close(devnull)


def reader_gone() -> threading.Event:
    """An event that is set once the reader of standard output has gone: of a pipe, a socket or a terminal.

    A write would fail then too, but a follower may have nothing to write for hours.
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
            return _when_ready(super().readinto, buffer, 0, "POLLIN")
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard input") from None


class _Output(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return _when_ready(super().write, data, 1, "POLLOUT")
        except OSError as error:
            gone = _means_reader_gone(error)
            discard_output()  # else the interpreter would write again at exit, and print an error
            if gone:
                raise BrokenOutputError from None
            raise OSError(error.errno, error.strerror, "standard output") from None


class _Error(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return _when_ready(super().write, data, 2, "POLLOUT")
        except OSError:
            return len(data)


def _text(buffer: Any, **options: Any) -> io.TextIOWrapper:
    return io.TextIOWrapper(buffer, "utf-8", "backslashreplace", newline="\n", **options)


def _when_ready(transfer: Callable[[Any], int | None], data: Any, fd: int, event: str) -> int:
    """The count of a read or write; waits while a non-blocking descriptor is not ready."""
    while (count := transfer(data)) is None:
        import select

        poll = select.poll()
        poll.register(fd, getattr(select, event))
        poll.poll()
    return count


def _means_reader_gone(error: OSError) -> bool:
    """Whether a failed write means that the pipe or socket has no reader, or the terminal is closed."""
    if error.errno in (errno.EPIPE, errno.ECONNRESET):
        return True
    return error.errno == errno.EIO and stat.S_ISCHR(os.fstat(1).st_mode)


def _wait_for_hang_up(gone: threading.Event) -> None:
    import select

    poll = select.poll()
    poll.register(1, 0)  # only errors and hang-ups
    if any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll()):
        gone.set()
