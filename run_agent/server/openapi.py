"""What /openapi.json says. Hand-written beside the code, and held to it by schemathesis."""

from __future__ import annotations

from typing import Any

from run_agent.server.activity import MOST_UNREAD
from run_agent.server.asked import GROUPS, LARGEST_COUNT, MOST_MESSAGES, MOST_PARTS, MOST_PLACES
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
_NUMBER: _Schema = {"type": "integer", "minimum": 0}
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


_PAGE_ABOUT = (
    "What a list answers. `next` and `previous` are the ids to go on from, with `after` and `before`; each is "
    "absent where there is nothing. `previous` and `replies` (how many messages have this one as a parent) come with "
    "every question that takes more than `after`, `limit` and one `type`."
)
_SUMMARY_ABOUT = (
    "Counts of all messages, by type; the latest runs; QUESTION and ISSUE messages without an answer (a message that "
    "has them as parent, of type ANSWER or with the kind answers, closes, fixes or resolves), the newest of them in "
    "full; and how many messages came in each part of the time asked for."
)


def _object(required: str = "", *, closed: bool = True, **properties: _Schema) -> _Schema:
    schema: _Schema = {"type": "object", "properties": properties, "additionalProperties": not closed}
    return schema | ({"required": required.split()} if required else {})


def _list_of(schema: _Schema) -> _Schema:
    return {"type": "array", "items": schema}


def _ref(name: str) -> _Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_LINK = _object("url", url=_TEXT, label=_TEXT, kind=_TEXT)
_RELATION = _object("msg_id", msg_id=_TEXT, kind=_TEXT, meta=_TEXTS)
_RUN = _object(
    "run_id count state first last",
    run_id=_TEXT, count=_NUMBER, state={"enum": ["unknown", "running", "stopped", "crashed"]},
    first=_TIME, last=_TIME, started=_TIME, ended=_TIME,
)  # fmt: skip
_HISTOGRAM = _object(
    "by start step series rest",
    by={"enum": list(GROUPS)},
    start=_TIME,
    step={"type": "number", "description": "Seconds."},
    series=_list_of(_object("name counts", name=_TEXT, counts=_list_of(_NUMBER))),
    rest=_list_of(_NUMBER) | {"description": "All that are in no series: only the most frequent names have one."},
)
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
    "Page": _object(
        "messages", messages=_list_of(_ref("Message")), next=_TEXT, previous=_TEXT,
        replies={"type": "object", "additionalProperties": _NUMBER},
    ) | {"description": _PAGE_ABOUT},
    "Summary": _object(
        "count types runs unanswered histogram",
        count=_NUMBER, first=_TIME, last=_TIME, types={"type": "object", "additionalProperties": _NUMBER},
        runs=_list_of(_RUN),
        unanswered=_object("count messages", count=_NUMBER, messages=_list_of(_ref("Message"))),
        histogram=_HISTOGRAM,
    ) | {"description": _SUMMARY_ABOUT},
    "Activity": _object(
        "buses",
        buses=_list_of(
            _object(
                "project_id size",
                project_id=_ID, task_id=_ID, size=_SIZE, last=_TIME, last_id=_TEXT, last_type=_TEXT,
            )
        ),
    ),
    "Seen": _object(
        "buses",
        buses=_list_of(_object("project_id", project_id=_ID, task_id=_ID, after=_TEXT)) | {"maxItems": MOST_PLACES},
    ),
    "Unread": _object("counts", counts=_list_of(_NUMBER | {"maximum": MOST_UNREAD}))
    | {"description": f"In the order of the question; {MOST_UNREAD} means that many or more."},
    "Key": _object("key", key=_TEXT),
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
_TYPE = _parameter("type", _TEXT, about="Only these types, with commas between.")
_FROM = _parameter("from", _TIME, about="Not before this time.")
_UNTIL = _parameter("until", _TIME, about="Before this time.")
_FITTING = [
    _parameter("before", _TEXT, about="Messages before this id."),
    _TYPE,
    _parameter("run_id", _TEXT, about="Only of this run."),
    _parameter("parent", _TEXT, about="Only those that have this message as a parent."),
    _parameter(
        "text", _TEXT, about="Only those whose body holds this, in whatever case. A page ends after 20,000 bodies."
    ),
    _FROM,
    _UNTIL,
]
_BY = _parameter("by", {"enum": list(GROUPS), "default": "type"})
_PARTS = _parameter("parts", {**_COUNT, "description": f"Of the histogram; at most {MOST_PARTS} count."})
_MSG_ID = _parameter("msg_id", {"type": "string", "minLength": 1}, place="path", required=True)
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


def _body(schema: str) -> _Schema:
    return {"required": True, "content": {"application/json": {"schema": _ref(schema)}}}


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
        "requestBody": _body(schema),
        "responses": _answers(201, "Posted", 409, 413, 415, 422, 429),
    }


def _conditional(operation: _Schema) -> _Schema:
    operation["parameters"].append(
        _parameter("If-None-Match", _TEXT, place="header", about="The ETag of an earlier answer.")
    )
    operation["responses"]["304"] = {"description": "Nothing has changed since."}
    return operation


def _ask(schema: str, answer: str) -> _Schema:
    """A question too long for a query."""
    return {"requestBody": _body(schema), "responses": _answers(200, answer, 413, 415)}


def _sign_in() -> _Schema:
    """For a page: EventSource sends no header."""
    done = {"description": "Done: a cookie that stands for the key (none where the server has no key)."}
    return {"requestBody": _body("Key"), "responses": {"204": done, **_problems(413, 415)}, "security": [{}]}


def _sign_out() -> _Schema:
    return {"responses": {"204": {"description": "Done: the cookie is taken back."}, **_problems()}, "security": [{}]}


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
