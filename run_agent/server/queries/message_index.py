"""What a bus holds, without the bodies: ids, times, types, runs, and which message answers which.

An index is kept in memory, extended as the file grows, and rebuilt if the file was cut or replaced.
It finds and counts messages from either end of a long log without reading the whole file each time.
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

QUESTION_TYPES = ("ISSUE", "QUESTION")  # that wait for an answer
ANSWER_KINDS = ("answers", "closes", "fixes", "resolves")  # a parent of such a kind is answered
_STATES = {RUN_START: "running", RUN_STOP: "stopped", RUN_CRASH: "crashed"}
_MAX_MESSAGES = 1_000_000  # in all indexes together; about 250 bytes each


class UnknownIDError(LookupError):
    """The log does not hold this id."""

    def __init__(self, msg_id: str) -> None:
        super().__init__(msg_id)
        self.msg_id = msg_id


@dataclass
class Run:
    """A run, as its messages describe it; times in seconds since 1970."""

    first: float
    last: float = 0.0
    count: int = 0
    state: str = "unknown"
    started: float | None = None
    ended: float | None = None

    def add(self, type_: str, time: float) -> None:
        self.count += 1
        self.last = time
        self.state = _STATES.get(type_, self.state)
        if type_ == RUN_START:
            self.started, self.ended = time, None
        elif type_ in _STATES:
            self.ended = time


class EncodedColumn:
    """A text for each message, stored as a number: few of the texts differ (dictionary encoding)."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.numbers = array("I")

    def append(self, name: str) -> None:
        self.numbers.append(self.names.setdefault(name, len(self.names)))

    def condition(self, names: Iterable[str] | None) -> tuple[array[int], frozenset[int]] | None:
        """The numbers of all messages, and those of these texts; None for no condition."""
        if names is None:
            return None
        return self.numbers, frozenset(self.names[name] for name in names if name in self.names)


@dataclass
class MessageIndex:
    """The messages of one bus, by position in the log."""

    ids: list[str] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)
    times: array[float] = field(default_factory=lambda: array("d"))
    in_order: bool = True  # the times ascend, as they do unless a writer chose some
    types: EncodedColumn = field(default_factory=EncodedColumn)
    run_ids: EncodedColumn = field(default_factory=EncodedColumn)
    senders: EncodedColumn = field(default_factory=EncodedColumn)
    runs: dict[str, Run] = field(default_factory=dict)
    replies: dict[str, list[int]] = field(default_factory=dict)  # positions, by the id of the parent
    unanswered: dict[str, int] = field(default_factory=dict)  # positions, by id

    def __len__(self) -> int:
        return len(self.ids)

    def position(self, msg_id: str) -> int:
        """Raises UnknownIDError."""
        if msg_id not in self.positions:
            raise UnknownIDError(msg_id)
        return self.positions[msg_id]

    def add(self, message: Message) -> None:
        position, type_, time = len(self.ids), message.type.upper(), message.ts.timestamp()
        self.in_order = self.in_order and (not self.times or self.times[-1] <= time)
        self.times.append(time)
        self.types.append(type_)
        self.run_ids.append(message.run_id or "")
        self.senders.append(message.meta.get("from", ""))
        if message.run_id:
            self.runs.setdefault(message.run_id, Run(time)).add(type_, time)
        for parent in message.parents:
            self.replies.setdefault(parent.msg_id, []).append(position)
            if type_ == "ANSWER" or parent.kind in ANSWER_KINDS:
                self.unanswered.pop(parent.msg_id, None)
        if type_ in QUESTION_TYPES:
            self.unanswered[message.msg_id] = position
        self.positions[message.msg_id] = position
        self.ids.append(message.msg_id)  # last: concurrent readers take the number of ids as the number of messages

    def between(self, start: float | None, end: float | None, count: int) -> tuple[int, int]:
        """A range of positions that holds all messages of these times, among the first ``count``."""
        if not self.in_order:
            return 0, count
        low = 0 if start is None else bisect_left(self.times, start, 0, count)
        return low, count if end is None else max(low, bisect_left(self.times, end, 0, count))

    def is_between(self, position: int, start: float | None, end: float | None) -> bool:
        """Is the message at this position within these times?"""
        return (start is None or self.times[position] >= start) and (end is None or self.times[position] < end)

    def catch_up(self, bus: MessageBus) -> None:
        """Add what was appended since. Raises SinceIDNotFoundError if the file no longer holds the last known id."""
        with closing(bus.iter_messages(self.ids[-1] if self.ids else None)) as messages:
            for message in messages:
                self.add(message)

    def matching(self, types: Iterable[str] | None, run_id: str | None = None, sender: str | None = None) -> _Filter:
        return _Filter(
            self.types.condition(types),
            self.run_ids.condition(None if run_id is None else [run_id]),
            self.senders.condition(None if sender is None else [sender]),
        )


class _Filter:
    """Which positions match, by columns and the numbers allowed in them."""

    def __init__(self, *columns: tuple[array[int], frozenset[int]] | None) -> None:
        self._columns = [pair for pair in columns if pair]

    def among(self, positions: Iterable[int]) -> Iterator[int]:
        for numbers, allowed in self._columns:
            positions = [position for position in positions if numbers[position] in allowed]
        return iter(positions)


class _Entry:
    """An index, and the lock under which it is extended."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.index = MessageIndex()


class MessageIndexes:
    """The indexes of recently used buses. Safe to share between threads."""

    def __init__(self, buses: BusRegistry) -> None:
        self._buses = buses
        self._lock = threading.Lock()
        self._entries: OrderedDict[BusRef, _Entry] = OrderedDict()

    def of(self, ref: BusRef) -> MessageIndex:
        """The index of a bus, up to date."""
        with self._lock:
            entry = self._entries.setdefault(ref, _Entry())
            self._entries.move_to_end(ref)
        bus = self._buses.bus(ref)
        with entry.lock:
            try:
                entry.index.catch_up(bus)
            except SinceIDNotFoundError:
                entry.index = MessageIndex()
                entry.index.catch_up(bus)
        self._drop_stale()
        return entry.index

    def forget(self, ref: BusRef) -> None:
        """Drop an index that differs from its file; it is rebuilt on next use."""
        with self._lock:
            self._entries.pop(ref, None)

    def _drop_stale(self) -> None:
        with self._lock:
            total = sum(len(entry.index) for entry in self._entries.values())
            while total > _MAX_MESSAGES and len(self._entries) > 1:
                total -= len(self._entries.popitem(last=False)[1].index)
