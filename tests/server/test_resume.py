"""Streams of a log that changes: rotated, replaced, cut, removed; writers that do not pause while streams
open; clients that are too slow.

The rule: every message after a stream's cursor, once, in order; or ``event: reset``.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from httpx_sse import connect_sse

from messagebus import Draft, MessageBus

PROJECT = "/api/projects/demo/messages/stream"
LOG = "demo/PROJECT-MESSAGE-BUS.md"

PostBodies = Callable[..., list[str]]
Listen = Callable[..., Any]
Tally = Callable[..., None]


@contextmanager
def concurrent_posts(path: Path, **options: Any) -> Iterator[list[str]]:
    """Post without pause in another thread; yields the ids so far."""
    ids: list[str] = []
    stop = threading.Event()

    def post() -> None:
        with MessageBus(path, **options) as bus:
            while not stop.wait(0.001):
                drafts = [Draft("FACT", "demo", f"body {number}") for number in range(random.choice([1, 1, 1, 5]))]
                ids.extend(message.msg_id for message in bus.append_messages(drafts))

    writer = threading.Thread(target=post)
    writer.start()
    try:
        yield ids
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("rotate", [0, 3_000], ids=["one file", "rotated"])
def test_joining_while_others_post(
    served: Any, listen: Listen, bus: MessageBus, root: Path, tally: Tally, rotate: int, eventually: Any
) -> None:
    """After an id of any age, or none; streams start and end feeds, or share the feed of another one."""
    rounds, each = 40, 40
    came: list[tuple[str | None, list[str]]] = []
    with concurrent_posts(root / LOG, auto_rotate_bytes=rotate) as ids:
        eventually(lambda: len(ids) > 30)
        kept = []
        for number in range(rounds):
            start = random.choice([None, ids[-1], ids[-2], ids[-random.randrange(1, 30)], random.choice(ids)])
            listener = listen(served.url + PROJECT, last_id=start or "")
            if number % 3:
                came.append((start, [listener.next().last_id for _ in range(each)]))
                listener.close()
            else:
                kept.append((start, listener))  # it stays, so that others join its feed
            if number % 12 == 11:
                came += [(start, [listener.next().last_id for _ in range(each)]) for start, listener in kept]
                for _, listener in kept:
                    listener.close()
                kept.clear()
    order = {message.msg_id: number for number, message in enumerate(bus.read_messages())}
    lost = 0
    for start, got in came:
        first = order[got[0]] if start is None else order[start] + 1
        numbers = [order[msg_id] for msg_id in got]
        lost += len({*range(first, first + each)} - {*numbers})
        assert numbers == list(range(first, first + each))
    assert bool(rotate) == (len(list((root / "demo").glob("*.archived"))) > 3)
    tally("a message to a stream that joins while others post", len(came) * each, lost=lost)


def test_rotation_under_a_stream(serving: Callable[..., Any], listen: Listen, root: Path) -> None:
    """While the client is connected, and while it is not."""
    server = serving(auto_rotate_bytes=1_000)
    post = f"{PROJECT.removesuffix('/stream')}"
    listener = listen(server.url + PROJECT)
    bodies = [str(number) for number in range(100)]
    for body in bodies:
        server.client.post(post, json={"body": body})
    events = [listener.next() for _ in bodies]
    assert [event.json["body"] for event in events] == bodies
    assert len(list((root / "demo").glob("*.archived"))) > 10
    for start in (0, 1, 50, 98):
        again = listen(server.url + PROJECT, last_id=events[start].last_id)
        assert again.bodies(99 - start) == bodies[start + 1 :]
    with connect_sse(server.client, "GET", PROJECT, headers={"Last-Event-ID": events[0].last_id}) as source:
        found = [event.id for event in islice(source.iter_sse(), 99)]
    assert found == [event.last_id for event in events[1:]]


def test_an_archive_that_was_removed(served: Any, listen: Listen, root: Path, bus: MessageBus) -> None:
    """It held the client's cursor, so what came next is unknown."""
    with MessageBus(root / LOG, auto_rotate_bytes=1_000) as rotating:
        ids = [rotating.append_message(Draft("FACT", "demo", str(number))).msg_id for number in range(40)]
    min((root / "demo").glob("*.archived")).unlink()
    left = [message.msg_id for message in bus.read_messages()]
    reset = listen(served.url + PROJECT, last_id=ids[0]).next()
    assert (reset.type, reset.json) == ("reset", {"oldest": left[0], "newest": ids[-1]})
    assert listen(served.url + PROJECT, last_id=left[0]).next().last_id == left[1]


