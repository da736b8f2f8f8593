"""Result pages of matching messages, from either end of a log: found in its index, read from the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from messagebus import Message, MessageBus, SinceIDNotFoundError
from run_agent.server.buses import BusRef
from run_agent.server.params import MAX_MESSAGES, ListQuery
from run_agent.server.queries.message_index import MessageIndex, MessageIndexes

_BATCH = 500  # messages that are read together
_MAX_READ = 20_000  # messages whose bodies one request reads; the next result page continues there


class ResultPage(NamedTuple):
    """Messages, and the ids to continue from: after ``next``, and before ``previous`` if older messages in the range
    of the query have not been searched."""

    messages: list[Message]
    next: str | None
    previous: str | None
    replies: dict[str, int]


def find_page(indexes: MessageIndexes, bus: MessageBus, ref: BusRef, query: ListQuery) -> ResultPage:
    """Raises UnknownIDError for an unknown ``since`` or ``before``."""
    index = indexes.of(ref)
    try:
        return _result_page(index, bus, query)
    except _StaleError:  # the middle of the file was edited
        indexes.forget(ref)
        return _result_page(indexes.of(ref), bus, query)


class _StaleError(Exception):
    """The file differs from what the index says."""


def _result_page(index: MessageIndex, bus: MessageBus, query: ListQuery) -> ResultPage:
    low, high = _position_range(index, query)
    forward, count = query.first is not None, min(query.first or query.limit or MAX_MESSAGES, MAX_MESSAGES)
    found: list[tuple[int, Message]] = []
    start, stop = (low, low) if forward else (high, high)  # the range that has been searched
    read = 0
    for low_end, high_end in _batches(low, high, forward=forward):
        start, stop = min(start, low_end), max(stop, high_end)
        positions = _matching_positions(index, query, low_end, high_end)
        if query.text is None:
            positions = positions[: count - len(found)] if forward else positions[len(found) - count :]
        read += len(positions)
        new = [pair for pair in _read(index, bus, positions) if _contains(pair[1], query.text)]
        found = found + new if forward else new + found
        if len(found) >= count or read >= _MAX_READ:
            break
    is_full, is_unfinished = len(found) >= count, forward and stop < high
    if is_full:
        found = found[:count] if forward else found[-count:]
        start = start if forward else found[0][0]
    ids = [index.ids[position] for position, _ in found]
    return ResultPage(
        [message for _, message in found],
        next=index.ids[stop - 1] if is_unfinished and not is_full else ids[-1] if ids else None,
        previous=index.ids[start] if low < start < len(index) else None,
        replies={msg_id: len(index.replies[msg_id]) for msg_id in ids if msg_id in index.replies},
    )


def _position_range(index: MessageIndex, query: ListQuery) -> tuple[int, int]:
    """The range of positions to search."""
    floor, ceiling = index.between(query.start, query.end, len(index))
    low = max(floor, index.position(query.since) + 1 if query.since else 0)
    high = min(ceiling, index.position(query.before)) if query.before else ceiling
    return low, max(low, high)


def _batches(low: int, high: int, *, forward: bool) -> Iterator[tuple[int, int]]:
    if forward:
        yield from ((start, min(start + _BATCH, high)) for start in range(low, high, _BATCH))
    else:
        yield from ((max(stop - _BATCH, low), stop) for stop in range(high, low, -_BATCH))


def _matching_positions(index: MessageIndex, query: ListQuery, start: int, stop: int) -> list[int]:
    candidates: Sequence[int] = range(start, stop)
    if query.parent is not None:
        candidates = [position for position in index.replies.get(query.parent, ()) if start <= position < stop]
    if query.msg_id is not None:
        position = index.positions.get(query.msg_id, -1)
        candidates = [position] if position in candidates else []
    positions = list(index.matching(query.types, query.run_id, query.sender).among(candidates))
    if index.in_order:
        return positions
    return [position for position in positions if index.is_between(position, query.start, query.end)]


def _read(index: MessageIndex, bus: MessageBus, positions: list[int]) -> Iterator[tuple[int, Message]]:
    """The messages at these positions; those between are read with them and skipped."""
    if not positions:
        return
    first = positions[0]
    try:
        messages = bus.read_messages(index.ids[first - 1] if first else None, first=positions[-1] - first + 1)
    except SinceIDNotFoundError:
        raise _StaleError from None
    for position in positions:
        if position - first >= len(messages) or messages[position - first].msg_id != index.ids[position]:
            raise _StaleError
        yield position, messages[position - first]


def _contains(message: Message, text: str | None) -> bool:
    return text is None or text.casefold() in message.body.casefold()
