"""`~` where no shell expands it, and users without a home: no directory named `~` is ever made."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
USER = 12345  # has no name and no home
POST = ["bus", "post", "--project", "p", "--body", "x", "--quiet"]
OUR_NAME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def home(tmp_path: Path) -> Path:
    directory = tmp_path / "home"
    directory.mkdir()
    return directory


@pytest.fixture(autouse=True)
def nothing_is_named_so(here: Path) -> Any:
    yield
    assert [path for path in here.parent.rglob("*") if path.name.startswith("~")] == []


@pytest.mark.parametrize(
    ("flags", "variables", "bus"),
    [
        (["--root=~/runs"], {}, "runs/p/PROJECT-MESSAGE-BUS.md"),
        (["--root=~"], {}, "p/PROJECT-MESSAGE-BUS.md"),
        (["--root=~//runs"], {}, "runs/p/PROJECT-MESSAGE-BUS.md"),
        (["--bus=~/x.md"], {}, "x.md"),
        ([], {"JRUN_RUNS_DIR": "~/runs"}, "runs/p/PROJECT-MESSAGE-BUS.md"),
        ([], {"MESSAGE_BUS": "~/x.md"}, "x.md"),
        ([], {"JRUN_MESSAGE_BUS": "~/x.md"}, "x.md"),
    ],
)
def test_a_tilde_that_no_shell_replaced(
    flags: list[str], variables: dict[str, str], bus: str, home: Path, program: Run, messages: Run
) -> None:
    result = program(*POST, *flags, env={**os.environ, **variables})
    assert result.code == 0, result.err
    assert [message.body for message in messages(home / bus)] == ["x"]


@pytest.mark.parametrize("variable", ["RUN_FOLDER", "JRUN_RUN_FOLDER"])
def test_a_tilde_in_the_folder_of_a_run(variable: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/r")
    monkeypatch.setenv(variable, "~/p/t/runs/1")
    [message] = run("bus", "post", "--bus", "x.md", "--body", "x", "--json").json
    assert (message["project_id"], message["task_id"], message["run_id"]) == ("p", "t", "1")


def test_a_tilde_in_other_places(home: Path, run: Run, fill: Run) -> None:
    fill("x", to=home / "MESSAGE-BUS.md")
    assert run("bus", "discover", "--from=~").out == f"{home / 'MESSAGE-BUS.md'}\n"
    assert run("bus", "check", "--bus=~/MESSAGE-BUS.md").code == 0
    assert f"{home / 'key'}: No such file" in run("serve", "--api-key-file=~/key").err


def test_the_home_of_a_named_user(run: Run, refused: Run) -> None:
    assert f"{pwd.getpwnam(OUR_NAME).pw_dir}/no-such/x.md" in run("bus", "read", f"--bus=~{OUR_NAME}/no-such/x.md").err
    for flag in ("--bus", "--root"):
        refused(run(*POST, f"{flag}=~no-such-user/x"), 6, "there is no user no-such-user", "./~no-such-user")


def test_a_file_of_that_name_may_be_meant(run: Run, here: Path) -> None:
    assert run(*POST, "--bus", "./~x.md").code == 0
    (here / "~x.md").unlink()


@pytest.mark.parametrize("home", [{}, {"HOME": ""}])
def test_without_a_home_variable_the_users_own_is_taken(home: dict[str, str], program: Run, here: Path) -> None:
    result = program("bus", "read", "--project", "no-such-project", env={"PATH": os.environ["PATH"], **home})
    assert f"{pwd.getpwuid(os.getuid()).pw_dir}/.run-agent/runs/no-such-project/" in result.err.replace("//", "/")
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("home", ["~", "relative", "."])
def test_a_home_that_is_not_absolute(home: str, run: Run, refused: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", home)
    refused(run(*POST), 6, "not an absolute path", "HOME")


@pytest.mark.parametrize("home", [{}, {"HOME": ""}])
def test_a_user_without_a_name_and_a_home(home: dict[str, str], as_user: Run, refused: Run, public: Path) -> None:
    """docker run --user 12345, env -i"""
    public.chmod(0o777)
    for command in (POST, ["bus", "read", "--project", "p"], [*POST, "--root=~/runs"]):
        refused(as_user(USER, *command, cwd=public, **home), 6, "HOME is not set", "12345", "--root", "MESSAGE_BUS")
    assert list(public.iterdir()) == []
    assert as_user(USER, *POST, "--root", "runs", cwd=public, **home).code == 0
    assert as_user(USER, *POST, cwd=public, **home, MESSAGE_BUS="x.md").code == 0
