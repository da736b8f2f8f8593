"""Idempotency keys: one message for one key, from any process, wherever it is in the log, for a day."""

from __future__ import annotations

import codecs
import errno
import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from messagebus import Draft, InvalidMessageError, MessageBus, Parent
from messagebus.backends.file import append, idempotency, key_search, lock, preamble, search, tail

KEY = "deploy-42"
DAY = 24 * 3600


def draft(body: str = "deployed") -> Draft:
    return Draft("FACT", "demo", body)


@pytest.fixture
def pass_time(monkeypatch, patched):
    """Let the writers' clock be so many seconds later from now on."""

    def later(seconds: float) -> None:
        monkeypatch.setattr(append, "time", patched(time, time_ns=lambda: time.time_ns() + int(seconds * 1e9)))

    return later


def rotate(path: Path) -> None:
    before = len(list(path.parent.iterdir()))
    MessageBus(path, auto_rotate_bytes=1).append_message(Draft("FACT", "demo", "in the new file"))
    assert len(list(path.parent.iterdir())) == before + 1


@pytest.mark.parametrize("rotating", [False, True])
def test_many_processes_post_with_one_key_at_once(work, start_together, path, rotating):
    if rotating:
        MessageBus(path).append_message(draft("before"))
        rotate(path)
    workers = [work("keyed_writer", path=path, key=KEY, body="once\n---\n") for _ in range(8)]
    start_together(workers)
    ids = {worker.event()["posted"] for worker in workers}
    for worker in workers:
        worker.finish()
    stored = [message for message in MessageBus(path).read_messages() if message.body == "once\n---"]
    assert [message.msg_id for message in stored] == list(ids)
    assert stored[0].meta == {"idempotency_key": KEY}


def test_processes_with_keys_of_their_own_all_post(work, start_together, path):
    keys = [f"key {number % 4}" for number in range(8)]
    workers = [work("keyed_writer", path=path, key=key, body=f"body of {key}") for key in keys]
    start_together(workers)
    ids = [worker.event()["posted"] for worker in workers]
    assert ids[:4] == ids[4:]
    assert len(set(ids)) == 4 == len(MessageBus(path).read_messages())


@pytest.mark.parametrize("rotations", [1, 3])
@pytest.mark.parametrize("known", [True, False], ids=["open-bus", "new-bus"])
def test_a_key_in_an_archive(path, rotations, known):
    bus = MessageBus(path)
    first = bus.append_message(draft(), idempotency_key=KEY)
    for _ in range(rotations):
        rotate(path)
    if not known:
        bus = MessageBus(path)
    assert bus.append_message(draft(), idempotency_key=KEY) == first
    assert len(bus.read_messages()) == 1 + rotations


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("known", [True, False], ids=["open-bus", "new-bus"])
def test_a_key_is_forgotten_after_a_day(path, pass_time, archived, known):
    bus = MessageBus(path)
    first = bus.append_message(draft(), idempotency_key=KEY)
    if archived:
        rotate(path)
    pass_time(DAY - 60)
    assert bus.append_message(draft(), idempotency_key=KEY) == first
    if not known:
        bus = MessageBus(path)
    pass_time(DAY + 60)
    second = bus.append_message(draft(), idempotency_key=KEY)
    assert second.msg_id > first.msg_id
    assert bus.append_message(draft(), idempotency_key=KEY) == second, "now it is the second one's key"
    assert [message for message in bus.read_messages() if message.meta] == [first, second]


def test_a_key_among_many_messages_of_some_days(path, pass_time):
    """Enough bytes that the young part is found by bisecting."""
    bus = MessageBus(path)
    firsts = []
    for hours in range(0, 72, 2):
        pass_time(hours * 3600)
        bus.append_messages([draft("x" * 900)] * 5)
        firsts.append(bus.append_message(draft(f"{hours}"), idempotency_key=f"key {hours}"))
    pass_time(70 * 3600 + 60)
    for hours, first in zip(range(0, 72, 2), firsts, strict=True):
        again = bus.append_message(draft(f"{hours}"), idempotency_key=f"key {hours}")
        assert (again == first) == (hours > 70 - 24), hours
        assert MessageBus(path).append_message(draft(f"{hours}"), idempotency_key=f"key {hours}") == again


