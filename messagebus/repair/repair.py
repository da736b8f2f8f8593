"""Mending a log that ``check.py`` finds damaged, without losing a byte that somebody wrote.

Under the lock, a damaged file is written anew (``codec/rewrite.py``) beside the old one, which stays
as ``<path>.<UTC timestamp>.broken``, and takes its place at once: there is no moment without a bus, and
none with half of one. Writers wait for the lock meanwhile; readers do not notice.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from itertools import chain
from typing import NamedTuple

from messagebus.backends.file import lock, segments
from messagebus.backends.file.create import NO_LINKS, copy_permissions, open_to_append
from messagebus.codec.scan import Span
from messagebus.discovery import scope_of
from messagebus.errors import InvalidBusPathError, LockTimeoutError
from messagebus.msgid import Order, next_msg_id, order
from messagebus.repair.check import Progress, check_log
from messagebus.repair.findings import CODES, Finding
from messagebus.repair.rewrite import Rewrite, Scope, id_behind, new_record
from messagebus.repair.scan_files import spans_of

_TO_SORT = {CODES["order"], CODES["duplicate"], CODES["overlap"]}
_NO_FILE = b"There was no file beside the archives: a rotation was interrupted, or somebody removed it."
_MOUNTED = {errno.EBUSY, errno.EXDEV}  # what renaming and linking fail with where the file is a mount point
_CHUNK = 1024 * 1024  # bytes
_DONE = {
    CODES["order"]: "put the records into the order of their ids",
    CODES["line-ends"]: "ended all lines of records in LF",
    CODES["stretch"]: "said at the beginning that messages may be missing",
}


class Repaired(NamedTuple):
    """A file that was mended: its path, where the original is kept ("" where nothing was rewritten),
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
    """Mend what ``check_bus`` finds in the log at ``path``; where it finds nothing, nothing is touched.

    split_joined: make records that the text of others has swallowed (BUS012) messages again, too.
    lock_timeout: seconds. ``progress`` as for ``check_bus``. Raises LockTimeoutError, BusNotFoundError,
    InvalidBusPathError, and OSError, which leaves the files as they were.
    """
    path = os.path.abspath(path)
    segments.list_archives(path)  # refused where they cannot be seen: what is damage depends on all files
    # Of a link, only a person can know what it was for; and of a record in a text, whether it is quoted.
    left = {CODES["link"]} if split_joined else {CODES["link"], CODES["joined"]}
    if not _damage(path, left, progress, is_locked=False):
        return []
    is_new = not os.path.lexists(path)
    with _locked(path, lock_timeout):
        return list(_Repair(path, _damage(path, left, progress, is_locked=True), is_new=is_new).run())


def _damage(path: str, left: Collection[str], progress: Progress | None, *, is_locked: bool) -> list[Finding]:
    """What is to be mended: all but the codes that are ``left``."""
    found = check_log(path, progress, is_locked=is_locked)
    return [finding for finding in found if finding.is_damage and finding.code not in left]


class _IdRange(NamedTuple):
    """A file of the log: its path, and the earliest and the latest id in it (None: it has none)."""

    path: str
    first: Order | None
    last: Order | None


class _Repair:
    """What has to be done to the files of one log, whose lock is held."""

    def __init__(self, path: str, damage: list[Finding], *, is_new: bool) -> None:
        scope = scope_of(path)
        self._path = path
        self._is_new = is_new
        leftovers = (finding.path for finding in damage if finding.code == CODES["leftover"])
        self._leftovers = [leftover for leftover in leftovers if leftover != path]  # never the bus itself
        self._damage = [finding for finding in damage if finding.code != CODES["leftover"]]
        self._repeated = {finding.msg_id: b"" for finding in damage if finding.code == CODES["duplicate"]}
        self._scope = Scope(scope.project_id or "unknown", scope.task_id, datetime.now(UTC))

    def run(self) -> Iterator[Repaired]:
        for leftover in self._leftovers:
            os.unlink(leftover)
            yield Repaired(leftover, "", ["removed what an interrupted rotation or mending had left"])
        spans = _spans(self._path) if self._damage or self._is_new else []
        last = _id_in_front(self._path, spans)
        for files in _clusters(spans):
            paths = {span.path for span in files}
            damage = [finding for finding in self._damage if finding.path in paths]
            if damage:
                last = yield from self._rewrite(files, damage, last)
            else:
                self._note_repeated(paths)
                last = (_latest(files) or (0, last))[1]
        if self._is_new:
            yield self._made(last)

    def _note_repeated(self, paths: Iterable[str]) -> None:
        """Ids that hold no time can stand in two files that do not overlap."""
        if not self._repeated:
            return
        for piece in chain.from_iterable(map(_pieces, paths)):
            if self._repeated.get(piece.msg_id) == b"":
                self._repeated[piece.msg_id] = piece.as_lf()

    def _made(self, before: str) -> Repaired:
        """Let the new file tell why it is there: else messages would seem to be missing in front of its first."""
        _replace(self._path, [new_record(id_behind(before), "GAP", {}, _NO_FILE, self._scope)], keep=False)
        segments.flush_directory(self._path)
        return Repaired(self._path, "", ["made the file, which was missing beside its archives"])

    def _rewrite(self, files: list[_IdRange], damage: list[Finding], before: str) -> Generator[Repaired, None, str]:
        """Write a file anew; or some that overlap, as one in place of the newest. Returns its last id."""
        *others, target = (span.path for span in files)
        codes = {finding.code for finding in damage}
        rewrite = Rewrite(
            self._scope,
            before,
            self._repeated,
            missing="".join(finding.text for finding in damage if finding.code == CODES["stretch"]),
            joined={finding.msg_id for finding in damage if finding.code == CODES["joined"]},
            sort=not codes.isdisjoint(_TO_SORT),
            live=target == self._path,
        )
        broken = _replace(target, rewrite.records(chain.from_iterable(map(_pieces, (*others, target)))))
        yield Repaired(target, broken, [*(done for code, done in _DONE.items() if code in codes), *rewrite.done])
        for path in others:
            broken = _broken_name(path)
            os.rename(path, broken)
            yield Repaired(path, broken, [f"moved its records to {target}: the two overlapped"])
        segments.flush_directory(self._path)
        return rewrite.last


