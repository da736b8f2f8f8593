"""The page, which needs no key, and the login, which replaces it (docs/security.md, S32 to S35)."""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from run_agent.server import login
from run_agent.server.static_files import POLICY

LIST = "/api/v1/messages?project_id=demo"
POST = "/api/v1/messages"
SESSION = "/api/v1/session"
MESSAGE = {"project_id": "demo", "body": "x"}


@pytest.fixture
def logged_in(serving: Callable[..., Any], client: Callable[..., Any], key: str) -> tuple[Any, str]:
    """A client of a server with a key, and the cookie of its login."""
    attacker = client(serving(api_key=key, allowed_origins=["https://page.example"]))
    answer = attacker.post(SESSION, {"key": key})
    assert answer.status == 204
    return attacker, answer.headers["set-cookie"]


def cookie_of(header: str) -> str:
    return header.partition(";")[0]


def test_only_the_key_logs_in(
    logged_in: tuple[Any, str], key: str, serving: Callable[..., Any], client: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch, patched: Any,
) -> None:  # fmt: skip
    attacker, header = logged_in
    cookie = cookie_of(header)
    name, _, value = cookie.partition("=")
    until, _, signature = value.partition(".")
    assert attacker.ask(LIST, f"Cookie: {cookie}").status == 200
    assert {part.strip().lower() for part in header.split(";")[1:]} == {
        "httponly", "samesite=strict", "path=/", "max-age=2592000"
    }  # fmt: skip
    assert (
        attacker.post(SESSION, {"key": key}, f"Origin: https://{attacker.name}").headers["set-cookie"].count("Secure")
    )
    for part in (key, key[:6], sha256(key.encode()).hexdigest()):
        assert part not in header

    for wrong in ("", " ", key[:-1], key + "x", key.upper(), "x" * 3000, "\ud800", "é"):
        answer = attacker.post(SESSION, {"key": wrong})
        assert answer.status == 401, wrong
        assert "set-cookie" not in answer.headers
    for document in ({}, {"key": None}, {"key": 1}, {"key": [key]}, {"key": key, "more": 1}, [key], key):
        assert attacker.post(SESSION, document).status == 400, document
    assert attacker.ask(SESSION, "Content-Type: text/plain", method="POST", body=b"{}").status == 415

    later = str(int(until) + 1)
    forged = [
        f"{later}.{signature}",
        f"{until}.{signature[:-1]}",
        f"{until}.{signature}0",
        f"{until}.",
        f".{signature}",
    ]
    forged += [until, signature, f"{until}.{signature.upper()}", f" {until}.{signature}x", ""]
    forged.append(f"{until}..{signature}")
    forged += [f"{until}.{sha256(key.encode()).hexdigest()}", key, f"é{until}.{signature}", f"{until}.\xff", "x.y"]
    for other in forged:
        assert attacker.ask(LIST, f"Cookie: {name}={other}").status == 401, other
    assert attacker.ask(LIST, f"Cookie: session={value}").status == 401
    assert attacker.ask(LIST, f"Cookie: {cookie}", "X-API-Key: wrong").status == 401, "a key that is sent must be right"

    for other_key in (key + "2", "another"):
        other = client(serving(api_key=other_key))
        theirs = cookie_of(other.post(SESSION, {"key": other_key}).headers["set-cookie"])
        assert attacker.ask(LIST, f"Cookie: {theirs}").status == 401
        assert attacker.ask(LIST, f"Cookie: {name}={theirs.partition('=')[2]}").status == 401
        assert theirs.partition("=")[0] != name, "servers of one host do not take each other's away"
    assert client(serving(api_key=key)).ask(LIST, f"Cookie: {cookie}").status == 200, "it outlives a restart"

    now = time.time()
    monkeypatch.setattr(login, "time", patched(time, time=lambda: now + 31 * 24 * 3600))
    assert attacker.ask(LIST, f"Cookie: {cookie}").status == 401
    ended = attacker.ask(SESSION, f"Cookie: {cookie}", method="DELETE")
    assert ended.status == 204
    assert "max-age=0" in ended.headers["set-cookie"].lower()


def test_a_login_serves_only_our_own_page(
    logged_in: tuple[Any, str], bus: object, untouched: Callable[[], None]
) -> None:
    attacker, header = logged_in
    cookie = f"Cookie: {cookie_of(header)}"
    untouched()
    port = int(attacker.name.rpartition(":")[2])
    others = [
        "null",
        "https://evil.example",
        f"http://127.0.0.1:{port - 1}",
        "http://localhost",
        "https://page.example",
    ]
    for origin in others:
        assert attacker.post(POST, MESSAGE, cookie, f"Origin: {origin}").status in (401, 403), origin
        assert attacker.ask(LIST, cookie, f"Origin: {origin}").status in (401, 403), origin
    assert attacker.post(POST, MESSAGE, cookie).status == 401, "without an origin it is not our page"
    assert attacker.post("/api/v1/unread", {"buses": []}, cookie).status == 401
    for site in ("cross-site", "same-site"):
        assert attacker.ask(LIST, cookie, f"Sec-Fetch-Site: {site}", "Sec-Fetch-Mode: cors").status == 403
    for target in (LIST, f"{POST}/stream?project_id=demo", "/api/v1/activity"):
        assert attacker.ask(target, cookie, "Sec-Fetch-Site: same-origin").status == 200
    assert attacker.post("/api/v1/unread", {"buses": []}, cookie, f"Origin: http://{attacker.name}").status == 200


def test_only_files_of_the_page_are_served(logged_in: tuple[Any, str], untouched: Callable[[], None]) -> None:
    attacker, _ = logged_in
    untouched()
    kinds = {"/": "text/html", "/page/app.js": "text/javascript", "/page/style.css": "text/css"}
    kinds |= {"/page/vendor/purify.es.mjs": "text/javascript", "/page/icon.svg": "image/svg+xml"}
    for target, kind in kinds.items():
        answer = attacker.ask(target)
        assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, kind)
        assert attacker.ask(target, f"If-None-Match: {answer.headers['etag']}").status == 304
        assert attacker.ask(target, method="HEAD").status == 200
    names = ["", "x", "main", "app.js/", "/app.js", "vendor", "vendor/", "MAIN.JS", "app.js%00", "app.js ", "*.js"]
    names += ["../server/app.py", "..%2fserver/app.py", "%2e%2e/server/app.py", "....//server/app.py", "/etc/passwd"]
    names += ["vendor/../../cli.py", "\\..\\cli.py", "file:///etc/passwd", "vendor/purify.es.d.mts", "__init__.py"]
    for name in names:
        assert attacker.ask(f"/page/{name}").status in (400, 404), name
    for target in kinds:
        for method in ("POST", "PUT", "DELETE"):
            assert attacker.ask(target, method=method).status in (401, 405)


def test_the_page_runs_under_a_strict_policy(logged_in: tuple[Any, str]) -> None:
    attacker, _ = logged_in
    rules = dict(rule.partition(" ")[::2] for rule in POLICY.split("; "))
    assert rules.pop("trusted-types") == "dompurify"
    assert rules.pop("require-trusted-types-for") == "'script'"
    assert {"default-src", "base-uri", "form-action", "frame-ancestors", "script-src"} <= rules.keys()
    assert {*rules.values()} == {"'none'", "'self'"}
    for target in ("/", "/page/app.js", "/page/icon.svg"):
        headers = attacker.ask(target).headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-cache"
        assert "set-cookie" not in headers
