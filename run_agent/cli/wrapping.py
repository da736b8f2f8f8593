"""Text wrapped to the rows of a terminal, so that only the start of it is in the first column.

A terminal breaks long lines itself, and the text after such a break could imitate a message.
Terminals disagree on how many cells a character takes, so each is counted with the most that any of
them gives it: a combining mark as one, and each part of a joined emoji as two.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator

INDENT = "    "
_MIN_COLUMNS = 24  # narrower terminals get rows of this width
_DEFAULT_COLUMNS = 80  # if the terminal does not report its width
_UNIT = re.compile("\x1b\\[[0-9]*m|.", re.DOTALL)  # a colour, or a character
_WIDE_SINCE_UNICODE_16 = {*range(0x2630, 0x2638), *range(0x268A, 0x2690), *range(0x4DC0, 0x4E00)}


def wrap(text: str, fd: int) -> str:
    """``text`` for the terminal ``fd``, at its current width."""
    columns = max(os.get_terminal_size(fd).columns or _DEFAULT_COLUMNS, _MIN_COLUMNS)
    return "\n".join(f"\n{INDENT}".join(_rows(line, columns)) for line in text.split("\n"))


def _rows(line: str, columns: int) -> Iterator[str]:
    if any(unicodedata.bidirectional(char) in ("R", "AL") for char in line):
        columns -= len(INDENT)  # for a terminal that puts the indent on the right
    units = _UNIT.findall(line)
    start, limit = 0, columns
    while start < len(units):
        end = _end_of_row(units, start, limit)
        yield "".join(units[start:end])
        start, limit = end, columns - len(INDENT)


def _end_of_row(units: list[str], start: int, limit: int) -> int:
    """Where the row that starts at ``start`` ends: after a blank in its second half, if it has one."""
    end, used = start, 0
    while end < len(units) and (used := used + _cells(units[end])) <= limit:
        end += 1
    if end == len(units):
        return end
    middle = (start + end) // 2 + 1
    for position in range(end, middle, -1):
        if units[position - 1] == " ":
            return position
    while end > middle and unicodedata.category(units[end]) in ("Mn", "Me", "Cf"):
        end -= 1  # a mark stays with the character before it
    return end


def _cells(unit: str) -> int:
    """The most cells that any terminal gives it."""
    if len(unit) > 1:
        return 0
    if unit == "\t":
        return 8
    code = ord(unit)
    wide = code >= 0x1F000 or code in _WIDE_SINCE_UNICODE_16 or unicodedata.category(unit) == "Cn"
    return 2 if wide or unicodedata.east_asian_width(unit) in "WF" else 1
