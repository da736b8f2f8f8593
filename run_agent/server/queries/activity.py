"""All buses at a glance: the last message of each, and how many messages a reader has not seen.

Clients poll this every few seconds, so a bus is read again only if its files have changed.
"""

from __future__ import annotations

import threading
from contextlib import closing
from itertools import islice
from typing import Any

from messagebus import SinceIDNotFoundError
from run_agent.server.buses import BusRef, BusRegistry, BusStat, describe

MAX_UNREAD = 100  # messages are counted up to this number


class Activity:
    """The activity on all buses. Safe to share between threads."""

    def __init__(self, buses: BusRegistry) -> None:
        self._buses = buses
        self._lock = threading.Lock()
        self._cache: dict[BusRef, tuple[BusStat, dict[str, Any]]] = {}

    def all(self) -> list[dict[str, Any]]:
        """Every bus as JSON: project and task, size, and the last message's id, time and type."""
        with self._lock:
            self._cache = current = {ref: self._summary(ref, stat) for ref, stat in self._buses.stats()}
        return [summary for _, summary in current.values()]

    def unread(self, ref: BusRef, after: str | None) -> int:
        """How many messages came after an id, ``MAX_UNREAD`` at most; all of them if the id is unknown."""
        try:
            with closing(self._buses.bus(ref).iter_messages(after)) as messages:
                return sum(1 for _ in islice(messages, MAX_UNREAD))
        except SinceIDNotFoundError:
            return self.unread(ref, None)

    def _summary(self, ref: BusRef, stat: BusStat) -> tuple[BusStat, dict[str, Any]]:
        cached = self._cache.get(ref)
        if cached and cached[0] == stat:
            return cached
        ids = {"project_id": ref.project_id} | ({"task_id": ref.task_id} if ref.task_id else {})
        return stat, ids | describe(self._buses.bus(ref), stat, ("last", "last_id", "last_type"))
