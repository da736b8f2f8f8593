"""Streams, as two independent clients see them: httpx-sse, and one written to the HTML standard (``sse.py``)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import connect_sse
from patience import SECONDS

from messagebus import Draft, MessageBus

PROJECT = "/api/projects/demo/messages/stream"
PROJECT_V1 = "/api/v1/messages/stream?project_id=demo"
TASK = "/api/projects/demo/tasks/t1/messages/stream"
TASK_V1 = "/api/v1/messages/stream?project_id=demo&task_id=t1"
UNKNOWN = "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA"

PostBodies = Callable[..., list[str]]
Listen = Callable[..., Any]


@pytest.mark.parametrize("path", [PROJECT, PROJECT_V1, TASK, TASK_V1])
def test_an_empty_bus(served: Any, listen: Listen, path: str, root: Path) -> None:
    """The headers arrive at once, although nothing was ever posted; then what is posted."""
    listener = listen(served.url + path)
    assert listener.status == 200
    assert listener.headers["content-type"].partition(";")[0] == "text/event-stream"
    assert listener.headers["cache-control"] == "no-store, no-transform"
    assert listener.headers["x-request-id"]
    assert not root.exists(), "listening creates nothing"
    scope = {"project_id": "demo"} | ({"task_id": "t1"} if "t1" in path else {})
    posted = served.client.post("/api/v1/messages", json={"body": "the first", **scope})
    event = listener.next()
    assert (event.type, event.last_id, event.json["body"]) == ("message", posted.json()["msg_id"], "the first")
    assert listener.parser.retry is not None


def test_newest_messages_then_new_ones(served: Any, listen: Listen, bus: MessageBus, post_bodies: PostBodies) -> None:
    post_bodies(*(f"old {number}" for number in range(25)))
    listener = listen(served.url + PROJECT)
    assert listener.bodies(20) == [f"old {number}" for number in range(5, 25)]
    post_bodies("one", "two")
    events = [listener.next() for _ in range(2)]
    assert [event.json for event in events] == [message.to_json() for message in bus.read_last_n(2)]
    assert [event.last_id for event in events] == [message.msg_id for message in bus.read_last_n(2)]
    assert {event.type for event in events} == {"message"}


def test_a_second_client_implementation(served: Any, bus: MessageBus, post_bodies: PostBodies) -> None:
    post_bodies("old")
    with connect_sse(served.client, "GET", PROJECT) as source:
        events = source.iter_sse()
        assert next(events).json()["body"] == "old"
        ids = post_bodies("new", "newer")
        found = [next(events) for _ in range(2)]
    assert [(event.event, event.id) for event in found] == [("message", msg_id) for msg_id in ids]
    assert [event.json() for event in found] == [message.to_json() for message in bus.read_last_n(2)]


def test_posts_from_a_shell_script(
    serve: Callable[..., Any], root: Path, run_agent: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Also the first message of a task; the server learns of it from the file alone."""
    server = serve()
    url = f"{server.url}/api/projects/demo/tasks/t1/messages/stream"
    with httpx.Client(timeout=SECONDS) as client, connect_sse(client, "GET", url) as source:
        events = source.iter_sse()
        for number in range(2):
            scope = ("--project", "demo", "--task", "t1")
            done = run_agent("bus", "post", "--root", root, *scope, "--body", f"from a script {number}")
            event = next(events)
            assert event.json()["body"] == f"from a script {number}"
            assert done.stdout == f"msg_id: {event.id}\n"


def test_heartbeats(serving: Callable[..., Any], listen: Listen, post_bodies: PostBodies) -> None:
    """While there is nothing else; they have no id, and do not change the last one."""
    url = serving(heartbeat=0.1).url
    [msg_id] = post_bodies("x")
    listener = listen(url + PROJECT)
    assert listener.bodies(1) == ["x"]
    while listener.heartbeats < 3:
        with pytest.raises(TimeoutError):
            listener.next(timeout=0.1)
    assert listener.parser.last_id == msg_id
    client = httpx.Client(timeout=SECONDS)
    with client, connect_sse(client, "GET", f"{url}{PROJECT}?after={msg_id}") as source:
        event = next(source.iter_sse())
        assert (event.event, event.data, event.id) == ("heartbeat", "{}", "")


