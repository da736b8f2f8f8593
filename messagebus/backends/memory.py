"""The reference backend: a list in the memory of one process.

It shows on one page what ``messagebus.backends.file`` must do with files, locks and crashes. Code
that uses a bus can be tested with it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from threading import Condition
from typing import TYPE_CHECKING

from messagebus.codec import encode, encode_rest
from messagebus.errors import SinceIDNotFoundError
from messagebus.idempotency import IDEMPOTENCY_WINDOW_MS, answer_repeated, holds_key
from messagebus.message import Draft, Message, message_from
from messagebus.msgid import next_msg_id, time_of
from messagebus.timestamps import in_utc

if TYPE_CHECKING:
    from messagebus.filters import Filter


class MemoryBackend:
    """A backend in memory, which threads may share: ``MessageBus(MemoryBackend())``."""

    unfinished = False
    filters = True

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._changed = Condition()

    def __repr__(self) -> str:
        return f"<MemoryBackend, messages: {len(self._messages)}>"

    def append(self, drafts: Sequence[Draft], *, idempotency_key: str | None = None) -> list[Message]:
        with self._changed:
            now_ms = time.time_ns() // 1_000_000
            if idempotency_key is not None and (first := self._with_key(idempotency_key, now_ms)):
                return [answer_repeated(drafts[0], first)]
            now = datetime.now(UTC)
            last_id = self._messages[-1].msg_id if self._messages else None
            stored = []
            for draft in drafts:
                encode_rest(draft)  # refuses a header that no file could hold
                last_id = next_msg_id(last_id, now_ms, os.urandom)
                stored.append(message_from(draft, last_id, in_utc(draft.ts or now)))
            self._messages += stored
            self._changed.notify_all()
            return stored

    def read(self, since_id: str | None = None, wanted: Filter | None = None) -> Generator[Message, None, None]:
        messages = self._messages[:]
        start = 0
        if since_id is not None:
            ids = [message.msg_id for message in messages]
            if since_id not in ids:
                raise SinceIDNotFoundError("the log in memory", since_id)
            start = ids.index(since_id) + 1
        yield from _only(wanted, messages[start:])

    def read_stored(self, since_id: str | None = None) -> Generator[tuple[Message, bytes], None, None]:
        for message in self.read(since_id):
            yield message, encode(message.msg_id, message.ts, encode_rest(message))

    def get(self, msg_id: str) -> tuple[Message, bytes] | None:
        return next((pair for pair in self.read_stored() if pair[0].msg_id == msg_id), None)

    def tail(self, n: int, wanted: Filter | None = None) -> list[Message]:
        messages = _only(wanted, self._messages)
        return messages[-n:] if n > 0 else []

    def watch(self) -> MemoryBackend:
        return self

    def mark(self) -> int:
        return len(self._messages)

    def wait(self, mark: int, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: len(self._messages) != mark, timeout)

    def contention_stats(self) -> tuple[int, int]:
        return 0, 0

    def close(self) -> None:
        """Nothing is held open."""

    def _with_key(self, key: str, now_ms: int) -> Message | None:
        for message in reversed(self._messages):
            if (time_of(message.msg_id) or 0) < now_ms - IDEMPOTENCY_WINDOW_MS:
                return None
            if holds_key(message, key, now_ms):
                return message
        return None


def _only(wanted: Filter | None, messages: list[Message]) -> list[Message]:
    return messages if wanted is None else [message for message in messages if wanted.matches(message)]
