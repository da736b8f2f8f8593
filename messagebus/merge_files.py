"""Merging the files of two versions of a bus, as git's merge drivers do: the result replaces one of them."""

from __future__ import annotations

import os
import stat

from messagebus.errors import InvalidBusPathError
from messagebus.merge import merge_logs
from messagebus.replace import new_file


def merge_files(base: str | os.PathLike[str], ours: str | os.PathLike[str], theirs: str | os.PathLike[str]) -> None:
    """Merge three files as ``merge_logs`` does, and replace ``ours`` by the result at once.

    Mode, group and owner of ``ours`` stay, as far as the caller may give them to a file. No lock is taken. Raises
    InvalidBusPathError if ``ours`` is not a regular file, and OSError; ``ours`` is then as it was.
    """
    ours = os.fspath(ours)
    merged = merge_logs(_read(base), _read(ours), _read(theirs))
    status = os.lstat(ours)
    if not stat.S_ISREG(status.st_mode):
        raise InvalidBusPathError(f"{ours} is not a regular file")
    temporary = f"{ours}.{os.getpid()}.merged"
    with new_file(temporary, [merged], like=status, durable=False):
        os.replace(temporary, ours)


def _read(path: str | os.PathLike[str]) -> bytes:
    with open(path, "rb") as file:
        return file.read()
