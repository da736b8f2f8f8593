"""The server is killed, interrupted and stopped under load, and restarted: listeners that resume after
their last id miss and repeat nothing, and each post is stored once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from patience import SECONDS

from messagebus import MessageBus

POST = "/api/projects/demo/messages"
STREAM = f"{POST}/stream"

Eventually = Callable[[Callable[[], Any]], Any]


class Reconnecting(threading.Thread):
    """A listener that reconnects when it is cut off, as an EventSource does, until the end."""

    def __init__(self, sse: Any, url: str, first: str) -> None:
        super().__init__()
        self.bodies: list[str] = []
        self.connections = 0
        self._sse = sse
        self._url = url
        self._last_id = first
        self.start()

    def run(self) -> None:
        while "end" not in self.bodies[-1:]:
            try:
                with self._sse.Listener(self._url, last_id=self._last_id) as listener:
                    self.connections += 1
                    self._take(listener)
            except OSError:
                threading.Event().wait(0.02)  # the server is restarting

    def _take(self, listener: Any) -> None:
        try:
            while "end" not in self.bodies[-1:]:
                event = listener.next()
                assert event.type == "message"
                self.bodies.append(event.json["body"])
                self._last_id = event.last_id
        except EOFError:
            pass


def post_all(url: str, bodies: list[str]) -> None:
    """Post each body until it gets a response, with an idempotency key of its own."""
    with httpx.Client(base_url=url, timeout=SECONDS) as client:
        for body in bodies:
            while True:
                try:
                    answer = client.post(POST, json={"body": body}, headers={"Idempotency-Key": body})
                except httpx.TransportError:
                    continue
                assert answer.status_code in (201, 503), answer.text
                if answer.status_code == 201:
                    break


def test_kill_9_under_load(
    serve: Callable[..., Any],
    keep_port: Callable[[], str],
    sse: Any,
    root: Path,
    eventually: Eventually,
    tally: Callable[..., None],
) -> None:
    port = keep_port()
    server = serve("--rotate-bytes", "20000", port=port)
    first = server.client.post(POST, json={"body": "first"}).json()["msg_id"]
    bodies = [str(number) for number in range(400)]
    clients = [Reconnecting(sse, server.url + STREAM, first) for _ in range(4)]
    poster = threading.Thread(target=post_all, args=(server.url, bodies))
    poster.start()
    for kills in range(1, 4):
        eventually(lambda kills=kills: min(len(one.bodies) for one in clients) > kills * 100)
        server.kill()
        server = serve("--rotate-bytes", "20000", port=port)
    poster.join()
    post_all(server.url, ["end"])
    for client in clients:
        client.join()
    with MessageBus(root / "demo/PROJECT-MESSAGE-BUS.md") as bus:
        stored = bus.read_messages(first)
    assert [message.body for message in stored] == [*bodies, "end"]
    assert all(message.intact for message in stored)
    assert len(list((root / "demo").glob("*.archived"))) > 2
    for client in clients:
        assert client.bodies == [*bodies, "end"]
        assert client.connections >= 3
        tally("a message to a stream of a killed server", 401, lost=401 - len({*client.bodies}))


@pytest.mark.parametrize(("sig", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_under_load(
    serve: Callable[..., Any], listen: Callable[..., Any], root: Path, eventually: Eventually, sig: int, code: int
) -> None:
    """Streams end as complete responses, with complete events; posts are either stored completely or not at all."""
    server = serve()
    acknowledged: list[str] = []

    def post(writer: int) -> None:
        with httpx.Client(base_url=server.url, timeout=SECONDS) as client:
            for number in range(100_000):
                try:
                    answer = client.post(POST, json={"body": f"{writer}/{number} {'x' * 2_000}"})
                except httpx.TransportError:
                    return
                assert answer.status_code == 201
                acknowledged.append(answer.json()["msg_id"])

    listeners = [listen(server.url + STREAM) for _ in range(20)]
    others = [listen(f"{server.url}/api/projects/demo/tasks/t{number}/messages/stream") for number in range(10)]
    writers = [threading.Thread(target=post, args=(writer,)) for writer in range(3)]
    for writer in writers:
        writer.start()
    eventually(lambda: len(acknowledged) > 100)
    server.process.send_signal(sig)
    ends = [[event.last_id for event in listener.rest()] for listener in listeners]
    assert all(listener.ended and not listener.cut for listener in listeners)
    assert [listener.rest() for listener in others] == [[]] * 10
    assert all(listener.ended for listener in others)
    assert server.process.wait(SECONDS) == code
    for writer in writers:
        writer.join()
    with MessageBus(root / "demo/PROJECT-MESSAGE-BUS.md") as bus:
        stored = bus.read_messages()
        assert not bus.unfinished
    ids = [message.msg_id for message in stored]
    assert all(message.intact for message in stored)
    assert {*acknowledged} <= {*ids}
    for end in ends:
        start = ids.index(end[0])
        assert end == ids[start : start + len(end)], "no gap to the end"


@pytest.mark.parametrize(("sig", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_right_after_the_start(serve: Callable[..., Any], root: Path, sig: int, code: int) -> None:
    root.mkdir()
    for _ in range(3):
        server = serve()
        assert server.kill(sig) == code
        assert server.log() == []


def test_a_stalled_client_does_not_delay_shutdown(
    serve: Callable[..., Any], listen: Callable[..., Any], root: Path, eventually: Eventually
) -> None:
    server = serve()
    slow = listen(server.url + STREAM, buffer=4096)
    fast = listen(server.url + STREAM)
    bodies = [f"{number} {'x' * 500_000}" for number in range(20)]
    for body in bodies:
        assert server.client.post(POST, json={"body": body}).status_code == 201
        assert fast.bodies(1) == [body]
    assert server.kill(signal.SIGTERM) == 0
    assert fast.rest() == []
    assert fast.ended
    assert len(slow.rest()) < len(bodies)
    assert slow.cut
    assert len(MessageBus(root / "demo/PROJECT-MESSAGE-BUS.md").read_messages()) == len(bodies)


def test_no_new_streams_during_shutdown(
    serving: Callable[..., Any], listen: Callable[..., Any], error_of: Callable[..., Any]
) -> None:
    """They would have to be cut off."""
    server = serving()
    server.app.state.end_streams()
    answer = server.client.get(STREAM)
    assert error_of(answer)[:2] == (503, "UNAVAILABLE")
    assert answer.headers["Retry-After"] == "1"
