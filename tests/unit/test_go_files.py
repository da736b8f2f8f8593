"""Files as the Go run-agent writes them, typed by hand into tests/data."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from messagebus import Draft, Link, Message, MessageBus, Parent, check_bus, repair_bus
from messagebus.msgid import order

DATA = Path(__file__).parents[1] / "data"
GO = "MSG-20261121-031415-926535897-PID00042-{:04d}".format
OWN_IDS = ("MSG-01M7Y1HWRR0000000000000001", "MSG-01M7Y1HYRG0000000000000001")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


TASK = [
    Message("LEGACY-LINE-000000001", moment("2026-11-20T22:00:00"), "INFO", body="bus created by hand"),
    Message("LEGACY-LINE-000000002", moment("2026-11-20T22:00:05"), "INFO", body="waiting for the first run"),
    Message(
        GO(1), moment("2026-11-21T03:14:15.926535"), "RUN_START", "demo", "task-1", "run_20261121-0314150000-42",
        body="agent started"
    ),
    Message(
        GO(2), moment("2026-11-21T03:14:15.926535"), "QUESTION", "demo", "task-1", "", "ISSUE-7",
        parents=(Parent(GO(1), "asks_about", {"weight": "2"}), Parent("MSG-20261120-220000-000000001-PID00041-0009")),
        links=(Link("https://example.org/build/7", "build 7", "ci"), Link("docs/plan.md")),
        meta={"attempt": "3", "branch": "main"},
        body="Shall we keep\n\n\\--- this line ---?\n---\n\n- yes\n- no",
    ),
    Message(
        "MSG-20261121-031416-000000000-PID00043-0001", moment("2026-11-21T03:14:16"), "FACT", "demo",
        parents=(Parent(GO(1)), Parent(GO(2))),
    ),
]  # fmt: skip

STRINGS = [
    Message(
        GO(1), moment("2026-11-21T03:14:15.1"), "FACT", "007",
        parents=(Parent("MSG-20261120-000000-000000000-PID00001-0001"),
        Parent("MSG-20261120-000000-000000000-PID00001-0002")),
        body="parents as strings",
    ),
    Message(
        "MSG-20261121-031416-000000000-PID123456-0001", moment("2026-11-21T03:14:16.5"), "it's", "yes", "2026-11-21",
        "1e3",
        links=(Link("a: b", "two\nlines"),), meta={"empty": "", "on": "off"},
        body="[2026-11-21 03:14:16] FACT: this is the body of the one above",
    ),
]  # fmt: skip

MIXED = [
    ("MSG-20261121-031415-000000000-PID00042-0001", "from Go, first", None),
    (OWN_IDS[0], "from us, second", True),
    (
        "MSG-20261121-031416-000000000-PID00042-0002",
        "from Go, third\n[2026-11-21 03:14:17] FACT: part of the third",
        None,
    ),
    (OWN_IDS[1], "from us, fourth", True),
    (OWN_IDS[1] + "+1", "added by a person", None),
]


@pytest.mark.parametrize(("name", "messages"), [("go-task.md", TASK), ("go-strings.md", STRINGS)])
def test_every_field_is_read(name: str, messages: list[Message]) -> None:
    assert MessageBus(DATA / name).read_messages() == messages


def test_files_of_both_programs_are_read() -> None:
    messages = MessageBus(DATA / "go-mixed.md").read_messages()
    assert [(m.msg_id, m.body, m.intact) for m in messages] == MIXED


@pytest.mark.parametrize("name", ["go-task.md", "go-strings.md", "go-mixed.md"])
def test_every_cursor_is_exact(name: str) -> None:
    whole = MessageBus(DATA / name).read_messages()
    for position, message in enumerate(whole):
        assert MessageBus(DATA / name).read_messages(message.msg_id) == whole[position + 1 :]
        assert MessageBus(DATA / name).read_last_n(position) == whole[len(whole) - position :]


@pytest.mark.parametrize("name", ["go-task.md", "go-strings.md", "go-mixed.md"])
def test_an_append_changes_nothing_above(tmp_path: Path, name: str) -> None:
    path = tmp_path / "bus.md"
    before = (DATA / name).read_bytes()
    path.write_bytes(before)
    bus = MessageBus(path)
    whole = bus.read_messages()
    new = bus.append_message(Draft("FACT", "demo", "---"))
    assert bus.read_messages() == [*whole, new]
    assert path.read_bytes().startswith(before + b"\n---\nmsg_id: MSG-0")


def test_an_own_id_comes_after_that_of_a_go_record_from_the_future(tmp_path: Path) -> None:
    path = tmp_path / "bus.md"
    future = "MSG-29991231-235959-999000000-PID00042-0001"
    path.write_text(f"---\nmsg_id: {future}\nts: 2999-12-31T23:59:59.999Z\ntype: FACT\nproject_id: demo\n---\nlater\n")
    own_id = MessageBus(path).append_message(Draft("FACT", "demo")).msg_id
    assert (order(own_id) or (0, "")) > (order(future) or (0, ""))


def test_go_appends_between_two_own_records(tmp_path: Path) -> None:
    """The Go tool puts a blank line in front of a record; our next append sees what it wrote."""
    path = tmp_path / "bus.md"
    bus = MessageBus(path)
    first = bus.append_message(Draft("FACT", "demo", "ours"))
    with path.open("a") as file:
        file.write(
            f"\n---\nmsg_id: {GO(1)}\nts: 2026-11-21T03:14:15Z\ntype: FACT\nproject_id: demo\n"
            'run_id: ""\n---\nbetween\n'
        )
    last = bus.append_message(Draft("FACT", "demo", "ours again"))
    assert [m.msg_id for m in bus.read_messages()] == [first.msg_id, GO(1), last.msg_id]


ORDER = ["msg_id", "ts", "type", "project_id", "task_id", "run_id", "issue_id", "parents", "links", "meta"]
DAMAGE = {
    "text above": lambda text: b"a person wrote this\n\n" + text,
    "converted in part": lambda text: text.replace(b"\n", b"\r\n", 12),
    "records of another": lambda text: text + b"\n" + text[text.index(b"---\n") :].replace(b"started", b"changed"),
    "unwritten": lambda text: text.replace(b"agent started", bytes(512)),
    "a header broken": lambda text: text.replace(b"\nlinks:", b"\n links:"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_repaired_file_follows_the_rules_of_the_go_tool(tmp_path: Path, damage: str) -> None:
    """Fields in their order, each record after a blank line and ``---``, and whole records unchanged."""
    path = tmp_path / "bus.md"
    path.write_bytes(DAMAGE[damage]((DATA / "go-task.md").read_bytes()))
    assert repair_bus(path)
    assert not [finding for finding in check_bus(path) if finding.is_damage]
    text = path.read_text()
    assert "\r" not in text
    heads = re.findall(r"(?:\A|\n\n)---\n(msg_id: .*?)\n---\n", text, re.DOTALL)
    assert len(heads) == len(re.findall(r"^---\nmsg_id:", text, re.MULTILINE)) >= 3
    for head in heads:
        fields = re.findall(r"^(\w+):", head, re.MULTILINE)
        known = [field for field in fields if field in ORDER]
        assert known == sorted(known, key=ORDER.index), head
        assert fields[len(known) :] in ([], ["content_length"])
    assert TASK[4] in MessageBus(path).read_messages()
