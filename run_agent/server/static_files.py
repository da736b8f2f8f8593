"""The page: its files as they are in the package, and under which rules a browser may run them."""

from __future__ import annotations

import os
from functools import cache
from hashlib import sha256
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from run_agent.server.conditional import is_held
from run_agent.server.errors import ApiError

INDEX = "index.html"
_DIRECTORY = os.path.join(os.path.dirname(os.path.dirname(__file__)), "web")
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
# Nothing but our own files, and no string becomes HTML or script but through the sanitiser.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types dompurify",
    )
)


class _File(NamedTuple):
    content: bytes
    kind: str
    tag: str


async def page(request: Request) -> Response:
    """A file of the page; ``/`` is its index. The same for everybody: nothing of the buses is in it."""
    name = request.path_params.get("name", INDEX)
    file = _files().get(name)
    if file is None:
        raise ApiError(404, "the page has no such file")
    headers = {"ETag": file.tag, "Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
    if is_held(request, file.tag):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.kind, headers=headers)


@cache
def _files() -> dict[str, _File]:
    """All of them, read once: no path is ever made of what a request says."""
    return {name: _file(name) for name in _names() if os.path.splitext(name)[1] in _TYPES}


def _names() -> list[str]:
    return [
        os.path.relpath(os.path.join(directory, name), _DIRECTORY)
        for directory, _, names in os.walk(_DIRECTORY)
        for name in names
    ]


def _file(name: str) -> _File:
    with open(os.path.join(_DIRECTORY, name), "rb") as file:
        content = file.read()
    return _File(content, _TYPES[os.path.splitext(name)[1]], f'"{sha256(content).hexdigest()[:32]}"')
