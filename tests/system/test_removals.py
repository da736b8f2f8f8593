"""Files and directories that are removed or replaced under an open bus, and a lock holder that is stopped.

What is removed is gone; but no append is acknowledged that went there, none fails once there is a
place for it again, and followers go on.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import invariants
import pytest
from patience import SECONDS

import messagebus
from messagebus import GapWarning, InvalidBusPathError, LockTimeoutError, Message, MessageBus
from messagebus.backends.file import lock, segments


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """In a directory of its own, which can be removed."""
    (tmp_path / "task").mkdir()
    return tmp_path / "task" / "BUS.md"


def unlink(path: Path) -> None:
    path.unlink()


def replace_by_empty(path: Path) -> None:
    path.with_name("new").touch()
    path.with_name("new").rename(path)


def remake_directory(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.mkdir()


def replace_directory(path: Path) -> None:
    path.parent.rename(path.parent.with_name("old"))
    path.parent.mkdir()


REMOVALS = [unlink, replace_by_empty, remake_directory, replace_directory]
KINDS = ["known-file", "batch", "rotation", "flushed", "flushed-rotation"]


@pytest.mark.parametrize("remove", REMOVALS)
@pytest.mark.parametrize("kind", KINDS)
def test_removed_between_two_appends(path, descriptors, tally, kind, remove):
    """An open bus continues in the new file: as if it had just been opened, but with later ids."""
    before, way = descriptors(), invariants.KINDS[kind]
    with way.open(path) as bus, MessageBus(path) as other:
        gone = way.append(bus, "the message")
        other.append_message(invariants.draft("gone as well"))
        remove(path)
        left = MessageBus(path).read_messages()  # in an archive
        stored = [*way.append(bus, "the new message"), other.append_message(invariants.draft("from the other"))]
        assert stored[0].msg_id > gone[-1].msg_id, "the id of a message that is gone was given out again"
        found = invariants.differences(left + stored, MessageBus(path).read_messages())
    assert descriptors() == before
    tally(invariants.TALLY, 1, **found)


@pytest.mark.parametrize("in_its_place", ["nothing", "a file"])
@pytest.mark.parametrize("kind", ["one", "known-file", "batch", "keyed", "rotation", "flushed"])
def test_without_its_directory_a_bus_refuses_until_there_is_one(path, descriptors, tally, kind, in_its_place):
    before, way = descriptors(), invariants.KINDS[kind]
    with way.open(path) as bus:
        way.append(bus, "gone")
        shutil.rmtree(path.parent)
        if in_its_place == "a file":
            path.parent.touch()
        for one in (bus, way.open(path)):
            with pytest.raises(InvalidBusPathError, match=f"no directory {path.parent}; create it"):
                way.append(one, "refused")
            assert one.read_messages() == []
        if in_its_place == "a file":
            path.parent.unlink()
        path.parent.mkdir()
        stored = way.append(bus, "the message")
        found = invariants.differences(stored, MessageBus(path).read_messages())
    assert descriptors() == before
    tally(invariants.TALLY, 2, **found)


@pytest.mark.parametrize("remove", REMOVALS)
def test_a_follower_goes_on_after_a_removal_and_says_that_there_is_a_gap(path, following, tally, remove):
    with MessageBus(path) as bus, pytest.warns(GapWarning, match="messages before the next one may be missing"):
        follower = following(MessageBus(path, poll_interval=0.05))
        expected = [bus.append_message(invariants.draft("one"))]
        given = [follower.next()]
        remove(path)
        expected.append(bus.append_message(invariants.draft("two")))
        given.append(follower.next())
        follower.end()
    tally(invariants.TALLY, 1, **invariants.differences(expected, given))


def test_each_new_file_has_its_name_flushed(path, monkeypatch):
    """... also where the system numbers it as it did the one that was removed."""
    flushed: list[str] = []
    monkeypatch.setattr(segments, "flush_directory", flushed.append)
    with MessageBus(path, fsync=True) as bus:
        for files in range(1, 20):
            bus.append_message(invariants.draft("in a new file"))
            assert len(flushed) == files, "the file may have no name after a power cut"
            bus.append_message(invariants.draft("in the same"))
            assert len(flushed) == files
            path.unlink()


# --- while a lock is waited for ----------------------------------------------------------------


@pytest.fixture
def holder(work, path):
    """A writer that is stopped while it holds the lock, until it is told to continue."""
    worker = work("halting_writer", path=path, body="from the holder")
    assert worker.event() == {"holding": True}
    return worker


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set as soon as a thread of this process waits for a lock."""
    waiting, wait = threading.Event(), lock._wait

    def signalling_wait(*arguments: Any) -> bool:
        waiting.set()
        return wait(*arguments)

    monkeypatch.setattr(lock, "_wait", signalling_wait)
    return waiting


