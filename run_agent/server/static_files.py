"""The files of the web page, as they are in the package, and the policy under which a browser runs them."""

from __future__ import annotations

import os
from functools import cache
from hashlib import sha256
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from run_agent.server.conditional import etag_matches
from run_agent.server.errors import ApiError

INDEX = "index.html"
_DIRECTORY = os.path.join(os.path.dirname(os.path.dirname(__file__)), "web")
_MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
# Only our own files are loaded, and no string becomes HTML or a script without passing the sanitiser.
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
    media_type: str
    etag: str


async def static_file(request: Request) -> Response:
    """A file of the page; ``/`` is its index. It needs no key, as it is the same for everyone and holds no messages."""
    name = request.path_params.get("name", INDEX)
    file = _files().get(name)
    if file is None:
        raise ApiError(404, "no such file")
    headers = {"ETag": file.etag, "Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
    if etag_matches(request, file.etag):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


@cache
def _files() -> dict[str, _File]:
    """All files, read once, so that no path is ever built from a request."""
    return {name: _file(name) for name in _names() if os.path.splitext(name)[1] in _MEDIA_TYPES}


def _names() -> list[str]:
    return [
        os.path.relpath(os.path.join(directory, name), _DIRECTORY)
        for directory, _, names in os.walk(_DIRECTORY)
        for name in names
    ]


def _file(name: str) -> _File:
    with open(os.path.join(_DIRECTORY, name), "rb") as file:
        content = file.read()
    return _File(content, _MEDIA_TYPES[os.path.splitext(name)[1]], f'"{sha256(content).hexdigest()[:32]}"')