def test_resuming(served: Any, listen: Listen, post_bodies: PostBodies) -> None:
    """After the id in the header, which browsers send, else that in the query."""
    ids = post_bodies(*(f"body {number}" for number in range(50)))
    url = served.url + PROJECT
    assert listen(url, last_id=ids[1]).bodies(48) == [f"body {number}" for number in range(2, 50)]
    assert listen(f"{url}?after={ids[1]}").bodies(48) == [f"body {number}" for number in range(2, 50)]
    assert listen(f"{url}?after={ids[1]}", last_id=ids[47]).bodies(2) == ["body 48", "body 49"]
    assert listen(f"{url}?after={ids[47]}", {"Last-Event-ID": ""}).bodies(2) == ["body 48", "body 49"]
    assert listen(f"{url}?after=").bodies(20) == [f"body {number}" for number in range(30, 50)]
    at_the_end = [listen(url, last_id=ids[-1]), listen(f"{served.url}{PROJECT_V1}&after={ids[-1]}")]
    post_bodies("new")
    assert [listener.bodies(1) for listener in at_the_end] == [["new"], ["new"]]


def test_resuming_from_long_ago(served: Any, listen: Listen, post_bodies: PostBodies) -> None:
    """More than one read of the file, in bytes and in messages."""
    ids = post_bodies(*(f"{number} {'x' * 2_000}" for number in range(1_000)))
    bodies = listen(served.url + PROJECT, last_id=ids[0]).bodies(999)
    assert [body.split()[0] for body in bodies] == [str(number) for number in range(1, 1_000)]


def test_an_unknown_id(served: Any, listen: Listen, post_bodies: PostBodies) -> None:
    """What came after it is unknown: the ids to page between, and the newest messages."""
    ids = post_bodies(*(f"body {number}" for number in range(30)))
    listeners = [listen(served.url + PROJECT, last_id=UNKNOWN), listen(f"{served.url}{PROJECT}?after=nonsense")]
    for listener in listeners:
        reset = listener.next()
        assert (reset.type, reset.json, reset.last_id) == ("reset", {"oldest": ids[0], "newest": ids[-1]}, "")
        assert listener.bodies(20) == [f"body {number}" for number in range(10, 30)]
        assert listener.parser.last_id == ids[-1]
    post_bodies("new")
    assert [listener.bodies(1) for listener in listeners] == [["new"], ["new"]]


def test_an_unknown_id_on_an_empty_bus(served: Any, listen: Listen, post_bodies: PostBodies) -> None:
    listener = listen(served.url + PROJECT, last_id=UNKNOWN)
    reset = listener.next()
    assert (reset.type, reset.json) == ("reset", {})
    post_bodies("new")
    assert listener.bodies(1) == ["new"]


HOSTILE = [
    "data: forged", "\ndata: forged", "x\n\ndata: forged\n\n", "x\r\rdata: forged\r\r", "x\r\n\r\nevent: forged\r\n",
    "x\u2028data: forged\u2028\u2028", "x\u2029\u2029id: forged", "x\x85\x85data: forged\x85\x85",
    "\x0b\x0cdata: forged", "x\x1c\x1d\x1eid: forged", "\nid: forged\nretry: 1\n\n", ": comment", "\ufeffdata: forged",
    '"}\n\ndata: {"a": "b',
]  # fmt: skip


def test_no_body_adds_a_line(served: Any, listen: Listen, bus: MessageBus, post_bodies: PostBodies) -> None:
    ids = post_bodies("first", *HOSTILE)
    listener = listen(served.url + PROJECT, last_id=ids[0])
    events = [listener.next() for _ in HOSTILE]
    assert [(event.type, event.last_id) for event in events] == [("message", msg_id) for msg_id in ids[1:]]
    assert [event.json for event in events] == [message.to_json() for message in bus.read_messages(ids[0])]


def test_records_written_by_hand(
    served: Any, listen: Listen, bus: MessageBus, post_bodies: PostBodies, root: Path
) -> None:
    """Types, ids and other fields that we would refuse; an id that does not fit on an ``id:`` line is left out."""
    path = root / "demo/PROJECT-MESSAGE-BUS.md"
    [first] = post_bodies("first")
    ids = ["é ü", "x" * 600, "data:forged", "\u3000a", "a\u200bb", "data", *(f"hand-{n}" for n in range(len(HOSTILE)))]
    with path.open("ab") as file:
        for msg_id, kind in zip(ids, map(json.dumps, (*HOSTILE, *HOSTILE)), strict=False):
            file.write(f"\n---\nmsg_id: {msg_id}\nts: 2026-01-01T00:00:00Z\ntype: {kind}\n---\nx\n".encode())
    expected = bus.read_messages(first)
    assert len(expected) > 15
    post_bodies("last")
    raw = listen(served.url + PROJECT, last_id=first)
    last_id = ""
    with connect_sse(served.client, "GET", PROJECT, headers={"Last-Event-ID": first}) as source:
        for message, other in zip(expected, source.iter_sse(), strict=False):
            event = raw.next()
            shape = json.loads(json.dumps(message.to_json()))
            assert (event.type, event.json, other.event, other.json()) == ("message", shape, "message", shape)
            last_id = message.msg_id if message.msg_id.isprintable() else last_id
            assert (event.last_id, other.id) == (last_id, last_id)
    assert raw.next().json["body"] == "last"


