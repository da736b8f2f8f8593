"""Writer processes that stay up through the rounds, each with a file of every side open."""

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

_PATIENCE = 60.0  # seconds: a writer that says nothing for so long is broken
_HEAD_START = 0.02  # seconds until everybody has heard when to begin


class Burst(NamedTuple):
    """What some writers did at the same time: appends a second, seconds of each append."""

    rate: float
    latencies: list[float]


class Crew:
    """Writers at the other ends of these pipes."""

    def __init__(self, pipes: list[Connection]) -> None:
        self._pipes = pipes

    def write(self, side: str, seconds: float, writers: int | None = None) -> Burst:
        """Let the first so many of them (None: all) append for so long."""
        pipes = self._pipes[:writers]
        begin = time.monotonic() + _HEAD_START
        for pipe in pipes:
            pipe.send((side, begin, begin + seconds))
        latencies = [latency for pipe in pipes for latency in _answer(pipe)]
        return Burst(len(latencies) / seconds, latencies)


@contextmanager
def crew(writers: int, paths: Mapping[str, Path]) -> Iterator[Crew]:
    """So many processes that append to ``paths``, by the names of ``peers.OPENERS``."""
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
        yield Crew(pipes)
    finally:
        for pipe in pipes:
            pipe.close()  # which ends a writer that listens
        for process in processes:
            process.join(2)
            process.kill()
            process.join()


def _make(paths: Mapping[str, Path]) -> None:
    """Each file once, by one process: SQLite's busy timeout does not cover a switch to WAL by several."""
    for side, path in paths.items():
        with OPENERS[side](path):
            pass


def _answer(pipe: Connection) -> list[float]:
    if not pipe.poll(_PATIENCE):
        raise BenchmarkError(f"a writer process did nothing for {_PATIENCE:.0f} s")
    try:
        answer: list[float] = pipe.recv()
    except EOFError:
        raise BenchmarkError("a writer process died; its error stands above") from None
    return answer


def _work(pipe: Connection, paths: Mapping[str, Path]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes the pipe
    with ExitStack() as stack:
        appends = {side: stack.enter_context(OPENERS[side](path)) for side, path in paths.items()}
        pipe.send([])
        with suppress(EOFError, BrokenPipeError):  # the parent has gone, or has had enough
            while True:
                side, begin, end = pipe.recv()
                time.sleep(max(begin - time.monotonic(), 0))
                pipe.send(_append_until(appends[side], end))


def _append_until(append: Append, end: float) -> list[float]:
    latencies: list[float] = []
    now = time.monotonic()
    while now < end:
        append()
        then, now = now, time.monotonic()
        latencies.append(now - then)
    return latencies
