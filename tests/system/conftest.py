"""What the system tests share: worker processes, followers, and the check of a whole log."""

from __future__ import annotations

import fcntl
import gc
import importlib.util
import json
import os
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from patience import SECONDS

import messagebus
from messagebus import Message, MessageBus

WORKER = Path(__file__).parent / "programs/worker.py"
DISK = Path(__file__).parent / "programs/disk_model.py"
LIBRARY = str(Path(messagebus.__file__).parents[1])


class Worker:
    """A process that runs one verb of ``worker.py``, or of another program."""

    def __init__(self, verb: str, options: dict[str, object], program: Path = WORKER) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(program), verb, json.dumps(options, default=str)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": LIBRARY},
        )
        assert self.process.stdout
        self._out = self.process.stdout.fileno()
        self._text = b""

    def event(self, timeout: float = SECONDS) -> dict[str, Any]:
        """The next thing it says."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._text:
            left = max(deadline - time.monotonic(), 0)
            assert select.select([self._out], [], [], left)[0], "the worker says nothing"
            data = os.read(self._out, 65536)
            assert data, "the worker is gone"
            self._text += data
        line, _, self._text = self._text.partition(b"\n")
        return json.loads(line)

    def tell(self, word: str = "go") -> None:
        assert self.process.stdin
        self.process.stdin.write(word.encode() + b"\n")
        self.process.stdin.flush()

    def finish(self, timeout: float = 2 * SECONDS) -> None:
        assert self.process.wait(timeout) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(SECONDS)

    def close(self) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            pipe.close()


@pytest.fixture
def work() -> Iterator[Callable[..., Worker]]:
    """Start workers; they end with the test."""
    workers: list[Worker] = []

    def start(verb: str, *, program: Path = WORKER, **options: object) -> Worker:
        workers.append(Worker(verb, options, program))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()


@pytest.fixture(scope="session")
def disk() -> ModuleType:
    return _load("system_disk", DISK)


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "BUS.md"


@pytest.fixture
def start_together() -> Callable[[Iterable[Worker]], None]:
    """Wait until all are ready, and let them go at once."""

    def start(workers: Iterable[Worker]) -> None:
        workers = list(workers)
        for worker in workers:
            assert worker.event() == {"ready": True}
        for worker in workers:
            worker.tell()

    return start


@pytest.fixture
def logged() -> Callable[..., list[tuple[str, str]]]:
    """The (id, body) pairs that workers wrote to their logs."""

    def pairs(*logs: Path) -> list[tuple[str, str]]:
        return [(msg_id, body) for log in logs for msg_id, body in json.loads(log.read_text())]

    return pairs


class Following:
    """A follower in a thread."""

    def __init__(self, bus: MessageBus, since_id: str | None = None) -> None:
        self.stop = threading.Event()
        self.waiting = threading.Event()  # it has read all there was, and waits
        self._came: queue.Queue[Message | BaseException] = queue.Queue()
        self._waits_after_stop = 0
        self._watch_the_watch(bus)
        self._messages = bus.follow(since_id, stop=self.stop)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _watch_the_watch(self, bus: MessageBus) -> None:
        make_watch = bus._backend.watch

        def watch() -> Any:
            made = make_watch()
            wait = made.wait

            def signalling_wait(mark: Any, timeout: float) -> bool:
                self.waiting.set()
                self._waits_after_stop += self.stop.is_set()
                return wait(mark, timeout)

            made.wait = signalling_wait
            return made

        bus._backend.watch = watch

    def _run(self) -> None:
        try:
            for message in self._messages:
                self._came.put(message)
        except BaseException as error:  # noqa: BLE001 - shown in the test's own thread
            self._came.put(error)

    def next(self, timeout: float = SECONDS) -> Message:
        came = self._came.get(timeout=timeout)
        if isinstance(came, BaseException):
            raise came
        return came

    def end(self) -> None:
        """Stop it, which takes at most the one wait that it is just about to begin."""
        self.stop.set()
        self.thread.join(SECONDS)
        assert not self.thread.is_alive()
        assert self._came.empty(), "it delivered more"
        assert self._waits_after_stop <= 1, "it waited on"


@pytest.fixture
def following() -> Iterator[Callable[..., Following]]:
    """Start followers; they end with the test."""
    started: list[Following] = []

    def start(bus: MessageBus, since_id: str | None = None) -> Following:
        started.append(Following(bus, since_id))
        return started[-1]

    yield start
    for one in started:
        one.stop.set()
        one.thread.join(SECONDS)


class Script:
    """A watch that does the next step itself whenever the follower has read all there is."""

    def __init__(self, steps: Iterable[Callable[[], object]], stop: threading.Event) -> None:
        self._steps = iter(steps)
        self._stop = stop

    def mark(self) -> object:
        return None

    def wait(self, _mark: object, _timeout: float) -> bool:
        step = next(self._steps, None)
        if step is None:
            self._stop.set()
            return False
        step()
        return True

    def close(self) -> None:
        pass


@pytest.fixture
def script() -> type[Script]:
    """A watch that does the next step itself."""
    return Script


@pytest.fixture
def follow_through() -> Callable[..., list[Message]]:
    """What one follower delivers while the steps are done, each after it looked at the last."""

    def follow(path: Path, steps: Iterable[Callable[[], object]], since_id: str | None = None) -> list[Message]:
        stop = threading.Event()
        bus = MessageBus(path)
        bus._backend.watch = lambda: Script(steps, stop)  # type: ignore[method-assign, assignment, return-value]
        return list(bus.follow(since_id, stop=stop))

    return follow


@pytest.fixture
def descriptors() -> Callable[[], int]:
    """How many descriptors this process has open; what other tests left behind is gone by then."""
    gc.collect()
    return lambda: len(list(Path("/dev/fd").iterdir()))


@pytest.fixture
def inotify_turn(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Any]:
    """One test uses up this user's inotify instances; tests that need one wait for it."""
    place = tmp_path_factory.getbasetemp().parent / "inotify.lock"

    @contextmanager
    def turn(kind: int) -> Iterator[None]:
        with place.open("w") as held:
            fcntl.flock(held, kind)
            yield

    return turn
