"""kill -9 of writers: what was acknowledged stays, once, whole and in order, and nothing is forged.

At random moments, beside another writer, with bodies from 1 byte to 4 MiB; and before every single call
that an append makes to the system, and with every number of its bytes written (``killed.py``). All the
while a process follows and another runs ``run-agent bus read --follow --json``; at the end both must
have seen what the log then holds.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

KILLED = Path(__file__).parent / "programs/crash_writer.py"
NAMED = Path(__file__).parent / "programs/self_describing.py"
MIB = 2**20
LOADS = {
    "up-to-4-MiB": {"longest": 4 * MIB, "rotate": 16 * MIB},
    "rotating-all-the-time": {"longest": 4096, "rotate": 16 * 1024},
}
# What is appended when the writer dies, and the calls that it must have died in.
SCENARIOS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "new-bus": ({}, {"open", "flock", "fstat", "lstat", "pread", "write"}),
    "known-file": ({"known": True}, {"flock", "lstat", "write"}),
    "others-were-here": ({"known": True, "others": True}, {"pread", "write"}),
    "batch": ({"kind": "batch"}, {"write"}),
    "flushed": ({"kind": "batch", "fsync": True}, {"write", "dup", "flush", "fsync"}),
    "keyed": ({"kind": "keyed"}, {"listdir", "write"}),
    "rotation": ({"rotate": 1}, {"listdir", "rename", "open", "write"}),
    "rotation-flushed": ({"kind": "batch", "rotate": 1, "fsync": True}, {"flush", "fsync", "rename", "write"}),
    "after-torn-start": ({"torn": 9}, {"ftruncate", "write"}),
    "after-torn-id": ({"torn": 30}, {"ftruncate", "write"}),
    "after-torn-header": ({"torn": 120}, {"ftruncate", "write"}),
    "after-torn-body": ({"torn": 180, "kind": "batch"}, {"pread", "write"}),
    "after-torn-key": ({"torn": 180, "kind": "keyed"}, {"pread", "write"}),
    "rotation-of-torn-start": ({"torn": 2, "rotate": 1}, {"rename", "write"}),
    "rotation-of-torn-body": ({"torn": 180, "rotate": 1}, {"rename", "write"}),
}


class Witnesses:
    """Readers of one log, and what its writers said."""

    def __init__(self, work: Callable[..., Any], path: Path) -> None:
        self._work, self._path = work, path
        self._journal = path.with_name("journal")
        self._followers = [self._read(way) for way in ("follow", "json_lines")]

    def _read(self, way: str) -> Any:
        reader = self._work("reader", program=NAMED, path=self._path, log=self._log(way), way=way)
        assert reader.event() == {"ready": True}
        return reader

    def _log(self, way: str) -> Path:
        return self._path.with_name(way)

    def of(self, verb: str, **options: object) -> Evidence:
        """Let the writers die, and hear all of them."""
        writers = self._work(verb, program=KILLED, path=self._path, journal=self._journal, **options)
        writers.finish(timeout=800)
        self._read("read").finish()
        stored = json.loads(self._log("read").read_text())
        for follower, way in zip(self._followers, ("follow", "json_lines"), strict=True):
            follower.finish(timeout=800)
            assert json.loads(self._log(way).read_text()) == stored, f"{way} saw something else"
        return Evidence(json.loads(self._journal.read_text()), stored)


class Evidence:
    """What writers said, beside what the log holds."""

    def __init__(self, words: list[dict[str, Any]], stored: list[list[str]]) -> None:
        self.stored = stored
        self.deaths = [word for word in words if "stage" in word]
        self.whole = [(msg_id, name) for msg_id, name, verdict in stored if verdict == "whole"]
        self.torn = [(msg_id, name) for msg_id, name, verdict in stored if verdict == "torn"]
        spoken = [word for word in words if "acknowledged" in word]
        self.acknowledged = [tuple(pair) for word in spoken for pair in word["acknowledged"]]
        self._said_by: dict[str, set[int]] = defaultdict(set)  # what has a key may be acknowledged twice
        for word in spoken:
            self._said_by[word["writer"]].add(word["number"])
        self.parts: dict[tuple[str, int], list[int]] = defaultdict(list)
        for _, name in self.whole:
            writer, number, part, _ = name.split(".")
            self.parts[writer, int(number)].append(int(part))

    def differences(self) -> dict[str, int]:
        return {
            "lost": len(set(self.acknowledged) - set(self.whole)),
            "repeated": sum(times - 1 for times in Counter(name for _, name in self.whole).values()),
            "forged": sum(verdict == "forged" for _, _, verdict in self.stored)
            + sum(not self._was_tried(*post, parts) for post, parts in self.parts.items()),
        }

    def _was_tried(self, writer: str, number: int, parts: list[int]) -> bool:
        """Did the writer append it? If that was not acknowledged, it is what the writer died of, and
        may be there in part."""
        said = self._said_by[writer]
        return number in said or (number == len(said) and parts == [*range(len(parts))])

    def assert_in_order(self) -> None:
        assert all(one < two for (one, *_), (two, *_) in pairwise(self.stored)), "ids do not increase"
        for writer, numbers in self._said_by.items():
            assert sorted(numbers) == [*range(len(numbers))], f"{writer} is missing from the journal"
        places = {name: place for place, (_, name) in enumerate(self.whole)}
        for writer, numbers in self._said_by.items():
            own = [places[name] for _, name in self.acknowledged if name.startswith(f"{writer}.")]
            assert own == sorted(own), f"messages of {writer} changed places"
            assert len(own) >= len(numbers)


@pytest.fixture
def witnesses(work, path):
    return Witnesses(work, path)


def kill_at_random(witnesses: Witnesses, tally: Callable[..., None], load: str, kills: int, seed: str) -> Evidence:
    evidence = witnesses.of("kill_at_random", kills=kills, seed=seed, **LOADS[load])
    tally("kill -9 of a writer", kills, **evidence.differences())
    evidence.assert_in_order()
    assert len(evidence.acknowledged) > kills, "they hardly came to append"
    return evidence


@pytest.mark.parametrize("load", LOADS)
def test_killed_at_random_moments(witnesses, tally, load):
    kill_at_random(witnesses, tally, load, kills=60, seed="CI")


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(13))
@pytest.mark.parametrize("load", LOADS)
def test_killed_at_random_moments_for_long(witnesses, tally, path, load, seed):
    kill_at_random(witnesses, tally, load, kills=100, seed=str(seed))
    for left in path.parent.iterdir():
        left.unlink()


def die_at_each_call(witnesses: Witnesses, tally: Callable[..., None], scenario: str, stride: int) -> None:
    options, calls = SCENARIOS[scenario]
    evidence = witnesses.of("die_at_each_call", stride=stride, **options)
    tally("writers killed at a chosen system call", len(evidence.deaths), **evidence.differences())
    evidence.assert_in_order()
    assert calls <= {death["call"] for death in evidence.deaths}
    if options.get("kind") != "keyed":  # what has a key is repeated, and there in the end
        for death in evidence.deaths:
            assert_visible_once_written(evidence, death)


def assert_visible_once_written(evidence: Evidence, death: dict[str, Any]) -> None:
    there = len(evidence.parts[death["writer"], death["number"]])
    assert there in {"before": [0], "during": range(death["parts"] + 1), "after": [death["parts"]]}[death["stage"]], (
        death
    )


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_at_each_system_call(witnesses, tally, scenario):
    die_at_each_call(witnesses, tally, scenario, stride=40)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_at_each_system_call_and_each_byte(witnesses, tally, scenario):
    makes_archives = SCENARIOS[scenario][0].get("rotate")  # two a death, and all of them are listed each time
    die_at_each_call(witnesses, tally, scenario, stride=5 if makes_archives else 1)
