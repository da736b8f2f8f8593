"""Lists of projects and tasks: ids, sizes, first and last times, without reading whole files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from messagebus import Draft, MessageBus

PROJECTS = "/api/v1/projects"
TASKS = "/api/v1/projects/demo/tasks"
MAX_READ = 256 * 1024  # bytes that describing a bus may take: a piece at each end of the log

Fill = Callable[..., dict[str, Any]]


@pytest.fixture
def fill(root: Path) -> Fill:
    """Put messages in a bus; returns what a list must say about it."""

    def post(directory: str, count: int, body: str = "x", **options: Any) -> dict[str, Any]:
        name = "TASK" if "/" in directory else "PROJECT"
        path = root / directory / f"{name}-MESSAGE-BUS.md"
        path.parent.mkdir(parents=True)
        with MessageBus(path, **options) as bus:
            messages = [bus.append_message(Draft("FACT", "demo", body)) for _ in range(count)]
        times = {"first": messages[0], "last": messages[-1]} if messages else {}
        size = sum(part.stat().st_size for part in path.parent.glob(f"{path.name}*"))
        return {"size": size, **{name: message.to_json()["timestamp"] for name, message in times.items()}}

    return post


def test_none(api: httpx.Client, root: Path, error_of: Callable[..., Any]) -> None:
    assert api.get(PROJECTS).json() == {"projects": []}, "the root is not there"
    assert error_of(api.get(TASKS))[:2] == (404, "NOT_FOUND")
    root.mkdir()
    assert api.get(PROJECTS).json() == {"projects": []}
    (root / "demo").mkdir()
    assert api.get(PROJECTS).json() == {"projects": []}, "a directory is no bus"
    assert api.get(TASKS).json() == {"tasks": []}


def test_projects_and_tasks(api: httpx.Client, root: Path, fill: Fill) -> None:
    demo = fill("demo", 3)
    one = fill("demo/t1", 1)
    two = fill("demo/t2", 60, auto_rotate_bytes=2_000)
    fill("only-tasks/t1", 1)
    (root / "demo/empty").mkdir()
    (root / "demo/empty/TASK-MESSAGE-BUS.md").touch()
    assert len(list((root / "demo/t2").iterdir())) > 2, "with archives"
    assert api.get(PROJECTS).json() == {
        "projects": [
            {"project_id": "demo", **demo, "tasks": 3},
            {"project_id": "only-tasks", "size": 0, "tasks": 1},
        ]
    }
    assert api.get(TASKS).json() == {
        "tasks": [{"task_id": "empty", "size": 0}, {"task_id": "t1", **one}, {"task_id": "t2", **two}]
    }


def test_other_files_are_not_listed(api: httpx.Client, root: Path, fill: Fill, tmp_path: Path) -> None:
    """Other files and directories, names that are no ids, links."""
    about = fill("demo", 1)
    fill("demo/.hidden", 1)
    fill("a b", 1)
    fill("-x", 1)
    (root / "demo/notes").mkdir()
    (root / "demo/notes/TASK-MESSAGE-BUS.md").symlink_to(root / "demo/PROJECT-MESSAGE-BUS.md")
    (root / "demo/t1").mkdir()
    (root / "demo/t1/TASK-MESSAGE-BUS.md").mkdir()
    (root / "linked").symlink_to(root / "demo")
    (root / "file").write_text("x")
    assert api.get(PROJECTS).json() == {"projects": [{"project_id": "demo", **about, "tasks": 0}]}
    assert api.get(TASKS).json() == {"tasks": []}


def test_an_unreadable_bus_does_not_hide_the_others(api: httpx.Client, root: Path, fill: Fill) -> None:
    fill("broken", 1)
    archive = root / "broken/PROJECT-MESSAGE-BUS.md.20260101-000000-000000.archived"
    archive.symlink_to("nowhere")
    about = fill("demo", 1)
    broken, demo = api.get(PROJECTS).json()["projects"]
    assert (broken["project_id"], broken["size"]) == ("broken", (root / "broken/PROJECT-MESSAGE-BUS.md").stat().st_size)
    assert demo == {"project_id": "demo", **about, "tasks": 0}


def test_large_buses_are_not_read_through(
    api: httpx.Client, fill: Fill, monkeypatch: pytest.MonkeyPatch, patched: Any
) -> None:
    buses = {f"p{number}": fill(f"p{number}", 40, "y" * 100_000, auto_rotate_bytes=1_500_000) for number in range(3)}
    read: list[int] = []

    def counting(fd: int, size: int, offset: int) -> bytes:
        data = os.pread(fd, size, offset)
        read.append(len(data))
        return data

    for name, module in [*sys.modules.items()]:
        if name.startswith("messagebus.") and hasattr(module, "os"):
            monkeypatch.setattr(module, "os", patched(os, pread=counting))
    found = api.get(PROJECTS).json()["projects"]
    assert found == [{"project_id": name, **about, "tasks": 0} for name, about in buses.items()]
    assert min(about["size"] for about in buses.values()) > 4_000_000
    assert 0 < sum(read) < len(buses) * (MAX_READ + 2 * 100_000)
