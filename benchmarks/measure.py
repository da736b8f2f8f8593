"""Measuring: rounds in which the sides take turns, rates, and summaries of the results."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

Rounds = dict[str, list[float]]


class Spread(NamedTuple):
    """The median, the lowest and the highest of some numbers."""

    median: float
    low: float
    high: float

    def show(self, form: str) -> str:
        """As ``1.05x (0.98..1.12)`` for the form ``{:.2f}x``."""
        low, high = (form.format(value).rstrip("x/s %") for value in (self.low, self.high))
        return f"{form.format(self.median)} ({low}..{high})"


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def ratios(upper: Sequence[float], lower: Sequence[float]) -> Spread:
    """The spread of the ratios, round by round."""
    return spread([a / b for a, b in zip(upper, lower, strict=True)])


def interleave(rounds: int, sides: Mapping[str, Callable[[], float]]) -> Rounds:
    """Call every side in turn, ``rounds`` times, after one round that does not count."""
    results: Rounds = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            value = side()
            if number:
                results[name].append(value)
    return results


def rate(operation: Callable[[], object], seconds: float) -> float:
    """How often per second ``operation`` runs, measured for ``seconds``."""
    count = 0
    start = now = time.perf_counter()
    while now < start + seconds:
        operation()
        count += 1
        now = time.perf_counter()
    return count / (now - start)


def duration(operation: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    operation()
    return time.perf_counter() - start


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that ``percent`` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]
