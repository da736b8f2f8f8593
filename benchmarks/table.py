"""A row of the table, and the table as text and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

HEAD = ("what", "goal", "measured: median (lowest..highest)", "Go")


class Row(NamedTuple):
    """One line. ``met``: whether the goal is met; None if there is no goal, or nothing was measured."""

    what: str
    goal: str
    go: str
    measured: str
    met: bool | None

    def cells(self) -> tuple[str, str, str, str]:
        verdict = {True: "pass: ", False: "SHORT: ", None: ""}[self.met]
        return self.what, self.goal, verdict + self.measured, self.go


def as_text(rows: Sequence[Row]) -> str:
    """Aligned columns, for a terminal."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ("-" * widths[0], "-" * widths[1], "-" * widths[2], "-" * widths[3]))
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def as_markdown(rows: Sequence[Row]) -> str:
    """The same as a Markdown table."""
    lines = [HEAD, ("---",) * len(HEAD), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
