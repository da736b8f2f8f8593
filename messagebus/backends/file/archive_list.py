"""The archives of a log, listed again only when their directory has changed.

A log may have thousands of archives, and a follower looks at it at each wake. A directory that changed just now may
change again without a later time of change, since clocks of file systems tick: so it is not remembered.
"""

from __future__ import annotations

import os
import time

from messagebus.backends.file import segments
from messagebus.discovery import is_settled

_Signature = tuple[int, int, int]


class ArchiveList:
    """The archives of the log at one path, oldest first. Threads may share it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._directory = os.path.dirname(path)
        self._known: tuple[_Signature, list[str]] | None = None

    def __call__(self, _path: str = "") -> list[str]:
        """Their paths. Raises PermissionError where the directory may be searched but not listed, OSError."""
        try:
            status = os.stat(self._directory)
        except (FileNotFoundError, NotADirectoryError):
            return []
        # A program that restores files may set the first time back, but not the second.
        signature = status.st_ino, status.st_mtime_ns, status.st_ctime_ns
        known = self._known
        if known and known[0] == signature:
            return known[1]
        now = time.time_ns()
        archives = segments.list_archives(self._path)
        self._known = (signature, archives) if is_settled(max(signature[1:]), now) else None
        return archives
