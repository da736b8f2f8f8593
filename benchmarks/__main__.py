"""``python -m benchmarks``: run the benchmarks and print their table.

A row that misses its goal says SHORT, which is no failure; the exit code is 1 only if a
benchmark itself failed.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NamedTuple

from benchmarks import (
    alternatives,
    append,
    archives,
    check,
    commands,
    follow,
    keys,
    many_buses,
    memory,
    page,
    read,
    server,
)
from benchmarks.context import Bench, Benchmark
from benchmarks.table import Row, as_markdown, as_text

BENCHMARKS: dict[str, Benchmark] = {
    "append-1": append.one_writer,
    "append-bare": append.beside_a_bare_loop,
    "append-4": append.four_writers,
    "append-8": append.eight_writers,
    "append-batch": append.batches,
    "append-alternatives": alternatives.appends,
    "fsync-1": append.one_writer_fsync,
    "fsync-8": append.eight_writers_fsync,
    "read-full": read.full,
    "iter-memory": memory.iterating,
    "read-since": read.since_tenth_last,
    "read-last": read.last_20,
    "read-random": read.random_cursors,
    "archives": archives.many,
    "check": check.clean,
    "keys": keys.held_bus,
    "follow": follow.follow,
    "fast-post": commands.fast_post,
    "cli-post": commands.post,
    "cli-read": commands.read,
    "cli-discover": commands.discover,
    "cli-filter": commands.filtered_read,
    "cli-key": commands.keyed_post,
    "sse-one-bus": server.one_bus,
    "sse-many-buses": server.many_buses,
    "sse-memory": server.idle_streams,
    "http-post": server.posts,
    "http-key": keys.http_posts,
    "http-list": server.long_lists,
    "http-event": server.post_to_event,
    "many-buses": many_buses.lists,
    "page": page.page,
}


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # clean up on SIGTERM too
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bus-benchmarks-") as directory:
        bench = Bench(Path(directory), smoke=options.smoke)
        chosen = [name for name in BENCHMARKS if not options.only or name in options.only]
        results = [_run(name, bench) for name in chosen]
    rows = [row for result in results for row in result.rows]
    print(_about(time.monotonic() - started, smoke=options.smoke))
    print(as_markdown(rows) if options.markdown else as_text(rows))
    return int(any(result.failed for result in results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed and memory beside baselines.")
    parser.add_argument("--smoke", action="store_true", help="use small numbers, to see that everything runs")
    parser.add_argument(
        "--only", nargs="+", choices=BENCHMARKS, metavar="NAME", help=f"run only these: {', '.join(BENCHMARKS)}"
    )
    parser.add_argument("--markdown", action="store_true", help="a Markdown table, for docs/performance.md")
    return parser.parse_args()


class _Result(NamedTuple):
    rows: list[Row]
    failed: bool


def _run(name: str, bench: Bench) -> _Result:
    """One benchmark; if it fails, a row that says how, so that the others still run."""
    print(f"{name} ...", end="", file=sys.stderr, flush=True)
    started = time.monotonic()
    try:
        result = _Result(BENCHMARKS[name](bench), failed=False)
    except Exception as error:  # noqa: BLE001 - any failure is shown in its row and by the exit code
        traceback.print_exc()
        result = _Result([Row(name, "", "", f"FAILED: {type(error).__name__}: {error}", None)], failed=True)
    print(f" {time.monotonic() - started:.1f} s", file=sys.stderr)
    return result


def _about(seconds: float, *, smoke: bool) -> str:
    """What was measured, and on which machine; one paragraph."""
    machine = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.system()}"
    sizes = " Small numbers: they show that everything runs, not how fast." if smoke else ""
    return f"{machine} {platform.machine()}, {os.cpu_count()} processors; {seconds:.0f} s in all.{sizes}\n"


if __name__ == "__main__":
    sys.exit(main())
