"""What a request asks for: query parameters and JSON bodies, checked before anything is done.

The names and limits here are those of openapi.py; tests hold the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request

from messagebus import Draft
from run_agent import strict_json
from run_agent.server.buses import BusRef, address
from run_agent.server.errors import ApiError

MOST_MESSAGES = 5_000
GROUPS = ("type", "run_id")  # by which a summary can tell messages apart
MOST_PARTS = 500  # of a histogram
LARGEST_COUNT = 10**18 - 1  # that may be asked for
_DEFAULT_TYPE = "USER"
POSTED_FIELDS = ("type", "body", "run_id", "issue_id", "parents", "links", "meta")
_SCOPE_FIELDS = ("project_id", "task_id")
LISTED_BY = (
    *_SCOPE_FIELDS, "after", "before", "limit", "first", "msg_id", "type", "run_id", "parent", "text", "from", "until"
)  # fmt: skip
MOST_PLACES = 1_000  # in one question about unread messages
MOST_TASKS = 500  # on a page of tasks
_TASKS = 50  # unless more are asked for


@dataclass(frozen=True)
class ListQuery:
    """Which messages of a bus: those after ``since`` and before ``before`` that fit, the newest ``limit`` or the
    oldest ``first``. Times are seconds since 1970."""

    since: str | None = None
    before: str | None = None
    limit: int | None = None
    first: int | None = None
    msg_id: str | None = None
    types: frozenset[str] | None = None
    run_id: str | None = None
    parent: str | None = None
    text: str | None = None
    start: float | None = None
    end: float | None = None

    @property
    def is_plain(self) -> bool:
        """Do cursors and counts say it all?"""
        narrowing = (self.before, self.msg_id, self.types, self.run_id, self.parent, self.text, self.start, self.end)
        return all(value is None for value in narrowing)


@dataclass(frozen=True)
class HistogramQuery:
    """A histogram: by which field, from when to when, in how many parts."""

    by: str
    start: float | None
    end: float | None
    parts: int


def address_of(request: Request) -> BusRef:
    """The project and task that the path names, or else the query."""
    return scope_of(request.path_params if in_path(request) else request.query_params)


def scope_of(named: Mapping[str, str]) -> BusRef:
    """The project and task that are named."""
    if not named.get("project_id"):
        raise ApiError(400, "project_id is missing: say whose messages you want")
    return address(named["project_id"], named.get("task_id"))


def in_path(request: Request) -> bool:
    """Does the path name the bus? (It may hold more names, of the application that we are mounted in.)"""
    return "project_id" in request.path_params


def list_query(request: Request, allowed: tuple[str, ...]) -> ListQuery:
    """The query of a list; only parameters that this list has."""
    query = parameters(request, allowed)
    if "limit" in query and "first" in query:
        raise ApiError(400, "give limit (the newest) or first (the oldest), not both")
    types = frozenset(filter(None, (kind.strip().upper() for kind in query.get("type", "").split(","))))
    return ListQuery(
        since=query.get("since", query.get("after")) or None,
        before=query.get("before") or None,
        limit=_count(query, "limit"),
        first=_count(query, "first"),
        msg_id=query.get("msg_id") or None,
        types=types or None,
        run_id=query.get("run_id"),
        parent=query.get("parent") or None,
        text=query.get("text") or None,
        start=_time(query, "from"),
        end=_time(query, "until"),
    )


def histogram_query(request: Request) -> HistogramQuery:
    """The query of a summary."""
    query = parameters(request, (*_SCOPE_FIELDS, "by", "from", "until", "parts"))
    by = query.get("by", "type")
    if by not in GROUPS:
        raise ApiError(400, f"by is {by!r:.80}; it must be one of {', '.join(GROUPS)}")
    parts = min(_count(query, "parts") or 60, MOST_PARTS)
    return HistogramQuery(by, _time(query, "from"), _time(query, "until"), parts)


def place(request: Request) -> str | None:
    """The id that a stream is to go on after. A client that comes again sends it in a header, or as ``lastEventId``
    where it can send none; ``after`` is where it began."""
    places = ("after", "lastEventId")
    query = parameters(request, places if in_path(request) else (*_SCOPE_FIELDS, *places))
    return _text_of_header(request, "last-event-id") or query.get("lastEventId") or query.get("after") or None


def window(request: Request) -> tuple[int, int]:
    """How many tasks a page is to hold, and how many to skip before it."""
    query = parameters(request, ("limit", "offset"))
    offset = query.get("offset", "0")
    if not (offset.isascii() and offset.isdigit() and len(offset) < 20 and int(offset) <= LARGEST_COUNT):
        raise ApiError(400, f"offset is {offset!r:.80}; it must be a number from 0 on")
    return min(_count(query, "limit") or _TASKS, MOST_TASKS), int(offset)


def _text_of_header(request: Request, name: str) -> str:
    """Browsers send UTF-8, as HTML says; libraries for HTTP send Latin-1, as that once said."""
    raw = request.headers.get(name, "").encode("latin-1")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def parameters(request: Request, allowed: tuple[str, ...]) -> dict[str, str]:
    """The query parameters. Raises ApiError for one that is unknown or comes twice."""
    pairs = request.query_params.multi_items()
    query = dict(pairs)
    for name in query:
        if name not in allowed:
            raise ApiError(400, f"unknown parameter {name!r:.80}; known here: {', '.join(allowed)}")
    if len(query) < len(pairs):
        raise ApiError(400, "a parameter is given twice")
    return query


def _count(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 0 < int(text) <= LARGEST_COUNT):
        raise ApiError(400, f"{name} is {text!r:.80}; it must be a number from 1 on (at most {MOST_MESSAGES:,} count)")
    return min(int(text), MOST_MESSAGES)


def _time(query: Mapping[str, str], name: str) -> float | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ApiError(400, f"{name} is {text!r:.80}; it must be a time such as 2026-11-21T03:14:15Z") from None


async def posted(request: Request, largest: int) -> dict[str, Any]:
    """The JSON object that was sent, of ``largest`` bytes at most."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, "send the message as application/json")
    too_large = ApiError(413, f"the request is over the limit of {largest:,} bytes: store it in a file and link to it")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > largest:
        raise too_large  # before it is sent, if its client asks first (Expect: 100-continue)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > largest:
            raise too_large
    try:
        fields = strict_json.parse(bytes(body))
    except ValueError as error:
        raise ApiError(400, f"the request is no JSON object: {error}") from None
    if not isinstance(fields, dict):
        raise ApiError(400, "the request must be a JSON object")
    return fields


