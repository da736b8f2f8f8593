"""The vendored libraries of the page are unchanged copies of the published packages."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
VENDOR = HERE.parents[1] / "run_agent/web/vendor"


def test_every_file_is_listed_with_its_checksum(vendored: list[Any]) -> None:
    listed = {file["file"]: file["sha256"] for library in vendored for file in library["files"]}
    own = {"VENDORED.json", *(path.name for path in VENDOR.glob("*.d.*ts"))}
    present = {path.name: sha256(path.read_bytes()).hexdigest() for path in VENDOR.iterdir() if path.name not in own}
    assert present == listed
    for library in vendored:
        assert library["licence"]
        assert any(file["from"] == "LICENSE" for file in library["files"])


def test_versions_are_those_of_the_lock(vendored: list[Any]) -> None:
    """npm verifies what it downloads against the lock, so what it installs is what the lock names."""
    lock = json.loads((HERE / "package-lock.json").read_text())["packages"]
    for library in vendored:
        locked = lock[f"node_modules/{library['name']}"]
        assert {name: library[name] for name in ("version", "integrity")} == {
            name: locked[name] for name in ("version", "integrity")
        }


def test_files_are_those_of_the_packages(packages: Path, vendored: list[Any]) -> None:
    for library in vendored:
        package = packages / library["name"]
        assert json.loads((package / "package.json").read_text())["version"] == library["version"]
        for file in library["files"]:
            assert (package / file["from"]).read_bytes() == (VENDOR / file["file"]).read_bytes(), file["file"]
