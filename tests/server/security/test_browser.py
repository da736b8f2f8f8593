"""Pages in the user's own browser, and all that they can send (docs/security.md, S9 to S14).

A page can point its own name at our address, so that the browser takes our responses for its own; it can send
requests across origins, without seeing the response, and post what a form can. It cannot choose Host, Origin
or Sec-Fetch-Site, nor send JSON without a preflight request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LIST = "/api/projects/demo/messages"
STREAM = f"{LIST}/stream"
PAGE = "https://page.example"
NAVIGATION = "Sec-Fetch-Mode: navigate"


def test_unknown_hosts_are_refused(
    serving: Callable[..., Any], client: Callable[..., Any], bus: object, untouched: Callable[[], None]
) -> None:
    attacker = client(serving(allowed_hosts=["localhost", "127.0.0.1", "[::1]", "fe80::1", "Bus.Example"]))
    port = attacker.name.rpartition(":")[2]
    others = [
        "evil.example", "rebound.localhost", "localhost.evil.example", "127.0.0.1.evil.example", "xlocalhost",
        "localhost.", "127.0.0.1.", "localhost..", "127.1", "127.0.0.2", "2130706433", "0x7f000001", "0177.0.0.1",
        "0", "[::]", "[::ffff:127.0.0.1]", "::1", "[::1", "::1]", "[0:0:0:0:0:0:0:1]", "[fe80::1%25lo]", "0.0.0.1",
        "user@localhost", "localhost@evil.example", "user:localhost", "localhost:80:80", "localhost:", "localhost:x",
        "localhost:-1", "localhost:+1", "localhost: 80", "localhost/", "localhost#", "localhost?x", "localhost\\",
        "localhost,evil.example", "evil.example, localhost", "local host", "*", "", "null", "http://localhost",
        "l\xf6calhost", "bus.example.", "bus%2eexample", "localhost\xa0", "localhost:8\xb2", "x" * 10_000,
    ]  # fmt: skip
    untouched()
    for name in others:
        for host in (name, f"{name}:{port}"):
            assert attacker.ask(LIST, host=host).status == 403, host
        assert attacker.post(LIST, {"body": "x"}, host=name).status == 403, name
        assert attacker.ask(STREAM, host=name).status == 403, name
        assert attacker.ask("/openapi.json", f"X-Forwarded-Host: localhost:{port}", host=name).status == 403, name
    assert attacker.send(f"GET {LIST} HTTP/1.0\r\n\r\n".encode()).status == 403  # a request without a name
    for headers in ("", "Host: localhost\r\nHost: evil.example\r\n", "Host: evil.example\r\nHost: localhost\r\n"):
        assert attacker.send(f"GET {LIST} HTTP/1.1\r\n{headers}\r\n".encode()).status == 400, headers
    for target, host in (
        ("localhost", "evil.example"),
        ("evil.example", "localhost"),
        ("evil.example", "evil.example"),
    ):
        assert attacker.ask(f"http://{target}{LIST}", host=host).status == 403
    for name in ("localhost", "LocalHost", "127.0.0.1", "[::1]", "[FE80::1]", "bus.example", "BUS.EXAMPLE"):
        for host in (name, f"{name}:{port}", f"{name}:1"):  # what a tunnel listens to is another port
            assert attacker.ask(LIST, host=host).status == 200, host


def test_foreign_origins_are_refused(
    serving: Callable[..., Any], client: Callable[..., Any], bus: object, untouched: Callable[[], None]
) -> None:
    attacker = client(serving(allowed_hosts=["*"], allowed_origins=[PAGE]))
    name = attacker.name
    others = [
        "null", "", "http://evil.example", "https://evil.example", "http://localhost", f"http://{name}0", "file://",
        f"http://{name}.evil.example", f"http://evil.example#{name}", f"http://evil.example/{name}", f"ftp://{name}",
        f"http://user@{name}", f"http://{name}/", name, f"//{name}", f"http:{name}", f"chrome-extension://{name}",
        f"HTTP://{name}", f"http://{name}, http://evil.example", f"http://evil.example http://{name}", f"{PAGE}:443",
        PAGE.replace("https", "http"), f"{PAGE}/", f"{PAGE}.evil.example", "https://evil-page.example", PAGE.upper(),
        f"http://{name}\xa0", "http://", "https://None",
    ]  # fmt: skip
    untouched()
    for origin in others:
        for target in (LIST, STREAM, "/openapi.json", "/healthz", "/api/v1/projects"):
            assert attacker.ask(target, f"Origin: {origin}").status == 403, origin
        for more in ((), (NAVIGATION,), ("Sec-Fetch-Site: same-origin",), (f"Referer: http://{name}/",)):
            assert attacker.post(LIST, {"body": "x"}, f"Origin: {origin}", *more).status == 403, (origin, more)
    for origin in ("null", "http://", "https://", "http://None"):  # nothing is the origin of no name
        assert attacker.ask(LIST, f"Origin: {origin}", host="").status == 403, origin
    for origin in (f"http://{name}", f"https://{name}", PAGE):  # https: a proxy in front of us
        assert attacker.ask(LIST, f"Origin: {origin}").status == 200, origin


def test_foreign_images_and_scripts_are_refused(attacker: Any, bus: object, untouched: Callable[[], None]) -> None:
    untouched()
    for site in ("cross-site", "same-site"):  # same-site: another port of localhost
        for mode in ("no-cors", "cors", "same-origin", "websocket", ""):
            for target in (LIST, STREAM, "/healthz"):
                answer = attacker.ask(target, f"Sec-Fetch-Site: {site}", f"Sec-Fetch-Mode: {mode}")
                assert answer.status == 403, (site, mode)
        assert attacker.ask(LIST, f"Sec-Fetch-Site: {site}").status == 403
        assert attacker.ask(LIST, f"Sec-Fetch-Site: {site}", NAVIGATION).status == 200  # a link that was clicked
    for site in ("none", "same-origin"):
        assert attacker.ask(LIST, f"Sec-Fetch-Site: {site}", "Sec-Fetch-Mode: cors").status == 200


def test_no_cors_unless_configured(
    serving: Callable[..., Any], client: Callable[..., Any], key: str, bus: object
) -> None:
    def asked(attacker: Any, origin: str) -> list[Any]:
        """What a browser sends for a page that posts with a key: the preflight request, and then the post."""
        wanted = "Access-Control-Request-Headers: content-type,x-api-key", "Access-Control-Request-Method: POST"
        preflight = attacker.ask(LIST, f"Origin: {origin}", *wanted, method="OPTIONS")
        return [preflight, attacker.post(LIST, {"body": "x"}, f"Origin: {origin}", f"X-API-Key: {key}")]

    closed, opened = (client(serving(api_key=key, **more)) for more in ({}, {"allowed_origins": [PAGE]}))
    for attacker, page in ((closed, PAGE), (closed, "null"), (opened, "https://evil.example"), (opened, "null")):
        for answer in asked(attacker, page):
            assert answer.status in (400, 401, 403)
            assert "access-control-allow-origin" not in answer.headers
    for answer in (closed.ask(LIST, f"X-API-Key: {key}"), *asked(closed, f"http://{closed.name}")):
        assert not [name for name in answer.headers if name.startswith("access-control")]

    preflight, posted = asked(opened, PAGE)
    assert (preflight.status, posted.status) == (200, 201)
    for answer in (preflight, posted, opened.ask(LIST, f"Origin: {PAGE}")):  # the last lacks the key
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "origin" in answer.headers["vary"].lower()
        assert "access-control-allow-credentials" not in answer.headers
    assert set(preflight.headers["access-control-allow-methods"].split(", ")) == {"GET", "POST"}


def test_forms_cannot_post(attacker: Any, bus: object, untouched: Callable[[], None]) -> None:
    document = b'{"body": "x", "project_id": "demo"}'
    kinds = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json", "*/*"]
    kinds += ["application/json, text/plain", "text/plain; application/json", "text/plain;charset=application/json"]
    kinds += ["application/jsonx", "xapplication/json", "application/ json", "application/json text/plain", "", ";"]
    kinds += ["application/csp-report", "application/json5", "application/x-json", '"application/json"', "json"]
    untouched()
    for target in (LIST, "/api/projects/demo/tasks/t/messages", "/api/v1/messages"):
        assert attacker.ask(target, method="POST", body=document).status == 415
        for kind in kinds:
            assert attacker.ask(target, f"Content-Type: {kind}", method="POST", body=document).status == 415, kind
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            headers = f"Content-Type: {kind}", "Content-Type: application/json", "X-HTTP-Method-Override: POST"
            assert attacker.ask(target, *headers, method="POST", body=document).status == 415
            assert attacker.ask(target, *headers, body=document).status in (200, 400)  # a GET reads, whatever it holds
    for method in ("PUT", "PATCH", "DELETE"):
        assert attacker.ask(LIST, "Content-Type: application/json", method=method, body=document).status == 405


def test_responses_have_security_headers(
    serving: Callable[..., Any], client: Callable[..., Any], key: str, bus: object
) -> None:
    attacker = client(serving(api_key=key))
    mine = f"X-API-Key: {key}"
    answers = {
        200: attacker.ask(LIST, mine),
        201: attacker.post(LIST, {"body": "<script>"}, mine),
        400: attacker.ask(f"{LIST}?x", mine),
        401: attacker.ask(LIST),
        403: attacker.ask(LIST, mine, "Origin: null"),
        404: attacker.ask("/<script>alert(1)</script>", mine),
        405: attacker.ask("/healthz", mine, method="DELETE"),
        413: attacker.ask(LIST, mine, "Content-Type: application/json", method="POST", body=b" " * 2_000_000),
        415: attacker.ask(LIST, mine, method="POST"),
        422: attacker.post(LIST, {"body": "x", "type": "\x00"}, mine),
    }
    assert {status: answer.status for status, answer in answers.items()} == {status: status for status in answers}
    stream, no_http = attacker.ask(f"{LIST}/stream", mine), attacker.send(b"<script>\r\n\r\n")
    assert (stream.status, no_http.status) == (200, 400)
    for answer in (*answers.values(), stream, no_http):
        headers = answer.headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-type"] == "application/json" or answer is stream
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == ("no-store, no-transform" if answer is stream else "no-store")
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers
        assert "set-cookie" not in headers
