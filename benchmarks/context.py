"""What a run has in common: how much to measure, where, and the logs that rows share."""

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

BATCH = 1_000  # messages a batch; they get one millisecond, so their ids differ far behind
_SAMPLE = 1_000  # ids remembered of a log


class BenchmarkError(Exception):
    """A benchmark could not do what it measures."""


class Log(NamedTuple):
    """A bus made for reading, and some of its ids, in order and from all over it."""

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
        """How long one side is measured in one round."""
        return 0.05 if self.smoke else 0.25

    @contextmanager
    def directory(self) -> Iterator[Path]:
        """A directory of one benchmark's own, removed after it."""
        with tempfile.TemporaryDirectory(dir=self._root) as name:
            yield Path(name)

    def log(self, size: int) -> Log:
        """A log of so many messages, made once a run. Only read it."""
        if size not in self._logs:
            self._logs[size] = _write(self._root / f"{size}.md", size)
        return self._logs[size]

    def copy(self, size: int, target: Path) -> Path:
        """The same log, to write to."""
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
