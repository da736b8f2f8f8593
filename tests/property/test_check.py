"""Logs damaged at random: what ``check_bus`` finds, ``repair_bus`` repairs, and nothing that was written is lost.

One loop: archives and a live file, damaged in some ways; checked, repaired, and checked again.
"""

from __future__ import annotations

import os
import random
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hostile import DRAFTS, SCRAPS, START
from hypothesis import example, given, settings
from hypothesis import strategies as st

from messagebus import GapWarning, Message, MessageBus, check_bus, repair_bus, replace
from messagebus.backends.file import segments
from messagebus.codec import Decoder
from messagebus.codec.scan import examine, scan, scan_ids
from messagebus.repair import originals

OTHERS = [b"\r\n", b"word", b" meta:\n  a: b\n", START + b" custom\n---\n", START + b" custom.1\n---\n", b"\x1b[2J"]
JUNK = st.lists(st.sampled_from(SCRAPS + OTHERS) | st.binary(max_size=20), max_size=5).map(b"".join)
CI_AND_SOAK = pytest.mark.parametrize(
    "examples", [70, pytest.param(2000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])]
)

STARTED = {b"ms", b"msg", b"id"}  # of the first bytes of a record: no one wrote them as text

Draw = st.DataObject
Files = dict[str, bytes]


# --- ways to damage a file -----------------------------------------------------------------------


def _position(draw: Draw, text: bytes) -> int:
    """Anywhere, and more often about the start of a record."""
    starts = [match.start() for match in re.finditer(re.escape(START), text)] or [0]
    near = st.sampled_from(starts).flatmap(lambda at: st.integers(at, min(at + 16, len(text))))
    return draw.draw(near | st.integers(0, len(text)))


def put_junk(draw: Draw, text: bytes) -> bytes:
    at = _position(draw, text)
    return text[:at] + draw.draw(JUNK) + text[at + draw.draw(st.integers(0, 300)) :]


def cut(draw: Draw, text: bytes) -> bytes:
    return text[: _position(draw, text)]


def leave_unwritten(draw: Draw, text: bytes) -> bytes:
    at = _position(draw, text)
    return text[:at] + bytes(draw.draw(st.integers(1, 600))) + text[at + draw.draw(st.sampled_from([0, 50])) :]


def convert(draw: Draw, text: bytes) -> bytes:
    at = draw.draw(st.just(len(text)) | st.integers(0, len(text)))
    return text[:at].replace(b"\n", b"\r\n") + text[at:]


def shuffle(draw: Draw, text: bytes) -> bytes:
    return START.join(draw.draw(st.permutations(text.split(START))))


def repeat_tail(draw: Draw, text: bytes) -> bytes:
    return text + b"\n" + text[text.find(b"---\nmsg_id", _position(draw, text)) :]


def type_above(draw: Draw, text: bytes) -> bytes:
    above = [b"typed\n", b"# A log\r\n", b"\xef\xbb\xbftyped\n", b"---\n", b"\0typed\n"]
    return draw.draw(st.sampled_from(above)) + text


DAMAGES = [put_junk, cut, leave_unwritten, convert, shuffle, repeat_tail, type_above]


class Damaged:
    """A log of up to three files that was damaged in up to four ways."""

    def __init__(self, draw: Draw, directory: str) -> None:
        self.path = Path(directory, "BUS.md")
        for number in range(draw.draw(st.sampled_from([1, 1, 1, 2, 3]))):
            with MessageBus(self.path, auto_rotate_bytes=1 if number else 0) as bus:
                bus.append_messages(DRAFTS)
        for _ in range(draw.draw(st.integers(1, 4))):
            self._damage(draw)
        self.before = self.files()

    def _damage(self, draw: Draw) -> None:
        file = draw.draw(st.sampled_from(sorted(self.path.parent.iterdir())))
        text = file.read_bytes()
        damage = draw.draw(st.sampled_from([*DAMAGES, None]))
        if damage is None:  # an archive was copied
            number = draw.draw(st.integers(0, 999_999))
            file = Path(f"{self.path}.20200101-000000-{number:06}.archived")
        file.write_bytes(damage(draw, text) if damage else text)

    def files(self, *, broken: bool = False) -> Files:
        found = self.path.parent.iterdir()
        return {file.name: file.read_bytes() for file in found if file.name.endswith(".broken") == broken}

    def messages(self) -> list[Message]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GapWarning)
            return MessageBus(self.path).read_messages()

    def damage(self) -> list[str]:
        return [f"{found.code} {found.line} {found.text}" for found in check_bus(self.path) if found.is_damage]


