"""The schemas of request and response bodies in the OpenAPI document."""

from __future__ import annotations

from run_agent.contracts.messages import MESSAGE, POST, POST_ANYWHERE
from run_agent.contracts.requests import KEY, SEEN
from run_agent.contracts.words import ID, TEXT, TIME, Schema, list_of, record
from run_agent.server.errors import CODES
from run_agent.server.params import HISTOGRAM_FIELDS, MAX_MESSAGES, MAX_NUMBER
from run_agent.server.queries.activity import MAX_UNREAD

COUNT: Schema = {
    "type": "integer",
    "minimum": 1,
    "maximum": MAX_NUMBER,
    "description": f"A number above {MAX_MESSAGES} means {MAX_MESSAGES}.",
}
_NUMBER: Schema = {"type": "integer", "minimum": 0}
_SIZE: Schema = {"type": "integer", "minimum": 0, "description": "Bytes, including archives."}

_EXISTS: Schema = {"const": False, "description": "The bus does not exist yet. Absent if it exists."}
_LIST_ABOUT = (
    "A list of messages. `next` is the id of its last message, to continue after; absent if the list is empty. "
    "`previous` is the id to page back from; absent unless older messages were left out."
)
_PAGE_ABOUT = (
    f"{_LIST_ABOUT} If a page of `text` ended early, it is the last id that was searched. "
    "`replies` is how many messages have each message as a parent; it is present if the request has parameters other "
    "than `after`, `limit` or `first`, and one `type`."
)
_SUMMARY_ABOUT = (
    "Counts of all messages, by type; the latest runs; unanswered QUESTION and ISSUE messages, the newest in full; and "
    "a histogram over time. A message counts as answered once another one has it as a parent, and either has the type "
    "ANSWER or names the parent with the kind `answers`, `closes`, `fixes` or `resolves`."
)


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_RUN = record(
    "run_id count state first last",
    run_id=TEXT, count=_NUMBER, state={"enum": ["unknown", "running", "stopped", "crashed"]},
    first=TIME, last=TIME, started=TIME, ended=TIME,
)  # fmt: skip
_HISTOGRAM = record(
    "by step series rest",
    by={"enum": list(HISTOGRAM_FIELDS)},
    start=TIME | {"description": "Absent if the bus is empty and no time was given."},
    step={"type": "number", "description": "Seconds."},
    series=list_of(record("name counts", name=TEXT, counts=list_of(_NUMBER))),
    rest=list_of(_NUMBER) | {"description": "Messages in no series: only the most frequent names have one."},
)
SCHEMAS: Schema = {
    "Message": MESSAGE,
    "Messages": record(
        "messages", messages=list_of(ref("Message")), next=TEXT, previous=TEXT, exists=_EXISTS
    ) | {"description": _LIST_ABOUT},
    "Page": record(
        "messages", messages=list_of(ref("Message")), next=TEXT, previous=TEXT, exists=_EXISTS,
        replies={"type": "object", "additionalProperties": _NUMBER},
    ) | {"description": _PAGE_ABOUT},
    "Summary": record(
        "count types runs unanswered histogram",
        count=_NUMBER, first=TIME, last=TIME, types={"type": "object", "additionalProperties": _NUMBER},
        runs=list_of(_RUN),
        unanswered=record("count messages", count=_NUMBER, messages=list_of(ref("Message"))),
        histogram=_HISTOGRAM, exists=_EXISTS,
    ) | {"description": _SUMMARY_ABOUT},
    "Activity": record(
        "buses",
        buses=list_of(
            record(
                "project_id size",
                project_id=ID, task_id=ID, size=_SIZE, last=TIME, last_id=TEXT, last_type=TEXT,
            )
        ),
        token=TEXT, removed=list_of(record("project_id", project_id=ID, task_id=ID)),
    ),
    "Seen": SEEN,
    "Unread": record("counts", counts=list_of(_NUMBER | {"maximum": MAX_UNREAD}))
    | {"description": f"In the order of the request; {MAX_UNREAD} means {MAX_UNREAD} or more."},
    "Key": KEY,
    "Posted": record("msg_id timestamp", msg_id=TEXT, timestamp=TIME),
    "Post": POST,
    "PostAnywhere": POST_ANYWHERE,
    "Projects": record(
        "projects",
        projects=list_of(
            record(
                "project_id size tasks",
                project_id=ID, size=_SIZE, first=TIME, last=TIME, tasks={"type": "integer", "minimum": 0},
            )
        ),
    ),
    "Tasks": record(
        "tasks", tasks=list_of(record("task_id size", task_id=ID, size=_SIZE, first=TIME, last=TIME))
    ),
    "ConductorProjects": record("projects", projects=list_of(ref("ConductorProject"))),
    "ConductorProject": record("id task_count", id=ID, last_activity=TIME, task_count=_NUMBER),
    "ConductorTasks": record(
        "items total has_more",
        items=list_of(
            record("id project_id status", id=ID, project_id=ID, status={"const": "unknown"}, last_activity=TIME)
        ),
        total=_NUMBER, has_more={"type": "boolean"},
    ),
    "Health": record("status", status={"const": "ok"}),
    "Version": record("version api", version=TEXT, api={"const": "v1"}),
    "Error": record(
        "error",
        error=record("code message", code={"enum": list(CODES.values())}, message=TEXT, details={"type": "object"}),
    ),
}  # fmt: skip
