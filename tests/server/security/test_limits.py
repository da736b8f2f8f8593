"""Too many bytes, connections, streams and posts, and too much time (docs/security.md, S24 to S31).

Limits that are slow or costly to reach are lowered; another test compares the real ones with docs/security.md.
"""

from __future__ import annotations

import fcntl
import gc
import json
import resource
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import SECONDS

from messagebus import Draft, MessageBus
from run_agent.server import app as application
from run_agent.server import runner
from run_agent.server.middleware import limits

LIST = "/api/projects/demo/messages"
JSON = "Content-Type: application/json"
MIB = 2**20
POST = f"POST {LIST} HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\n".encode()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Raise the soft limit of descriptors, which is usually too low for these tests."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def document(size: int) -> bytes:
    """A post of this size in bytes."""
    return b'{"body":"' + b"x" * (size - 11) + b'"}'


def chunks(data: bytes, size: int = 60_000) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        piece = data[start : start + size]
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def test_the_limit_of_a_body(attacker: Any, bus: MessageBus) -> None:
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    for size, status in ((MIB - 1, 201), (MIB, 201), (MIB + 1, 413), (3 * MIB, 413)):
        body = document(size)
        assert attacker.send(POST + b"Content-Length: %d\r\n\r\n" % size, body).status == status
        assert attacker.send(chunked, *chunks(body)).status == status
        assert [message.body for message in bus.read_last_n(1)] == [json.loads(document(min(size, MIB)))["body"]]
    assert len(bus.read_messages()) == 4
    for size in (MIB + 1, 10**12, 10**19):  # what says so is not waited for
        answer = attacker.send(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % size)
        assert (answer.status, answer.json["error"]["code"]) == (413, "TOO_LARGE")


def test_the_limit_of_a_head(attacker: Any) -> None:
    def head(size: int, form: str) -> bytes:
        """A request of this size in bytes."""
        filled = size - len(attacker.request("/healthz", form.format("")))
        return attacker.request("/healthz", form.format("a" * filled))

    long_header, many_headers = "X: {}", "\r\n".join(f"X-{count}: y" for count in range(1000)) + "\r\nX: {}"
    for form in (long_header, many_headers):
        for size in (15_000, 16_300, 16_600, 20_000, 60_000, 200_000):
            data = head(size, form)
            for pieces in ([data], [data[start : start + 1000] for start in range(0, size, 1000)]):
                answer = attacker.send(*pieces)
                assert (answer.status == 200) == (size < 16_384), size
                assert answer.status in (200, 400)
    endless = attacker.connect()
    endless.sendall(b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 17_000)
    assert attacker.answer(endless).status == 400
    for target in ("/healthz?" + "a" * 17_000, "/" + "a" * 17_000):
        assert attacker.ask(target).json["error"]["code"] == "BAD_REQUEST"


def is_connected(connection: socket.socket, more: bytes, *, answered: bool) -> bool:
    """Send more on a connection; is it still open?"""
    try:
        connection.send(more)
        return not answered or bool(connection.recv(65536))
    except ConnectionError:
        return False


