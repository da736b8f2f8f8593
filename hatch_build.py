"""Puts the manual into the wheel, for `run-agent --docs`; an editable install finds it in the checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Laid out as in the repository, so that the links between them work. Not *.md: that would take a bus, too.
TOP = ("README.md", "SPEC.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE")
MANUAL = (*TOP, "docs/**/*.md", "docs/images/*", "examples/*")


class ManualHook(BuildHookInterface):
    """Named in pyproject.toml."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        root = Path(self.root)
        for path in sorted(path for pattern in MANUAL for path in root.glob(pattern) if path.is_file()):
            name = path.relative_to(root).as_posix()
            build_data["force_include"][name] = f"run_agent/manual/{name}"
