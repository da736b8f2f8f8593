"""The three-way merge of two versions of a bus file and the one they come from: for git. Pure.

Records are compared by their ids; one-line messages and free text, by their bytes. In outline:

1. Split each file into the text above its first record and its records, by id (``_split_log``).
2. Merge the records of each id: what one side alone changed or removed is taken from that side. Where both
   changed a record, both variants are kept, and all but the first get ids of their own (``_merge_records``).
3. Order the ids of both sides by their times (``order.union``), each copy right after its original.

A merge only adds: it removes nothing but what the other side replaced. The result has the same bytes whichever side
is called ours, and merging it with either side again changes nothing. ``paragraphs`` handles what is outside of
records.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from messagebus import msgid
from messagebus.codec import header
from messagebus.codec.edit import with_fitting_length
from messagebus.codec.fields import CONFLICT_OF
from messagebus.codec.framing import OPENING, PLAIN_START, START, id_line
from messagebus.codec.lenient import RecordEnd, read_record
from messagebus.codec.one_line import StoredMessage
from messagebus.codec.scan import Span, examine, scan
from messagebus.codec.tail import find_append_point
from messagebus.merge.order import union
from messagebus.merge.paragraphs import Paragraph, join, lines_of, paragraphs_of, unite
from messagebus.message import Message

_META = re.compile(rb"^meta:[ \t\r]*\n(?:[ \t]+[^\n]*\n)+", re.MULTILINE)
_BEFORE_CLOSING_LINE = re.compile(rb"(?<=\n)(?=---\r*(?:[\n\0]|\Z))")
_BEFORE_LENGTH = re.compile(rb"^(?:content_length:[^\n]*\n)?\Z", re.MULTILINE)

_Records = dict[str, list[bytes]]  # by identity, the texts of records, from after their ``msg_id:`` on


class _Variants(NamedTuple):
    """All that is under one id: the different texts of the record, and the one-line messages below them."""

    texts: set[bytes]
    lines: list[Paragraph]


def merge_logs(base: bytes, ours: bytes, theirs: bytes) -> bytes:
    """The messages of both sides, each once, in the order of their ids' times (SPEC.md, "Ids").

    ``base`` is what both come from, and may be empty. What one side alone changed is taken from it; what one
    side alone removed stays. Of a record that both changed, both versions stay: the second gets an id
    right after the first one's, and ``meta.conflict_of``. One-line messages and free text are united.
    The result has LF, one blank line between records, and no byte order mark.
    """
    (base_top, in_base), (our_top, in_ours), (their_top, in_theirs) = map(_split_log, (base, ours, theirs))
    records, copies = _merge_records(in_base, in_ours, in_theirs)
    identities = union(_with_copies(in_ours, copies), _with_copies(in_theirs, copies), msgid.order)
    top = join(_merge_paragraphs(*map(paragraphs_of, (base_top, our_top, their_top))))
    stored = (OPENING + _with_line_end(text) for identity in identities for text in records[identity])
    return b"\n".join((top, *stored) if top else stored)


def _merge_paragraphs(base: list[Paragraph], ours: list[Paragraph], theirs: list[Paragraph]) -> list[Paragraph]:
    free_text = ({each.text for each in side if each.when is None} for side in (base, ours, theirs))
    replaced = _replaced(*free_text)
    ours, theirs = ([each for each in side if each.when or each.text not in replaced] for side in (ours, theirs))
    return unite(ours, theirs)


def _split_log(data: bytes) -> tuple[bytes, _Records]:
    """The text above the first record, and the records; without what a crash left at the end."""
    data = data.rstrip(b"\0")
    data = data[: find_append_point(data, whole_file=True).truncate_to]
    top, records = b"", _Records()
    for span in scan((data,)):
        text = (span.text.replace(b"\r\n", b"\n") if span.is_crlf else span.text).rstrip(b"\r\n")
        if span.start:
            text = text if _length_fits(text) else _with_fitting_length(span, text)
            records.setdefault(_identity(text), []).append(text)
        else:
            top = text
    return top, records


def _length_fits(text: bytes) -> bool:
    """Whether a record has the length of its body, as nearly all have."""
    head, _, body = text.partition(b"\n---\n")
    return head.endswith(b"\ncontent_length: %d" % len(body))


def _with_fitting_length(span: Span, text: bytes) -> bytes:
    """A record that a person edited, with the length that fits, before it is compared: no record that the merge
    writes is reported as edited, and a side on which this was done before has the same bytes."""
    examined = examine(span)
    changed = with_fitting_length(examined, crlf=span.is_crlf) if examined.damage == "length" else None
    return changed.removeprefix(OPENING).rstrip(b"\r\n") if changed else text


def _identity(text: bytes) -> str:
    """The id of a record; all of its text where it has none."""
    line = id_line(text)
    return line.decode("utf-8", "surrogateescape") if line and b"\0" not in line else text.decode("latin-1")


def _with_line_end(text: bytes) -> bytes:
    """With the line end of its body; an empty body has one, too."""
    return text + (b"\n\n" if text.endswith(b"\n---") else b"\n")


def _merge_records(base: _Records, ours: _Records, theirs: _Records) -> tuple[_Records, dict[str, list[str]]]:
    """The records under each identity, and the ids of the copies that were made of some."""
    records, conflicts = _Records(), dict[str, _Variants]()
    for identity in ours | theirs:
        our, their = ours.get(identity, []), theirs.get(identity, [])
        if (our == their or not (our and their)) and len(our or their) == 1:
            records[identity] = our or their
        else:
            sides = (base.get(identity, []), our, their)
            conflicts[identity] = _merge_variants(*(_read_variants(texts) for texts in sides))
    copies: dict[str, list[str]] = {}
    for original, copy in _give_each_an_id(records, conflicts):
        copies.setdefault(original, []).append(copy)
    return records, copies


def _give_each_an_id(records: _Records, conflicts: dict[str, _Variants]) -> Iterator[tuple[str, str]]:
    """Add all variants to ``records``, the first under its own id, each other as a copy under an id right after
    it. Yields the id of the original and of the copy. A copy's id may be taken, and so a conflict in its turn."""
    waiting = list(conflicts)
    heapify(waiting)  # a copy comes after its original
    while waiting:
        identity = heappop(waiting)
        texts, lines = conflicts.pop(identity)
        first, *others = sorted(texts, key=_preference)
        with_lines = next((text for text in (first, *others) if _keeps_lines(text, lines)), first)
        records[identity] = [_add_lines(first, lines if first == with_lines else [])]
        for text in others:
            if not _messages_of(text):
                records[identity].append(text)  # it holds no message, so there is no id to be repeated
                continue
            copy = msgid.sibling(identity, int.from_bytes(sha256(text).digest()[:4], "big"))
            if copy not in conflicts:
                conflicts[copy] = _read_variants(records.pop(copy, []))
                heappush(waiting, copy)
            renamed = _Variants({_with_id(text, copy, identity)}, lines if text == with_lines else [])
            conflicts[copy] = _unite_variants(conflicts[copy], renamed)
            yield identity, copy


