"""A writer dies in the middle of a write: no half record passes for a whole one, no other is hurt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from messagebus import Draft, Link, Message, MessageBus, Parent

FIRST_ID = "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA"
DRAFTS = {
    "plain": Draft("FACT", "demo", "The build is green."),
    "dashes": Draft("FACT", "demo", "---\nmsg_id: MSG-X\n---\n\n---\n\\---\n\\\\---\n\n---\nend ---"),
    "empty": Draft("RUN_START", "demo", "", task_id="t"),
    "blank-lines": Draft("FACT", "demo", "\n\none\n\n\n  \n[2026-01-01 00:00:00] FACT: no\n\n---\n\nlast \t"),
    "unicode": Draft("ENTSCHEIDUNG", "größe", "Höhe ✓\r\n🙂 Ende"),
    "relations": Draft(
        "ISSUE",
        "demo",
        "two\nlines",
        task_id="---",
        run_id="007",
        parents=[FIRST_ID, Parent("MSG-1", "answers", {"why": "---"})],
        links=[Link("https://example.org/#a: b", "a 'label'", "doc")],
        meta={"idempotent": "yes", "x: y": "- z"},
    ),
}
BEFORE = [Draft("FACT", "demo", "A neighbour\n\n---\nabove"), Draft("QUESTION", "demo", "And another?")]
AFTER = Draft("ANSWER", "demo", "\nA neighbour\n---\n\nbelow")


class Sample:
    """A file with some messages and a last one to be cut."""

    def __init__(self, path: Path, before: list[Draft], last: Draft) -> None:
        self.path = path
        with MessageBus(path) as bus:
            self.before = bus.append_messages(before)
            self.start = path.stat().st_size if before else 0
            self.last = bus.append_message(last)
        self.text = path.read_bytes()
        self.dashes = self.text.index(b"---", self.start)
        self.begun = self.text.index(b"msg_id:", self.start) + len("msg_id:")

    def cuts(self) -> Iterator[tuple[int, MessageBus]]:
        """The file cut at every byte of its last record, and a bus that does not know it yet."""
        for cut in range(self.start, len(self.text) + 1):
            self.path.write_bytes(self.text[:cut])
            with MessageBus(self.path) as bus:
                yield cut, bus


@pytest.fixture(params=[pytest.param(name, id=name) for name in DRAFTS])
def draft(request: pytest.FixtureRequest) -> Draft:
    return DRAFTS[request.param]


@pytest.fixture(params=[True, False], ids=["last-of-three", "alone"])
def sample(request: pytest.FixtureRequest, path: Path, draft: Draft) -> Sample:
    return Sample(path, BEFORE if request.param else [], draft)


def test_a_cut_record_is_not_delivered(sample):
    whole = 0
    for cut, bus in sample.cuts():
        neighbours, delivered = split(bus.read_messages(), len(sample.before))
        assert neighbours == sample.before, cut
        assert delivered in ([], [sample.last]), cut
        whole += bool(delivered)
        if cut >= sample.begun:
            assert bus.unfinished is not bool(delivered), cut
        if delivered:
            assert bus.read_last_n(1) == delivered, cut
    assert delivered == [sample.last], "not even the whole file has it"
    assert 1 <= whole <= 4, "what lacks its last line ends is whole; nothing shorter is"


def test_unfinished_tells_of_the_first_bytes_of_a_record_as_well(path):
    """``-``, ``---``, ``---\\nmsg_i``: a crash left it, as surely as a longer piece."""
    sample = Sample(path, BEFORE, DRAFTS["plain"])
    silent = []
    for cut, bus in sample.cuts():
        assert bus.read_messages()[:2] == sample.before
        if sample.dashes < cut < sample.begun and not bus.unfinished:
            silent.append(sample.text[sample.dashes : cut])
    assert silent == []


def test_an_append_behind_a_cut_record(sample):
    for cut, bus in sample.cuts():
        after = bus.append_message(AFTER)
        for messages in (bus.read_messages(), MessageBus(sample.path).read_messages()):
            neighbours, rest = split(messages, len(sample.before))
            assert neighbours == sample.before, cut
            assert rest[-1] == after, cut
            assert_torn_or_whole(rest[:-1], sample.last, cut)
            assert_increasing(messages)
        for known in (*sample.before, after):
            assert after in [known, *bus.read_messages(known.msg_id)], cut
        assert not bus.unfinished, cut


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize(("body", "stripped"), [("text", 1), ("", 1), ("", 2)])
def test_a_cut_record_behind_what_an_editor_saved_without_its_line_ends(path, body, stripped, line_end):
    """As when a body is empty, and the line end that is left is that of its header."""
    neighbours = [MessageBus(path).append_message(Draft("FACT", "demo", text)) for text in ("above", body)]
    saved = path.read_bytes()[:-stripped].replace(b"\n", line_end)
    path.write_bytes(saved)
    MessageBus(path).append_message(AFTER)
    text = path.read_bytes()
    for cut in range(len(saved), text.index(b"\ncontent_length", len(saved))):
        path.write_bytes(text[:cut])
        assert MessageBus(path).read_messages() == neighbours, text[len(saved) : cut]
        after = MessageBus(path).append_message(AFTER)
        assert MessageBus(path).read_messages() == [*neighbours, after], text[len(saved) : cut]


def test_a_follower_watching_at_each_cut(path, draft, follow_through):
    """One follower, one file that grows by a cut record and a whole one, for every cut."""
    cuts: list[Message] = []
    posted: list[Message] = []
    sample = Sample(path.with_name("sample.md"), BEFORE[:1], draft)
    longest = len(sample.text) - sample.start

    def post(one: Draft) -> None:
        with MessageBus(path) as bus:
            posted.append(bus.append_message(one))

    def cut_short(length: int) -> None:
        size = path.stat().st_size
        with MessageBus(path) as bus:
            cuts.append(bus.append_message(draft))
        with path.open("rb+") as file:
            file.truncate(min(size + length, path.stat().st_size))

    def steps() -> Iterator[Callable[[], object]]:
        for length in range(longest + 1):
            yield lambda length=length: cut_short(length)
            yield lambda: post(AFTER)

    post(BEFORE[0])
    delivered = follow_through(path, steps())
    torn = [message for message in delivered if not message.intact]
    wholes = [message for message in delivered if message.intact]
    # What was cut off with its id was never there: a later message may have that id.
    known = {message.msg_id: message for message in (*cuts, *posted)}
    assert [message for message in wholes if message in posted] == posted, "a whole one is missing"
    assert all(message == known[message.msg_id] for message in wholes)
    assert {message.msg_id for message in torn} <= {cut.msg_id for cut in cuts}
    assert_increasing(delivered)
    assert bool(torn) == bool(draft.body), "a torn body is told of, once another message follows"


def test_torn_heads_one_behind_the_other(path):
    """Writers that die one after the other leave nothing that hides a message."""
    sample = Sample(path, BEFORE, DRAFTS["relations"])
    chance = Random(1)
    posted = list(sample.before)
    path.write_bytes(sample.text[: sample.start])
    for _ in range(200):
        with MessageBus(path) as bus:
            posted.append(bus.append_message(AFTER))
        whole = path.read_bytes()
        record = whole[whole.rindex(b"\n---\nmsg_id:") :]
        with path.open("ab") as file:
            file.write(record[: chance.randrange(len("\n---\nmsg_id: MSG-01K"))])
    with MessageBus(path) as bus:
        posted.append(bus.append_message(AFTER))
        assert bus.read_messages() == posted


def test_a_short_write_is_taken_back(work, path):
    worker = work("limited_writer", path=path)
    one, batch, none = worker.event(), worker.event(), worker.event()
    assert one == {"error": "ENOSPC", "grown": 0}
    assert batch == {"error": "ENOSPC", "grown": 0}, "a batch is stored whole or not at all"
    assert none == {"error": "EFBIG", "grown": 0}
    ids = worker.event()["posted"]
    worker.finish()
    messages = MessageBus(path).read_messages()
    assert [message.body for message in messages] == ["before", "after", "after", "after"]
    assert [message.msg_id for message in messages[1:]] == ids
    assert all(message.intact for message in messages)


def split(messages: list[Message], at: int) -> tuple[list[Message], list[Message]]:
    return messages[:at], messages[at:]


def assert_torn_or_whole(rest: list[Message], last: Message, cut: int) -> None:
    assert len(rest) <= 1, cut
    for message in rest:
        assert message == last or (message.msg_id == last.msg_id and message.intact is False), cut


def assert_increasing(messages: list[Message]) -> None:
    ids = [message.msg_id for message in messages]
    assert all(one < two for one, two in pairwise(ids)), ids
