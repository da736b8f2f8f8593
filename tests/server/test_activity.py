"""All buses at a glance, and unread counts."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from messagebus import Draft, MessageBus
from run_agent.server.buses import BusRegistry
from run_agent.server.queries import activity as activity_module
from run_agent.server.queries.activity import MAX_UNREAD, Activity

ACTIVITY = "/api/v1/activity"
OLD_NS = 1_700_000_000_123_456_789  # no whole second: the file system knows finer times


def test_every_bus_with_its_last_message(api: httpx.Client, post_bodies: Callable[..., list[str]]) -> None:
    assert api.get(ACTIVITY).json() == {"buses": []}
    *_, last = post_bodies("one", "two")
    task = api.post("/api/projects/demo/tasks/t1/messages", json={"body": "x", "type": "QUESTION"}).json()
    project, other = api.get(ACTIVITY).json()["buses"]
    assert project.items() >= {"project_id": "demo", "last_id": last, "last_type": "FACT"}.items()
    assert other.items() >= {"project_id": "demo", "task_id": "t1", "last_id": task["msg_id"]}.items()
    assert (other["last"], other["last_type"]) == (task["timestamp"], "QUESTION")


def test_304_while_nothing_changes(api: httpx.Client, post_bodies: Callable[..., list[str]]) -> None:
    post_bodies("one")
    tag = api.get(ACTIVITY).headers["etag"]
    again = api.get(ACTIVITY, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    post_bodies("two")
    assert api.get(ACTIVITY, headers={"If-None-Match": tag}).status_code == 200


def test_only_changed_buses_are_read_again(
    api: httpx.Client, post_bodies: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[MessageBus] = []
    read_last_n = MessageBus.read_last_n

    def counting(bus: MessageBus, n: int) -> Any:
        read.append(bus)
        return read_last_n(bus, n)

    post_bodies("one")
    for number in range(20):
        api.post(f"/api/projects/demo/tasks/t{number}/messages", json={"body": "x"})
    monkeypatch.setattr(MessageBus, "read_last_n", counting)
    assert len(api.get(ACTIVITY).json()["buses"]) == 21
    assert len(read) == 21
    post_bodies("two")
    api.get(ACTIVITY)
    assert len(read) == 22


def test_only_what_has_changed(api: httpx.Client, post_bodies: Callable[..., list[str]], root: Path) -> None:
    post_bodies("one")
    for task in ("t1", "t2"):
        api.post(f"/api/projects/demo/tasks/{task}/messages", json={"body": "x"})
    everything = api.get(ACTIVITY, params={"since": ""}).json()
    assert everything["buses"] == api.get(ACTIVITY).json()["buses"]
    assert everything.keys() == {"buses", "token"}
    nothing = api.get(ACTIVITY, params={"since": everything["token"]}).json()
    assert nothing == {"buses": [], "removed": [], "token": everything["token"]}
    *_, last = post_bodies("two")
    shutil.rmtree(root / "demo/t1")
    changes = api.get(ACTIVITY, params={"since": everything["token"]}).json()
    assert [bus["last_id"] for bus in changes["buses"]] == [last]
    assert changes["removed"] == [{"project_id": "demo", "task_id": "t1"}]
    assert api.get(ACTIVITY, params={"since": changes["token"]}).json()["removed"] == []


@pytest.mark.parametrize(
    "token", ["", "x", "0-0", "{epoch}-99", "{epoch}--1", "{epoch}-1_0", "{epoch}-²", "{epoch}-" + "9" * 5000]
)
def test_an_unknown_token_gets_all(root: Path, token: str) -> None:
    activity = Activity(BusRegistry(str(root)))
    with MessageBus(root / "demo/PROJECT-MESSAGE-BUS.md", make_directories=True) as bus:
        bus.append_message(Draft("FACT", "demo"))
    answer = activity.since(token.format(epoch=activity._epoch))
    assert answer["buses"] == activity.all() != []
    assert "removed" not in answer
    assert "removed" not in Activity(BusRegistry(str(root))).since(answer["token"])


def test_what_is_remembered_of_removed_buses_is_bounded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that has missed more than that gets all."""
    monkeypatch.setattr(activity_module, "_MAX_REMOVED", 2)
    activity = Activity(BusRegistry(str(root)))
    for number in range(4):
        (root / f"p{number}").mkdir(parents=True)
        (root / f"p{number}/PROJECT-MESSAGE-BUS.md").touch()
    first = activity.since("")["token"]
    tokens = []
    for number in range(3):
        shutil.rmtree(root / f"p{number}")
        tokens.append(activity.since(first)["token"])
    assert "removed" not in activity.since(first)
    assert activity.since(tokens[0])["removed"] == [{"project_id": "p1"}, {"project_id": "p2"}]
    assert len(activity._removed) == 2


