"""Appending, in the order of SPEC.md section 6. The safety of the log rests on that order.

    1   open the file                       LiveFile.lock
    2   lock it                             LiveFile.lock
    3   make sure that it is at the path    LiveFile.lock
        look up the idempotency key         KeyIndex.answer, SPEC.md section 13
    4   rotate it, if it is due             Appender._rotate
    5   recover its end                     Appender._append_point
    6   make the ids and the records        Appender._records
    7   write once                          LiveFile.write
    8   make sure that it is at the path    LiveFile.write
    9   unlock it                           LiveFile.unlock
    10  flush it, if ``fsync`` is on        Appender._make_durable

An append remembers how it left the file (``_Tail``), so that the next one reads only what others have added.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from messagebus import codec
from messagebus.backends.file import live_file, lock, segments
from messagebus.backends.file.idempotency import KeyIndex
from messagebus.backends.file.live_file import LiveFile
from messagebus.backends.file.randomness import Randomness
from messagebus.backends.file.read import Reader
from messagebus.backends.file.tail import append_point, last_archived_id, last_own_id
from messagebus.errors import DurabilityError, LockTimeoutError
from messagebus.message import Draft, Message, format_time, in_utc, message_from
from messagebus.msgid import is_own, later, next_msg_id

if TYPE_CHECKING:
    from messagebus.backends.file import AppendOptions

_LINE_END_MISSING = b"\n\n"  # the separator after a last line that has no line end
_SETTLED_AFTER = 0.02  # seconds without a change, after which no editor is in the middle of saving
_MAX_WAITS = 50  # of that length, in one append
_YIELDS_BEFORE_FLUSH = 10

# A draft, its time in UTC, and its record as far as it is known before the id.
_Prepared = tuple[Draft, datetime | None, bytes]


class _Tail(NamedTuple):
    """The live file as this appender left it, and where its last record ends."""

    status: os.stat_result
    end: int

    def is_unchanged(self, now: os.stat_result) -> bool:
        """Has no other process written to the file since?"""
        was = self.status
        return now.st_size == self.end and now.st_mtime_ns == was.st_mtime_ns and now.st_ino == was.st_ino


class _Written(NamedTuple):
    """The records are in the file."""

    messages: list[Message]


class _Superseded(NamedTuple):
    """The records were written, but an editor saved the file meanwhile: its text may hold them, or not."""

    messages: list[Message]


class _Unsettled(NamedTuple):
    """Nothing was written: an editor may be in the middle of saving the file."""


_Outcome = _Written | _Superseded | _Unsettled


class Appender:
    """Appends to the log at one path. Threads may share it; a fork gets its own descriptor."""

    def __init__(self, path: str, options: AppendOptions) -> None:
        self._path = path
        self._options = options
        self._lock_timeout = min(options.lock_timeout, threading.TIMEOUT_MAX)
        self._backoff = lock.EAGER if options.fsync else lock.RELAXED
        self._attempts = self._retries = 0
        self._file = LiveFile(path)
        self.reset()
        _appenders.add(self)

    def reset(self) -> None:
        """Take a descriptor, a mutex and randomness of its own, as a forked child must."""
        with suppress(OSError):  # the rest must be reset in any case: the mutex may be locked for ever
            self._file.close()
        self._file = LiveFile(self._path, make_directories=self._options.make_directories)
        self._mutex = threading.Lock()
        self._tail: _Tail | None = None
        self._last_id: str | None = None  # the last that this appender made: the log may no longer hold it
        self._keys = KeyIndex(self._path)
        self._randomness = Randomness()

    def append(self, drafts: Sequence[Draft], idempotency_key: str | None = None) -> list[Message]:
        """Store ``drafts`` (at least one), all or none. Raises LockTimeoutError, DurabilityError, InvalidBusPathError,
        OSError; InvalidMessageError for a header over its limit, IdempotencyConflictError for a key that is taken."""
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
            if messages is not None:
                return messages
        raise LockTimeoutError(self._path, self._options.max_retries, time.monotonic() - started)

    def contention_stats(self) -> tuple[int, int]:
        """(attempts, retries): how often the lock was requested, and how often again after a timeout."""
        return self._attempts, self._retries

    def close(self) -> None:
        """Close the descriptor; a later append opens another."""
        with self._mutex:
            self._file.close()

    def __del__(self) -> None:
        self._file.close()

    def _attempt(self, prepared: list[_Prepared], key: str | None) -> list[Message] | None:
        """All ten steps; None if the lock could not be acquired in time."""
        to_flush = -1
        if not self._mutex.acquire(timeout=self._lock_timeout):
            return None
        try:
            try:
                messages = self._append_locked(prepared, key)
                if messages and self._options.fsync:
                    with self._reporting_durability(messages):
                        to_flush = os.dup(self._file.fd)  # stays on this file, even if another thread reopens the bus
            finally:
                self._file.unlock()
        finally:
            self._mutex.release()
        if messages and to_flush >= 0:
            self._make_durable(to_flush, messages)
        return messages

    def _append_locked(self, prepared: list[_Prepared], key: str | None) -> list[Message] | None:
        """Steps 1 to 8; None if the lock could not be acquired in time."""
        may_rotate = self._options.auto_rotate_bytes > 0
        superseded: list[Message] = []
        waits = 0
        while True:
            status = self._file.lock(self._lock_timeout, self._backoff)
            if status is None:
                return None
            if superseded and Reader(self._path).get(superseded[-1].msg_id):
                return superseded  # the editor had read the records before it saved
            if key is not None and (first := self._keys.answer(key, prepared[0][0], _now_ms())):
                return [first]
            if may_rotate and status.st_size >= self._options.auto_rotate_bytes:
                may_rotate = False
                self._rotate()
                continue
            outcome = self._write(prepared, status, may_wait=waits < _MAX_WAITS)
            if isinstance(outcome, _Written):
                return outcome.messages
            if isinstance(outcome, _Superseded):
                superseded = outcome.messages
            else:
                waits += 1

    def _rotate(self) -> None:
        """Step 4: make the live file an archive. Writers that wait for its lock notice in step 3.

        With ``fsync`` the archive is durable, under its new name, before there is a new file: a message that
        another writer stored without a flush may be the answer to an idempotency key.
        """
        if self._options.fsync:
            live_file.flush(self._file.fd)
        try:
            os.rename(self._path, segments.next_archive(self._path, datetime.now(UTC)))
        except (OSError, OverflowError) as error:  # no name is later than an archive of the year 9999
            text = f"could not rotate {self._path}: {error}; continuing without rotation"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
            return
        if self._options.fsync:
            segments.flush_directory(self._path)
        self._file.unlock_and_close()

    def _write(self, prepared: list[_Prepared], status: os.stat_result, *, may_wait: bool) -> _Outcome:
        """Steps 5 to 8."""
        size = status.st_size
        if self._tail and self._tail.is_unchanged(status):
            last_id, truncate_to, separator = self._last_id, size, b"\n"
        else:
            last_id, truncate_to, separator = self._append_point(status)
            is_unfinished = truncate_to < size or separator == _LINE_END_MISSING
            if is_unfinished and may_wait and _wait_until_settled(status):
                self._tail = None
                return _Unsettled()
        if truncate_to < size:
            self._file.truncate(truncate_to)
        records, messages = self._records(prepared, last_id)
        data = separator + records
        after = self._file.write(data, truncate_to)
        self._last_id = messages[-1].msg_id
        self._tail = _Tail(after, truncate_to + len(data)) if after else None
        return _Written(messages) if after else _Superseded(messages)

    def _append_point(self, status: os.stat_result) -> codec.AppendPoint:
        """Step 5: where the next record goes. Reads only what other writers have added, if that is enough."""
        tail, size = self._tail, status.st_size
        if tail and tail.status.st_ino == status.st_ino and tail.end < size:
            point = append_point(self._file.fd, tail.end - 1, size)  # from the line end of our last record
            if point.last_id:
                return self._after_own_ids(point)
        point = append_point(self._file.fd, 0, size)
        return self._after_own_ids(point._replace(last_id=point.last_id or last_archived_id(self._path)))

    def _after_own_ids(self, point: codec.AppendPoint) -> codec.AppendPoint:
        """Never go below our own last id: a foreign record may carry an earlier time, and a deleted id
        must not be made again, since a reader may have it as its cursor."""
        last_id = point.last_id
        if last_id and is_own(last_id):
            if last_id > (self._last_id or ""):
                return point
        elif last_id:
            last_id = later(last_id, last_own_id(self._file.fd, point.truncate_to))
        return point._replace(last_id=later(last_id, self._last_id))

    def _records(self, prepared: list[_Prepared], last_id: str | None) -> tuple[bytes, list[Message]]:
        """Step 6: the records, each with its id, and the messages that they hold."""
        now_ms, now = _now_ms(), datetime.now(UTC)
        stamp = format_time(now)
        records, messages = [], []
        for draft, ts, encoded in prepared:
            last_id = next_msg_id(last_id, now_ms, self._randomness.draw)
            message = message_from(draft, last_id, ts or now)
            if message.issue_id != draft.issue_id:  # an ISSUE without one, whose id is only known now
                encoded = codec.encode_rest(message)  # noqa: PLW2901 - replaces what was known before
            records.append(codec.encode_stamped(last_id, format_time(ts) if ts else stamp, encoded))
            messages.append(message)
        return b"\n".join(records), messages

    @contextmanager
    def _reporting_durability(self, messages: list[Message]) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            ids = tuple(message.msg_id for message in messages)
            raise DurabilityError(self._path, ids, error.strerror or str(error)) from error

    def _make_durable(self, fd: int, messages: list[Message]) -> None:
        """Step 10, after unlocking, so that writers that wait for the lock share one flush."""
        for _ in range(_YIELDS_BEFORE_FLUSH):
            os.sched_yield()  # a writer that is about to write then shares this flush
        try:
            with self._reporting_durability(messages):
                live_file.flush(fd)
                self._file.flush_name()
        finally:
            os.close(fd)


def _wait_until_settled(status: os.stat_result) -> bool:
    """Wait until the file has not changed for a moment; False if it has not for long enough already. An end that
    looks like that of a crash may be that of an editor, which saves a long file piece by piece."""
    age = time.time() - status.st_mtime
    if not 0 <= age < _SETTLED_AFTER:
        return False
    time.sleep(_SETTLED_AFTER - age)
    return True


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


_appenders: weakref.WeakSet[Appender] = weakref.WeakSet()


def _reset_in_child() -> None:
    """A descriptor that parent and child share is one lock owner: the child takes its own."""
    for appender in _appenders:
        appender.reset()


os.register_at_fork(after_in_child=_reset_in_child)
