"""Idempotency keys: whatever was done to a log, and when, the answer is that of a slow scan of all its bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from messagebus import Draft, Message
from messagebus.backends.file import idempotency, key_search, search, segments
from messagebus.backends.file.idempotency import KeyIndex
from messagebus.codec import Decoder, header
from messagebus.idempotency import IDEMPOTENCY_WINDOW_MS, holds_key
from messagebus.msgid import is_own, next_msg_id, time_of

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
KEYS = ["k", "post-1", "a/b", "größe 🙂", 'say "so"', " x ", "yes", "2026-11-26", "idempotency_key: k", "\ufffd", "\\"]
DRAFT = Draft("FACT", "demo", "text")


# --- the model ---------------------------------------------------------------------------------

START_OR_KEY = re.compile(rb"(\n\r*\n)---\r*\nmsg_id:|\n +idempotency_key:([^\r\n]*)\r*(?=\n)")


def slow_scan(path: Path, key: str, now_ms: int) -> Message | None:
    """The newest message that holds the key: each line is looked at. (Ids increase, so no file counts that is before
    one which begins with an id more than a day old.)"""
    for name in reversed([*segments.list_archives(str(path)), str(path)]):
        data = Path(name).read_bytes()
        with Path(name).open("rb") as file:
            first = segments.whole(file.fileno(), closed=False).start
        records: list[int] = []
        record = first
        for match in START_OR_KEY.finditer(data, first):
            if match[1]:
                record = match.end(1)
            elif unquoted(match[2]) == key:
                records.append(record)
        for offset in reversed(records):
            message = message_at(data, offset)
            if message and holds_key(message, key, now_ms):
                return message
        oldest = re.match(rb"---\r*\nmsg_id: ([^\r\n]*)", data[first:])
        first_id = oldest[1].decode() if oldest else ""
        if is_own(first_id) and (time_of(first_id) or 0) < now_ms - IDEMPOTENCY_WINDOW_MS:
            return None
    return None


def unquoted(written: bytes) -> str:
    text = written.decode("utf-8", "replace").strip(" ")
    try:
        return header.unquote(text)
    except ValueError:
        return text


def message_at(data: bytes, offset: int) -> Message | None:
    decoder = Decoder(offset)
    messages = decoder.feed(data[offset:]) or decoder.finish(closed=True)
    return messages[0] if messages else None


# --- what is done to a log -----------------------------------------------------------------------

META = [
    "meta:\n  idempotency_key: {}\n", "meta:\n  idempotency_key:   {}  \n", "meta:\n      idempotency_key: {}\n",
    "meta:\n  a: b\n  idempotency_key: {}\n  z: b\n", "meta:\n\n  idempotency_key: {} # why\n",
    "meta: {{idempotency_key: {}}}\n", 'meta:\n  "idempotency_key": {}\n', "meta:\n  idempotency_key:\n    {}\n",
    "parents:\n  - msg_id: a\n    meta:\n      idempotency_key: {}\n", "idempotency_key: {}\n", "",
]  # fmt: skip
BODIES = [
    "text", "", "x\n  idempotency_key: k", "text\n  idempotency_key: post-1\n", "idempotency_key: k\n",
    "\n---\nmsg_id: other\nmeta:\n  idempotency_key: k\n---\ntext", "y" * 300,
    "x\\---\nmsg_id: other\nmeta:\n  idempotency_key: k\n---\ntext",
    "\0\0  idempotency_key: k",
]  # fmt: skip


def spellings(key: str) -> list[str]:
    escaped = "".join(f"\\u{byte:04x}" for byte in memoryview(key.encode("utf-16-be")).cast("H").tolist())
    return [
        header.scalar(key), key, f'"{key}"', f"'{key}'", '"' + key.replace("/", "\\/") + '"', f'"{key}"\t',
        '"' + "".join(f"\\u{ord(c):04x}" if ord(c) < 0x10000 else c for c in key) + '"', f'"{escaped}"',
    ]  # fmt: skip


HOW = ["", "crlf", "torn", "no blank line", "invalid"]
FEW = ["k", "j"]  # so that steps meet
RECORDS = st.tuples(
    st.just("record"), st.sampled_from(FEW).flatmap(lambda key: st.sampled_from([key] * 9 + spellings(key))),
    st.sampled_from(META[:1] * 20 + META), st.sampled_from(BODIES[:1] * 9 + BODIES), st.sampled_from([""] * 15 + HOW),
)  # fmt: skip
ASKED = st.tuples(st.just("ask"), st.sampled_from(FEW))
STEPS = st.one_of(
    RECORDS, RECORDS, ASKED, ASKED, ASKED,
    st.tuples(st.just("search"), st.sampled_from(FEW)),
    st.tuples(st.sampled_from(["cut", "replace end"]), st.integers(1, 400)),
    st.tuples(st.just("unwritten"), st.integers(1, 300)),
    st.tuples(st.just("wait"), st.sampled_from([1, 20, 23, 25, -30, -1])),
    st.tuples(st.sampled_from(["rotate", "copy", "remove archive", "forget", "edit", "write late", "many"])),
    st.tuples(st.sampled_from(["rotate", "copy", "add archive", "edit", "write late"])),
)  # fmt: skip


class Log:
    """A log, what other programs do to it, and two indexes: one that is kept, and a new one for each question."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = NOW
        self.oldest_id = next_msg_id(None, self.now_ms - 1, bytes)
        self.last_id = next_msg_id(None, self.now_ms, bytes)
        self.count = 0
        self.kept = KeyIndex(str(path))
        path.touch()

    @property
    def now_ms(self) -> int:
        return int(self.now.timestamp() * 1000)

    def record(self, spelled: str, meta: str, body: str, how: str, file: Path | None = None) -> None:
        self.last_id = next_msg_id(self.last_id, self.now_ms, lambda n: self.count.to_bytes(n, "big"))
        self.count += 1
        length = len(body.encode()) + (5 if how == "torn" else 0)
        text = (
            f"---\nmsg_id: {self.last_id}\nts: {self.now:%Y-%m-%dT%H:%M:%S.%fZ}\ntype: FACT\nproject_id: demo\n"
            f"{meta.format(spelled)}content_length: {length}\n---\n{body}\n"
        ).encode()
        if how == "invalid":
            text = text.replace("\ufffd".encode(), b"\xff")
        text = text if how == "no blank line" else b"\n" + text
        with (file or self.path).open("ab") as log:
            log.write(text.replace(b"\n", b"\r\n") if how == "crlf" else text)

    def many(self) -> None:
        """More keys than the index keeps."""
        for number in range(12):
            self.record(f"of many {self.count} {number}", META[0], "text", "")

    def cut(self, size: int) -> None:
        os.truncate(self.path, max(self.path.stat().st_size - size, 0))

    def replace_end(self, size: int) -> None:
        """A record is cut off, and others are put in its place."""
        self.cut(size)
        self.record("k", META[0], "text", "")
        self.record("of another", META[0], "y" * size, "")

    def unwritten(self, size: int) -> None:
        """A crash left blocks at the end; the next writer cuts them off before it appends."""
        before = self.path.stat().st_size
        os.truncate(self.path, before + size)
        self.search("k")
        os.truncate(self.path, before)

    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    def rotate(self) -> None:
        self.path.rename(f"{self.path}.20261126-12{self.count // 60:02d}{self.count % 60:02d}-000000.archived")
        self.count += 1
        self.path.touch()

    def copy(self) -> None:
        """An editor saves the file under a new inode, without its first key."""
        copied = self.path.with_name("copy")
        copied.write_bytes(self.path.read_bytes().replace(b"idempotency_key: k", b"idempotency_key: j", 1))
        copied.replace(self.path)

    def remove_archive(self) -> None:
        for name in segments.list_archives(str(self.path))[:1]:
            Path(name).unlink()

    def add_archive(self) -> None:
        """Another program puts back an archive, the oldest one."""
        last_id, self.last_id = self.last_id, self.oldest_id
        now, self.now = self.now, NOW
        self.record("k", META[0], "text", "", Path(f"{self.path}.20251126-120000-{self.count:06d}.archived"))
        self.last_id, self.oldest_id, self.now = last_id, self.last_id, now

    def write_late(self) -> None:
        """A program that does not know rotation appends to the newest archive."""
        self.rotate()
        self.search("j")
        self.record("k", META[0], "text", "", Path(segments.list_archives(str(self.path))[-1]))

    def edit(self) -> None:
        """An editor saves in place a text of the same length, without its first key."""
        data = self.path.read_bytes().replace(b"  idempotency_key: k\n", b"  idempotency_key: Z\n", 1)
        with self.path.open("r+b") as file:
            file.write(data)

    def forget(self) -> None:
        self.kept = KeyIndex(str(self.path))

    def search(self, key: str) -> None:
        self.kept.search(key, self.now_ms)

    def ask(self, key: str) -> None:
        expected = slow_scan(self.path, key, self.now_ms)
        for index in (self.kept, KeyIndex(str(self.path)), self.kept):
            with self.path.open("rb") as live:
                status = os.fstat(live.fileno())
                if not index.is_ready(key, self.now_ms, live.fileno(), status):
                    index.search(key, self.now_ms)
                assert index.answer(key, DRAFT, self.now_ms, live.fileno()) == expected
                if index.lacks(key, self.now_ms, live.fileno(), status):
                    assert expected is None