def test_resuming_after_an_id_that_is_not_ascii(
    served: Any, listen: Listen, post_bodies: PostBodies, root: Path
) -> None:
    """Browsers send it as UTF-8."""
    [first] = post_bodies("first")
    with (root / "demo/PROJECT-MESSAGE-BUS.md").open("ab") as file:
        file.write("\n---\nmsg_id: MSG-é-🦉\nts: 2026-01-01T00:00:00Z\ntype: FACT\n---\nforeign\n".encode())
    post_bodies("last")
    assert listen(served.url + PROJECT).next().last_id == first
    assert listen(served.url + PROJECT, last_id="MSG-é-🦉").bodies(1) == ["last"]


def test_raw_lines(served: Any, post_bodies: PostBodies) -> None:
    """For a client that splits lines as Python does."""
    ids = post_bodies("first", *HOSTILE)
    with served.client.stream("GET", PROJECT, headers={"Last-Event-ID": ids[0]}) as answer:
        lines: list[str] = []
        for text in answer.iter_text():
            lines += [line for line in text.splitlines() if line]
            if sum(line.startswith("data: {") for line in lines) == len(HOSTILE):
                break
    assert {line.partition(":")[0] for line in lines} == {"retry", "event", "id", "data"}
    assert [line for line in lines if line.startswith("id: ")] == [f"id: {msg_id}" for msg_id in ids[1:]]
    assert sum(line.startswith("data: ") for line in lines) == len(HOSTILE)


def test_errors_come_before_the_stream(
    serving: Callable[..., Any], root: Path, error_of: Callable[..., Any], listen: Listen
) -> None:
    """With a status of their own, not as a stream that breaks off."""
    server = serving(max_streams=3, max_streams_per_bus=2)
    (root / "demo/PROJECT-MESSAGE-BUS.md").mkdir(parents=True)
    (root / "demo/t2").mkdir()
    (root / "demo/t2/TASK-MESSAGE-BUS.md").symlink_to("/etc/passwd")
    assert error_of(server.client.get(PROJECT))[:2] == (403, "FORBIDDEN")
    assert error_of(server.client.get(TASK.replace("t1", "t2")))[:2] == (403, "FORBIDDEN")
    assert error_of(server.client.get(f"{TASK}?since=x"))[:2] == (400, "BAD_REQUEST")
    for _ in range(2):
        listen(server.url + TASK)
    refused = server.client.get(TASK)
    assert error_of(refused)[:2] == (503, "UNAVAILABLE")
    assert refused.headers["Retry-After"] == "5"
    other = listen(server.url + TASK.replace("t1", "t3"))
    assert error_of(server.client.get(TASK.replace("t1", "t4")))[:2] == (503, "UNAVAILABLE"), "too many in all"
    other.close()


def test_a_closed_stream_frees_its_slot(
    serving: Callable[..., Any], listen: Listen, eventually: Callable[..., Any]
) -> None:
    server = serving(max_streams=1)
    for _ in range(3):
        eventually(lambda: server.client.head(PROJECT).status_code == 200)
        listener = listen(server.url + PROJECT)
        assert server.client.get(PROJECT).status_code == 503
        listener.close()


def test_streams_of_many_buses(served: Any, listen: Listen, root: Path) -> None:
    urls = [f"{served.url}/api/projects/p{number % 3}/tasks/t{number}/messages/stream" for number in range(12)]
    listeners = [listen(url) for url in urls]
    for number in range(12):
        path = root / f"p{number % 3}/t{number}/TASK-MESSAGE-BUS.md"
        path.parent.mkdir(parents=True)
        with MessageBus(path) as bus:
            bus.append_message(Draft("FACT", f"p{number % 3}", f"for {number}"))
    assert [listener.bodies(1) for listener in listeners] == [[f"for {number}"] for number in range(12)]
