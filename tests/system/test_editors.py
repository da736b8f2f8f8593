"""People have the file open in editors, which replace, rewrite, convert and delete it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from patience import SECONDS

from messagebus import Draft, GapWarning, InvalidBusPathError, Message, MessageBus
from messagebus.backends.file import append, live_file, lock

BODY = "one\n\n---\nmsg_id: no\n---\ntwo\r\nthree"


def draft(body: str = BODY) -> Draft:
    return Draft("FACT", "demo", body)


def save(path: Path, content: bytes) -> None:
    """Save as editors do: a new file in the place of the old one."""
    temporary = path.with_name(".saving")
    temporary.write_bytes(content)
    temporary.replace(path)


class Once:
    """Something done at the first call only."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action
        self.done = False

    def __call__(self) -> None:
        if not self.done:
            self.done = True
            self._action()


@pytest.fixture
def race(monkeypatch, patched):
    """Do something at one exact point of the next append: when that comes to lock, to look
    whether the file is still at the path, to write, or when it has written."""

    def arrange(point: str, action: Callable[[], object]) -> Once:
        once = Once(action)

        def acquire(*arguments) -> bool:
            once()
            return lock.acquire(*arguments)

        def try_acquire(fd: int) -> bool:
            once()
            return lock.try_acquire(fd)

        def lstat(path: str) -> os.stat_result:
            once()
            return os.lstat(path)

        def write(fd: int, data: bytes) -> int:
            if point == "write":
                once()
            written = os.write(fd, data)
            if point == "written":
                once()
            return written

        if point == "lock":
            monkeypatch.setattr(live_file, "lock", patched(lock, acquire=acquire, try_acquire=try_acquire))
        elif point == "look":
            monkeypatch.setattr(live_file, "os", patched(os, lstat=lstat))
        else:
            monkeypatch.setattr(live_file, "os", patched(os, write=write))
        return once

    return arrange


POINTS = ["lock", "look", "write", "written"]
old_or_new_bus = pytest.mark.parametrize("known", [True, False], ids=["open-bus", "new-bus"])


@old_or_new_bus
@pytest.mark.parametrize("point", POINTS)
def test_an_append_that_races_with_a_replacement(path, race, point, known):
    """The editor saves what it read before the append began."""
    bus = MessageBus(path)
    before = bus.append_messages([draft(), draft("second")])
    content = path.read_bytes()
    if not known:
        bus = MessageBus(path)
    once = race(point, lambda: save(path, content))
    racing = bus.append_message(draft("racing"))
    assert once.done
    after = bus.append_message(draft("after"))
    assert MessageBus(path).read_messages() == [*before, racing, after]


@old_or_new_bus
@pytest.mark.parametrize("edit", ["", "some more text\n" * 40], ids=["as-it-was", "longer"])
@pytest.mark.parametrize("point", POINTS)
def test_an_append_that_races_with_a_rewrite_in_place(path, race, point, edit, known):
    """As above, but the file keeps its inode: only its size tells that the record was overwritten."""
    bus = MessageBus(path)
    before = bus.append_messages([draft(), draft("second")])
    content = edit.encode() + b"\n" + path.read_bytes()
    if not known:
        bus = MessageBus(path)
    once = race(point, lambda: path.write_bytes(content))
    racing = bus.append_message(draft("racing"))
    assert once.done
    after = bus.append_message(draft("after"))
    assert MessageBus(path).read_messages() == [*before, racing, after]


def test_an_append_between_two_pieces_of_a_save_in_place(path, monkeypatch, patched):
    """The end that is written so far may look like the work of a crash: this is no time to recover it."""
    posted = [MessageBus(path).append_message(draft(f"{number}")) for number in range(3)]
    saved = path.read_bytes()
    unfinished = 0
    for cut in range(1, len(saved)):
        path.write_bytes(saved[:cut])
        rested: list[float] = []

        def save_the_rest(seconds: float, cut: int = cut, rested: list[float] = rested) -> None:
            rested.append(seconds)
            path.write_bytes(saved[:cut])  # whatever was there: an editor knows where it is
            with path.open("ab") as file:
                file.write(saved[cut:])

        with monkeypatch.context() as patch:
            patch.setattr(append, "_SETTLED_AFTER", 0.02)
            patch.setattr(append, "time", patched(time, sleep=save_the_rest))
            post = MessageBus(path).append_message(draft())
        if rested:
            assert 0 < rested[0] <= 0.02
            assert MessageBus(path).read_messages() == [*posted, post], saved[:cut]
        unfinished += bool(rested)
    assert unfinished > 0.9 * len(saved), "nearly everywhere an end shows that it is none"


def test_a_settled_file_is_recovered_at_once(path, monkeypatch, patched):
    monkeypatch.setattr(append, "_SETTLED_AFTER", 0.02)
    monkeypatch.setattr(append, "time", patched(time, sleep=None))
    posted = MessageBus(path).append_message(draft())
    saved = path.read_bytes()
    path.write_bytes(saved + b"\n---\nmsg_id: MS")
    os.utime(path, (1e9, 1e9))
    post = MessageBus(path).append_message(draft())
    assert MessageBus(path).read_messages() == [posted, post]


