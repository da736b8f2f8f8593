"""Each contract says what its verb really takes and gives, on the command line and over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from patience import SECONDS

from messagebus import Draft, Message, MessageBus
from run_agent.cli import main
from run_agent.contracts.contract import CONTRACTS
from run_agent.contracts.messages import JSONL_LINE, MESSAGE, POST
from run_agent.contracts.words import DIALECT

HOME = Path(__file__).parents[2]
SCHEMAS = [
    pytest.param(schema, id=f"{verb} {option}")
    for verb, contract in CONTRACTS.items()
    for option, schema in {**contract.takes, **contract.gives}.items()
]
FULL: dict[str, Any] = {
    "type": "ISSUE", "project_id": "demo", "task_id": "t1", "run_id": "r", "body": "x", "meta": {"a": "b"},
    "relations": [{"msg_id": "MSG-1", "kind": "closes", "meta": {"c": "d"}}],
    "links": [{"url": "u", "label": "l", "kind": "k"}],
}  # fmt: skip


def run(cwd: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The program as a process, without our environment."""
    return subprocess.run(
        [sys.executable, "-m", "run_agent", *arguments],
        cwd=cwd, env={"PATH": os.environ["PATH"], "HOME": str(cwd), "PYTHONPATH": str(HOME)},
        input=stdin, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip


def check(verb: str, option: str, text: str) -> list[dict[str, Any]]:
    """The JSON lines, each checked against the contract."""
    lines = [json.loads(line) for line in text.splitlines()]
    assert lines
    for line in lines:
        jsonschema_rs.Draft202012Validator(CONTRACTS[verb].gives[option]).validate(line)
    return lines


def names(verbs: dict[str, Any], above: str = "") -> set[str]:
    found = set()
    for name, verb in verbs.items():
        found |= names(verb[1], f"{name} ") if isinstance(verb, tuple) else {above + name}
    return found


def test_every_verb_has_a_contract() -> None:
    assert set(CONTRACTS) == names(main.VERBS)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_schemas_are_valid_and_allow_their_examples(schema: dict[str, Any]) -> None:
    jsonschema_rs.meta.validate({"$schema": DIALECT, **schema})
    for example in schema.get("examples", []):
        jsonschema_rs.Draft202012Validator(schema).validate(example)


def test_the_example_of_a_message_is_one() -> None:
    [example] = MESSAGE["examples"]
    assert Message.from_json(example).to_json() == example


def test_the_fields_are_those_of_a_draft() -> None:
    """Those that the log sets are in the message only, the key in the line only."""
    log = {"msg_id", "intact"}
    assert set(MESSAGE["properties"]) - log == set(JSONL_LINE["properties"]) - {"idempotency_key"}
    for name in JSONL_LINE["properties"].keys() - {"idempotency_key"}:
        with pytest.raises(ValueError, match=r"must be|is not a time"):
            Draft.from_json({name: 1})


@pytest.mark.parametrize(("flags", "schema"), CONTRACTS["bus post"].takes.items())
def test_examples_of_lines_are_posted(tmp_path: Path, flags: str, schema: dict[str, Any]) -> None:
    lines = "\n".join(map(json.dumps, schema["examples"]))
    done = run(tmp_path, "bus", "post", "--bus", "B.md", "--project", "p", *flags.split(), "--json", stdin=lines)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(check("bus post", "--json", done.stdout)) == len(schema["examples"])


@pytest.mark.parametrize(("path", "schema"), CONTRACTS["serve"].takes.items())
def test_examples_of_requests_are_accepted(api: httpx.Client, path: str, schema: dict[str, Any]) -> None:
    url = path.removeprefix("POST ").format(project_id="demo", task_id="t1")
    for example in schema["examples"]:
        assert api.post(url, json=example).is_success


def test_outputs_match(tmp_path: Path) -> None:
    run(tmp_path, "bus", "post", "--bus", "MESSAGE-BUS.md", "--project", "p", "--jsonl", stdin=json.dumps(FULL))
    check("bus read", "--json", run(tmp_path, "bus", "read", "--json").stdout)
    check("bus discover", "--json", run(tmp_path, "bus", "discover", "--json").stdout)
    check("bus discover", "--explain --json", run(tmp_path, "bus", "discover", "--explain", "--json").stdout)
    with (tmp_path / "MESSAGE-BUS.md").open("ab") as file:
        file.write(b"\0" * 64 + b"\n\n---\nmsg_id: x\n")
    check("bus check", "--json", run(tmp_path, "bus", "check", "--json").stdout)
    lines = check("bus check", "--fix --json", run(tmp_path, "bus", "check", "--fix", "--json").stdout)
    assert any("mended" in line for line in lines)
    assert [line["verb"] for line in check("schema", "--json", run(tmp_path, "schema", "--json").stdout)] == [
        *CONTRACTS
    ]


def test_one_shape_everywhere(root: Path, tmp_path: Path, served: Any, listen: Callable[..., Any]) -> None:
    """The command line, REST and server-sent events give the same JSON, with every field of the contract."""
    path = root / "demo/t1/TASK-MESSAGE-BUS.md"
    with MessageBus(path, make_directories=True) as log:
        log.append_message(Draft.from_json(FULL))
    printed = json.loads(run(tmp_path, "bus", "read", "--bus", str(path), "--json").stdout)
    where = "project_id=demo&task_id=t1"
    [listed] = served.client.get(f"/api/v1/messages?{where}").json()["messages"]
    streamed = listen(f"{served.url}/api/v1/messages/stream?{where}").next().json
    assert printed == listed == streamed
    assert set(printed) == set(MESSAGE["properties"])


def test_unknown_fields_are_refused_by_name(tmp_path: Path, api: httpx.Client) -> None:
    fields = {"body": "x", "colour": "red"}
    assert not any(jsonschema_rs.Draft202012Validator(schema).is_valid(fields) for schema in (POST, JSONL_LINE))
    done = run(tmp_path, "bus", "post", "--bus", "B.md", "--project", "p", "--jsonl", stdin=json.dumps(fields))
    assert (done.returncode, "'colour'" in done.stderr) == (6, True)
    answer = api.post("/api/projects/demo/messages", json=fields)
    assert (answer.status_code, "'colour'" in answer.json()["error"]["message"]) == (400, True)


def test_the_verb_lists_and_shows(tmp_path: Path) -> None:
    listed = run(tmp_path, "schema").stdout
    assert [line[:14].rstrip() for line in listed.splitlines()] == [*CONTRACTS]
    assert json.loads(run(tmp_path, "schema", "bus", "post").stdout) == CONTRACTS["bus post"].to_json()
    done = run(tmp_path, "schema", "bus", "\x1b[2J")
    assert (done.returncode, done.stdout, "\x1b" in done.stderr) == (2, "", False)
