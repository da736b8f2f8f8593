"""What a backend must do. ``memory.py`` is the one to read first.

``MessageBus`` checks drafts, retries nothing and knows no files. A backend assigns ids, keeps
messages in order and answers reads. ``tests/contract`` tests what every backend must promise.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from messagebus.message import Draft, Message

if TYPE_CHECKING:
    from messagebus.filters import Filter


class Watch(Protocol):
    """Waits until a log may have changed. Holds nothing once it is closed."""

    def mark(self) -> object:
        """The state of the log now: take it before reading, then give it to ``wait``."""

    def wait(self, mark: Any, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds until the log differs from ``mark``; False if it does not."""

    def close(self) -> None:
        """Stop watching."""


class Backend(Protocol):
    """A log of messages, in order, each with an id greater than the one before.

    ``filters`` says that ``read`` and ``tail`` take ``wanted``. A backend may do without: then the bus filters.
    """

    filters: bool

    @property
    def unfinished(self) -> bool:
        """Did the last read withhold an unfinished record at the end (SPEC.md, "Torn records")?"""

    def append(self, drafts: Sequence[Draft], *, idempotency_key: str | None = None) -> list[Message]:
        """Store valid drafts, all or none, and return them as the log holds them.

        With ``idempotency_key`` (then there is one draft, its ``meta`` holding the key): where
        a message ``idempotency.holds_key``, the answer is ``idempotency.answer_repeated``.
        """

    def read(self, since_id: str | None = None, wanted: Filter | None = None) -> Generator[Message, None, None]:
        """Every message after ``since_id`` that is ``wanted`` (None: all), oldest first. Raises
        SinceIDNotFoundError."""

    def read_stored(self, since_id: str | None = None) -> Generator[tuple[Message, bytes], None, None]:
        """Like ``read``, each message with its record in the file format."""

    def get(self, msg_id: str) -> tuple[Message, bytes] | None:
        """The message with this id, and its record; None where there is none."""

    def tail(self, n: int, wanted: Filter | None = None) -> list[Message]:
        """The newest ``n`` messages that are ``wanted`` (None: of all), oldest first."""

    def watch(self) -> Watch:
        """A watch on this log, which need not exist yet."""

    def contention_stats(self) -> tuple[int, int]:
        """How often a writer asked for the lock, and how often again after a timeout."""

    def close(self) -> None:
        """Release what the backend holds; a later call opens it again."""
