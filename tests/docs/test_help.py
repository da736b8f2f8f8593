"""The examples in the help of each verb, and so those of docs/cli.md, are executed."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import click
import pytest
from manual import HOME, blocks

from run_agent.cli import main

Execute = Callable[..., CompletedProcess[str]]
TASK = Path("runs/demo/t1")
BUS = "TASK-MESSAGE-BUS.md"
[RECORDS] = (block.text for block in blocks(HOME / "SPEC.md") if "---\nmsg_id" in block.text)
SHOWN, LONG = (block.text for block in blocks(HOME / "docs/cli.md") if block.text.startswith("["))
FOREVER = re.compile(r"--follow|run-agent serve|^curl -N")


def verbs(group: click.Group, *names: str) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command
        if isinstance(command, click.Group):
            yield from verbs(command, *names, name)
        else:
            yield " ".join((*names, name)), command


VERBS = dict(verbs(main.run_agent))


def examples(verb: str) -> list[str]:
    _, _, text = (VERBS[verb].help or "").partition("Examples:\n")
    return [line.strip() for line in text.splitlines() if line.startswith("  ")]


@pytest.fixture
def prepared(here: Path, tmp_path: Path, execute: Execute) -> Path:
    """The directory of a task, with whatever else the examples name."""
    task = here / TASK
    for directory in (task, task / "notes", *(tmp_path / "home" / name for name in HOME_DIRECTORIES)):
        directory.mkdir(parents=True)
    for name in (BUS, "base.md", "MESSAGE-BUS.md", "theirs.md", "old.md", "notes/MESSAGE-BUS.md"):
        (task / name).write_text(RECORDS)
    (task / "log.json").write_text('{"msg": "one"}\n{"msg": "two"}\n')
    (task / "Makefile").write_text("all:\n\t@echo made\n")
    (tmp_path / "home/projects/demo" / "MESSAGE-BUS.md").touch()
    execute("git", "init", "-q", task)
    return task


HOME_DIRECTORIES = (
    ".local/share/bash-completion/completions",
    ".zfunc",
    ".config/fish/completions",
    "projects/demo",
)


def test_the_list_at_the_top_lacks_no_verb() -> None:
    listed = next(block.text for block in blocks(HOME / "docs/cli.md")).splitlines()
    assert [line[:26].strip() for line in listed] == [f"run-agent {verb}" for verb in VERBS]


@pytest.mark.parametrize("verb", VERBS)
def test_the_examples_of_a_verb_work(verb: str, prepared: Path, here: Path, execute: Execute) -> None:
    assert examples(verb), f"the help of {verb} shows no example"
    for example in examples(verb):
        if not FOREVER.search(example):
            tools = [tool for tool in ("jq", "make") if re.search(rf"\b{tool} ", example)]
            if all(map(shutil.which, tools)):
                execute("sh", "-c", example, cwd=prepared, JRUN_RUNS_DIR=str(here / "runs"))


@pytest.mark.parametrize("verb", VERBS)
def test_an_example_that_never_ends_takes_options_that_there_are(verb: str) -> None:
    """It is not run."""
    parent = click.Context(main.run_agent, **main.run_agent.context_settings)
    for example in filter(FOREVER.search, examples(verb)):
        _, found, options = example.partition(f"run-agent {verb}")
        if found:
            VERBS[verb].make_context(verb, shlex.split(options), parent).close()


def test_what_read_prints_is_what_the_page_shows(here: Path, execute: Execute) -> None:
    """The messages shown in docs/cli.md: the second is torn."""
    record = "---\nmsg_id: {0}\nts: 2026-11-21T03:14:{0}Z\ntype: {1}\nproject_id: demo\n{2}---\n{3}\n"
    records = [
        record.format(15, "FACT", "", "The build is green\nagain now."),
        record.format(16, "ERROR", "content_length: 40\n", "this record lost its en"),
        record.format(17, "FACT", "", "the last"),
    ]
    (here / "MESSAGE-BUS.md").write_text("\n".join(records))
    printed = execute("run-agent", "bus", "read").stdout
    assert printed == SHOWN + "[2026-11-21 03:14:17] (FACT) the last\n"


def test_what_read_long_prints_is_what_the_page_shows(here: Path, execute: Execute) -> None:
    header = (
        "msg_id: MSG-2\nts: 2026-11-21T03:14:16Z\ntype: ANSWER\nproject_id: demo\ntask_id: t1\nrun_id: run-7\n"
        "parents:\n  - msg_id: MSG-1\n    kind: answers\nlinks:\n  - url: https://ci.example\nmeta:\n  branch: main\n"
    )
    (here / "MESSAGE-BUS.md").write_text(f"---\n{header}---\nYes.\n")
    assert execute("run-agent", "bus", "read", "--long").stdout == LONG
