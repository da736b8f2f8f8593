"""Which bus, which project, task and run: the order of flags, environment and inference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest

from messagebus import BusNotFoundError, InvalidBusPathError
from run_agent.cli import context
from run_agent.cli.context import Flags

BAD_IDS = ["", "  ", ".", "..", "a..b", "a/b", "/", "a\\b", "a\nb", "a\x1bb", "a\x7fb", "a\x85b"]


@pytest.fixture(autouse=True)
def everything(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every source names a different bus."""
    (here / "MESSAGE-BUS.md").touch()
    monkeypatch.setenv("MESSAGE_BUS", "/env/a.md")
    monkeypatch.setenv("JRUN_MESSAGE_BUS", "/env/b.md")
    monkeypatch.setenv("JRUN_RUNS_DIR", "/runs")


FLAGS = Flags("/flag.md", None, "p", "t")
TASK_BUS = "/runs/p/t/TASK-MESSAGE-BUS.md"


def test_the_order_of_post(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert context.bus_to_post(FLAGS).value == "/flag.md"
    flags = FLAGS._replace(bus=None)
    assert context.bus_to_post(flags).value == "/env/a.md"
    monkeypatch.delenv("MESSAGE_BUS")
    assert context.bus_to_post(flags).value == "/env/b.md"
    monkeypatch.delenv("JRUN_MESSAGE_BUS")
    assert context.bus_to_post(flags).value == TASK_BUS
    assert context.bus_to_post(flags._replace(task=None)).value == "/runs/p/PROJECT-MESSAGE-BUS.md"
    assert context.bus_to_post(Flags()).value == str(here / "MESSAGE-BUS.md")


def test_the_order_of_read(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert context.bus_to_read(Flags(project="p", task="t")).value == TASK_BUS
    assert context.bus_to_read(Flags("/flag.md")).value == "/flag.md"
    assert context.bus_to_read(Flags()).value == "/env/a.md"
    monkeypatch.delenv("MESSAGE_BUS")
    assert context.bus_to_read(Flags()).value == "/env/b.md"
    monkeypatch.delenv("JRUN_MESSAGE_BUS")
    assert context.bus_to_read(Flags()).value == str(here / "MESSAGE-BUS.md")


def test_nothing_names_a_bus(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "MESSAGE-BUS.md").unlink()
    monkeypatch.setenv("MESSAGE_BUS", "")  # empty counts as not set
    monkeypatch.delenv("JRUN_MESSAGE_BUS")
    for resolve in (context.bus_to_post, context.bus_to_read):
        with pytest.raises(BusNotFoundError, match="--bus FILE, MESSAGE_BUS, or --project"):
            resolve(Flags())


def test_the_order_of_the_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert context.root_directory(Flags(root="/flag")) == "/flag"
    assert context.root_directory(Flags()) == "/runs"
    monkeypatch.delenv("JRUN_RUNS_DIR")
    assert context.root_directory(Flags()) == str(tmp_path / "home/.run-agent/runs")


def test_the_walk_goes_upward(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MESSAGE_BUS")
    monkeypatch.delenv("JRUN_MESSAGE_BUS")
    below = here / "a/b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert context.bus_to_post(Flags()).value == str(here / "MESSAGE-BUS.md")
    (here / "a/TASK-MESSAGE-BUS.md").touch()
    assert context.bus_to_read(Flags()).value == str(here / "a/TASK-MESSAGE-BUS.md")


@pytest.mark.parametrize("bad", BAD_IDS)
def test_an_id_that_becomes_a_path_is_refused(bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for flags in (Flags(project=bad), Flags(project=bad, task="t"), Flags(project="p", task=bad)):
        with pytest.raises(InvalidBusPathError, match="cannot name a directory"):
            context.bus_to_read(flags)
    monkeypatch.delenv("MESSAGE_BUS")
    monkeypatch.delenv("JRUN_MESSAGE_BUS")
    with pytest.raises(InvalidBusPathError):
        context.bus_to_post(Flags(project="p", task=bad))
    monkeypatch.setenv("JRUN_PROJECT_ID", bad)
    with pytest.raises((InvalidBusPathError, click.UsageError)):
        context.bus_to_post(Flags(task="t"))


def test_a_task_without_a_project(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(click.UsageError, match="--task needs --project"):
        context.bus_to_read(Flags(task="t"))
    monkeypatch.setenv("JRUN_PROJECT_ID", "p")
    assert context.bus_to_read(Flags(task="t")).value == TASK_BUS


def test_bus_with_project_is_a_contradiction_for_a_reader() -> None:
    for flags in (Flags("/x.md", None, "p"), Flags("/x.md", None, None, "t")):
        with pytest.raises(click.UsageError, match="--bus names a file"):
            context.bus_to_read(flags)


# --- project, task, run ----------------------------------------------------------------------


def scope(bus: str = "/x/BUS.md", **flags: str) -> tuple[str, str, str]:
    resolved = context.scope(Flags(**flags), bus)
    project, task, run = (
        resolved[name].value if name in resolved else "" for name in ("project_id", "task_id", "run_id")
    )
    return project, task, run


@pytest.fixture
def all_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "RUN_FOLDER": "/r/p2/t2/runs/r2",
        "TASK_FOLDER": "/r/p3/t3",
        "JRUN_PROJECT_ID": "p4",
        "JRUN_TASK_ID": "t4",
        "JRUN_ID": "r4",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("all_sources")
def test_the_order_of_inference(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = "/r/p1/t1/TASK-MESSAGE-BUS.md"
    assert scope(bus, project="p0", task="t0", run="r0") == ("p0", "t0", "r0")
    assert scope(bus) == ("p1", "t1", "r2")
    assert scope() == ("p2", "t2", "r2")
    monkeypatch.delenv("RUN_FOLDER")
    assert scope() == ("p3", "t3", "r4")
    monkeypatch.delenv("TASK_FOLDER")
    assert scope() == ("p4", "t4", "r4")


@pytest.mark.usefixtures("all_sources")
def test_a_task_from_a_path_counts_only_in_that_paths_project(monkeypatch: pytest.MonkeyPatch) -> None:
    assert scope("/r/p1/t1/TASK-MESSAGE-BUS.md", project="p3") == ("p3", "t3", "r2")
    assert scope("/r/p1/PROJECT-MESSAGE-BUS.md") == ("p1", "t4", "r2")  # not t2: that is p2's
    monkeypatch.delenv("JRUN_TASK_ID")
    assert scope("/r/p1/t1/TASK-MESSAGE-BUS.md", project="p0") == ("p0", "", "r2")


@pytest.mark.parametrize("prefix", ["", "JRUN_"])
def test_folders_under_both_names(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{prefix}RUN_FOLDER", "/r/p/t/runs/r/")
    assert scope() == ("p", "t", "r")
    monkeypatch.delenv(f"{prefix}RUN_FOLDER")
    monkeypatch.setenv(f"{prefix}TASK_FOLDER", "/r/p/t")
    assert scope() == ("p", "t", "")


def test_the_shorter_name_of_a_folder_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JRUN_TASK_FOLDER", "/r/p2/t2")
    monkeypatch.setenv("TASK_FOLDER", "/r/p1/t1")
    assert scope() == ("p1", "t1", "")


@pytest.mark.parametrize("folder", ["", "/", "/t", "/r/p/t/other/r", "/p/t/runs"])
def test_a_run_folder_of_another_shape_says_nothing(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUN_FOLDER", folder)
    assert scope() == ("", "", "")


def test_a_relative_folder_is_taken_from_here(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASK_FOLDER", "t")
    assert scope() == (here.name, "t", "")


def test_the_project_bus_says_no_task() -> None:
    assert scope("/r/p/PROJECT-MESSAGE-BUS.md") == ("p", "", "")
    assert scope("/r/p/t/TASK-MESSAGE-BUS.md") == ("p", "t", "")


def test_every_answer_has_its_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JRUN_ID", "r")
    rules = {name: resolved.rule for name, resolved in context.scope(Flags(project="p"), TASK_BUS).items()}
    assert rules == {"project_id": "the flags", "task_id": "the path of the bus", "run_id": "JRUN_ID"}
    assert context.bus_to_post(Flags()).rule == "MESSAGE_BUS"


# --- a plain bus, which may be anywhere ------------------------------------------------------------


def test_the_directory_of_a_plain_bus_is_the_last_to_name_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    assert scope("/r/shop/MESSAGE-BUS.md") == ("shop", "", "")
    assert scope("/MESSAGE-BUS.md") == ("", "", "")
    assert scope("/r/shop/MESSAGE-BUS.md", project="p") == ("p", "", "")
    monkeypatch.setenv("JRUN_TASK_ID", "t4")
    assert scope("/r/shop/MESSAGE-BUS.md") == ("shop", "t4", "")
    monkeypatch.setenv("JRUN_PROJECT_ID", "p4")
    assert scope("/r/shop/MESSAGE-BUS.md") == ("p4", "t4", "")


# --- a variable that names another bus -------------------------------------------------------------


@pytest.fixture
def misdirection(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str | None]:
    """The warning of a post whose bus MESSAGE_BUS names."""
    monkeypatch.setenv("JRUN_RUNS_DIR", "/runs")

    def check(bus: str, **flags: str) -> str | None:
        monkeypatch.setenv("MESSAGE_BUS", bus)
        return context.misdirection(Flags(**flags), context.bus_to_post(Flags(**flags)))

    return check


def test_flags_that_name_another_bus_than_the_variable(misdirection: Callable[..., str | None]) -> None:
    for bus in ("/env/a.md", "/runs/q/t/TASK-MESSAGE-BUS.md", "/elsewhere/p/t/TASK-MESSAGE-BUS.md"):
        warning = misdirection(bus, project="p", task="t")
        assert warning
        assert bus in warning
        assert TASK_BUS in warning
        assert "MESSAGE_BUS" in warning
    assert misdirection("/runs/p/PROJECT-MESSAGE-BUS.md", project="p", task="t")


def test_flags_that_agree_with_the_variable(misdirection: Callable[..., str | None], here: Path) -> None:
    assert misdirection(TASK_BUS, project="p", task="t") is None
    (here / "link").symlink_to(here)
    (here / "p").mkdir()
    assert misdirection(str(here / "link/p/PROJECT-MESSAGE-BUS.md"), project="p", root=str(here)) is None
    assert misdirection("/env/a.md", project="no/directory") is None, "the flags name no bus"
    assert context.misdirection(FLAGS, context.bus_to_post(FLAGS)) is None, "--bus comes first"


def test_a_directory_of_another_project_than_the_variable(
    misdirection: Callable[..., str | None], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = here / "q" / "t"
    below.mkdir(parents=True)
    (below / "TASK-MESSAGE-BUS.md").touch()
    monkeypatch.chdir(below)
    warning = misdirection(TASK_BUS)
    assert warning
    assert str(below / "TASK-MESSAGE-BUS.md") in warning
    assert "project p" in warning
    assert misdirection("/env/a.md") is None, "the path names no project"
    assert misdirection("/runs/q/other/TASK-MESSAGE-BUS.md") is None, "the same project"
    monkeypatch.chdir("/")
    assert misdirection(TASK_BUS) is None, "no bus is here"
