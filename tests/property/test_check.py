"""Logs damaged at random: what ``check_bus`` finds, ``repair_bus`` mends, and nothing that was written is lost.

One loop: archives and a live file, damaged in some ways; looked over, mended, and looked over again.
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
from hypothesis import given, settings
from hypothesis import strategies as st

from messagebus import GapWarning, Message, MessageBus, check_bus, repair_bus
from messagebus.backends.file import segments
from messagebus.codec import Decoder
from messagebus.codec.scan import examine, scan
from messagebus.repair import repair

OTHERS = [b"\r\n", b"word", b" meta:\n  a: b\n", START + b" custom\n---\n", START + b" custom.1\n---\n", b"\x1b[2J"]
JUNK = st.lists(st.sampled_from(SCRAPS + OTHERS) | st.binary(max_size=20), max_size=5).map(b"".join)
CI_AND_SOAK = pytest.mark.parametrize(
    "examples", [70, pytest.param(2000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])]
)

STARTED = {b"ms", b"msg", b"id"}  # of the start of a record that never was: nobody wrote it as text

Draw = st.DataObject
Files = dict[str, bytes]


# --- ways to damage a file -----------------------------------------------------------------------


def _location(draw: Draw, text: bytes) -> int:
    """Anywhere, and more often about the start of a record."""
    starts = [match.start() for match in re.finditer(re.escape(START), text)] or [0]
    near = st.sampled_from(starts).flatmap(lambda at: st.integers(at, min(at + 16, len(text))))
    return draw.draw(near | st.integers(0, len(text)))


def put_junk(draw: Draw, text: bytes) -> bytes:
    at = _location(draw, text)
    return text[:at] + draw.draw(JUNK) + text[at + draw.draw(st.integers(0, 300)) :]


def cut(draw: Draw, text: bytes) -> bytes:
    return text[: _location(draw, text)]


def leave_unwritten(draw: Draw, text: bytes) -> bytes:
    at = _location(draw, text)
    return text[:at] + bytes(draw.draw(st.integers(1, 600))) + text[at + draw.draw(st.sampled_from([0, 50])) :]


def convert(draw: Draw, text: bytes) -> bytes:
    at = draw.draw(st.just(len(text)) | st.integers(0, len(text)))
    return text[:at].replace(b"\n", b"\r\n") + text[at:]


def shuffle(draw: Draw, text: bytes) -> bytes:
    return START.join(draw.draw(st.permutations(text.split(START))))


def repeat_tail(draw: Draw, text: bytes) -> bytes:
    return text + b"\n" + text[text.find(b"---\nmsg_id", _location(draw, text)) :]


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
        if damage is None:  # somebody made a copy of an archive
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
def test_what_is_damaged_is_mended_and_nothing_is_lost(
    examples: int, tally: Callable[..., None], monkeypatch: pytest.MonkeyPatch, patched: Any
) -> None:
    tried = 0
    for module in (repair, segments):  # no power is lost here, and flushing takes most of the time
        monkeypatch.setattr(module, "os", patched(os, fsync=lambda _fd: None))

    @settings(max_examples=examples)
    @given(st.data())
    def attempt(data: Draw) -> None:
        nonlocal tried
        with TemporaryDirectory() as directory:
            mend_and_compare(Damaged(data, directory))
        tried += 1

    attempt()
    tally("logs damaged at random, and mended", tried)


def mend_and_compare(log: Damaged) -> None:
    damage, whole = log.damage(), [message for message in log.messages() if message.intact]
    mended = repair_bus(log.path)
    assert log.damage() == []
    assert bool(mended) == bool(damage)
    after = log.files()
    assert repair_bus(log.path) == [], "a second time it finds something to do"
    assert log.files() == after
    compare_files(log, {Path(one.path).name: Path(one.broken).name for one in mended if one.broken})
    compare_messages(log, whole)


def compare_files(log: Damaged, mended: dict[str, str]) -> None:
    """What was not mended is as it was; the originals are kept; and no word is missing."""
    after, kept = log.files(), log.files(broken=True)
    assert set(mended.values()) == kept.keys()
    for name, before in log.before.items():
        assert kept[mended[name]] == before if name in mended else after[name] == before
    assert words(*log.before.values()) - STARTED <= words(*after.values())


def compare_messages(log: Damaged, whole: list[Message]) -> None:
    """Whole messages are still there; one whose id stood twice may have another."""
    after = log.messages()
    ids = [message.msg_id for message in after]
    in_records = [msg_id for msg_id in ids if not msg_id.startswith("LEGACY-LINE-")]  # the number of a line in its file
    assert len(set(in_records)) == len(in_records)
    found, bodies = {(m.msg_id, m.type, m.body) for m in after}, {m.body for m in after}
    pieces = {name: list(scan([text])) for name, text in log.before.items()}
    stood = Counter(piece.msg_id for name in pieces for piece in pieces[name])
    for m in whole:
        if pieces["BUS.md"] and m.msg_id == pieces["BUS.md"][-1].msg_id:  # readers held text back, without a line end
            assert any(m.body in body for body in bodies), m
            continue
        assert (m.msg_id, m.type, m.body) in found or (stood[m.msg_id] > 1 and m.body in bodies), m
    read = [message.msg_id for text in log.files().values() for message in decoded(text)]
    assert {*ids} <= {*read}
    assert len(read) <= len(ids) + 1, "but for one at the end that may still grow, readers are given all"


def decoded(text: bytes) -> list[Message]:
    decoder = Decoder()
    return [*decoder.feed(text), *decoder.finish(closed=True)]


# --- taken apart, and put together again ---------------------------------------------------------


def chunks(text: bytes, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    edges = sorted(chance.choices(range(len(text) + 1), k=chance.randrange(8)))
    yield from (text[a:b] for a, b in pairwise([0, *edges, len(text)]) if a < b or not a)


@settings(max_examples=100)
@given(st.lists(JUNK, max_size=6).map(b"".join), st.integers(0, 99))
def test_the_pieces_of_any_bytes_give_back_the_bytes(text: bytes, seed: int) -> None:
    pieces = list(scan(chunks(text, seed)))
    assert pieces == list(scan([text]))
    at = 3 if text.startswith(b"\xef\xbb\xbf") else 0
    for piece in pieces:
        assert not text[at : piece.offset].strip(b"\r\n"), "bytes that are in no piece"
        assert (text + b"\n")[piece.offset :].startswith(piece.raw)
        assert piece.line == text[: piece.offset].count(b"\n") + 1
        at = piece.offset + len(piece.raw)
    assert not text[at:].strip(b"\r\n")
    assert [piece.is_last for piece in pieces] == [False] * (len(pieces) - 1) + [True] * bool(pieces)
    for piece in pieces:
        examine(piece)
