"""Checking a log: what is damaged in it, and where.

The live file and its archives are read from end to end, span by span, and nothing is changed (``repair.py`` does
that). A span that looks exactly as this library writes records takes the fast path: its id has to be later than the
one above, and that is all. Every other span is examined in full. What depends on the whole log (an id that
occurs twice, a parent that is nowhere, a record that may only be quoted) is collected on the way, and decided at the
end from a second pass over the ids. docs/checks.md explains each code.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

from messagebus.backends.file.segments import LogSnapshot, Segment, archive_moment, is_same, list_archives
from messagebus.codec.fields import MENDED
from messagebus.codec.scan import Span, canonical_message, examine
from messagebus.errors import BusNotFoundError, InvalidBusPathError
from messagebus.message import Message
from messagebus.msgid import Order, order, time_of
from messagebus.repair.findings import Finding, Location, found_at, found_in
from messagebus.repair.id_order import IdOrder, is_late
from messagebus.repair.joined import JoinedRecords, joined_in
from messagebus.repair.records import is_marked_torn
from messagebus.repair.scan_files import ids_of, settled, spans_of

Progress = Callable[[int, int], object]

_LEFTOVER = re.compile(r"(\.\d{8}-\d{6}(?:-\d{6})?\.archived)?\.\d{8}-\d{6}-\d{6}\.(new|mending|broken)")
_PROGRESS_EVERY = 1_000  # records
_MOST_SEEN = 100_000  # some 12 MB; of a longer log, its parents are looked for in a second pass
_MAX_ROTATION = 60.0  # seconds from the name of an archive to the message that it was rotated for


def check_bus(path: str | os.PathLike[str], *, progress: Progress | None = None) -> Iterator[Finding]:
    """Everything that is to be said about the log at ``path``, archives first; nothing if it is clean.

    ``progress`` is called from time to time with the bytes read so far, and the total. Raises
    BusNotFoundError if there is neither the file nor an archive of it, InvalidBusPathError if the path is
    neither a file nor a link, OSError.
    """
    return check_log(os.path.abspath(path), progress, is_locked=False)


def check_log(path: str, progress: Progress | None, *, is_locked: bool) -> Iterator[Finding]:
    """The same, for a caller that may hold the lock, so that no one is writing."""
    if not os.path.lexists(path) and not list_archives(path):
        raise BusNotFoundError(f"{path} does not exist, and has no archives: name another bus")
    yield from _leftovers(path)
    if os.path.islink(path):
        yield found_in(path, "link", f"{path} is a symbolic link, which is never followed: put the file itself there")
        return
    with closing(LogSnapshot(path)) as log:
        yield from _LogCheck(log, progress or (lambda _done, _total: None), is_locked=is_locked).run()


def _leftovers(path: str) -> Iterator[Finding]:
    """What an interrupted rotation or repair left beside the file."""
    if not os.path.lexists(path):
        text = "there are archives but no live file: a rotation was interrupted, or the file was removed"
        yield found_in(path, "leftover", text)
    directory, name = os.path.split(path)
    entries: list[str] = []
    with suppress(PermissionError):  # opening the log warns that the directory cannot be listed
        entries = sorted(os.listdir(directory))
    for entry in entries:
        beside = os.path.join(directory, entry)
        match = _LEFTOVER.fullmatch(entry, len(name)) if entry.startswith(name) else None
        if match and (match[2] != "broken" or is_same(beside, path + (match[1] or ""))):
            yield found_in(beside, "leftover", "left by an interrupted rotation or repair")


class _LogCheck:
    """One check of a log: its files in turn, then what depends on all of them."""

    def __init__(self, log: LogSnapshot, progress: Progress, *, is_locked: bool) -> None:
        self.path = log.path
        self.ids = IdOrder()
        self.seen: set[str] = set()  # ids so far, at most _MOST_SEEN
        self.parents: dict[str, Location] = {}  # of each parent not seen before: the first record that names it
        self.joined: list[JoinedRecords] = []
        self._log = log
        self._progress = progress
        self._is_locked = is_locked
        self._sizes = [_size(log.name(position)) for position in range(len(log))]

    def run(self) -> Iterator[Finding]:
        path_before = ""
        for position, size in enumerate(self._sizes):
            yield from self._file(position, path_before)
            self._progress(sum(self._sizes[:position]) + size, sum(self._sizes))
            path_before = self._log.name(position)
        yield from self._after_all_files()

    def _file(self, position: int, path_before: str) -> Iterator[Finding]:
        path = self._log.name(position)
        try:
            with self._log.segment(position) as segment:
                if segment:
                    yield from _FileCheck(self, path, path_before).run(self._spans(segment, position))
                elif os.path.lexists(path):  # and was not removed just now
                    yield found_in(path, "link", "it is named like an archive but is not a file: move it away")
        except InvalidBusPathError as error:
            yield found_in(path, "link", str(error))

    def _spans(self, segment: Segment, position: int) -> Iterator[Span]:
        """The spans of a file, the last one settled; reports progress."""
        before, total = sum(self._sizes[:position]), sum(self._sizes)
        for number, span in enumerate(spans_of(segment)):
            if number % _PROGRESS_EVERY == 0:
                self._progress(before + span.offset, total)
            may_grow = span.is_last and not segment.closed and not self._is_locked
            yield settled(segment, span) if may_grow else span

    def _after_all_files(self) -> Iterator[Finding]:
        """What only a second pass over all ids can tell."""
        inside = Counter(location.msg_id for joined in self.joined for location in joined.locations)
        wanted = {location.msg_id for location, _ in self.ids.suspects} | self.parents.keys() | inside.keys()
        if not wanted:
            return
        occurrences = Counter(msg_id for msg_id in ids_of(self._log) if msg_id in wanted)
        yield from self._suspects(occurrences)
        for joined in self.joined:
            yield from joined.findings(occurrences + inside)
        oldest = next((ms for msg_id in ids_of(self._log) if (ms := time_of(msg_id)) is not None), 0)
        for parent, location in self.parents.items():
            if not occurrences[parent] and (time_of(parent) or 0) >= oldest:
                yield found_at(location, "parent", parent=parent)

    def _suspects(self, occurrences: Counter[str]) -> Iterator[Finding]:
        late: dict[str, list[Location]] = {}
        for location, name in self.ids.suspects:
            if occurrences[location.msg_id] > 1:
                yield found_at(location, "duplicate")
            elif name == "late":
                late.setdefault(location.path, []).append(location)
            elif name:
                yield found_at(location, name)
        for locations in late.values():
            yield found_at(locations[0], "late", count=len(locations))


class _FileCheck:
    """The check of one file, span by span."""

    def __init__(self, check: _LogCheck, path: str, path_before: str) -> None:
        self._check = check
        self._path = path
        self._path_before = path_before
        self._latest_before = check.ids.latest()  # the latest id of the files before
        self._is_first_id, self._overlaps = True, False
        self._line_ends: dict[bool, Span] = {}  # the first span in CRLF (True), and the first in LF (False)
        self._counts: Counter[str] = Counter()  # of findings that are reported once for the file
        self._first: dict[str, Span] = {}  # the first span of each of those

    def run(self, spans: Iterator[Span]) -> Iterator[Finding]:
        for span in spans:
            if self._check.joined and span.start:
                self._check.joined[-1].id_below = self._check.joined[-1].id_below or span.msg_id
            message = canonical_message(span)
            if message is None:
                self._line_ends.setdefault(span.is_crlf, span)
                yield from self._examined(span)
                continue
            self._line_ends.setdefault(False, span)
            self._note(span, message)
            if self._is_first_id or not self._check.ids.add_next_own(message.msg_id):
                yield from self._id(span)
        if len(self._line_ends) == 2:
            yield self._at(self._line_ends[True], "line-ends")
        for name, count in self._counts.items():
            yield self._at(self._first[name], name, count=count)

    def _examined(self, span: Span) -> Iterator[Finding]:
        record = examine(span)
        if record.damage and not is_marked_torn(record):
            yield self._at(span, record.damage, why=record.why)
        if record.stray:
            yield self._at(span, "stray", where="below this record" if span.start else "here")
        if span.msg_id:
            yield from self._id(span)
        if span.start and record.messages:
            self._record(span, *(message for message, _ in record.messages))
        elif record.messages:
            self._count("one-line", span, len(record.messages))

    def _note(self, span: Span, message: Message) -> None:
        """What is noted of a record whatever its form."""
        if MENDED in message.meta:
            self._count("repaired", span)
        for parent in message.parents:
            if parent.msg_id not in self._check.seen:
                self._check.parents.setdefault(parent.msg_id, self._location(span))
        if len(self._check.seen) < _MOST_SEEN:
            self._check.seen.add(message.msg_id)

    def _record(self, span: Span, message: Message, *below: Message) -> None:
        self._note(span, message)
        if message.intact is None:
            self._count("no-length", span)
            if locations := [self._location(inner) for inner in joined_in(span)]:
                self._check.joined.append(JoinedRecords(message.msg_id, locations))
        if below:
            self._count("one-line", span, len(below))

    def _id(self, span: Span) -> Iterator[Finding]:
        here = order(span.msg_id)
        if here and here <= self._latest_before and not self._overlaps and not is_late(here, self._latest_before):
            self._overlaps = True
            yield self._at(span, "overlap", before=self._path_before)
        elif self._is_first_id and (seconds := self._gap(here)):
            yield self._at(span, "gap", before=self._path_before, seconds=seconds)
        self._is_first_id = False
        self._check.ids.add(self._location(span), self._latest_before)

    def _gap(self, here: Order | None) -> int:
        """Seconds between the rotation that made the archive before and this first message. A writer that rotates
        posts at once, so a gap is messages that are missing; 0 where there is none, or no one can tell."""
        moment = archive_moment(self._check.path, self._path_before)
        if moment is None or here is None or moment.microsecond == 0:  # named by the Go tool, or by hand
            return 0
        seconds = here[0] / 1000 - max(moment.timestamp(), self._latest_before[0] / 1000)
        return round(seconds) if seconds > _MAX_ROTATION else 0

    def _count(self, name: str, span: Span, count: int = 1) -> None:
        self._counts[name] += count
        self._first.setdefault(name, span)

    def _location(self, span: Span) -> Location:
        return Location(self._path, span.line, span.offset, span.msg_id)

    def _at(self, span: Span, name: str, **details: object) -> Finding:
        return found_at(self._location(span), name, **details)


def _size(path: str) -> int:
    with suppress(OSError):
        return os.lstat(path).st_size
    return 0
