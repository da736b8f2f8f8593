"""Server-sent events: what a client has missed, from the file; then what comes, from the feed."""

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

_FRESH = 20  # messages that a client without a place is given first
_PAGE = 256 * 1024  # bytes of events made of the file at a time, but for a longer one
# A proxy that compresses would hold events back until it has enough of them.
_HEADERS = {"Cache-Control": "no-store, no-transform"}
_GOODBYE = 2.0  # seconds that a stream may take to end in good order
_RETRY = b"retry: 1000\n"  # milliseconds; a line of the first event, sent before it for who waits for a byte

_log = logging.getLogger("run_agent.server")


class Pace(NamedTuple):
    """Seconds between two heartbeats, and those that one send may take."""

    heartbeat: float
    send_timeout: float


class Stream(Response):
    """The answer to one listener."""

    def __init__(self, at: BusRef, bus: MessageBus, feeds: Feeds, after: str | None, pace: Pace) -> None:
        super().__init__()
        self._at = at
        self._bus = bus
        self._feeds = feeds
        self._after = after
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        data, place = await run_in_threadpool(_opening, self._bus, self._after)  # or an error, while it can be one
        with self._feeds.listening(self._at, self._bus) as feed:
            response = EventSourceResponse(
                self._events(feed, data, place),
                headers=_HEADERS,
                sep="\n",
                ping=self._pace.heartbeat,
                ping_message_factory=_heartbeat,
                send_timeout=self._pace.send_timeout,
                shutdown_event=cast(anyio.Event, _Ending(feed)),
                shutdown_grace_period=_GOODBYE,
            )
            del data  # it may be large, and the stream may last
            try:
                await response(scope, receive, send)
            except SendTimeoutError:
                known = {"request_id": scope.get("run_agent.request_id", "")}
                _log.info("a stream stood still for %g s and was dropped", self._pace.send_timeout, extra=known)

    async def _events(self, feed: Feed, data: bytes, place: str | None) -> AsyncIterator[bytes]:
        yield _RETRY
        while not feed.ended:
            if data:
                yield data
                data = b""
                yield data  # or the response would hold on to the last piece, as long as nothing comes
            number = feed.number_behind(place)
            if number is None:
                news = feed.news
                data, place = await run_in_threadpool(_page, self._bus, place)
                if not data and feed.number_behind(place) is None:
                    await news.wait()  # the feed has not come as far as we have, or has passed by just now
                continue
            while (chunk := feed.chunk(number)) is not None and not feed.ended:
                if chunk.data:
                    yield chunk.data
                    number, place = chunk.next, chunk.msg_id
                else:
                    await feed.more_than(number)


class _Ending:
    """What sse-starlette sets when the server stops, also another one that we are mounted in."""

    def __init__(self, feed: Feed) -> None:
        self.set = feed.end


def _heartbeat() -> ServerSentEvent:
    return ServerSentEvent("{}", event="heartbeat", sep="\n")


def _opening(bus: MessageBus, after: str | None) -> tuple[bytes, str | None]:
    """What a new stream begins with, and the id it then stands at."""
    return _newest(bus) if after is None else _page(bus, after)


def _page(bus: MessageBus, after: str | None) -> tuple[bytes, str | None]:
    """The next messages of the file, a piece of them. Where ``after`` is unknown nobody knows what
    came after it: then what there is to page, and the newest."""
    data = bytearray()
    place = after
    try:
        with closing(bus.iter_messages(after)) as messages:
            for message in messages:
                data += message_event(message)
                place = message.msg_id
                if len(data) >= _PAGE:
                    break
    except SinceIDNotFoundError:
        newest, place = _newest(bus)
        return event("reset", _extent(bus)) + newest, place
    return bytes(data), place


def _newest(bus: MessageBus) -> tuple[bytes, str | None]:
    messages = bus.read_last_n(_FRESH)
    return b"".join(map(message_event, messages)), messages[-1].msg_id if messages else None


def _extent(bus: MessageBus) -> dict[str, str]:
    """The ids of the oldest and the newest message; nothing of an empty bus."""
    ends = [*bus.read_messages(first=1), *bus.read_last_n(1)]
    return {"oldest": ends[0].msg_id, "newest": ends[-1].msg_id} if ends else {}
