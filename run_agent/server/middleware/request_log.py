"""The request log. Every request gets an id, one line in the log, and a response, even after an unexpected error."""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from typing import Any
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from run_agent.server.errors import ApiError
from run_agent.server.middleware.security_headers import SECURITY_HEADERS

_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_CLIENT_CLOSED_REQUEST = 499  # for the log: the client disconnected before the request was complete (as in nginx)

_log = logging.getLogger("run_agent.server")


class RequestLog:
    """The outermost middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        scope["run_agent.request_id"] = request_id
        started = time.monotonic()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            status = _CLIENT_CLOSED_REQUEST
        except Exception:  # noqa: BLE001 - the boundary: after any error the client gets a response
            _log.exception("unexpected error in a request", extra={"request_id": request_id})
            if not status:
                error = ApiError(500, f"internal error; see request {request_id} in the server log")
                await error.response()(scope, receive, send_with_headers)
        finally:
            _log_request(scope, status, time.monotonic() - started, request_id)


def _log_request(scope: Scope, status: int, seconds: float, request_id: str) -> None:
    """``method path status ms id``. The path stays percent-encoded, as it was sent, so it cannot contain a line end."""
    raw = (scope.get("raw_path") or quote(scope["path"]).encode()).partition(b"?")[0]
    path = raw.decode("ascii", "backslashreplace")
    fields = {"method": scope["method"], "path": path, "status": status, "ms": round(1000 * seconds, 1)}
    _log.info("%(method)s %(path)s %(status)d %(ms).1f ms", fields, extra={"request_id": request_id, "fields": fields})


class TextLines(logging.Formatter):
    """``2026-11-21 03:14:15 INFO GET /healthz 200 0.4 ms [id]``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        request_id = getattr(record, "request_id", "")
        return super().formatMessage(record) + (f" [{request_id}]" if request_id else "")


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, message, and the fields of the request."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if request_id := getattr(record, "request_id", ""):
            line["request_id"] = request_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)
