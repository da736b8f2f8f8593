"""What /openapi.json says. Hand-written beside the code, and held to it by schemathesis."""

from __future__ import annotations

from run_agent.server.errors import CODES
from run_agent.server.params import GROUPS, LARGEST_COUNT, MOST_PARTS, MOST_TASKS
from run_agent.server.schemas import COUNT, ID, SCHEMAS, TEXT, TIME, Schema, ref


def _parameter(name: str, schema: Schema, *, place: str = "query", required: bool = False, about: str = "") -> Schema:
    parameter = {"name": name, "in": place, "required": required, "schema": schema}
    return parameter | ({"description": about} if about else {})


_PROJECT = _parameter("project_id", ID, place="path", required=True)
_TASK = _parameter("task_id", ID, place="path", required=True)
_WHERE = [_parameter("project_id", ID, required=True), _parameter("task_id", ID)]
_LIMIT = _parameter("limit", COUNT, about="Keep the newest so many.")
_FIRST = _parameter("first", COUNT, about="Keep the oldest so many, for paging. Not with limit.")
_SINCE = _parameter("since", TEXT, about="Messages after this id.")
_AFTER = _parameter("after", TEXT, about="Messages after this id.")
_TYPE = _parameter("type", TEXT, about="Only these types, with commas between.")
_FROM = _parameter("from", TIME, about="Not before this time.")
_UNTIL = _parameter("until", TIME, about="Before this time.")
_FITTING = [
    _parameter("before", TEXT, about="Messages before this id."),
    _parameter("msg_id", TEXT, about="Only the message with this id, whatever characters are in it."),
    _TYPE,
    _parameter("run_id", TEXT, about="Only of this run."),
    _parameter("parent", TEXT, about="Only those that have this message as a parent."),
    _parameter(
        "text", TEXT, about="Only those whose body holds this, in whatever case. A page ends after 20,000 bodies."
    ),
    _FROM,
    _UNTIL,
]
_BY = _parameter("by", {"enum": list(GROUPS), "default": "type"})
_PARTS = _parameter("parts", {**COUNT, "description": f"Of the histogram; at most {MOST_PARTS} count."})
_MSG_ID = _parameter(
    "msg_id",
    {"type": "string", "minLength": 1},
    place="path",
    required=True,
    about="One with a slash does not fit into a path, but into the query of a list.",
)
_TASK_LIMIT = _parameter("limit", {**COUNT, "default": 50, "description": f"At most {MOST_TASKS} count."})
_OFFSET = _parameter("offset", {"type": "integer", "minimum": 0, "maximum": LARGEST_COUNT, "default": 0})
_KEY = _parameter(
    "Idempotency-Key",
    {"type": "string", "pattern": r"^[!-~]+$"},
    place="header",
    about="Makes a retry safe for 24 hours.",
)
_LAST = _parameter(
    "Last-Event-ID",
    {"type": "string", "pattern": r"^[!-~]*$"},
    place="header",
    about="UTF-8. Goes before the query.",
)
_LAST_IN_QUERY = _parameter("lastEventId", TEXT, about="For a client that can send no header. Goes before after.")

_STREAM_ABOUT = (
    "Server-sent events: `message` with an id and the JSON of a Message, `heartbeat`, and `reset` with `oldest` and "
    "`newest` where the id to resume after is unknown or messages may be missing. Begins with the newest 20, or "
    "after the given id; of a bus that is not there yet, with its first message."
)


def _answers(status: int, schema: str, *problems: int) -> Schema:
    good = {"description": "Done.", "content": {"application/json": {"schema": ref(schema)}}}
    return {str(status): good, **_problems(*problems)}


def _body(schema: str) -> Schema:
    return {"required": True, "content": {"application/json": {"schema": ref(schema)}}}


def _problems(*statuses: int) -> Schema:
    return {
        str(status): {"description": CODES[status], "content": {"application/json": {"schema": ref("Error")}}}
        for status in sorted({400, 401, 403, 503, *statuses})
    }


def _read(schema: str, parameters: list[Schema], *problems: int) -> Schema:
    return {"parameters": parameters, "responses": _answers(200, schema, *problems)}


def _post(schema: str, parameters: list[Schema]) -> Schema:
    return {
        "parameters": [*parameters, _KEY],
        "requestBody": _body(schema),
        "responses": _answers(201, "Posted", 409, 413, 415, 422, 429),
    }


def _conditional(operation: Schema) -> Schema:
    operation["parameters"].append(_parameter("If-None-Match", TEXT, place="header", about="ETags of earlier answers."))
    operation["responses"]["304"] = {"description": "Nothing has changed since."}
    return operation


def _ask(schema: str, answer: str) -> Schema:
    """A question too long for a query."""
    return {"requestBody": _body(schema), "responses": _answers(200, answer, 413, 415)}


def _sign_in() -> Schema:
    """For a page: EventSource sends no header."""
    done = {"description": "Done: a cookie that stands for the key (none where the server has no key)."}
    return {"requestBody": _body("Key"), "responses": {"204": done, **_problems(413, 415)}, "security": [{}]}


def _sign_out() -> Schema:
    return {"responses": {"204": {"description": "Done: the cookie is taken back."}, **_problems()}, "security": [{}]}


def _stream(parameters: list[Schema]) -> Schema:
    events = {"description": _STREAM_ABOUT, "content": {"text/event-stream": {"schema": TEXT}}}
    return {"parameters": [*parameters, _AFTER, _LAST_IN_QUERY, _LAST], "responses": {"200": events, **_problems()}}


def _named(parameters: list[Schema], path: str) -> Schema:
    """List, post and stream, where the path names the bus."""
    return {
        path: {
            "get": _read("Messages", [*parameters, _SINCE, _LIMIT, _FIRST], 404),
            "post": _post("Post", parameters),
        },
        f"{path}/stream": {"get": _stream(parameters)},
    }


def document(version: str, at: str) -> Schema:
    """The OpenAPI document; ``at``: the path that we are mounted at."""
    paths: Schema = {
        "/api/v1/messages": {
            "get": _read("Page", [*_WHERE, _AFTER, _LIMIT, _FIRST, *_FITTING], 404),
            "post": _post("PostAnywhere", []),
        },
        "/api/v1/messages/stream": {"get": _stream(_WHERE)},
        "/api/v1/messages/summary": {"get": _read("Summary", [*_WHERE, _BY, _FROM, _UNTIL, _PARTS])},
        "/api/v1/messages/{msg_id}": {"get": _read("Message", [_MSG_ID, *_WHERE], 404)},
        "/api/v1/activity": {"get": _conditional(_read("Activity", []))},
        "/api/v1/unread": {"post": _ask("Seen", "Unread")},
        "/api/v1/session": {"post": _sign_in(), "delete": _sign_out()},
        **_named([_PROJECT], "/api/projects/{project_id}/messages"),
        **_named([_PROJECT, _TASK], "/api/projects/{project_id}/tasks/{task_id}/messages"),
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
        "servers": [{"url": at}],
        "paths": paths,
        "components": {"schemas": SCHEMAS, "securitySchemes": schemes},
        "security": [{}, {"bearer": []}, {"key": []}],
    }
