"""``run-agent bus discover``: which bus would be used from here, and why."""

from __future__ import annotations

import click

from messagebus import BusNotFoundError
from messagebus.discovery import find_bus
from run_agent import context, output


@click.command(short_help="Find the bus of this directory.")
@click.option(
    "--from",
    "start",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="Start here, not in the current directory.",
)
@click.option("--explain", is_flag=True, help="Show what post and read would use from here, and by which rule.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def discover(start: str | None, explain: bool, as_json: bool) -> int:
    """Print the first bus file at or above the current directory.

    Each directory is asked for TASK-MESSAGE-BUS.md, then PROJECT-MESSAGE-BUS.md, then
    MESSAGE-BUS.md; only regular files count. Exit code 3: there is none.

    \b
    Examples:
      run-agent bus discover
      run-agent bus discover --from ~/projects/demo --json
      run-agent bus discover --explain
    """
    if not explain:
        path = find_bus(start)
        output.json_line({"bus": path}) if as_json else output.line(output.shown(path))
        return 0
    answers = _explain(start)
    if as_json:
        output.json_line(
            {name: found and {"value": found.value, "rule": found.rule} for name, found in answers.items()}
        )
    else:
        for name, found in answers.items():
            answer = f"{found.value}  ({found.rule})" if found else "none"
            output.line(f"{name:<10} {output.shown(answer)}")
    if answers["post"]:
        return 0
    raise BusNotFoundError("nothing names a bus here: use --bus FILE, MESSAGE_BUS, or --project with --task")


def _explain(start: str | None) -> dict[str, context.Found | None]:
    flags = context.Flags(start=start)
    answers: dict[str, context.Found | None] = {}
    for name, resolve in (("post", context.bus_to_post), ("read", context.bus_to_read)):
        try:
            answers[name] = resolve(flags)
        except BusNotFoundError:
            answers[name] = None
    bus = answers["post"]
    known = context.scope(flags, bus.value) if bus else {}
    return answers | {name: known.get(name) for name in ("project_id", "task_id", "run_id")}
