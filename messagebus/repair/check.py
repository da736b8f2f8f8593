"""Looking a log over: what is damaged, and where.

Reads the live file and its archives from end to end and changes nothing; ``mend.py`` does.
docs/checks.md explains each code.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

from messagebus.backends.file.segments import LogSnapshot, Segment, archive_moment, is_same, list_archives
from messagebus.codec.fields import MENDED
from messagebus.codec.scan import Span, examine, plain_message
from messagebus.errors import BusNotFoundError, InvalidBusPathError
from messagebus.message import Message
from messagebus.msgid import Order, is_go, is_own, order, time_of
from messagebus.repair.findings import Finding, Location, found_at, found_in
from messagebus.repair.joined import joined_in
from messagebus.repair.rewrite import is_known
from messagebus.repair.scan_files import ids_of, settled, spans_of

Progress = Callable[[int, int], object]

_LEFTOVER = re.compile(r"(\.\d{8}-\d{6}(?:-\d{6})?\.archived)?\.\d{8}-\d{6}-\d{6}\.(new|mending|broken)")
_TOLD_EVERY = 1_000  # records
_LONGEST_WAIT = 30_000  # milliseconds that the Go tool waits for the lock, with an id that it has made before
_LONGEST_ROTATION = 60.0  # seconds from the name of an archive to the message that it was rotated for


def check_bus(path: str | os.PathLike[str], *, progress: Progress | None = None) -> Iterator[Finding]:
    """Everything there is to say about the log at ``path``, archives first; nothing where it is clean.

    ``progress`` is called now and then with the bytes read so far, and all there are. Raises
    BusNotFoundError where there is neither the file nor an archive of it, InvalidBusPathError where
    something else than a file or a link stands there, OSError.
    """
    return check_log(os.path.abspath(path), progress, is_locked=False)


def check_log(path: str, progress: Progress | None, *, is_locked: bool) -> Iterator[Finding]:
    """The same for who may hold the lock, so that nobody is writing."""
    if not os.path.lexists(path) and not list_archives(path):
        raise BusNotFoundError(f"{path} does not exist, and neither do archives of it: name another bus")
    yield from _leftovers(path)
    if os.path.islink(path):
        yield found_in(path, "link", f"{path} is a symbolic link, which nobody reads: put the file itself there")
        return
    with closing(LogSnapshot(path)) as log:
        yield from _Check(log, progress or (lambda _done, _all: None), is_locked=is_locked).run()


def _leftovers(path: str) -> Iterator[Finding]:
    """What an interrupted rotation or mending left beside the file."""
    if not os.path.lexists(path):
        yield found_in(
            path, "leftover", "there are archives of it and no file: a rotation was interrupted, or it was removed"
        )
    directory, name = os.path.split(path)
    entries: list[str] = []
    with suppress(PermissionError):  # it may not be listed, and the log says so
        entries = sorted(os.listdir(directory))
    for entry in entries:
        beside = os.path.join(directory, entry)
        found = _LEFTOVER.fullmatch(entry, len(name)) if entry.startswith(name) else None
        if found and (found[2] != "broken" or is_same(beside, path + (found[1] or ""))):
            yield found_in(beside, "leftover", "an interrupted rotation or mending left it")


class _Check:
    """One look over a log."""

    def __init__(self, log: LogSnapshot, progress: Progress, *, is_locked: bool) -> None:
        self._log = log
        self._progress = progress
        self._is_locked = is_locked
        self.path = log.path
        self._sizes = [_size(log.name(position)) for position in range(len(log))]
        self.ids = _Ids()
        self.parents: dict[str, Location] = {}  # and who named each first
        self.joined: list[_Joined] = []

    def run(self) -> Iterator[Finding]:
        before = ""
        for position, size in enumerate(self._sizes):
            yield from self._file(position, before)
            self._progress(sum(self._sizes[:position]) + size, sum(self._sizes))
            before = self._log.name(position)
        yield from self._known_at_the_end()

    def _file(self, position: int, before: str) -> Iterator[Finding]:
        path = self._log.name(position)
        try:
            with self._log.segment(position) as segment:
                if segment:
                    yield from _File(self, path, before).run(self._told(segment, position))
                elif os.path.lexists(path):  # and was not removed just now
                    yield found_in(path, "link", "it has the name of an archive and is no file: move it away")
        except InvalidBusPathError as error:
            yield found_in(path, "link", str(error))

    def _told(self, segment: Segment, position: int) -> Iterator[Span]:
        """The pieces of a file, with word of the progress, and the last one as nobody is writing it."""
        before, total = sum(self._sizes[:position]), sum(self._sizes)
        for number, piece in enumerate(spans_of(segment)):
            if number % _TOLD_EVERY == 0:
                self._progress(before + piece.offset, total)
            may_grow = piece.is_last and not segment.closed and not self._is_locked
            yield settled(segment, piece) if may_grow else piece

    def _known_at_the_end(self) -> Iterator[Finding]:
        """What takes a second look at all ids."""
        inside = Counter(place.msg_id for joined in self.joined for place in joined.places)
        wanted = {place.msg_id for place, _ in self.ids.suspects} | self.parents.keys() | inside.keys()
        if not wanted:
            return
        times = Counter(msg_id for msg_id in ids_of(self._log) if msg_id in wanted)
        late: dict[str, list[Location]] = {}
        for place, kind in self.ids.suspects:
            if times[place.msg_id] > 1:
                yield found_at(place, "duplicate")
            elif kind == "late":
                late.setdefault(place.path, []).append(place)
            elif kind:
                yield found_at(place, kind)
        for places in late.values():
            yield found_at(places[0], "late", count=len(places))
        for joined in self.joined:
            yield from joined.findings(times + inside)
        oldest = next((ms for msg_id in ids_of(self._log) if (ms := time_of(msg_id)) is not None), 0)
        for parent, place in self.parents.items():
            if not times[parent] and (time_of(parent) or 0) >= oldest:
                yield found_at(place, "parent", parent=parent)


class _Joined:
    """Records that the text of one above has swallowed, or quotes."""

    def __init__(self, above: str, places: list[Location]) -> None:
        self.places = places
        self._above = above
        self.below = ""  # the id that follows

    def findings(self, times: Counter[str]) -> Iterator[Finding]:
        """Swallowed are those whose id is nowhere else, and lies between those around it."""
        at, end = order(self._above), order(self.below)
        for place in self.places:
            here = order(place.msg_id)
            if times[place.msg_id] > 1:
                continue
            if at and here and at < here and (not self.below or (end and here < end)):
                at = here
                yield found_at(place, "joined", above=self._above)
            else:
                yield found_at(place, "quoted", above=self._above)


class _Ids:
    """The ids of a log as they come by: which break the order, and which may be there twice."""

    def __init__(self) -> None:
        self.suspects: list[tuple[Location, str]] = []  # may be there twice, or are what the text says
        self._latest: Order = (-1, "")
        self._above: Order = (-1, "")
        self._newest = ""  # an id of ours that is both
        self._without_time: set[str] = set()

    def goes_on(self, msg_id: str) -> bool:
        """Take the next id, if it is one of ours behind one of ours: they compare as text."""
        if not self._newest or msg_id <= self._newest or not is_own(msg_id):
            return False
        self._newest = msg_id
        return True

    def latest(self) -> Order:
        """The latest so far."""
        if self._newest:
            self._latest = self._above = order(self._newest) or self._latest
        return self._latest

    def take(self, place: Location, floor: Order) -> None:
        """The next id; order is a matter of its file, behind ``floor``."""
        here, latest, msg_id = order(place.msg_id), self.latest(), place.msg_id
        if here is None:
            if msg_id in self._without_time:
                self.suspects.append((place, ""))
            self._without_time.add(msg_id)
            return
        if here <= latest:
            kind = "late" if _is_late(here, self._above) else "order" if floor < here < self._above else ""
            self.suspects.append((place, kind))
        self._newest = msg_id if here > latest and is_own(msg_id) else ""
        self._latest, self._above = max(here, latest), here


def _is_late(here: Order, above: Order) -> bool:
    """Is it earlier than the one above only because the Go tool makes its ids before it has the lock?"""
    return here < above and above[0] - here[0] <= _LONGEST_WAIT and is_go(here[1])


class _File:
    """One file, while it is looked over."""

    def __init__(self, check: _Check, path: str, before: str) -> None:
        self._check = check
        self._path = path
        self._before = before
        self._floor = check.ids.latest()  # of the files before
        self._is_first, self._overlaps = True, False
        self._line_ends: dict[bool, Span] = {}  # the first piece in CRLF, and the first in LF
        self._noted: Counter[str] = Counter()
        self._first: dict[str, Span] = {}

    def run(self, pieces: Iterator[Span]) -> Iterator[Finding]:
        for piece in pieces:
            if self._check.joined and piece.start:
                self._check.joined[-1].below = self._check.joined[-1].below or piece.msg_id
            message = plain_message(piece)
            if message is None:
                self._line_ends.setdefault(piece.is_crlf, piece)
                yield from self._examined(piece)
                continue
            self._line_ends.setdefault(False, piece)
            if self._is_first or not self._check.ids.goes_on(message.msg_id):
                yield from self._id(piece)
        if len(self._line_ends) == 2:
            yield self._at(self._line_ends[True], "line-ends")
        for kind, count in self._noted.items():
            yield self._at(self._first[kind], kind, count=count)

    def _examined(self, piece: Span) -> Iterator[Finding]:
        record = examine(piece)
        if record.messages and MENDED in record.messages[0][0].meta:
            self._note("mended", piece)
        if record.damage and not is_known(record):
            yield self._at(piece, record.damage, why=record.why)
        if record.stray:
            yield self._at(piece, "unowned", where="below this record" if piece.start else "here")
        if piece.msg_id:
            yield from self._id(piece)
        if piece.start and record.messages:
            self._record(piece, *(message for message, _ in record.messages))
        elif record.messages:
            self._note("one-line", piece, len(record.messages))

    def _record(self, piece: Span, message: Message, *below: Message) -> None:
        if message.intact is None:
            self._note("no-length", piece)
            if places := [self._location(inner) for inner in joined_in(piece)]:
                self._check.joined.append(_Joined(message.msg_id, places))
        if below:
            self._note("one-line", piece, len(below))
        for parent in message.parents:
            self._check.parents.setdefault(parent.msg_id, self._location(piece))

    def _id(self, piece: Span) -> Iterator[Finding]:
        here = order(piece.msg_id)
        if here and here <= self._floor and not self._overlaps and not _is_late(here, self._floor):
            self._overlaps = True
            yield self._at(piece, "overlap", before=self._before)
        elif self._is_first and (seconds := self._missing(here)):
            yield self._at(piece, "stretch", before=self._before, seconds=seconds)
        self._is_first = False
        self._check.ids.take(self._location(piece), self._floor)

    def _missing(self, here: Order | None) -> int:
        """Seconds between the rotation that made the archive before, and the message that it was made for:
        whoever rotates appends at once. 0 where they are as few as they should be."""
        moment = archive_moment(self._check.path, self._before)
        if moment is None or here is None or moment.microsecond == 0:  # named by the Go tool, or by hand
            return 0
        seconds = here[0] / 1000 - max(moment.timestamp(), self._floor[0] / 1000)
        return round(seconds) if seconds > _LONGEST_ROTATION else 0

    def _note(self, kind: str, piece: Span, count: int = 1) -> None:
        self._noted[kind] += count
        self._first.setdefault(kind, piece)

    def _location(self, piece: Span) -> Location:
        return Location(self._path, piece.line, piece.offset, piece.msg_id)

    def _at(self, piece: Span, kind: str, **details: object) -> Finding:
        return found_at(self._location(piece), kind, **details)


def _size(path: str) -> int:
    with suppress(OSError):
        return os.lstat(path).st_size
    return 0
