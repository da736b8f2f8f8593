"""SPEC.md's worked example, and the record on the first page, are what they are said to be."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from manual import HOME, Block, blocks

from messagebus import Link, Message, MessageBus, Parent

EXAMPLE, JSON = (block for block in blocks(HOME / "SPEC.md") if "test_spec.py" in block.mark)
[RECORD] = (block for block in blocks(HOME / "README.md") if "test_spec.py" in block.mark)


def read(block: Block, directory: Path) -> list[Message]:
    (directory / "BUS.md").write_text(block.text)
    return MessageBus(directory / "BUS.md").read_messages()


@pytest.fixture
def worked_example(tmp_path: Path) -> list[Message]:
    return read(EXAMPLE, tmp_path)


def test_the_worked_example(worked_example: list[Message]) -> None:
    first, second = "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA", "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZB"
    assert worked_example == [
        Message(
            first,
            datetime(2026, 11, 21, 3, 14, 15, 926535, UTC),
            "QUESTION",
            "demo",
            "task-1",
            "run-7",
            body="Is the build green?\n\nNB",
            intact=True,
        ),
        Message(
            second,
            datetime(2026, 11, 21, 3, 14, 16, 100000, UTC),
            "ANSWER",
            "demo",
            "task-1",
            "007",
            parents=(Parent(first, "answers"),),
            links=(Link("https://ci.example/42", "the run"),),
            meta={"branch": "main"},
            body="It is. A rule looks like\n---\n:)",
            intact=True,
        ),
    ]


def test_the_json_example_is_its_second_record(worked_example: list[Message]) -> None:
    shown = json.loads(JSON.text)
    assert shown == worked_example[1].to_json()
    assert list(shown) == list(worked_example[1].to_json())


def test_the_first_page_shows_a_record(tmp_path: Path) -> None:
    [message] = read(RECORD, tmp_path)
    assert (message.body, message.intact) == ("The build is green\nagain now.", True)
