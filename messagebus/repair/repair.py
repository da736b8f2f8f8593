"""Repairing a log that ``check.py`` finds damaged, without losing a byte that anyone wrote.

Under the lock the log is checked again, and its files are grouped: those that overlap in time go together. For each
group with damage one new file is written (``rewrite.py``) beside the old one, which is kept as ``<path>.<UTC
timestamp>.broken``; then the new file is renamed over the old one. So there is a whole bus at every moment.
Writers wait for the lock meanwhile; readers notice nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from itertools import chain
from typing import NamedTuple

from messagebus.backends.file import lock, segments
from messagebus.backends.file.create import open_to_append
from messagebus.codec.scan import Span
from messagebus.discovery import scope_of
from messagebus.errors import InvalidBusPathError, LockTimeoutError
from messagebus.msgid import Order, next_msg_id, order
from messagebus.repair.check import Progress, check_log
from messagebus.repair.findings import CODES, Finding
from messagebus.repair.originals import broken_name, replace_file
from messagebus.repair.records import RecordDefaults, id_after, new_record
from messagebus.repair.rewrite import Rewrite
from messagebus.repair.scan_files import spans_of

_NEEDS_SORTING = {CODES["order"], CODES["duplicate"], CODES["overlap"]}
_NO_FILE = b"There was no live file beside the archives: a rotation was interrupted, or the file was removed."
_CHANGES = {
    CODES["order"]: "put the records into the order of their ids",
    CODES["line-ends"]: "ended all lines of records in LF",
    CODES["gap"]: "noted at the beginning that messages may be missing",
}


class Repaired(NamedTuple):
    """A file that was repaired: its path, where the original is kept ("" if nothing was rewritten),
    and what was done, a line each."""

    path: str
    broken: str
    done: list[str]


def repair_bus(
    path: str | os.PathLike[str],
    *,
    split_joined: bool = False,
    lock_timeout: float = 10.0,
    progress: Progress | None = None,
) -> list[Repaired]:
    """Repair what ``check_bus`` finds in the log at ``path``; if it finds no damage, nothing is touched.

    split_joined: also make records that are joined to the one above (BUS012) messages again.
    lock_timeout: seconds. ``progress`` as for ``check_bus``. Raises LockTimeoutError, BusNotFoundError,
    InvalidBusPathError, and OSError; each file is then as it was, or repaired.
    """
    path = os.path.abspath(path)
    segments.list_archives(path)  # raises if they cannot be seen: what is damage depends on all files
    # Only a person knows what a link was for, and whether a record in the text of another is quoted.
    not_repaired = {CODES["link"]} if split_joined else {CODES["link"], CODES["joined"]}
    if not _damage(path, not_repaired, progress, is_locked=False):
        return []
    is_new = not os.path.lexists(path)
    with _locked(path, lock_timeout):
        damage = _damage(path, not_repaired, progress, is_locked=True)
        return list(_Repair(path, damage, is_new=is_new).run())


def _damage(path: str, not_repaired: Collection[str], progress: Progress | None, *, is_locked: bool) -> list[Finding]:
    """The findings that are to be repaired."""
    findings = check_log(path, progress, is_locked=is_locked)
    return [finding for finding in findings if finding.is_damage and finding.code not in not_repaired]


class _IdRange(NamedTuple):
    """A file of the log: its path, and the earliest and the latest id in it (None: it has none)."""

    path: str
    first: Order | None
    last: Order | None


class _Repair:
    """The repair of one log, whose lock is held. ``is_new``: taking the lock has made the live file."""

    def __init__(self, path: str, damage: list[Finding], *, is_new: bool) -> None:
        scope = scope_of(path)
        self._path = path
        self._is_new = is_new
        leftovers = (finding.path for finding in damage if finding.code == CODES["leftover"])
        self._leftovers = [leftover for leftover in leftovers if leftover != path]  # never the bus itself
        self._damage = [finding for finding in damage if finding.code != CODES["leftover"]]
        self._duplicates = {finding.msg_id: b"" for finding in damage if finding.code == CODES["duplicate"]}
        self._defaults = RecordDefaults(scope.project_id or "unknown", scope.task_id, datetime.now(UTC))

    def run(self) -> Iterator[Repaired]:
        for leftover in self._leftovers:
            os.unlink(leftover)
            yield Repaired(leftover, "", ["removed what an interrupted rotation or repair had left"])
        ranges = _id_ranges(self._path) if self._damage or self._is_new else []
        last_id = _id_before_all(self._path, ranges)
        for group in _overlapping(ranges):
            paths = {file.path for file in group}
            damage = [finding for finding in self._damage if finding.path in paths]
            if damage:
                last_id = yield from self._rewrite(group, damage, last_id)
            else:
                self._note_duplicates(paths)
                last_id = (_latest(group) or (0, last_id))[1]
        if self._is_new:
            yield self._explain_new_file(last_id)

    def _note_duplicates(self, paths: Iterable[str]) -> None:
        """Remember records with a duplicate id in files that stay: ids that hold no time can occur in two files
        that do not overlap."""
        if not self._duplicates:
            return
        for span in chain.from_iterable(map(_spans, paths)):
            if self._duplicates.get(span.msg_id) == b"":
                self._duplicates[span.msg_id] = span.as_lf()

    def _explain_new_file(self, id_before: str) -> Repaired:
        """Let the new live file say why it is there: else messages would seem to be missing before its first."""
        replace_file(self._path, [new_record(id_after(id_before), "GAP", {}, _NO_FILE, self._defaults)], keep=False)
        segments.flush_directory(self._path)
        return Repaired(self._path, "", ["made the live file, which was missing beside its archives"])

    def _rewrite(self, group: list[_IdRange], damage: list[Finding], id_before: str) -> Generator[Repaired, None, str]:
        """Write the files of a group as one, in place of the newest. Returns the last id in it."""
        *others, target = (file.path for file in group)
        codes = {finding.code for finding in damage}
        rewrite = Rewrite(
            self._defaults,
            id_before,
            self._duplicates,
            gap="".join(finding.text for finding in damage if finding.code == CODES["gap"]),
            joined={finding.msg_id for finding in damage if finding.code == CODES["joined"]},
            sort=not codes.isdisjoint(_NEEDS_SORTING),
            live=target == self._path,
        )
        broken = replace_file(target, rewrite.records(chain.from_iterable(map(_spans, (*others, target)))))
        yield Repaired(target, broken, [*(text for code, text in _CHANGES.items() if code in codes), *rewrite.changes])
        for path in others:
            broken = broken_name(path)
            os.rename(path, broken)
            yield Repaired(path, broken, [f"moved its records to {target}: the two overlapped"])
        segments.flush_directory(self._path)
        return rewrite.last_id


def _id_ranges(path: str) -> list[_IdRange]:
    """The files of the log, archives first."""
    ranges = []
    with closing(segments.LogSnapshot(path)) as log:
        for position in range(len(log)):
            with suppress(InvalidBusPathError), log.segment(position) as segment:
                ids = [here for span in spans_of(segment) if (here := order(span.msg_id))] if segment else []
                ranges.append(_IdRange(log.name(position), min(ids, default=None), max(ids, default=None)))
    return ranges


def _overlapping(ranges: list[_IdRange]) -> list[list[_IdRange]]:
    """The files in groups: those that overlap in time together, with all between them; each other file alone."""
    groups: list[list[_IdRange]] = []
    for file in ranges:
        group = [file]
        while (first := _first(group)) and (latest := _latest(chain.from_iterable(groups))) and first <= latest:
            group = groups.pop() + group
        groups.append(group)
    return groups


def _first(files: list[_IdRange]) -> Order | None:
    return min((file.first for file in files if file.first), default=None)


def _latest(files: Iterable[_IdRange]) -> Order | None:
    return max((file.last for file in files if file.last), default=None)


def _id_before_all(path: str, ranges: list[_IdRange]) -> str:
    """An id earlier than all of the log, and not later than its first archive, which may be empty."""
    moments = (moment.timestamp() for file in ranges if (moment := segments.archive_moment(path, file.path)))
    ms = int(1000 * next(moments, time.time()))
    first = _first(ranges)
    return next_msg_id(None, max(min(ms, first[0] - 1) if first else ms, 0), bytes)


def _spans(path: str) -> Iterator[Span]:
    fd = segments.open_to_read(path)
    if fd is None:
        return
    try:
        yield from spans_of(segments.whole(fd, closed=True))
    finally:
        os.close(fd)


@contextmanager
def _locked(path: str, timeout: float) -> Iterator[None]:
    """Hold the lock of the file that is at the path, so that no one writes or rotates."""
    while True:
        fd = open_to_append(path)
        try:
            if not lock.acquire(fd, path, timeout):
                raise LockTimeoutError(path, 1, timeout)
            try:
                if segments.is_at(path, fd):
                    yield
                    return
            finally:
                lock.release(fd)
        finally:
            os.close(fd)
