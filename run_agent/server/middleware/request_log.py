"""Every request has an id, one line in the log, and an answer, also where nobody foresaw the error."""

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

_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_GONE = 499  # for the log: the client went away before it had said all (nginx's number)

_log = logging.getLogger("run_agent.server")


class RequestLog:
    """Middleware, the outermost."""

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

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except ClientDisconnect:
            status = _GONE
        except Exception:  # noqa: BLE001 - the boundary: whatever it was, the client gets an answer
            _log.exception("a request failed in a way nobody foresaw", extra={"request_id": request_id})
            if not status:
                problem = ApiError(500, f"something unexpected happened; the log knows more under {request_id}")
                await problem.answer()(scope, receive, noting)
        finally:
            _write_line(scope, status, time.monotonic() - started, request_id)


def _write_line(scope: Scope, status: int, seconds: float, request_id: str) -> None:
    """``method path status ms id``; the path as it was sent, in which nothing can end the line."""
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
    """One JSON object a line: time, level, message, and what is known of the request."""

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
