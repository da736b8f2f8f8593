"""Every example, as people run it."""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from patience import SECONDS

from messagebus import Draft, Message, MessageBus, Parent

EXAMPLES = Path(__file__).parents[2] / "examples"
Execute = Callable[..., subprocess.CompletedProcess[str]]
LINE = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] (\(.*)")


def read(path: Path) -> list[Message]:
    with MessageBus(path) as bus:
        return bus.read_messages()


def test_no_example_is_untested() -> None:
    ours = Path(__file__).read_text()
    for example in EXAMPLES.iterdir():
        if not example.name.startswith(("__", ".")):
            assert f'"{example.name}"' in ours, f"{example} is not tested here"


@pytest.fixture
def bash(execute: Execute) -> Execute:
    """Run a script in a bash that has coprocesses."""
    if not shutil.which("bash") or int(execute("bash", "-c", "echo ${BASH_VERSINFO[0]}").stdout) < 4:
        pytest.skip("no bash here that has coprocesses")
    return functools.partial(execute, "bash", "-c")


def header(name: str) -> str:
    """The comment at the top of an example, without its signs."""
    lines = (EXAMPLES / name).read_text().splitlines()
    comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
    return "\n".join(line.lstrip("#!").removeprefix(" ") for line in comment)


def test_the_commands_at_the_top_of_fast_post(bash: Execute, here: Path) -> None:
    """They are shown as run from the directory of the examples, by the path from there."""
    shown = re.sub(r" {2,}\(any .*\)", "", header("fast-post.sh"))
    commands = re.findall(r"^    (.*)$", shown, re.MULTILINE)
    assert len(commands) == 4
    runs = {"JRUN_RUNS_DIR": str(here / "runs")}
    done = bash("set -eu\n" + "\n".join([*commands, "echo $id"]), cwd=EXAMPLES.parent, **runs)
    [message] = read(here / "runs/demo/task-1/TASK-MESSAGE-BUS.md")
    assert (done.stdout, message.body) == (f"{message.msg_id}\n", "412 tests pass")


def test_the_line_for_cron_at_the_top_of_the_report(execute: Execute, here: Path) -> None:
    """With a ``pg_dump`` of ours. Cron's shell is sh, and its environment next to nothing."""
    [line] = re.findall(r"^ +15 3 \* \* \* +(.*)$", header("cron-report.sh"), re.MULTILINE)
    (here / "pg_dump").write_text('#!/bin/sh\necho "$@"\n')
    (here / "pg_dump").chmod(0o755)
    line = line.replace("/path/to", str(EXAMPLES)).replace("/usr/local/bin", str(here))
    execute("sh", "-c", line, JRUN_RUNS_DIR=str(here / "runs"))
    [message] = read(here / "runs/nightly/PROJECT-MESSAGE-BUS.md")
    assert message.body == "pg_dump ended with status 0\n--file=backup.sql shop"


CONVERSATION = [
    "(PROGRESS) Checking out main and running the tests.",
    "(FACT) 412 tests pass.",
    "(PROGRESS) Planning the release of version 1.4.",
    "(QUESTION) Is main green?",
    "(ANSWER) Yes: 412 tests pass.",
    "(QUESTION) How long is the list of changes?",
    "(ANSWER) 17",
    "(DECISION) We release 1.4 with 17 changes today.",
    "(FACT) Release built.",
]


def test_demo(execute: Execute, tmp_path: Path) -> None:
    """With the two agents it starts: "planner.sh" and "builder.sh"; and with "listen.py"."""
    (tmp_path / "tmp").mkdir()
    done = execute("sh", EXAMPLES / "demo.sh", TMPDIR=str(tmp_path / "tmp"))
    followed, shown, answers, listened = re.split(r"\n[345]\. .*\n", done.stdout)
    said = [match[1] for line in followed.splitlines() if (match := LINE.match(line))]
    assert Counter(said) == Counter(CONVERSATION)
    assert said[-5:] == CONVERSATION[-5:]  # before that, two agents speak at the same time
    assert "    Please answer with the number only." in followed.splitlines()
    bodies = [body.split("\n")[0] for body in re.findall(r"^content_length: \d+\n---\n(.*)$", shown, re.MULTILINE)]
    assert bodies == [line.partition(") ")[2] for line in said]
    assert len(re.findall(r"\(ANSWER\) <MSG-\w+ builder re MSG-\w+:answers[^>]*> ", answers)) == 2
    assert "9 messages in all." in answers
    assert "] (FACT) Shipped.\n\nTry next" in listened, "with listen.py"
    assert "\x1b" not in done.stdout
    assert list((tmp_path / "tmp").iterdir()) == []


def test_cron_report(execute: Execute, here: Path) -> None:
    runs = {"JRUN_RUNS_DIR": str(here / "runs")}
    report = ["sh", EXAMPLES / "cron-report.sh", "nightly"]
    done = execute(*report, "echo", "dumped; 3 tables", **runs)
    assert (done.stdout, done.stderr) == ("", "")
    execute(*report, "sh", "-c", "echo no disk >&2; exit 3", code=3, **runs)
    fact, crash = read(here / "runs/nightly/PROJECT-MESSAGE-BUS.md")
    assert (fact.type, fact.project_id, fact.meta["status"]) == ("FACT", "nightly", "0")
    assert fact.body == "echo ended with status 0\ndumped; 3 tables"
    assert (crash.type, crash.meta["status"]) == ("CRASH", "3")
    assert crash.body == "sh ended with status 3\nno disk"


def test_a_cron_job_runs_whatever_becomes_of_its_report(execute: Execute, here: Path) -> None:
    """And its status stays what it was: on a full disk, with a bus that is locked, or cannot be, or no program."""
    done_file = here / "done"
    job = ["sh", EXAMPLES / "cron-report.sh", "nightly", "sh", "-c", f"echo done && echo >>{done_file}; exit 3"]
    runs = {"JRUN_RUNS_DIR": str(here / "runs")}
    bus = here / "runs/nightly/PROJECT-MESSAGE-BUS.md"
    bus.parent.mkdir(parents=True)
    bus.touch()
    assert execute(*job, code=3, JRUN_RUNS_DIR="/dev/null/runs").stderr != ""
    full = ["sh", "-c", 'ulimit -f 0; exec "$@"', "full", *job[:-1], "echo done; exit 3"]
    assert execute(*full, code=3, **runs, TMPDIR="/nowhere").stderr != ""
    tools = here / "tools"
    tools.mkdir()
    for name in ("sh", "tail", "tr", "iconv"):
        (tools / name).symlink_to(shutil.which(name) or "")
    assert "run-agent" in execute(*job, code=3, PATH=str(tools)).stderr, "there is none"
    (tools / "run-agent").write_text("#!/bin/sh\necho locked >&2\nexit 5\n")
    (tools / "run-agent").chmod(0o755)
    assert execute(*job, code=3, PATH=str(tools)).stderr == "locked\n"
    assert done_file.read_text() == "\n" * 3
    assert read(bus) == []


@pytest.fixture
def git(execute: Execute, here: Path) -> Callable[..., str]:
    """Git in a work tree of its own, with the example "post-commit" as its hook."""
    tree = here / "shop"
    who = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}

    def run(*words: str | bytes) -> str:
        who_commits = ("-c", "user.name=Ann", "-c", "user.email=a@example.org")
        done = execute("git", "-C", tree, *who_commits, *map(os.fsdecode, words), **who)
        assert "bus" not in done.stderr
        return done.stdout.strip()

    tree.mkdir()
    run("init", "--quiet")
    hook = tree / ".git/hooks/post-commit"
    hook.parent.mkdir(exist_ok=True)
    shutil.copy(EXAMPLES / "post-commit", hook)
    hook.chmod(0o755)
    return run


