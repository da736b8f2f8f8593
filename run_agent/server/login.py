"""The cookie that the page gets for the key, since a browser's EventSource sends no header.

It is made of the key and a date, so that it outlives this process, and nobody can make the key, or
another cookie, of it.
"""

from __future__ import annotations

import hmac
import time
from hashlib import sha256

from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.responses import Response

from run_agent.server import params
from run_agent.server.errors import ApiError

_LASTS = 30 * 24 * 3600  # seconds
_LARGEST = 4096  # bytes of a document that holds a key


class Logins:
    """Cookies for one key; for none where there is no key."""

    def __init__(self, key: str | None) -> None:
        self._key = key
        self._secret = sha256(b"run-agent session\0" + (key or "").encode()).digest()
        # Cookies are the same for all ports of a host: servers with other keys have other names.
        self.name = f"run-agent-{self._sign('name')[:8]}"

    def accepts(self, headers: Headers) -> bool:
        """Is there a cookie of ours that still counts?"""
        if self._key is None:
            return False
        value = cookie_parser(headers.get("cookie", "")).get(self.name, "")
        until, _, signature = value.partition(".")
        is_ours = hmac.compare_digest(signature.encode(), self._sign(until).encode())
        return is_ours and int(until) > time.time()  # only of what is ours: that is a number

    async def answer(self, request: Request) -> Response:
        """POST: take the key, and give a cookie for it. DELETE: take that back from this browser."""
        params.parameters(request, ())
        return await self._begin(request) if request.method == "POST" else self._give(request, "", 0)

    async def _begin(self, request: Request) -> Response:
        given = params.key(await params.posted(request, _LARGEST))
        if self._key is None:
            return Response(status_code=204)
        if not hmac.compare_digest(_digest(given), _digest(self._key)):
            raise ApiError(401, "this is not the API key of the server")
        until = str(int(time.time()) + _LASTS)
        return self._give(request, f"{until}.{self._sign(until)}", _LASTS)

    def _give(self, request: Request, value: str, seconds: int) -> Response:
        response = Response(status_code=204)
        response.set_cookie(
            self.name,
            value,
            max_age=seconds,
            path=request.scope.get("root_path") or "/",
            secure=request.headers.get("origin", "").startswith("https:"),  # a proxy with TLS in front of us
            httponly=True,
            samesite="strict",
        )
        return response

    def _sign(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), sha256).hexdigest()


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()
