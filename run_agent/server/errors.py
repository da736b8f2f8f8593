"""Errors as HTTP responses: ``{"error": {"code", "message", "details"?}}``."""

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

# The status for each error that the library raises; the first match counts.
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
    """An error response to a request. ``details`` is JSON for programs."""

    def __init__(
        self, status: int, message: str, *, details: Mapping[str, Any] | None = None, headers: Mapping[str, str] = {}
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = details
        self.headers = dict(headers)

    def response(self) -> JSONResponse:
        error: dict[str, Any] = {"code": CODES[self.status], "message": self.message}
        if self.details:
            error["details"] = self.details
        return JSONResponse({"error": error}, self.status, self.headers)


def too_many_requests(message: str) -> ApiError:
    """The queue is full; the client may retry."""
    return ApiError(429, message, headers=_RETRY_AFTER)


def id_not_found(msg_id: str) -> str:
    """The message for an unknown id. Its beginning is that of the Go project, whose web UI matches it."""
    hint = " (in a URL, + means a space: write %2B)" if " " in msg_id else ""
    return f"message id not found: {msg_id:.80} is not in the log{hint}"


def api_error(error: Exception) -> ApiError | None:
    """The response to an error of the library; None for an unexpected error."""
    if isinstance(error, ApiError):
        return error
    status = next((status for type_, status in _STATUSES if isinstance(error, type_)), None)
    if status is None:
        return None
    details = {"msg_ids": list(error.msg_ids), "stored": True} if isinstance(error, DurabilityError) else None
    retry = _RETRY_AFTER if isinstance(error, LockTimeoutError) else {}
    return ApiError(status, _message(error), details=details, headers=retry)


def _message(error: Exception) -> str:
    """The text of the response. It names no path of this machine, unlike the library's own text."""
    if isinstance(error, InvalidMessageError):
        return str(error)
    if isinstance(error, SinceIDNotFoundError):
        return f"{id_not_found(error.msg_id)}; leave the id out to read from the beginning"
    if isinstance(error, InvalidBusPathError):
        return "the path of this bus is not a regular file but a link, a directory or a device"
    if isinstance(error, LockTimeoutError):
        return f"another process holds the lock of this bus; nothing was written after {error.waited:.1f} s: retry"
    if isinstance(error, DurabilityError):
        return f"the message is stored and visible, but flushing it failed ({error.reason}): do not post it again"
    return f"the bus is not available: {getattr(error, 'strerror', None) or type(error).__name__}"
