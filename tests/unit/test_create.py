"""The live file: opened to append, and created after a rotation, with any umask and beside faster writers."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from messagebus import (
    Draft,
    InvalidBusPathError,
    InvalidMessageError,
    MessageBus,
    check_bus,
    repair_bus,
    replace,
)
from messagebus.backends.file import create, segments

FACT = Draft("FACT", "demo", "a fact")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A bus whose archive is all there is: a rotation was interrupted."""
    path = tmp_path / "BUS.md"
    with MessageBus(path) as bus:
        bus.append_message(FACT)
    path.chmod(0o664)
    path.rename(f"{path}.20200101-000000-000000.archived")
    return path


@pytest.fixture(autouse=True)
def restrictive_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


class System:
    """``os`` with some functions replaced, and the flags of every opening noted."""

    def __init__(self, **replaced: Any) -> None:
        self.flags: list[int] = []
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        self.flags.append(flags)
        return os.open(path, flags, mode)


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Any:
    def spread(**replaced: Any) -> System:
        stand_in = System(**replaced)
        for module in (create, replace, segments):
            monkeypatch.setattr(module, "os", stand_in)
        return stand_in

    return spread


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def post(path: Path) -> None:
    with MessageBus(path) as bus:
        bus.append_message(FACT)


def test_a_file_that_there_is_is_opened_without_creating(path: Path, system: Any) -> None:
    """In a sticky directory the kernel refuses O_CREAT of another's file (fs.protected_regular)."""
    post(path)
    opened = system()
    post(path)
    assert opened.flags
    assert not [flags for flags in opened.flags if flags & os.O_CREAT]


def test_the_first_file_of_a_log_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    post(tmp_path / "new.md")
    assert mode_of(tmp_path / "new.md") == 0o600


def test_the_new_file_has_the_mode_of_the_newest_archive(path: Path) -> None:
    (path.parent / f"{path.name}.20210101-000000-000000.archived").mkdir()  # no file, though named like one
    post(path)
    assert mode_of(path) == 0o664


def test_the_new_file_has_its_mode_before_it_has_its_name(path: Path, system: Any) -> None:
    def link(old: str, new: str) -> None:
        assert mode_of(Path(old)) == 0o664
        assert not path.exists()
        os.link(old, new)

    system(link=link)
    post(path)
    assert len(names(path)) == 2


def test_the_file_of_a_faster_writer_stays(path: Path, system: Any) -> None:
    def link(old: str, new: str) -> None:
        if not path.exists():
            path.write_text("[2026-01-01 00:00:00] FACT: I was faster\n")
        os.link(old, new)

    system(link=link)
    post(path)
    assert [message.body for message in MessageBus(path).read_messages()] == ["a fact", "I was faster", "a fact"]
    assert len(names(path)) == 2


@pytest.mark.parametrize("code", sorted(create.NO_LINKS))
def test_a_file_system_without_links(path: Path, system: Any, code: int) -> None:
    def link(_old: str, _new: str) -> None:
        raise OSError(code, os.strerror(code))

    system(link=link)
    post(path)
    assert mode_of(path) == 0o664
    assert len(names(path)) == 2


def test_what_check_took_away_is_made_again(path: Path, system: Any) -> None:
    taken: list[str] = []

    def link(old: str, new: str) -> None:
        if not taken:
            taken.append(old)
            Path(old).unlink()
        os.link(old, new)

    system(link=link)
    post(path)
    assert mode_of(path) == 0o664


@pytest.mark.parametrize("code", [errno.EPERM, errno.EINVAL])
def test_an_owner_and_a_group_that_may_not_be_given(path: Path, system: Any, code: int) -> None:
    """EINVAL: a user that a container does not know. The group's bits are then those of all."""

    def fchown(_fd: int, _uid: int, _gid: int) -> None:
        raise OSError(code, os.strerror(code))

    system(fchown=fchown)
    post(path)
    assert mode_of(path) == 0o644


def test_a_failure_leaves_nothing(path: Path, system: Any) -> None:
    def fchmod(_fd: int, _mode: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    system(fchmod=fchmod)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        post(path)
    assert len(names(path)) == 1


def test_what_a_kill_leaves_is_found_and_removed(path: Path) -> None:
    post(path)
    left = path.parent / f"{path.name}.20260101-000000-000000.new"
    left.touch()
    assert ("BUS011", str(left)) in [(finding.code, finding.path) for finding in check_bus(path)]
    repair_bus(path)
    assert not left.exists()


def test_directories_are_made_when_a_valid_message_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "project" / "task" / "bus.md"
    with pytest.raises(InvalidBusPathError, match="create it first"):
        MessageBus(path).append_message(Draft("FACT", "demo"))
    bus = MessageBus(path, make_directories=True)
    assert bus.read_messages() == []
    with pytest.raises(InvalidMessageError):
        bus.append_message(Draft("", "demo"))
    assert list(tmp_path.iterdir()) == []
    posted = [bus.append_message(Draft("FACT", "demo"))]
    shutil.rmtree(tmp_path / "project")
    posted = [bus.append_message(Draft("FACT", "demo"))]
    assert bus.read_messages() == posted


def test_directories_that_cannot_be_made_are_named(tmp_path: Path) -> None:
    (tmp_path / "project").write_text("a file")
    with pytest.raises(OSError, match="project"):
        MessageBus(tmp_path / "project/task/bus.md", make_directories=True).append_message(Draft("FACT", "demo"))
