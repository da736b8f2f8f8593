"""Starting ``run-agent`` with this interpreter, from this checkout, whatever is installed."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def environment() -> dict[str, str]:
    """Ours, without what would point the program at another bus."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("JRUN_", "MESSAGE_BUS"))}
    # Installed packages are compiled when they are installed; a checkout is, when it may be.
    for name in ("RUN_FOLDER", "TASK_FOLDER", "PYTHONDONTWRITEBYTECODE"):
        ours.pop(name, None)
    return ours | {"PYTHONPATH": str(ROOT)}


def command(*arguments: str | Path) -> list[str]:
    """The program as a user runs it: by its console script, where it is installed."""
    script = Path(sys.executable).parent / "run-agent"
    start = [script] if script.exists() else ["-m", "run_agent"]
    return [sys.executable, *map(str, start), *map(str, arguments)]


def shim(directory: Path) -> dict[str, str]:
    """An environment whose ``run-agent`` is that program, for shell scripts."""
    script = directory / "run-agent"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(command())} "$@"\n')
    script.chmod(0o755)
    ours = environment()
    return ours | {"PATH": f"{directory}{os.pathsep}{ours['PATH']}"}
