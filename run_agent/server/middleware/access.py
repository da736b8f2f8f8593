"""Who gets in. Three callers must not: somebody without the key, a page in the user's own browser
that belongs to somebody else, and a path that means something else than it says.

docs/security.md has the reasons; each line there has a test that attacks.
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
LARGEST_HEAD = 16 * 1024  # bytes of a request line and headers
_OPEN = ("/healthz", "/api/v1/health")  # say nothing but that we are here
_SESSION = "/api/v1/session"  # checks the key itself, or takes a cookie back
_READING = ("GET", "HEAD")
_MISLEADING = re.compile(rb"%2f|%5c|%00|\\|(?:^|/)(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_PORT = re.compile(r":\d+\Z")
_ABSOLUTE = re.compile(rb"https?://([^/?#]+)(.*)", re.IGNORECASE | re.DOTALL)
_KEY = re.compile(r"[!-~]+")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/*\s]+")


class Access:
    """Middleware: refuses, or lets through.

    ``hosts`` are the names under which this server may be asked (``*``: any), ``origins`` the
    pages of other servers that may ask. With a ``key`` every request needs it, or a
    cookie of ``sessions``, but for the files of our own page and the way to such a cookie.
    """

    def __init__(
        self, app: ASGIApp, *, key: str | None, sessions: Logins, hosts: Collection[str], origins: Collection[str]
    ) -> None:
        self._app = app
        self._sessions = sessions
        self._key = None if key is None else _digest(key)
        self._hosts = frozenset(map(_as_in_header, hosts))
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
            if not _is_health(scope):  # load balancers and kubelets ask by an address, or by no name at all
                self._check_host(headers)
            self._check_origin(headers)
            if not _is_open(scope):
                self._check_key(scope["method"], headers)
        except ApiError as problem:
            await problem.answer()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        """A page can give its own name our address (DNS rebinding), but not forge this header."""
        name = _PORT.sub("", headers.get("host", "")).lower()
        if name not in self._hosts and "*" not in self._hosts:
            raise ApiError(403, f"this server does not answer to the name {name!r:.80}; --allow-host adds names")

    def _check_origin(self, headers: Headers) -> None:
        """Browsers say which page sends a request; other programs say nothing."""
        origin, host = headers.get("origin"), headers.get("host")
        if origin is None:  # nor do browsers, of a page that only asks for an image or a script
            is_elsewhere = headers.get("sec-fetch-site") in ("cross-site", "same-site")
            is_foreign = is_elsewhere and headers.get("sec-fetch-mode") != "navigate"
        else:
            ours = (f"http://{host}", f"https://{host}") if host else ()
            is_foreign = origin not in (*ours, *self._origins)
        if is_foreign:
            raise ApiError(403, f"pages of {origin or 'other sites'} may not ask here; --allow-origin lets them")

    def _check_key(self, method: str, headers: Headers) -> None:
        if self._key is None or self._is_our_page(method, headers):
            return
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        given = bearer.strip() if kind.lower() == "bearer" else headers.get("x-api-key", "")
        if not hmac.compare_digest(_digest(given), self._key):
            raise ApiError(
                401,
                "give the API key, as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def _is_our_page(self, method: str, headers: Headers) -> bool:
        """Does a browser that was given a cookie ask, for a page of ours? What changes something must say so."""
        if "authorization" in headers or "x-api-key" in headers or not self._sessions.accepts(headers):
            return False
        origin, host = headers.get("origin"), headers.get("host")
        return origin in (f"http://{host}", f"https://{host}") or (origin is None and method in _READING)


def check_options(key: str | None, origins: Collection[str]) -> None:
    """Refuse what would let in everybody, or nobody. Raises ValueError."""
    if key is not None and not _KEY.fullmatch(key):
        raise ValueError("the API key must be one word of printable ASCII: no header can bring another")
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} is no origin of pages: give scheme://host or scheme://host:port")


def _is_open(scope: Scope) -> bool:
    """Is it for everybody? The files of the page are those of the package, and say nothing of the buses."""
    path, method = _path_of(scope), scope["method"]
    if method in _READING and (path == "/" or path.startswith("/page/")):
        return True
    return path in _OPEN or (path == _SESSION and method in ("POST", "DELETE"))


def _is_health(scope: Scope) -> bool:
    return _path_of(scope) in _OPEN and scope["method"] in _READING


def _path_of(scope: Scope) -> str:
    """The path below the one that we are mounted at."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _in_origin_form(scope: Scope) -> Scope:
    """``GET http://host/path`` is a request for ``/path`` (RFC 9112, 3.2.2): every server must understand it.

    Its host counts, as that of the Host header does: where there are two of them, which one was meant is not known.
    """
    absolute = _ABSOLUTE.fullmatch(scope.get("raw_path") or b"")
    if not absolute:
        return scope
    host, raw = absolute[1].decode("latin-1"), absolute[2] or b"/"
    headers = MutableHeaders(raw=list(scope["headers"]))
    if headers.setdefault("host", host).lower() != host.lower():
        raise ApiError(403, f"the request names two hosts, {host!r:.80} and {headers['host']!r:.80}")
    return {**scope, "path": unquote(raw.decode("latin-1")), "raw_path": raw, "headers": headers.raw}


def _as_in_header(host: str) -> str:
    return f"[{host}]".lower() if ":" in host and not host.startswith("[") else host.lower()


def _digest(key: str) -> bytes:
    """Of one length for all keys, so that comparing two takes one time."""
    return sha256(key.encode()).digest()


def _check_head(scope: Scope, headers: Headers) -> None:
    """Whoever parsed it may have let more pass; and of two lengths, something in front of us may
    have believed the other one (request smuggling)."""
    size = len(scope["method"]) + len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
    if size + sum(len(name) + len(value) + 4 for name, value in headers.raw) > LARGEST_HEAD:
        raise ApiError(400, f"the head of the request is over the limit of {LARGEST_HEAD:,} bytes")
    if "content-length" in headers and "transfer-encoding" in headers:
        raise ApiError(400, "give Content-Length or Transfer-Encoding, not both", headers={"Connection": "close"})


def _check_path(scope: Scope) -> None:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if _MISLEADING.search(raw.partition(b"?")[0]):
        raise ApiError(
            400,
            "the path holds an encoded slash, a backslash, NUL, '.' or '..'; "
            "ask for a message with such an id by /api/v1/messages?msg_id=ID",
        )
