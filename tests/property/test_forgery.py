"""No content of a field or a body forges a record or a field, through the real store.

Every text field, alone and together, singly and in batches, gets texts made to be mistaken for
something else. Either the draft is refused by the name of the field and the file stays as it
is, byte for byte, or the log holds its neighbours unchanged and this one message between them,
by every way there is of reading it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from messagebus import Draft, InvalidMessageError, Link, Message, MessageBus, Parent, SinceIDNotFoundError
from messagebus.codec import Decoder

TRIED = "hostile inputs that tried to forge a record or a field"
FORGED = "MSG-01FORGED0000000000000000ZZ"
RECORD = (
    f"---\nmsg_id: {FORGED}\nts: 2026-11-21T03:14:15.926535Z\ntype: FACT\nproject_id: p\ncontent_length: 2\n---\nhi\n"
)
CI_AND_SOAK = pytest.mark.parametrize(
    "examples", [80, pytest.param(2000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)


class Disguised(str):
    """Text that prints as something else, as a member of ``class Kind(str, Enum)`` does."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"{FORGED}\n{RECORD}"

    __repr__ = __str__

    def __format__(self, _spec: str) -> str:
        return str(self)


# --- hostile texts -----------------------------------------------------------------------------

FRAGMENTS = [
    *("---", "\\---", "\\\\---", "--- ", "\n", "\n\n", "\r", "\r\n", "\n---\n", "\r\n---\r\n", "\n\n---\nmsg_id: "),
    *(RECORD, "\n" + RECORD, *(RECORD.replace("\n", end) for end in ("\r\n", "\r", "\u2028", "\x85"))),
    *("\r\n\r\n" + RECORD.replace("\n", "\r\n"), "\n\n---\r\nmsg_id: x\n", "\n\r\r\n---\r\r\nmsg_id: x\n"),
    *(f"\nmsg_id: {FORGED}", FORGED, f"{FORGED}+1", "LEGACY-LINE-000000001", "content_length: 0"),
    *("[2026-11-21 03:14:15] FACT: x", "\n[2026-11-21 03:14:15] x\n", "\n  idempotency_key: k\n", "idempotency_key"),
    *("!!python/object:os.system x", "&a *a", "&a", "*a", "<<", "<<: *a", "? ", "- x", ": ", "a: b", " #", "#", "%A"),
    *('"', "'", '"\n', "\\n", "\\u000a", "\\", "|", ">", "{}", "[]", "{a: b", "yes", "null", "~", "007", "1e3", ""),
    *(" ", "\t", "\v", "\f", "\x1c", "\x1e", "\x7f", "\x85", "\x9b", "\xa0", "\u2028", "\u2029", "\u3000"),
    *("\ufeff", "\ufffe", "\uffff", "\u202e", "\u2066", "\u200f", "\u061c", "\U0001f600", "é", "日本", "\u0662"),
    *("\0", "\x1b[2J", "\ud800", "\udfff", "word", "\\---\r\nx", "\ncontent_length: 9\n"),
    *map(Disguised, ("FACT", "---", "two words", "\n")),
]  # fmt: skip
WHOLE = st.sampled_from(FRAGMENTS)
TEXTS = st.one_of(
    WHOLE,
    st.lists(WHOLE, max_size=5).map("".join),
    st.lists(WHOLE, max_size=3).map("".join).map(Disguised),
    st.text(max_size=20),
)
RELAXED = st.sampled_from(["FACT", "two words", "r-1", FORGED])
FIELDS = st.one_of(RELAXED, RELAXED, RELAXED, TEXTS)  # most of them acceptable, or most drafts would be refused
IDS = st.one_of(st.sampled_from([FORGED, f"{FORGED}+1", "a:b", "'", "#"]), st.just(FORGED), TEXTS)
META = st.dictionaries(FIELDS, FIELDS, max_size=2)
DRAFTS = st.builds(
    Draft, FIELDS, FIELDS, TEXTS, task_id=FIELDS, run_id=FIELDS, issue_id=FIELDS, meta=META,
    parents=st.lists(IDS | st.builds(Parent, IDS, FIELDS, META), max_size=2),
    links=st.lists(st.builds(Link, FIELDS, FIELDS, FIELDS), max_size=2),
)  # fmt: skip
BODIES_ONLY = st.builds(Draft, st.just("FACT"), st.just("p"), TEXTS)


def with_text(text: str) -> Iterator[Draft]:
    """A draft for each field, that text in it."""
    yield Draft(text, "p")
    yield from (Draft("FACT", "p", **{name: text}) for name in ("body", "task_id", "run_id", "issue_id"))
    yield Draft("FACT", text)
    yield Draft("ISSUE", "p", text)
    parents = (text, Parent(text), Parent("a", text), Parent("a", meta={text: "v"}), Parent("a", meta={"k": text}))
    yield from (Draft("FACT", "p", parents=["before", parent, "after"]) for parent in parents)
    yield from (Draft("FACT", "p", links=[link]) for link in (Link(text), Link("u", text), Link("u", "", text)))
    yield from (Draft("FACT", "p", meta=meta) for meta in ({text: "v"}, {"k": text}, {"a": "b", text: text}))


