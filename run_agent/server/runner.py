"""Running the application on its own: a socket, uvicorn, the log, and an orderly shutdown."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from run_agent.server.app import create_app
from run_agent.server.middleware.access import LOOPBACK_NAMES, MAX_HEAD_BYTES
from run_agent.server.middleware.limits import Connection
from run_agent.server.middleware.request_log import JsonLines, TextLines

__all__ = ["LOOPBACK_NAMES", "address_of", "create_app", "listen", "make_server", "run", "warn"]

_BACKLOG = 2048
_TCP_USER_TIMEOUT_MS = 60_000  # a peer that acknowledges nothing for this long is gone
_SHUTDOWN_TIMEOUT = 5  # seconds that requests have to end

_log = logging.getLogger("run_agent.server")


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without the protocol, asyncio does not recognise TCP and leaves Nagle's algorithm on.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _TCP_USER_TIMEOUT_MS)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def address_of(listener: socket.socket) -> str:
    """The URL that clients reach it by."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: Starlette, listener: socket.socket, *, log_json: bool, ready: Callable[[], object]) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code. ``ready`` is called once both are handled."""
    _log_to_stderr(log_json=log_json)
    _allow_many_descriptors()
    server = make_server(app, ready)
    server.run(sockets=[listener])
    return server.exit_code


def warn(text: str) -> None:
    """Write a warning to the log."""
    _log.warning("%s", text)


def make_server(app: Starlette, ready: Callable[[], object] = lambda: None) -> _Server:
    """A uvicorn server with our limits."""
    config = uvicorn.Config(
        app,
        http=Connection,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT,
    )
    return _Server(config, ready, app.state.end_streams)


class _Server(uvicorn.Server):
    """Ends its streams on a signal, where uvicorn would wait for them, and does not raise the signal again."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object], end_streams: Callable[[], object]) -> None:
        super().__init__(config)
        self.exit_code = 0
        self._ready = ready
        self._end_streams = end_streams

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._captured_signals.clear()
        self.exit_code = 130 if sig == signal.SIGINT else 0
        asyncio.get_running_loop().call_soon_threadsafe(self._end_streams)


def _log_to_stderr(*, log_json: bool) -> None:
    """One format for all records, including those of asyncio and warnings."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if log_json else TextLines())
    logging.getLogger().addHandler(handler)
    logging.getLogger("run_agent.server").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # our request log has what it reports
    logging.captureWarnings(capture=True)


def _allow_many_descriptors() -> None:
    """A stream takes one. The usual soft limit of 1,024 exists for programs that use select(); we do not."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
