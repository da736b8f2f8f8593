"""Two sequences united: each item once, in an order that keeps both. Pure.

Items with a time are sorted by it. Items without one stay after the item with a time that they followed; among
themselves they are in topological order: what followed an item on either side follows it in the result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, TypeVar

_T = TypeVar("_T", bound=Any)  # can be hashed and sorted


def union(one: list[_T], two: list[_T], when: Callable[[_T], Any]) -> list[_T]:
    """The items of both in the order of ``when``, the same whichever is called one or two.

    An item that has no time (None) stays after the item with a time that it followed; if the sides
    differ in this, after the later one. No side holds an item twice.
    """
    sort_keys = _sort_keys((one, two), when)
    groups: dict[Any, tuple[list[_T], list[_T]]] = {}
    for number, side in enumerate((one, two)):
        for item in side:
            groups.setdefault(sort_keys[item], ([], []))[number].append(item)
    return [item for sort_key in sorted(groups) for item in _topological(*groups[sort_key])]


def _sort_keys(sides: Iterable[list[_T]], when: Callable[[_T], Any]) -> dict[_T, tuple[Any, ...]]:
    """Where each item goes: () is the top, (time,) its own time, (time, 1) right after that."""
    times = {item: when(item) for item in set().union(*sides)}
    sort_keys: dict[_T, tuple[Any, ...]] = {}
    for side in sides:
        after: tuple[Any, ...] = ()
        for item in side:
            if (time := times[item]) is not None:
                sort_keys[item] = (time,)
                after = (time, 1)
            else:
                sort_keys[item] = max(sort_keys.get(item, ()), after)
    return sort_keys


def _topological(one: list[_T], two: list[_T]) -> list[_T]:
    """The items of both, each after those that it followed; a run of one side stays together."""
    if one == two or not (one and two):
        return one or two
    followers: dict[_T, list[_T]] = {item: [] for item in (*one, *two)}
    for item, follower in (*pairwise(one), *pairwise(two)):
        followers[item].append(follower)
    blockers = Counter(follower for each in followers.values() for follower in each)
    rest = sorted(followers, reverse=True)  # taken where the sides contradict each other
    ready = [item for item in rest if not blockers[item]]
    ordered: dict[_T, None] = {}
    while ready or rest:
        item = ready.pop() if ready else rest.pop()
        if item in ordered:
            continue
        ordered[item] = None
        blockers.subtract(followers[item])
        ready += sorted({each for each in followers[item] if not blockers[each]}, reverse=True)
    return list(ordered)
