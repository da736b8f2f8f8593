"""Writers that are killed: ``python crash_writer.py VERB '{"option": ...}'``.

One warm process forks the writers, so that a death costs some milliseconds and no start of Python, and
each writer inherits an open bus. A writer tells through a pipe what was acknowledged, before it goes
on; the pipe outlives it, and what came through is the journal.
"""

from __future__ import annotations

import inspect
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import worker
from self_describing import Post, Say

from messagebus import Draft, MessageBus
from messagebus.backends.file import append, live_file, lock

KINDS = ("one", "batch", "one", "keyed")  # what a writer appends, in turns
LONGEST_LIFE = 0.03  # seconds that the older of two writers may have left


# --- forked writers --------------------------------------------------------------------------


class Forked:
    """A child that does something, and what it says of it."""

    def __init__(self, act: Callable[[Say], object]) -> None:
        self._inlet, outlet = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._be(act, outlet)
        os.close(outlet)
        self._text = b""

    def _be(self, act: Callable[[Say], object], outlet: int) -> None:
        status = 1
        try:
            act(lambda word: os.write(outlet, json.dumps(word).encode() + b"\n"))
            status = 0
        except BaseException:  # noqa: BLE001 - a child must not come back as a second parent
            traceback.print_exc()
        finally:
            os._exit(status)

    def listen(self, seconds: float) -> None:
        """Take in its first words, and what it says for so long after them."""
        if not self._text:
            self._take()
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and select.select([self._inlet], [], [], left)[0]:
            if not self._take():
                return

    def kill(self) -> list[dict[str, Any]]:
        os.kill(self.pid, signal.SIGKILL)
        assert self.end() == -signal.SIGKILL
        return self.words()

    def end(self) -> int:
        """Hear it to its end; how it ended."""
        while self._take():
            pass
        os.close(self._inlet)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def words(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._text.splitlines()]

    def _take(self) -> bool:
        data = os.read(self._inlet, 65536)
        self._text += data
        return bool(data)


# --- killed at random moments ----------------------------------------------------------------


def kill_at_random(path: str, journal: str, kills: int, longest: int, rotate: int, seed: str) -> None:
    """Two writers at a time, the older of which is killed, again and again."""
    chance, words = Random(seed), []
    with MessageBus(path, lock_timeout=worker.PATIENT, auto_rotate_bytes=rotate) as bus:
        Post("parent", 0, "one", longest).to(bus, words.append)

        def start(number: int, repeated: Post | None = None) -> Forked:
            return Forked(lambda say: _write_for_ever(bus, say, f"w{number}", longest, repeated))

        writers = [start(0), start(1)]
        for number in range(kills):
            victim = writers.pop(0)
            victim.listen(chance.random() * LONGEST_LIFE)
            said = victim.kill()
            words += said
            writers.append(start(number + 2, _left_undone(f"w{number}", said, longest)))
        for writer in writers:
            words += writer.kill()
        Post("parent", 1, "one", longest).to(bus, words.append)
        bus.append_message(Draft("END", "demo"))
    Path(journal).write_text(json.dumps(words))


def _write_for_ever(bus: MessageBus, say: Say, name: str, longest: int, repeated: Post | None) -> None:
    if repeated:
        repeated.to(bus, say)
    for number in count():
        Post(name, number, KINDS[number % len(KINDS)], longest).to(bus, say)


def _left_undone(writer: str, said: list[dict[str, Any]], longest: int) -> Post | None:
    """What a writer died of, if that has a key: no one knows whether it is stored, and the next writer
    repeats it."""
    number = sum(word["writer"] == writer for word in said)
    kind = KINDS[number % len(KINDS)]
    return Post(writer, number, kind, longest) if kind == "keyed" else None


# --- killed at a chosen system call ----------------------------------------------------------


class Moment(NamedTuple):
    """When a writer dies: before a call (counted from 0), or with so many bytes written."""

    call: int = -1
    written: int = 0