def words(*texts: bytes) -> set[bytes]:
    """Runs of letters; the digits of a length are not among them."""
    return {word for text in texts for word in re.findall(rb"[^\W\d_]{2,}", text)}


@CI_AND_SOAK
def test_what_is_damaged_is_repaired_and_nothing_is_lost(
    examples: int, tally: Callable[..., None], monkeypatch: pytest.MonkeyPatch, patched: Any
) -> None:
    tried = 0
    for module in (originals, replace, segments):  # no power is lost here, and flushing takes most of the time
        monkeypatch.setattr(module, "os", patched(os, fsync=lambda _fd: None))

    @settings(max_examples=examples)
    @given(st.data())
    def attempt(data: Draw) -> None:
        nonlocal tried
        with TemporaryDirectory() as directory:
            repair_and_compare(Damaged(data, directory))
        tried += 1

    attempt()
    tally("logs damaged at random, and repaired", tried)


def repair_and_compare(log: Damaged) -> None:
    damage, whole = log.damage(), [message for message in log.messages() if message.intact]
    repaired = repair_bus(log.path)
    assert log.damage() == []
    assert bool(repaired) == bool(damage)
    after = log.files()
    assert repair_bus(log.path) == [], "a second repair finds something to do"
    assert log.files() == after
    compare_files(log, {Path(one.path).name: Path(one.broken).name for one in repaired if one.broken})
    compare_messages(log, whole)


def compare_files(log: Damaged, repaired: dict[str, str]) -> None:
    """Files that were not repaired are unchanged; the originals are kept; and no word is missing."""
    after, kept = log.files(), log.files(broken=True)
    assert set(repaired.values()) == kept.keys()
    for name, before in log.before.items():
        assert kept[repaired[name]] == before if name in repaired else after[name] == before
    assert words(*log.before.values()) - STARTED <= words(*after.values())


def compare_messages(log: Damaged, whole: list[Message]) -> None:
    """Whole messages are still there; one of two with the same id may have another id."""
    after = log.messages()
    ids = [message.msg_id for message in after]
    in_records = [msg_id for msg_id in ids if not msg_id.startswith("LEGACY-LINE-")]  # the number of a line in its file
    assert len(set(in_records)) == len(in_records)
    found, bodies = {(m.msg_id, m.type, m.body) for m in after}, {m.body for m in after}
    spans = {name: list(scan([text])) for name, text in log.before.items()}
    times = Counter(span.msg_id for name in spans for span in spans[name])
    for m in whole:
        if spans["BUS.md"] and m.msg_id == spans["BUS.md"][-1].msg_id:  # readers held back text without a line end
            assert any(m.body in body for body in bodies), m
            continue
        assert (m.msg_id, m.type, m.body) in found or (times[m.msg_id] > 1 and m.body in bodies), m
    read = [message.msg_id for text in log.files().values() for message in decoded(text)]
    assert {*ids} <= {*read}
    assert len(read) <= len(ids) + 1, "readers get all, except one at the end that may still grow"


def decoded(text: bytes) -> list[Message]:
    decoder = Decoder()
    return [*decoder.feed(text), *decoder.finish(closed=True)]


# --- scanning ------------------------------------------------------------------------------------


def chunks(text: bytes, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    edges = sorted(chance.choices(range(len(text) + 1), k=chance.randrange(8)))
    yield from (text[a:b] for a, b in pairwise([0, *edges, len(text)]) if a < b or not a)


@settings(max_examples=100)
@given(st.lists(JUNK, max_size=6).map(b"".join), st.integers(0, 99))
@example(b"\xef\xbb\xbf", 3)  # whose first chunk is empty
def test_the_spans_of_any_bytes_give_back_the_bytes(text: bytes, seed: int) -> None:
    spans = list(scan(chunks(text, seed)))
    assert spans == list(scan([text]))
    assert list(scan_ids(chunks(text, seed))) == [span.msg_id for span in spans if span.start]
    at = 3 if text.startswith(b"\xef\xbb\xbf") else 0
    for span in spans:
        assert not text[at : span.offset].strip(b"\r\n"), "bytes that are in no span"
        assert (text + b"\n")[span.offset :].startswith(span.raw)
        assert span.line == text[: span.offset].count(b"\n") + 1
        at = span.offset + len(span.raw)
    assert not text[at:].strip(b"\r\n")
    assert [span.is_last for span in spans] == [False] * (len(spans) - 1) + [True] * bool(spans)
    for span in spans:
        examine(span)
