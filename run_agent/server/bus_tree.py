"""The directories under a root, and the files of each bus in them.

Clients ask for all buses every few seconds, and there may be thousands. So a directory is listed again only when it
has changed; else only its time of change, and the status of the live file in it, are looked at.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from messagebus.discovery import PROJECT_BUS, TASK_BUS, is_settled

_ARCHIVE = ".archived"


class BusStat(NamedTuple):
    """The files of a bus without their content: total bytes, and a stamp that changes when the files do."""

    size: int
    stamp: tuple[int, ...]


class _Listing(NamedTuple):
    """A directory as it was listed: ``state`` identifies that listing, None where the directory may change again
    unnoticed. Archives are those of its bus."""

    state: tuple[int, int, int] | None
    subdirectories: list[str]
    archives: int
    archived_bytes: int


class BusTree:
    """The buses under a root: of each project and each task. Safe to share between threads."""

    def __init__(self, root: str, is_id: Callable[[str], bool]) -> None:
        self._root = root
        self._is_id = is_id
        self._lock = threading.Lock()
        self._listings: dict[str, _Listing] = {}

    def stats(self) -> Iterator[tuple[str, str | None, BusStat]]:
        """Project, task (None: the project's own bus) and files of every bus, sorted; none of them is opened."""
        with self._lock:
            before, self._listings = self._listings, {}
            found = list(self._projects(before))
        return iter(found)

    def _projects(self, before: dict[str, _Listing]) -> Iterator[tuple[str, str | None, BusStat]]:
        root = self._listing(self._root, "", before)
        for project_id in root.subdirectories if root else ():
            directory = os.path.join(self._root, project_id)
            project = self._listing(directory, PROJECT_BUS, before)
            if project is None:
                continue
            if bus := _stat_of(os.path.join(directory, PROJECT_BUS), project):
                yield project_id, None, bus
            for task_id in project.subdirectories:
                below = f"{directory}/{task_id}"
                task = self._listing(below, TASK_BUS, before)
                if task and (bus := _stat_of(f"{below}/{TASK_BUS}", task)):
                    yield project_id, task_id, bus

    def _listing(self, directory: str, name: str, before: dict[str, _Listing]) -> _Listing | None:
        """A directory, listed again if it has changed; None where there is none. ``name`` is that of its bus."""
        try:
            status = os.lstat(directory) if name else os.stat(directory)  # the root may be a link
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISDIR(status.st_mode):
            return None
        # A program that restores files may set the first time back, but not the second.
        state = status.st_ino, status.st_mtime_ns, status.st_ctime_ns
        known = before.get(directory)
        if known is None or known.state != state:
            now = time.time_ns()
            known = self._listed(directory, name, state if is_settled(status.st_mtime_ns, now) else None)
        if known:
            self._listings[directory] = known
        return known

    def _listed(self, directory: str, name: str, state: tuple[int, int, int] | None) -> _Listing | None:
        subdirectories, archives, archived = [], 0, 0
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        subdirectories.append(entry.name)
                    elif _is_archive(entry, name):
                        archives += 1
                        archived += entry.stat(follow_symlinks=False).st_size
        except (FileNotFoundError, NotADirectoryError):  # removed meanwhile
            return None
        return _Listing(state, sorted(filter(self._is_id, subdirectories)), archives, archived)


def has_files(path: str) -> bool:
    """Is there a live file or an archive of the bus at ``path``?"""
    directory, name = os.path.split(path)
    try:
        with os.scandir(directory) as entries:
            return any(_is_archive(entry, name) or (entry.name == name and _is_file(entry)) for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False)


def _is_archive(entry: os.DirEntry[str], name: str) -> bool:
    return bool(name) and entry.name.startswith(name) and entry.name.endswith(_ARCHIVE) and _is_file(entry)


def _stat_of(path: str, listing: _Listing) -> BusStat | None:
    """A bus with its archives; None if it has no files."""
    try:
        live = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        live = None
    if live and stat.S_ISREG(live.st_mode):
        stamp = listing.archives + 1, live.st_ino, live.st_mtime_ns
        return BusStat(listing.archived_bytes + live.st_size, stamp)
    return BusStat(listing.archived_bytes, (listing.archives,)) if listing.archives else None
