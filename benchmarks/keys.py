"""Posts with idempotency keys, on a bus that is held open and to a server, beside posts without."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from itertools import count

from benchmarks.context import Bench
from benchmarks.corpus import plain
from benchmarks.measure import duration, interleave, percentile, rate, ratios, spread
from benchmarks.server import messages_path, request, running, serve
from benchmarks.table import Row
from messagebus import MessageBus


def held_bus(bench: Bench) -> list[Row]:
    size = bench.pick(50_000, 5_000)
    (draft,) = plain(1)
    numbers = count()
    with bench.directory() as directory:
        paths = [bench.copy(size, directory / name) for name in ("keyed.md", "unkeyed.md")]
        with MessageBus(paths[0]) as keyed, MessageBus(paths[1]) as unkeyed:
            sides = {
                "keyed": lambda: keyed.append_message(draft, idempotency_key=f"job {next(numbers)}"),
                "unkeyed": lambda: unkeyed.append_message(draft),
            }
            rounds = interleave(
                bench.rounds, {name: partial(rate, post, bench.seconds) for name, post in sides.items()}
            )
    ratio = ratios(rounds["unkeyed"], rounds["keyed"])
    times = " and ".join(f"{1e6 / spread(values).median:.0f}" for values in rounds.values())
    return [
        Row(
            f"append_message with a new key each, {size:,} messages in a day",
            "<= 1.5x the time without keys",
            "-",
            f"{ratio.show('{:.2f}x')}; {times} us",
            ratio.median <= 1.5,
        )
    ]


def http_posts(bench: Bench) -> list[Row]:
    """One POST after another, each with a new Idempotency-Key, beside POSTs without."""
    size, posts, numbers = bench.pick(50_000, 5_000), bench.pick(100, 10), count()
    with bench.directory() as root:
        for name in ("keyed", "unkeyed"):
            (root / name).mkdir()
            bench.copy(size, root / name / "PROJECT-MESSAGE-BUS.md")
        with running(serve(root)) as server, closing(server.connect()) as connection:

            def one(name: str) -> None:
                headers = {"Idempotency-Key": f"job-{next(numbers)}"} if name == "keyed" else {}
                request(connection, "POST", messages_path(name), {"body": "x"}, **headers)

            def one_round(name: str) -> float:
                return 1000 * percentile([duration(partial(one, name)) for _ in range(posts)], 50)

            rounds = interleave(bench.pick(9, 2), {name: partial(one_round, name) for name in ("keyed", "unkeyed")})
    ratio = ratios(rounds["keyed"], rounds["unkeyed"])
    times = " and ".join(f"{spread(values).median:.1f}" for values in rounds.values())
    return [
        Row(
            f"POST with an Idempotency-Key, {size:,} messages in a day",
            "<= 1.5x one without",
            "-",
            f"{ratio.show('{:.2f}x')}; {times} ms",
            ratio.median <= 1.5,
        )
    ]