def test_a_key_written_where_unwritten_blocks_were(path):
    """What an open bus saw of the end of a file were blocks that the next writer cuts off."""
    bus = MessageBus(path)
    first = bus.append_message(draft(), idempotency_key="another")
    leave_blocks(path, 1_000)
    assert bus.append_message(draft(), idempotency_key="another") == first
    second = MessageBus(path).append_message(draft(), idempotency_key=KEY)
    leave_blocks(path, 2_000)
    assert bus.append_message(draft(), idempotency_key=KEY) == second


def leave_blocks(path: Path, count: int) -> None:
    with path.open("ab") as file:
        file.write(bytes(count))


def test_the_same_key_with_other_content_is_refused(path):
    bus = MessageBus(path)
    bus.append_message(draft(), idempotency_key=KEY)
    size = path.stat().st_size
    with pytest.raises(InvalidMessageError, match="body"):
        bus.append_message(draft("something else"), idempotency_key=KEY)
    with pytest.raises(InvalidMessageError, match="type"):
        MessageBus(path).append_message(Draft("DECISION", "demo", "deployed"), idempotency_key=KEY)
    assert path.stat().st_size == size


@pytest.mark.parametrize(
    "imitation",
    [
        draft(f"meta:\n  idempotency_key: {KEY}\n"),
        draft(f"\n\n---\nmsg_id: MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA\nmeta:\n  idempotency_key: {KEY}\n---\ndeployed"),
        Draft("FACT", "demo", "deployed", meta={"idempotency_keys": KEY, "key": f"idempotency_key: {KEY}"}),
        Draft("FACT", "demo", "deployed", parents=[Parent("MSG-1", "x", {"idempotency_key": KEY})]),
    ],
    ids=["line", "record", "meta", "parent"],
)
@pytest.mark.parametrize("known", [True, False], ids=["open-bus", "new-bus"])
def test_what_only_looks_like_the_key_does_not_count(path, imitation, known):
    bus = MessageBus(path)
    imitations = [bus.append_message(imitation)]
    if not known:
        bus = MessageBus(path)
    first = bus.append_message(draft(), idempotency_key=KEY)
    imitations.append(bus.append_message(imitation))
    assert first not in imitations
    assert bus.append_message(draft(), idempotency_key=KEY) == first
    assert bus.read_messages() == [imitations[0], first, imitations[1]]


@pytest.mark.parametrize("key", ["yes", "007", "a: b", "# no", "---", "'quoted\" \\", "größe 🙂", " x ", "null"])
def test_keys_of_all_kinds(path, key):
    bus = MessageBus(path)
    first = bus.append_message(draft(), idempotency_key=key)
    assert bus.append_message(draft(), idempotency_key=key) == first
    assert MessageBus(path).append_message(draft(), idempotency_key=key) == first
    assert bus.read_messages() == [first]


@pytest.mark.parametrize("known", [True, False], ids=["open-bus", "new-bus"])
@pytest.mark.parametrize("position", ["first", "second"])
@pytest.mark.parametrize(
    "convert",
    [lambda content: content.replace(b"\n", b"\r\n"), lambda content: codecs.BOM_UTF8 + content],
    ids=["CRLF", "BOM"],
)
def test_a_key_in_a_file_that_an_editor_converted(path, *, known, position, convert):
    bus = MessageBus(path)
    if position == "second":
        bus.append_message(draft("above"))
    first = bus.append_message(draft(), idempotency_key=KEY)
    path.write_bytes(convert(path.read_bytes()))
    assert MessageBus(path).read_last_n(1) == [first]
    assert (bus if known else MessageBus(path)).append_message(draft(), idempotency_key=KEY) == first


