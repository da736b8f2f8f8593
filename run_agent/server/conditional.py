"""Conditional requests: a client that already has the current answer is not sent it again (RFC 9110, 13.1.2)."""

from __future__ import annotations

import re

from starlette.requests import Request

_ETAG = re.compile(r'(?:W/)?("[!#-~\x80-\xff]*")')


def etag_matches(request: Request, etag: str) -> bool:
    """Does If-None-Match name this ETag? It may be a list, or ``*``. A weak ETag matches too: a proxy that
    compresses an answer makes its ETag weak."""
    header = ", ".join(request.headers.getlist("if-none-match"))
    return header.strip() == "*" or etag in _ETAG.findall(header)
