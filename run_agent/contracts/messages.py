"""The shape of a message (SPEC.md, "JSON"), and of the JSON that posts one.

``MESSAGE`` is what ``--json``, REST and server-sent events give. A post has fewer fields: the log
sets the others. The patterns are what the library accepts in a header and in a body.
"""

from __future__ import annotations

from run_agent.contracts.words import ID, TEXT, TEXTS, TIME, Schema, about, list_of, record

_CONTROLS = r"\u0000-\u001f\u007f-\u009f"
_LINE: Schema = {"type": "string", "pattern": f"^[^{_CONTROLS}]*$"}
_NOT_BLANK_LINE: Schema = {"type": "string", "pattern": rf"^[^{_CONTROLS}]*[^\s{_CONTROLS}][^{_CONTROLS}]*$"}
_POSTED_TYPE: Schema = {
    "type": "string",
    "pattern": rf"^[\t ]*([^{_CONTROLS}]*[^\s{_CONTROLS}][^{_CONTROLS}]*)?[\t ]*$",
    "default": "USER",
    "description": "Spaces and tabs around it are removed; an empty type means USER.",
}
_WORD: Schema = {"type": "string", "pattern": rf"^[^\s{_CONTROLS}]+$"}
_BODY: Schema = {"type": "string", "pattern": r"^[^\u0000]*[^\s\u0000-\u001f\u0085][^\u0000]*$"}
_META_KEY: Schema = {**_LINE, "minLength": 1, "maxLength": 128}
_META: Schema = {"type": "object", "propertyNames": _META_KEY, "additionalProperties": _LINE}
_POSTED_META: Schema = {**_META, "propertyNames": {**_META_KEY, "not": {"const": "idempotency_key"}}}
_POSTED_RELATION = record("msg_id", msg_id=_WORD, kind=_LINE, meta=_META)
_POSTED_LINK = record("url", url=_NOT_BLANK_LINE, label=_LINE, kind=_LINE)

_EXAMPLE = {
    "msg_id": "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA",
    "timestamp": "2026-11-21T03:14:15.926535Z",
    "type": "ANSWER",
    "project_id": "demo",
    "task_id": "t1",
    "parents": ["MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9Z8"],
    "relations": [{"msg_id": "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9Z8", "kind": "answers"}],
    "meta": {"from": "reviewer"},
    "body": "Yes.",
    "intact": True,
}

MESSAGE: Schema = record(
    "msg_id timestamp type",
    msg_id=about("The id that the log gave it.", TEXT),
    timestamp=about("When it was posted, in UTC.", TIME),
    type=about("What the message is: FACT, QUESTION, ...", TEXT),
    project_id=about("The project.", TEXT),
    task_id=about("The task.", TEXT),
    run_id=about("The run of an agent that posted it.", TEXT),
    issue_id=about("The issue; that of an ISSUE is its own id.", TEXT),
    parents=about("The ids of the messages that this one refers to.", list_of(TEXT)),
    relations=about(
        "Those parents that have a kind or meta.", list_of(record("msg_id", msg_id=TEXT, kind=TEXT, meta=TEXTS))
    ),
    links=about("URLs and paths outside the log.", list_of(record("url", url=TEXT, label=TEXT, kind=TEXT))),
    meta=about("Anything else, as text by name.", TEXTS),
    body=about("The text.", TEXT),
    intact=about("Absent if the record stores no length (SPEC.md, 'Torn records').", {"type": "boolean"}),
) | {"description": "A stored message. Empty fields are absent.", "examples": [_EXAMPLE]}

_RUN = about("The run of an agent that posts it.", _LINE)
_ISSUE = about("The issue it belongs to; an ISSUE has its own id if this is empty.", _LINE)
_LINKS = about("URLs and paths outside the log.", list_of(_POSTED_LINK))
_ENTRIES = about("Anything else, as text by name; 'from' is the sender.", _POSTED_META)

# What a REST request may say about a message; its bus is named by the path or by two more fields.
_POSTED: dict[str, Schema] = {
    "type": _POSTED_TYPE,
    "body": about("The text, which must not be blank.", _BODY),
    "run_id": _RUN,
    "issue_id": _ISSUE,
    "parents": about(
        "The messages that it refers to: ids, or objects with a kind and meta.",
        list_of({"oneOf": [_WORD, _POSTED_RELATION]}),
    ),
    "links": _LINKS,
    "meta": _ENTRIES,
}
POST: Schema = record("body", **_POSTED) | {"examples": [{"type": "FACT", "body": "The build is green."}]}
POST_ANYWHERE: Schema = record("project_id body", project_id=ID, task_id=ID, **_POSTED) | {
    "examples": [{"project_id": "demo", "task_id": "t1", "body": "Start with the tests.", "meta": {"from": "lead"}}]
}

JSONL_LINE: Schema = record(
    type=about("What the message is; the flag --type is the default.", _NOT_BLANK_LINE),
    timestamp=about("When it was posted, with a zone; the default is now.", {"type": ["string", "null"]}),
    project_id=about("The default is that of the flag, the bus or the environment.", _NOT_BLANK_LINE),
    task_id=about("The default is that of the flag, the bus or the environment.", _LINE),
    run_id=_RUN,
    issue_id=_ISSUE,
    parents=about("The ids of the messages that it refers to.", list_of(_WORD)),
    relations=about("Parents with a kind or meta.", list_of(_POSTED_RELATION)),
    links=_LINKS,
    meta=_ENTRIES,
    body=about("The text, which may be empty.", {"type": "string", "pattern": r"^[^\u0000]*$"}),
    idempotency_key=about("Makes a retry safe for 24 hours.", {"type": ["string", "null"]}),
) | {
    "description": "One line of 'bus post --jsonl'. Flags are defaults for every line.",
    "examples": [
        {"type": "FACT", "body": "one"},
        {"project_id": "demo", "body": "two", "relations": [{"msg_id": "MSG-1", "kind": "answers"}]},
        {"body": "three", "links": [{"url": "https://ci.example"}], "idempotency_key": "build-7"},
    ],
}

COPIED_LINE: Schema = JSONL_LINE | {
    "properties": {**JSONL_LINE["properties"], "meta": _META, "msg_id": TEXT, "intact": {"type": "boolean"}},
    "description": "One line of 'bus post --jsonl --copy': what 'bus read --json' printed. Its id is not kept.",
    "examples": [_EXAMPLE, {"project_id": "demo", "body": "x", "meta": {"idempotency_key": "build-8"}}],
}
