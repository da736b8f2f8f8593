"""Records changed in some lines of their header, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from messagebus import Draft, MessageBus, check_bus, repair_bus
from messagebus.codec.edit import edited

RECORD = b"---\nmsg_id: a\ntype: FACT\ncontent_length: 4\n---\nbody\n"
ENTRY = {"mended": "torn"}
ID = "MSG-01M7Y1HWRR0000000000000001"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (RECORD, RECORD.replace(b"content", b"meta:\n  mended: torn\ncontent")),
        (
            RECORD.replace(b"content_length: 4\n", b""),
            b"---\nmsg_id: a\ntype: FACT\nmeta:\n  mended: torn\n---\nbody\n",
        ),
        (
            RECORD.replace(b"type: FACT", b"meta:\n    k: v\n    mended: old"),
            RECORD.replace(b"type: FACT", b"meta:\n    mended: torn\n    k: v"),
        ),
    ],
    ids=["new", "without a length", "there already, indented by four"],
)
def test_an_entry_in_meta(record: bytes, expected: bytes) -> None:
    assert edited(record, ENTRY) == expected


@pytest.mark.parametrize(
    "record",
    [
        RECORD.replace(b"type: FACT", b"meta: {k: v}"),
        RECORD.replace(b"type: FACT", b"<<: x"),
        RECORD.replace(b"\n---\nbody", b""),
        RECORD.replace(b"FACT", b"x" * 65_300),
    ],
    ids=["a mapping on one line", "no field", "no end", "no room"],
)
def test_a_header_whose_lines_cannot_be_changed_one_by_one(record: bytes) -> None:
    assert edited(record, ENTRY) is None


def test_another_id_body_and_length() -> None:
    changed = edited(RECORD, {"conflict_of": "a"}, msg_id="b", body=b"bodies", length=6)
    assert changed == b"---\nmsg_id: b\ntype: FACT\nmeta:\n  conflict_of: a\ncontent_length: 6\n---\nbodies\n"


@pytest.mark.parametrize("room", range(65_150, 65_540, 29))
@pytest.mark.parametrize("tail", ["content_length: 9\n---\nbody\n", "---\nbody\n\0\0more\n", "no end\n"])
def test_a_header_close_to_the_limit(tmp_path: Path, room: int, tail: str) -> None:
    """There may be no room for the entry in ``meta``, nor for the id in another header; one repair leaves it clean."""
    path = tmp_path / "BUS.md"
    for head in (f"msg_id: {ID}\ntype: {'x' * room}\n", f"msg_id: {ID}{'x' * room}\n"):
        path.write_text(f"---\n{head}{tail}")
        MessageBus(path).append_message(Draft("FACT", "p", "after"))
        repair_bus(path)
        assert not [finding for finding in check_bus(path) if finding.is_damage]
        assert repair_bus(path) == []
        path.unlink()
