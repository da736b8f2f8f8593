"""What a bus holds, without the bodies: ids, times, types, runs, and who answers whom.

Kept in memory, read on as the file grows, and made anew where somebody cut or replaced it. With it
pages of a long log are found from either end, and counted, without reading all of it each time.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from messagebus import RUN_CRASH, RUN_START, RUN_STOP, Message, MessageBus, SinceIDNotFoundError
from run_agent.server.buses import BusRef, BusRegistry
from run_agent.server.errors import ApiError, unknown

ASKING = ("ISSUE", "QUESTION")  # types that wait for an answer
ANSWERING = ("answers", "closes", "fixes", "resolves")  # kinds of parents that are one
_STATES = {RUN_START: "running", RUN_STOP: "stopped", RUN_CRASH: "crashed"}
_MOST_KNOWN = 1_000_000  # messages in all indexes, some 250 bytes each


@dataclass
class Run:
    """One run, by its messages; times in seconds since 1970."""

    first: float
    last: float = 0.0
    count: int = 0
    state: str = "unknown"
    started: float | None = None
    ended: float | None = None

    def add(self, kind: str, time: float) -> None:
        self.count += 1
        self.last = time
        self.state = _STATES.get(kind, self.state)
        if kind == RUN_START:
            self.started, self.ended = time, None
        elif kind in _STATES:
            self.ended = time


class Column:
    """Texts of which there are few, one for each message, as numbers."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.numbers = array("I")

    def append(self, name: str) -> None:
        self.numbers.append(self.names.setdefault(name, len(self.names)))

    def numbers_of(self, names: Iterable[str]) -> frozenset[int]:
        return frozenset(self.names[name] for name in names if name in self.names)


@dataclass
class MessageIndex:
    """The messages of one bus, by their position in the log."""

    ids: list[str] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)
    times: array[float] = field(default_factory=lambda: array("d"))
    in_order: bool = True  # the times ascend, as they do unless somebody gave some
    types: Column = field(default_factory=Column)
    runs: Column = field(default_factory=Column)
    run: dict[str, Run] = field(default_factory=dict)
    replies: dict[str, list[int]] = field(default_factory=dict)  # positions, by the id of the parent
    unanswered: dict[str, int] = field(default_factory=dict)  # positions, by id

    def __len__(self) -> int:
        return len(self.ids)

    def position(self, msg_id: str) -> int:
        """Raises ApiError."""
        if msg_id not in self.positions:
            raise ApiError(404, unknown(msg_id))
        return self.positions[msg_id]

    def add(self, message: Message) -> None:
        here, kind, time = len(self.ids), message.type.upper(), message.ts.timestamp()
        self.in_order = self.in_order and (not self.times or self.times[-1] <= time)
        self.times.append(time)
        self.types.append(kind)
        self.runs.append(message.run_id or "")
        if message.run_id:
            self.run.setdefault(message.run_id, Run(time)).add(kind, time)
        for parent in message.parents:
            self.replies.setdefault(parent.msg_id, []).append(here)
            if kind == "ANSWER" or parent.kind in ANSWERING:
                self.unanswered.pop(parent.msg_id, None)
        if kind in ASKING:
            self.unanswered[message.msg_id] = here
        self.positions[message.msg_id] = here
        self.ids.append(message.msg_id)  # the last: who reads meanwhile goes by how many ids there are

    def between(self, start: float | None, end: float | None, count: int) -> tuple[int, int]:
        """From which position up to which all messages of these times are, among the first ``count``."""
        if not self.in_order:
            return 0, count
        low = 0 if start is None else bisect_left(self.times, start, 0, count)
        return low, count if end is None else max(low, bisect_left(self.times, end, 0, count))

    def is_between(self, here: int, start: float | None, end: float | None) -> bool:
        """Is it a message of these times?"""
        return (start is None or self.times[here] >= start) and (end is None or self.times[here] < end)

    def read_on(self, bus: MessageBus) -> None:
        """What has come since. Raises SinceIDNotFoundError where the file does not go on from here."""
        with closing(bus.iter_messages(self.ids[-1] if self.ids else None)) as messages:
            for message in messages:
                self.add(message)

    def matching(self, types: Iterable[str] | None, run_id: str | None) -> _Filter:
        return _Filter(
            None if types is None else (self.types.numbers, self.types.numbers_of(types)),
            None if run_id is None else (self.runs.numbers, self.runs.numbers_of([run_id])),
        )


class _Filter:
    """Which positions fit, by columns and the numbers wanted in them."""

    def __init__(self, *wanted: tuple[array[int], frozenset[int]] | None) -> None:
        self._wanted = [pair for pair in wanted if pair]

    def among(self, positions: Iterable[int]) -> Iterator[int]:
        for numbers, allowed in self._wanted:
            positions = [here for here in positions if numbers[here] in allowed]
        return iter(positions)


class _Kept:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.index = MessageIndex()


class MessageIndexes:
    """The indexes of the buses of a tree that were asked for lately. Threads may share it."""

    def __init__(self, buses: BusRegistry) -> None:
        self._buses = buses
        self._lock = threading.Lock()
        self._kept: OrderedDict[BusRef, _Kept] = OrderedDict()

    def of(self, at: BusRef) -> MessageIndex:
        """The index of a bus, as it is now."""
        with self._lock:
            kept = self._kept.setdefault(at, _Kept())
            self._kept.move_to_end(at)
        bus = self._buses.bus(at)
        with kept.lock:
            try:
                kept.index.read_on(bus)
            except SinceIDNotFoundError:
                kept.index = MessageIndex()
                kept.index.read_on(bus)
        self._drop_stale()
        return kept.index

    def forget(self, at: BusRef) -> None:
        """Read it anew next time: what it says is no longer in the file."""
        with self._lock:
            self._kept.pop(at, None)

    def _drop_stale(self) -> None:
        with self._lock:
            known = sum(len(kept.index) for kept in self._kept.values())
            while known > _MOST_KNOWN and len(self._kept) > 1:
                known -= len(self._kept.popitem(last=False)[1].index)
