"""Pages of a log, from either end, of the messages that fit: found by its index, read from the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from messagebus import Message, MessageBus, SinceIDNotFoundError
from run_agent.server.buses import BusRef
from run_agent.server.params import MOST_MESSAGES, ListQuery
from run_agent.server.queries.message_index import MessageIndex, MessageIndexes

_STRETCH = 500  # messages that are looked at together
_MOST_READ = 20_000  # of which one request reads the bodies; the next page goes on from there


class Found(NamedTuple):
    """A page, and the ids from which to go on: after ``next``; before ``previous``, where not everything older that
    was asked for has been looked at."""

    messages: list[Message]
    next: str | None
    previous: str | None
    replies: dict[str, int]


def search(indexes: MessageIndexes, bus: MessageBus, at: BusRef, wanted: ListQuery) -> Found:
    """Raises ApiError for an unknown ``since`` or ``before``."""
    index = indexes.of(at)
    try:
        return _page(index, bus, wanted)
    except _StaleError:  # somebody changed the middle of the file
        indexes.forget(at)
        return _page(indexes.of(at), bus, wanted)


class _StaleError(Exception):
    """The file does not hold what the index says."""


def _page(index: MessageIndex, bus: MessageBus, wanted: ListQuery) -> Found:
    low, high = _span(index, wanted)
    forward, most = wanted.first is not None, min(wanted.first or wanted.limit or MOST_MESSAGES, MOST_MESSAGES)
    found: list[tuple[int, Message]] = []
    start, stop = (low, low) if forward else (high, high)  # what has been looked at
    read = 0
    for low_end, high_end in _stretches(low, high, forward=forward):
        start, stop = min(start, low_end), max(stop, high_end)
        places = _places(index, wanted, low_end, high_end)
        if wanted.text is None:
            places = places[: most - len(found)] if forward else places[len(found) - most :]
        read += len(places)
        new = [pair for pair in _read(index, bus, places) if _says(pair[1], wanted.text)]
        found = found + new if forward else new + found
        if len(found) >= most or read >= _MOST_READ:
            break
    is_full, is_unfinished = len(found) >= most, forward and stop < high
    if is_full:
        found = found[:most] if forward else found[-most:]
        start = start if forward else found[0][0]
    ids = [index.ids[here] for here, _ in found]
    return Found(
        [message for _, message in found],
        next=index.ids[stop - 1] if is_unfinished and not is_full else ids[-1] if ids else None,
        previous=index.ids[start] if low < start < len(index) else None,
        replies={msg_id: len(index.replies[msg_id]) for msg_id in ids if msg_id in index.replies},
    )


def _span(index: MessageIndex, wanted: ListQuery) -> tuple[int, int]:
    """The positions from which and up to which to look."""
    floor, ceiling = index.between(wanted.start, wanted.end, len(index))
    low = max(floor, index.position(wanted.since) + 1 if wanted.since else 0)
    high = min(ceiling, index.position(wanted.before)) if wanted.before else ceiling
    return low, max(low, high)


def _stretches(low: int, high: int, *, forward: bool) -> Iterator[tuple[int, int]]:
    if forward:
        yield from ((start, min(start + _STRETCH, high)) for start in range(low, high, _STRETCH))
    else:
        yield from ((max(stop - _STRETCH, low), stop) for stop in range(high, low, -_STRETCH))


def _places(index: MessageIndex, wanted: ListQuery, start: int, stop: int) -> list[int]:
    candidates: Sequence[int] = range(start, stop)
    if wanted.parent is not None:
        candidates = [here for here in index.replies.get(wanted.parent, ()) if start <= here < stop]
    if wanted.msg_id is not None:
        here = index.positions.get(wanted.msg_id, -1)
        candidates = [here] if here in candidates else []
    places = list(index.matching(wanted.types, wanted.run_id).among(candidates))
    if index.in_order:
        return places
    return [here for here in places if index.is_between(here, wanted.start, wanted.end)]


def _read(index: MessageIndex, bus: MessageBus, places: list[int]) -> Iterator[tuple[int, Message]]:
    """The messages at these positions, in one piece with those between."""
    if not places:
        return
    first = places[0]
    try:
        messages = bus.read_messages(index.ids[first - 1] if first else None, first=places[-1] - first + 1)
    except SinceIDNotFoundError:
        raise _StaleError from None
    for here in places:
        if here - first >= len(messages) or messages[here - first].msg_id != index.ids[here]:
            raise _StaleError
        yield here, messages[here - first]


def _says(message: Message, text: str | None) -> bool:
    return text is None or text.casefold() in message.body.casefold()
