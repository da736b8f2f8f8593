"""Options that several verbs take, and the completion of their values in a shell."""

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
_COMPLETABLE = r"[\w@][\w@.+=~-]*"  # names that need no quotes in a shell and contain no line end


class PathType(click.Path):
    """A path, in which ``~`` means the home directory even if the shell left it alone, as in ``--root=~/runs``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path with ``~`` expanded."""
        return super().convert(context.expanded(value), param, ctx)


def bus_options(command: _F) -> _F:
    """--bus, --root, --project and --task, which choose the bus."""
    for option in (
        click.option(
            "--task", metavar="ID", shell_complete=_complete_task, help="The task; its bus is under the root."
        ),
        click.option(
            "--project",
            metavar="ID",
            shell_complete=_complete_project,
            help="The project; its bus, or that of --task, is under the root.",
        ),
        click.option(
            "--root",
            type=PathType(readable=False),
            metavar="DIR",
            help="The root: the directory of all projects. [JRUN_RUNS_DIR, ~/.run-agent/runs]",
        ),
        click.option(
            "--bus",
            type=PathType(readable=False),  # checked where it is opened, with exit code 6
            metavar="FILE",
            help="The bus file. [MESSAGE_BUS]",
        ),
    ):
        command = option(command)
    return command


def filter_options(command: _F) -> _F:
    """The options that select messages; ``given_filter`` reads them."""
    for option in (
        click.option(
            "--until", metavar="WHEN", help="Only messages up to this one, or before a time, written as for --since."
        ),
        click.option(
            "--since",
            metavar="WHEN",
            help="Only messages after this one (MSG-... or id:ID), or since a time (2026-11-21T03:14; 1h, 7d: ago).",
        ),
        click.option(
            "--meta", multiple=True, metavar="KEY=VALUE", help="Only with this entry in meta; may be repeated."
        ),
        click.option("--from", "sender", metavar="NAME", help="Only messages of this sender (meta.from)."),
        click.option("--issue", "issue_id", metavar="ID", help="Only messages of this issue."),
        click.option("--parent", metavar="ID", help="Only messages that refer to this one."),
        click.option("--run", "run_id", metavar="ID", help="Only messages of this run."),
        click.option(
            "--type",
            "types",
            multiple=True,
            metavar="TYPE",
            shell_complete=complete_type,
            help="Only messages of this type, in upper or lower case; may be repeated.",
        ),
    ):
        command = option(command)
    return command


def given_filter(options: dict[str, Any]) -> dict[str, Any]:
    """What the filter options but ``--since`` and ``--until`` say, as arguments of ``read_messages``."""
    given = {name: options[name] for name in ("run_id", "parent", "issue_id", "sender") if options[name] is not None}
    if options["types"]:
        given["types"] = {type_.upper() for type_ in options["types"]}
    if options["meta"]:
        given["meta"] = meta_of(options["meta"])
    return given


def meta_of(pairs: tuple[str, ...]) -> dict[str, str]:
    """The entries that ``--meta`` gives. Raises UsageError."""
    meta = {}
    for text in pairs:
        key, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"--meta {text!r} has no '=': write --meta KEY=VALUE.")
        meta[key] = value
    return meta


def complete_type(_ctx: click.Context, _param: click.Parameter, prefix: str) -> list[str]:
    """The customary types that start with ``prefix`` in any case."""
    return [type_ for type_ in TYPES if type_.startswith(prefix.upper())]


def _complete_project(ctx: click.Context, _param: click.Parameter, prefix: str) -> list[str]:
    return _directories(context.Flags(root=ctx.params.get("root")), prefix)


def _complete_task(ctx: click.Context, _param: click.Parameter, prefix: str) -> list[str]:
    flags = context.Flags(root=ctx.params.get("root"), project=ctx.params.get("project"))
    try:
        return _directories(flags, prefix, context.project_of(flags))
    except click.UsageError:  # nothing names the project
        return []


def _directories(flags: context.Flags, prefix: str, project: str = "") -> list[str]:
    """The projects under the root, or the tasks of one."""
    try:
        with os.scandir(os.path.join(context.root_directory(flags), project)) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (OSError, BusError):
        return []
    return sorted(name for name in names if name.startswith(prefix) and re.fullmatch(_COMPLETABLE, name))
