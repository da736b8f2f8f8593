"""How ``--help`` is laid out: lines end at blanks, and no word is cut."""

from __future__ import annotations

from collections.abc import Iterable

import click

_HYPHEN = "\u2011"  # which click does not break lines at, as it does at "-": "~/.run-" is no directory


class Formatter(click.HelpFormatter):
    """Breaks lines at blanks alone."""

    def write(self, string: str) -> None:
        """Add text as it is."""
        super().write(string.replace(_HYPHEN, "-"))

    def write_text(self, text: str) -> None:
        """Add a paragraph."""
        super().write_text(text.replace("-", _HYPHEN))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Add a list of terms and what they mean."""
        super().write_dl([(term, text.replace("-", _HYPHEN)) for term, text in rows], col_max, col_spacing)
