"""The routes put together."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Collection
from importlib.metadata import version

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from messagebus import BusError
from run_agent.server import errors, openapi, params
from run_agent.server.buses import BusRegistry
from run_agent.server.conductor import Conductor
from run_agent.server.endpoints import Messages
from run_agent.server.errors import ApiError
from run_agent.server.live.feed import Feeds
from run_agent.server.live.stream import Pace, Stream
from run_agent.server.login import Logins
from run_agent.server.middleware.access import LOOPBACK_NAMES, Access, check_options
from run_agent.server.middleware.request_log import RequestLog
from run_agent.server.queries.activity import Activity
from run_agent.server.static_files import page

_Endpoint = Callable[[Request], Awaitable[Response]]
_FORESEEN = (ApiError, BusError, OSError)
_LOCK_TIMEOUT = 5.0  # seconds that a post waits for a bus which another process holds locked


def create_app(
    root: str | os.PathLike[str],
    *,
    api_key: str | None = None,
    allowed_hosts: Collection[str] = LOOPBACK_NAMES,
    allowed_origins: Collection[str] = (),
    heartbeat: float = 30.0,
    send_timeout: float = 30.0,
    max_request_bytes: int = 1024 * 1024,
    max_streams: int = 4096,
    max_streams_per_bus: int = 2048,
    fsync: bool = False,
    auto_rotate_bytes: int = 0,
) -> Starlette:
    """An ASGI application that serves the buses under ``root``, by itself or mounted in another.

    api_key: what every request must bring; None: nothing.
    allowed_hosts: names that the Host header may hold; ``*``: any, where something in front checks it.
    allowed_origins: pages of other origins (``https://page.example``) that may use it.
    heartbeat: seconds between two heartbeats on a stream.
    send_timeout: seconds that a client may keep one send of a stream waiting.
    max_request_bytes: of a posted JSON document.
    max_streams, max_streams_per_bus: open at a time; more get 503.
    fsync, auto_rotate_bytes: as for MessageBus.

    Raises ValueError for a key that no header can bring, or an origin that is none.
    """
    check_options(api_key, allowed_origins)
    options = {"lock_timeout": _LOCK_TIMEOUT, "max_retries": 1, "poll_interval": 0.5}
    buses = BusRegistry(os.fspath(root), fsync=fsync, auto_rotate_bytes=auto_rotate_bytes, **options)
    activity = Activity(buses)
    messages = Messages(buses, activity, largest_body=max_request_bytes)
    feeds = Feeds(buses, most=max_streams, most_on_one=max_streams_per_bus)
    sessions = Logins(api_key)
    pace = Pace(heartbeat, send_timeout)

    async def stream(request: Request) -> Response:
        at = params.address_of(request)
        return Stream(at, buses.bus(at), feeds, params.place(request), pace)

    app = Starlette(
        routes=_routes(messages, Conductor(activity), sessions, stream),
        middleware=[
            Middleware(RequestLog),
            *_cors(allowed_origins),
            Middleware(Access, key=api_key, sessions=sessions, hosts=allowed_hosts, origins=allowed_origins),
        ],
        exception_handlers={HTTPException: _not_ours, **dict.fromkeys(_FORESEEN, _answer)},
    )
    app.router.redirect_slashes = False  # to an address made of what we know of ours: a proxy has another
    app.state.end_streams = feeds.end
    return app


def _routes(messages: Messages, conductor: Conductor, sessions: Logins, stream: _Endpoint) -> list[Route]:
    return [
        Route("/", page),
        Route("/page/{name:path}", page),
        Route("/api/v1/session", sessions.answer, methods=["POST", "DELETE"]),
        *_both("/api/v1/messages", messages.list_v1, messages.post, stream),
        *_both("/api/projects/{project_id}/messages", messages.list, messages.post, stream),
        *_both("/api/projects/{project_id}/tasks/{task_id}/messages", messages.list, messages.post, stream),
        Route("/api/v1/messages/summary", messages.summary),
        Route("/api/v1/messages/{msg_id}", messages.one),
        Route("/api/v1/activity", messages.activity),
        Route("/api/v1/unread", messages.unread, methods=["POST"]),
        Route("/api/v1/projects", messages.projects),
        Route("/api/v1/projects/{project_id}/tasks", messages.tasks),
        Route("/api/projects", conductor.projects),
        Route("/api/projects/{project_id}", conductor.project),
        Route("/api/projects/{project_id}/tasks", conductor.tasks),
        Route("/api/v1/version", _version),
        Route("/api/v1/health", _health),
        Route("/healthz", _health),
        Route("/openapi.json", _openapi),
    ]


def _both(path: str, listing: _Endpoint, post: _Endpoint, stream: _Endpoint) -> list[Route]:
    async def either(request: Request) -> Response:
        return await (post if request.method == "POST" else listing)(request)

    return [Route(path, either, methods=["GET", "POST"]), Route(f"{path}/stream", stream, methods=["GET"])]


def _cors(origins: Collection[str]) -> list[Middleware]:
    """Nothing, unless pages of other origins are let in."""
    if not origins:
        return []
    headers = ["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-API-Key", "X-Request-ID"]
    headers.append("X-Conductor-Client")  # the Go project's web UI sends it with every request
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST"],
            allow_headers=headers,
            expose_headers=["X-Request-ID"],
        )
    ]


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _version(_request: Request) -> Response:
    return JSONResponse({"version": version("run-agent"), "api": "v1"})


async def _openapi(request: Request) -> Response:
    return JSONResponse(openapi.document(version("run-agent"), at=request.scope.get("root_path") or "/"))


async def _answer(_request: Request, error: Exception) -> Response:
    problem = errors.of(error)
    if problem is None:
        raise error
    return problem.answer()


async def _not_ours(_request: Request, error: Exception) -> Response:
    """What the router refuses: no such path, or not with this method."""
    if not isinstance(error, HTTPException):
        raise error
    texts = {404: "there is nothing here; /openapi.json lists what there is", 405: "not with this method"}
    text = texts.get(error.status_code, error.detail)
    return ApiError(error.status_code, text, headers=error.headers or {}).answer()
