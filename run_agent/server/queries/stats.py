"""A bus in numbers: how many messages of which types, when, what runs do, and which questions wait."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from messagebus import MessageBus
from run_agent.server.params import HistogramQuery
from run_agent.server.queries.message_index import MessageIndex, Run

_MOST_SERIES = 11  # told apart in a histogram
_MOST_RUNS = 200  # the latest
_MOST_UNANSWERED = 50  # the newest
_LEAST_STEP = 1.0  # seconds


def summary(index: MessageIndex, bus: MessageBus, wanted: HistogramQuery) -> dict[str, Any]:
    """Counts are of all messages; the histogram is of those between the times that are wanted."""
    count = len(index)
    types = Counter(index.types.numbers[:count])
    about: dict[str, Any] = {
        "count": count,
        "types": {name: types[number] for name, number in list(index.types.names.items()) if types[number]},
        "runs": _runs(index),
        "unanswered": _unanswered(index, bus),
        "histogram": _histogram(index, wanted, count),
    }
    if count:
        about |= {
            "first": _iso(_first(index, count)),
            "last": _iso(_last(index, count)),
        }
    return about


def _runs(index: MessageIndex) -> list[dict[str, Any]]:
    latest = sorted(index.run.copy().items(), key=lambda named: named[1].last, reverse=True)
    return [_run(name, run) for name, run in latest[:_MOST_RUNS]]


def _run(name: str, run: Run) -> dict[str, Any]:
    times = {"first": run.first, "last": run.last, "started": run.started, "ended": run.ended}
    known = {field: _iso(time) for field, time in times.items() if time is not None}
    return {"run_id": name, "count": run.count, "state": run.state, **known}


def _unanswered(index: MessageIndex, bus: MessageBus) -> dict[str, Any]:
    ids = list(index.unanswered)
    messages = filter(None, map(bus.get_message, ids[-_MOST_UNANSWERED:]))
    return {"count": len(ids), "messages": [message.to_json() for message in messages]}


def _histogram(index: MessageIndex, wanted: HistogramQuery, count: int) -> dict[str, Any]:
    """How many messages of each of the most frequent names came in each of equal parts of the time."""
    column = index.types if wanted.by == "type" else index.runs
    parts = wanted.parts
    extent = _extent(index, wanted, count)
    if extent is None:
        return {"by": wanted.by, "step": _LEAST_STEP, "series": [], "rest": [0] * parts}
    start, end = extent
    low, high = index.between(start, end, count)
    step = max((end - start) / parts, _LEAST_STEP)
    cells = Counter(
        (number, min(max(int((time - start) / step), 0), parts - 1))
        for number, time in zip(column.numbers[low:high], index.times[low:high], strict=True)
        if start <= time < end
    )
    totals: Counter[int] = Counter()
    for (number, _), value in cells.items():
        totals[number] += value
    names = list(column.names)
    told_apart = {number: [0] * parts for number, _ in totals.most_common(_MOST_SERIES)}
    rest = [0] * parts
    for (number, part), value in cells.items():
        told_apart.get(number, rest)[part] += value
    series = [{"name": names[number], "counts": counts} for number, counts in told_apart.items()]
    return {"by": wanted.by, "start": _iso(start), "step": step, "series": series, "rest": rest}


def _extent(index: MessageIndex, wanted: HistogramQuery, count: int) -> tuple[float, float] | None:
    """From when to when: as wanted, else the whole log, up to just after its last message. None of an empty log,
    where nobody says when."""
    first, last = (_first(index, count), _last(index, count)) if count else (wanted.end, wanted.start)
    start = first if wanted.start is None else wanted.start
    end = last if wanted.end is None else wanted.end
    if start is None or end is None:
        return None
    return start, max(start, end + _LEAST_STEP if wanted.end is None else end)


def _first(index: MessageIndex, count: int) -> float:
    return index.times[0] if index.in_order else min(index.times[:count])


def _last(index: MessageIndex, count: int) -> float:
    return index.times[count - 1] if index.in_order else max(index.times[:count])


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
