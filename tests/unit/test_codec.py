"""The file format, case by case: what SPEC.md says, as bytes and messages."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import pytest

from messagebus import codec
from messagebus.codec import Decoder, header
from messagebus.errors import InvalidMessageError
from messagebus.message import Draft, Link, Message, Parent

ID = "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA"
TS = datetime(2026, 11, 21, 3, 14, 15, 926535, UTC)
EXAMPLE = b"""---
msg_id: MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA
ts: 2026-11-21T03:14:15.926535Z
type: FACT
project_id: demo
task_id: task-1
run_id: run-7
parents:
  - msg_id: MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9Z9
    kind: answers
content_length: 34
---
The build is green
again now.

And
"""
MESSAGE = Message(
    ID, TS, "FACT", "demo", "task-1", "run-7",
    parents=(Parent("MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9Z9", "answers"),), body="The build is green\nagain now.\n\nAnd",
    intact=True,
)  # fmt: skip


def read(data: bytes, *, closed: bool = False) -> list[Message]:
    decoder = Decoder()
    return decoder.feed(data) + decoder.finish(closed=closed)


def kept_back(data: bytes) -> bool:
    decoder = Decoder()
    decoder.feed(data)
    decoder.finish(closed=False)
    return decoder.unfinished


def record(body: bytes, *, msg_id: str = "a", length: int | str | None = None, more: str = "") -> bytes:
    """A record as a person might write it by hand; ``length`` as given, none if None."""
    stored = "" if length is None else f"content_length: {length}\n"
    return f"---\nmsg_id: {msg_id}\nts: 2026-11-21T03:14:15Z\ntype: FACT\n{more}{stored}---\n".encode() + body


def summaries(data: bytes, *, closed: bool = False) -> list[tuple[str, str, bool | None]]:
    return [(message.msg_id, message.body, message.intact) for message in read(data, closed=closed)]


NEXT = b"\n" + record(b"next\n", msg_id="next", length=4)
NEXT_SEEN = ("next", "next", True)


# --- writing -----------------------------------------------------------------------------------


def test_the_example_is_written_to_the_byte() -> None:
    assert codec.encode(ID, TS, codec.encode_rest(MESSAGE)) == EXAMPLE


def test_the_example_is_read() -> None:
    assert read(EXAMPLE) == [MESSAGE]


def test_every_field_has_its_place() -> None:
    draft = Draft(
        "yes", "1e3", "b", task_id="t", run_id="007", issue_id="i",
        parents=["p", Parent("q", "k", {"m": "n"})], links=[Link("https://x/", "l", "k"), Link("y")], meta={"a": "b"},
    )  # fmt: skip
    assert codec.encode("x", TS, codec.encode_rest(draft)).decode() == (
        '---\nmsg_id: x\nts: 2026-11-21T03:14:15.926535Z\ntype: "yes"\n'
        'project_id: "1e3"\ntask_id: t\nrun_id: "007"\nissue_id: i\n'
        'parents:\n  - msg_id: p\n  - msg_id: q\n    kind: k\n    meta:\n      m: "n"\n'
        'links:\n  - url: https://x/\n    label: l\n    kind: k\n  - url: "y"\n'
        "meta:\n  a: b\ncontent_length: 1\n---\nb\n"
    )


@pytest.mark.parametrize(
    ("body", "stored"),
    [
        ("", b""), ("a", b"a"), ("a\n\n", b"a"), ("a\r\n", b"a"), ("\n\na", b"\n\na"), ("a \n", b"a "),
        ("a\n\t", b"a\n\t"),
        ("---", b"\\---"), ("\\---", b"\\\\---"), ("\\\\---", b"\\\\\\---"), ("a\n---\nb", b"a\n\\---\nb"),
        ("---\r\nb", b"\\---\r\nb"), ("---\r\r\nb", b"\\---\r\r\nb"), ("--- ", b"--- "), (" ---", b" ---"),
        ("----", b"----"),
        ("a---", b"a---"), ("--", b"--"), ("---\u2028", "---\u2028".encode()), ("a\r---", b"a\r---"),
        ("é", "é".encode()),
    ],
)  # fmt: skip
def test_bodies_are_escaped_and_measured_as_stored(body: str, stored: bytes) -> None:
    data = codec.encode("a", TS, codec.encode_rest(Draft("FACT", "demo", body)))
    assert data.endswith(b"content_length: %d\n---\n%b\n" % (len(stored), stored))
    assert summaries(data) == [("a", body.rstrip("\r\n"), True)]


def test_a_header_over_the_limit_is_refused_before_anything_is_written() -> None:
    with pytest.raises(InvalidMessageError, match="header is"):
        codec.encode_rest(Draft("FACT", "demo", meta={"a": "x" * codec.MAX_HEADER}))


def test_the_longest_header_that_is_written_is_read() -> None:
    draft = Draft("ISSUE", "demo", "b", meta={"a": "x" * (codec.MAX_HEADER - 400)})
    message = Message(ID, TS, "ISSUE", "demo", issue_id=ID, meta=draft.meta, body="b", intact=True)
    assert read(codec.encode(ID, TS, codec.encode_rest(message))) == [message]


# --- framing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "ids"),
    [
        (b"", []), (b"\n", []), (b"\n\n\n", []), (b"---", []), (b"---\n", []), (b"text\n", []),
        (b"\n" + EXAMPLE, [ID]), (b"\n\n\n" + EXAMPLE, [ID]), (codec.BOM + EXAMPLE, [ID]),
        (b"text\n\n" + EXAMPLE, [ID]),
        (b"text\n" + EXAMPLE, [ID]), (b"text\r\n" + EXAMPLE, [ID]), (codec.BOM + b"text\n" + EXAMPLE, [ID]),
        (b"text" + EXAMPLE, []), (b"---\n" + EXAMPLE, [ID]), (b"---\nmsg_id: x\n---\ntext\n" + EXAMPLE, ["x"]),
        # Below a block that was never written there may be a body above it.
        (b"\0\n" + EXAMPLE, []), (b"\0\n\n" + EXAMPLE, [ID]), (b"\0\n" + EXAMPLE + b"\n" + EXAMPLE, [ID]),
        (b"--- \n" + EXAMPLE[4:], []), (b"---\nts: x\n" + EXAMPLE[4:], []), (b"---\n\n" + EXAMPLE[4:], []),
        (b"---\n msg_id: x\n---\n", []), (b"---\nmsg_id: x\n---\n", ["x"]), (b"---\nmsg_id:x\n---\n", []),
        (b"---\nmsg_id: x\n--- \n", []), (b"---\nmsg_id: x\n---\r\n", ["x"]), (b"---\r\nmsg_id: x\n---\n", ["x"]),
        (b"---\nmsg_id:\n---\n", []), (b"---\nmsg_id: ''\n---\n", []), (b"---\nts: x\nmsg_id: x\n---\n", []),
        (EXAMPLE + b"\n" + EXAMPLE, [ID, ID]), (EXAMPLE + b"\n\n\n" + EXAMPLE, [ID, ID]), (EXAMPLE + EXAMPLE, [ID]),
        (EXAMPLE + b"\r\n" + EXAMPLE, [ID, ID]), (EXAMPLE + b"\r\r\n" + EXAMPLE, [ID, ID]),
        (EXAMPLE + b" \n" + EXAMPLE, [ID]),
    ],
)  # fmt: skip
def test_where_records_start(data: bytes, ids: list[str]) -> None:
    assert [message.msg_id for message in read(data, closed=True)] == ids


def test_other_fields_may_come_in_any_order_and_be_unknown() -> None:
    fields = b"content_length: 1\nmood: {good: [very]}\nproject_id: demo\ntype: FACT\nts: 2026-11-21T03:14:15Z\n"
    data = b"---\nmsg_id: x\n" + fields + b"---\nb\n"
    assert read(data) == [Message("x", TS.replace(microsecond=0), "FACT", "demo", body="b", intact=True)]


@pytest.mark.parametrize(
    "broken",
    [
        b"type: [", b"type: [a]", b"parents: text", b"parents: [[a]]", b"meta: [a]", b"links: [a]", b"{",
        b"meta: {a: [b]}", b"no colon", b"\ttype: x", b"a: *b", b"type: {a: b}",
    ],
)  # fmt: skip
def test_a_broken_header_affects_only_its_own_record(broken: bytes) -> None:
    data = EXAMPLE + b"\n---\nmsg_id: x\n" + broken + b"\n---\nlost\n" + NEXT
    assert summaries(data) == [(ID, MESSAGE.body, True), NEXT_SEEN]


def test_a_header_without_an_end_affects_only_its_own_record() -> None:
    assert summaries(b"---\nmsg_id: x\ntype: FACT\n" + NEXT) == [NEXT_SEEN]


@pytest.mark.parametrize(
    ("size", "count"), [(codec.MAX_HEADER - 100, 2), (codec.MAX_HEADER + 10, 1), (codec.MAX_HEADER * 2, 1)]
)
def test_a_header_is_at_most_64_kib(size: int, count: int) -> None:
    data = b"---\nmsg_id: x\nmeta:\n  a: " + b"x" * size + b"\n---\nb\n" + NEXT
    assert len(read(data)) == count


@pytest.mark.parametrize(
    ("line", "value"),
    [("yes", "yes"), ("007", "007"), ("1e3", "1e3"), ("null", "null"), ("~", "~"), ("2026-11-21", "2026-11-21"),
    ('"007"', "007"),
     ("'it''s'", "it's"), ('"\\u00e9\\n"', "é\n"), ("", ""), ('""', ""), ("a # comment", "a"), ("0x1f", "0x1f"),
     ("!!int 7", "7")],
)  # fmt: skip
def test_scalars_are_text_whatever_their_type_in_yaml(line: str, value: str) -> None:
    data = f"---\nmsg_id: x\nrun_id: {line}\nproject_id: 1e3\ntype: yes\n---\n".encode()
    (message,) = read(data, closed=True)
    assert (message.run_id, message.project_id, message.type) == (value, "1e3", "yes")


@pytest.mark.parametrize(
    ("lines", "parents"),
    [
        ("parents: [a, b]", (Parent("a"), Parent("b"))), ("parents:\n- a\n- b", (Parent("a"), Parent("b"))),
        ("parents:\n  - a\n  - msg_id: b\n    kind: k", (Parent("a"), Parent("b", "k"))),
        ("parents:\n    - msg_id: b\n      kind: k\n      meta:\n        m: n", (Parent("b", "k", {"m": "n"}),)),
        ("parents: []", ()), ("parents:", ()), ("parents: null", ()), ("parents: ~", ()),
    ],
)  # fmt: skip
def test_parents_in_every_shape(lines: str, parents: tuple[Parent, ...]) -> None:
    assert read(f"---\nmsg_id: x\n{lines}\n---\n\n".encode())[0].parents == parents


@pytest.mark.parametrize(
    ("text", "ts"),
    [
        ("2026-11-21T03:14:15.926535Z", TS), ("2026-11-21T03:14:15.926535897Z", TS),
        ("2026-11-21 05:14:15.926535+02:00", TS),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2017-01-01 00:59:60.250+01:00", datetime(2016, 12, 31, 23, 59, 59, 250_000, UTC)),
        ("2026-11-21T03:14:15.926535", TS), ("'2026-11-21T03:14:15.926535Z'", TS),
        ("nonsense", datetime(2025, 11, 21, 2, 45, 21, 160000, UTC)),
        ("", datetime(2025, 11, 21, 2, 45, 21, 160000, UTC)),
        ("0001-01-01T00:00:00+10:00", datetime(2025, 11, 21, 2, 45, 21, 160000, UTC)),
    ],
)  # fmt: skip
def test_times_are_utc_and_an_unreadable_one_is_that_of_the_id(text: str, ts: datetime) -> None:
    own_id = "MSG-01KAJ4TKM85N6V5RDZQ0V0Y8Z0"
    assert read(f"---\nmsg_id: {own_id}\nts: {text}\n---\n\n".encode())[0].ts == ts


def test_no_type_is_info_wherever_the_record_is() -> None:
    """The last record of a file and those before it are read by different code."""
    untyped = EXAMPLE.replace(b"type: FACT\n", b"").replace(
        EXAMPLE[EXAMPLE.index(b"parents") : EXAMPLE.index(b"content")], b""
    )
    assert [message.type for message in read(untyped + b"\n" + untyped)] == ["INFO", "INFO"]


@pytest.mark.parametrize("lines", ["parents:\n  - kind: k", "parents: ['']", "links:\n  - label: l", "parents:\n  -"])
def test_relations_to_nothing_still_have_a_json_that_gives_them_back(lines: str) -> None:
    for message in read(f"---\nmsg_id: x\n{lines}\n---\n\n".encode()):
        assert Message.from_json(message.to_json()) == message


def test_no_time_anywhere_is_the_epoch() -> None:
    assert read(b"---\nmsg_id: x\n---\n\n")[0].ts == datetime(1970, 1, 1, tzinfo=UTC)


# --- bodies ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # The length verifies.
        (record(b"abc\n", length=3), ("a", "abc", True)),
        (record(b"abc\n\n\n", length=3), ("a", "abc", True)),
        (record(b"abc\r\n", length=3), ("a", "abc", True)),
        (record(b"a\n\nb\n", length=4), ("a", "a\n\nb", True)),
        (record(b"\n", length=0), ("a", "", True)),
        (record(b"", length=0), ("a", "", True)),
        (record(b"abc", length=3), ("a", "abc", True)),
        # Other text below joins the body.
        (record(b"abc\n", length=2), ("a", "abc", False)),
        (record(b"abc\nmore\n", length=3), ("a", "abc\nmore", False)),
        (record(b"abc\n\nmore\n\n", length=3), ("a", "abc\n\nmore", False)),
        (record(b"\\---\n\\---\n", length=4), ("a", "---\n\\---", False)),
        # NUL.
        (record(b"a\0c\n", length=3), ("a", "a\0c", False)),
        (record(b"a\0c\n"), ("a", "a\0c", False)),
        # No length: nothing is unescaped, nothing known.
        (record(b"abc\n"), ("a", "abc", None)),
        (record(b"\\---\n"), ("a", "\\---", None)),
        (record(b"a\n---\nb\n"), ("a", "a\n---\nb", None)),
        (record(b"a\n\n---\nb\n"), ("a", "a\n\n---\nb", None)),
        (record(b"---\nmsg_id: x\n---\n"), ("a", "---\nmsg_id: x\n---", None)),
        (record(b"[2026-11-21 03:14:15] FACT: x\n"), ("a", "[2026-11-21 03:14:15] FACT: x", None)),
        # Escaping, one backslash at a time.
        (record(b"\\---\n", length=4), ("a", "---", True)),
        (record(b"\\\\---\n", length=5), ("a", "\\---", True)),
        (record(b"\\---\r\nb\n", length=7), ("a", "---\r\nb", True)),
        (record(b"\\--- \n", length=5), ("a", "\\--- ", True)),
        # Invalid UTF-8 is delivered.
        (record(b"\xff\xfe\n", length=2), ("a", "\ufffd\ufffd", True)),
        (record(b"\xff\n"), ("a", "\ufffd", None)),
        # content_length that is none.
        *((record(b"abc\n", length=length), ("a", "abc", False)) for length in ("-1", "3.0", "x", "1e3", '""', "[3]",
        "'3 '", "9" * 13, "٣")),
        (record(b"abc\n", length='"3"'), ("a", "abc", True)),
        (record(b"abc\n", length="003"), ("a", "abc", True)),
    ],
)  # fmt: skip
def test_a_body_and_whether_it_is_intact(data: bytes, expected: tuple[str, str, bool | None]) -> None:
    assert summaries(data) == [expected], "at the end of a live file"
    assert summaries(data, closed=True) == [expected], "at the end of an archive"
    assert summaries(data.rstrip(b"\n") + b"\n" + NEXT) == [expected, NEXT_SEEN], "with another record after it"


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (record(b"", length=3), ""), (record(b"a", length=3), "a"), (record(b"a\n", length=3), "a"),
        (record(b"ab\n\n\n", length=3), "ab"), (record(b"\\---\nab", length=8), "---\nab"),
    ],
)  # fmt: skip
def test_a_short_body_waits_at_the_end_and_is_torn_elsewhere(data: bytes, body: str) -> None:
    assert summaries(data) == []
    assert kept_back(data)
    assert summaries(data, closed=True) == [("a", body, False)]
    assert summaries(data.rstrip(b"\n") + b"\n" + NEXT) == [("a", body, False), NEXT_SEEN]


@pytest.mark.parametrize(
    "data", [b"---\nmsg_id: x", b"---\nmsg_id: x\nts: 1\n", record(b"")[:-1], record(b"no line end")]
)
def test_an_unfinished_end_is_kept_back_and_reported(data: bytes) -> None:
    assert summaries(EXAMPLE + b"\n" + data) == [(ID, MESSAGE.body, True)]
    assert kept_back(EXAMPLE + b"\n" + data)


@pytest.mark.parametrize("data", [b"", EXAMPLE, EXAMPLE + b"\n\n", record(b"by hand\n"), EXAMPLE[:-1], b"text\n"])
def test_a_finished_end_is_not(data: bytes) -> None:
    assert not kept_back(data)


@pytest.mark.parametrize(
    "start",
    [b"\n-", b"\n--", b"\n---", b"\n---\n", b"\n---\nm", b"\n---\nmsg_id", b"\n---\nmsg_id:", b"\n---\nmsg_id: MSG-0"],
)
def test_a_partial_start_of_the_next_record_changes_nothing(start: bytes) -> None:
    """Writes become visible in parts; what is in front of them is whole."""
    assert summaries(EXAMPLE + start) == [(ID, MESSAGE.body, True)]


def test_a_crlf_converted_file_is_read_as_lf() -> None:
    data = (EXAMPLE + b"\n" + record(b"\\---\n", length=4)).replace(b"\n", b"\r\n")
    assert read(data) == [MESSAGE, *read(record(b"\\---\n", length=4))]


def test_one_converted_record_between_others() -> None:
    data = EXAMPLE + b"\n" + record(b"a\nb\n", msg_id="b", length=3).replace(b"\n", b"\r\n") + NEXT
    assert summaries(data) == [(ID, MESSAGE.body, True), ("b", "a\nb", True), NEXT_SEEN]


def test_crs_that_a_body_was_written_with_stay() -> None:
    assert summaries(record(b"a\r\nb\rc\n", length=6)) == [("a", "a\r\nb\rc", True)]


def test_a_record_of_other_bytes_above_and_below_is_found_at_its_offset() -> None:
    decoder = Decoder(1000)
    messages = decoder.feed(EXAMPLE + NEXT)
    assert messages == [MESSAGE]
    assert decoder.record_offset == 1000
    decoder.finish(closed=False)
    assert decoder.record_offset == 1000 + len(EXAMPLE) + 1


# --- lines a person adds -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "ts", "kind", "body"),
    [
        ("[2026-11-21 03:14:15] FACT: it works", "2026-11-21 03:14:15", "FACT", "it works"),
        ("[2026-11-21T03:14:15] FACT: it works", "2026-11-21 03:14:15", "FACT", "it works"),
        ("[2026-11-21 03:14:15Z] FACT: it works", "2026-11-21 03:14:15", "FACT", "it works"),
        ("[2026-11-21T03:14:15Z] fact: it works", "2026-11-21 03:14:15", "FACT", "it works"),
        ("[2026-11-21 03:14:15] it works", "2026-11-21 03:14:15", "INFO", "it works"),
        ("[2026-11-21 03:14:15] a sentence: with a colon", "2026-11-21 03:14:15", "INFO", "a sentence: with a colon"),
        ("[2026-11-21 03:14:15] https://example.org", "2026-11-21 03:14:15", "INFO", "https://example.org"),
        ("[2026-11-21 03:14:15] FACT:", "2026-11-21 03:14:15", "FACT", ""),
        ("[2026-11-21 03:14:15] RUN_START: x: y", "2026-11-21 03:14:15", "RUN_START", "x: y"),
        ("[2026-11-21 03:14:15] é ", "2026-11-21 03:14:15", "INFO", "é"),
        ("[2026-11-21 03:14:15] FACT: x\r", "2026-11-21 03:14:15", "FACT", "x"),
        ("[2024-02-29 23:59:59] x", "2024-02-29 23:59:59", "INFO", "x"),
        ("[2026-11-21 03:14:15.25] FACT: x", "2026-11-21 03:14:15.25", "FACT", "x"),
        ("[2026-11-21T03:14:15,926535897Z] x", "2026-11-21 03:14:15.926535", "INFO", "x"),
        ("[2026-11-21T03:14:15+02:00] FACT: x", "2026-11-21 01:14:15", "FACT", "x"),
        ("[2026-11-21 23:14:15.5 -0230] FACT: x", "2026-11-22 01:44:15.5", "FACT", "x"),
        ("  [2026-11-21 03:14:15] FACT: x", "2026-11-21 03:14:15", "FACT", "x"),
        ("\t[2026-11-21 03:14:15] x", "2026-11-21 03:14:15", "INFO", "x"),
        ("[2016-12-31 23:59:60] FACT: x", "2016-12-31 23:59:59", "FACT", "x"),
        ("[2017-01-01T01:59:60.75+02:00] FACT: x", "2016-12-31 23:59:59.75", "FACT", "x"),
    ],
)  # fmt: skip
def test_a_one_line_message(line: str, ts: str, kind: str, body: str) -> None:
    when = datetime.fromisoformat(ts + "+00:00")
    assert read(line.encode() + b"\n") == [Message("LEGACY-LINE-000000001", when, kind, body=body)]
    below = read(EXAMPLE + line.encode() + b"\n")
    assert below == [MESSAGE, Message(ID + "+1", when, kind, body=body)]


NOT_ONE_LINE = [
    "[2026-02-30 03:14:15] FACT: x", "[2026-13-01 03:14:15] FACT: x", "[2026-11-21 24:00:00] x",
    "[2026-11-21 03:60:15] x",
    "[2026-11-21] FACT: x", "[2026-11-21 3:14:15] x", "\u00a0[2026-11-21 03:14:15] x", "[2026-11-21 03:14:15]",
    "[2026-11-21 03:14:15",
    "2026-11-21 03:14:15 x", "[٢٠٢٦-11-21 03:14:15] x", "[2026-11-21 03:14:15+24:00] x", "FACT: x",
    "[2026-11-21 03:14:15.] x", "[2026-11-21 03:14:15+2] x", "[0001-01-01 00:00:00+02:00] x",
    "[2026-11-21 03:14:61] x", "- [2026-11-21 03:14:15] x",
]  # fmt: skip


@pytest.mark.parametrize("line", NOT_ONE_LINE)
def test_what_is_not_a_one_line_message(line: str) -> None:
    assert read(line.encode() + b"\n\n" + EXAMPLE) == [MESSAGE]
    (joined,) = read(EXAMPLE + line.encode() + b"\n")
    assert (joined.body, joined.intact) == (f"{MESSAGE.body}\n{line}", False)


def test_lines_above_the_first_record_are_numbered_from_one() -> None:
    data = b"# Log\n\n[2026-11-21 03:14:15] x\ntext\n[2026-11-21 03:14:16] QUESTION: y\n\n" + EXAMPLE
    assert [(m.msg_id, m.type, m.body) for m in read(data)] == [
        ("LEGACY-LINE-000000003", "INFO", "x"), ("LEGACY-LINE-000000005", "QUESTION", "y"), (ID, "FACT", MESSAGE.body),
    ]  # fmt: skip


def test_a_byte_order_mark_is_not_part_of_the_first_line() -> None:
    assert [m.msg_id for m in read(codec.BOM + b"[2026-11-21 03:14:15] x\n")] == ["LEGACY-LINE-000000001"]


def test_lines_below_a_body_are_numbered_among_themselves() -> None:
    data = EXAMPLE + b"\n[2026-11-21 03:14:15] x\n\n\n[2026-11-21 03:14:16] y\n" + NEXT
    assert [(m.msg_id, m.body, m.intact) for m in read(data)] == [
        (ID, MESSAGE.body, True), (ID + "+1", "x", None), (ID + "+2", "y", None), NEXT_SEEN,
    ]  # fmt: skip


def test_other_text_between_such_lines_joins_the_body() -> None:
    data = EXAMPLE + b"oops\n[2026-11-21 03:14:15] x\nmore\n"
    assert summaries(data) == [(ID, MESSAGE.body + "\noops\nmore", False), (ID + "+1", "x", None)]


def test_a_line_without_its_end_waits() -> None:
    data = EXAMPLE + b"[2026-11-21 03:14:15] half"
    assert summaries(data) == [(ID, MESSAGE.body, True)]
    assert kept_back(data)
    assert summaries(data, closed=True) == [(ID, MESSAGE.body, True), (ID + "+1", "half", None)]
    assert summaries(b"[2026-11-21 03:14:15] half") == []


# --- the append point ---------------------------------------------------------------------------

HAND = record(b"by hand\n", msg_id="h")


@pytest.mark.parametrize(
    ("data", "last_id", "truncate_to", "separator"),
    [
        (b"", None, 0, b""), (b"\n", None, 1, b"\n"), (b"text", None, 4, b"\n\n"), (b"text\n", None, 5, b"\n"),
        (EXAMPLE, ID, len(EXAMPLE), b"\n"), (EXAMPLE[:-1], ID, len(EXAMPLE) - 1, b"\n\n"),
        (EXAMPLE[:-3], ID, len(EXAMPLE) - 3, b"\n\n"),
        (EXAMPLE + b"\n", ID, len(EXAMPLE) + 1, b"\n"), (EXAMPLE + b"note\n", ID, len(EXAMPLE) + 5, b"\n"),
        # A header without an end goes, and so do the first bytes of a record, where a length is known.
        *((EXAMPLE + left, ID, len(EXAMPLE), b"\n")
          for left in (b"\n-", b"\n--", b"\n---", b"\n---\n", b"\n---\nm", b"\n---\nmsg_id", b"\n---\nmsg_id:",
          b"\n---\nmsg_id: MSG-0",
                       b"\n---\nmsg_id: MSG-0\nts: 2026", b"\n---\nmsg_id: x\nparents:\n  - msg_id: y\n    ki")),
        # ... but not where they may be text.
        (HAND + b"\n---", "h", len(HAND) + 4, b"\n\n"), (HAND + b"\n-", "h", len(HAND) + 2, b"\n\n"),
        (b"-", None, 1, b"\n\n"),
        (b"---\nmsg_i", None, 9, b"\n\n"), (HAND + b"\n---\nmsg_i", "h", len(HAND) + 10, b"\n\n"),
        (record(b"a\n\n---\n", length=9), "a", len(record(b"a\n\n---\n", length=9)), b"\n"),
        (b"---\nmsg_id: x\nnot a header line\n", "x", 32, b"\n"),
        (b"---\nmsg_id: x\nts: 1\n", None, 0, b""), (b"\n---\nmsg_id: x", None, 0, b""),
        (b"text\n\n---\nmsg_id: x", None, 5, b"\n"),
        (codec.BOM + EXAMPLE, ID, 3 + len(EXAMPLE), b"\n"),
        (EXAMPLE.replace(b"\n", b"\r\n"), ID, len(EXAMPLE) + EXAMPLE.count(b"\n"), b"\n"),
        (EXAMPLE + b"\r\n---\r\nmsg", ID, len(EXAMPLE), b"\n"),
    ],
)  # fmt: skip
def test_the_append_point(data: bytes, last_id: str | None, truncate_to: int, separator: bytes) -> None:
    assert codec.find_append_point(data, whole_file=True) == (last_id, truncate_to, separator)


def test_an_id_line_without_an_id_is_skipped() -> None:
    assert codec.find_append_point(EXAMPLE + b"\n---\nmsg_id:\n---\nby hand\n", whole_file=True).last_id == ID


def test_a_byte_order_mark_survives_the_recovery_of_the_first_record() -> None:
    point = codec.find_append_point(codec.BOM + b"---\nmsg_id: x", whole_file=True)
    assert point.truncate_to == len(codec.BOM)
    assert read(codec.BOM[: point.truncate_to] + point.separator + EXAMPLE) == [MESSAGE]


def test_a_time_that_runs_into_the_next_field_is_not_a_plain_record() -> None:
    """However the record is read: alone, or with another after it."""
    broken = EXAMPLE.replace(b"Z\ntype:", b"Ztype:")
    assert read(broken) == read(broken + b"\n" + broken) == []


def test_a_length_that_counts_line_ends_does_not_fit() -> None:
    """However the record is read: alone, or with another after it."""
    counted = EXAMPLE.replace(b"content_length: 34", b"content_length: 35") + b"\n"
    assert [message.intact for message in read(counted + b"\n" + EXAMPLE)] == [False, True]
    assert read(counted) == []


def test_a_one_line_message_of_many_spaces_takes_linear_time() -> None:
    """A lazy pattern would look at each run of spaces from each of them: a test that hangs."""
    [message] = read(b"[2026-11-21 03:14:15] FACT: a" + b" " * 1_000_000 + b"b\n")
    assert message.body == "a" + " " * 1_000_000 + "b"


def test_lines_around_a_message_do_not_form_a_record_in_the_stored_bytes() -> None:
    """They go to the record above, without the message between them."""
    stored: list[bytes] = []
    lines = b"\n\n[2026-11-21 03:14:15] FACT: between\n---\nmsg_id: forged\n---\n"
    Decoder(stored=stored).feed(record(b"x" + lines, length=1) + b"\n" + record(b"", msg_id="b"))
    assert [msg_id for msg_id, _, _ in summaries(b"\n".join(stored), closed=True)] == ["a", "a+1"]


def test_what_is_remembered_of_headers_is_bounded() -> None:
    """A program may run for months, and write other values every time."""
    for number in range(2000):
        codec.encode_rest(
            Draft("FACT", "demo", task_id=f"task {number}", run_id="x" * number, meta={"k": "v" * number})
        )
    encode = sys.modules["messagebus.codec.encode"]  # whose name in the package is that of its function
    assert len(encode._scopes) <= encode._MOST_REMEMBERED
    assert max(map(len, encode._scopes.values())) <= encode._LONGEST_REMEMBERED
    assert header._short_scalar.cache_info().currsize <= 1024
    before = header._short_scalar.cache_info().misses
    header.scalar("y" * 10_000)
    assert header._short_scalar.cache_info().misses == before
