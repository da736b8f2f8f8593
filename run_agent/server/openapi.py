"""The OpenAPI document. It is written by hand; tests with schemathesis compare it with the server."""

from __future__ import annotations

from run_agent.contracts.words import ID, TEXT, TIME, Schema
from run_agent.server.errors import CODES
from run_agent.server.params import HISTOGRAM_FIELDS, MAX_NUMBER, MAX_PARTS, MAX_TASKS
from run_agent.server.schemas import COUNT, SCHEMAS, ref


def _parameter(
    name: str, schema: Schema, *, location: str = "query", required: bool = False, about: str = ""
) -> Schema:
    parameter = {"name": name, "in": location, "required": required, "schema": schema}
    return parameter | ({"description": about} if about else {})


_PROJECT = _parameter("project_id", ID, location="path", required=True)
_TASK = _parameter("task_id", ID, location="path", required=True)
_BUS = [_parameter("project_id", ID, required=True), _parameter("task_id", ID)]
_LIMIT = _parameter("limit", COUNT, about="Keep the newest this many.")
_FIRST = _parameter("first", COUNT, about="Keep the oldest this many, for paging. Not together with limit.")
_SINCE = _parameter("since", TEXT, about="Messages after this id.")
_AFTER = _parameter("after", TEXT, about="Messages after this id.")
_TYPE = _parameter("type", TEXT, about="Only these types, separated by commas.")
_FROM = _parameter("from", TIME, about="At or after this time.")
_UNTIL = _parameter("until", TIME, about="Before this time.")
_FILTERS = [
    _parameter("before", TEXT, about="Messages before this id."),
    _parameter("msg_id", TEXT, about="Only the message with this id, which may hold any character."),
    _TYPE,
    _parameter("run_id", TEXT, about="Only messages of this run."),
    _parameter("sender", TEXT, about="Only messages of this sender (meta.from), which is not verified."),
    _parameter("parent", TEXT, about="Only messages that have this message as a parent."),
    _parameter(
        "text",
        TEXT,
        about="Only messages whose body contains this, ignoring case. A page ends after 20,000 bodies were searched.",
    ),
    _FROM,
    _UNTIL,
]
_BY = _parameter("by", {"enum": list(HISTOGRAM_FIELDS), "default": "type"})
_PARTS = _parameter(
    "parts", {**COUNT, "description": f"The number of parts of the histogram; above {MAX_PARTS} it means {MAX_PARTS}."}
)
_MSG_ID = _parameter(
    "msg_id",
    {"type": "string", "minLength": 1},
    location="path",
    required=True,
    about="An id that contains a slash cannot be in a path: use msg_id in the query of a list.",
)
_TASK_LIMIT = _parameter(
    "limit", {**COUNT, "default": 50, "description": f"A number above {MAX_TASKS} means {MAX_TASKS}."}
)
_OFFSET = _parameter("offset", {"type": "integer", "minimum": 0, "maximum": MAX_NUMBER, "default": 0})
_KEY = _parameter(
    "Idempotency-Key",
    {"type": "string", "pattern": r"^[!-~\u00a1-\u00ff]([ -~\u00a0-\u00ff]*[!-~\u00a1-\u00ff])?$"},
    location="header",
    about="Makes a retry safe for 24 hours.",
)
_LAST = _parameter(
    "Last-Event-ID",
    {"type": "string", "pattern": r"^[!-~]*$"},
    location="header",
    about="UTF-8. Takes precedence over the query.",
)
_LAST_IN_QUERY = _parameter(
    "lastEventId", TEXT, about="For clients that cannot send a header. Takes precedence over after."
)

_TOKEN = _parameter(
    "since",
    TEXT,
    about="The token of an earlier answer, for what has changed since; empty, or unknown to this server: all buses, "
    "with a token and without removed.",
)

_STREAM_ABOUT = (
    "Server-sent events: `message` with an id and the JSON of a Message, `heartbeat`, and `reset` with `oldest` and "
    "`newest` if the id to resume after is unknown or messages may be missing. Starts with the newest 20 messages, or "
    "after the given id. On a bus that does not exist yet, it waits for the first message."
)


def _responses(status: int, schema: str, *errors: int) -> Schema:
    success = {"description": "Success.", "content": {"application/json": {"schema": ref(schema)}}}
    return {str(status): success, **_errors(*errors)}


def _body(schema: str) -> Schema:
    return {"required": True, "content": {"application/json": {"schema": ref(schema)}}}


