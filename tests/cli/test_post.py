"""`run-agent bus post`: which bus, which fields, and what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from patience import SECONDS

from messagebus import Draft, Link, Message, MessageBus, Parent
from run_agent.cli import jsonl

Run = Callable[..., Any]
PROGRAM = Path(sys.executable).with_name("run-agent")


# --- where -----------------------------------------------------------------------------------


def test_directories_of_a_task_are_made(run: Run, messages: Run, tmp_path: Path) -> None:
    root = tmp_path / "new/root"
    assert run("bus", "post", "--root", root, "--project", "p", "--task", "t", "--body", "x").code == 0
    [message] = messages(root / "p/t/TASK-MESSAGE-BUS.md")
    assert (message.project_id, message.task_id, message.body) == ("p", "t", "x")


def test_directories_of_a_project_are_made(
    run: Run, messages: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("bus", "post", "--project", "p", "--body", "at home").code == 0
    [message] = messages(tmp_path / "home/.run-agent/runs/p/PROJECT-MESSAGE-BUS.md")
    assert (message.project_id, message.task_id) == ("p", "")
    monkeypatch.setenv("JRUN_RUNS_DIR", str(tmp_path / "runs"))
    assert run("bus", "post", "--project", "p", "--jsonl", stdin=b'{"body": "x"}').code == 0
    assert (tmp_path / "runs/p/PROJECT-MESSAGE-BUS.md").is_file()


def test_the_directory_of_a_named_bus_must_exist(run: Run, refused: Run, here: Path) -> None:
    result = run("bus", "post", "--bus", "new/BUS.md", "--project", "p", "--body", "x")
    refused(result, 6, f"there is no directory {here / 'new'}", "create it")
    assert not (here / "new").exists()


def test_the_directory_of_a_bus_in_the_environment_must_exist(
    run: Run, refused: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESSAGE_BUS", "new/BUS.md")
    refused(run("bus", "post", "--project", "p", "--body", "x"), 6, "there is no directory")
    assert not (here / "new").exists()


@pytest.mark.parametrize("bad", ["", " ", ".", "..", "a..b", "a/b", "a\\b", "a\tb"])
def test_an_id_that_cannot_be_a_directory(bad: str, run: Run, refused: Run, tmp_path: Path) -> None:
    for ids in (["--project", bad], ["--project", "p", "--task", bad], ["--project", bad, "--task", "t"]):
        refused(run("bus", "post", *ids, "--body", "x"), 6, "cannot name a directory")
    assert not (tmp_path / "home").exists()


def test_in_the_directory_of_a_task_everything_is_known(
    run: Run, messages: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = tmp_path / "p/t/TASK-MESSAGE-BUS.md"
    below = bus.parent / "src"
    below.mkdir(parents=True)
    bus.touch()
    monkeypatch.chdir(below)
    monkeypatch.setenv("RUN_FOLDER", str(bus.parent / "runs/r-1"))
    assert run("bus", "post", "--body", "x").code == 0
    [message] = messages(bus)
    assert (message.type, message.project_id, message.task_id, message.run_id) == ("INFO", "p", "t", "r-1")


def test_no_project(run: Run, refused: Run, path: Path) -> None:
    refused(run("bus", "post", "--bus", path, "--body", "x"), 2, "No project", "--project ID", "JRUN_PROJECT_ID")
    assert not path.exists()


def test_no_bus(run: Run, refused: Run) -> None:
    refused(run("bus", "post", "--body", "x"), 3, "MESSAGE-BUS.md", "--bus FILE", "--project")


# --- the text --------------------------------------------------------------------------------


def test_piped_text(post: Run, messages: Run) -> None:
    text = "first\n\n---\nmsg_id: no\n  last ü \n\n"
    assert post(stdin=text.encode()).code == 0
    assert post("--body", "-", stdin=b"a dash").code == 0
    assert [message.body for message in messages()] == [text.rstrip("\n"), "a dash"]


@pytest.mark.parametrize("nothing", [b"", b"\n\r\n"])
@pytest.mark.parametrize("dash", [[], ["--body", "-"]])
def test_an_empty_pipe(nothing: bytes, dash: list[str], post: Run, refused: Run, path: Path) -> None:
    refused(post(*dash, stdin=nothing), 2, "Standard input is empty", "--body ''")
    assert not path.exists()


def test_an_empty_body_must_be_asked_for(post: Run, refused: Run, messages: Run) -> None:
    assert post("--body", "").code == 0
    assert [message.body for message in messages()] == [""]
    refused(post(), 2, "No text", "--body TEXT", "--edit")  # on a terminal


def test_with_a_body_standard_input_is_not_touched(start: Run, messages: Run, path: Path) -> None:
    held_open = start("bus", "post", "--bus", path, "--project", "p", "--body", "x", stdin=subprocess.PIPE)
    assert held_open.line().startswith("msg_id: ")
    assert held_open.end() == (0, "")
    assert [message.body for message in messages()] == ["x"]


def test_with_a_body_a_pipe_keeps_its_contents(path: Path, here: Path) -> None:
    (here / "piped").write_bytes(b"for the next command")
    with (here / "piped").open("rb") as source:
        subprocess.run(
            ["sh", "-c", 'run="$0"; "$run" bus post --bus "$1" --project p --body x && cat > rest', PROGRAM, path],
            stdin=source,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=SECONDS,
        )
    assert (here / "rest").read_bytes() == b"for the next command"


def test_a_redirected_file(path: Path, here: Path, messages: Run) -> None:
    (here / "text").write_text("from a file\n")
    with (here / "text").open() as source:
        command = [PROGRAM, "bus", "post", "--bus", path, "--project", "p"]
        assert subprocess.run(command, stdin=source, capture_output=True, check=True, timeout=SECONDS)
    assert messages()[0].body == "from a file"


def test_input_that_is_not_utf8_is_refused(post: Run, refused: Run, path: Path) -> None:
    refused(post(stdin=b"caf\xe9"), 6, "not UTF-8 at byte 3", "iconv")
    assert not path.exists()


def test_a_body_over_the_limit(post: Run, refused: Run) -> None:
    refused(post(stdin=b"x" * (8 * 1024 * 1024 + 1)), 6, "the limit is 8,388,608")


def test_a_body_at_the_limit(post: Run, messages: Run) -> None:
    assert post(stdin=b"x" * (8 * 1024 * 1024) + b"\n").code == 0
    assert len(messages()[0].body) == 8 * 1024 * 1024


# --- the other fields ------------------------------------------------------------------------


def test_fields(post: Run, messages: Run) -> None:
    result = post(
        *("--task", "t", "--run", "r", "--type", "DECISION", "--body", "x", "--issue-id", "I-1"),
        *("--parent", "MSG-A", "--parent", "MSG-B:answers", "--link", "https://a:1/b", "--link", "notes.md"),
        *("--meta", "a=1", "--meta", "b=c=d", "--meta", "e="),
    )
    assert result.code == 0
    [message] = messages()
    assert (message.project_id, message.task_id, message.run_id) == ("p", "t", "r")
    assert (message.type, message.issue_id) == ("DECISION", "I-1")
    assert message.parents == (Parent("MSG-A"), Parent("MSG-B", "answers"))
    assert message.links == (Link("https://a:1/b"), Link("notes.md"))
    assert message.meta == {"a": "1", "b": "c=d", "e": ""}


def test_an_issue_defaults_to_its_own_id(post: Run, messages: Run) -> None:
    assert post("--type", "ISSUE", "--body", "x").code == 0
    [message] = messages()
    assert message.issue_id == message.msg_id


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--meta", "novalue"], 2, "--meta KEY=VALUE"),
        (["--meta", "=x"], 6, "meta"),
        (["--parent", ""], 6, "parents"),
        (["--parent", "a b"], 6, "white space"),
        (["--parent", ":kind"], 6, "parents"),
        (["--link", ""], 6, "url is empty"),
        (["--type", ""], 6, "type is empty"),
        (["--type", "A\nB"], 6, "control character"),
        (["--task", "a\tb"], 6, "task_id holds the control character"),
        (["--idempotency-key", " "], 6, "idempotency_key is empty"),
        (["--meta", "idempotency_key=x"], 6, "idempotency_key"),
        (["--rotate-bytes", "-1"], 2, "--rotate-bytes"),
        (["--lock-timeout", "-1"], 2, "--lock-timeout"),
    ],
)
def test_what_is_refused(arguments: list[str], code: int, words: str, post: Run, refused: Run) -> None:
    refused(post("--body", "x", *arguments), code, words)
    assert list(Path().iterdir()) == []


def test_an_idempotency_key_twice(post: Run, refused: Run, messages: Run) -> None:
    again = ["--body", "x", "--idempotency-key", "k"]
    first = post(*again)
    assert post(*again) == first
    refused(post("--body", "other", "--idempotency-key", "k"), 6, "idempotency_key 'k' is taken", "new key")
    assert post("--body", "x", "--idempotency-key", "k2").out != first.out
    assert len(messages()) == 2


# --- how -------------------------------------------------------------------------------------


def test_rotation(post: Run, messages: Run, path: Path) -> None:
    for body in "abc":
        assert post("--body", body, "--rotate-bytes", "1").code == 0
    assert len(list(path.parent.glob("BUS.md.*.archived"))) == 2
    assert [message.body for message in messages()] == ["a", "b", "c"]


NO_RENAME = """
import os, sys
def rename(*_): raise PermissionError(1, "Operation not permitted")
os.rename = rename
from run_agent.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_failed_rotation_is_reported_in_a_sentence(fill: Run, messages: Run, path: Path) -> None:
    fill("a")
    command = ["bus", "post", "--bus", str(path), "--project", "p", "--body", "b", "--rotate-bytes", "1"]
    done = subprocess.run([sys.executable, "-c", NO_RENAME, *command], capture_output=True, check=True, timeout=SECONDS)
    assert len(messages()) == 2
    assert b"could not rotate" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert b".py" not in done.stderr


