"""Ids become paths: attempts to reach other paths (docs/security.md, S15 to S19).

An attempt must be refused, and must also leave everything unchanged, inside the root and around it.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from messagebus import MessageBus
from messagebus.backends.file import live_file, lock
from messagebus.discovery import BUS_NAMES
from run_agent.server import app as application
from run_agent.server.buses import BusRegistry

BUS = "PROJECT-MESSAGE-BUS.md"
TASK_BUS = "TASK-MESSAGE-BUS.md"
ARCHIVE = f"{BUS}.20260101-000000-000000.archived"
FOREIGN = "---\nmsg_id: MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA\nts: 2026-11-21T03:14:15Z\ntype: X\nproject_id: p\n---\nsecret\n"

INVALID_IDS = [
    "..", ".", "...", "a..b", "..a", "a..", "../demo", "../../outside", "demo/..", "demo/../demo", "/", "/etc", "//",
    "demo/t", "./demo", "..\\outside", "\\", "C:\\", "demo\\t", "\0", "demo\0", "demo\0.md", "demo\n", "\r\n", "\t",
    " ", "demo ", " demo", "-rf", "--root", ".git", ".demo", "~/x", "~root", "$HOME", "${HOME}", "`id`", "a;b", "a|b",
    "a&b", "*", "?", "[a]", "{a}", "%2e%2e", "%2e%2e%2foutside", "..%2foutside", "%252e%252e", "..%c0%af", "%00",
    "\u2024\u2024", "\uff0e\uff0e", "\uff0e\uff0e\uff0foutside", "\u2025", "dem\u043e", "de\u0301mo", "demo\u200b",
    "\u202edemo", "demo\u2028", "\x85", "\x7f", "\u0130", "de\u017fmo", "\ud800", "a" * 129, "a" * 5000, "file:///etc",
    "a:b", "",
]  # fmt: skip
RESERVED_NAMES = [BUS, TASK_BUS, "MESSAGE-BUS.md", BUS.lower(), ARCHIVE, f"{BUS}.99991231-235959-999999.archived"]


def in_path(text: str) -> str:
    """Quoted for a path; what no path can hold (a lone surrogate, an empty string) as something similar."""
    return quote(text or "/", safe="", errors="replace")


def test_invalid_ids_are_refused(attacker: Any, bus: MessageBus, tmp_path: Path, untouched: Callable[[], None]) -> None:
    for directory in (tmp_path / "outside", tmp_path / "runs/demo/t"):  # where the way would lead
        directory.mkdir()
        (directory / BUS).write_text(FOREIGN)
        (directory / TASK_BUS).write_text(FOREIGN)
    untouched()
    for bad in INVALID_IDS:
        quoted = in_path(bad)
        for project, task in ((bad, None), (bad, "t"), ("demo", bad)):
            named = {"project_id": project} | ({} if task is None else {"task_id": task})
            assert attacker.post("/api/v1/messages", {**named, "body": "x"}).status == 400, named
            query = "&".join(f"{name}={in_path(value) if value else ''}" for name, value in named.items())
            for target in (f"/api/v1/messages?{query}", f"/api/v1/messages/stream?{query}"):
                assert attacker.ask(target).status == 400, named
        for path in (f"{quoted}", f"{quoted}/tasks/t", f"demo/tasks/{quoted}", f"{quote(quoted, safe='')}"):
            target = f"/api/projects/{path}/messages"
            assert attacker.post(target, {"body": "x"}).status == 400, target
            assert attacker.ask(target).status == 400, target
            assert attacker.ask(f"{target}/stream").status == 400, target
        assert attacker.ask(f"/api/v1/projects/{quoted}/tasks").status == 400, quoted
    for target in (
        "/../outside",
        "//outside",
        "/..;/outside",
        "/demo/..",
        "/%2e%2e/outside",
        "/demo/%2E./x",
        "\\x",
        "/*",
    ):
        for path in (f"/api/projects{target}/messages", f"/api/projects{target}", f"{target}/{BUS}"):
            answer = attacker.post(path, {"body": "x"})
            assert answer.status in (400, 404, 405), path
            assert b"secret" not in attacker.ask(path).body


def test_links_out_of_the_root_are_refused(
    attacker: Any, bus: MessageBus, root: Path, tmp_path: Path, untouched: Callable[[], None]
) -> None:
    outside = tmp_path / "outside"
    (outside / "t").mkdir(parents=True)
    for file in (outside / BUS, outside / "t" / TASK_BUS, outside / TASK_BUS):
        file.write_text(FOREIGN)
    for name in "abcdef":
        (root / name).mkdir()
    (root / "f" / BUS).write_text(FOREIGN.replace("secret", "ours"))
    for link, target in {
        "project": outside, "no-project": outside / "none", "up": Path(".."), "demo/task": outside,
        "demo/no-task": outside / "none", "demo/up": Path("../../outside"), "chain": root / "project",
        f"a/{BUS}": outside / BUS, f"b/{BUS}": outside / "new.md", f"c/{ARCHIVE}": outside / BUS,
        f"d/{ARCHIVE}": outside / "none", f"f/{ARCHIVE}": outside / BUS, "demo/device": Path("/dev"),
        f"e/{BUS}": Path("/dev/zero"),
    }.items():  # fmt: skip
        (root / link).symlink_to(target)
    links = ["project", "project/tasks/t", "no-project", "no-project/tasks/t", "up", "up/tasks/outside", "chain"]
    links += [
        "demo/tasks/task",
        "demo/tasks/no-task",
        "demo/tasks/up",
        "demo/tasks/device",
        "a",
        "b",
        "e",
        "c",
        "d",
        "f",
    ]
    untouched()
    for name in links:
        path = f"/api/projects/{name}/messages"
        for target in (path, f"{path}?first=5", f"{path}?since=MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9Z9", f"{path}/stream"):
            answer = attacker.ask(target)
            assert (answer.status, b"secret" in answer.body) == (403, False), target
    for name in links[:-3]:  # beside an archive that is a link, the bus itself may be posted to
        for headers in ((), ("Idempotency-Key: once",)):
            assert attacker.post(f"/api/projects/{name}/messages", {"body": "x"}, *headers).status == 403, name
    for name in ("project", "no-project", "up", "chain"):
        assert attacker.ask(f"/api/v1/projects/{name}/tasks").status == 403, name
    known = attacker.ask("/api/v1/projects").json["projects"]
    size = (root / "f" / BUS).stat().st_size
    assert known == [{"project_id": "f", "size": size, "tasks": 0}]


def test_no_task_replaces_a_bus(attacker: Any, root: Path) -> None:
    for name in RESERVED_NAMES:
        for target in (f"/api/projects/p/tasks/{name}/messages", f"/api/projects/{name}/messages"):
            assert attacker.post(target, {"body": "mine now"}).status == 400, name
            assert attacker.ask(target).status == 400, name
    assert {*BUS_NAMES} <= {*RESERVED_NAMES}
    assert not root.exists()
    assert attacker.post("/api/projects/p/messages", {"body": "x"}).status == 201
    assert [path.name for path in (root / "p").iterdir()] == [BUS]


def test_reading_changes_nothing(
    attacker: Any, post_bodies: Callable[..., list[str]], root: Path, untouched: Callable[[], None]
) -> None:
    [first, _] = post_bodies("one", "two")
    with (root / "demo" / BUS).open("a") as file:
        file.write("\n---\nmsg_id: MSG-01")  # the next writer would recover this
    (root / "file").write_text("x")
    untouched()
    for project in ("demo", "nobody", "file"):
        for path in (f"/api/projects/{project}", f"/api/projects/{project}/tasks/t"):
            for query in ("", "?limit=1", "?first=1", f"?since={first}"):
                attacker.ask(f"{path}/messages{query}")
            attacker.ask(f"{path}/messages/stream")
            attacker.ask(f"{path}/messages/stream", f"Last-Event-ID: {first}")
            for method in ("HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"):
                assert attacker.ask(f"{path}/messages", method=method).status in (200, 405)
        attacker.ask(f"/api/v1/messages?project_id={project}&type=fact")
        attacker.ask(f"/api/v1/projects/{project}/tasks")
    for target in ("/api/v1/projects", "/api/v1/version", "/openapi.json", "/healthz"):
        assert attacker.ask(target).status == 200
    for document in ({"body": ""}, {"body": "x", "type": "\x00"}, {"body": "x", "ts": "now"}, ["body"], None):
        assert attacker.post("/api/projects/new/messages", document).status in (400, 422)


def test_errors_name_no_path(
    serving: Callable[..., Any], client: Callable[..., Any], bus: MessageBus, root: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, patched: Any,
) -> None:  # fmt: skip
    monkeypatch.setattr(application, "_LOCK_TIMEOUT", 0.1)
    attacker = client(serving(fsync=True))
    path = "/api/projects/{}/messages"

    def post(to: str = "demo", **fields: str) -> Any:
        return attacker.post(path.format(to), {"body": "x", **fields}, "Idempotency-Key: once")

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error", str(root))

    def crash(*_: object) -> None:
        raise RuntimeError(f"cannot see {root}")

    (root / "link").symlink_to(root.parent)
    (root / "file").write_text("x")
    (root / f"demo/t/{TASK_BUS}").mkdir(parents=True)
    found = {
        201: [post()],
        400: [post(body=""), attacker.ask(path.format(".."))],
        403: [attacker.ask(path.format("link")), attacker.ask(path.format("demo/tasks/t")), post("demo/tasks/t")],
        404: [attacker.ask(f"{path.format('demo')}?since=x"), attacker.ask("/api/v1/projects/nobody/tasks")],
        409: [post(body="other")],
        422: [post(type="\n")],
        503: [post("file")],
    }
    with (root / "demo" / BUS).open() as held:
        lock.acquire(held.fileno(), held.name, 1.0)
        found[503].append(post())
    with monkeypatch.context() as patch:
        patch.setattr(live_file, "flush", fail)
        found[503].append(attacker.post(path.format("demo"), {"body": "not flushed"}))
        patch.setattr(live_file, "os", patched(os, write=fail))
        found[503].append(attacker.post(path.format("demo"), {"body": "not written"}))
    with monkeypatch.context() as patch:
        patch.setattr(BusRegistry, "bus", crash)
        found[500] = [attacker.ask(path.format("demo")), post(), attacker.ask(f"{path.format('demo')}/stream")]
    assert {status: [answer.status for answer in answers] for status, answers in found.items()} == {
        status: [status] * len(answers) for status, answers in found.items()
    }
    for answer in chain.from_iterable(found.values()):
        assert str(root.parent) not in answer.said()
        assert not re.search(r"/(runs|home|root|usr|tmp|private|var)\b|\.py|Traceback|Error\b|0x", answer.said()), (
            answer
        )
    assert post().status == 201
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == len(found[500])
    caplog.clear()