def test_commit_messages_in_any_encoding(git: Callable[..., str], here: Path) -> None:
    bus = here / "shop/PROJECT-MESSAGE-BUS.md"
    bus.touch()
    commit = ("commit", "--quiet", "--allow-empty", "-m")
    git("-c", "i18n.commitEncoding=ISO-8859-1", *commit, "Grüße".encode("latin-1"))
    git("-c", "i18n.commitEncoding=KOI8-R", *commit, "Привет".encode("koi8-r"))
    git("-c", "i18n.logOutputEncoding=UTF-16", *commit, "日本")
    odd = ("-c", "i18n.commitEncoding=no-such-encoding")  # or git would take it for Latin-1
    git(*odd, *commit, b"no \xff UTF-8")
    git(*commit, "", "--allow-empty-message")
    git(*odd, *commit, "by another", b"--author=Ren\xe9e <r@example.org>")
    messages = read(bus)
    assert [message.body for message in messages] == [
        "Grüße", "Привет", "日本", "no  UTF-8", "(no commit message)", "by another"
    ]  # fmt: skip
    assert messages[-1].meta["author"] == "Rene"


def test_git_hook(git: Callable[..., str], here: Path) -> None:
    tree = here / "shop"
    git("commit", "--quiet", "--allow-empty", "-m", "before there is a bus")
    (tree / "PROJECT-MESSAGE-BUS.md").touch()
    (tree / "below").mkdir()
    git("-C", "below", "commit", "--quiet", "--allow-empty", "-m", "Add a shop", "-m", "With ---\nin it.")
    [message] = read(tree / "PROJECT-MESSAGE-BUS.md")
    assert (message.type, message.project_id) == ("FACT", "shop")
    assert message.body == "Add a shop\n\nWith ---\nin it."
    assert message.meta == {"commit": git("rev-parse", "HEAD"), "author": "Ann"}