NAMES = st.sampled_from(["a", "a-b", "b"])
BUSES = st.tuples(NAMES, st.none() | NAMES)


class Folding(RuleBasedStateMachine):
    """Whatever happens to the directories, and however often a client asks: what it puts together from differences
    is what a server sees that has just been started."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.root = Path(self.directory.name, "root")
        self.registry = BusRegistry(str(self.root))
        self.activity = Activity(self.registry)
        self.clients: list[tuple[str, dict[Any, Any]]] = [("", {}), ("", {})]

    def teardown(self) -> None:
        self.directory.cleanup()

    def path(self, bus: tuple[str, str | None]) -> Path:
        project, task = bus
        return self.root / project / (f"{task}/TASK-MESSAGE-BUS.md" if task else "PROJECT-MESSAGE-BUS.md")

    @rule(bus=BUSES, rotate=st.booleans(), old=st.booleans())
    def post(self, bus: tuple[str, str | None], rotate: bool, old: bool) -> None:
        path = self.path(bus)
        with MessageBus(path, make_directories=True, auto_rotate_bytes=int(rotate)) as log:
            log.append_message(Draft("FACT", "p", "x"))
        if old:  # at rest long enough to be remembered
            for directory in (path.parent, path.parent.parent):
                os.utime(directory, ns=(OLD_NS, OLD_NS + len(list(directory.iterdir()))))

    @rule(bus=BUSES)
    def remove_file(self, bus: tuple[str, str | None]) -> None:
        self.path(bus).unlink(missing_ok=True)

    @rule(bus=BUSES)
    def remove_directory(self, bus: tuple[str, str | None]) -> None:
        shutil.rmtree(self.path(bus).parent, ignore_errors=True)

    @rule(one=BUSES, other=BUSES)
    def rename_directory(self, one: tuple[str, str | None], other: tuple[str, str | None]) -> None:
        with suppress(OSError):
            self.path(one).parent.rename(self.path(other).parent)

    @rule(bus=BUSES)
    def put_a_link(self, bus: tuple[str, str | None]) -> None:
        with suppress(OSError):
            self.path(bus).parent.symlink_to(self.root)

    @rule()
    def restart(self) -> None:
        self.registry = BusRegistry(str(self.root))
        self.activity = Activity(self.registry)

    @rule(number=st.integers(0, 1))
    def ask(self, number: int) -> None:
        token, known = self.clients[number]
        answer = self.activity.since(token)
        if "removed" not in answer:
            known = {}
        for gone in answer.get("removed", ()):
            known.pop((gone["project_id"], gone.get("task_id")), None)
        for changed in answer["buses"]:
            known[changed["project_id"], changed.get("task_id")] = changed
        self.clients[number] = answer["token"], known
        fresh = BusRegistry(str(self.root))
        everything = Activity(fresh).all()
        assert sorted(known.items(), key=str) == sorted(
            (((bus["project_id"], bus.get("task_id")), bus) for bus in everything), key=str
        )
        assert self.registry.projects() == fresh.projects()
        for project in fresh.projects():
            assert self.registry.tasks(project["project_id"]) == fresh.tasks(project["project_id"])


TestFolding = Folding.TestCase
TestFolding.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


def test_unread(api: httpx.Client, bus: MessageBus, post_bodies: Callable[..., list[str]]) -> None:
    ids = post_bodies("one", "two", "three")
    bus.append_messages([Draft("FACT", "demo", "x") for _ in range(MAX_UNREAD)])
    cursors: list[dict[str, str]] = [{"after": ids[0]}, {}, {"after": "nobody"}]
    buses = [{"project_id": "demo", **cursor} for cursor in cursors]
    last = api.get(ACTIVITY).json()["buses"][0]["last_id"]
    buses += [{"project_id": "demo", "after": last}, {"project_id": "demo", "task_id": "none"}]
    answer = api.post("/api/v1/unread", json={"buses": buses})
    assert answer.json() == {"counts": [MAX_UNREAD, MAX_UNREAD, MAX_UNREAD, 0, 0]}
    post_bodies("four")
    assert api.post("/api/v1/unread", json={"buses": buses[3:4]}).json() == {"counts": [1]}
