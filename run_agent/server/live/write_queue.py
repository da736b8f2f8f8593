"""Posting: the posts to one bus stand in a line, and one thread takes all that wait at once.

So a bus that another process holds locked keeps one thread waiting and not all of them, and posts
that come together share the way to the file and, with fsync, one flush.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool

from messagebus import Draft, DurabilityError, InvalidMessageError, Message, MessageBus
from run_agent.server.buses import BusRef, BusRegistry
from run_agent.server.errors import too_many_requests

_MOST_WAITING = 64  # posts to one bus


class _Post(NamedTuple):
    draft: Draft
    key: str | None
    stored: asyncio.Future[Message]


class WriteQueue:
    """Appends to the buses of a buses. Lives in one event loop."""

    def __init__(self, buses: BusRegistry) -> None:
        self._buses = buses
        self._lines: dict[BusRef, list[_Post]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def append(self, at: BusRef, draft: Draft, key: str | None) -> Message:
        """Store one message. Raises ApiError, and what ``append_message`` raises."""
        self._buses.bus(at).check_message(draft)  # before a directory is made for it
        line = self._lines.get(at)
        if line is None:
            line = self._lines[at] = []
            task = asyncio.create_task(self._work_off(at, line))
            self._tasks.add(task)  # the loop itself would forget it
            task.add_done_callback(self._tasks.discard)
        elif len(line) >= _MOST_WAITING:
            raise too_many_requests(f"{_MOST_WAITING} posts are waiting for this bus already")
        post = _Post(draft, key, asyncio.get_running_loop().create_future())
        line.append(post)
        return await post.stored

    async def _work_off(self, at: BusRef, line: list[_Post]) -> None:
        while line:
            posts, line[:] = line[:], []
            answers = await run_in_threadpool(self._append_all, at, posts)
            for post, answer in zip(posts, answers, strict=True):
                if post.stored.cancelled():
                    continue  # whoever posted it has gone; it is stored all the same
                if isinstance(answer, Exception):
                    post.stored.set_exception(answer)
                else:
                    post.stored.set_result(answer)
        del self._lines[at]

    def _append_all(self, at: BusRef, posts: list[_Post]) -> Sequence[Message | Exception]:
        """Each post's message, or why it was not stored."""
        try:
            bus = self._buses.bus_to_post(at)
            if len(posts) > 1 and not any(post.key for post in posts):
                return bus.append_messages([post.draft for post in posts])
        except InvalidMessageError:
            pass  # one of them: then one after another
        except DurabilityError as error:  # all of them are stored, and each is told its own id
            return [DurabilityError(error.path, (msg_id,), error.reason) for msg_id in error.msg_ids]
        except Exception as error:  # noqa: BLE001 - raised again where each post waits
            return [error] * len(posts)
        return [_append(bus, post) for post in posts]


def _append(bus: MessageBus, post: _Post) -> Message | Exception:
    try:
        return bus.append_message(post.draft, idempotency_key=post.key)
    except Exception as error:  # noqa: BLE001 - raised again where the post waits
        return error
