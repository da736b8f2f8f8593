"""Request parsing: query parameters and JSON bodies, validated before anything is done.

openapi.py describes the same names and limits; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request

from messagebus import Draft
from run_agent import strict_json
from run_agent.contracts.messages import POST
from run_agent.contracts.requests import MAX_CURSORS
from run_agent.server.buses import BusRef, checked_ref
from run_agent.server.errors import ApiError

MAX_MESSAGES = 5_000
HISTOGRAM_FIELDS = ("type", "run_id")  # that a histogram can be grouped by
MAX_PARTS = 500  # of a histogram
_DEFAULT_PARTS = 60
MAX_NUMBER = 10**18 - 1  # in a parameter
_DEFAULT_TYPE = "USER"
POST_FIELDS = tuple(POST["properties"])
_BUS_FIELDS = ("project_id", "task_id")
LIST_PARAMETERS = (
    *_BUS_FIELDS, "after", "before", "limit", "first", "msg_id", "type", "run_id", "sender", "parent", "text", "from",
    "until",
)  # fmt: skip
MAX_TASKS = 500  # on one result page
_DEFAULT_TASKS = 50


@dataclass(frozen=True)
class ListQuery:
    """Which messages of a bus: of those after ``since`` and before ``before`` that match, the newest ``limit`` or the
    oldest ``first``. ``start`` (inclusive) and ``end`` (exclusive) are seconds since 1970."""

    since: str | None = None
    before: str | None = None
    limit: int | None = None
    first: int | None = None
    msg_id: str | None = None
    types: frozenset[str] | None = None
    run_id: str | None = None
    sender: str | None = None
    parent: str | None = None
    text: str | None = None
    start: float | None = None
    end: float | None = None

    @property
    def is_plain(self) -> bool:
        """Are there no filters: nothing but ``since``, ``limit`` and ``first``?"""
        return all(value is None for name, value in vars(self).items() if name not in ("since", "limit", "first"))


@dataclass(frozen=True)
class HistogramQuery:
    """A histogram: grouped by which field, from when to when, in how many parts."""

    by: str
    start: float | None
    end: float | None
    parts: int


def bus_ref(request: Request) -> BusRef:
    """The bus that the path names, or else the query. Raises ApiError."""
    return bus_ref_from(request.path_params if has_bus_in_path(request) else request.query_params)


def bus_ref_from(names: Mapping[str, str]) -> BusRef:
    """The bus with these ids. Raises ApiError."""
    if not names.get("project_id"):
        raise ApiError(400, "project_id is missing")
    return checked_ref(names["project_id"], names.get("task_id"))


def has_bus_in_path(request: Request) -> bool:
    """Does the path name the bus? If the application is mounted, the path may have other parameters as well."""
    return "project_id" in request.path_params


def list_query(request: Request, allowed: tuple[str, ...]) -> ListQuery:
    """The query of a list, which may have the ``allowed`` parameters. Raises ApiError."""
    query = query_parameters(request, allowed)
    if "limit" in query and "first" in query:
        raise ApiError(400, "give limit (the newest) or first (the oldest), not both")
    types = frozenset(filter(None, (type_.strip().upper() for type_ in query.get("type", "").split(","))))
    return ListQuery(
        since=query.get("since", query.get("after")) or None,
        before=query.get("before") or None,
        limit=_count(query, "limit"),
        first=_count(query, "first"),
        msg_id=query.get("msg_id") or None,
        types=types or None,
        run_id=query.get("run_id"),
        sender=query.get("sender"),
        parent=query.get("parent") or None,
        text=query.get("text") or None,
        start=_time(query, "from"),
        end=_time(query, "until"),
    )


def histogram_query(request: Request) -> HistogramQuery:
    """The query of a summary. Raises ApiError."""
    query = query_parameters(request, (*_BUS_FIELDS, "by", "from", "until", "parts"))
    by = query.get("by", "type")
    if by not in HISTOGRAM_FIELDS:
        raise ApiError(400, f"invalid by {by!r:.80}: it must be one of {', '.join(HISTOGRAM_FIELDS)}")
    parts = min(_count(query, "parts") or _DEFAULT_PARTS, MAX_PARTS)
    return HistogramQuery(by, _time(query, "from"), _time(query, "until"), parts)


def stream_cursor(request: Request) -> str | None:
    """The id that a stream starts after; None: with the newest messages. Raises ApiError.

    ``after`` is where the client first started. When it reconnects, it sends the last id it got in a header, or as
    ``lastEventId`` if it cannot send headers.
    """
    names = ("after", "lastEventId")
    query = query_parameters(request, names if has_bus_in_path(request) else (*_BUS_FIELDS, *names))
    return _header_text(request, "last-event-id") or query.get("lastEventId") or query.get("after") or None


def limit_and_offset(request: Request) -> tuple[int, int]:
    """How many tasks a result page holds at most, and how many are skipped before it. Raises ApiError."""
    query = query_parameters(request, ("limit", "offset"))
    offset = query.get("offset", "0")
    if not (offset.isascii() and offset.isdigit() and len(offset) < 20 and int(offset) <= MAX_NUMBER):
        raise ApiError(400, f"invalid offset {offset!r:.80}: it must be a number, 0 or more")
    return min(_count(query, "limit") or _DEFAULT_TASKS, MAX_TASKS), int(offset)


def _header_text(request: Request, name: str) -> str:
    """A header decoded as UTF-8, as browsers send it (HTML standard), or else as Latin-1, as HTTP libraries do."""
    raw = request.headers.get(name, "").encode("latin-1")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def query_parameters(request: Request, allowed: tuple[str, ...]) -> dict[str, str]:
    """The query parameters. Raises ApiError for an unknown or repeated one."""
    pairs = request.query_params.multi_items()
    query = dict(pairs)
    for name in query:
        if name not in allowed:
            raise ApiError(400, f"unknown parameter {name!r:.80}; allowed: {', '.join(allowed) or 'none'}")
    if len(query) < len(pairs):
        raise ApiError(400, "a parameter is repeated")
    return query


def _count(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 0 < int(text) <= MAX_NUMBER):
        raise ApiError(400, f"invalid {name} {text!r:.80}: it must be a number, 1 or more")
    return min(int(text), MAX_MESSAGES)


def _time(query: Mapping[str, str], name: str) -> float | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ApiError(400, f"invalid {name} {text!r:.80}: it must be a time such as 2026-11-21T03:14:15Z") from None


async def json_object(request: Request, max_bytes: int) -> dict[str, Any]:
    """The JSON object in the body of a request, of ``max_bytes`` at most. Raises ApiError."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ApiError(415, "the Content-Type must be application/json")
    too_large = ApiError(413, f"the body exceeds {max_bytes:,} bytes: store large content in a file and link to it")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise too_large  # before the client sends it, if it waits for that (Expect: 100-continue)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise too_large
    try:
        fields = strict_json.parse(bytes(body))
    except ValueError as error:
        raise ApiError(400, f"invalid JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ApiError(400, "the body must be a JSON object")
    return fields


def api_key(fields: dict[str, Any]) -> str:
    """The API key of a login. Raises ApiError."""
    key = _text(fields, "key")
    if fields.keys() != {"key"}:
        raise ApiError(400, "send exactly one field, key")
    return key


def bus_cursors(fields: dict[str, Any]) -> list[tuple[BusRef, str | None]]:
    """The buses that a reader knows, with the last id it has seen on each. Raises ApiError."""
    buses = fields.pop("buses", None)
    if fields or not isinstance(buses, list) or len(buses) > MAX_CURSORS:
        raise ApiError(400, f"send exactly one field, buses: a list of at most {MAX_CURSORS:,} objects")
    return [_bus_cursor(bus) for bus in buses]


def _bus_cursor(bus: object) -> tuple[BusRef, str | None]:
    if not isinstance(bus, dict) or not bus.keys() <= {*_BUS_FIELDS, "after"}:
        raise ApiError(400, "each item of buses must be an object with project_id, and optionally task_id and after")
    ref = checked_ref(_text(bus, "project_id"), _text(bus, "task_id") if "task_id" in bus else None)
    return ref, _text(bus, "after") if "after" in bus else None


def bus_and_draft(fields: dict[str, Any], in_path: BusRef | None) -> tuple[BusRef, Draft]:
    """The message that ``fields`` describe, and its bus: the one in the path, or else in the fields. Raises ApiError
    and InvalidMessageError."""
    allowed = POST_FIELDS if in_path else (*_BUS_FIELDS, *POST_FIELDS)
    for name in fields:
        if name not in allowed:
            raise ApiError(400, f"unknown field {name!r:.80}; allowed: {', '.join(allowed)}")
    ref = in_path
    if ref is None:
        ref = checked_ref(_text(fields, "project_id"), _text(fields, "task_id") if "task_id" in fields else None)
    if not _text(fields, "body").strip():
        raise ApiError(400, "the body of the message is blank")
    given = {**fields, "type": _type(fields), "project_id": ref.project_id}
    given |= {"task_id": ref.task_id} if ref.task_id else {}
    parents = given.pop("parents", [])
    if not isinstance(parents, list) or not all(isinstance(parent, str | dict) for parent in parents):
        raise ApiError(400, "parents must be a list of ids, or of objects with msg_id, kind and meta")
    related = [{"msg_id": parent} if isinstance(parent, str) else parent for parent in parents]
    given |= {"parents": [parent.get("msg_id") for parent in related], "relations": related}
    return ref, Draft.from_json(given)


def _type(fields: Mapping[str, Any]) -> Any:
    """The type without surrounding spaces and tabs; USER if nothing is left."""
    type_ = fields.get("type", "")
    return type_.strip(" \t") or _DEFAULT_TYPE if isinstance(type_, str) else type_


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise ApiError(400, f"{name} is missing or not a string")
    return value
