"""The spans of a damaged file, or of several, turned into the records of one sound file.

Each span becomes zero or more entries. A record that is whole is kept as it is; a torn or edited one is kept with a
mark in its ``meta``. A record that cannot be read, and stray text (text of no record), become new records at the
same place, with all their words. Then the entries are sorted, if the ids were out of order, and the new
records get ids that fit between those around them. Pure; the caller keeps the original file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from typing import NamedTuple

from messagebus.codec.edit import edited, stored_with_lf, with_fitting_length
from messagebus.codec.fields import CONFLICT_OF, MENDED
from messagebus.codec.framing import find_partial_start
from messagebus.codec.scan import Examined, Span, canonical_message, examine
from messagebus.msgid import Order, order
from messagebus.repair.joined import split_joined
from messagebus.repair.records import (
    RecordDefaults,
    can_keep_id,
    id_after,
    is_marked_torn,
    marked_torn,
    new_record,
    without_nul,
)

_TOP: Order = (-1, "")  # the position of the text above the first record
_TORN_END = b"The record above is torn: the rest of it was never written, or cut off."


class _Kept(NamedTuple):
    """A record that keeps its id. ``position`` is what entries are sorted by: the id, or for one that holds no time
    the id before it."""

    position: Order
    raw: bytes


class _New(NamedTuple):
    """Text that becomes a message with a new id, after the records of its position. If ``type`` is empty, the text is
    a record, which only gets another id."""

    position: Order
    type: str
    meta: Mapping[str, str]
    text: bytes


_Entry = _Kept | _New


class Rewrite:
    """The records of one new file. After ``records`` has run, ``changes`` describes what was changed, a line each,
    and ``last_id`` is the last id of the log so far."""

    def __init__(
        self,
        defaults: RecordDefaults,
        id_before: str,
        duplicates: dict[str, bytes],
        *,
        gap: str,
        joined: Collection[str],
        sort: bool,
        live: bool,
    ) -> None:
        """
        id_before: the last id of the files before; for the first file, an id earlier than all.
        duplicates: ids that several records of the log have, each with the first of them once it was met.
        gap: what to say about messages that may be missing before the first one; "" for nothing.
        joined: ids of records to split off the body of the record above.
        """
        self.changes: list[str] = []
        self.last_id = self._kept_id = id_before
        self._new_after_kept = 0  # how many new records follow the record of that id directly
        self._defaults = defaults
        self._duplicates = duplicates
        self._gap = gap
        self._joined = joined
        self._sort = sort
        self._live = live
        self._position: Order = order(id_before) or _TOP

    def records(self, spans: Iterable[Span]) -> Iterator[bytes]:
        """The records of the new file, in order."""
        entries: Iterable[_Entry] = self._entries(spans)
        if self._gap:
            entries = chain((_New(self._position, "GAP", {}, self._gap.encode()),), entries)
        if self._sort:
            entries = sorted(entries, key=lambda entry: entry.position)
        yield from self._with_ids(entries)

    # --- spans to entries ---

    def _entries(self, spans: Iterable[Span]) -> Iterator[_Entry]:
        for span in chain.from_iterable(split_joined(span, self._joined) for span in spans):
            if not span.start:
                yield from self._above_first(span)
            elif canonical_message(span):
                yield from self._keep(span, span.raw)
            else:
                yield from self._examined(span, examine(span))

    def _above_first(self, span: Span) -> Iterator[_Entry]:
        """The text above the first record. One-line messages keep their line numbers, which are their ids."""
        record = examine(span)
        if record.messages:
            lines = {raw.replace(b"\r\n", b"\n") for _, raw in record.messages}
            text = [line if line + b"\n" in lines else b"" for line in span.as_lf().split(b"\n")]
            yield _Kept(_TOP, b"\n" * (span.line - 1) + b"\n".join(text).rstrip(b"\n") + b"\n")
        if record.stray:
            yield self._new(span, "RECOVERED", record.stray, "made a message of the text there")

    def _examined(self, span: Span, record: Examined) -> Iterator[_Entry]:
        """A record that this library did not write exactly so."""
        raw = None if record.damage == "header" else self._kept_bytes(span, record)
        if not raw:
            yield from self._unreadable(span)
            return
        yield from self._keep(span, raw)
        if record.damage != "torn":
            yield from self._stray(span, record.stray)
        elif self._live and span.is_last:  # readers hold a torn end back until something follows it
            yield _New(self._position, "MENDED", {}, _TORN_END)

    def _kept_bytes(self, span: Span, record: Examined) -> bytes | None:
        """The record as it is to be in the new file; None where its header cannot be edited."""
        own = b"".join(stored_with_lf(record, crlf=span.is_crlf)) if record.stray else span.as_lf()
        if record.damage and not is_marked_torn(record):
            raw = marked_torn(span) if record.damage == "torn" else with_fitting_length(record, crlf=span.is_crlf)
            if raw:
                self._changed(span, f"marked {span.msg_id}: {record.why}")
            return raw
        if span.msg_id in self._joined:
            self._changed(span, f"made {span.msg_id}, which was joined to the record above, a message again")
            return edited(own, {MENDED: "joined"})
        return own

    def _stray(self, span: Span, text: bytes) -> Iterator[_Entry]:
        """Stray text below a record."""
        if not text:
            return
        text = without_nul(text).strip(b"\r\n")
        if not text or find_partial_start(b"\n\n" + text, 0) == 1:  # no more than the first bytes of a record
            self._changed(span, f"cut off what a crash left below {span.msg_id}")
        else:
            yield self._new(span, "RECOVERED", text, f"made a message of the text below {span.msg_id}")

    def _keep(self, span: Span, raw: bytes) -> Iterator[_Entry]:
        """A record under its own id, unless another record had that id first."""
        msg_id = span.msg_id
        self._position = order(msg_id) or self._position
        first = self._duplicates.get(msg_id) or raw
        if msg_id in self._duplicates:
            self._duplicates[msg_id] = first
        if first is raw:
            yield _Kept(self._position, raw)
        elif first == raw:
            self._changed(span, f"left out a second copy of {msg_id}")
        else:
            self._changed(span, f"gave a second record {msg_id} an id of its own")
            yield _New(self._position, "", {CONFLICT_OF: msg_id}, raw)

    def _unreadable(self, span: Span) -> Iterator[_Entry]:
        """All of a record as the body of a new one, with the same id if possible."""
        msg_id, text = span.msg_id, without_nul(span.as_lf())
        if can_keep_id(msg_id):
            yield from self._keep(span, new_record(msg_id, "UNREADABLE", {MENDED: "header"}, text, self._defaults))
            self._changed(span, f"made the unreadable record {msg_id} the body of a new one")
        else:
            yield self._new(span, "UNREADABLE", text, "made an unreadable record the body of a new one")

    def _new(self, span: Span, type_: str, text: bytes, change: str) -> _New:
        self._changed(span, change)
        return _New(self._position, type_, {MENDED: f"line {span.line}"}, without_nul(text))

    def _changed(self, span: Span, change: str) -> None:
        self.changes.append(f"line {span.line}: {change}")

    # --- entries to records ---

    def _with_ids(self, entries: Iterable[_Entry]) -> Iterator[bytes]:
        """The bytes of all entries. New records get ids that keep the order: one waits where its id would not be
        earlier than that of the next kept record."""
        waiting: deque[_New] = deque()
        for entry in entries:
            if isinstance(entry, _New):
                waiting.append(entry)
                continue
            while waiting and (order(self._next_id()) or entry.position) < entry.position:
                yield self._numbered(waiting.popleft())
            yield entry.raw
            if entry.position[1]:
                self.last_id = self._kept_id = entry.position[1]
                self._new_after_kept = 0
        while waiting:
            yield self._numbered(waiting.popleft())

    def _next_id(self) -> str:
        return id_after(self._kept_id, self._new_after_kept)

    def _numbered(self, new: _New) -> bytes:
        self.last_id = self._next_id()
        self._new_after_kept += 1
        if not new.type:
            renamed = edited(new.text, new.meta, msg_id=self.last_id)
            if renamed is not None:
                return renamed
        return new_record(self.last_id, new.type or "UNREADABLE", new.meta, new.text, self._defaults)
