"""Memory: what reading a long log through ``iter_messages`` adds to the process.

Measured in a process of its own, which runs this module. On Linux it is the peak that the kernel keeps for the
address space: ``ru_maxrss`` survives ``exec``, so it would start at the peak of the parent process and hide what is
measured.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

from benchmarks.cli import environment
from benchmarks.context import Bench, BenchmarkError
from benchmarks.measure import spread
from benchmarks.table import Row
from messagebus import MessageBus

_STATUS = Path("/proc/self/status")


def iterating(bench: Bench) -> list[Row]:
    log = bench.log(bench.pick(1_000_000, 20_000))
    added = spread([_added(log.path, log.size) for _ in range(bench.pick(3, 1))])
    return [
        Row(
            f"iter_messages, {log.size:,} messages",
            "peak memory + <= 30 MiB",
            "+ 142 MiB at 100,000",
            f"+ {added.show('{:.1f}')} MiB",
            added.median <= 30,
        )
    ]


def _added(path: Path, size: int) -> float:
    """MiB by which the peak rises."""
    command = [sys.executable, "-m", "benchmarks.memory", str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment(), check=True, text=True)
    count, before, after = map(int, done.stdout.split())
    if count != size:
        raise BenchmarkError(f"iterated over {count:,} of {size:,} messages")
    return (after - before) / 2**20


def _peak() -> int:
    """The peak memory of this process, in bytes."""
    if _STATUS.exists() and (found := re.search(r"VmHWM:\s*(\d+) kB", _STATUS.read_text())):
        return 1024 * int(found[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _iterate(path: str) -> None:
    bus = MessageBus(path)
    before = _peak()
    count = sum(1 for _ in bus.iter_messages())
    print(count, before, _peak())


if __name__ == "__main__":
    _iterate(sys.argv[1])
