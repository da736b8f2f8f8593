"""Two sequences made one: each item once, in an order that both keep to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, TypeVar

_T = TypeVar("_T", bound=Any)  # can be hashed and sorted


def union(one: list[_T], two: list[_T], when: Callable[[_T], Any]) -> list[_T]:
    """The items of both in the order of ``when``, the same whichever is called one or two.

    An item that has no time (None) stays behind the item with a time that it followed; if those are
    two, behind the later one. No side holds an item twice.
    """
    places = _places((one, two), when)
    groups: dict[Any, tuple[list[_T], list[_T]]] = {}
    for number, side in enumerate((one, two)):
        for item in side:
            groups.setdefault(places[item], ([], []))[number].append(item)
    return [item for place in sorted(groups) for item in _weave(*groups[place])]


def _places(sides: Iterable[list[_T]], when: Callable[[_T], Any]) -> dict[_T, tuple[Any, ...]]:
    """Where each item goes: () is the top, (time,) its own time, (time, 1) right behind that."""
    times = {item: when(item) for item in set().union(*sides)}
    places: dict[_T, tuple[Any, ...]] = {}
    for side in sides:
        behind: tuple[Any, ...] = ()
        for item in side:
            if (at := times[item]) is not None:
                places[item] = (at,)
                behind = (at, 1)
            else:
                places[item] = max(places.get(item, ()), behind)
    return places


def _weave(one: list[_T], two: list[_T]) -> list[_T]:
    """The items of both, each behind those that it followed; a run of one side stays together."""
    if one == two or not (one and two):
        return one or two
    followers: dict[_T, list[_T]] = {item: [] for item in (*one, *two)}
    for item, follower in (*pairwise(one), *pairwise(two)):
        followers[item].append(follower)
    waits = Counter(follower for each in followers.values() for follower in each)
    rest = sorted(followers, reverse=True)  # for where the sides contradict each other
    ready = [item for item in rest if not waits[item]]
    woven: dict[_T, None] = {}
    while ready or rest:
        item = ready.pop() if ready else rest.pop()
        if item in woven:
            continue
        woven[item] = None
        waits.subtract(followers[item])
        ready += sorted({each for each in followers[item] if not waits[each]}, reverse=True)
    return list(woven)
