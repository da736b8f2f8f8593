"""Bytes of a bus file <-> messages. Pure; SPEC.md is the long form of this page.

A record::

    ---
    msg_id: MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA
    ...
    content_length: 29
    ---
    The build is green
    again now.

**Framing.** A record starts at a line ``---`` that follows a blank line (or the start of the
file) and precedes a line ``msg_id:``. Nothing else starts one, so ``bytes.split`` finds them
all, and a reader may begin anywhere. A body cannot imitate a start: in the file, its lines of
backslashes and ``---`` have one more backslash.

**Verifying.** ``content_length`` never frames. It tells a whole body from a torn one, and the
body from what a person wrote below it.

**Reading** is a ``Decoder``: feed it bytes, take messages. It keeps back what may still grow, until
more bytes or ``finish`` settle it.

    framing   where a record starts and its header ends, with a picture of the parts of a record
    header    the header: a subset of YAML, written and read
    fields    a parsed header to a message
    encode    messages to bytes
    canonical records as ``encode`` writes them, to messages
    lenient   any other record to messages
    decode    bytes to messages
    one_line  one-line messages, as people type them
    tail      the end of a file, and what a crash left there
    scan      a file taken apart: every byte is in one span
    edit      a record changed in a few lines of its header
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from messagebus.codec.decode import Decoder
    from messagebus.codec.encode import encode, encode_opening, encode_rest
    from messagebus.codec.framing import BOM, MAX_HEADER
    from messagebus.codec.tail import AppendPoint, find_append_point, id_of_whole_end, last_own_id

# Imported when first used: a reader does not need the writer's modules.
_HOMES = {
    "Decoder": "decode",
    **dict.fromkeys(("encode", "encode_rest", "encode_opening"), "encode"),
    **dict.fromkeys(("BOM", "MAX_HEADER"), "framing"),
    **dict.fromkeys(("AppendPoint", "find_append_point", "id_of_whole_end", "last_own_id"), "tail"),
}

__all__ = [
    "BOM",
    "MAX_HEADER",
    "AppendPoint",
    "Decoder",
    "encode",
    "encode_opening",
    "encode_rest",
    "find_append_point",
    "id_of_whole_end",
    "last_own_id",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'messagebus.codec' has no attribute {name!r}")
    home = import_module(f"messagebus.codec.{_HOMES[name]}")
    # All names of the module: importing codec.encode has bound that name here to the module.
    globals().update({each: getattr(home, each) for each, module in _HOMES.items() if module == _HOMES[name]})
    return globals()[name]
