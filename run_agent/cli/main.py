"""The table of verbs, each imported when it is used, and the one place where an error becomes an exit code.

Exit codes (also in docs/cli.md): 0 done; 1 ran, and the answer is no; 2 usage; 3 no bus found;
4 since id not found; 5 lock timeout; 6 refused input or path; 7 no answer in time;
70 unexpected; 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

import click

from messagebus import (
    BusError,
    BusNotFoundError,
    InvalidBusPathError,
    InvalidMessageError,
    LockTimeoutError,
    SinceIDNotFoundError,
)
from run_agent.cli import output
from run_agent.cli.streams import BrokenOutputError

# A verb and the import path of its command, or a group with its help and its verbs.
VERBS: dict[str, Any] = {
    "bus": (
        "Post to, read, find, check and merge message buses.",
        {
            "post": "run_agent.cli.commands.bus_post:post",
            "read": "run_agent.cli.commands.bus_read:read",
            "discover": "run_agent.cli.commands.bus_discover:discover",
            "check": "run_agent.cli.commands.bus_check:check",
            "merge": "run_agent.cli.commands.bus_merge:merge",
        },
    ),
    "serve": "run_agent.cli.commands.serve:serve",
    "schema": "run_agent.cli.commands.schema:schema",
    "completion": "run_agent.cli.commands.completion:completion",
}

# Verbs that people try, and what they are called here.
_SUGGESTIONS = {"watch": "read --follow", "tail": "read --follow", "send": "post", "follow": "read --follow"}

EXIT_CODES: tuple[tuple[type[Exception], int], ...] = (
    (BusNotFoundError, 3),
    (SinceIDNotFoundError, 4),
    (LockTimeoutError, 5),
    (InvalidMessageError, 6),
    (InvalidBusPathError, 6),
)

# Errors of the operating system that are caused by the path that the user gave: exit code 6, not 70.
_PATH_ERRNOS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP}

# Newer versions of click raise this to show the help of a group that was given no verb.
_NoArgsIsHelpError: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())


class _Context(click.Context):
    def make_formatter(self) -> click.HelpFormatter:
        from run_agent.cli.help import Formatter  # imported here: only --help needs it

        self.formatter_class = Formatter
        return super().make_formatter()


class VerbGroup(click.Group):
    """A group whose commands are imported only when they are run."""

    context_class = _Context

    def __init__(self, verbs: dict[str, Any], **attrs: Any) -> None:
        super().__init__(**attrs)
        self._verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = self._verbs.get(cmd_name)
        if verb is None:
            if cmd_name in _SUGGESTIONS and "post" in self._verbs and not ctx.resilient_parsing:
                suggestion = f"{ctx.command_path} {_SUGGESTIONS[cmd_name]}"
                raise click.UsageError(f"No such command '{cmd_name}': use '{suggestion}'.", ctx)
            return None
        if isinstance(verb, tuple):
            text, verbs = verb
            return VerbGroup(verbs, name=cmd_name, help=text, no_args_is_help=True)
        module, _, attribute = verb.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        command.context_class = _Context
        return command


def _print_docs(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        package = os.path.dirname(os.path.dirname(__file__))
        installed = os.path.join(package, "manual")  # only in a wheel; a checkout has the pages at its top
        output.line(installed if os.path.isdir(installed) else os.path.dirname(package))
        ctx.exit()


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        output.line(f"run-agent {version('run-agent')}")
        ctx.exit()


run_agent = VerbGroup(
    VERBS,
    name="run-agent",
    help="Messages between agents, scripts and people, in Markdown files.\n\nStart with: run-agent bus post --help",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Show the version and exit.",
        ),
        click.Option(
            ["--docs"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_docs,
            help="Show the directory of the manual and the examples, and exit.",
        ),
    ],
)


def main(args: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code. Errors go to stderr."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]  # it needs only the message
    try:
        result = run_agent.main(args=args, prog_name="run-agent", standalone_mode=False)
        output.flush()
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        if not isinstance(error, _NoArgsIsHelpError):
            vars(error)["message"] = output.escape_controls(error.message)  # which may quote an argument
        error.show()
        return error.exit_code
    except click.Abort:
        return 130
    except BrokenOutputError:
        return 0
    except Exception as error:  # noqa: BLE001 - the boundary: nothing reaches the user as a traceback
        with suppress(OSError, BrokenOutputError):  # the first error is the one to report
            output.flush()
        output.warn(f"Error: {_sentence(error)}")
        return _exit_code(error)


def _exit_code(error: Exception) -> int:
    if isinstance(error, OSError) and error.errno in _PATH_ERRNOS:
        return 6
    return next((code for error_type, code in EXIT_CODES if isinstance(error, error_type)), 70)


def _show_warning(message: Warning | str, *_where: object) -> None:
    output.warn(f"Warning: {message}")


def _sentence(error: Exception) -> str:
    """What happened, in a sentence for the user."""
    if isinstance(error, BusError):
        return "; ".join([str(error), *getattr(error, "__notes__", ())])
    if isinstance(error, OSError):
        subject = f"{error.filename}: " if error.filename else ""
        return f"{subject}{error.strerror or error}"
    return f"unexpected {type(error).__name__}: {error}. Please report it, with the command that caused it."
