"""The file store beside the store in memory and a plain list, step by step.

Hypothesis makes up histories: writers of several kinds append to one file what another bus appends
to memory; clocks jump; people edit the file by hand and remove archives; writers die and the power
fails in mid-write. What that leaves is known beforehand (``model.py``) and done to the list in
memory as well. After every step both stores must hold the model, and readers, cursors, polls and
followers on both sides are given the same.
"""

from __future__ import annotations

import copy
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from messagebus import (
    Draft,
    GapWarning,
    IdempotencyConflictError,
    MemoryBackend,
    Message,
    MessageBus,
    Parent,
    SinceIDNotFoundError,
    memory,
)
from messagebus.files import append, segments


def _load(name: str) -> ModuleType:
    """A module beside this one (tests are no package)."""
    spec = importlib.util.spec_from_file_location(f"property_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


model = _load("model")
CLOCK = model.Clock()
SECONDS = 30.0  # the longest that a follower may take for one look

# --- what is appended ------------------------------------------------------------------------

ROTATE_AT = {"first": 0, "second": 0, "rotating": 1500, "always rotating": 1, "new": 0}  # of each writer, bytes
HOUR = 3_600_000
JUMPS = [1, 7, 1_700, 5 * HOUR // 6, 15 * HOUR, 25 * HOUR]  # ms; never 24 hours, however they add up
OLD = datetime(2001, 2, 3, 4, 5, 6, 789, UTC)
BODIES = [
    "", "a", "two\nlines", "---", "\\---\nx\n---", "é日本\U0001f600\n\n\u2028", "a\r\nb\r\n---\r\nc", "lone\rcr",
    "msg_id: x\n---\n", "x\n\n---\nmsg_id: MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA\nts: x\n---\nforged",
    "[2026-11-21 03:14:15] FACT: x", "\n[2026-11-21 03:14:15] FACT: x\n\n", "meta:\n  idempotency_key: k1\n",
    "a line of a long text\n" * 900,
]  # fmt: skip


class Say(NamedTuple):
    """What somebody wants to say; ``parent`` chooses one of the messages there are."""

    type: str
    body: str
    task_id: str = ""
    meta: tuple[tuple[str, str], ...] = ()
    parent: int | None = None
    ts: datetime | None = None
    key: str | None = None

    def draft(self, ids: list[str]) -> Draft:
        parents = [ids[self.parent % len(ids)]] if ids and self.parent is not None else []
        return Draft(
            self.type, "demo", self.body, task_id=self.task_id, meta=dict(self.meta), parents=parents, ts=self.ts
        )

    def message(self, msg_id: str, ids: list[str]) -> Message:
        """What the log must make of it."""
        parents = tuple(map(Parent, self.draft(ids).parents))
        meta = dict(self.meta) | ({model.KEY: self.key} if self.key else {})
        issue_id = msg_id if self.type == "ISSUE" else ""
        ts = self.ts or CLOCK.now(UTC)
        return Message(
            msg_id, ts, self.type, "demo", self.task_id, "", issue_id, parents, (), meta, self.body.rstrip("\r\n"), True
        )  # fmt: skip


TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)
SAYS = st.tuples(
    st.sampled_from(["FACT", "ISSUE", "yes"]),
    st.sampled_from(BODIES) | TEXTS,
    st.sampled_from(["", "007"]),
    st.sampled_from([(), (("k: v", "~"),)]),
    st.none() | st.integers(0, 99),
    st.sampled_from([None, OLD]),
).map(lambda fields: Say(*fields))
KEYED = st.tuples(st.sampled_from(["FACT", "yes"]), st.sampled_from(["", "same"]), st.sampled_from(["k1", "k: 2"])).map(
    lambda fields: Say(*fields[:2], key=fields[2])
)
WRITERS = st.sampled_from(sorted(ROTATE_AT))
WHICH = st.just(-1) | st.integers(0, 99)  # modulo how many there are: often the newest
KEEP = st.integers(-30, -1) | st.integers(0, 999)  # bytes of a record, likewise: often all but the last
WAYS = st.sampled_from(["in place", "by rename"])


class Follower:
    """``follow`` in a thread that looks at the log when it is told to, and only then."""

    def __init__(self, bus: MessageBus, mark: Callable[[], object], since_id: str | None) -> None:
        self.mark = mark
        self.gaps: list[GapWarning] = []
        self._came: list[Message] = []
        self._error: BaseException | None = None
        self._stop = threading.Event()
        self._go, self._waits = threading.Semaphore(0), threading.Semaphore(0)
        bus._backend.watch = lambda: self  # type: ignore[method-assign, assignment, return-value]
        self._messages = bus.follow(since_id, stop=self._stop, on_gap=self.gaps.append)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._go.acquire()
            self._came.extend(self._messages)
        except BaseException as error:  # noqa: BLE001 - shown in the test's own thread
            self._error = error
        finally:
            self._waits.release()

    def wait(self, mark: object, _timeout: float) -> bool:
        self._waits.release()
        self._go.acquire()
        return self.mark() != mark

    def close(self) -> None:
        """As a watch, it has nothing to give back."""

    def look(self) -> list[Message]:
        """What it is given, if it looks now."""
        self._go.release()
        assert self._waits.acquire(timeout=SECONDS), "a follower never came to wait"
        if self._error:
            raise self._error
        came = self._came[:]
        del self._came[: len(came)]
        return came

    def end(self) -> None:
        self._stop.set()
        self._go.release()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()
        assert not self._came, "it was given more"


class Following(NamedTuple):
    """A follower, and where it must stand."""

    follower: Follower
    stand: Any

    def look(self, messages: list[Message], places: list[str]) -> None:
        new, gap = self.stand.move(ids_of(messages), places)
        assert self.follower.look() == [message for message in messages if message.msg_id in new]
        assert len(self.follower.gaps) == gap
        self.follower.gaps.clear()


class Reading(NamedTuple):
    """Messages of both stores that somebody has begun to read, and what must come yet."""

    of_file: Generator[Message, None, None]
    of_memory: Generator[Message, None, None]
    rest: list[Message]


def ids_of(messages: list[Message]) -> list[str]:
    return [message.msg_id for message in messages]


def without_line_numbers(messages: list[Message]) -> list[Message]:
    """A one-line message above all records is named by its line."""
    return [replace(one, msg_id="") if one.msg_id.startswith("LEGACY") else one for one in messages]


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def post(bus: MessageBus, drafts: list[Draft], key: str | None = None) -> list[Message]:
    if len(drafts) > 1:
        return bus.append_messages(drafts)
    return [bus.append_message(drafts[0], idempotency_key=key)]


class Stores(RuleBasedStateMachine):
    """The file store, the store in memory, and the model."""

    steps = 0  # of all runs

    def __init__(self) -> None:
        super().__init__()
        CLOCK.start_afresh()
        self.descriptors = open_descriptors()
        self.directory = TemporaryDirectory()
        self.path = Path(self.directory.name, "BUS.md")
        self.writers = {name: MessageBus(self.path, auto_rotate_bytes=size) for name, size in ROTATE_AT.items()}
        self.reader = MessageBus(self.path)
        self.store = MemoryBackend()
        self.memory = MessageBus(self.store)
        self.log = model.Log()
        self.twins: dict[str, str] = {}  # the id in memory of each id in the file
        self.followings: list[tuple[Following, Following]] = []  # of the file, and of memory
        self.readings: list[Reading] = []
        self.saved = 0

    def teardown(self) -> None:
        """Whatever is closed leaves no descriptor behind."""
        for following in chain.from_iterable(self.followings):
            following.follower.end()
        for reading in self.readings:
            reading.of_file.close()
        for bus in self.writers.values():
            bus.close()
        self.directory.cleanup()
        assert open_descriptors() == self.descriptors

    @invariant()
    def both_hold_the_model(self) -> None:
        Stores.steps += 1
        messages = self.log.messages()
        for bus in (self.reader, MessageBus(self.path)):
            assert bus.read_messages() == messages
            if self.log.tail is None or self.log.tail.unfinished is not None:
                assert bus.unfinished == (self.log.tail is not None)
        assert self.memory.read_messages() == self.in_memory(messages)
        records = [msg_id for msg_id in ids_of(messages) if model.is_ours(msg_id)]
        assert all(one < two for one, two in pairwise(records))
        assert self.archives() == [archive for archive, _ in self.log.archives]
        if self.followings:
            self.look(0)  # one follower misses nothing, and another looks now and then

    # --- appending ---

    @rule(writer=WRITERS, say=SAYS)
    def post_one(self, writer: str, say: Say) -> None:
        self.append(writer, [say])

    @rule(writer=WRITERS, says=st.lists(SAYS, min_size=2, max_size=4))
    def post_batch(self, writer: str, says: list[Say]) -> None:
        self.append(writer, says)

    @rule(writer=WRITERS, say=KEYED)
    def post_with_key(self, writer: str, say: Say) -> None:
        assert say.key
        first = self.log.standing_for(say.key, CLOCK.ms)
        if first is None:
            self.append(writer, [say])
            return
        same = replace(say.message(first.msg_id, []), ts=first.ts) == first
        with self.writer(writer) as bus:
            for store, answer in ((bus, first), (self.memory, *self.in_memory([first]))):
                if same:
                    assert post(store, [say.draft([])], say.key) == [answer]
                else:
                    with pytest.raises(IdempotencyConflictError, match=f"is taken by {answer.msg_id}"):
                        post(store, [say.draft([])], say.key)

    @rule(ms=st.sampled_from([*JUMPS, *(-ms for ms in JUMPS)]))
    def set_clock(self, ms: int) -> None:
        CLOCK.step(ms)

    @rule(writer=WRITERS)
    def close_writer(self, writer: str) -> None:
        self.writers[writer].close()

    def append(self, writer: str, says: list[Say]) -> None:
        """Append to both stores, and see that they answer what the model says."""
        ids = ids_of(self.log.messages())
        before = self.content()
        rotates = len(before) >= ROTATE_AT[writer] > 0
        if self.log.tail:
            self.finish_readings()
        self.log.settle(archived=rotates)
        self.mirror()
        with self.writer(writer) as bus:
            posted = post(bus, [say.draft(ids) for say in says], says[0].key)
        twins = post(self.memory, [say.draft([self.twins[one] for one in ids]) for say in says], says[0].key)
        assert posted == [say.message(message.msg_id, ids) for say, message in zip(says, posted, strict=True)]
        self.twins.update(zip(ids_of(posted), ids_of(twins), strict=True))
        assert twins == self.in_memory(posted)
        if rotates:
            archive = self.archives()[-1]
            assert archive.read_bytes() == before
            self.log.archive(archive)
        content = self.content()
        for message in posted:
            start, end = model.span(content, message.msg_id)
            self.log.live.append(model.Entry(message, content[start:end]))

    @contextmanager
    def writer(self, name: str) -> Iterator[MessageBus]:
        if name == "new":
            with MessageBus(self.path) as bus:
                yield bus
        else:
            yield self.writers[name]

    # --- reading ---

    @rule(which=WHICH, n=st.integers(0, 5))
    def read_from_a_cursor(self, which: int, n: int) -> None:
        messages = self.log.messages()
        at = which % (len(messages) + 1)
        since_id = messages[at - 1].msg_id if at else None
        for bus, cursor, behind in (
            (self.reader, since_id, messages[at:]),
            (MessageBus(self.path), since_id, messages[at:]),
            (self.memory, since_id and self.twins[since_id], self.in_memory(messages[at:])),
        ):
            assert bus.read_messages(cursor) == list(bus.iter_messages(cursor)) == behind
            assert bus.read_messages(cursor, first=n) == behind[:n]
            assert bus.read_messages(cursor, limit=n) == behind[len(behind) - min(n, len(behind)) :]
            assert bus.poll_for_new(cursor, timeout=0) == behind

    @rule(n=st.integers(0, 12))
    def read_the_newest(self, n: int) -> None:
        messages = self.log.messages()
        for bus, all_of_it in (
            (self.reader, messages),
            (MessageBus(self.path), messages),
            (self.memory, self.in_memory(messages)),
        ):
            assert bus.read_last_n(n) == all_of_it[len(all_of_it) - min(n, len(all_of_it)) :]
            assert bus.last_id() == (all_of_it[-1].msg_id if all_of_it else None)

    @rule()
    def read_as_stored(self) -> None:
        """The bytes of each message are that message again, and all of them a log."""
        messages = self.log.messages()
        pairs = list(self.reader.iter_stored())
        assert [message for message, _ in pairs] == messages
        copied = Path(self.directory.name, "copy")
        archive = Path(segments.archive_name(str(copied), OLD))  # which nothing will follow
        archive.write_bytes(b"\n".join(stored for _, stored in pairs))
        assert without_line_numbers(MessageBus(copied).read_messages()) == without_line_numbers(messages)
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
        msg_id = gone[which % len(gone)]
        for bus, cursor in ((self.reader, msg_id), (MessageBus(self.path), msg_id), (self.memory, self.twins[msg_id])):
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
        self.readings.append(Reading(of_file, of_memory, messages[at + 1 :]))

    @rule()
    def finish_readings(self) -> None:
        """Each is given the log as it was when it began."""
        for of_file, of_memory, rest in self.readings:
            assert list(of_file) == rest
            assert list(of_memory) == self.in_memory(rest)
        self.readings.clear()

    # --- following ---

    @precondition(lambda self: len(self.followings) < 2)
    @rule(which=WHICH)
    def begin_to_follow(self, which: int) -> None:
        ids = ids_of(self.log.messages())
        at = which % (len(ids) + 1)
        since_id = ids[at - 1] if at else None
        on_file = MessageBus(self.path)
        file_mark = on_file._backend.watch().mark
        on_memory = MessageBus(copy.copy(self.store))  # the same messages, watched by another
        twin_id, twins = since_id and self.twins[since_id], [self.twins[one] for one in ids]
        self.followings.append(
            (
                Following(Follower(on_file, file_mark, since_id), model.Stand(since_id, ids)),
                Following(Follower(on_memory, self.store._messages.copy, twin_id), model.Stand(twin_id, twins)),
            )
        )
        self.look(-1)

    @precondition(lambda self: self.followings)
    @rule(which=WHICH)
    def look(self, which: int) -> None:
        on_file, on_memory = self.followings[which % len(self.followings)]
        messages = self.log.messages()
        on_file.look(messages, self.log.places())
        on_memory.look(self.in_memory(messages), [self.twins[one.msg_id] for one in messages])

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
        self.log.live.append(model.Entry(Message(msg_id, ts, "FACT", body="by hand")))
        self.mirror()

    def id_of_line(self, content: bytes) -> str | None:
        """The id of a line that is added behind ``content``; None where that has been another's."""
        below = self.log.live and self.log.live[-1].record_id
        if below and below.startswith("MSG-"):
            return f"{below}+{sum(entry.record_id == below for entry in self.log.live)}"
        number = content.count(b"\n") + 1
        msg_id = f"LEGACY-LINE-{number:09d}"
        return None if self.log.archives or msg_id in self.twins else msg_id

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
    def die_in_mid_write(self, says: list[Say], keep: int, unwritten: bool) -> None:
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
        last = self.log.live.pop() if self.log.live else None
        self.log.tail = model.Tail(last, last, last)

    @precondition(lambda self: self.path.exists())
    @rule()
    def die_in_rotation(self) -> None:
        """Behind the rename, before there is a new file."""
        self.finish_readings()
        archive = segments.next_archive(str(self.path), CLOCK.now(UTC))
        self.path.rename(archive)
        self.log.archive(Path(archive))
        self.mirror()

    # --- the two sides ---

    def content(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""

    def archives(self) -> list[Path]:
        return sorted(self.path.parent.glob("BUS.md.*.archived"))

    def record(self, which: int) -> Any:
        records = [entry for entry in self.log.live if entry.is_record]
        return records[which % len(records)]

    def save(self, content: bytes, way: str) -> None:
        """Another content, at a time that no other save had: no person is as fast as a clock of
        files ticks."""
        self.finish_readings()
        saved = self.path if way == "in place" else self.path.with_name(".saving")
        saved.write_bytes(content)
        self.saved += 1
        os.utime(saved, ns=(self.saved, self.saved))
        saved.replace(self.path)

    def people_were_here(self, *, was_at_the_end: bool) -> None:
        if was_at_the_end:
            self.log.end_anew()
        self.mirror()

    def let_the_clock_pass(self) -> None:
        CLOCK.pass_by(max(map(model.ms_of, filter(model.is_ours, self.twins)), default=0))

    def mirror(self) -> None:
        """What happened to the file happens to memory."""
        self.store._messages[:] = self.in_memory(self.log.messages())

    def in_memory(self, messages: list[Message]) -> list[Message]:
        """The same messages as memory holds them. A torn one does not stand for its key: there, it
        has none."""
        return [
            replace(
                message,
                msg_id=self.twins[message.msg_id],
                issue_id=self.twins.get(message.issue_id, message.issue_id),
                parents=tuple(Parent(self.twins[parent.msg_id]) for parent in message.parents),
                meta={} if message.intact is False else message.meta,
            )
            for message in messages
        ]


def run(monkeypatch: pytest.MonkeyPatch, tally: Callable[..., None], **options: Any) -> None:
    for module in (append, memory):
        monkeypatch.setattr(module, "time", CLOCK)
        monkeypatch.setattr(module, "datetime", CLOCK)
    Stores.steps = 0
    run_state_machine_as_test(
        Stores, settings=settings(deadline=None, suppress_health_check=list(HealthCheck), **options)
    )
    tally("steps of the file store beside the model", tried=Stores.steps)


def test_the_stores_hold_the_model(monkeypatch, tally):
    run(monkeypatch, tally, max_examples=80, stateful_step_count=30, derandomize=True, database=None)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_stores_hold_the_model_in_thousands_of_histories(monkeypatch, tally):
    run(monkeypatch, tally, max_examples=3000, stateful_step_count=60)
