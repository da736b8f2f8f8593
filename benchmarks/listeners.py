"""Many clients of streams in one process, on plain sockets: when each message reached the last of them."""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from benchmarks.context import BenchmarkError

_TIMED_BODY = re.compile(rb"tick (\d+) ([\d.]+)")
_TIMEOUT = 60.0  # seconds without anything new


def timed_body(number: int, moment: float) -> str:
    """A body that a listener recognises, with the moment from which its delay is counted."""
    return f"tick {number} {moment:.6f}"


def connect(url: str) -> socket.socket:
    """A connection to a stream whose response headers have been read."""
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port or 80), timeout=_TIMEOUT)
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


class Listeners:
    """Clients that must all get the messages 0 to ``count`` - 1, in order."""

    def __init__(self, urls: Iterable[str]) -> None:
        self._connections = [connect(url) for url in urls]

    def listen(self, count: int, step: int = 1) -> list[float]:
        """Seconds from the moment in each message until the last listener had it.

        ``step``: each listener gets only every ``step``-th message, from a first one of its own on.
        Raises BenchmarkError if a listener misses a message or gets it twice.
        """
        reached: dict[int, float] = {}
        expected = dict.fromkeys(self._connections, -1)
        missing = len(self._connections) * (count // step)
        rest = dict.fromkeys(self._connections, b"")
        with selectors.DefaultSelector() as selector:
            for connection in self._connections:
                selector.register(connection, selectors.EVENT_READ)
            while missing:
                ready = selector.select(_TIMEOUT)
                if not ready:
                    raise BenchmarkError(f"{missing:,} messages did not arrive")
                for key, _ in ready:
                    listener: socket.socket = key.fileobj  # type: ignore[assignment]
                    text, _, rest[listener] = (rest[listener] + listener.recv(1 << 20)).rpartition(b"\n")
                    now = time.monotonic()
                    for number, moment in _TIMED_BODY.findall(text):
                        missing -= 1
                        _check_order(expected, listener, int(number), step)
                        reached[int(number)] = max(reached.get(int(number), 0.0), now - float(moment))
        return [reached[number] for number in sorted(reached)]

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


def _check_order(expected: dict[socket.socket, int], listener: socket.socket, number: int, step: int) -> None:
    if expected[listener] not in (-1, number):
        raise BenchmarkError(f"got message {number} instead of {expected[listener]}")
    expected[listener] = number + step
