"""Limits and permissions, the real ones: on the length of a file, on descriptors, on who may do what.

The processes that have them are in ``limited.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import invariants
import pytest
from patience import SECONDS

import messagebus
from messagebus import MessageBus

LIMITED = Path(__file__).parent / "programs/rlimits.py"
LIBRARY = str(Path(messagebus.__file__).parents[1])


@pytest.fixture
def reports(work) -> Callable[..., Iterator[dict[str, Any]]]:
    """Let a process with limits do its work, and hear what came of each kind of append."""

    def hear(verb: str, path: Path) -> Iterator[dict[str, Any]]:
        worker = work(verb, program=LIMITED, path=path)
        for kind in invariants.KINDS:
            said = worker.event(timeout=SECONDS)
            assert said["kind"] == kind
            yield said
        worker.finish()

    return hear


def run_agent(path: Path, *arguments: str, **limits: Any) -> subprocess.CompletedProcess[str]:
    """The program, with limits."""
    command = [sys.executable, "-m", "run_agent", "bus", *arguments, "--bus", str(path)]
    start = [sys.executable, str(LIMITED), "run", json.dumps({"command": command, **limits})]
    environment = {**os.environ, "PYTHONPATH": LIBRARY}
    return subprocess.run(start, capture_output=True, text=True, timeout=SECONDS, check=False, env=environment)


# --- a file-size limit -------------------------------------------------------------------------


def test_the_file_may_not_grow_enough(reports, path, tally):
    for said in reports("outgrowing", path):
        tally(invariants.TALLY, said["tried"], **said["found"])
        assert said["tried"] > 3 or said["kind"] == "keyed-again", "the limit was none"


# --- no descriptors left -----------------------------------------------------------------------


def test_no_descriptors_left_to_append(reports, path, tally):
    failures = {}
    for said in reports("appending_without_descriptors", path):
        tally(invariants.TALLY, said["tried"], **said["found"])
        failures[said["kind"]] = said["failures"]
    assert {kind for kind, (first, *_) in failures.items() if not first} == {
        kind for kind, way in invariants.KINDS.items() if way.known
    }
    assert all(few[-3:] == ["", "", ""] for few in failures.values())
    assert failures["flushed"][:2] == ["OSError", "DurabilityError"]  # written by then, and the error says so


def test_no_descriptors_left_to_read(work, path, tally):
    worker = work("reading_without_descriptors", program=LIMITED, path=path)
    told = worker.event()["told"]
    assert all(str(path.parent) in text for text in told if text)
    assert told[0]
    assert not told[-1]
    worker.finish()
    tally(invariants.TALLY, len(told))


@pytest.mark.parametrize(("left", "look"), [(0, 1), (1, 1), (2, 1), (3, 1), (5, 1), (0, 4), (2, 4)])
def test_a_follower_finds_no_descriptors_left(work, path, tally, left, look):
    """It continues, without events if necessary, or says why it cannot; and leaves none open."""
    with MessageBus(path) as bus:
        bus.append_message(invariants.draft("one"))
        follower = work("following_without_descriptors", program=LIMITED, path=path, left=left, look=look)
        assert follower.event() == {"came": "one"}
        assert follower.event() == {"waiting": True}
        bus.append_message(invariants.draft("two"))
    said = follower.event()
    if left < 1:  # the archives are remembered, so only the file is opened
        assert str(path.parent) in said["error"]
    else:
        assert said == {"came": "two"}
    assert follower.event() == {"leaked": 0}
    follower.finish()
    tally(invariants.TALLY, 1)


@pytest.mark.parametrize("descriptors", [6, 9])
def test_the_program_makes_do_with_few_descriptors(work, path, tally, descriptors):
    with MessageBus(path) as bus:
        ids = [bus.append_message(invariants.draft("one")).msg_id]
        command = [sys.executable, "-m", "run_agent", "bus", "read", "--follow", "--json", "--bus", str(path)]
        follower = work("run", program=LIMITED, command=command, descriptors=descriptors)
        seen = [follower.event()["msg_id"]]
        posting = ("post", "--project", "demo", "--rotate-bytes", "1", "--quiet", "--body", "two")
        ids.append(run_agent(path, *posting, descriptors=descriptors).stdout.strip())
        seen.append(follower.event()["msg_id"])
        ids.append(bus.append_message(invariants.draft("three")).msg_id)
        seen.append(follower.event()["msg_id"])
    assert seen == ids
    assert [message.msg_id for message in MessageBus(path).read_messages()] == ids
    tally(invariants.TALLY, 1)


# --- permissions -------------------------------------------------------------------------------

FORBIDDEN = [  # the kind of append, what has which mode meanwhile, and what comes of it
    ("one", "file", "444", "PermissionError"),
    ("one", "file", "000", "PermissionError"),
    ("known-file", "file", "444", ""),  # it is open already, and the system asks only then
    ("batch", "file", "000", ""),
    ("known-rotation", "file", "444", ""),  # and the new file is as the old one was
    ("rotation", "file", "444", "PermissionError"),
    ("healing", "file", "444", "PermissionError"),
    ("known-healing", "file", "444", ""),
    ("new", "directory", "555", "PermissionError"),
    ("one", "directory", "555", ""),
    ("rotation", "directory", "555", ""),  # with a warning: it is not rotated
    ("flushed-rotation", "directory", "555", ""),
    ("one", "directory", "000", "PermissionError"),
    ("known-file", "directory", "000", "PermissionError"),
    ("known-healing", "directory", "600", "PermissionError"),
    ("new", "directory", "333", ""),  # with a warning: it cannot see which archives there are
    ("one", "directory", "333", ""),
    ("keyed", "directory", "333", "PermissionError"),  # the key may be in one
    ("flushed", "directory", "333", ""),
    ("rotation", "directory", "333", ""),  # with a warning
]


def bound(work, verb: str, **options: object) -> Any:
    """A process that permissions bind, also if the tests run as root."""
    command = [sys.executable, str(LIMITED), verb, json.dumps(options, default=str)]
    worker = work("run", program=LIMITED, command=command, bound=True)
    if not worker.event()["bound"]:
        pytest.skip("permissions do not bind us, and the privilege cannot be given up here")
    return worker


def test_without_permission(work, path, tally):
    worker = bound(work, "forbidden", path=path, cases=FORBIDDEN)
    said = worker.event(timeout=SECONDS)
    worker.finish()
    tally(invariants.TALLY, said["tried"], **said["found"])


@pytest.mark.parametrize("target", ["BUS.md", "."])
def test_the_program_says_what_is_not_permitted(work, path, tally, target):
    bound(work, "forbidden", path=path, cases=[]).finish()
    with MessageBus(path) as bus:
        bus.append_message(invariants.draft("one"))
    before = invariants.log_of(path)
    (path.parent / target).chmod(0)
    told = [
        run_agent(path, "read", "--follow", bound=True),
        run_agent(path, "post", "--project", "demo", "--body", "x", bound=True),
    ]
    (path.parent / target).chmod(0o700)
    for done in told:
        invariants.complaint(done.returncode, done.stderr, expected=6, path=path.parent)
    assert invariants.log_of(path) == before
    assert run_agent(path, "post", "--project", "demo", "--body", "x", bound=True).returncode == 0
    tally(invariants.TALLY, len(told))


def test_the_program_reads_what_it_may_in_a_hidden_directory(work, path, tally):
    bound(work, "forbidden", path=path, cases=[]).finish()
    with MessageBus(path) as bus:
        bus.append_message(invariants.draft("one"))
    path.parent.chmod(0o333)
    done = run_agent(path, "read", "--json", bound=True)
    path.parent.chmod(0o700)
    assert (done.returncode, json.loads(done.stdout)["body"]) == (0, "one")
    assert done.stderr.startswith(f"Warning: {path.parent}: Permission denied: it may not be listed")
    assert done.stderr.count("\n") == 1, "once"
    tally(invariants.TALLY, 1)