class Deadly:
    """Stands for ``os`` in the library: counts its calls, and at the chosen moment says so and dies."""

    def __init__(self, moment: Moment, say: Say) -> None:
        self._moment = moment
        self._say = say
        self._calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        value = getattr(os, name)
        return self.counted(name, value) if inspect.isbuiltin(value) else value

    def counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def dying(*arguments: Any) -> Any:
            size = len(arguments[1]) if name == "write" else 0
            if size and self._moment.written:
                os.write(arguments[0], arguments[1][: self._moment.written])
                self._die("during", name, size)
            if len(self._calls) == self._moment.call:
                self._die("after" if "write" in self._calls else "before", name, size)
            self._calls.append(name)
            return call(*arguments)

        return dying

    def spread(self) -> None:
        """Take the place of all that the library calls the system by."""
        for module in [module for name, module in sys.modules.items() if name.startswith("messagebus.")]:
            if getattr(module, "os", None) is os:
                module.os = self  # type: ignore[attr-defined]
        lock.flock = self.counted("flock", lock.flock)
        live_file.flush = self.counted("flush", live_file.flush)

    def _die(self, stage: str, call: str, size: int) -> None:
        self._say({"stage": stage, "call": call, "size": size})
        os.kill(os.getpid(), signal.SIGKILL)


class Scenario(NamedTuple):
    """What is appended when the writer dies, and what went before."""

    kind: str = "one"
    known: bool = False  # it appended before, and so remembers the file
    others: bool = False  # ... and others did since
    torn: int = 0  # bytes of a record that a writer before it left
    rotate: int = 0
    fsync: bool = False


def die_at_each_call(path: str, journal: str, stride: int, **scenario: Any) -> None:
    """Writers that die before every call of the append, and with every ``stride``-th byte written; after
    each, a writer appends that lives."""
    append._SETTLED_AFTER = 0.0  # to wait would be a call more, or not, by the time that has passed
    dying = _Dying(path, Scenario(**scenario))
    with dying.survivor:
        size = 0
        for call in count():
            death = dying.one(Moment(call))
            if death is None:  # it came to the end: there is no such call
                break
            size = max(size, death["size"])
        for written in range(1, size, stride):
            assert dying.one(Moment(written=written))
        dying.survivor.append_message(Draft("END", "demo"))
    Path(journal).write_text(json.dumps(dying.words))


class _Dying:
    """The deaths of one scenario, one after another."""

    longest = 300  # characters of a body

    def __init__(self, path: str, scenario: Scenario) -> None:
        self._path, self._scenario = path, scenario
        self._options: dict[str, Any] = {"auto_rotate_bytes": scenario.rotate, "fsync": scenario.fsync}
        self.survivor = MessageBus(path, lock_timeout=0, max_retries=1, **self._options)
        self.words: list[dict[str, Any]] = []
        self._deaths = 0
        self._survive()

    def one(self, moment: Moment) -> dict[str, Any] | None:
        """Let one writer die at this moment, and say how; None where it survived that."""
        if self._scenario.torn:
            torn = Post(f"torn{self._deaths}", 0, "one", self.longest)
            self._hear(Forked(lambda say: self._write(say, torn, Moment(written=self._scenario.torn))))
        name = f"w{self._deaths}"
        death = self._hear(Forked(lambda say: self._write_last(say, name, moment)))
        if death and self._scenario.kind == "keyed":
            self._last(name).to(self.survivor, self.words.append)
        self._survive()
        return death

    def _write_last(self, say: Say, name: str, moment: Moment) -> None:
        bus = self._open()
        if self._scenario.known:
            Post(name, 0, "one", self.longest).to(bus, say)
        if self._scenario.others:
            Post(f"{name}-other", 0, "one", self.longest).to(self._open(), say)
        self._write(say, self._last(name), moment, bus)

    def _last(self, name: str) -> Post:
        return Post(name, int(self._scenario.known), self._scenario.kind, self.longest)

    def _write(self, say: Say, post: Post, moment: Moment, bus: MessageBus | None = None) -> None:
        def say_death(death: dict[str, Any]) -> None:
            say({"writer": post.writer, "number": post.number, "parts": post.parts, **death})

        bus = bus or self._open()
        Deadly(moment, say_death).spread()
        post.to(bus, say)

    def _open(self) -> MessageBus:
        return MessageBus(self._path, lock_timeout=0, max_retries=1, **self._options)

    def _hear(self, child: Forked) -> dict[str, Any] | None:
        status = child.end()
        words = child.words()
        self.words += words
        died = [word for word in words if "stage" in word]
        assert status == (-signal.SIGKILL if died else 0)
        return died[0] if died else None

    def _survive(self) -> None:
        """Append: nothing may be in the way, whatever the last writer left."""
        Post("survivor", self._deaths, "one", self.longest).to(self.survivor, self.words.append)
        self._deaths += 1
        assert self.survivor.last_id() == self.words[-1]["acknowledged"][0][0]


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
