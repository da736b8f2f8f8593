"""What the web UI of the Go project asks for, from the projects to the messages of a task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

UI = {"X-Conductor-Client": "web-ui"}


def post(api: httpx.Client, bus: str) -> str:
    posted = api.post(f"/api/projects/{bus}/messages", json={"body": "x"})
    time: str = posted.json()["timestamp"]
    return time


def test_the_way_to_the_messages(api: httpx.Client, root: Path) -> None:
    assert api.get("/api/projects", headers=UI).json() == {"projects": []}
    post(api, "old")
    first = post(api, "demo/tasks/t1")
    second = post(api, "demo/tasks/t2")
    (root / "demo/t3").mkdir()
    (root / "demo/t3/TASK-MESSAGE-BUS.md").touch()
    demo, old = api.get("/api/projects", headers=UI).json()["projects"]
    assert demo == {"id": "demo", "last_activity": second, "task_count": 3}
    assert (old["id"], old["task_count"]) == ("old", 0)
    assert api.get("/api/projects/demo", headers=UI).json() == demo
    tasks = api.get("/api/projects/demo/tasks?limit=500&offset=0", headers=UI).json()
    about = {"project_id": "demo", "status": "unknown"}
    assert tasks == {
        "items": [
            {"id": "t2", **about, "last_activity": second},
            {"id": "t1", **about, "last_activity": first},
            {"id": "t3", **about},
        ],
        "total": 3,
        "has_more": False,
    }
    listed = api.get("/api/projects/demo/tasks/t2/messages?limit=500", headers=UI).json()["messages"]
    assert [message["timestamp"] for message in listed] == [second]
    assert api.get("/api/projects/old/tasks").json() == {"items": [], "total": 0, "has_more": False}


def test_pages_of_tasks(api: httpx.Client) -> None:
    for number in range(5):
        post(api, f"demo/tasks/t{number}")
    seen: list[str] = []
    while True:
        page = api.get("/api/projects/demo/tasks", params={"limit": 2, "offset": len(seen)}).json()
        seen += [task["id"] for task in page["items"]]
        assert page["total"] == 5
        if not page["has_more"]:
            break
    assert seen == ["t4", "t3", "t2", "t1", "t0"]
    assert api.get("/api/projects/demo/tasks?offset=7").json() == {"items": [], "total": 5, "has_more": False}


def test_unknown_projects_and_invalid_queries(api: httpx.Client, error_of: Callable[..., Any]) -> None:
    for path in ("/api/projects/nobody", "/api/projects/nobody/tasks"):
        status, code, message = error_of(api.get(path))
        assert (status, code) == (404, "NOT_FOUND")
        assert message.startswith("project not found")
    post(api, "demo")
    for query in ("limit=0", "limit=x", "offset=-1", "offset=x", "offset=", "page=1", "offset=1&offset=1"):
        assert error_of(api.get(f"/api/projects/demo/tasks?{query}"))[0] == 400, query
    assert error_of(api.get("/api/projects/-x"))[0] == 400
