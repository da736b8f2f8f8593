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

from benchmarks.cli import ROOT, command, environment, shim
from benchmarks.context import Bench, BenchmarkError
from benchmarks.corpus import BODY
from benchmarks.measure import duration, interleave, percentile, ratios, spread
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
        return [_beside_click(bench, "post", *_post(directory / "bus.md"))]


def read(bench: Bench) -> list[Row]:
    return [_beside_click(bench, "read", "--bus", bench.log(1000).path, "--tail", "20")]


def discover(bench: Bench) -> list[Row]:
    with bench.directory() as directory:
        (directory / "MESSAGE-BUS.md").touch()
        return [_beside_click(bench, "discover", "--from", directory)]


def filtered_read(bench: Bench) -> list[Row]:
    """A type that no message has: every one must be looked at."""
    log = bench.log(bench.pick(50_000, 5_000))
    bus = command("bus", "read", "--bus", log.path)
    what = f"`run-agent bus read --type T`, none of {log.size:,} messages"
    return [_beside(bench, what, 2, "`bus read` of one message", [*bus, "--type", "NONE"], [*bus, "--tail", "1"])]


def keyed_post(bench: Bench) -> list[Row]:
    size = bench.pick(50_000, 5_000)
    with bench.directory() as directory:
        post = command("bus", "post", *_post(bench.copy(size, directory / "bus.md")))
        ours = [*post, "--idempotency-key", "an-hour-ago"]
        return [
            _beside(bench, f"`bus post --idempotency-key`, {size:,} messages in a day", 1.3, "`bus post`", ours, post)
        ]


def _post(bus: Path) -> list[str | Path]:
    return ["--bus", bus, "--project", "demo", "--type", "FACT", "--body", BODY]


def _beside_click(bench: Bench, verb: str, *arguments: str | Path) -> Row:
    what, goal = f"`run-agent bus {verb}`, whole process", "`python -c 'import click'`"
    return _beside(bench, what, 1.5, goal, command("bus", verb, *arguments), [sys.executable, "-c", "import click"])


def _beside(bench: Bench, what: str, most: float, than: str, ours: list[str], theirs: list[str]) -> Row:
    """One process beside another; the median of three starts in each round."""
    tries = bench.pick(3, 1)
    sides = {"ours": _run(ours), "theirs": _run(theirs)}
    rounds = interleave(
        bench.pick(11, 2),
        {name: lambda run=run: median(duration(run) for _ in range(tries)) for name, run in sides.items()},  # type: ignore[misc]
    )
    ratio = ratios(rounds["ours"], rounds["theirs"])
    times = [1000 * spread(rounds[name]).median for name in sides]
    measured = f"{ratio.show('{:.2f}x')}; {times[0]:.0f} and {times[1]:.0f} ms"
    return Row(what, f"<= {most}x {than}", "-", measured, ratio.median <= most)


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