def test_fsync(post: Run, messages: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {}
    init = MessageBus.__init__

    def spy(bus: MessageBus, path: Any, **given: Any) -> None:
        options.update(given)
        init(bus, path, **given)

    monkeypatch.setattr(MessageBus, "__init__", spy)
    assert post("--body", "x", "--fsync").code == 0
    assert options["fsync"] is True
    post("--body", "x")
    assert options["fsync"] is False


def test_a_held_lock(post: Run, refused: Run, held_lock: Path) -> None:
    started = time.monotonic()
    result = post("--body", "x", "--lock-timeout", "0.3")
    assert 0.3 <= time.monotonic() - started < SECONDS
    refused(result, 5, f"could not lock {held_lock}", "1 attempt,")  # so the seconds are the total
    assert held_lock.read_bytes() == b""


def test_a_lock_timeout_of_nothing(post: Run, refused: Run, held_lock: Path) -> None:
    refused(post("--body", "x", "--lock-timeout", "0"), 5, str(held_lock))


@pytest.mark.parametrize("seconds", ["inf", "1e10"])
def test_a_very_long_lock_timeout_is_accepted(seconds: str, post: Run) -> None:
    assert post("--body", "x", "--lock-timeout", seconds).code == 0


# --- what it prints --------------------------------------------------------------------------


def test_what_it_prints(post: Run, read: Run, messages: Run) -> None:
    long, quiet, as_json = (post("--body", "ü", *form) for form in ([], ["--quiet"], ["--json"]))
    stored = messages()
    assert long.out == f"msg_id: {stored[0].msg_id}\n"
    assert quiet.out == f"{stored[1].msg_id}\n"
    assert as_json.raw == read("--tail", "1", "--json").raw
    assert [Message.from_json(data) for data in as_json.json] == stored[2:]
    assert (long.err, quiet.err, as_json.err) == ("", "", "")


def test_the_json_of_a_post_is_the_json_of_a_read(post: Run, read: Run) -> None:
    shown = post(
        *("--type", "ISSUE", "--body", "---\n\\---\n\n", "--meta", "k=yes", "--idempotency-key", "1e3"),
        *("--parent", "MSG-A:kind", "--link", "u", "--run", "007", "--json"),
    )
    assert shown.raw == read("--json").raw


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--quiet", "--json", "--body", "x"], "--quiet"),
        (["--jsonl", "--body", ""], "--body"),
        (["--jsonl", "--edit"], "--edit"),
        (["--jsonl", "--idempotency-key", "k"], "--idempotency-key"),
    ],
)
def test_contradictions(flags: list[str], words: str, post: Run, refused: Run, path: Path) -> None:
    refused(post(*flags, stdin=b"{}"), 2, words)
    assert not path.exists()


