"""Following: how soon ``run-agent bus read --follow`` prints a message, and what waiting costs."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.baselines import draft
from benchmarks.cli import environment
from benchmarks.context import Bench, BenchmarkError
from benchmarks.measure import percentile
from benchmarks.table import Row
from messagebus import MessageBus

_TIMEOUT = 30.0  # seconds
_GOAL = "p50 <= 5 ms, p99 <= 25 ms"
_WHAT = "append -> line of `read --follow` in a pipe"


class Follower:
    """A running ``read --follow --json``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def next_id(self) -> str:
        """The id on the next line; a follower that prints none within the timeout is killed."""
        stdout = self._process.stdout
        timer = threading.Timer(_TIMEOUT, self._process.kill)
        timer.start()
        try:
            line = stdout.readline() if stdout else ""
        finally:
            timer.cancel()
        if not line:
            raise BenchmarkError(f"`bus read --follow` printed no line within {_TIMEOUT:.0f} s, or ended")
        return str(json.loads(line)["msg_id"])

    def cpu_seconds(self) -> float:
        """Processor time used so far, by all of its threads."""
        stat = Path(f"/proc/{self._process.pid}/stat")
        if not stat.exists():
            return _cpu_by_ps(self._process.pid)
        user, system = stat.read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / 100  # USER_HZ


def _cpu_by_ps(pid: int) -> float:
    shown = subprocess.run(["ps", "-o", "time=", "-p", str(pid)], stdout=subprocess.PIPE, check=True, text=True).stdout
    seconds = 0.0
    for part in shown.replace("-", ":").split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


@contextmanager
def _following(path: Path) -> Iterator[Follower]:
    arguments = ["bus", "read", "--bus", path, "--follow", "--json", "--tail", "1"]
    command = [sys.executable, "-m", "run_agent", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(), text=True) as process:
        try:
            yield Follower(process)
        finally:
            process.kill()


def follow(bench: Bench) -> list[Row]:
    size = bench.pick(100_000, 20_000)
    with bench.directory() as directory:
        path = bench.copy(size, directory / "bus.md")
        with _following(path) as follower, MessageBus(path) as bus:
            follower.next_id()  # of --tail 1: now it follows
            time.sleep(0.5)
            share = _idle_share(follower, bench.pick(6, 1))
            latencies = [_latency(follower, bus) for _ in range(bench.pick(300, 20))]
    return [_latency_row(latencies), _idle_row(share, size)]


def _idle_share(follower: Follower, seconds: float) -> float:
    """Percent of one processor used while no one posts."""
    before, start = follower.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    return 100 * (follower.cpu_seconds() - before) / (time.monotonic() - start)


def _latency(follower: Follower, bus: MessageBus) -> float:
    """Milliseconds from calling append until the line is read. The pause before lets the follower wait again."""
    time.sleep(random.uniform(0.002, 0.03))
    start = time.perf_counter()
    sent = bus.append_message(draft()).msg_id
    got = follower.next_id()
    latency = 1000 * (time.perf_counter() - start)
    if got != sent:
        raise BenchmarkError(f"`bus read --follow` printed {got} after {sent} was posted")
    return latency


def _latency_row(latencies: list[float]) -> Row:
    p50, p99 = percentile(latencies, 50), percentile(latencies, 99)
    measured = f"p50 {p50:.2f} ms, p99 {p99:.2f} ms ({min(latencies):.2f}..{max(latencies):.2f})"
    return Row(_WHAT, _GOAL, "250 ms", measured, p50 <= 5 and p99 <= 25)


def _idle_row(share: float, size: int) -> Row:
    return Row(
        f"idle CPU of that follower, {size:,} messages", "< 1 %", "88 %", f"{share:.2f} % of one processor", share < 1
    )