def key(fields: dict[str, Any]) -> str:
    """The key that somebody signs in with."""
    given = _text(fields, "key")
    if fields.keys() != {"key"}:
        raise ApiError(400, "send one field, key")
    return given


def places(fields: dict[str, Any]) -> list[tuple[BusRef, str | None]]:
    """The buses that a reader knows, and the last id it has seen of each."""
    buses = fields.pop("buses", None)
    if fields or not isinstance(buses, list) or len(buses) > MOST_PLACES:
        raise ApiError(400, f"send one field, buses: a list of at most {MOST_PLACES:,} objects")
    return [_place(bus) for bus in buses]


def _place(bus: object) -> tuple[BusRef, str | None]:
    if not isinstance(bus, dict) or not bus.keys() <= {*_SCOPE_FIELDS, "after"}:
        raise ApiError(
            400, "each of buses must be an object with project_id, and task_id and after where there are any"
        )
    at = address(_text(bus, "project_id"), _text(bus, "task_id") if "task_id" in bus else None)
    return at, _text(bus, "after") if "after" in bus else None


def draft(fields: dict[str, Any], at: BusRef | None) -> tuple[BusRef, Draft]:
    """The message that ``fields`` describe, and where it goes: ``at``, or as the fields say."""
    known = POSTED_FIELDS if at else (*_SCOPE_FIELDS, *POSTED_FIELDS)
    for name in fields:
        if name not in known:
            raise ApiError(400, f"unknown field {name!r:.80}; known here: {', '.join(known)}")
    if at is None:
        at = address(_text(fields, "project_id"), _text(fields, "task_id") if "task_id" in fields else None)
    if not _text(fields, "body").strip():
        raise ApiError(400, "the body is blank: there is nothing to post")
    given = {**fields, "type": _type(fields), "project_id": at.project_id}
    given |= {"task_id": at.task_id} if at.task_id else {}
    parents = given.pop("parents", [])
    if not isinstance(parents, list) or not all(isinstance(parent, str | dict) for parent in parents):
        raise ApiError(400, "parents must be a list of ids, or of objects with msg_id, kind and meta")
    related = [{"msg_id": parent} if isinstance(parent, str) else parent for parent in parents]
    given |= {"parents": [parent.get("msg_id") for parent in related], "relations": related}
    return at, Draft.from_json(given)


def _type(fields: Mapping[str, Any]) -> Any:
    """The type that is given, without blanks around it; USER where that is nothing."""
    kind = fields.get("type", "")
    return kind.strip(" \t") or _DEFAULT_TYPE if isinstance(kind, str) else kind


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise ApiError(400, f"{name} is missing or no text")
    return value
