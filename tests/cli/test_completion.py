"""`run-agent completion`: what a shell then completes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from patience import SECONDS

Run = Callable[..., Any]
SHELLS = ["bash", "zsh", "fish"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script(shell: str, run: Run, tmp_path: Path) -> None:
    result = run("completion", shell)
    assert (result.code, result.err) == (0, "")
    assert f"_RUN_AGENT_COMPLETE={shell}_complete" in result.out
    if found := shutil.which(shell):
        (tmp_path / "script").write_bytes(result.raw)
        subprocess.run([found, "-n", tmp_path / "script"], check=True, timeout=SECONDS)


@pytest.mark.parametrize("arguments", [[], ["tcsh"]])
def test_a_shell_must_be_named(arguments: list[str], run: Run, refused: Run) -> None:
    refused(run("completion", *arguments), 2, "bash", "zsh", "fish")


def completed(program: Run, monkeypatch: pytest.MonkeyPatch, shell: str, *words: str) -> list[str]:
    monkeypatch.setenv("_RUN_AGENT_COMPLETE", f"{shell}_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(["run-agent", *words]))
    monkeypatch.setenv("COMP_CWORD", words[-1] if shell == "fish" else str(len(words)))
    result = program()
    assert (result.code, result.err) == (0, "")
    return result.lines


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["b"], ["plain,bus"]),
        (["bus", ""], ["plain,post", "plain,read", "plain,discover", "plain,check", "plain,merge"]),
        (["bus", "read", "--f"], ["plain,--follow"]),
        (["completion", "z"], ["plain,zsh"]),
    ],
)
def test_bash(words: list[str], expected: list[str], program: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert completed(program, monkeypatch, "bash", *words) == expected


def test_zsh(program: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert completed(program, monkeypatch, "zsh", "bus", "p") == ["plain", "post", "Store a message."]


def test_fish(program: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = completed(program, monkeypatch, "fish", "bus", "p")
    assert "post" in "\n".join(lines)


def test_a_verb_that_does_not_exist_completes_to_nothing(program: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in ("watch", "nonsense"):
        assert completed(program, monkeypatch, "bash", "bus", verb, "--f") == [""]  # click's line end


def test_in_bash_itself(run: Run, tmp_path: Path) -> None:
    (tmp_path / "script").write_bytes(run("completion", "bash").raw)
    asked = f"""
        . {tmp_path / "script"}
        complete -p run-agent > /dev/null || exit 1
        COMP_WORDS=(run-agent bus read --js) COMP_CWORD=3
        _run_agent_completion run-agent
        echo "${{COMPREPLY[@]}}"
    """
    path = f"{Path(__import__('sys').executable).parent}:/usr/bin:/bin"
    done = subprocess.run(["bash", "-c", asked], capture_output=True, timeout=SECONDS, check=True, env={"PATH": path})
    assert (done.stdout, done.stderr) == (b"--json\n", b"")
