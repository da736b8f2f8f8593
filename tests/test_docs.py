"""What the documents say, executed; and the examples."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import click
import httpx
import pytest

from messagebus import Draft, Link, Message, MessageBus, Parent
from messagebus.findings import CODES
from run_agent import cli, context

HOME = Path(__file__).parents[1]
EXAMPLES = HOME / "examples"
SPEC = (HOME / "SPEC.md").read_text()
CLI = HOME / "docs/cli.md"
PAGES = [
    page
    for page in sorted(HOME.rglob("*.md"))
    if not any(part.startswith(".") or part == "data" for part in page.relative_to(HOME).parts)
]
SECONDS = 60.0  # the longest that an example may take; they take one or two
Execute = Callable[..., subprocess.CompletedProcess[str]]
LINE = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] (\(.*)")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of somebody who has just installed the program."""
    programs = Path(sys.executable).parent
    known_to_git = {f"GIT_{who}_{what}": "Ann" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    place = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path / "home")}
    return {**place, **known_to_git, "LC_ALL": "C.UTF-8", "GIT_CONFIG_SYSTEM": os.devnull}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    directory = tmp_path / "here"
    directory.mkdir()
    return directory


@pytest.fixture
def execute(environment: dict[str, str], here: Path) -> Execute:
    """Run a command in an empty directory, without a terminal; it must end with this code."""

    def run(*command: object, code: int = 0, cwd: Path = here, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env=environment | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done

    return run


def read(path: Path) -> list[Message]:
    with MessageBus(path) as bus:
        return bus.read_messages()


# --- blocks ----------------------------------------------------------------------------------


class Block(NamedTuple):
    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


EXECUTED = re.compile(
    r"^<!-- executed by tests/test_docs\.py -->\n```(sh|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE
)


def blocks() -> Iterator[Block]:
    for name in ("README.md", "docs/library.md", "docs/git.md"):
        text = (HOME / name).read_text()
        for match in EXECUTED.finditer(text):
            yield Block(name, text[: match.start()].count("\n") + 1, match[1], match[2])
        assert text.count("<!-- executed by") == len(EXECUTED.findall(text)), name


BLOCKS = list(blocks())


def test_the_readme_is_executed() -> None:
    assert [block.language for block in BLOCKS if block.page == "README.md"] == ["sh", "python"]


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "sh"], ids=str)
def test_shell(block: Block, execute: Execute) -> None:
    done = execute("sh", "-c", "set -eu\n" + block.text)
    assert done.stderr == ""
    assert done.stdout


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "python"], ids=str)
def test_python(block: Block, execute: Execute) -> None:
    """It prints what the comments behind its prints say."""
    done = execute(sys.executable, "-W", "error", "-c", block.text)
    assert done.stderr == ""
    assert done.stdout.splitlines() == re.findall(r"print\(.*\) +# (.*)", block.text)


def test_what_the_readme_posts_is_there(execute: Execute, here: Path) -> None:
    [block] = [block for block in BLOCKS if (block.page, block.language) == ("README.md", "sh")]
    execute("sh", "-c", "set -eu\n" + block.text)
    question, answer, fact = read(here / "runs/demo/task-1/TASK-MESSAGE-BUS.md")
    assert (question.type, answer.type, fact.type) == ("QUESTION", "ANSWER", "FACT")
    assert answer.parents == (Parent(question.msg_id, "answers"),)
    assert {(message.project_id, message.task_id) for message in (question, answer, fact)} == {("demo", "task-1")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOME)))
def test_python_and_json_on_a_page_are_that(page: Path) -> None:
    for language, text in re.findall(r"^```(python|json)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE):
        ast.parse(text) if language == "python" else json.loads(text)


# --- SPEC ------------------------------------------------------------------------------------


@pytest.fixture
def worked_example(here: Path) -> list[Message]:
    match = re.search(r"^<!-- worked example: a test parses it -->\n```\n(.*?)^```$", SPEC, re.DOTALL | re.MULTILINE)
    assert match
    (here / "BUS.md").write_text(match[1])
    return read(here / "BUS.md")


def test_the_worked_example(worked_example: list[Message]) -> None:
    first, second = "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA", "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZB"
    assert worked_example == [
        Message(
            first,
            datetime(2026, 11, 21, 3, 14, 15, 926535, UTC),
            "QUESTION",
            "demo",
            "task-1",
            "run-7",
            body="Is the build green?\n\nNB",
            intact=True,
        ),
        Message(
            second,
            datetime(2026, 11, 21, 3, 14, 16, 100000, UTC),
            "ANSWER",
            "demo",
            "task-1",
            "007",
            parents=(Parent(first, "answers"),),
            links=(Link("https://ci.example/42", "the run"),),
            meta={"branch": "main"},
            body="It is. A rule looks like\n---\n:)",
            intact=True,
        ),
    ]


def test_the_json_example_is_its_second_record(worked_example: list[Message]) -> None:
    match = re.search(r"^```json\n(.*?)^```$", SPEC, re.DOTALL | re.MULTILINE)
    assert match
    assert json.loads(match[1]) == worked_example[1].to_json()
    assert list(json.loads(match[1])) == list(worked_example[1].to_json())


def test_the_first_page_shows_a_record(here: Path) -> None:
    match = re.search(r"^```\n(---\nmsg_id: .*?)^```$", (HOME / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert match
    (here / "BUS.md").write_text(match[1])
    [message] = read(here / "BUS.md")
    assert (message.body, message.intact) == ("The build is green\nagain now.", True)


# --- links -----------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOME)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        found = page.parent / name if name else page
        assert found.exists(), f"{page} links to {target}"
        if anchor:
            assert anchor in anchors(found), f"{page} links to {target}"


# --- docs/cli.md -----------------------------------------------------------------------------


def test_the_reference_is_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("generate_cli", HOME / "docs/generate_cli.py")
    assert spec
    assert spec.loader
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    monkeypatch.setenv("COLUMNS", "40")
    assert CLI.read_text() == generator.page(), "run make docs"


def test_the_generator_checks(execute: Execute, here: Path) -> None:
    shutil.copy(HOME / "docs/generate_cli.py", here)
    assert "make docs" in execute(sys.executable, "generate_cli.py", "--check", code=1).stderr
    assert not (here / "cli.md").exists()
    execute(sys.executable, "generate_cli.py", COLUMNS="30")
    execute(sys.executable, "generate_cli.py", "--check")
    with (here / "cli.md").open("a") as page:
        page.write("by hand\n")
    execute(sys.executable, "generate_cli.py", "--check", code=1)


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    for verb in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), verb)
        assert command
        yield f"{name} {verb}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {verb}")