def test_a_rewrite_in_place_that_has_the_new_message_already(path, race):
    bus = MessageBus(path)
    before = bus.append_message(draft())
    race("written", lambda: path.write_bytes(path.read_bytes() + b"\n\n"))
    racing = bus.append_message(draft("racing"))
    assert MessageBus(path).read_messages() == [before, racing]


@old_or_new_bus
@pytest.mark.parametrize("point", POINTS)
def test_an_append_that_races_with_a_deletion(path, race, point, known):
    bus = MessageBus(path)
    if known:
        bus.append_message(draft())
    else:
        path.touch()
    once = race(point, path.unlink)
    racing = bus.append_message(draft("racing"))
    assert once.done
    assert MessageBus(path).read_messages() == [racing]


@pytest.mark.parametrize("point", POINTS)
def test_an_append_that_races_with_another_file(path, race, point):
    """What comes to stand at the path is longer, and has ids of its own."""
    with MessageBus(path.with_name("other.md")) as other:
        others = other.append_messages([draft(), draft("second"), draft("third")])
    bus = MessageBus(path)
    bus.append_message(draft("lost with its file"))
    race(point, lambda: path.with_name("other.md").replace(path))
    racing = bus.append_message(draft("racing"))
    assert racing.msg_id > others[-1].msg_id
    assert MessageBus(path).read_messages() == [*others, racing]


@pytest.mark.parametrize("point", POINTS)
def test_a_batch_that_races_with_a_replacement_stays_together(path, race, point):
    bus = MessageBus(path)
    before = bus.append_message(draft())
    content = path.read_bytes()
    race(point, lambda: save(path, content))
    batch = bus.append_messages([draft("one"), draft("two"), draft("three")])
    assert MessageBus(path).read_messages() == [before, *batch]


def test_a_replacement_that_has_the_new_message_already(path, race):
    """The editor read the file after the write, and saves before the writer looks again."""
    bus = MessageBus(path)
    before = bus.append_message(draft())
    race("written", lambda: save(path, path.read_bytes()))
    racing = bus.append_message(draft("racing"))
    assert MessageBus(path).read_messages() == [before, racing]


def test_a_link_in_the_place_of_the_file_is_refused(path, race):
    bus = MessageBus(path)
    bus.append_message(draft())
    target = path.with_name("target")
    target.write_bytes(b"another file")

    def make_link() -> None:
        path.unlink()
        path.symlink_to(target)

    race("write", make_link)
    with pytest.raises(InvalidBusPathError):
        bus.append_message(draft("racing"))
    assert target.read_bytes() == b"another file"


def test_writers_beside_an_editor_that_saves_all_the_time(work, path):
    bus = MessageBus(path, lock_timeout=SECONDS)
    bus.append_message(draft("first"))
    editor = work("editor", path=path)
    assert editor.event() == {"ready": True}
    during = [bus.append_message(draft(f"during {number}\n---\n\ntext")) for number in range(300)]
    editor.tell()
    assert editor.event()["saved"] >= 1
    editor.finish()
    after = [bus.append_message(draft(f"after {number}")) for number in range(3)]
    stored = MessageBus(path).read_messages()
    assert stored[-3:] == after
    whole = [message for message in stored[1:-3] if message.intact]  # it may have saved half a write
    assert [message for message in during if message in whole] == whole, "torn, or twice, or out of order"
    assert all(one.msg_id < two.msg_id for one, two in pairwise(stored))


# --- while a follower reads --------------------------------------------------------------------


def test_a_rewrite_in_place_while_a_follower_is_on(path, following):
    bus = MessageBus(path)
    follower = following(MessageBus(path))
    before = bus.append_messages([draft("word one"), draft(), draft("word three")])
    assert [follower.next() for _ in before] == before
    assert follower.waiting.wait(SECONDS)
    path.write_bytes(path.read_bytes().replace(b"word one", b"a longer text for word one"))
    after = bus.append_message(draft("after"))
    assert follower.next() == after
    path.write_bytes(path.read_bytes().replace(b"a longer text for word one", b""))
    again = bus.append_message(draft("again"))
    assert follower.next() == again
    follower.end()


def test_each_step_of_a_rewrite_in_place_is_seen(path, follow_through):
    """The editor empties the file and writes it page by page, and the follower looks at each."""
    bus = MessageBus(path)
    before = bus.append_messages([draft(f"{number} {BODY}") for number in range(5)])
    content = path.read_bytes()
    after: list[Message] = []
    sizes = (0, *range(1, len(content), 97), len(content))
    steps = [lambda size=size: path.write_bytes(content[:size]) for size in sizes]
    steps.append(lambda: after.append(bus.append_message(draft("after"))))
    assert follow_through(path, steps) == [*before, *after]


