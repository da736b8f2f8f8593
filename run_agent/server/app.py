"""The application: its routes, its middleware, and how errors become responses."""

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
from run_agent.server.conductor import ConductorEndpoints
from run_agent.server.endpoints import BusEndpoints, MessageEndpoints
from run_agent.server.errors import ApiError
from run_agent.server.live.feed import Feeds
from run_agent.server.live.stream import Stream, StreamOptions
from run_agent.server.login import Logins
from run_agent.server.middleware.access import LOOPBACK_NAMES, Access, check_options
from run_agent.server.middleware.request_log import RequestLog
from run_agent.server.queries.activity import Activity
from run_agent.server.static_files import static_file

_Endpoint = Callable[[Request], Awaitable[Response]]
_EXPECTED = (ApiError, BusError, OSError)
_LOCK_TIMEOUT = 5.0  # seconds that a post waits while another process holds the lock of its bus


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
    """An ASGI application that serves the buses under ``root``, on its own or mounted in another application.

    api_key: required with every request; None: no key is needed.
    allowed_hosts: accepted names in the Host header; ``*``: any name, if a proxy in front checks it.
    allowed_origins: other origins (``https://page.example``) whose pages may use the server.
    heartbeat: seconds between two heartbeats on a stream.
    send_timeout: seconds until a stream is closed whose client does not take what was sent.
    max_request_bytes: the largest JSON document that may be posted.
    max_streams, max_streams_per_bus: open at the same time; further ones get 503.
    fsync, auto_rotate_bytes: as for MessageBus.

    Raises ValueError for a key that cannot be sent in a header, or an invalid origin.
    """
    check_options(api_key, allowed_origins)
    options = {"lock_timeout": _LOCK_TIMEOUT, "max_retries": 1, "poll_interval": 0.5}
    buses = BusRegistry(os.fspath(root), fsync=fsync, auto_rotate_bytes=auto_rotate_bytes, **options)
    activity = Activity(buses)
    feeds = Feeds(max_streams=max_streams, max_streams_per_bus=max_streams_per_bus)
    logins = Logins(api_key)
    stream_options = StreamOptions(heartbeat, send_timeout)

    async def stream(request: Request) -> Response:
        ref = params.bus_ref(request)
        return Stream(ref, buses.bus(ref), feeds, params.stream_cursor(request), stream_options)

    app = Starlette(
        routes=[
            *_message_routes(MessageEndpoints(buses, max_request_bytes=max_request_bytes), stream),
            *_bus_routes(BusEndpoints(buses, activity, max_request_bytes=max_request_bytes)),
            *_conductor_routes(ConductorEndpoints(activity)),
            *_other_routes(logins),
        ],
        middleware=[
            Middleware(RequestLog),
            *_cors(allowed_origins),
            Middleware(Access, key=api_key, logins=logins, hosts=allowed_hosts, origins=allowed_origins),
        ],
        exception_handlers={HTTPException: _routing_error_response, **dict.fromkeys(_EXPECTED, _error_response)},
    )
    app.router.redirect_slashes = False  # behind a proxy, we do not know the URL to redirect to
    app.state.end_streams = feeds.end
    return app


def _message_routes(messages: MessageEndpoints, stream: _Endpoint) -> list[Route]:
    return [
        *_list_post_stream("/api/v1/messages", messages.list_v1, messages.post, stream),
        *_list_post_stream("/api/projects/{project_id}/messages", messages.list, messages.post, stream),
        *_list_post_stream("/api/projects/{project_id}/tasks/{task_id}/messages", messages.list, messages.post, stream),
        Route("/api/v1/messages/summary", messages.summary),
        Route("/api/v1/messages/{msg_id}", messages.one),
    ]


def _bus_routes(buses: BusEndpoints) -> list[Route]:
    return [
        Route("/api/v1/activity", buses.activity),
        Route("/api/v1/unread", buses.unread, methods=["POST"]),
        Route("/api/v1/projects", buses.projects),
        Route("/api/v1/projects/{project_id}/tasks", buses.tasks),
    ]


def _conductor_routes(conductor: ConductorEndpoints) -> list[Route]:
    return [
        Route("/api/projects", conductor.projects),
        Route("/api/projects/{project_id}", conductor.project),
        Route("/api/projects/{project_id}/tasks", conductor.tasks),
    ]


def _other_routes(logins: Logins) -> list[Route]:
    return [
        Route("/", static_file),
        Route("/page/{name:path}", static_file),
        Route("/api/v1/session", logins.endpoint, methods=["POST", "DELETE"]),
        Route("/api/v1/version", _version),
        Route("/api/v1/health", _health),
        Route("/healthz", _health),
        Route("/openapi.json", _openapi),
    ]


def _list_post_stream(path: str, list_: _Endpoint, post: _Endpoint, stream: _Endpoint) -> list[Route]:
    async def list_or_post(request: Request) -> Response:
        return await (post if request.method == "POST" else list_)(request)

    return [Route(path, list_or_post, methods=["GET", "POST"]), Route(f"{path}/stream", stream, methods=["GET"])]


def _cors(origins: Collection[str]) -> list[Middleware]:
    """CORS headers, only if pages of other origins are allowed."""
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
    return JSONResponse(openapi.document(version("run-agent"), request.scope.get("root_path") or "/"))


async def _error_response(_request: Request, error: Exception) -> Response:
    api_error = errors.api_error(error)
    if api_error is None:
        raise error
    return api_error.response()


async def _routing_error_response(_request: Request, error: Exception) -> Response:
    """For errors of the router: the path does not exist, or does not support the method."""
    if not isinstance(error, HTTPException):
        raise error
    messages = {404: "no such endpoint; /openapi.json lists all", 405: "method not allowed"}
    message = messages.get(error.status_code, error.detail)
    return ApiError(error.status_code, message, headers=error.headers or {}).response()
