"""Text above the first record: whatever it is, and however long, every reader begins at the same record."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from messagebus import Draft, Message, MessageBus, check_bus, codec, merge_logs, repair_bus
from messagebus.codec import Decoder
from messagebus.msgid import next_msg_id

GO = "MSG-20261121-031415-{:09d}-PID00042-0001"
FIRST = f"---\nmsg_id: {GO.format(1)}\nts: 2026-11-21T03:14:15Z\ntype: FACT\nproject_id: p\n---\nthe first\n".encode()
TS = datetime(2026, 11, 21, 3, 15, tzinfo=UTC)
TITLE = b"# Notes of the team\n"
TOPS = {
    "a title": TITLE,
    "a one-line message": b"[2026-11-21 03:14:15] FACT: above\n",
    "in CRLF": TITLE.replace(b"\n", b"\r\n"),
    "a byte order mark": codec.BOM + TITLE,
    "a rule": TITLE + b"---\n",
    "a page": TITLE * 1000,
    "over what a reader keeps": TITLE * 80_000,
    "one long line": b"x" * 2_000_000 + b"\n",
}


def id_of(number: int) -> str:
    return next_msg_id(None, 1_795_230_900_000 + number, bytes)


def own_record(number: int, body: str) -> bytes:
    return codec.encode(id_of(number), TS, codec.encode_rest(Draft("FACT", "p", body)))


@pytest.fixture(params=TOPS)
def top(request: pytest.FixtureRequest) -> bytes:
    return TOPS[request.param]


@pytest.mark.parametrize("more", [0, 400])
def test_every_reader_begins_at_the_same_record(top: bytes, more: int, tmp_path: Path) -> None:
    data = b"\n".join((top + FIRST, *(own_record(number, f"{number} {'x' * 200}") for number in range(more))))
    path = tmp_path / "BUS.md"
    path.write_bytes(data)
    messages = MessageBus(path).read_messages()
    first, *others = records = [message for message in messages if not message.msg_id.startswith("LEGACY")]
    assert first.body == "the first"
    assert [message.msg_id for message in others] == list(map(id_of, range(more)))
    assert read(data, chunk=4093) == messages
    assert MessageBus(path).read_messages(first.msg_id) == records[1:]
    assert MessageBus(path).get_message(first.msg_id) == first
    assert MessageBus(path).read_last_n(len(records)) == records
    assert MessageBus(path).read_last_n(len(messages)) == messages
    assert MessageBus(path).read_last_n(1) == records[-1:]
    [new] = MessageBus(path).append_messages([Draft("FACT", "p", "after")])
    assert new.msg_id > records[-1].msg_id or more == 0
    assert MessageBus(path).read_messages() == [*messages, new]
    assert path.read_bytes().startswith(data)


def test_an_archive_may_begin_so_too(tmp_path: Path) -> None:
    path = tmp_path / "BUS.md"
    (tmp_path / "BUS.md.20261121-031500.archived").write_bytes(TITLE + FIRST)
    [first] = MessageBus(path).read_messages()
    [new] = MessageBus(path).append_messages([Draft("FACT", "p", "after")])
    assert MessageBus(path).read_messages(first.msg_id) == [new]


def test_a_key_in_the_first_record_is_found(top: bytes, tmp_path: Path) -> None:
    path = tmp_path / "BUS.md"
    with MessageBus(path) as bus:
        first = bus.append_message(Draft("FACT", "p", "once"), idempotency_key="k")
        path.write_bytes(top + path.read_bytes())
        assert bus.append_message(Draft("FACT", "p", "once"), idempotency_key="k") == first
    assert MessageBus(path).append_message(Draft("FACT", "p", "once"), idempotency_key="k") == first


def test_own_ids_continue_after_the_first_record(tmp_path: Path) -> None:
    """The last own id is in the future, and the last record is another program's."""
    path = tmp_path / "BUS.md"
    path.write_bytes(TITLE + own_record(10**12, "of the year 2058") + b"\n" + FIRST)
    future = MessageBus(path).read_messages()[0].msg_id
    assert MessageBus(path).append_message(Draft("FACT", "p", "new")).msg_id > future


