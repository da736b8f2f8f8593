"""What /openapi.json says. Hand-written beside the code, and held to it by schemathesis."""

from __future__ import annotations

from typing import Any

from run_agent.server.asked import LARGEST_COUNT, MOST_MESSAGES
from run_agent.server.problems import CODES
from run_agent.server.tree import ID

_Schema = dict[str, Any]

_TEXT: _Schema = {"type": "string"}
_TEXTS: _Schema = {"type": "object", "additionalProperties": _TEXT}
_TIME: _Schema = {"type": "string", "format": "date-time"}
_ID: _Schema = {
    "type": "string",
    "pattern": rf"^(?!.*\.\.){ID}$",
    "description": "Not one that begins like the name of a bus file.",
}
_COUNT: _Schema = {
    "type": "integer",
    "minimum": 1,
    "maximum": LARGEST_COUNT,
    "description": f"At most {MOST_MESSAGES} count.",
}
_SIZE: _Schema = {"type": "integer", "minimum": 0, "description": "Bytes, archives included."}

# What the library lets into a header, and into a body.
_CONTROLS = r"\u0000-\u001f\u007f-\u009f"
_LINE: _Schema = {"type": "string", "pattern": f"^[^{_CONTROLS}]*$"}
_FULL_LINE: _Schema = {"type": "string", "pattern": rf"^[^{_CONTROLS}]*[^\s{_CONTROLS}][^{_CONTROLS}]*$"}
_WORD: _Schema = {"type": "string", "pattern": rf"^[^\s{_CONTROLS}]+$"}
_BODY: _Schema = {"type": "string", "pattern": r"^[^\u0000]*[^\s\u0000-\u001f\u0085][^\u0000]*$"}
_META_KEY: _Schema = {**_LINE, "minLength": 1, "maxLength": 128}
_META: _Schema = {"type": "object", "propertyNames": _META_KEY, "additionalProperties": _LINE}

_DOCUMENT_LIST = "What a list answers: `next` is the id to go on from, absent where there are no messages."


def _object(required: str = "", *, closed: bool = True, **properties: _Schema) -> _Schema:
    schema: _Schema = {"type": "object", "properties": properties, "additionalProperties": not closed}
    return schema | ({"required": required.split()} if required else {})


def _list_of(schema: _Schema) -> _Schema:
    return {"type": "array", "items": schema}


def _ref(name: str) -> _Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_LINK = _object("url", url=_TEXT, label=_TEXT, kind=_TEXT)
_RELATION = _object("msg_id", msg_id=_TEXT, kind=_TEXT, meta=_TEXTS)
_POSTED: _Schema = {
    "type": {**_FULL_LINE, "default": "USER"},
    "body": _BODY,
    "run_id": _LINE,
    "issue_id": _LINE,
    "parents": _list_of({"oneOf": [_WORD, _object("msg_id", msg_id=_WORD, kind=_LINE, meta=_META)]}),
    "links": _list_of(_object("url", url=_FULL_LINE, label=_LINE, kind=_LINE)),
    "meta": {**_META, "propertyNames": {**_META_KEY, "not": {"const": "idempotency_key"}}},
}
_SCHEMAS: _Schema = {
    "Message": _object(
        "msg_id timestamp type",
        msg_id=_TEXT, timestamp=_TIME, type=_TEXT, project_id=_TEXT, task_id=_TEXT, run_id=_TEXT, issue_id=_TEXT,
        parents=_list_of(_TEXT), relations=_list_of(_RELATION), links=_list_of(_LINK), meta=_TEXTS, body=_TEXT,
        intact={"type": "boolean", "description": "Absent where no length is stored (SPEC.md, 'Torn records')."},
    ),
    "Messages": _object("messages", messages=_list_of(_ref("Message")), next=_TEXT) | {"description": _DOCUMENT_LIST},
    "Posted": _object("msg_id timestamp", msg_id=_TEXT, timestamp=_TIME),
    "Post": _object("body", **_POSTED),
    "PostAnywhere": _object("project_id body", project_id=_ID, task_id=_ID, **_POSTED),
    "Projects": _object(
        "projects",
        projects=_list_of(
            _object(
                "project_id size tasks",
                project_id=_ID, size=_SIZE, first=_TIME, last=_TIME, tasks={"type": "integer", "minimum": 0},
            )
        ),
    ),
    "Tasks": _object(
        "tasks", tasks=_list_of(_object("task_id size", task_id=_ID, size=_SIZE, first=_TIME, last=_TIME))
    ),
    "Health": _object("status", status={"const": "ok"}),
    "Version": _object("version api", version=_TEXT, api={"const": "v1"}),
    "Error": _object(
        "error",
        error=_object("code message", code={"enum": list(CODES.values())}, message=_TEXT, details={"type": "object"}),
    ),
}  # fmt: skip


