"""What befalls the files under a reader: cut, replaced, deleted, their archives removed.

A follower, a poller or a run of the program has read everything. Then another program damages
the log, and writers continue, by a clock that is right, an hour slow or stopped. Whatever is in
the log then must be delivered once and in order; and where the message at which the reader was
at is gone, it must say so before the next one.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest
from patience import SECONDS

from messagebus import Draft, GapWarning, Message, MessageBus, SinceIDNotFoundError
from messagebus.backends.file import append, segments
from messagebus.backends.file import read as file_read

TRIED = "files cut, replaced or removed under a reader"
HOUR = 3_600_000  # milliseconds
NOON = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()) * 1000


class Scene:
    """A log by a clock of its own, and what was posted to it."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.now, self.step = NOON, 10
        self.posted: list[Message] = []
        monkeypatch.setattr(append, "_now_ms", self._tick)

    def _tick(self) -> int:
        self.now += self.step
        return self.now

    def wait(self, milliseconds: int) -> None:
        self.now += milliseconds

    def post(self, count: int = 1, rotate: int = 0) -> None:
        """Post as a process that opens the log for the first time."""
        with MessageBus(self.path, auto_rotate_bytes=rotate) as bus:
            for _ in range(count):
                self.posted.append(bus.append_message(draft(f"{len(self.posted)}\n" + "text\n" * 20)))

    def start_of(self, number: int) -> int:
        """Where the record of that message starts, with the blank line before it."""
        return max(self.path.read_bytes().index(f"---\nmsg_id: {self.posted[number].msg_id}\n".encode()) - 1, 0)


def draft(body: str) -> Draft:
    return Draft("FACT", "demo", body)


@pytest.fixture
def scene(path, monkeypatch):
    return Scene(path, monkeypatch)


# --- damage to the file ------------------------------------------------------------------------


def cut(scene: Scene, size: int) -> None:
    """In place: the file keeps its inode."""
    os.truncate(scene.path, size)


def save(scene: Scene, content: bytes) -> None:
    """As most editors save: a new file in the place of the old."""
    temporary = scene.path.with_name(".saving")
    temporary.write_bytes(content)
    temporary.replace(scene.path)


def save_part(scene: Scene, first: int, last: int | None = None) -> None:
    content = scene.path.read_bytes()
    save(scene, content[scene.start_of(first) : None if last is None else scene.start_of(last)].lstrip(b"\n"))


def put_another_log(scene: Scene) -> None:
    """A log whose ids are older."""
    now, scene.now, path = scene.now, scene.now - 2 * HOUR, scene.path
    scene.path = path.with_name("OTHER.md")
    scene.post(3)
    scene.path.replace(path)
    scene.now, scene.path = now, path


def remove_as_archive(scene: Scene) -> None:
    archive = Path(segments.archive_name(str(scene.path), datetime.now(UTC)))
    scene.path.rename(archive)
    archive.unlink()


DAMAGES: dict[str, Callable[[Scene], object]] = {
    "cut to nothing": lambda scene: cut(scene, 0),
    "cut before the place": lambda scene: cut(scene, scene.start_of(3)),
    "cut in a header": lambda scene: cut(scene, scene.start_of(3) + 40),
    "cut in a body": lambda scene: cut(scene, scene.start_of(4) - 50),
    "the last body cut": lambda scene: cut(scene, scene.path.stat().st_size - 50),
    "the last byte cut": lambda scene: cut(scene, scene.path.stat().st_size - 1),
    "saved as it was": lambda scene: save_part(scene, 0),
    "the earliest removed": lambda scene: save_part(scene, 3),
    "all but the last removed": lambda scene: save_part(scene, 5),
    "the last removed": lambda scene: save_part(scene, 0, 5),
    "all but the first removed": lambda scene: save_part(scene, 0, 1),
    "all removed": lambda scene: save(scene, b""),
    "another log": put_another_log,
    "deleted": lambda scene: scene.path.unlink(),
    "archived and removed": remove_as_archive,
}


# --- readers ---------------------------------------------------------------------------------

Events = list[Message | Warning | Exception]  # what a reader got, in order
Steps = Iterable[Callable[[], object]]


@pytest.fixture
def follow(path, script) -> Callable[[Steps], Events]:
    """Follow, and do each step when the follower has read all there is."""

    def run(steps: Steps) -> Events:
        events: Events = []
        stop = threading.Event()
        bus = MessageBus(path)
        bus._backend.watch = lambda: script(steps, stop)
        for message in bus.follow(stop=stop, on_gap=events.append):
            events.append(message)
        return events

    return run


