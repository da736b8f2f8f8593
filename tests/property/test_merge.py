"""Merges of logs that went apart: whatever was done on either side, both are in the result, in one order."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messagebus import Draft, Message, check_bus, codec, merge_logs, msgid

MS = 1_795_230_855_926  # 2026-11-21
NOW = datetime(2026, 11, 21, 3, 14, 15, 926535, UTC)
X = "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA"
Y = "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZF"


def record(msg_id: str, body: str, **fields: object) -> bytes:
    draft = Draft("FACT", "p", body, **fields)  # type: ignore[arg-type]
    return codec.encode(msg_id, NOW, codec.encode_rest(draft))


def log(*parts: bytes) -> bytes:
    return b"\n".join(parts)


def read(data: bytes) -> list[Message]:
    decoder = codec.Decoder()
    return decoder.feed(data) + decoder.finish(closed=True)


def bodies(data: bytes) -> list[str]:
    return [message.body for message in read(data)]


def merged(base: bytes, one: bytes, two: bytes) -> bytes:
    """The merge, which is the same from both sides, and again."""
    result = merge_logs(base, one, two)
    assert merge_logs(base, two, one) == result
    for side in (one, two):
        for start in (base, side):
            assert merge_logs(start, result, side) == result
    assert merge_logs(base, result, result) == result
    return result


# --- histories that Hypothesis makes -------------------------------------------------------------

IDS = st.one_of(
    st.builds(
        lambda ms, fill: msgid.next_msg_id(None, MS + ms, lambda n: bytes([fill] * n)),
        st.integers(0, 3),
        st.integers(0, 255),
    ),
    st.builds("MSG-20261121-031415-{:09d}-PID00007-0001".format, st.integers(0, 99)),
    st.builds("note-{}".format, st.integers(0, 99)),
)
TEXTS = st.sampled_from(
    ["a", "b", "", "two\n\nparagraphs", "---", "---\nmsg_id: x\n---\n", "<<<<<<< HEAD\nx\n=======\ny\n>>>>>>> b",
     "[2026-11-21 03:14:15] FACT: in a body", "x" * 300, "é\r", "\\---", "\n\n---\nmsg_id: y\n---\nz"]
)  # fmt: skip
LINES = st.builds("[2026-11-21 03:14:{:02d}] NOTE: {}".format, st.integers(0, 3), st.sampled_from("abc"))
PARAGRAPHS = st.sampled_from(["# A bus", "text\nof two lines", "---", "---\nname: x", "msg_id: x"])
RECORDS = st.builds(
    lambda msg_id, body, meta: record(msg_id, body, meta=meta),
    IDS, TEXTS, st.dictionaries(st.sampled_from(["k", "conflict_of"]), st.sampled_from(["v", "1"]), max_size=1),
)  # fmt: skip
BROKEN = st.sampled_from(
    [b"---\nmsg_id: broken\nno header\n\n", b"---\nmsg_id: [\n---\ntext\n", b"---\nmsg_id: \n---\n"]
)


class History:
    """A file as a list of parts, and what may be done to it."""

    def __init__(self, above: list[str], parts: list[bytes]) -> None:
        self.above = above
        self.parts = parts

    def data(self) -> bytes:
        above = "\n\n".join(self.above).encode()
        return log(*([above + b"\n"] if above else []), *self.parts)

    def then(self, draw: Callable[[st.SearchStrategy], object], acts: Sequence[str]) -> History:
        """What became of it on one branch."""
        above, parts = list(self.above), list(self.parts)
        for _ in range(draw(st.integers(0, 4))):
            self._do(draw(st.sampled_from(acts)), draw, above, parts)
        return History(above, parts)

    @staticmethod
    def _do(what: str, draw: Callable[[st.SearchStrategy], object], above: list[str], parts: list[bytes]) -> None:
        at = draw(st.integers(0, len(parts) - 1)) if parts else 0
        if what in ("post", "broken"):
            new = draw(RECORDS if what == "post" else BROKEN)
            if not any(part.split(b"\n")[1] == new.split(b"\n")[1] for part in parts):
                parts.insert(len(parts) if what == "post" else at, new)
        elif what == "above":
            new = draw(LINES | PARAGRAPHS)
            if new not in above:
                above.append(new)
        elif parts and what == "line":
            parts[at] += draw(LINES).encode() + b"\n"
        elif parts and what == "edit" and (found := read(parts[at])):
            parts[at] = record(found[0].msg_id, draw(TEXTS))
        elif parts and what == "edit by hand" and (end := parts[at].rfind(b"\n---\n")) >= 0:
            parts[at] = parts[at][: end + 5] + draw(TEXTS).replace("---", "-").encode() + b"\n"
        elif parts and what == "remove":
            del parts[at]


@st.composite
def histories(draw: Callable[[st.SearchStrategy], object], branches: int, *more: str) -> list[bytes]:
    """A file, and what became of it on some branches."""
    acts = ["post", "post", "line", "above", "edit", "remove", *more]
    start = History([], []).then(draw, acts)
    return [start.data(), *(start.then(draw, acts).data() for _ in range(branches))]


def versions(data: bytes) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for message in read(data):
        found.setdefault(message.msg_id, set()).add(repr(message))
    return found


def is_line(message: Message) -> bool:
    return re.search(r"\+\d+$|^LEGACY", message.msg_id) is not None


@settings(max_examples=200)
@given(histories(2, "edit by hand", "broken"))
def test_any_two_histories(files: list[bytes]) -> None:
    base, one, two = files
    result = merged(base, one, two)
    messages = read(result)
    ids = [message.msg_id for message in messages]
    assert len(set(ids)) == len(ids), "each once"
    timed = [order for order in map(msgid.order, (i for i in ids if "+" not in i)) if order]
    assert timed == sorted(timed)
    assert b"<<<<<<<\n" not in result

    before, first, second = map(versions, files)
    for mine, other in ((one, second), (two, first)):
        for message in read(mine):
            known = before.get(message.msg_id, set())
            replaced = repr(message) in known and other.get(message.msg_id, set()) - known
            if is_line(message) or not replaced:
                assert any(is_still_there(message, each) for each in messages), message


def damage(data: bytes) -> set[str]:
    with TemporaryDirectory() as directory:
        path = Path(directory, "MESSAGE-BUS.md")
        path.write_bytes(data)
        return {finding.code for finding in check_bus(path) if finding.is_damage}


@settings(max_examples=60)
@given(histories(2, "edit by hand"))
def test_a_merge_adds_no_findings(files: list[bytes]) -> None:
    base, one, two = files
    found = damage(merged(base, one, two))
    assert found <= damage(one) | damage(two)
    assert "BUS003" not in found, "what was edited has the length that fits"


def content(message: Message) -> str:
    """All of it; but the id of a line is a count, and lines of one second may be in either order."""
    return repr(replace(message, msg_id="") if is_line(message) else message)


def is_still_there(message: Message, there: Message) -> bool:
    """Is this what became of it?"""
    if is_line(message):
        return is_line(there) and (message.ts, message.type, message.body) == (there.ts, there.type, there.body)
    if message.intact is False and there.intact and there.msg_id == message.msg_id:
        return there.body.startswith(message.body)  # the rest of it was on the other side
    renamed = there.meta.get("conflict_of") == message.msg_id
    if renamed:
        there = replace(there, msg_id=message.msg_id)
    if there.meta.get("mended") == "length" and message.intact is False:  # it was given the length that fits
        there = replace(there, intact=False)
    return replace(there, meta={}) == replace(message, meta={})


@settings(max_examples=150)
@given(histories(3))
def test_three_branches_in_any_order(files: list[bytes]) -> None:
    """Each message is there once, whichever two are merged first."""
    base, *sides = files
    results = [
        merge_logs(base, merge_logs(base, one, two), three)
        for one, two, three in (sides, sides[1:] + sides[:1], sides[2:] + sides[:2])
    ]
    first, *others = (sorted(map(content, read(result))) for result in results)
    for other in others:
        assert other == first


FRAGMENTS = [
    *(b"---\n", b"---\r\n", b"\n", b"\r", b"\n\n", b"\0", b"\xff", b"\xef\xbb\xbf", b"text", b"\n\n---\nmsg"),
    *(b"msg_id: a\n", b"msg_id:\n", b"meta:\n", b"  k: v\n", b"content_length: 1\n"),
    *(b"\n\n---\nmsg_id: a\n", b"\n\n---\nmsg_id: b\n---\n"),
    *(record(X, "x"), b"\n" + record(X, "y"), b"\n" + record(Y, "z").replace(b"\n", b"\r\n")),
    *(b"\n[2026-11-21 03:14:15] NOTE: a\n", b"[2026-11-21 03:14:16] NOTE: b\n"),
]
HOSTILE = st.lists(st.sampled_from(FRAGMENTS), max_size=8).map(b"".join)


@settings(max_examples=300)
@given(HOSTILE, HOSTILE, HOSTILE)
def test_any_bytes(base: bytes, one: bytes, two: bytes) -> None:
    result = merge_logs(base, one, two)
    assert result == merge_logs(base, two, one)
    ids = [message.msg_id for message in read(result)]
    assert len(set(ids)) == len(ids)
    for message in (*read(one), *read(two)):
        if message.intact and repr(message) not in map(repr, read(base)):
            assert any(is_still_there(message, each) for each in read(result)), message


# --- one thing at a time -----------------------------------------------------------------------------


def test_empty_files() -> None:
    assert merged(b"", b"", b"") == b""
    assert merged(record(X, "x"), b"", b"") == b"", "both sides removed it"
    assert merged(b"", b"", record(X, "x")) == record(X, "x")


def test_what_one_side_changed_and_what_one_side_removed() -> None:
    base = log(record(X, "x"), record(Y, "y"))
    assert merged(base, log(record(X, "new"), record(Y, "y")), base) == log(record(X, "new"), record(Y, "y"))
    assert merged(base, record(X, "x"), base) == base, "a merge adds"
    assert merged(base, record(X, "x"), log(record(X, "x"), record(Y, "new"))) == log(record(X, "x"), record(Y, "new"))


@pytest.mark.parametrize(
    "msg_id",
    [X, "MSG-7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "MSG-20261121-031415-000000001-PID00007-0001", "note-1", "a b", "x+3", "é:-"],
)
def test_a_record_that_both_changed(msg_id: str) -> None:
    base, one, two = (record(msg_id, body, meta={"k": "v"}, task_id="t") for body in ("x", "of a", "of b"))
    first, second = read(merged(base, one, two))
    assert (first.msg_id, first.body, first.meta) == (msg_id, "of a", {"k": "v"})
    assert (second.body, second.task_id, second.meta) == ("of b", "t", {"k": "v", "conflict_of": msg_id})
    assert second.intact
    assert second.msg_id > first.msg_id
    assert msgid.time_of(second.msg_id) == msgid.time_of(msg_id)
    assert msgid.is_own(second.msg_id) == (msg_id == X)


def test_a_copy_is_right_after_its_original() -> None:
    after = msgid.next_msg_id(X, 0, lambda n: b"\0" * n)
    base, one, two = (log(record(X, body), record(after, "next")) for body in ("x", "of a", "of b"))
    assert bodies(merged(base, one, two)) == ["of a", "of b", "next"]
    base, one, two = (log(record("note", body), record("other", "next")) for body in ("x", "of a", "of b"))
    assert bodies(merged(base, one, two)) == ["of a", "of b", "next"]


def test_a_copy_that_both_changed() -> None:
    first = merged(record(X, "x"), record(X, "of a"), record(X, "of b"))
    copy = read(first)[1].msg_id
    one, two = (first.replace(b"of b", new) for new in (b"of c", b"of d"))
    ids = [message.msg_id for message in read(merged(first, one, two))]
    assert ids[:2] == [X, copy]
    assert [message.meta for message in read(merged(first, one, two))][1:] == [
        {"conflict_of": X},
        {"conflict_of": copy},
    ]


@pytest.mark.parametrize(
    ("meta", "known"),
    [
        ("", {}),
        ("meta: {}\n", {}),
        ("meta: {k: v}\n", {"k": "v"}),
        ('"meta": {k: v}\n', {"k": "v"}),
        ("meta:\r\n    k: v\n", {"k": "v"}),
        ("meta: {a: b,\nk: v}\n", {"a": "b", "k": "v"}),
        ("meta:\n  conflict_of: other\n", {}),
    ],
)
@pytest.mark.parametrize("length", ["", "content_length: 4\n"])
def test_headers_that_others_wrote(meta: str, known: dict[str, str], length: str) -> None:
    sides = [f"---\nmsg_id: {X}\nodd: kept\ntype: A\n{meta}{length}---\nof {name}\n".encode() for name in "ab"]
    result = merged(b"", *sides)
    _, copy = read(result)
    assert copy.meta == {**known, "conflict_of": X}
    assert (copy.type, copy.body, copy.intact) == ("A", "of b", True if length else None)
    assert result.count(b"odd: kept") == 2


def test_the_rest_of_a_torn_record() -> None:
    whole = record(X, "the whole of it")
    assert merged(b"", whole[:-8], log(whole, record(Y, "y"))) == log(whole, record(Y, "y"))
    torn = merged(b"", whole[:-9], log(whole.replace(b"the", b"The", 1), record(Y, "y")))
    assert bodies(torn)[0] == "The whole of it", "the whole one keeps the id"
    assert sorted(bodies(torn)[1:]) == ["the who", "y"]


def test_what_a_crash_left_at_the_end() -> None:
    base = record(X, "x")
    for rest in (b"\n---\nmsg_id: MSG-01KAJ3M2Q8Z", b"\n--", b"\0" * 4096):
        assert merged(base, base + rest, log(base, record(Y, "y"))) == log(base, record(Y, "y"))


def test_headers_that_cannot_be_read_stay() -> None:
    broken = [b"---\nmsg_id: " + X.encode() + b"\nno header %d\n---\ntext\n" % number for number in (1, 2)]
    result = merged(b"", log(broken[0], record(Y, "y")), log(broken[1], record(Y, "y")))
    assert result == log(*broken, record(Y, "y"))
    assert merged(broken[0], record(X, "mended"), broken[0]) == record(X, "mended")


def test_an_id_twice_on_one_side() -> None:
    assert merge_logs(b"", log(record(X, "a"), record(X, "a")), b"") == record(X, "a")
    first, second = read(merge_logs(b"", log(record(X, "b"), record(X, "a")), b""))
    assert (first.msg_id, first.body, second.body, second.meta) == (X, "a", "b", {"conflict_of": X})


def test_what_an_editor_converted_is_not_changed() -> None:
    base = log(record(X, "two\nlines"), record(Y, "y"))
    crlf = b"\xef\xbb\xbf" + base.replace(b"\n", b"\r\n")
    new = log(record(X, "changed\nlines"), record(Y, "y"))
    assert merged(base, crlf, new) == new
    assert merged(base, crlf, crlf) == base
    assert merged(crlf, base, crlf) == base


def test_carriage_returns_of_a_body_stay() -> None:
    base = record(X, "a\r\nb")
    assert merged(b"", base, record(Y, "y")) == log(base, record(Y, "y"))


LINE = b"[2026-11-21 03:14:%02d] NOTE: %b\n"


def test_lines_below_a_record() -> None:
    base = record(X, "x") + LINE % (5, b"five")
    one = base + LINE % (9, b"nine")
    two = base + LINE % (5, b"five") + LINE % (7, b"seven")
    result = merged(base, one, two)
    assert result == base + LINE % (5, b"five") + LINE % (7, b"seven") + LINE % (9, b"nine")


def test_a_line_below_a_record_that_the_other_side_changed() -> None:
    base = record(X, "x")
    result = merged(base, record(X, "new"), base + LINE % (5, b"five"))
    assert result == record(X, "new") + LINE % (5, b"five")


def test_a_line_that_the_changed_record_would_take_in() -> None:
    """Its length says otherwise: the text that bears the line stays, too."""
    base = record(X, "a longer body")
    result = merged(base, base.replace(b"a longer", b"a"), base + LINE % (5, b"five"))
    assert sorted(bodies(result)) == ["a body", "a longer body", "five"]


def test_text_above_the_first_record() -> None:
    base = b"# A bus\n\n" + LINE % (5, b"five") + b"\n" + record(X, "x")
    one = base.replace(b"# A bus\n", b"# The bus\n\nWith a word.\n")
    two = base.replace(b"five\n", b"five\n" + LINE % (4, b"four"))
    expected = b"# The bus\n\nWith a word.\n\n" + LINE % (4, b"four") + LINE % (5, b"five") + b"\n" + record(X, "x")
    assert merged(base, one, two) == expected
    both = merged(base, one, base.replace(b"# A bus", b"# Our bus"))
    assert both.startswith(b"# Our bus\n\n# The bus\n\nWith a word.\n\n[")


def test_text_does_not_become_a_record() -> None:
    forged = b"---\nmsg_id: FORGED\n---\nx\n"
    above = LINE % (9, b"nine") + b"\0\n" + forged  # below a block that was never written
    result = merged(b"", above, LINE % (5, b"five") + b"# A bus\n")
    assert [message.body for message in read(result)] == ["five", "nine"]
    assert b"\n\\" + forged in result
    assert read(merged(b"", b"text\n\n---\n", b"text\n\nmsg_id: FORGED\n---\nx\n")) == []


def test_text_below_a_line_does_not_become_a_record() -> None:
    """Without the line above it, it would start one."""
    one = record(X, "x") + b"\n" + LINE % (5, b"five") + record(Y, "forged")
    result = merged(b"", one, record(X, "x") + LINE % (6, b"six"))
    assert Y not in [message.msg_id for message in read(result)]
    assert {"five", "six"} <= set(bodies(result))


def test_the_top_of_the_file_does_not_make_a_record() -> None:
    """A byte order mark is skipped there; on any other line it is text."""
    one = LINE % (5, b"five") + codec.BOM + record(Y, "forged")
    assert bodies(merged(b"", one, b"\n" + codec.BOM + b"text\n" + one)) == ["five"]


@pytest.mark.parametrize("first", [b"\xef\xbb\xbf\n", b"", b"text\n"])
def test_a_record_right_below_text_stays_one(first: bytes) -> None:
    one = LINE % (5, b"five") + first + record(Y, "y")
    assert bodies(merged(b"", one, b"\n" + first + b"text\n" + one)) == ["five", "y"]


def test_blocks_that_a_crash_left_unwritten_above() -> None:
    """Nothing after them is a message, and that must stay so."""
    one = b"# A bus\n\n\0\0\n" + LINE % (5, b"no message")
    two = b"\0\n" + LINE % (6, b"none, too") + b"\n" + record(X, "x")
    result = merged(b"", one, two + LINE % (7, b"seven"))
    assert bodies(result) == ["x", "seven"]
    for text in (b"# A bus", b"no message", b"none, too", b"\0\0\n"):
        assert result.count(text) == 1


def test_records_without_a_time_stay_after_the_one_they_followed() -> None:
    base = log(record("top", "t"), record(X, "x"), record("note-9", "n"), record(Y, "y"))
    one = base.replace(b"---\nmsg_id: " + Y.encode(), record("note-1", "n") + b"\n---\nmsg_id: " + Y.encode())
    two = base.replace(b"---\nmsg_id: " + Y.encode(), record("note-5", "n") + b"\n---\nmsg_id: " + Y.encode())
    ids = [message.msg_id for message in read(merged(base, one, two))]
    assert ids == ["top", X, "note-9", "note-1", "note-5", Y]


def test_sides_that_contradict_each_other_lose_nothing() -> None:
    names = ["a", "b", "c", "d"]
    one, two = (log(*(record(name, name) for name in order)) for order in (names, names[::-1]))
    result = merge_logs(b"", one, two)
    assert result == merge_logs(b"", two, one)
    assert sorted(bodies(result)) == names
