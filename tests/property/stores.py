"""Both stores and the model, and what can be done to all three: for ``test_model.py``.

Whatever happens to the file by another way than an append is worked out by the model, and done to
the list in memory as the model says.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, pairwise
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import NamedTuple

import model  # loaded by test_model.py: tests are no package
from patience import SECONDS

from messagebus import Draft, GapWarning, MemoryBackend, Message, MessageBus, Parent

CLOCK = model.Clock()
ROTATE_AT = {"first": 0, "second": 0, "rotating": 1500, "always rotating": 1, "new": 0}  # of each writer, bytes


class Say(NamedTuple):
    """What a caller posts; ``parent`` chooses one of the existing messages."""

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


class Follower:
    """``follow`` in a thread that looks at the log when it is told to, and only then."""

    def __init__(self, bus: MessageBus, mark: Callable[[], object], since_id: str | None) -> None:
        self.mark = mark
        self.gaps: list[GapWarning] = []
        self._came: SimpleQueue[Message] = SimpleQueue()
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
            for message in self._messages:
                self._came.put(message)
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
        return [self._came.get() for _ in range(self._came.qsize())]

    def end(self) -> None:
        self._stop.set()
        self._go.release()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()
        assert self._came.empty(), "it was given more"


class Following(NamedTuple):
    """A follower, and where it must stand."""

    follower: Follower
    stand: model.Stand

    def look(self, messages: list[Message], places: list[str]) -> None:
        new, gap = self.stand.move(ids_of(messages), places)
        assert self.follower.look() == [message for message in messages if message.msg_id in new]
        assert len(self.follower.gaps) == gap
        self.follower.gaps.clear()


class Reading(NamedTuple):
    """Messages of both stores that a reader has begun to read, and what must come yet."""

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


class Stores:
    """The file store, the store in memory, and the model."""

    def open(self) -> None:
        CLOCK.reset()
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

    def close(self) -> None:
        """What is closed keeps no descriptor open."""
        for following in chain.from_iterable(self.followings):
            following.follower.end()
        for reading in self.readings:
            reading.of_file.close()
        for bus in self.writers.values():
            bus.close()
        self.directory.cleanup()
        assert open_descriptors() == self.descriptors

    def check(self) -> None:
        """Both hold the model, each message once and in its place."""
        messages = self.log.messages()
        for bus in (self.reader, MessageBus(self.path)):
            assert bus.read_messages() == messages
            if self.log.tail is None or self.log.tail.unfinished is not None:
                assert bus.unfinished == (self.log.tail is not None)
        assert self.memory.read_messages() == self.in_memory(messages)
        records = [msg_id for msg_id in ids_of(messages) if model.is_own(msg_id)]
        assert all(one < two for one, two in pairwise(records))
        assert self.archives() == [archive for archive, _ in self.log.archives]

    def sides(
        self, since_id: str | None, messages: list[Message]
    ) -> list[tuple[MessageBus, str | None, list[Message]]]:
        """Whom to ask for what is after a cursor, how it is called there, and the answer: a bus that
        remembers, one that is new, and memory."""
        cursor = since_id and self.twins[since_id]
        return [
            (self.reader, since_id, messages),
            (MessageBus(self.path), since_id, messages),
            (self.memory, cursor, self.in_memory(messages)),
        ]

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

    def finish_readings(self) -> None:
        """Each is given the log as it was when it began."""
        for of_file, of_memory, rest in self.readings:
            assert list(of_file) == rest
            assert list(of_memory) == self.in_memory(rest)
        self.readings.clear()

    def begin_to_follow(self, at: int) -> None:
        """From after the first ``at`` messages."""
        ids = ids_of(self.log.messages())
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
        self.let_look(len(self.followings) - 1)

    def let_look(self, which: int) -> None:
        on_file, on_memory = self.followings[which]
        messages = self.log.messages()
        on_file.look(messages, self.log.places_to_stand())
        on_memory.look(self.in_memory(messages), [self.twins[one.msg_id] for one in messages])

    def id_of_line(self, content: bytes) -> str | None:
        """The id of a line that is added after ``content``; None where that has been another's."""
        below = self.log.live and self.log.live[-1].record_id
        if below and below.startswith("MSG-"):
            return f"{below}+{sum(entry.record_id == below for entry in self.log.live)}"
        number = content.count(b"\n") + 1
        msg_id = f"LEGACY-LINE-{number:09d}"
        return None if self.log.archives or msg_id in self.twins else msg_id

    def content(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""

    def archives(self) -> list[Path]:
        return sorted(self.path.parent.glob("BUS.md.*.archived"))

    def record(self, which: int) -> model.Entry:
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
        CLOCK.pass_by(max(map(model.ms_of, filter(model.is_own, self.twins)), default=0))

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
