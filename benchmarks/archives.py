"""Reading a log of many archives, beside one of a few: at most eight are looked at by a reader."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.context import Bench
from benchmarks.corpus import plain
from benchmarks.measure import duration, interleave, ratios, spread
from benchmarks.table import Row
from messagebus import MessageBus

_FEW = 16
_REST = 0.1  # seconds until a directory that has just changed is remembered

Read = Callable[[MessageBus], object]


def many(bench: Bench) -> list[Row]:
    """With a bus object held open, as by a follower, which reads on from a cursor at each wake."""
    archives = bench.pick(1_538, 50)
    with bench.directory() as directory:
        buses = {number: _log(directory / str(number), number) for number in (_FEW, archives)}
        time.sleep(_REST)
        cursor = {number: bus.read_last_n(3)[0].msg_id for number, bus in buses.items()}
        reads: dict[str, Callable[[int], Read]] = {
            "the newest message": lambda _: lambda bus: bus.read_last_n(1),
            "from a cursor": lambda number: lambda bus: bus.read_messages(cursor[number]),
        }
        rows = [_row(bench, what, archives, buses, read) for what, read in reads.items()]
        for bus in buses.values():
            bus.close()
    return rows


def _log(directory: Path, archives: int) -> MessageBus:
    directory.mkdir()
    bus = MessageBus(directory / "bus.md", auto_rotate_bytes=1)
    for draft in plain(archives + 1):
        bus.append_message(draft)
    bus.append_messages(plain(10))
    return bus


def _row(bench: Bench, what: str, archives: int, buses: dict[int, MessageBus], read: Callable[[int], Read]) -> Row:
    def one_round(number: int) -> float:
        return 1e6 * median(duration(partial(read(number), buses[number])) for _ in range(bench.pick(200, 20)))

    rounds = interleave(bench.rounds, {str(number): partial(one_round, number) for number in buses})
    few, much = rounds.values()
    ratio = ratios(much, few)
    times = " and ".join(f"{spread(values).median:.0f}" for values in (few, much))
    measured = f"{ratio.show('{:.2f}x')}; {times} us"
    return Row(f"read {what}, beside {_FEW} and {archives:,} archives", "<= 1.2x", "-", measured, ratio.median <= 1.2)
