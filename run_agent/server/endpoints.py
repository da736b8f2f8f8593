"""ListQuery and posting: the endpoints that answer once."""

from __future__ import annotations

from collections import deque
from contextlib import closing
from dataclasses import replace
from hashlib import sha256

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from messagebus import Message, MessageBus
from run_agent.server import params
from run_agent.server.buses import BusRef, BusRegistry, address
from run_agent.server.conditional import is_held
from run_agent.server.errors import ApiError, unknown
from run_agent.server.live.write_queue import WriteQueue
from run_agent.server.params import MOST_MESSAGES, HistogramQuery, ListQuery
from run_agent.server.queries.activity import Activity
from run_agent.server.queries.listing import Found, search
from run_agent.server.queries.message_index import MessageIndexes
from run_agent.server.queries.stats import summary
from run_agent.server.serialization import as_json, json_response

_NEAR = 4 * MOST_MESSAGES  # messages that are looked at together


class Messages:
    """The messages of all buses of a buses."""

    def __init__(self, buses: BusRegistry, activity: Activity, *, largest_body: int) -> None:
        self._buses = buses
        self._writer = WriteQueue(buses)
        self._indexes = MessageIndexes(buses)
        self._activity = activity
        self._largest_body = largest_body

    async def list_v1(self, request: Request) -> Response:
        """Messages after or before an id that fit."""
        return await self._list(request, params.LISTED_BY)

    async def list(self, request: Request) -> Response:
        """Messages since an id: the newest ``limit`` or the oldest ``first``."""
        return await self._list(request, ("since", "limit", "first"))

    async def post(self, request: Request) -> Response:
        """Store a message where the path, or else its own fields, say."""
        params.parameters(request, ())
        to = params.address_of(request) if params.in_path(request) else None
        at, draft = params.draft(await params.posted(request, self._largest_body), to)
        key = request.headers.get("idempotency-key")
        message = await self._writer.append(at, draft, key)
        stored = message.to_json()
        return json_response(as_json({name: stored[name] for name in ("msg_id", "timestamp")}), 201)

    async def one(self, request: Request) -> Response:
        """The message with an id."""
        params.parameters(request, ("project_id", "task_id"))
        msg_id = request.path_params["msg_id"]
        bus = self._buses.bus(params.scope_of(request.query_params))
        message = await run_in_threadpool(bus.get_message, msg_id)
        if message is None:
            raise ApiError(404, unknown(msg_id))
        return json_response(as_json(message.to_json()))

    async def summary(self, request: Request) -> Response:
        """A bus in numbers."""
        wanted = params.histogram_query(request)
        at = params.scope_of(request.query_params)
        return json_response(await run_in_threadpool(self._summed_up, at, wanted))

    async def activity(self, request: Request) -> Response:
        """All buses at a glance; 304 while nothing has changed."""
        params.parameters(request, ())
        document = as_json({"buses": await run_in_threadpool(self._activity.all)})
        tag = f'"{sha256(document).hexdigest()[:32]}"'
        if is_held(request, tag):
            return Response(status_code=304, headers={"ETag": tag})
        response = json_response(document)
        response.headers["ETag"] = tag
        return response

    async def unread(self, request: Request) -> Response:
        """How many messages of each bus came after the last that a reader has seen."""
        params.parameters(request, ())
        places = params.places(await params.posted(request, self._largest_body))
        counts = await run_in_threadpool(lambda: [self._activity.unread(at, after) for at, after in places])
        return json_response(as_json({"counts": counts}))

    async def projects(self, request: Request) -> Response:
        """What projects there are."""
        params.parameters(request, ())
        return json_response(as_json({"projects": await run_in_threadpool(self._buses.projects)}))

    async def tasks(self, request: Request) -> Response:
        """What tasks a project has."""
        params.parameters(request, ())
        project_id = address(request.path_params["project_id"], None).project_id
        return json_response(as_json({"tasks": await run_in_threadpool(self._buses.tasks, project_id)}))

    async def _list(self, request: Request, allowed: tuple[str, ...]) -> Response:
        wanted = params.list_query(request, allowed)
        at = params.address_of(request)
        return json_response(await run_in_threadpool(self._listed, at, wanted))

    def _listed(self, at: BusRef, wanted: ListQuery) -> bytes:
        bus = self._buses.bus(at)
        if wanted.is_plain or _is_tail_of_type(wanted):
            found = _select(bus, wanted)
        else:
            found = search(self._indexes, bus, at, wanted)
        ways = {"next": found.next, "previous": found.previous, "replies": found.replies}
        more = {name: value for name, value in ways.items() if value}
        messages = [message.to_json() for message in found.messages]
        return as_json({"messages": messages, **more, **({} if messages else self._absence(at))})

    def _summed_up(self, at: BusRef, wanted: HistogramQuery) -> bytes:
        about = summary(self._indexes.of(at), self._buses.bus(at), wanted)
        return as_json(about if about["count"] else about | self._absence(at))

    def _absence(self, at: BusRef) -> dict[str, bool]:
        """Of what holds no messages: whether there is no such bus at all, which is no error, since clients ask for
        a bus and listen to it before the first post makes it."""
        return {} if self._buses.exists(at) else {"exists": False}


def _select(bus: MessageBus, wanted: ListQuery) -> Found:
    """What is found without knowing the whole log."""
    limit = wanted.limit or MOST_MESSAGES
    if wanted.first is not None:
        messages, is_cut = bus.read_messages(wanted.since, first=wanted.first), False
    elif wanted.types is not None:
        messages, is_cut = _of_type(bus, next(iter(wanted.types)), wanted.since, limit)
    else:
        messages = bus.read_messages(wanted.since, limit=limit + 1)
        messages, is_cut = messages[-limit:], len(messages) > limit
    ids = [message.msg_id for message in messages]
    return Found(messages, ids[-1] if ids else None, ids[0] if is_cut else None, {})


def _is_tail_of_type(wanted: ListQuery) -> bool:
    """The newest of one type: found without knowing the whole log."""
    return wanted.first is None and len(wanted.types or ()) == 1 and replace(wanted, types=None).is_plain


def _of_type(bus: MessageBus, kind: str, since: str | None, limit: int) -> tuple[list[Message], bool]:
    """The newest ``limit`` messages of a type, and whether there are older messages that were not looked at; without
    ``since``, first looked for among the newest."""
    reach = limit + 1
    while since is None and reach <= _NEAR:
        newest = bus.read_last_n(reach)
        matching = [message for message in newest if message.type.upper() == kind][-limit:]
        is_cut = len(matching) == limit and matching[0] is not newest[0]
        if is_cut or len(newest) < reach:
            return matching, is_cut
        reach *= 4
    kept: deque[Message] = deque(maxlen=limit)
    dropped = 0
    with closing(bus.iter_messages(since)) as messages:  # in constant memory, however rare the type is
        for message in messages:
            if message.type.upper() == kind:
                dropped += len(kept) == limit
                kept.append(message)
    return list(kept), dropped > 0
