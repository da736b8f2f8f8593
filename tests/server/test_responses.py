"""What all responses have in common: a request id, one line in the log, and one shape for errors."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import httpx
import pytest

from run_agent.server import endpoints
from run_agent.server.live import stream
from run_agent.server.middleware.request_log import JsonLines, TextLines

MADE = re.compile(r"[0-9a-f]{32}")

# One of each status that a request alone can bring about.
REQUESTS: list[tuple[int, str, str, dict[str, Any]]] = [
    (200, "GET", "/healthz", {}),
    (200, "GET", "/api/v1/health", {}),
    (200, "GET", "/api/v1/version", {}),
    (200, "GET", "/api/v1/projects", {}),
    (200, "GET", "/openapi.json", {}),
    (200, "HEAD", "/healthz", {}),
    (200, "GET", "/api/projects/demo/messages", {}),
    (200, "HEAD", "/api/projects/demo/messages", {}),
    (200, "HEAD", "/api/projects/demo/messages/stream", {}),
    (201, "POST", "/api/projects/demo/messages", {"json": {"body": "x"}}),
    (400, "GET", "/api/projects/demo/messages?nonsense=1", {}),
    (400, "GET", "/api/projects/demo/messages/stream?nonsense=1", {}),
    (400, "GET", "/api/v1/messages/stream", {}),
    (400, "GET", "/api/projects/-x/messages", {}),
    (401, "GET", "/api/v1/projects", {"headers": {"X-API-Key": "wrong"}}),
    (403, "GET", "/api/v1/projects", {"headers": {"Host": "evil.example"}}),
    (404, "GET", "/unknown", {}),
    (404, "GET", "/nowhere", {}),
    (404, "GET", "/api/projects/demo/messages?since=MSG-1", {}),
    (404, "GET", "/api/v1/projects/nobody/tasks", {}),
    (405, "DELETE", "/api/projects/demo/messages", {}),
    (405, "POST", "/healthz", {}),
    (413, "POST", "/api/projects/demo/messages", {"json": {"body": "x" * 2000}}),
    (415, "POST", "/api/projects/demo/messages", {"content": b"body=x"}),
    (422, "POST", "/api/projects/demo/messages", {"json": {"body": "x", "type": "\x00"}}),
]


@pytest.fixture
def client(serving: Callable[..., Any]) -> httpx.Client:
    """A client that sends the key of its server."""
    client: httpx.Client = serving(api_key="secret", max_request_bytes=1000).client
    client.headers["X-API-Key"] = "secret"
    return client


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    """The log records of requests."""
    log = logging.getLogger("run_agent.server")
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    yield records
    log.removeHandler(handler)
    log.setLevel(level)


@pytest.mark.parametrize("given", [None, "my.id-1", "x" * 128, "", "two words", "x" * 129, "é".encode(), "a;b"])
def test_a_request_id(client: httpx.Client, lines: list[logging.LogRecord], given: Any, eventually: Any) -> None:
    """The client's own if it is safe for a log, else a new one; in the response and in the log line."""
    for status, method, path, more in REQUESTS if given in (None, "my.id-1") else REQUESTS[:1]:
        lines.clear()
        headers = more.get("headers", {}) | ({} if given is None else {"X-Request-ID": given})
        answer = client.request(method, path, **{**more, "headers": headers})
        found = answer.headers.get_list("X-Request-ID")
        assert (answer.status_code, len(found)) == (status, 1), (method, path, answer.text)
        assert found == [given] if given in ("my.id-1", "x" * 128) else MADE.fullmatch(found[0])
        eventually(lambda: lines)
        [line] = lines
        assert vars(line)["request_id"] == found[0]
        assert vars(line)["fields"] | {"ms": 0} == {
            "method": method, "path": path.partition("?")[0], "status": status, "ms": 0,
        }  # fmt: skip


def test_errors_have_one_shape(client: httpx.Client, error_of: Callable[..., Any]) -> None:
    codes = {
        400: "BAD_REQUEST", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED",
        413: "TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE", 422: "UNPROCESSABLE",
    }  # fmt: skip
    seen = set()
    for status, method, path, more in REQUESTS:
        if status >= 400:
            answer = client.request(method, path, **more)
            assert answer.headers["content-type"] == "application/json"
            assert error_of(answer)[:2] == (status, codes[status])
            seen.add(status)
    assert seen == codes.keys()


def test_generated_request_ids_differ(client: httpx.Client) -> None:
    assert len({client.get("/healthz").headers["X-Request-ID"] for _ in range(50)}) == 50


def test_health_and_version(client: httpx.Client) -> None:
    for path in ("/healthz", "/api/v1/health"):
        assert client.get(path).json() == {"status": "ok"}
    assert client.get("/api/v1/version").json() == {"version": version("run-agent"), "api": "v1"}
    assert {*client.delete("/healthz").headers["Allow"].split(", ")} == {"GET", "HEAD"}


def test_an_unexpected_error(
    client: httpx.Client,
    lines: list[logging.LogRecord],
    monkeypatch: pytest.MonkeyPatch,
    eventually: Any,
    error_of: Callable[..., Any],
) -> None:
    """A normal error response without details, and a log with all details, on lines with the request id."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("the secret path /home")

    monkeypatch.setattr(endpoints, "_read_page", fail)
    answer = client.get("/api/projects/demo/messages", headers={"X-Request-ID": "broken"})
    assert error_of(answer)[:2] == (500, "INTERNAL")
    assert "secret" not in answer.text
    assert answer.headers["X-Request-ID"] == "broken"
    eventually(lambda: len(lines) == 2)
    assert [vars(line)["request_id"] for line in lines] == ["broken"] * 2
    assert "ZeroDivisionError: the secret path /home" in TextLines().format(lines[0])
    assert "\n" not in JsonLines().format(lines[0])
    monkeypatch.undo()
    assert client.get("/api/projects/demo/messages").status_code == 200, "the server continues"


def test_an_error_in_the_middle_of_a_stream(
    serving: Callable[..., Any],
    lines: list[logging.LogRecord],
    monkeypatch: pytest.MonkeyPatch,
    listen: Any,
    eventually: Any,
) -> None:
    """The connection is cut, so that the client reconnects; no incomplete event is sent."""
    monkeypatch.setattr(stream, "_heartbeat", lambda: 1 / 0)
    listener = listen(f"{serving(heartbeat=0.1).url}/api/projects/demo/messages/stream")
    assert listener.rest() == []
    assert listener.cut
    eventually(lambda: any("ZeroDivisionError" in TextLines().format(line) for line in lines))


def test_log_lines_cannot_be_forged(client: httpx.Client, lines: list[logging.LogRecord], eventually: Any) -> None:
    """By the content of a path, decoded or not."""
    client.get("/api/projects/x%0A2026-11-21%2003:14:15%20INFO%20forged/messages")
    eventually(lambda: lines)
    for shown in (TextLines().format(lines[0]), JsonLines().format(lines[0])):
        assert len(shown.splitlines()) == 1
        assert "%0A" in shown


def test_concurrent_requests_have_their_own_ids(served: Any, lines: list[logging.LogRecord], eventually: Any) -> None:
    async def ask() -> list[str]:
        async with httpx.AsyncClient(base_url=served.url) as client:
            answers = await asyncio.gather(
                *(client.get("/healthz", headers={"X-Request-ID": str(number)}) for number in range(100))
            )
        return [answer.headers["X-Request-ID"] for answer in answers]

    assert asyncio.run(ask()) == [str(number) for number in range(100)]
    eventually(lambda: len(lines) == 100)
    assert sorted(int(vars(line)["request_id"]) for line in lines) == list(range(100))
