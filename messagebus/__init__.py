"""A message bus in a Markdown file: safe appends from many processes, lockless reads.

    from messagebus import Draft, MessageBus

    bus = MessageBus("TASK-MESSAGE-BUS.md")
    fact = bus.append_message(Draft("FACT", "demo", "The build is green."))
    for message in bus.follow(fact.msg_id): ...

Layers, bottom up (SPEC.md is the format, in prose):

    errors       the BusError tree
    timestamps   the times of messages as text
    message      Draft, Message, and their JSON
    validation   what a draft must satisfy
    msgid        ids and their order
    idempotency  what a repeated post is answered with
    filters      which messages a caller wants
    discovery    names and locations of bus files
    replace      replacing a file as a whole
    codec/       bytes <-> messages: the file format
    merge/       two versions of a log merged into one
    merge_files  merging two versions of a bus file, for git
    backends/    where messages are stored: files, memory
    follow       following a log
    bus          MessageBus, what callers import
    repair/      finding damage in a log, and repairing it

Names are imported when first used: a reader does not pay for the writer's imports.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"  # of the distribution, run-agent; pyproject.toml takes it from here

if TYPE_CHECKING:
    from messagebus.backends.memory import MemoryBackend
    from messagebus.bus import MessageBus
    from messagebus.discovery import discover_bus
    from messagebus.errors import (
        BusError,
        BusNotFoundError,
        DurabilityError,
        GapWarning,
        IdempotencyConflictError,
        InvalidBusPathError,
        InvalidMessageError,
        LockTimeoutError,
        SinceIDNotFoundError,
    )
    from messagebus.filters import Filter
    from messagebus.merge import merge_logs
    from messagebus.merge_files import merge_files
    from messagebus.message import RUN_CRASH, RUN_START, RUN_STOP, Draft, Link, Message, Parent
    from messagebus.repair.check import check_bus
    from messagebus.repair.findings import Finding
    from messagebus.repair.repair import Repaired, repair_bus

_HOMES = {
    "MessageBus": "bus",
    "discover_bus": "discovery",
    "Filter": "filters",
    "MemoryBackend": "backends.memory",
    "check_bus": "repair.check",
    "Finding": "repair.findings",
    **dict.fromkeys(("Repaired", "repair_bus"), "repair.repair"),
    "merge_logs": "merge",
    "merge_files": "merge_files",
    **dict.fromkeys(("Draft", "Link", "Message", "Parent", "RUN_CRASH", "RUN_START", "RUN_STOP"), "message"),
    **dict.fromkeys(
        (
            "BusError",
            "BusNotFoundError",
            "DurabilityError",
            "GapWarning",
            "IdempotencyConflictError",
            "InvalidBusPathError",
            "InvalidMessageError",
            "LockTimeoutError",
            "SinceIDNotFoundError",
        ),
        "errors",
    ),
}

__all__ = [
    "RUN_CRASH",
    "RUN_START",
    "RUN_STOP",
    "BusError",
    "BusNotFoundError",
    "Draft",
    "DurabilityError",
    "Filter",
    "Finding",
    "GapWarning",
    "IdempotencyConflictError",
    "InvalidBusPathError",
    "InvalidMessageError",
    "Link",
    "LockTimeoutError",
    "MemoryBackend",
    "Message",
    "MessageBus",
    "Parent",
    "Repaired",
    "SinceIDNotFoundError",
    "check_bus",
    "discover_bus",
    "merge_files",
    "merge_logs",
    "repair_bus",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'messagebus' has no attribute {name!r}")
    value = getattr(import_module(f"messagebus.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
