"""The peer of the server: Starlette, sse-starlette and uvicorn with nothing behind them.

Run as ``python -m benchmarks.baseline_server``; prints its URL. ``GET /stream`` invents a message a tick once
``POST /go?rate=R&count=N`` has been asked for; ``POST /post`` reads JSON and answers 201.
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

from benchmarks.listeners import tick
from run_agent.server.runner import address_of, listen


class _Plan:
    """When each message is due, known to all streams at once."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.start = self.rate = 0.0
        self.count = 0

    async def go(self, request: Request) -> Response:
        self.rate = float(request.query_params["rate"])
        self.count = int(request.query_params["count"])
        self.start = time.monotonic()
        self.begun.set()
        return JSONResponse({})

    async def messages(self) -> AsyncIterator[dict[str, str]]:
        await self.begun.wait()
        for number in range(self.count):
            due = self.start + number / self.rate
            await asyncio.sleep(max(due - time.monotonic(), 0))
            yield {"data": tick(number, due), "id": str(number), "event": "message"}
        await asyncio.Event().wait()

    async def stream(self, _request: Request) -> Response:
        return EventSourceResponse(self.messages())


async def _post(request: Request) -> Response:
    return JSONResponse({"msg_id": str(len(await request.json()))}, 201)


def main() -> None:
    plan = _Plan()
    routes = [
        Route("/stream", plan.stream),
        Route("/go", plan.go, methods=["POST"]),
        Route("/post", _post, methods=["POST"]),
    ]
    listener = listen("127.0.0.1", 0)
    print("Serving at", address_of(listener), flush=True)
    config = uvicorn.Config(Starlette(routes=routes), http="h11", log_level="error", lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
