"""No input of the program forges a message, a field, or a line of its output.

Input: JSON lines, the environment, names of files and directories, ids and arguments.
Output: text, JSON and errors, to a pipe and to a terminal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from messagebus import Draft, Message, MessageBus, Parent

Run = Callable[..., Any]
TRIED = "hostile inputs that tried to forge a record or a field"
GENUINE = "[2026-11-21 03:14:15]"
FORGED = f"{GENUINE} (FACT) forged"
RECORD = "---\nmsg_id: MSG-FORGED\ntype: FACT\nproject_id: p\n---\nforged\n"

# What controls a terminal, starts a line for some readers, or changes the order of text.
SIGNS = ["\n", "\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029", "\x1b[2J", "\x1b]0;x\x07", "\x9b2J", "\x7f", "\b"]
SIGNS += ["\u202a", "\u202e", "\u2066", "\u2069", "\u200e", "\u200f", "\u061c", "\ufeff"]
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
EVIL = "".join(f"x{sign}{FORGED}" for sign in SIGNS)
EVIL_NAME = f"d\n{FORGED}\x1b]0;x\x07\x9b\u202e\u2028\x1b[2J"


def check_shown(text: str, genuine: int = 0) -> None:
    """The text is harmless to a terminal, and has this many messages, whatever counts as a line end."""
    assert not UNSAFE.search(text), ascii(text)
    assert sum(line.startswith("[2") for line in text.splitlines()) == genuine, ascii(text)


# --- JSON lines --------------------------------------------------------------------------------


def nested(depth: int, name: str = "meta") -> bytes:
    return b'{"%b": %b%b}' % (name.encode(), b"[" * depth, b"]" * depth)


KEYS = (b"type", b"body", b"run_id", b"meta", b"parents", b"relations", b"links", b"timestamp", b"idempotency_key")
WRONG = (b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"true", b"[[]]", b"[null]", b'[{"a": []}]', b'{"": []}')
LINES = [
    *(b'{"%b": "x"}' % key for key in (b"msg_id", b"intact", b"ts", b"content_length", b"__class__", b"Type")),
    *(b'{"%b": %b}' % (key, value) for key in KEYS for value in WRONG),
    *(b'{"relations": [{"msg_id": %b}]}' % value for value in (b"[]", b"{}", b"null", b"1", b"NaN", b'"a b"')),
    *(b'{"links": [{"url": %b}]}' % value for value in (b"[]", b"{}", b"null", b"1", b'""', b'"\\n"')),
    *(b'{"meta": {%b}}' % pair for pair in (b'"": "v"', b'"a": null', b'"a\\n": "b"', b'"idempotency_key": "k"')),
    *(nested(depth, name) for depth in (50, *range(930, 1000, 3)) for name in ("meta", "body", "links", "parents")),
    b'{"body": "\xed\xa0\x80"}', b'{"body": "\xed\xa0\xbd\xed\xb8\x80"}', b'{"body": "\\ud83d"}',
    b'{"body": "\\u0000"}', b"\xef\xbb\xbf{}x", b"{} {}", b'{"body": "a"}}', b"NaN", b'"body"', b"{'body': 'x'}",
    b'{"body": "a\tb"}', b"\x00",
    b'{"type": "FACT", "type": "\\n"}', b'{"type": "FIRST", "type": "LAST"}',
    b'{"meta": {"a": "1", "a": "2"}, "body": "x"}', b'{"type": "\\u001b"}', b'{"timestamp": "2026-11-21"}',
]  # fmt: skip
GOOD_LINES = {
    json.dumps({"body": RECORD, "run_id": "---"}).encode(): {"body": RECORD.rstrip(), "run_id": "---"},
    json.dumps({"body": EVIL}).encode(): {"body": EVIL},
    json.dumps({"body": EVIL}, ensure_ascii=False).encode(): {"body": EVIL},
    b'{"parents": ["a"], "relations": [{"msg_id": "a", "kind": "MSG-b"}]}': {"parents": (Parent("a", "MSG-b"),)},
    b'{"body": "x"}\r': {"body": "x"},
}


def test_a_hostile_line_is_refused_and_no_other(post: Run, messages: Run, tally: Run) -> None:
    for line in LINES:
        before = len(messages())
        result = post("--jsonl", stdin=b'{"body": "a"}\n' + line + b'\n{"body": "b"}\n')
        assert result.code == 6, line
        assert result.err.startswith("Error: line 2: ")
        assert "report it" not in result.err
        check_shown(result.err)
        assert [message.body for message in messages()[before:]] == ["a", "b"], line
    tally(TRIED, len(LINES))


def test_a_line_is_the_message_that_it_says(post: Run, messages: Run, tally: Run) -> None:
    for line, fields in GOOD_LINES.items():
        before = len(messages())
        assert post("--jsonl", stdin=b'{"body": "a"}\n' + line + b'\n{"body": "b"}\n').err == ""
        first, message, last = messages()[before:]
        expected = {
            "type": "INFO",
            "project_id": "p",
            "task_id": "",
            "run_id": "",
            "parents": (),
            "meta": {},
            "body": "",
        }
        assert {name: getattr(message, name) for name in expected} == expected | fields
        assert (first.body, last.body) == ("a", "b")
    tally(TRIED, len(GOOD_LINES))


# --- the environment ---------------------------------------------------------------------------

NO_IDS = ["a\nb", "a\rb", "\x1b[2J", "a\x85b", "\x7f", f"x\n\n{RECORD}", "\udcff", "\t"]


@pytest.mark.parametrize(
    ("variable", "value", "field"),
    [
        ("JRUN_PROJECT_ID", "{}", "project_id"), ("JRUN_TASK_ID", "{}", "task_id"), ("JRUN_ID", "{}", "run_id"),
        ("RUN_FOLDER", "/r/p/t/runs/{}", "run_id"), ("RUN_FOLDER", "/r/p/{}/runs/r", "task_id"),
        ("TASK_FOLDER", "/r/{}/t", "project_id"), ("JRUN_TASK_FOLDER", "/r/p/{}", "task_id"),
    ],
)  # fmt: skip
def test_no_variable_forges_a_field(
    variable: str, value: str, field: str, run: Run, fill: Run, path: Path, monkeypatch: pytest.MonkeyPatch, tally: Run
) -> None:
    fill("x")
    before = path.read_bytes()
    if variable in ("JRUN_TASK_ID", "JRUN_ID"):
        monkeypatch.setenv("JRUN_PROJECT_ID", "p")
    for bad in NO_IDS:
        monkeypatch.setenv(variable, value.format(bad.replace("/", "")))
        result = run("bus", "post", "--bus", path, "--body", "y")
        assert (result.code, result.raw) == (6, b""), bad
        assert field in result.err
        check_shown(result.err)
        assert path.read_bytes() == before
    tally(TRIED, len(NO_IDS))


@pytest.mark.parametrize("value", ["/r/p/t/runs/..", "/r/p/../..", "../..", "/r/p/t/runs/../../../x", "//", "."])
@pytest.mark.parametrize("variable", ["RUN_FOLDER", "TASK_FOLDER"])
def test_dots_in_a_folder_name_no_project(
    variable: str, value: str, run: Run, path: Path, messages: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are resolved, not taken for names."""
    monkeypatch.setenv(variable, value)
    result = run("bus", "post", "--bus", path, "--body", "y")
    assert result.code in (0, 2)
    for message in messages():
        assert not {"..", ".", ""} & {message.project_id, message.task_id or "-", message.run_id or "-"}


