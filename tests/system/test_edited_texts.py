"""What editors and formatters do to the text: a changed body is marked, and its neighbours are unharmed.

Three records are posted, and the one in the middle is edited.
"""

from __future__ import annotations

import codecs
import re
import runpy
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from patience import SECONDS

from messagebus import Draft, Message, MessageBus, Parent

LONG = "a line that is longer than what fits into the eighty columns of an editor that wraps lines at column 79"
Edit = Callable[[bytes], bytes]


find = runpy.run_path(str(Path(__file__).parent / "programs/editors.py"))["find"]


@pytest.fixture
def edit(path) -> Callable[..., list[Message]]:
    """Post three, edit the file, post a fourth; the messages before and after, by their ids."""

    def run(change: Callable[[Path], object], body: str) -> tuple[list[Message], dict[str, Message]]:
        with MessageBus(path) as bus:
            posted = [
                bus.append_message(Draft("FACT", "demo", "above")),
                bus.append_message(Draft("FACT", "demo", body, run_id="007", parents=[Parent("MSG-1", "answers")])),
                bus.append_message(Draft("FACT", "demo", "below")),
            ]
        change(path)
        with MessageBus(path) as bus:
            posted.append(bus.append_message(Draft("FACT", "demo", "new")))
            for cursor in (posted[0], posted[2]):
                assert bus.read_messages(cursor.msg_id)[-1] == posted[3], "a cursor is still found"
            return posted, {message.msg_id: message for message in bus.read_messages()}

    return run


def of_bytes(change: Edit) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(change(path.read_bytes()))


def of_vim(*commands: str) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        words = [word for command in (*commands, "wq!") for word in ("-c", command)]
        subprocess.run(
            [find("vim"), "-Nu", "NONE", "-i", "NONE", "-es", *words, str(path)], check=True, timeout=SECONDS
        )

    return change


def replaced(old: str, new: str) -> Callable[[Path], object]:
    return of_bytes(lambda text: text.replace(old.encode(), new.encode()))


def strip_trailing(text: bytes) -> bytes:
    return re.sub(rb"[ \t]+$", b"", text, flags=re.MULTILINE)


UNHARMED = {
    "CRLF": of_vim("set fileformat=dos"),
    "no final newline": of_bytes(lambda text: text.rstrip(b"\n")),
    "final newlines": of_bytes(lambda text: text + b"\n\n\n"),
    "a BOM": of_vim("set bomb"),
    "a BOM and CRLF": of_vim("set bomb fileformat=dos"),
    "trailing blanks": of_vim(r"%s/\s\+$//e"),
    "trailing blanks, by sed": lambda path: subprocess.run([find("sed"), "-i", "s/[ \t]*$//", path], check=True),
    "saved twice": of_vim("write", "write"),
    "more blank lines": of_bytes(lambda text: text.replace(b"\n\n---\n", b"\n\n\n\n---\n")),
    "blank lines with blanks stripped": of_bytes(strip_trailing),
}


@pytest.mark.parametrize("name", UNHARMED)
def test_what_leaves_every_message_as_it_was(edit, name):
    posted, stored = edit(UNHARMED[name], "one\n\n---\nmsg_id: no\n---\ntwo")
    assert list(stored.values()) == posted


MARKED = {
    "trailing blanks stripped": (of_vim(r"%s/\s\+$//e"), "a hard break  \nand an indented blank line\n  \nend"),
    "tabs expanded": (of_vim("set expandtab", "retab!"), "one\n\ttwo"),
    "smart quotes": (replaced('"so"', "“so”"), 'he said "so"'),
    "a word corrected": (replaced("teh", "their"), "teh build"),
}


@pytest.mark.parametrize("name", MARKED)
def test_a_changed_body_is_marked_and_its_neighbours_are_unharmed(edit, name):
    change, body = MARKED[name]
    [above, edited, *below], stored = edit(change, body)
    assert [message.msg_id for message in stored.values()] == [above.msg_id, edited.msg_id, *(m.msg_id for m in below)]
    assert stored[edited.msg_id].intact is False
    assert stored[edited.msg_id].body != body
    assert [stored[message.msg_id] for message in (above, *below)] == [above, *below]


