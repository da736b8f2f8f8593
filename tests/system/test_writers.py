"""Many processes write at once: nothing lost, nothing twice, nothing out of order."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from messagebus import Draft, MessageBus

WRITERS = 8


def all_of(path: Path) -> list[tuple[str, str]]:
    messages = MessageBus(path).read_messages()
    assert all(message.intact for message in messages)
    return [(message.msg_id, message.body) for message in messages]


def archives(path: Path) -> list[Path]:
    return sorted(path.parent.glob("BUS.md.*.archived"))


@pytest.mark.parametrize("back", [False, True], ids=["clock", "clock-steps-back"])
@pytest.mark.parametrize("rotate", [0, 8 * 1024], ids=["one-file", "rotating"])
def test_ids_increase_in_file_order(work, start_together, logged, path, *, tmp_path, rotate, back):
    logs = [tmp_path / f"log{number}" for number in range(WRITERS)]
    workers = [
        work("writer", path=path, name=f"w{number}", count=150, log=log, rotate=rotate, back=back)
        for number, log in enumerate(logs)
    ]
    start_together(workers)
    for worker in workers:
        worker.finish()

    stored = all_of(path)
    assert all(one < two for (one, _), (two, _) in pairwise(stored)), "inversion"
    assert sorted(logged(*logs)) == stored, "acknowledged is not what is stored"
    for log in logs:
        assert logged(log) == sorted(logged(log)), "a writer's own messages changed places"
    assert bool(archives(path)) == bool(rotate)


@pytest.mark.parametrize("count", [2_000, pytest.param(20_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
def test_rotation_under_writers_a_follower_and_a_reader(work, start_together, logged, path, *, tmp_path, count):
    readers = {verb: (work(verb, path=path, log=tmp_path / verb)) for verb in ("follower", "poller")}
    for reader in readers.values():
        assert reader.event() == {"ready": True}
    logs = [tmp_path / f"log{number}" for number in range(WRITERS)]
    writers = [
        work("writer", path=path, name=f"w{number}", count=count, log=log, rotate=64 * 1024)
        for number, log in enumerate(logs)
    ]
    start_together(writers)
    for writer in writers:
        writer.finish(timeout=800)
    stored = all_of(path)
    MessageBus(path).append_message(Draft("END", "demo"))
    for reader in readers.values():
        reader.finish(timeout=800)

    assert len(stored) == WRITERS * count
    assert stored == sorted(logged(*logs)), "acknowledged is not what is stored, in order"
    assert len(archives(path)) > count // 100, "there was little rotation"
    for verb in readers:
        assert logged(tmp_path / verb) == stored, f"the {verb} saw something else"