def test_a_request_must_arrive_in_time(
    served: Any, attacker: Any, bus: MessageBus, listen: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_REQUEST_TIMEOUT", 0.5)
    listener = listen(f"{served.url}{LIST}/stream")  # which is all there, and may stay
    half = POST + b"Content-Length: 1000\r\n\r\n{"
    refused = POST.replace(b"application/json", b"text/plain") + b"Transfer-Encoding: chunked\r\n\r\n"
    slow: dict[socket.socket, bytes] = {}  # what each keeps sending
    for begin, more in (
        (b"", b""), (b"GET", b""), (POST, b""), (half, b""), (b"", b"\r\n"), (b"GET /", b"a"), (half, b" "),
        (POST + b"X: ", b"a"), (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (refused, b"1000\r\n%4096d\r\n" % 0),
        (attacker.request("/healthz").replace(b"close", b"keep-alive") + b"GET /healthz HTTP/1.1\r\n", b"X"),
    ):  # fmt: skip
        opened = attacker.connect()
        opened.sendall(begin)
        slow[opened] = more
    deadline = time.monotonic() + SECONDS
    while slow:
        assert time.monotonic() < deadline, f"{len(slow)} are still connected"
        answered, _, _ = select.select(list(slow), [], [], 0.02)
        slow = {one: more for one, more in slow.items() if is_connected(one, more, answered=one in answered)}
    assert bus.read_messages() == []
    monkeypatch.undo()  # the rest must not depend on the speed of this machine
    assert attacker.post(LIST, {"body": "in time"}).status == 201
    assert listener.bodies(1) == ["in time"]


def test_the_limit_of_connections(
    served: Any, attacker: Any, monkeypatch: pytest.MonkeyPatch, patched: Any, eventually: Callable[..., Any]
) -> None:
    monkeypatch.setattr(limits, "_MAX_CONNECTIONS", 20)
    count = len(served._server.server_state.connections)
    silent = [attacker.connect() for _ in range(20 - count)]
    eventually(lambda: len(served._server.server_state.connections) == 20)
    for _ in range(5):
        answer = attacker.answer(attacker.connect())
        assert (answer.status, answer.json["error"]["code"]) == (503, "UNAVAILABLE")
        assert int(answer.headers["retry-after"]) > 0
    silent[0].sendall(attacker.request("/healthz"))  # existing connections keep working
    assert attacker.answer(silent[0]).status == 200
    assert eventually(lambda: attacker.answer(attacker.begin("/healthz")).status == 200)

    monkeypatch.setattr(limits, "_MAX_CONNECTIONS", 5_000)
    monkeypatch.setattr(limits, "resource", patched(resource, getrlimit=lambda _which: (30, 30)))
    assert attacker.answer(attacker.connect()).status == 503


@pytest.mark.usefixtures("many_descriptors")
def test_thousands_of_silent_connections(
    serve: Callable[..., Any], client: Callable[..., Any], bus: MessageBus, listen: Callable[..., Any]
) -> None:
    server = serve()
    attacker = client(server)
    most = min(3_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2 - 100)
    for count in range(most):
        attacker.connect().send(b"GET / HTTP/1.1\r\nX: "[: count % 18])
    listener = listen(f"{server.url}{LIST}/stream")
    for count in range(20):
        assert attacker.post(LIST, {"body": f"{count}"}).status == 201
    assert listener.bodies(20) == [f"{count}" for count in range(20)]
    assert "ERROR" not in "\n".join(server.log())


def test_the_limit_of_streams(
    serving: Callable[..., Any], client: Callable[..., Any], listen: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    server = serving(max_streams_per_bus=3, max_streams=5)
    attacker = client(server)
    streams = [f"/api/projects/{project}/messages/stream" for project in "abc"]

    def opened(target: str, count: int) -> list[Any]:
        return [listen(f"{server.url}{target}") for _ in range(count)]

    def is_refused(target: str) -> bool:
        answer = attacker.ask(target)
        return answer.status == 503 and int(answer.headers["retry-after"]) > 0

    first = opened(streams[0], 3)
    assert is_refused(streams[0])  # for its bus
    others = opened(streams[1], 2)
    assert all(map(is_refused, streams))  # for all
    others[0].close()
    eventually(lambda: not is_refused(streams[2]))
    assert is_refused(streams[0])
    first[0].close()
    eventually(lambda: not is_refused(streams[0]))
    for target in streams:
        assert attacker.ask(target, method="HEAD").status in (200, 503)  # takes no slot
    assert attacker.ask("/healthz").status == 200


@pytest.mark.usefixtures("many_descriptors")
def test_the_limit_of_waiting_posts(
    serving: Callable[..., Any], client: Callable[..., Any], bus: MessageBus, root: Path,
    eventually: Callable[..., Any], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(application, "_LOCK_TIMEOUT", 60.0)
    attacker = client(serving())
    bus.append_message(Draft("FACT", "demo", "there"))
    with (root / "demo/PROJECT-MESSAGE-BUS.md").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        posts = [attacker.connect() for _ in range(300)]
        for count, one in enumerate(posts):
            body = b'{"body": "%d"}' % count
            one.sendall(POST + b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))
        # 64 may be on their way already when 64 begin to wait.
        eventually(lambda: len(readable(posts)) >= 300 - 128)
        refused = readable(posts)
        assert attacker.post("/api/projects/other/messages", {"body": "x"}).status == 201
        assert attacker.ask(LIST).status == 200
    answers = {one: attacker.answer(one) for one in posts}
    assert {answers[one].status for one in refused} == {429}
    assert all(int(answers[one].headers["retry-after"]) > 0 for one in refused)
    statuses = Counter(answer.status for answer in answers.values())
    assert {*statuses} == {201, 429}
    assert statuses[201] >= 64
    stored = [int(message.body) for message in bus.read_messages()[1:]]
    assert sorted(stored) == [count for count, one in enumerate(posts) if answers[one].status == 201]


def readable(connections: list[socket.socket]) -> list[socket.socket]:
    """Those with something to read. (select() does not support descriptors over 1,023.)"""
    poll = select.poll()
    for one in connections:
        poll.register(one, select.POLLIN)
    ready = {descriptor for descriptor, _ in poll.poll(0)}
    return [one for one in connections if one.fileno() in ready]


def descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system keeps what it cannot send")
def test_a_stalled_reader_is_dropped(
    serving: Callable[..., Any], client: Callable[..., Any], bus: MessageBus, listen: Callable[..., Any],
    eventually: Callable[..., Any], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    bus.append_messages([Draft("FACT", "demo", "x" * 200_000) for _ in range(10)])
    assert runner._TCP_USER_TIMEOUT_MS == 60_000

    def stall(*targets: str) -> tuple[Any, list[Any], tuple[int, int, int]]:
        """A client that reads, others that do not, and what the server held before them."""
        server = serving(send_timeout=0.5, heartbeat=0.2)
        listener = listen(f"{server.url}{LIST}/stream")
        bus.append_message(Draft("FACT", "demo", "begin"))
        listener.until("begin")
        state, attacker = server._server.server_state, client(server)
        gc.collect()  # descriptors of buses of earlier tests may be closed at any time
        before = descriptors(), len(state.connections), len(state.tasks)
        for target in targets:
            one = attacker.connect(buffer=4096)
            one.sendall(attacker.request(target).replace(b"close", b"keep-alive"))
        eventually(lambda: len(state.connections) == before[1] + len(targets))
        for count in range(40):
            bus.append_message(Draft("FACT", "demo", f"{count}" + "x" * 100_000))
            assert listener.bodies(1)[0].startswith(f"{count}x")  # it is not kept waiting
        return state, listener, before

    # Their streams end, and with them all that is held for them, whatever the system does with the connections.
    state, listener, before = stall(*[f"{LIST}/stream"] * 3)
    eventually(lambda: len(state.tasks) == before[2])
    assert not listener.cut
    # And so do the connections, also where the server had said all.
    monkeypatch.setattr(runner, "_TCP_USER_TIMEOUT_MS", 500)
    state, listener, before = stall(*[f"{LIST}/stream"] * 3, *[LIST] * 3)
    eventually(lambda: (len(state.connections), len(state.tasks)) == before[1:])
    eventually(lambda: descriptors() == before[0] + 6)  # our ends of them
    assert not listener.cut