# --- what must come of it ----------------------------------------------------------------------

NOT_IN_A_HEADER = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
NOT_IN_A_BODY = re.compile("[\x00\ud800-\udfff]")


def faults(draft: Draft) -> tuple[str, ...]:
    """The fields for which SPEC.md, "Fields", has this draft refused."""
    parents = [Parent(parent) if isinstance(parent, str) else parent for parent in draft.parents]
    texts = [(name, getattr(draft, name)) for name in ("type", "project_id", "task_id", "run_id", "issue_id")]
    texts += [("links", text) for link in draft.links for text in (link.url, link.label, link.kind)]
    texts += [("parents", text) for parent in parents for text in (parent.msg_id, parent.kind)]
    metas = [("meta", draft.meta), *(("parents", parent.meta) for parent in parents)]
    texts += [(name, text) for name, meta in metas for pair in meta.items() for text in pair]
    found = [name for name, text in texts if NOT_IN_A_HEADER.search(text)]
    found += [name for name in ("type", "project_id") if not getattr(draft, name).strip()]
    found += ["links" for link in draft.links if not link.url.strip()]
    found += ["parents" for parent in parents if re.search(r"\s", parent.msg_id) or not parent.msg_id]
    found += [name for name, meta in metas for key in meta if not 1 <= len(key) <= 128]
    found += ["meta"] * ("idempotency_key" in draft.meta) + ["body"] * bool(NOT_IN_A_BODY.search(draft.body))
    return tuple(found)


def says(message: Message, draft: Draft) -> bool:
    """Is the message what the draft asked for, and all of it plain text?"""
    wanted = (
        *(draft.type, draft.project_id, draft.task_id, draft.run_id),
        draft.issue_id or (message.msg_id if draft.type == "ISSUE" else ""),
        tuple(Parent(parent) if isinstance(parent, str) else parent for parent in draft.parents),
        *(tuple(draft.links), draft.meta, draft.body.rstrip("\r\n"), True),
    )
    scope = (message.type, message.project_id, message.task_id, message.run_id, message.issue_id)
    return (*scope, message.parents, message.links, message.meta, message.body, message.intact) == wanted and all(
        type(text) is str for text in (*scope, message.body, *message.meta, *message.meta.values())
    )


def check_everything(path: Path, messages: Sequence[Message], every: int = 1) -> None:
    """The log holds these messages and no other, by every way of reading it; cursors are tried at
    each ``every``-th. Each look is with a new bus, which remembers nothing."""
    data = path.read_bytes()
    pairs = list(MessageBus(path).iter_stored())
    assert [message for message, _ in pairs] == MessageBus(path).read_messages() == messages
    assert b"\n".join(record for _, record in pairs) == data
    for n in (*range(1, 4), len(messages), len(messages) + 1):
        assert MessageBus(path).read_last_n(n) == messages[-n:]
    start = 0
    for number, (message, record) in enumerate(pairs, 1):
        if number % every == 0:
            assert MessageBus(path).read_messages(message.msg_id) == messages[number:]
            assert MessageBus(path).get_message(message.msg_id) == message
            assert MessageBus(path).get_stored(message.msg_id) == record
            decoder = Decoder(start)
            assert decoder.feed(data[start:]) + decoder.finish(closed=False) == messages[number - 1 :]
        start += len(record) + 1
    ids = {message.msg_id for message in messages}
    look_alikes = (f"{messages[-1].msg_id}+1", messages[0].msg_id[:-1], messages[0].msg_id.lower())
    for unknown in (FORGED, f"{FORGED}+1", "LEGACY-LINE-000000001", *look_alikes):
        assert unknown not in ids
        assert MessageBus(path).get_message(unknown) is None
        with pytest.raises(SinceIDNotFoundError):
            MessageBus(path).read_messages(unknown)


