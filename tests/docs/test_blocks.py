"""Every block of code on every page is executed, tried by another test, or says why it is not.

The mark is an HTML comment right above the block:

    <!-- executed -->                           here: with all others of its page, in order, in one shell
    <!-- executed by pytest -->                 here: it is a file of tests
    <!-- tried by tests/docs/test_spec.py -->   by that test
    <!-- not executed: the reason -->
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple

import pytest
from manual import HOME, PAGES, Block, blocks, name_of

from messagebus import MessageBus, Parent

Execute = Callable[..., CompletedProcess[str]]
BLOCKS = [block for page in PAGES for block in blocks(page)]
WALKED = list(dict.fromkeys(block.page for block in BLOCKS if block.mark == "executed"))


class Step(NamedTuple):
    """Blocks of one language, with no other between them."""

    language: str
    text: str


def steps(page: str) -> Iterator[Step]:
    executed = [block for block in BLOCKS if (block.page, block.mark) == (page, "executed")]
    for language, group in groupby(executed, lambda block: block.language):
        yield Step(language, "".join(block.text for block in group))


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_is_executed_or_says_why_not(block: Block) -> None:
    if tried := re.fullmatch(r"tried by (tests/\S+\.py)", block.mark):
        assert Path(block.page).name in (HOME / tried[1]).read_text(), f"{tried[1]} does not read {block.page}"
    elif block.mark == "executed":
        assert block.language in ("sh", "python")
    else:
        assert re.fullmatch(r"executed by pytest|not executed: .{15,}", block.mark, re.DOTALL), (
            f"{block} has no mark right above it: see {Path(__file__).name}"
        )


def test_most_pages_are_walked() -> None:
    assert {"README.md", "docs/python-api.md", "docs/git.md"} <= set(WALKED)


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found: int = listener.getsockname()[1]
        return found


@pytest.mark.parametrize("page", WALKED)
def test_the_blocks_of_a_page_work_one_after_another(page: str, execute: Execute, tmp_path: Path, port: int) -> None:
    """In one shell: each starts where the one before left off. Python prints what its comments say."""
    if "curl" in (HOME / page).read_text() and not shutil.which("curl"):
        pytest.skip("no curl here")
    script = ["set -eu", "trap 'set +eu; kill $! 2>&-' EXIT"]  # a server, where a block fails before it ends it
    printed: dict[Path, list[str]] = {}
    for number, step in enumerate(steps(page)):
        if step.language == "sh":
            script.append(step.text)
            continue
        program = tmp_path / f"{number}.py"
        program.write_text(step.text)
        printed[program] = re.findall(r"print\(.*\) +# (.*)", step.text)
        script.append(f"python -W error {program} > {program}.out")
    # The port that the documents name may be taken here.
    text = "\n".join(script).replace("run-agent serve", f"run-agent serve --port {port}").replace("14355", str(port))
    done = execute("sh", "-c", text, BROWSER="true", XDG_DATA_HOME=str(tmp_path / "home/.local/share"))
    assert done.stderr == ""
    for program, lines in printed.items():
        assert Path(f"{program}.out").read_text().splitlines() == lines


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.mark == "executed by pytest"], ids=str)
def test_tests_that_are_shown_pass(block: Block, execute: Execute, here: Path) -> None:
    (here / "test_shown.py").write_text(block.text)
    done = execute(sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "test_shown.py")
    assert f"{len(re.findall(r'^def test_', block.text, re.MULTILINE))} passed" in done.stdout


def test_what_the_readme_posts_is_there(execute: Execute, environment: dict[str, str]) -> None:
    first = next(steps("README.md"))
    execute("sh", "-c", f"set -eu\n{first.text}")
    with MessageBus(Path(environment["HOME"]) / "demo/MESSAGE-BUS.md") as bus:
        question, answer = bus.read_messages()
    assert (question.type, answer.type) == ("QUESTION", "ANSWER")
    assert answer.parents == (Parent(question.msg_id, "answers"),)
    assert {message.project_id for message in (question, answer)} == {"demo"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_and_json_on_a_page_are_that(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            ast.parse(block.text)
        elif block.language == "json":
            json.loads(block.text)
