"""Appending: beside SQLite, beside raw loops, alone and with others, with and without fsync."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from benchmarks import baselines
from benchmarks.context import Bench
from benchmarks.measure import Rounds, interleave, percentile, rate, ratios, spread
from benchmarks.table import Row
from benchmarks.writers import start_writers
from messagebus import MessageBus

_BATCH = 500


@contextmanager
def _sides(bench: Bench, *names: str) -> Iterator[dict[str, Callable[[], float]]]:
    """A measurement of each side's rate; the files stay open throughout."""
    with bench.directory() as directory, ExitStack() as stack:
        appends = {name: stack.enter_context(baselines.OPENERS[name](directory / name)) for name in names}
        yield {name: partial(rate, append, bench.seconds) for name, append in appends.items()}


def _rates(rounds: Rounds) -> str:
    return ", ".join(f"{name} {spread(values).median:,.0f}/s" for name, values in rounds.items())


def one_writer(bench: Bench) -> list[Row]:
    with _sides(bench, "bus", "sqlite", "raw flock") as sides:
        rounds = interleave(bench.rounds, sides)
    ratio = ratios(rounds["bus"], rounds["sqlite"])
    return [
        Row(
            "append, 1 writer, no fsync",
            ">= 0.9x SQLite NORMAL (aim: 1.1x)",
            "0.53x",
            f"{ratio.show('{:.2f}x')}; {_rates(rounds)}",
            ratio.median >= 0.9,
        )
    ]


def beside_a_bare_loop(bench: Bench) -> list[Row]:
    """By the best of all rounds: what else runs on the machine only adds to a time."""
    names = ("bare loop", "bus", "bus, as agents")
    with _sides(bench, *names) as sides:
        rounds = interleave(2 * bench.rounds, sides)
    bare, plain, rich = (1e6 / max(rounds[name]) for name in names)
    return [
        Row(what, f"<= {most}x", "-", f"{time / bare:.2f}x; {time:.1f} us, bare {bare:.1f} us", time <= most * bare)
        for what, most, time in (
            ("append, 1 writer, beside a bare loop", 1.6, plain),
            ("the same with a sender and a parent", 2.0, rich),
        )
    ]


def _writers(bench: Bench, writers: int, least: float, go: str) -> list[Row]:
    latencies: dict[str, list[float]] = {"bus": [], "sqlite": []}

    def burst(side: str) -> float:
        appends = processes.write(side, bench.seconds)
        latencies[side] += appends.latencies
        return appends.rate

    with (
        bench.directory() as directory,
        start_writers(writers, {side: directory / side for side in latencies}) as processes,
    ):
        rounds = interleave(bench.rounds, {side: partial(burst, side) for side in latencies})
    ratio = ratios(rounds["bus"], rounds["sqlite"])
    p99 = {side: 1000 * percentile(values, 99) for side, values in latencies.items()}
    return [
        Row(
            f"append, {writers} writer processes",
            f">= {least}x SQLite NORMAL with as many; p99 <= 2 ms",
            go,
            f"{ratio.show('{:.2f}x')}; {_rates(rounds)}; p99 {p99['bus']:.2f} ms (SQLite: {p99['sqlite']:.1f})",
            ratio.median >= least and p99["bus"] <= 2,
        )
    ]


def four_writers(bench: Bench) -> list[Row]:
    return _writers(bench, 4, 1.0, "0.57x; p99 2.6 ms")


def eight_writers(bench: Bench) -> list[Row]:
    return _writers(bench, 8, 0.9, "0.57x; p99 10.2 ms")


def batches(bench: Bench) -> list[Row]:
    with _sides(bench, "sqlite") as sides, bench.directory() as directory, MessageBus(directory / "bus") as bus:
        drafts = [baselines.draft() for _ in range(_BATCH)]  # SQLite's row is made beforehand as well
        append = partial(rate, lambda: bus.append_messages(drafts), bench.seconds / 2)
        rounds = interleave(bench.rounds, {"bus": lambda: _BATCH * append(), **sides})
    ratio = ratios(rounds["bus"], rounds["sqlite"])
    return [
        Row(
            f"append_messages, {_BATCH} a batch",
            ">= 3.2x SQLite's one-row rate",
            "-",
            f"{ratio.show('{:.2f}x')}; {_rates(rounds)}",
            ratio.median >= 3.2,
        )
    ]


def one_writer_fsync(bench: Bench) -> list[Row]:
    with _sides(bench, "bus fsync", "raw fsync") as sides:
        rounds = interleave(bench.rounds, sides)
    ratio = ratios(rounds["bus fsync"], rounds["raw fsync"])
    return [
        Row(
            "append with fsync, 1 writer",
            ">= 0.65x a raw write+fdatasync loop",
            "0.75x",
            f"{ratio.show('{:.2f}x')}; {_rates(rounds)}",
            ratio.median >= 0.65,
        )
    ]


def eight_writers_fsync(bench: Bench) -> list[Row]:
    def side(name: str, writers: int) -> float:
        return processes.write(name, bench.seconds, writers).rate

    names = ("bus fsync", "raw flock fsync")
    with bench.directory() as directory, start_writers(8, {name: directory / name for name in names}) as processes:
        rounds = interleave(bench.rounds, {f"{name} {n}": partial(side, name, n) for name in names for n in (8, 1)})
    ratio, raw = (ratios(rounds[f"{name} 8"], rounds[f"{name} 1"]) for name in names)
    together, alone = (spread(rounds[f"bus fsync {n}"]).median for n in (8, 1))
    return [
        Row(
            "append with fsync, 8 writers",
            ">= 1.7x one writer",
            "1.0x",
            f"{ratio.show('{:.2f}x')}; {together:,.0f}/s, one {alone:,.0f}/s; raw flock loops {raw.median:.2f}x",
            ratio.median >= 1.7,
        )
    ]
