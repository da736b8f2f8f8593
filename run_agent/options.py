"""Options that more than one verb takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])


def bus_options(command: _F) -> _F:
    """--bus, --root, --project, --task: where the bus is."""
    for option in (
        click.option("--task", metavar="ID", help="The task: its bus under the root."),
        click.option("--project", metavar="ID", help="The project: its bus under the root, or its task's."),
        click.option(
            "--root",
            type=click.Path(readable=False),
            metavar="DIR",
            help="Where all projects are. [JRUN_RUNS_DIR, ~/.run-agent/runs]",
        ),
        click.option(
            "--bus",
            type=click.Path(readable=False),  # whoever opens it finds out, and says so with exit code 6
            metavar="FILE",
            help="The bus file itself. [MESSAGE_BUS]",
        ),
    ):
        command = option(command)
    return command