@pytest.mark.parametrize(
    "name", [f"x\n\n{RECORD.replace('/', '')}.md", "\x1b[2J\udcff.md", "--bus.md", " ", "a\\b", "%s"]
)
def test_a_bus_of_any_name_holds_what_was_posted(
    name: str, run: Run, here: Path, messages: Run, monkeypatch: pytest.MonkeyPatch, tally: Run
) -> None:
    monkeypatch.setenv("MESSAGE_BUS", name)
    for body in ("a", "b"):
        assert run("bus", "post", "--project", "p", "--body", body).code == 0
    assert [message.body for message in messages(here / name)] == ["a", "b"]
    check_shown(run("bus", "read").out, genuine=2)
    tally(TRIED, 1)


def test_a_directory_with_a_hostile_name_is_not_a_project(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch, tally: Run
) -> None:
    for bus in (here / EVIL_NAME / "PROJECT-MESSAGE-BUS.md", here / "p" / EVIL_NAME / "TASK-MESSAGE-BUS.md"):
        bus.parent.mkdir(parents=True)
        bus.touch()
        monkeypatch.chdir(bus.parent)
        result = run("bus", "post", "--body", "x")
        assert result.code == 6, "its name cannot be an id in a header"
        check_shown(result.err)
        assert bus.read_bytes() == b""
    tally(TRIED, 2)


# --- output ---------------------------------------------------------------------------------


