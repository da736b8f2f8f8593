"""Ids to buses: the projects and tasks under one root.

Ids come from clients and become paths, so an id that does not match ``ID`` is refused before a path
is built from it, and a path that a link leads out of the root is refused before it is opened.
"""

from __future__ import annotations

import os
import re
import threading
from collections import Counter, OrderedDict
from typing import Any, NamedTuple

from messagebus import BusError, MessageBus
from messagebus.discovery import BUS_NAMES, bus_path
from run_agent.contracts.words import ID_PATTERN as ID
from run_agent.server.bus_tree import BusStat, BusTree, has_files
from run_agent.server.errors import ApiError

_ID = re.compile(ID)
_RESERVED = tuple(name.lower() for name in BUS_NAMES)  # a task with such a name could shadow its project's bus
_MAX_OPEN_BUSES = 256  # each may hold a descriptor
_MAX_SUMMARIES = 20_000


class BusRef(NamedTuple):
    """A project, or a task of it, by ids that are safe as names."""

    project_id: str
    task_id: str | None = None


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
        self._tree = BusTree(self._root, _is_id)
        self._summaries: dict[BusRef, tuple[BusStat, dict[str, Any]]] = {}  # those of the last list

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
        return has_files(self._path(ref))

    def projects(self) -> list[dict[str, Any]]:
        """Every project that has a bus, or a task with one, as JSON."""
        tasks: Counter[str] = Counter()
        own: dict[str, BusStat] = {}
        for ref, stat in self.stats():
            tasks[ref.project_id] += ref.task_id is not None
            if ref.task_id is None:
                own[ref.project_id] = stat
        return [
            {"project_id": name, **(self._summary(BusRef(name), own[name]) if name in own else {"size": 0}), "tasks": n}
            for name, n in tasks.items()
        ]

    def tasks(self, project_id: str) -> list[dict[str, Any]]:
        """Every task of a project that has a bus, as JSON. Raises ApiError if the project does not exist."""
        if not os.path.isdir(os.path.dirname(self._path(BusRef(project_id)))):
            raise ApiError(404, f"project {project_id} does not exist")
        return [
            {"task_id": ref.task_id, **self._summary(ref, stat)}
            for ref, stat in self.stats()
            if ref.project_id == project_id and ref.task_id is not None
        ]

    def stats(self) -> list[tuple[BusRef, BusStat]]:
        """Every bus that exists, without opening any of them."""
        return [(BusRef(project_id, task_id), stat) for project_id, task_id, stat in self._tree.stats()]

    def _path(self, ref: BusRef) -> str:
        path = bus_path(self._root, ref.project_id, ref.task_id)
        root = os.path.realpath(self._root)
        if os.path.commonpath([root, os.path.realpath(os.path.dirname(path))]) != root:
            raise ApiError(403, "this path follows a link out of the root")
        return path

    def _summary(self, ref: BusRef, stat: BusStat) -> dict[str, Any]:
        """Size in bytes, first and last time. Reads two messages, unless nothing has changed."""
        known = self._summaries.get(ref)
        if known is None or known[0] != stat:
            with MessageBus(self._path(ref)) as bus:
                known = stat, describe(bus, stat, ("first", "last"))
            self._remember(ref, known)
        return known[1]

    def _remember(self, ref: BusRef, summary: tuple[BusStat, dict[str, Any]]) -> None:
        with self._lock:
            self._summaries[ref] = summary
            if len(self._summaries) > _MAX_SUMMARIES:
                del self._summaries[next(iter(self._summaries))]


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
