"""Lists: every parameter on every path, invalid ones, and paging while others post.

A list must return what the library reads from the same file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from messagebus import Draft, MessageBus

MOST = 5_000

# Each way to the messages of project demo: path, query, and what its cursor is called.
PROJECT_V1 = ("/api/v1/messages", {"project_id": "demo"}, "after")
PROJECT = ("/api/projects/demo/messages", {}, "since")
TASK_V1 = ("/api/v1/messages", {"project_id": "demo", "task_id": "t1"}, "after")
TASK = ("/api/projects/demo/tasks/t1/messages", {}, "since")

Way = tuple[str, dict[str, str], str]
ErrorOf = Callable[[httpx.Response], tuple[int, str, str]]


@pytest.fixture(params=[PROJECT_V1, PROJECT, TASK_V1, TASK], ids=["project v1", "project", "task v1", "task"])
def way(request: pytest.FixtureRequest) -> Way:
    return request.param


@pytest.fixture
def log(way: Way, root: Path) -> MessageBus:
    """The bus of this path, with five messages of three types."""
    directory, name = ("demo/t1", "TASK") if way in (TASK, TASK_V1) else ("demo", "PROJECT")
    (root / directory).mkdir(parents=True)
    bus = MessageBus(root / directory / f"{name}-MESSAGE-BUS.md")
    for number, kind in enumerate(["FACT", "USER", "FACT", "ERROR", "FACT"]):
        bus.append_message(Draft(kind, "demo", f"body {number}", task_id="t1", parents=["MSG-1"], meta={"n": "1"}))
    return bus


@pytest.fixture
def ask(api: httpx.Client, way: Way) -> Callable[..., httpx.Response]:
    """Get the list; ``cursor`` goes into the parameter of this path."""
    path, query, cursor_name = way

    def get(cursor: str | None = None, **more: object) -> httpx.Response:
        cursors = {} if cursor is None else {cursor_name: cursor}
        return api.get(path, params={**query, **cursors, **more})

    return get


def listed(answer: httpx.Response, *, is_cut: bool = False) -> list[dict[str, Any]]:
    """The messages; ``next`` must be the id of the last one, and ``previous`` that of the first if older ones were
    left out."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert document.pop("exists", False) is False
    ids = [message["msg_id"] for message in document["messages"]]
    assert document == {"messages": document["messages"]} | ({"next": ids[-1]} if ids else {}) | (
        {"previous": ids[0]} if is_cut else {}
    )
    return document["messages"]


def test_all(ask: Callable[..., httpx.Response], log: MessageBus) -> None:
    assert listed(ask()) == [message.to_json() for message in log.read_messages()]


def test_after_a_message(ask: Callable[..., httpx.Response], log: MessageBus) -> None:
    everything = [message.to_json() for message in log.read_messages()]
    for position, message in enumerate(everything):
        assert listed(ask(message["msg_id"])) == everything[position + 1 :]
    assert listed(ask("")) == everything, "as if it were not given"


def test_the_newest(ask: Callable[..., httpx.Response], log: MessageBus) -> None:
    everything = [message.to_json() for message in log.read_messages()]
    assert listed(ask(limit=2), is_cut=True) == everything[-2:]
    assert listed(ask(everything[1]["msg_id"], limit=2), is_cut=True) == everything[-2:]
    assert listed(ask(everything[2]["msg_id"], limit=2)) == everything[-2:]
    assert listed(ask(everything[3]["msg_id"], limit=2)) == everything[4:]
    assert listed(ask(limit=5)) == everything


def test_an_empty_bus(ask: Callable[..., httpx.Response], root: Path, error_of: ErrorOf) -> None:
    assert ask().json() == {"messages": [], "exists": False}
    assert ask(first=1).json() == {"messages": [], "exists": False}
    assert error_of(ask("MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA"))[:2] == (404, "NOT_FOUND")
    assert not root.exists(), "reading creates nothing"
    for directory, name in (("demo", "PROJECT"), ("demo/t1", "TASK")):
        (root / directory).mkdir(parents=True)
        (root / directory / f"{name}-MESSAGE-BUS.md").touch()
    assert ask().json() == {"messages": []}