class Log:
    """A bus with a message on it, and what was tried on it since."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bus = MessageBus(path)
        self.messages = [self.bus.append_message(Draft("FACT", "p", "the first", meta={"k": "v"}))]

    def attempt(self, drafts: Sequence[Draft], append: Callable[[MessageBus], Sequence[Message]]) -> None:
        before = self.path.read_bytes()
        wrong = [fault for draft in drafts for fault in faults(draft)]
        if wrong:
            with pytest.raises(InvalidMessageError) as refusal:
                append(self.bus)
            assert str(refusal.value).startswith(tuple(wrong)), "it names another field"
            assert self.path.read_bytes() == before
            return
        stored = append(self.bus)
        assert self.path.read_bytes().startswith(before)
        read = MessageBus(self.path).read_messages(self.messages[-1].msg_id)
        assert read == list(stored)
        assert all(says(message, draft) for message, draft in zip(read, drafts, strict=True))
        self.messages += read

    def end(self, every: int = 1) -> None:
        self.messages.append(self.bus.append_message(Draft("FACT", "p", "the last")))
        check_everything(self.path, self.messages, every)
        self.bus.close()


def hypothesise(attempt: Callable[[Log, Any], None], cases: st.SearchStrategy[Any], examples: int) -> int:
    """Try cases on a log of their own each; how many."""
    tried = 0

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(cases)
    def run(case: Any) -> None:
        nonlocal tried
        tried += 1
        with TemporaryDirectory() as directory:
            attempt(Log(Path(directory, "BUS.md")), case)

    run()
    return tried


# --- the tests ---------------------------------------------------------------------------------


def test_each_text_in_each_field(tmp_path: Path, tally: Callable[..., None]) -> None:
    log = Log(tmp_path / "BUS.md")
    tried = 0
    for text in FRAGMENTS:
        for draft in with_text(text):
            log.attempt([draft], lambda bus, draft=draft: [bus.append_message(draft)])
            tried += 1
    log.end(every=41)
    assert tried > len(log.messages) > tried // 3, "some are refused and some are not"
    tally(TRIED, tried)


@CI_AND_SOAK
def test_all_fields_at_once(examples: int, tally: Callable[..., None]) -> None:
    def attempt(log: Log, draft: Draft) -> None:
        log.attempt([draft], lambda bus: [bus.append_message(draft)])
        log.end()

    tally(TRIED, hypothesise(attempt, DRAFTS, examples))


@CI_AND_SOAK
def test_a_batch(examples: int, tally: Callable[..., None]) -> None:
    def attempt(log: Log, drafts: list[Draft]) -> None:
        log.attempt(drafts, lambda bus: bus.append_messages(drafts))
        log.end()

    tally(TRIED, hypothesise(attempt, st.lists(DRAFTS | BODIES_ONLY, max_size=4), examples))


@CI_AND_SOAK
def test_a_body_that_repeats_its_neighbours(examples: int, tally: Callable[..., None]) -> None:
    """Their records with their own ids, whole or cut, among other things that make them look real."""

    def attempt(log: Log, case: tuple[list[str], int]) -> None:
        parts, cut = case
        neighbour = log.path.read_text()
        body = "".join(part or neighbour[: cut or None] for part in parts)
        draft = Draft("FACT", "p", body, run_id=FORGED)
        log.attempt([draft, draft], lambda bus: bus.append_messages([draft, draft]))
        log.end()

    parts = st.lists(st.one_of(st.just(""), WHOLE.filter(lambda text: not NOT_IN_A_BODY.search(text))), max_size=6)
    tally(TRIED, hypothesise(attempt, st.tuples(parts, st.integers(-9, 9)), examples))


@pytest.mark.parametrize("fragment", ["\n\n---\nmsg_id: ", "---\n", "\\", "\r", '"', "\u2028", "é", " ", "a: "])
def test_values_of_64_kib(fragment: str, tmp_path: Path, tally: Callable[..., None]) -> None:
    """Over the limit of a header they are refused; a body of that size is as good as any."""
    log = Log(tmp_path / "BUS.md")
    text = fragment * (65_536 // len(fragment) + 1)
    tried = 0
    for draft in with_text(text):
        tried += 1
        if draft.body:
            log.attempt([draft], lambda bus, draft=draft: [bus.append_message(draft)])
            continue
        before = log.path.read_bytes()
        with pytest.raises(InvalidMessageError) as refusal:
            log.bus.append_message(draft)
        assert str(refusal.value).startswith(("the header is", *faults(draft), *vars_of(draft, text)))
        assert log.path.read_bytes() == before
    log.end()
    tally(TRIED, tried)


def vars_of(draft: Draft, text: str) -> list[str]:
    """The fields that hold this text."""
    names = ("type", "project_id", "task_id", "run_id", "issue_id", "parents", "links", "meta")
    return [name for name in names if repr(text)[1:-1] in repr(getattr(draft, name))]


@pytest.mark.parametrize("room", range(40, 50))
def test_a_header_at_its_limit(room: int, tmp_path: Path, tally: Callable[..., None]) -> None:
    """An ISSUE gets its own id into a header that has no room for another byte."""
    log = Log(tmp_path / "BUS.md")
    draft = Draft("ISSUE", "p", "b", meta={"a": "x" * (65_536 - 256 - room)})
    log.attempt([draft], lambda bus: [bus.append_message(draft)])
    log.end()
    tally(TRIED, 1)
