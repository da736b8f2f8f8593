"""One-line messages: ``[2026-11-21 03:14:15] FACT: text``, as a person adds them in an editor.

SPEC.md, "Other forms that are read".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

from messagebus.message import Message
from messagebus.timestamps import parse_time

StoredMessage = tuple[Message, bytes]  # with its bytes as they are in the file

_PREAMBLE = "LEGACY-LINE-"
_BELOW = re.compile(r"(.+)\+\d+")
_CANDIDATE = re.compile(rb"\n([ \t]*\[[^\n]*)")
_ONE_LINE = re.compile(
    r"[ \t]*\[(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:[.,]\d+)?) ?(Z|[+-]\d\d:?\d\d)?\]"
    r"[ \t]*(?:([A-Za-z0-9_/-]+):(?=\s|$))?[ \t]*(.*)",
    re.ASCII,
)


def one_line_messages(
    text: bytes, name: Callable[[int, int], str], *, closed: bool
) -> tuple[list[StoredMessage], bytes, bool]:
    """The one-line messages in ``text``, the text around them, and whether the last line has
    no line end yet (then it is left out, unless ``closed``).

    ``name`` makes an id from the number of the line (0 for the first, which is the end of
    another) and the number of the message.
    """
    unfinished = not closed and b"\n" in text and not text.endswith(b"\n")
    if unfinished:
        text = text[: text.rindex(b"\n")]
    messages: list[StoredMessage] = []
    others = []
    number = at = 0
    for match in _CANDIDATE.finditer(text):  # not split: a list of short lines takes fifty times their bytes
        line = _one_liner(match[1])
        if line:
            others.append(text[at : match.start()])
            number += text.count(b"\n", at, match.end())
            at = match.end()
            ts, type_, body = line
            messages.append((Message(name(number, len(messages) + 1), ts, type_, body=body), match[1] + b"\n"))
    return messages, b"".join((*others, text[at:])), unfinished


def _one_liner(raw: bytes) -> tuple[datetime, str, str] | None:
    match = _ONE_LINE.fullmatch(raw.decode("utf-8", "replace").rstrip(" \t\r"))
    if not match or not (match[4] or match[5]):
        return None
    try:
        ts = parse_time(f"{match[1]}T{match[2]}{match[3] or 'Z'}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return ts, (match[4] or "INFO").upper(), match[5]


def record_of(msg_id: str) -> str | None:
    """The id of the record that a one-line message is below; None for any other id."""
    match = _BELOW.fullmatch(msg_id)
    return match[1] if match else None


def is_preamble_id(msg_id: str) -> bool:
    """Whether it is the id of a one-line message above the first record."""
    return msg_id.startswith(_PREAMBLE)


def preamble_id(line: int) -> str:
    """The id of a one-line message above the first record; two line ends were put in front (see ``Decoder``)."""
    return f"{_PREAMBLE}{line - 1:09d}"
