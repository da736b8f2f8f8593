"""What documents, help and errors advise can be done: the verbs, options, targets and packages are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from manual import HOME, PAGES, name_of, prose

from run_agent.cli import main

ADVISING = [
    *PAGES,
    *(HOME / "pyproject.toml", HOME / "Makefile"),
    *(path for part in ("examples", "docs", "run_agent", "messagebus") for path in sorted((HOME / part).rglob("*"))),
]
TEXTS = [
    path
    for path in dict.fromkeys(ADVISING)
    if path.suffix in ("", ".md", ".py", ".sh", ".service", ".html", ".js", ".toml")
    and path.is_file()
    and "vendor" not in path.parts
]
SPANS = [(name_of(page), " ".join(span.split())) for page in PAGES for span in re.findall(r"`([^`]+)`", prose(page))]


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_nothing_advises_a_package_that_is_not_published(path: Path) -> None:
    """There is no run-agent on an index: ``pip install run-agent`` gives an error, or what a stranger put there."""
    for line in path.read_text().splitlines():
        if "pip install" in line:
            assert not re.search(r"""(?<![\w./-])run-agent(\[|['"\s]|$)""", line.partition("pip install")[2]), line


def commands(group: click.Group, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command
        yield (*names, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)


COMMANDS = dict(commands(main.run_agent, "run-agent"))


@pytest.mark.parametrize(("page", "span"), [(page, span) for page, span in SPANS if span.startswith("run-agent ")])
def test_a_command_in_the_prose_has_verbs_and_options_that_there_are(page: str, span: str) -> None:
    words = span.split()
    verb = next((tuple(words[:length]) for length in (3, 2) if tuple(words[:length]) in COMMANDS), ("run-agent",))
    command = COMMANDS.get(verb, main.run_agent)
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert verb != ("run-agent",) or words[1].startswith("-"), f"{page}: {span}"
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, f"{page}: {span}"


@pytest.mark.parametrize(("page", "span"), [(page, span) for page, span in SPANS if span.startswith("make ")])
def test_a_target_in_the_prose_is_in_the_makefile(page: str, span: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (HOME / "Makefile").read_text(), re.MULTILINE)
    assert span.split()[1] in targets, f"{page}: {span}"
