"""Listing and posting: the endpoints that answer once."""

from __future__ import annotations

from collections import deque
from contextlib import closing

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from messagebus import Message, MessageBus
from run_agent.server import asked
from run_agent.server.asked import MOST_MESSAGES, Listing
from run_agent.server.tree import Address, Tree, address
from run_agent.server.wire import as_json, json_response
from run_agent.server.writing import Writer

_NEAR = 4 * MOST_MESSAGES  # messages that are looked at together


class Messages:
    """The messages of all buses of a tree."""

    def __init__(self, tree: Tree, *, largest_body: int) -> None:
        self._tree = tree
        self._writer = Writer(tree)
        self._largest_body = largest_body

    async def list_v1(self, request: Request) -> Response:
        """Messages after an id, the newest ones kept, of one type if asked for."""
        return await self._list(request, ("project_id", "task_id", "after", "limit", "type"))

    async def list(self, request: Request) -> Response:
        """Messages since an id: the newest ``limit`` or the oldest ``first``."""
        return await self._list(request, ("since", "limit", "first"))

    async def post(self, request: Request) -> Response:
        """Store a message where the path, or else its own fields, say."""
        asked.parameters(request, ())
        to = asked.address_of(request) if asked.in_path(request) else None
        at, draft = asked.draft(await asked.posted(request, self._largest_body), to)
        key = request.headers.get("idempotency-key")
        message = await self._writer.append(at, draft, key)
        stored = message.to_json()
        return json_response(as_json({name: stored[name] for name in ("msg_id", "timestamp")}), 201)

    async def projects(self, request: Request) -> Response:
        """What projects there are."""
        asked.parameters(request, ())
        return json_response(as_json({"projects": await run_in_threadpool(self._tree.projects)}))

    async def tasks(self, request: Request) -> Response:
        """What tasks a project has."""
        asked.parameters(request, ())
        project_id = address(request.path_params["project_id"], None).project_id
        return json_response(as_json({"tasks": await run_in_threadpool(self._tree.tasks, project_id)}))

    async def _list(self, request: Request, allowed: tuple[str, ...]) -> Response:
        wanted = asked.listing(request, allowed)
        at = asked.address_of(request)
        return json_response(await run_in_threadpool(self._listed, at, wanted))

    def _listed(self, at: Address, wanted: Listing) -> bytes:
        messages = _select(self._tree.bus(at), wanted)
        last = {"next": messages[-1].msg_id} if messages else {}
        return as_json({"messages": [message.to_json() for message in messages], **last})


def _select(bus: MessageBus, wanted: Listing) -> list[Message]:
    if wanted.type is not None:
        return _of_type(bus, wanted.type.upper(), wanted.since, wanted.limit or MOST_MESSAGES)
    if wanted.first is not None:
        return bus.read_messages(wanted.since, first=wanted.first)
    return bus.read_messages(wanted.since, limit=wanted.limit or MOST_MESSAGES)


def _of_type(bus: MessageBus, kind: str, since: str | None, limit: int) -> list[Message]:
    """The newest ``limit`` messages of a type; without ``since``, first looked for among the newest."""
    reach = limit
    while since is None and reach <= _NEAR:
        newest = bus.read_last_n(reach)
        matching = [message for message in newest if message.type.upper() == kind]
        if len(matching) >= limit or len(newest) < reach:
            return matching[-limit:]
        reach *= 4
    with closing(bus.iter_messages(since)) as messages:  # in constant memory, however rare the type is
        return list(deque((message for message in messages if message.type.upper() == kind), limit))