@pytest.mark.parametrize(("away", "back"), list(combinations(range(1, 6), 2)))
def test_a_save_that_has_the_file_away_between_two_looks(path, script, away, back):
    """Editors rename the old file before they write the new one. ``away`` and ``back`` count the
    looks that the follower takes when it wakes."""
    writer = MessageBus(path)
    before = writer.append_messages([draft(f"{number}") for number in range(3)])
    content, looks, stop = path.read_bytes(), 0, threading.Event()
    bus = MessageBus(path)
    read = bus._backend.read

    def look(since_id: str | None = None):
        nonlocal looks
        looks += 1
        if looks == away:
            path.unlink()
        if looks == back:
            path.write_bytes(content)
        return read(since_id)

    def wake() -> None:
        nonlocal looks
        looks, bus._backend.read = 0, look

    def end() -> None:
        bus._backend.read = read
        path.write_bytes(content)

    after: list[Message] = []
    steps = [wake, lambda: None, lambda: None, end, lambda: after.append(MessageBus(path).append_message(draft("new")))]
    bus._backend.watch = lambda: script(steps, stop)
    assert list(bus.follow(stop=stop)) == [*before, *after]


def test_the_last_message_is_edited_out_while_a_follower_is_on(path, following):
    bus = MessageBus(path)
    follower = following(MessageBus(path))
    kept = bus.append_message(draft("kept"))
    assert follower.next() == kept
    content = path.read_bytes()
    removed = bus.append_message(draft("removed"))
    assert follower.next() == removed
    save(path, content)
    let_the_clock_pass(removed)
    with pytest.warns(GapWarning, match=removed.msg_id):
        after = bus.append_message(draft("after"))
        assert follower.next() == after
    follower.end()
    assert MessageBus(path).read_messages() == [kept, after]


def test_saved_as_it_is_while_a_follower_is_on(path, following):
    bus = MessageBus(path)
    follower = following(MessageBus(path))
    for number in range(20):
        save(path, path.read_bytes() if number else b"")
        posted = bus.append_message(draft(f"{number}"))
        assert follower.next() == posted
    follower.end()


def test_deleted_and_made_anew_while_a_follower_is_on(path, following):
    bus = MessageBus(path)
    follower = following(MessageBus(path))
    posted = bus.append_message(draft("0"))
    assert follower.next() == posted
    for number in range(1, 5):
        follower.waiting.clear()
        path.unlink()
        assert follower.waiting.wait(SECONDS)
        let_the_clock_pass(posted)
        with pytest.warns(GapWarning, match=posted.msg_id):
            posted = bus.append_message(draft(f"{number}"))
            assert follower.next() == posted
    follower.end()


def let_the_clock_pass(message: Message) -> None:
    """A log that lost its last id can only go on from the clock: let that be later."""
    while time.time_ns() < (message.ts.timestamp() + 0.002) * 1e9:
        pass


# --- line ends -------------------------------------------------------------------------------


def test_an_editor_that_converts_all_line_ends(path):
    bus = MessageBus(path)
    before = bus.append_messages([draft(), draft(""), draft("three\n\n"), draft("---"), draft("a\r\n---\r\nb")])
    save(path, path.read_bytes().replace(b"\n", b"\r\n"))
    assert MessageBus(path).read_messages() == before
    after = [bus.append_message(draft("after")), MessageBus(path).append_message(draft())]
    assert MessageBus(path).read_messages() == [*before, *after]
    for position, message in enumerate(before):
        assert MessageBus(path).read_messages(message.msg_id) == [*before, *after][position + 1 :]
    assert MessageBus(path).read_last_n(3) == [before[-1], *after]


def test_line_ends_converted_while_a_follower_is_on(path, following):
    bus = MessageBus(path)
    follower = following(MessageBus(path))
    for number in range(4):
        posted = bus.append_message(draft(f"{number}\n{BODY}"))
        assert follower.next() == posted
        content = path.read_bytes().replace(b"\r\n", b"\n") if number % 2 else path.read_bytes()
        path.write_bytes(content.replace(b"\n", b"\r\n"))
    last = bus.append_message(draft("last"))
    assert follower.next() == last
    follower.end()


def test_a_cut_record_in_a_converted_file(path):
    """Recovery, with CRLF: cut at every byte, and append."""
    bus = MessageBus(path)
    before = bus.append_messages([draft(), draft("second")])
    start = len(path.read_bytes().replace(b"\n", b"\r\n"))
    last = bus.append_message(draft("the last\none"))
    content = path.read_bytes().replace(b"\n", b"\r\n")
    for cut in range(start, len(content) + 1):
        path.write_bytes(content[:cut])
        with MessageBus(path) as fresh:
            assert fresh.read_messages() in (before, [*before, last]), cut
            after = fresh.append_message(draft("after"))
            messages = fresh.read_messages()
        assert (messages[:2], messages[-1]) == (before, after), cut
        assert len(messages) <= 4, cut
        assert all(message == last or message.intact is False for message in messages[2:-1]), cut
