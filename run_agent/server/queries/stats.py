"""A bus in numbers: counts by type and over time, the latest runs, and unanswered questions."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from messagebus import MessageBus
from run_agent.server.params import HistogramQuery
from run_agent.server.queries.message_index import MessageIndex, Run

_MAX_SERIES = 11  # in a histogram; the rest is counted together
_MAX_RUNS = 200  # the latest
_MAX_UNANSWERED = 50  # the newest
_MIN_STEP = 1.0  # seconds


def summary(index: MessageIndex, bus: MessageBus, query: HistogramQuery) -> dict[str, Any]:
    """The JSON of a summary. Only the histogram is limited to the times of the query."""
    count = len(index)
    types = Counter(index.types.numbers[:count])
    numbers: dict[str, Any] = {
        "count": count,
        "types": {name: types[number] for name, number in list(index.types.names.items()) if types[number]},
        "runs": _runs(index),
        "unanswered": _unanswered(index, bus),
        "histogram": _histogram(index, query, count),
    }
    if count:
        numbers |= {
            "first": _iso(_first_time(index, count)),
            "last": _iso(_last_time(index, count)),
        }
    return numbers


def _runs(index: MessageIndex) -> list[dict[str, Any]]:
    latest = sorted(index.runs.copy().items(), key=lambda item: item[1].last, reverse=True)
    return [_run(run_id, run) for run_id, run in latest[:_MAX_RUNS]]


def _run(run_id: str, run: Run) -> dict[str, Any]:
    times = {"first": run.first, "last": run.last, "started": run.started, "ended": run.ended}
    present = {field: _iso(time) for field, time in times.items() if time is not None}
    return {"run_id": run_id, "count": run.count, "state": run.state, **present}


def _unanswered(index: MessageIndex, bus: MessageBus) -> dict[str, Any]:
    ids = list(index.unanswered)
    messages = filter(None, map(bus.get_message, ids[-_MAX_UNANSWERED:]))
    return {"count": len(ids), "messages": [message.to_json() for message in messages]}


def _histogram(index: MessageIndex, query: HistogramQuery, count: int) -> dict[str, Any]:
    """How many messages came in each of ``query.parts`` equal spans of time, for each of the most frequent names."""
    column = index.types if query.by == "type" else index.run_ids
    parts = query.parts
    span = _time_span(index, query, count)
    if span is None:
        return {"by": query.by, "step": _MIN_STEP, "series": [], "rest": [0] * parts}
    start, end = span
    low, high = index.between(start, end, count)
    step = max((end - start) / parts, _MIN_STEP)
    cells = Counter(
        (number, min(max(int((time - start) / step), 0), parts - 1))
        for number, time in zip(column.numbers[low:high], index.times[low:high], strict=True)
        if start <= time < end
    )
    totals: Counter[int] = Counter()
    for (number, _), value in cells.items():
        totals[number] += value
    names = list(column.names)
    counts_of = {number: [0] * parts for number, _ in totals.most_common(_MAX_SERIES)}
    rest = [0] * parts
    for (number, part), value in cells.items():
        counts_of.get(number, rest)[part] += value
    series = [{"name": names[number], "counts": counts} for number, counts in counts_of.items()]
    return {"by": query.by, "start": _iso(start), "step": step, "series": series, "rest": rest}


def _time_span(index: MessageIndex, query: HistogramQuery, count: int) -> tuple[float, float] | None:
    """Start and end: those of the query, else of the whole log, up to just after its last message. None if the log is
    empty and the query names no time."""
    first, last = (_first_time(index, count), _last_time(index, count)) if count else (query.end, query.start)
    start = first if query.start is None else query.start
    end = last if query.end is None else query.end
    if start is None or end is None:
        return None
    return start, max(start, end + _MIN_STEP if query.end is None else end)


def _first_time(index: MessageIndex, count: int) -> float:
    return index.times[0] if index.in_order else min(index.times[:count])


def _last_time(index: MessageIndex, count: int) -> float:
    return index.times[count - 1] if index.in_order else max(index.times[:count])


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
