"""Opening the live file to append to it, and making it where there is none.

An existing file is opened without ``O_CREAT``: in a sticky directory the kernel refuses that flag to anyone
but the file's owner (``fs.protected_regular``). A file that follows archives gets the mode, the group and the
owner of the newest, whoever makes it and whatever the umask: who could write before a rotation can write
after it. It gets them under another name, and is then linked into place, so that no one ever finds it too
open or not open enough, and the file of another writer is never replaced. (SPEC.md, "Rotation".)
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


def open_to_append(path: str) -> int:
    """A descriptor on the bus file, which is made where there is none.

    Raises InvalidBusPathError where there is no directory for it, or something else is at the path.
    """
    while True:
        with suppress(FileNotFoundError, NotADirectoryError):
            return open_file(path, os.O_RDWR | os.O_APPEND)
        made = _create(path)
        if made is not None:
            return made


def _create(path: str) -> int | None:
    """A descriptor on the new file; None where another writer was faster, or had it away again."""
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
    fd = _make(temporary, before)
    try:
        try:
            os.link(temporary, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
    except OSError as error:
        os.close(fd)
        if error.errno == errno.ENOENT:  # ``check --fix`` took it for a leftover
            return None
        if error.errno in NO_LINKS:  # for a moment others may not open it: better than to replace theirs
            return _make(path, before)
        raise
    return fd


def _make(path: str, before: os.stat_result) -> int:
    fd = os.open(path, _NEW, 0o600)
    try:
        copy_permissions(fd, before)
    except OSError:
        os.close(fd)
        os.unlink(path)
        raise
    return fd
