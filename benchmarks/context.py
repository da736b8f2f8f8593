"""What each benchmark gets: how much to measure, where, and logs that are made once a run."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.baselines import draft
from benchmarks.table import Row
from messagebus import MessageBus

BATCH = 1_000  # messages in one append; they share a millisecond, so their ids differ only near the end
_SAMPLE = 1_000  # ids kept of each log


class BenchmarkError(Exception):
    """A benchmark failed to do what it measures."""


class Log(NamedTuple):
    """A bus made for reading, and some of its ids, in order and from all parts of it."""

    path: Path
    size: int
    ids: list[str]


class Bench:
    """One run: ``smoke`` asks for small numbers."""

    def __init__(self, root: Path, *, smoke: bool) -> None:
        self.smoke = smoke
        self._root = root
        self._logs: dict[int, Log] = {}

    def pick(self, full: int, smoke: int) -> int:
        """The number for this run."""
        return smoke if self.smoke else full

    @property
    def rounds(self) -> int:
        return self.pick(15, 3)

    @property
    def seconds(self) -> float:
        """How long each side is measured in each round."""
        return 0.05 if self.smoke else 0.25

    @contextmanager
    def directory(self) -> Iterator[Path]:
        """A temporary directory for one benchmark."""
        with tempfile.TemporaryDirectory(dir=self._root) as name:
            yield Path(name)

    def log(self, size: int) -> Log:
        """A log with that many messages, made once a run. Only read it."""
        if size not in self._logs:
            self._logs[size] = _write(self._root / f"{size}.md", size)
        return self._logs[size]

    def copy(self, size: int, target: Path) -> Path:
        """A copy of that log, to write to."""
        return Path(shutil.copyfile(self.log(size).path, target))


Benchmark = Callable[[Bench], list[Row]]


def _write(path: Path, size: int) -> Log:
    ids: list[str] = []
    with MessageBus(path) as bus:
        for done in range(0, size, BATCH):
            batch = bus.append_messages([draft() for _ in range(min(BATCH, size - done))])
            chosen = sorted(random.sample(range(len(batch)), max(1, _SAMPLE * len(batch) // max(size, _SAMPLE))))
            ids += [batch[index].msg_id for index in chosen]
    return Log(path, size, ids)
