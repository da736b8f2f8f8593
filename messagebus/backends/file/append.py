"""Appending: lock, make sure it is still the bus, mend, number, write once, check, unlock.

The order of the steps is the whole safety of the log (SPEC.md, "Writing"); each method here
is one of them. What the last append learnt of the file is kept, so that the next one reads
only what others wrote since.
"""

from __future__ import annotations

import errno
import os
import threading
import time
import warnings
import weakref
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from messagebus import codec
from messagebus.backends.file import lock, segments
from messagebus.backends.file.create import open_to_append
from messagebus.backends.file.idempotency import KeyIndex
from messagebus.backends.file.read import Reader
from messagebus.backends.file.tail import WINDOW, append_point, last_archived_id
from messagebus.errors import DurabilityError, InvalidBusPathError, LockTimeoutError
from messagebus.message import Draft, Message, format_time, in_utc, message_from, stored_under_key
from messagebus.msgid import is_own, later, next_msg_id

if TYPE_CHECKING:
    from messagebus.backends.file import AppendOptions

_RANDOM_PAGE = 256  # bytes
_UNENDED = b"\n\n"  # the glue behind a last line without its end
_REST = 0.02  # seconds without a change, after which nobody is in the middle of saving
_MOST_RESTS = 50
_YIELDS_BEFORE_FLUSH = 10
_flush = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


_Prepared = tuple[Draft, datetime | None, bytes]  # a draft, its time in UTC, and its encoded rest


