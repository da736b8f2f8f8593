"""A real browser, looking at a real server.

Where there is none these tests are skipped, and say so; with REQUIRE_BROWSER=1, as in CI, they fail instead.
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


def missing(what: str) -> None:
    """Skip; or fail, where it has to be there."""
    if IS_REQUIRED:
        pytest.fail(f"{what}, and REQUIRE_BROWSER=1 says that it must be")
    pytest.skip(what)


@pytest.fixture(scope="session")
def packages() -> Path:
    """The npm packages that the page is checked with."""
    if not PACKAGES.is_dir():
        missing("the npm packages are not installed (make lint does)")
    return PACKAGES


@pytest.fixture(scope="module")  # while it is there, an event loop runs, which tests of other modules cannot have
def browser() -> Iterator[Any]:
    if not CHROMIUM:
        missing("no chromium is installed")
    if importlib.util.find_spec("playwright") is None:
        missing("playwright is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Server:
    """``run-agent serve``, which can be killed and started again at the same port."""

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

    def at(self, place: str = "demo/t1", query: str = "") -> str:
        """The address of a conversation."""
        return f"{self.url}/#/{place}{query and '?' + query}"


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
    """The bus of demo/t1, as another program has it open."""
    (root / "demo/t1").mkdir(parents=True)
    with MessageBus(root / "demo/t1/TASK-MESSAGE-BUS.md") as opened:
        yield opened


@pytest.fixture
def tell(bus: MessageBus) -> Callable[..., list[str]]:
    """Post bodies, past the server; their ids."""

    def post(*bodies: str, type: str = "FACT", **fields: Any) -> list[str]:  # noqa: A002 - the field's name
        drafts = [Draft(type, "demo", body, task_id="t1", **fields) for body in bodies]
        return [message.msg_id for message in bus.append_messages(drafts)]

    return post


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open pages; whatever goes wrong in one fails the test, but what it says it expects."""
    contexts: list[Any] = []
    wrong: list[str] = []

    def go(url: str, *, expected: tuple[str, ...] = (), size: tuple[int, int] = (1280, 800), **options: Any) -> Any:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, locale="en-GB", **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(1000 * SECONDS)

        def note(text: str) -> None:
            if not any(part in text for part in expected):
                wrong.append(text)

        page.on("pageerror", lambda error: note(f"{error.message}\n{error.stack}"))
        page.on("console", lambda said: note(said.text) if said.type in ("error", "warning") else None)
        page.goto(url)
        return page

    yield go
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """Wait until something is so; what it is then."""

    def wait(is_so: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + SECONDS
        while not (found := is_so()):
            assert time.monotonic() < deadline, "it did not come to be so"
        return found

    return wait


@pytest.fixture
def until(eventually: Callable[[Callable[[], Any]], Any]) -> Callable[..., Any]:
    """Wait until an expression is true in a page. (Playwright's own way to wait needs eval, which the page forbids.)"""

    def wait(page: Any, expression: str, arg: Any = None) -> Any:
        return eventually(lambda: page.evaluate(expression, arg))

    return wait


@pytest.fixture
def stored(server: Server) -> Callable[..., list[Any]]:
    """What the log of demo/t1 holds."""

    def read(**query: Any) -> list[Any]:
        params = {"project_id": "demo", "task_id": "t1", **query}
        messages: list[Any] = httpx.get(f"{server.url}/api/v1/messages", params=params).json()["messages"]
        return messages

    return read


@pytest.fixture(scope="session")
def vendored() -> list[Any]:
    listed: list[Any] = json.loads((PAGE / "vendor/VENDORED.json").read_text())
    return listed
