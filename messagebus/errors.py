"""Every error the library raises on purpose, in one tree.

    BusError
    ├── InvalidMessageError(ValueError)    a draft that cannot be stored; nothing was written
    │   └── IdempotencyConflictError       the key was used for another message
    ├── InvalidBusPathError(ValueError)    a link, a directory, a device, ...; no directory to put it in
    ├── BusNotFoundError(LookupError)      discovery found no bus file
    ├── SinceIDNotFoundError(LookupError)  the cursor is in no segment of the log
    ├── LockTimeoutError(TimeoutError)     another process held the lock; retry is safe
    └── DurabilityError(OSError)           written and visible, but the flush failed

Each message says what happened, with the path or value, and what to do next. All can be pickled and
copied, and so can classes derived from them.
Failures of the operating system (disk full, permission denied) stay plain ``OSError``.

GapWarning(RuntimeWarning) is not an error: reading continues, but may have missed messages.
"""

from __future__ import annotations

from typing import Any


class BusError(Exception):
    """Root of the tree: ``except BusError`` catches all of them."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, vars(self))


def _rebuild(cls: type[BusError], args: tuple[object, ...], attributes: dict[str, object]) -> BusError:
    """A copy of an error, without calling ``__init__``, whose parameters differ from class to class."""
    error = cls.__new__(cls, *args)
    error.args = args
    vars(error).update(attributes)
    return error


class InvalidMessageError(BusError, ValueError):
    """A draft that cannot be stored; the error names the field. Nothing was written."""


class IdempotencyConflictError(InvalidMessageError):
    """The idempotency key was used for a message with other content. Nothing was written."""


class InvalidBusPathError(BusError, ValueError):
    """The path cannot be a bus: it is not a regular file, or there is no directory to put it in."""


class BusNotFoundError(BusError, LookupError):
    """Discovery reached the top of the file system without finding a bus file."""


class SinceIDNotFoundError(BusError, LookupError):
    """The cursor is in no segment of the log, so what follows it is unknown.

    Attributes: ``log`` (str, what was searched), ``msg_id`` (str).
    """

    def __init__(self, log: str, msg_id: str) -> None:
        super().__init__(f"{log} has no message {msg_id}; omit the id to read from the beginning")
        self.log = log
        self.msg_id = msg_id


class LockTimeoutError(BusError, TimeoutError):
    """Could not acquire the lock in time; nothing was written and a retry is safe.

    Attributes: ``path`` (str), ``attempts`` (int), ``waited`` (float, seconds in total).
    """

    def __init__(self, path: str, attempts: int, waited: float) -> None:
        super().__init__(
            f"could not lock {path}: {attempts} attempt{'s' if attempts != 1 else ''}, "
            f"{waited:.1f} seconds waited; another process holds it. Try again, or find that "
            f"process with: fuser -v {path}"
        )
        self.path = path
        self.attempts = attempts
        self.waited = waited


class DurabilityError(BusError, OSError):
    """The records are in the file and readers see them, but they may not survive a loss of power.

    Posting them again would store them twice. Attributes: ``path`` (str),
    ``msg_ids`` (tuple of str), ``reason`` (str).
    """

    def __init__(self, path: str, msg_ids: tuple[str, ...], reason: str) -> None:
        super().__init__(
            f"{', '.join(msg_ids)} was written to {path}, but flushing to disk failed ({reason}). "
            "Do not post it again: readers already see it"
        )
        self.path = path
        self.msg_ids = msg_ids
        self.reason = reason


class GapWarning(RuntimeWarning):
    """Messages may be missing from what a reader was given (SPEC.md, "Reading").

    The file was cut or replaced, or an archive removed, before all of it was read. Given by
    ``warnings.warn``; ``warnings.simplefilter("error", GapWarning)`` makes it stop the reader.
    """
