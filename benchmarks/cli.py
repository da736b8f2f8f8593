"""Starting ``run-agent`` with this interpreter, from this checkout, even if another one is installed."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def environment() -> dict[str, str]:
    """The environment of this process, without variables that name another bus."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("JRUN_", "MESSAGE_BUS"))}
    # An installed package is compiled when it is installed; let a checkout be compiled at the first start.
    for name in ("RUN_FOLDER", "TASK_FOLDER", "PYTHONDONTWRITEBYTECODE"):
        variables.pop(name, None)
    return variables | {"PYTHONPATH": str(ROOT)}


def command(*arguments: str | Path) -> list[str]:
    """The program as a user runs it: by its console script, if it is installed."""
    script = Path(sys.executable).parent / "run-agent"
    start = [script] if script.exists() else ["-m", "run_agent"]
    return [sys.executable, *map(str, start), *map(str, arguments)]


def shim(directory: Path) -> dict[str, str]:
    """An environment in which ``run-agent`` is that program, for shell scripts."""
    script = directory / "run-agent"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(command())} "$@"\n')
    script.chmod(0o755)
    variables = environment()
    return variables | {"PATH": f"{directory}{os.pathsep}{variables['PATH']}"}
