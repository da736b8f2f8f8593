"""Options that more than one verb takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from run_agent import context

_F = TypeVar("_F", bound=Callable[..., Any])


class PathType(click.Path):
    """A path, in which a ``~`` that the shell left alone (``--root=~/runs``) means the home directory."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path to use."""
        return super().convert(context.expanded(value), param, ctx)


def bus_options(command: _F) -> _F:
    """--bus, --root, --project, --task: where the bus is."""
    for option in (
        click.option("--task", metavar="ID", help="The task: its bus under the root."),
        click.option("--project", metavar="ID", help="The project: its bus under the root, or its task's."),
        click.option(
            "--root",
            type=PathType(readable=False),
            metavar="DIR",
            help="Where all projects are. [JRUN_RUNS_DIR, ~/.run-agent/runs]",
        ),
        click.option(
            "--bus",
            type=PathType(readable=False),  # whoever opens it finds out, and says so with exit code 6
            metavar="FILE",
            help="The bus file itself. [MESSAGE_BUS]",
        ),
    ):
        command = option(command)
    return command
