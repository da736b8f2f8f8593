"""Requests in the forms that clients, proxies and load balancers really send."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from patience import SECONDS

from messagebus import MessageBus

LIST = "/api/projects/demo/messages"
TAGGED = ("/api/v1/activity", "/page/style.css")
HAND_WRITTEN = ["MSG-a+b/c%41&d=e#f?g", "запись-№1", "é", "日本/語+1", "summary", "..", 'say "x"\\']


def exchange(url: str, request: str) -> str:
    """Send these bytes; returns the response."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        connection.sendall(request.encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer.decode()


@pytest.fixture
def hand_written(root: Path) -> list[str]:
    """A bus of records written by hand, with ids of all sorts that are also their bodies."""
    (root / "demo").mkdir(parents=True)
    records = [f"---\nmsg_id: {name}\ntype: FACT\n---\n{name}\n" for name in HAND_WRITTEN]
    (root / "demo/PROJECT-MESSAGE-BUS.md").write_text("\n".join(records))
    return HAND_WRITTEN


@pytest.mark.parametrize("path", TAGGED)
def test_if_none_match(api: httpx.Client, post_bodies: Callable[..., Any], path: str) -> None:
    post_bodies("x")
    tag = api.get(path).headers["etag"]
    held = [tag, f"W/{tag}", f'"a", W/"b,c" ,{tag}', f'"a",{tag},"b"', "*"]
    for given in held:
        answer = api.get(path, headers={"If-None-Match": given})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag), given
    two = api.get(path, headers=[("If-None-Match", '"a"'), ("If-None-Match", tag)])
    assert two.status_code == 304
    for given in ('"a"', 'W/"a", "b"', tag.strip('"'), "", '"*"', f'"{tag[1:9]}"'):
        assert api.get(path, headers={"If-None-Match": given}).status_code == 200, given


def test_a_target_in_absolute_form(served: Any, post_bodies: Callable[..., Any]) -> None:
    """As clients send it to a proxy (RFC 9112, 3.2.2)."""
    post_bodies("hello")
    name = served.url.removeprefix("http://")

    def first_line(target: str, host: str = "") -> str:
        head = f"GET {target} HTTP/1.1\r\n{host and f'Host: {host}'}\r\nConnection: close\r\n\r\n"
        return exchange(served.url, head).splitlines()[0]

    for target in (
        f"http://{name}{LIST}?limit=1",
        f"HTTP://{name.upper()}{LIST}",
        f"https://{name}/",
        f"http://{name}",
    ):
        assert first_line(target, name) == "HTTP/1.1 200 OK", target
    assert '"hello"' in exchange(served.url, f"GET http://{name}{LIST} HTTP/1.0\r\n\r\n")
    assert " 403 " in first_line(f"http://evil.example{LIST}", name)
    assert " 403 " in first_line(f"http://{name}{LIST}", "evil.example")
    assert " 400 " in first_line(f"http://{name}/api/projects/..%2fx/messages", name)
    assert " 404 " in first_line(f"ftp://{name}{LIST}", name)


def test_an_extra_slash(api: httpx.Client) -> None:
    """It is not redirected: behind a proxy, the server does not know its own URL."""
    for path in ("/api/v1/projects/", "/api/projects/demo/messages/", "/healthz/", "/api/v1/messages/summary/"):
        answer = api.get(path, headers={"X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/bus"})
        assert (answer.status_code, answer.headers.get("location")) == (404, None), path


def test_health_for_any_host(served: Any) -> None:
    """By an address, as a kubelet does, or without a Host header, as HAProxy does; but nothing else."""
    for path in ("/healthz", "/api/v1/health"):
        for head in (f"GET {path} HTTP/1.0\r\n", f"GET {path} HTTP/1.1\r\nHost: 10.42.0.7:14355\r\n"):
            answer = exchange(served.url, f"{head}Connection: close\r\n\r\n")
            assert answer.startswith("HTTP/1.1 200 OK")
            assert answer.endswith('{"status":"ok"}')
        foreign = exchange(served.url, f"GET {path} HTTP/1.0\r\nOrigin: http://evil.example\r\n\r\n")
        assert " 403 " in foreign.splitlines()[0]
    assert " 403 " in exchange(served.url, "GET /api/v1/version HTTP/1.0\r\n\r\n").splitlines()[0]


def test_json_with_a_byte_order_mark(api: httpx.Client, bus: MessageBus) -> None:
    document = '\ufeff{"body": "x"}'.encode()
    assert api.post(LIST, content=document, headers={"Content-Type": "application/json"}).status_code == 201
    assert [message.body for message in bus.read_messages()] == ["x"]


