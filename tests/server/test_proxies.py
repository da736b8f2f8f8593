"""A compressing proxy in front of the server, and an EventSource that is not a browser's.

Without npm these tests are skipped with a reason; with REQUIRE_BROWSER=1, as in CI, they fail instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).with_name("npm")
PACKAGES = Path(sys.prefix) / "server-npm"
STREAM = "/api/projects/demo/messages/stream"


def missing(what: str) -> None:
    """Skip, or fail if it is required."""
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(f"{what}, and REQUIRE_BROWSER=1 says that it must be")
    pytest.skip(what)


def installed() -> Path:
    """The packages in package.json, installed once, completely or not at all."""
    if not shutil.which("npm") or not shutil.which("node"):
        missing("there is no npm here")
    if not PACKAGES.is_dir():
        with tempfile.TemporaryDirectory(dir=sys.prefix) as directory:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, directory)
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300, check=False)
            if done.returncode:
                missing(f"npm cannot install what this needs: {done.stderr.strip()[-200:]}")
            if not PACKAGES.is_dir():  # another process may have been quicker
                Path(directory, "node_modules").rename(PACKAGES)
    return PACKAGES


@pytest.fixture
def node() -> Iterator[Callable[..., Any]]:
    """Start scripts of ``npm/``; returns their output, to read line by line."""
    environment = {**os.environ, "NODE_PATH": str(installed())}
    started: list[subprocess.Popen[str]] = []

    def start(script: str, *args: str) -> Any:
        started.append(
            subprocess.Popen(["node", HERE / script, *args], stdout=subprocess.PIPE, text=True, env=environment)
        )
        return started[-1].stdout

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_compressing_proxy_passes_events_on(
    serve: Callable[..., Any], node: Callable[..., Any], listen: Callable[..., Any], post_bodies: Callable[..., Any]
) -> None:
    server = serve()
    post_bodies("first")
    proxy = f"http://127.0.0.1:{node('proxy.js', server.url).readline().strip()}"
    listed = server.client.get(f"{proxy}/api/projects/demo/messages", headers={"Accept-Encoding": "gzip"})
    assert listed.headers["content-encoding"] == "gzip", "it does compress"
    listener = listen(proxy + STREAM, {"Accept-Encoding": "gzip, deflate, br"})
    assert listener.bodies(1) == ["first"]
    post_bodies("live")
    assert listener.bodies(1) == ["live"]


def test_a_polyfill_resumes_by_the_query(
    serve: Callable[..., Any], node: Callable[..., Any], post_bodies: Callable[..., Any]
) -> None:
    """It continues after a restart, each message once: its last id is in ``lastEventId``."""
    server = serve()
    post_bodies("first")
    said = node("listen.js", f"{server.url}{STREAM}")
    assert said.readline() == "first\n"
    server.kill(15)
    post_bodies("meanwhile")
    again = serve(port=server.port)
    assert said.readline() == "meanwhile\n"
    post_bodies("after the restart")
    assert said.readline() == "after the restart\n"
    again.kill(15)
