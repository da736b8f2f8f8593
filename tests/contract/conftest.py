"""The stores that must all keep the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from messagebus import MemoryBackend, MessageBus

STORES = {
    "memory": lambda _path: MessageBus(MemoryBackend(), poll_interval=0.05),
    "file": lambda path: MessageBus(path, poll_interval=0.05),
    "rotating file": lambda path: MessageBus(path, poll_interval=0.05, auto_rotate_bytes=400),
}


@pytest.fixture(params=STORES)
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MessageBus]:
    """An empty bus over each store."""
    with STORES[request.param](tmp_path / "bus.md") as bus:
        yield bus
