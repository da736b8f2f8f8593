"""Messages: what is refused and in which words, and the one JSON shape."""

from __future__ import annotations

import builtins
import copy
import inspect
import json
import pickle
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import MISSING, FrozenInstanceError, fields, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from patience import SECONDS

import messagebus
from messagebus import (
    BusError,
    BusNotFoundError,
    Draft,
    DurabilityError,
    GapWarning,
    IdempotencyConflictError,
    InvalidBusPathError,
    InvalidMessageError,
    Link,
    LockTimeoutError,
    Message,
    MessageBus,
    Parent,
    SinceIDNotFoundError,
    repair_bus,
)
from messagebus.idempotency import validate_key
from messagebus.validation import validate_draft

ID = "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA"
TS = datetime(2026, 11, 21, 3, 14, 15, 926535, UTC)
GOOD = Draft("FACT", "demo", "body")
LIMIT = 100
TEXT_FIELDS = ("type", "project_id", "task_id", "run_id", "issue_id")


def refusal(**changes: Any) -> str:
    with pytest.raises(InvalidMessageError) as caught:
        validate_draft(replace(GOOD, **changes), LIMIT)
    return str(caught.value)


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXT_FIELDS)
@pytest.mark.parametrize(
    "bad", ["a\nb", "\0", "a\r", "\t", "\x7f", "\x85", "\x9f", "\ud800", "a\udfff", 7, None, b"x", ["x"], True]
)
def test_header_values_are_printable_text(name: str, bad: object) -> None:
    assert refusal(**{name: bad}).startswith(f"{name} ")


@pytest.mark.parametrize("name", ["type", "project_id"])
@pytest.mark.parametrize("empty", ["", " ", "\u2003"])
def test_type_and_project_are_required(name: str, empty: str) -> None:
    assert refusal(**{name: empty}).startswith(f"{name} is empty")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"body": "\0"}, "body holds NUL"), ({"body": "a\ud800"}, "body holds the lone surrogate"),
        ({"body": b"x"}, "body must be text"),
        ({"body": None}, "body must be text"), ({"body": "x" * 101}, "body is 101 bytes; the limit is 100"),
        ({"body": "é" * 51}, "body is 102 bytes"),
        ({"parents": "MSG-1"}, "parents must be a sequence"), ({"parents": {"a"}}, "parents must be a sequence"),
        ({"parents": None}, "parents must be"),
        ({"parents": [7]}, "parents: 7 is neither"), ({"parents": [""]}, "parents: ''"),
        ({"parents": ["a b"]}, "parents: 'a b'"),
        ({"parents": [" a"]}, "parents: ' a'"), ({"parents": ["a\u00a0"]}, "parents: 'a"),
        ({"parents": ["a\n"]}, "parents: msg_id holds the control"),
        ({"parents": [Parent("")]}, "parents: ''"), ({"parents": [Parent("a b")]}, "parents: 'a b'"),
        ({"parents": [Parent(7)]}, "parents: msg_id"),  # type: ignore[arg-type]
        ({"parents": [Parent("a", "x\n")]}, "parents: kind"), ({"parents": [Parent("a", None)]}, "parents: kind"),
        # type: ignore[arg-type]
        ({"parents": [Parent("a", meta={"k": 7})]}, "parents: meta: k"),
        ({"parents": [Parent("a", meta=[1])]}, "parents: meta"),  # type: ignore[arg-type,dict-item]
        ({"links": None}, "links must be a sequence"), ({"links": ["https://x"]}, "links: 'https://x' is not a Link"),
        ({"links": {"a"}}, "links must be"),
        ({"links": [Link("")]}, "links: url is empty"), ({"links": [Link(" ")]}, "links: url is empty"),
        ({"links": [Link("a\n")]}, "links: url"),
        ({"links": [Link("a", "\0")]}, "links: label"), ({"links": [Link("a", "b", "\t")]}, "links: kind"),
        ({"links": "ab"}, "links"),
        ({"meta": None}, "meta must map"), ({"meta": [("a", "b")]}, "meta must map"),
        ({"meta": {"": "x"}}, "meta: the key ''"),
        ({"meta": {"a\n": "x"}}, "meta: key"), ({"meta": {7: "x"}}, "meta: key"),
        ({"meta": {"a": 7}}, "meta: a must be text"),
        ({"meta": {"a": "b\n"}}, "meta: a holds"), ({"meta": {"k" * 129: "x"}}, "meta: the key"),
        ({"meta": {"a": "\ud800"}}, "meta: a holds"),
        ({"meta": {"idempotency_key": "x"}}, "meta: the key 'idempotency_key' is the log's own"),
        ({"ts": datetime(2026, 11, 21)}, "ts: "), ({"ts": "2026-11-21"}, "ts: "), ({"ts": 7}, "ts: "),
        ({"ts": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))}, "ts: "),
        ({"ts": datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2)))}, "ts: "),
    ],
)  # fmt: skip
def test_what_is_refused_names_the_field(changes: dict[str, Any], words: str) -> None:
    assert refusal(**changes).startswith(words)


