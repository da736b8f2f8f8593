"""The files of a log: the live one at the bus path, and its archives beside it.

An archive is ``<path>.<UTC timestamp>.archived``; names sort by age (SPEC.md, "Rotation").
Opening never follows a link, blocks on a FIFO or touches a device.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from messagebus.backends.file.preamble import first_record
from messagebus.errors import BusError, GapWarning, InvalidBusPathError

_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
STAMP = "%Y%m%d-%H%M%S-%f"
_LONGEST_STAMP = len("20261121-031415-926535")
_SECOND = "-000000"  # of a stamp that ends at it
_SUFFIX = ".archived"
_ARCHIVE = re.compile(r"\.(\d{8}-\d{6}(-\d{6})?)\.archived", re.ASCII)
# A stamp that certainly is a moment: of any other, only the calendar can tell.
_USUAL_STAMP = re.compile(
    r"[1-9]\d{3}(?:0[1-9]|1[0-2])(?:0[1-9]|1\d|2[0-8])-(?:[01]\d|2[0-3])[0-5]\d[0-5]\d(-\d{6})?", re.ASCII
)
_FILE_TYPES = {
    stat.S_IFDIR: "a directory", stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


def open_to_read(path: str) -> int | None:
    """A descriptor on the bus file, None where there is none. Raises InvalidBusPathError."""
    try:
        return open_file(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None


def open_archive(path: str) -> int | None:
    """A descriptor on an archive; None where it was removed, or is not a file.

    Raises InvalidBusPathError for a link: skipping it would hide messages, and following it is unsafe.
    """
    file_type = _file_type(path)
    if file_type == stat.S_IFLNK:
        raise InvalidBusPathError(f"the archive {path} is a symbolic link; put the file itself there")
    return open_to_read(path) if file_type == stat.S_IFREG else None


def open_file(path: str, flags: int) -> int:
    """A descriptor on an existing file. Raises InvalidBusPathError where it is not a regular file."""
    if (file_type := _file_type(path)) not in (None, stat.S_IFREG):
        raise _not_regular(path, file_type)  # before opening: opening a device can have effects
    try:
        fd = os.open(path, flags | _FLAGS)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _not_regular(path, stat.S_IFLNK) from None
        raise
    try:
        file_type = stat.S_IFMT(os.fstat(fd).st_mode)
    except OSError:
        os.close(fd)
        raise
    if file_type != stat.S_IFREG:
        os.close(fd)
        raise _not_regular(path, file_type)
    return fd


def _file_type(path: str) -> int | None:
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _not_regular(path: str, file_type: int | None) -> InvalidBusPathError:
    text = _FILE_TYPES.get(file_type or 0, "not a regular file")
    return InvalidBusPathError(f"{path} is {text}; a bus must be a regular file: name one")


def nameless(path: str) -> str:
    """The error for a file that has no name left: it is at its path only because it is mounted there."""
    return (
        f"{path} was replaced where it is mounted from; mounted here is the old file, which is no longer seen "
        "outside of this mount: mount its directory, not the file"
    )


def is_at(path: str, fd: int) -> bool:
    """Is the open file the one at the path?"""
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return False


def is_same(one: str, other: str) -> bool:
    """Are these two names of one file?"""
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except (FileNotFoundError, NotADirectoryError):
        return False


def add_filename(error: OSError, path: str) -> None:
    """Let an error name its file: one that was raised for a descriptor names none."""
    if error.filename is None and not isinstance(error, BusError):
        error.filename = path


def flush_directory(path: str) -> None:
    """Make the names in the directory of ``path`` durable. Raises OSError."""
    directory = os.path.dirname(path)
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        os.sync()  # flushes everything: a directory that may not be listed cannot be flushed alone
        return
    try:
        os.fsync(fd)
    except OSError as error:
        raise OSError(error.errno, error.strerror, directory) from None
    finally:
        os.close(fd)


def archive_name(path: str, moment: datetime) -> str:
    """The archive of ``path`` for this moment (UTC)."""
    return f"{path}.{moment.strftime(STAMP)}{_SUFFIX}"


def archive_moment(path: str, archive: str) -> datetime | None:
    """The inverse of ``archive_name``; None where ``archive`` is no archive of ``path``.

    The Go tool's stamps end at the second.
    """
    match = _ARCHIVE.fullmatch(archive, len(path)) if archive.startswith(path) else None
    if not match:
        return None
    stamp = match[1] if match[2] else match[1] + _SECOND
    try:
        return datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def list_archives(path: str) -> list[str]:
    """The archives of ``path``, oldest first.

    Raises PermissionError where the directory may be searched but not listed: there may be some.
    """
    directory, name = os.path.split(path)
    try:
        names = [entry for entry in os.listdir(directory) if entry.endswith(_SUFFIX) and entry.startswith(name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError as error:
        reason = f"{error.strerror}: it may not be listed, so archives of {name} cannot be seen"
        raise PermissionError(error.errno, reason, directory) from None
    start, begin = len(name) + 1, os.path.join(directory, "")
    stamped = []
    for entry in names:  # a moment would take ten times as long as its stamp, which sorts alike
        stamp = entry[start : -len(_SUFFIX)]
        usual = _USUAL_STAMP.fullmatch(stamp)
        if (usual and entry[start - 1] == ".") or archive_moment(name, entry):
            stamped.append((stamp if len(stamp) == _LONGEST_STAMP else stamp + _SECOND, entry))
    return [begin + entry for _, entry in sorted(stamped)]


def archives_in_sight(path: str, listed: Callable[[str], list[str]] | None = None) -> list[str]:
    """``list_archives``, or ``listed``; where the directory may not be listed, none and a GapWarning."""
    try:
        return (listed or list_archives)(path)
    except PermissionError as error:
        warnings.warn(f"{error.filename}: {error.strerror}; their messages are missing", GapWarning, stacklevel=2)
        return []


def next_archive(path: str, now: datetime) -> str:
    """A name for a new archive: later than every existing one, so that no name is reused."""
    archives = list_archives(path)
    newest = archive_moment(path, archives[-1]) if archives else None
    if newest and newest >= now:
        now = newest + timedelta(microseconds=1)
    return archive_name(path, now)


class Segment(NamedTuple):
    """One open file of the log.

    ``start`` is the offset of its first record (``size`` where there is none), ``size`` the offset at
    which reading ends; ``closed`` says that it is an archive, which does not grow.
    """

    fd: int
    inode: int
    start: int
    size: int
    closed: bool


class LogSnapshot:
    """A snapshot of the files of a log: archives by name, the live file open.

    Where the directory may not be listed, it has no archives and gives a GapWarning; or, with the stricter
    ``list_archives`` as ``listed``, raises PermissionError.
    """

    def __init__(self, path: str, listed: Callable[[str], list[str]] = archives_in_sight) -> None:
        self.path = path
        self._live, self._size, self.archives = _snapshot(path, listed)

    def __len__(self) -> int:
        return len(self.archives) + (self._live is not None)

    def name(self, position: int) -> str:
        """The path of the file at ``position``, oldest first."""
        return self.archives[position] if position < len(self.archives) else self.path

    @contextmanager
    def segment(self, position: int) -> Iterator[Segment | None]:
        """The segment at ``position``, oldest first.

        None for an archive that was removed since it was listed (with a GapWarning), or that is not
        a file.
        """
        if position < len(self.archives):
            fd = open_archive(archive := self.name(position))
            if fd is None:
                if _file_type(archive) is None:
                    warnings.warn(f"{archive} was removed before it was read", GapWarning, stacklevel=2)
                yield None
                return
            try:
                yield whole(fd, closed=True)
            finally:
                os.close(fd)
        else:
            yield self.live()

    def live(self) -> Segment | None:
        """The live file, up to the size that it had; None where there was none."""
        if self._live is None:
            return None
        inode = os.fstat(self._live).st_ino
        return Segment(self._live, inode, first_record(self._live, self._size), self._size, closed=False)

    def close(self) -> None:
        """Close the live file."""
        if self._live is not None:
            os.close(self._live)
            self._live = None


def whole(fd: int, *, closed: bool) -> Segment:
    """An open file with all that it holds now."""
    status = os.fstat(fd)
    return Segment(fd, status.st_ino, first_record(fd, status.st_size), status.st_size, closed)


def _snapshot(path: str, listed: Callable[[str], list[str]]) -> tuple[int | None, int, list[str]]:
    """The live file, its size, and the archives at one moment. Repeated when there is a rotation in
    between: otherwise the rotated file would be in neither."""
    while True:
        live = open_to_read(path)
        if live is None:
            archives = listed(path)
            if _file_type(path) is None and archives == listed(path):
                return None, 0, archives
            continue
        try:
            archives = listed(path)
            status = os.fstat(live)
            if os.path.samestat(status, os.lstat(path)):
                if not status.st_nlink:
                    warnings.warn(
                        f"{nameless(path)}; messages posted there since then are missing", GapWarning, stacklevel=2
                    )
                opened, live = live, None
                return opened, status.st_size, archives
        except FileNotFoundError:
            pass  # rotated or deleted just now: repeat
        finally:
            if live is not None:
                os.close(live)