WRAPS = {
    "a line": of_vim("set textwidth=79", "/^a line/normal gqq"),
    "a paragraph": of_vim("set textwidth=40", "/^a line/normal gqip"),
    "a paragraph, indented": of_vim("set textwidth=40", "/^a line/>", "normal gqip"),
}


@pytest.mark.parametrize("name", WRAPS)
def test_a_wrapped_paragraph_keeps_its_words_and_its_neighbours(edit, name):
    """If each new line end replaces one blank, the length still fits, and no one can tell."""
    [above, edited, *below], stored = edit(WRAPS[name], f"first\n\n{LONG}\n\nlast")
    wrapped = stored[edited.msg_id]
    assert wrapped.body != edited.body
    assert wrapped.body.split() == edited.body.split()
    assert wrapped.intact is (len(wrapped.body) == len(edited.body))
    assert [stored[message.msg_id] for message in (above, *below)] == [above, *below]


CHANGED_HEADERS = {
    "smart quotes": replaced('"007"', "“007”"),
    "a field renamed": replaced("run_id: ", "run_ID: "),
    "its time made invalid": replaced("ts: 2", "ts: x2"),
    "fields in another order": of_vim("global/^run_id/move .-2"),
}


@pytest.mark.parametrize("name", CHANGED_HEADERS)
def test_a_changed_field_changes_no_more_than_itself(edit, name):
    posted, stored = edit(CHANGED_HEADERS[name], "body")
    assert [(m.msg_id, m.body, m.intact) for m in stored.values()] == [(m.msg_id, m.body, True) for m in posted]


BROKEN_HEADERS = {
    "tabs for blanks": of_bytes(lambda text: text.replace(b"  - msg_id: MSG-1", b"\t- msg_id: MSG-1")),
    "its lines joined": of_vim("/parents:/,/kind:/join"),
    "its end made smart": of_bytes(lambda text: text.replace(b"4\n---\nbody", "4\n—\nbody".encode())),
}


@pytest.mark.parametrize("name", BROKEN_HEADERS)
def test_a_header_that_cannot_be_read_takes_only_its_own_message(edit, name):
    [above, broken, *below], stored = edit(BROKEN_HEADERS[name], "body")
    assert list(stored.values()) == [above, *below]
    assert broken.msg_id not in stored


BROKEN_STARTS = {
    "its id misspelt": lambda msg_id: replaced(f"msg_id: {msg_id}", f"message: {msg_id}"),
    "its rule made smart": lambda msg_id: replaced(f"---\nmsg_id: {msg_id}", f"—\nmsg_id: {msg_id}"),
    "wrapped with its header": lambda msg_id: of_vim(f"/{msg_id}/normal gqip"),
    "a blank line after its rule": lambda msg_id: replaced(f"---\nmsg_id: {msg_id}", f"---\n\nmsg_id: {msg_id}"),
}


@pytest.mark.parametrize("name", BROKEN_STARTS)
def test_a_record_without_its_start_is_text_of_the_one_above(path, name):
    """That one is marked, and the lost one is no longer found."""
    with MessageBus(path) as bus:
        above, lost, below = (bus.append_message(Draft("FACT", "demo", body)) for body in ("above", "lost", "below"))
    BROKEN_STARTS[name](lost.msg_id)(path)
    with MessageBus(path) as bus:
        [marked, kept] = bus.read_messages()
        assert (marked.msg_id, marked.intact, kept) == (above.msg_id, False, below)
        assert bus.append_message(Draft("FACT", "demo", "new")).msg_id > below.msg_id
        assert bus.get_message(lost.msg_id) is None


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_a_file_saved_as_utf_16_takes_new_posts(path, encoding):
    """What it held cannot be read, but new posts can."""
    with MessageBus(path) as bus:
        bus.append_message(Draft("FACT", "demo", "old"))
        path.write_bytes(codecs.encode(path.read_text(), encoding))
        new = bus.append_message(Draft("FACT", "demo", "new"))
    assert MessageBus(path).read_messages() == [new]
