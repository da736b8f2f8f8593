"""The list of archives that is remembered is always that of the directory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messagebus.backends.file import archive_list, segments
from messagebus.backends.file.archive_list import ArchiveList
from messagebus.discovery import is_settled

OLD_NS = 1_700_000_000_123_456_789
NAMES = [f"BUS.md.2026112{day}-03141{second}-000000.archived" for day in range(3) for second in range(3)]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["create", "remove", "rename", "replace directory", "age", "other"]),
        st.sampled_from(NAMES), st.sampled_from(NAMES),
    ),
    max_size=20,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_it_is_that_of_the_directory_after_every_step(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, str]]
) -> None:
    """However fast they follow each other."""
    above = tmp_path_factory.mktemp("log")
    directory = above / "directory"
    directory.mkdir()
    archives = ArchiveList(str(directory / "BUS.md"))
    for step, one, other in steps:
        if step == "create":
            (directory / one).touch()
        elif step == "remove":
            (directory / one).unlink(missing_ok=True)
        elif step == "rename" and (directory / one).exists():
            (directory / one).rename(directory / other)
        elif step == "replace directory":
            directory.rename(above / f"old {len(list(above.iterdir()))}")
            directory.mkdir()
        elif step == "age":
            os.utime(directory, ns=(OLD_NS, OLD_NS))  # as programs do that restore files
        else:
            (directory / "BUS.md").touch()
        assert archives() == segments.list_archives(str(directory / "BUS.md"))


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often a directory was listed."""
    calls: list[str] = []
    listed = segments.list_archives

    def counting(path: str) -> list[str]:
        calls.append(path)
        return listed(path)

    monkeypatch.setattr(archive_list.segments, "list_archives", counting)
    return lambda: len(calls)


@pytest.mark.parametrize("age_ns", [0, 10_000_000, -3_000_000_000, 3_000_000_000])
def test_only_a_directory_that_is_at_rest_is_remembered(
    tmp_path: Path, count: Callable[[], int], age_ns: int, monkeypatch: pytest.MonkeyPatch, patched: Callable[..., Any]
) -> None:
    archives = ArchiveList(str(tmp_path / "BUS.md"))
    changed = tmp_path.stat().st_ctime_ns
    monkeypatch.setattr(archive_list, "time", patched(time, time_ns=lambda: changed + age_ns))
    assert archives() == archives() == []
    at_rest = age_ns < 0 or age_ns > 50_000_000
    assert count() == (1 if at_rest else 2)


def test_a_file_system_that_knows_only_seconds() -> None:
    assert is_settled(OLD_NS, OLD_NS + 60_000_000)
    whole = OLD_NS - OLD_NS % 1_000_000_000
    assert not is_settled(whole, whole + 1_500_000_000)
    assert is_settled(whole, whole + 2_500_000_000)
