"""`run-agent bus merge` by hand, and what it refuses; tests/system/test_git.py runs it under git."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from messagebus import Message, merge_files, merge_logs

Run = Callable[..., Any]


@pytest.fixture
def sides(here: Path, fill: Callable[..., list[Message]]) -> list[Path]:
    """BASE, OURS and THEIRS, with a message each."""
    paths = [here / name for name in ("base.md", "ours.md", "theirs.md")]
    for path in paths:
        fill(path.stem, to=path)
    return paths


@pytest.fixture
def merge(run: Run) -> Run:
    return lambda *args: run("bus", "merge", *args)


def test_ours_becomes_the_merge(merge: Run, sides: list[Path]) -> None:
    base, ours, theirs = sides
    expected = merge_logs(*(path.read_bytes() for path in sides))
    before = [base.read_bytes(), theirs.read_bytes()]
    ours.chmod(0o640)
    assert merge(*sides) == (0, b"", "")
    assert ours.read_bytes() == expected
    assert ours.stat().st_mode & 0o7777 == 0o640
    assert [base.read_bytes(), theirs.read_bytes()] == before
    assert sorted(ours.parent.iterdir()) == sorted(sides)


def test_the_library_does_the_same(sides: list[Path]) -> None:
    expected = merge_logs(*(path.read_bytes() for path in sides))
    merge_files(*sides)
    assert sides[1].read_bytes() == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_ours_keeps_its_owner(merge: Run, sides: list[Path]) -> None:
    os.chown(sides[1], 7001, 7000)
    sides[1].chmod(0o660)
    before = os.umask(0o077)
    try:
        assert merge(*sides).code == 0
    finally:
        os.umask(before)
    status = sides[1].stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (7001, 7000, 0o660)


@pytest.mark.parametrize("base", ["/dev/null", "empty.md"])
def test_base_may_be_empty(base: str, merge: Run, sides: list[Path], here: Path, messages: Run) -> None:
    (here / "empty.md").touch()
    _, ours, theirs = sides
    assert merge(base, ours, theirs).code == 0
    assert {message.body for message in messages(ours)} == {"ours", "theirs"}


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("state", ["missing", "directory", "unreadable"])
def test_a_file_that_cannot_be_read(which: int, state: str, merge: Run, sides: list[Path], refused: Run) -> None:
    if state == "unreadable" and os.geteuid() == 0:
        pytest.skip("root reads all files")
    before = sides[1].read_bytes()
    bad = sides[which]
    if state == "unreadable":
        bad.chmod(0)
    else:
        bad.unlink()
    if state == "directory":
        bad.mkdir()
    refused(merge(*sides), 6, str(bad), "nothing was merged")
    if which != 1:
        assert sides[1].read_bytes() == before


def test_ours_must_not_be_a_link(merge: Run, sides: list[Path], refused: Run, here: Path) -> None:
    before = sides[1].read_bytes()
    (here / "link.md").symlink_to(sides[1])
    refused(merge(sides[0], "link.md", sides[2]), 6, "link.md", "not a regular file")
    assert sides[1].read_bytes() == before
    assert (here / "link.md").is_symlink()


def test_a_write_that_fails(
    merge: Run, sides: list[Path], refused: Run, monkeypatch: pytest.MonkeyPatch, patched: Any
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = sides[1].read_bytes()
    monkeypatch.setattr(sys.modules["messagebus.merge_files"], "os", patched(os, replace=fail))
    refused(merge(*sides), 6, "No space left", "nothing was merged")
    assert sides[1].read_bytes() == before
    assert sorted(sides[1].parent.iterdir()) == sorted(sides), "and there is no half-written file"


@pytest.mark.parametrize(
    ("args", "word"),
    [
        ([], "three files"),
        (["a", "b"], "three files"),
        (["a", "b", "c", "d"], "three files"),
        (["--install", "--uninstall"], "alone"),
        (["--install", "a"], "alone"),
        (["--uninstall", "a", "b", "c"], "alone"),
    ],
)
def test_usage(args: list[str], word: str, merge: Run, refused: Run) -> None:
    refused(merge(*args), 2, word)


@pytest.mark.parametrize("flag", ["--install", "--uninstall"])
def test_no_repository(
    flag: str, merge: Run, refused: Run, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    refused(merge(flag), 6, "not a git repository", "work tree")
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("flag", ["--install", "--uninstall"])
def test_no_git(flag: str, merge: Run, refused: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(here))
    refused(merge(flag), 6, "git is not on the PATH")