def _errors(*statuses: int) -> Schema:
    return {
        str(status): {"description": CODES[status], "content": {"application/json": {"schema": ref("Error")}}}
        for status in sorted({400, 401, 403, 503, *statuses})
    }


def _read(schema: str, parameters: list[Schema], *errors: int) -> Schema:
    return {"parameters": parameters, "responses": _responses(200, schema, *errors)}


def _post(schema: str, parameters: list[Schema]) -> Schema:
    return {
        "parameters": [*parameters, _KEY],
        "requestBody": _body(schema),
        "responses": _responses(201, "Posted", 409, 413, 415, 422, 429),
    }


def _conditional(operation: Schema) -> Schema:
    operation["parameters"].append(
        _parameter("If-None-Match", TEXT, location="header", about="ETags of earlier responses.")
    )
    operation["responses"]["304"] = {"description": "Not modified."}
    return operation


def _read_by_post(schema: str, response: str) -> Schema:
    """A request that changes nothing, but is too long for a query."""
    return {"requestBody": _body(schema), "responses": _responses(200, response, 413, 415)}


def _sign_in() -> Schema:
    """For browsers, whose EventSource cannot send a header."""
    done = {"description": "Logged in: the response sets a cookie that replaces the key, if the server has a key."}
    return {"requestBody": _body("Key"), "responses": {"204": done, **_errors(413, 415)}, "security": [{}]}


def _sign_out() -> Schema:
    return {
        "responses": {"204": {"description": "Logged out: the cookie is removed from this browser."}, **_errors()},
        "security": [{}],
    }


def _stream(parameters: list[Schema]) -> Schema:
    events = {"description": _STREAM_ABOUT, "content": {"text/event-stream": {"schema": TEXT}}}
    return {"parameters": [*parameters, _AFTER, _LAST_IN_QUERY, _LAST], "responses": {"200": events, **_errors()}}


def _bus_paths(parameters: list[Schema], path: str) -> Schema:
    """List, post and stream, for a path that names the bus."""
    return {
        path: {
            "get": _read("Messages", [*parameters, _SINCE, _LIMIT, _FIRST], 404),
            "post": _post("Post", parameters),
        },
        f"{path}/stream": {"get": _stream(parameters)},
    }


def document(version: str, root_path: str) -> Schema:
    """The OpenAPI document of an application that is mounted at ``root_path``."""
    paths: Schema = {
        "/api/v1/messages": {
            "get": _read("Page", [*_BUS, _AFTER, _LIMIT, _FIRST, *_FILTERS], 404),
            "post": _post("PostAnywhere", []),
        },
        "/api/v1/messages/stream": {"get": _stream(_BUS)},
        "/api/v1/messages/summary": {"get": _read("Summary", [*_BUS, _BY, _FROM, _UNTIL, _PARTS])},
        "/api/v1/messages/{msg_id}": {"get": _read("Message", [_MSG_ID, *_BUS], 404)},
        "/api/v1/activity": {"get": _conditional(_read("Activity", [_TOKEN]))},
        "/api/v1/unread": {"post": _read_by_post("Seen", "Unread")},
        "/api/v1/session": {"post": _sign_in(), "delete": _sign_out()},
        **_bus_paths([_PROJECT], "/api/projects/{project_id}/messages"),
        **_bus_paths([_PROJECT, _TASK], "/api/projects/{project_id}/tasks/{task_id}/messages"),
        "/api/projects": {"get": _read("ConductorProjects", [])},
        "/api/projects/{project_id}": {"get": _read("ConductorProject", [_PROJECT], 404)},
        "/api/projects/{project_id}/tasks": {"get": _read("ConductorTasks", [_PROJECT, _TASK_LIMIT, _OFFSET], 404)},
        "/api/v1/projects": {"get": _read("Projects", [])},
        "/api/v1/projects/{project_id}/tasks": {"get": _read("Tasks", [_PROJECT], 404)},
        "/api/v1/version": {"get": _read("Version", [])},
        "/api/v1/health": {"get": _read("Health", [])},
        "/healthz": {"get": _read("Health", [])},
    }
    schemes = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "run-agent", "version": version, "description": "Message buses in Markdown files."},
        "servers": [{"url": root_path}],
        "paths": paths,
        "components": {"schemas": SCHEMAS, "securitySchemes": schemes},
        "security": [{}, {"bearer": []}, {"key": []}],
    }
