"""Errors as answers: ``{"error": {"code", "message", "details"?}}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from messagebus import (
    DurabilityError,
    IdempotencyConflictError,
    InvalidBusPathError,
    InvalidMessageError,
    LockTimeoutError,
    SinceIDNotFoundError,
)

CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    413: "TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "UNPROCESSABLE",
    429: "TOO_MANY_REQUESTS",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}

# What the library raises, the first that fits: its status, and whether to say when to come again.
_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (SinceIDNotFoundError, 404),
    (IdempotencyConflictError, 409),
    (InvalidMessageError, 422),
    (InvalidBusPathError, 403),
    (LockTimeoutError, 503),
    (DurabilityError, 503),
    (OSError, 503),
)
_RETRY_AFTER = {"Retry-After": "1"}  # seconds


class ApiError(Exception):
    """What a request is answered with instead. ``details`` is JSON for programs."""

    def __init__(
        self, status: int, message: str, *, details: Mapping[str, Any] | None = None, headers: Mapping[str, str] = {}
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = details
        self.headers = dict(headers)

    def answer(self) -> JSONResponse:
        error: dict[str, Any] = {"code": CODES[self.status], "message": self.message}
        if self.details:
            error["details"] = self.details
        return JSONResponse({"error": error}, self.status, self.headers)


def too_many_requests(message: str) -> ApiError:
    """There is work enough; the client may come again."""
    return ApiError(429, message, headers=_RETRY_AFTER)


def unknown(msg_id: str) -> str:
    """What to say of an id that a log does not hold. It begins as in the Go project, whose web UI looks for it."""
    hint = " (in a URL, + is a blank: write %2B)" if " " in msg_id else ""
    return f"message id not found: the log does not hold {msg_id:.80}{hint}"


def of(error: Exception) -> ApiError | None:
    """The answer that an error of the library means; None for one that nobody foresaw."""
    if isinstance(error, ApiError):
        return error
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), None)
    if status is None:
        return None
    details = {"msg_ids": list(error.msg_ids), "stored": True} if isinstance(error, DurabilityError) else None
    retry = _RETRY_AFTER if isinstance(error, LockTimeoutError) else {}
    return ApiError(status, _sentence(error), details=details, headers=retry)


def _sentence(error: Exception) -> str:
    """What to tell about it: no path of this machine, which is nobody's business out there."""
    if isinstance(error, InvalidMessageError):
        return str(error)
    if isinstance(error, SinceIDNotFoundError):
        return f"{unknown(error.msg_id)}; leave the id out to read from the beginning"
    if isinstance(error, InvalidBusPathError):
        return "something else than a bus file stands in its place: a link, a directory, a device"
    if isinstance(error, LockTimeoutError):
        return f"the bus is locked by another process; nothing was written after {error.waited:.1f} seconds: try again"
    if isinstance(error, DurabilityError):
        return f"the message is stored and visible, but flushing it failed ({error.reason}): do not post it again"
    return f"the bus cannot be used now: {getattr(error, 'strerror', None) or type(error).__name__}"
