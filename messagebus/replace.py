"""Replacing a file as a whole: the new content is written beside it, then renamed over it.

A reader finds all of the old content or all of the new, and no one gains or loses access by it. Imports nothing
of the library, so that a merge, which git starts for each file, does not load a backend.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

_NOT_ALLOWED = {
    errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP,
    errno.EINVAL,  # an id that a container lacks
}  # fmt: skip


@contextmanager
def new_file(path: str, chunks: Iterable[bytes], *, like: os.stat_result, durable: bool) -> Iterator[None]:
    """Write a new file, for the caller to rename; it is removed if that fails.

    like: the file whose mode, group and owner it gets, as far as we may give them. durable: flush it.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.writelines(chunks)
            copy_permissions(fd, like)
            if durable:
                file.flush()
                os.fsync(fd)
        yield
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(path)
        raise


def copy_permissions(fd: int, like: os.stat_result) -> None:
    """Give an open file of ours the mode, the group and the owner of another, as far as we may; it is
    never open to anyone that the other is not open to."""
    mode = stat.S_IMODE(like.st_mode) & 0o777
    if not _allowed(os.fchown, fd, -1, like.st_gid):
        mode = mode & 0o707 | (mode & 0o007) << 3  # its group is another one: no more for it than for all
    _allowed(os.fchmod, fd, mode)
    _allowed(os.fchown, fd, like.st_uid, -1)


def _allowed(change: Callable[..., None], *arguments: int) -> bool:
    """Make the change; False where we may not."""
    try:
        change(*arguments)
    except OSError as error:
        if error.errno not in _NOT_ALLOWED:
            raise
        return False
    return True
