"""Invalid posts: no JSON object, unknown fields, wrong types, too large, another content type. Nothing is written
for them, and no directory is created.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

ANYWHERE = "/api/v1/messages"
PROJECT = "/api/projects/demo/messages"
TASK = "/api/projects/demo/tasks/t1/messages"
KIND = {"Content-Type": "application/json"}

ErrorOf = Callable[[httpx.Response], tuple[int, str, str]]

REFUSED: list[tuple[int, str | bytes]] = [
    # not a JSON object, or more than one
    (400, ""),
    (400, "null"),
    (400, '["body"]'),
    (400, '"body"'),
    (400, '{"body": "x"'),
    (400, '{"body": "x"} {}'),
    (400, '{"body": "x"}x'),
    (400, "{'body': 'x'}"),
    (400, '{"body": "x", }'),
    (400, '{"body": "x"} // comment'),
    (400, '{"body": "x", "body": "x"}'),
    (400, '{"body": "x", "meta": {"a": "1", "a": "2"}}'),
    (400, '{"body": "x", "meta": {"a": NaN}}'),
    (400, '{"body": NaN}'),
    (400, '{"body": Infinity}'),
    (400, '{"body": "x", "meta": {"a": -Infinity}}'),
    (400, '{"body": "a\nline"}'),
    (400, b'{"body": "\xff"}'),
    (400, "[" * 100_000),
    (400, '{"body": ' + "9" * 5000 + "}"),
    # unknown fields
    (400, '{"body": "x", "nonsense": 1}'),
    (400, '{"body": "x", "msg_id": "MSG-1"}'),
    (400, '{"body": "x", "timestamp": "2026-01-01T00:00:00Z"}'),
    (400, '{"body": "x", "relations": []}'),
    (400, '{"body": "x", "intact": true}'),
    (400, '{"body": "x", "project_id": "other"}'),
    (400, '{"body": "x", "task_id": "other"}'),
    # a blank body
    (400, "{}"),
    (400, '{"type": "USER"}'),
    (400, '{"body": ""}'),
    (400, '{"body": " \\t\\r\\n\\u2003"}'),
    (400, '{"body": null}'),
    (400, '{"body": 5}'),
    (400, '{"body": ["x"]}'),
    # wrong types
    (422, '{"body": "x", "type": 5}'),
    (422, '{"body": "x", "type": null}'),
    (422, '{"body": "x", "run_id": {}}'),
    (422, '{"body": "x", "issue_id": true}'),
    (400, '{"body": "x", "parents": "MSG-1"}'),
    (400, '{"body": "x", "parents": {"msg_id": "MSG-1"}}'),
    (400, '{"body": "x", "parents": null}'),
    (400, '{"body": "x", "parents": [5]}'),
    (422, '{"body": "x", "parents": [{}]}'),
    (422, '{"body": "x", "parents": [{"kind": "answers"}]}'),
    (422, '{"body": "x", "parents": [{"msg_id": ["MSG-1"]}]}'),
    (422, '{"body": "x", "parents": [{"msg_id": "MSG-1", "kind": 5}]}'),
    (422, '{"body": "x", "parents": [{"msg_id": "MSG-1", "meta": {"a": 1}}]}'),
    (422, '{"body": "x", "parents": [{"msg_id": "MSG-1", "nonsense": "a"}]}'),
    (422, '{"body": "x", "links": {"url": "u"}}'),
    (422, '{"body": "x", "links": ["u"]}'),
    (422, '{"body": "x", "links": [{}]}'),
    (422, '{"body": "x", "links": [{"url": 5}]}'),
    (422, '{"body": "x", "links": null}'),
    (422, '{"body": "x", "meta": []}'),
    (422, '{"body": "x", "meta": null}'),
    (422, '{"body": "x", "meta": {"a": 1}}'),
    # not allowed in a header
    (422, '{"body": "x", "type": "\u2003"}'),
    (422, '{"body": "x", "type": "A\\nmsg_id: forged"}'),
    (422, '{"body": "x", "run_id": "\\ud800"}'),
    (422, '{"body": "\\u0000"}'),
    (422, '{"body": "\\udfff"}'),
    (422, '{"body": "x", "parents": ["two words"]}'),
    (422, '{"body": "x", "parents": [""]}'),
    (422, '{"body": "x", "links": [{"url": " "}]}'),
    (422, '{"body": "x", "meta": {"": "x"}}'),
    (422, '{"body": "x", "meta": {"idempotency_key": "mine"}}'),
]


def test_invalid_posts(api: httpx.Client, root: Path, error_of: ErrorOf) -> None:
    """Nothing is written for them, and no directory is created."""
    codes = {400: "BAD_REQUEST", 422: "UNPROCESSABLE"}
    for status, document in REFUSED:
        content = document if isinstance(document, bytes) else document.encode()
        answer = api.post(PROJECT, content=content, headers=KIND)
        assert error_of(answer)[:2] == (status, codes[status]), document[:80]
        assert error_of(answer)[2].isprintable(), "one line, that quotes what it must"
    assert not root.exists()


def test_an_invalid_bus(api: httpx.Client, root: Path, error_of: ErrorOf) -> None:
    for scope in (
        {},
        {"task_id": "t1"},
        {"project_id": 5},
        {"project_id": ""},
        {"project_id": "demo", "task_id": None},
    ):
        assert error_of(api.post(ANYWHERE, json={"body": "x", **scope}))[:2] == (400, "BAD_REQUEST"), scope
    assert error_of(api.post(f"{ANYWHERE}?project_id=demo", json={"body": "x"}))[0] == 400, "not in the query"
    assert error_of(api.post(f"{PROJECT}?type=FACT", json={"body": "x"}))[0] == 400
    assert not root.exists()


def test_the_size_limit(serving: Callable[..., Any], root: Path, error_of: ErrorOf) -> None:
    """To the byte, with and without a declared length."""
    client = serving(max_request_bytes=1000).client
    largest = b'{"body": "%b"}' % (b"x" * (1000 - 12))

    def in_pieces(document: bytes) -> Iterator[bytes]:
        yield from (document[at : at + 100] for at in range(0, len(document), 100))

    assert error_of(client.post(PROJECT, content=largest + b" ", headers=KIND))[:2] == (413, "TOO_LARGE")
    assert error_of(client.post(PROJECT, content=in_pieces(largest + b" "), headers=KIND))[:2] == (413, "TOO_LARGE")
    assert not root.exists()
    assert client.post(PROJECT, content=largest, headers=KIND).status_code == 201
    assert client.post(PROJECT, content=in_pieces(largest), headers=KIND).status_code == 201


def test_the_default_size_limit(api: httpx.Client) -> None:
    for size, status in ((1024 * 1024, 201), (1024 * 1024 + 1, 413)):
        document = b'{"body": "%b"}' % (b"x" * (size - 12))
        assert len(document) == size
        assert api.post(PROJECT, content=document, headers=KIND).status_code == status


def test_only_json_is_accepted(api: httpx.Client, root: Path, error_of: ErrorOf) -> None:
    """Forms of web pages cannot send it."""
    for kind in (None, "", "text/plain", "application/x-www-form-urlencoded", "text/json", "application/jsonp", "json"):
        headers = {} if kind is None else {"Content-Type": kind}
        answer = api.post(PROJECT, content=b'{"body": "x"}', headers=headers)
        assert error_of(answer)[:2] == (415, "UNSUPPORTED_MEDIA_TYPE"), kind
    assert not root.exists()
    for kind in ("application/json", "Application/JSON; charset=utf-8", "application/json;charset=UTF-8"):
        assert api.post(PROJECT, content=b'{"body": "x"}', headers={"Content-Type": kind}).status_code == 201


def test_a_bus_that_is_no_file(api: httpx.Client, root: Path, error_of: ErrorOf) -> None:
    """A directory in place of the bus file, and a file in place of its directory."""
    (root / "demo/PROJECT-MESSAGE-BUS.md").mkdir(parents=True)
    (root / "demo/t1").write_text("")
    for method in ("GET", "POST"):
        answer = api.request(method, PROJECT, **({"json": {"body": "x"}} if method == "POST" else {}))
        assert error_of(answer)[:2] == (403, "FORBIDDEN")
        assert str(root) not in answer.text
    status, code, message = error_of(api.post(TASK, json={"body": "x"}))
    assert (status, code) == (503, "UNAVAILABLE")
    assert re.fullmatch(r"the bus is not available: [A-Z][a-z ]+", message)