@pytest.mark.parametrize(
    "changes",
    [
        {"body": "x" * 100}, {"body": "a\tb\r\n\x1b[1m\x85"}, {"type": "yes"}, {"type": " a "},
        {"project_id": "\u2028a"}, {"task_id": ""},
        {"parents": ["a", Parent("b", "k", {"m": "n"})]}, {"parents": ("a", "a")}, {"links": [Link("docs/plan.md")]},
        {"meta": {"k" * 128: ""}},
        {"ts": TS}, {"ts": datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5)))}, {"type": "\U0001f600"},
    ],
)  # fmt: skip
def test_accepted_drafts(changes: dict[str, Any]) -> None:
    validate_draft(replace(GOOD, **changes), LIMIT)


@pytest.mark.parametrize("thing", [None, "text", {"type": "FACT"}, Message(ID, TS, "FACT", "demo")])
def test_only_drafts_are_appended(thing: Any) -> None:
    with pytest.raises(InvalidMessageError, match="append a Draft"):
        validate_draft(thing, LIMIT)


def test_an_accepted_value_does_not_make_an_equal_one_of_another_type_acceptable() -> None:
    validate_draft(replace(GOOD, task_id="1"), LIMIT)
    assert refusal(task_id=1).startswith("task_id must be text")


@pytest.mark.parametrize("key", ["", " ", "a\nb", "\ud800", 7, None])
def test_idempotency_keys_are_header_values(key: Any) -> None:
    with pytest.raises(InvalidMessageError, match="idempotency_key"):
        validate_key(key)


@pytest.mark.parametrize("thing", [GOOD, Parent("a"), Link("a"), Message(ID, TS, "FACT")])
def test_all_of_them_are_frozen_and_hashable(thing: Any) -> None:
    with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
        thing.msg_id = "b"
    assert len({thing, pickle.loads(pickle.dumps(thing))}) == 1  # noqa: S301 - our own
    assert pickle.loads(pickle.dumps(thing)) == thing  # noqa: S301 - our own


# --- JSON --------------------------------------------------------------------------------------

FULL = Message(
    ID, TS, "FACT", "demo", "task-1", "run-7", "ISSUE-1",
    (Parent("a"), Parent("b", "answers", {"weight": "2"}), Parent("c", "", {"x": "y"})),
    (Link("https://x/", "l", "k"), Link("y")),
    {"k": "v"}, "text\nmore", True,
)  # fmt: skip
FULL_JSON = {
    "msg_id": ID, "timestamp": "2026-11-21T03:14:15.926535Z", "type": "FACT", "project_id": "demo", "task_id": "task-1",
    "run_id": "run-7", "issue_id": "ISSUE-1", "parents": ["a", "b", "c"],
    "relations": [{"msg_id": "b", "kind": "answers", "meta": {"weight": "2"}}, {"msg_id": "c", "meta": {"x": "y"}}],
    "links": [{"url": "https://x/", "label": "l", "kind": "k"}, {"url": "y"}], "meta": {"k": "v"},
    "body": "text\nmore", "intact": True,
}  # fmt: skip


