"""Projects and tasks in the shapes that the web UI of the Go project (conductor-loop) asks for on its way to the
messages of a task."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from run_agent.server import params
from run_agent.server.buses import checked_ref
from run_agent.server.errors import ApiError
from run_agent.server.queries.activity import Activity
from run_agent.server.serialization import as_json, json_response

_Bus = dict[str, Any]


class ConductorEndpoints:
    """Projects and their tasks, newest first."""

    def __init__(self, activity: Activity) -> None:
        self._activity = activity

    async def projects(self, request: Request) -> Response:
        """All projects."""
        params.query_parameters(request, ())
        by_project: dict[str, list[_Bus]] = {}
        for bus in await self._all_buses():
            by_project.setdefault(bus["project_id"], []).append(bus)
        projects = _newest_first(_project(project_id, buses) for project_id, buses in by_project.items())
        return json_response(as_json({"projects": projects}))

    async def project(self, request: Request) -> Response:
        """One project."""
        params.query_parameters(request, ())
        return json_response(as_json(_project(*await self._buses_of_project(request))))

    async def tasks(self, request: Request) -> Response:
        """A result page of the tasks of a project."""
        limit, offset = params.limit_and_offset(request)
        _, buses = await self._buses_of_project(request)
        tasks = _newest_first(_task(bus) for bus in buses if "task_id" in bus)
        items = tasks[offset : offset + limit]
        has_more = offset + len(items) < len(tasks) and bool(items)
        return json_response(as_json({"items": items, "total": len(tasks), "has_more": has_more}))

    async def _all_buses(self) -> list[_Bus]:
        return await run_in_threadpool(self._activity.all)

    async def _buses_of_project(self, request: Request) -> tuple[str, list[_Bus]]:
        """The project id in the path, and the buses of that project. Raises ApiError if it has none."""
        project_id = checked_ref(request.path_params["project_id"], None).project_id
        buses = [bus for bus in await self._all_buses() if bus["project_id"] == project_id]
        if not buses:
            raise ApiError(404, f"project not found: {project_id} has no bus")
        return project_id, buses


def _project(project_id: str, buses: list[_Bus]) -> dict[str, Any]:
    tasks = sum(1 for bus in buses if "task_id" in bus)
    return {"id": project_id, **_last_activity(buses), "task_count": tasks}


def _task(bus: _Bus) -> dict[str, Any]:
    """The status is that UI's ``unknown``: the state of a task's runs is in files that this server does not read."""
    return {"id": bus["task_id"], "project_id": bus["project_id"], "status": "unknown", **_last_activity([bus])}


def _last_activity(buses: list[_Bus]) -> dict[str, str]:
    times = [bus["last"] for bus in buses if "last" in bus]
    return {"last_activity": max(times)} if times else {}


def _newest_first(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(items, key=lambda item: str(item.get("last_activity", "")), reverse=True)
