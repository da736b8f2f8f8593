"""Projects and tasks as the web UI of the Go project (conductor-loop) asks for them on its way to their messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from run_agent.server import params
from run_agent.server.buses import address
from run_agent.server.errors import ApiError
from run_agent.server.queries.activity import Activity
from run_agent.server.serialization import as_json, json_response

_Bus = dict[str, Any]


class Conductor:
    """What there is in a buses, newest first."""

    def __init__(self, activity: Activity) -> None:
        self._activity = activity

    async def projects(self, request: Request) -> Response:
        """All projects."""
        params.parameters(request, ())
        of: dict[str, list[_Bus]] = {}
        for bus in await self._buses():
            of.setdefault(bus["project_id"], []).append(bus)
        projects = _newest_first(_project(name, buses) for name, buses in of.items())
        return json_response(as_json({"projects": projects}))

    async def project(self, request: Request) -> Response:
        """One project."""
        params.parameters(request, ())
        return json_response(as_json(_project(*await self._of_project(request))))

    async def tasks(self, request: Request) -> Response:
        """A page of the tasks of a project."""
        limit, offset = params.window(request)
        _, buses = await self._of_project(request)
        tasks = _newest_first(_task(bus) for bus in buses if "task_id" in bus)
        items = tasks[offset : offset + limit]
        has_more = offset + len(items) < len(tasks) and bool(items)
        return json_response(as_json({"items": items, "total": len(tasks), "has_more": has_more}))

    async def _buses(self) -> list[_Bus]:
        return await run_in_threadpool(self._activity.all)

    async def _of_project(self, request: Request) -> tuple[str, list[_Bus]]:
        """The id that the path names, and the buses of that project. Raises ApiError where there are none."""
        project_id = address(request.path_params["project_id"], None).project_id
        buses = [bus for bus in await self._buses() if bus["project_id"] == project_id]
        if not buses:
            raise ApiError(404, f"project not found: nothing has been posted to {project_id}")
        return project_id, buses


def _project(project_id: str, buses: list[_Bus]) -> dict[str, Any]:
    tasks = sum(1 for bus in buses if "task_id" in bus)
    return {"id": project_id, **_latest(buses), "task_count": tasks}


def _task(bus: _Bus) -> dict[str, Any]:
    """What its runs do is in no file that we read, so the status is the UI's word for that."""
    return {"id": bus["task_id"], "project_id": bus["project_id"], "status": "unknown", **_latest([bus])}


def _latest(buses: list[_Bus]) -> dict[str, str]:
    times = [bus["last"] for bus in buses if "last" in bus]
    return {"last_activity": max(times)} if times else {}


def _newest_first(things: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(things, key=lambda thing: str(thing.get("last_activity", "")), reverse=True)
