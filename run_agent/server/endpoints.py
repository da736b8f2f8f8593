"""The endpoints with a single response: messages, and the buses that hold them. Streams are in ``live.stream``."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from messagebus import MessageBus
from run_agent.server import params
from run_agent.server.buses import BusRef, BusRegistry, checked_ref
from run_agent.server.conditional import etag_matches
from run_agent.server.errors import ApiError, id_not_found
from run_agent.server.live.write_queue import WriteQueue
from run_agent.server.params import MAX_MESSAGES, HistogramQuery, ListQuery
from run_agent.server.queries.activity import Activity
from run_agent.server.queries.listing import ResultPage, find_page
from run_agent.server.queries.message_index import MessageIndexes, UnknownIDError
from run_agent.server.queries.stats import summary
from run_agent.server.serialization import as_json, json_response


class MessageEndpoints:
    """The messages of a bus: lists, single messages, posts, and a summary of them."""

    def __init__(self, buses: BusRegistry, *, max_request_bytes: int) -> None:
        self._buses = buses
        self._write_queue = WriteQueue(buses)
        self._indexes = MessageIndexes(buses)
        self._max_request_bytes = max_request_bytes

    async def list_v1(self, request: Request) -> Response:
        """Matching messages after or before an id."""
        return await self._list(request, params.LIST_PARAMETERS)

    async def list(self, request: Request) -> Response:
        """Messages since an id: the newest ``limit`` or the oldest ``first``."""
        return await self._list(request, ("since", "limit", "first"))

    async def post(self, request: Request) -> Response:
        """Store a message on the bus that the path names, or else the fields of the message."""
        params.query_parameters(request, ())
        in_path = params.bus_ref(request) if params.has_bus_in_path(request) else None
        fields = await params.json_object(request, self._max_request_bytes)
        ref, draft = params.bus_and_draft(fields, in_path)
        message = await self._write_queue.append(ref, draft, request.headers.get("idempotency-key"))
        stored = message.to_json()
        return json_response(as_json({name: stored[name] for name in ("msg_id", "timestamp")}), 201)

    async def one(self, request: Request) -> Response:
        """The message with an id."""
        params.query_parameters(request, ("project_id", "task_id"))
        msg_id = request.path_params["msg_id"]
        bus = self._buses.bus(params.bus_ref_from(request.query_params))
        message = await run_in_threadpool(bus.get_message, msg_id)
        if message is None:
            raise ApiError(404, id_not_found(msg_id))
        return json_response(as_json(message.to_json()))

    async def summary(self, request: Request) -> Response:
        """A bus in numbers."""
        query = params.histogram_query(request)
        ref = params.bus_ref_from(request.query_params)
        return json_response(await run_in_threadpool(self._summary_json, ref, query))

    async def _list(self, request: Request, allowed: tuple[str, ...]) -> Response:
        query = params.list_query(request, allowed)
        ref = params.bus_ref(request)
        return json_response(await run_in_threadpool(self._list_json, ref, query))

    def _list_json(self, ref: BusRef, query: ListQuery) -> bytes:
        bus = self._buses.bus(ref)
        try:
            if query.is_plain or _is_tail_of_one_type(query):
                page = _read_page(bus, query)
            else:
                page = find_page(self._indexes, bus, ref, query)
        except UnknownIDError as error:
            raise ApiError(404, id_not_found(error.msg_id)) from None
        optional = {"next": page.next, "previous": page.previous, "replies": page.replies}
        present = {name: value for name, value in optional.items() if value}
        messages = [message.to_json() for message in page.messages]
        return as_json({"messages": messages, **present, **({} if messages else self._exists_json(ref))})

    def _summary_json(self, ref: BusRef, query: HistogramQuery) -> bytes:
        numbers = summary(self._indexes.of(ref), self._buses.bus(ref), query)
        return as_json(numbers if numbers["count"] else numbers | self._exists_json(ref))

    def _exists_json(self, ref: BusRef) -> dict[str, bool]:
        """What an empty answer adds if there is no such bus. That is no error: clients list a bus and listen to it
        before its first post creates it."""
        return {} if self._buses.exists(ref) else {"exists": False}


class BusEndpoints:
    """Which buses there are, and what is new on them."""

    def __init__(self, buses: BusRegistry, activity: Activity, *, max_request_bytes: int) -> None:
        self._buses = buses
        self._activity = activity
        self._max_request_bytes = max_request_bytes

    async def activity(self, request: Request) -> Response:
        """All buses at a glance, 304 while nothing has changed; or what has changed since another answer."""
        query = params.query_parameters(request, ("since",))
        if "since" in query:
            return json_response(as_json(await run_in_threadpool(self._activity.since, query["since"])))
        document = as_json({"buses": await run_in_threadpool(self._activity.all)})
        etag = f'"{sha256(document).hexdigest()[:32]}"'
        if etag_matches(request, etag):
            return Response(status_code=304, headers={"ETag": etag})
        response = json_response(document)
        response.headers["ETag"] = etag
        return response

    async def unread(self, request: Request) -> Response:
        """How many messages of each bus came after the last one that a reader has seen."""
        params.query_parameters(request, ())
        cursors = params.bus_cursors(await params.json_object(request, self._max_request_bytes))
        counts = await run_in_threadpool(lambda: [self._activity.unread(ref, cursor) for ref, cursor in cursors])
        return json_response(as_json({"counts": counts}))

    async def projects(self, request: Request) -> Response:
        """All projects that have a bus."""
        params.query_parameters(request, ())
        return _list_response("projects", await run_in_threadpool(self._buses.projects))

    async def tasks(self, request: Request) -> Response:
        """All tasks of a project that have a bus."""
        params.query_parameters(request, ())
        project_id = checked_ref(request.path_params["project_id"], None).project_id
        return _list_response("tasks", await run_in_threadpool(self._buses.tasks, project_id))


def _list_response(name: str, items: list[dict[str, Any]]) -> Response:
    return json_response(as_json({name: items}))


def _read_page(bus: MessageBus, query: ListQuery) -> ResultPage:
    """Messages that can be found without an index."""
    limit = query.limit or MAX_MESSAGES
    if query.first is not None:
        messages, is_cut = bus.read_messages(query.since, first=query.first), False
    elif query.types and query.since is None:
        messages = bus.read_messages(limit=limit, types=query.types)
        # Not whether an older one matches: finding out could mean reading the whole log.
        is_cut = len(messages) == limit and bus.read_messages(first=1) != messages[:1]
    else:
        messages = bus.read_messages(query.since, limit=limit + 1, types=query.types)
        messages, is_cut = messages[-limit:], len(messages) > limit
    ids = [message.msg_id for message in messages]
    return ResultPage(messages, ids[-1] if ids else None, ids[0] if is_cut else None, {})


def _is_tail_of_one_type(query: ListQuery) -> bool:
    """Does it ask for the newest messages of one type, and nothing else?"""
    return query.first is None and len(query.types or ()) == 1 and replace(query, types=None).is_plain
