"""A record changed in a few lines of its header; all its other bytes stay as they were written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import takewhile

from messagebus.codec import header
from messagebus.codec.fields import MENDED
from messagebus.codec.framing import MAX_HEADER, OTHER_FIELDS, escape, header_end, unescape
from messagebus.codec.scan import Examined, as_lf, split_header

_OPENING_LINE = b"---\n"
_LENGTH = b"content_length"
_LENGTH_LINE = re.compile(rb"^content_length: (\d{1,12})\r*$", re.MULTILINE)
_LINE = re.compile(rb"[A-Za-z_]+:(?: .*)?|[ -].*")


def edited(
    record: bytes,
    meta: Mapping[str, str],
    *,
    msg_id: str | None = None,
    body: bytes | None = None,
    length: int | None = None,
) -> bytes | None:
    """``record`` with these entries in its ``meta``; and with another id, body (as stored) and length, where given.

    None where the lines of its header cannot be changed one by one.
    """
    end = header_end(record[len(_OPENING_LINE) :])
    if end is None:
        return None
    lines = [line.rstrip(b"\r") for line in record[len(_OPENING_LINE) :][: end.start()].split(b"\n")]
    names = [line.partition(b":")[0] for line in lines]
    if not all(map(_LINE.fullmatch, lines)) or (b"meta" in names and b"meta:" not in lines):
        return None
    if length is not None:
        lines = [line for line, name in zip(lines, names, strict=True) if name != _LENGTH]
        lines.append(b"%b: %d" % (_LENGTH, length))
    if msg_id is not None:
        lines[0] = f"msg_id: {msg_id}".encode()
    text = b"\n".join(_with_meta(lines, meta))
    below = record[len(_OPENING_LINE) + end.end() :] if body is None else body + b"\n"
    return _OPENING_LINE + text + b"\n---\n" + below if len(text) < MAX_HEADER - OTHER_FIELDS else None


def _with_meta(lines: list[bytes], meta: Mapping[str, str]) -> list[bytes]:
    """The lines of a header with these entries; a new ``meta`` goes in front of the length."""
    if b"meta:" not in lines:
        lengths = (at for at, line in enumerate(lines) if line.startswith(_LENGTH))
        lines.insert(next(lengths, len(lines)), b"meta:")
    at = lines.index(b"meta:") + 1
    old = list(takewhile(lambda line: line.startswith(b" "), lines[at:]))
    indent = old[0][: len(old[0]) - len(old[0].lstrip(b" "))].decode() if old else "  "
    new = [header.entry(name, value, indent).rstrip("\n").encode() for name, value in meta.items()]
    named = tuple(line.partition(b": ")[0] + b":" for line in new)
    return [*lines[:at], *new, *(line for line in old if not line.startswith(named)), *lines[at + len(old) :]]


def with_fitting_length(record: Examined, *, crlf: bool) -> bytes | None:
    """A record whose body a person changed, marked in its ``meta``, with the length that fits, and the one-line
    messages below it. None where its header cannot be changed."""
    own, *below = stored_with_lf(record, crlf=crlf)
    head, region = split_header(own[len(_OPENING_LINE) :])
    lengths = _LENGTH_LINE.findall(head)
    written = int(lengths[-1]) if lengths else len(region)
    body = escape(unescape(region[:written]) + region[written:]).rstrip(b"\r\n")
    changed = edited(own, {MENDED: "length"}, body=body, length=len(body))
    return changed and changed + b"".join(below)


def stored_with_lf(record: Examined, *, crlf: bool) -> list[bytes]:
    """The bytes of each message, with LF."""
    texts = (as_lf(raw, crlf=crlf) for _, raw in record.messages)
    return [text if text.endswith(b"\n") else text + b"\n" for text in texts]
