"""Records in the body of another record, because the blank line between the two is missing.

This goes unnoticed only where the record above has no length. Whether such text is a record that was joined to
the one above, or a quotation, cannot be told from the text alone: ``JoinedRecords`` compares ids.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator

from messagebus.codec.framing import MAX_HEADER, OPENING_PATTERN, header_end
from messagebus.codec.lenient import RecordEnd, read_record
from messagebus.codec.scan import Span
from messagebus.msgid import order
from messagebus.repair.findings import Finding, Location, found_at

_OPENING_LINES = re.compile(rb"\n" + OPENING_PATTERN)


def joined_in(span: Span) -> Iterator[Span]:
    """Every readable record that begins in the body of this one, up to the end of that body."""
    text = span.text
    first = span.offset + len(span.start.lstrip(b"\r\n"))
    own = header_end(text)
    at = own.end() - 1 if own else len(text)
    while match := _OPENING_LINES.search(text, at):
        below = text[match.end() : match.end() + MAX_HEADER + 1]
        end = header_end(below)
        at = match.end() - 1
        if end and read_record(match[0], below[: end.end()], RecordEnd.NEXT_RECORD)[0]:
            start = match.start() + 1
            line = span.line + 1 + text.count(b"\n", 0, start)
            yield Span(first + start, line, match[0], text[match.end() :], span.is_last)
            at += end.end()


def split_joined(span: Span, ids: Container[str]) -> Iterator[Span]:
    """The span without the records of these ids that are in its body, then those records."""
    for inner in joined_in(span) if ids else ():
        if inner.msg_id in ids:
            text = span.text[: len(span.text) - len(inner.start) - len(inner.text)]
            yield span._replace(text=text, is_last=False)
            span = inner
    yield span


class JoinedRecords:
    """The records in the body of one: joined to it, or quoted by it."""

    def __init__(self, id_above: str, locations: list[Location]) -> None:
        self.locations = locations
        self._id_above = id_above
        self.id_below = ""  # the id of the next record of the log

    def findings(self, occurrences: Counter[str]) -> Iterator[Finding]:
        """Joined are those whose id is nowhere else in the log and lies between the ids around it."""
        latest, end = order(self._id_above), order(self.id_below)
        for location in self.locations:
            here = order(location.msg_id)
            if occurrences[location.msg_id] > 1:
                continue
            if latest and here and latest < here and (not self.id_below or (end and here < end)):
                latest = here
                yield found_at(location, "joined", above=self._id_above)
            else:
                yield found_at(location, "quoted", above=self._id_above)
