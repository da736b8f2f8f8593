"""Fixtures that open the page of a real server in a real browser.

Without a browser these tests are skipped; with REQUIRE_BROWSER=1, as in CI, they fail instead.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from patience import SECONDS

from messagebus import Draft, MessageBus

HOME = Path(__file__).parents[2]
PAGE = HOME / "run_agent/web"
PACKAGES = Path(sys.prefix) / "page/node_modules"  # where `make` puts what package.json names
IS_REQUIRED = os.environ.get("REQUIRE_BROWSER") == "1"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def skip_or_fail(reason: str) -> None:
    """Fail if a browser is required, else skip."""
    if IS_REQUIRED:
        pytest.fail(f"{reason}, but REQUIRE_BROWSER=1")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def packages() -> Path:
    """The npm packages that the page is checked with."""
    if not PACKAGES.is_dir():
        skip_or_fail("the npm packages are not installed (make lint installs them)")
    return PACKAGES


@pytest.fixture(scope="module")  # not session: it keeps an event loop running, which breaks other tests
def browser() -> Iterator[Any]:
    if not CHROMIUM:
        skip_or_fail("chromium is not installed")
    if importlib.util.find_spec("playwright") is None:
        skip_or_fail("playwright is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Server:
    """``run-agent serve``, which can be killed and started again on the same port."""

    def __init__(self, root: Path, port: str, *options: str, **environment: str) -> None:
        self.root = root
        self.port = port
        self._options = options
        self._environment = {**os.environ, "PYTHONPATH": str(HOME), "RUN_AGENT_API_KEY": "", **environment}
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "run_agent", "serve", "--root", str(self.root), "--port", self.port]
        self._process = subprocess.Popen(
            [*command, *self._options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=self._environment,
        )
        assert self._process.stdout
        self.url = self._process.stdout.readline().split(" at ")[1].split()[0]

    def kill(self) -> None:
        assert self._process
        assert self._process.stdout
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def at(self, name: str = "demo/t1", query: str = "") -> str:
        """The address of a conversation."""
        return f"{self.url}/#/{name}{query and '?' + query}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def serve(root: Path, keep_port: Callable[[], str]) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(*options: str, **environment: str) -> Server:
        started.append(Server(root, keep_port(), *options, **environment))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    return serve()


@pytest.fixture
def bus(root: Path) -> Iterator[MessageBus]:
    """The bus of demo/t1, opened by another program than the server."""
    (root / "demo/t1").mkdir(parents=True)
    with MessageBus(root / "demo/t1/TASK-MESSAGE-BUS.md") as opened:
        yield opened


@pytest.fixture
def append(bus: MessageBus) -> Callable[..., list[str]]:
    """Append messages to demo/t1 without the server; returns their ids."""

    def post(*bodies: str, type: str = "FACT", **fields: Any) -> list[str]:  # noqa: A002 - the field's name
        drafts = [Draft(type, "demo", body, task_id="t1", **fields) for body in bodies]
        return [message.msg_id for message in bus.append_messages(drafts)]

    return post


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open pages. Any error in one fails the test, unless its text contains an expected one."""
    contexts: list[Any] = []
    errors: list[str] = []

    def go(url: str, *, expected: tuple[str, ...] = (), size: tuple[int, int] = (1280, 800), **options: Any) -> Any:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, locale="en-GB", **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(1000 * SECONDS)

        def note(text: str) -> None:
            if not any(part in text for part in expected):
                errors.append(text)

        page.on("pageerror", lambda error: note(f"{error.message}\n{error.stack}"))
        page.on("console", lambda entry: note(entry.text) if entry.type in ("error", "warning") else None)
        page.goto(url)
        return page

    yield go
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """Wait until a function returns something true; returns that."""

    def wait(condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + SECONDS
        while not (result := condition()):
            assert time.monotonic() < deadline, "the condition did not become true in time"
        return result

    return wait


@pytest.fixture
def until(eventually: Callable[[Callable[[], Any]], Any]) -> Callable[..., Any]:
    """Wait until an expression is true in a page. (Playwright's own wait needs eval, which the page forbids.)"""

    def wait(page: Any, expression: str, arg: Any = None) -> Any:
        return eventually(lambda: page.evaluate(expression, arg))

    return wait


@pytest.fixture
def stored(server: Server) -> Callable[..., list[Any]]:
    """The messages in the log of demo/t1."""

    def read(**query: Any) -> list[Any]:
        params = {"project_id": "demo", "task_id": "t1", **query}
        messages: list[Any] = httpx.get(f"{server.url}/api/v1/messages", params=params).json()["messages"]
        return messages

    return read


@pytest.fixture(scope="session")
def vendored() -> list[Any]:
    listed: list[Any] = json.loads((PAGE / "vendor/VENDORED.json").read_text())
    return listed
