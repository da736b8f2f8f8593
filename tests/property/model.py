"""What a log must hold, as plain lists: the model of ``test_model.py``.

Nothing here asks the library what a file contains. A record that was appended is an entry; what
crashes and people do to the bytes is worked out from SPEC.md: "Torn records" for the last record
of the live file, whose reading depends on what comes after it (a ``Tail``), and "Gaps" for those
who follow.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

from messagebus import Message

DAY_MS = 24 * 3600 * 1000
KEY = "idempotency_key"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_START = re.compile(rb"(?:\A|(?<=\n)\r*\n)(?=---\r*\nmsg_id:)")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Clock:
    """What the stores take for ``time`` and ``datetime``: it stands still until it is set."""

    def __init__(self) -> None:
        self.reset()

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)

    def reset(self) -> None:
        self.ms = self._not_before = 1_795_230_855_926

    def time_ns(self) -> int:
        return self.ms * 1_000_000

    def now(self, zone: tzinfo) -> datetime:
        return (_EPOCH + timedelta(milliseconds=self.ms)).astimezone(zone)

    def step(self, ms: int) -> None:
        self.ms = max(self.ms + ms, self._not_before)

    def pass_by(self, ms: int) -> None:
        """Be later than that from now on. Where the newest message is gone, some writers remember its
        id, and the others go on from what is left: so their ids hold one time all the same."""
        self._not_before = max(self._not_before, ms + 1)
        self.step(0)


def is_own(msg_id: str) -> bool:
    """Is it the id of a record, and not of a line that a person added?"""
    return msg_id.startswith("MSG-") and "+" not in msg_id


def ms_of(msg_id: str) -> int:
    """Milliseconds since 1970 in an id of ours."""
    ms = 0
    for char in msg_id[4:14]:
        ms = 32 * ms + _CROCKFORD.index(char)
    return ms


# --- entries ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """A message of the log, as the file must give it.

    ``stored`` is the record as its writer wrote it, and empty for a line that a person added.
    ``short``: its body is shorter than its length, so it is kept back where nothing follows.
    ``hidden``: only its id is left, in an archive: no message, but a cursor that a reader can have.
    """

    message: Message
    stored: bytes = b""
    short: bool = False
    hidden: bool = False

    @property
    def record_id(self) -> str:
        """The id of the record that it is, or the record that it is below."""
        return self.message.msg_id.partition("+")[0]

    @property
    def is_record(self) -> bool:
        return bool(self.stored)

    def with_body(self, body: bytes) -> Entry:
        """The same with these bytes for its body."""
        length = length_in(self.stored)
        short = len(body) < length
        text = re.sub(rb"(?m)^\\(\\*---\r*)$", rb"\1", body).decode("utf-8", "replace")
        intact = len(body) == length and b"\0" not in body
        return replace(self, message=replace(self.message, body=text, intact=intact), short=short)


@dataclass(frozen=True)
class Tail:
    """The end of the live file where it is not in order: what it reads as ``now``, once another
    record ``follows`` (the writer of which recovers it first), and once it is ``archived`` as it is.

    ``unfinished`` is what a reader must say; None where both are true.
    """

    now: Entry | None
    follows: Entry | None
    archived: Entry | None
    unfinished: bool | None = True

    @classmethod
    def kept_back(cls, entry: Entry) -> Tail:
        return cls(None, entry, entry)


@dataclass
class Log:
    """All entries, file by file. Where there is a ``tail``, its entry is not in ``live``."""

    archives: list[tuple[Path, list[Entry]]] = field(default_factory=list)
    live: list[Entry] = field(default_factory=list)
    tail: Tail | None = None

    def messages(self) -> list[Message]:
        """What readers must be given, in order."""
        return [entry.message for entry in self._entries() if not entry.hidden]

    def places(self) -> list[str]:
        """The ids after which reading can continue."""
        return [entry.message.msg_id for entry in self._entries()]

    def places_to_stand(self) -> list[str]:
        """Those, and the record that is kept back: a follower may have been given it when it was whole."""
        kept_back = self.tail and not self.tail.now and self.tail.follows
        return [*self.places(), *([kept_back.message.msg_id] if kept_back else [])]

    def _entries(self) -> Iterator[Entry]:
        for _, archived in self.archives:
            yield from archived
        yield from self.live
        if self.tail and self.tail.now:
            yield self.tail.now

    def in_live_file(self) -> list[Entry]:
        """Those too that are kept back."""
        last = self.tail and (self.tail.archived or self.tail.follows)
        return [*self.live, last] if last else self.live

    def standing_for(self, key: str, now_ms: int) -> Message | None:
        """The newest whole message of the last 24 hours with this key."""
        for message in reversed(self.messages()):
            young = message.meta and ms_of(message.msg_id) >= now_ms - DAY_MS
            if young and message.meta.get(KEY) == key and message.intact:
                return message
        return None

    def settle(self, *, archived: bool) -> None:
        """The end of the live file is settled, by the next record or by its becoming an archive."""
        if self.tail and (entry := self.tail.archived if archived else self.tail.follows):
            self.live.append(entry)
        self.tail = None

    def archive(self, path: Path) -> None:
        self.settle(archived=True)
        self.archives.append((path, self.live))
        self.live = []

    def end_anew(self) -> None:
        """The end is gone: the last entry is now the one that nothing follows."""
        self.tail = None
        if self.live and self.live[-1].short:
            self.tail = Tail.kept_back(self.live.pop())

    def cut(self, kept: bytes, unwritten: int) -> None:
        """Of the last record only ``kept`` got to the file, and so many bytes of NUL after it."""
        entry = self.live.pop()
        if _holds_id(kept):
            self.tail = _cut_record(entry, kept, unwritten)
            if not self.tail.unfinished:
                self.settle(archived=False)
        elif kept or unwritten:
            self.tail = Tail(None, None, None, self._is_unfinished())
        else:
            self.end_anew()

    def find_blocks(self) -> None:
        """There are NULs after the last entry."""
        unfinished = self._is_unfinished()
        last = self.live.pop() if self.live else None
        self.tail = Tail(last, last, last, unfinished)

    def _is_unfinished(self) -> bool | None:
        """Is what a crash left at the end an unfinished record? Where there is no record above, it is
        text that is skipped."""
        return True if any(entry.is_record for entry in self.live) else None

    def can_be_cut_to(self, kept: bytes, unwritten: int) -> bool:
        """Not where the first bytes of a record, or NULs, would join a body that is torn itself:
        there they are text (SPEC.md, "Torn records")."""
        is_behind_torn = len(self.live) > 1 and self.live[-2].short
        return _holds_id(kept) or not (is_behind_torn and (kept or unwritten))


def _holds_id(kept: bytes) -> bool:
    return b"\nmsg_id:" in kept


def _cut_record(entry: Entry, kept: bytes, unwritten: int) -> Tail:
    """The tail that a record leaves of which the start at least was written."""
    end_of_header = entry.stored.index(b"\n---\n") + len(b"\n---")
    if len(kept) < end_of_header:
        id_line = b"msg_id: " + entry.message.msg_id.encode() + (b"\n" if unwritten else b"")
        return Tail(None, None, replace(entry, hidden=True) if id_line in kept else None)
    body = kept[end_of_header + 1 :]
    torn = entry.with_body(body.rstrip(b"\r\n"))
    if not unwritten:
        return Tail.kept_back(torn) if torn.short else Tail(torn, torn, torn, unfinished=False)
    filled = entry.with_body((body + bytes(unwritten))[: length_in(entry.stored)])
    return Tail(filled, torn, filled)


# --- the bytes of a file ---------------------------------------------------------------------


def length_in(record: bytes) -> int:
    match = re.search(rb"\ncontent_length: (\d+)\r*\n", record)
    assert match
    return int(match[1])


def span(content: bytes, record_id: str) -> tuple[int, int]:
    """Where the record with this id starts, and where the next one does or the file ends."""
    starts = [match.end() for match in _START.finditer(content)]
    for start, end in zip(starts, [*starts[1:], len(content)], strict=True):
        if re.match(rb"---\r*\nmsg_id: %b\r*\n" % record_id.encode(), content[start:end]):
            return start, end
    raise AssertionError(f"{record_id} does not stand in the file")


def with_region(record: bytes, text: bytes, *, is_last: bool) -> bytes:
    """A record, with its line ends, where all below its header is now ``text``."""
    line_end = b"\r\n" if record.startswith(b"---\r\n") else b"\n"
    closing = record.index(b"\n---" + line_end) + len(b"\n---" + line_end)
    return record[:closing] + text + line_end + (b"" if is_last else line_end)


# --- following -------------------------------------------------------------------------------


class Stand:
    """The position of a follower: what it was given, and how the log began when it came."""

    def __init__(self, since_id: str | None, ids: list[str]) -> None:
        self._newest = since_id
        self._given = {since_id} if since_id else set()
        self._first = ids[0] if ids else None

    def move(self, ids: list[str], places: list[str]) -> tuple[list[str], bool]:
        """What it must be given of a log with these ids, and whether it must be told of a gap."""
        found = self._newest is None or self._newest in places
        if self._newest in places:
            behind = places[places.index(self._newest) + 1 :]
            new = [msg_id for msg_id in ids if msg_id in behind]
        else:
            new = self._behind_what_is_left(ids)
        self._given.update(new)
        self._newest = new[-1] if new else self._newest
        return new, bool(new) and not found

    def _behind_what_is_left(self, ids: list[str]) -> list[str]:
        left = [position for position, msg_id in enumerate(ids) if msg_id in self._given]
        if left:
            return ids[left[-1] + 1 :]
        if self._newest is None or self._first not in ids:
            return ids
        return [msg_id for msg_id in ids if _is_later(msg_id, self._newest)]


def _is_later(msg_id: str, other: str) -> bool:
    """By the times in the ids; after an id without a time, everything is new."""
    return not other.startswith("MSG-") or (msg_id.startswith("MSG-") and msg_id > other)