def _preference(text: bytes) -> tuple[bool, bool, bytes]:
    """Sorts first what keeps the id: a message before what is none, a whole one before a torn one."""
    messages = _messages_of(text)
    return not messages, not messages or messages[0][0].intact is False, text


def _read_variants(texts: Iterable[bytes]) -> _Variants:
    """Records taken apart into their own texts and the one-line messages below them."""
    own_texts, lines = set(), list[StoredMessage]()
    for text in texts:
        messages = _messages_of(text)
        own = messages[0][1].removeprefix(OPENING).rstrip(b"\r\n") if messages else text
        if b"\0" in text or START.search(own):
            own, messages = text, []  # taken apart, it would lose text, or the rest would become a record
        own_texts.add(own)
        lines += messages[1:]
    return _Variants(own_texts, lines_of(lines))


def _messages_of(text: bytes) -> list[StoredMessage]:
    return read_record(PLAIN_START, text, RecordEnd.NEXT_RECORD)[0]


def _message_of(text: bytes) -> Message:
    return _messages_of(text)[0][0]


def _merge_variants(base: _Variants, ours: _Variants, theirs: _Variants) -> _Variants:
    both = _unite_variants(ours, theirs)
    texts = both.texts - _replaced(base.texts, ours.texts, theirs.texts)
    if not any(_keeps_lines(text, both.lines) for text in texts):
        # The new text would take in the lines below the old one as text of its own: keep the old one too.
        texts |= {text for text in both.texts if _keeps_lines(text, both.lines)}
    return _Variants(texts - _beginnings(texts), both.lines)


def _replaced(base: set[bytes], ours: set[bytes], theirs: set[bytes]) -> set[bytes]:
    """What one side left as it was, and the other side changed."""
    by_ours = base & theirs - ours if ours - base else set()
    by_theirs = base & ours - theirs if theirs - base else set()
    return by_ours | by_theirs


def _beginnings(texts: set[bytes]) -> set[bytes]:
    """Torn records of which another text is the whole."""
    beginnings = set()
    whole = b""
    for text in sorted(texts, reverse=True) if len(texts) > 1 else ():  # the beginning of a text sorts right after it
        if whole.startswith(text):
            beginnings.add(text)
        elif _messages_of(text) and _message_of(text).intact:
            whole = text
    return beginnings


def _unite_variants(one: _Variants, two: _Variants) -> _Variants:
    return _Variants(one.texts | two.texts, unite(one.lines, two.lines))


def _keeps_lines(text: bytes, lines: list[Paragraph]) -> bool:
    """Whether these lines, put below this record, are read as messages again."""
    return not lines or _read_variants([_add_lines(text, lines)]) == _Variants({text}, lines)


def _add_lines(text: bytes, lines: list[Paragraph]) -> bytes:
    return b"\n".join((_with_line_end(text)[:-1], *(line.text for line in lines))) if lines else text


def _with_id(text: bytes, msg_id: str, original: str) -> bytes:
    """The record under another id, with a note of its original one."""
    head, rest = _BEFORE_CLOSING_LINE.split(text, maxsplit=1)
    head = _META.sub(b"", head[head.index(b"\n") :])
    meta = header.mapping("meta", {**_message_of(text).meta, CONFLICT_OF: original}).encode()
    return b" %b%b%b" % (msg_id.encode(), _BEFORE_LENGTH.sub(lambda length: meta + length[0], head, count=1), rest)


def _with_copies(side: _Records, copies: dict[str, list[str]]) -> list[str]:
    """The identities of a side, in its order, each copy right after its original."""
    identities: dict[str, None] = {}
    waiting = list(reversed(side))
    while waiting:
        identity = waiting.pop()
        if identity not in identities:
            identities[identity] = None
            waiting += [copy for copy in reversed(copies.get(identity, [])) if copy not in side]
    return list(identities)
