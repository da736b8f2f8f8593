"""Every message once and in order, to every kind of reader, while many write and rotate.

Processes that follow, poll, page and run ``run-agent bus read --follow`` stand beside eight
writers of tiny files; beside a writer of 4 MiB bodies; and, in this process, a reader is
interrupted before each single call that it makes to the system, where the log is then rotated or
an archive removed. What befalls files under a follower is in ``test_gaps.py``.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from messagebus import Draft, GapWarning, Message, MessageBus, SinceIDNotFoundError
from messagebus.backends.file import read, search, segments

FOLLOWING = Path(__file__).parent / "programs/following.py"
Pairs = list[tuple[str, str]]  # ids, each with the digest of its body


def draft(body: str = "text") -> Draft:
    return Draft("FACT", "demo", body)


def count_archives(path: Path) -> int:
    return len(list(path.parent.glob("BUS.md.*.archived")))


def differences(written: Pairs, given: Pairs) -> dict[str, int]:
    return {
        "lost": len(set(written) - set(given)),
        "repeated": len(given) - len(set(given)),
        "forged": len(set(given) - set(written)),
    }


# --- processes -------------------------------------------------------------------------------


class Readers:
    """Processes that read until they are told to stop, and log what was delivered to them."""

    def __init__(self, work: Callable[..., Any], path: Path) -> None:
        self._work = work
        self._path = path
        self._started: dict[Path, Any] = {}

    def start(self, *ways: str) -> None:
        for way in ways:
            log = self._path.with_name(f"reader{len(self._started)} {way}")
            verb = {"verb": "looker"} if way == "look" else {"verb": "reader", "way": way}
            self._started[log] = self._work(**verb, program=FOLLOWING, path=self._path, log=log)
        for reader in self._started.values():
            assert reader.event() == {"ready": True}

    def end(self, timeout: float) -> Iterator[tuple[str, Pairs, int]]:
        """In what way each read, what it was given, and how often it read."""
        MessageBus(self._path).append_message(Draft("END", "demo"))
        for log, reader in self._started.items():
            reads = reader.event(timeout)["reads"]
            yield log.name.split()[1], [(msg_id, digest) for msg_id, digest in json.loads(log.read_text())], reads


@pytest.fixture
def readers(work, path):
    return Readers(work, path)


@pytest.fixture
def digests(logged) -> Callable[[Iterable[Path]], Pairs]:
    """What writers wrote, in the order of the log."""
    return lambda logs: sorted((msg_id, body.partition("\n")[0]) for msg_id, body in logged(*logs))


LONG = 3_000  # seconds that the soak may take
SOAK = [pytest.mark.soak, pytest.mark.timeout(LONG)]


@pytest.mark.parametrize("rotations", [100, pytest.param(2_000, marks=SOAK)])
def test_every_message_once_and_in_order_through_rotations(
    work, start_together, readers, digests, path, tmp_path, tally, rotations
):
    path.touch()
    messages = rotations * 6 // 10  # of each writer; the file is renamed at every fourth
    readers.start("follow", "follow", "follow", "poll", "page", "json_lines", "raw_records")
    logs = [tmp_path / f"writer{number}" for number in range(8)]
    writers = [
        work("writer", path=path, name=log.name, count=messages, log=log, rotate=1_000, back=bool(number % 2))
        for number, log in enumerate(logs)
    ]
    start_together(writers)
    for writer in writers:
        writer.finish(LONG)
    written = digests(logs)
    assert rotations <= count_archives(path) < len(written) / 2, "a segment holds a few messages"
    for way, given, _ in readers.end(LONG):
        assert given == sorted(given), f"{way}: out of order"
        tally("messages through rotations, to several followers", len(written), **differences(written, given))


@pytest.mark.parametrize("messages", [9, pytest.param(251, marks=SOAK)])
def test_a_reader_beside_a_writer_of_4_mib_bodies_is_never_given_half(
    work, start_together, readers, digests, path, tmp_path, tally, messages
):
    readers.start("follow", "page", "look", "look")
    log = tmp_path / "writer"
    options = {"size": "giant", "rotate": 15 * 2**20}
    writer = work("writer", program=FOLLOWING, path=path, name="w", count=messages, log=log, **options)
    start_together([writer])
    writer.finish(LONG)
    written = digests([log])
    assert count_archives(path) == (messages - 1) // 4
    for way, given, reads in readers.end(LONG):
        found = differences(written, given)
        if way == "look":
            found["lost"] = 0  # it sees the newest only
        tally("reads beside a writer of 4 MiB bodies", reads, **found)


# --- between any two calls to the system ------------------------------------------------------


@pytest.fixture
def interrupted(monkeypatch, patched):
    """Do something just before call ``number`` of a reading to the system. Returns what was read, and
    the names of the calls before that: as many as ``number``, or fewer if the reading made no more."""

    def run(number: int, action: Callable[[], object], reading: Callable[..., list[Message]], *arguments: Any):
        calls: list[str] = []
        made = count()

        def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
            def watching(*given: Any) -> Any:
                now = next(made)
                if now < number:
                    calls.append(name)
                elif now == number:
                    action()
                return call(*given)

            return watching

        fake = patched(os, **{name: watched(name, getattr(os, name)) for name in CALLS})
        with monkeypatch.context() as patch:
            for module in (segments, read, search):
                patch.setattr(module, "os", fake)
            return reading(*arguments), calls

    return run


CALLS = ("open", "lstat", "fstat", "listdir", "pread")


@pytest.fixture
def log_of_archives(tmp_path):
    """A log of three archives and a live file, two messages in each, at a place of its own."""
    places = count()

    def make() -> tuple[Path, list[Message]]:
        path = tmp_path / f"{next(places)}" / "BUS.md"
        path.parent.mkdir()
        pairs = [MessageBus(path, auto_rotate_bytes=1).append_messages([draft()] * 2) for _ in range(4)]
        assert count_archives(path) == 3
        return path, [message for pair in pairs for message in pair]

    return make


def rotate(path: Path) -> list[Message]:
    return [MessageBus(path, auto_rotate_bytes=1).append_message(draft())]


def rotate_twice(path: Path) -> list[Message]:
    return rotate(path) + rotate(path)


def rotate_and_stop(path: Path) -> list[Message]:
    """As far as the rename: there is no live file."""
    path.rename(segments.archive_name(str(path), datetime.now(UTC)))
    return []


READINGS = {
    "all": lambda path, _before: MessageBus(path).read_messages(),
    "from a cursor": lambda path, before: before[:3] + MessageBus(path).read_messages(before[2].msg_id),
    "poll": lambda path, before: before[:3] + MessageBus(path).poll_for_new(before[2].msg_id),
    "tail": lambda path, _before: MessageBus(path).read_last_n(100),
    "filtered tail": lambda path, _before: MessageBus(path).read_messages(limit=100, text=""),
}


@pytest.mark.parametrize("change", [rotate, rotate_twice, rotate_and_stop])
@pytest.mark.parametrize("way", [*READINGS, "follow"])
def test_a_rotation_between_any_two_calls_of_a_reader(log_of_archives, interrupted, follow_through, tally, way, change):
    def follow(path: Path, _before: list[Message]) -> list[Message]:
        return follow_through(path, [lambda: None] * 2)

    for number in count():
        path, before = log_of_archives()
        after: list[Message] = []
        given, calls = interrupted(number, lambda: after.extend(change(path)), READINGS.get(way, follow), path, before)  # noqa: B023
        if len(calls) < number:
            break
        first = len(given)
        given += MessageBus(path).read_messages(given[-1].msg_id)
        assert given == [*before, *after], f"before call {number}, after {calls[-1:]}, {first} were delivered at first"
        tally("messages read while the log is rotated, between any two calls", len(given))
    assert number > 20


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("way", READINGS)
def test_an_archive_removed_between_any_two_calls_of_a_reader(log_of_archives, interrupted, tally, way, position):
    """Once it is listed, the reader is given what it holds, or says so."""
    for number in count():
        path, before = log_of_archives()
        held = before[2 * position : 2 * position + 2]
        remove = Path(segments.list_archives(str(path))[position]).unlink
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", GapWarning)
            try:
                given, calls = interrupted(number, remove, READINGS[way], path, before)
            except SinceIDNotFoundError:
                continue  # it held the cursor
        if len(calls) < number:
            break
        missing = [message for message in before if message not in given]
        assert given == [message for message in before if message not in missing]
        assert all(message in held for message in missing)
        silently = not warned and "listdir" in calls
        tally("files cut, replaced or removed under a reader", 1, lost=len(missing) if silently else 0)
    assert number > 20
