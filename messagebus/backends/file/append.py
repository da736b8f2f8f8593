"""Appending, in the order of SPEC.md section 6. The safety of the log rests on that order.

    1   open the file                       LiveFile.lock
    2   lock it                             LiveFile.lock
    3   make sure that it is at the path    LiveFile.lock
        look up the idempotency key         KeyIndex, searched without the lock; SPEC.md section 13
    4   rotate it, if it is due             Appender._rotate
    5   recover its end                     Appender._recovered_end
    6   make the ids and the records        Appender._records
    7   write once                          LiveFile.write
    8   make sure that it is at the path    LiveFile.write
    9   unlock it                           LiveFile.unlock
    10  flush it, if ``fsync`` is on        durability.flush

``_append_in_steps`` takes them one after another. ``_append_at_once`` does what is left of them where the lock is free
and no one else has written, in three quarters of the time.
An append remembers how it left the file (``LiveFile.left``), so that the next one reads only what others have added.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
import weakref
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from messagebus import codec
from messagebus.backends.file import durability, live_file, lock, segments
from messagebus.backends.file.live_file import LiveFile
from messagebus.backends.file.randomness import Randomness
from messagebus.backends.file.tail import end_of_log
from messagebus.errors import LockTimeoutError
from messagebus.message import Draft, Message, message_from
from messagebus.msgid import next_msg_id
from messagebus.timestamps import format_time, in_utc

if TYPE_CHECKING:
    from messagebus.backends.file import AppendOptions
    from messagebus.backends.file.idempotency import KeyIndex

_LINE_END_MISSING = b"\n\n"  # the separator after a last line that has no line end
_SETTLED_AFTER = 0.02  # seconds without a change, after which no editor is in the middle of saving
_MAX_WAITS = 50  # of that length, in one append
_MOST_SEARCHES = 3  # for a key without the lock, while others write much; then one with it

# A draft, its time in UTC, and its record as far as it is known before the id.
_Prepared = tuple[Draft, datetime | None, bytes]


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
        self._last_id: str | None = None  # the last that this appender made: the log may no longer hold it
        self.__dict__.pop("_keys", None)
        self._randomness = Randomness()

    def append(self, drafts: Sequence[Draft], idempotency_key: str | None = None) -> list[Message]:
        """Store ``drafts`` (at least one), all or none. Raises LockTimeoutError, DurabilityError, InvalidBusPathError,
        OSError; InvalidMessageError for a header over its limit, IdempotencyConflictError for a key that is taken."""
        prepared = [(draft, draft.ts and in_utc(draft.ts), codec.encode_rest(draft)) for draft in drafts]
        started, attempts = time.monotonic(), 0
        while True:
            try:
                messages = self._attempt(prepared, idempotency_key)
            except OSError as error:
                segments.add_filename(error, self._path)
                raise
            if messages is not None:
                return messages
            attempts += 1
            self._back_off(attempts, started)

    def contention_stats(self) -> tuple[int, int]:
        """(attempts, retries): how often the lock was requested, and how often again after a timeout."""
        return self._attempts, self._retries

    def close(self) -> None:
        """Close the descriptor; a later append opens another."""
        with self._mutex:
            self._file.close()

    def __del__(self) -> None:
        self._file.close()

    def _back_off(self, attempts: int, started: float) -> None:
        """Wait before the next attempt. Raises LockTimeoutError where there is none left."""
        if attempts == self._options.max_retries:
            raise LockTimeoutError(self._path, attempts, time.monotonic() - started)
        time.sleep(self._options.retry_backoff * 2 ** (attempts - 1))
        self._retries += 1

    def _attempt(self, prepared: list[_Prepared], key: str | None) -> list[Message] | None:
        """All ten steps; None if the lock could not be acquired in time."""
        to_flush = -1
        self._attempts += 1
        if not self._mutex.acquire(blocking=False) and not self._mutex.acquire(timeout=self._lock_timeout):
            return None
        try:
            try:
                messages = self._append_locked(prepared, key)
                if messages and self._options.fsync:
                    with durability.reporting(self._path, messages):
                        to_flush = os.dup(self._file.fd)  # stays on this file, even if another thread reopens the bus
            finally:
                self._file.unlock()
        finally:
            self._mutex.release()
        if messages and to_flush >= 0:
            durability.flush(to_flush, self._file, messages)
        return messages

    def _append_locked(self, prepared: list[_Prepared], key: str | None) -> list[Message] | None:
        """Steps 1 to 8; None if the lock could not be acquired in time."""
        if len(prepared) > 1:
            return self._append_in_steps(prepared, key, [])
        message = self._append_at_once(*prepared[0], key)
        if message and self._file.left:
            return [message]
        return self._append_in_steps(prepared, key, [message] if message else [])

    def _append_in_steps(
        self, prepared: list[_Prepared], key: str | None, superseded: list[Message]
    ) -> list[Message] | None:
        """The same, whatever is in the way. ``superseded`` were written, but an editor saved the file meanwhile."""
        may_rotate = self._options.auto_rotate_bytes > 0
        waits = searches = 0
        while True:
            status = self._file.lock(self._lock_timeout, self._backoff)
            if status is None:
                return None
            if superseded and self._is_stored(superseded[-1]):
                return superseded  # the editor had read them before it saved
            if key is not None:
                if not self._knows(key, status, may_unlock=searches < _MOST_SEARCHES):
                    searches += 1
                    continue
                if first := self._keys.answer(key, prepared[0][0], _now_ms(), self._file.fd):
                    return [first]
            if may_rotate and status.st_size >= self._options.auto_rotate_bytes:
                may_rotate = False
                self._rotate()
                continue
            point = self._recovered_end(status, may_wait=waits < _MAX_WAITS)
            if point is None:
                waits += 1
                continue
            end, separator = point
            records, messages = self._records(prepared, separator)
            if self._file.write(records, end):
                return messages
            superseded = messages

    def _knows(self, key: str, status: os.stat_result, *, may_unlock: bool) -> bool:
        """Can ``key`` be answered now? Else search for it: without the lock, to be taken again then, or with it."""
        if self._keys.is_ready(key, _now_ms(), self._file.fd, status):
            return True
        if may_unlock:
            self._file.unlock()
        self._keys.search(key, _now_ms())
        return not may_unlock

    @cached_property
    def _keys(self) -> KeyIndex:
        from messagebus.backends.file.idempotency import KeyIndex  # most posts have no key

        return KeyIndex(self._path)

    def _is_stored(self, message: Message) -> bool:
        from messagebus.backends.file.read import Reader  # a post needs no decoder

        return Reader(self._path).get(message.msg_id) is not None

    def _append_at_once(self, draft: Draft, ts: datetime | None, rest: bytes, key: str | None) -> Message | None:
        """Steps 1 to 8 for one message where nothing is in the way, as is nearly always so. It is written if
        ``LiveFile.left`` is set then, else superseded.

        None, and nothing is written, where anything else must be done; the lock may be held then.
        """
        status = self._file.try_lock()
        if status is None or 0 < self._options.auto_rotate_bytes <= status.st_size:
            return None
        if not self._file.is_as_left(status) and not self._is_whole(status):
            return None
        if key is not None and not self._keys.lacks(key, _now_ms(), self._file.fd, status):
            return None
        now = datetime.now(UTC)
        msg_id = next_msg_id(self._last_id, _now_ms(), self._randomness.draw)
        message = message_from(draft, msg_id, ts or now)
        if message.issue_id != draft.issue_id:
            return None
        self._last_id = msg_id
        self._file.write(b"\n" + codec.encode_opening(msg_id, format_time(message.ts)) + rest, status.st_size)
        if key is not None and self._file.left:
            self._keys.wrote(key, self._file.left)
        return message

    def _is_whole(self, status: os.stat_result) -> bool:
        """Have other writers only added records, and finished the last one? Its id is then the last."""
        last_id = codec.id_of_whole_end(self._file.added(status))
        if last_id is None or last_id < (self._last_id or ""):
            return False
        self._last_id = last_id
        return True

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

    def _recovered_end(self, status: os.stat_result, *, may_wait: bool) -> tuple[int, bytes] | None:
        """Step 5: where the next record goes, and what must separate it from what is there; nothing unfinished is
        left after that. None if an editor may be in the middle of saving the file."""
        size = status.st_size
        if self._file.is_as_left(status):
            return size, b"\n"
        known = self._file.known_size(status)
        self._last_id, end, separator = end_of_log(self._path, self._file.fd, size, known, self._last_id)
        is_unfinished = end < size or separator == _LINE_END_MISSING
        if is_unfinished and may_wait and _wait_until_settled(status):
            self._file.left = None
            return None
        if end < size:
            self._file.truncate(end)
        return end, separator

    def _records(self, prepared: list[_Prepared], separator: bytes) -> tuple[bytes, list[Message]]:
        """Step 6: the records, each with its id and with a separator before it, and the messages that they hold."""
        now_ms, now = _now_ms(), datetime.now(UTC)
        parts: list[bytes] = []
        messages = []
        for draft, ts, rest in prepared:
            self._last_id = msg_id = next_msg_id(self._last_id, now_ms, self._randomness.draw)
            message = message_from(draft, msg_id, ts or now)
            if message.issue_id != draft.issue_id:  # an ISSUE without one, whose id is only known now
                rest = codec.encode_rest(message)  # noqa: PLW2901 - replaces what was known before
            parts += separator, codec.encode_opening(msg_id, format_time(message.ts)), rest
            messages.append(message)
            separator = b"\n"
        return b"".join(parts), messages


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
