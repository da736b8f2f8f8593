"""Commands as whole processes, beside an interpreter that only imports what they need; and a post from bash."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from threading import Timer

from benchmarks.baselines import BODY
from benchmarks.cli import ROOT, command, environment, shim
from benchmarks.context import Bench, BenchmarkError
from benchmarks.measure import Spread, duration, interleave, percentile, ratios, spread
from benchmarks.table import Row

_TIMEOUT = 60.0  # seconds
_FAST_POST = ROOT / "examples" / "fast-post.sh"
_FAST_POST_LOOP = r"""
set -euo pipefail
source "$1"
fast_post_start --bus "$2" --project demo
fast_post FACT "$4" > "$2.ids"
for ((i = 0; i < $3; i++)); do
    start=${EPOCHREALTIME/[.,]/}
    fast_post FACT "$4" >> "$2.ids"
    echo $((${EPOCHREALTIME/[.,]/} - start))
done
fast_post_stop
"""


def fast_post(bench: Bench) -> list[Row]:
    row = partial(Row, "a post from bash through fast-post.sh", "p50 <= 1 ms until the id is back", "2.9 ms a process")
    if note := _old_bash():
        return [row(note, None)]
    with bench.directory() as directory:
        times = _fast_post_times(directory, bench.pick(1000, 50))
    p50, p99 = percentile(times, 50), percentile(times, 99)
    return [row(f"p50 {p50:.2f} ms, p99 {p99:.2f} ms ({min(times):.2f}..{max(times):.2f})", p50 <= 1)]


def _old_bash() -> str:
    bash = shutil.which("bash")
    if not bash:
        return "skipped: bash is not installed"
    version = subprocess.run([bash, "-c", "echo $BASH_VERSION"], stdout=subprocess.PIPE, check=True, text=True).stdout
    return "" if int(version.partition(".")[0]) >= 5 else f"skipped: bash {version.strip()} has no EPOCHREALTIME"


def _fast_post_times(directory: Path, posts: int) -> list[float]:
    """Milliseconds of each post, measured by the shell that posts."""
    bus = directory / "bus.md"
    arguments = [str(part) for part in (_FAST_POST, bus, posts, BODY)]
    done = subprocess.run(
        ["bash", "-c", _FAST_POST_LOOP, "fast-post", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=shim(directory), check=True, text=True, timeout=_TIMEOUT,
    )  # fmt: skip
    ids = re.findall(r"MSG-\w+", Path(f"{bus}.ids").read_text())
    times = [int(line) / 1000 for line in done.stdout.split()]
    if len(set(ids)) != posts + 1 or len(times) != posts:
        raise BenchmarkError(f"fast-post.sh gave {len(ids)} ids and {len(times)} times for {posts} posts")
    return times


def post(bench: Bench) -> list[Row]:
    with bench.directory() as directory:
        arguments = ("--bus", directory / "bus.md", "--project", "demo", "--type", "FACT", "--body", BODY)
        return [_row(bench, 1.25, "click, portalocker, ulid", "post", *arguments)]


def read(bench: Bench) -> list[Row]:
    return [_row(bench, 1.4, "click", "read", "--bus", bench.log(1000).path, "--tail", "20")]


def discover(bench: Bench) -> list[Row]:
    with bench.directory() as directory:
        (directory / "MESSAGE-BUS.md").touch()
        return [_row(bench, 1.4, "click", "discover", "--from", directory)]


def _row(bench: Bench, most: float, imports: str, verb: str, *arguments: str | Path) -> Row:
    row = partial(Row, f"`run-agent bus {verb}`, whole process", f"<= {most}x `python -c 'import {imports}'`", "-")
    ours, theirs, ratio = _beside_imports(bench, imports, command("bus", verb, *arguments))
    measured = f"{ratio.show('{:.2f}x')}; {1000 * ours:.0f} ms, imports {1000 * theirs:.0f} ms"
    return row(measured, ratio.median <= most)


def _beside_imports(bench: Bench, imports: str, ours: list[str]) -> tuple[float, float, Spread]:
    """Median seconds of the command and of the imports, and the ratio; three starts in each round."""
    tries = bench.pick(3, 1)
    rounds = interleave(
        bench.pick(11, 2),
        {
            "command": lambda: median(duration(_run(ours)) for _ in range(tries)),
            "imports": lambda: median(
                duration(_run([sys.executable, "-c", f"import {imports}"])) for _ in range(tries)
            ),
        },
    )
    ratio = ratios(rounds["command"], rounds["imports"])
    return spread(rounds["command"]).median, spread(rounds["imports"]).median, ratio


def _run(arguments: list[str]) -> Callable[[], None]:
    def run() -> None:
        nothing = subprocess.DEVNULL
        process = subprocess.Popen(arguments, stdin=nothing, stdout=nothing, env=environment())
        # Waiting with a timeout would poll every 50 ms, which would dominate the result.
        watchdog = Timer(_TIMEOUT, process.kill)
        watchdog.start()
        try:
            if process.wait():
                raise BenchmarkError(f"{arguments} ended with {process.returncode}")
        finally:
            watchdog.cancel()

    return run
