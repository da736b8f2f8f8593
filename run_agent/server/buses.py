"""Ids to buses: the projects and tasks under one root.

Ids come from clients and become paths, so an id that does not match ``ID`` is refused before a path
is built from it, and a path that a link leads out of the root is refused before it is opened.
"""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from messagebus import BusError, MessageBus
from messagebus.discovery import BUS_NAMES, bus_path
from run_agent.server.errors import ApiError

ID = r"[A-Za-z0-9_@][A-Za-z0-9_.@+=~-]{0,127}"
_ID = re.compile(ID)
_RESERVED = tuple(name.lower() for name in BUS_NAMES)  # a task with such a name could shadow its project's bus
_MAX_OPEN_BUSES = 256  # each may hold a descriptor


@dataclass(frozen=True)
class BusRef:
    """A project, or a task of it, by ids that are safe as names."""

    project_id: str
    task_id: str | None = None


class BusStat(NamedTuple):
    """The files of a bus without their content: total bytes, and a stamp that changes when the files do."""

    size: int
    stamp: tuple[int, ...]


def checked_ref(project_id: str, task_id: str | None) -> BusRef:
    """A reference, once both ids are checked. Raises ApiError."""
    for name, value in (("project_id", project_id), ("task_id", task_id)):
        if value is not None and not _is_id(value):
            rules = f"it must match {ID}, must not contain '..', and must not start with the name of a bus file"
            raise ApiError(400, f"invalid {name} {value!r:.80}: {rules}")
    return BusRef(project_id, task_id)


def _is_id(value: str) -> bool:
    return bool(_ID.fullmatch(value)) and ".." not in value and not value.lower().startswith(_RESERVED)


class BusRegistry:
    """The buses under a root, opened on first use. Safe to share between threads."""

    def __init__(self, root: str, **options: Any) -> None:
        """``options`` are those of MessageBus."""
        self._root = os.path.abspath(root)
        self._options = {"make_directories": True, **options}
        self._lock = threading.Lock()
        self._buses: OrderedDict[BusRef, MessageBus] = OrderedDict()

    def bus(self, ref: BusRef) -> MessageBus:
        """The bus, which need not exist yet. Raises ApiError."""
        path = self._path(ref)
        with self._lock:
            bus = self._buses.pop(ref, None) or MessageBus(path, **self._options)
            self._buses[ref] = bus
            stale = self._buses.popitem(last=False)[1] if len(self._buses) > _MAX_OPEN_BUSES else None
        if stale:
            stale.close()  # a thread that is still using it reopens it
        return bus

    def exists(self, ref: BusRef) -> bool:
        """Does this bus exist, even if it is empty?"""
        try:
            return _stat(self._path(ref)) is not None
        except (FileNotFoundError, NotADirectoryError):
            return False

    def projects(self) -> list[dict[str, Any]]:
        """Every project that has a bus, or a task with one, as JSON."""
        projects = []
        for name in self._subdirectories(self._root):
            tasks = self.tasks(name)
            own = self._summary(BusRef(name))
            if own or tasks:
                projects.append({"project_id": name, **(own or {"size": 0}), "tasks": len(tasks)})
        return projects

    def tasks(self, project_id: str) -> list[dict[str, Any]]:
        """Every task of a project that has a bus, as JSON. Raises ApiError if the project does not exist."""
        directory = os.path.dirname(self._path(BusRef(project_id)))
        if not os.path.isdir(directory):
            raise ApiError(404, f"project {project_id} does not exist")
        names = self._subdirectories(directory)
        summaries = ((name, self._summary(BusRef(project_id, name))) for name in names)
        return [{"task_id": name, **summary} for name, summary in summaries if summary]

    def stats(self) -> Iterator[tuple[BusRef, BusStat]]:
        """Every bus that exists, without opening any of them."""
        for project_id in self._subdirectories(self._root):
            directory = os.path.join(self._root, project_id)
            tasks = (BusRef(project_id, task_id) for task_id in self._subdirectories(directory))
            for ref in (BusRef(project_id), *tasks):
                try:
                    stat = _stat(self._path(ref))
                except FileNotFoundError:  # removed meanwhile
                    continue
                if stat:
                    yield ref, stat

    def _path(self, ref: BusRef) -> str:
        path = bus_path(self._root, ref.project_id, ref.task_id)
        root = os.path.realpath(self._root)
        if os.path.commonpath([root, os.path.realpath(os.path.dirname(path))]) != root:
            raise ApiError(403, "this path follows a link out of the root")
        return path

    def _subdirectories(self, directory: str) -> Iterator[str]:
        """The names of subdirectories that are valid ids, sorted."""
        try:
            with os.scandir(directory) as entries:
                names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            return
        yield from filter(_is_id, names)

    def _summary(self, ref: BusRef) -> dict[str, Any] | None:
        """Size in bytes, first and last time; None if there is no such bus. Reads two messages."""
        path = self._path(ref)
        stat = _stat(path)
        if stat is None:
            return None
        with MessageBus(path) as bus:
            return describe(bus, stat, ("first", "last"))


def describe(bus: MessageBus, stat: BusStat, fields: tuple[str, ...]) -> dict[str, Any]:
    """The size of a bus in bytes, and those ``fields`` of its ends that it has, as JSON.

    ``first`` and ``last`` are times; ``last_id`` and ``last_type`` are those of the last message. An empty bus has
    none of them, nor has one that cannot be read: it must not hide the others in a list.
    """
    try:
        first = bus.read_messages(first=1) if "first" in fields else []
        last = bus.read_last_n(1)
    except (BusError, OSError):
        first = last = []
    ends: dict[str, Any] = {}
    for message in first:
        ends |= {"first": message.to_json()["timestamp"]}
    for message in last:
        ends |= {"last": message.to_json()["timestamp"], "last_id": message.msg_id, "last_type": message.type}
    return {"size": stat.size} | {name: ends[name] for name in fields if name in ends}


def _stat(path: str) -> BusStat | None:
    """A bus with its archives; None if it has no files."""
    directory, name = os.path.split(path)
    with os.scandir(directory) as entries:
        files = {
            entry.name: entry.stat(follow_symlinks=False)
            for entry in entries
            if entry.name.startswith(name) and entry.is_file(follow_symlinks=False)
        }
    segments = {entry: file for entry, file in files.items() if entry == name or entry.endswith(".archived")}
    if not segments:
        return None
    live = segments.get(name)
    stamp = (len(segments), live.st_ino, live.st_mtime_ns) if live else (len(segments),)
    return BusStat(sum(file.st_size for file in segments.values()), stamp)