def test_an_unknown_id(ask: Callable[..., httpx.Response], log: MessageBus, root: Path, error_of: ErrorOf) -> None:
    for unknown in ("MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA", "nonsense", "\u2028", "é", "x" * 3000):
        status, code, message = error_of(ask(unknown))
        assert (status, code) == (404, "NOT_FOUND")
        assert message.startswith("message id not found"), "the Go project's web UI looks for it"
        assert str(root) not in message, "paths of the machine are not disclosed"


def test_invalid_counts(ask: Callable[..., httpx.Response], error_of: ErrorOf) -> None:
    for limit in ("0", "-1", "1.5", "x", "", "1e3", " 1", "٣", "9" * 19, "0x10"):
        assert error_of(ask(limit=limit))[:2] == (400, "BAD_REQUEST"), limit


def test_invalid_parameters(api: httpx.Client, error_of: ErrorOf) -> None:
    """Unknown, repeated, missing and contradictory ones."""
    for path, query in (
        ("/api/v1/messages", "project_id=demo&since=x"),
        ("/api/v1/messages", "project_id=demo&limit=1&first=1"),
        ("/api/v1/messages", "project_id=demo&from=yesterday"),
        ("/api/v1/messages/summary", "project_id=demo&by=body"),
        ("/api/v1/messages", "project_id=demo&nonsense=1"),
        ("/api/v1/messages", "project_id=demo&limit=1&limit=2"),
        ("/api/v1/messages", "project_id=demo&project_id=other"),
        ("/api/v1/messages", ""),
        ("/api/v1/messages", "project_id="),
        ("/api/v1/messages", "task_id=t1"),
        ("/api/v1/messages", "project_id=demo&task_id="),
        ("/api/projects/demo/messages", "after=x"),
        ("/api/projects/demo/messages", "type=FACT"),
        ("/api/projects/demo/messages", "limit=1&first=1"),
        ("/api/projects/demo/messages", "project_id=demo"),
        ("/api/projects/demo/tasks/t1/messages", "task_id=t1"),
        ("/api/projects/demo/messages", "first=0"),
        ("/api/v1/projects", "limit=1"),
        ("/api/v1/projects/demo/tasks", "limit=1"),
    ):
        assert error_of(api.get(f"{path}?{query}"))[:2] == (400, "BAD_REQUEST"), (path, query)


@pytest.mark.parametrize("path", [PROJECT[0], TASK[0]])
def test_the_oldest(api: httpx.Client, path: str, root: Path, post_bodies: Callable[..., list[str]]) -> None:
    ids = post_bodies(*"abcde") if path == PROJECT[0] else _post_to_task(root)
    assert [message["msg_id"] for message in listed(api.get(path, params={"first": 2}))] == ids[:2]
    assert [message["msg_id"] for message in listed(api.get(path, params={"first": 2, "since": ids[1]}))] == ids[2:4]
    assert api.get(path, params={"first": 2, "since": ids[-1]}).json() == {"messages": []}
    assert [message["msg_id"] for message in listed(api.get(path, params={"first": 99}))] == ids


def _post_to_task(root: Path) -> list[str]:
    (root / "demo/t1").mkdir()
    with MessageBus(root / "demo/t1/TASK-MESSAGE-BUS.md") as bus:
        return [bus.append_message(Draft("FACT", "demo", body, task_id="t1")).msg_id for body in "abcde"]