@pytest.mark.parametrize("remove", REMOVALS)
@pytest.mark.parametrize("kind", ["one", "batch", "keyed", "rotation", "flushed"])
def test_removed_while_the_lock_is_waited_for(path, holder, waits, descriptors, tally, kind, remove):
    """Both the holder and who waits for it end up in the file that is there then."""
    before, way = descriptors(), invariants.KINDS[kind]
    stored: list[Message] = []
    with MessageBus(path, lock_timeout=SECONDS, auto_rotate_bytes=way.rotate, fsync=way.fsync) as bus:
        thread = threading.Thread(target=lambda: stored.extend(way.append(bus, "the message")))
        thread.start()
        assert waits.wait(SECONDS)
        remove(path)
        holder.tell()
        assert holder.event() == {"holding": True}, "it did not begin again in the new file"
        holder.tell()
        thread.join(SECONDS)
        assert not thread.is_alive()
    theirs = holder.event()["posted"]
    found = MessageBus(path).read_messages()
    expected = sorted([*stored, *(m for m in found if m.msg_id == theirs)], key=lambda message: message.msg_id)
    assert len(expected) == len(stored) + 1, "what the holder posted is gone"
    assert descriptors() == before
    tally(invariants.TALLY, 1, **invariants.differences(expected, found))


# --- a lock holder that is stopped ---------------------------------------------------------------


@pytest.fixture
def stopped(holder):
    os.kill(holder.process.pid, signal.SIGSTOP)
    assert os.WIFSTOPPED(os.waitpid(holder.process.pid, os.WUNTRACED)[1])
    return holder


@pytest.mark.parametrize("kind", [name for name, kind in invariants.KINDS.items() if not (kind.known or kind.torn)])
def test_a_stopped_holder_is_named_and_in_no_ones_way_once_it_continues(path, stopped, descriptors, tally, kind):
    before, way = descriptors(), invariants.KINDS[kind]
    with MessageBus(path, lock_timeout=0.01, retry_backoff=0.001, auto_rotate_bytes=way.rotate, fsync=way.fsync) as bus:
        with pytest.raises(LockTimeoutError, match=rf"could not lock {path}: 3 attempts, \d+\.\d seconds waited"):
            way.append(bus, "the message")
        assert MessageBus(path).read_messages() == []
        os.kill(stopped.process.pid, signal.SIGCONT)
        stopped.tell()
        theirs = stopped.event()["posted"]
        stopped.finish()
        stored = way.append(bus, "the message")
    found = MessageBus(path).read_messages()
    assert found[0].msg_id == theirs
    assert descriptors() == before
    tally(invariants.TALLY, 1, **invariants.differences(stored, found[1:]))


def test_the_program_says_who_holds_the_lock(path, stopped, run_bus, tally):
    posting = ("post", "--project", "demo", "--lock-timeout", "0.01", "--quiet")
    for done in (run_bus(*posting, "--body", "x"), run_bus(*posting, "--jsonl", lines=b'{"body": "x"}\n' * 2)):
        told = invariants.complaint(done.returncode, done.stderr, expected=5, path=path)
        assert "1 attempt, " in told
        assert "fuser -v" in told
        assert done.stdout == b""
    assert run_bus("read").returncode == 0, "a reader waits for no one"
    os.kill(stopped.process.pid, signal.SIGCONT)
    stopped.tell()
    ids = [stopped.event()["posted"]]
    ids.append(run_bus(*posting, "--body", "x").stdout.decode().strip())
    assert [message.msg_id for message in MessageBus(path).read_messages()] == ids
    tally(invariants.TALLY, 2)


@pytest.fixture
def run_bus(path: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    environment = {**os.environ, "PYTHONPATH": str(Path(messagebus.__file__).parents[1])}

    def run(*arguments: str, lines: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "run_agent", "bus", *arguments, "--bus", str(path)]
        return subprocess.run(command, input=lines, capture_output=True, timeout=SECONDS, check=False, env=environment)

    return run
