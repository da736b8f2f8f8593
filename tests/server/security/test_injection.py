"""Content that imitates an event, a request or a log line (docs/security.md, S20 to S23)."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from messagebus import MessageBus
from run_agent.server import create_app
from run_agent.server.middleware.request_log import JsonLines, TextLines
from run_agent.server.serialization import event

LIST = "/api/projects/demo/messages"
# Line ends: SSE has the first three, Python's splitlines all.
LINE_ENDS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
FORGED = "{0}{0}event: message{0}id: MSG-FORGED{0}data: {{}}{0}{0}"
EVENT_LINE = re.compile(r"event: (message|reset|heartbeat)|id: MSG-\w+|data: \{.*\}|retry: \d+|")


def test_no_field_adds_a_line_to_a_stream(
    attacker: Any, bus: MessageBus, root: Path, listen: Callable[..., Any], served: Any
) -> None:
    accepted = []
    for end in LINE_ENDS:
        forged = FORGED.format(end)
        for fields in (
            {"body": f"x{forged}"}, {"type": forged}, {"run_id": forged}, {"issue_id": forged}, {"meta": {"a": forged}},
            {"meta": {forged: "a"}}, {"parents": [f"MSG-1{forged}"]}, {"parents": [{"msg_id": "a", "kind": forged}]},
            {"links": [{"url": forged, "label": forged, "kind": forged}]},
        ):  # fmt: skip
            answer = attacker.post(LIST, {"body": "x", **fields})
            assert answer.status in (201, 422), fields
            accepted += [answer.json["msg_id"]] if answer.status == 201 else []
    assert len(accepted) > 2 * len(LINE_ENDS)  # all bodies, and fields where it is not a control character
    with (root / "demo/PROJECT-MESSAGE-BUS.md").open("a", newline="") as file:  # by hand
        for count, end in enumerate(LINE_ENDS):
            forged = json.dumps(FORGED.format(end))
            fields = f"type: {forged}\nrun_id: {forged}\nmeta:\n  {forged}: {forged}"
            file.write(f"\n---\nmsg_id: MSG-{count}\n{fields}\n---\nx{FORGED.format(end)}\n")
            file.write(f"\n---\nmsg_id: MSG-{count}{end}id: x\n{fields}\n---\nx\n")

    stream = HTTPResponse(attacker.begin(f"{LIST}/stream?after={accepted[0]}"))
    stream.begin()
    stored = bus.read_messages(accepted[0])
    assert len(stored) >= len(accepted) + len(LINE_ENDS)
    attacker.post(LIST, {"body": "the last"})
    events = ""
    while "the last" not in events:
        events += stream.readline().decode()
    for end in LINE_ENDS:  # an id that no file can hold, but another store may
        events += event("message", {"body": end}, f"MSG-1{end}id: 2").decode()
    for lines in (re.split(r"\r\n|\r|\n", events), events.splitlines()):
        assert [line for line in lines if not EVENT_LINE.fullmatch(line)] == []
        assert [json.loads(line[6:])["body"] for line in lines if line.startswith("data: ")] == [
            *(message.body for message in stored),
            "the last",
            *LINE_ENDS,
        ]
    for last_id in ("x\x85y", "\xff", "MSG-FORGED", "x" * 9000, "0"):
        assert listen(f"{served.url}{LIST}/stream", last_id=last_id).next().type == "reset"


POST = f"POST {LIST} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
BODY = b'{"body":"x"}'
CHUNKED = b"Transfer-Encoding: chunked\r\n"
NO_SIZES = (b"+12", b"-1", b"0xc", b"1 2", b"12a", b"", b"9" * 30, "\u0661\u0662".encode())
SECOND = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def test_ambiguous_requests_are_refused(attacker: Any, bus: MessageBus, untouched: Callable[[], None]) -> None:
    chunk = b"c\r\n" + BODY
    untouched()
    for hostile in (
        POST + b"Content-Length: 12\r\n" + CHUNKED + b"\r\n" + chunk + b"\r\n0\r\n\r\n",
        POST + CHUNKED + b"Content-Length: 12\r\n\r\n" + chunk + b"\r\n0\r\n\r\n",
        POST + CHUNKED + b"Content-Length: 0\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 12\r\nContent-Length: 13\r\n\r\n" + BODY,
        POST + b"Content-Length: 12, 13\r\n\r\n" + BODY,
        *(POST + b"Content-Length: %b\r\n\r\n%b" % (size, BODY) for size in NO_SIZES),
        POST + b"Content-Length : 12\r\n\r\n" + BODY,
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + chunk + b"\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: identity\r\n\r\n" + BODY,
        POST + b"Transfer-Encoding: xchunked\r\n\r\n" + chunk + b"\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + chunk + b"\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n" + chunk + b"\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding : chunked\r\n\r\n" + chunk + b"\r\n0\r\n\r\n",
        POST + CHUNKED + b"\r\n" + chunk + b"XX0\r\n\r\n",
        POST + CHUNKED + b"\r\n0xc\r\n" + BODY + b"\r\n0\r\n\r\n",
        POST + CHUNKED + b"\r\n-c\r\n" + BODY + b"\r\n0\r\n\r\n",
        POST + CHUNKED + b"\r\nffffffffffffffffffffffff\r\n" + BODY,
        POST + CHUNKED + b"\r\n" + b"0" * 17000,
        POST + b"Host: evil.example\r\nContent-Length: 12\r\n\r\n" + BODY,
        POST + b"X: a\0b\r\nContent-Length: 12\r\n\r\n" + BODY,
        POST + b"X: a\rb\r\nContent-Length: 12\r\n\r\n" + BODY,
        POST + b"no colon\r\nContent-Length: 12\r\n\r\n" + BODY,
        POST.replace(b"HTTP/1.1", b"HTTP/1.1 x") + b"Content-Length: 12\r\n\r\n" + BODY,
        POST.replace(b"POST ", b"POST\t") + b"Content-Length: 12\r\n\r\n" + BODY,
        POST.replace(b"/api", b"/\xffapi") + b"Content-Length: 12\r\n\r\n" + BODY,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # TLS
        b"GET /\r\n\r\n", b"\0" * 100 + b"\r\n\r\n", b"\r\n" * 10_000, b"x" * 20_000,
    ):  # fmt: skip
        connection = attacker.connect()
        connection.sendall(hostile + SECOND)
        said = attacker.all_of(connection)
        assert said.startswith(b"HTTP/1.1 400 "), (hostile, said)
        assert (len(re.findall(rb"HTTP/1.1 \d", said)), b'"ok"' in said) == (1, False), (hostile, said)
        assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] == "BAD_REQUEST"
        assert re.search(rb"\r\nx-request-id: [0-9a-f]{32}\r\n", said, re.IGNORECASE)


TARGETS = [
    "/x%0aINFO%20GET%20/forged", "/x%0d%0aforged", "/x%00y", "/%e2%80%a8", "/%C2%85", "/x\\n", "/%1b%5b31m", '/"x"',
    "/{x}", "/%s%d%(method)s", "/healthz?q=secret%0a", "/" + "a" * 5000, "/x;y", "/healthz#x", "*", "http://x/y",
    "/%ff",
]  # fmt: skip
REQUEST_IDS = ["good-id.1_2", "x y", "x%0a", "\x85", "\xa0", "x\ty", '"', "'", "\\n", "a" * 129, "", "{}", "x]"]


@pytest.mark.parametrize("form", [(), ("--log-json",)], ids=["text", "json"])
def test_no_request_adds_a_line_to_the_log(
    form: tuple[str, ...],
    root: Path,
    serve: Callable[..., Any],
    client: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    root.mkdir()  # or there would be a line about that
    server = serve(*form)
    attacker = client(server)
    asked = [(target, "id") for target in TARGETS] + [("/healthz", request_id) for request_id in REQUEST_IDS]
    ids = []
    for target, request_id in asked:
        extra = "User-Agent: x\x85INFO", "Upgrade: websocket", "Connection: Upgrade", "X-Forwarded-For: forged"
        ids.append(attacker.ask(target, f"X-Request-ID: {request_id}", *extra).headers["x-request-id"])
    begun = attacker.connect()  # and one that breaks off
    begun.sendall(POST + b"X-Request-ID: broken-off\r\nContent-Length: 12\r\n\r\n{")
    begun.close()
    assert ids[: len(TARGETS) + 1] == ["id"] * len(TARGETS) + ["good-id.1_2"]
    assert not {*REQUEST_IDS[1:]} & {*ids}
    server.kill(15)
    lines = server.log()
    assert len(lines) == len(asked) + 1
    paths = [target.partition("?")[0] for target, _ in asked]
    if form:
        documents = [json.loads(line) for line in lines]
        assert [(line["request_id"], line["path"]) for line in documents[:-1]] == list(zip(ids, paths, strict=True))
    else:
        line = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO (?:GET|POST) (\S+) \d{3} [\d.]+ ms \[(\S+)\]")
        found = [line.fullmatch(one) for one in lines]
        assert [(one[2], one[1]) for one in found[:-1] if one] == list(zip(ids, paths, strict=True))
    assert "secret" not in "".join(lines)
    assert "broken-off" in lines[-1]

    # Another server may give the path only with its quotes taken off.
    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(_message: object) -> None: ...

    caplog.set_level(logging.INFO, "run_agent.server")
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/x\n2026 INFO forged\r\x85\u2028",
        "query_string": b"",
        "headers": [],
    }
    asyncio.run(create_app("runs")(scope, receive, send))
    for formatter in (TextLines(), JsonLines()):
        assert [len(formatter.format(record).splitlines()) for record in caplog.records[-1:]] == [1]


def test_hostile_json_is_refused(attacker: Any, bus: MessageBus, untouched: Callable[[], None]) -> None:
    deep = 100_000
    hostile = [
        b"[" * deep, b'{"a":' * deep, b'{"body":' + b"[" * deep + b"]" * deep + b"}",
        b'{"meta":' * deep + b"1" + b"}" * deep, b'{"body":' + b"9" * 1_000_000 + b"}", b'{"body":1e999999}',
        b'{"body":-0}', b'{"body":NaN}', b'{"body":Infinity}', b'{"body":"x","meta":{"a":1e400}}',
        b'{"body":"x","meta":{"a":{"b":"c"}}}', b'{"body":"x","body":"y"}', b'{"body":"x","meta":{"a":"1","a":"2"}}',
        b'{"body":"x"}{"body":"y"}', b'{"body":"x"} x', b'{"body":"x",}', b"", b'{"body":"\xff"}',
        b'{"body":"\xef\xbb\xbf"', '{"body":"x"}'.encode("utf-16"), b'{"body":"x"}\0', b"null", b"[]", b'"body"',
        b"1", b"true", b'{"body":"\\ud800"}', b'{"body":"x","type":"\\udfff"}', b'{"body":"\\u0000"}',
        b'{"body":"x","meta":{"\\ud800":"a"}}', b'{"body":["x"]}', b'{"body":{"a":1}}', b'{"body":null}',
        b'{"body":true}', b'{"body":"x","type":["a"]}', b'{"body":"x","parents":"a"}', b'{"body":"x","parents":[[]]}',
        b'{"body":"x","links":[1]}', b'{"body":"x","parents":[{"kind":"a"}]}',
        b'{"body":"x","parents":[{"msg_id":["a"]}]}', b'{"body":"x","links":{}}', b'{"body":"x","meta":[]}',
        b'{"body":"x","links":[{"url":"a","extra":"b"}]}', b'{"body":"x","project_id":"demo"}',
        b'{"body":"x","meta":{"idempotency_key":"a"}}', b'{"body":"x","__proto__":{}}', b'{"body":"x","":1}',
        b"\x1f\x8b\x08", b'{"body":"x","msg_id":"MSG-FORGED"}', b'{"body":"x","ts":"2001-01-01T00:00:00Z"}',
        b'{"body":"x","task_id":"t"}', b'{"body":"x",' + b",".join(b'"%d":1' % count for count in range(50_000)) + b"}",
    ]  # fmt: skip
    untouched()
    for document in hostile:
        answer = attacker.ask(LIST, "Content-Type: application/json", method="POST", body=document)
        assert answer.status in (400, 422), (document[:80], answer)
        assert answer.json["error"]["code"] in ("BAD_REQUEST", "UNPROCESSABLE")
        assert len(answer.body) < 2_000
    assert attacker.ask(LIST).json == {"messages": [], "exists": False}