def test_the_full_json_shape_in_its_order() -> None:
    assert json.dumps(FULL.to_json()) == json.dumps(FULL_JSON)


def test_what_is_empty_is_absent() -> None:
    assert Message(ID, TS.replace(microsecond=0), "INFO").to_json() == {
        "msg_id": ID,
        "timestamp": "2026-11-21T03:14:15.000000Z",
        "type": "INFO",
    }


@pytest.mark.parametrize("intact", [True, False])
def test_intact_is_present_where_it_is_known(intact: bool) -> None:
    assert Message(ID, TS, "INFO", intact=intact).to_json()["intact"] is intact


@pytest.mark.parametrize(
    "message",
    [
        FULL, Message(ID, TS, "INFO"), Message(ID, TS, "INFO", intact=False, body="\0"),
        Message(ID, TS, "ISSUE", issue_id=ID),
        Message(ID, TS, "ISSUE"), Message("LEGACY-LINE-000000001", datetime(1, 1, 1, tzinfo=UTC), "x"),
    ],
)  # fmt: skip
def test_json_and_back_is_the_same_message(message: Message) -> None:
    assert Message.from_json(json.loads(json.dumps(message.to_json()))) == message


def test_a_draft_from_json() -> None:
    shape = {key: value for key, value in FULL_JSON.items() if key not in ("msg_id", "intact")}
    assert Draft.from_json(shape) == Draft(
        "FACT", "demo", "text\nmore", task_id="task-1", run_id="run-7", issue_id="ISSUE-1",
        parents=FULL.parents, links=FULL.links, meta={"k": "v"}, ts=TS,
    )  # fmt: skip


def test_the_smallest_draft_from_json() -> None:
    assert Draft.from_json({}) == Draft("INFO", "")
    assert Draft.from_json({"timestamp": "2026-11-21T05:14:15.926535+02:00"}).ts == TS
    assert Draft.from_json({"timestamp": "2026-11-21T05:14:60.926535+02:00"}).ts == TS.replace(second=59)


@pytest.mark.parametrize("cls", [Draft, Parent])
def test_the_parameters_are_the_fields(cls: type[Draft | Parent]) -> None:
    """These write their ``__init__`` themselves, for speed."""
    parameters = list(inspect.signature(cls).parameters.values())
    assert [parameter.name for parameter in parameters] == [field.name for field in fields(cls)]
    for parameter, field in zip(parameters, fields(cls), strict=True):
        assert (parameter.kind is inspect.Parameter.KEYWORD_ONLY) == field.kw_only
        has_default = field.default is not MISSING or field.default_factory is not MISSING
        assert (parameter.default is not inspect.Parameter.empty) == has_default
        if field.default is not MISSING:
            assert parameter.default == field.default
    required = [name for name in cls.__slots__ if name in {"type", "project_id", "msg_id"}]
    given = {name: object() for name in cls.__slots__}
    one, other = cls(*required), cls(*required)
    assert all(getattr(cls(**given), name) is value for name, value in given.items())  # type: ignore[arg-type]
    assert one.meta == {}
    assert one.meta is not other.meta