@pytest.mark.parametrize(("name", "command"), list(commands(cli.run_agent, "run-agent")))
def test_every_command_is_documented(name: str, command: click.Command) -> None:
    _, found, text = CLI.read_text().partition(f"\n### {name}\n")
    assert found, f"{name} is not in docs/cli.md: run make docs"
    section = text.partition("\n### ")[0]
    for parameter in command.params:
        for option in (*parameter.opts, *parameter.secondary_opts):
            assert not option.startswith("-") or option in section, option


def test_every_exit_code_is_documented() -> None:
    table = {int(code) for code in re.findall(r"^\| (\d+) \|", CLI.read_text(), re.MULTILINE)}
    assert table == {0, 1, 2, 7, 70, 130} | {code for _, code in cli.EXIT_CODES}


def test_every_variable_is_documented() -> None:
    tree = ast.parse(Path(context.__file__).read_text())
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    variables = {text for text in texts if re.fullmatch(r"[A-Z][A-Z_]{3,}", text)}
    assert {"MESSAGE_BUS", "JRUN_ID"} <= variables
    for variable in variables:
        assert f"`{variable}`" in CLI.read_text() or f"`{variable}=" in CLI.read_text(), variable


def test_every_promise_has_its_tests() -> None:
    page = (HOME / "docs/guarantees.md").read_text()
    promised = re.findall(r"^(\d+)\. ", SPEC[SPEC.index("## 15.") :], re.MULTILINE)
    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == promised
    files = {path.name: path.read_text() for path in (HOME / "tests").rglob("test_*.py")}
    for row in re.findall(r"^\| \d+ \|.*", page, re.MULTILINE):
        assert set(re.findall(r"test_\w+\.py", row)) <= files.keys()
        for name in re.findall(r"`(test_\w+)`", row):
            assert any(f"def {name}(" in text for text in files.values()), name


# --- examples --------------------------------------------------------------------------------


def test_no_example_is_untested() -> None:
    ours = Path(__file__).read_text()
    for example in EXAMPLES.iterdir():
        if not example.name.startswith(("__", ".")):
            assert f'"{example.name}"' in ours, f"{example} is not tested here"


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


def test_git_hook(execute: Execute, here: Path) -> None:
    tree = here / "shop"
    who = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}

    def git(*words: str) -> str:
        done = execute("git", "-C", tree, "-c", "user.name=Ann", "-c", "user.email=a@example.org", *words, **who)
        assert "bus" not in done.stderr
        return done.stdout.strip()

    tree.mkdir()
    git("init", "--quiet")
    hook = tree / ".git/hooks/post-commit"
    hook.parent.mkdir(exist_ok=True)
    shutil.copy(EXAMPLES / "post-commit", hook)
    hook.chmod(0o755)
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


def test_the_performance_page_has_its_table() -> None:
    assert "append, 1 writer" in (HOME / "docs/performance.md").read_text()


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


def test_fast_post(execute: Execute, here: Path) -> None:
    bash = execute("bash", "-c", 'echo "${BASH_VERSINFO[0]}"').stdout
    if int(bash) < 4:
        pytest.skip("no coprocesses in this bash")
    done = execute("bash", "-c", FAST_POST, "fast-post", EXAMPLES / "fast-post.sh", here / "BUS.md")
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


def test_fast_post_of_a_message_that_is_refused(execute: Execute, here: Path) -> None:
    done = execute("bash", "-c", REFUSED_POST, "fast-post", EXAMPLES / "fast-post.sh", here / "BUS.md")
    [message] = read(here / "BUS.md")
    assert done.stdout.splitlines() == ["refused", message.msg_id]
    assert "line 1: type is empty" in done.stderr


def test_each_code_of_a_check_is_explained_and_no_other() -> None:
    rows = re.findall(r"^\| (BUS\d+) \|", (HOME / "docs/checks.md").read_text(), re.MULTILINE)
    assert rows == list(CODES.values())
    assert len({*rows}) == len(rows)