def _parameter(name: str, schema: _Schema, *, place: str = "query", required: bool = False, about: str = "") -> _Schema:
    parameter = {"name": name, "in": place, "required": required, "schema": schema}
    return parameter | ({"description": about} if about else {})


_PROJECT = _parameter("project_id", _ID, place="path", required=True)
_TASK = _parameter("task_id", _ID, place="path", required=True)
_WHERE = [_parameter("project_id", _ID, required=True), _parameter("task_id", _ID)]
_LIMIT = _parameter("limit", _COUNT, about="Keep the newest so many.")
_FIRST = _parameter("first", _COUNT, about="Keep the oldest so many, for paging. Not with limit.")
_SINCE = _parameter("since", _TEXT, about="Messages after this id.")
_AFTER = _parameter("after", _TEXT, about="Messages after this id.")
_TYPE = _parameter("type", _TEXT)
_KEY = _parameter(
    "Idempotency-Key",
    {"type": "string", "pattern": r"^[!-~]+$"},
    place="header",
    about="Makes a retry safe for 24 hours.",
)
_LAST = _parameter(
    "Last-Event-ID", {"type": "string", "pattern": r"^[!-~]*$"}, place="header", about="Goes before after."
)

_STREAM_ABOUT = (
    "Server-sent events: `message` with an id and the JSON of a Message, `heartbeat`, and `reset` with `oldest` and "
    "`newest` where the id to resume after is unknown or messages may be missing. Begins with the newest 20, or "
    "behind the given id."
)


def _answers(status: int, schema: str, *problems: int) -> _Schema:
    good = {"description": "Done.", "content": {"application/json": {"schema": _ref(schema)}}}
    return {str(status): good, **_problems(*problems)}


def _problems(*statuses: int) -> _Schema:
    return {
        str(status): {"description": CODES[status], "content": {"application/json": {"schema": _ref("Error")}}}
        for status in sorted({400, 401, 403, 503, *statuses})
    }


def _read(schema: str, parameters: list[_Schema], *problems: int) -> _Schema:
    return {"parameters": parameters, "responses": _answers(200, schema, *problems)}


def _post(schema: str, parameters: list[_Schema]) -> _Schema:
    return {
        "parameters": [*parameters, _KEY],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(schema)}}},
        "responses": _answers(201, "Posted", 409, 413, 415, 422, 429),
    }


def _stream(parameters: list[_Schema]) -> _Schema:
    events = {"description": _STREAM_ABOUT, "content": {"text/event-stream": {"schema": _TEXT}}}
    return {"parameters": [*parameters, _AFTER, _LAST], "responses": {"200": events, **_problems()}}


def _named(parameters: list[_Schema], path: str) -> _Schema:
    """List, post and stream, where the path names the bus."""
    return {
        path: {
            "get": _read("Messages", [*parameters, _SINCE, _LIMIT, _FIRST], 404),
            "post": _post("Post", parameters),
        },
        f"{path}/stream": {"get": _stream(parameters)},
    }


def document(version: str, at: str) -> _Schema:
    """The OpenAPI document; ``at``: the path that we are mounted at."""
    paths: _Schema = {
        "/api/v1/messages": {
            "get": _read("Messages", [*_WHERE, _AFTER, _LIMIT, _TYPE], 404),
            "post": _post("PostAnywhere", []),
        },
        "/api/v1/messages/stream": {"get": _stream(_WHERE)},
        **_named([_PROJECT], "/api/projects/{project_id}/messages"),
        **_named([_PROJECT, _TASK], "/api/projects/{project_id}/tasks/{task_id}/messages"),
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
        "servers": [{"url": at}],
        "paths": paths,
        "components": {"schemas": _SCHEMAS, "securitySchemes": schemes},
        "security": [{}, {"bearer": []}, {"key": []}],
    }