@pytest.fixture
def poll(path) -> Callable[[Steps], Events]:
    """Poll by a cursor after each step; from the beginning where it is told that there is no such
    message any more."""

    def run(steps: Steps) -> Events:
        events: Events = []
        bus, cursor, known = MessageBus(path), None, set()
        for step in steps:
            step()
            try:
                messages = bus.poll_for_new(cursor, timeout=0)
            except SinceIDNotFoundError as error:
                events.append(error)
                messages = bus.read_messages()
            events += [message for message in messages if message.msg_id not in known]
            known |= {message.msg_id for message in messages}
            cursor = messages[-1].msg_id if messages else cursor
        return events

    return run


@pytest.fixture(params=["follow", "poll"])
def read(request: pytest.FixtureRequest) -> Callable[[Steps], Events]:
    return request.getfixturevalue(request.param)


def together(*steps: Callable[[], object]) -> Callable[[], object]:
    return lambda: [step() for step in steps]


def set_clock(scene: Scene, clock: str) -> None:
    if clock == "slow":
        scene.wait(-HOUR)


def count_differences(expected: list[Message], given: list[Message]) -> dict[str, int]:
    wanted, got = ([(message.msg_id, message.body) for message in messages] for messages in (expected, given))
    return {
        "lost": len(set(wanted) - set(got)),
        "repeated": len(got) - len(set(got)),
        "forged": len(set(got) - set(wanted)),
    }


