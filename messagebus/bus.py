"""MessageBus, the class that callers use: validation, cursors and following, over any backend."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from functools import cache
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any

from messagebus.backends.base import Backend
from messagebus.errors import GapWarning, InvalidBusPathError
from messagebus.follow import Follower, wait_for_change
from messagebus.message import MAX_BODY_BYTES, Draft, Message
from messagebus.validation import validate_draft

if TYPE_CHECKING:
    from messagebus.filters import Filter


class MessageBus:
    """A log of messages in one Markdown file (SPEC.md), or in another backend.

    ``path`` is the bus file, which need not exist yet, or a ``Backend`` such as
    ``MemoryBackend()``. Threads may share a bus object, and after a fork both processes may
    use it. A bus holds one descriptor open after an append; ``close()`` it, or use it as a
    context manager.

    lock_timeout: seconds that one attempt waits for the lock (0: only a few tries).
    poll_interval: seconds between two checks of the file while following, where there are no
        file events; also the longest time until ``stop`` is noticed.
    max_retries: attempts in all before LockTimeoutError. retry_backoff: seconds before the
        second attempt; doubled before each further one.
    fsync: flush each append to disk before returning.
    auto_rotate_bytes: size from which the file becomes an archive; 0: never.
    make_directories: create missing directories of the file when a valid message is appended.
    max_body_bytes: the longest body that is accepted, in bytes of UTF-8.

    Raises InvalidBusPathError for a path that cannot name a file, ValueError for an option
    out of range.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Backend,
        *,
        lock_timeout: float = 10.0,
        poll_interval: float = 0.2,
        max_retries: int = 3,
        retry_backoff: float = 0.1,
        fsync: bool = False,
        auto_rotate_bytes: int = 0,
        make_directories: bool = False,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        for name, value, least in (
            ("lock_timeout", lock_timeout, 0),
            ("max_retries", max_retries, 1),
            ("retry_backoff", retry_backoff, 0),
            ("auto_rotate_bytes", auto_rotate_bytes, 0),
            ("max_body_bytes", max_body_bytes, 0),
        ):
            if not value >= least:
                raise ValueError(f"{name} is {value}; it must be {least} or more")
        if not poll_interval > 0:
            raise ValueError(f"poll_interval is {poll_interval}; it must be more than 0 seconds")
        self._poll_interval = poll_interval
        #: The longest body that is accepted, in bytes.
        self.max_body_bytes = max_body_bytes
        self._backend: Backend
        self._opened_by: object = path
        if isinstance(path, str | os.PathLike):
            from messagebus.backends.file import AppendOptions, FileBackend  # other backends do not need them

            options = AppendOptions(
                lock_timeout, max_retries, retry_backoff, fsync, auto_rotate_bytes, make_directories
            )
            self._opened_by = _absolute(os.fspath(path))
            self._backend = FileBackend(self._opened_by, options)
        elif hasattr(path, "append"):
            self._backend = path
        else:
            raise TypeError(f"a bus is opened by the path of its file or by a Backend, not {path!r:.60}")
        self._backend_filters = getattr(self._backend, "filters", False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._opened_by!r})"

    def check_message(self, draft: Draft) -> None:
        """Raise the InvalidMessageError that appending ``draft`` would raise; store nothing."""
        validate_draft(draft, self.max_body_bytes)

    def append_message(self, draft: Draft, *, idempotency_key: str | None = None) -> Message:
        """Store one message and return it as the log holds it.

        With ``idempotency_key``, a repeated call within 24 hours stores nothing and returns
        the first message; other content under the same key raises IdempotencyConflictError.

        Raises InvalidMessageError and InvalidBusPathError (nothing written),
        LockTimeoutError (nothing written, retryable), DurabilityError (written, not flushed),
        OSError (what was written was removed again).
        """
        self.check_message(draft)
        if idempotency_key is not None:
            draft = _with_key()(draft, idempotency_key)
        return self._backend.append((draft,), idempotency_key=idempotency_key)[0]

    def append_messages(self, drafts: Sequence[Draft]) -> list[Message]:
        """Store several messages under one lock and in one write: all of them or, on an error, none.

        No other message comes between them. If the writer is killed, a whole prefix of
        them may remain. Raises what ``append_message`` raises.
        """
        drafts = list(drafts)
        for draft in drafts:
            self.check_message(draft)
        return self._backend.append(drafts)

    def read_messages(
        self,
        since_id: str | None = None,
        *,
        limit: int | None = None, first: int | None = None,
        types: Collection[str] | None = None, run_id: str | None = None, parent: str | None = None,
        issue_id: str | None = None, sender: str | None = None, meta: Mapping[str, str] | None = None,
        start: datetime | None = None, end: datetime | None = None, text: str | None = None,
    ) -> list[Message]:  # fmt: skip
        """The messages after ``since_id`` (None: from the beginning) that match, oldest first.

        A message matches if all that is given holds: its type is one of ``types`` (in upper or
        lower case), its run is ``run_id`` ("": none), ``parent`` is the id of one of its parents,
        its issue is ``issue_id``, its ``meta.from`` is ``sender`` ("": none), ``meta`` is in its meta,
        its time lies from ``start`` up to, and not at, ``end`` (aware datetimes), and its body
        contains ``text`` (in upper or lower case).

        ``limit`` keeps the newest so many of them, ``first`` the oldest: to page, give ``first``
        and continue from the last id. Raises SinceIDNotFoundError, InvalidBusPathError,
        ValueError, TypeError for ``types`` that is a single text.
        """
        if limit is not None and first is not None:
            raise ValueError("give limit (the newest) or first (the oldest), not both")
        if min(limit or 0, first or 0) < 0:
            raise ValueError("limit and first count messages: 0 or more")
        wanted = _wanted(types=types, run_id=run_id, parent=parent, issue_id=issue_id,
                         sender=sender, meta=meta, start=start, end=end, text=text)  # fmt: skip
        if limit is not None and since_id is None and (self._backend_filters or not wanted):
            return self._backend.tail(limit, *wanted)
        with closing(self._read(since_id, *wanted)) as messages:
            if first == 0:
                next(messages, None)  # so that an unknown since_id is refused here too
            return list(islice(messages, first) if limit is None else deque(messages, limit))

    def iter_messages(
        self,
        since_id: str | None = None,
        *,
        types: Collection[str] | None = None, run_id: str | None = None, parent: str | None = None,
        issue_id: str | None = None, sender: str | None = None, meta: Mapping[str, str] | None = None,
        start: datetime | None = None, end: datetime | None = None, text: str | None = None,
    ) -> Generator[Message, None, None]:  # fmt: skip
        """Like ``read_messages``, one after another and in constant memory."""
        wanted = _wanted(types=types, run_id=run_id, parent=parent, issue_id=issue_id,
                         sender=sender, meta=meta, start=start, end=end, text=text)  # fmt: skip
        return self._read(since_id, *wanted)

    def iter_stored(self, since_id: str | None = None) -> Generator[tuple[Message, bytes], None, None]:
        """Like ``iter_messages``, each message with its bytes as they are in the file.

        Joined by blank lines, they are a bus file again.
        """
        return self._backend.read_stored(since_id)

    def get_message(self, msg_id: str) -> Message | None:
        """The message with this id, None if the log does not hold it. As fast as a cursor."""
        found = self._backend.get(msg_id)
        return found[0] if found else None

    def get_stored(self, msg_id: str) -> bytes:
        """The bytes of this message as they are in the file; empty if there is none."""
        found = self._backend.get(msg_id)
        return found[1] if found else b""

    def read_last_n(self, n: int) -> list[Message]:
        """The newest ``n`` messages, oldest first; reads only as much of the file as needed.

        An empty list for 0. Raises ValueError for a negative number.
        """
        return self.read_messages(limit=n)

    def last_id(self) -> str | None:
        """The id of the newest message, None in an empty log."""
        newest = self._backend.tail(1)
        return newest[0].msg_id if newest else None

    def poll_for_new(self, last_id: str | None, *, timeout: float | None = None) -> list[Message]:
        """Wait until there are messages after ``last_id``, and return all of them.

        An empty list after ``timeout`` seconds (None: wait for ever). Raises
        SinceIDNotFoundError.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with closing(self._backend.watch()) as watch:
            while True:
                mark = watch.mark()
                if messages := self.read_messages(last_id):
                    return messages
                if not wait_for_change(watch, mark, self._poll_interval, deadline=deadline):
                    return []

    def follow(
        self,
        since_id: str | None = None,
        *,
        stop: threading.Event | None = None,
        on_gap: Callable[[GapWarning], object] = warnings.warn,
    ) -> Generator[Message, None, None]:
        """Every message after ``since_id``, and then each new one as it comes, for ever.

        Waits for a log that does not exist yet, and continues through rotations, and through
        edits that leave ids as they are. Ends at most ``poll_interval`` after ``stop`` is set;
        close the iterator to end it earlier. If the message that was delivered last is removed
        from the log, ``on_gap`` is called before the next one. Raises SinceIDNotFoundError if
        the log does not hold ``since_id`` at the start.
        """
        follower = Follower(self._backend, since_id, on_gap)
        with closing(self._backend.watch()) as watch:
            messages = follower.start()
            while True:
                mark = watch.mark()
                for message in messages:
                    if stop and stop.is_set():
                        return
                    yield message
                if not wait_for_change(watch, mark, self._poll_interval, stop=stop):
                    return
                messages = follower.resume()

    @property
    def unfinished(self) -> bool:
        """Did the last read withhold an unfinished record at the end of the log (one that is being
        written, that a crash cut off, or that an editor shortened)?"""
        return self._backend.unfinished

    def contention_stats(self) -> tuple[int, int]:
        """(attempts, retries): how often this object requested the lock, and how many of these
        requests followed a timeout."""
        return self._backend.contention_stats()

    def close(self) -> None:
        """Close the descriptor; a later append opens it again."""
        self._backend.close()

    def __enter__(self) -> MessageBus:
        return self

    def __exit__(
        self, type_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, since_id: str | None, wanted: Filter | None = None) -> Generator[Message, None, None]:
        if wanted is None:
            return self._backend.read(since_id)
        if self._backend_filters:
            return self._backend.read(since_id, wanted)
        return _filtered(self._backend.read(since_id), wanted)


@cache
def _with_key() -> Callable[[Draft, str], Draft]:
    from messagebus.idempotency import with_key  # most calls have no key

    return with_key


def _filtered(messages: Generator[Message, None, None], wanted: Filter) -> Generator[Message, None, None]:
    with closing(messages):
        yield from filter(wanted.matches, messages)


def _wanted(**given: Any) -> tuple[Filter] | tuple[()]:
    """The condition that a message must fulfil; nothing if every message does."""
    if all(value is None for value in given.values()):
        return ()
    from messagebus.filters import Filter  # for reads that filter

    return (Filter(**given),)


def _absolute(path: str) -> str:
    if not path or "\0" in path:
        raise InvalidBusPathError(f"invalid bus path {path!r}: it is empty or contains NUL; name the bus file")
    return os.path.abspath(path)