def test_a_held_bus_remembers_the_keys_of_a_day(path, pass_time, monkeypatch):
    """Not those of all days; nor any, where a day has too many."""
    monkeypatch.setattr(idempotency, "_MANY_KEYS", 50)
    monkeypatch.setattr(idempotency, "_MOST_KEYS", 70)
    bus = MessageBus(path)
    counts = {0}
    firsts = []
    for day in range(4):
        pass_time(day * (DAY + 60))
        for number in range(40 if day < 3 else 120):
            firsts.append(bus.append_message(draft("x" * 4_000), idempotency_key=f"{day} {number}"))
            counts.add(len(bus._backend._appender._keys._keys or ()))
    assert 50 < max(counts) < 130
    assert len(bus._backend._appender._keys._keys or ()) == 0
    assert bus.read_messages() == firsts
    again = [bus.append_message(draft("x" * 4_000), idempotency_key=f"3 {number}") for number in (0, 60, 119)]
    assert again == [firsts[-120], firsts[-60], firsts[-1]]


@pytest.mark.parametrize("known", [0, 1, 2, 4], ids="after {} keys".format)
def test_a_search_that_fails_leaves_no_half_of_an_index(path, monkeypatch, patched, known):
    """After an error at any read, an open bus finds all keys still."""
    first = MessageBus(path).append_message(draft(), idempotency_key=KEY)
    rotate(path)
    left = 0

    def pread(fd: int, size: int, offset: int) -> bytes:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(errno.EIO, "Input/output error")
        return os.pread(fd, size, offset)

    for module in (idempotency, key_search, preamble, search):
        monkeypatch.setattr(module, "os", patched(os, pread=pread))
    failed = 0
    for number in range(1, 30):
        with MessageBus(path) as bus:
            left = 0
            for before in range(known):
                bus.append_message(draft(), idempotency_key=f"{number} {before}")
            taken = MessageBus(path).append_message(draft(), idempotency_key=f"{number} of another")
            rotate(path)
            left = number
            with suppress(OSError):
                bus.append_message(draft(), idempotency_key=f"{number} failing")
            failed += left <= 0
            left = 0
            assert bus.append_message(draft(), idempotency_key=f"{number} of another") == taken
            assert bus.append_message(draft(), idempotency_key=KEY) == first
            last = bus.append_message(draft("last"), idempotency_key=f"{number} last")
            assert bus.append_message(draft("last"), idempotency_key=f"{number} last") == last
    assert failed > 10


def test_a_key_whose_message_was_torn_posts_anew(path):
    """The first post was never acknowledged whole, so it does not stand for the second."""
    bus = MessageBus(path)
    bus.append_message(draft("deployed\nand tested"), idempotency_key=KEY)
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size - 5)
    again = MessageBus(path).append_message(draft("deployed\nand tested"), idempotency_key=KEY)
    assert again.intact
    assert MessageBus(path).read_messages()[-1] == again


def test_a_key_that_an_edit_in_place_has_moved(path):
    """The file is cut at its front and grows at its end, so that a key that our bus has not
    seen yet comes to lie where it searched before."""
    ours, other = MessageBus(path), MessageBus(path)
    filler = [draft("x" * 1_000)] * 200
    ours.append_messages(filler)
    ours.append_message(draft("ours"), idempotency_key="ours")
    first = other.append_message(draft(), idempotency_key=KEY)
    other.append_messages(filler)
    content = path.read_bytes()
    path.write_bytes(content[content.index(b"---\nmsg_id:", content.index(first.msg_id.encode()) - 12_000) :])
    other.append_messages(filler)
    assert ours.append_message(draft(), idempotency_key=KEY) == first


class Reading:
    """How many bytes were read, with the lock and without it."""

    def __init__(self) -> None:
        self.with_lock = self.without_lock = 0
        self.is_locked = False

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        data = os.pread(fd, size, offset)
        if self.is_locked:
            self.with_lock += len(data)
        else:
            self.without_lock += len(data)
        return data

    def flock(self, fd: int, how: int) -> None:
        self.is_locked = how != lock.LOCK_UN
        fcntl.flock(fd, how)


