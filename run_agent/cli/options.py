"""Options that more than one verb takes, and what shells complete for their values."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from messagebus import BusError
from run_agent.cli import context

_F = TypeVar("_F", bound=Callable[..., Any])

# The customary types (SPEC.md, "Fields").
TYPES = (
    "INFO", "FACT", "QUESTION", "ANSWER", "PROGRESS", "DECISION", "ISSUE", "ERROR",
    "RUN_START", "RUN_STOP", "RUN_CRASH",
)  # fmt: skip
_COMPLETABLE = r"[\w@][\w@.+=~-]*"  # names that no shell has to quote, and that hold no line end


class PathType(click.Path):
    """A path, in which a ``~`` that the shell left alone (``--root=~/runs``) means the home directory."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path to use."""
        return super().convert(context.expanded(value), param, ctx)


def bus_options(command: _F) -> _F:
    """--bus, --root, --project, --task: where the bus is."""
    for option in (
        click.option("--task", metavar="ID", shell_complete=_complete_task, help="The task: its bus under the root."),
        click.option(
            "--project",
            metavar="ID",
            shell_complete=_complete_project,
            help="The project: its bus under the root, or its task's.",
        ),
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


def complete_type(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """The customary types that begin so, in whatever case."""
    return [kind for kind in TYPES if kind.startswith(begun.upper())]


def _complete_project(ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    return _directories(context.Flags(root=ctx.params.get("root")), begun)


def _complete_task(ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    flags = context.Flags(root=ctx.params.get("root"), project=ctx.params.get("project"))
    try:
        return _directories(flags, begun, context.project_of(flags))
    except click.UsageError:  # nothing says which project
        return []


def _directories(flags: context.Flags, begun: str, project: str = "") -> list[str]:
    """The projects under the root, or the tasks of one."""
    try:
        with os.scandir(os.path.join(context.root_directory(flags), project)) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (OSError, BusError):
        return []
    return sorted(name for name in names if name.startswith(begun) and re.fullmatch(_COMPLETABLE, name))
