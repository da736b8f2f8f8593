"""The codec against everything a body, a file and a crash can be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from messagebus import codec, msgid
from messagebus.backends.file import read
from messagebus.codec import Decoder
from messagebus.codec.canonical import read_canonical
from messagebus.codec.framing import PLAIN_START, START
from messagebus.codec.lenient import RecordEnd, read_record
from messagebus.filters import ODD_LETTERS, Filter
from messagebus.message import Draft, Link, Message, Parent, message_from
from messagebus.validation import validate_draft

MS = 1_795_230_855_926  # 2026-11-21
NOW = datetime(2026, 11, 21, 3, 14, 15, 926535, UTC)
ID = "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9Z0"
RECORD = (
    f"---\nmsg_id: {ID}\nts: 2026-11-21T03:14:15.926535Z\ntype: FACT\nproject_id: demo\ncontent_length: 2\n---\nhi\n"
)

# --- strategies ------------------------------------------------------------------------------

FRAGMENTS = st.sampled_from(
    ["---", "\\---", "\\\\---", "----", "--- ", " ---", "--", "-", "\\", "\r", "\n", "\n", "\n", "\r\n", "\n\n",
    "\n\n---\n",
     "\n---\n", "\n---\r\n", "\n\r\n---\r\n", "\n\n---\nmsg_id: ", "---\nmsg_id: x", "msg_id:", "msg_id: " + ID,
     "ts: 2026-11-21",
     "type: FACT\n", "content_length: 3", "content_length: 0\n---\n", "a: b\n", "- x\n",
     "[2026-11-21 03:14:15] FACT: x", "\n[2026-11-21 03:14:15] y\n",
     RECORD, "\n" + RECORD, RECORD.replace("\n", "\r\n"), "text", "é", "日本", "\U0001f600", "\u2028", "\u0085",
     "\ufeff", "\ufffd", "\t", " ", "\x0b\x0c\x1c"]
)  # fmt: skip
BODIES = st.one_of(
    st.lists(FRAGMENTS, max_size=12).map("".join),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=30),
)
VALUES = st.one_of(
    st.sampled_from(
        [
            "FACT",
            "yes",
            "007",
            "1e3",
            "null",
            "run-7",
            "a: b",
            "---",
            "msg_id: x",
            "[2026-11-21 03:14:15] x",
            '"',
            "'",
            " a ",
        ]
    ),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12),
)
NAMES = VALUES.filter(str.strip)
IDS = st.one_of(
    st.just(ID),
    st.text("MSG-01x:'\"#é", min_size=1, max_size=8),
    st.just("MSG-20261121-031415-000000001-PID00007-0001"),
)
META = st.dictionaries(NAMES.filter(lambda key: key != "idempotency_key"), VALUES, max_size=3)
PARENTS = st.lists(IDS | st.builds(Parent, IDS, VALUES, META), max_size=3)
LINKS = st.lists(st.builds(Link, NAMES, VALUES, VALUES), max_size=2)
TIMES = st.none() | st.datetimes(
    datetime(1, 1, 2),
    datetime(9999, 12, 30),
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)
DRAFTS = st.builds(
    Draft, st.sampled_from(["FACT", "ISSUE", "yes"]) | NAMES, NAMES, BODIES,
    task_id=VALUES, run_id=VALUES, issue_id=VALUES, parents=PARENTS, links=LINKS, meta=META, ts=TIMES,
)  # fmt: skip
SIMPLE_DRAFTS = st.builds(Draft, st.sampled_from(["FACT", "QUESTION"]), st.just("demo"), BODIES)
LOGS = st.lists(st.one_of(SIMPLE_DRAFTS, DRAFTS), min_size=1, max_size=5)


def numbered(drafts: Sequence[Draft], after: str | None = None) -> list[tuple[bytes, Message]]:
    """Each draft as a record and as the message that it becomes, as the appender makes them."""
    written = []
    for draft in drafts:
        validate_draft(draft, 1 << 20)
        after = msgid.next_msg_id(after, MS, lambda n: b"\x55" * n)
        message = message_from(draft, after, (draft.ts or NOW).astimezone(UTC))
        written.append((codec.encode(after, message.ts, codec.encode_rest(message)), message))
    return written


def decode(data: bytes, *, closed: bool = False, offset: int = 0, cuts: Sequence[int] = ()) -> list[Message]:
    """The messages in ``data`` from ``offset`` on, fed in chunks that end at ``cuts``."""
    decoder = Decoder(offset)
    edges = sorted({offset, len(data), *(cut for cut in cuts if offset < cut < len(data))})
    messages = []
    for start, end in pairwise(edges):
        messages += decoder.feed(data[start:end])
    return messages + decoder.finish(closed=closed)


def starts_of(records: Sequence[bytes]) -> list[int]:
    """Where each record begins in ``b"\\n".join(records)``."""
    starts = [0]
    for record in records[:-1]:
        starts.append(starts[-1] + len(record) + 1)
    return starts


# --- what we write -----------------------------------------------------------------------------


@settings(max_examples=400)
@given(LOGS, st.data())
def test_what_is_written_is_read(drafts: list[Draft], data: st.DataObject) -> None:
    records, messages = zip(*numbered(drafts), strict=True)
    log = b"\n".join(records)
    whole = decode(log)
    assert whole == list(messages)
    assert [message.body for message in whole] == [draft.body.rstrip("\r\n") for draft in drafts]
    assert all(message.intact is True for message in whole)
    assert decode(log, closed=True) == whole
    assert decode(log, cuts=data.draw(st.lists(st.integers(0, len(log)), max_size=8))) == whole
    for position, start in enumerate(starts_of(records)):
        assert decode(log, offset=start) == whole[position:]


@settings(max_examples=60)
@given(LOGS)
def test_what_is_written_is_read_byte_by_byte(drafts: list[Draft]) -> None:
    records, messages = zip(*numbered(drafts), strict=True)
    log = b"\n".join(records)
    assert decode(log, cuts=range(len(log))) == list(messages)


@settings(max_examples=200)
@given(LOGS)
def test_an_editor_may_save_it_with_crlf(drafts: list[Draft]) -> None:
    """Only text with lone CRs cannot come back as it was."""
    written = [pair for pair in numbered(drafts) if "\r" not in pair[1].body]
    log = b"\n".join(record for record, _ in written).replace(b"\n", b"\r\n")
    assert decode(log) == [message for _, message in written]


@settings(max_examples=60)
@given(LOGS)
def test_a_byte_order_mark_in_front_changes_nothing(drafts: list[Draft]) -> None:
    records, messages = zip(*numbered(drafts), strict=True)
    log = codec.BOM + b"\n".join(records)
    assert decode(log) == decode(log, cuts=range(6)) == list(messages)


@settings(max_examples=200)
@given(DRAFTS)
def test_json_and_back(draft: Draft) -> None:
    message = numbered([draft])[0][1]
    ids = [parent.msg_id for parent in message.parents]
    shape = message.to_json()
    again = Message.from_json(json.loads(json.dumps(shape)))
    if len(set(ids)) == len(ids):  # a parent named twice may change places with itself
        assert again == message
    assert sorted(map(repr, again.parents)) == sorted(map(repr, message.parents))
    draft_again = Draft.from_json({key: value for key, value in shape.items() if key not in ("msg_id", "intact")})
    assert draft_again.body == message.body
    assert draft_again.ts == message.ts


@settings(max_examples=150)
@given(LOGS, st.data())
def test_a_record_cut_anywhere_is_never_whole(drafts: list[Draft], data: st.DataObject) -> None:
    """Cut while it is the end of the file: kept back. Followed by another: not intact, or the same."""
    written = numbered(drafts)
    record, message = written.pop()
    before = b"".join(earlier + b"\n" for earlier, _ in written)
    cut = data.draw(st.integers(0, len(record) - 1))
    messages = [earlier for _, earlier in written]
    assert decode(before + record[:cut]) in (messages, [*messages, message])
    torn = before + record[:cut]
    point = codec.find_append_point(torn, whole_file=True)
    new_record, new = numbered([Draft("FACT", "demo", "after the crash")], point.last_id)[0]
    *others, last = decode(torn[: point.truncate_to] + point.separator + new_record)
    assert last == new
    assert others[: len(messages)] == messages
    assert all(other == message or other.intact is False for other in others[len(messages) :])


# --- arbitrary bytes ---------------------------------------------------------------------------

BYTES = st.one_of(
    FRAGMENTS.map(str.encode), st.binary(max_size=4), st.just(b"\0"), st.just(b"\xff\xfe"), st.just(codec.BOM)
)
HEADS = st.sampled_from(
    [b"---\nmsg_id: x\n", b"---\nmsg_id: x\n---\n", b"---\nmsg_id: y\ncontent_length: 4\n---\n", b"---\nmsg_id:\n---\n",
     b"---\nmsg_id: z\ntype: ISSUE\nmeta: {a: b}\n---\nabc\n", b"---\nmsg_id: [\n---\nabc\n",
     b"---\r\nmsg_id: w\r\n---\r\nabc\r\n",
     b"---\nmsg_id: v\nparents: [a, {msg_id: b}]\ntype: [x]\n---\n",
     b"---\nmsg_id: u\nts: 0001-01-01T00:00:00+23:00\n---\nq",
     b"---\nmsg_id: MSG-7ZZZZZZZZZZZZZZZZZZZZZZZZ0\n---\nq\n",
     b"---\nmsg_id: MSG-20269999-999999-000000000-PID1-1\n---\nq\n",
     b"\n\n", b"\n", RECORD.encode(), b"\n" + RECORD.encode()]
)  # fmt: skip
SOUP = st.lists(BYTES | HEADS, max_size=12).map(b"".join)


TOPS = st.sampled_from(
    [b"", codec.BOM, b"[2026-11-21 03:14:15] FACT: above\n\n", b"[2026-11-21 03:14:15] FACT: right above\n",
     b"# A log\r\n", codec.BOM + b"text\n", b"text\n---\n", b"\0\n", b"\r\r\n"]
)  # fmt: skip


@st.composite
def mutated_logs(draw: st.DrawFn) -> bytes:
    log = b"\n".join(record for record, _ in numbered(draw(LOGS)))
    for _ in range(draw(st.integers(1, 3))):
        log = mutated(draw, log)
    return draw(TOPS) + log


def mutated(draw: st.DrawFn, data: bytes, start: int = 0) -> bytes:
    """``data`` with some bytes after ``start`` changed, removed or added."""
    at = draw(st.integers(start, len(data)))
    end = draw(st.one_of(st.integers(at, min(len(data), at + 3)), st.integers(at, len(data))))
    return data[:at] + draw(st.one_of(st.just(b""), BYTES)) + data[end:]


FILES = st.one_of(SOUP, mutated_logs(), st.binary(max_size=60))


@settings(max_examples=700)
@given(FILES, st.booleans(), st.data())
@example(b"\xef\xbb\xbf---\nmsg_id: x\n---\nq\n", False, None)
def test_any_bytes_are_read_alike_in_any_chunks(log: bytes, closed: bool, data: st.DataObject | None) -> None:
    whole = decode(log, closed=closed)
    cuts = data.draw(st.lists(st.integers(0, len(log)), max_size=6)) if data else (1, 2, 3, 4)
    assert decode(log, closed=closed, cuts=cuts) == whole
    for message in whole:
        assert message.msg_id
        assert message.type
        assert (message.msg_id + message.body).encode().decode() == message.msg_id + message.body
        assert message.ts.utcoffset() == timedelta(0)
        assert message.body == message.body.rstrip("\r\n")
        assert message.intact in (True, False, None)
        assert json.dumps(message.to_json())


@settings(max_examples=100)
@given(FILES)
def test_any_bytes_are_read_alike_byte_by_byte(log: bytes) -> None:
    assert decode(log, cuts=range(len(log))) == decode(log)


@settings(max_examples=250)
@given(FILES)
def test_a_decoder_continues_from_a_record_offset(log: bytes) -> None:
    decoder = Decoder()
    messages = decoder.feed(log) + decoder.finish(closed=True)
    again = decode(log, offset=decoder.record_offset, closed=True)
    assert again == messages[len(messages) - len(again) :]
    if messages:
        assert messages[-1] in again
        assert decoder.record_offset == 0 or log[decoder.record_offset :].startswith(b"---")


@settings(max_examples=300)
@given(FILES)
def test_every_message_of_any_file_survives_json(log: bytes) -> None:
    for message in decode(log, closed=True):
        if len({parent.msg_id for parent in message.parents}) == len(message.parents):
            assert Message.from_json(message.to_json()) == message


@settings(max_examples=300)
@given(st.lists(DRAFTS | SIMPLE_DRAFTS, min_size=3, max_size=6), st.data())
def test_a_mutation_affects_only_its_own_record(drafts: list[Draft], data: st.DataObject) -> None:
    records, messages = (list(column) for column in zip(*numbered(drafts), strict=True))
    victim = data.draw(st.integers(0, len(records) - 1))
    records[victim] = mutated(data.draw, records[victim])
    found = decode(b"\n".join(records))
    before, after = messages[: max(victim - 1, 0)], messages[victim + 2 :]
    assert found[: len(before)] == before
    assert found[len(found) - len(after) :] == after


@settings(max_examples=300)
@given(st.lists(DRAFTS | SIMPLE_DRAFTS, min_size=3, max_size=5), st.data())
def test_a_mutation_inside_a_record_leaves_its_neighbours_alone(drafts: list[Draft], data: st.DataObject) -> None:
    """Inside: after its ``msg_id:``, before its last line end."""
    records, messages = (list(column) for column in zip(*numbered(drafts), strict=True))
    victim = data.draw(st.integers(0, len(records) - 1))
    inner = mutated(data.draw, records[victim][:-1], len(b"---\nmsg_id:"))
    records[victim] = inner.rstrip(b"-\r\n") + b"\n"  # nor may it end as a record begins
    found = decode(b"\n".join(records))
    before, after = messages[:victim], messages[victim + 1 :]
    assert found[: len(before)] == before
    assert found[len(found) - len(after) :] == after


# --- the append point ---------------------------------------------------------------------------

TAILS = st.sampled_from(
    [b"", b"\n", b"\n-", b"\n--", b"\n---", b"\n---\n", b"\n---\nmsg_i", b"\n---\nmsg_id: MSG-01K", b"\n\n---", b"-",
    b"---",
     b"\n---\nmsg_id: x\nts: 2026\ntype: FACT\n", b"\n---\nmsg_id: x\nfree text\n", b"\n\r\n---\r\nms", b"\0\0\0",
     b"\r"]
)  # fmt: skip
ENDS = st.builds(bytes.__add__, FILES, TAILS)


@settings(max_examples=700)
@given(ENDS)
@example(codec.BOM + b"---\nmsg_id: x")
@example(codec.BOM)
@example(b"\xef\xbb")
@example(codec.BOM * 2)
@example(b"---\nmsg_id: x\n---\ntext\n\n---")
@example(RECORD.encode() + b"\n---\nmsg_i")
@example(b"text\n" + RECORD.encode() + b"\n---\nmsg_i")
@example(b"text\n---\nmsg_id: x")
def test_a_record_can_be_appended_to_any_end(end: bytes) -> None:
    """The new record comes out whole and last; everything else as it would have without it."""
    point = codec.find_append_point(end, whole_file=True)
    assert 0 <= point.truncate_to <= len(end)
    assert point.separator in (b"", b"\n", b"\n\n")
    record, message = numbered([Draft("FACT", "demo", "new\n\n---\nmsg_id: x")], point.last_id)[0]
    before = decode(end, closed=True)
    joined = end[: point.truncate_to] + point.separator + record
    assert decode(joined) == [*before, message]


@settings(max_examples=300)
@given(ENDS, st.data())
def test_the_append_point_needs_only_the_end_of_the_file(end: bytes, data: st.DataObject) -> None:
    whole = codec.find_append_point(end, whole_file=True)
    start = data.draw(st.integers(0, len(end)))
    point = codec.find_append_point(end[start:], whole_file=start == 0)
    if point.last_id:
        assert point._replace(truncate_to=start + point.truncate_to) == whole


@settings(max_examples=300)
@given(ENDS)
def test_recovery_leaves_text_alone(end: bytes) -> None:
    """What is cut off is the beginning of a record and nothing else."""
    gone = end[codec.find_append_point(end, whole_file=True).truncate_to :].replace(b"\r", b"").lstrip(b"\n")
    assert b"---\nmsg_id:".startswith(gone) or gone.startswith(b"---\nmsg_id:")
    for torn in gone.split(b"---\nmsg_id:")[1:]:
        assert b"\n---\n" not in torn.removesuffix(b"\n\n---\n")


@settings(max_examples=400)
@given(LOGS, st.lists(FRAGMENTS | st.just("\0"), max_size=4).map("".join), st.integers(0, 80), st.data())
def test_a_whole_end_is_one_that_needs_no_recovery(
    drafts: list[Draft], more: str, cut: int, data: st.DataObject
) -> None:
    """What other writers have added is looked at by the quick way first, from the line end of our last record."""
    added = b"\n\n" + b"\n".join(record for record, _ in numbered(drafts))
    assert codec.id_of_whole_end(added) == numbered(drafts)[-1][1].msg_id or b"\r" in added
    at = data.draw(st.integers(0, len(added)))
    edited = (added[:at] + more.encode() + added[at:])[: len(added) + len(more) - cut]
    for end in (edited, edited + b"\n" + added[2:]):
        last_id = codec.id_of_whole_end(end)
        if last_id is not None:
            point = codec.find_append_point(end, whole_file=False)
            assert point == (last_id, len(end), b"\n")


# --- the fast way --------------------------------------------------------------------------------


@settings(max_examples=400)
@given(LOGS)
def test_all_that_is_written_is_read_the_fast_way(drafts: list[Draft]) -> None:
    for record, message in numbered(drafts):
        assert read_canonical(record.removeprefix(b"---\nmsg_id:")[:-1]) == message


@st.composite
def edited_records(draw: st.DrawFn) -> bytes:
    """A record as it is written, without its start and its last line end, and edited a little."""
    text = numbered([draw(DRAFTS)])[0][0].removeprefix(b"---\nmsg_id:")[:-1].decode()
    for _ in range(draw(st.integers(0, 3))):
        lines = text.split("\n")
        at, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
        edit = draw(st.sampled_from(["swap", "repeat", "remove", "replace", "within", "indent"]))
        if edit == "swap":
            lines[at], lines[other] = lines[other], lines[at]
        elif edit == "repeat":
            lines.insert(at, lines[other])
        elif edit == "remove":
            del lines[at]
        elif edit == "replace":
            lines[at] = draw(EDITED_LINES)
        elif edit == "indent":
            lines[at] = draw(st.sampled_from(["  ", "    ", "- ", "  - "])) + lines[at].lstrip(" -")
        else:
            cut = draw(st.integers(0, len(lines[at])))
            lines[at] = (
                lines[at][:cut] + draw(FRAGMENTS | st.text(max_size=3)) + lines[at][cut + draw(st.integers(0, 2)) :]
            )
        text = "\n".join(lines)
    data = text.encode("utf-8", "replace")
    at = draw(st.integers(0, len(data)))
    return data[:at] + draw(st.sampled_from([b"", b"", b"", b"\xff", b"\0"])) + data[at:]


EDITED_LINES = st.sampled_from(
    ["", "meta:", "parents:", "links:", "  - msg_id: x", "    kind: answers", "    meta:", "      a: b", "  from: me",
     "  - url: http://x", "    label: l", "type: FACT", "content_length: 2", "content_length: 02", "other: field",
     "ts: 2026-11-21 03:14:15.926535Z", "ts: 2026-11-21T03:14:60.926535Z", "ts: 2026-11-21T03:14:15.92653+05", "---",
     "  from: 007", '  "from": "a\\u0041"', "  from:", "    kind: yes", "kind: answers", "parents: [a, b]",
     "meta: {a: b}", "type: ISSUE", "issue_id: x", "  - msg_id: MSG-1", "run_id: r"]
)  # fmt: skip


@settings(max_examples=1500)
@given(edited_records())
def test_the_fast_way_reads_the_same_or_nothing(text: bytes) -> None:
    message = read_canonical(text)
    if message is not None and not START.search(text):
        stored = b"---\nmsg_id:" + text + b"\n"
        assert read_record(PLAIN_START, text, RecordEnd.NEXT_RECORD) == ([(message, stored)], False)
        for end in (RecordEnd.END_OF_FILE, RecordEnd.MAY_GROW):
            assert read_record(PLAIN_START, text + b"\n", end) == ([(message, stored)], False)


@settings(max_examples=100)
@given(DRAFTS)
@example(Draft("FACT", "demo"))
def test_the_beginning_of_a_record_is_none(draft: Draft) -> None:
    text = numbered([draft])[0][0].removeprefix(b"---\nmsg_id:")[:-1]
    for end in range(len(text)):
        assert read_canonical(text[:end]) is None


def test_no_message_shares_what_is_remembered() -> None:
    """A caller may change the mappings of a message."""
    draft = Draft("FACT", "demo", "x", parents=[Parent("a", "answers", {"k": "v"})], meta={"from": "me"})
    text = numbered([draft])[0][0].removeprefix(b"---\nmsg_id:")[:-1]
    one, other = read_canonical(text), read_canonical(text)
    assert one is not None
    assert other is not None
    one.meta["from"] = one.parents[0].meta["k"] = "changed"  # type: ignore[index]
    assert other == read_canonical(text) == numbered([draft])[0][1]


# --- filters -------------------------------------------------------------------------------------

FILTERS = st.builds(
    Filter,
    types=st.none()
    | st.lists(st.sampled_from(["FACT", "INFO", "TEXT", "Y", "YES", "I", "ISSUE", "STRASSE", "FIST"]), max_size=2),
    run_id=st.none() | st.sampled_from(["", "run-7", "007", "yes"]),
    parent=st.none() | st.sampled_from([ID, "x", "M"]),
    issue_id=st.none() | st.sampled_from(["", "x", "I-1"]),
    sender=st.none() | st.sampled_from(["", "coder", "yes"]),
    meta=st.none() | st.sampled_from([{}, {"tool": "shell"}, {"from": "coder"}, {"yes": ""}]),
    text=st.none() | st.sampled_from(["", "hi", "text", "---", "é", "\n", "s", "by hand", "\ufffd"]),
)  # fmt: skip
ODD_HEADERS = st.sampled_from(
    [b"type: fact\n", b'type: "F\\u0041CT"\n', "type: \u0131ssue\n".encode(), "type: \u017ftra\xdfe\n".encode(),
     "type: \ufb01\ufb06\n".encode(),
     b"type: >\n  FA\n  CT\n",
     b"run_id: 'run-7'\n", b'run_id: "run\\x2d7"\n', b"run_id: run-7\n", b"{type: FACT, run_id: run-7}\n", b"",
     b"issue_id: 'I-1'\n", b'issue_id: "I\\x2d1"\n', b"meta:\n  from: coder\n", b"meta: {tool: shell, yes:}\n",
     b'meta:\n  "fr\\x6fm": "cod\\x65r"\n', b"type: ISSUE\nissue_id: x\n", b"type: ISSUE\n",
     b'"ty\\x70e": FACT\n', b"parents: [x, M]\n", b"parents:\n- msg_id: x\n", b"? type\n: FACT\n"]
)  # fmt: skip
ODD_LOGS = st.lists(
    st.builds(
        lambda header, body: b"---\nmsg_id: x\n" + header + b"---\n" + body + b"\n",
        ODD_HEADERS,
        st.sampled_from(
            [b"hi", b"HI\n[2026-11-21 03:14:15] FACT: x", b"\\---\nTEXT", "é".encode(), b"[2026-11-21 03:14:15] y"]
        ),
    ),
    max_size=5,
).map(b"\n".join)  # fmt: skip


@settings(max_examples=1500)
@given(FILES | ODD_LOGS, FILTERS, st.booleans(), st.data())
def test_a_filter_excludes_nothing_that_matches(
    log: bytes, wanted: Filter, converted: bool, data: st.DataObject
) -> None:
    log = log.replace(b"\n", b"\r\n") if converted else log
    edges = [0, *sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=4))), len(log)]
    decoder = Decoder(wanted=wanted)
    found = [message for a, b in pairwise(edges) for message in decoder.feed(log[a:b])] + decoder.finish(closed=True)
    assert list(filter(wanted.matches, found)) == list(filter(wanted.matches, decode(log, closed=True)))


@pytest.mark.parametrize("crs", [1, 600, 70_000])
@pytest.mark.parametrize("start", ["\n{}\n---\nmsg_id:", "\n\n---{}\nmsg_id:"])
def test_records_are_told_apart_backwards_whatever_is_between_them(tmp_path: Path, start: str, crs: int) -> None:
    record = " {}\ntype: FACT\nproject_id: p\n---\n" + "x" * 3_000
    log = "[2026-11-21 03:14:15] y\n\n---\nmsg_id:" + start.format("\r" * crs).join(map(record.format, "abc"))
    (tmp_path / "BUS.md").write_text(log + "\n", newline="")
    reader = read.Reader(str(tmp_path / "BUS.md"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read, "_CHUNK", 1_000)
        for wanted in (Filter(types=["FACT", "INFO"]), Filter(types=["FACT"]), Filter(types=["INFO"])):
            assert reader.tail(9, wanted) == list(filter(wanted.matches, reader.read()))
    assert len(list(reader.read())) == 4


def test_all_odd_letters_are_known() -> None:
    assert [char for char in map(chr, range(128, 0x110000)) if char.upper().isascii()] == list(ODD_LETTERS)


def test_a_character_that_a_crash_cut_is_found() -> None:
    log = b"---\nmsg_id: x\ncontent_length: 2\n---\n" + "\0é".encode() + b"\n\n---\nmsg_id: y\n---\n"
    decoder = Decoder(wanted=Filter(text="\ufffd"))
    assert [message.body for message in decoder.feed(log)] == ["\0\ufffd"]


@settings(max_examples=400, deadline=None)
@given(FILES | ODD_LOGS, FILTERS, st.integers(1, 300), st.integers(0, 4))
def test_the_newest_that_match_are_those_of_the_whole_log(
    tmp_path_factory: pytest.TempPathFactory, log: bytes, wanted: Filter, chunk: int, n: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "BUS.md"
    path.write_bytes(log)
    reader = read.Reader(str(path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read, "_CHUNK", chunk)
        newest = reader.tail(n, wanted)
        unfinished = reader.unfinished
    matching = list(reader.read(None, wanted))
    assert newest == matching[max(len(matching) - n, 0) :]
    assert matching == [message for message in reader.read() if wanted.matches(message)]
    assert n == 0 or unfinished == reader.unfinished


@settings(max_examples=400, deadline=None)
@given(FILES | ODD_LOGS, FILTERS, st.integers(1, 300))
def test_what_matches_after_any_cursor_is_found(
    tmp_path_factory: pytest.TempPathFactory, log: bytes, wanted: Filter, chunk: int
) -> None:
    """Ids may occur twice, and the message of a cursor need not match."""
    path = tmp_path_factory.mktemp("log") / "BUS.md"
    path.write_bytes(log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read, "_FIRST_CHUNK", chunk)
        patch.setattr(read, "_CHUNK", chunk)
        for cursor in {message.msg_id for message in read.Reader(str(path)).read()}:
            after = list(read.Reader(str(path)).read(cursor))
            assert list(read.Reader(str(path)).read(cursor, wanted)) == list(filter(wanted.matches, after))
