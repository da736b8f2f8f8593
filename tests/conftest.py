"""What all tests share: patches, an end of all threads, and the tally of what was tried."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from patched import Patched
from patience import SECONDS

from messagebus.backends.file import append

# Not how fast a machine is: that is for benchmarks.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

_COLUMNS = ("tried", "lost", "repeated", "forged")


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """What one test patches or counts is touched by no thread of another: all have ended by then.

    They are not joined: a thread that another one is just starting cannot be, and may start further ones.
    """
    before = {*threading.enumerate()}
    yield
    deadline = time.monotonic() + SECONDS
    while left := {*threading.enumerate()} - before:
        assert time.monotonic() < deadline, f"{', '.join(thread.name for thread in left)} outlived the test"
        time.sleep(0.001)


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_is_not_ignored() -> None:
    """By children: they inherit it from `nohup make test &` and from the background jobs of scripts."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests leave thousands of files as a crash does, just before the next append: none is an editor."""
    monkeypatch.setattr(append, "_SETTLED_AFTER", 0.0)


@pytest.fixture
def patched() -> type[Patched]:
    """A stand-in for a module, for one of its users: see ``patched.py``."""
    return Patched


@pytest.fixture
def keep_port() -> Iterator[Callable[[], str]]:
    """A port for a server that is killed and started again: meanwhile the system gives it to no other socket."""
    with ExitStack() as stack:

        def keep() -> str:
            held = stack.enter_context(socket.socket())
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: it may listen there
            held.bind(("127.0.0.1", 0))
            return str(held.getsockname()[1])

        yield keep


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Count what was tried, and hold it to zero: ``tally("kill -9 of a writer", tried=100, lost=0)``.

    ``lost`` are acknowledged messages that are not there, ``repeated`` those there twice,
    ``forged`` messages or fields that no one posted, half bodies that pass for whole among them.
    """

    def count(what: str, tried: int, *, lost: int = 0, repeated: int = 0, forged: int = 0) -> None:
        request.node.user_properties.append(("tally", [what, tried, lost, repeated, forged]))
        assert tried > 0, "nothing was tried"
        assert (lost, repeated, forged) == (0, 0, 0), f"{what}: {lost} lost, {repeated} repeated, {forged} forged"

    return count


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table; of the long tests, too, where they ran (``make soak``)."""
    totals: dict[str, list[int]] = {}
    for what, *counts in _counted(terminalreporter):
        totals[what] = [a + b for a, b in zip(totals.get(what, [0] * len(_COLUMNS)), counts, strict=True)]
    if totals:
        width = max(map(len, totals))
        terminalreporter.write_line("")
        terminalreporter.write_line(f"| {'what was tried':{width}} | " + " | ".join(f"{c:>9}" for c in _COLUMNS) + " |")
        terminalreporter.write_line(f"|{'-' * (width + 2)}|" + (("-" * 10) + ":|") * len(_COLUMNS))
        for what, numbers in totals.items():
            terminalreporter.write_line(f"| {what:{width}} | " + " | ".join(f"{n:>9,}" for n in numbers) + " |")


def _counted(terminalreporter: Any) -> Iterator[list[Any]]:
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            yield from (value for name, value in report.user_properties if name == "tally")
