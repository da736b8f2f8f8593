"""/openapi.json matches the server: schemathesis generates valid and invalid requests from it, and reports every
response that it does not describe.

Streams do not end, so they are compared by hand, and so is what OpenAPI cannot express.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from starlette.routing import Route

from messagebus import MessageBus
from run_agent.server import create_app, params
from run_agent.server.errors import CODES

# Tests are generated when this file is imported; the first post creates the root.
ROOT = Path(tempfile.gettempdir(), f"openapi-{uuid.uuid4().hex}")
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", create_app(ROOT, allowed_hosts=["*"]))
WITHOUT_STREAMS = SCHEMA.exclude(path_regex="/stream$")
DOCUMENT: dict[str, Any] = SCHEMA.raw_schema
STREAMS = [path for path in DOCUMENT["paths"] if path.endswith("/stream")]

QUICKLY = settings(max_examples=10, derandomize=True, database=None, suppress_health_check=list(HealthCheck))

load_all_checks()


@pytest.fixture(scope="module", autouse=True)
def _root() -> Iterator[None]:
    SCHEMA["/api/v1/projects"]["GET"].Case().call()  # whose event loop keeps a thread for as long as it lasts
    yield
    shutil.rmtree(ROOT, ignore_errors=True)


@WITHOUT_STREAMS.parametrize()
@QUICKLY
def test_the_server_matches_the_description(case: Case) -> None:
    """In every allowed combination; everything else is refused."""
    if {"limit", "first"} <= (case.query or {}).keys():
        return  # not both, it says, but only in words
    case.call_and_validate(checks=CHECKS.get_all())


@given(SCHEMA["/api/v1/messages"]["POST"].as_strategy(GenerationMode.POSITIVE))
@QUICKLY
def test_described_posts_are_stored(case: Case) -> None:
    """With every field; so the posts refused above are not refused for another reason."""
    case.headers = {}
    answer = case.call()
    assert answer.status_code == 201, answer.text
    path = ROOT / case.body["project_id"] / case.body.get("task_id", "")
    name = "TASK-MESSAGE-BUS.md" if "task_id" in case.body else "PROJECT-MESSAGE-BUS.md"
    stored = MessageBus(path / name).get_message(answer.json()["msg_id"])
    assert stored
    assert stored.body == case.body["body"].rstrip("\r\n")
    assert stored.meta == case.body.get("meta", {})
    assert len(stored.parents) == len(case.body.get("parents", []))
    assert len(stored.links) == len(case.body.get("links", []))


def test_every_path_is_described() -> None:
    described = {(path, method.upper()) for path, item in DOCUMENT["paths"].items() for method in item}
    files = ("/openapi.json", "/", "/page/{name:path}")
    routes = [route for route in create_app(ROOT).routes if isinstance(route, Route) and route.path not in files]
    assert described == {(route.path, method) for route in routes for method in (route.methods or set()) - {"HEAD"}}


def test_every_field_and_parameter_is_described() -> None:
    """Those that the server accepts, and no others."""
    schemas = DOCUMENT["components"]["schemas"]
    assert {*schemas["Post"]["properties"]} == {*params.POST_FIELDS}
    assert {*schemas["PostAnywhere"]["properties"]} == {*params.POST_FIELDS, "project_id", "task_id"}
    assert schemas["Error"]["properties"]["error"]["properties"]["code"]["enum"] == list(CODES.values())
    parameters = {
        path: {parameter["name"] for parameter in item["get"]["parameters"] if parameter["in"] == "query"}
        for path, item in DOCUMENT["paths"].items()
        if "get" in item
    }
    assert parameters["/api/v1/messages"] == {*params.LIST_PARAMETERS}
    assert parameters["/api/projects/{project_id}/messages"] == {"since", "limit", "first"}


@pytest.mark.parametrize("path", STREAMS)
def test_streams_match_the_description(
    serving: Callable[..., Any], listen: Callable[..., Any], path: str, sse: Any
) -> None:
    """Events have the types and data that it describes."""
    server = serving(heartbeat=0.1)
    operation = DOCUMENT["paths"][path]["get"]
    url = server.url + path.format(project_id="demo", task_id="t1")
    scope = {"project_id": "demo"} | ({"task_id": "t1"} if "tasks" in path else {})
    query = "&".join(f"{name}={value}" for name, value in scope.items()) if "{" not in path else ""
    named = {parameter["name"] for parameter in operation["parameters"]}
    assert {"after", "Last-Event-ID"} <= named

    listener = listen(f"{url}?{query}&after=nobody", {"Last-Event-ID": "nobody-else"})
    assert str(listener.status) in operation["responses"]
    assert listener.headers["content-type"].partition(";")[0] in operation["responses"]["200"]["content"]
    assert (listener.next().type, listener.parser.last_id) == ("reset", "")
    server.client.post("/api/v1/messages", json={"body": "x", "meta": {"a": "b"}, **scope})
    event = listener.next()
    assert event.type == "message"
    message = DOCUMENT["components"]["schemas"]["Message"]
    assert {*message["required"]} <= event.json.keys() <= message["properties"].keys()
    while not listener.heartbeats:
        with pytest.raises(TimeoutError):
            listener.next(timeout=0.05)
    described = operation["responses"]["200"]["description"]
    assert all(f"`{kind}`" in described for kind in ("message", "heartbeat", "reset", "oldest", "newest"))
    for bad in ("nonsense=1", "after=1&after=2"):
        answer = server.client.get(f"{url}?{query}&{bad}")
        assert answer.status_code == 400
        assert "400" in operation["responses"]
