"""The application mounted in one of the user's own, under any path."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from patience import SECONDS
from starlette.applications import Starlette
from starlette.routing import Mount

from run_agent.server import create_app

HOME = Path(__file__).parents[2]
POST = "/bus/api/projects/demo/messages"

OWN_SERVER = """
import sys, uvicorn
from starlette.applications import Starlette
from run_agent.server import create_app, runner

app = Starlette()
app.mount("/bus", create_app(sys.argv[1]))
listener = runner.listen("127.0.0.1", 0)
print(runner.address_of(listener), flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])
"""


def in_starlette(ours: Starlette) -> Starlette:
    return Starlette(routes=[Mount("/bus", ours)])


def in_fastapi(ours: Starlette) -> FastAPI:
    app = FastAPI()

    @app.get("/own")
    def own() -> dict[str, str]:
        return {"whose": "own"}

    app.mount("/bus", ours)
    return app


def in_a_mount_in_a_mount(ours: Starlette) -> Starlette:
    return Starlette(routes=[Mount("/bus", Starlette(routes=[Mount("/", ours)]))])


@pytest.mark.parametrize("app", [in_starlette, in_fastapi, in_a_mount_in_a_mount])
def test_every_kind_of_endpoint(
    serving: Callable[..., Any], listen: Callable[..., Any], app: Any, error_of: Callable[..., Any]
) -> None:
    server = serving(app)
    listener = listen(f"{server.url}{POST}/stream")
    posted = server.client.post(POST, json={"body": "hello"})
    assert posted.status_code == 201
    event = listener.next()
    assert (event.last_id, event.json["body"]) == (posted.json()["msg_id"], "hello")
    assert server.client.get(POST).json() == {"messages": [event.json], "next": event.last_id}
    listed = server.client.get("/bus/api/v1/messages", params={"project_id": "demo"})
    assert listed.json()["messages"] == [event.json]
    assert listed.headers["X-Request-ID"]
    assert error_of(server.client.get("/bus/nowhere"))[:2] == (404, "NOT_FOUND")
    assert error_of(server.client.post(POST, json={"body": " "}))[:2] == (400, "BAD_REQUEST")
    if app is in_fastapi:
        assert server.client.get("/own").json() == {"whose": "own"}
        assert server.client.get("/nowhere").json() == {"detail": "Not Found"}, (
            "the rest of the application is unchanged"
        )


def test_the_openapi_document_names_the_mount_path(serving: Callable[..., Any], root: Path) -> None:
    """Each path in it exists under the server URL that it names."""
    client = serving(in_starlette).client
    posted = client.post(POST, json={"body": "x"}).json()
    document = client.get("/bus/openapi.json").json()
    assert document["servers"] == [{"url": "/bus"}]
    for path, operations in document["paths"].items():
        url = "/bus" + path.format(project_id="demo", task_id="t1", msg_id=posted["msg_id"])
        query = {"project_id": "demo"} if path.startswith("/api/v1/messages") else {}
        if "get" in operations:
            assert client.head(url, params=query).is_success
        else:
            assert client.post(url, json={}).status_code == 400


def test_a_mount_path_with_parameters(serving: Callable[..., Any], listen: Callable[..., Any]) -> None:
    """They are not mistaken for our own parameters."""
    server = serving(lambda ours: Starlette(routes=[Mount("/{tenant}/bus", ours)]))
    scope = {"project_id": "demo"}
    assert server.client.post("/me/bus/api/v1/messages", json={"body": "x", **scope}).status_code == 201
    [message] = server.client.get("/me/bus/api/v1/messages", params=scope).json()["messages"]
    assert message["body"] == "x"
    assert listen(f"{server.url}/me/bus/api/v1/messages/stream?project_id=demo").bodies(1) == ["x"]
    assert listen(f"{server.url}/me/bus/api/projects/demo/messages/stream").bodies(1) == ["x"]


def test_with_a_key(serving: Callable[..., Any], error_of: Callable[..., Any]) -> None:
    """Without it, only health checks respond, as in an application that is not mounted."""
    client = serving(in_starlette, api_key="secret").client
    assert error_of(client.get("/bus/api/v1/projects"))[:2] == (401, "UNAUTHORIZED")
    assert client.get("/bus/api/v1/projects", headers={"X-API-Key": "secret"}).status_code == 200
    for path in ("/healthz", "/api/v1/health"):
        assert client.get(f"/bus{path}").json() == {"status": "ok"}


def test_two_applications(serving: Callable[..., Any], tmp_path: Path) -> None:
    other = create_app(tmp_path / "other")
    client = serving(lambda ours: Starlette(routes=[Mount("/one", ours), Mount("/two", other)])).client
    path = "/api/projects/demo/messages"
    assert client.post(f"/one{path}", json={"body": "x"}).status_code == 201
    assert client.get(f"/two{path}").json() == {"messages": [], "exists": False}
    assert len(client.get(f"/one{path}").json()["messages"]) == 1


def test_shutdown_of_the_users_own_server(tmp_path: Path, listen: Callable[..., Any]) -> None:
    """Streams end as complete responses, although our application is not notified."""
    command = [sys.executable, "-c", OWN_SERVER, str(tmp_path)]
    with subprocess.Popen(command, cwd=HOME, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        with closing(server.stdout):
            url = server.stdout.readline().strip()
            listeners = [listen(f"{url}{POST}/stream") for _ in range(5)]
            server.send_signal(signal.SIGTERM)
            assert [listener.rest() for listener in listeners] == [[]] * 5
            assert all(listener.ended for listener in listeners)
            server.wait(SECONDS)
