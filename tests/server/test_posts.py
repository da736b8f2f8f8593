"""Posting: all fields, on all three paths; idempotency keys; concurrent posts, and posts to a locked bus."""

from __future__ import annotations

import errno
import fcntl
import json
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from messagebus import Link, Message, MessageBus, Parent
from messagebus.backends.file import live_file
from run_agent.server import app
from run_agent.server.live import write_queue

ANYWHERE = "/api/v1/messages"
PROJECT = "/api/projects/demo/messages"
TASK = "/api/projects/demo/tasks/t1/messages"

EVERYTHING: dict[str, Any] = {
    "type": "FACT",
    "body": "first line\n---\nmsg_id: forged\n\u2028 é 🦉\t",
    "run_id": "run-7",
    "issue_id": "issue 3",
    "parents": [
        "MSG-1",
        {"msg_id": "MSG-2", "kind": "answers"},
        {"msg_id": "MSG-1", "kind": "depends_on", "meta": {"since": "yes"}},
        {"msg_id": "MSG-3"},
    ],
    "links": [{"url": "https://ci.example/42"}, {"url": "a/path", "label": "the log", "kind": "log"}],
    "meta": {"yes": "007", "é": ""},
}

ErrorOf = Callable[[httpx.Response], tuple[int, str, str]]


@pytest.fixture
def stored(root: Path) -> Callable[[], list[Message]]:
    """All stored messages, of all buses."""

    def read() -> list[Message]:
        return [message for path in sorted(root.rglob("*.md")) for message in MessageBus(path).read_messages()]

    return read


def test_every_field(
    api: httpx.Client,
    stored: Callable[[], list[Message]],
    root: Path,
    run_agent: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """The library, a list and the command line read back what was posted."""
    answer = api.post(TASK, json=EVERYTHING)
    [message] = stored()
    assert (answer.status_code, answer.headers["content-type"]) == (201, "application/json")
    assert answer.json() == {"msg_id": message.msg_id, "timestamp": message.to_json()["timestamp"]}
    assert (message.type, message.project_id, message.task_id) == ("FACT", "demo", "t1")
    assert (message.run_id, message.issue_id, message.body) == ("run-7", "issue 3", EVERYTHING["body"])
    assert message.parents == (
        Parent("MSG-1"), Parent("MSG-2", "answers"), Parent("MSG-1", "depends_on", {"since": "yes"}), Parent("MSG-3"),
    )  # fmt: skip
    assert message.links == (Link("https://ci.example/42"), Link("a/path", "the log", "log"))
    assert message.meta == EVERYTHING["meta"]
    assert message.intact is True

    read = run_agent("bus", "read", "--root", root, "--project", "demo", "--task", "t1", "--json")
    assert [json.loads(line) for line in read.stdout.splitlines()] == [message.to_json()], read.stderr
    assert api.get(TASK).json()["messages"] == [message.to_json()]


@pytest.mark.parametrize(
    ("path", "scope", "where"),
    [
        (ANYWHERE, {"project_id": "demo"}, "demo/PROJECT-MESSAGE-BUS.md"),
        (ANYWHERE, {"project_id": "demo", "task_id": "t1"}, "demo/t1/TASK-MESSAGE-BUS.md"),
        (PROJECT, {}, "demo/PROJECT-MESSAGE-BUS.md"),
        (TASK, {}, "demo/t1/TASK-MESSAGE-BUS.md"),
    ],
)
def test_each_path_posts_to_its_bus(
    api: httpx.Client, path: str, scope: dict[str, str], where: str, root: Path
) -> None:
    """By default as type USER, and to a bus that is created."""
    assert api.post(path, json={"body": "hello", **scope}).status_code == 201
    [message] = MessageBus(root / where).read_messages()
    assert [message.type, message.body, message.project_id] == ["USER", "hello", "demo"]
    assert message.task_id == ("t1" if "t1" in where else "")
    assert [path.name for path in root.rglob("*.md")] == [where.rpartition("/")[2]]


def test_the_same_key_again(api: httpx.Client, stored: Callable[[], list[Message]], error_of: ErrorOf) -> None:
    """The first response again; with other content, an error. Keys are valid for one bus."""
    first = api.post(PROJECT, json=EVERYTHING, headers={"Idempotency-Key": "k1"})
    again = api.post(PROJECT, json=EVERYTHING, headers={"Idempotency-Key": "k1"})
    assert (again.status_code, again.json()) == (first.status_code, first.json()) == (201, first.json())
    for other in ({"body": "other"}, {"type": "USER"}, {"run_id": "r"}, {"parents": ["MSG-1"]}, {"meta": {}}):
        answer = api.post(PROJECT, json={**EVERYTHING, **other}, headers={"Idempotency-Key": "k1"})
        assert error_of(answer)[:2] == (409, "CONFLICT"), other
    assert len(stored()) == 1
    assert api.post(PROJECT, json=EVERYTHING, headers={"Idempotency-Key": "k2"}).json() != first.json()
    assert api.post(TASK, json=EVERYTHING, headers={"Idempotency-Key": "k1"}).json() != first.json()
    assert api.post(PROJECT, json=EVERYTHING).json() != first.json(), "without a key it is another message"
    assert error_of(api.post(PROJECT, json=EVERYTHING, headers={"Idempotency-Key": ""}))[0] == 422


def test_the_same_key_concurrently(api: httpx.Client, stored: Callable[[], list[Message]]) -> None:
    def post(number: int) -> dict[str, str]:
        key = f"key {number % 4}"
        answer = api.post(PROJECT, json={"body": key}, headers={"Idempotency-Key": key})
        assert answer.status_code == 201
        return answer.json()

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(post, range(64)))
    assert len(stored()) == 4
    assert {answer["msg_id"] for answer in answers} == {message.msg_id for message in stored()}


