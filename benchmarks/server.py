"""The server beside a bare Starlette endpoint that makes up its messages (``baseline_server.py``).

A delay is counted from the moment in the body until a listener has the message: for our server that is the
moment before the POST, for the bare endpoint the moment when the message is due.
"""

from __future__ import annotations

import http.client
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from benchmarks.cli import command, environment
from benchmarks.context import Bench, BenchmarkError
from benchmarks.listeners import Listeners, timed_body
from benchmarks.measure import duration, interleave, percentile, ratios, spread
from benchmarks.table import Row

_RATE = 100  # posts a second
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Server(NamedTuple):
    """A running server."""

    url: str
    pid: int

    def resident(self) -> int:
        """Its resident memory, in bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE

    def connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


@contextmanager
def running(arguments: list[str]) -> Iterator[Server]:
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(), text=True
    ) as process:
        try:
            first = process.stdout.readline().split() if process.stdout else []
            url = next((word for word in first if word.startswith("http")), "")
            if not url:
                raise BenchmarkError("the server did not print its URL")
            yield Server(url, process.pid)
        finally:
            process.kill()


def serve(root: Path) -> list[str]:
    return command("serve", "--root", root, "--port", "0")


def _bare() -> list[str]:
    return [sys.executable, "-m", "benchmarks.baseline_server"]


def messages_path(project: str) -> str:
    return f"/api/projects/{project}/messages"


def request(
    connection: http.client.HTTPConnection, method: str, path: str, body: object = None, **headers: str
) -> bytes:
    """The body of the answer. Raises BenchmarkError for a failure."""
    data = None if body is None else json.dumps(body)
    connection.request(method, path, data, headers | ({"Content-Type": "application/json"} if data else {}))
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= 300:
        raise BenchmarkError(f"{method} {path} answered {answer.status}: {text[:200]!r}")
    return text


# --- many listeners --------------------------------------------------------------------------


def _our_delays(bench: Bench, buses: int, listeners: int, count: int) -> list[float]:
    """Seconds from each POST until the last listener of its bus had the message."""
    paths = [messages_path(f"p{number}") for number in range(buses)]
    with bench.directory() as root, running(serve(root)) as server:
        urls = [f"{server.url}{path}/stream" for path in paths for _ in range(listeners)]
        with closing(Listeners(urls)) as clients:
            poster = threading.Thread(target=_post_all, args=(server, paths, count), daemon=True)
            poster.start()
            delays = clients.listen(count, step=buses)
            poster.join()  # it still has to read the answer to its last post
            return delays


def _post_all(server: Server, paths: list[str], count: int) -> None:
    with closing(server.connect()) as connection:
        start = time.monotonic()
        for number in range(count):
            time.sleep(max(start + number / _RATE - time.monotonic(), 0))
            request(connection, "POST", paths[number % len(paths)], {"body": timed_body(number, time.monotonic())})


def _bare_delays(listeners: int, count: int) -> list[float]:
    with running(_bare()) as server, closing(Listeners([f"{server.url}/stream"] * listeners)) as clients:
        with closing(server.connect()) as connection:
            request(connection, "POST", f"/go?rate={_RATE}&count={count}")
        return clients.listen(count)


def _p99_ms(delays: Callable[[], list[float]]) -> float:
    return 1000 * percentile(delays(), 99)


def one_bus(bench: Bench) -> list[Row]:
    listeners, count = bench.pick(1_000, 20), bench.pick(300, 20)
    sides = {
        "ours": partial(_p99_ms, partial(_our_delays, bench, 1, listeners, count)),
        "bare": partial(_p99_ms, partial(_bare_delays, listeners, count)),
    }
    rounds = interleave(bench.pick(3, 1), sides)
    ratio = ratios(rounds["ours"], rounds["bare"])
    p99 = {side: spread(values).median for side, values in rounds.items()}
    return [
        Row(
            f"POST -> the last of {listeners:,} streams on one bus, {_RATE} posts/s, all in order",
            "p99 <= 5x a bare Starlette endpoint's",
            "-",
            f"{ratio.show('{:.2f}x')}; p99 {p99['ours']:,.0f} ms, bare {p99['bare']:,.0f} ms",
            ratio.median <= 5,
        )
    ]


def many_buses(bench: Bench) -> list[Row]:
    buses, count = bench.pick(200, 4), bench.pick(600, 20)
    delays = _our_delays(bench, buses, 5, count)
    p50, p99 = (1000 * percentile(delays, percent) for percent in (50, 99))
    return [
        Row(
            f"POST -> the last of 5 streams, on {buses} buses, {_RATE} posts/s in all, all in order",
            "-",
            "-",
            f"p50 {p50:.1f} ms, p99 {p99:.1f} ms",
            None,
        )
    ]


def idle_streams(bench: Bench) -> list[Row]:
    listeners = bench.pick(1_000, 20)
    with bench.directory() as root, running(serve(root)) as ours, running(_bare()) as bare:
        request(ours.connect(), "POST", messages_path("p"), {"body": "makes the bus"})
        kib = {
            name: _added_kib(server, f"{server.url}{path}/stream", listeners)
            for name, server, path in (("ours", ours, messages_path("p")), ("bare", bare, ""))
        }
    measured = f"{kib['ours']:.0f} KiB, bare {kib['bare']:.0f} KiB"
    return [Row(f"memory of an idle stream, of {listeners:,}", "-", "-", measured, None)]


def _added_kib(server: Server, url: str, listeners: int) -> float:
    with closing(Listeners([url])):
        before = server.resident()
        with closing(Listeners([url] * listeners)):
            time.sleep(1)  # until each is waiting
            return (server.resident() - before) / listeners / 1024


# --- requests --------------------------------------------------------------------------------


def posts(bench: Bench) -> list[Row]:
    body = json.dumps({"body": 100 * "x"})
    with bench.directory() as root, running(serve(root)) as ours, running(_bare()) as bare:
        sides = {"ours": (ours, messages_path("p")), "bare": (bare, "/post")}
        rounds = interleave(
            bench.pick(7, 2),
            {name: partial(_post_rate, *side, body, 4 * bench.seconds) for name, side in sides.items()},
        )
    ratio = ratios(rounds["ours"], rounds["bare"])
    rates = ", ".join(f"{name} {spread(values).median:,.0f}/s" for name, values in rounds.items())
    return [Row("POSTs over 8 connections", "-", "-", f"{ratio.show('{:.2f}x')} a bare endpoint's; {rates}", None)]


def _post_rate(server: Server, path: str, body: str, seconds: float) -> float:
    parts = urlsplit(server.url)
    request = (
        f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    done = 0
    with selectors.DefaultSelector() as selector:
        for _ in range(8):
            connection = socket.create_connection((parts.hostname, parts.port or 80))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(request)
            selector.register(connection, selectors.EVENT_READ)
        start = now = time.monotonic()
        while now < start + seconds:
            for key, _ in selector.select(1):
                client: socket.socket = key.fileobj  # type: ignore[assignment]
                answer = client.recv(65536)
                if b"msg_id" in answer:  # the body may arrive after the headers
                    done += 1
                    client.sendall(request)
                elif b" 201 " not in answer:
                    raise BenchmarkError(f"a POST was answered {answer[:100]!r}")
            now = time.monotonic()
        for key in list(selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
    return done / (now - start)


def long_lists(bench: Bench) -> list[Row]:
    sizes = (10_000, bench.pick(1_000_000, 20_000))
    with bench.directory() as root:
        for size in sizes:
            (root / f"p{size}").mkdir()
            os.link(bench.log(size).path, root / f"p{size}/PROJECT-MESSAGE-BUS.md")
        with running(serve(root)) as server, closing(server.connect()) as connection:
            sides = {
                str(size): partial(
                    duration, partial(request, connection, "GET", f"{messages_path(f'p{size}')}?limit=5000")
                )
                for size in sizes
            }
            rounds = interleave(bench.rounds, sides)
    small, large = (rounds[str(size)] for size in sizes)
    ratio = ratios(large, small)
    times = " and ".join(f"{1000 * spread(values).median:.0f}" for values in (small, large))
    return [
        Row(
            f"a list of 5,000, at {sizes[0]:,} and {sizes[1]:,} messages",
            f"<= 2x the time at {sizes[0]:,}",
            "-",
            f"{ratio.show('{:.2f}x')}; {times} ms",
            ratio.median <= 2,
        )
    ]


def post_to_event(bench: Bench) -> list[Row]:
    size = bench.pick(100_000, 20_000)
    with bench.directory() as root:
        (root / "long").mkdir()
        bench.copy(size, root / "long/PROJECT-MESSAGE-BUS.md")
        with running(serve(root)) as server:
            rounds = interleave(
                bench.pick(5, 1),
                {project: partial(_event_ms, server, project, bench.pick(50, 5)) for project in ("long", "empty")},
            )
    ratio = ratios(rounds["long"], rounds["empty"])
    times = ", ".join(f"{project} {spread(values).median:.1f} ms" for project, values in rounds.items())
    return [
        Row(
            f"POST -> event, on a bus of {size:,} and an empty one",
            "<= 2x the time on an empty bus",
            "2 s",
            f"{ratio.show('{:.2f}x')}; {times}",
            ratio.median <= 2,
        )
    ]


def _event_ms(server: Server, project: str, count: int) -> float:
    """The median time from a POST to its event, for posts one after another."""
    path = messages_path(project)
    delays = []
    with closing(server.connect()) as connection:
        newest = json.loads(request(connection, "POST", path, {"body": "the first cursor"}))["msg_id"]
        clients = Listeners([f"{server.url}{path}/stream?after={newest}"])
        for _ in range(count):
            body = timed_body(0, time.monotonic())
            request(connection, "POST", path, {"body": body})
            delays += clients.listen(1)
        clients.close()
    return 1000 * percentile(delays, 50)