def test_a_class_of_drafts(tmp_path: Path) -> None:
    """A subclass may have attributes of its own; it is stored as a Draft is."""

    class Question(Draft):
        asked = 0

    class Slotted(Draft):
        __slots__ = ("more",)

    question = Question("QUESTION", "demo", "Why?", meta={"from": "a"})
    question.__dict__["asked"] = 1
    with MessageBus(tmp_path / "BUS.md") as bus:
        stored = [bus.append_message(draft) for draft in (question, Slotted("QUESTION", "demo", "Why?"))]
        assert bus.read_messages() == stored
    assert [message.body for message in stored] == ["Why?", "Why?"]
    assert question.asked == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "a message must be a JSON object"), ("text", "a message must be"), (None, "a message must be"),
        ({"msg_id": ID}, "unknown field 'msg_id'"),
        ({"intact": True}, "unknown field 'intact'"), ({"attachment": "x"}, "unknown field 'attachment'"),
        ({"timestamp": "yesterday"}, "timestamp: "),
        ({"timestamp": 7}, "timestamp: "), ({"timestamp": "2026-11-21T03:14:15"}, "timestamp: "),
        ({"timestamp": ""}, "timestamp: "),
        ({"parents": "a"}, "parents must be a list"), ({"parents": [7]}, "parents must be a list"),
        ({"parents": {"a": 1}}, "parents must be"),
        ({"parents": None}, "parents must be"), ({"relations": "a"}, "relations must be"),
        ({"relations": [{"kind": "k"}]}, "relations: expected"),
        ({"relations": ["a"]}, "relations: expected"),
        ({"relations": [{"msg_id": "a", "x": 1}]}, "relations: expected"), ({"links": {}}, "links must be"),
        ({"links": ["x"]}, "links: expected"), ({"links": [{"href": "x"}]}, "links: expected"),
        ({"links": [7]}, "links: expected"),
    ],
)  # fmt: skip
def test_a_draft_from_json_refuses(data: Any, words: str) -> None:
    with pytest.raises(InvalidMessageError) as caught:
        Draft.from_json(data)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    "data",
    [{"type": 7, "project_id": "x"}, {"type": "x", "project_id": None}, {"meta": [1]}, {"body": 7}, {"body": None}],
)
def test_wrong_types_in_json_are_refused_at_the_latest_when_appended(data: Mapping[str, Any]) -> None:
    with pytest.raises(InvalidMessageError):
        validate_draft(Draft.from_json({"type": "FACT", "project_id": "demo", **data}), LIMIT)


@pytest.mark.parametrize(
    "data", [{}, [], None, {"msg_id": ID}, {"timestamp": "2026-11-21T03:14:15Z"}, {"msg_id": 7, "timestamp": "x"}]
)
def test_a_message_from_json_needs_id_and_time(data: Any) -> None:
    with pytest.raises(InvalidMessageError, match="is missing"):
        Message.from_json(data)


# --- errors ------------------------------------------------------------------------------------


class OwnError(DurabilityError):
    """A caller's own class, with other parameters."""

    def __init__(self, *, job: str) -> None:
        super().__init__("/bus.md", (ID,), "disk on fire")
        self.job = job


ERRORS: list[Exception] = [
    BusError("x", 1), InvalidMessageError("a"), IdempotencyConflictError("a"), InvalidBusPathError("b"),
    BusNotFoundError("c"), SinceIDNotFoundError("d", "e"), LockTimeoutError("/bus.md", 3, 1.25),
    DurabilityError("/bus.md", (ID,), "disk on fire"), OwnError(job="nightly"), GapWarning("f"),
]  # fmt: skip


def tree_of(root: type[BusError]) -> set[type[BusError]]:
    return {root}.union(*map(tree_of, root.__subclasses__()))


def test_every_error_of_the_tree_is_tried() -> None:
    assert {type(error) for error in ERRORS} == tree_of(BusError) | {GapWarning}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "again",
    [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy],  # noqa: S301 - our own
    ids=["pickle", "copy", "deepcopy"],
)
def test_errors_can_be_pickled_and_copied(error: Exception, again: Callable[[Exception], Exception]) -> None:
    error.add_note("seen by the night shift")
    other = again(again(error))
    assert other is not error
    assert (type(other), str(other), other.args, vars(other)) == (type(error), str(error), error.args, vars(error))


