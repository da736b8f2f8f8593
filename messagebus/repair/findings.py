"""What a look over a log can find: the codes, and what they say (docs/checks.md has the long form)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

# For scripts: a code never changes its meaning. From 101 on they inform of what is merely old, or known.
CODES = {
    "header": "BUS001", "torn": "BUS002", "length": "BUS003", "duplicate": "BUS004", "order": "BUS005",
    "line-ends": "BUS006", "unowned": "BUS007", "overlap": "BUS008", "stretch": "BUS009", "link": "BUS010",
    "leftover": "BUS011", "joined": "BUS012", "no-length": "BUS101", "one-line": "BUS102", "mended": "BUS103",
    "parent": "BUS104", "late": "BUS105", "quoted": "BUS106",
}  # fmt: skip
_TEXTS = {
    "header": "the header of this record cannot be read: {why}",
    "torn": "this record is torn: {why}",
    "length": "the length of this record does not fit: {why}",
    "duplicate": "another record has this id too",
    "order": "its id is earlier than that of the record above it",
    "line-ends": "lines end in CRLF in this record, and in LF in others of the file",
    "unowned": "text that belongs to no record begins {where}",
    "overlap": "its first id is earlier than the last id of {before}: the two overlap",
    "stretch": "messages may be missing in front of it: {before} was archived {seconds:,} seconds before its first",
    "joined": "the blank line above this record is missing, so that the text of {above} has swallowed it; "
    "'--fix --split-joined' makes it a message again",
    "no-length": "records without a length, as the Go tool and people write them: {count:,}, the first here",
    "one-line": "one-line messages: {count:,}, the first here",
    "mended": "records that were damaged, and say so: {count:,}, the first here",
    "parent": "its parent {parent} is not on this bus: it is on another, or was removed from this one",
    "late": "records of the Go tool a moment earlier than the one above them: {count:,}, the first here",
    "quoted": "the text of {above} holds what may be this record, but its id does not lie between those around it",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    ``code`` is stable (docs/checks.md). ``is_damage`` is False where it merely informs. ``line`` counts from 1
    and ``offset`` from 0, in bytes, in the file ``path``; a ``line`` of 0 stands for the file as a whole.
    """

    code: str
    path: str
    text: str
    line: int = 0
    offset: int = 0
    msg_id: str = ""

    @property
    def is_damage(self) -> bool:
        """Is it a finding, and not only information?"""
        return self.code < "BUS100"


class Location(NamedTuple):
    """A record, for what is known about it only later."""

    path: str
    line: int
    offset: int
    msg_id: str


def found_at(place: Location, kind: str, **details: object) -> Finding:
    """A finding about a record."""
    return Finding(CODES[kind], place.path, _TEXTS[kind].format(**details), place.line, place.offset, place.msg_id)


def found_in(path: str, kind: str, text: str) -> Finding:
    """A finding about a whole file."""
    return Finding(CODES[kind], path, text)
