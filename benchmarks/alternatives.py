"""What else one could use, appended to from one process: each append waits for its acknowledgement.

Redis and NATS are measured if their servers are installed (Debian: redis-server, nats-server). They are started
here, listen on loopback and keep their files in the benchmark's directory. The benchmark speaks their protocols
itself, so that no client library is measured.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from benchmarks.baselines import OPENERS, Append, Opener, row
from benchmarks.context import Bench, BenchmarkError
from benchmarks.corpus import BODY
from benchmarks.measure import interleave, rate, ratios, spread
from benchmarks.table import Row

_START_TIMEOUT = 20.0  # seconds
_FIELDS = ("ts", "type", "project_id", "task_id", "run_id", "body")


def appends(bench: Bench) -> list[Row]:
    """The bus beside each alternative, as a ratio."""
    with bench.directory() as directory, ExitStack() as stack:
        sides = {name: stack.enter_context(opener(directory / name)) for name, opener in _installed().items()}
        rounds = interleave(
            bench.rounds, {name: partial(rate, append, bench.seconds) for name, append in sides.items()}
        )
    return [
        Row(
            f"append, 1 writer: the bus beside {name}",
            "-",
            "-",
            f"{ratios(rounds['bus'], values).show('{:.2f}x')}; {name} {spread(values).median:,.0f}/s",
            None,
        )
        for name, values in rounds.items()
        if name != "bus"
    ]


@contextmanager
def jsonl(path: Path) -> Iterator[Append]:
    """A line of JSON under flock: no ids, no recovery, no check that the file is still there."""

    def append() -> None:
        line = json.dumps(dict(zip(_FIELDS, row(), strict=True))).encode() + b"\n"
        fcntl.flock(file, fcntl.LOCK_EX)
        os.write(file.fileno(), line)
        fcntl.flock(file, fcntl.LOCK_UN)

    with path.open("ab", buffering=0) as file:
        yield append


@contextmanager
def maildir(path: Path) -> Iterator[Append]:
    """One file for each message: written in ``tmp``, then renamed into ``new``."""
    count = 0

    def append() -> None:
        nonlocal count
        count += 1
        name = f"{time.time_ns()}.{os.getpid()}_{count}"
        with (path / "tmp" / name).open("w") as file:
            file.write("\n".join((*row()[:-1], "", BODY)))
        (path / "tmp" / name).rename(path / "new" / name)

    for part in ("tmp", "new"):
        (path / part).mkdir(parents=True)
    yield append


@contextmanager
def redis(path: Path) -> Iterator[Append]:
    """XADD to a stream; appended to a file by the server, which flushes it once a second."""
    path.mkdir()
    options = ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--dir", str(path)]
    with _server(lambda port: ["redis-server", "--bind", "127.0.0.1", "--port", str(port), *options]) as connection:

        def append() -> None:
            parts = ["XADD", "bus", "*", *(part for pair in zip(_FIELDS, row(), strict=True) for part in pair)]
            data = f"*{len(parts)}\r\n" + "".join(f"${len(part.encode())}\r\n{part}\r\n" for part in parts)
            connection.sendall(data.encode())
            _expect(connection, b"$")

        yield append


@contextmanager
def nats(path: Path) -> Iterator[Append]:
    """A publish to a JetStream stream in a file, and its acknowledgement."""

    def request(subject: str, payload: bytes) -> bytes:
        connection.sendall(b"PUB %b _INBOX.1 %d\r\n%b\r\n" % (subject.encode(), len(payload), payload))
        return _expect(connection, b"MSG ")

    def append() -> None:
        request("bus", json.dumps(dict(zip(_FIELDS, row(), strict=True))).encode())

    command = ["nats-server", "--jetstream", "--addr", "127.0.0.1", "--store_dir", str(path)]
    with _server(lambda port: [*command, "--port", str(port)]) as connection:
        connection.sendall(b'CONNECT {"verbose":false}\r\nSUB _INBOX.1 1\r\nPING\r\n')
        _expect(connection, b"PONG")
        made = request("$JS.API.STREAM.CREATE.bus", b'{"name":"bus","subjects":["bus"],"storage":"file"}')
        if b'"error"' in made:
            raise BenchmarkError(f"JetStream did not create a stream: {made!r}")
        yield append


def _installed() -> dict[str, Opener]:
    sides: dict[str, Opener] = {"bus": OPENERS["bus"], "sqlite": OPENERS["sqlite"], "jsonl": jsonl, "maildir": maildir}
    servers: dict[str, Opener] = {"redis": redis, "nats": nats}
    return sides | {name: opener for name, opener in servers.items() if shutil.which(f"{name}-server")}


@contextmanager
def _server(command: Callable[[int], list[str]]) -> Iterator[socket.socket]:
    """A server on a free port of loopback, and a connection to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = subprocess.Popen(command(port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with _connected(port, process) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield connection
    finally:
        process.terminate()
        process.wait()


def _connected(port: int, process: subprocess.Popen[bytes]) -> socket.socket:
    deadline = time.monotonic() + _START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=_START_TIMEOUT)
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise BenchmarkError(f"{process.args!r} did not start")


def _expect(connection: socket.socket, start: bytes) -> bytes:
    """The answer, up to the end of a line; answers to earlier requests may precede it."""
    answer = b""
    while start not in answer or not answer.endswith(b"\r\n"):
        data = connection.recv(65536)
        if not data or b"-ERR" in answer:
            raise BenchmarkError(f"unexpected answer: {answer + data!r}")
        answer += data
    return answer
