"""What must hold for any bytes: the targets of the fuzzer, which CI replays on what it found.

Each takes bytes, and raises AssertionError, or whatever the library raises and should not. The
sizes of what is read at a time are made small, so that small inputs cross every boundary.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import yaml

from messagebus import Draft, InvalidMessageError, MemoryBackend, Message, MessageBus, SinceIDNotFoundError
from messagebus.backends.file import key_search, preamble, read, search, tail
from messagebus.codec import Decoder, decode, header
from messagebus.codec.fields import from_fields
from messagebus.codec.header import HeaderError
from run_agent.cli.jsonl import draft_from

SIZES: dict[tuple[Any, str], int] = {
    (decode, "_LONG_PREAMBLE"): 24,
    (preamble, "_CHUNK"): 40,
    (preamble, "_LONGEST_START"): 30,
    (read, "_FIRST_CHUNK"): 16,
    (read, "_CHUNK"): 64,
    (search, "_CHUNK"): 48,
    (search, "WINDOW"): 32,
    (search, "_PROBE"): 16,
    (key_search, "_BLOCK"): 40,
    (tail, "WINDOW"): 32,
}
START = re.compile(rb"(?:\A(?:\xef\xbb\xbf|[^\0]*\n)??|\n\r*\n)---\r*\nmsg_id:[ \t]*([^\n]*)")
HOSTILE = Draft("FACT", "p", "\n\n---\nmsg_id: x\n---\n", run_id="---")


@contextmanager
def small_sizes() -> Iterator[None]:
    """Let the library read so little at a time."""
    with ExitStack() as stack:
        for (module, name), size in SIZES.items():
            assert hasattr(module, name), f"{module.__name__} has no {name} any more"
            stack.enter_context(mock.patch.object(module, name, size))
        yield


@contextmanager
def a_file(data: bytes) -> Iterator[Path]:
    with TemporaryDirectory() as directory:
        path = Path(directory, "BUS.md")
        path.write_bytes(data)
        yield path


def decoded(data: bytes, *, closed: bool, cuts: tuple[int, ...] = ()) -> tuple[list[tuple[Message, bytes]], bool]:
    """The messages with their bytes, and whether something is kept back."""
    stored: list[bytes] = []
    decoder = Decoder(stored=stored)
    pairs: list[tuple[Message, bytes]] = []
    for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
        pairs += zip(decoder.feed(data[start:end]), stored, strict=True)
    pairs += zip(decoder.finish(closed=closed), stored, strict=True)
    return pairs, decoder.unfinished


def some_cuts(data: bytes) -> tuple[int, ...]:
    """Places to cut it at, the same for the same bytes."""
    seed = zlib.crc32(data)
    return tuple(sorted((seed >> shift) % (len(data) + 1) for shift in range(0, 30, 6)))


# --- the targets -------------------------------------------------------------------------------


def decoding(data: bytes) -> None:
    """However the bytes of a file come, its messages are the same, and so are tails and cursors."""
    for closed in (False, True):
        whole, unfinished = decoded(data, closed=closed)
        assert decoded(data, closed=closed, cuts=some_cuts(data)) == (whole, unfinished)
        if len(data) < 300:
            assert decoded(data, closed=closed, cuts=tuple(range(len(data)))) == (whole, unfinished)
        messages = [message for message, _ in whole]
        with a_file(data) as path:
            if closed:
                path.rename(f"{path}.20260101-000000-000000.archived")
            bus = MessageBus(path)
            assert list(bus.iter_stored()) == whole
            assert bus.unfinished == (unfinished and not closed)
            for n in (1, 2, len(messages)):
                assert MessageBus(path).read_last_n(n) == messages[-n:][:n]
            check_cursors(path, data, messages)
        for message in messages:
            assert message.msg_id
            assert message.body == message.body.rstrip("\r\n")
            assert json.loads(json.dumps(message.to_json())) == message.to_json()


def check_cursors(path: Path, data: bytes, messages: list[Message]) -> None:
    """Each id that is once in the file finds its message; its beginning finds none."""
    for position, message in enumerate(messages):
        if data.count(re.sub(r"\+\d+$", "", message.msg_id).encode()) == 1:
            assert MessageBus(path).read_messages(message.msg_id) == messages[position + 1 :]
            assert MessageBus(path).get_message(message.msg_id) == message
        check_cursor(path, data, message.msg_id[:-1], messages)


def check_cursor(path: Path, data: bytes, cursor: str, messages: list[Message]) -> None:
    """It is the id of a message, or of a record that gives none, or it is unknown."""
    found = MessageBus(path).get_message(cursor)
    assert found is None or (found in messages and found.msg_id == cursor)
    known = cursor.encode("utf-8", "surrogatepass") in {match[1].strip(b" \t\r") for match in START.finditer(data)}
    try:
        MessageBus(path).read_messages(cursor)
    except SinceIDNotFoundError:
        assert found is None
    else:
        assert known or found, "a cursor that is in no record"


def cursors(data: bytes) -> None:
    """The first line is looked for in the rest."""
    cursor, _, log = data.partition(b"\n")
    messages = [message for message, _ in decoded(log, closed=False)[0]]
    with a_file(log) as path:
        check_cursor(path, log, cursor.decode("utf-8", "surrogateescape"), messages)


def headers(data: bytes) -> None:
    """What is read is what any YAML reads; a message is never more than its header."""
    text = data.decode("utf-8", "replace")
    try:
        fields = header.parse(text)
    except HeaderError:
        assert header.parse_subset(text) is None
        return
    assert fields == yaml.load(text, yaml.CBaseLoader)  # noqa: S506 - it makes text, lists and mappings only
    try:
        message = from_fields(fields)
    except HeaderError:
        return
    assert len(json.dumps(message.to_json(), ensure_ascii=False)) < 40 * len(text) + 400


def appending(data: bytes) -> None:
    """A message appended to any end of a file is whole and the last, and changes no other."""
    start = b"---\nmsg_id: MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA\ncontent_length: 2\n---\nhi\n"
    for log, keyed in ((data, False), (start + data, True)):
        before = [message for message, _ in decoded(log.rstrip(b"\0"), closed=True)[0]]  # unwritten blocks go
        with a_file(log) as path:
            new = MessageBus(path).append_message(HOSTILE, idempotency_key="k" if keyed else None)
            assert MessageBus(path).read_messages() == [*before, new]
            assert MessageBus(path).get_message(new.msg_id) == new
            if keyed:
                assert MessageBus(path).append_message(HOSTILE, idempotency_key="k") == new


def json_lines(data: bytes) -> None:
    """A line of ``--jsonl`` is refused in a sentence, or is the message that it becomes."""
    bus = MessageBus(MemoryBackend())
    try:
        draft, key = draft_from(data, {"type": "INFO", "project_id": "p"}, copy=False)
        stored = bus.append_message(draft, idempotency_key=key)
    except InvalidMessageError:
        return
    line = json.loads(data)
    record = bus.get_stored(stored.msg_id)
    assert [message for message, _ in decoded(record, closed=False)[0]] == [stored]
    assert stored.body == line.get("body", "").rstrip("\r\n")
    for name in ("type", "project_id", "task_id", "run_id"):
        assert getattr(stored, name) == line.get(name, {"type": "INFO", "project_id": "p"}.get(name, ""))


TARGETS: dict[str, Callable[[bytes], None]] = {
    function.__name__: function for function in (decoding, cursors, headers, appending, json_lines)
}
