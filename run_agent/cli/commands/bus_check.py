"""``run-agent bus check``: what is damaged in a bus, and mending it."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from run_agent.cli import context, output
from run_agent.cli.options import bus_options

if TYPE_CHECKING:
    from messagebus import Finding

_QUIET = 1.0  # seconds before progress is shown
_EVERY = 0.1  # seconds


@click.command(short_help="Find what is damaged, and mend it.")
@bus_options
@click.option("--fix", is_flag=True, help="Mend it; the original stays as <bus>.<timestamp>.broken.")
@click.option("--split-joined", is_flag=True, help="With --fix: free records that others have swallowed (BUS012).")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a finding, and one a mended file.")
def check(fix: bool, split_joined: bool, as_json: bool, **where: Any) -> int:
    """Look a bus over, with its archives: exit code 0 means clean, 1 that something was found.

    Each finding has a code, which docs/checks.md explains, and a place: file, line, byte. Codes from
    BUS101 on only inform. The bus is the one that 'bus read' would show.

    --fix takes the lock, keeps the original beside the bus, and mends without dropping anything
    that somebody wrote. The exit code is that of a look afterwards. What stands in the text of a
    record without a length may be quoted there: it becomes a message only with --split-joined.

    \b
    Examples:
      run-agent bus check
      run-agent bus check --bus notes/MESSAGE-BUS.md --fix
      run-agent bus check --project demo --task t1 --json | jq -r .code
    """
    if split_joined and not fix:
        raise click.UsageError("--split-joined says how to mend: give --fix with it")
    from messagebus import repair_bus  # imported here, for 'bus --help' imports every verb

    flags = context.Flags(where["bus"], where["root"], where["project"], where["task"])
    path = os.path.abspath(context.bus_to_read(flags).value)
    progress = _Progress()
    findings = _told(path, progress, as_json=as_json)
    if fix and findings:
        for mended in repair_bus(path, split_joined=split_joined, progress=progress):
            progress.end()
            _tell_mended(mended._asdict(), as_json=as_json)
        findings = _told(path, progress, as_json=as_json)
    if not as_json:
        output.line(output.escape_controls(f"{path}: {_summary(findings, fix=fix)}"))
    return 1 if findings else 0


def _told(path: str, progress: _Progress, *, as_json: bool) -> int:
    """Show every finding, and count those that are damage."""
    from messagebus import check_bus

    damage = 0
    for finding in check_bus(path, progress=progress):
        progress.end()
        damage += finding.is_damage
        _tell(finding, os.path.dirname(path), as_json=as_json)
    progress.end()
    return damage


def _tell(finding: Finding, directory: str, *, as_json: bool) -> None:
    if as_json:
        level = "finding" if finding.is_damage else "information"
        fields = {name: getattr(finding, name) for name in ("path", "line", "offset", "msg_id", "text")}
        output.json_line({"code": finding.code, "level": level, **fields})
        return
    name = os.path.relpath(finding.path, directory)
    place = f"{name}:{finding.line} (byte {finding.offset:,})" if finding.line else name
    about = f" [{finding.msg_id}]" if finding.msg_id else ""
    output.line(output.escape_controls(f"{finding.code} {place}{about} {finding.text}"))


def _tell_mended(mended: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.json_line({"mended": mended["path"], "broken": mended["broken"], "done": mended["done"]})
        return
    kept = f"; the original is {os.path.basename(mended['broken'])}" if mended["broken"] else ""
    output.line(output.escape_controls(f"Repaired {mended['path']}{kept}"))
    for done in mended["done"]:
        output.line(output.escape_controls(f"  {done}"))


def _summary(findings: int, *, fix: bool) -> str:
    if not findings:
        return "clean"
    advice = "what is left takes a person" if fix else "'run-agent bus check --fix' mends what can be"
    return f"{findings:,} finding{'s' if findings > 1 else ''}; {advice}, docs/checks.md explains the codes"


class _Progress:
    """How far it came, on the last line of a terminal, once it takes long."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _QUIET
        self._shown = False
        self._wanted = sys.stderr is not None and sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        if self._wanted and time.monotonic() >= self._next:
            click.echo(f"\r{done / max(total, 1):4.0%} of {total / 1e6:,.0f} MB", err=True, nl=False)
            self._next = time.monotonic() + _EVERY
            self._shown = True

    def end(self) -> None:
        """Make room for something else."""
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)
            self._shown = False
