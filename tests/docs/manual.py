"""The pages of the documentation, and every block of code in them with the mark above it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

HOME = Path(__file__).parents[2]
PAGES = [
    page
    for page in sorted(HOME.rglob("*.md"))
    if not any(part.startswith(".") or part == "data" for part in page.relative_to(HOME).parts)
]


class Block(NamedTuple):
    page: str
    line: int
    mark: str  # the HTML comment right above it; empty where there is none
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def name_of(page: Path) -> str:
    return page.relative_to(HOME).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    """Every block of code on the page, fenced or indented."""
    tokens = MarkdownIt("commonmark").parse("\n" + page.read_text())
    for above, token in pairwise(tokens):
        if token.type in ("fence", "code_block") and token.map:
            yield Block(name_of(page), token.map[0], _mark(above), token.info, token.content)


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def _mark(above: Token) -> str:
    comment = re.fullmatch(r"<!-- (.*) -->\s*", above.content, re.DOTALL) if above.type == "html_block" else None
    return comment[1] if comment else ""
