"""One reading of a bus for all its streams.

A thread follows the bus; what comes is encoded once and kept in a short ring. A stream has no queue
of its own: it has a number, that of the next event it wants. One that falls out of the ring reads
the file from its last id on, so a slow client costs nobody anything.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from messagebus import GapWarning, MessageBus, SinceIDNotFoundError
from run_agent.server.buses import BusRef, BusRegistry
from run_agent.server.errors import ApiError
from run_agent.server.serialization import message_event

_RING_EVENTS = 1_000
_RING_BYTES = 4 * 1024 * 1024
_CHUNK = 256 * 1024  # bytes that one send takes at most, but for a longer event

_log = logging.getLogger("run_agent.server")


class Event(NamedTuple):
    """A message as it goes out, and its id, which a stream then stands at."""

    msg_id: str
    data: bytes


class Chunk(NamedTuple):
    """Some events in one piece, and where a stream stands behind them."""

    data: bytes
    next: int
    msg_id: str | None


class Feed:
    """The news of one bus. Lives in one event loop, and reads in a thread of its own."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._first = 0  # the number of the oldest event in the ring
        self._before_first: str | None = None  # the id of the message before it
        self._numbers: dict[str | None, int] = {}  # of each id: that of the event behind it
        self._chunk: tuple[int, Chunk] | None = None  # the last one made: most streams want the same
        self._news = asyncio.Event()
        self.ended = False
        threading.Thread(target=self._follow, name="feed", daemon=True).start()

    def end(self) -> None:
        """End the thread, soon, and the streams, at once."""
        self._stop.set()
        self.ended = True
        self._wake()

    def number_behind(self, msg_id: str | None) -> int | None:
        """The number of the event behind this message; None where the ring does not reach there."""
        return self._numbers.get(msg_id)

    def chunk(self, number: int) -> Chunk | None:
        """The events from ``number`` on; None where they have left the ring."""
        if number < self._first:
            return None
        if self._chunk is None or self._chunk[0] != number:
            self._chunk = number, self._joined(number)
        return self._chunk[1]

    async def more_than(self, number: int) -> None:
        """Wait until there is an event with that number, or the feed has ended."""
        while number >= self._first + len(self._events) and not self.ended:
            await self._news.wait()

    @property
    def news(self) -> asyncio.Event:
        """What is set as soon as anything comes from now on: take it, look elsewhere, then wait for it."""
        return self._news

    def _joined(self, number: int) -> Chunk:
        data: list[bytes] = []
        size, msg_id = 0, None
        for position in range(number - self._first, len(self._events)):
            one = self._events[position]
            if data and size + len(one.data) > _CHUNK:
                break
            data.append(one.data)
            size += len(one.data)
            msg_id = one.msg_id
        return Chunk(b"".join(data), number + len(data), msg_id)

    # --- in the thread ---

    def _follow(self) -> None:
        try:
            while not self._stop.is_set():
                self._follow_from(self._bus.last_id())
        except Exception:  # noqa: BLE001 - the end of a thread: whatever it was, streams must not wait for it
            _log.exception("following a bus failed; its streams end, and their clients come again")
        self._in_loop(self.end)

    def _follow_from(self, last_id: str | None) -> None:
        self._in_loop(self._begin, last_id)
        try:
            for message in self._bus.follow(last_id, stop=self._stop, on_gap=self._tell_gap):
                self._in_loop(self._push, Event(message.msg_id, message_event(message)))
        except SinceIDNotFoundError:
            pass  # it was removed between the two looks: begin again

    def _tell_gap(self, _gap: GapWarning) -> None:
        self._in_loop(self._forget)

    def _in_loop(self, what: object, *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(what, *args)  # type: ignore[arg-type]
        except RuntimeError:  # the loop is closed: there is nobody left to tell
            self._stop.set()

    # --- in the loop ---

    def _begin(self, last_id: str | None) -> None:
        self._forget()
        self._before_first = last_id
        self._numbers[last_id] = self._first

    def _forget(self) -> None:
        """What comes does not follow what was: by new numbers, so that streams look for their place in
        the file, and are told where it is gone."""
        self._first += len(self._events) + 1
        self._events.clear()
        self._numbers.clear()
        self._before_first = self._chunk = None
        self._bytes = 0
        self._wake()

    def _push(self, new: Event) -> None:
        self._events.append(new)
        self._bytes += len(new.data)
        self._chunk = None
        self._numbers.pop(None, None)  # who finds the log empty from now on, after somebody removed it
        self._numbers[new.msg_id] = self._first + len(self._events)
        while len(self._events) > _RING_EVENTS or (self._bytes > _RING_BYTES and len(self._events) > 1):
            self._drop_oldest()
        self._wake()

    def _drop_oldest(self) -> None:
        oldest = self._events.popleft()
        self._bytes -= len(oldest.data)
        self._first += 1
        if self._numbers.get(self._before_first, self._first) < self._first:
            del self._numbers[self._before_first]
        self._before_first = oldest.msg_id

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Feeds:
    """The feeds that somebody listens to."""

    def __init__(self, buses: BusRegistry, *, most: int, most_on_one: int) -> None:
        self._buses = buses
        self._most = most
        self._most_on_one = most_on_one
        self._streams = 0
        self._ended = False
        self._feeds: dict[BusRef, tuple[Feed, int]] = {}

    @contextmanager
    def listening(self, at: BusRef, bus: MessageBus) -> Iterator[Feed]:
        """The feed of a bus, for one stream. Raises ApiError where there are too many of them."""
        feed, listeners = self._feeds.get(at) or (None, 0)
        if self._ended:
            raise ApiError(503, "the server is ending; come again", headers={"Retry-After": "1"})
        if self._streams >= self._most or listeners >= self._most_on_one:
            raise ApiError(503, "too many streams are open; close some, or come again", headers={"Retry-After": "5"})
        if feed is None or feed.ended:
            feed = Feed(bus)
        self._feeds[at] = feed, listeners + 1
        self._streams += 1
        try:
            yield feed
        finally:
            self._leave(at)

    def end(self) -> None:
        """End every stream, in good order, and begin no more: the server stops."""
        self._ended = True
        for feed, _ in self._feeds.values():
            feed.end()

    def _leave(self, at: BusRef) -> None:
        feed, listeners = self._feeds[at]
        self._streams -= 1
        self._feeds[at] = feed, listeners - 1
        if listeners == 1:
            feed.end()
            del self._feeds[at]
