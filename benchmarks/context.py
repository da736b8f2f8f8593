"""What each benchmark gets: how much to measure, where, and logs that are made once a run."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks import corpus
from benchmarks.table import Row
from messagebus import Draft, MessageBus

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
        self._logs: dict[tuple[str, int], Log] = {}

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

    def log(self, size: int, what: str = "corpus") -> Log:
        """A log with that many messages of this kind (``KINDS``), made once a run. Only read it."""
        if (what, size) not in self._logs:
            self._logs[what, size] = _write(self._root / f"{what}-{size}.md", size, KINDS[what]())
        return self._logs[what, size]

    def copy(self, size: int, target: Path) -> Path:
        """A copy of the corpus of that size, to write to."""
        return Path(shutil.copyfile(self.log(size).path, target))


Drafts = Callable[[int, Sequence[str]], list[Draft]]
# What a log may hold: for each kind, what makes the drafts of a batch from their number and earlier ids.
KINDS: dict[str, Callable[[], Drafts]] = {
    "corpus": lambda: corpus.Corpus().drafts,
    "plain": lambda: lambda count, _earlier: corpus.plain(count),
    "sender": lambda: lambda count, _earlier: corpus.with_sender(count),
    "parent": lambda: corpus.with_parent,
}
Benchmark = Callable[[Bench], list[Row]]


def _write(path: Path, size: int, drafts: Drafts) -> Log:
    ids: list[str] = []
    earlier: list[str] = []
    with MessageBus(path) as bus:
        for done in range(0, size, BATCH):
            earlier = [message.msg_id for message in bus.append_messages(drafts(min(BATCH, size - done), earlier))]
            ids += random.sample(earlier, max(1, _SAMPLE * len(earlier) // max(size, _SAMPLE)))
    return Log(path, size, sorted(ids))