@contextmanager
def read_at_a_time(block: int) -> Iterator[None]:
    with (
        mock.patch.object(key_search, "_BLOCK", block),
        mock.patch.object(key_search, "MAX_HEADER", 800),  # more than any record here has
        mock.patch.object(search, "WINDOW", block),
        mock.patch.object(idempotency, "_LITTLE", 20 * block),
        mock.patch.object(idempotency, "_MANY_KEYS", 10),
        mock.patch.object(idempotency, "_MOST_KEYS", 40),
        mock.patch.object(idempotency, "answer_repeated", lambda _, first: first),
    ):
        yield


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_found_however_it_is_spelled(tmp_path: Path, key: str, how: str) -> None:
    found = 0
    with read_at_a_time(1 << 20):
        for number, (spelled, meta) in enumerate((spelled, meta) for spelled in spellings(key) for meta in META):
            log = Log(tmp_path / f"{number}.md")
            log.record(header.scalar("another"), META[0], BODIES[number % len(BODIES)], "")
            log.record(spelled, meta, BODIES[number % len(BODIES)], how)
            log.ask(key)
            found += slow_scan(log.path, key, log.now_ms) is not None
    assert found >= (0 if how in ("torn", "no blank line") else 3)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, min_size=8, max_size=40), st.sampled_from([16, 40, 300, 1 << 20]))
