"""An EventSource written to the HTML standard, over a bare socket: it reads only when asked, so that a
test can be a slow client, and it knows whether a stream ended or was cut.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from patience import SECONDS

_LINE_END = re.compile(rb"\r\n|\n|\r")


class Event(NamedTuple):
    """An event as a page would get it; ``last_id`` is what it would send when it reconnects."""

    type: str
    data: str
    last_id: str

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class Parser:
    """Parses bytes into events."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_first = True
        self._type = ""
        self._data: list[str] = []
        self.last_id = ""
        self.retry: int | None = None

    def feed(self, data: bytes) -> Iterator[Event]:
        self._rest += data
        if self._is_first and len(self._rest) >= 3:
            self._is_first = False
            self._rest = self._rest.removeprefix(b"\xef\xbb\xbf")
        while found := _LINE_END.search(self._rest):
            if found[0] == b"\r" and found.end() == len(self._rest):
                return  # an LF may follow
            line, self._rest = self._rest[: found.start()], self._rest[found.end() :]
            if line:
                self._field(*line.decode("utf-8", "replace").partition(":"))
            elif event := self._dispatch():
                yield event

    def _field(self, name: str, _colon: str, value: str) -> None:
        value = value.removeprefix(" ")
        if name == "event":
            self._type = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self.last_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value)

    def _dispatch(self) -> Event | None:
        event = Event(self._type or "message", "\n".join(self._data), self.last_id) if self._data else None
        self._type, self._data = "", []
        return event


class Listener:
    """One connection to a stream."""

    def __init__(
        self, url: str, headers: Mapping[str, str] | None = None, *, last_id: str = "", buffer: int | None = None
    ) -> None:
        """``buffer``: bytes that the system may receive before we read. Raises OSError if nothing listens."""
        self.parser = Parser()
        self.ended = False  # all of the answer has come
        self.cut = False  # the connection is gone, and it had not
        self.heartbeats = 0
        self._events: deque[Event] = deque()
        self._data = b""
        self._left = 0  # bytes of the chunk that is coming
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        try:
            self._ask(url, {**(headers or {}), **({"Last-Event-ID": last_id} if last_id else {})})
            self.status, self.headers = self._head()
        except BaseException:
            self.close()
            raise

    def next(self, timeout: float = SECONDS) -> Event:
        """The next event; heartbeats are only counted. Raises EOFError after the last one."""
        deadline = time.monotonic() + timeout
        while not self._events:
            if self.ended or self.cut:
                raise EOFError
            self._read(deadline)
        return self._events.popleft()

    def bodies(self, count: int) -> list[str]:
        """The bodies of the next messages."""
        return [self._body(self.next()) for _ in range(count)]

    def until(self, body: str) -> list[str]:
        """The bodies of the next messages up to that one."""
        found = [self._body(self.next())]
        while found[-1] != body:
            found.append(self._body(self.next()))
        return found

    def rest(self) -> list[Event]:
        """All remaining events, until the stream ends."""
        events = []
        while True:
            try:
                events.append(self.next())
            except EOFError:
                return events

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def _body(event: Event) -> str:
        assert event.type == "message", event
        return str(event.json["body"])

    def _ask(self, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self._socket.settimeout(SECONDS)
        self._socket.connect((parts.hostname, parts.port))
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        sent = {"Host": parts.netloc, "Accept": "text/event-stream", **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        self._socket.sendall(f"GET {target} HTTP/1.1\r\n{head}\r\n".encode())

    def _head(self) -> tuple[int, dict[str, str]]:
        while b"\r\n\r\n" not in self._data:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("no answer")
            self._data += data
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}

    def _read(self, deadline: float) -> None:
        if self._take_chunks():
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("nothing came")
        self._socket.settimeout(left)
        try:
            data = self._socket.recv(65536)
        except ConnectionError:
            data = b""
        self._data += data
        self.cut = not data

    def _take_chunks(self) -> bool:
        """Parse what has arrived of the chunked body; was there anything?"""
        took = False
        while self._data and not self.ended:
            if self._left > 2:
                data, self._data = self._data[: self._left - 2], self._data[self._left - 2 :]
                self._left -= len(data)
                self._take(data)
            elif self._left and len(self._data) >= self._left:
                self._data, self._left = self._data[self._left :], 0
            elif not self._left and b"\r\n" in self._data:
                size, _, self._data = self._data.partition(b"\r\n")
                self._left = int(size, 16) + 2
                self.ended = self._left == 2
            else:
                return took
            took = True
        return took

    def _take(self, data: bytes) -> None:
        for event in self.parser.feed(data):
            if event.type == "heartbeat":
                self.heartbeats += 1
            else:
                self._events.append(event)
