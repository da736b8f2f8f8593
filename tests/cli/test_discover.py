"""`run-agent bus discover`: the first bus upward, and which bus would be used here."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
NAMES = ["TASK-MESSAGE-BUS.md", "PROJECT-MESSAGE-BUS.md", "MESSAGE-BUS.md"]


@pytest.fixture
def discover(run: Run) -> Run:
    return lambda *args: run("bus", "discover", *args)


def test_the_order_of_names(discover: Run, here: Path) -> None:
    for name in NAMES:
        (here / name).touch()
    for name in NAMES:
        assert discover() == (0, f"{here / name}\n".encode(), "")
        (here / name).unlink()


def test_a_nearer_directory_comes_before_a_better_name(discover: Run, here: Path) -> None:
    (here / "TASK-MESSAGE-BUS.md").touch()
    near = here / "near"
    (near / "below").mkdir(parents=True)
    (near / "MESSAGE-BUS.md").touch()
    assert discover("--from", near / "below").out == f"{near / 'MESSAGE-BUS.md'}\n"
    assert discover("--from", "near").out == f"{near / 'MESSAGE-BUS.md'}\n"
    assert discover().out == f"{here / 'TASK-MESSAGE-BUS.md'}\n"


def test_only_regular_files_count(discover: Run, here: Path) -> None:
    (here / "MESSAGE-BUS.md").touch()
    (here / "below").mkdir()
    (here / "below/TASK-MESSAGE-BUS.md").mkdir()
    (here / "below/PROJECT-MESSAGE-BUS.md").symlink_to(here / "MESSAGE-BUS.md")
    assert discover("--from", "below").out == f"{here / 'MESSAGE-BUS.md'}\n"


def test_no_bus_file(discover: Run, refused: Run, here: Path) -> None:
    refused(discover(), 3, "no TASK-MESSAGE-BUS.md, PROJECT-MESSAGE-BUS.md, MESSAGE-BUS.md", str(here))
    refused(discover("--json"), 3, str(here))


@pytest.mark.parametrize("start", ["missing", "file"])
def test_from_where_there_is_no_directory(start: str, discover: Run, refused: Run, here: Path) -> None:
    (here / "file").touch()
    refused(discover("--from", start), 2, "--from")


def test_json(discover: Run, here: Path) -> None:
    (here / "MESSAGE-BUS.md").touch()
    assert discover("--json").json == [{"bus": str(here / "MESSAGE-BUS.md")}]


def test_json_of_a_name_that_is_not_utf8(discover: Run, here: Path) -> None:
    odd = Path(f"{here}/odd\udcff")
    odd.mkdir()
    (odd / "MESSAGE-BUS.md").touch()
    assert discover("--from", odd).code == 0
    result = discover("--from", odd, "--json")
    assert result.code == 0, result.err
    assert result.json[0]["bus"].startswith(str(here))
    assert discover("--from", odd, "--json", "--explain").code == 0


def test_the_environment_does_not_matter(discover: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "MESSAGE-BUS.md").touch()
    monkeypatch.setenv("MESSAGE_BUS", "/elsewhere.md")
    assert discover().out == f"{here / 'MESSAGE-BUS.md'}\n"


def test_explain(discover: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = tmp_path / "p/t/TASK-MESSAGE-BUS.md"
    bus.parent.mkdir(parents=True)
    bus.touch()
    monkeypatch.chdir(bus.parent)
    monkeypatch.setenv("JRUN_ID", "r")
    upward = f"the first bus file upward from {bus.parent}"
    result = discover("--explain")
    assert (result.code, result.err) == (0, "")
    assert result.lines == [
        f"post       {bus}  ({upward})",
        f"read       {bus}  ({upward})",
        "project_id p  (the path of the bus)",
        "task_id    t  (the path of the bus)",
        "run_id     r  (JRUN_ID)",
    ]
    assert discover("--explain", "--json").json == [
        {
            "post": {"value": str(bus), "rule": upward},
            "read": {"value": str(bus), "rule": upward},
            "project_id": {"value": "p", "rule": "the path of the bus"},
            "task_id": {"value": "t", "rule": "the path of the bus"},
            "run_id": {"value": "r", "rule": "JRUN_ID"},
        }
    ]


def test_explain_the_environment(discover: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESSAGE_BUS", "/x.md")
    assert discover("--explain").lines[:3] == [
        "post       /x.md  (MESSAGE_BUS)",
        "read       /x.md  (MESSAGE_BUS)",
        "project_id none",
    ]
    assert here.exists()


def test_explain_from_elsewhere(discover: Run, here: Path) -> None:
    (here / "below").mkdir()
    (here / "below/MESSAGE-BUS.md").touch()
    assert (
        discover("--explain", "--from", "below").lines[0].startswith(f"post       {here / 'below/MESSAGE-BUS.md'}  (")
    )


def test_explain_nothing(discover: Run) -> None:
    result = discover("--explain")
    assert result.code == 3
    assert result.lines[:2] == ["post       none", "read       none"]
    assert "--bus FILE" in result.err
    assert discover("--explain", "--json").json[0]["post"] is None


def test_explain_agrees_with_post(discover: Run, run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JRUN_MESSAGE_BUS", str(here / "x.md"))
    monkeypatch.setenv("JRUN_PROJECT_ID", "p")
    monkeypatch.setenv("TASK_FOLDER", "/r/p/t")
    [explained] = discover("--explain", "--json").json
    [posted] = run("bus", "post", "--body", "x", "--json").json
    assert (here / "x.md").exists()
    assert explained["post"]["value"] == str(here / "x.md")
    for name in ("project_id", "task_id"):
        assert explained[name]["value"] == posted[name]
    assert explained["run_id"] is None
    assert "run_id" not in posted


# --- other users -----------------------------------------------------------------------------

VICTIM, ATTACKER = 7001, 7002
SECRET = ["bus", "post", "--body", "a secret"]


@pytest.fixture
def planted(public: Path, as_user: Run) -> Path:
    """A bus that one user created in a directory like /tmp, above a directory of another user."""
    public.chmod(0o1777)
    (public / "build").mkdir()
    os.chown(public / "build", VICTIM, VICTIM)
    bus = public / "MESSAGE-BUS.md"
    assert (
        as_user(ATTACKER, *SECRET[:2], "--bus", bus, "--body", "new orders", cwd=public, JRUN_PROJECT_ID="p").code == 0
    )
    bus.chmod(0o666)
    return bus


def test_a_planted_bus_is_refused(planted: Path, as_user: Run, refused: Run) -> None:
    before = planted.read_bytes()
    for command in (SECRET, ["bus", "read"], ["bus", "read", "--follow"], ["bus", "check"], ["bus", "discover"]):
        result = as_user(VICTIM, *command, cwd=planted.parent / "build", JRUN_PROJECT_ID="mine")
        refused(result, 6, str(planted), "another user", str(ATTACKER), "--bus", "MESSAGE_BUS")
    assert planted.read_bytes() == before


def test_a_planted_bus_is_used_where_it_is_named(planted: Path, as_user: Run) -> None:
    here = {"cwd": planted.parent / "build"}
    assert "new orders" in as_user(VICTIM, "bus", "read", "--bus", "../MESSAGE-BUS.md", **here).out
    assert "new orders" in as_user(VICTIM, "bus", "read", MESSAGE_BUS=str(planted), **here).out
    assert as_user(ATTACKER, "bus", "discover", **here).out == f"{planted}\n", "his own"


def test_explain_a_planted_bus(planted: Path, as_user: Run) -> None:
    result = as_user(VICTIM, "bus", "discover", "--explain", cwd=planted.parent / "build")
    assert result.code == 6
    assert result.lines[0].startswith(f"post       refused: {planted} belongs to another user")
    assert result.lines[2] == "project_id none"
    [explained] = as_user(VICTIM, "bus", "discover", "--explain", "--json", cwd=planted.parent / "build").json
    assert str(planted) in explained["post"]["refused"]
    assert explained["read"] == explained["post"]


def test_a_nearer_directory_that_may_not_be_searched(public: Path, as_user: Run, refused: Run) -> None:
    (public / "MESSAGE-BUS.md").touch()
    below = public / "closed" / "below"
    below.mkdir(parents=True)
    below.parent.chmod(0o700)
    for command in (SECRET, ["bus", "read"], ["bus", "discover"]):
        refused(as_user(VICTIM, *command, cwd=below, JRUN_PROJECT_ID="p"), 6, str(below), "Permission denied", "--bus")
    assert as_user(VICTIM, *SECRET, cwd=below, JRUN_PROJECT_ID="p", MESSAGE_BUS="/no/such.md").code == 6
    assert (public / "MESSAGE-BUS.md").read_bytes() == b""
