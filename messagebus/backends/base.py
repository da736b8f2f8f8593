"""The port: what a store of messages must do. ``memory.py`` is the one to read first.

``MessageBus`` checks drafts, retries nothing and knows no files; a store gives ids, keeps
order and answers reads. ``tests/contract`` holds what every store must promise.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Protocol

from messagebus.message import Draft, Message


class Watch(Protocol):
    """Tells when a log may have changed. Closing it gives back all it holds."""

    def mark(self) -> object:
        """What the log looks like now; take it before reading, compare with ``wait``."""

    def wait(self, mark: Any, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the log to differ from ``mark``; did it?"""

    def close(self) -> None:
        """Stop watching."""


class Backend(Protocol):
    """A log of messages, in order, each with an id greater than the one before."""

    @property
    def unfinished(self) -> bool:
        """Did the last read keep back an unfinished end (SPEC.md, "Torn records")?"""

    def append(self, drafts: Sequence[Draft], *, idempotency_key: str | None = None) -> list[Message]:
        """Store checked drafts, all or none, and return them as the log holds them.

        With ``idempotency_key`` (then there is one draft, its ``meta`` holding the key): where
        a message ``idempotency.holds_key``, the answer is ``idempotency.answer_repeated``.
        """

    def read(self, since_id: str | None = None) -> Generator[Message, None, None]:
        """Every message after ``since_id``, oldest first. Raises SinceIDNotFoundError."""

    def read_stored(self, since_id: str | None = None) -> Generator[tuple[Message, bytes], None, None]:
        """Like ``read``, each message with the bytes that hold it in the file format."""

    def get(self, msg_id: str) -> tuple[Message, bytes] | None:
        """The message with this id and its bytes; None where there is none."""

    def tail(self, n: int) -> list[Message]:
        """The newest ``n`` messages, oldest first."""

    def watch(self) -> Watch:
        """A watch on this log, which need not exist yet."""

    def contention_stats(self) -> tuple[int, int]:
        """How often a writer asked for the lock, and how often again after a timeout."""

    def close(self) -> None:
        """Give back what the store holds; it opens itself again when used again."""
