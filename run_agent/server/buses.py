"""Ids to buses: the projects and tasks under one root.

Ids come from outside and become paths. What ``ID`` does not match is refused before any path is
made of it, and what lies outside the root, by a link, before it is opened.
"""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from messagebus import BusError, Message, MessageBus
from messagebus.discovery import BUS_NAMES, bus_path
from run_agent.server.errors import ApiError

ID = r"[A-Za-z0-9_@][A-Za-z0-9_.@+=~-]{0,127}"
_ID = re.compile(ID)
_TAKEN = tuple(name.lower() for name in BUS_NAMES)  # a task of that name would stand in its project's bus's place
_OPEN_BUSES = 256  # each may hold a descriptor


@dataclass(frozen=True)
class BusRef:
    """A project, or a task of it, by ids that can be trusted as names."""

    project_id: str
    task_id: str | None = None


class BusStat(NamedTuple):
    """A bus from outside: bytes in all, and a stamp that changes when its files do."""

    size: int
    stamp: tuple[int, ...]


def address(project_id: str, task_id: str | None) -> BusRef:
    """Checked ids. Raises ApiError."""
    for name, value in (("project_id", project_id), ("task_id", task_id)):
        if value is not None and not _is_id(value):
            rules = f"it must match {ID}, hold no '..', and not begin like the name of a bus file"
            raise ApiError(400, f"{name} {value!r:.80} is no id: {rules}")
    return BusRef(project_id, task_id)


def _is_id(value: str) -> bool:
    return bool(_ID.fullmatch(value)) and ".." not in value and not value.lower().startswith(_TAKEN)


class BusRegistry:
    """The buses under a root, opened when asked for. Threads may share it."""

    def __init__(self, root: str, **options: Any) -> None:
        """``options`` are those of MessageBus."""
        self._root = os.path.abspath(root)
        self._options = options
        self._lock = threading.Lock()
        self._buses: OrderedDict[BusRef, MessageBus] = OrderedDict()

    def bus(self, at: BusRef) -> MessageBus:
        """The bus at an address, which need not exist yet. Raises ApiError."""
        path = self._path(at)
        with self._lock:
            bus = self._buses.pop(at, None) or MessageBus(path, **self._options)
            self._buses[at] = bus
            stale = self._buses.popitem(last=False)[1] if len(self._buses) > _OPEN_BUSES else None
        if stale:
            stale.close()  # whoever is using it just opens it again
        return bus

    def bus_to_post(self, at: BusRef) -> MessageBus:
        """The bus at an address, in a directory that exists."""
        bus = self.bus(at)
        os.makedirs(os.path.dirname(self._path(at)), exist_ok=True)
        return bus

    def exists(self, at: BusRef) -> bool:
        """Is there a bus, be it empty?"""
        try:
            return _stat(self._path(at)) is not None
        except (FileNotFoundError, NotADirectoryError):
            return False

    def projects(self) -> list[dict[str, Any]]:
        """Every project that has a bus, or a task with one."""
        found = []
        for name in self._names(self._root):
            tasks = self.tasks(name)
            own = self._described(BusRef(name))
            if own or tasks:
                found.append({"project_id": name, **(own or {"size": 0}), "tasks": len(tasks)})
        return found

    def tasks(self, project_id: str) -> list[dict[str, Any]]:
        """Every task of a project that has a bus. Raises ApiError where there is no project."""
        directory = os.path.dirname(self._path(BusRef(project_id)))
        if not os.path.isdir(directory):
            raise ApiError(404, f"there is no project {project_id}")
        names = self._names(directory)
        described = ((name, self._described(BusRef(project_id, name))) for name in names)
        return [{"task_id": name, **about} for name, about in described if about]

    def stats(self) -> Iterator[tuple[BusRef, BusStat]]:
        """Every bus there is, without opening any."""
        for project_id in self._names(self._root):
            directory = os.path.join(self._root, project_id)
            tasks = (BusRef(project_id, task_id) for task_id in self._names(directory))
            for at in (BusRef(project_id), *tasks):
                try:
                    look = _stat(self._path(at))
                except FileNotFoundError:  # removed meanwhile
                    continue
                if look:
                    yield at, look

    def _path(self, at: BusRef) -> str:
        path = bus_path(self._root, at.project_id, at.task_id)
        inside = os.path.realpath(self._root)
        if os.path.commonpath([inside, os.path.realpath(os.path.dirname(path))]) != inside:
            raise ApiError(403, "a link leads out of the root here")
        return path

    def _names(self, directory: str) -> Iterator[str]:
        try:
            with os.scandir(directory) as entries:
                names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            return
        yield from filter(_is_id, names)

    def _described(self, at: BusRef) -> dict[str, Any] | None:
        """Size in bytes, first and last time; None where there is no bus. Reads two messages."""
        path = self._path(at)
        look = _stat(path)
        if look is None:
            return None
        try:
            with MessageBus(path) as bus:
                ends = [bus.read_messages(first=1), bus.read_last_n(1)]
        except (BusError, OSError):
            ends = [[], []]  # one bus that cannot be read hides no other
        return {"size": look.size} | {
            name: _time(*end) for name, end in zip(("first", "last"), ends, strict=True) if end
        }


def _stat(path: str) -> BusStat | None:
    """A bus with its archives, from outside; None where there is none."""
    directory, name = os.path.split(path)
    with os.scandir(directory) as entries:
        files = {
            entry.name: entry.stat(follow_symlinks=False)
            for entry in entries
            if entry.name.startswith(name) and entry.is_file(follow_symlinks=False)
        }
    ours = {entry: file for entry, file in files.items() if entry == name or entry.endswith(".archived")}
    if not ours:
        return None
    live = ours.get(name)
    stamp = (len(ours), live.st_ino, live.st_mtime_ns) if live else (len(ours),)
    return BusStat(sum(file.st_size for file in ours.values()), stamp)


def _time(message: Message) -> str:
    text: str = message.to_json()["timestamp"]
    return text
