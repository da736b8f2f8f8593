"""Writer processes that run through all rounds; each keeps the file of every side open."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from benchmarks.baselines import OPENERS, Append
from benchmarks.context import BenchmarkError

_TIMEOUT = 60.0  # seconds
_LEAD_TIME = 0.02  # seconds until every writer knows when to start


class Burst(NamedTuple):
    """What several writers did at the same time: appends per second, and the seconds of each append."""

    rate: float
    latencies: list[float]


class Writers:
    """Writer processes, each at the other end of a pipe."""

    def __init__(self, pipes: list[Connection]) -> None:
        self._pipes = pipes

    def write(self, side: str, seconds: float, writers: int | None = None) -> Burst:
        """Let the first ``writers`` of them (None: all) append for ``seconds``."""
        pipes = self._pipes[:writers]
        start = time.monotonic() + _LEAD_TIME
        for pipe in pipes:
            pipe.send((side, start, start + seconds))
        latencies = [latency for pipe in pipes for latency in _answer(pipe)]
        return Burst(len(latencies) / seconds, latencies)


@contextmanager
def start_writers(writers: int, paths: Mapping[str, Path]) -> Iterator[Writers]:
    """That many processes that append to ``paths``, by the names of ``baselines.OPENERS``."""
    _make(paths)
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    try:
        for _ in range(writers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, dict(paths)), daemon=True)
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        for pipe in pipes:
            _answer(pipe)
        yield Writers(pipes)
    finally:
        for pipe in pipes:
            pipe.close()  # which ends a writer that waits for work
        for process in processes:
            process.join(2)
            process.kill()
            process.join()


def _make(paths: Mapping[str, Path]) -> None:
    """Make each file in one process: SQLite's busy timeout does not cover several that switch to WAL."""
    for side, path in paths.items():
        with OPENERS[side](path):
            pass


def _answer(pipe: Connection) -> list[float]:
    if not pipe.poll(_TIMEOUT):
        raise BenchmarkError(f"a writer process did nothing for {_TIMEOUT:.0f} s")
    try:
        answer: list[float] = pipe.recv()
    except EOFError:
        raise BenchmarkError("a writer process died; see its error above") from None
    return answer


def _work(pipe: Connection, paths: Mapping[str, Path]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes the pipe
    with ExitStack() as stack:
        appends = {side: stack.enter_context(OPENERS[side](path)) for side, path in paths.items()}
        pipe.send([])
        with suppress(EOFError, BrokenPipeError):  # the parent has closed the pipe, or died
            while True:
                side, start, end = pipe.recv()
                time.sleep(max(start - time.monotonic(), 0))
                pipe.send(_append_until(appends[side], end))


def _append_until(append: Append, end: float) -> list[float]:
    latencies: list[float] = []
    now = time.monotonic()
    while now < end:
        append()
        before, now = now, time.monotonic()
        latencies.append(now - before)
    return latencies
