"""A reader that is held open makes as many system calls beside many archives as beside a few."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from messagebus import Draft, MessageBus, discovery
from messagebus.backends.file import archive_list, late_writes, read, search, segments, watch

LOOKS: dict[str, Callable[[MessageBus, str], object]] = {
    "tail": lambda bus, _: bus.read_last_n(3),
    "last id": lambda bus, _: bus.last_id(),
    "cursor": lambda bus, cursor: bus.read_messages(cursor),
    "poll": lambda bus, cursor: bus.poll_for_new(cursor, timeout=1),
    "get": lambda bus, cursor: bus.get_message(cursor),
}


class Counting:
    """``os``, whose calls are counted."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        value = getattr(os, name)
        if not callable(value) or isinstance(value, type):
            return value

        def call(*arguments: Any, **options: Any) -> Any:
            self.calls[name] += 1
            return value(*arguments, **options)

        return call


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Counting:
    counting = Counting()
    for module in (archive_list, late_writes, read, search, segments, watch):
        monkeypatch.setattr(module, "os", counting)
    monkeypatch.setattr(discovery, "_TICK_NS", 0)  # the directory has been at rest for long enough
    return counting


def log_beside(directory: Path, archives: int) -> Path:
    directory.mkdir()
    path = directory / "BUS.md"
    with MessageBus(path, auto_rotate_bytes=1) as bus:
        for number in range(archives + 1):
            bus.append_message(Draft("FACT", "demo", f"{number}"))
    with MessageBus(path) as bus:
        bus.append_messages([Draft("FACT", "demo", f"live {number}") for number in range(5)])
    return path


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_as_many_calls_beside_many_archives(
    look: Callable[[MessageBus, str], object], tmp_path: Path, system: Counting
) -> None:
    counts = []
    for archives in (9, 200):
        bus = MessageBus(log_beside(tmp_path / f"{archives}", archives))
        cursor = bus.read_last_n(2)[0].msg_id
        look(bus, cursor)
        for _ in range(2):
            system.calls.clear()
            look(bus, cursor)
            counts.append(system.calls.copy())
    assert counts[0] == counts[1] == counts[2] == counts[3]
    assert counts[0]["listdir"] == 0
    assert counts[0].total() > 5
