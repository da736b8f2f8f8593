"""Following a log: from a cursor on, for ever, over any store.

A follower keeps no descriptor and no offset: only the ids of the messages it gave last. On every
change of the log it reads what lies behind the newest of them (docs/adr/0002). Where that one is
gone, somebody cut or replaced the file or removed an archive: the follower goes on from the newest
that is left, and warns before the first message that has a gap in front of it. It does not warn at
once, as an editor that saves in place takes the text away and puts it back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Generator
from contextlib import closing, suppress
from itertools import islice

from messagebus.backends.base import Backend
from messagebus.errors import GapWarning, SinceIDNotFoundError
from messagebus.message import Message
from messagebus.msgid import order

_MEMORY = 256  # messages: an edit that takes away more is answered by the order of the ids
_SAMPLES = 512  # ids, of all messages given: by them a log is known again


class Follower:
    """Where a follower stands in a log, and how it goes on from there."""

    def __init__(self, backend: Backend, since_id: str | None, on_gap: Callable[[GapWarning], object]) -> None:
        self._backend = backend
        self._on_gap = on_gap
        self._last_id = self._newest = since_id  # it reads behind the one, and came as far as the other
        self._lost: SinceIDNotFoundError | None = None
        self._given = 0
        self._samples: list[str] = [] if since_id is None else [since_id]
        self._stride = 1  # every so many messages one is kept as a sample
        self._recent: deque[str] = deque([] if since_id is None else [since_id], _MEMORY)
        with closing(backend.read()) as messages:
            self._samples += [message.msg_id for message in islice(messages, 1)]
        self._given_before: Collection[str] = ()

    def read_on(self) -> Generator[Message, None, None]:
        """What lies behind the follower. Raises SinceIDNotFoundError where the log has no such follower."""
        for message in self._backend.read(self._last_id):
            if self._move_to(message):
                yield message

    def recover(self) -> Generator[Message, None, None]:
        """``read_on``, also where somebody removed the message that the follower stands at."""
        try:
            yield from self.read_on()
        except SinceIDNotFoundError as error:
            self._lost = error
            with suppress(SinceIDNotFoundError):  # an editor is saving: there is another change to come
                for message in self._not_seen_yet():
                    if self._move_to(message):
                        yield message

    def _move_to(self, message: Message) -> bool:
        """Stand at ``message``; is it new?"""
        self._last_id = message.msg_id
        if message.msg_id in self._given_before:
            return False
        if self._lost:
            self._tell_gap(self._lost)
        self._lost, self._given_before = None, ()
        self._newest = message.msg_id
        self._recent.append(message.msg_id)
        self._sample(message.msg_id)
        return True

    def _sample(self, msg_id: str) -> None:
        """Remember one in ``_stride`` messages, and of too many every other."""
        if self._given % self._stride == 0:
            self._samples.append(msg_id)
        self._given += 1
        if len(self._samples) > _SAMPLES:
            del self._samples[1::2]
            self._stride *= 2

    def _tell_gap(self, lost: SinceIDNotFoundError) -> None:
        if self._newest is None or self._backend.get(self._newest):
            return  # it was away for a moment only
        text = (
            f"{lost.log} does not hold {self._newest} any more, where a follower stood: it was cut or replaced, "
            "or an archive was removed; messages before the next one may be missing"
        )
        self._on_gap(GapWarning(text))

    def _not_seen_yet(self) -> Generator[Message, None, None]:
        """What lies behind the newest message that was given and is still there. Where there is none:
        everything, if the log holds no message that is remembered; else what is later by its id."""
        recent, samples = frozenset(self._recent), frozenset(self._samples)
        left, is_other_log = None, True
        for message in self._backend.read():
            is_other_log = is_other_log and message.msg_id not in samples
            if message.msg_id in recent:
                left = message.msg_id
        if left is not None:
            self._last_id = left
            self._given_before = recent
            yield from self._backend.read(left)
            return
        bound = order(self._newest or "")
        for message in self._backend.read():
            if is_other_log and message.msg_id in samples:
                return  # an editor that saves had it away when we looked: there is another change to come
            here = order(message.msg_id)
            if is_other_log or bound is None or (here is not None and here > bound):
                yield message