def test_an_error_comes_from_another_process(tmp_path: Path) -> None:
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        pytest.raises(BusNotFoundError, match=str(tmp_path / "none")),
    ):
        pool.submit(repair_bus, tmp_path / "none").result(timeout=SECONDS)


@pytest.mark.parametrize(
    ("cls", "base"),
    [
        (InvalidMessageError, ValueError), (InvalidBusPathError, ValueError), (BusNotFoundError, LookupError),
        (SinceIDNotFoundError, LookupError), (LockTimeoutError, TimeoutError), (DurabilityError, OSError),
    ],
)  # fmt: skip
def test_the_tree_of_errors(cls: type[BusError], base: type[Exception]) -> None:
    assert issubclass(cls, BusError)
    assert issubclass(cls, base)


def test_a_lock_timeout_names_path_attempts_and_seconds() -> None:
    error = LockTimeoutError("/some/bus.md", 3, 30.16)
    assert (error.path, error.attempts, error.waited) == ("/some/bus.md", 3, 30.16)
    assert "/some/bus.md" in str(error)
    assert "3 attempts" in str(error)
    assert "30.2 seconds" in str(error)
    assert "1 attempt," in str(LockTimeoutError("x", 1, 0))


def test_a_durability_error_names_the_ids() -> None:
    error = DurabilityError("/bus.md", (ID, "b"), "no space")
    assert error.msg_ids == (ID, "b")
    assert ID in str(error)
    assert "no space" in str(error)


# --- the package -------------------------------------------------------------------------------


def test_the_public_names() -> None:
    assert set(messagebus.__all__) == {
        "BusError", "BusNotFoundError", "Draft", "DurabilityError", "Filter", "Finding", "GapWarning",
        "IdempotencyConflictError", "InvalidBusPathError", "InvalidMessageError", "Link", "LockTimeoutError",
        "MemoryBackend", "Repaired", "Message", "MessageBus", "Parent", "RUN_CRASH", "RUN_START", "RUN_STOP",
        "SinceIDNotFoundError", "check_bus", "discover_bus", "repair_bus", "merge_logs", "merge_files",
    }  # fmt: skip
    assert all(getattr(messagebus, name) for name in messagebus.__all__)
    assert set(messagebus.__all__) <= set(dir(messagebus))
    assert (messagebus.RUN_START, messagebus.RUN_STOP, messagebus.RUN_CRASH) == ("RUN_START", "RUN_STOP", "RUN_CRASH")


def test_any_other_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        messagebus.Nonsense  # noqa: B018


# --- docs/python-api.md ---------------------------------------------------------------------------

LIBRARY = (Path(__file__).parents[2] / "docs/python-api.md").read_text()


def rows_below(heading: str) -> list[list[str]]:
    """The cells of the first table with this heading."""
    table = LIBRARY[LIBRARY.index(heading) :].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_the_errors_of_an_append_are_caught_in_the_order_of_the_table() -> None:
    def named(name: str) -> type[Exception]:
        return getattr(messagebus, name, None) or getattr(builtins, name)

    rows = rows_below("| raised |")
    classes = [named(row[0].strip("`")) for row in rows]
    for cls, row in zip(classes, rows, strict=True):
        for name in re.findall(r"`(\w+)`", row[1]):
            assert issubclass(cls, named(name)), row
        assert issubclass(cls, OSError) == ("OSError" in row[0] + row[1]), row
    assert not [(one, two) for one, two in combinations(classes, 2) if issubclass(two, one)]


def test_the_table_of_fields_has_all_of_both() -> None:
    rows = [(re.findall(r"`(\w+)`", row[0]), row[1:]) for row in rows_below("| field |")]
    assert {name for names, (draft, _) in rows if draft for name in names} == {one.name for one in fields(Draft)}
    assert {name for names, _ in rows for name in names} == {one.name for one in fields(Message)}