# --- --jsonl ---------------------------------------------------------------------------------


def test_each_id_comes_as_its_line_arrives(start: Run, messages: Run, path: Path) -> None:
    process = start("bus", "post", "--bus", path, "--project", "p", "--jsonl", "--quiet", stdin=subprocess.PIPE)
    ids = []
    for number in range(3):
        process.send(b'{"type": "FACT", "body": "%d"}\n' % number)
        ids.append(process.line())
        assert [message.msg_id for message in messages()] == ids
    process.send(b"oops\n")
    assert process.stderr_line().startswith("Error: line 4: invalid JSON: ")
    process.send(b'{"body": "the last one"}')  # without a line end
    process.process.stdin.close()
    assert process.end() == (6, "")
    ids.append(process.rest().decode().strip())
    assert [message.msg_id for message in messages()] == ids
    assert [message.body for message in messages()] == ["0", "1", "2", "the last one"]


BAD_LINES = {
    "no json": b"{",
    "no object": b"[1]",
    "no utf-8": b'{"body": "\xff"}',
    "unknown field": b'{"text": "x"}',
    "an id of its own": b'{"msg_id": "MSG-1"}',
    "wrong type": b'{"body": 1}',
    "null": b'{"type": null}',
    "empty type": b'{"type": ""}',
    "parent": b'{"parents": "x"}',
    "relation": b'{"relations": [{"id": "x"}]}',
    "link": b'{"links": ["x"]}',
    "meta": b'{"meta": {"a": 1}}',
    "time": b'{"timestamp": "2026-01-01T00:00:00"}',
    "key": b'{"idempotency_key": 5}',
    "surrogate": b'{"body": "\\ud800"}',
    "NUL": b'{"body": "\\u0000"}',
    "depth": b"[" * 100_000,
    "a field twice": b'{"body": "x", "body": "y"}',
    "a field twice, further in": b'{"meta": {"a": "1", "a": "2"}}',
    "no number": b'{"meta": NaN}',
    "no end": b'{"links": [-Infinity]}',
    "UTF-16": '{"body": "x"}'.encode("utf-16-be"),
}


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_is_named_and_the_rest_goes_in(line: bytes, post: Run, messages: Run) -> None:
    lines = [b'{"body": "a"}', b"", line, b'{"body": "b"}', b""]
    result = post("--jsonl", stdin=b"\n".join(lines))
    assert result.code == 6
    assert result.err.startswith("Error: line 3: ")
    assert result.err.count("\n") == 1
    assert [message.body for message in messages()] == ["a", "b"]
    assert result.lines == [f"msg_id: {message.msg_id}" for message in messages()]


