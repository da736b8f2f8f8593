"""Reading only the messages that match: every backend gives what filtering a plain list gives."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messagebus import Draft, MemoryBackend, Message, MessageBus, Parent, SinceIDNotFoundError
from messagebus.backends.file import read as file_read
from messagebus.codec import Decoder
from messagebus.filters import Filter


class Unfiltered:
    """A backend that knows no filters."""

    def __init__(self) -> None:
        self._inner = MemoryBackend()
        self.append, self.close = self._inner.append, self._inner.close

    def read(self, since_id: str | None = None) -> Any:
        return self._inner.read(since_id)

    def tail(self, n: int) -> list[Message]:
        return self._inner.tail(n)


T0 = datetime(2026, 11, 21, 3, 14, 15, tzinfo=UTC)
UNKNOWN = "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA"
TYPES = ["FACT", "fact", "Fact ", "QUESTION", "straße", "STRASSE"]
RUNS = ["", "run-1", "RUN-1"]
BODIES = ["", "The build is GREEN", "the build is green", "Straße", "a\nb", "é", "É"]
PARENTS = ["P1", "p1", "P2"]
ISSUES = ["", "I-1", "i-1"]
METAS: list[dict[str, str]] = [
    {}, {"from": "coder"}, {"from": "Coder", "tool": "x y"}, {"tool": "", "from": ""}, {"é": 'a "b" \\ c'},
    {"tool": "from"},
]  # fmt: skip
TIMES = [T0 + timedelta(microseconds=n) for n in (-1_000_000, -1, 0, 1, 1_000_000)]

DRAFTS = st.builds(
    lambda type_, run_id, body, parents, ts, issue_id, meta: Draft(
        type_, "demo", body, run_id=run_id, parents=parents, ts=ts, issue_id=issue_id, meta=meta
    ),
    st.sampled_from(TYPES), st.sampled_from(RUNS), st.sampled_from(BODIES),
    st.lists(st.sampled_from([*PARENTS, Parent("P1", "answers"), Parent("P2", "closes")]), max_size=2),
    st.sampled_from(TIMES), st.sampled_from(ISSUES), st.sampled_from(METAS),
)  # fmt: skip
CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "types": st.none() | st.lists(st.sampled_from([*TYPES, "NONE"]), max_size=3),
        "run_id": st.none() | st.sampled_from([*RUNS, "run-2"]),
        "parent": st.none() | st.sampled_from([*PARENTS, "P"]),
        "issue_id": st.none() | st.sampled_from([*ISSUES, "I-2"]),
        "sender": st.none() | st.sampled_from(["coder", "Coder", "", "other"]),
        "meta": st.none() | st.sampled_from([*METAS, {"from": "other"}]),
        "start": st.none() | st.sampled_from(TIMES),
        "end": st.none() | st.sampled_from(TIMES),
        "text": st.none() | st.sampled_from(["", "green", "GREEN", "STRASSE", "É", "x"]),
    },
)


def matching(messages: list[Message], wanted: dict[str, Any]) -> list[Message]:
    """The plain filter that every backend must equal."""
    wanted = {name: value for name, value in wanted.items() if value is not None}
    holds = {
        "types": lambda message: message.type.upper() in [type_.upper() for type_ in wanted["types"]],
        "run_id": lambda message: message.run_id == wanted["run_id"],
        "parent": lambda message: wanted["parent"] in [parent.msg_id for parent in message.parents],
        "issue_id": lambda message: message.issue_id == wanted["issue_id"],
        "sender": lambda message: message.meta.get("from", "") == wanted["sender"],
        "meta": lambda message: wanted["meta"].items() <= message.meta.items(),
        "start": lambda message: wanted["start"] <= message.ts,
        "end": lambda message: message.ts < wanted["end"],
        "text": lambda message: wanted["text"].casefold() in message.body.casefold(),
    }
    return [message for message in messages if all(holds[name](message) for name in wanted)]


def newest(messages: list[Message], n: int) -> list[Message]:
    return messages[max(len(messages) - n, 0) :]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(DRAFTS, max_size=12),
    CONDITIONS,
    st.integers(0, 12),
    st.integers(0, 5),
    st.sampled_from([1, 200, 700, 9999]),
)
def test_all_backends_filter_as_a_list_does(
    tmp_path_factory: pytest.TempPathFactory,
    drafts: list[Draft],
    wanted: dict[str, Any],
    cursor: int,
    count: int,
    chunk: int,
) -> None:
    directory = tmp_path_factory.mktemp("log")
    buses = [
        MessageBus(MemoryBackend()),
        MessageBus(Unfiltered()),  # type: ignore[arg-type]  # such as were written before there were filters
        MessageBus(directory / "bus.md"),
        MessageBus(directory / "rotating.md", auto_rotate_bytes=400),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_read, "_CHUNK", chunk)
        for bus in buses:
            posted = [bus.append_message(draft) for draft in drafts]
            since_id, after = (
                (posted[cursor - 1].msg_id, posted[cursor:]) if 0 < cursor <= len(posted) else (None, posted)
            )
            expected = matching(after, wanted)
            assert bus.read_messages(since_id, **wanted) == expected
            assert list(bus.iter_messages(since_id, **wanted)) == expected
            assert bus.read_messages(since_id, limit=count, **wanted) == newest(expected, count)
            assert bus.read_messages(since_id, first=count, **wanted) == expected[:count]
            bus.close()


@pytest.fixture
def log(bus: MessageBus) -> tuple[MessageBus, list[Message]]:
    posted = [
        bus.append_message(Draft("FACT", "demo", "The build is green", run_id="run-1", ts=T0)),
        bus.append_message(Draft("Question", "demo", "Straße?", parents=[UNKNOWN], ts=T0 + timedelta(hours=1))),
        bus.append_message(
            Draft(
                "fact",
                "demo",
                "No",
                parents=[Parent("a", "answers"), Parent("b")],
                issue_id="I-1",
                meta={"from": "coder", "tool": "shell"},
            )
        ),
    ]
    return bus, posted


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({"types": ["fact"]}, [0, 2]), ({"types": {"QUESTION", "none"}}, [1]), ({"types": []}, []),
        ({"run_id": "run-1"}, [0]), ({"run_id": ""}, [1, 2]), ({"run_id": "RUN-1"}, []),
        ({"parent": UNKNOWN}, [1]), ({"parent": "b"}, [2]), ({"parent": ""}, []),
        ({"issue_id": "I-1"}, [2]), ({"issue_id": ""}, [0, 1]), ({"sender": "coder"}, [2]), ({"sender": ""}, [0, 1]),
        ({"meta": {"tool": "shell"}}, [2]), ({"meta": {"tool": "shell", "a": "b"}}, []), ({"meta": {}}, [0, 1, 2]),
        ({"sender": "coder", "meta": {"from": "other"}}, []),
        ({"start": T0}, [0, 1, 2]), ({"end": T0}, []), ({"start": T0, "end": T0 + timedelta(hours=1)}, [0]),
        ({"start": (T0 + timedelta(hours=1)).astimezone(timezone(timedelta(hours=5)))}, [1, 2]),
        ({"text": "GREEN"}, [0]), ({"text": "strasse"}, [1]), ({"text": ""}, [0, 1, 2]),
        ({"types": ["FACT"], "text": "green"}, [0]), ({"types": ["FACT"], "run_id": "run-1", "text": "no"}, []),
    ],
)  # fmt: skip
def test_what_matches(log: tuple[MessageBus, list[Message]], wanted: dict[str, Any], numbers: list[int]) -> None:
    bus, posted = log
    expected = [posted[number] for number in numbers]
    assert bus.read_messages(**wanted) == list(bus.iter_messages(**wanted)) == expected
    assert bus.read_messages(limit=1, **wanted) == expected[-1:]
    assert bus.read_messages(first=1, **wanted) == expected[:1]


def test_an_unknown_cursor_is_an_error_whatever_matches(bus: MessageBus) -> None:
    bus.append_message(Draft("FACT", "demo"))
    for options in ({}, {"limit": 0}, {"limit": 1}, {"first": 0}, {"first": 1}):
        with pytest.raises(SinceIDNotFoundError):
            bus.read_messages(UNKNOWN, types=["NONE"], **options)  # type: ignore[arg-type]
    with pytest.raises(SinceIDNotFoundError):
        list(bus.iter_messages(UNKNOWN, types=["NONE"]))


@pytest.mark.parametrize("name", ["start", "end"])
def test_a_time_without_a_zone_is_refused_by_name(bus: MessageBus, name: str) -> None:
    for read in (bus.read_messages, bus.iter_messages):
        with pytest.raises(ValueError, match=f"^{name}: .* has no time zone"):
            read(**{name: datetime(2026, 11, 21)})  # type: ignore[arg-type, operator]


def test_types_are_a_collection(bus: MessageBus) -> None:
    for read in (bus.read_messages, bus.iter_messages):
        with pytest.raises(TypeError, match=r"give \['FACT'\]"):
            read(types="FACT")  # type: ignore[operator]


def test_a_rare_type_is_looked_for_in_each_byte_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = MessageBus(tmp_path / "bus.md", auto_rotate_bytes=300_000)
    rare = bus.append_message(Draft("RARE", "demo"))
    for number in range(10):
        bus.append_messages([Draft("FACT", "demo", f"{number} " * 500) for _ in range(100)])
    given: list[int] = []
    feed = Decoder.feed

    def counting(decoder: Decoder, data: bytes) -> list[Message]:
        given.append(len(data))
        return feed(decoder, data)

    monkeypatch.setattr(Decoder, "feed", counting)
    assert bus.read_messages(limit=3, types=["rare"]) == [rare]
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert size <= sum(given) < size * 1.01
    assert max(given) < 300_000


def test_the_newest_that_match_are_found_near_the_end(bus: MessageBus, monkeypatch: pytest.MonkeyPatch) -> None:
    posted = bus.append_messages([Draft("FACT" if number % 3 else "RARE", "demo") for number in range(90)])
    monkeypatch.setattr(bus._backend, "read", lambda *_: pytest.fail("the whole log was read"))
    assert bus.read_messages(limit=2, types=["RARE"]) == [posted[84], posted[87]]


def test_closing_early_closes_the_reading(bus: MessageBus, monkeypatch: pytest.MonkeyPatch) -> None:
    posted = bus.append_messages([Draft("FACT", "demo", str(number)) for number in range(3)])
    closed = []
    reading = bus._backend.read

    def watched(since_id: str | None = None, wanted: Filter | None = None) -> Any:
        try:
            yield from reading(since_id, wanted)
        finally:
            closed.append(since_id)

    monkeypatch.setattr(bus._backend, "read", watched)
    with closing(bus.iter_messages(types=["FACT"])) as messages:
        assert next(messages) == posted[0]
    assert closed == [None]
