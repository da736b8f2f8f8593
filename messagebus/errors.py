"""Every error the library raises on purpose, in one tree.

    BusError
    ├── InvalidMessageError(ValueError)    the caller's fault; nothing was written
    │   └── IdempotencyConflictError       the key stands for another message
    ├── InvalidBusPathError(ValueError)    symlink, directory, device, FIFO, no directory
    ├── BusNotFoundError(LookupError)      discovery found no bus file
    ├── SinceIDNotFoundError(LookupError)  the cursor is in no segment of the log
    ├── LockTimeoutError(TimeoutError)     somebody else held the lock; retryable
    └── DurabilityError(OSError)           written and visible, but the flush failed

Each message says what happened, with the path or value, and what to do next. All can be pickled and
copied, those derived from them too.
Failures of the operating system (disk full, permission) stay plain ``OSError``.

GapWarning(RuntimeWarning) is no error: reading goes on, but may have missed something.
"""

from __future__ import annotations

from typing import Any


class BusError(Exception):
    """Root of the tree: ``except BusError`` catches all of them."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args, vars(self))


def _again(kind: type[BusError], args: tuple[object, ...], attributes: dict[str, object]) -> BusError:
    """An error once more, whatever its class wants to be made with: it is made already."""
    error = kind.__new__(kind, *args)
    error.args = args
    vars(error).update(attributes)
    return error


class InvalidMessageError(BusError, ValueError):
    """A draft that cannot be stored; the text names the field. Nothing was written."""


class IdempotencyConflictError(InvalidMessageError):
    """The idempotency key stands for a message with another content. Nothing was written."""


class InvalidBusPathError(BusError, ValueError):
    """The path can not be a bus: not a regular file, or no directory to put it in."""


class BusNotFoundError(BusError, LookupError):
    """Discovery reached the top of the file system without meeting a bus file."""


class SinceIDNotFoundError(BusError, LookupError):
    """The cursor is in no segment of the log; nothing can be said about what follows it.

    Attributes: ``log`` (str, what was searched), ``msg_id`` (str).
    """

    def __init__(self, log: str, msg_id: str) -> None:
        super().__init__(f"{log} does not hold the message {msg_id}; leave the id out to read from the beginning.")
        self.log = log
        self.msg_id = msg_id


class LockTimeoutError(BusError, TimeoutError):
    """The lock was not to be had; nothing was written and a retry is safe.

    Attributes: ``path`` (str), ``attempts`` (int), ``waited`` (float, seconds in all).
    """

    def __init__(self, path: str, attempts: int, waited: float) -> None:
        super().__init__(
            f"could not lock {path}: {attempts} attempt{'s' if attempts != 1 else ''}, "
            f"{waited:.1f} seconds waited; another process holds it. Try again, or find the "
            f"holder with: fuser -v {path}"
        )
        self.path = path
        self.attempts = attempts
        self.waited = waited


class DurabilityError(BusError, OSError):
    """The records are in the file and readers see them, but they may not survive a power cut.

    Posting again would store the messages twice. Attributes: ``path`` (str),
    ``msg_ids`` (tuple of str), ``reason`` (str).
    """

    def __init__(self, path: str, msg_ids: tuple[str, ...], reason: str) -> None:
        super().__init__(
            f"{', '.join(msg_ids)} is written to {path}, but flushing it to disk failed "
            f"({reason}). Do not post it again: readers see it already."
        )
        self.path = path
        self.msg_ids = msg_ids
        self.reason = reason


class GapWarning(RuntimeWarning):
    """Messages may be missing from what a reader was given (SPEC.md, "Reading").

    Somebody cut or replaced the file, or removed an archive, before all of it was read. Given by
    ``warnings.warn``; ``warnings.simplefilter("error", GapWarning)`` makes it end the reading.
    """
