"""A full disk: a real one, of 64 KiB, filled up to every number of bytes that a record may find left.

A tmpfs gives out whole pages, and a file may grow to the end of its last one: so the length of the log
says how many bytes fit in. Where nothing can be mounted, these tests are skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import invariants
import pytest
from patience import SECONDS

import messagebus
from messagebus import Message, MessageBus

PAGE = os.sysconf("SC_PAGE_SIZE")
FILES = 12  # inodes of the disk, that of its directory among them
IN_PLACE = [name for name, kind in invariants.KINDS.items() if not kind.new and not kind.rotate]
MAKING_A_FILE = [name for name, kind in invariants.KINDS.items() if kind.new or kind.rotate]


class Disk:
    """A small disk, and what takes up its space."""

    def __init__(self, place: Path) -> None:
        self.bus = place / "BUS.md"
        self._place = place
        self._ballast = place / "ballast"

    def fill(self, pages: int = 0) -> None:
        """Leave so many pages."""
        with self._ballast.open("wb", buffering=0) as file:
            with suppress(OSError):
                while file.write(bytes(16 * PAGE)):
                    pass
            file.truncate(file.tell() - pages * PAGE)

    def use_up_files(self) -> None:
        with suppress(OSError):
            for number in range(FILES):
                (self._place / f"ballast{number}").touch()

    def free(self) -> None:
        for file in self._place.glob("ballast*"):
            file.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    place = tmp_path / "disk"
    place.mkdir()
    options = f"size={16 * PAGE},nr_inodes={FILES},huge=never"
    try:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place]
        mounting = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(f"no small disk: {error}")
    if mounting.returncode:
        pytest.skip(f"no small disk (only root may mount one): {mounting.stderr.decode().strip()}")
    yield Disk(place)
    subprocess.run(["umount", "--lazy", place], check=True)


def growth(path: Path, kind: Any) -> tuple[int, int]:
    """How long the log of this kind is, with one line above it, and by how much an append makes it longer."""
    trial = invariants.Trial(path, kind, preamble=b"#\n\n")
    with trial.bus:
        trial.append()
    return len(trial.before), len(invariants.log_of(path)) - len(trial.before)


def squeeze(disk: Disk, kind: Any, rooms: Iterable[int], size: int, needed: int) -> list[dict[str, int]]:
    """Append where so many bytes are left."""
    found = []
    for room in rooms:
        trial = invariants.Trial(disk.bus, kind, preamble=b"#" * (1 + -(size + room) % PAGE) + b"\n\n")
        disk.fill()
        trial.append()
        assert (not trial.failure) == (room >= needed), f"{room} of {needed} bytes: {trial.told}"
        disk.free()
        found.append(trial.settle())
    return found


@pytest.mark.parametrize("kind", IN_PLACE)
def test_every_number_of_bytes_is_left(disk, tally, kind):
    size, needed = growth(disk.bus, invariants.KINDS[kind])
    found = squeeze(disk, invariants.KINDS[kind], range(needed + 1), size, needed)
    tally(invariants.TALLY, len(found), **invariants.total(found))


@pytest.mark.parametrize("kind", MAKING_A_FILE)
def test_some_pages_are_left(disk, tally, kind):
    """... for a file that is new, and for the new file of a rotation."""
    found, needed = [], 2 if not invariants.KINDS[kind].batch else 4
    for pages in range(needed + 1):
        trial = invariants.Trial(disk.bus, invariants.KINDS[kind], body="x" * PAGE)
        disk.fill(pages)
        trial.append()
        assert (not trial.failure) == (pages >= needed), f"{pages} pages: {trial.told}"
        disk.free()
        found.append(trial.settle())
    tally(invariants.TALLY, len(found), **invariants.total(found))


@pytest.mark.parametrize("kind", MAKING_A_FILE)
def test_no_more_files_fit_in(disk, tally, kind):
    trial = invariants.Trial(disk.bus, invariants.KINDS[kind])
    disk.use_up_files()
    trial.append()
    assert trial.failure == "OSError"
    disk.free()
    tally(invariants.TALLY, 1, **trial.settle())


def test_what_is_stored_already_needs_no_space(disk):
    """A key answered from the log, and reading."""
    with MessageBus(disk.bus) as bus:
        first = bus.append_message(invariants.draft("once"), idempotency_key="k")
        disk.fill()
        assert bus.append_message(invariants.draft("once"), idempotency_key="k") == first
        assert bus.read_messages() == bus.read_last_n(3) == [first]
        assert MessageBus(disk.bus).get_message(first.msg_id) == first


def test_a_follower_is_given_none_of_what_was_taken_back(disk, following, tally):
    """Bodies of several pages come into the file by halves, and go again."""
    with MessageBus(disk.bus) as bus:
        follower = following(MessageBus(disk.bus))
        stored: list[Message] = []
        for number in range(10):
            disk.fill(pages=2)
            with pytest.raises(OSError, match="were removed again"):
                bus.append_message(invariants.draft(f"too long {number} {'x' * 3 * PAGE}"))
            disk.free()
            stored.append(bus.append_message(invariants.draft(f"short {number}")))
        given = [follower.next() for _ in stored]
        follower.end()
    tally(invariants.TALLY, 10, **invariants.differences(stored, given))


def test_writers_who_find_the_disk_full_do_not_disturb_each_other(disk, tally):
    """Four threads append until nothing fits in; what was acknowledged is there, and nothing else."""
    acknowledged: list[list[Message]] = [[] for _ in range(4)]

    def write(mine: list[Message]) -> None:
        with suppress(OSError), MessageBus(disk.bus, lock_timeout=SECONDS, auto_rotate_bytes=4 * PAGE) as bus:
            for _ in range(200):  # many times what fits in
                mine += bus.append_messages([invariants.draft("x" * 200)] * 5)

    threads = [threading.Thread(target=write, args=(mine,)) for mine in acknowledged]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()
    expected = sorted(chain.from_iterable(acknowledged), key=lambda message: message.msg_id)
    assert len(expected) > 100
    tally(invariants.TALLY, 4, **invariants.differences(expected, MessageBus(disk.bus).read_messages()))


def run_agent(disk: Disk, *arguments: str, lines: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "run_agent", "bus", *arguments, "--bus", str(disk.bus)]
    environment = {**os.environ, "PYTHONPATH": str(Path(messagebus.__file__).parents[1])}
    return subprocess.run(command, input=lines, capture_output=True, timeout=SECONDS, check=False, env=environment)


def test_the_program_says_that_the_disk_is_full(disk, tally):
    with MessageBus(disk.bus) as bus:
        first = bus.append_message(invariants.draft("before"))
    disk.fill()
    before = invariants.log_of(disk.bus)
    posting = ("post", "--project", "demo")
    for done in (
        run_agent(disk, *posting, "--body", "x" * 2 * PAGE),
        run_agent(disk, *posting, "--jsonl", lines=b'{"body": "%b"}\n' % (b"x" * 1000) * 5),
        run_agent(disk, *posting, "--rotate-bytes", "1", "--body", "x"),
    ):
        invariants.complaint(done.returncode, done.stderr, expected=70, path=disk.bus)
        assert done.stdout == b""
        assert invariants.log_of(disk.bus) == before
    assert run_agent(disk, "read", "--json").stdout.count(first.msg_id.encode()) == 1
    disk.free()
    posted = run_agent(disk, *posting, "--quiet", "--jsonl", lines=b'{"body": "after"}\n' * 3)
    assert (posted.returncode, posted.stderr) == (0, b"")
    ids = [first.msg_id, *posted.stdout.decode().split()]
    assert [message.msg_id for message in MessageBus(disk.bus).read_messages()] == ids
    tally(invariants.TALLY, 3)