@pytest.fixture
def count_reading(monkeypatch, patched):
    """Counts from then on."""

    def count() -> Reading:
        reading = Reading()
        for module in (idempotency, key_search, preamble, search, tail):
            monkeypatch.setattr(module, "os", patched(os, pread=reading.pread))
        monkeypatch.setattr(lock, "flock", reading.flock)
        return reading

    return count


def fill(path: Path) -> None:
    """3 MB by another process."""
    with MessageBus(path) as bus:
        bus.append_messages([draft("x" * 1000)] * 3000)


@pytest.mark.parametrize("earlier", [0, 1, 2], ids=["first-key", "second-key", "third-key"])
def test_the_search_is_over_before_the_lock_is_taken(path, count_reading, earlier):
    """No one waits for it: under the lock, only what was added meanwhile is read."""
    fill(path)
    with MessageBus(path) as bus:
        for number in range(earlier):
            bus.append_message(draft(), idempotency_key=f"earlier {number}")
        reading = count_reading()
        assert bus.append_message(draft("new"), idempotency_key="new").body == "new"
    assert reading.with_lock < (100_000 if earlier == 0 else 5_000)
    if earlier < 2:
        assert reading.without_lock > 3_000_000
    else:
        assert reading.without_lock == 0


@pytest.mark.parametrize("fillings", [1, 2, 9])
@pytest.mark.parametrize("known", [0, 3], ids=["new-bus", "open-bus"])
@pytest.mark.parametrize("taken", [False, True], ids=["free", "taken"])
def test_others_write_much_while_a_key_is_searched_for(path, count_reading, monkeypatch, *, fillings, known, taken):
    """Then it is searched for again without the lock, a few times."""
    bus = MessageBus(path)
    for number in range(known):
        bus.append_message(draft(), idempotency_key=f"earlier {number}")
    fill(path)
    searches, search_for = 0, idempotency.KeyIndex.search

    def searching(index: idempotency.KeyIndex, key: str, now_ms: int) -> None:
        nonlocal searches
        search_for(index, key, now_ms)
        searches += key == KEY
        if key == KEY and searches <= fillings and not reading.is_locked:
            with MessageBus(path) as other:
                if taken and searches == 1:
                    other.append_message(draft(), idempotency_key="another")
                    path.write_bytes(path.read_bytes().replace(b"another", KEY.encode()))
            fill(path)
            reading.is_locked = False

    monkeypatch.setattr(idempotency.KeyIndex, "search", searching)
    reading = count_reading()
    posted = bus.append_message(draft(), idempotency_key=KEY)
    assert [message for message in MessageBus(path).read_messages() if KEY in message.meta.values()] == [posted]
    if fillings < 3:
        assert reading.with_lock < 1_000_000
    assert searches <= 5


def test_keys_cost_a_held_bus_no_search(path, monkeypatch):
    """A writer that is alone on a file knows its keys."""
    found = []
    search = idempotency.KeyIndex.search

    def counting(index: idempotency.KeyIndex, key: str, now_ms: int) -> None:
        found.append(key)
        search(index, key, now_ms)

    monkeypatch.setattr(idempotency.KeyIndex, "search", counting)
    with MessageBus(path) as bus, MessageBus(path) as other:
        bus.append_message(Draft("FACT", "demo"))
        first = [bus.append_message(Draft("FACT", "demo"), idempotency_key=f"key {number}") for number in range(5)]
        searches = len(found)
        more = [bus.append_message(Draft("FACT", "demo"), idempotency_key=f"key {number}") for number in range(5, 50)]
        assert len(found) == searches
        again = [bus.append_message(Draft("FACT", "demo"), idempotency_key=f"key {number}") for number in (0, 4, 5, 49)]
        assert again == [first[0], first[4], more[0], more[-1]]
        taken = other.append_message(Draft("FACT", "demo"), idempotency_key="of another")
        bus.append_message(Draft("FACT", "demo", "between"))
        assert bus.append_message(Draft("FACT", "demo"), idempotency_key="of another") == taken
        path.replace(path.with_name(f"{path.name}.20261121-031415-000000.archived"))
        assert bus.append_message(Draft("FACT", "demo"), idempotency_key="key 7") == more[2]
