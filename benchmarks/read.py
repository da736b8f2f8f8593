"""Reading: whole logs, from a cursor, and the newest messages."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from functools import partial
from statistics import median

from benchmarks.baselines import connect, fill
from benchmarks.context import Bench, BenchmarkError, Log
from benchmarks.measure import duration, interleave, ratios, spread
from benchmarks.table import Row
from messagebus import MessageBus

_SMALL = 1_000
Read = Callable[[MessageBus], object]


def full(bench: Bench) -> list[Row]:
    """Plain messages beside SQLite's rows, and messages as agents write them beside plain ones."""
    size = bench.pick(100_000, 20_000)
    logs = {name: bench.log(size, name) for name in ("plain", "sender", "parent", "corpus")}
    with bench.directory() as directory, closing(connect(directory / "sqlite")) as database:
        fill(database, size)
        sides = {name: partial(duration, partial(_read_all, log)) for name, log in logs.items()}
        sides["sqlite"] = partial(duration, lambda: database.execute("SELECT * FROM messages").fetchall())
        rounds = interleave(bench.pick(9, 3), sides)
    plain = rounds["plain"]
    share = ratios(rounds["sqlite"], plain)
    speed = spread([size / seconds for seconds in plain])
    rows = [
        Row(
            f"full read, {size:,} plain messages",
            ">= 0.5x SQLite's rows as tuples",
            "57,000/s",
            f"{share.show('{:.2f}x')}; {speed.show('{:,.0f}/s')}",
            share.median >= 0.5,
        )
    ]
    for name, what in (("sender", "with a sender"), ("parent", "with a sender and a parent"), ("corpus", "as agents")):
        ratio = ratios(rounds[name], plain)
        measured = f"{ratio.show('{:.2f}x')}; {size / spread(rounds[name]).median:,.0f}/s"
        goal = "<= 2x the time of plain ones" if name != "corpus" else "-"
        rows.append(Row(f"the same, {what}", goal, "-", measured, ratio.median <= 2 if name != "corpus" else None))
    return rows


def _read_all(log: Log) -> None:
    found = len(MessageBus(log.path).read_messages())
    if found != log.size:
        raise BenchmarkError(f"read {found:,} of {log.size:,} messages")


def since_tenth_last(bench: Bench) -> list[Row]:
    def reads(log: Log) -> list[Read]:
        cursor = MessageBus(log.path).read_last_n(10)[0].msg_id
        return [lambda bus: bus.read_messages(cursor)] * bench.pick(100, 10)

    return [_at_both_sizes(bench, "read since the 10th-last id", reads, "1,743 ms at 100,000")]


def last_20(bench: Bench) -> list[Row]:
    def reads(_: Log) -> list[Read]:
        return [lambda bus: bus.read_last_n(20)] * bench.pick(100, 10)

    return [_at_both_sizes(bench, "read_last_n(20)", reads, "3.1 ms at 100,000")]


def random_cursors(bench: Bench) -> list[Row]:
    def reads(log: Log) -> list[Read]:
        cursors = random.sample(log.ids[: -len(log.ids) // 20], bench.pick(200, 20))
        return [partial(_read_ten, cursor) for cursor in cursors]

    return [_at_both_sizes(bench, "10 messages from random cursors", reads, "-")]


def _read_ten(cursor: str, bus: MessageBus) -> None:
    bus.read_messages(cursor, first=10)


def _at_both_sizes(bench: Bench, what: str, reads: Callable[[Log], list[Read]], go: str) -> Row:
    """Time the same reads in a small and in a big log, each with a new bus object, which has cached nothing."""

    def one_round(log: Log, calls: list[Read]) -> float:
        return 1e6 * median(duration(partial(call, MessageBus(log.path))) for call in calls)

    logs = {size: bench.log(size) for size in (_SMALL, bench.pick(1_000_000, 20_000))}
    rounds = interleave(bench.rounds, {f"{size:,}": partial(one_round, log, reads(log)) for size, log in logs.items()})
    small, big = rounds.values()
    ratio, time = ratios(big, small), spread(big)
    return Row(
        f"{what}, at {' and '.join(rounds)} messages",
        "<= 2x the time at 1,000, and <= 1 ms",
        go,
        f"{ratio.show('{:.2f}x')}; {spread(small).median:.0f} and {time.median:.0f} us",
        ratio.median <= 2 and time.median <= 1000,
    )