@pytest.mark.parametrize(
    ("given", "stored"),
    [({"type": ""}, "USER"), ({"type": " \t"}, "USER"), ({"type": " FACT\t"}, "FACT"), ({}, "USER")],
)
def test_the_type_of_a_post(api: httpx.Client, bus: MessageBus, given: dict[str, str], stored: str) -> None:
    assert api.post(LIST, json={"body": "x", **given}).status_code == 201
    assert [message.type for message in bus.read_messages()] == [stored]


def test_cors_for_the_web_ui_of_the_go_project(serving: Callable[..., Any]) -> None:
    page = "https://ui.example"
    client = serving(allowed_origins=[page]).client
    wanted = {
        "Origin": page, "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "content-type,x-conductor-client",
    }  # fmt: skip
    assert client.options("/api/projects", headers=wanted).status_code == 200


def test_ids_written_by_hand(api: httpx.Client, hand_written: list[str]) -> None:
    """In every place that accepts or returns an id."""
    scope = {"project_id": "demo"}
    v1 = "/api/v1/messages"
    for number, name in enumerate(hand_written):
        rest = hand_written[number + 1 :]
        for path, query in ((v1, {**scope, "after": name}), (LIST, {"since": name})):
            page = api.get(path, params=query).json()
            assert [message["msg_id"] for message in page["messages"]] == rest
            assert page.get("next") == (rest[-1] if rest else None)
        assert [one["body"] for one in api.get(v1, params={**scope, "msg_id": name}).json()["messages"]] == [name]
        before = api.get(v1, params={**scope, "before": name, "limit": 1}).json()
        assert [message["msg_id"] for message in before["messages"]] == hand_written[max(number - 1, 0) : number]
        assert before.get("previous") == (hand_written[number - 1] if number > 1 else None)
        unread = api.post("/api/v1/unread", json={"buses": [{**scope, "after": name}]}).json()
        assert unread == {"counts": [len(rest)]}
        if not {*"/\\"} & {*name} and name not in ("..", "summary"):
            assert api.get(f"{v1}/{quote(name, safe='')}", params=scope).json()["body"] == name
    assert api.get(v1, params={**scope, "msg_id": "nobody"}).json() == {"messages": []}
    refused = api.get(f"{v1}/a%2fb", params=scope)
    assert (refused.status_code, "msg_id=" in refused.text) == (400, True)
    posted = api.post(LIST, json={"body": "x", "type": "ANSWER", "parents": [hand_written[0]]})
    assert posted.status_code == 201
    replies = api.get(v1, params={**scope, "parent": hand_written[0], "type": "ANSWER"}).json()["messages"]
    assert [message["parents"] for message in replies] == [hand_written[:1]]
    assert api.get(v1, params={**scope, "parent": hand_written[0], "type": "FACT"}).json()["messages"] == []
    assert api.get("/api/v1/activity").json()["buses"][0]["last_id"] == posted.json()["msg_id"]


def test_a_plus_that_became_a_space(api: httpx.Client, hand_written: list[str]) -> None:
    answer = api.get(f"{LIST}?since=MSG-1+2")
    assert answer.status_code == 404
    assert "%2B" in answer.json()["error"]["message"]


@pytest.mark.parametrize("stream", [f"{LIST}/stream", "/api/v1/messages/stream?project_id=demo"])
def test_a_stream_resumes_after_any_id(
    served: Any, listen: Callable[..., Any], hand_written: list[str], stream: str
) -> None:
    """By the header, in UTF-8 or Latin-1, or by a parameter; the header takes precedence, then lastEventId."""
    url = f"{served.url}{stream}{'&' if '?' in stream else '?'}"
    for number, name in enumerate(hand_written[:-1]):
        after = hand_written[number + 1]
        for query in (f"after={quote(name)}", f"after=nobody&lastEventId={quote(name)}"):
            event = listen(f"{url}{query}").next()
            assert (event.type, event.last_id, event.json["body"]) == ("message", after, after)
        assert listen(f"{url}after=nobody&lastEventId=nobody", last_id=name).next().last_id == after
    with httpx.stream("GET", url, headers=[(b"Last-Event-ID", "é".encode("latin-1"))]) as answer:
        after = hand_written[hand_written.index("é") + 1]
        assert next(line for line in answer.iter_lines() if line.startswith("id: ")) == f"id: {after}"
