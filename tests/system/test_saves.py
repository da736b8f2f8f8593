"""Each editor's way of saving, with writers, a follower and the program beside it.

The editors are the real ones (``editors.py``); of VS Code, the system calls.
"""

from __future__ import annotations

import json
import runpy
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from patience import SECONDS

from messagebus import BusNotFoundError, Draft, GapWarning, Message, MessageBus, SinceIDNotFoundError, discover_bus
from messagebus.backends.file.segments import list_archives

TRIED = "messages beside editors that save"
LINE = "[2026-11-21 03:14:15] DECISION: by hand"


editors = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "programs/editors.py")))


def draft(body: str) -> Draft:
    return Draft("FACT", "demo", body)


def let_the_clock_pass(message: Message) -> None:
    """A log that lost its last id can only go on from the clock: let that be later."""
    while time.time_ns() < (message.ts.timestamp() + 0.002) * 1e9:
        pass


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some editors leave files there
    return tmp_path / "TASK-MESSAGE-BUS.md"


@pytest.fixture(params=editors.WAYS)
def way(request: pytest.FixtureRequest):
    return editors.WAYS[request.param]


class Program:
    """``run-agent bus read --follow --json``: what it says."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-m", "run_agent", "bus", "read", "--bus", str(path), "--follow", "--json"]
        self.process = subprocess.Popen(command, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def line(self, stream: str = "stdout") -> str:
        pipe = getattr(self.process, stream)
        assert select.select([pipe], [], [], SECONDS)[0], f"nothing comes on {stream}"
        text = pipe.readline().decode()
        assert text, "the program is gone"
        return text

    def bodies(self, count: int) -> list[str]:
        return [json.loads(self.line())["body"] for _ in range(count)]


@pytest.fixture
def program(path) -> Iterator[Callable[[], Program]]:
    running: list[Program] = []

    def start() -> Program:
        running.append(Program(path))
        return running[-1]

    yield start
    for one in running:
        one.process.kill()
        one.process.communicate()


def test_what_is_saved_is_read_and_what_follows_stays(path, way, work, following, program, tally):
    """A line by hand, then posts of another process: all once, in order, to readers of every kind."""
    bus = MessageBus(path)
    before = [bus.append_message(draft("one\n\n---\nmsg_id: no\n---\n"))]
    follower, program = following(MessageBus(path)), program()
    assert (follower.next(), program.bodies(1)) == (before[0], [before[0].body])
    before.append(bus.append_message(draft("two")))
    assert (follower.next(), program.bodies(1)) == (before[1], ["two"])  # they follow from here on
    inode = path.stat().st_ino
    way.open(path).save(LINE)
    assert (path.stat().st_ino != inode) == way.renames, "this is not the way it is said to save"
    writer = work("writer", path=path, name="after", count=5, log=path.with_name("log"))
    assert writer.event() == {"ready": True}
    writer.tell()
    writer.finish()
    posted = json.loads(path.with_name("log").read_text())
    stored = MessageBus(path).read_messages()
    assert stored[:2] == before
    assert (stored[2].type, stored[2].body) == ("DECISION", "by hand")
    assert [[message.msg_id, message.body] for message in stored[3:]] == posted
    assert [follower.next() for _ in stored[2:]] == stored[2:]
    assert program.bodies(6) == [message.body for message in stored[2:]]
    follower.end()
    tally(TRIED, len(stored))


def test_what_a_stale_buffer_overwrites_is_told(path, way, following, program, tally):
    """Posted after the editor read the file: gone with its save, and every reader that can know says so."""
    bus = MessageBus(path)
    kept = bus.append_message(draft("kept"))
    follower, program = following(MessageBus(path)), program()
    assert (follower.next(), program.bodies(1)) == (kept, ["kept"])  # they follow from here on
    editor = way.open(path)
    lost = bus.append_message(draft("lost"))
    assert (follower.next(), program.bodies(1)) == (lost, ["lost"])
    with pytest.warns(GapWarning, match=lost.msg_id):
        editor.save(LINE)
        assert follower.next().body == "by hand"
    with pytest.raises(SinceIDNotFoundError, match=lost.msg_id):
        MessageBus(path).read_messages(lost.msg_id)
    let_the_clock_pass(lost)
    after = MessageBus(path).append_message(draft("after"))
    assert follower.next() == after
    assert after.msg_id > lost.msg_id
    assert program.bodies(2) == ["by hand", "after"]
    assert lost.msg_id in program.line("stderr")
    assert [message.body for message in MessageBus(path).read_messages()] == ["kept", "by hand", "after"]
    follower.end()
    tally(TRIED, 3)


@pytest.mark.parametrize("name", ["vim", "Emacs", "VS Code", "VS Code, atomic"])
def test_posts_while_an_editor_saves(path, name, work, tally):
    """What was posted before the save was through may be gone with it, or half written over, and what is left
    of it in any record; but nothing of that passes for whole, comes twice or out of order, and what is
    posted after the save stays."""
    bus = MessageBus(path)
    before = bus.append_messages([draft(f"{number}\n" + "text\n" * 500) for number in range(20)])
    editor = editors.WAYS[name].open(path)
    writer = work("writer", path=path, name="during", count=200, log=path.with_name("log"))
    assert writer.event() == {"ready": True}
    writer.tell()
    editor.save(LINE)
    after = [bus.append_message(draft(f"after {number}")) for number in range(20)]
    writer.finish()
    stored = MessageBus(path).read_messages()
    posted = {message.msg_id: message.body for message in (*before, *after)}
    posted |= dict(json.loads(path.with_name("log").read_text()))
    whole = [message for message in stored if message.intact]
    tally(
        TRIED,
        len(stored),
        lost=sum(message not in stored for message in after),
        repeated=len(stored) - len({message.msg_id for message in stored}),
        forged=sum(posted[message.msg_id] != message.body for message in whole),
    )
    ids = [message.msg_id for message in stored if "+" not in message.msg_id]
    assert all(one < two for one, two in pairwise(ids))


# --- what editors leave beside the file ----------------------------------------------------------


def test_the_files_that_editors_leave_beside_a_bus(path, following):
    """Swap files, backups, autosaves, locks: not buses, not archives, and never read."""
    name = path.name
    bus = MessageBus(path, auto_rotate_bytes=300)
    follower = following(MessageBus(path))
    first = bus.append_message(draft("first"))
    assert follower.next() == first
    content = path.read_bytes()
    beside = [f".{name}.swp", f"{name}~", f"#{name}#", "4913", f"{name}.vsctmp", f"{name}.save", "sedXyZ123"]
    for each in [*beside, f"{name}.20261121-031415-000000.archived~", f".{name}.20261121-031415-000000.archived.swp"]:
        path.with_name(each).write_bytes(content)
    path.with_name(f".#{name}").symlink_to("somebody@a-machine.1234:1")  # the lock of Emacs
    posted = [bus.append_message(draft(f"{number}" * 50)) for number in range(10)]
    assert len(list_archives(str(path))) > 2
    assert MessageBus(path).read_messages() == [first, *posted]
    assert [follower.next() for _ in posted] == posted
    follower.end()
    assert discover_bus(path.parent) == path
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(BusNotFoundError):
        discover_bus(path.parent)
