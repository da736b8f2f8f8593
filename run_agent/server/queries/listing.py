"""Pages of a log, from either end, of the messages that fit: found by its outline, read from the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from messagebus import Message, MessageBus, SinceIDNotFoundError
from run_agent.server.buses import Address
from run_agent.server.params import MOST_MESSAGES, Listing
from run_agent.server.queries.message_index import Outline, Outlines

_STRETCH = 500  # messages that are looked at together
_MOST_READ = 20_000  # of which one request reads the bodies; the next page goes on from there


class Found(NamedTuple):
    """A page, and the ids from which to go on: after ``next``; before ``previous``, where not everything older that
    was asked for has been looked at."""

    messages: list[Message]
    next: str | None
    previous: str | None
    replies: dict[str, int]


def search(outlines: Outlines, bus: MessageBus, at: Address, wanted: Listing) -> Found:
    """Raises Problem for an unknown ``since`` or ``before``."""
    outline = outlines.of(at)
    try:
        return _page(outline, bus, wanted)
    except _StaleError:  # somebody changed the middle of the file
        outlines.forget(at)
        return _page(outlines.of(at), bus, wanted)


class _StaleError(Exception):
    """The file does not hold what the outline says."""


def _page(outline: Outline, bus: MessageBus, wanted: Listing) -> Found:
    low, high = _span(outline, wanted)
    forward, most = wanted.first is not None, min(wanted.first or wanted.limit or MOST_MESSAGES, MOST_MESSAGES)
    found: list[tuple[int, Message]] = []
    start, stop = (low, low) if forward else (high, high)  # what has been looked at
    read = 0
    for low_end, high_end in _stretches(low, high, forward=forward):
        start, stop = min(start, low_end), max(stop, high_end)
        places = _places(outline, wanted, low_end, high_end)
        if wanted.text is None:
            places = places[: most - len(found)] if forward else places[len(found) - most :]
        read += len(places)
        new = [pair for pair in _read(outline, bus, places) if _says(pair[1], wanted.text)]
        found = found + new if forward else new + found
        if len(found) >= most or read >= _MOST_READ:
            break
    is_full, is_unfinished = len(found) >= most, forward and stop < high
    if is_full:
        found = found[:most] if forward else found[-most:]
        start = start if forward else found[0][0]
    ids = [outline.ids[here] for here, _ in found]
    return Found(
        [message for _, message in found],
        next=outline.ids[stop - 1] if is_unfinished and not is_full else ids[-1] if ids else None,
        previous=outline.ids[start] if low < start < len(outline) else None,
        replies={msg_id: len(outline.replies[msg_id]) for msg_id in ids if msg_id in outline.replies},
    )


def _span(outline: Outline, wanted: Listing) -> tuple[int, int]:
    """The positions from which and up to which to look."""
    floor, ceiling = outline.between(wanted.start, wanted.end, len(outline))
    low = max(floor, outline.position(wanted.since) + 1 if wanted.since else 0)
    high = min(ceiling, outline.position(wanted.before)) if wanted.before else ceiling
    return low, max(low, high)


def _stretches(low: int, high: int, *, forward: bool) -> Iterator[tuple[int, int]]:
    if forward:
        yield from ((start, min(start + _STRETCH, high)) for start in range(low, high, _STRETCH))
    else:
        yield from ((max(stop - _STRETCH, low), stop) for stop in range(high, low, -_STRETCH))


def _places(outline: Outline, wanted: Listing, start: int, stop: int) -> list[int]:
    candidates: Sequence[int] = range(start, stop)
    if wanted.parent is not None:
        candidates = [here for here in outline.replies.get(wanted.parent, ()) if start <= here < stop]
    if wanted.msg_id is not None:
        here = outline.positions.get(wanted.msg_id, -1)
        candidates = [here] if here in candidates else []
    places = list(outline.matching(wanted.types, wanted.run_id).among(candidates))
    if outline.in_order:
        return places
    return [here for here in places if outline.is_between(here, wanted.start, wanted.end)]


def _read(outline: Outline, bus: MessageBus, places: list[int]) -> Iterator[tuple[int, Message]]:
    """The messages at these positions, in one piece with those between."""
    if not places:
        return
    first = places[0]
    try:
        messages = bus.read_messages(outline.ids[first - 1] if first else None, first=places[-1] - first + 1)
    except SinceIDNotFoundError:
        raise _StaleError from None
    for here in places:
        if here - first >= len(messages) or messages[here - first].msg_id != outline.ids[here]:
            raise _StaleError
        yield here, messages[here - first]


def _says(message: Message, text: str | None) -> bool:
    return text is None or text.casefold() in message.body.casefold()
