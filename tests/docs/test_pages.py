"""The pages agree with the program: links, docs/cli.md, the tables of guarantees, checks and speed."""

from __future__ import annotations

import ast
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import click
import pytest
from manual import HOME, PAGES, blocks, name_of, prose

from messagebus.repair.findings import CODES
from run_agent.cli import context, main

Execute = Callable[..., CompletedProcess[str]]
SPEC = (HOME / "SPEC.md").read_text()
CLI = HOME / "docs/cli.md"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        found = page.parent / name if name else page
        assert found.exists(), f"{page} links to {target}"
        if anchor:
            assert anchor in anchors(found), f"{page} links to {target}"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_paths_in_the_prose_exist(page: str) -> None:
    """``a/b/c.py`` is a path from the top, or from one of the packages; ``c.py`` after it is beside it."""
    folders = [HOME, HOME / "messagebus", HOME / "run_agent", HOME / "run_agent/server"]
    for span in re.findall(r"`([^`\s]+)`", prose(HOME / page)):
        if re.fullmatch(r"[\w./-]+(\.py|\.js|\.md|/)", span) and "run-agent/" not in span:
            [found, *_] = [folder / span for folder in folders if (folder / span).exists()] or [None]
            assert found, f"{page} names {span}"
            folders = [*folders[:4], found if found.is_dir() else found.parent]


@pytest.mark.parametrize("generator", ["generate_cli", "generate_api"])
def test_the_references_are_generated(generator: str, execute: Execute) -> None:
    execute(sys.executable, str(HOME / f"tools/{generator}.py"), "--check", COLUMNS="40")


@pytest.mark.parametrize(("generator", "page"), [("generate_cli", "cli.md"), ("generate_api", "api.md")])
def test_a_generator_checks(generator: str, page: str, execute: Execute, here: Path) -> None:
    shutil.copytree(HOME / "tools", here / "tools")
    (here / "docs").mkdir()
    written, program = here / "docs" / page, str(here / f"tools/{generator}.py")
    assert "make docs" in execute(sys.executable, program, "--check", code=1).stderr
    assert not written.exists()
    execute(sys.executable, program, COLUMNS="30")
    execute(sys.executable, program, "--check")
    with written.open("a") as file:
        file.write("by hand\n")
    execute(sys.executable, program, "--check", code=1)


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    for verb in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), verb)
        assert command
        yield f"{name} {verb}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {verb}")


@pytest.mark.parametrize(("name", "command"), list(commands(main.run_agent, "run-agent")))
def test_every_command_is_documented(name: str, command: click.Command) -> None:
    _, found, text = CLI.read_text().partition(f"\n### {name}\n")
    assert found, f"{name} is not in docs/cli.md: run make docs"
    section = text.partition("\n### ")[0]
    for parameter in command.params:
        for option in (*parameter.opts, *parameter.secondary_opts):
            assert not option.startswith("-") or option in section, option


def test_every_exit_code_is_documented() -> None:
    table = {int(code) for code in re.findall(r"^\| (\d+) \|", CLI.read_text(), re.MULTILINE)}
    assert table == {0, 1, 2, 7, 70, 130} | {code for _, code in main.EXIT_CODES}


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


def test_each_code_of_a_check_is_explained_and_no_other() -> None:
    rows = re.findall(r"^\| (BUS\d+) \|", (HOME / "docs/checks.md").read_text(), re.MULTILINE)
    assert rows == list(CODES.values())
    assert len({*rows}) == len(rows)


def test_the_performance_page_owns_up_to_what_its_table_shows() -> None:
    table, _, shortfalls = (HOME / "docs/performance.md").read_text().partition("## Where it falls short")
    short = re.findall(r"^\| ([^|]+) \| [^|]+ \| SHORT:", table, re.MULTILINE)
    assert "append, 1 writer, no fsync" in table
    assert re.findall(r"\*\*(.+?)\*\*", shortfalls) == short


def test_what_install_writes_is_what_docs_git_md_shows(here: Path, execute: Execute) -> None:
    attributes, driver = (
        block.text for block in blocks(HOME / "docs/git.md") if block.mark == "tried by tests/docs/test_pages.py"
    )
    execute("git", "init", "-q", here)
    execute("run-agent", "bus", "merge", "--install")
    assert (here / ".gitattributes").read_text() == attributes
    assert driver.replace("    ", "\t") in (here / ".git/config").read_text()


def test_docs_checks_md_shows_what_check_prints(here: Path, execute: Execute) -> None:
    """All but the numbers and the directory, which are those of another file."""
    [shown] = (block.text for block in blocks(HOME / "docs/checks.md") if "$ run-agent" in block.text)
    command, *lines = shown.removeprefix("$ ").splitlines()
    record = "---\nmsg_id: {}\nts: 2026-11-21T03:14:15Z\ntype: FACT\nproject_id: demo\ncontent_length: {}\n---\n{}\n"
    torn = record.format("MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA", 50, "x" * 31)
    whole = record.format("MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZB", 4, "next")
    (here / "MESSAGE-BUS.md").write_text(f"{torn}\n{whole}")
    printed = execute("sh", "-c", command, code=1)
    place = re.compile(r":\d+ \(byte \d+\)|^/.*/", re.MULTILINE)
    assert place.sub("", printed.stdout + printed.stderr).splitlines() == [place.sub("", line) for line in lines]
