"""Hostile bytes cost time in proportion to their number, and memory in proportion to the largest record.

No clock on the wall is looked at. Loops that are written out are counted, by the calls they make at
three sizes. A loop inside of one call, as in a pattern that backtracks, cannot be counted: it is
given a megabyte, and seconds of this process's own CPU for what takes a tenth of one, while the
square of a megabyte would take hours.
"""

from __future__ import annotations

import signal
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from messagebus import Draft, MessageBus
from messagebus.codec import header
from messagebus.codec.header import HeaderError

MIB = 1024 * 1024
CPU_SECONDS = 3  # for a megabyte, which takes a tenth of a second; its square would take hours
TRIED = "hostile inputs made to cost time or memory out of proportion"

Case = Callable[[int], bytes]


def repeated(fragment: bytes, end: bytes = b"") -> Case:
    """About n bytes of it."""
    return lambda n: fragment * (n // len(fragment)) + end


TRAPS: dict[str, Case] = {
    "dashes": repeated(b"-"),
    "carriage returns": repeated(b"\r"),
    "line ends": repeated(b"\n"),
    "backslashes": repeated(b"\\"),
    "blanks": repeated(b" "),
    "tabs": repeated(b"\t"),
    "NUL": repeated(b"\0"),
    "one letter": repeated(b"a"),
    "no UTF-8": repeated(b"\xff"),
    "rules": repeated(b"\n---\n"),
    "rules with a CR": repeated(b"\n\r\n---\r\n"),
    "a rule of CRs": repeated(b"\r", b"x"),
    "blank lines of CRs": lambda n: b"\n" + b"\r" * n + b"x",
    "a long rule": lambda n: b"\n\n---" + b"\r" * n + b"x",
    "escaped rules": repeated(b"\\---\n"),
    "a long escape": repeated(b"\\", b"---x"),
    "id keys": repeated(b"msg_id:"),
    "id lines": repeated(b"\nmsg_id: x"),
    "key lines": repeated(b"\n idempotency_key: k"),
    "id and key lines": repeated(b"\nmsg_id:\n idempotency_key: k\n"),
    "keys in a line": repeated(b" idempotency_key: k"),
    "keys with escapes": repeated(b'\n idempotency_key: "\\u006b" x'),
    "a key line of blanks": lambda n: b"\n idempotency_key:" + b" " * n + b"\rx",
    "a key after blanks": lambda n: b"\n" + b" " * n + b"idempotency_key:\rx",
    "lengths": repeated(b"\ncontent_length: 5"),
    "one-line looks": repeated(b"\n[2026-11-21 03:14:15] "),
    "a one-line message of blanks": lambda n: b"\n[2026-11-21 03:14:15] x:" + b" " * n + b"\x0b",
    "brackets": repeated(b"\n["),
    "a longest type": lambda n: b"\n[2026-11-21 03:14:15] " + b"a" * n + b" b",
    "quotes": repeated(b'"'),
}
STARTS: dict[str, Case] = {  # a thousand times the work a byte, so they come in smaller sizes
    "starts": repeated(b"\n\n---\nmsg_id:"),
    "starts with an id": repeated(b"\n\n---\nmsg_id: x\n"),
    "starts in CRLF": repeated(b"\r\n\r\n---\r\nmsg_id: x\r\n"),
    "headers without an end": repeated(b"\n\n---\nmsg_id: x\ntype: y\n"),
    "records": repeated(b"\n\n---\nmsg_id: x\n---\n"),
    "records with a key": repeated(b"\n\n---\nmsg_id: x\nmeta:\n idempotency_key: k\n---\n"),
    "one-line messages": repeated(b"\n[2026-11-21 03:14:15] a: b"),
}
PLACES: dict[str, tuple[bytes, bytes]] = {  # before and after the trap
    "alone": (b"", b""),
    "below a body": (b"---\nmsg_id: a\ncontent_length: 1\n---\nx\n", b"\n\n---\nmsg_id: b\n---\nthe end\n"),
}
Work = Callable[[MessageBus], object]
WORK: dict[str, Work] = {
    "read": lambda bus: sum(1 for _ in bus.iter_stored()),
    "tail": lambda bus: bus.read_last_n(3),
    "filtered": lambda bus: sum(1 for _ in bus.iter_messages(types=["none"], text="none")),
    "filtered tail": lambda bus: bus.read_messages(limit=3, types=["none"], text="none"),
    "cursor": lambda bus: [bus.get_message(msg_id) for msg_id in ("a", "LEGACY-LINE-000000000")],
    "append": lambda bus: bus.append_message(Draft("FACT", "p", "new")),
    "keyed": lambda bus: bus.append_message(Draft("FACT", "p", "new"), idempotency_key="k"),
    "two keys": lambda bus: [bus.append_message(Draft("FACT", "p"), idempotency_key=key) for key in ("j", "k")],
}


@contextmanager
def little_cpu(seconds: float) -> Iterator[None]:
    """Fail once so much of this process's CPU is used, also inside of one pattern."""

    def give_up(*_: object) -> None:
        raise AssertionError(f"more than {seconds} seconds of CPU")

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def calls_of(work: Callable[[], object]) -> int:
    """How many calls it takes, of functions in Python and in C, generators' steps among them."""
    calls = 0

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


def check_proportion(work: Callable[[int], object], n: int) -> None:
    """Twice the input takes about twice the calls; ``work`` is given the size."""
    few, more, most = (calls_of(lambda size=size: work(size)) for size in (n, 2 * n, 4 * n))
    assert more < 2.6 * few, (few, more, most)
    assert most < 2.6 * more, (few, more, most)


def do(work: Work, path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with MessageBus(path) as bus:
        work(bus)


# --- time --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [MIB, pytest.param(8 * MIB, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("what", WORK)
def test_a_megabyte_of_each_trap(what: str, place: str, size: int, tmp_path: Path, tally: Callable[..., None]) -> None:
    before, behind = PLACES[place]
    for trap in TRAPS.values():
        with little_cpu(CPU_SECONDS * size / MIB):
            do(WORK[what], tmp_path / "BUS.md", before + trap(size) + behind)
    tally(TRIED, len(TRAPS))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("what", WORK)
def test_calls_grow_with_the_file(what: str, place: str, tmp_path: Path, tally: Callable[..., None]) -> None:
    before, behind = PLACES[place]
    for trap in (STARTS | TRAPS).values():
        check_proportion(lambda n, trap=trap: do(WORK[what], tmp_path / "BUS.md", before + trap(n) + behind), 6_000)
    tally(TRIED, len(STARTS | TRAPS))


HEADERS: dict[str, Case] = {
    "openers": repeated(b"["),
    "braces": repeated(b"{"),
    "bullets": repeated(b"- "),
    "question marks": repeated(b"? "),
    "colons": repeated(b"a: "),
    "colons in a key": repeated(b"a:"),
    "quotes": repeated(b'"'),
    "escapes": repeated(b"\\u0041"),
    "one key": repeated(b"a: b\n"),
    "anchors": repeated(b"a: &b c\n"),
    "tags": repeated(b"a: !!python/object:a {}\n"),
    "a list": lambda n: b"a: [" + b"a," * (n // 2) + b"]",
    "parents": repeated(b"parents:\n  - msg_id: a\n"),
    "a block": lambda n: b"a: |\n" + b" x\n" * (n // 3),
    "deeper and deeper": lambda n: b"".join(b" " * depth + b"a:\n" for depth in range(int((2 * n) ** 0.5) - 3)),
    "deeper by two": lambda n: b"".join(b"  " * depth + b"a:\n" for depth in range(int(n**0.5) - 2)),
}


def test_headers_of_64_kib(tally: Callable[..., None]) -> None:
    def parse(text: bytes) -> None:
        with suppress(HeaderError):
            header.parse(f"msg_id: x\n{text.decode()}")

    for trap in HEADERS.values():
        check_proportion(lambda n, trap=trap: parse(trap(n)), 16_000)
        with little_cpu(CPU_SECONDS):
            parse(trap(64_000))
    tally(TRIED, len(HEADERS))


RELATIONS: dict[str, Callable[[int], dict[str, object]]] = {
    "one message": lambda n: {"relations": [{"msg_id": "a", "kind": str(i)} for i in range(n)]},
    "one message, named": lambda n: {"relations": [{"msg_id": "a", "kind": "k"}] * n, "parents": ["a"] * n},
    "many": lambda n: {"relations": [{"msg_id": str(i)} for i in range(n)], "parents": [str(n - i) for i in range(n)]},
}


@pytest.mark.parametrize("shape", RELATIONS.values(), ids=RELATIONS)
def test_relations_in_json(shape: Callable[[int], dict[str, object]], tally: Callable[..., None]) -> None:
    check_proportion(lambda n: Draft.from_json({"type": "FACT", "project_id": "p", **shape(n)}), 500)
    tally(TRIED, 1)


# --- memory ------------------------------------------------------------------------------------

LITTLE = 12 * MIB


def peak_of(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def sixty_four_mib(tmp_path: Path) -> Callable[..., Path]:
    """A file of so many bytes, of that fragment repeated."""

    def make(fragment: bytes) -> Path:
        piece = fragment * (MIB // len(fragment))
        path = tmp_path / "BUS.md"
        with path.open("wb") as file:
            for _ in range(64 * MIB // len(piece)):
                file.write(piece)
        return path

    return make


@pytest.mark.parametrize("fragment", [b"\0", b"x", b"x" * 79 + b"\n", b"---\n"])
def test_a_file_without_a_record_is_read_in_little_memory(
    fragment: bytes, sixty_four_mib: Callable[..., Path], tally: Callable[..., None]
) -> None:
    path = sixty_four_mib(fragment)
    for what in ("read", "tail", "filtered", "filtered tail", "append"):
        assert peak_of(lambda what=what: WORK[what](MessageBus(path))) < LITTLE, what
    assert peak_of(lambda: MessageBus(path).get_message("MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZB")) < LITTLE
    tally(TRIED, 6)


def test_records_among_junk_are_read_in_little_memory(
    sixty_four_mib: Callable[..., Path], tally: Callable[..., None]
) -> None:
    junk = b"\xff\n---\n\0" * 40_000
    path = sixty_four_mib(b"\n\n---\nmsg_id: a\ncontent_length: 1\n---\nx\n" + junk)
    assert peak_of(lambda: WORK["read"](MessageBus(path))) < LITTLE
    tally(TRIED, 1)


@pytest.mark.parametrize("fragment", [b"\n", b"a\n", b"[\n", b"\n\n", b"\r", b"x"])
@pytest.mark.parametrize("length", [b"", b"content_length: 1\n"])
def test_a_large_record_takes_a_few_times_its_size(
    length: bytes, fragment: bytes, tmp_path: Path, tally: Callable[..., None]
) -> None:
    path = tmp_path / "BUS.md"
    path.write_bytes(b"---\nmsg_id: a\n" + length + b"---\nx\n" + fragment * (MIB // len(fragment)) + b"\nend\n")
    assert peak_of(lambda: WORK["read"](MessageBus(path))) < 12 * MIB
    tally(TRIED, 1)
