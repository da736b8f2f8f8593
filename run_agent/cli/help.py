"""The layout of ``--help``: lines break at blanks only, so that no word is split."""

from __future__ import annotations

from collections.abc import Iterable

import click

_HYPHEN = "\u2011"  # click breaks lines at "-", which would split "~/.run-agent", but not at this one


class Formatter(click.HelpFormatter):
    """Breaks lines at blanks only."""

    def write(self, string: str) -> None:
        """Add text without wrapping it."""
        super().write(string.replace(_HYPHEN, "-"))

    def write_text(self, text: str) -> None:
        """Add a paragraph."""
        super().write_text(text.replace("-", _HYPHEN))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Add a list of terms and their descriptions."""
        super().write_dl([(term, text.replace("-", _HYPHEN)) for term, text in rows], col_max, col_spacing)
