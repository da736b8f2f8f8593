"""All buses at a glance, and unread counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from messagebus import Draft, MessageBus
from run_agent.server.queries.activity import MAX_UNREAD

ACTIVITY = "/api/v1/activity"


def test_every_bus_with_its_last_message(api: httpx.Client, post_bodies: Callable[..., list[str]]) -> None:
    assert api.get(ACTIVITY).json() == {"buses": []}
    *_, last = post_bodies("one", "two")
    task = api.post("/api/projects/demo/tasks/t1/messages", json={"body": "x", "type": "QUESTION"}).json()
    project, other = api.get(ACTIVITY).json()["buses"]
    assert project.items() >= {"project_id": "demo", "last_id": last, "last_type": "FACT"}.items()
    assert other.items() >= {"project_id": "demo", "task_id": "t1", "last_id": task["msg_id"]}.items()
    assert (other["last"], other["last_type"]) == (task["timestamp"], "QUESTION")


def test_304_while_nothing_changes(api: httpx.Client, post_bodies: Callable[..., list[str]]) -> None:
    post_bodies("one")
    tag = api.get(ACTIVITY).headers["etag"]
    again = api.get(ACTIVITY, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    post_bodies("two")
    assert api.get(ACTIVITY, headers={"If-None-Match": tag}).status_code == 200


def test_only_changed_buses_are_read_again(
    api: httpx.Client, post_bodies: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[MessageBus] = []
    read_last_n = MessageBus.read_last_n

    def counting(bus: MessageBus, n: int) -> Any:
        read.append(bus)
        return read_last_n(bus, n)

    post_bodies("one")
    for number in range(20):
        api.post(f"/api/projects/demo/tasks/t{number}/messages", json={"body": "x"})
    monkeypatch.setattr(MessageBus, "read_last_n", counting)
    assert len(api.get(ACTIVITY).json()["buses"]) == 21
    assert len(read) == 21
    post_bodies("two")
    api.get(ACTIVITY)
    assert len(read) == 22


def test_unread(api: httpx.Client, bus: MessageBus, post_bodies: Callable[..., list[str]]) -> None:
    ids = post_bodies("one", "two", "three")
    bus.append_messages([Draft("FACT", "demo", "x") for _ in range(MAX_UNREAD)])
    cursors: list[dict[str, str]] = [{"after": ids[0]}, {}, {"after": "nobody"}]
    buses = [{"project_id": "demo", **cursor} for cursor in cursors]
    last = api.get(ACTIVITY).json()["buses"][0]["last_id"]
    buses += [{"project_id": "demo", "after": last}, {"project_id": "demo", "task_id": "none"}]
    answer = api.post("/api/v1/unread", json={"buses": buses})
    assert answer.json() == {"counts": [MAX_UNREAD, MAX_UNREAD, MAX_UNREAD, 0, 0]}
    post_bodies("four")
    assert api.post("/api/v1/unread", json={"buses": buses[3:4]}).json() == {"counts": [1]}
