"""MessageBus over files: options, cursors in every kind of log, following, and what goes wrong."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from patience import SECONDS

from messagebus import (
    Draft,
    DurabilityError,
    GapWarning,
    LockTimeoutError,
    MemoryBackend,
    Message,
    MessageBus,
    SinceIDNotFoundError,
)
from messagebus.backends.file import append, live_file, lock, segments, watch
from messagebus.msgid import time_of

FACT = Draft("FACT", "demo", "a fact")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bus.md"


@pytest.fixture
def bus(path: Path) -> Iterator[MessageBus]:
    with MessageBus(path, poll_interval=0.05) as bus:
        yield bus


def bodies(messages: list[Message]) -> list[str]:
    return [message.body for message in messages]


def archives(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.archived"))


# --- options -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lock_timeout", -1), ("lock_timeout", float("nan")), ("max_retries", 0), ("retry_backoff", -0.1),
        ("auto_rotate_bytes", -1),
        ("max_body_bytes", -1), ("poll_interval", 0), ("poll_interval", -1), ("poll_interval", float("nan")),
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused_by_name(path: Path, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} is"):
        MessageBus(path, **{name: value})


def test_the_body_limit_is_an_option(path: Path) -> None:
    small = MessageBus(path, max_body_bytes=3)
    assert small.append_message(Draft("FACT", "demo", "abc")).body == "abc"
    with pytest.raises(ValueError, match="the limit is 3"):
        small.append_message(Draft("FACT", "demo", "abcd"))
    big = MessageBus(path)
    with pytest.raises(ValueError, match="the limit is 8,388,608"):
        big.append_message(Draft("FACT", "demo", "x" * (8 * 1024 * 1024 + 1)))
    assert len(big.append_message(Draft("FACT", "demo", "x" * 8 * 1024 * 1024)).body) == 8 * 1024 * 1024
    assert [len(message.body) for message in big.read_messages()] == [3, 8 * 1024 * 1024]


def test_a_bus_shows_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert repr(MessageBus(Path("bus.md"))) == f"MessageBus({str(tmp_path / 'bus.md')!r})"
    in_memory = MessageBus(MemoryBackend())
    in_memory.append_message(FACT)
    assert repr(in_memory) == "MessageBus(<MemoryBackend, messages: 1>)"


def test_a_bus_over_another_backend() -> None:
    backend = MemoryBackend()
    message = MessageBus(backend).append_message(FACT)
    assert MessageBus(backend).read_messages() == [message]


# --- the file ----------------------------------------------------------------------------------


def test_the_file_is_plain_text_with_a_blank_line_between_records(bus: MessageBus, path: Path) -> None:
    first, second = bus.append_message(FACT), bus.append_message(FACT)
    text = path.read_text()
    assert text.startswith(f"---\nmsg_id: {first.msg_id}\nts: ")
    assert f"\n---\na fact\n\n---\nmsg_id: {second.msg_id}\n" in text
    assert text.endswith("content_length: 6\n---\na fact\n")


@pytest.mark.parametrize(
    ("left", "body"),
    [
        (b"\n---\nmsg_id: MSG-01K", None),
        (b"\n---", None),
        (b"\n---\nmsg_id: x\nts: 1\ncontent_length: 9\n---\nhalf", "half"),
    ],
)
def test_an_append_recovers_what_a_crash_left(bus: MessageBus, path: Path, left: bytes, body: str | None) -> None:
    bus.append_message(FACT)
    with path.open("ab") as file:
        file.write(left)
    for appender in (bus, MessageBus(path)):
        assert bodies(bus.read_messages())[:1] == ["a fact"]
        last = appender.append_message(FACT)
        assert bus.read_messages()[-1] == last
    torn = [message.body for message in bus.read_messages() if message.intact is False]
    assert torn == ([] if body is None else [body])


def test_unfinished_says_that_the_end_is_torn(bus: MessageBus, path: Path) -> None:
    bus.append_message(FACT)
    bus.read_messages()
    assert not bus.unfinished
    path.write_bytes(path.read_bytes()[:-3])
    assert bus.read_messages() == []
    assert bus.unfinished
    assert bus.read_last_n(1) == []
    assert bus.unfinished


# --- cursors -----------------------------------------------------------------------------------


def test_ids_of_one_millisecond_are_all_exact(path: Path) -> None:
    bus = MessageBus(path)
    posted = bus.append_messages([Draft("FACT", "demo", str(number)) for number in range(5000)])
    assert len({time_of(message.msg_id) for message in posted}) == 1
    reader = MessageBus(path)
    for position, message in enumerate(posted[:-1]):
        with closing(reader.iter_messages(message.msg_id)) as following:
            assert next(following).msg_id == posted[position + 1].msg_id
    assert reader.read_messages(posted[-1].msg_id) == []


def test_a_cursor_across_archives(path: Path) -> None:
    bus = MessageBus(path, auto_rotate_bytes=500)
    posted = [bus.append_message(Draft("FACT", "demo", str(number))) for number in range(20)]
    assert len(archives(path)) > 3
    assert MessageBus(path).read_messages() == posted
    for position, message in enumerate(posted):
        assert MessageBus(path).read_messages(message.msg_id) == posted[position + 1 :]
        assert MessageBus(path).read_last_n(position) == posted[20 - position :]


def test_a_missing_live_file_beside_archives_is_an_empty_tail(path: Path) -> None:
    bus = MessageBus(path)
    first = bus.append_message(FACT)
    path.rename(f"{path}.20261121-031415-926535.archived")
    assert bus.read_messages() == [first]
    assert bus.last_id() == first.msg_id
    second = bus.append_message(FACT)
    assert second.msg_id > first.msg_id
    assert bus.read_messages(first.msg_id) == [second]


def test_ids_continue_after_an_archive_from_the_future(path: Path) -> None:
    future = "MSG-6" + "0" * 25
    Path(f"{path}.20261121-031415.archived").write_text(f"---\nmsg_id: {future}\n---\nx\n")
    first = MessageBus(path).append_message(FACT)
    assert first.msg_id.startswith("MSG-6" + "0" * 16 + "1")


def test_ids_continue_when_the_clock_steps_back(bus: MessageBus, monkeypatch: pytest.MonkeyPatch, patched: Any) -> None:
    ids = []
    for step in (0, -3600, -7200, 5, -1):
        stepped = patched(time, time_ns=lambda step=step: time.time_ns() + step * 1_000_000_000)
        monkeypatch.setattr(append, "time", stepped)
        ids.append(bus.append_message(FACT).msg_id)
        ids.append(MessageBus(bus._backend._path).append_message(FACT).msg_id)  # type: ignore[attr-defined]
    assert ids == sorted(set(ids))


def test_positions_and_legacy_lines_are_cursors(bus: MessageBus, path: Path) -> None:
    path.write_text("[2026-11-21 03:14:15] one\n[2026-11-21 03:14:16] two\n")
    record = bus.append_message(FACT).msg_id
    with path.open("a") as file:
        file.write("[2026-11-21 03:14:17] three\n\n[2026-11-21 03:14:18] four\n")
    bus.append_message(FACT)
    whole = bus.read_messages()
    assert [message.msg_id for message in whole][:5] == [
        "LEGACY-LINE-000000001", "LEGACY-LINE-000000002", record, record + "+1", record + "+2",
    ]  # fmt: skip
    for position, message in enumerate(whole):
        assert (
            bus.read_messages(message.msg_id) == MessageBus(path).read_messages(message.msg_id) == whole[position + 1 :]
        )
    for unknown in (record + "+3", "LEGACY-LINE-000000003", whole[-1].msg_id + "+1"):
        with pytest.raises(SinceIDNotFoundError):
            bus.read_messages(unknown)


def test_following_through_lines_a_person_adds(bus: MessageBus, path: Path) -> None:
    first = bus.append_message(FACT)
    with closing(bus.follow(first.msg_id)) as following:
        for number in range(3):
            with path.open("a") as file:
                file.write(f"[2026-11-21 03:14:17] line {number}\n")
            assert next(following).body == f"line {number}"
        assert bus.append_message(FACT) == next(following)


@pytest.mark.parametrize("shuffle", [(1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_a_merged_file_out_of_order_is_scanned(bus: MessageBus, path: Path, shuffle: tuple[int, ...]) -> None:
    for number in range(3):
        bus.append_message(Draft("FACT", "demo", str(number) * 20_000))
    records = path.read_bytes().removesuffix(b"\n").split(b"\n\n")
    path.write_bytes(b"\n\n".join(records[number] for number in shuffle) + b"\n")
    whole = MessageBus(path).read_messages()
    assert [message.body[0] for message in whole] == [str(number) for number in shuffle]
    for position, message in enumerate(whole):
        assert MessageBus(path).read_messages(message.msg_id) == whole[position + 1 :]


def test_both_kinds_of_ids_in_a_long_file(path: Path) -> None:
    bus = MessageBus(path)
    for number in range(60):
        bus.append_message(Draft("FACT", "demo", "x" * 1000))
        with path.open("a") as file:
            file.write(
                f"\n---\nmsg_id: MSG-20261121-031415-{number:09d}-PID00042-0001\nts: x\ntype: FACT\n---\n{'y' * 1000}\n"
            )
    whole = MessageBus(path).read_messages()
    assert len(whole) == 120
    for position, message in enumerate(whole):
        assert MessageBus(path).read_messages(message.msg_id) == whole[position + 1 :]


@pytest.mark.parametrize("edit", ["shorter", "longer", "gone", "replaced"])
def test_a_remembered_place_is_checked_before_it_is_believed(bus: MessageBus, path: Path, edit: str) -> None:
    posted = [bus.append_message(Draft("FACT", "demo", f"body {number}")) for number in range(6)]
    cursor = posted[4].msg_id
    assert bus.read_messages(posted[2].msg_id)[:2] == posted[3:5]
    assert bus.read_messages(cursor) == posted[5:]
    text = path.read_bytes()
    match edit:
        case "shorter":  # in place: the inode stays
            path.write_bytes(text[text.index(b"\n---\nmsg_id: " + posted[2].msg_id.encode()) + 1 :])
        case "longer":
            path.write_bytes(b"[2026-11-21 03:14:15] added above\n\n" + text)
        case "gone":
            path.write_bytes(text[: text.index(b"\n---\nmsg_id: " + cursor.encode())])
            with pytest.raises(SinceIDNotFoundError):
                bus.read_messages(cursor)
            return
        case "replaced":
            path.with_name("new.md").write_bytes(b"\n" + text)
            path.with_name("new.md").replace(path)
    assert bus.read_messages(cursor) == posted[5:]
    assert bus.read_messages(posted[5].msg_id) == []


def test_a_cursor_whose_record_broke_is_still_valid(bus: MessageBus, path: Path) -> None:
    posted = [bus.append_message(Draft("FACT", "demo", f"body {number}")) for number in range(3)]
    path.write_text(path.read_text().replace(f"{posted[1].msg_id}\nts", f"{posted[1].msg_id}\nbroken: [\nts"))
    assert bus.read_messages() == [posted[0], posted[2]]
    assert bus.read_messages(posted[1].msg_id) == [posted[2]]


def test_a_message_is_found_below_a_broken_record_of_its_id(bus: MessageBus, path: Path) -> None:
    broken = "---\nmsg_id: x\nbroken: [\n---\nno\n"
    path.write_text(broken + "\n---\nmsg_id: y\n---\nbetween\n\n---\nmsg_id: x\n---\nyes\n")
    assert bus.get_message("x") == bus.read_messages()[1]
    path.write_text(broken)
    assert bus.get_message("x") is None


# --- following ---------------------------------------------------------------------------------


def test_follow_waits_for_a_file_that_does_not_exist_yet(path: Path) -> None:
    late = path.parent / "later" / "bus.md"
    with ThreadPoolExecutor(1) as pool, closing(MessageBus(late, poll_interval=0.02).follow()) as following:
        waiting = pool.submit(next, following)
        late.parent.mkdir()
        message = MessageBus(late).append_message(FACT)
        assert waiting.result(SECONDS) == message


def test_follow_goes_through_rotations(path: Path) -> None:
    bus = MessageBus(path, auto_rotate_bytes=300, poll_interval=0.05)
    with closing(bus.follow()) as following:
        for _ in range(10):
            assert bus.append_message(FACT) == next(following)
    assert len(archives(path)) > 2


def test_follow_continues_where_its_last_message_was_removed(
    bus: MessageBus, path: Path, monkeypatch: pytest.MonkeyPatch, patched: Any
) -> None:
    posted = [bus.append_message(FACT) for _ in range(3)]
    with closing(bus.follow()) as following:
        assert list(islice(following, 3)) == posted
        text = path.read_bytes()
        path.write_bytes(text[: text.index(b"\n---\nmsg_id: " + posted[2].msg_id.encode())])
        later = time.time_ns() + 1_000_000_000  # or the new one might get the id of the one removed
        monkeypatch.setattr(append, "time", patched(time, time_ns=lambda: later))
        posted.append(bus.append_message(FACT))
        with pytest.warns(GapWarning, match=f"no longer holds {posted[2].msg_id}"):
            assert next(following) == posted[3]


def test_a_directory_that_is_made_wakes_a_follower(tmp_path: Path) -> None:
    """By its event: the poll interval of an hour is too long to wait for."""
    path = tmp_path / "project/task/bus.md"
    came: Queue[Message] = Queue()
    stop = threading.Event()

    def follow() -> None:
        for message in MessageBus(path, poll_interval=3600).follow(stop=stop):
            came.put(message)
            return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    while not watch._hub._directories:
        assert thread.is_alive()
    path.parent.mkdir(parents=True)
    assert MessageBus(path).append_message(FACT) == came.get(timeout=SECONDS)
    thread.join(SECONDS)
    assert not thread.is_alive()


def test_follow_ends_by_stop_and_leaves_no_thread(bus: MessageBus) -> None:
    before = set(threading.enumerate())
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(list, bus.follow(stop=stop))
        bus.append_message(FACT)
        stop.set()
        assert len(following.result(SECONDS)) <= 1
    assert set(threading.enumerate()) == before


def test_poll_for_new_times_out_and_leaves_no_thread(bus: MessageBus) -> None:
    before = set(threading.enumerate())
    assert bus.poll_for_new(None, timeout=0.06) == []
    assert set(threading.enumerate()) == before


def test_following_without_file_events_polls(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from watchdog import observers

    def no_events() -> None:
        raise OSError(errno.EMFILE, "out of watches")

    monkeypatch.setattr(observers, "Observer", no_events)
    bus = MessageBus(path, poll_interval=0.01)
    with closing(bus.follow()) as following:
        for _ in range(3):
            assert bus.append_message(FACT) == next(following)


# --- what goes wrong ---------------------------------------------------------------------------


def test_a_failed_rotation_is_a_warning_and_the_post_succeeds(
    path: Path, monkeypatch: pytest.MonkeyPatch, patched: Any
) -> None:
    bus = MessageBus(path, auto_rotate_bytes=1)
    first = bus.append_message(FACT)

    def no_rename(*_names: str) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(append, "os", patched(os, rename=no_rename))
    with pytest.warns(RuntimeWarning, match=r"could not rotate .*Permission denied"):
        second = bus.append_message(FACT)
    assert bus.read_messages() == [first, second]
    assert archives(path) == []


@pytest.mark.parametrize("count", [1, 3])
def test_a_failed_flush_names_the_ids_that_stand_in_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    def no_flush(_fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(live_file, "flush", no_flush)
    bus = MessageBus(path, fsync=True)
    with pytest.raises(DurabilityError, match="Input/output error") as caught:
        bus.append_messages([FACT] * count)
    assert caught.value.msg_ids == tuple(message.msg_id for message in bus.read_messages())
    assert len(caught.value.msg_ids) == count
    monkeypatch.undo()
    assert bus.append_message(FACT).msg_id > caught.value.msg_ids[-1]


def test_fsync_flushes_the_file_each_time_and_the_directory_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, patched: Any
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(live_file, "flush", lambda _fd: flushed.append("file"))
    monkeypatch.setattr(segments, "os", patched(os, fsync=lambda _fd: flushed.append("directory")))
    with MessageBus(path, fsync=True) as bus:
        bus.append_message(FACT)
        bus.append_message(FACT)
    assert flushed == ["file", "directory", "file"]
    MessageBus(path).append_message(FACT)
    assert len(flushed) == 3


@pytest.mark.parametrize("failure", ["short", "error"])
def test_a_failed_write_is_taken_back(
    bus: MessageBus, path: Path, monkeypatch: pytest.MonkeyPatch, patched: Any, failure: str
) -> None:
    first = bus.append_message(FACT)
    before = path.read_bytes()

    def failing(fd: int, data: bytes) -> int:
        written = os.write(fd, data[:40])
        if failure == "error":
            raise OSError(errno.ENOSPC, "No space left on device")
        return written

    monkeypatch.setattr(live_file, "os", patched(os, write=failing))
    with pytest.raises(OSError, match=r"No space|could be written"):
        bus.append_message(FACT)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert bus.read_messages() == [first]
    assert bus.append_message(FACT) == bus.read_messages()[-1]


def test_a_lock_that_is_not_to_be_had(bus: MessageBus, path: Path) -> None:
    bus.append_message(FACT)
    impatient = MessageBus(path, lock_timeout=0, max_retries=3, retry_backoff=0)
    fd = os.open(path, os.O_RDWR)
    try:
        assert lock.acquire(fd, str(path), 0)
        with pytest.raises(LockTimeoutError) as caught:
            impatient.append_message(FACT)
    finally:
        os.close(fd)
    assert (caught.value.path, caught.value.attempts) == (str(path), 3)
    assert impatient.contention_stats() == (3, 2)
    assert len(bus.read_messages()) == 1
    impatient.append_message(FACT)
    assert impatient.contention_stats() == (4, 2)


def test_a_file_replaced_by_an_editor_is_written_to_at_its_path(bus: MessageBus, path: Path) -> None:
    first = bus.append_message(FACT)
    path.with_name("new.md").write_bytes(path.read_bytes())
    path.with_name("new.md").replace(path)
    second = bus.append_message(FACT)
    assert MessageBus(path).read_messages() == [first, second]


def test_a_file_replaced_during_the_write_is_written_to_again(
    bus: MessageBus, path: Path, monkeypatch: pytest.MonkeyPatch, patched: Any
) -> None:
    first = bus.append_message(FACT)
    before = path.read_bytes()

    def replacing(fd: int, data: bytes) -> int:
        monkeypatch.undo()
        path.with_name("new.md").write_bytes(before)
        path.with_name("new.md").replace(path)
        return os.write(fd, data)

    monkeypatch.setattr(live_file, "os", patched(os, write=replacing))
    second = bus.append_message(FACT)
    assert MessageBus(path).read_messages() == [first, second]


def test_a_file_deleted_is_made_anew_with_greater_ids(bus: MessageBus, path: Path) -> None:
    first = bus.append_message(FACT)
    path.unlink()
    second = bus.append_message(FACT)
    assert bus.read_messages() == [second]
    assert second.msg_id != first.msg_id
