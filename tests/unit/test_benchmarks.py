"""What is measured: messages as agents write them, the same on every machine."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest

from benchmarks import corpus
from benchmarks.__main__ import BENCHMARKS
from benchmarks.context import KINDS, Bench
from benchmarks.corpus import Corpus
from messagebus import Draft, MemoryBackend, MessageBus, check_bus

EARLIER = ["MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA", "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZB"]


def test_a_seed_gives_the_same_drafts() -> None:
    one, other = Corpus(7), Corpus(7)
    assert one.drafts(50) + one.drafts(50, EARLIER) == other.drafts(50) + other.drafts(50, EARLIER)
    assert Corpus(7).drafts(50) != Corpus(8).drafts(50)
    drafts = Corpus().drafts(1_000, EARLIER)
    assert sha256(repr(drafts).encode()).hexdigest()[:16] == "6e67c9c1f91c08cc", (
        "else earlier figures cannot be compared"
    )


def test_they_are_written_as_agents_write() -> None:
    drafts = Corpus().drafts(2_000, EARLIER)
    share = {
        "sender": sum("from" in draft.meta for draft in drafts),
        "parent": sum(bool(draft.parents) for draft in drafts),
        "link": sum(bool(draft.links) for draft in drafts),
        "code": sum("```" in draft.body for draft in drafts),
        "diff": sum("@@" in draft.body for draft in drafts),
        "backslash": sum("\\" in draft.body for draft in drafts),
        "Chinese": sum("解析器" in draft.body for draft in drafts),
    }
    assert share["sender"] == 2_000
    assert all(count > 100 for count in share.values()), share
    assert len({draft.run_id for draft in drafts}) == 11
    assert {draft.type for draft in drafts} >= {"PROGRESS", "TOOL_CALL", "QUESTION", "ANSWER", "RUN_START"}
    assert len(Counter(draft.body for draft in drafts)) > 1_000


def test_some_bodies_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "EVERY_MEGABYTE", 100)
    long = [draft for draft in Corpus().drafts(300) if len(draft.body) > 100_000]
    assert [900_000 < len(draft.body) < 1_000_001 for draft in long] == [True] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_log_of_each_kind(kind: str, tmp_path: Path) -> None:
    """It is clean, and its messages are those of the drafts."""
    log = Bench(tmp_path, smoke=True).log(1_500, kind)
    found = MessageBus(log.path).read_messages()
    assert len(found) == log.size == 1_500
    assert set(log.ids) <= {message.msg_id for message in found}
    assert [finding.code for finding in check_bus(log.path) if finding.code != "BUS104"] == []
    drafts = KINDS[kind]()(1_000, [])
    stored = MessageBus(MemoryBackend()).append_messages(drafts)
    assert [(message.type, message.body, message.meta) for message in stored] == [
        (message.type, message.body, message.meta) for message in found[:1_000]
    ]


def test_the_plain_ones_have_100_bytes() -> None:
    assert [len(draft.body.encode()) for draft in corpus.plain(3)] == [100] * 3
    assert corpus.plain(1) == [Draft("FACT", "demo", corpus.BODY, task_id="task-1", run_id="run-1")]


def test_all_that_has_a_goal_is_measured() -> None:
    wanted = {
        "append-bare", "append-4", "append-8", "read-full", "check", "keys", "cli-post", "cli-read", "cli-filter",
        "cli-key", "http-key", "many-buses", "archives", "page",
    }  # fmt: skip
    assert BENCHMARKS.keys() >= wanted
