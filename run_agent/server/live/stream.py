"""Server-sent events: first what a client has missed, from the file; then new messages, from the feed."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import closing
from typing import NamedTuple, cast

import anyio
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from messagebus import MessageBus, SinceIDNotFoundError
from run_agent.server.buses import BusRef
from run_agent.server.live.feed import Feed, Feeds
from run_agent.server.serialization import event, message_event

_INITIAL_MESSAGES = 20  # for a client without a cursor
_READ_BYTES = 256 * 1024  # of events from the file at a time, unless a single event is longer
# no-transform: a proxy that compresses would hold events back until its buffer is full.
_HEADERS = {"Cache-Control": "no-store, no-transform"}
_SHUTDOWN_GRACE = 2.0  # seconds that a stream has to end in good order
_RETRY = b"retry: 1000\n"  # milliseconds; sent at once, as some clients wait for a first byte

_log = logging.getLogger("run_agent.server")


class StreamOptions(NamedTuple):
    """Seconds between two heartbeats, and seconds that one send may take."""

    heartbeat: float
    send_timeout: float


class Stream(Response):
    """The response to one client."""

    def __init__(self, ref: BusRef, bus: MessageBus, feeds: Feeds, cursor: str | None, options: StreamOptions) -> None:
        super().__init__()
        self._ref = ref
        self._bus = bus
        self._feeds = feeds
        self._cursor = cursor
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        data, cursor = await run_in_threadpool(_initial_events, self._bus, self._cursor)  # before the status is sent
        with self._feeds.subscription(self._ref, self._bus) as feed:
            response = EventSourceResponse(
                self._events(feed, data, cursor),
                headers=_HEADERS,
                sep="\n",
                ping=self._options.heartbeat,
                ping_message_factory=_heartbeat,
                send_timeout=self._options.send_timeout,
                shutdown_event=cast(anyio.Event, _ShutdownEvent(feed)),
                shutdown_grace_period=_SHUTDOWN_GRACE,
            )
            del data  # it may be large, and the stream may stay open for days
            try:
                await response(scope, receive, send)
            except SendTimeoutError:
                request_id = {"request_id": scope.get("run_agent.request_id", "")}
                _log.info("stream send timed out after %g s", self._options.send_timeout, extra=request_id)

    async def _events(self, feed: Feed, data: bytes, cursor: str | None) -> AsyncIterator[bytes]:
        yield _RETRY
        while not feed.ended:
            if data:
                yield data
                data = b""
                yield data  # the response keeps what it sent last until the next send: let that not be large
            number = feed.number_after(cursor)
            if number is None:  # the cursor is not in the ring: read the file
                changed = feed.changed
                data, cursor = await run_in_threadpool(_events_after, self._bus, cursor)
                if not data and feed.number_after(cursor) is None:
                    await changed.wait()  # the feed has not reached the cursor yet, or has just dropped it
                continue
            while (chunk := feed.chunk(number)) is not None and not feed.ended:
                if chunk.data:
                    yield chunk.data
                    number, cursor = chunk.next, chunk.msg_id
                else:
                    await feed.wait_for(number)


class _ShutdownEvent:
    """The event that sse-starlette sets when the server stops, including a server whose application we are part of."""

    def __init__(self, feed: Feed) -> None:
        self.set = feed.end


def _heartbeat() -> ServerSentEvent:
    return ServerSentEvent("{}", event="heartbeat", sep="\n")


def _initial_events(bus: MessageBus, cursor: str | None) -> tuple[bytes, str | None]:
    """The first events of a new stream, and the cursor after them."""
    return _newest_events(bus) if cursor is None else _events_after(bus, cursor)


def _events_after(bus: MessageBus, cursor: str | None) -> tuple[bytes, str | None]:
    """Some of the events after a cursor, from the file, and the cursor after them.

    If the cursor is unknown, so is what came after it: ``reset`` tells the client which messages it can page, and
    the newest ones follow.
    """
    data = bytearray()
    last_id = cursor
    try:
        with closing(bus.iter_messages(cursor)) as messages:
            for message in messages:
                data += message_event(message)
                last_id = message.msg_id
                if len(data) >= _READ_BYTES:
                    break
    except SinceIDNotFoundError:
        newest, last_id = _newest_events(bus)
        return event("reset", _oldest_and_newest(bus)) + newest, last_id
    return bytes(data), last_id


def _newest_events(bus: MessageBus) -> tuple[bytes, str | None]:
    messages = bus.read_last_n(_INITIAL_MESSAGES)
    return b"".join(map(message_event, messages)), messages[-1].msg_id if messages else None


def _oldest_and_newest(bus: MessageBus) -> dict[str, str]:
    """The ids of the oldest and the newest message; empty for an empty bus."""
    ends = [*bus.read_messages(first=1), *bus.read_last_n(1)]
    return {"oldest": ends[0].msg_id, "newest": ends[-1].msg_id} if ends else {}
