"""Result pages of matching messages, from either end of a log; and a bus in numbers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from messagebus import Draft, Message, MessageBus, Parent
from run_agent.server.queries import listing

LIST = "/api/v1/messages"
SUMMARY = f"{LIST}/summary"
START = datetime(2026, 1, 1, tzinfo=UTC)
COUNT = 1_200  # more than are looked at together


@pytest.fixture
def log(bus: MessageBus) -> list[Message]:
    kinds = ("FACT", "PROGRESS", "DECISION")
    drafts = [
        Draft(
            kinds[number % 3],
            "demo",
            f"Body {number}",
            run_id=f"run-{number % 2}" if number % 10 else "",
            meta={"from": f"coder-{number % 4}"} if number % 7 else {},
            ts=START + timedelta(seconds=number),
        )
        for number in range(COUNT)
    ]
    return bus.append_messages(drafts)


@pytest.fixture
def ask(api: httpx.Client) -> Callable[..., Any]:
    def get(path: str = LIST, **query: object) -> Any:
        given = {name.rstrip("_"): value for name, value in query.items()}
        answer = api.get(path, params={"project_id": "demo", **given})
        assert answer.status_code == 200, answer.text
        return answer.json()

    return get


def bodies(page: Any) -> list[str]:
    return [message["body"] for message in page["messages"]]


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ({}, lambda _: True),
        ({"type": "FACT"}, lambda number: number % 3 == 0),
        ({"type": "fact, DECISION"}, lambda number: number % 3 != 1),
        ({"run_id": "run-1"}, lambda number: number % 2 == 1 and number % 10),
        ({"run_id": ""}, lambda number: number % 10 == 0),
        ({"sender": "coder-1"}, lambda number: number % 4 == 1 and number % 7),
        ({"sender": ""}, lambda number: number % 7 == 0),
        ({"sender": "coder-2", "type": "FACT"}, lambda number: number % 4 == 2 and number % 7 and number % 3 == 0),
        ({"sender": "unknown"}, lambda _: False),
        ({"text": "bODY 7"}, lambda number: str(number).startswith("7")),
        ({"text": "7", "type": "FACT", "run_id": "run-1"}, lambda n: "7" in str(n) and n % 3 == 0 and n % 2 and n % 10),
        ({"type": "NONE"}, lambda _: False),
    ],
)
def test_paging_in_both_directions(
    ask: Callable[..., Any], log: list[Message], query: dict[str, str], fits: Callable[[int], bool]
) -> None:
    wanted = [f"Body {number}" for number in range(COUNT) if fits(number)]
    back: list[str] = []
    page = ask(before=log[-1].msg_id, limit=97, **query)
    while True:
        back = bodies(page) + back
        if "previous" not in page:
            break
        page = ask(before=page["previous"], limit=97, **query)
    assert back == [body for body in wanted if body != f"Body {COUNT - 1}"]

    forth: list[str] = []
    page = ask(first=97, **query)
    while "next" in page:
        forth += bodies(page)
        page = ask(first=97, after=page["next"], **query)
    assert forth == wanted


def test_where_the_next_page_starts(
    ask: Callable[..., Any], log: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its last message, or after the last body that was searched."""
    page = ask(text="Body 7", limit=5)
    assert page["next"] == page["messages"][-1]["msg_id"]
    assert page["previous"] == page["messages"][0]["msg_id"]
    assert ask(text="nowhere") == ask(type="NONE", run_id="x") == {"messages": []}
    page = ask(text="Body 1199", after=log[1197].msg_id, limit=1)
    assert "previous" in page, "the list is full, and 1198 was not looked at"
    page = ask(type="FACT,DECISION", after=log[1197].msg_id, limit=2)
    assert (bodies(page), "previous" in page) == (["Body 1199"], False)

    monkeypatch.setattr(listing, "_MAX_READ", 500)
    page = ask(text="Body 1199", first=1)
    assert page == {"messages": [], "next": log[499].msg_id}
    while not page["messages"]:
        page = ask(text="Body 1199", first=1, after=page["next"])
    assert bodies(page) == ["Body 1199"]
    page = ask(text="Body 0", limit=1)
    assert page == {"messages": [], "previous": log[700].msg_id}


def test_times(ask: Callable[..., Any], log: list[Message]) -> None:
    start, end = (log[number].to_json()["timestamp"] for number in (100, 200))
    fitting = [m.body for m in log if log[100].ts <= m.ts < log[200].ts]
    assert bodies(ask(from_=start, until=end)) == fitting
    page = ask(from_=start, until=end, limit=10)
    assert bodies(page) == fitting[-10:]
    assert bodies(ask(from_=start, until=end, before=page["previous"])) == fitting[:-10]


def test_one_message_and_its_replies(ask: Callable[..., Any], api: httpx.Client, bus: MessageBus) -> None:
    question = bus.append_message(Draft("QUESTION", "demo", "Is it?"))
    replies = [
        bus.append_message(Draft("ANSWER", "demo", body, parents=[Parent(question.msg_id)])) for body in ("Yes", "No")
    ]
    assert ask(f"{LIST}/{question.msg_id}") == question.to_json()
    assert bodies(ask(parent=question.msg_id)) == ["Yes", "No"]
    assert ask(before=replies[0].msg_id)["replies"] == {question.msg_id: 2}
    assert api.get(f"{LIST}/nobody", params={"project_id": "demo"}).status_code == 404
    assert api.get(LIST, params={"project_id": "demo", "before": "nobody"}).status_code == 404


