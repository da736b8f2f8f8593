"""Access control: the API key, and the Host, Origin and path of a request.

Three kinds of request must not pass: one without the key, one that a foreign page sends from the
user's own browser, and one whose path a proxy and this server could understand differently.
docs/security.md has the reasons; each promise there has a test that attacks it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from run_agent.server.errors import ApiError

if TYPE_CHECKING:
    from run_agent.server.login import Logins

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
MAX_HEAD_BYTES = 16 * 1024  # of a request line and its headers
_HEALTH = ("/healthz", "/api/v1/health")  # reveal only that the server is up
_LOGIN = "/api/v1/session"  # checks the key itself, or removes the cookie
_SAFE_METHODS = ("GET", "HEAD")
_AMBIGUOUS_PATH = re.compile(rb"%2f|%5c|%00|\\|(?:^|/)(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_PORT = re.compile(r":\d+\Z")
_ABSOLUTE_FORM = re.compile(rb"https?://([^/?#]+)(.*)", re.IGNORECASE | re.DOTALL)
_KEY = re.compile(r"[!-~]+")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/*\s]+")


class Access:
    """Middleware that refuses a request or passes it on.

    ``hosts`` are the accepted names in the Host header (``*``: any), ``origins`` the other origins
    whose pages may send requests. With a ``key`` every request needs it, or a cookie of ``logins``,
    except for health checks, the files of our own page, and logging in and out.
    """

    def __init__(
        self, app: ASGIApp, *, key: str | None, logins: Logins, hosts: Collection[str], origins: Collection[str]
    ) -> None:
        self._app = app
        self._logins = logins
        self._key = None if key is None else _digest(key)
        self._hosts = frozenset(map(_in_header_form, hosts))
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            scope = _in_origin_form(scope)
            headers = Headers(scope=scope)
            _check_head(scope, headers)
            _check_path(scope)
            if not _is_health(scope):  # load balancers and kubelets use an address, or no name at all
                self._check_host(headers)
            self._check_origin(headers)
            if not _needs_no_key(scope):
                self._check_key(scope["method"], headers)
        except ApiError as error:
            await error.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        """A page can point its own name at our address (DNS rebinding), but it cannot forge this header."""
        name = _PORT.sub("", headers.get("host", "")).lower()
        if name not in self._hosts and "*" not in self._hosts:
            raise ApiError(403, f"Host {name!r:.80} is not allowed (see --allow-host)")

    def _check_origin(self, headers: Headers) -> None:
        """Browsers name the origin of the page that sends a request; other programs send no such header."""
        origin, host = headers.get("origin"), headers.get("host")
        if origin is None:  # as in requests for images and scripts, where Sec-Fetch-Site tells
            is_elsewhere = headers.get("sec-fetch-site") in ("cross-site", "same-site")
            is_foreign = is_elsewhere and headers.get("sec-fetch-mode") != "navigate"
        else:
            own = (f"http://{host}", f"https://{host}") if host else ()
            is_foreign = origin not in (*own, *self._origins)
        if is_foreign:
            sender = "another site" if origin is None else f"Origin {origin!r:.80}"
            raise ApiError(403, f"{sender} is not allowed (see --allow-origin)")

    def _check_key(self, method: str, headers: Headers) -> None:
        if self._key is None or self._has_login(method, headers):
            return
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        if not hmac.compare_digest(_digest(given), self._key):
            raise ApiError(
                401,
                "API key missing or wrong: send 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def _has_login(self, method: str, headers: Headers) -> bool:
        """Is this from our own page in a browser that is logged in? A request that may change something must prove it
        by its Origin."""
        if "authorization" in headers or "x-api-key" in headers or not self._logins.accepts(headers):
            return False
        origin, host = headers.get("origin"), headers.get("host")
        return origin in (f"http://{host}", f"https://{host}") or (origin is None and method in _SAFE_METHODS)


def check_options(key: str | None, origins: Collection[str]) -> None:
    """Refuse options that would let in everyone, or no one. Raises ValueError."""
    if key is not None and not _KEY.fullmatch(key):
        raise ValueError("the API key must be one word of printable ASCII, or it cannot be sent in a header")
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"invalid origin {origin!r}: it must be scheme://host or scheme://host:port")


def _needs_no_key(scope: Scope) -> bool:
    """Is it for everyone? The files of the page come from the package and reveal nothing about the buses."""
    path, method = _path_of(scope), scope["method"]
    if method in _SAFE_METHODS and (path == "/" or path.startswith("/page/")):
        return True
    return path in _HEALTH or (path == _LOGIN and method in ("POST", "DELETE"))


def _is_health(scope: Scope) -> bool:
    return _path_of(scope) in _HEALTH and scope["method"] in _SAFE_METHODS


def _path_of(scope: Scope) -> str:
    """The path relative to where the application is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _in_origin_form(scope: Scope) -> Scope:
    """Rewrite ``GET http://host/path`` to ``/path``, as every server must accept it (RFC 9112, 3.2.2).

    Its host is checked like a Host header. If there are both and they differ, it is unclear which one was meant.
    """
    absolute = _ABSOLUTE_FORM.fullmatch(scope.get("raw_path") or b"")
    if not absolute:
        return scope
    host, raw = absolute[1].decode("latin-1"), absolute[2] or b"/"
    headers = MutableHeaders(raw=list(scope["headers"]))
    if headers.setdefault("host", host).lower() != host.lower():
        raise ApiError(403, f"conflicting hosts in the request: {host!r:.80} and {headers['host']!r:.80}")
    return {**scope, "path": unquote(raw.decode("latin-1")), "raw_path": raw, "headers": headers.raw}


def _in_header_form(host: str) -> str:
    return f"[{host}]".lower() if ":" in host and not host.startswith("[") else host.lower()


def _digest(key: str) -> bytes:
    """Equal in length for all keys, so that comparing takes constant time."""
    return sha256(key.encode()).digest()


def _check_head(scope: Scope, headers: Headers) -> None:
    """The HTTP server may accept larger heads; and of two lengths, a proxy may have used the other one
    (request smuggling)."""
    size = len(scope["method"]) + len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
    if size + sum(len(name) + len(value) + 4 for name, value in headers.raw) > MAX_HEAD_BYTES:
        raise ApiError(400, f"the request line and headers exceed {MAX_HEAD_BYTES:,} bytes")
    if "content-length" in headers and "transfer-encoding" in headers:
        raise ApiError(
            400, "Content-Length and Transfer-Encoding must not both be present", headers={"Connection": "close"}
        )


def _check_path(scope: Scope) -> None:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if _AMBIGUOUS_PATH.search(raw.partition(b"?")[0]):
        raise ApiError(
            400,
            "the path contains an encoded slash, a backslash, NUL, '.' or '..'; "
            "to get a message with such an id, use /api/v1/messages?msg_id=ID",
        )
