"""The headers of every response that restrict what a browser does with it.

Responses are data, not pages: a browser must not guess their type, run, frame or cache them. The
files of the page have a policy of their own (``static_files``).
"""

from __future__ import annotations

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