def test_a_log_that_was_cut_is_indexed_again(ask: Callable[..., Any], log: list[Message], root: Path) -> None:
    assert len(ask(before=log[-1].msg_id, limit=5)["messages"]) == 5
    path = root / "demo/PROJECT-MESSAGE-BUS.md"
    text = path.read_text()
    middle, end = (text.index(f"---\nmsg_id: {log[number].msg_id}") for number in (500, 600))
    path.write_text(text[:middle] + text[end:])
    assert bodies(ask(before=log[-1].msg_id, limit=700, type="FACT,PROGRESS,DECISION"))[-600] == "Body 499"
    path.write_text(text[:middle])
    assert ask(SUMMARY)["count"] == 500


def test_summary_counts(ask: Callable[..., Any], log: list[Message]) -> None:
    about = ask(SUMMARY, parts=20)
    assert (about["count"], about["types"]) == (COUNT, {"FACT": 400, "PROGRESS": 400, "DECISION": 400})
    assert {run["run_id"]: run["count"] for run in about["runs"]} == {"run-0": 480, "run-1": 600}
    assert [about[end] for end in ("first", "last")] == [log[end].to_json()["timestamp"] for end in (0, -1)]
    for by, names in (("type", {"FACT", "PROGRESS", "DECISION"}), ("run_id", {"", "run-0", "run-1"})):
        histogram = ask(SUMMARY, by=by, parts=20)["histogram"]
        assert {series["name"] for series in histogram["series"]} == names
        assert all(len(series["counts"]) == 20 for series in histogram["series"])
        assert sum(sum(series["counts"]) for series in histogram["series"]) == COUNT
        assert histogram["rest"] == [0] * 20


def test_rare_names_are_counted_together(
    ask: Callable[..., Any], post_bodies: Callable[..., Any], bus: MessageBus
) -> None:
    bus.append_messages([Draft(f"T{number}", "demo", "x") for number in range(30)])
    histogram = ask(SUMMARY, parts=5)["histogram"]
    assert sum(sum(series["counts"]) for series in histogram["series"]) + sum(histogram["rest"]) == 30
    assert sum(histogram["rest"]) > 0


def test_unanswered_questions_and_runs(ask: Callable[..., Any], bus: MessageBus) -> None:
    def post(kind: str, *parents: Parent, run_id: str = "") -> str:
        return bus.append_message(Draft(kind, "demo", "x", parents=list(parents), run_id=run_id)).msg_id

    answered, closed, commented, issue = post("QUESTION"), post("ISSUE"), post("QUESTION"), post("ISSUE")
    post("ANSWER", Parent(answered))
    post("FACT", Parent(closed, "fixes"))
    post("FACT", Parent(commented))
    for kind, run in (("RUN_START", "a"), ("RUN_START", "b"), ("FACT", "c"), ("RUN_STOP", "b"), ("RUN_START", "d")):
        post(kind, run_id=run)
    post("RUN_CRASH", run_id="d")
    about = ask(SUMMARY)
    assert [message["msg_id"] for message in about["unanswered"]["messages"]] == [commented, issue]
    assert about["unanswered"]["count"] == 2
    assert {run["run_id"]: run["state"] for run in about["runs"]} == {
        "a": "running", "b": "stopped", "c": "unknown", "d": "crashed"
    }  # fmt: skip
    stopped = next(run for run in about["runs"] if run["run_id"] == "b")
    assert stopped["started"] < stopped["ended"] == stopped["last"]


def test_an_empty_bus(ask: Callable[..., Any], root: Path) -> None:
    about = ask(SUMMARY)
    assert (about["count"], about["types"], about["runs"], about["exists"]) == (0, {}, [], False)
    assert {"first", "last"}.isdisjoint(about)
    assert "start" not in about["histogram"], "no time is that of a message"
    assert "1970" not in str(ask(SUMMARY, until="2026-01-02T00:00:00Z"))
    assert ask(SUMMARY, from_="2026-01-01T00:00:00Z")["histogram"]["start"] == "2026-01-01T00:00:00.000000Z"
    assert ask(text="x") == {"messages": [], "exists": False}
    assert not root.exists()


def test_times_out_of_order(bus: MessageBus, ask: Callable[..., Any]) -> None:
    hours = [5, 1, 4, 2, 3]
    bus.append_messages([Draft("FACT", "demo", f"{hour}", ts=START + timedelta(hours=hour)) for hour in hours])
    times = {"from": "2026-01-01T02:00:00Z", "until": "2026-01-01T05:00:00Z"}
    assert bodies(ask(**times)) == ["4", "2", "3"]
    assert bodies(ask(limit=2, **times)) == ["2", "3"]
    about = ask(SUMMARY, parts=3, **times)
    assert [one["counts"] for one in about["histogram"]["series"]] == [[1, 1, 1]]
    assert (about["first"], about["last"]) == ("2026-01-01T01:00:00.000000Z", "2026-01-01T05:00:00.000000Z")