def test_what_has_arrived_goes_in_one_batch(post: Run, messages: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    append = MessageBus.append_messages

    def spy(bus: MessageBus, drafts: list[Any]) -> list[Message]:
        sizes.append(len(drafts))
        return append(bus, drafts)

    monkeypatch.setattr(MessageBus, "append_messages", spy)
    result = post("--jsonl", stdin=b"".join(b'{"body": "%d"}\r\n' % number for number in range(500)))
    assert result.code == 0
    assert sizes == [500]
    assert len(messages()) == len(result.lines) == 500


def test_lines_in_pieces_keep_their_numbers(post: Run, messages: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "_READ_SIZE", 3)
    result = post("--jsonl", stdin='\n\n{"body": "ü"}\n\noops\n{"body": "b"}\n\n\noops'.encode())
    assert [line.split(":")[1] for line in result.err.splitlines()] == [" line 5", " line 9"]
    assert [message.body for message in messages()] == ["ü", "b"]


def test_flags_are_the_defaults_of_lines(post: Run, messages: Run) -> None:
    line = b'{"type": "FACT", "run_id": "r2", "meta": {"b": "2"}, "body": "x", "parents": ["MSG-B"]}'
    flags = ["--jsonl", "--type", "T", "--run", "r1", "--meta", "a=1", "--parent", "MSG-A:kind", "--link", "u"]
    assert post(*flags, stdin=b"{}\n" + line).code == 0
    first, second = messages()
    assert (first.type, first.run_id, first.meta, first.parents) == ("T", "r1", {"a": "1"}, (Parent("MSG-A", "kind"),))
    assert (second.type, second.run_id, second.meta, second.body) == ("FACT", "r2", {"b": "2"}, "x")
    assert second.parents == (Parent("MSG-B"),)
    assert first.links == second.links == (Link("u"),)


def test_lines_with_idempotency_keys(post: Run, messages: Run) -> None:
    line = b'{"idempotency_key": "k", "body": "x"}\n'
    result = post("--jsonl", "--quiet", stdin=line * 2 + b'{"idempotency_key": "k", "body": "y"}\n')
    assert result.code == 6
    assert "line 3: idempotency_key 'k' is taken" in result.err
    assert result.lines == [messages()[0].msg_id] * 2
    assert len(messages()) == 1


def test_messages_of_a_read_go_in_again(post: Run, read: Run, fill: Run) -> None:
    fill("a", "b")
    lines = []
    for data in read("--json").json:
        for name in ("msg_id", "intact"):
            data.pop(name)
        lines.append(json.dumps(data))
    assert post("--jsonl", "--json", stdin="\n".join(lines).encode()).code == 0
    assert [data["body"] for data in read("--json").json] == ["a", "b", "a", "b"]


def test_no_lines(post: Run, path: Path) -> None:
    assert post("--jsonl", stdin=b"\n\n") == (0, b"", "")
    assert not path.exists()


def test_lines_need_a_project_too(run: Run, path: Path) -> None:
    result = run("bus", "post", "--bus", path, "--jsonl", stdin=b'{"project_id": "p", "body": "a"}\n{"body": "b"}\n')
    assert (result.code, len(result.lines)) == (6, 1)
    assert "line 2: no project" in result.err


def test_a_line_far_longer_than_a_pipe(start: Run, path: Path, messages: Run) -> None:
    process = start("bus", "post", "--bus", path, "--project", "p", "--jsonl", stdin=subprocess.PIPE)
    process.send(json.dumps({"body": "x" * 1_000_000}).encode() + b"\n")
    assert process.line().startswith("msg_id: ")
    assert len(messages()[0].body) == 1_000_000


# --- which bus, without flags ---------------------------------------------------------------------


def test_a_bus_made_by_touch(run: Run, here: Path, messages: Run) -> None:
    (here / "MESSAGE-BUS.md").touch()
    assert run("bus", "post", "--body", "x").code == 0
    [message] = messages(here / "MESSAGE-BUS.md")
    assert message.project_id == here.name


def test_a_variable_that_overrides_the_flags_is_reported(
    run: Run, path: Path, messages: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESSAGE_BUS", str(path))
    result = run("bus", "post", "--project", "p", "--body", "x", "--quiet")
    assert (result.code, result.err.count("\n")) == (0, 1)
    assert result.err.startswith(f"Warning: posting to {path}, which MESSAGE_BUS names; ")
    assert [message.msg_id for message in messages()] == result.lines
    monkeypatch.setenv("JRUN_PROJECT_ID", "p")
    assert run("bus", "post", "--body", "x").err == ""


# --- copies ----------------------------------------------------------------------------------


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """A bus of another task, whose messages have every field."""
    path = tmp_path / "old.md"
    with MessageBus(path) as bus:
        ts = datetime(2020, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
        first = bus.append_message(Draft("ISSUE", "old", "a", task_id="t-old", run_id="r-old", ts=ts))
        parents = [Parent(first.msg_id, "answers", {"k": "v"})]
        bus.append_message(Draft("fact", "old", "b", parents=parents, links=[Link("u", "l")], meta={"a": "b"}, ts=ts))
        bus.append_message(Draft("FACT", "old", "c"), idempotency_key="k")
    return path


def test_copy(run: Run, post: Run, original: Path, path: Path, messages: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JRUN_ID", "of the caller")
    monkeypatch.setenv("JRUN_TASK_ID", "of the caller")
    lines = run("bus", "read", "--bus", original, "--tail", "0", "--json").raw
    result = post("--jsonl", "--copy", "--quiet", stdin=lines)
    assert (result.code, result.err) == (0, "")
    copies = messages()
    assert [copy.msg_id for copy in copies] == result.lines
    assert [replace(copy, msg_id="") for copy in copies] == [replace(old, msg_id="") for old in messages(original)]
    assert post("--jsonl", "--copy", stdin=lines.splitlines()[-1]).code == 0
    assert len(messages()) == 3, "a message with a key is copied once"


def test_a_copy_takes_the_flags_as_defaults(run: Run, post: Run, original: Path, messages: Run) -> None:
    lines = run("bus", "read", "--bus", original, "--tail", "0", "--json").raw
    assert post("--jsonl", "--copy", "--task", "t-new", "--meta", "copied=yes", stdin=lines).code == 0
    assert [(copy.task_id, copy.meta.get("copied")) for copy in messages()] == [
        ("t-old", "yes"), ("t-new", None), ("t-new", None),
    ]  # fmt: skip


def test_stored_messages_are_refused_without_it(run: Run, post: Run, original: Path, path: Path) -> None:
    lines = run("bus", "read", "--bus", original, "--tail", "0", "--json").raw
    result = post("--jsonl", stdin=lines)
    assert (result.code, result.raw) == (6, b"")
    assert [line[:14] for line in result.err.splitlines()] == [f"Error: line {number}:" for number in (1, 2, 3)]
    assert result.err.count("only the log sets msg_id and intact") == result.err.count("use --copy") == 3
    assert not path.exists() or path.read_bytes() == b""


def test_a_copy_of_a_torn_message_is_reported(post: Run, messages: Run) -> None:
    result = post("--jsonl", "--copy", stdin=b'{"msg_id": "MSG-1", "type": "FACT", "body": "cu", "intact": false}')
    assert (result.code, result.err.count("Warning: MSG-1 is torn or was edited")) == (0, 1)
    assert messages()[0].body == "cu"


def test_copy_without_lines(post: Run, refused: Run) -> None:
    refused(post("--copy", "--body", "x"), 2, "--jsonl")


# --- types and ids written by hand ----------------------------------------------------------------


def test_a_type_is_stored_as_it_is_given(post: Run, read: Run, messages: Run) -> None:
    for type_ in ("Fact", "FACT", "issue"):
        assert post("--type", type_, "--body", "x").code == 0
    first, second, issue = messages()
    assert (first.type, second.type) == ("Fact", "FACT")
    assert (issue.type, issue.issue_id) == ("issue", issue.msg_id), "it is one in any case"
    for requested in ("fact", "FACT", "fAcT"):
        assert [data["msg_id"] for data in read("--type", requested, "--json").json] == [first.msg_id, second.msg_id]


@pytest.mark.parametrize(
    "msg_id", ["a+1", "a/b/c", "сообщение", "消息-7", "a%2Fb", "a#1", "a:b", "é", "~x", "-x", "A=B"]
)
def test_ids_written_by_hand(msg_id: str, run: Run, path: Path, messages: Run) -> None:
    path.write_text(f"---\nmsg_id: {msg_id}\ntype: FACT\nproject_id: p\n---\nby hand\n")
    ask = ("bus", "read", "--bus", path)
    assert run(*ask, f"--id={msg_id}").out.endswith("(FACT) by hand\n")
    kinds = {f"{msg_id}:answers": "answers", msg_id if ":" not in msg_id else f"{msg_id}:": ""}
    for parent in kinds:
        done = run("bus", "post", "--bus", path, "--project", "p", "--body", "x", f"--parent={parent}")
        assert done.code == 0, done.err
    assert [message.parents for message in messages()[1:]] == [(Parent(msg_id, kind),) for kind in kinds.values()]
    assert len(run(*ask, f"--since={msg_id}").lines) == 2
    assert f"re {msg_id}:answers" in run(*ask, "--long").out.replace('"', "")


def test_an_id_of_other_letters_in_a_bare_environment(program: Run, path: Path) -> None:
    path.write_text("---\nmsg_id: сообщение\ntype: FACT\nproject_id: p\n---\nby hand\n")
    bare = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    assert program("bus", "read", "--bus", path, "--id", "сообщение", env=bare).out.endswith("by hand\n")
    post = ("bus", "post", "--bus", path, "--project", "p", "--body", "x", "--parent", "сообщение:отвечает", "--json")
    assert program(*post, env=bare).json[0]["relations"] == [{"msg_id": "сообщение", "kind": "отвечает"}]
