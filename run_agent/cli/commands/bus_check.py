"""``run-agent bus check``: finds what is damaged in a bus, and repairs it."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from run_agent.cli import context, output
from run_agent.cli.options import bus_options

if TYPE_CHECKING:
    from messagebus import Finding, Repaired

_PROGRESS_AFTER = 1.0  # seconds
_PROGRESS_EVERY = 0.1  # seconds


@click.command(short_help="Find damage in a bus, and repair it.")
@bus_options
@click.option("--fix", is_flag=True, help="Repair it; the original is kept as <bus>.<timestamp>.broken.")
@click.option("--split-joined", is_flag=True, help="With --fix: split records off the text of others (BUS012).")
@click.option("--json", "as_json", is_flag=True, help="One JSON line for each finding and each repaired file.")
def check(fix: bool, split_joined: bool, as_json: bool, **where: Any) -> int:
    """Check a bus and its archives: exit code 0 means clean, 1 that damage was found.

    Each finding has a code, which docs/checks.md explains, and a location: file, line, byte. Codes from
    BUS101 on are information only. The bus is the one that 'bus read' would show.

    --fix takes the lock, keeps the original beside the bus, and repairs without dropping anything
    that anyone wrote. The exit code is then that of a second check. A record in the text of another
    record without a length may be a quotation: only --split-joined makes it a message.

    \b
    Examples:
      run-agent bus check
      run-agent bus check --bus notes/MESSAGE-BUS.md --fix
      run-agent bus check --project demo --task t1 --json | jq -r .code
    """
    if split_joined and not fix:
        raise click.UsageError("--split-joined needs --fix.")
    from messagebus import repair_bus  # imported here: 'bus --help' imports every verb

    flags = context.Flags(where["bus"], where["root"], where["project"], where["task"])
    path = os.path.abspath(context.bus_to_read(flags).value)
    progress = _Progress()
    damage = _print_findings(path, progress, as_json=as_json)
    if fix and damage:
        for repaired in repair_bus(path, split_joined=split_joined, progress=progress):
            progress.end()
            _print_repaired(repaired, as_json=as_json)
        damage = _print_findings(path, progress, as_json=as_json)
    if not as_json:
        output.line(output.escape_controls(f"{path}: {_summary(damage, fix=fix)}"))
    return 1 if damage else 0


def _print_findings(path: str, progress: _Progress, *, as_json: bool) -> int:
    """Print every finding; returns how many are damage."""
    from messagebus import check_bus

    damage = 0
    for finding in check_bus(path, progress=progress):
        progress.end()
        damage += finding.is_damage
        _print_finding(finding, os.path.dirname(path), as_json=as_json)
    progress.end()
    return damage


def _print_finding(finding: Finding, directory: str, *, as_json: bool) -> None:
    if as_json:
        level = "finding" if finding.is_damage else "information"
        fields = {name: getattr(finding, name) for name in ("path", "line", "offset", "msg_id", "text")}
        output.json_line({"code": finding.code, "level": level, **fields})
        return
    name = os.path.relpath(finding.path, directory)
    location = f"{name}:{finding.line} (byte {finding.offset:,})" if finding.line else name
    about = f" [{finding.msg_id}]" if finding.msg_id else ""
    output.line(output.escape_controls(f"{finding.code} {location}{about} {finding.text}"))


def _print_repaired(repaired: Repaired, *, as_json: bool) -> None:
    if as_json:
        # The field is called "mended" because scripts rely on it.
        output.json_line({"mended": repaired.path, "broken": repaired.broken, "done": repaired.done})
        return
    original = f"; the original is {os.path.basename(repaired.broken)}" if repaired.broken else ""
    output.line(output.escape_controls(f"Repaired {repaired.path}{original}"))
    for done in repaired.done:
        output.line(output.escape_controls(f"  {done}"))


def _summary(damage: int, *, fix: bool) -> str:
    if not damage:
        return "clean"
    advice = "fix the rest by hand" if fix else "'run-agent bus check --fix' repairs what it can"
    return f"{damage:,} finding{'s' if damage > 1 else ''}; {advice}, docs/checks.md explains the codes"


class _Progress:
    """Progress on the last line of a terminal, if it takes long."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _PROGRESS_AFTER
        self._shown = False
        self._enabled = sys.stderr is not None and sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        if self._enabled and time.monotonic() >= self._next:
            click.echo(f"\r{done / max(total, 1):4.0%} of {total / 1e6:,.0f} MB", err=True, nl=False)
            self._next = time.monotonic() + _PROGRESS_EVERY
            self._shown = True

    def end(self) -> None:
        """Clear the line."""
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)
            self._shown = False
