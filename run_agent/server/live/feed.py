"""One reader of a bus for all of its streams.

A thread follows the bus. Each message is encoded once and kept in a short ring buffer, where events
are numbered. A stream has no queue of its own, only the number of the next event it wants. A stream
that has fallen out of the ring reads the file from its last id on, so a slow client costs the others
nothing.
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
from run_agent.server.buses import BusRef
from run_agent.server.errors import ApiError
from run_agent.server.serialization import message_event

_RING_EVENTS = 1_000
_RING_BYTES = 4 * 1024 * 1024
_CHUNK_BYTES = 256 * 1024  # that one send takes at most, unless a single event is longer

_log = logging.getLogger("run_agent.server")


class EncodedMessage(NamedTuple):
    """A message as an event of a stream."""

    msg_id: str
    data: bytes


class Chunk(NamedTuple):
    """Consecutive events for one send, the number of the event after them, and the id of the last one."""

    data: bytes
    next: int
    msg_id: str | None


class Feed:
    """The new messages of one bus. Belongs to one event loop, and reads in a thread of its own."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._ring: deque[EncodedMessage] = deque()
        self._bytes = 0
        self._first = 0  # the number of the oldest event in the ring
        self._id_before_first: str | None = None
        self._number_after: dict[str | None, int] = {}  # by message id; None: the start of an empty log
        self._cached_chunk: tuple[int, Chunk] | None = None  # most streams want the same one
        self._changed = asyncio.Event()
        self.ended = False
        threading.Thread(target=self._follow, name="feed", daemon=True).start()

    def end(self) -> None:
        """End the streams now, and the thread soon."""
        self._stop.set()
        self.ended = True
        self._notify()

    def number_after(self, msg_id: str | None) -> int | None:
        """The number of the event after this message; None if the ring does not reach back that far."""
        return self._number_after.get(msg_id)

    def chunk(self, number: int) -> Chunk | None:
        """The events from ``number`` on; None if it has left the ring."""
        if number < self._first:
            return None
        if self._cached_chunk is None or self._cached_chunk[0] != number:
            self._cached_chunk = number, self._make_chunk(number)
        return self._cached_chunk[1]

    async def wait_for(self, number: int) -> None:
        """Wait until the event with this number exists, or the feed has ended."""
        while number >= self._first + len(self._ring) and not self.ended:
            await self._changed.wait()

    @property
    def changed(self) -> asyncio.Event:
        """Set at the next change. To miss none: get it, check whatever you wait for, and only then wait."""
        return self._changed

    def _make_chunk(self, number: int) -> Chunk:
        data: list[bytes] = []
        size, msg_id = 0, None
        for position in range(number - self._first, len(self._ring)):
            event = self._ring[position]
            if data and size + len(event.data) > _CHUNK_BYTES:
                break
            data.append(event.data)
            size += len(event.data)
            msg_id = event.msg_id
        return Chunk(b"".join(data), number + len(data), msg_id)

    # --- in the thread ---

    def _follow(self) -> None:
        try:
            while not self._stop.is_set():
                self._follow_from(self._bus.last_id())
        except Exception:  # noqa: BLE001 - the end of a thread: streams must never wait for a dead one
            _log.exception("following a bus failed; its streams end, and their clients will reconnect")
        self._call_in_loop(self.end)

    def _follow_from(self, last_id: str | None) -> None:
        self._call_in_loop(self._start_after, last_id)
        try:
            for message in self._bus.follow(last_id, stop=self._stop, on_gap=self._on_gap):
                self._call_in_loop(self._add, EncodedMessage(message.msg_id, message_event(message)))
        except SinceIDNotFoundError:
            pass  # last_id was removed before the first read: start again

    def _on_gap(self, _gap: GapWarning) -> None:
        self._call_in_loop(self._invalidate)

    def _call_in_loop(self, function: object, *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)  # type: ignore[arg-type]
        except RuntimeError:  # the loop is closed, and all streams with it
            self._stop.set()

    # --- in the loop ---

    def _start_after(self, last_id: str | None) -> None:
        self._invalidate()
        self._id_before_first = last_id
        self._number_after[last_id] = self._first

    def _invalidate(self) -> None:
        """Empty the ring. Skipping a number makes every stream miss, re-read the file from its cursor, and send
        ``reset`` if the cursor is gone."""
        self._first += len(self._ring) + 1
        self._ring.clear()
        self._number_after.clear()
        self._id_before_first = self._cached_chunk = None
        self._bytes = 0
        self._notify()

    def _add(self, event: EncodedMessage) -> None:
        self._ring.append(event)
        self._bytes += len(event.data)
        self._cached_chunk = None
        self._number_after.pop(None, None)  # a stream that finds the log empty from now on sees one that was removed
        self._number_after[event.msg_id] = self._first + len(self._ring)
        while len(self._ring) > _RING_EVENTS or (self._bytes > _RING_BYTES and len(self._ring) > 1):
            self._drop_oldest()
        self._notify()

    def _drop_oldest(self) -> None:
        oldest = self._ring.popleft()
        self._bytes -= len(oldest.data)
        self._first += 1
        if self._number_after.get(self._id_before_first, self._first) < self._first:
            del self._number_after[self._id_before_first]
        self._id_before_first = oldest.msg_id

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Feeds:
    """The feeds that have streams; each one ends with its last stream."""

    def __init__(self, *, max_streams: int, max_streams_per_bus: int) -> None:
        self._max_streams = max_streams
        self._max_streams_per_bus = max_streams_per_bus
        self._streams = 0
        self._ended = False
        self._feeds: dict[BusRef, tuple[Feed, int]] = {}

    @contextmanager
    def subscription(self, ref: BusRef, bus: MessageBus) -> Iterator[Feed]:
        """The feed of a bus, for one stream. Raises ApiError if too many streams are open."""
        feed, streams = self._feeds.get(ref) or (None, 0)
        if self._ended:
            raise ApiError(503, "the server is shutting down; retry", headers={"Retry-After": "1"})
        if self._streams >= self._max_streams or streams >= self._max_streams_per_bus:
            raise ApiError(503, "too many open streams; close some or retry later", headers={"Retry-After": "5"})
        if feed is None or feed.ended:
            feed = Feed(bus)
        self._feeds[ref] = feed, streams + 1
        self._streams += 1
        try:
            yield feed
        finally:
            self._unsubscribe(ref)

    def end(self) -> None:
        """End all streams in good order, and refuse new ones: the server is shutting down."""
        self._ended = True
        for feed, _ in self._feeds.values():
            feed.end()

    def _unsubscribe(self, ref: BusRef) -> None:
        feed, streams = self._feeds[ref]
        self._streams -= 1
        self._feeds[ref] = feed, streams - 1
        if streams == 1:
            feed.end()
            del self._feeds[ref]
