"""Whatever is in or beside the files of a log, its own messages are read as before.

Beside: things named like archives that are none. Inside: bytes put over the records, or between
them. A record is touched where its own bytes change, or those of the start that ends it; all
others come out as they were, by every way of reading, and nothing but a BusError is raised.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hostile import DRAFTS, FORGED, RECORD, SCRAPS, START
from hypothesis import given, settings
from hypothesis import strategies as st

from messagebus import BusError, Draft, InvalidBusPathError, Message, MessageBus

TRIED = "hostile inputs that tried to forge a record or a field"
CI_AND_SOAK = pytest.mark.parametrize(
    "examples", [100, pytest.param(3000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)


# --- beside the bus ----------------------------------------------------------------------------

NO_ARCHIVES = [
    *(".20261301-000000.archived", ".20260230-000000.archived", ".20260101-250000-000000.archived"),
    *(".20260101-000060.archived", ".00000101-000000.archived", ".20260101-000000-00000.archived"),
    *(".20260101-000000-000000.archived\n", "\n.20260101-000000.archived", ".20260101-000000.archived.tmp"),
    *(".20260101-000000-000000.ARCHIVED", ".20260101-000000-000000-1.archived", ".2026-01-01.archived", ".archived"),
    *("..archived", ".20260101-000000-000000", "20260101-000000-000000.archived", "x.20260101-000000-000000.archived"),
    *(f".{''.join(chr(0x660 + int(digit)) for digit in '20260101')}-000000.archived", ".20260101\u2010000000.archived"),
    *(".\udcff.archived", ".\x1b[2J.archived", ".20260101-000000.archived.archived"),
    *(".lock", "~", ".swp", " ", ".20260101-000000-000000.archived "),
]  # fmt: skip
STAMPS = ["00010101-000000-000000", "20260101-000000", "99991231-235959-999999"]


@contextmanager
def checked(path: Path) -> Iterator[None]:
    """The bus at ``path`` gives the same by every read before and after, and takes a message."""
    bus = MessageBus(path)
    messages = bus.append_messages([Draft("FACT", "p", body) for body in "abc"])
    yield
    for reader in (bus, MessageBus(path)):
        assert reader.read_messages() == messages
        assert reader.read_last_n(9) == messages
        assert reader.read_messages(messages[0].msg_id) == messages[1:]
        assert reader.get_message(FORGED) is None
    new = [writer.append_message(Draft("FACT", "p", "new")) for writer in (bus, MessageBus(path))]
    assert MessageBus(path).read_messages() == [*messages, *new]
    bus.close()


@pytest.mark.parametrize("name", ["BUS.md", "B[U]S*.md", "BUS.md.20260101-000000.archived", "\udcff\n.md", ".md"])
def test_names_that_are_nearly_archives(name: str, tmp_path: Path, tally: Callable[..., None]) -> None:
    with checked(tmp_path / name):
        for ending in NO_ARCHIVES:
            (tmp_path / f"{name}{ending}").write_bytes(RECORD)
        (tmp_path / f"X{name}.20260101-000000-000000.archived").write_bytes(RECORD)
    tally(TRIED, len(NO_ARCHIVES))


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


@pytest.mark.parametrize("stamp", STAMPS)
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, make_socket])
def test_what_is_no_file_is_no_archive(make: Callable[[Path], object], stamp: str, tally: Callable[..., None]) -> None:
    with TemporaryDirectory() as directory, checked(Path(directory, "B")):  # sockets want short names
        make(Path(directory, f"B.{stamp}.archived"))
    tally(TRIED, 1)


@pytest.mark.parametrize("stamp", STAMPS)
def test_an_archive_that_is_a_link_is_refused(stamp: str, tmp_path: Path, tally: Callable[..., None]) -> None:
    """To follow it is unsafe, and to skip it would hide what a person may have meant."""
    path, elsewhere = tmp_path / "BUS.md", tmp_path / "elsewhere"
    elsewhere.write_bytes(RECORD)
    [message] = MessageBus(path).append_messages([Draft("FACT", "p", "a")])
    before = path.read_bytes()
    (tmp_path / f"BUS.md.{stamp}.archived").symlink_to(elsewhere)
    for read in (
        lambda: MessageBus(path).read_messages(),
        lambda: MessageBus(path).read_last_n(2),
        lambda: MessageBus(path).get_message(FORGED),
        lambda: MessageBus(path).append_message(Draft("FACT", "p"), idempotency_key="k"),
    ):
        with pytest.raises(InvalidBusPathError, match="symbolic link"):
            read()
    assert path.read_bytes() == before
    assert elsewhere.read_bytes() == RECORD
    assert MessageBus(path).get_message(message.msg_id) == message, "found before the link is looked at"
    tally(TRIED, 1)


# --- inside of the file ------------------------------------------------------------------------

JUNK = st.one_of(
    st.binary(max_size=40),
    st.binary(min_size=200, max_size=200),
    st.lists(st.sampled_from(SCRAPS), max_size=8).map(b"".join),
)


@contextmanager
def a_file() -> Iterator[tuple[Path, list[Message]]]:
    with TemporaryDirectory() as directory:
        path = Path(directory, "BUS.md")
        with MessageBus(path) as bus:
            yield path, bus.append_messages(DRAFTS)


def starts_in(data: bytes) -> list[int]:
    """Where the records start, counting from the line ends in front."""
    starts, at = [-2], data.find(START)
    while at >= 0:
        starts.append(at)
        at = data.find(START, at + 1)
    return starts


def untouched(data: bytes, begin: int, end: int) -> tuple[int, int]:
    """How many records lie before the bytes from ``begin`` to ``end``, and how many after them."""
    starts = starts_in(data)
    before = sum(start + len(START) <= begin for start in starts[1:])
    return before, sum(start >= end for start in starts)


def check_around(path: Path, before: list[Message], after: list[Message]) -> None:
    """The file gives these messages, first and last, and whatever between; cursors and tails agree."""
    found = MessageBus(path).read_messages()
    assert found[: len(before)] == before
    assert found[len(found) - len(after) :] == after
    for n in (1, 2, len(after), len(found)):
        assert MessageBus(path).read_last_n(n) == (found[-n:] if n else [])
        assert MessageBus(path).read_messages(limit=n, text="") == (found[-n:] if n else [])
    ids = [message.msg_id for message in found]
    for position, message in enumerate(found):
        if message in before or message in after:
            assert MessageBus(path).read_messages(message.msg_id) == found[position + 1 :]
            assert MessageBus(path).get_message(message.msg_id) == message
        elif ids.count(message.msg_id) == 1:
            assert MessageBus(path).get_message(message.msg_id) == message


def read_in_every_way(path: Path) -> None:
    """Only a BusError may come of it."""
    for read in (
        lambda bus: list(bus.iter_stored()),
        lambda bus: bus.read_last_n(3),
        lambda bus: bus.read_messages(types=["NONE"], text="x"),
        lambda bus: bus.read_messages(limit=3, types=["NONE"], text="x"),
        lambda bus: bus.read_messages(FORGED),
        lambda bus: bus.get_stored("x"),
        lambda bus: bus.last_id(),
    ):
        with suppress(BusError):
            read(MessageBus(path))


@CI_AND_SOAK
def test_what_is_put_into_a_file_spoils_no_other_record(examples: int, tally: Callable[..., None]) -> None:
    tried = 0

    @settings(max_examples=examples)
    @given(JUNK, st.data())
    def attempt(junk: bytes, data: st.DataObject) -> None:
        nonlocal tried
        with a_file() as (path, messages):
            text = path.read_bytes()
            near = st.sampled_from(starts_in(text)).flatmap(lambda at: st.integers(max(at - 3, 0), at + 12))
            begin = data.draw(near | st.integers(0, len(text)))
            end = data.draw(st.just(begin) | st.integers(begin, min(begin + 300, len(text))))
            path.write_bytes(text[:begin] + junk + text[end:])
            before, after = untouched(text, begin, end)
            kept = messages[len(messages) - after :]
            check_around(path, messages[:before], kept)
            read_in_every_way(path)
            MessageBus(path).append_message(Draft("FACT", "p", "after the damage"))
            healed = MessageBus(path).read_messages()
            assert healed[:before] == messages[:before]
            assert healed[-1].body == "after the damage"
            assert healed[len(healed) - 1 - len(kept) : -1] == kept
        tried += 1

    attempt()
    tally(TRIED, tried)


@CI_AND_SOAK
def test_any_bytes_give_messages_or_a_documented_error(examples: int, tally: Callable[..., None]) -> None:
    tried = 0

    @settings(max_examples=examples)
    @given(st.lists(JUNK, max_size=3).map(b"".join), st.booleans())
    def attempt(junk: bytes, archived: bool) -> None:
        nonlocal tried
        with TemporaryDirectory() as directory:
            path = Path(directory, "BUS.md")
            (Path(f"{path}.20260101-000000.archived") if archived else path).write_bytes(junk)
            read_in_every_way(path)
            [message] = MessageBus(path).append_messages([Draft("FACT", "p", "new")])
            assert MessageBus(path).read_messages()[-1] == message
        tried += 1

    attempt()
    tally(TRIED, tried)
