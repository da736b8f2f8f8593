"""Lists of thousands of buses, asked of a running server."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

from benchmarks.context import Bench
from benchmarks.corpus import plain
from benchmarks.measure import duration, spread
from benchmarks.server import request, running, serve
from benchmarks.table import Row
from messagebus import MessageBus

_ACTIVITY = "/api/v1/activity"


def lists(bench: Bench) -> list[Row]:
    buses = bench.pick(3_000, 100)
    with bench.directory() as root:
        first = _fill(root, buses)
        with running(serve(root)) as server, closing(server.connect()) as connection:
            ask = partial(request, connection, "GET")
            ask("/api/v1/projects")
            projects = [1000 * duration(partial(ask, "/api/v1/projects")) for _ in range(bench.rounds)]
            polls = [_poll(connection, first) for _ in range(bench.rounds)]
            whole = len(ask(_ACTIVITY))
    times, sizes = [1000 * seconds for seconds, _ in polls], [size for _, size in polls]
    return [
        Row(
            f"/api/v1/projects, {buses:,} tasks",
            "<= 100 ms",
            "-",
            f"{spread(projects).show('{:.0f}')} ms",
            median(projects) <= 100,
        ),
        Row(
            f"/api/v1/activity?since=, {buses:,} buses, one changed",
            "<= 20 ms, and only what changed",
            "-",
            f"{spread(times).show('{:.0f}')} ms, {median(sizes):,.0f} bytes of {whole:,}",
            median(times) <= 20 and median(sizes) < 1000,
        ),
    ]


def _fill(root: Path, buses: int) -> Path:
    """That many tasks in ten projects; the path of one."""
    paths = [root / f"p{number % 10}" / f"task-{number}" / "TASK-MESSAGE-BUS.md" for number in range(buses)]
    for path in paths:
        path.parent.mkdir(parents=True)
        with MessageBus(path) as bus:
            bus.append_messages(plain(3))
    return paths[0]


def _poll(connection: http.client.HTTPConnection, path: Path) -> tuple[float, int]:
    """Seconds and bytes of an answer to a client that has missed one message."""
    token = json.loads(request(connection, "GET", f"{_ACTIVITY}?since="))["token"]
    with MessageBus(path) as bus:
        bus.append_messages(plain(1))
    answers: list[bytes] = []
    target = f"{_ACTIVITY}?{urlencode({'since': token})}"
    seconds = duration(lambda: answers.append(request(connection, "GET", target)))
    return seconds, len(answers[0])