@pytest.mark.parametrize("looks", [True, False], ids=["looking between", "looking later"])
@pytest.mark.parametrize("clock", ["right", "slow", "still"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_under_a_reader(scene, read, tally, damage, clock, looks):
    scene.step = 0 if clock == "still" else 10
    gone: list[bool] = []

    def do_damage() -> None:
        DAMAGES[damage](scene)
        text = scene.path.read_bytes() if scene.path.exists() else b""
        gone.append(f"msg_id: {scene.posted[5].msg_id}\n".encode() not in text)
        set_clock(scene, clock)

    going_on = [do_damage, scene.post, scene.post, scene.post]
    events = read([lambda: scene.post(5), scene.post, *(going_on if looks else [together(*going_on)])])
    given = [event for event in events if isinstance(event, Message)]
    assert given[:6] == scene.posted[:6]
    told = [position for position, event in enumerate(events) if not isinstance(event, Message)]
    assert bool(told) == gone[0], events
    assert all(position == 6 for position in told[:1]), "it was told before the next message"
    tally(TRIED, 1, **count_differences(scene.posted, given))
    assert given == scene.posted


FURTHER: dict[str, Callable[[Scene], object]] = {
    "cut to the first ten": lambda scene: cut(scene, scene.start_of(10)),
    "saved as the first ten": lambda scene: save_part(scene, 0, 10),
    "cut to nothing": lambda scene: cut(scene, 0),
    "deleted": lambda scene: scene.path.unlink(),
}


@pytest.mark.parametrize("clock", ["right", "slow"])
@pytest.mark.parametrize("damage", FURTHER)
def test_damage_that_takes_away_more_than_a_follower_remembers(scene, follow, tally, damage, clock):
    """With a slow clock, what follows the first ten cannot be distinguished from what was delivered."""
    unknown = 2 if clock == "slow" and "first ten" in damage else 0
    do_damage = together(lambda: FURTHER[damage](scene), lambda: set_clock(scene, clock), scene.post)
    events = follow([lambda: scene.post(1_000), do_damage, scene.post, lambda: scene.wait(2 * HOUR), scene.post])
    assert [type(event) for event in events[1_000:1_002]] == [GapWarning, Message]
    del events[1_000]
    expected = scene.posted[:1_000] + scene.posted[1_000 + unknown :]
    tally(TRIED, 1, **count_differences(expected, events))
    assert events == expected


def test_the_oldest_archive_and_the_live_file_removed(scene, follow, tally):
    """The log begins with another message then, and still is no other log."""

    def damage() -> None:
        Path(segments.list_archives(str(scene.path))[0]).unlink()
        cut(scene, 0)

    steps = [lambda: scene.post(100), lambda: scene.post(100, rotate=5_000), lambda: scene.post(500)]
    events = follow([*steps, damage, scene.post, scene.post])
    assert [type(event) for event in events[700:702]] == [GapWarning, Message]
    del events[700]
    tally(TRIED, 1, **count_differences(scene.posted, events))
    assert events == scene.posted


# --- while it is being read ------------------------------------------------------------------


@pytest.fixture
def told() -> Iterator[list[Warning]]:
    """What the library warned of."""
    told: list[Warning] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", GapWarning)
        warnings.showwarning = lambda message, *_where: told.append(message)
        yield told


@pytest.mark.parametrize("positions", [[0], [1], [2], [1, 2], [0, 1, 2, 3]], ids=str)
def test_archives_removed_while_a_follower_reads_the_first(scene, tally, told, positions):
    """What it has open is read to the end; what it has listed and not opened is missed, and said so."""
    scene.post(20, rotate=300)
    archives = segments.list_archives(str(scene.path))
    missed = [
        message.msg_id
        for position in positions
        if position
        for message in MessageBus(archives[position]).iter_messages()
    ]
    expected = [message for message in scene.posted if message.msg_id not in missed]
    with closing(MessageBus(scene.path).follow()) as messages:
        given = [next(messages)]
        for position in positions:
            Path(archives[position]).unlink()
        given += islice(messages, len(expected) - 1)
    assert len(told) == len(positions) - positions.count(0)
    tally(TRIED, len(positions), **count_differences(expected, given))
    assert given == expected


@pytest.mark.parametrize("change", ["cut", "replaced", "deleted"])
def test_the_live_file_changed_while_it_is_read(scene, tally, told, change):
    """A file that is open is read to its end, whatever is at the path; one that is cut is not."""
    scene.post(1_000)
    with closing(MessageBus(scene.path).iter_messages()) as messages:
        given = [next(messages)]
        if change == "cut":
            cut(scene, scene.start_of(500))
        elif change == "replaced":
            save_part(scene, 0, 500)
        else:
            scene.path.unlink()
        given += messages
    assert given == scene.posted[: 500 if change == "cut" else None]
    tally(TRIED, 1, lost=len(scene.posted) - len(given) if not told else 0)
    assert len(told) == (change == "cut")


@pytest.mark.parametrize("left", [0, 200, 700])
def test_the_live_file_cut_while_it_is_read_backwards(scene, tally, told, monkeypatch, left):
    """What was read before is given whole, and what is left is, but no mixture of the two."""
    scene.post(1_000)
    size = scene.start_of(left) + 70 * (left > 0)  # within a record
    parts = file_read.parts_backwards

    def cutting(segment: segments.Segment, at_least: int) -> Iterator[tuple[int, bytes]]:
        for part in parts(segment, at_least):
            yield part
            cut(scene, size)

    monkeypatch.setattr(file_read, "parts_backwards", cutting)
    given = MessageBus(scene.path).read_messages(limit=5_000, types=["FACT"])
    above = len([message for message in given if message.msg_id <= scene.posted[left].msg_id])
    assert given == scene.posted[:above] + scene.posted[above - len(given) :]
    assert above <= left
    tally(TRIED, 1, lost=len(scene.posted) - len(given) if not told else 0)
    assert len(told) == 1


# --- the program -----------------------------------------------------------------------------


@pytest.fixture
def program(path) -> Iterator[Callable[[str], Callable[[str], str]]]:
    """Run ``run-agent bus read --follow``; what it says next on stdout or stderr."""
    running: list[subprocess.Popen[bytes]] = []

    def start(form: str) -> Callable[[str], str]:
        command = [sys.executable, "-m", "run_agent", "bus", "read", "--bus", str(path), "--follow", form]
        process = subprocess.Popen(command, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        running.append(process)

        def line(stream: str) -> str:
            pipe = getattr(process, stream)
            assert select.select([pipe], [], [], SECONDS)[0], f"nothing comes on {stream}"
            text = pipe.readline().decode()
            assert text, "the program is gone"
            return text

        return line

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("form", ["--json", "--raw"])
@pytest.mark.parametrize("damage", ["cut in a body", "the last removed", "deleted"])
def test_the_program_tells_a_gap_and_goes_on(scene, program, tally, damage, form):
    """Here file events wake the follower, so that it may look at any moment."""
    scene.post(5)
    line = program(form)

    def given(count: int) -> list[str]:
        ids: list[str] = []
        while len(ids) < count:
            ids += re.findall(r'msg_id"?: "?(MSG-\w+)', line("stdout"))
        return ids

    ids = given(5)
    scene.post()
    ids += given(1)
    DAMAGES[damage](scene)
    scene.post(2)
    ids += given(2)
    assert ids == [message.msg_id for message in scene.posted]
    assert line("stderr").startswith(f"Warning: {scene.path} no longer holds {ids[5]},")
    tally(TRIED, 1)
