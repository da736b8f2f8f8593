"""The file store beside the store in memory and a plain list, step by step.

Hypothesis makes up histories: writers of several kinds append to one file what another bus appends
to memory; clocks jump; people edit the file by hand and remove archives; writers die and the power
fails in mid-write. What that leaves is known beforehand (``model.py``) and done to the list in
memory as well (``stores.py``). After every step both stores must hold the model; readers, cursors,
polls and followers on both sides are given the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import model
import pytest
import stores
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from messagebus import Draft, IdempotencyConflictError, Message, MessageBus, SinceIDNotFoundError
from messagebus.backends import memory
from messagebus.backends.file import append, segments

# --- what is appended ------------------------------------------------------------------------

HOUR = 3_600_000
JUMPS = [1, 7, 1_700, 5 * HOUR // 6]  # ms; with those of keys, never 24 hours, however they add up
OLD = datetime(2001, 2, 3, 4, 5, 6, 789, UTC)
BODIES = [
    "", "a", "two\nlines", "---", "\\---\nx\n---", "é日本\U0001f600\n\n\u2028", "a\r\nb\r\n---\r\nc", "lone\rcr",
    "msg_id: x\n---\n", "x\n\n---\nmsg_id: MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA\nts: x\n---\nforged",
    "[2026-11-21 03:14:15] FACT: x", "\n[2026-11-21 03:14:15] FACT: x\n\n", "meta:\n  idempotency_key: k1\n",
    "a line of a long text\n" * 900,
]  # fmt: skip
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)
SAYS = st.tuples(
    st.sampled_from(["FACT", "ISSUE", "yes"]),
    st.sampled_from(BODIES) | TEXTS,
    st.sampled_from(["", "007"]),
    st.sampled_from([(), (("k: v", "~"),)]),
    st.none() | st.integers(0, 99),
    st.sampled_from([None, OLD]),
).map(lambda fields: stores.Say(*fields))
KEYED = st.tuples(st.sampled_from(["FACT", "yes"]), st.sampled_from(["", "same"]), st.sampled_from(["k1", "k: 2"])).map(
    lambda fields: stores.Say(*fields[:2], key=fields[2])
)
WRITERS = st.sampled_from(sorted(stores.ROTATE_AT))
WHICH = st.just(-1) | st.integers(0, 99)  # modulo how many there are: often the newest
# Bytes of a record, likewise: often only the first, or all but the last.
KEEP = st.integers(0, 12) | st.integers(0, 999) | st.integers(-30, -1)
WAYS = st.sampled_from(["in place", "by rename"])


def newest(messages: list[Message], n: int) -> list[Message]:
    return messages[max(len(messages) - n, 0) :]


class Histories(RuleBasedStateMachine, stores.Stores):
    """What can happen to a log."""

    steps = 0  # of all histories

    def __init__(self) -> None:
        super().__init__()
        self.open()

    def teardown(self) -> None:
        self.close()

    @invariant()
    def both_hold_the_model(self) -> None:
        Histories.steps += 1
        self.check()
        if self.followings:
            self.let_look(0)  # one follower misses nothing, and another looks now and then

    # --- appending ---

    @rule(writer=WRITERS, say=SAYS)
    def post_one(self, writer: str, say: Any) -> None:
        self.append(writer, [say])

    @rule(writer=WRITERS, says=st.lists(SAYS, min_size=2, max_size=4))
    def post_batch(self, writer: str, says: list[Any]) -> None:
        self.append(writer, says)

    @rule(writer=WRITERS, say=KEYED, later=st.sampled_from([0, 0, 15 * HOUR, 25 * HOUR, -15 * HOUR]))
    def post_with_key(self, writer: str, say: Any, later: int) -> None:
        stores.CLOCK.step(later)
        first = self.log.standing_for(say.key, stores.CLOCK.ms)
        if first is None:
            self.append(writer, [say])
            return
        same = replace(say.message(first.msg_id, []), ts=first.ts) == first
        with self.writer(writer) as bus:
            for store, answer in ((bus, first), (self.memory, *self.in_memory([first]))):
                if same:
                    assert stores.post(store, [say.draft([])], say.key) == [answer]
                else:
                    with pytest.raises(IdempotencyConflictError, match=f"is taken by {answer.msg_id}"):
                        stores.post(store, [say.draft([])], say.key)

    @rule(ms=st.sampled_from([*JUMPS, *(-ms for ms in JUMPS)]))
    def set_clock(self, ms: int) -> None:
        stores.CLOCK.step(ms)

    @rule(writer=WRITERS)
    def close_writer(self, writer: str) -> None:
        self.writers[writer].close()

    # --- reading ---

    @rule(which=WHICH, n=st.integers(0, 5))
    def read_from_a_cursor(self, which: int, n: int) -> None:
        messages = self.log.messages()
        at = which % (len(messages) + 1)
        since_id = messages[at - 1].msg_id if at else None
        for bus, cursor, behind in self.sides(since_id, messages[at:]):
            assert bus.read_messages(cursor) == list(bus.iter_messages(cursor)) == behind
            assert bus.read_messages(cursor, first=n) == behind[:n]
            assert bus.read_messages(cursor, limit=n) == newest(behind, n)
            assert bus.poll_for_new(cursor, timeout=0) == behind

    @rule(n=st.integers(0, 12))
    def read_the_newest(self, n: int) -> None:
        for bus, _, messages in self.sides(None, self.log.messages()):
            assert bus.read_last_n(n) == newest(messages, n)
            assert bus.last_id() == (messages[-1].msg_id if messages else None)

    @rule()
    def read_as_stored(self) -> None:
        """The bytes of each message are that message again, and all of them a log."""
        messages = self.log.messages()
        pairs = list(self.reader.iter_stored())
        assert [message for message, _ in pairs] == messages
        copied = Path(self.directory.name, "copy")
        archive = Path(segments.archive_name(str(copied), OLD))  # which nothing will follow
        archive.write_bytes(b"\n".join(stored for _, stored in pairs))
        assert stores.without_line_numbers(MessageBus(copied).read_messages()) == stores.without_line_numbers(messages)
        archive.unlink()
        for message, stored in pairs:
            assert self.reader.get_message(message.msg_id) == message
            assert MessageBus(self.path).get_stored(message.msg_id) == stored

    @precondition(lambda self: self.log.tail is None)
    @rule(which=WHICH)
    def read_from_a_cursor_that_is_gone(self, which: int) -> None:
        places = self.log.places()
        gone = [msg_id for msg_id in self.twins if msg_id not in places]
        if not gone:
            return
        for bus, cursor, _ in self.sides(gone[which % len(gone)], []):
            assert bus.get_message(cursor) is None
            for read in (bus.read_messages, lambda cursor, bus=bus: next(bus.follow(cursor))):
                with pytest.raises(SinceIDNotFoundError):
                    read(cursor)

    @rule(which=WHICH)
    def begin_to_read(self, which: int) -> None:
        messages = self.log.messages()
        if not messages:
            return
        at = which % len(messages)
        since_id = messages[at - 1].msg_id if at else None
        of_file = MessageBus(self.path).iter_messages(since_id)
        of_memory = self.memory.iter_messages(since_id and self.twins[since_id])
        assert [next(of_file)] == messages[at : at + 1]
        assert [next(of_memory)] == self.in_memory(messages[at : at + 1])
        self.readings.append(stores.Reading(of_file, of_memory, messages[at + 1 :]))

    @rule()
    def read_on(self) -> None:
        self.finish_readings()

    # --- following ---

    @precondition(lambda self: len(self.followings) < 2)
    @rule(which=WHICH)
    def follow(self, which: int) -> None:
        self.begin_to_follow(which % (len(self.log.messages()) + 1))

    @precondition(lambda self: self.followings)
    @rule(which=WHICH)
    def look(self, which: int) -> None:
        self.let_look(which % len(self.followings))

    @precondition(lambda self: self.followings)
    @rule(which=WHICH)
    def end_following(self, which: int) -> None:
        for following in self.followings.pop(which % len(self.followings)):
            following.follower.end()

    # --- people ---

    @precondition(lambda self: self.log.archives)
    @rule()
    def remove_the_oldest_archive(self) -> None:
        self.finish_readings()
        self.log.archives.pop(0)[0].unlink()
        self.let_the_clock_pass()
        self.mirror()

    @precondition(lambda self: self.log.tail is None)
    @rule(gap=st.booleans(), way=WAYS)
    def add_a_line(self, gap: bool, way: str) -> None:
        """A person adds a one-line message at the end."""
        content = self.content()
        content += b"\n" * ((not content.endswith(b"\n") and content != b"") + gap)
        msg_id = self.id_of_line(content)
        if msg_id is None:
            return
        ts = datetime(2026, 11, 21, 3, 14, 15, tzinfo=UTC)
        self.save(content + b"[2026-11-21 03:14:15] fact: by hand \n", way)
        self.twins[msg_id] = self.memory.append_message(Draft("FACT", "demo")).msg_id
        stores.CLOCK.pass_by(stores.CLOCK.ms - 1)  # what follows that twin holds its time, here and there
        self.log.live.append(model.Entry(Message(msg_id, ts, "FACT", body="by hand")))
        self.mirror()

    @precondition(lambda self: any(entry.is_record for entry in self.log.live))
    @rule(which=WHICH, more=st.integers(-3, 3), way=WAYS)
    def change_a_body(self, which: int, more: int, way: str) -> None:
        """A person writes something else, which may be so many bytes longer than it was."""
        entry = self.record(which)
        length = model.length_in(entry.stored) + more
        if length < 0 or sum(one.record_id == entry.record_id for one in self.log.live) > 1:
            return
        content = self.content()
        start, end = model.span(content, entry.record_id)
        text = (b"edited " * length)[:length].replace(b" ", b"_")
        is_last = end == len(content)
        content = content[:start] + model.with_region(content[start:end], text, is_last=is_last) + content[end:]
        self.save(content, way)
        self.log.live[self.log.live.index(entry)] = entry.with_body(text)
        self.people_were_here(was_at_the_end=is_last)

    @precondition(lambda self: any(entry.is_record for entry in self.log.live))
    @rule(which=WHICH, way=WAYS)
    def delete_a_record(self, which: int, way: str) -> None:
        record_id = self.record(which).record_id
        content = self.content()
        start, end = model.span(content, record_id)
        self.save(content[:start] + content[end:], way)
        self.log.live = [entry for entry in self.log.live if entry.record_id != record_id]
        self.people_were_here(was_at_the_end=end == len(content))
        self.let_the_clock_pass()

    @rule(line_end=st.sampled_from([b"\n", b"\r\n"]), way=WAYS)
    def convert_line_ends(self, line_end: bytes, way: str) -> None:
        """As editors do; what looks like a line end in a body would be changed with the rest."""
        if not any(b"\r\n" in entry.stored for entry in self.log.in_live_file()):
            self.save(self.content().replace(b"\r\n", b"\n").replace(b"\n", line_end), way)

    @precondition(lambda self: self.log.tail is None and self.log.live)
    @rule(way=WAYS)
    def strip_the_final_line_end(self, way: str) -> None:
        content, last = self.content(), self.log.live[-1]
        if not last.is_record:
            content = content.rstrip(b"\r\n")
            self.log.tail = model.Tail.kept_back(self.log.live.pop())
        elif content.endswith(last.stored):  # else it was edited already
            content = content.removesuffix(b"\n")
        self.save(content, way)
        self.mirror()

    @rule(way=WAYS)
    def save_as_it_is(self, way: str) -> None:
        self.save(self.content(), way)

    # --- crashes ---

    @rule(says=st.lists(SAYS, min_size=1, max_size=3), keep=KEEP, unwritten=st.booleans())
    def die_in_mid_write(self, says: list[Any], keep: int, unwritten: bool) -> None:
        """Of the last record, only the first bytes are there, or NULs in the place of the rest."""
        self.append("new", says)
        self.lose_power(keep, unwritten)

    @precondition(lambda self: self.log.tail is None and self.log.live)
    @rule(keep=KEEP, unwritten=st.booleans())
    def lose_power(self, keep: int, unwritten: bool) -> None:
        """The same where the writer was told that all was well."""
        content, stored = self.content(), self.log.live[-1].stored
        if not stored or not content.endswith(stored):
            return
        kept = stored[: keep % (len(stored) + 1)]
        nulls = (len(stored) - len(kept)) * unwritten
        if self.log.can_be_cut_to(kept, nulls):
            self.save(content[: len(content) - len(stored)] + kept + bytes(nulls), "in place")
            self.log.cut(kept, nulls)
            self.let_the_clock_pass()
            self.mirror()

    @precondition(lambda self: self.log.tail is None)
    @rule(count=st.integers(1, 5000))
    def find_blocks_at_the_end(self, count: int) -> None:
        self.save(self.content() + bytes(count), "in place")
        self.log.find_blocks()

    @precondition(lambda self: self.path.exists())
    @rule()
    def die_in_rotation(self) -> None:
        """After the rename, before there is a new file."""
        self.finish_readings()
        archive = segments.next_archive(str(self.path), stores.CLOCK.now(UTC))
        self.path.rename(archive)
        self.log.archive(Path(archive))
        self.mirror()


def run(monkeypatch: pytest.MonkeyPatch, tally: Callable[..., None], **options: Any) -> None:
    for module in (append, memory):
        monkeypatch.setattr(module, "time", stores.CLOCK)
        monkeypatch.setattr(module, "datetime", stores.CLOCK)
    Histories.steps = 0
    run_state_machine_as_test(Histories, settings=settings(suppress_health_check=list(HealthCheck), **options))
    tally("steps of the file store beside the model", tried=Histories.steps)


def test_the_stores_hold_the_model(monkeypatch, tally):
    run(monkeypatch, tally, max_examples=100, stateful_step_count=30, derandomize=True, database=None)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_stores_hold_the_model_in_thousands_of_histories(monkeypatch, tally):
    run(monkeypatch, tally, max_examples=3000, stateful_step_count=60)
