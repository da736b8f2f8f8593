"""Limits on connections, which uvicorn leaves to a proxy in front of it.

A request must arrive in time, head and body: a client that is silent, trickles bytes or never ends
is disconnected. The number of connections stays below that of descriptors, because once those run
out nothing works and asyncio floods the log. Bytes that are not HTTP get a JSON error as well.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import uuid
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from run_agent.server.errors import ApiError
from run_agent.server.middleware.security_headers import SECURITY_HEADERS

_REQUEST_TIMEOUT = 30.0  # seconds that a request may take to arrive
_MAX_CONNECTIONS = 5_120  # as many as there may be streams, plus 1,024

_log = logging.getLogger("run_agent.server")


class Connection(H11Protocol):
    """uvicorn's connection to one client, with limits."""

    _timeout: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > _max_connections():
            self._refuse(ApiError(503, "too many connections; retry later", headers={"Retry-After": "5"}))
        else:
            self._start_timeout()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):  # more of the request is to come
            self._start_timeout()
        else:
            self._cancel_timeout()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timeout()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """uvicorn calls this for bytes that it cannot parse. Our response replaces its own."""
        self._refuse(ApiError(400, "not a valid HTTP/1.1 request, or its headers are too long"))

    def _start_timeout(self) -> None:
        if self._timeout is None:
            self._timeout = self.loop.call_later(_REQUEST_TIMEOUT, self._abort)

    def _cancel_timeout(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None

    def _abort(self) -> None:
        _log.info("request timed out after %g s", _REQUEST_TIMEOUT)
        self.transport.abort()

    def _refuse(self, error: ApiError) -> None:
        """Send an error without handling a request, and close."""
        request_id = uuid.uuid4().hex
        _log.info("connection closed: %s", error.message, extra={"request_id": request_id})
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):  # else a response has already started
            response = error.response()
            response.headers.update({**SECURITY_HEADERS, "X-Request-ID": request_id, "Connection": "close"})
            reason = HTTPStatus(error.status).phrase
            head = h11.Response(status_code=error.status, headers=response.raw_headers, reason=reason)
            for event in (head, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _max_connections() -> int:
    """At most half the descriptors: the rest is for buses, and for a burst of connections while they are refused."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(_MAX_CONNECTIONS, descriptors // 2)