def _spans(path: str) -> list[_IdRange]:
    """The files of the log, archives first."""
    spans = []
    with closing(segments.LogSnapshot(path)) as log:
        for position in range(len(log)):
            with suppress(InvalidBusPathError), log.segment(position) as segment:
                ids = [here for piece in spans_of(segment) if (here := order(piece.msg_id))] if segment else []
                spans.append(_IdRange(log.name(position), min(ids, default=None), max(ids, default=None)))
    return spans


def _clusters(spans: list[_IdRange]) -> list[list[_IdRange]]:
    """The files of a log, those together that overlap in time, with all between them."""
    clusters: list[list[_IdRange]] = []
    for span in spans:
        files = [span]
        while (first := _first(files)) and (latest := _latest(chain.from_iterable(clusters))) and first <= latest:
            files = clusters.pop() + files
        clusters.append(files)
    return clusters


def _first(files: list[_IdRange]) -> Order | None:
    return min((span.first for span in files if span.first), default=None)


def _latest(files: Iterable[_IdRange]) -> Order | None:
    return max((span.last for span in files if span.last), default=None)


def _id_in_front(path: str, spans: list[_IdRange]) -> str:
    """An id earlier than all of the log, and not later than its first archive, which may be empty."""
    moments = (moment.timestamp() for span in spans if (moment := segments.archive_moment(path, span.path)))
    ms = int(1000 * next(moments, time.time()))
    first = _first(spans)
    return next_msg_id(None, max(min(ms, first[0] - 1) if first else ms, 0), bytes)


def _pieces(path: str) -> Iterator[Span]:
    fd = segments.open_to_read(path)
    if fd is None:
        return
    try:
        yield from spans_of(segments.whole(fd, closed=True))
    finally:
        os.close(fd)


def _replace(path: str, records: Iterable[bytes], *, keep: bool = True) -> str:
    """Put the records into the place of the file; returns where that is now, if it is to be kept."""
    broken = _broken_name(path)
    separated = (b"\n" + record if number else record for number, record in enumerate(records))
    try:
        with _written(_temporary(broken), separated, like=path) as temporary:
            if keep:
                _keep(path, broken)
            os.replace(temporary, path)
    except BaseException as error:
        if segments.is_same(broken, path):  # its only content is still in its place
            os.unlink(broken)
        if isinstance(error, OSError) and error.errno in _MOUNTED:
            raise InvalidBusPathError(
                f"{path} is mounted by itself, so that no other file can take its place here: mend it where it is "
                "mounted from, or mount its directory"
            ) from None
        raise
    return broken if keep else ""


def _keep(path: str, broken: str) -> None:
    """Give the file a second name; or where there are no links, a copy."""
    try:
        os.link(path, broken)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        with _written(_temporary(_broken_name(path)), _bytes_of(path), like=path) as copy:
            os.rename(copy, broken)


@contextmanager
def _written(temporary: str, chunks: Iterable[bytes], *, like: str) -> Iterator[str]:
    """A new file, to be renamed; gone if it is not."""
    try:
        _write(temporary, chunks, os.stat(like))
        yield temporary
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _bytes_of(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while data := file.read(_CHUNK):
            yield data


def _write(path: str, chunks: Iterable[bytes], like: os.stat_result) -> None:
    """A new file, for good, with the mode and the owner of another; as far as we may give it away."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.writelines(chunks)
        copy_permissions(file.fileno(), like)
        file.flush()
        os.fsync(file.fileno())


def _broken_name(path: str) -> str:
    return f"{path}.{datetime.now(UTC).strftime(segments.STAMP)}.broken"


def _temporary(broken: str) -> str:
    """Where a file is written that is not there yet; what is left of it is found by its name."""
    return broken.removesuffix("broken") + "mending"


@contextmanager
def _locked(path: str, timeout: float) -> Iterator[None]:
    """Hold the lock of the file that is at the path, so that nobody writes or rotates."""
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
