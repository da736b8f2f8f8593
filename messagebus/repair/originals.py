"""Replacing a damaged file, and keeping the original beside it as ``<path>.<UTC timestamp>.broken``.

The original first gets its second name, then the new file is renamed over it: there is no moment without a bus.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from messagebus.backends.file import segments
from messagebus.backends.file.create import NO_LINKS
from messagebus.errors import InvalidBusPathError
from messagebus.replace import new_file

_MOUNTED = {errno.EBUSY, errno.EXDEV}  # why renaming and linking fail if the file is a mount point
_CHUNK = 1024 * 1024  # bytes


def replace_file(path: str, records: Iterable[bytes], *, keep: bool = True) -> str:
    """Replace the file by one with these records, a blank line between each two.

    Returns the path of the original, "" if it is not kept.
    """
    broken = broken_name(path)
    temporary = _temporary_name(broken)
    separated = (b"\n" + record if number else record for number, record in enumerate(records))
    try:
        with new_file(temporary, separated, like=os.stat(path), durable=True):
            if keep:
                _keep(path, broken)
            os.replace(temporary, path)
    except BaseException as error:
        if segments.is_same(broken, path):  # nothing was replaced: it is only a second name of the file
            os.unlink(broken)
        if isinstance(error, OSError) and error.errno in _MOUNTED:
            raise InvalidBusPathError(
                f"{path} is mounted by itself, so no other file can take its place here: repair it where it is "
                "mounted from, or mount its directory"
            ) from None
        raise
    return broken if keep else ""


def _keep(path: str, broken: str) -> None:
    """Give the file a second name; where there are no links, make a copy."""
    try:
        os.link(path, broken)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        temporary = _temporary_name(broken_name(path))
        with new_file(temporary, _bytes_of(path), like=os.stat(path), durable=True):
            os.rename(temporary, broken)


def _bytes_of(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while data := file.read(_CHUNK):
            yield data


def broken_name(path: str) -> str:
    """A name for the original of the file, of this moment."""
    return f"{path}.{datetime.now(UTC).strftime(segments.STAMP)}.broken"


def _temporary_name(broken: str) -> str:
    """Where the new file is written before it is renamed. ``check`` knows what a crash leaves by this name, which is
    part of the format and so says "mending"."""
    return broken.removesuffix("broken") + "mending"
