"""The files of a log: opening them safely, and naming archives."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messagebus import Draft, InvalidBusPathError, MessageBus
from messagebus.backends.file import segments

PATH = "/some/where/bus.md"
NOW = datetime(2026, 11, 21, 3, 14, 15, 926535, UTC)
MOMENTS = st.datetimes(datetime(1000, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bus.md"


# --- archives ----------------------------------------------------------------------------------


@settings(max_examples=200)
@given(MOMENTS, st.sampled_from([PATH, "bus.md", "/a.archived", "/x.20261121-031415-926535.archived"]))
def test_name_and_moment_are_inverses(moment: datetime, path: str) -> None:
    assert segments.archive_moment(path, segments.archive_name(path, moment)) == moment


@settings(max_examples=200)
@given(MOMENTS, MOMENTS)
def test_names_sort_as_their_moments_do(one: datetime, other: datetime) -> None:
    assert (segments.archive_name(PATH, one) < segments.archive_name(PATH, other)) == (one < other)


def test_the_name_of_an_archive() -> None:
    assert segments.archive_name(PATH, NOW) == PATH + ".20261121-031415-926535.archived"


def test_the_go_tool_stamps_seconds() -> None:
    assert segments.archive_moment(PATH, PATH + ".20261121-031415.archived") == NOW.replace(microsecond=0)


@pytest.mark.parametrize(
    "name",
    [
        PATH, PATH + ".archived", PATH + ".2026.archived", PATH + ".20261321-031415-926535.archived",
        PATH + ".20261121-031415-92653.archived",
        PATH + ".20261121-031415-926535.archived~", PATH + "x.20261121-031415-926535.archived",
        "/other.20261121-031415-926535.archived",
        PATH + ".20261121-031415-926535.archived\n", "", PATH + ".20260230-000000.archived",
        PATH + "-20261121-031415.archived", PATH + ".00001121-031415.archived", PATH + ".20261121-031460.archived",
        PATH + ".20261121-031415-٩٢٦٥٣٥.archived", PATH + ".20250229-031415.archived",
    ],
)  # fmt: skip
def test_what_is_no_archive(name: str) -> None:
    assert segments.archive_moment(PATH, name) is None


def make_archive(path: Path, stamp: str) -> str:
    archive = f"{path}.{stamp}.archived"
    Path(archive).touch()
    return archive


def test_archives_are_listed_by_age_and_others_left_out(path: Path) -> None:
    stamps = ["20261121-031415-926535", "20251121-031415", "20261121-031415", "20261121-031415-000001"]
    oldest, third, first, second = (make_archive(path, stamp) for stamp in (stamps[1], stamps[0], stamps[2], stamps[3]))
    make_archive(path.with_name("other.md"), stamps[0])
    make_archive(path, "nonsense")
    assert segments.list_archives(str(path)) == [oldest, first, second, third]


STAMPS = st.one_of(
    st.from_regex(r"\.?[0-2]\d{3}[01]\d[0-3]\d-[0-2]\d[0-6]\d[0-6]\d(-\d{6})?", fullmatch=True),
    st.datetimes().map(lambda moment: f".{moment:%Y%m%d-%H%M%S}"),
    st.datetimes().map(lambda moment: f".{moment:%Y%m%d-%H%M%S-%f}"),
    st.sampled_from(
        [".20260228-235959-999999", ".20260301-000000", ".20260301-000000-000000", ".20260301-000000-000001"]
    ),
)


@settings(max_examples=200)
@given(st.lists(STAMPS, unique=True, max_size=8))
def test_archives_are_those_that_have_a_moment_in_its_order(
    tmp_path_factory: pytest.TempPathFactory, stamps: list[str]
) -> None:
    path = str(tmp_path_factory.mktemp("log") / "bus.md")
    for stamp in stamps:
        Path(f"{path}{stamp}.archived").touch()
    names = [f"{path}{stamp}.archived" for stamp in stamps]
    moments = {name: moment for name in names if (moment := segments.archive_moment(path, name))}
    assert segments.list_archives(path) == sorted(moments, key=lambda name: (moments[name], name))


def test_no_directory_has_no_archives(path: Path) -> None:
    assert segments.list_archives(str(path / "deeper" / "bus.md")) == []


def test_a_new_archive_is_named_by_the_clock(path: Path) -> None:
    assert segments.next_archive(str(path), NOW) == segments.archive_name(str(path), NOW)


@pytest.mark.parametrize("stamp", ["20261121-031415-926535", "20991231-235959-999999", "20991231-235959"])
def test_an_archive_name_is_later_than_any_and_never_used_again(path: Path, stamp: str) -> None:
    newest = make_archive(path, stamp)
    then = segments.archive_moment(str(path), newest)
    assert then
    following = segments.next_archive(str(path), NOW)
    assert segments.archive_moment(str(path), following) == then + timedelta(microseconds=1)
    assert not Path(following).exists()


def test_rotations_faster_than_the_clock_get_names_of_their_own(path: Path) -> None:
    names = []
    for _ in range(20):
        names.append(segments.next_archive(str(path), NOW))
        Path(names[-1]).touch()
    assert names == sorted(set(names)) == segments.list_archives(str(path))


# --- opening -----------------------------------------------------------------------------------


def make_socket(path: Path) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's name may have 107 bytes at most
    try:
        bound.bind(path.name)
    finally:
        os.chdir(here)
    return bound


@pytest.fixture(params=["link", "dangling link", "directory", "FIFO", "device", "socket"])
def refused(request: pytest.FixtureRequest, path: Path) -> tuple[Path, str]:
    """A path that is no regular file, and the word for it."""
    words = {"link": "symbolic link", "dangling link": "symbolic link"}.get(request.param, request.param)
    match request.param:
        case "link":
            path.with_name("real.md").touch()
            path.symlink_to(path.with_name("real.md"))
        case "dangling link":
            path.symlink_to(path.with_name("missing.md"))
        case "directory":
            path.mkdir()
        case "FIFO":
            os.mkfifo(path)
        case "device":
            return Path("/dev/null"), words
        case "socket":
            bound = make_socket(path)
            request.addfinalizer(bound.close)  # noqa: PT021 - only one of the cases needs it
    return path, words


def test_only_a_regular_file_is_read(refused: tuple[Path, str]) -> None:
    with MessageBus(refused[0]) as bus:
        for read in (
            bus.read_messages,
            bus.last_id,
            lambda: list(bus.iter_messages()),
            lambda: bus.read_last_n(1),
            lambda: next(bus.follow()),
        ):
            with pytest.raises(InvalidBusPathError, match=refused[1]):
                read()


def test_only_a_regular_file_is_appended_to(refused: tuple[Path, str]) -> None:
    with MessageBus(refused[0]) as bus, pytest.raises(InvalidBusPathError, match=refused[1]):
        bus.append_message(Draft("FACT", "demo"))
    assert not refused[0].with_name("missing.md").exists()
    real = refused[0].with_name("real.md")
    assert not real.exists() or real.read_bytes() == b""


def test_a_missing_directory_is_refused_for_writing_and_empty_for_reading(path: Path) -> None:
    bus = MessageBus(path / "deeper.md")
    assert bus.read_messages() == []
    assert bus.last_id() is None
    with pytest.raises(InvalidBusPathError, match="create it first"):
        bus.append_message(Draft("FACT", "demo"))


def test_a_file_for_a_directory_is_refused_too(path: Path) -> None:
    path.touch()
    with pytest.raises(InvalidBusPathError, match="no directory"):
        MessageBus(path / "bus.md").append_message(Draft("FACT", "demo"))
    assert MessageBus(path / "bus.md").read_messages() == []


def test_reading_makes_no_file(path: Path) -> None:
    bus = MessageBus(path)
    assert bus.read_messages() == bus.read_last_n(3) == []
    assert not path.exists()


def test_an_archive_that_is_a_link_is_refused(path: Path) -> None:
    path.touch()
    Path(f"{path}.20261121-031415.archived").symlink_to(path)
    with pytest.raises(InvalidBusPathError, match="symbolic link"):
        MessageBus(path).read_messages()


@pytest.mark.parametrize("bad", ["", "a\0b"])
def test_what_is_no_path_is_refused_at_once(bad: str) -> None:
    with pytest.raises(InvalidBusPathError, match="invalid bus path"):
        MessageBus(bad)


def test_a_relative_path_stays_where_it_was_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bus = MessageBus("bus.md")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    bus.append_message(Draft("FACT", "demo"))
    assert (tmp_path / "bus.md").exists()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a directory that changes as it is read


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted in /proc")
def test_nothing_stays_open(path: Path) -> None:
    before = open_descriptors()
    with MessageBus(path, auto_rotate_bytes=300) as bus:
        for _ in range(5):
            bus.append_message(Draft("FACT", "demo", "x" * 200))
        bus.read_messages()
        bus.read_last_n(2)
        next(bus.iter_messages())
        with pytest.raises(LookupError):
            bus.read_messages("unknown")
    assert open_descriptors() == before
