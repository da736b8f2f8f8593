"""The order of the ids of a log: which are out of order, and which may occur twice.

An id that is later than every id before it occurs for the first time. So only the others are remembered, as
suspects; whether one of them really occurs twice is decided after all files are read (``check.py``).
"""

from __future__ import annotations

from messagebus.msgid import Order, is_go, is_own, order
from messagebus.repair.findings import Location

_MAX_LOCK_WAIT = 30_000  # milliseconds that the Go tool, having made its id, waits for the lock


class IdOrder:
    """The ids of a log so far.

    ``suspects`` holds ids that may occur twice, each with what to report if it does not: "order", "late" or
    "" for nothing.
    """

    def __init__(self) -> None:
        self.suspects: list[tuple[Location, str]] = []
        self._latest: Order = (-1, "")
        self._above: Order = (-1, "")
        self._latest_own = ""  # an own id that is both; then the two above are out of date
        self._without_time: set[str] = set()

    def add_next_own(self, msg_id: str) -> bool:
        """Add the id if it is an own id after an own id; else False. Fast: own ids compare as text."""
        if not self._latest_own or msg_id <= self._latest_own or not is_own(msg_id):
            return False
        self._latest_own = msg_id
        return True

    def latest(self) -> Order:
        """The latest id so far."""
        if self._latest_own:
            self._latest = self._above = order(self._latest_own) or self._latest
        return self._latest

    def add(self, location: Location, latest_before: Order) -> None:
        """Add any id. ``latest_before`` is the latest id of the files before: order is checked within a file."""
        here, latest, msg_id = order(location.msg_id), self.latest(), location.msg_id
        if here is None:
            if msg_id in self._without_time:
                self.suspects.append((location, ""))
            self._without_time.add(msg_id)
            return
        if here <= latest:
            name = "late" if is_late(here, self._above) else "order" if latest_before < here < self._above else ""
            self.suspects.append((location, name))
        self._latest_own = msg_id if here > latest and is_own(msg_id) else ""
        self._latest, self._above = max(here, latest), here


def is_late(here: Order, above: Order) -> bool:
    """Is it earlier than the one above only because the Go tool makes its ids before it has the lock?"""
    return here < above and above[0] - here[0] <= _MAX_LOCK_WAIT and is_go(here[1])
