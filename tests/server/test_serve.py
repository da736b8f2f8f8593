"""``run-agent serve`` as a command: where it listens, what it prints, what it refuses, its log."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

POST = "/api/projects/demo/messages"
STREAM = f"{POST}/stream"

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_the_greeting(serve: Callable[..., Any], root: Path) -> None:
    """One line on stdout, after which it accepts requests. A root that does not exist counts as empty."""
    server = serve()
    assert re.fullmatch(rf"Serving {root} at http://127\.0\.0\.1:\d+ \(Ctrl-C stops it\)\n", server.greeting)
    assert server.client.get("/api/v1/projects").json() == {"projects": []}
    assert not root.exists()
    assert server.client.post(POST, json={"body": "x"}).status_code == 201
    assert [path.name for path in root.rglob("*")] == ["demo", "PROJECT-MESSAGE-BUS.md"]
    server.kill(15)
    assert server.process.stdout.read() == ""


def test_open(serve: Callable[..., Any], tmp_path: Path, eventually: Callable[..., Any]) -> None:
    """In the browser that the environment names, at a URL that responds."""
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >{opened}.part && mv {opened}.part {opened}\n')
    browser.chmod(0o755)
    server = serve("--open", BROWSER=f"{browser} %s")
    eventually(opened.exists)
    assert opened.read_text() == f"{server.url}\n"
    page = server.client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    for path in re.findall(r'(?:src|href)="(page/[^"]+)"', page.text):
        assert server.client.get(f"/{path}").status_code == 200, path


def test_the_root_from_the_environment(serve: Callable[..., Any], run_agent: Run, tmp_path: Path) -> None:
    """As for the other commands: what they post is served."""
    run_agent("bus", "post", "--project", "demo", "--body", "hello", JRUN_RUNS_DIR=str(tmp_path / "runs"))
    server = serve()
    [message] = server.client.get(POST).json()["messages"]
    assert message["body"] == "hello"


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--root", "file"], 2, r"Directory 'file' is a file"),
        (["--port", "65536"], 2, "65536"),
        (["--port", "x"], 2, "x"),
        (["--heartbeat", "0"], 2, "0"),
        (["--rotate-bytes", "-1"], 2, "-1"),
        (["--host", "256.0.0.1"], 2, "needs an API key"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_usage_errors(run_agent: Run, tmp_path: Path, options: list[str], code: int, says: str) -> None:
    (tmp_path / "file").touch()
    done = run_agent("serve", *options)
    assert (done.returncode, done.stdout) == (code, "")
    assert re.search(says, done.stderr.splitlines()[-1]), done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken(run_agent: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_agent("serve", "--port", port)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: cannot listen on 127.0.0.1 port {port}: Address already in use; to use a free port, give --port 0.\n"
    )


@pytest.mark.parametrize("package", ["uvicorn", "starlette", "sse_starlette"])
def test_without_the_extra(run_agent: Run, tmp_path: Path, package: str) -> None:
    """The error says how to install it; everything else works."""
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{package!r}] = None\n")
    home = Path(__file__).parents[2]
    path = {"PYTHONPATH": f"{tmp_path}:{home}"}
    done = run_agent("serve", "--port", "0", **path)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        rf"Error: the server needs {package}(\.\w+)*, which is not installed: "
        r"pip install 'path/to/this/checkout\[server\]'\n",
        done.stderr,
    )
    assert run_agent("serve", "--help", **path).returncode == 0


def test_the_log_as_json(serve: Callable[..., Any], listen: Callable[..., Any]) -> None:
    """One object a line; those of a request have its id, method, path, status and milliseconds."""
    server = serve("--log-json")
    posted = server.client.post(POST, json={"body": "x"}, headers={"X-Request-ID": "mine"})
    assert server.client.get("/nowhere?secret=1").status_code == 404
    listener = listen(server.url + STREAM, {"X-Request-ID": "of-the-stream"})
    assert listener.bodies(1) == ["x"]
    server.kill(15)
    lines = [json.loads(line) for line in server.log()]
    assert all({"time", "level", "message"} <= line.keys() for line in lines)
    requests = [line for line in lines if "request_id" in line]
    assert [(line["method"], line["path"], line["status"]) for line in requests] == [
        ("POST", POST, 201),
        ("GET", "/nowhere", 404),
        ("GET", STREAM, 200),
    ]
    assert [line["request_id"] for line in requests][::2] == ["mine", "of-the-stream"]
    assert posted.headers["X-Request-ID"] == "mine"
    for line in requests:
        assert line["level"] == "INFO"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line["time"])
        assert line["ms"] >= 0
    assert "secret" not in "".join(server.log())


def test_the_log_as_text(serve: Callable[..., Any], root: Path) -> None:
    root.mkdir()
    server = serve()
    server.client.get("/healthz", headers={"X-Request-ID": "mine"})
    server.kill(15)
    [line] = server.log()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO GET /healthz 200 \d+\.\d ms \[mine\]", line)


def test_a_root_that_does_not_exist(serve: Callable[..., Any], root: Path) -> None:
    """It is served with a warning; the first post creates it."""
    server = serve()
    assert server.client.post(POST, json={"body": "x"}).status_code == 201
    server.kill(15)
    assert [line.partition(" WARNING ")[2] for line in server.log()] == [
        f"{root} does not exist: there are no messages until one is posted under it",
        "",
    ]
    server = serve("--log-json")
    server.kill(15)
    assert len(server.log()) == 2, "nothing to warn of"


def test_options_reach_the_server(serve: Callable[..., Any], listen: Callable[..., Any], root: Path) -> None:
    server = serve("--heartbeat", "0.1", "--rotate-bytes", "500", "--fsync")
    listener = listen(server.url + STREAM)
    while not listener.heartbeats:
        with pytest.raises(TimeoutError):
            listener.next(timeout=0.05)
    for number in range(20):
        assert server.client.post(POST, json={"body": str(number)}).status_code == 201
    assert list((root / "demo").glob("*.archived"))
