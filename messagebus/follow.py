"""Following a log: from a cursor on, for ever, over any backend.

A follower keeps no descriptor and no offset, only ids of messages that it has delivered. Whenever the
log has changed it reads what comes after its cursor (docs/adr/0002). Where the cursor is no longer in
the log, the file was cut or replaced, or an archive was removed: the follower continues after the
newest delivered message that is left, and warns before the first message that may have a gap in front
of it. It does not warn at once, because an editor that saves in place removes the text and then puts
it back.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, suppress
from itertools import islice
from typing import NamedTuple

from messagebus.backends.base import Backend, Watch
from messagebus.errors import GapWarning, SinceIDNotFoundError
from messagebus.message import Message
from messagebus.msgid import order

_RECENT = 256  # messages: after an edit that removes more of them, the order of the ids decides
_SAMPLED = 512  # ids, of all messages delivered: a log that holds none of them is another one


class Follower:
    """Reads a log as it grows: ``start`` once, then ``resume`` whenever the log has changed."""

    def __init__(self, backend: Backend, since_id: str | None, on_gap: Callable[[GapWarning], object]) -> None:
        self._backend = backend
        self._on_gap = on_gap
        self._cursor = since_id  # the read position: after a loss, it goes back
        self._last_delivered = since_id
        self._delivered = _DeliveredIDs(since_id)
        self._read_again: frozenset[str] = frozenset()  # delivered before the cursor went back
        self._loss: SinceIDNotFoundError | None = None  # that no warning was given of yet

    def start(self) -> Generator[Message, None, None]:
        """Everything after the cursor. Raises SinceIDNotFoundError where the log does not hold it."""
        with closing(self._backend.read()) as messages:
            for message in islice(messages, 1):
                self._delivered.include(message.msg_id)  # the oldest message identifies a log best
        yield from self._after_cursor()

    def resume(self) -> Generator[Message, None, None]:
        """What is new since, also where the message at the cursor was removed."""
        try:
            yield from self._after_cursor()
        except SinceIDNotFoundError as error:
            self._loss = error
            with suppress(SinceIDNotFoundError):  # an editor is saving: another change will follow
                yield from self._new(self._after_loss())

    def _after_cursor(self) -> Generator[Message, None, None]:
        return self._new(self._backend.read(self._cursor))

    def _new(self, messages: Iterable[Message]) -> Generator[Message, None, None]:
        """Those that were not delivered yet; a warning before the first, if there may be a gap."""
        for message in messages:
            self._cursor = message.msg_id
            if message.msg_id in self._read_again:
                continue
            if self._loss:
                self._warn_of_gap(self._loss)
            self._loss, self._read_again = None, frozenset()
            self._last_delivered = message.msg_id
            self._delivered.add(message.msg_id)
            yield message

    def _warn_of_gap(self, loss: SinceIDNotFoundError) -> None:
        if self._last_delivered is None or self._backend.get(self._last_delivered):
            return  # it was only away for a moment
        text = (
            f"{loss.log} no longer holds {self._last_delivered}, the last message that a follower delivered: it was "
            "cut or replaced, or an archive was removed; messages before the next one may be missing"
        )
        self._on_gap(GapWarning(text))

    def _after_loss(self) -> Iterable[Message]:
        """What to read where the cursor is gone: from the newest recent message that is left. Where none is,
        the whole of a log that holds no message of the sample, and otherwise what is later by its id."""
        left = self._delivered.left_in(self._backend.read())
        if left.newest_recent is None:
            return self._unseen(left)
        self._cursor = left.newest_recent
        self._read_again = left.recent
        return self._backend.read(left.newest_recent)

    def _unseen(self, left: _Left) -> Generator[Message, None, None]:
        last = order(self._last_delivered or "")
        for message in self._backend.read():
            if left.is_other_log and message.msg_id in left.sample:
                return  # an editor that saves had removed it when we looked: another change will follow
            here = order(message.msg_id)
            if left.is_other_log or last is None or (here is not None and here > last):
                yield message


class _Left(NamedTuple):
    """What a log still holds of the messages that were delivered: ``newest_recent`` is None where it
    holds none of ``recent``, and ``is_other_log`` says that it holds none of ``sample``."""

    newest_recent: str | None
    is_other_log: bool
    recent: frozenset[str]
    sample: frozenset[str]


class _DeliveredIDs:
    """The ids of the messages that were delivered: all of the recent ones, and a sample of all."""

    def __init__(self, since_id: str | None) -> None:
        known = [] if since_id is None else [since_id]
        self._recent = deque(known, _RECENT)
        self._sample = known
        self._stride = 1  # one id in so many is sampled
        self._count = 0

    def add(self, msg_id: str) -> None:
        """``msg_id`` was delivered."""
        self._recent.append(msg_id)
        if self._count % self._stride == 0:
            self._sample.append(msg_id)
        self._count += 1
        if len(self._sample) > _SAMPLED:
            del self._sample[1::2]
            self._stride *= 2

    def include(self, msg_id: str) -> None:
        """``msg_id`` belongs to the sample, whether it was delivered or not."""
        self._sample.append(msg_id)

    def left_in(self, log: Iterable[Message]) -> _Left:
        """Which of them ``log`` still holds."""
        recent, sample = frozenset(self._recent), frozenset(self._sample)
        newest_recent, is_other_log = None, True
        for message in log:
            is_other_log = is_other_log and message.msg_id not in sample
            if message.msg_id in recent:
                newest_recent = message.msg_id
        return _Left(newest_recent, is_other_log, recent, sample)


def wait_for_change(
    watch: Watch,
    mark: object,
    poll_interval: float,
    *,
    deadline: float | None = None,
    stop: threading.Event | None = None,
) -> bool:
    """Wait until the log differs from ``mark``; False where ``deadline`` (monotonic) or ``stop`` comes first.

    Looks at ``stop`` every ``poll_interval`` seconds.
    """
    while not (stop and stop.is_set()):
        left = poll_interval
        if deadline is not None:
            left = min(left, deadline - time.monotonic())
        if left <= 0:
            return False
        if watch.wait(mark, left):
            return True
    return False