def test_the_maximum_number_of_messages(api: httpx.Client, post_bodies: Callable[..., list[str]]) -> None:
    """The newest, or with ``first`` the oldest."""
    ids = post_bodies(*map(str, range(MOST + 3)))

    def got(path: str, *, is_cut: bool, **query: object) -> list[str]:
        return [message["msg_id"] for message in listed(api.get(path, params=query), is_cut=is_cut)]

    for way, query, cursor in (PROJECT_V1, PROJECT):
        assert got(way, **query, is_cut=True) == ids[3:]
        assert got(way, **query, limit=MOST + 2, is_cut=True) == ids[3:]
        assert got(way, **query, **{cursor: ids[0]}, is_cut=True) == ids[3:]
        assert got(way, **query, **{cursor: ids[2]}, is_cut=False) == ids[3:]
    assert got(PROJECT[0], first=MOST + 2, is_cut=False) == ids[:MOST]
    assert got(PROJECT[0], first=MOST + 2, since=ids[MOST - 1], is_cut=False) == ids[MOST:]
    assert got(PROJECT_V1[0], project_id="demo", type="FACT", is_cut=True) == ids[3:]
    assert got(PROJECT_V1[0], project_id="demo", type="FACT", after=ids[1], is_cut=True) == ids[3:]


def test_of_one_type(api: httpx.Client, bus: MessageBus) -> None:
    kinds = ["FACT", "fact", "USER", "Fact", "FACT ", "FACTOR"]
    ids = [bus.append_message(Draft(kind, "demo", "x")).msg_id for kind in kinds]
    facts = [ids[0], ids[1], ids[3]]

    def got(*, is_cut: bool = False, **query: object) -> list[str]:
        answer = api.get("/api/v1/messages", params={"project_id": "demo", **query})
        return [message["msg_id"] for message in listed(answer, is_cut=is_cut)]

    assert got(type="FACT") == got(type="fact") == facts
    assert got(type="FACT", limit=2, is_cut=True) == facts[1:]
    assert got(type="FACT", limit=3) == facts
    assert got(type="FACT", after=facts[0]) == got(type="FACT", after=facts[0], limit=2) == facts[1:]
    assert got(type="FACT", after=facts[0], limit=1, is_cut=True) == facts[2:]
    assert got(type="FACT", after=ids[-1]) == got(type="NOBODY") == []
    assert got(type="") == ids, "as if it were not given"


def test_a_rare_type_is_found(api: httpx.Client, bus: MessageBus, post_bodies: Callable[..., list[str]]) -> None:
    rare = [bus.append_message(Draft("RARE", "demo", "here")).msg_id]
    post_bodies(*map(str, range(300)))
    answer = api.get("/api/v1/messages", params={"project_id": "demo", "type": "rare", "limit": 3})
    assert [message["msg_id"] for message in listed(answer)] == rare


def test_an_unknown_id_and_a_type(api: httpx.Client, post_bodies: Callable[..., list[str]], error_of: ErrorOf) -> None:
    post_bodies("x")
    query = {"project_id": "demo", "type": "FACT", "after": "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA"}
    assert error_of(api.get("/api/v1/messages", params=query))[:2] == (404, "NOT_FOUND")


def test_paging_while_others_post(serving: Callable[..., Any], root: Path, tally: Callable[..., None]) -> None:
    """Paging by ``first`` and ``next``, across rotations, to the end: each message once, in order."""
    client = serving(auto_rotate_bytes=5_000).client
    done = threading.Event()
    pages: list[str] = []

    def post(writer: int) -> None:
        for number in range(150):
            assert client.post(PROJECT[0], json={"body": f"{writer}/{number}"}).status_code == 201

    def page() -> None:
        cursor: dict[str, str] = {}
        while True:
            was_done = done.is_set()
            answer = client.get(PROJECT[0], params={"first": 7, **cursor})
            pages.extend(message["body"] for message in listed(answer))
            if "next" in answer.json():
                cursor = {"since": answer.json()["next"]}
            elif was_done:
                return

    writers = [threading.Thread(target=post, args=(writer,)) for writer in range(3)]
    reader = threading.Thread(target=page)
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert len(list((root / "demo").glob("*.archived"))) > 2
    with MessageBus(root / "demo/PROJECT-MESSAGE-BUS.md") as bus:
        assert pages == [message.body for message in bus.read_messages()]
    for writer in range(3):
        assert [body for body in pages if body.startswith(f"{writer}/")] == [f"{writer}/{n}" for n in range(150)]
    tally("a message paged to while others post", 450, lost=450 - len({*pages}), repeated=len(pages) - len({*pages}))