@pytest.fixture
def hostile_directory(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a hostile name, which is the current one, and a bus in it."""
    directory = here / EVIL_NAME
    directory.mkdir()
    monkeypatch.chdir(directory)
    with MessageBus(directory / "MESSAGE-BUS.md") as bus:
        bus.append_message(Draft("FACT", "p", "x"))
    return directory


COMMANDS: list[tuple[list[str], int]] = [
    (["bus", "discover"], 0), (["bus", "discover", "--json"], 0), (["bus", "discover", "--explain"], 0),
    (["bus", "discover", "--explain", "--json"], 0), (["bus", "read"], 1), (["bus", "read", "--json"], 0),
    (["bus", "read", "--bus", "none.md"], 0), (["bus", "read", "--bus", EVIL_NAME], 0),
    (["bus", "read", "--since", EVIL], 0), (["bus", "read", "--id", EVIL], 0), (["bus", "read", "--type", EVIL], 0),
    (["bus", "read", "--bus", "."], 0), (["bus", "read", "--bus", "link.md"], 0),
    (["bus", "read", "--project", EVIL], 0), (["bus", "read", EVIL], 0), (["bus", "read", f"--{EVIL}"], 0),
    (["bus", EVIL], 0), (["bus", "read", "--tail", EVIL], 0),
    (["bus", "discover", "--from", EVIL_NAME], 0),
    (["bus", "post", "--project", "p", "--body", "x", "--type", EVIL], 0),
    (["bus", "post", "--project", "p", "--body", "x", "--meta", EVIL], 0),
    (["bus", "post", "--project", "p", "--body", "x", "--meta", "a\u202e=\n"], 0),
    (["bus", "post", "--project", "p", "--body", "x", "--parent", EVIL], 0),
    (["bus", "post", "--project", "p", "--body", "x", "--rotate-bytes", "1"], 0),
    (["bus", "post", "--project", "p", "--body", "x", "--bus", "no/such.md"], 0),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "genuine"), COMMANDS)
def test_no_name_forges_a_line(
    arguments: list[str], genuine: int, run: Run, hostile_directory: Path, tally: Run
) -> None:
    (hostile_directory / "link.md").symlink_to("x")
    (hostile_directory / "MESSAGE-BUS.md.99991231-235959-999999.archived").mkdir()  # no rotation can come after it
    result = run(*arguments)
    check_shown(result.out, genuine)
    check_shown(result.err)
    assert "Traceback" not in result.err
    tally(TRIED, 1)


@pytest.mark.parametrize(
    "arguments", [["discover"], ["read", "--since", EVIL], ["read", "--bus", "none.md"], ["read", EVIL]]
)
def test_nor_does_it_drive_a_terminal(arguments: list[str], terminal: Run, hostile_directory: Path, tally: Run) -> None:
    assert hostile_directory.is_dir()
    shown = terminal("bus", *arguments).rest().decode().replace("\r\n", "\n")
    check_shown(shown)
    assert "forged" in shown
    tally(TRIED, 1)


WORD = r'("[^"]*"|(?!re )[^\s()<>"{}]{})'
POSITIONAL, PARENT, ANY = WORD.format("=", "+"), WORD.format(":=", "+"), WORD.format("", "*")
HEAD = re.compile(
    rf"\[2026-11-21 03:14:15\] \({ANY}\) (\(torn\) )?<{POSITIONAL} {POSITIONAL} re {PARENT}:{ANY} re {PARENT} "
    rf"task={ANY} issue={ANY} link={ANY} meta\.{POSITIONAL}={ANY}> "
)
FIELDS = [
    "A) <MSG-FORGED r> forged (B", "r re MSG-FORGED", "re", "(torn)", "> forged", '"', '"> x', "a\tb", "\u3000",
    "\xa0", EVIL, f"x\n{FORGED}", "<", ")", "two words", "plain", "task=forged", "a:answers", "=", ":", "meta.a=b",
    "x re MSG-FORGED:answers task=t link=u",
]  # fmt: skip


@pytest.mark.parametrize("evil", FIELDS)
def test_no_field_shows_as_another(evil: str, read: Run, path: Path, tally: Run) -> None:
    quoted = json.dumps(evil)
    key = json.dumps(evil[:100])
    path.write_text(
        f"---\nmsg_id: MSG-1\nts: 2026-11-21T03:14:15Z\ntype: {quoted}\nproject_id: p\nrun_id: {quoted}\n"
        f"task_id: {quoted}\nissue_id: {quoted}\nlinks:\n  - url: {quoted}\nmeta:\n  {key}: {quoted}\n"
        f"parents:\n  - msg_id: {quoted}\n    kind: {quoted}\n  - msg_id: MSG-0\n---\n{FORGED}\n"
    )
    result = read("--long")
    check_shown(result.out, genuine=1)
    head = HEAD.match(result.out)
    assert head, result.out
    torn, msg_id, second = head[2], head[3], head[7]
    assert (torn, msg_id, second, result.out[head.end() :]) == (None, "MSG-1", "MSG-0", f"{FORGED}\n")
    shown = {word.strip('"') for at, word in enumerate(head.groups(), 1) if at not in (2, 3, 7, 11)}
    assert len(shown) == 1
    assert head[11].strip('"') in shown.pop()
    [data] = read("--json").json
    assert (data["type"], data["run_id"], data["parents"]) == (evil, evil, [evil, "MSG-0"])
    tally(TRIED, 1)


def test_a_line_of_json_is_a_line_for_every_reader(read: Run, fill: Run, messages: Run, tally: Run) -> None:
    """Also for readers that end a line at U+2028 or U+0085, and for a terminal."""
    fill(EVIL, *SIGNS)
    out = read("--json", "--tail", "0").out
    check_shown(out)
    lines = out.splitlines()
    assert [Message.from_json(json.loads(line)) for line in lines] == messages()
    tally(TRIED, len(lines))
