"""The baseline of the server: Starlette, sse-starlette and uvicorn, without a bus.

Run as ``python -m benchmarks.baseline_server``; prints its URL. After ``POST /go?rate=R&count=N``, ``GET /stream``
makes up N messages, R a second; ``POST /post`` reads JSON and answers 201.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import uvicorn
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.listeners import timed_body
from run_agent.server.runner import address_of, listen


class _Schedule:
    """When each message is due, the same for all streams."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.start = self.rate = 0.0
        self.count = 0

    async def go(self, request: Request) -> Response:
        self.rate = float(request.query_params["rate"])
        self.count = int(request.query_params["count"])
        self.start = time.monotonic()
        self.started.set()
        return JSONResponse({})

    async def messages(self) -> AsyncIterator[dict[str, str]]:
        await self.started.wait()
        for number in range(self.count):
            due = self.start + number / self.rate
            await asyncio.sleep(max(due - time.monotonic(), 0))
            yield {"data": timed_body(number, due), "id": str(number), "event": "message"}
        await asyncio.Event().wait()

    async def stream(self, _request: Request) -> Response:
        return EventSourceResponse(self.messages())


async def _post(request: Request) -> Response:
    return JSONResponse({"msg_id": str(len(await request.json()))}, 201)


def main() -> None:
    schedule = _Schedule()
    routes = [
        Route("/stream", schedule.stream),
        Route("/go", schedule.go, methods=["POST"]),
        Route("/post", _post, methods=["POST"]),
    ]
    listener = listen("127.0.0.1", 0)
    print("Serving at", address_of(listener), flush=True)
    config = uvicorn.Config(Starlette(routes=routes), http="h11", log_level="error", lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
