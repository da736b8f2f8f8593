"""The pieces of a damaged file, or of several, written anew as one file that is not.

What is whole stays as it is. A torn or edited record is marked, in ``meta``; a record that nobody can
read, and text that belongs to none, become messages of their own, with all their words, where
they stood. Pure; who calls it keeps the original.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import NamedTuple

from messagebus.codec import encode, header
from messagebus.codec.edit import edited, stored_with_lf, with_fitting_length
from messagebus.codec.fields import CONFLICT_OF, MENDED
from messagebus.codec.framing import OPENING, escape, find_partial_start, unescape
from messagebus.codec.scan import Examined, Span, examine, plain_message, split_header
from messagebus.msgid import Order, next_msg_id, order, sibling
from messagebus.repair.joined import split_joined

_LENGTH = re.compile(rb"^content_length: (\d{1,12})\r*$", re.MULTILINE)
_HEAD: Order = (-1, "")  # of the text above the first record
_LONGEST_ID = 512  # characters that the header of another record takes from one that cannot be read
_UNWRITTEN = re.compile(rb"\0+")
_TORN_END = b"The record above is torn: the rest of it was never written, or cut off."


class Scope(NamedTuple):
    """What new records say about themselves: the project, the task, and their time (UTC)."""

    project_id: str
    task_id: str
    ts: datetime


class _Kept(NamedTuple):
    """A record as it is to stand in the file."""

    place: Order
    raw: bytes


class _Loose(NamedTuple):
    """Text that becomes a message, under an id of its own, behind the records of its place. Where
    it is a record that only needs another id, ``kind`` is empty."""

    place: Order
    kind: str
    meta: Mapping[str, str]
    text: bytes


_Entry = _Kept | _Loose


class Rewrite:
    """One file to be. Once ``records`` has run, ``done`` tells what was changed, and ``last`` the last id."""

    def __init__(
        self,
        scope: Scope,
        before: str,
        repeated: dict[str, bytes],
        *,
        missing: str,
        joined: Collection[str],
        sort: bool,
        live: bool,
    ) -> None:
        self.done: list[str] = []
        self._scope = scope
        self.last = self._anchor = before  # the last id so far, at first one behind those of the files before
        self._siblings = 0  # how many records stand right behind the anchor
        self._repeated = repeated  # ids that stand on more than one record, and the first of each, once it was met
        self._missing = missing  # what is to be said about messages in front of the first
        self._joined = joined  # ids of records that the text of others holds, and shall no longer
        self._sort = sort
        self._live = live
        self._location: Order = order(before) or _HEAD

    def records(self, pieces: Iterable[Span]) -> Iterator[bytes]:
        """What is to stand in the file, with a blank line between each two."""
        entries: Iterable[_Entry] = self._entries(pieces)
        if self._missing:
            entries = chain((_Loose(self._location, "GAP", {}, self._missing.encode()),), entries)
        if self._sort:
            entries = sorted(entries, key=lambda entry: entry.place)
        yield from self._numbered(entries)

    def _entries(self, pieces: Iterable[Span]) -> Iterator[_Entry]:
        for piece in chain.from_iterable(split_joined(piece, self._joined) for piece in pieces):
            if not piece.start:
                yield from self._above(piece)
            elif plain_message(piece):
                yield from self._kept(piece, piece.raw)
            else:
                yield from self._examined(piece, examine(piece))

    def _above(self, piece: Span) -> Iterator[_Entry]:
        """The one-line messages above the first record; their ids are the numbers of their lines."""
        record = examine(piece)
        if record.messages:
            lines = {raw.replace(b"\r\n", b"\n") for _, raw in record.messages}
            text = [line if line + b"\n" in lines else b"" for line in piece.as_lf().split(b"\n")]
            yield _Kept(_HEAD, b"\n" * (piece.line - 1) + b"\n".join(text).rstrip(b"\n") + b"\n")
        if record.stray:
            yield self._loose(piece, "RECOVERED", record.stray, "made a message of the text there")

    def _examined(self, piece: Span, record: Examined) -> Iterator[_Entry]:
        if record.damage == "header":
            yield from self._unreadable(piece)
            return
        own = b"".join(stored_with_lf(record, crlf=piece.is_crlf)) if record.stray else piece.as_lf()
        raw: bytes | None = own
        if record.damage and not is_known(record):
            raw = _torn(piece) if record.damage == "torn" else with_fitting_length(record, crlf=piece.is_crlf)
            if raw:
                self.done.append(f"line {piece.line}: marked {piece.msg_id}: {record.why}")
        elif piece.msg_id in self._joined:
            raw = edited(own, {MENDED: "joined"})
            self.done.append(f"line {piece.line}: made {piece.msg_id}, which the text above had swallowed, a message")
        if not raw:
            yield from self._unreadable(piece)
            return
        yield from self._kept(piece, raw)
        if record.damage != "torn":
            yield from self._other(piece, record.stray)
        elif self._live and piece.is_last:
            yield _Loose(self._location, "MENDED", {}, _TORN_END)  # readers are given it once something follows

    def _other(self, piece: Span, other: bytes) -> Iterator[_Entry]:
        """What a crash left below a record."""
        if not other:
            return
        text = _written(other).strip(b"\r\n")
        if not text or find_partial_start(b"\n\n" + text, 0) == 1:  # no more than the first bytes of a start
            self.done.append(f"line {piece.line}: cut off what a crash left below {piece.msg_id}")
        else:
            yield self._loose(piece, "RECOVERED", text, f"made a message of the text below {piece.msg_id}")

    def _kept(self, piece: Span, raw: bytes) -> Iterator[_Entry]:
        msg_id = piece.msg_id
        self._location = order(msg_id) or self._location
        first = self._repeated.get(msg_id) or raw
        if msg_id in self._repeated:
            self._repeated[msg_id] = first
        if first is raw:
            yield _Kept(self._location, raw)
        elif first == raw:
            self.done.append(f"line {piece.line}: left out a second copy of {msg_id}")
        else:
            self.done.append(f"line {piece.line}: gave a second record {msg_id} an id of its own")
            yield _Loose(self._location, "", {CONFLICT_OF: msg_id}, raw)

    def _unreadable(self, piece: Span) -> Iterator[_Entry]:
        """All of a record as the body of another, of its id if that may stand for one."""
        msg_id, text = piece.msg_id, _written(piece.as_lf())
        if len(msg_id) <= _LONGEST_ID and order(msg_id) and header.scalar(msg_id) == msg_id:
            meta = {MENDED: "header"}
            yield from self._kept(piece, new_record(msg_id, "UNREADABLE", meta, text, self._scope))
            self.done.append(f"line {piece.line}: made the unreadable record {msg_id} the body of one that is")
        else:
            yield self._loose(piece, "UNREADABLE", text, "made an unreadable record the body of one that is")

    def _loose(self, piece: Span, kind: str, text: bytes, done: str) -> _Loose:
        self.done.append(f"line {piece.line}: {done}")
        return _Loose(self._location, kind, {MENDED: f"line {piece.line}"}, _written(text))

    def _numbered(self, entries: Iterable[_Entry]) -> Iterator[bytes]:
        """The bytes of all, with ids for the loose ones that keep the order."""
        waiting: deque[_Loose] = deque()
        for entry in entries:
            if isinstance(entry, _Loose):
                waiting.append(entry)
                continue
            while waiting and (order(self._next_id()) or entry.place) < entry.place:
                yield self._new(waiting.popleft())
            yield entry.raw
            if entry.place[1]:
                self.last = self._anchor = entry.place[1]
                self._siblings = 0
        while waiting:
            yield self._new(waiting.popleft())

    def _next_id(self) -> str:
        return id_behind(self._anchor, self._siblings)

    def _new(self, loose: _Loose) -> bytes:
        self.last = self._next_id()
        self._siblings += 1
        if not loose.kind:
            renamed = edited(loose.text, loose.meta, msg_id=self.last)
            if renamed is not None:
                return renamed
        return new_record(self.last, loose.kind or "UNREADABLE", loose.meta, loose.text, self._scope)


def id_behind(msg_id: str, number: int = 0) -> str:
    """The id of a record that is to stand right behind this one, and behind as many like it."""
    if len(msg_id) > _LONGEST_ID or header.scalar(msg_id) != msg_id:
        msg_id = next_msg_id(msg_id, 0, bytes)
    return sibling(msg_id, number)


def _written(text: bytes) -> bytes:
    """``text`` with a line end in place of each stretch that a crash left unwritten."""
    return _UNWRITTEN.sub(b"\n", text)


def new_record(msg_id: str, kind: str, meta: Mapping[str, str], text: bytes, scope: Scope) -> bytes:
    """A record around bytes that may be no UTF-8."""
    body = escape(text.rstrip(b"\r\n"))
    named = {"type": kind, "project_id": scope.project_id, "task_id": scope.task_id}
    fields = "".join(header.entry(name, value) for name, value in named.items() if value) + header.mapping("meta", meta)
    return encode(msg_id, scope.ts, b"%bcontent_length: %d\n---\n%b\n" % (fields.encode(), len(body), body))


def is_known(record: Examined) -> bool:
    """Is it torn, and marked so already? Its length tells readers, too, and must not fit."""
    return record.damage == "torn" and record.messages[0][0].meta.get(MENDED) == "torn"


def _torn(piece: Span) -> bytes | None:
    """A torn record with its mark, and without blocks that a crash left unwritten. Its length does
    not fit: readers take that for the mark."""
    raw = piece.as_lf()
    head, region = split_header(raw[len(OPENING) :])
    unwritten = region.find(b"\0")
    if unwritten < 0:
        return edited(raw, {MENDED: "torn"})
    body = escape(unescape(region[:unwritten]) + _written(region[unwritten:])).rstrip(b"\r\n")
    lengths = [int(length) for length in _LENGTH.findall(head)]
    return edited(raw, {MENDED: "torn"}, body=body, length=max(lengths[-1], len(body) + 1) if lengths else None)
