"""The power goes: what was acknowledged after its flush is there, and nothing else is hurt.

Programs run over a recording of what they do to the disk (``disk.py`` has the model). Every state that
the disk may be in, had the power gone at any moment, is laid out and opened: each message acknowledged
with ``fsync`` on is there once, in order, unchanged; any other is whole, absent or not ``intact``; the
next append works, though the clock has been set back by an hour, and a follower continues from the
last message acknowledged. Then the same for power that fails again while a file is recovered.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import pytest

from messagebus import Draft, Message, MessageBus
from messagebus.backends.file import append, create, durability, live_file, randomness, segments
from messagebus.codec import Decoder
from messagebus.message import IDEMPOTENCY_KEY

BLOCK = 64  # bytes: a short record then lies in four blocks
START = 1_790_000_000_000  # milliseconds since 1970
HOUR = 3_600_000
MEMORY = Path("/dev/shm")  # noqa: S108 - what lies there costs no disk; each test has a directory of its own
KEY = "deploy-42"
KEYED = "posted with the key, and longer than a block. " * 2

FORGERY = (
    "\n\n---\nmsg_id: MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA\nts: 2026-11-21T03:14:15.926535Z\ncontent_length: 3\n---\nabc"
)
ONE_LINER = "\n[2026-01-01 00:00:00] FACT: no one posted this\n"
BODIES = [
    "x",
    "two\nlines",
    FORGERY + FORGERY,
    "",
    ONE_LINER * 2,
    "---\n\\---\n\n---\n-",
    "long" + "\n" * 70 + FORGERY + ONE_LINER + "\u00e9" * 100 + FORGERY + "\n\nend",
]

State = frozenset[tuple[str, bytes]]  # of a directory: names, and what the files hold
Program = Callable[["Machine"], object]


class Machine:
    """Runs programs on one directory, and knows what they posted and were promised."""

    def __init__(self, directory: Path, disk: ModuleType, patched: Any) -> None:
        self.path = directory / "BUS.md"
        self.posted: dict[str, Message] = {}
        self._now_ms = START
        self._disk, self._patched = disk, patched

    def run(self, program: Program, state: State = frozenset(), promised: Sequence[Message] = ()) -> None:
        """Find the disk in ``state``, and record what ``program`` does."""
        self._disk.lay_out(state, self.path.parent)
        self.recording = self._disk.Recording(self.path.parent)
        self.recording.acknowledge(*promised)
        functions = self.recording.functions
        stand_in = self._patched(os, **functions, urandom=Random(self._now_ms).randbytes)
        with pytest.MonkeyPatch.context() as patch:
            for module in (append, durability, live_file, segments, create, randomness):
                patch.setattr(module, "os", stand_in)
            patch.setattr(live_file, "flush", functions["fdatasync"])
            patch.setattr(append, "_now_ms", self._tick)
            patch.setattr(append, "datetime", self._patched(datetime, now=self._now))
            program(self)

    def states(self, block: int = BLOCK, **model: bool) -> dict[State, list[Message]]:
        """Every state of the disk after a loss of power, and what must be in it."""
        promised = self.recording.acknowledged
        return {state: promised[:count] for state, count in self.recording.states(block, **model).items()}

    def open(self, state: State, rotate: int) -> MessageBus:
        """A bus that finds the disk in this state."""
        self._disk.lay_out(state, self.path.parent)
        return MessageBus(self.path, auto_rotate_bytes=rotate)

    def note(self, messages: Sequence[Message]) -> None:
        """These may be found, whole or not."""
        self.posted |= {message.msg_id: message for message in messages}

    def _tick(self) -> int:
        self._now_ms += 1_000
        return self._now_ms

    def _now(self, zone: tzinfo) -> datetime:
        return datetime.fromtimestamp(self._now_ms / 1_000, zone)


class KilledError(BaseException):
    """The process is killed: none of its handlers knows this error."""


class Writer:
    """A bus that tells the machine what it posted, and with ``fsync`` that it must survive."""

    def __init__(self, machine: Machine, *, fsync: bool = True, rotate: int = 0) -> None:
        self.fsync = fsync
        self._machine = machine
        self._bus = MessageBus(machine.path, fsync=fsync, auto_rotate_bytes=rotate)

    def post(self, *bodies: str, key: str | None = None, **meanwhile: Callable[[], object]) -> None:
        """Post a message or a batch; ``sched_yield=...`` is what another process does once that was called."""
        recording = self._machine.recording
        recording.meanwhile |= meanwhile
        drafts = [Draft("FACT", "demo", body) for body in bodies]
        if key is None:
            messages = self._bus.append_messages(drafts)
        else:
            messages = [self._bus.append_message(drafts[0], idempotency_key=key)]
        assert not recording.meanwhile
        self._machine.note(messages)
        if self.fsync:
            recording.acknowledge(*(message for message in messages if message not in recording.acknowledged))

    def break_off(self, body: str, size: int, error: BaseException) -> None:
        """Try to post, and be killed or hindered when so many bytes are written."""
        recording = self._machine.recording
        recording.breaks = size, error
        with pytest.raises(type(error)):
            self.post(body)
        decoder = Decoder()
        self._machine.note(decoder.feed(recording.attempted.lstrip(b"\n")) + decoder.finish(closed=True))
        if isinstance(error, KilledError):
            self._bus.close()


@pytest.fixture
def machine(disk, patched, tmp_path) -> Iterator[Machine]:
    with TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else tmp_path) as directory:
        yield Machine(Path(directory), disk, patched)


@pytest.fixture
def keep_promises(machine, follow_through, monkeypatch, tally):
    """Open each of these states; read, append, follow, and read again."""

    def check_all(states: dict[State, list[Message]], **options: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(append, "_now_ms", lambda: START - HOUR)
            for state, promised in states.items():
                try:
                    check(state, promised, **options)
                except Exception as error:
                    error.add_note(f"with the disk in this state: {dict(state)}")
                    raise
        tally("states of the disk after a loss of power", tried=len(states))

    def check(
        state: State, promised: list[Message], key: str | None = None, body: str = KEYED, rotate: int = 0
    ) -> None:
        bus = machine.open(state, rotate)
        before = bus.read_messages()
        check_log(before, promised, machine.posted)
        assert bus.read_last_n(2) == before[-2:]
        answers: list[Message] = []
        steps = [lambda: answers.append(bus.append_message(Draft("FACT", "demo", body), idempotency_key=key))]
        since_id = max((message.msg_id for message in promised), default="")
        followed = follow_through(machine.path, steps, since_id or None)
        bus.close()
        after = MessageBus(machine.path).read_messages()
        check_log(after, promised, machine.posted | {answers[0].msg_id: answers[0]})
        assert intact(after) == intact(before) | intact(answers)
        keyed = [message for message in after if message.intact and message.meta.get(IDEMPOTENCY_KEY) == key]
        assert key is None or keyed == answers, "a key stands for one message"
        assert outline(followed) == outline(m for m in after if m.msg_id > since_id)

    return check_all


def check_log(messages: list[Message], promised: list[Message], posted: dict[str, Message]) -> None:
    ids = [message.msg_id for message in messages]
    assert ids == sorted(set(ids)), "repeated, or out of order"
    assert [m for m in messages if m in promised] == sorted(promised, key=lambda m: m.msg_id), "lost"
    assert set(ids) <= posted.keys(), "forged"
    assert all(m.intact is False or m == posted[m.msg_id] for m in messages), "changed, or half of it"


def intact(messages: list[Message]) -> dict[str, Message]:
    return {message.msg_id: message for message in messages if message.intact}


def outline(messages: Iterable[Message]) -> list[tuple[str, bool | None]]:
    """What a follower gives; the text of a torn message may change when its file is recovered."""
    return [(message.msg_id, message.intact) for message in messages]


def test_the_model_mixes_the_blocks_of_every_content_since_the_last_flush(disk):
    ways = {b"", b"aa", b"\0\0", b"aabb", b"\0\0bb", b"aa\0\0", b"\0\0\0\0"}
    assert set(disk.mixtures([b"", b"aabb"], 2)) == ways
    assert set(disk.mixtures([b"", b"aabb"], 2, every_byte=True)) == ways | {b"a", b"aab"}
    assert b"xxbb" in set(disk.mixtures([b"xx", b"", b"aabb"], 2))  # what was cut off, and what took its place


def test_the_model_does_each_change_of_a_name_or_not(disk):
    def rotated(**model: bool) -> Any:
        one = disk.Disk(frozenset({("bus", b"old")}), 2, **model)
        one.rename("bus", "archive", "bus")
        one.make("bus", "new")
        return one

    def states(one: Any) -> list[dict[str, bytes]]:
        return [dict(state) for state in one.states()]

    renamed, both = {"archive": b"old"}, {"archive": b"old", "bus": b""}
    assert states(rotated()) == [both, renamed, {"bus": b""}, {"bus": b"old"}]
    assert states(rotated(names_in_order=True)) == [both, renamed, {"bus": b"old"}]
    flushed = rotated()
    flushed.flush_names()
    assert states(flushed) == [both]


def appends(machine: Machine) -> None:
    writer = Writer(machine)
    for body in BODIES:
        writer.post(body)


def batches(machine: Machine) -> None:
    writer = Writer(machine)
    writer.post("one", "two")
    writer.post(*BODIES[:4])


def look_alikes(machine: Machine) -> None:
    """Blocks end after each of the first characters of a text that looks like a record."""
    writer = Writer(machine)
    filler = "x" * 100
    writer.post(filler)
    header = machine.path.stat().st_size - len(filler + "\n")
    for characters in range(8):
        start = machine.path.stat().st_size + len("\n") + header
        writer.post(filler[: -(start + characters) % BLOCK] + FORGERY)


def rotations(machine: Machine) -> None:
    writer = Writer(machine, rotate=300)
    for body in ("one", "two", "three", "four", FORGERY, "six"):
        writer.post(body)


def beside_one_without_fsync(machine: Machine) -> None:
    careless, writer = Writer(machine, fsync=False), Writer(machine)
    careless.post("one" + ONE_LINER)
    writer.post("two")
    careless.post("three")
    careless.post(FORGERY)
    writer.post("five", "six")
    writer.post("seven", sched_yield=lambda: careless.post("eight"))
    writer.post("nine", sched_yield=lambda: Writer(machine).post("ten"))


def rotated_before_the_flush(machine: Machine) -> None:
    writer, other = Writer(machine), Writer(machine, rotate=1)
    writer.post("one", sched_yield=lambda: other.post("two"))
    writer.post("three", sched_yield=lambda: other.post("four"))
    writer.post("five")


def broken_off(machine: Machine) -> None:
    for error in (KilledError(), OSError(errno.ENOSPC, "no space left")):
        for size in (1, 3, 5, 60, 150, 250):
            writer = Writer(machine)
            writer.break_off("begun" + FORGERY, size, error)
            writer.post("next")


PROGRAMS = [
    appends,
    batches,
    look_alikes,
    rotations,
    beside_one_without_fsync,
    rotated_before_the_flush,
    broken_off,
]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("rotate", [pytest.param(0, id="append"), pytest.param(1, id="rotate")])
def test_what_was_acknowledged_survives(machine, keep_promises, program, rotate):
    machine.run(program)
    keep_promises(machine.states(BLOCK), rotate=rotate)


def test_a_block_may_be_long_and_a_file_end_anywhere(machine, keep_promises):
    machine.run(appends)
    keep_promises(machine.states(512, every_byte=True))


def posted_with_a_key(machine: Machine) -> None:
    writer = Writer(machine, rotate=400)
    for _ in range(2):
        writer.post("a neighbour")
        writer.post(KEYED, key=KEY)


def answered_for_one_without_fsync(machine: Machine) -> None:
    Writer(machine, fsync=False).post(KEYED, key=KEY)
    Writer(machine).post(KEYED, key=KEY)


def answered_from_an_archive(machine: Machine) -> None:
    Writer(machine, fsync=False).post(KEYED, key=KEY)
    Writer(machine, rotate=1).post("a neighbour", sched_yield=lambda: Writer(machine).post(KEYED, key=KEY))


@pytest.mark.parametrize("program", [posted_with_a_key, answered_for_one_without_fsync, answered_from_an_archive])
@pytest.mark.parametrize("rotate", [pytest.param(0, id="append"), pytest.param(1, id="rotate")])
def test_a_key_stands_for_what_survived_and_for_nothing_else(machine, keep_promises, program, rotate):
    machine.run(program)
    keep_promises(machine.states(BLOCK), key=KEY, rotate=rotate)


def test_a_key_stands_for_what_lacks_only_the_ends_of_its_last_lines(machine, keep_promises):
    machine.run(lambda machine: Writer(machine).post("", key=KEY))
    block = machine.path.read_bytes().rindex(b"---") + len("---")
    keep_promises(machine.states(block), key=KEY, body="")


def newcomer_between_rename_and_new_file(machine: Machine) -> None:
    writer, careless = Writer(machine, rotate=1), Writer(machine, fsync=False)
    writer.post("one")
    writer.post("two", rename=lambda: careless.post("three"))
    writer.post("four")


def test_a_newcomer_may_make_the_new_file_before_the_rename_is_flushed(machine, keep_promises):
    """It need not wait for the lock on the old file. Here alone the disk must keep the names in order."""
    machine.run(newcomer_between_rename_and_new_file)
    keep_promises(machine.states(BLOCK, names_in_order=True))


def torn(machine: Machine) -> None:
    Writer(machine).post("before")
    Writer(machine, fsync=False).post("torn" + ONE_LINER * 3)


def torn_batch(machine: Machine) -> None:
    Writer(machine).post("before", "before")
    Writer(machine, fsync=False).post(ONE_LINER, FORGERY)


def recover(machine: Machine) -> None:
    Writer(machine).post("recovered" + FORGERY + ONE_LINER)


def recover_without_fsync(machine: Machine) -> None:
    Writer(machine, fsync=False).post("recovered")


@pytest.mark.parametrize(
    ("program", "recovery"),
    [(torn, recover), (torn, recover_without_fsync), pytest.param(torn_batch, recover, marks=pytest.mark.soak)],
)
def test_the_power_may_fail_again_during_recovery(machine, keep_promises, program, recovery):
    machine.run(program)
    for state, promised in machine.states(BLOCK).items():
        machine.run(recovery, state, promised)
        keep_promises(machine.states(BLOCK))


def some_steps(chance: Random) -> Program:
    """A program of some writers, each post done with one of them."""

    def program(machine: Machine) -> None:
        rotate = chance.choice((1, 400, 1500))
        writers = [Writer(machine), Writer(machine, fsync=False), Writer(machine, rotate=rotate)]
        for _ in range(chance.randrange(1, 5)):
            writer, other = chance.choice(writers), chance.choice(writers)
            bodies = chance.choices(BODIES, k=chance.choice((1, 1, 3)))
            match chance.randrange(5):
                case 0:
                    writer.post(KEYED, key=KEY)
                case 1:
                    error = chance.choice((KilledError(), OSError(errno.EIO, "I/O error")))
                    writer.break_off(bodies[0], chance.randrange(300), error)
                case 2 if writer.fsync:
                    writer.post(*bodies, sched_yield=lambda other=other: other.post("meanwhile"))
                case _:
                    writer.post(*bodies)

    return program


def live(machine: Machine, keep_promises: Callable[..., None], seed: int, tries: int) -> None:
    """Programs and losses of power, each program beginning with what the last loss left."""
    chance = Random(seed)
    state: State = frozenset()
    promised: list[Message] = []
    for _ in range(3):
        machine.run(some_steps(chance), state, promised)
        states = sorted(machine.states(chance.choice((32, 64, 512))).items(), key=lambda item: sorted(item[0]))
        keep_promises(dict(chance.sample(states, min(tries, len(states)))), rotate=chance.choice((0, 1)))
        state, promised = chance.choice(states)


@pytest.mark.parametrize("seed", range(10))
def test_any_program_survives_one_loss_after_another(machine, keep_promises, seed):
    live(machine, keep_promises, seed, tries=100)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("start", range(100, 500, 100))
def test_any_program_survives_one_loss_after_another_for_long(machine, keep_promises, start):
    for seed in range(start, start + 100):
        live(machine, keep_promises, seed, tries=300)
