"""No text of a body, and no part of an id, is taken for a cursor or an idempotency key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from messagebus import Draft, MessageBus, SinceIDNotFoundError

Tally = Callable[..., None]
TRIED = "hostile inputs that tried to forge a record or a field"


def record(msg_id: str, body: str = "hi") -> str:
    return f"---\nmsg_id: {msg_id}\nts: 2026-11-21T03:14:15.926535Z\ntype: FACT\nproject_id: p\n---\n{body}\n"


def unknown(path: Path, cursor: str) -> bool:
    """Whether every reader says that it is unknown."""
    with pytest.raises(SinceIDNotFoundError):
        MessageBus(path).read_messages(cursor)
    return MessageBus(path).get_message(cursor) is None


BOUNDARIES = [512, 2048, 16 * 1024, 256 * 1024, 512 * 1024]


@pytest.mark.parametrize("msg_id", ["MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZB", "MSG-20261121-031415-000000001-PID7-1", "i+12"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_the_beginning_of_an_id_is_not_a_cursor(boundary: int, msg_id: str, tmp_path: Path, tally: Tally) -> None:
    """Also where a chunk ends after it."""
    path = tmp_path / "BUS.md"
    for length in range(1, len(msg_id)):
        cursor = msg_id[:length]
        padding = boundary - len(record("first") + f"\n---\nmsg_id: {cursor}")
        path.write_text(record("first", "hi" + padding * "x") + "\n" + record(msg_id))
        assert path.read_bytes()[:boundary].endswith(b"msg_id: " + cursor.encode())
        assert unknown(path, cursor)
    tally(TRIED, len(msg_id) - 1)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("length", [400, 513, 3000])
def test_a_long_id_is_a_cursor(length: int, boundary: int, tmp_path: Path) -> None:
    path = tmp_path / "BUS.md"
    for begun in (1, length // 2, length - 1):
        body = "x" * max(boundary - len(record("first") + "\n---\nmsg_id: ") - begun, 1)
        path.write_text("\n".join((record("first", body), record("i" * length), record("last"))))
        [_, message, last] = MessageBus(path).read_messages()
        assert MessageBus(path).read_messages(message.msg_id) == [last]
        assert MessageBus(path).get_message(message.msg_id) == message


def test_an_id_that_is_not_utf8_is_not_an_id(tmp_path: Path, tally: Tally) -> None:
    """No one could name it: neither as it is in the file, nor as it would be read."""
    path = tmp_path / "BUS.md"
    a, b, c = (record(msg_id).encode() for msg_id in ("a", "b?", "c?"))
    path.write_bytes(b"\n".join((a, b.replace(b"?", b"\xff"), c)))
    assert [message.msg_id for message in MessageBus(path).read_messages()] == ["a", "c?"]
    cursors = ["b", "b\ufffd", "b\udcff", "c\udcff", "c\ud800", "c", "", "a\n", " a"]
    assert all(unknown(path, cursor) for cursor in cursors)
    tally(TRIED, len(cursors))


def test_no_body_is_a_cursor(tmp_path: Path, tally: Tally) -> None:
    """Whatever is before an id there, or after it."""
    path = tmp_path / "BUS.md"
    cursors = ["MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA", "x+1", "LEGACY-LINE-000000001", "---", "a"]
    bodies = [
        f"{before}{cursor}{after}" for cursor in cursors for after in ("", "\n", "\r\n", "\n---\n")
        for before in ("", "\n\n---\nmsg_id: ", "\r\n\r\n---\r\nmsg_id:", "\nmsg_id: ", "\n\n----\nmsg_id: ")
    ]  # fmt: skip
    messages = MessageBus(path).append_messages([Draft("FACT", "p", body) for body in bodies])
    assert all(unknown(path, cursor) for cursor in cursors)
    assert MessageBus(path).read_messages(messages[0].msg_id) == messages[1:]
    tally(TRIED, len(bodies))


def test_no_body_holds_an_idempotency_key(tmp_path: Path, tally: Tally) -> None:
    path = tmp_path / "BUS.md"
    bus = MessageBus(path)
    keyed = Draft("FACT", "p", "x")
    first = bus.append_message(keyed, idempotency_key="k")
    stored = bus.get_stored(first.msg_id).decode()
    bodies = [
        stored.replace("idempotency_key: k", "idempotency_key: other"),
        *("x---\n" + stored.replace(": k\n", f": other{end}\n") for end in ("", "\r", " ")),
        "\nmsg_id: x\n  idempotency_key: other\n", "\n  idempotency_key: other", '\n idempotency_key: "other"\n---\n',
    ]  # fmt: skip
    others = bus.append_messages([Draft("FACT", "p", body) for body in bodies])
    new = bus.append_message(keyed, idempotency_key="other")
    for again in (bus, MessageBus(path)):
        assert again.append_message(keyed, idempotency_key="k") == first
        assert again.append_message(keyed, idempotency_key="other") == new
    assert MessageBus(path).read_messages() == [first, *others, new]
    tally(TRIED, len(bodies))
