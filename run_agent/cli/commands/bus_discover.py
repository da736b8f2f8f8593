"""``run-agent bus discover``: which bus would be used here, and why."""

from __future__ import annotations

import click

from messagebus import BusError, BusNotFoundError, InvalidBusPathError
from run_agent.cli import context, output
from run_agent.cli.options import PathType

_Answer = context.Resolved | BusError | None  # BusError: why the bus is refused


@click.command(short_help="Find the bus of this directory.")
@click.option(
    "--from",
    "start",
    metavar="DIR",
    type=PathType(exists=True, file_okay=False),
    help="Start in DIR, not in the current directory.",
)
@click.option("--explain", is_flag=True, help="Show what post and read would use here, and which rule chose it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def discover(start: str | None, explain: bool, as_json: bool) -> int:
    """Print the first bus file in the current directory or above it.

    Each directory is searched for TASK-MESSAGE-BUS.md, then PROJECT-MESSAGE-BUS.md, then
    MESSAGE-BUS.md; only regular files count. Exit code 3: there is none. Exit code 6: it belongs to
    another user and is in a directory that others may write to, or the user may not search a directory.

    \b
    Examples:
      run-agent bus discover
      run-agent bus discover --from ~/projects/demo --json
      run-agent bus discover --explain
    """
    flags = context.Flags(start=start)
    if not explain:
        path = context.bus_upward(flags).value
        output.json_line({"bus": path}) if as_json else output.line(output.escape_controls(path))
        return 0
    answers = _explain(flags)
    if as_json:
        output.json_line({name: _as_json(answer) for name, answer in answers.items()})
    else:
        for name, answer in answers.items():
            output.line(f"{name:<10} {output.escape_controls(_as_text(answer))}")
    if isinstance(answers["post"], BusError):
        raise answers["post"]
    if answers["post"]:
        return 0
    raise BusNotFoundError("no bus is named or found here: use --bus FILE, MESSAGE_BUS, or --project with --task")


def _explain(flags: context.Flags) -> dict[str, _Answer]:
    answers: dict[str, _Answer] = {}
    for name, resolve in (("post", context.bus_to_post), ("read", context.bus_to_read)):
        try:
            answers[name] = resolve(flags)
        except BusNotFoundError:
            answers[name] = None
        except InvalidBusPathError as error:
            answers[name] = error
    bus = answers["post"]
    scope = context.scope(flags, bus.value) if isinstance(bus, context.Resolved) else {}
    return answers | {name: scope.get(name) for name in ("project_id", "task_id", "run_id")}


def _as_json(answer: _Answer) -> dict[str, str] | None:
    if isinstance(answer, BusError):
        return {"refused": str(answer)}
    return {"value": answer.value, "rule": answer.rule} if answer else None


def _as_text(answer: _Answer) -> str:
    if isinstance(answer, BusError):
        return f"refused: {answer}"
    return f"{answer.value}  ({answer.rule})" if answer else "none"
