"""A connection: uvicorn's, with the limits that uvicorn leaves to a proxy in front of it.

A request must be there soon, head and body: whoever says nothing, or a byte now and then, or goes on
without end, is cut off. There are so many connections and no more, fewer than descriptors: where those
run out nothing works, and asyncio fills the log with it. And what is no HTTP gets an answer like any other.
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
from run_agent.server.middleware.request_log import SECURITY_HEADERS

_LONGEST_REQUEST = 30.0  # seconds that a request may take to come
_MOST_CONNECTIONS = 5_120  # as many streams as there may be, and 1,024

_log = logging.getLogger("run_agent.server")


class Connection(H11Protocol):
    """One client."""

    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > _most_connections():
            self._refuse(ApiError(503, "too many connections are open; come again", headers={"Retry-After": "5"}))
        else:
            self._await_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):  # there is more to come
            self._await_request()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """uvicorn's answer to what it cannot read: ours instead."""
        self._refuse(ApiError(400, "the request is no HTTP/1.1, or its head is too long"))

    def _await_request(self) -> None:
        if self._due is None:
            self._due = self.loop.call_later(_LONGEST_REQUEST, self._cut_off)

    def _stop_waiting(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _cut_off(self) -> None:
        _log.info("a request was not there after %g s: its connection was cut off", _LONGEST_REQUEST)
        self.transport.abort()

    def _refuse(self, problem: ApiError) -> None:
        """Answer without a request, and close."""
        request_id = uuid.uuid4().hex
        _log.info("a connection was closed: %s", problem.message, extra={"request_id": request_id})
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):  # else an answer is on its way already
            answer = problem.answer()
            answer.headers.update({**SECURITY_HEADERS, "X-Request-ID": request_id, "Connection": "close"})
            reason = HTTPStatus(problem.status).phrase
            head = h11.Response(status_code=problem.status, headers=answer.raw_headers, reason=reason)
            for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _most_connections() -> int:
    """Half the descriptors at most: the rest is for buses, and for those that come all at once to be refused."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(_MOST_CONNECTIONS, descriptors // 2)
