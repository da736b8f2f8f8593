"""Shared by the tests of the server: servers, in this process and in their own, and listeners.

A real uvicorn answers in both. In this process it is quick to start and its parts can be replaced;
as a process of its own it can be killed, and has signals, a log and an exit code.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import uvicorn.server
from patience import SECONDS

from messagebus import Draft, MessageBus
from run_agent.server import create_app, runner

HOME = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "run_agent"]


class Serving:
    """An application under uvicorn in a thread of this process."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._listener = runner.listen("127.0.0.1", 0)
        self.url = runner.address_of(self._listener)
        self._is_ready = threading.Event()
        self._server = runner.make_server(app, self._ready)
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],))
        self._thread.start()
        assert self._is_ready.wait(SECONDS)
        self.client = httpx.Client(base_url=self.url, timeout=SECONDS)

    def _ready(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._is_ready.set()

    def start_shutdown(self) -> None:
        self._server.should_exit = True
        self.loop.call_soon_threadsafe(self.app.state.end_streams)

    def has_ended(self) -> bool:
        self._thread.join(SECONDS)
        return not self._thread.is_alive()


class Process:
    """``run-agent serve`` as a process of its own; its log goes to a file."""

    def __init__(self, root: Path, log: Path, *options: str, **environment: str) -> None:
        self._log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [*PROGRAM, "serve", "--root", str(root), *options],
                stdout=subprocess.PIPE,
                stderr=file,
                env={**os.environ, "PYTHONPATH": str(HOME), **environment},
                text=True,
            )
        assert self.process.stdout
        self.greeting = self.process.stdout.readline()
        assert self.greeting.startswith("Serving "), log.read_text()
        self.url = self.greeting.split(" at ")[1].split()[0]

    @cached_property
    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=SECONDS)

    @property
    def port(self) -> str:
        return self.url.rpartition(":")[2]

    def log(self) -> list[str]:
        return self._log.read_text().splitlines()

    def kill(self, sig: int = signal.SIGKILL) -> int:
        """Send a signal; returns the exit code."""
        self.process.send_signal(sig)
        return self.process.wait(SECONDS)

    def end(self) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait(SECONDS)
        assert self.process.stdout
        self.process.stdout.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The directory of all projects; made by the first post."""
    return tmp_path / "runs"


@pytest.fixture
def serving(
    root: Path, monkeypatch: pytest.MonkeyPatch, patched: Callable[..., Any]
) -> Iterator[Callable[..., Serving]]:
    """Start servers in this process, of ``create_app(root, **options)`` or of what ``wrap`` makes of it."""
    # uvicorn looks every tenth of a second whether it should end; each test waits for the end of its servers.
    sleep = asyncio.sleep
    monkeypatch.setattr(uvicorn.server, "asyncio", patched(asyncio, sleep=lambda seconds: sleep(seconds / 10)))
    started: list[Serving] = []

    def start(wrap: Callable[[Any], Any] = lambda ours: ours, **options: Any) -> Serving:
        ours = create_app(root, **options)
        app = wrap(ours)
        app.state.end_streams = ours.state.end_streams
        started.append(Serving(app))
        return started[-1]

    yield start
    for server in started:
        server.client.close()
        server.start_shutdown()
    assert all(server.has_ended() for server in started)


@pytest.fixture
def served(serving: Callable[..., Serving]) -> Serving:
    """A server in this process."""
    return serving()


@pytest.fixture
def api(served: Serving) -> httpx.Client:
    """A client of that server."""
    return served.client


@pytest.fixture
def serve(root: Path, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start ``run-agent serve`` processes, by default on a free port."""
    started: list[Process] = []

    def start(*options: str, port: str = "0", **environment: str) -> Process:
        started.append(Process(root, tmp_path / "serve.log", "--port", port, *options, **environment))
        return started[-1]

    yield start
    for server in started:
        server.end()


@pytest.fixture(scope="session")
def sse() -> ModuleType:
    """``sse.py`` beside this file."""
    spec = importlib.util.spec_from_file_location("server_sse", Path(__file__).with_name("sse.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def listen(sse: ModuleType) -> Iterator[Callable[..., Any]]:
    """Open streams: ``listen(url, last_id=...)``; they are closed with the test."""
    opened: list[Any] = []

    def open_stream(url: str, headers: dict[str, str] | None = None, **options: Any) -> Any:
        opened.append(sse.Listener(url, headers, **options))
        return opened[-1]

    yield open_stream
    for listener in opened:
        listener.close()


@pytest.fixture
def bus(root: Path) -> Iterator[MessageBus]:
    """The bus of project ``demo``, as another program has it open."""
    (root / "demo").mkdir(parents=True)
    with MessageBus(root / "demo/PROJECT-MESSAGE-BUS.md") as opened:
        yield opened


@pytest.fixture
def post_bodies(bus: MessageBus) -> Callable[..., list[str]]:
    """Post bodies to that bus without the server; returns their ids."""

    def post(*bodies: str, **fields: Any) -> list[str]:
        drafts = [Draft(fields.get("type", "FACT"), "demo", body) for body in bodies]
        return [message.msg_id for message in bus.append_messages(drafts)]

    return post


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """Wait until a condition is true; returns its value."""

    def wait(is_so: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + SECONDS
        while not (found := is_so()):
            assert time.monotonic() < deadline, "the condition did not become true"
            threading.Event().wait(0.01)
        return found

    return wait


@pytest.fixture
def run_agent(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the program to its end."""

    def run(*args: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PROGRAM, *map(str, args)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(HOME), **environment},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    return run


@pytest.fixture
def error_of() -> Callable[[httpx.Response], tuple[int, str, str]]:
    """The status, code and message of an error response, which must have no other fields."""

    def parse(answer: httpx.Response) -> tuple[int, str, str]:
        [(name, error)] = json.loads(answer.text).items()
        assert name == "error"
        assert {*error} - {"details"} == {"code", "message"}
        return answer.status_code, error["code"], error["message"]

    return parse
