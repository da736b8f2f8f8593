"""Records that are joined to a Go record, or quoted by one, and ids made before their writers have the lock."""

from __future__ import annotations

import fcntl
import os
import random
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from messagebus import Draft, MessageBus, check_bus, repair_bus
from messagebus.codec.scan import scan
from messagebus.repair.joined import joined_in

START = datetime(2026, 11, 21, 3, 14, 15, tzinfo=UTC)


def go_id(ms: int, pid: int = 42, number: int = 1) -> str:
    moment = START + timedelta(milliseconds=ms)
    return f"MSG-{moment:%Y%m%d-%H%M%S}-{moment.microsecond:06}000-PID{pid:05}-{number:04}"


def go(ms: int, body: str, pid: int = 42, number: int = 1) -> str:
    return f"---\nmsg_id: {go_id(ms, pid, number)}\nts: 2026-11-21T03:14:15Z\ntype: FACT\nproject_id: p\n---\n{body}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "BUS.md"


def damage(path: Path) -> list[tuple[str, int, str]]:
    return [(found.code, found.line, found.msg_id) for found in check_bus(path) if found.is_damage]


def codes(path: Path) -> list[str]:
    return [found.code for found in check_bus(path)]


def bodies(path: Path) -> list[str]:
    return [message.body for message in MessageBus(path).read_messages()]


# --- joined --------------------------------------------------------------------------------------


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_joined_record_is_found_and_split_off_only_on_request(path: Path, line_end: str) -> None:
    text = go(0, "one") + go(1, "two") + go(2, "three") + "\n" + go(3, "four")
    path.write_bytes(text.replace("\n", line_end).encode())
    assert len(bodies(path)) == 2
    assert damage(path) == [("BUS012", 8, go_id(1)), ("BUS012", 15, go_id(2))]
    before = path.read_bytes()
    for found in check_bus(path):
        if found.code == "BUS012":
            assert before[found.offset :].startswith(f"---{line_end}msg_id: {found.msg_id}".encode())
    assert repair_bus(path) == []
    assert path.read_bytes() == before

    [repaired] = repair_bus(path, split_joined=True)
    assert Path(repaired.broken).read_bytes() == before
    assert bodies(path) == ["one", "two", "three", "four"]
    messages = MessageBus(path).read_messages()
    assert [message.msg_id for message in messages] == [go_id(ms) for ms in range(4)]
    assert [message.meta for message in messages] == [{}, {"mended": "joined"}, {"mended": "joined"}, {}]
    assert damage(path) == []
    assert repair_bus(path, split_joined=True) == []


def test_at_the_end_of_a_log_and_of_an_archive(path: Path) -> None:
    archive = Path(f"{path}.20261121-040000.archived")
    archive.write_text(go(0, "one") + go(1, "two") + go(9, "later than what follows in the next file"))
    path.write_text(go(5, "five") + go(6, "six"))
    assert damage(path) == [("BUS012", 8, go_id(1)), ("BUS012", 8, go_id(6))]
    repair_bus(path, split_joined=True)
    assert bodies(path) == ["one", "two\n" + go(9, "later than what follows in the next file").rstrip(), "five", "six"]
    assert damage(path) == []


@pytest.mark.parametrize(
    ("quoted", "expected"),
    [
        (go(0, "its own id"), []),
        (go(7, "that of another record"), []),
        (go(1, "quoted twice") + go(1, "quoted twice"), []),
        (go(-9, "of another bus, and earlier"), ["BUS106"]),
        (go(99_000, "of another bus, and later"), ["BUS106"]),
        ("---\nmsg_id: by-hand\ntype: FACT\n---\nno time\n", ["BUS106"]),
        ("---\nmsg_id: " + go_id(1) + "\nno header\n---\n", []),
        ("---\nmsg_id: " + go_id(1) + "\nts: no end\n", []),
        ("\\" + go(1, "escaped"), []),
        ("> " + go(1, "indented"), []),
    ],
)
def test_what_is_quoted_stays_quoted(path: Path, quoted: str, expected: list[str]) -> None:
    path.write_text(go(0, "one\n" + quoted) + "\n" + go(7, "last"))
    before = path.read_bytes()
    assert damage(path) == []
    assert sorted(set(codes(path)) - {"BUS101"}) == expected
    assert repair_bus(path, split_joined=True) == []
    assert path.read_bytes() == before


def test_a_joined_record_among_other_damage(path: Path) -> None:
    """A plain repair leaves it as it is, in a file that it rewrites."""
    ours = "---\nmsg_id: MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA\ncontent_length: 9\n---\ntorn\n"
    path.write_text(ours + "\n" + go(0, "one") + go(1, "two"))
    [repaired] = repair_bus(path)
    assert repaired.done
    assert [code for code, _, _ in damage(path)] == ["BUS012"]
    assert repair_bus(path) == []
    repair_bus(path, split_joined=True)
    assert bodies(path) == ["torn", "one", "two"]


def test_a_joined_record_that_is_damaged_itself(path: Path) -> None:
    torn = go(1, "half").replace("project_id: p\n", "project_id: p\ncontent_length: 99\n")
    path.write_text(go(0, "one") + torn)
    repair_bus(path, split_joined=True)
    one, two, _ = MessageBus(path).read_messages()
    assert (one.body, two.body, two.intact, two.meta) == ("one", "half", False, {"mended": "torn"})
    assert damage(path) == []


def test_a_body_that_begins_like_a_header(path: Path) -> None:
    """The end of a header is no record start, whatever the body begins with; and many such lines take no time."""
    text = go(0, "one") + go(1, "msg_id: of the text") + "---\nmsg_id: x\n" * 20_000
    [span] = scan([text.encode()])
    assert [inner.msg_id for inner in joined_in(span)][:1] == [go_id(1)]


# --- ids of several Go writers ---------------------------------------------------------------------


def go_writer(path: Path, pid: int, count: int, seed: int) -> None:
    """As the Go tool appends: an id, then the lock, then one write."""
    chance = random.Random(seed)
    for number in range(count):
        record = go(chance.randrange(2000) + 10 * number, f"{pid} {number}", pid, number)
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            os.write(fd, ("\n" if os.fstat(fd).st_size else "").encode() + record.encode())
        finally:
            os.close(fd)


def test_a_healthy_file_of_three_go_writers_is_clean(path: Path) -> None:
    writers = [threading.Thread(target=go_writer, args=(path, pid, 60, pid)) for pid in (1, 2, 3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(bodies(path)) == 180
    assert damage(path) == []
    assert codes(path) == ["BUS101", "BUS105"]
    assert repair_bus(path) == []


def test_a_go_id_below_one_of_ours(path: Path) -> None:
    """Made while another program had the lock, it may be earlier than what that program wrote; also in a new file."""
    with MessageBus(path) as bus:
        ours = bus.append_message(Draft("FACT", "p", "ours"))
    ms = int((ours.ts - START).total_seconds() * 1000)
    path.write_text(path.read_text() + "\n" + go(ms - 900, "late"))
    assert damage(path) == []
    path.rename(f"{path}.20261121-040000.archived")
    path.write_text(go(ms - 1000, "later still"))
    assert damage(path) == []
    assert codes(path).count("BUS105") == 2


def test_far_apart_or_duplicate_is_damage(path: Path) -> None:
    path.write_text(go(3_600_000, "an hour later") + "\n" + go(0, "moved by hand"))
    assert [code for code, _, _ in damage(path)] == ["BUS005"]
    path.write_text(go(5, "a") + "\n" + go(3, "b") + "\n" + go(5, "a"))
    assert [code for code, _, _ in damage(path)] == ["BUS004"]
