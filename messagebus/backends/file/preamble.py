"""Where the text above the first record of a file ends. Nearly every file starts with a record."""

from __future__ import annotations

import os

from messagebus.codec.framing import BOM, OPENING, find_first_opening

_CHUNK = 64 * 1024  # bytes
_LONGEST_START = 512  # bytes


def first_record(fd: int, size: int) -> int:
    """The offset of the first record in the first ``size`` bytes of a file; ``size`` where there is none."""
    top = os.pread(fd, len(OPENING), 0)
    if top == OPENING:
        return 0
    text = b"\n\n"  # so that the first line looks like any other
    at = (len(BOM) if top.startswith(BOM) else 0) - len(text)
    unwritten = False
    while data := os.pread(fd, max(min(_CHUNK, size - at - len(text)), 0), at + len(text)):
        text += data
        first = find_first_opening(text, unwritten=unwritten)
        if first >= 0:
            return at + first
        unwritten = unwritten or b"\0" in data
        kept = text[-_LONGEST_START:]
        at += len(text) - len(kept)
        text = kept
    return size
