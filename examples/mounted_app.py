"""The server inside a FastAPI application: its API under /bus, and a page that listens to a bus.

Run it with: uvicorn mounted_app:app        (pip install fastapi 'path/to/the/checkout[server]')
"""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse

from run_agent.server import create_app

app = FastAPI()
app.mount("/bus", create_app(os.environ.get("JRUN_RUNS_DIR", "runs")))


@app.get("/")
def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("event-source.html"))
