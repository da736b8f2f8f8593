"""Names and places of bus files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from messagebus import BusNotFoundError, InvalidBusPathError, discover_bus
from messagebus.discovery import BUS_NAMES, bus_path, scope_of


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory three levels deep, with no bus in it."""
    deep = tmp_path / "root" / "demo" / "task-1" / "src"
    deep.mkdir(parents=True)
    return deep


def put(directory: Path, name: str) -> Path:
    (directory / name).touch()
    return directory / name


def test_the_nearest_bus_upward_is_found(tree: Path) -> None:
    project = put(tree.parents[1], "PROJECT-MESSAGE-BUS.md")
    assert discover_bus(tree) == project
    task = put(tree.parent, "TASK-MESSAGE-BUS.md")
    assert discover_bus(tree) == task
    assert discover_bus(str(tree.parent)) == task
    assert discover_bus(tree.parents[1]) == project


def test_in_one_directory_the_task_comes_before_the_project_before_the_plain_name(tree: Path) -> None:
    assert BUS_NAMES == ("TASK-MESSAGE-BUS.md", "PROJECT-MESSAGE-BUS.md", "MESSAGE-BUS.md")
    for name in reversed(BUS_NAMES):
        assert discover_bus(put(tree, name).parent) == tree / name


def test_none_means_the_current_directory(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = put(tree, "MESSAGE-BUS.md")
    monkeypatch.chdir(tree)
    assert discover_bus() == discover_bus(None) == discover_bus(".") == bus


def test_only_regular_files_count(tree: Path) -> None:
    plain = put(tree.parents[2], "MESSAGE-BUS.md")
    (tree / "TASK-MESSAGE-BUS.md").mkdir()
    (tree / "PROJECT-MESSAGE-BUS.md").symlink_to(plain)
    os.mkfifo(tree / "MESSAGE-BUS.md")
    assert discover_bus(tree) == plain


def test_no_bus_says_where_it_looked_and_for_what(tree: Path) -> None:
    with pytest.raises(BusNotFoundError, match=r"TASK-MESSAGE-BUS\.md") as caught:
        discover_bus(tree)
    assert str(tree) in str(caught.value)


def test_a_start_that_does_not_exist_looks_above_it(tree: Path) -> None:
    bus = put(tree, "MESSAGE-BUS.md")
    assert discover_bus(tree / "not" / "yet") == bus


def test_the_bus_of_a_task_and_of_a_project() -> None:
    assert bus_path("runs", "demo", "task-1") == str(Path("runs/demo/task-1/TASK-MESSAGE-BUS.md"))
    assert bus_path(Path("runs"), "demo") == str(Path("runs/demo/PROJECT-MESSAGE-BUS.md"))


@pytest.mark.parametrize("bad", ["", " ", ".", "..", "a/b", "/etc", "a\\b", "a..b", "../x", "a\nb", "\0", "\x85"])
def test_ids_that_name_no_directory_are_refused(bad: str) -> None:
    with pytest.raises(InvalidBusPathError, match="project id"):
        bus_path("runs", bad, "task-1")
    if bad:
        with pytest.raises(InvalidBusPathError, match="task id"):
            bus_path("runs", "demo", bad)


@pytest.mark.parametrize("name", ["demo", "a.b", "-x", "été", "a b", "~", "$HOME", "..."[:1] + "hidden"])
def test_other_ids_are_names(name: str) -> None:
    assert scope_of(bus_path("/runs", name, name)) == (name, name)


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/r/demo/task-1/TASK-MESSAGE-BUS.md", ("demo", "task-1")),
        ("/r/demo/PROJECT-MESSAGE-BUS.md", ("demo", "")),
        ("/r/demo/task-1/MESSAGE-BUS.md", ("task-1", "")),
        ("/MESSAGE-BUS.md", ("", "")),
        ("/r/a..b/MESSAGE-BUS.md", ("", "")),
        ("/r/a\\b/MESSAGE-BUS.md", ("", "")),
        ("/r/a\nb/MESSAGE-BUS.md", ("", "")),
        ("/r/\udcff/MESSAGE-BUS.md", ("", "")),
        ("/r/ /MESSAGE-BUS.md", ("", "")),
        ("/r/der Weg/MESSAGE-BUS.md", ("der Weg", "")),
        ("/r/demo/task-1/other.md", ("", "")),
    ],
)
def test_the_scope_of_a_path(path: str, scope: tuple[str, str]) -> None:
    assert scope_of(path) == scope
    assert scope_of(Path(path)) == scope


# --- whose bus it is -------------------------------------------------------------------------

ME, OTHER = 0, 7002
as_root = pytest.mark.skipif(os.geteuid() != ME, reason="only root can make files of others")


@as_root
@pytest.mark.parametrize(
    ("owner", "of_directory", "mode", "is_trusted"),
    [
        (ME, OTHER, 0o777, True),
        (ME, ME, 0o1777, True),
        (OTHER, ME, 0o755, True),  # no one but us and root can have put it there
        (OTHER, ME, 0o700, True),
        (OTHER, ME, 0o757, False),
        (OTHER, ME, 0o1777, False),  # as in /tmp: others may not remove our files, but add theirs
        (OTHER, ME, 0o775, False),
        (OTHER, OTHER, 0o755, False),
        (OTHER, 7003, 0o755, False),
    ],
)
def test_a_bus_that_another_user_may_have_planted(
    owner: int, of_directory: int, mode: int, is_trusted: bool, tree: Path
) -> None:
    bus = put(tree.parent, "MESSAGE-BUS.md")
    os.chown(bus, owner, owner)
    os.chown(tree.parent, of_directory, of_directory)
    tree.parent.chmod(mode)
    if is_trusted:
        assert discover_bus(tree) == bus
        return
    put(tree.parents[1], "MESSAGE-BUS.md")  # which is not taken in its place
    with pytest.raises(InvalidBusPathError, match="another user") as caught:
        discover_bus(tree)
    assert str(bus) in str(caught.value)
    assert str(owner) in str(caught.value)