def test_the_answer_is_that_of_a_slow_scan(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[object, ...]], block: int
) -> None:
    log = Log(tmp_path_factory.mktemp("log") / "BUS.md")
    note(f"{steps} in blocks of {block}")
    with read_at_a_time(block):
        for step, *arguments in [*steps, *(("ask", key) for key in FEW)]:
            getattr(log, str(step).replace(" ", "_"))(*arguments)


def test_a_clock_that_went_back_makes_old_keys_count(tmp_path: Path) -> None:
    """Also in what the index has left out as too old."""
    with read_at_a_time(40):
        log = Log(tmp_path / "BUS.md")
        log.record("k", META[0], "y" * 300, "")
        log.wait(25)
        log.record("j", META[0], "text", "")
        log.search("j")
        log.ask("i")
        log.wait(-2)
        assert slow_scan(log.path, "k", log.now_ms)
        log.ask("k")


def test_a_key_is_found_wherever_a_block_ends(tmp_path: Path) -> None:
    with read_at_a_time(1000):
        for length in range(1100):
            log = Log(tmp_path / f"{length}.md")
            log.record("k", META[0], "text", "")
            log.record("", META[-1], "z\n" * 800 + "y" * length, "")
            log.ask("k")
            assert slow_scan(log.path, "k", log.now_ms)
