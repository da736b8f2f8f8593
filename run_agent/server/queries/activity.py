"""All buses at a glance, cheap enough to be asked for every few seconds: which there are, what came last,
and how much of it a reader has not seen."""

from __future__ import annotations

import threading
from contextlib import closing
from itertools import islice
from typing import Any

from messagebus import BusError, SinceIDNotFoundError
from run_agent.server.buses import BusRef, BusRegistry, BusStat

MOST_UNREAD = 100  # that are counted; a reader need not know more exactly


class Activity:
    """What goes on in a buses. A bus is read again only when its files have changed. Threads may share it."""

    def __init__(self, buses: BusRegistry) -> None:
        self._buses = buses
        self._lock = threading.Lock()
        self._known: dict[BusRef, tuple[BusStat, dict[str, Any]]] = {}

    def all(self) -> list[dict[str, Any]]:
        """Every bus: where it is, its size, and the last message's id, time and type."""
        with self._lock:
            seen = {at: self._described(at, look) for at, look in self._buses.stats()}
            self._known = seen
        return [about for _, about in seen.values()]

    def unread(self, at: BusRef, after: str | None) -> int:
        """How many messages came after an id; ``MOST_UNREAD`` at most."""
        try:
            with closing(self._buses.bus(at).iter_messages(after)) as messages:
                return sum(1 for _ in islice(messages, MOST_UNREAD))
        except SinceIDNotFoundError:
            return self.unread(at, None)

    def _described(self, at: BusRef, look: BusStat) -> tuple[BusStat, dict[str, Any]]:
        known = self._known.get(at)
        if known and known[0] == look:
            return known
        try:
            newest = self._buses.bus(at).read_last_n(1)
        except (BusError, OSError):
            newest = []  # one bus that cannot be read hides no other
        task = {"task_id": at.task_id} if at.task_id else {}
        about: dict[str, Any] = {"project_id": at.project_id, **task, "size": look.size}
        for message in newest:
            about |= {"last": message.to_json()["timestamp"], "last_id": message.msg_id, "last_type": message.type}
        return look, about