@pytest.mark.parametrize("how", ["replaced", "cut", "removed"])
def test_a_log_that_changes_under_a_stream(
    served: Any, listen: Listen, post_bodies: PostBodies, bus: MessageBus, root: Path, how: str
) -> None:
    """Messages may be missing: ``reset`` says so, and what can be paged."""
    post_bodies("old", "older")
    listener = listen(served.url + PROJECT)
    assert listener.bodies(2) == ["old", "older"]
    post_bodies("live")
    assert listener.bodies(1) == ["live"]
    path, other = root / LOG, root / "demo/other.md"
    if how == "cut":
        path.write_bytes(path.read_bytes().partition(b"\n\n---\n")[0] + b"\n")
    else:
        with MessageBus(other) as elsewhere:
            elsewhere.append_messages([Draft("FACT", "demo", body) for body in ("from", "elsewhere")])
        path.unlink()
    if how == "replaced":
        other.rename(path)
    if how != "replaced":
        post_bodies("new")
    left = [message.msg_id for message in bus.read_messages()]
    reset = listener.next()
    assert reset.type == "reset"
    assert {*reset.json.values()} <= {*left}, "ids that the log holds by now"
    assert listener.bodies(len(left)) == [message.body for message in bus.read_messages()]
    post_bodies("and on")
    assert listener.bodies(1) == ["and on"]


def test_an_editor_that_saves_is_no_gap(
    served: Any, listen: Listen, post_bodies: PostBodies, root: Path, tmp_path: Path
) -> None:
    """It renames a new file into place, with one more line at the end."""
    post_bodies("one", "two")
    listener = listen(served.url + PROJECT)
    assert listener.bodies(2) == ["one", "two"]
    copy = tmp_path / "copy"
    copy.write_bytes((root / LOG).read_bytes() + b"[2026-11-21 03:14:15] FACT: by hand\n")
    copy.rename(root / LOG)
    assert listener.bodies(1) == ["by hand"]
    post_bodies("three")
    assert listener.bodies(1) == ["three"]


def test_a_stalled_client_is_dropped_and_resumes(
    serving: Callable[..., Any], listen: Listen, post_bodies: PostBodies, tally: Tally, eventually: Callable[..., Any]
) -> None:
    """The others do not wait for it; after it resumes, it has missed nothing."""
    server = serving(send_timeout=0.3)
    slow = listen(server.url + PROJECT, buffer=4096)
    fast = listen(server.url + PROJECT)
    bodies = [f"{number} {'x' * 100_000}" for number in range(200)]
    for body in bodies:
        post_bodies(body)
        assert fast.bodies(1) == [body]
    feeds = server.app.state.end_streams.__self__
    eventually(lambda: feeds._streams == 1)
    before = [event.json["body"] for event in slow.rest()]
    assert slow.cut
    assert len(before) < len(bodies)
    again = listen(server.url + PROJECT, last_id=slow.parser.last_id)
    after = again.bodies(len(bodies) - len(before)) if before else again.until(bodies[-1])
    assert [*before, *after] == bodies
    post_bodies("live")
    assert (again.bodies(1), fast.bodies(1)) == (["live"], ["live"])
    tally("a message to a client that was dropped", len(bodies), lost=len(bodies) - len({*before, *after}))
