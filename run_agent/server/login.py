"""Logins: a browser exchanges the API key for a cookie, because its EventSource cannot send a header.

The cookie is an expiry time with an HMAC under a secret derived from the key. So it is valid across
restarts without any state, and neither the key nor another cookie can be derived from it.
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

_LIFETIME = 30 * 24 * 3600  # seconds
_MAX_REQUEST_BYTES = 4096


class Logins:
    """Login cookies for one key. Without a key none is issued or accepted."""

    def __init__(self, key: str | None) -> None:
        self._key = key
        self._secret = sha256(b"run-agent session\0" + (key or "").encode()).digest()
        # A host shares its cookies between all ports, so servers with different keys need different names.
        self.cookie_name = f"run-agent-{self._sign('name')[:8]}"

    def accepts(self, headers: Headers) -> bool:
        """Do the headers hold a cookie of ours that has not expired?"""
        if self._key is None:
            return False
        value = cookie_parser(headers.get("cookie", "")).get(self.cookie_name, "")
        expires, _, signature = value.partition(".")
        is_genuine = hmac.compare_digest(signature.encode(), self._sign(expires).encode())
        return is_genuine and int(expires) > time.time()  # if it is genuine, it is a number

    async def endpoint(self, request: Request) -> Response:
        """POST: exchange the key for a cookie. DELETE: remove the cookie from this browser."""
        params.query_parameters(request, ())
        return await self._log_in(request) if request.method == "POST" else self._cookie_response(request, "", 0)

    async def _log_in(self, request: Request) -> Response:
        given = params.api_key(await params.json_object(request, _MAX_REQUEST_BYTES))
        if self._key is None:
            return Response(status_code=204)
        if not hmac.compare_digest(_digest(given), _digest(self._key)):
            raise ApiError(401, "wrong API key")
        expires = str(int(time.time()) + _LIFETIME)
        return self._cookie_response(request, f"{expires}.{self._sign(expires)}", _LIFETIME)

    def _cookie_response(self, request: Request, value: str, seconds: int) -> Response:
        response = Response(status_code=204)
        response.set_cookie(
            self.cookie_name,
            value,
            max_age=seconds,
            path=request.scope.get("root_path") or "/",
            secure=request.headers.get("origin", "").startswith("https:"),  # behind a proxy with TLS
            httponly=True,
            samesite="strict",
        )
        return response

    def _sign(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), sha256).hexdigest()


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()
