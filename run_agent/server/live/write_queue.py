"""Group commit: the posts to one bus wait in a queue, and one thread appends all that are waiting.

A bus that another process holds locked occupies one thread instead of all of them, and posts that
arrive together share one write and, with fsync, one flush.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool

from messagebus import Draft, DurabilityError, InvalidMessageError, Message, MessageBus
from run_agent.server.buses import BusRef, BusRegistry
from run_agent.server.errors import too_many_requests

_MAX_WAITING = 64  # posts to one bus


class _Post(NamedTuple):
    draft: Draft
    key: str | None
    result: asyncio.Future[Message]


class WriteQueue:
    """Appends to all buses of a registry. Belongs to one event loop."""

    def __init__(self, buses: BusRegistry) -> None:
        self._buses = buses
        self._queues: dict[BusRef, list[_Post]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def append(self, ref: BusRef, draft: Draft, key: str | None) -> Message:
        """Store one message. Raises ApiError, and what ``append_message`` raises."""
        bus = self._buses.bus(ref)
        bus.check_message(draft)  # here, so that one invalid post neither waits nor splits the batch of others
        queue = self._queues.get(ref)
        if queue is None:
            queue = self._queues[ref] = []
            task = asyncio.create_task(self._drain(ref, bus, queue))
            self._tasks.add(task)  # the loop itself keeps only a weak reference
            task.add_done_callback(self._tasks.discard)
        elif len(queue) >= _MAX_WAITING:
            raise too_many_requests(f"{_MAX_WAITING} posts are already waiting for this bus; retry")
        post = _Post(draft, key, asyncio.get_running_loop().create_future())
        queue.append(post)
        return await post.result

    async def _drain(self, ref: BusRef, bus: MessageBus, queue: list[_Post]) -> None:
        while queue:
            posts, queue[:] = queue[:], []
            outcomes = await run_in_threadpool(_append_group, bus, posts)
            for post, outcome in zip(posts, outcomes, strict=True):
                if post.result.cancelled():
                    continue  # its client has disconnected; it is stored all the same
                if isinstance(outcome, Exception):
                    post.result.set_exception(outcome)
                else:
                    post.result.set_result(outcome)
        del self._queues[ref]


def _append_group(bus: MessageBus, posts: list[_Post]) -> Sequence[Message | Exception]:
    """The message of each post, or the error that it gets."""
    try:
        if len(posts) > 1 and not any(post.key for post in posts):
            return bus.append_messages([post.draft for post in posts])
    except InvalidMessageError:
        pass  # at least one of them is invalid: append them one by one
    except DurabilityError as error:  # all of them are stored: each error names its own message
        return [DurabilityError(error.path, (msg_id,), error.reason) for msg_id in error.msg_ids]
    except Exception as error:  # noqa: BLE001 - raised again where each post waits
        return [error] * len(posts)
    return [_append(bus, post) for post in posts]


def _append(bus: MessageBus, post: _Post) -> Message | Exception:
    try:
        return bus.append_message(post.draft, idempotency_key=post.key)
    except Exception as error:  # noqa: BLE001 - raised again where the post waits
        return error
