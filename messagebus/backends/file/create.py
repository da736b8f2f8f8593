"""Opening the live file to append to it, and creating it where there is none.

An existing file is opened without ``O_CREAT``: in a sticky directory the kernel refuses that flag to everyone
but the owner of the file (``fs.protected_regular``). A new file that continues a log gets the mode, the group and
the owner of its newest archive, whatever the umask, so that every user who could write before a rotation can write
after it. It gets them under a temporary name and is then linked to the path: so no process ever sees it with wrong
permissions, and the file of a faster writer is not replaced. (SPEC.md, "Rotation".)
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from datetime import UTC, datetime

from messagebus.backends.file.segments import STAMP, archives_in_sight, open_file
from messagebus.errors import InvalidBusPathError
from messagebus.replace import copy_permissions

_NEW = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
NO_LINKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EMLINK}


def open_to_append(path: str, *, make_directories: bool = False) -> int:
    """A descriptor on the bus file, which is created where there is none; so are the directories above it,
    with ``make_directories``.

    Raises InvalidBusPathError where its directory is missing, or the path is not a regular file; OSError.
    """
    while True:
        with suppress(FileNotFoundError, NotADirectoryError):
            return open_file(path, os.O_RDWR | os.O_APPEND)
        if make_directories:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        fd = _create(path)
        if fd is not None:
            return fd


def _create(path: str) -> int | None:
    """A descriptor on the new file; None where another writer was faster: then open again."""
    before = _newest_archive(path)
    try:
        return os.open(path, _NEW, 0o666) if before is None else _create_like(path, before)
    except FileExistsError:
        return None
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidBusPathError(f"{path}: there is no directory {os.path.dirname(path)}; create it first") from None


def _newest_archive(path: str) -> os.stat_result | None:
    for archive in reversed(archives_in_sight(path)):
        with suppress(FileNotFoundError):
            status = os.lstat(archive)
            if stat.S_ISREG(status.st_mode):
                return status
    return None


def _create_like(path: str, before: os.stat_result) -> int | None:
    temporary = f"{path}.{datetime.now(UTC).strftime(STAMP)}.new"
    fd = _create_private(temporary, before)
    try:
        try:
            os.link(temporary, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
    except OSError as error:
        os.close(fd)
        if error.errno == errno.ENOENT:  # ``check --fix`` removed it as a leftover
            return None
        if error.errno in NO_LINKS:  # others cannot open it for a moment, but no file is replaced
            return _create_private(path, before)
        raise
    return fd


def _create_private(path: str, before: os.stat_result) -> int:
    fd = os.open(path, _NEW, 0o600)
    try:
        copy_permissions(fd, before)
    except OSError:
        os.close(fd)
        os.unlink(path)
        raise
    return fd
