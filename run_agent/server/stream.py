"""Server-sent events: what a client has missed, from the file; then what comes, from the feed."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import NamedTuple

from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from messagebus import Message, MessageBus, SinceIDNotFoundError
from run_agent.server.feed import Feed, Feeds, extent
from run_agent.server.tree import Address
from run_agent.server.wire import event, message_event

_FRESH = 20  # messages that a client without a place is given first
_PAGE = 200  # messages read from the file at a time
_RETRY = b"retry: 1000\n\n"  # milliseconds; and a first byte, for who waits for one

_log = logging.getLogger("run_agent.server")


class Pace(NamedTuple):
    """Seconds between two heartbeats, and those that one send may take."""

    heartbeat: float
    send_timeout: float


class Stream(Response):
    """The answer to one listener."""

    def __init__(self, at: Address, bus: MessageBus, feeds: Feeds, after: str | None, pace: Pace) -> None:
        super().__init__()
        self._at = at
        self._bus = bus
        self._feeds = feeds
        self._after = after
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._feeds.listening(self._at, self._bus) as feed:
            response = EventSourceResponse(
                self._events(feed),
                sep="\n",
                ping=self._pace.heartbeat,
                ping_message_factory=_heartbeat,
                send_timeout=self._pace.send_timeout,
            )
            try:
                await response(scope, receive, send)
            except SendTimeoutError:
                _log.info("a stream stood still for %g s and was dropped", self._pace.send_timeout)

    async def _events(self, feed: Feed) -> AsyncIterator[bytes]:
        yield _RETRY
        data, place = await run_in_threadpool(_opening, self._bus, self._after)
        if data:
            yield data
        while not feed.ended:
            number = feed.number_behind(place)
            if number is None:
                data, place = await run_in_threadpool(_page, self._bus, place)
                if data:
                    yield data
                elif feed.number_behind(place) is None:
                    await feed.anything()  # it has not come as far as we have
                continue
            while (chunk := feed.chunk(number)) is not None and not feed.ended:
                if chunk.data:
                    yield chunk.data
                    number, place = chunk.next, chunk.msg_id or place
                else:
                    await feed.more_than(number)


def _heartbeat() -> ServerSentEvent:
    return ServerSentEvent("{}", event="heartbeat", sep="\n")


def _opening(bus: MessageBus, after: str | None) -> tuple[bytes, str | None]:
    """What a new stream begins with, and the id it then stands at."""
    return _newest(bus) if after is None else _page(bus, after)


def _page(bus: MessageBus, after: str | None) -> tuple[bytes, str | None]:
    """The next messages of the file. Where ``after`` is unknown nobody knows what came after it: then
    what there is to page, and the newest."""
    try:
        messages = bus.read_messages(after, first=_PAGE)
    except SinceIDNotFoundError:
        data, place = _newest(bus)
        return event("reset", extent(bus)) + data, place
    return _encoded(messages), messages[-1].msg_id if messages else after


def _newest(bus: MessageBus) -> tuple[bytes, str | None]:
    messages = bus.read_last_n(_FRESH)
    return _encoded(messages), messages[-1].msg_id if messages else None


def _encoded(messages: list[Message]) -> bytes:
    return b"".join(map(message_event, messages))