@pytest.mark.parametrize(("code", "kind"), [(0, "RUN_STOP"), (3, "RUN_CRASH")])
def test_ci_step(code: int, kind: str, execute: Execute, here: Path) -> None:
    bus = {"MESSAGE_BUS": str(here / "BUS.md"), "JRUN_PROJECT_ID": "p"}
    done = execute("sh", EXAMPLES / "ci-step.sh", "unit", "sh", "-c", f"echo testing; exit {code}", code=code, **bus)
    assert (done.stdout, done.stderr) == ("testing\n", "")
    start, end = read(here / "BUS.md")
    assert (start.type, start.run_id, start.body) == ("RUN_START", "unit", f"sh -c echo testing; exit {code}")
    assert (end.type, end.run_id, end.meta) == (kind, "unit", {"status": str(code)})
    assert end.parents == (Parent(start.msg_id, "ends"),)


def test_a_ci_step_without_a_bus_runs_as_well(execute: Execute) -> None:
    done = execute("sh", EXAMPLES / "ci-step.sh", "unit", "echo", "tested")
    assert done.stdout == "tested\n"
    assert "MESSAGE_BUS" in done.stderr


@pytest.fixture
def served(environment: dict[str, str], here: Path) -> Iterator[str]:
    """The URL of a server."""
    command = ["run-agent", "serve", "--root", here / "runs", "--port", "0"]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout
    try:
        yield server.stdout.readline().split()[3]
    finally:
        server.terminate()
        server.communicate(timeout=SECONDS)


