"""The libraries that the page brings along are those that the registry has, unchanged."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
VENDOR = HERE.parents[1] / "run_agent/web/vendor"


def test_every_file_is_listed_with_its_checksum(vendored: list[Any]) -> None:
    listed = {file["file"]: file["sha256"] for library in vendored for file in library["files"]}
    ours = {"VENDORED.json", *(path.name for path in VENDOR.glob("*.d.*ts"))}
    there = {path.name: sha256(path.read_bytes()).hexdigest() for path in VENDOR.iterdir() if path.name not in ours}
    assert there == listed
    for library in vendored:
        assert library["licence"]
        assert any(file["from"] == "LICENSE" for file in library["files"])


def test_they_are_those_of_the_lock(vendored: list[Any]) -> None:
    """npm compares what it fetches with the lock; so what it installs is what the lock says."""
    lock = json.loads((HERE / "package-lock.json").read_text())["packages"]
    for library in vendored:
        locked = lock[f"node_modules/{library['name']}"]
        assert {name: library[name] for name in ("version", "integrity")} == {
            name: locked[name] for name in ("version", "integrity")
        }


def test_they_are_those_of_the_registry(packages: Path, vendored: list[Any]) -> None:
    for library in vendored:
        package = packages / library["name"]
        assert json.loads((package / "package.json").read_text())["version"] == library["version"]
        for file in library["files"]:
            assert (package / file["from"]).read_bytes() == (VENDOR / file["file"]).read_bytes(), file["file"]
