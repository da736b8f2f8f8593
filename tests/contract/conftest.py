"""The backends that must all fulfil the contract."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest

from messagebus import MemoryBackend, MessageBus
from messagebus.backends import memory
from messagebus.backends.file import append

BACKENDS = {
    "memory": lambda _path: MessageBus(MemoryBackend(), poll_interval=0.05),
    "file": lambda path: MessageBus(path, poll_interval=0.05),
    "rotating file": lambda path: MessageBus(path, poll_interval=0.05, auto_rotate_bytes=400),
}


@pytest.fixture(params=BACKENDS)
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MessageBus]:
    """An empty bus over each backend."""
    with BACKENDS[request.param](tmp_path / "bus.md") as bus:
        yield bus


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """Set the clock of the writers alone."""

    def set_to(moment: datetime) -> None:
        class Time:
            def time_ns(self) -> int:
                return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000

            def __getattr__(self, name: str) -> Any:
                return getattr(time, name)

        class Datetime(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # a plain one
                return moment.astimezone(tz)

        for backend in (append, memory):
            monkeypatch.setattr(backend, "time", Time())
            monkeypatch.setattr(backend, "datetime", Datetime)

    return set_to