def test_curl(served: str, environment: dict[str, str], here: Path) -> None:
    """The example "serve-curl.sh"."""
    if not shutil.which("curl"):
        pytest.skip("no curl here")
    bus = MessageBus(here / "runs/demo/PROJECT-MESSAGE-BUS.md")
    bus_directory = here / "runs/demo"
    bus_directory.mkdir(parents=True)
    for number in range(3):
        bus.append_message(Draft("FACT", "demo", f"fact {number}"))
    command = ["sh", EXAMPLES / "serve-curl.sh", served, "demo"]
    curl = subprocess.Popen(
        command, env=environment | {"LISTEN": "3"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert curl.stdout
    bodies = [f'"body": "fact {number}"\n' for number in range(3)] + ['"body": "curl is here"\n']
    assert [curl.stdout.readline() for _ in bodies] == bodies
    bus.append_message(Draft("FACT", "demo", "the last"))
    out, err = curl.communicate(timeout=SECONDS)
    assert (out.count('"body": "the last"'), err) == (1, ""), "in the list, or else in the stream"


BY_HAND = ["MSG-a+b/c%41&d=e#f?g", "запись-№1", "é", "日本/語+1"]


def test_ids_that_people_wrote(served: str, environment: dict[str, str], here: Path) -> None:
    """With "serve-curl.sh" and "listen.py": paged through, and gone on from after the server was restarted."""
    directory = here / "runs/demo"
    directory.mkdir(parents=True)
    records = [f"---\nmsg_id: {name}\ntype: FACT\n---\n{name}\n" for name in BY_HAND]
    path = directory / "PROJECT-MESSAGE-BUS.md"
    path.write_text("\n".join(records))
    with MessageBus(path) as bus:
        bus.append_message(Draft("FACT", "demo", "posted"))
    with path.open("a") as file:
        file.write("[2026-11-21 03:14:15] FACT: a line\n")
    command = ["sh", EXAMPLES / "serve-curl.sh", served, "demo"]
    if shutil.which("curl"):
        curl = subprocess.run(
            command, env=environment | {"LISTEN": "1"}, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        bodies = [*BY_HAND, "posted", "a line", "curl is here"]
        assert curl.stdout.splitlines()[: len(bodies)] == [f'"body": "{body}"' for body in bodies]
        assert curl.stderr == ""
    listen = runpy.run_path(str(EXAMPLES / "listen.py"))["events"]
    for last_id, after in pairwise(BY_HAND):
        _, msg_id, data = next(listen(f"{served}/api/projects/demo/messages/stream", last_id))
        assert (msg_id, data["body"]) == (after, after)


def test_mounted_app(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page of "mounted_app.py" is "event-source.html", and what that asks for is there."""
    monkeypatch.setenv("JRUN_RUNS_DIR", str(here))
    app = runpy.run_path(str(EXAMPLES / "mounted_app.py"))["app"]

    async def visit() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            page = (await client.get("/")).text
            asked = re.search(r'new EventSource\("(.*)/stream"\)', page)
            assert asked
            posted = await client.post(f"/{asked[1]}", json={"body": "mounted"})
            assert posted.status_code == 201
            [message] = (await client.get(f"/{asked[1]}")).json()["messages"]
            assert message["body"] == "mounted"

    asyncio.run(visit())


def test_systemd_unit(execute: Execute, here: Path) -> None:
    """The unit "run-agent.service" is one that systemd takes, and the command in it one that we take."""
    unit = (EXAMPLES / "run-agent.service").read_text()
    flags = re.search(r"^ExecStart=/usr/local/bin/run-agent serve (.*)", unit, re.MULTILINE)
    assert flags
    known = execute("run-agent", "serve", "--help").stdout
    assert all(flag in known for flag in re.findall(r"--[a-z-]+", flags[1]))
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd here")
    (here / "run-agent.service").write_text(unit.replace("/usr/local/bin/run-agent", "/bin/true"))
    checked = execute("systemd-analyze", "verify", "--man=no", here / "run-agent.service")
    assert "run-agent.service" not in checked.stderr


@pytest.mark.parametrize("name", ["demo.sh", "planner.sh", "builder.sh", "cron-report.sh", "ci-step.sh", "post-commit"])
def test_what_is_run_by_its_name_is_executable(name: str) -> None:
    assert os.access(EXAMPLES / name, os.X_OK)


def test_agent_loop(environment: dict[str, str], here: Path) -> None:
    def ask(bus: MessageBus, text: str) -> Message:
        question = bus.append_message(Draft("QUESTION", "p", text, task_id="t"))
        [answer] = bus.poll_for_new(question.msg_id, timeout=SECONDS)
        assert (answer.type, answer.body, answer.task_id) == ("ANSWER", f"You asked: {text}", "t")
        assert answer.parents == (Parent(question.msg_id, "answers"),)
        return answer

    command = [sys.executable, EXAMPLES / "agent_loop.py", here / "BUS.md", "p"]
    with MessageBus(here / "BUS.md") as bus:
        for texts in (["while it is not there", "then"], ["after a restart", "and again"]):
            waiting = bus.append_message(Draft("QUESTION", "p", f"{texts[0]}, first"))
            agent = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
            try:
                [answer] = bus.poll_for_new(waiting.msg_id, timeout=SECONDS)
                assert answer.parents == (Parent(waiting.msg_id, "answers"),)
                for text in texts:
                    ask(bus, text)
                bus.append_message(Draft("SHUTDOWN", "p"))
                _, err = agent.communicate(timeout=SECONDS)
                assert (agent.returncode, err) == (0, b"")
            finally:
                agent.kill()
                agent.communicate()
        assert Counter(message.type for message in bus.read_messages()) == {"QUESTION": 6, "ANSWER": 6, "SHUTDOWN": 2}


FAST_POST = r"""
set -eu
. "$1"
fast_post_start --bus "$2" --project p --type NONE --run r
fast_post FACT "plain"
fast_post "NO TE" $'"quotes" \\ back\\nslash\nline\ttab\r\x01 \x1b[0m ü'
for number in 1 2 3; do fast_post FACT "$number" > /dev/null; echo "$FAST_POST_ID"; done
fast_post_stop
"""


def test_fast_post(bash: Execute, here: Path) -> None:
    done = bash(FAST_POST, "fast-post", EXAMPLES / "fast-post.sh", here / "BUS.md")
    messages = read(here / "BUS.md")
    assert done.stdout.splitlines() == [message.msg_id for message in messages]
    assert done.stderr == ""
    assert [message.type for message in messages] == ["FACT", "NO TE", "FACT", "FACT", "FACT"]
    bodies = ["plain", '"quotes" \\ back\\nslash\nline\ttab\r\x01 \x1b[0m ü', "1", "2", "3"]
    assert [message.body for message in messages] == bodies
    assert {message.run_id for message in messages} == {"r"}


REFUSED_POST = """
. "$1"
fast_post_start --bus "$2" --project p
fast_post "" text || echo "refused"
fast_post FACT text
"""


def test_fast_post_of_a_message_that_is_refused(bash: Execute, here: Path) -> None:
    done = bash(REFUSED_POST, "fast-post", EXAMPLES / "fast-post.sh", here / "BUS.md")
    [message] = read(here / "BUS.md")
    assert done.stdout.splitlines() == ["refused", message.msg_id]
    assert "line 1: type is empty" in done.stderr