class Appender:
    """Appends to the log at one path. Threads may share it; a fork gets its own descriptor."""

    def __init__(self, path: str, options: AppendOptions) -> None:
        self._path = path
        self._options = options
        self._lock_timeout = min(options.lock_timeout, threading.TIMEOUT_MAX)
        self._backoff = lock.EAGER if options.fsync else lock.RELAXED
        self._attempts = self._retries = 0
        self._fd = -1
        self.reset()
        _appenders.add(self)

    def reset(self) -> None:
        """Begin with a descriptor and a mutex of one's own, as a forked child must."""
        self._forget()
        self._mutex = threading.Lock()
        self._inode = self._device = 0
        self._left: os.stat_result | None = None  # the file as our last append left it
        self._last_id: str | None = None  # the last id in the log then
        self._end = 0  # and where our last record ended
        self._opened = self._name_flushed = 0  # how many files, and up to which the directory was flushed
        self._keys = KeyIndex(self._path)
        self._randomness, self._drawn = b"", 0  # a child that forked must not draw what its parent draws

    def append(self, drafts: Sequence[Draft], idempotency_key: str | None = None) -> list[Message]:
        """Store ``drafts``, all or none. Raises LockTimeoutError, DurabilityError,
        InvalidBusPathError, OSError; and InvalidMessageError for a header over its limit or a
        key that stands for something else."""
        if not drafts:
            return []
        prepared = [(draft, draft.ts and in_utc(draft.ts), codec.encode_rest(draft)) for draft in drafts]
        started = time.monotonic()
        for attempt in range(self._options.max_retries):
            if attempt:
                time.sleep(self._options.retry_backoff * 2 ** (attempt - 1))
                self._retries += 1
            self._attempts += 1
            try:
                messages = self._attempt(prepared, idempotency_key)
            except OSError as error:
                segments.add_filename(error, self._path)
                raise
            if messages:
                return messages
        raise LockTimeoutError(self._path, self._options.max_retries, time.monotonic() - started)

    def contention_stats(self) -> tuple[int, int]:
        """How often the lock was asked for, and how often again after a timeout."""
        return self._attempts, self._retries

    def close(self) -> None:
        """Close the descriptor; the next append opens another."""
        with self._mutex:
            self._forget()

    def __del__(self) -> None:
        self._forget()

    def _attempt(self, prepared: list[_Prepared], key: str | None) -> list[Message] | None:
        """Append under the lock; None where it was not to be had in time."""
        to_flush = -1
        if not self._mutex.acquire(timeout=self._lock_timeout):
            return None
        try:
            try:
                messages = self._append_locked(prepared, key)
                if messages and self._options.fsync:
                    to_flush = self._descriptor_to_flush(messages)
            finally:
                if self._fd >= 0:
                    lock.release(self._fd)
        finally:
            self._mutex.release()
        if messages and to_flush >= 0:
            self._make_durable(to_flush, messages)
        return messages

    def _descriptor_to_flush(self, messages: list[Message]) -> int:
        """A descriptor that stays on this file, even when another thread reopens the bus."""
        try:
            return os.dup(self._fd)
        except OSError as error:
            raise self._not_durable(messages, error) from error

    def _append_locked(self, prepared: list[_Prepared], key: str | None) -> list[Message] | None:
        may_rotate = self._options.auto_rotate_bytes > 0
        self._rests = 0
        messages: list[Message] = []
        while True:
            status = self._lock()
            if status is None:
                return None
            if messages and Reader(self._path).get(messages[-1].msg_id):
                return messages  # the editor that saved the file had read them already
            if key is not None and (first := self._keys.find(key, _now_ms())):
                return [stored_under_key(prepared[0][0], first)]
            if may_rotate and status.st_size >= self._options.auto_rotate_bytes:
                may_rotate = False
                self._rotate()
                continue
            messages = self._write(prepared, status)
            if self._left is not None:
                return messages
            # An editor saves the file: on to what is there now.

    def _lock(self) -> os.stat_result | None:
        """Lock the file at the path, and be sure that it still is there; None: no lock."""
        while True:
            if self._fd < 0:
                self._fd = open_to_append(self._path)
                opened = os.fstat(self._fd)
                self._inode, self._device = opened.st_ino, opened.st_dev
                self._opened += 1
            try:
                if not lock.acquire(self._fd, self._path, self._lock_timeout, self._backoff):
                    return None
            except BaseException:
                self._forget()  # nothing is locked, so there is nothing to unlock
                raise
            status = self._status()
            if status:
                return status
            self._let_go()

    def _status(self) -> os.stat_result | None:
        """The file at the path, if it is the one that we have open. Raises InvalidBusPathError where it is,
        and has no name left: what is written to it would be lost with the mount that keeps it there."""
        try:
            status = os.lstat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if status.st_ino != self._inode or status.st_dev != self._device:
            return None
        if not status.st_nlink:
            raise InvalidBusPathError(segments.nameless(self._path))
        return status

    def _let_go(self) -> None:
        """Unlock and close the file. To close is not enough: a copy of the descriptor, in a flush
        of another thread or in a forked child, would keep the lock."""
        lock.release(self._fd)
        self._forget()

    def _forget(self) -> None:
        """Close the descriptor."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _rotate(self) -> None:
        """Make the live file an archive; whoever waits for its lock will find out.

        With fsync it lasts, under its new name, before there is a new file: what others wrote
        without a flush may be the answer to an idempotency key.
        """
        if self._options.fsync:
            _flush(self._fd)
        try:
            os.rename(self._path, segments.next_archive(self._path, datetime.now(UTC)))
        except (OSError, OverflowError) as error:  # an archive of the year 9999 leaves no later name
            warnings.warn(f"could not rotate {self._path}: {error}; it grows on", RuntimeWarning, stacklevel=2)
            return
        if self._options.fsync:
            segments.flush_directory(self._path)
        self._let_go()

    def _write(self, prepared: list[_Prepared], status: os.stat_result) -> list[Message]:
        """Number the records and write them at once. Leaves ``_left`` None where an editor saved
        the file meanwhile, or perhaps is about to."""
        now_ms, now = _now_ms(), datetime.now(UTC)
        left, size = self._left, status.st_size
        if left and size == self._end and left.st_mtime_ns == status.st_mtime_ns and left.st_ino == status.st_ino:
            last_id, keep, glue = self._last_id, size, b"\n"  # nobody was here since
        else:
            last_id, keep, glue = self._seam(status)
            if (keep < size or glue == _UNENDED) and self._let_rest(status):
                return []
        if keep < size:
            self._cut(keep)
        stamp = format_time(now)
        records, messages = [], []
        for draft, ts, rest in prepared:
            last_id = next_msg_id(last_id, now_ms, self._random_bytes)
            message = message_from(draft, last_id, ts or now)
            if message.issue_id != draft.issue_id:  # an ISSUE, which has its own id in its header
                rest = codec.encode_rest(message)  # noqa: PLW2901 - only now it can be known
            records.append(codec.encode_stamped(last_id, format_time(ts) if ts else stamp, rest))
            messages.append(message)
        data = glue + b"\n".join(records)
        self._left, self._last_id, self._end = self._write_all(data, keep), last_id, keep + len(data)
        return messages

    def _let_rest(self, status: os.stat_result) -> bool:
        """Wait until nobody has touched the file for a moment; False where that is so already. An end that
        looks like the work of a crash may be that of an editor, which saves a long file piece by piece."""
        age = time.time() - status.st_mtime
        if not 0 <= age < _REST or self._rests == _MOST_RESTS:
            return False
        time.sleep(_REST - age)
        self._rests += 1
        self._left = None
        return True

    def _random_bytes(self, n: int) -> bytes:
        """``os.urandom``, fetched a page at a time: a call costs as much as all the rest of an id."""
        start = self._drawn
        if start + n > len(self._randomness):
            self._randomness, start = os.urandom(_RANDOM_PAGE), 0
        self._drawn = start + n
        return self._randomness[start : start + n]

    def _write_all(self, data: bytes, size: int) -> os.stat_result | None:
        """One write, and the file as it then is at the path; None where it is another, or has another
        size than we gave it. What is not written whole is taken back, and so is what went nobody
        knows where."""
        try:
            written = os.write(self._fd, data)
            if written == len(data):
                status = self._status()
                return status if status and status.st_size == size + written else None
        except (OSError, InvalidBusPathError) as error:
            self._take_back(size, error)
            raise
        reason = f"only {written:,} of {len(data):,} bytes could be written, and were taken back"
        short = OSError(errno.ENOSPC, reason, self._path)
        self._take_back(size, short)
        raise short

    def _take_back(self, size: int, reason: Exception) -> None:
        """Cut off what was written; the next writer heals what cannot be."""
        try:
            self._cut(size)
        except OSError as error:
            code, why = (reason.errno, reason.strerror) if isinstance(reason, OSError) else (error.errno, reason)
            text = f"{why}; what was written could not be taken back ({error.strerror})"
            raise OSError(code, f"{text}: look before you post it again", self._path) from reason

    def _cut(self, size: int) -> None:
        """Truncate the file, for good: after a loss of power, a block of what was cut off could stand in
        the middle of what was written in its place, and together they could pass for a whole record."""
        os.ftruncate(self._fd, size)
        _flush(self._fd)

    def _seam(self, status: os.stat_result) -> codec.AppendPoint:
        """How the next record joins the file; reads only what others wrote since last time."""
        left, size = self._left, status.st_size
        if left and left.st_ino == status.st_ino and self._end < size:
            seam = append_point(self._fd, self._end - 1, size)  # from the end of our last line
            if seam.last_id:
                return self._behind_ours(seam)
        seam = append_point(self._fd, 0, size)
        return self._behind_ours(seam._replace(last_id=seam.last_id or last_archived_id(self._path)))

    def _behind_ours(self, seam: codec.AppendPoint) -> codec.AppendPoint:
        """Ours increase, too, where a foreign record, whose clock may be any, stands between; and where
        our last was deleted since: its successor must not be it again, as somebody may stand there."""
        last_id = seam.last_id
        if last_id and is_own(last_id):
            if last_id > (self._last_id or ""):
                return seam  # as ever
        elif last_id:
            low = max(seam.keep - WINDOW, 0)
            data = os.pread(self._fd, seam.keep - low, low)
            last_id = later(last_id, codec.last_own_id(data, whole_file=low == 0))
        return seam._replace(last_id=later(last_id, self._last_id))

    def _make_durable(self, fd: int, messages: list[Message]) -> None:
        """Flush after unlocking: writers that wait for the lock then share one flush."""
        for _ in range(_YIELDS_BEFORE_FLUSH):
            os.sched_yield()  # who is about to write gets into this flush, not into the next
        try:
            _flush(fd)
            self._flush_name()
        except OSError as error:
            raise self._not_durable(messages, error) from error
        finally:
            os.close(fd)

    def _not_durable(self, messages: list[Message], error: OSError) -> DurabilityError:
        ids = tuple(message.msg_id for message in messages)
        return DurabilityError(self._path, ids, error.strerror or str(error))

    def _flush_name(self) -> None:
        """Make the name of the file last, and that of an archive; once each time that it is opened, since a
        new file may have the inode of one that is gone."""
        opened = self._opened
        if self._name_flushed != opened:
            segments.flush_directory(self._path)
            self._name_flushed = opened


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


_appenders: weakref.WeakSet[Appender] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """A descriptor that parent and child share is one lock owner: the child takes its own."""
    for appender in _appenders:
        with suppress(OSError):  # another thread was closing it just now
            appender.reset()


os.register_at_fork(after_in_child=_after_fork_in_child)
