"""`run-agent completion`: the script, and what a shell completes with it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete
from patience import SECONDS

from run_agent.cli import main
from run_agent.cli.options import TYPES

Run = Callable[..., Any]
SHELLS = ["bash", "zsh", "fish"]
PATH = f"{Path(sys.executable).parent}:/usr/bin:/bin"


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
        (["bus", "read", "--fo"], ["plain,--follow"]),
        (["completion", "z"], ["plain,zsh"]),
        (["bus", "post", "--type", "D"], ["plain,DECISION"]),
        (["bus", "read", "--type", "run_st"], ["plain,RUN_START", "plain,RUN_STOP"]),
    ],
)
def test_bash(words: list[str], expected: list[str], program: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert completed(program, monkeypatch, "bash", *words) == expected


def test_zsh(program: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert completed(program, monkeypatch, "zsh", "bus", "p") == ["plain", "post", "Post a message."]


def test_fish(program: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = completed(program, monkeypatch, "fish", "bus", "p")
    assert "post" in "\n".join(lines)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with two projects, tasks, and entries that are neither."""
    root = tmp_path / "home/runs"
    for name in ("demo/t1", "demo/t2", "demo/.hidden", "shop/x", "a b", "new\nline", "$(touch x)"):
        (root / name).mkdir(parents=True)
    (root / "demo/PROJECT-MESSAGE-BUS.md").touch()
    (root / "link").symlink_to(root / "demo")
    return root


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--project", ""], ["demo", "shop"]),
        (["--project", "d"], ["demo"]),
        (["--project", "demo", "--task", ""], ["t1", "t2"]),
        (["--project=demo", "--task", "t2"], ["t2"]),
        (["--project", "shop", "--task", "t"], []),
        (["--project", "none", "--task", ""], []),
        (["--task", ""], []),
    ],
)
@pytest.mark.parametrize("verb", ["post", "read", "check"])
def test_projects_and_tasks(
    verb: str, words: list[str], expected: list[str], root: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    for given in (["--root=~/runs"], [f"--root={root}"]):
        assert candidates("bus", verb, *given, *words) == expected
    monkeypatch.setenv("JRUN_RUNS_DIR", str(root))
    assert candidates("bus", verb, *words) == expected
    monkeypatch.setenv("JRUN_PROJECT_ID", "demo")
    assert candidates("bus", verb, "--task", "") == ["t1", "t2"]


def candidates(*words: str) -> list[str]:
    """The candidates for the last of these words."""
    completer = ShellComplete(main.run_agent, {}, "run-agent", "_RUN_AGENT_COMPLETE")
    return [item.value for item in completer.get_completions(list(words[:-1]), words[-1])]


def test_where_there_is_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "nowhere")
    assert candidates("bus", "post", "--project", "") == []


def test_the_types_are_those_of_the_format() -> None:
    spec = (Path(__file__).parents[2] / "SPEC.md").read_text()
    [row] = [line for line in spec.splitlines() if line.startswith("| `type` |")]
    assert f"`{' '.join(TYPES)}`" in row


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
    done = subprocess.run(["bash", "-c", asked], capture_output=True, timeout=SECONDS, check=True, env={"PATH": PATH})
    assert (done.stdout, done.stderr) == (b"--json\n", b"")


@pytest.mark.parametrize(
    ("begun", "expected"),
    [
        ("bus r", ["read\tShow messages, and follow new ones."]),
        ("bus read --typ", ["--type\tOnly messages of this type, in upper or lower case; may be repeated."]),
        ("bus post --project sh", ["shop"]),
        ("bus post --project demo --task ", ["t1", "t2"]),
        ("bus post --type AN", ["ANSWER"]),
    ],
)
def test_in_fish_itself(begun: str, expected: list[str], run: Run, root: Path, tmp_path: Path) -> None:
    fish = shutil.which("fish")
    if not fish:
        pytest.skip("there is no fish")
    (tmp_path / "script").write_bytes(run("completion", "fish").raw)
    environment = {"PATH": PATH, "HOME": str(tmp_path), "JRUN_RUNS_DIR": str(root)}
    asked = [fish, "--no-config", "-c", f"source {tmp_path / 'script'}; complete -C 'run-agent {begun}'"]
    done = subprocess.run(asked, capture_output=True, timeout=SECONDS, check=True, env=environment)
    assert done.stdout.decode().splitlines() == expected
