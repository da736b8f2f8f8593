"""`run-agent bus read`: which messages, in which form, and following."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from patience import SECONDS

from messagebus import Draft, Message, MessageBus
from messagebus.backends.file import watch
from messagebus.codec import decode
from run_agent.cli.commands import bus_read

Run = Callable[..., Any]
STAMP = "[2026-11-21 03:14:15]"


def record(msg_id: str = "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA", body: str = "x", length: int | None = None) -> str:
    length = len(body.encode()) if length is None else length
    return (
        f"---\nmsg_id: {msg_id}\nts: 2026-11-21T03:14:15.926535Z\ntype: FACT\nproject_id: p\n"
        f"content_length: {length}\n---\n{body}\n"
    )


# --- which bus -------------------------------------------------------------------------------


def test_bus_with_project(run: Run, refused: Run) -> None:
    refused(run("bus", "read", "--bus", "x.md", "--project", "p"), 2, "--bus names a file", "one or the other")


def test_project_and_task_come_before_the_environment(
    run: Run, fill: Run, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = tmp_path / "root/p/t/TASK-MESSAGE-BUS.md"
    bus.parent.mkdir(parents=True)
    fill("of the task", to=bus)
    fill("of the environment")
    monkeypatch.setenv("MESSAGE_BUS", str(path))
    monkeypatch.setenv("JRUN_RUNS_DIR", str(tmp_path / "root"))
    assert run("bus", "read", "--project", "p", "--task", "t").out.endswith("(FACT) of the task\n")
    assert run("bus", "read").out.endswith("(FACT) of the environment\n")
    assert run("bus", "read", "--bus", bus).out.endswith("(FACT) of the task\n")


def test_an_empty_read_says_where_it_looked(read: Run, path: Path, fill: Run) -> None:
    path.touch()
    assert read("--json") == (0, b"", f"No messages in {path}.\n")
    [message] = fill("x")
    for narrow, about in (
        (["--type", "other"], "of type other"),
        (["--since", message.msg_id], f"after {message.msg_id}"),
        (["--since", message.msg_id, "--type", "A", "--type", "B"], f"of type A or B after {message.msg_id}"),
    ):
        assert read(*narrow) == (0, b"", f"No messages {about} in {path}.\n")


@pytest.mark.parametrize("more", [[], ["--json"], ["--raw"], ["--since", "MSG-x"], ["--id", "MSG-x"], ["--tail", "0"]])
def test_a_mistyped_bus(more: list[str], read: Run, refused: Run, path: Path) -> None:
    refused(read(*more), 3, str(path), "does not exist", "--follow")


def test_a_bus_that_no_one_has_posted_to_yet(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p/t/TASK-MESSAGE-BUS.md"
    expected = (0, b"", f"No messages in {path}, which does not exist.\n")
    assert run("bus", "read", "--root", tmp_path, "--project", "p", "--task", "t") == expected
    monkeypatch.setenv("MESSAGE_BUS", str(path))  # which a runner sets before the first post
    assert run("bus", "read") == expected


def test_a_bus_of_archives_alone(read: Run, fill: Run, path: Path) -> None:
    fill("x")
    path.rename(f"{path}.20261121-031415-000000.archived")
    assert read().out.endswith("(FACT) x\n")


def test_the_path_is_shown_in_full(run: Run, here: Path) -> None:
    assert str(here / "x.md") in run("bus", "read", "--bus", "x.md").err


# --- which messages --------------------------------------------------------------------------


@pytest.fixture
def hundred(fill: Run) -> list[Message]:
    return fill(*map(str, range(100)))


def bodies(result: Any) -> list[str]:
    assert result.err == ""
    assert result.code == 0
    return [data["body"] for data in result.json]


def numbers(first: int, end: int = 100) -> list[str]:
    return [str(number) for number in range(first, end)]


@pytest.mark.parametrize(
    ("flags", "first"),
    [
        ([], 80),
        (["--tail", "1"], 99),
        (["--tail", "7"], 93),
        (["--tail", "1000"], 0),
        (["--tail", "0"], 0),
        (["--tail", "-1"], 0),
        (["--tail", "99999999999999999999"], 0),
    ],
)
@pytest.mark.usefixtures("hundred")
def test_tail(flags: list[str], first: int, read: Run) -> None:
    assert bodies(read("--json", *flags)) == numbers(first)


@pytest.mark.parametrize(
    ("tail", "first"), [([], 40), (["--tail", "3"], 97), (["--tail", "0"], 40), (["--tail", "99"], 40)]
)
def test_since(tail: list[str], first: int, read: Run, hundred: list[Message]) -> None:
    assert bodies(read("--json", "--since", hundred[39].msg_id, *tail)) == numbers(first)


def test_an_unknown_cursor(read: Run, refused: Run, hundred: list[Message], path: Path) -> None:
    unknown = hundred[0].msg_id[:-4] + "0000"
    refused(read("--since", unknown), 4, unknown, str(path))
    refused(read("--since", "nonsense", "--tail", "1"), 4, "nonsense")
    refused(read("--since", "nonsense", "--raw"), 4, "nonsense")


def test_an_empty_cursor_is_not_the_newest_twenty(read: Run, hundred: list[Message]) -> None:
    """If "$last" is empty in a script, --since "$last" must not skip messages silently."""
    result = read("--since", "", "--json")
    assert result.code != 0 or len(result.lines) == len(hundred)


def test_one_message(read: Run, refused: Run, hundred: list[Message]) -> None:
    msg_id = hundred[42].msg_id
    assert bodies(read("--id", msg_id, "--json")) == ["42"]
    assert read("--id", msg_id).out.endswith("(FACT) 42\n")
    assert f"msg_id: {msg_id}\n" in read("--id", msg_id, "--raw").out
    refused(read("--id", "MSG-none"), 1, "there is no message MSG-none")


@pytest.mark.parametrize(
    "other",
    [["--follow"], ["--tail", "3"], ["--since", "x"], ["--type", "FACT"], ["--first", "1"], ["--until", "1h"],
     ["--run", ""], ["--parent", "x"], ["--issue", "x"], ["--from", "x"], ["--meta", "a=b"]],
)  # fmt: skip
def test_one_message_contradicts_any_choice(other: list[str], read: Run, refused: Run) -> None:
    refused(read("--id", "x", *other), 2, "--id", other[0])


def test_an_empty_id_does_not_mean_all(read: Run, fill: Run) -> None:
    fill("x")
    result = read("--id", "")
    assert result.code != 0
    assert result.raw == b""


def test_types(read: Run, fill: Run) -> None:
    for type_ in ("FACT", "QUESTION", "ANSWER", "fact") * 30:
        fill(type_, type_=type_)
    assert set(bodies(read("--json", "--type", "FACT", "--type", "answer"))) == {"FACT", "fact", "ANSWER"}
    assert bodies(read("--json", "--type", "QUESTION")) == ["QUESTION"] * 20
    assert bodies(read("--json", "--type", "QUESTION", "--tail", "0")) == ["QUESTION"] * 30
    assert bodies(read("--json", "--type", "QUESTION", "--tail", "2")) == ["QUESTION"] * 2


@pytest.fixture
def various(path: Path) -> list[Message]:
    """Four messages, posted three days ago, two hours ago, and now twice."""
    now = datetime.now(UTC)
    with MessageBus(path) as bus:
        first = bus.append_message(Draft("QUESTION", "p", "a", run_id="r1", ts=now - timedelta(days=3)))
        return [
            first,
            bus.append_message(
                Draft("ANSWER", "p", "b", parents=[first.msg_id], meta={"from": "olga", "tool": "sh"},
                      ts=now - timedelta(hours=2))
            ),
            bus.append_message(Draft("ISSUE", "p", "c", run_id="r1", issue_id="I-1", meta={"from": "olga"})),
            bus.append_message(Draft("FACT", "p", "d", meta={"tool": "sh"})),
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        (["--run", "r1"], "ac"), (["--run", ""], "bd"), (["--parent", "<a>"], "b"), (["--issue", "I-1"], "c"),
        (["--from", "olga"], "bc"), (["--from", "Olga"], ""), (["--meta", "tool=sh"], "bd"), (["--meta", "tool="], ""),
        (["--meta", "tool=sh", "--meta", "from=olga"], "b"), (["--from", "olga", "--type", "issue"], "c"),
        (["--since", "1d"], "bcd"), (["--since", "1h30m"], "cd"), (["--until", "1d"], "a"),
        (["--since", "1w", "--until", "60m"], "ab"), (["--since", "2020-01-01"], "abcd"),
        (["--until", "2020-01-01"], ""),
        (["--since", "<a>"], "bcd"), (["--since", "id:<b>"], "cd"), (["--until", "<b>"], "ab"),
        (["--since", "<a>", "--until", "<c>"], "bc"), (["--since", "<c>", "--until", "<a>"], ""),
        (["--since", "<b>", "--until", "<b>"], ""), (["--since", "<a>", "--until", "<c>", "--from", "olga"], "bc"),
        (["--until", "<c>", "--run", ""], "b"), (["--until", "<c>", "--tail", "1"], "c"),
        (["--since", "1d", "--until", "<c>"], "bc"), (["--since", "<a>", "--until", "1h"], "b"),
        (["--first", "2"], "ab"), (["--first", "1", "--from", "olga"], "b"),
        (["--first", "9", "--since", "<a>"], "bcd"),
        (["--tail", "1", "--since", "1d"], "d"), (["--tail", "0", "--meta", "tool=sh"], "bd"),
    ],
)  # fmt: skip
def test_filters(read: Run, various: list[Message], flags: list[str], shown: str) -> None:
    ids = {f"<{message.body}>": message.msg_id for message in various}
    for name, msg_id in ids.items():
        flags = [flag.replace(name, msg_id) for flag in flags]
    result = read("--json", *flags)
    assert "".join(json.loads(line)["body"] for line in result.out.splitlines()) == shown
    assert (result.code, "No messages" in result.err) == (0, not shown)
    records = read("--raw", *flags).out
    assert [line for line in records.splitlines() if line in "abcd" and line] == [*shown]


@pytest.mark.parametrize("flag", ["--since", "--until"])
@pytest.mark.parametrize("name", ["MSG-none", "id:1h", "yesterday", "2026-13-01", "1y"])
def test_what_is_neither_time_nor_known_id(read: Run, refused: Run, fill: Run, flag: str, name: str) -> None:
    fill("x")
    result = read(flag, name)
    refused(result, 4, f"no message {name.removeprefix('id:')}")
    assert ("; a time is written" in result.err) == (name[:3] not in ("MSG", "id:"))


@pytest.mark.parametrize("flag", ["--since", "--until"])
@pytest.mark.parametrize("time", ["999999w", "0001-01-01T00:00+14:00"])
def test_times_that_no_message_has(read: Run, refused: Run, fill: Run, flag: str, time: str) -> None:
    fill("x")
    refused(read(flag, time), 2, time, "year")


def test_a_foreign_id_that_looks_like_a_duration(read: Run, path: Path) -> None:
    path.write_text(record("1h", "a") + "\n" + record("x", "b"))
    assert bodies(read("--json", "--since", "id:1h")) == ["b"]
    assert bodies(read("--json", "--until", "id:1h")) == ["a"]


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["--first", "1", "--tail", "1"], ["--first", "--tail"]),
        (["--first", "1", "--follow"], ["--first", "--follow"]),
        (["--first", "0"], ["--first"]), (["--until", "1h", "--follow"], ["--until", "--follow"]),
        (["--meta", "x"], ["--meta", "'='"]),
    ],
)  # fmt: skip
def test_contradictory_choices(read: Run, refused: Run, fill: Run, flags: list[str], names: list[str]) -> None:
    fill("x")
    refused(read(*flags), 2, *names)


def test_an_empty_answer_says_that_something_had_to_match(read: Run, fill: Run, path: Path) -> None:
    fill("x")
    assert read("--from", "olga", "--type", "FACT").err == f"No messages of type FACT that match in {path}.\n"
    assert read("--since", "2999-01-01").err == f"No messages since 2999-01-01 in {path}.\n"


def test_archives_are_part_of_it(read: Run, path: Path) -> None:
    with MessageBus(path, auto_rotate_bytes=1) as bus:
        ids = [bus.append_message(Draft("FACT", "p", body)).msg_id for body in "abc"]
    assert bodies(read("--json")) == ["a", "b", "c"]
    assert bodies(read("--json", "--since", ids[0])) == ["b", "c"]
    assert bodies(read("--json", "--id", ids[0])) == ["a"]


# --- in which form ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flags", [["--json", "--raw"], ["--json", "--long"], ["--raw", "-l"], ["--json", "--raw", "--long"]]
)
def test_one_form_at_a_time(flags: list[str], read: Run, refused: Run) -> None:
    refused(read(*flags), 2, "--json, --raw and --long")


def test_text(read: Run, path: Path) -> None:
    path.write_text(record(body="The build is green\nagain now."))
    assert read().out == f"{STAMP} (FACT) The build is green\n    again now.\n"


def test_text_without_a_body(read: Run, path: Path) -> None:
    path.write_text(record(body=""))
    assert read().out == f"{STAMP} (FACT)\n"


def test_long(read: Run, post: Run) -> None:
    first = post("--body", "a\nb", "--run", "r-1", "--quiet").out.strip()
    second = post("--body", "c", "--parent", f"{first}:answers", "--quiet").out.strip()
    one, rest, two = (line[22:] for line in read("--long").lines)
    assert (one, two) == (f"(INFO) <{first} r-1> a", f"(INFO) <{second} re {first}:answers> c")
    assert rest == ""
    assert read("-l").lines[1] == "    b"


def test_long_shows_every_field(read: Run, post: Run) -> None:
    fields = ["--task", "t-1", "--run", "r-1", "--issue-id", "MSG-I", "--parent", "MSG-P", "--parent", "MSG-Q:answers"]
    fields += ["--link", "https://ci.example/?run=42", "--meta", "branch=a=b", "--meta", "from=two words"]
    msg_id = post("--body", "a", *fields, "--meta", "empty=", "--quiet").out.strip()
    [line] = read("--long").lines
    assert line[22:] == (
        f"(INFO) <{msg_id} r-1 re MSG-P re MSG-Q:answers task=t-1 issue=MSG-I link=https://ci.example/?run=42 "
        'meta.branch=a=b meta.from="two words" meta.empty=> a'
    )


def test_no_body_imitates_a_message(read: Run, post: Run) -> None:
    forged = f"{STAMP} (FACT) forged"
    hostile = [
        "\n",
        "\r",
        "\r\n",
        "\v",
        "\f",
        "\x1c",
        "\x85",
        "\u2028",
        "\u2029",
        "\x1b[2J",
        "\x9b2J",
        "\b",
        "\x1b[1A\r",
    ]
    for sign in hostile:
        assert post("--body", f"x{sign}{forged}").code == 0
    out = read("--tail", "0").out
    assert [line for line in out.splitlines() if line.startswith(STAMP)] == []
    assert all(line.startswith(("[", "    ")) for line in out.split("\n") if line)
    assert not set(out) & set(map(chr, {*range(32), *range(127, 160), 0x2028, 0x2029} - {10}))


@pytest.mark.parametrize(
    ("char", "shown"),
    [("\x1b", "\\x1b"), ("\r", "\\r"), ("\x7f", "\\x7f"), ("\x85", "\\x85"), ("\u2028", "\\u2028"),
     ("\u202e", "\\u202e"), ("\ufeff", "\\ufeff"), ("\t", "\t"), ("ü", "ü"), ("\U0001f600", "\U0001f600")],
)  # fmt: skip
def test_control_characters_are_shown(char: str, shown: str, read: Run, fill: Run) -> None:
    fill(f"a{char}b")
    assert read().out.endswith(f" (FACT) a{shown}b\n")


def test_no_field_drives_the_terminal(read: Run, path: Path) -> None:
    evil = '"MSG-\\u001b[31m\\u0085X"'
    path.write_text(
        f"---\nmsg_id: MSG-1\ntype: {evil}\nproject_id: p\nrun_id: {evil}\nparents:\n  - msg_id: {evil}\n---\nb\n"
    )
    out = read("--long").out
    assert out.count("MSG-\\x1b[31m\\x85X") == 3
    assert not set(out) & {"\x1b", "\x85"}


def test_torn(read: Run, path: Path) -> None:
    path.write_text(record(body="cut", length=99) + "\n" + record("MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZB"))
    result = read()
    assert result.lines == [f"{STAMP} (FACT) (torn) cut", f"{STAMP} (FACT) x"]
    assert result.err == ""
    assert [data["intact"] for data in read("--json").json] == [False, True]


def test_an_unfinished_end_is_mentioned(read: Run, path: Path) -> None:
    path.write_text(record() + "\n" + record("MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZB", "cut", length=99))
    for flags in ([], ["--json"], ["--raw"], ["--tail", "0"], ["--type", "OTHER"]):
        result = read(*flags)
        assert result.code == 0
        assert f"The last record of {path} is unfinished" in result.err
        assert "cut" not in result.out


def test_json_is_exact(read: Run, fill: Run) -> None:
    body = " \x1b[2J\r\n---\n\\---\u2028ü\N{GRINNING FACE}\tx "
    [message] = fill(body, task_id="t", run_id="007", meta={"k": "no"})
    result = read("--json")
    assert result.raw.count(b"\n") == 1
    assert result.json == [message.to_json()]
    assert result.json[0]["body"] == body


def test_raw_is_exact(read: Run, fill: Run, path: Path, messages: Run) -> None:
    fill("a", "---\nmsg_id: x\n\\---\n\x1b\r", "", "d\n\n\n", task_id="t", meta={"k": "1e3"})
    copy = path.with_name("COPY.md")
    copy.write_bytes(read("--raw", "--tail", "0").raw)
    assert messages(copy) == messages()
    copy.write_bytes(read("--raw", "--tail", "2").raw)
    assert messages(copy) == messages()[2:]


@pytest.mark.parametrize("bodies", [("a", "b"), ("", "b"), ("b", "")])
@pytest.mark.parametrize("fields", [{}, {"meta": {"k": "v"}}])
def test_raw_is_the_file_byte_for_byte(
    bodies: tuple[str, str], fields: dict[str, Any], read: Run, fill: Run, path: Path
) -> None:
    fill(*bodies, **fields)
    assert read("--raw").raw == path.read_bytes()


def test_raw_of_any_file_reads_back(read: Run, path: Path, messages: Run) -> None:
    path.write_text(
        "[2026-11-21 03:14:15] FACT: by hand\n\n" + record() + "[2026-11-21 03:14:16] DECISION: below\n\n"
        "---\nmsg_id: MSG-20260101-000000-000000001-PID00001-0001\ntype: FACT\nproject_id: p\nrun_id: ''\n---\ngo\n"
    )
    copy = path.with_name("COPY.md")
    copy.write_bytes(read("--raw").raw)
    assert [message.body for message in messages(copy)] == ["by hand", "x", "below", "go"]
    assert [m.type for m in messages(copy)] == [m.type for m in messages()]
    assert [m.intact for m in messages(copy)] == [m.intact for m in messages()]


def test_no_colour_into_a_pipe(read: Run, fill: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    fill("x")
    assert b"\x1b" not in read().raw


# --- following -------------------------------------------------------------------------------


def follow(start: Run, path: Path, *flags: str) -> Any:
    return start("bus", "read", "--bus", path, "--follow", "--json", *flags)


def body(running: Any) -> str:
    return json.loads(running.line())["body"]


def test_a_new_message_comes_through_a_pipe(start: Run, fill: Run, path: Path) -> None:
    fill("a")
    running = follow(start, path)
    for text in ("b", "c\nd", "e"):
        body(running)
        fill(text)
    assert body(running) == "e"
    assert running.end(signal.SIGINT)[0] == 130


def test_text_and_raw_are_flushed_too(start: Run, fill: Run, path: Path, messages: Run) -> None:
    text, raw = (start("bus", "read", "--bus", path, "-f", *form) for form in ([], ["--raw"]))
    fill("a")
    assert text.line().endswith("(FACT) a")
    first = raw.until(b"---\na\n")
    fill("b")
    assert text.line().endswith("(FACT) b")
    copy = path.with_name("COPY.md")
    copy.write_bytes(first + raw.until(b"---\nb\n"))
    assert messages(copy) == messages()


def test_follow_continues_after_the_last_message_shown(start: Run, fill: Run, path: Path) -> None:
    old = fill("a", "b", "c")
    new = [follow(start, path, *flags) for flags in (["--tail", "1"], ["--since", old[0].msg_id], ["--tail", "0"])]
    assert [body(running) for running in new] == ["c", "b", "a"]
    fill("d")
    assert [body(new[0]), [body(new[1]) for _ in range(2)], [body(new[2]) for _ in range(3)]] == [
        "d",
        ["c", "d"],
        ["b", "c", "d"],
    ]
    tail_of_since = follow(start, path, "--since", old[0].msg_id, "--tail", "1")
    assert body(tail_of_since) == "d"
    fill("e")
    assert [body(running) for running in [*new, tail_of_since]] == ["e"] * 4


def test_follow_one_type(start: Run, fill: Run, path: Path) -> None:
    running = follow(start, path, "--type", "answer")
    fill("no", type_="QUESTION")
    fill("yes", type_="ANSWER")
    assert body(running) == "yes"


def test_follow_one_sender_since_a_time(start: Run, path: Path) -> None:
    with MessageBus(path) as bus:
        mine, other = ({"meta": {"from": name}} for name in ("olga", "jan"))
        bus.append_message(Draft("FACT", "p", "old", ts=datetime.now(UTC) - timedelta(days=3), **mine))
        bus.append_message(Draft("FACT", "p", "shown", **mine))
        running = follow(start, path, "--from", "olga", "--since", "1d")
        assert body(running) == "shown"
        bus.append_messages([Draft("FACT", "p", "no", **other), Draft("FACT", "p", "next", **mine)])
        assert body(running) == "next"


def test_follow_one_type_after_an_id(start: Run, fill: Run, path: Path) -> None:
    [first] = fill("first", type_="QUESTION")
    fill("shown", type_="ANSWER")
    [last] = fill("last", type_="QUESTION")
    some, none = (follow(start, path, "--type", "answer", "--since", m.msg_id) for m in (first, last))
    assert body(some) == "shown"
    fill("no", type_="QUESTION")
    fill("next", type_="ANSWER")
    assert [body(some), body(none)] == ["next", "next"]


@pytest.mark.parametrize("where", [["--tail", "0"], ["--since", "first"], ["--since", "first", "--tail", "3"]])
def test_messages_of_other_types_are_not_decoded(
    read: Run, path: Path, monkeypatch: pytest.MonkeyPatch, where: list[str]
) -> None:
    with MessageBus(path) as bus:
        messages = bus.append_messages([Draft("FACT", "p", "x" * 100)] * 2000)
    decoded = []
    decode_record = decode.read_canonical
    monkeypatch.setattr(decode, "read_canonical", lambda record: decoded.append(record) or decode_record(record))
    where = [messages[0].msg_id if word == "first" else word for word in where]
    assert read(*where, "--type", "NONE").out == ""
    assert len(decoded) < 200  # the first block after a cursor is, in which the cursor is found


def test_follow_through_rotation(start: Run, fill: Run, path: Path) -> None:
    fill("first")
    running = follow(start, path)
    running.line()
    with MessageBus(path, auto_rotate_bytes=2000) as bus:
        sent = [bus.append_message(Draft("FACT", "p", str(number))).msg_id for number in range(300)]
    assert len(list(path.parent.glob("*.archived"))) > 10
    assert [json.loads(running.line())["msg_id"] for _ in sent] == sent


def test_an_unknown_cursor_is_reported_and_all_is_replayed(start: Run, fill: Run, path: Path) -> None:
    fill("a", "b")
    running = follow(start, path, "--since", "MSG-unknown")
    warning = running.stderr_line()
    assert "MSG-unknown" in warning
    assert "all messages" in warning
    assert [body(running), body(running)] == ["a", "b"]
    fill("c")
    assert body(running) == "c"


def test_it_waits_for_a_bus_that_does_not_exist_yet(start: Run, fill: Run, here: Path) -> None:
    bus = here / "later/BUS.md"
    running = follow(start, bus)
    bus.parent.mkdir()
    fill("a", to=bus)
    assert body(running) == "a"


def test_an_empty_follow_says_nothing(start: Run, fill: Run, path: Path) -> None:
    running = follow(start, path)
    fill("a")
    running.line()
    code, err = running.end(signal.SIGINT)
    assert (code, err.strip()) == (130, "")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[float]]:
    """Run one step whenever the follower waits, then Ctrl-C. Returns the timeout of each wait."""

    def script(*steps: Callable[[], object]) -> list[float]:
        timeouts: list[float] = []
        left = iter(steps)

        def wait(_watch: object, _mark: object, timeout: float) -> bool:
            timeouts.append(timeout)
            step = next(left, None)
            if step is None:
                raise KeyboardInterrupt
            step()
            return True

        monkeypatch.setattr(watch.FileWatch, "wait", wait)
        return timeouts

    return script


def test_each_message_once(read: Run, fill: Run, waits: Run, path: Path) -> None:
    steps = [
        lambda: fill("a"),
        lambda: fill("b", "c"),
        lambda: path.rename(f"{path}.20260101-000000-000000.archived"),
        lambda: fill("d"),
        lambda: None,
    ]
    waits(*steps)
    result = read("--follow", "--json")
    assert [data["body"] for data in result.json] == ["a", "b", "c", "d"]
    assert (result.code, result.err.strip()) == (130, f"Waiting for {path}, which does not exist yet.")


def test_an_unknown_cursor_of_a_bus_that_does_not_exist_yet(read: Run, fill: Run, waits: Run) -> None:
    waits(lambda: fill("a"))
    result = read("--follow", "--json", "--since", "MSG-unknown")
    assert (result.code, [data["body"] for data in result.json]) == (130, ["a"])
    assert "MSG-unknown" in result.err


def test_it_polls_every_half_second(read: Run, waits: Run) -> None:
    timeouts = waits(lambda: None)
    assert read("--follow").code == 130
    assert timeouts == [0.5, 0.5]


def test_it_polls_where_there_are_no_file_events(read: Run, fill: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_read, "_POLL_INTERVAL", 0.01)
    monkeypatch.setattr(watch._hub, "subscribe", lambda *_: False)
    shown = threading.Event()
    show = bus_read._Reader._show

    def showing(reading: Any, message: Message, record: bytes) -> None:
        show(reading, message, record)
        shown.set()
        if message.body == "last":
            raise KeyboardInterrupt

    def posting() -> None:
        shown.wait(SECONDS)
        fill("last")

    monkeypatch.setattr(bus_read._Reader, "_show", showing)
    fill("first")
    thread = threading.Thread(target=posting)
    thread.start()
    result = read("--follow", "--json")
    thread.join()
    assert (result.code, [data["body"] for data in result.json]) == (130, ["first", "last"])


# --- ending ----------------------------------------------------------------------------------


def test_ctrl_c_is_quiet(start: Run, fill: Run, path: Path) -> None:
    fill("a")
    running = follow(start, path)
    running.line()
    code, err = running.end(signal.SIGINT)
    assert (code, err.strip(), running.rest()) == (130, "", b"")


def test_a_closed_pipe_ends_an_idle_follower(start: Run, fill: Run, path: Path) -> None:
    fill("a")
    running = follow(start, path)
    running.line()
    running.process.stdout.close()
    assert running.end() == (0, "")


def test_a_closed_pipe_ends_a_follower_that_never_wrote(start: Run, path: Path) -> None:
    running = follow(start, path)
    running.process.stdout.close()
    assert running.end() == (0, f"Waiting for {path}, which does not exist yet.\n")


@pytest.mark.parametrize("form", [[], ["--json"], ["--raw"]])
def test_a_closed_pipe_ends_a_long_read(form: list[str], start: Run, fill: Run, path: Path) -> None:
    fill(*["x" * 1000] * 500)
    running = start("bus", "read", "--bus", path, "--tail", "0", *form)
    running.line()
    running.process.stdout.close()
    assert running.end() == (0, "")


def test_into_head(fill: Run, path: Path) -> None:
    fill(*["x" * 1000] * 500)
    program = Path(sys.executable).with_name("run-agent")
    command = f"{program} bus read --bus {path} --tail 0 --follow | head -n 1; echo ${{PIPESTATUS[*]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=SECONDS, check=True, text=True)
    assert done.stdout.splitlines()[1] == "0 0"
    assert done.stderr == ""
