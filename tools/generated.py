"""Pages that a program writes: write one, or check that it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path


def write_or_check(page: Path, text: str, arguments: list[str], usage: str | None) -> int:
    """Write ``text`` to ``page``; with --check, return 1 if the page has another text."""
    if arguments == ["--check"]:
        if page.exists() and page.read_text(encoding="utf-8") == text:
            return 0
        sys.stderr.write(f"{page} is out of date: run make docs\n")
        return 1
    if arguments:
        sys.stderr.write(f"{usage}\n")
        return 2
    page.write_text(text, encoding="utf-8")
    return 0
