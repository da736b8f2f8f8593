"""How the project writes: widths, and words that a native engineer would not use, each with the better one.

What is read: the pages without code, everything in scripts and in the files of the web page, and the
comments, docstrings and texts in Python.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from manual import HOME, PAGES, name_of

COLUMNS = 100
WORDS = {
    r"behind": "after",
    r"nobody|somebody": "no one, someone; or a reader, a caller, another process",
    r"who(m|so)?ever": "anyone who",
    r"(stands|stood)(?! (for|in for|still))": "is, was",
    r"goes on|going on|went on": "continues, continued",
    r"comes again|came again": "returns, is repeated",
    r"mend(s|ed|ing|er)?": "repair",
    r"heal(s|ed|ing|er)?": "recover",
    r"as far as may be": "if possible",
    r"not to be had": "not available",
    r"for who (reads|writes|follows|posts|waits|looks|asks)": "for readers, for those that write",
}
# Where a word is right.
ALLOWED = re.compile(r"behind (a|the|your) ((reverse )?proxy|flag)|(leave|left|lag|further)s? behind|an hour behind")
# Names of the file format: the field `mended` in `meta`, the type MENDED, and files that end in ".mending".
FORMAT = re.compile(r"""\bMENDED\b|["'`]mended\b|\bmeta\.mended\b|\bmended: \w+|[".]mending\b""")
ROOTS = ("messagebus", "run_agent", "benchmarks", "tools", "examples", "tests")
SUFFIXES = (".py", ".js", ".sh", ".html", ".css", ".service", "")
SOURCES = [
    path
    for root in ROOTS
    for path in sorted((HOME / root).rglob("*"))
    if path.is_file()
    and path.suffix in SUFFIXES
    and not {"vendor", "data", "corpus", "npm", "__pycache__", "node_modules"} & {*path.relative_to(HOME).parts}
    and path != Path(__file__)
]


def without_code(page: Path) -> Iterator[tuple[int, str]]:
    """The lines of a page that are prose or a table, with their numbers."""
    in_fence = False
    for number, line in enumerate(page.read_text().split("\n"), 1):
        if re.match(r" *```", line):
            in_fence = not in_fence
        elif not in_fence and not line.startswith("    "):
            yield number, line


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """Comments and strings, with the line that they begin on; a string of one word is a name."""
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(io.StringIO(file.read()).readline):
            is_string = token.type in (
                tokenize.STRING,
                getattr(tokenize, "FSTRING_MIDDLE", -1),
            )  # the latter since 3.12
            if token.type == tokenize.COMMENT or (is_string and " " in token.string):
                yield from enumerate(token.string.split("\n"), token.start[0])


def read(path: Path) -> Iterator[tuple[int, str]]:
    if path.suffix == ".md":
        return ((number, re.sub(r"`[^`]+`", "", line)) for number, line in without_code(path))
    return texts_of(path) if path.suffix == ".py" else iter(enumerate(path.read_text().split("\n"), 1))


@pytest.mark.parametrize("path", [*PAGES, *SOURCES], ids=name_of)
def test_words_that_have_a_better_one(path: Path) -> None:
    found = [
        f"{name_of(path)}:{number}: {match[0]!r}: say {better!r}"
        for number, line in read(path)
        for word, better in WORDS.items()
        for match in re.finditer(rf"\b({word})\b", FORMAT.sub("", ALLOWED.sub("", line)), re.IGNORECASE)
    ]
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_lines_of_prose_have_at_most_100_columns(page: Path) -> None:
    """Tables, code, and what a link points to do not count."""
    wide = [
        f"{name_of(page)}:{number}"
        for number, line in without_code(page)
        if not line.startswith(("|", "<!--")) and len(re.sub(r"\]\([^)]*\)|https?://\S+", "", line)) > COLUMNS
    ]
    assert wide == []
