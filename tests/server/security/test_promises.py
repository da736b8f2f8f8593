"""docs/security.md against the tests beside this file: each promise has a test, and each test a promise."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from run_agent.server import app
from run_agent.server.live import write_queue
from run_agent.server.middleware import access, limits

HERE = Path(__file__).parent
PAGE = (HERE.parents[2] / "docs/security.md").read_text()
PROMISE = re.compile(r"^\| (S\d+) \| (.+\.) \| `(test_\w+)` \|$", re.MULTILINE)


def test_each_promise_is_attacked() -> None:
    promises = PROMISE.findall(PAGE)
    assert [number for number, _, _ in promises] == [f"S{count}" for count in range(1, len(promises) + 1)]
    assert len(promises) == len(re.findall(r"^\| S", PAGE, re.MULTILINE)), "a row is not in the expected form"
    trees = [ast.parse(path.read_text()) for path in HERE.glob("test_*.py") if path.name != Path(__file__).name]
    tests = [node.name for tree in trees for node in tree.body if getattr(node, "name", "").startswith("test_")]
    assert sorted(test for _, _, test in promises) == sorted(tests)


def test_the_page_states_the_limits() -> None:
    defaults = {name: option.default for name, option in inspect.signature(app.create_app).parameters.items()}
    promised = {number: promise for number, promise, _ in PROMISE.findall(PAGE)}
    for number, limit in (
        ("S24", f"{defaults['max_request_bytes'] // 2**20} MiB"),
        ("S25", f"{access.MAX_HEAD_BYTES // 2**10} KiB"),
        ("S26", f"{limits._REQUEST_TIMEOUT:g} s"),
        ("S27", f"{limits._MAX_CONNECTIONS:,}"),
        ("S29", f"{defaults['max_streams_per_bus']:,} on a bus"),
        ("S29", f"{defaults['max_streams']:,} in all"),
        ("S30", f"{write_queue._MAX_WAITING} posts"),
        ("S31", f"{defaults['send_timeout']:g} s"),
    ):
        assert limit in promised[number]
