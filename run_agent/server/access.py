"""Who gets in. Three callers must not: somebody without the key, a page in the user's own browser
that belongs to somebody else, and a path that means something else than it says.

docs/security.md has the reasons; each line there has a test that attacks.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection
from hashlib import sha256

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from run_agent.server.problems import Problem

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_OPEN = ("/healthz", "/api/v1/health")  # say nothing but that we are here
_MISLEADING = re.compile(rb"%2f|%5c|%00|\\|(?:^|/)(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_PORT = re.compile(r":\d+\Z")


class Access:
    """Middleware: refuses, or lets through.

    ``hosts`` are the names under which this server may be asked (``*``: any), ``origins`` the
    pages of other servers that may ask. With a ``key`` every request needs it.
    """

    def __init__(self, app: ASGIApp, *, key: str | None, hosts: Collection[str], origins: Collection[str]) -> None:
        self._app = app
        self._key = _digest(key) if key else None
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            _check_path(scope)
            self._check_host(headers)
            self._check_origin(headers)
            if scope["path"] not in _OPEN:
                self._check_key(headers)
        except Problem as problem:
            await problem.answer()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        """A page can give its own name our address (DNS rebinding), but not forge this header."""
        name = _PORT.sub("", headers.get("host", "")).lower()
        if name not in self._hosts and "*" not in self._hosts:
            raise Problem(403, f"this server does not answer to the name {name!r:.80}; --allow-host adds names")

    def _check_origin(self, headers: Headers) -> None:
        """Browsers say which page sends a request; other programs say nothing."""
        origin = headers.get("origin")
        if origin is None:
            is_foreign = headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate"
        else:
            is_foreign = origin.partition("://")[2] != headers.get("host") and origin not in self._origins
        if is_foreign:
            raise Problem(403, f"pages of {origin or 'other sites'} may not ask here; --allow-origin lets them")

    def _check_key(self, headers: Headers) -> None:
        if self._key is None:
            return
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        given = bearer.strip() if kind.lower() == "bearer" else headers.get("x-api-key", "")
        if not hmac.compare_digest(_digest(given), self._key):
            raise Problem(
                401,
                "give the API key, as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
                headers={"WWW-Authenticate": "Bearer"},
            )


def _digest(key: str) -> bytes:
    """Of one length for all keys, so that comparing two takes one time."""
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


def _check_path(scope: Scope) -> None:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if _MISLEADING.search(raw.partition(b"?")[0]):
        raise Problem(400, "the path holds an encoded slash, a backslash, NUL, '.' or '..'")
