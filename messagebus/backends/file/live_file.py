"""The live file, open to append to it: locked, checked, written, truncated (SPEC.md, "Writing").

A descriptor alone proves nothing: the file may have been rotated, or an editor may have put another
one at its path. So the file at the path is compared with the open one after locking and after
writing. Both comparisons are needed: each detects a replacement that the other cannot see.
"""

from __future__ import annotations

import errno
import os

from messagebus.backends.file import lock, segments
from messagebus.backends.file.create import open_to_append
from messagebus.errors import InvalidBusPathError

flush = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync

_MOST_ADDED = 64 * 1024  # bytes


class LiveFile:
    """The file at one bus path. Only one thread at a time may use it."""

    def __init__(self, path: str, *, make_directories: bool = False) -> None:
        self.path = path
        self._make_directories = make_directories
        self.fd = -1
        self._inode = self._device = 0
        self.left: os.stat_result | None = None  # its status after the last write
        self._opened = self._name_flushed = 0  # number of opens; that number at the last flush of the name

    def lock(self, timeout: float, backoff: lock.Backoff) -> os.stat_result | None:
        """Steps 1 to 3: open the file, lock it, and make sure that it is still at the path.

        Returns its status; None if locking takes more than ``timeout`` seconds. Raises
        InvalidBusPathError, OSError.
        """
        while True:
            if self.fd < 0:
                self._open()
            try:
                if not lock.acquire(self.fd, self.path, timeout, backoff):
                    return None
            except BaseException:
                self.close()  # nothing is locked, so there is nothing to unlock
                raise
            status = self._status()
            if status:
                return status
            self.unlock_and_close()

    def try_lock(self) -> os.stat_result | None:
        """Steps 1 to 3 where nothing is in the way: the file is open and at its path, and the lock is free. Returns
        its status; None in any other case, and the lock may then be held."""
        try:
            if self.fd < 0 or not lock.try_acquire(self.fd):
                return None
            return self._status()
        except OSError:
            return None

    def known_size(self, status: os.stat_result) -> int:
        """How many bytes of the file the last ``write`` left; 0 where another file is at the path, or a shorter one.
        What follows them has been added by others. ``status`` is that of the path now."""
        left = self.left
        return left.st_size if left and left.st_ino == status.st_ino and left.st_size < status.st_size else 0

    def added(self, status: os.stat_result) -> bytes:
        """What has been added since the last ``write``, from the line end that it left; empty where that is not
        known, or is more than ``_MOST_ADDED``."""
        known = self.known_size(status)
        is_little = known > 0 and status.st_size - known <= _MOST_ADDED
        return os.pread(self.fd, status.st_size - known + 1, known - 1) if is_little else b""

    def is_as_left(self, status: os.stat_result) -> bool:
        """Has nothing been done to the file since the last ``write``? ``status`` is that of the path now."""
        left = self.left
        # All up to the size: mode, inode, device, number of names, owners.
        return left is not None and status[:7] == left[:7] and status.st_mtime_ns == left.st_mtime_ns

    def unlock(self) -> None:
        """Step 9; nothing where the file is not open."""
        if self.fd >= 0:
            lock.release(self.fd)

    def unlock_and_close(self) -> None:
        """Let go of the file. Closing alone is not enough: a copy of the descriptor, in a flush of another
        thread or in a forked child, would hold the lock."""
        lock.release(self.fd)
        self.close()

    def close(self) -> None:
        """Close the descriptor, if there is one; ``lock`` opens another."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def write(self, data: bytes, offset: int) -> bool:
        """Steps 7 and 8: append ``data``, in one write, to a file of ``offset`` bytes.

        False if another file is at the path now, or its size is not what the write made it. A short or
        failed write is truncated. Raises InvalidBusPathError, OSError.
        """
        self.left = None
        try:
            written = os.write(self.fd, data)
            if written == len(data):
                status = self._status()
                if status is None or status.st_size != offset + written:
                    return False
                self.left = status
                return True
        except (OSError, InvalidBusPathError) as error:
            self._undo_write(offset, error)
            raise
        reason = f"only {written:,} of {len(data):,} bytes could be written, and were removed again"
        short = OSError(errno.ENOSPC, reason, self.path)
        self._undo_write(offset, short)
        raise short

    def truncate(self, size: int) -> None:
        """Truncate the file, durably: otherwise, after a loss of power, a block of the old text could be in the
        middle of what was written in its place, and together they could look like a whole record."""
        os.ftruncate(self.fd, size)
        flush(self.fd)

    def flush_name(self) -> None:
        """Make the name of the file durable, and that of a new archive: once for each time that the file was
        opened, since a new file may have the inode of one that was deleted. Raises OSError."""
        opened = self._opened
        if self._name_flushed != opened:
            segments.flush_directory(self.path)
            self._name_flushed = opened

    def _open(self) -> None:
        self.fd = open_to_append(self.path, make_directories=self._make_directories)
        opened = os.fstat(self.fd)
        self._inode, self._device = opened.st_ino, opened.st_dev
        self._opened += 1

    def _status(self) -> os.stat_result | None:
        """The status of the file at the path, if it is the open one. Raises InvalidBusPathError if that has no
        name left: only a mount keeps it at the path, and what is written to it would be lost with the mount."""
        try:
            status = os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if status.st_ino != self._inode or status.st_dev != self._device:
            return None
        if not status.st_nlink:
            raise InvalidBusPathError(segments.nameless(self.path))
        return status

    def _undo_write(self, size: int, reason: Exception) -> None:
        """Remove what was written; if that fails, the next writer recovers the end of the file."""
        try:
            self.truncate(size)
        except OSError as error:
            code, why = (reason.errno, reason.strerror) if isinstance(reason, OSError) else (error.errno, reason)
            text = (
                f"{why}; what was written could not be removed ({error.strerror}): check the log before "
                "posting again, the message may be stored"
            )
            raise OSError(code, text, self.path) from reason
