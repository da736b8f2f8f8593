"""Many listeners in one process, on plain sockets: what reached the last of them, and when."""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from benchmarks.context import BenchmarkError

_TICK = re.compile(rb"tick (\d+) ([\d.]+)")
_PATIENCE = 60.0  # seconds without anything new: something is lost


def tick(number: int, moment: float) -> str:
    """The body of a message that can be recognised and timed."""
    return f"tick {number} {moment:.6f}"


def connect(url: str) -> socket.socket:
    """A listener whose headers have come."""
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port or 80), timeout=_PATIENCE)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        data = connection.recv(4096)
        if not data:
            raise BenchmarkError(f"{url} closed the connection before its headers")
        head += data
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise BenchmarkError(f"{url} answered {head[:80]!r}")
    return connection


class Audience:
    """Listeners that should all see the messages 0 to ``count`` - 1, in order."""

    def __init__(self, urls: Iterable[str]) -> None:
        self._connections = [connect(url) for url in urls]

    def listen(self, count: int, step: int = 1) -> list[float]:
        """Seconds from the moment in each message until the last listener had it.

        ``step``: each listener sees every ``step``-th message only, from one of its own on.
        Raises BenchmarkError where a listener missed one or was given it twice.
        """
        reached: dict[int, float] = {}
        expected = dict.fromkeys(self._connections, -1)
        missing = len(self._connections) * (count // step)
        rest = dict.fromkeys(self._connections, b"")
        with selectors.DefaultSelector() as selector:
            for connection in self._connections:
                selector.register(connection, selectors.EVENT_READ)
            while missing:
                ready = selector.select(_PATIENCE)
                if not ready:
                    raise BenchmarkError(f"{missing:,} messages did not come")
                for key, _ in ready:
                    listener: socket.socket = key.fileobj  # type: ignore[assignment]
                    text, _, rest[listener] = (rest[listener] + listener.recv(1 << 20)).rpartition(b"\n")
                    now = time.monotonic()
                    for number, moment in _TICK.findall(text):
                        missing -= 1
                        _check_order(expected, listener, int(number), step)
                        reached[int(number)] = max(reached.get(int(number), 0.0), now - float(moment))
        return [reached[number] for number in sorted(reached)]

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


def _check_order(expected: dict[socket.socket, int], listener: socket.socket, number: int, step: int) -> None:
    if expected[listener] not in (-1, number):
        raise BenchmarkError(f"message {number} came where {expected[listener]} was next")
    expected[listener] = number + step