def test_what_a_crash_left_below_the_first_record_is_recovered(tmp_path: Path) -> None:
    path = tmp_path / "BUS.md"
    for left in (b"\n---\nmsg", b"\n---\nmsg_id: MSG-01", b"\n---\nmsg_id: x\nts: 2026\n"):
        path.write_bytes(TITLE + own_record(1, "whole") + left)
        MessageBus(path).append_message(Draft("FACT", "p", "new"))
        assert [message.body for message in MessageBus(path).read_messages()] == ["whole", "new"]
        assert [message.intact for message in MessageBus(path).read_messages()] == [True, True]


def test_check_finds_damage_in_it(top: bytes, tmp_path: Path) -> None:
    """Though it is the only record."""
    path = tmp_path / "BUS.md"
    path.write_bytes(top + FIRST.replace(b"project_id: p\n", b"content_length: 99\n"))
    found = [(finding.code, finding.msg_id) for finding in check_bus(path) if finding.is_damage]
    assert ("BUS002", GO.format(1)) in found
    repair_bus(path)
    assert MessageBus(path).get_message(GO.format(1))
    assert [finding for finding in check_bus(path) if finding.is_damage] == []


def test_check_finds_the_text_and_a_repair_keeps_the_id(tmp_path: Path) -> None:
    path = tmp_path / "BUS.md"
    path.write_bytes(TITLE + FIRST + b"\n" + own_record(1, "whole"))
    found = [(finding.code, finding.line) for finding in check_bus(path) if finding.is_damage]
    assert found == [("BUS007", 1)]
    repair_bus(path)
    assert [message.msg_id for message in MessageBus(path).read_messages()][1:] == [GO.format(1), id_of(1)]
    assert [finding for finding in check_bus(path) if finding.is_damage] == []


def test_a_merge_finds_it(top: bytes) -> None:
    base = top + FIRST
    one, two = base + b"\n" + own_record(1, "of one"), base + b"\n" + own_record(2, "of two")
    merged = merge_logs(base, one, two)
    assert merged == merge_logs(base, two, one)
    assert [m.body for m in read(merged) if m.msg_id.startswith("MSG")] == ["the first", "of one", "of two"]


def read(data: bytes, chunk: int = 10**9) -> list[Message]:
    decoder = Decoder()
    messages = [message for at in range(0, len(data), chunk) for message in decoder.feed(data[at : at + chunk])]
    return messages + decoder.finish(closed=True)


def test_text_that_was_below_an_unwritten_block_stays_text_in_a_merge() -> None:
    one = b"\0\nsome text\n" + FIRST
    assert read(one) == []
    for other in (b"", b"\0\n", TITLE, b"\0\n\n" + FIRST):
        merged = merge_logs(b"", one, other)
        assert [m.msg_id for m in read(merged)] == [m.msg_id for m in read(other)]


def test_a_body_that_lost_its_header_forges_nothing(tmp_path: Path) -> None:
    """A crash left the block with the header unwritten: what follows may be anybody's text."""
    path = tmp_path / "BUS.md"
    MessageBus(path).append_message(Draft("FACT", "p", f"msg_id: x\n\n{FIRST.decode()}"))
    data = path.read_bytes()
    for lost in range(1, data.index(b"msg_id: x")):
        path.write_bytes(bytes(lost) + data[lost:])
        assert MessageBus(path).read_messages() == []
        MessageBus(path).append_message(Draft("FACT", "p", "new"))
        assert path.read_bytes().startswith(bytes(lost) + data[lost:])


def test_what_may_be_the_body_of_a_record_without_its_top_is_not_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "BUS.md"
    MessageBus(path).append_message(Draft("FACT", "p", "msg_id: x"))
    data = path.read_bytes().partition(b"\n")[2]  # an editor removed the first line
    path.write_bytes(data)
    new = MessageBus(path).append_message(Draft("FACT", "p", "new"))
    assert path.read_bytes().startswith(data)
    assert MessageBus(path).read_messages() == [new]
