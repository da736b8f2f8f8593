"""A client that follows no rules, and a check that it has changed nothing."""

from __future__ import annotations

import json
import logging
import os
import socket
import stat
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from patience import SECONDS

KEY = "correct-horse-battery-staple"
JSON = "Content-Type: application/json"


class Answer(NamedTuple):
    """A response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def said(self) -> str:
        """The whole response as text, to search for what must not be in it."""
        return f"{self.headers} {self.body.decode(errors='replace')}"


class Client:
    """Sends raw bytes."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.name = parts.netloc
        self._address = (parts.hostname, parts.port)
        self._open: list[socket.socket] = []

    def connect(self, *, buffer: int | None = None) -> socket.socket:
        """A connection; ``buffer``: bytes that the system may receive before we read."""
        connection = socket.socket()
        self._open.append(connection)
        if buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.settimeout(SECONDS)
        connection.connect(self._address)
        return connection

    def request(
        self, target: str, *headers: str, method: str = "GET", body: bytes | None = None, host: str | None = None
    ) -> bytes:
        """A request as it goes over the wire, the last one of its connection."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.name if host is None else host}", *headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + (body or b"")

    def begin(self, *args: Any, **options: Any) -> socket.socket:
        """Send a request without waiting for the response."""
        connection = self.connect()
        connection.sendall(self.request(*args, **options))
        return connection

    def ask(self, *args: Any, **options: Any) -> Answer:
        """Send a request; returns its response."""
        return self.send(self.request(*args, **options))

    def post(self, target: str, document: object, *headers: str, **options: Any) -> Answer:
        """Post valid JSON."""
        return self.ask(target, JSON, *headers, method="POST", body=json.dumps(document).encode(), **options)

    def send(self, *pieces: bytes) -> Answer:
        """Send these bytes; returns the first response."""
        connection = self.connect()
        try:
            for piece in pieces:
                connection.sendall(piece)
        except ConnectionError:
            pass  # it has heard enough; maybe it said why
        try:
            return self.answer(connection, method=pieces[0].partition(b" ")[0].decode("latin-1"))
        finally:
            connection.close()

    @staticmethod
    def answer(connection: socket.socket, method: str = "GET") -> Answer:
        """The next response on a connection."""
        response = HTTPResponse(connection, method=method)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        is_stream = headers.get("content-type", "").startswith("text/event-stream")
        return Answer(response.status, headers, b"" if is_stream else response.read())

    @staticmethod
    def all_of(connection: socket.socket) -> bytes:
        """All bytes until the server closes the connection."""
        data = bytearray()
        try:
            while piece := connection.recv(65536):
                data += piece
        except ConnectionError:
            pass
        return bytes(data)

    def close(self) -> None:
        for connection in self._open:
            connection.close()


@pytest.fixture
def client() -> Iterator[Callable[..., Client]]:
    """Clients of a server; their connections are closed with the test."""
    made: list[Client] = []

    def of(server: Any) -> Client:
        made.append(Client(server.url))
        return made[-1]

    yield of
    for one in made:
        one.close()


@pytest.fixture
def attacker(client: Callable[..., Client], served: Any) -> Client:
    """A client of a server in this process, which has no key."""
    return client(served)


@pytest.fixture(autouse=True)
def no_unexpected_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No attack may cause an unexpected error; a test that does so on purpose clears the log."""
    yield
    ours = [record for record in caplog.records if record.name in ("run_agent.server", "asyncio")]
    assert [record.getMessage() for record in ours if record.levelno >= logging.ERROR] == []


@pytest.fixture
def key() -> str:
    return KEY


def look(*tops: Path) -> dict[str, tuple[object, ...]]:
    """Everything in these directories, without following links: types, modes, sizes, times and contents."""
    found: dict[str, tuple[object, ...]] = {}
    for top in tops:
        for directory, names, files in os.walk(top):
            for path in (Path(directory, name) for name in (".", *names, *files)):
                status = path.lstat()
                kind = stat.S_IFMT(status.st_mode)
                content = {stat.S_IFLNK: os.readlink, stat.S_IFREG: Path.read_bytes}.get(kind, lambda _: b"")(path)
                found[str(path)] = (status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, content)
    return found


@pytest.fixture
def untouched(root: Path, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Call it to compare the root and its surroundings now with their state at the end of the test."""
    before: list[dict[str, tuple[object, ...]]] = []
    yield lambda: before.append(look(tmp_path))
    assert before, "the test did not say from when on nothing may change"
    assert look(tmp_path) == before[0]
