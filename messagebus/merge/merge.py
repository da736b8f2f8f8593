"""Two versions of a bus file and the one they come from, merged into one file: for git. Pure.

Records are known by their ids, one-line messages and free text by their bytes. A merge adds; it takes away
nothing but what the other side replaced. It gives the same bytes whichever side is called ours, and
again when its result meets either side. ``paragraphs`` is what stands outside of records, ``weave`` makes
one order of two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from messagebus import msgid
from messagebus.codec import header
from messagebus.codec.decode import RecordEnd, read_record
from messagebus.codec.edit import with_fitting_length
from messagebus.codec.fields import CONFLICT_OF
from messagebus.codec.framing import OPENING, PLAIN_START, START, id_line
from messagebus.codec.one_line import StoredMessage
from messagebus.codec.scan import Span, examine, scan
from messagebus.codec.tail import find_append_point
from messagebus.merge.order import union
from messagebus.merge.paragraphs import Paragraph, joined, lines_of, paragraphs_of, united
from messagebus.message import Message

_META = re.compile(rb"^meta:[ \t\r]*\n(?:[ \t]+[^\n]*\n)+", re.MULTILINE)
_HEADER_CLOSES = re.compile(rb"(?<=\n)(?=---\r*(?:[\n\0]|\Z))")
_LAST_OF_HEADER = re.compile(rb"^(?:content_length:[^\n]*\n)?\Z", re.MULTILINE)

_Texts = dict[str, list[bytes]]  # of records, from behind msg_id: on, by key


class _Versions(NamedTuple):
    """All that stands under one id on one side: records, and the one-line messages below them."""

    cores: set[bytes]
    lines: list[Paragraph]


def merge_logs(base: bytes, ours: bytes, theirs: bytes) -> bytes:
    """The messages of both sides, each once, in the order of their ids' times (SPEC.md, "Ids").

    ``base`` is what both come from, and may be empty. What one side alone changed is taken from it; what one
    side alone removed stays. Of a record that both changed, both versions stay: the second gets an id
    right behind the first one's, and ``meta.conflict_of``. One-line messages and free text are united.
    The result has LF, one blank line between records, and no byte order mark.
    """
    (above_base, was), (above_ours, one), (above_theirs, two) = map(_taken_apart, (base, ours, theirs))
    texts, copies = _merged(was, one, two)
    keys = union(_with_copies(one, copies), _with_copies(two, copies), msgid.order)
    above = joined(_merged_above(*map(paragraphs_of, (above_base, above_ours, above_theirs))))
    records = (OPENING + _closed(text) for key in keys for text in texts[key])
    return b"\n".join((above, *records) if above else records)


def _merged_above(was: list[Paragraph], one: list[Paragraph], two: list[Paragraph]) -> list[Paragraph]:
    gone = _replaced(*({each.text for each in side if each.when is None} for side in (was, one, two)))
    one, two = ([each for each in side if each.when or each.text not in gone] for side in (one, two))
    return united(one, two)


def _taken_apart(data: bytes) -> tuple[bytes, _Texts]:
    """The text above the first record, and the records; without what a crash left at the end."""
    data = data.rstrip(b"\0")
    data = data[: find_append_point(data, whole_file=True).truncate_to]
    above, records = b"", _Texts()
    for piece in scan((data,)):
        text = (piece.text.replace(b"\r\n", b"\n") if piece.is_crlf else piece.text).rstrip(b"\r\n")
        if piece.start:
            text = text if _fits(text) else _refitted(piece, text)
            records.setdefault(_key(text), []).append(text)
        else:
            above = text
    return above, records


def _fits(text: bytes) -> bool:
    """Is it a record with the length of its body, as nearly all are?"""
    head, _, body = text.partition(b"\n---\n")
    return head.endswith(b"\ncontent_length: %d" % len(body))


def _refitted(piece: Span, text: bytes) -> bytes:
    """What a person changed gets the length that fits before it is compared: so the merge leaves no
    record marked as changed, and who did the same before has the same bytes."""
    record = examine(piece)
    fitting = with_fitting_length(record, crlf=piece.is_crlf) if record.damage == "length" else None
    return fitting.removeprefix(OPENING).rstrip(b"\r\n") if fitting else text


def _key(text: bytes) -> str:
    """The id of a record; all of its text where it has none."""
    line = id_line(text)
    return line.decode("utf-8", "surrogateescape") if line and b"\0" not in line else text.decode("latin-1")


def _closed(text: bytes) -> bytes:
    """With its line end; an empty body has one, too."""
    return text + (b"\n\n" if text.endswith(b"\n---") else b"\n")


def _merged(was: _Texts, one: _Texts, two: _Texts) -> tuple[_Texts, dict[str, list[str]]]:
    """The records under each key, and the keys of the copies that were made of some."""
    texts, open_ = _Texts(), dict[str, _Versions]()
    for key in one | two:
        ours, theirs = one.get(key, []), two.get(key, [])
        if (ours == theirs or not (ours and theirs)) and len(ours or theirs) == 1:
            texts[key] = ours or theirs
        else:
            open_[key] = _three_way(*(_read(texts) for texts in (was.get(key, []), ours, theirs)))
    copies: dict[str, list[str]] = {}
    for key, copy in _settled(texts, open_):
        copies.setdefault(key, []).append(copy)
    return texts, copies


def _settled(texts: _Texts, open_: dict[str, _Versions]) -> Iterator[tuple[str, str]]:
    """Give each version a key of its own, in ``texts``; tells from which to which one went."""
    keys = list(open_)
    heapify(keys)  # a copy's is behind its original's
    while keys:
        key = heappop(keys)
        cores, lines = open_.pop(key)
        first, *others = sorted(cores, key=_rank)
        bearer = next((core for core in (first, *others) if _bears(core, lines)), first)
        texts[key] = [_with_lines(first, lines if first == bearer else [])]
        for core in others:
            if not _found(core):
                texts[key].append(core)  # it holds no message, so it has no id to be repeated
                continue
            copy = msgid.sibling(key, int.from_bytes(sha256(core).digest()[:4], "big"))
            if copy not in open_:
                open_[copy] = _read(texts.pop(copy, []))
                heappush(keys, copy)
            renamed = _Versions({_renamed(core, copy, key)}, lines if core == bearer else [])
            open_[copy] = _together(open_[copy], renamed)
            yield key, copy


def _rank(core: bytes) -> tuple[bool, bool, bytes]:
    """What keeps the id: a message, if there is one, and a whole one."""
    found = _found(core)
    return not found, not found or found[0][0].intact is False, core


def _read(texts: Iterable[bytes]) -> _Versions:
    cores, lines = set(), list[StoredMessage]()
    for text in texts:
        found = _found(text)
        own = found[0][1].removeprefix(OPENING).rstrip(b"\r\n") if found else text
        if b"\0" in text or START.search(own):
            own, found = text, []  # what stands between would be lost, or become a record
        cores.add(own)
        lines += found[1:]
    return _Versions(cores, lines_of(lines))


def _found(text: bytes) -> list[StoredMessage]:
    return read_record(PLAIN_START, text, RecordEnd.NEXT_RECORD)[0]


def _message(core: bytes) -> Message:
    return _found(core)[0][0]


def _three_way(was: _Versions, one: _Versions, two: _Versions) -> _Versions:
    both = _together(one, two)
    cores = both.cores - _replaced(was.cores, one.cores, two.cores)
    if not any(_bears(core, both.lines) for core in cores):
        # A line that stands below the old text would be swallowed by the new one: both stay.
        cores |= {core for core in both.cores if _bears(core, both.lines)}
    return _Versions(cores - _contained(cores), both.lines)


def _replaced(was: set[bytes], one: set[bytes], two: set[bytes]) -> set[bytes]:
    """What one side left as it was, and the other changed."""
    return (was & two - one if one - was else set()) | (was & one - two if two - was else set())


def _contained(cores: set[bytes]) -> set[bytes]:
    """Torn records of which the rest is there."""
    contained = set()
    whole = b""
    for core in sorted(cores, reverse=True) if len(cores) > 1 else ():  # what a text begins stands right behind it
        if whole.startswith(core):
            contained.add(core)
        elif _found(core) and _message(core).intact:
            whole = core
    return contained


def _together(one: _Versions, two: _Versions) -> _Versions:
    return _Versions(one.cores | two.cores, united(one.lines, two.lines))


def _bears(core: bytes, lines: list[Paragraph]) -> bool:
    """Are the lines read as messages below it?"""
    return not lines or _read([_with_lines(core, lines)]) == _Versions({core}, lines)


def _with_lines(core: bytes, lines: list[Paragraph]) -> bytes:
    return b"\n".join((_closed(core)[:-1], *(line.text for line in lines))) if lines else core


def _renamed(core: bytes, msg_id: str, original: str) -> bytes:
    """The record under another id, with a note of the one it had."""
    head, rest = _HEADER_CLOSES.split(core, maxsplit=1)
    head = _META.sub(b"", head[head.index(b"\n") :])
    meta = header.mapping("meta", {**_message(core).meta, CONFLICT_OF: original}).encode()
    return b" %b%b%b" % (msg_id.encode(), _LAST_OF_HEADER.sub(lambda last: meta + last[0], head, count=1), rest)


def _with_copies(side: _Texts, copies: dict[str, list[str]]) -> list[str]:
    """The keys of a side, each copy right behind its original."""
    keys: dict[str, None] = {}
    waiting = list(reversed(side))
    while waiting:
        key = waiting.pop()
        if key not in keys:
            keys[key] = None
            waiting += [copy for copy in reversed(copies.get(key, [])) if copy not in side]
    return list(keys)
