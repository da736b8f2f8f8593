"""A directory and an environment as a newcomer has them, for what the documents tell people to run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from patience import SECONDS

Execute = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of a user who has just installed the program."""
    programs = Path(sys.executable).parent
    known_to_git = {f"GIT_{who}_{what}": "Ann" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    paths = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path / "home")}
    return {**paths, **known_to_git, "LC_ALL": "C.UTF-8", "GIT_CONFIG_SYSTEM": os.devnull}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    directory = tmp_path / "here"
    directory.mkdir()
    return directory


@pytest.fixture
def execute(environment: dict[str, str], here: Path) -> Execute:
    """Run a command in an empty directory, without a terminal; it must end with this code."""

    def run(*command: object, code: int = 0, cwd: Path = here, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env=environment | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done

    return run
