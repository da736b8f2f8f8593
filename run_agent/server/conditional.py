"""Conditional requests: a client that holds an answer already need not be sent it again (RFC 9110, 13.1.2)."""

from __future__ import annotations

import re

from starlette.requests import Request

_TAG = re.compile(r'(?:W/)?("[!#-~\x80-\xff]*")')


def is_held(request: Request, tag: str) -> bool:
    """Does If-None-Match name this tag? It may be a list, or ``*``; whoever changed the answer on its way
    (by compressing it) makes the tag a weak one, which counts as well."""
    given = ", ".join(request.headers.getlist("if-none-match"))
    return given.strip() == "*" or tag in _TAG.findall(given)