def test_concurrent_posts(api: httpx.Client, stored: Callable[[], list[Message]]) -> None:
    """Each gets its own id, even if they share a write."""

    def post(number: int) -> tuple[str, str]:
        headers = {"Idempotency-Key": str(number)} if number % 7 == 0 else {}
        return api.post(PROJECT, json={"body": f"post {number}"}, headers=headers).json()["msg_id"], f"post {number}"

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(post, range(200)))
    assert sorted(answers) == [(message.msg_id, message.body) for message in stored()]


def test_a_locked_bus(
    serving: Callable[..., Any], bus: MessageBus, monkeypatch: pytest.MonkeyPatch, error_of: ErrorOf, root: Path
) -> None:
    """A limited number of posts wait, for a limited time; other buses and readers do not wait."""
    monkeypatch.setattr(app, "_LOCK_TIMEOUT", 2.0)  # in which more than 8 come, on any machine
    monkeypatch.setattr(write_queue, "_MAX_WAITING", 8)
    client = serving().client

    def post(number: int) -> tuple[int, str | None]:
        answer = client.post(PROJECT, json={"body": str(number)})
        if answer.status_code == 201:
            return 201, None
        status, code, message = error_of(answer)
        assert str(root) not in message
        assert code == {503: "UNAVAILABLE", 429: "TOO_MANY_REQUESTS"}[status]
        return status, answer.headers["Retry-After"]

    with (root / "demo/PROJECT-MESSAGE-BUS.md").open("a") as held, ThreadPoolExecutor(40) as pool:
        fcntl.flock(held, fcntl.LOCK_EX)
        answers = pool.map(post, range(40))
        assert client.get(PROJECT).json() == {"messages": []}
        assert client.post(TASK, json={"body": "x"}).status_code == 201
        statuses = {*answers}
    assert statuses == {(503, "1"), (429, "1")}
    assert post(41) == (201, None), "the lock is free again"
    assert [message.body for message in bus.read_messages()] == ["41"], "refused posts are not written later"


def test_a_flush_that_fails(
    serving: Callable[..., Any], stored: Callable[[], list[Message]], monkeypatch: pytest.MonkeyPatch, error_of: ErrorOf
) -> None:
    """The message is stored, and the error says so, with the id of this message only."""

    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    client = serving(fsync=True).client
    monkeypatch.setattr(live_file, "flush", fail)

    def post(number: int) -> tuple[str, str]:
        answer = client.post(PROJECT, json={"body": f"post {number}"})
        assert error_of(answer)[:2] == (503, "UNAVAILABLE")
        details = answer.json()["error"]["details"]
        [msg_id] = details["msg_ids"]
        assert details["stored"] is True
        return msg_id, f"post {number}"

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(post, range(64)))
    assert sorted(answers) == [(message.msg_id, message.body) for message in stored()]
