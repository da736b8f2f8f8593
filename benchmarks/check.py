"""Checking a log, beside reading it."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.context import Bench, BenchmarkError, Log
from benchmarks.measure import interleave, ratios, spread
from benchmarks.table import Row
from messagebus import MessageBus, check_bus


def clean(bench: Bench) -> list[Row]:
    log = bench.log(bench.pick(100_000, 20_000))
    seconds = interleave(
        bench.pick(9, 3), {"check": lambda: _cpu(lambda: _check(log)), "read": lambda: _cpu(lambda: _read(log))}
    )
    speed, ratio = spread([log.size / value for value in seconds["check"]]), ratios(seconds["check"], seconds["read"])
    return [
        Row(
            f"check of {log.size:,} messages as agents write them",
            "<= 1.5x a full read",
            "-",
            f"{ratio.show('{:.2f}x')} its CPU time; {speed.show('{:,.0f}/s')}",
            ratio.median <= 1.5,
        )
    ]


def _cpu(operation: Callable[[], object]) -> float:
    """Seconds of CPU time that one call takes."""
    start = time.process_time()
    operation()
    return time.process_time() - start


def _check(log: Log) -> None:
    if findings := list(check_bus(log.path)):
        raise BenchmarkError(f"check found {findings[0]}")


def _read(log: Log) -> None:
    MessageBus(log.path).read_messages()
