"""A program that locked the file before it became an archive, and writes into it after that."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from patience import SECONDS

from messagebus import Draft, GapWarning, Message, MessageBus
from messagebus.backends.file import late_writes

# It opens, locks and writes, and never asks whether the file still is where it was.
FOREIGN = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
fcntl.flock(fd, fcntl.LOCK_EX)
print("locked", flush=True)
for line in sys.stdin:
    os.write(fd, f"\\n---\\nmsg_id: {line.strip()}\\ntype: FACT\\nproject_id: p\\n---\\nlate\\n".encode())
    print("written", flush=True)
"""


class Foreign:
    """That program, with the lock of the file."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-c", FOREIGN, str(path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        assert self.process.stdout.readline() == "locked\n"

    def write(self, msg_id: str) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(msg_id + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "written\n"

    def end(self) -> None:
        self.process.communicate(timeout=SECONDS)


@pytest.fixture
def foreign(path: Path) -> Iterator[Foreign]:
    path.touch()
    program = Foreign(path)
    yield program
    program.end()


def post(path: Path, body: str) -> Message:
    return MessageBus(path).append_message(Draft("FACT", "p", body))


def archive(path: Path, number: int) -> Path:
    """As a program does that rotates without the lock."""
    archived = Path(f"{path}.20261121-0000{number:02}-000000.archived")
    path.rename(archived)
    return archived


def test_a_follower_that_is_past_it_says_that_there_is_a_gap(path: Path, foreign: Foreign) -> None:
    with pytest.raises(BlockingIOError), path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    path.write_text("---\nmsg_id: first\ntype: FACT\nproject_id: p\n---\nx\n")
    with closing(MessageBus(path).follow()) as follower:
        assert next(follower).msg_id == "first"
        archived = archive(path, 0)
        second = post(path, "second")
        assert next(follower) == second
        foreign.write("late")
        third = post(path, "third")
        with pytest.warns(GapWarning, match=f"{archived} was written to .* after byte "):
            assert next(follower) == third
        fourth = post(path, "fourth")
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # it says so once
            assert next(follower) == fourth
    assert [message.msg_id for message in MessageBus(path).read_messages()][:2] == ["first", "late"]


def test_a_follower_that_is_not_past_it_is_given_it(path: Path, foreign: Foreign) -> None:
    path.write_text("---\nmsg_id: first\ntype: FACT\nproject_id: p\n---\nx\n")
    with closing(MessageBus(path).follow()) as follower:
        assert next(follower).msg_id == "first"
        archive(path, 0)
        foreign.write("late")
        second = post(path, "second")
        assert [next(follower).msg_id for _ in range(2)] == ["late", second.msg_id]


def test_through_some_more_rotations(path: Path, foreign: Foreign) -> None:
    """Of two followers of one bus object, each warns; one started after the archive."""
    bus = MessageBus(path)
    path.write_text("---\nmsg_id: first\ntype: FACT\nproject_id: p\n---\nx\n")
    with closing(bus.follow()) as one:
        assert next(one).msg_id == "first"
        for number in range(4):
            archive(path, number)
            last = post(path, str(number))
            assert next(one) == last
        with closing(bus.follow(last.msg_id)) as two:
            new = post(path, "both wake")
            assert (next(one), next(two)) == (new, new)
            foreign.write("late")
            new = post(path, "both wake again")
            for follower in (one, two):
                with pytest.warns(GapWarning, match="was written to"):
                    assert next(follower) == new


def test_a_wake_costs_the_same_however_many_archives_there_are(
    path: Path, monkeypatch: pytest.MonkeyPatch, patched: Callable[..., object]
) -> None:
    looked: list[str] = []
    for number in range(30):
        post(path, str(number))
        archive(path, number)
    last, bus = post(path, "last"), MessageBus(path)
    bus.read_messages()
    monkeypatch.setattr(late_writes, "os", patched(os, lstat=lambda name: looked.append(name) or os.lstat(name)))
    bus.read_messages(last.msg_id)
    assert 0 < len(looked) <= 10


def test_a_repaired_archive_was_not_written_late(path: Path) -> None:
    """A file that takes the place of an archive is another one."""
    post(path, "first")
    archived = archive(path, 0)
    bus = MessageBus(path)
    second = post(path, "second")
    assert len(bus.read_messages()) == 2
    repaired = archived.with_name("repaired")
    repaired.write_bytes(archived.read_bytes() + b"\n" * 9)
    repaired.rename(archived)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bus.read_messages(second.msg_id) == []
