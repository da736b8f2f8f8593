"""Ids strictly increase in file order, whatever sixteen writers, their clocks and editors do.

All append at once: through rotation, with clocks that step an hour back and forth, after what people
saved, and beside a writer of the Go kind, whose own ids follow its own clock (``ordering.py``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from messagebus import MessageBus
from messagebus.msgid import order

ORDERING = Path(__file__).parent / "programs/id_order.py"
WRITERS = 16
SECONDS = 800.0  # that a round may take on a busy machine
RECORD_START = b"\n---\nmsg_id: "
OURS = re.compile(r"MSG-[0-9A-Z]{26}")
Pairs = list[tuple[str, str]]  # ids, each with its body
FOR_LONG = [pytest.mark.soak, pytest.mark.timeout(1800)]


class Crowd:
    """Sixteen of our writers, which append in rounds, and others beside them."""

    def __init__(self, work: Callable, logged: Callable[..., Pairs], path: Path) -> None:
        self._work, self._logged, self._path = work, logged, path
        self._logs: list[Path] = []
        self._ours: list = []
        self._others: list = []

    def come(self, **options: object) -> None:
        self._ours = [self._start("ours", name=f"w{number}", **options) for number in range(WRITERS)]
        self._wait_for(self._ours)

    def come_with_go(self, hours_ahead: int) -> None:
        self._others = [self._start("go", hours_ahead=hours_ahead)]
        self._wait_for(self._others)

    def _start(self, verb: str, **options: object) -> Any:
        log = self._path.with_name(f"log{len(self._logs)}")
        self._logs.append(log)
        return self._work(verb, program=ORDERING, path=self._path, log=log, **options)

    def write(self) -> None:
        """Let all write at once, until our writers have finished a round."""
        for worker in [*self._others, *self._ours]:
            worker.tell()
        self._wait_for(self._ours)

    def _wait_for(self, workers: list) -> None:
        for worker in workers:
            worker.event(SECONDS)

    def finish(self) -> Pairs:
        """What was acknowledged, the messages of each writer in its own order."""
        for worker in self._others:
            worker.tell()
        for worker in [*self._others, *self._ours]:
            worker.finish()
        return self._logged(*self._logs)


@pytest.fixture
def crowd(work, logged, path):
    return Crowd(work, logged, path)


def inversions(ids: list[str]) -> list[tuple[str, str]]:
    """Neighbours where the later is not the greater, by time and then as text."""
    timed = [msg_id for msg_id in ids if order(msg_id)]
    return [(one, two) for one, two in pairwise(timed) if not order(one) < order(two)]


def differences(expected: Iterable[tuple[str, str]], stored: Pairs) -> dict[str, int]:
    there = Counter(stored)
    return {
        "lost": len(set(expected) - set(there)),
        "repeated": len(stored) - len(there),
        "forged": len(set(there) - set(expected)),
    }


def pairs_in(path: Path) -> Pairs:
    return [(message.msg_id, message.body) for message in MessageBus(path).iter_messages()]


@pytest.mark.parametrize(("count", "rotate"), [(60, 8 * 1024), pytest.param(8_000, 128 * 1024, marks=FOR_LONG)])
def test_through_rotation_and_with_clocks_that_swing(crowd, tally, path, count, rotate):
    crowd.come(rounds=1, count=count, rotate=rotate, swing=True)
    crowd.write()
    acknowledged = crowd.finish()
    stored = pairs_in(path)
    tally("messages of 16 writers in order", len(stored), **differences(acknowledged, stored))
    assert inversions([msg_id for msg_id, _ in stored]) == []
    for writer in range(WRITERS):
        own = [msg_id for msg_id, _ in acknowledged[writer * count : (writer + 1) * count]]
        assert own == sorted(own), f"messages of writer {writer} changed places"
    assert len(list(path.parent.glob("BUS.md.*.archived"))) >= 10


# --- after people have saved -------------------------------------------------------------------


def as_it_is(text: bytes, _turn: int) -> bytes:
    return text


def without_the_last(text: bytes, _turn: int) -> bytes:
    return text[: text.rindex(RECORD_START)]


def without_the_first_half(text: bytes, _turn: int) -> bytes:
    return text[text.index(RECORD_START, len(text) // 2) + 1 :]


def reworded(text: bytes, turn: int) -> bytes:
    return text.replace(b"\nend\n", b"\nend, in other words %d\n" % turn, 1)


def with_a_line_at_the_end(text: bytes, turn: int) -> bytes:
    return text + b"\n[2026-11-21 03:14:15] FACT: by hand %d\n" % turn


def with_a_record_at_the_end(text: bytes, turn: int) -> bytes:
    return text + b"%bby-hand-%d\ntype: FACT\nproject_id: demo\n---\nby hand\n" % (RECORD_START, turn)


def with_crlf(text: bytes, _turn: int) -> bytes:
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def save_by_rename(path: Path, text: bytes) -> None:
    saved = path.with_name(".saving")
    saved.write_bytes(text)
    saved.replace(path)


EDITS = (
    as_it_is, without_the_last, reworded, with_a_line_at_the_end, with_a_record_at_the_end, with_crlf,
    without_the_first_half,
)  # fmt: skip
SAVES = (save_by_rename, Path.write_bytes)


@pytest.mark.parametrize("count", [3, pytest.param(200, marks=FOR_LONG)])
def test_after_what_people_saved(crowd, tally, path, count):
    """The same writers continue after every edit: what each remembers of the file is no longer true."""
    edited: set[tuple[str, str]] = set()
    removed: set[tuple[str, str]] = set()
    hands = [(edit, save) for save in SAVES for edit in EDITS]
    crowd.come(rounds=len(hands) + 1, count=count, swing=True)
    for turn, (edit, save) in enumerate(hands):
        crowd.write()
        before = pairs_in(path)
        assert inversions([msg_id for msg_id, _ in before]) == []
        save(path, edit(path.read_bytes(), turn))
        after = pairs_in(path)
        edited.update(set(after) - set(before))
        removed.update(set(before) - set(after))
    crowd.write()
    acknowledged = crowd.finish()
    stored = pairs_in(path)
    expected = {*acknowledged, *edited} - removed
    tally("messages of 16 writers in order", len(acknowledged), **differences(expected, stored))
    assert inversions([msg_id for msg_id, _ in stored]) == []
    assert edited
    assert removed


# --- beside a writer of the Go kind ----------------------------------------------------------


@pytest.mark.parametrize(
    ("hours_ahead", "swing"),
    [(0, False), (0, True), (-1, True), (1, True)],
    ids=["all-on-time", "Go-on-time", "Go-an-hour-slow", "Go-an-hour-ahead"],
)
@pytest.mark.parametrize("count", [60, pytest.param(2_000, marks=FOR_LONG)])
def test_beside_a_writer_of_the_go_kind(crowd, tally, path, count, hours_ahead, swing):
    """What it writes has the order of its own clock. Ours strictly increase all the same, and each
    is later than whatever is in front of it."""
    crowd.come_with_go(hours_ahead)
    crowd.come(rounds=1, count=count, swing=swing)
    crowd.write()
    acknowledged = crowd.finish()
    stored = pairs_in(path)
    tally("messages of 16 writers in order", len(stored), **differences(acknowledged, stored))
    ids = [msg_id for msg_id, _ in stored]
    ours = dict.fromkeys(msg_id for msg_id in ids if OURS.fullmatch(msg_id))
    assert [pair for pair in inversions(ids) if pair[1] in ours] == [], "not later than the one in front of it"
    assert inversions([*ours]) == []
    are_own = [msg_id in ours for msg_id in ids]
    assert sum(one != two for one, two in pairwise(are_own)) > 10, "the Go writer hardly came between ours"
    assert_found_by_each_cursor(path, ids, stride=5 * count)


def assert_found_by_each_cursor(path: Path, ids: list[str], stride: int) -> None:
    """Where ids are out of order a cursor takes longer to find, and is found."""
    bus = MessageBus(path)
    for place in range(0, len(ids), stride):
        assert [message.msg_id for message in bus.iter_messages(ids[place])] == ids[place + 1 :]
