"""All buses at a glance: the last message of each, and how many messages a reader has not seen.

Clients poll this every few seconds, so a bus is read again only if its files have changed, and a client that gives
the token of its last answer gets the difference: each change has a number, and a token names the last one.
"""

from __future__ import annotations

import secrets
import threading
from contextlib import closing
from itertools import islice
from typing import Any, NamedTuple

from messagebus import SinceIDNotFoundError
from run_agent.server.bus_tree import BusStat
from run_agent.server.buses import BusRef, BusRegistry, describe

MAX_UNREAD = 100  # messages are counted up to this number
_MAX_REMOVED = 10_000  # buses remembered that are gone
_MAX_DIGITS = 20  # of the number of a change


class _Entry(NamedTuple):
    """A bus as it was last looked at, and the number of its last change."""

    stat: BusStat
    summary: dict[str, Any]
    change: int


class Activity:
    """The activity on all buses. Safe to share between threads."""

    def __init__(self, buses: BusRegistry) -> None:
        self._buses = buses
        self._lock = threading.Lock()
        self._entries: dict[BusRef, _Entry] = {}
        self._removed: dict[BusRef, int] = {}  # the number of that change, oldest first
        self._epoch = secrets.token_hex(8)  # tokens of another server mean nothing here
        self._change = self._forgotten = 0  # the last change, and the last one that is no longer known

    def all(self) -> list[dict[str, Any]]:
        """Every bus as JSON: project and task, size, and the last message's id, time and type."""
        with self._lock:
            self._update()
            return [entry.summary for entry in self._entries.values()]

    def since(self, token: str) -> dict[str, Any]:
        """What has changed since the answer with this token, as JSON: ``buses`` that are new or changed,
        ``removed``, and the next ``token``. All buses, without ``removed``, if the token is not known (any more)."""
        with self._lock:
            self._update()
            change = self._change_of(token)
            buses = [entry.summary for entry in self._entries.values() if entry.change > change]
            answer: dict[str, Any] = {"token": f"{self._epoch}-{self._change}", "buses": buses}
            if change >= 0:
                answer["removed"] = [_ids(ref) for ref, number in self._removed.items() if number > change]
            return answer

    def unread(self, ref: BusRef, after: str | None) -> int:
        """How many messages came after an id, ``MAX_UNREAD`` at most; all of them if the id is unknown."""
        try:
            with closing(self._buses.bus(ref).iter_messages(after)) as messages:
                return sum(1 for _ in islice(messages, MAX_UNREAD))
        except SinceIDNotFoundError:
            return self.unread(ref, None)

    def _update(self) -> None:
        """Look at all buses again. Those that are removed, and come back, have changed."""
        before, entries = dict(self._entries), {}
        for ref, stat in self._buses.stats():
            entry = before.pop(ref, None)
            entries[ref] = entry if entry and entry.stat == stat else self._changed(ref, stat)
        self._entries = entries
        for ref in before:
            self._change += 1
            self._removed[ref] = self._change
        while len(self._removed) > _MAX_REMOVED:
            self._forgotten = self._removed.pop(next(iter(self._removed)))

    def _changed(self, ref: BusRef, stat: BusStat) -> _Entry:
        self._change += 1
        self._removed.pop(ref, None)
        summary = describe(self._buses.bus(ref), stat, ("last", "last_id", "last_type"))
        return _Entry(stat, _ids(ref) | summary, self._change)

    def _change_of(self, token: str) -> int:
        """The change that a token names; -1 if what has happened since is not known."""
        epoch, _, number = token.partition("-")
        if epoch != self._epoch or not number.isascii() or not number.isdecimal() or len(number) > _MAX_DIGITS:
            return -1
        return int(number) if self._forgotten <= int(number) <= self._change else -1


def _ids(ref: BusRef) -> dict[str, str]:
    return {"project_id": ref.project_id} | ({"task_id": ref.task_id} if ref.task_id else {})
