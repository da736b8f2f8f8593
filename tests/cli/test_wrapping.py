"""On a real terminal only the start of a message is in the first columns, whatever is in a body."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyte
import pytest
from patience import SECONDS

Run = Callable[..., Any]
PROGRAM = str(Path(sys.executable).with_name("run-agent"))
FORGED = "[2026-11-21 03:14:15] (FACT) forged"
FAMILY = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"
FILLERS = {
    "narrow": "x",
    "blank": " ",
    "wide": "日",
    "full width": "\N{FULLWIDTH LATIN SMALL LETTER A}",
    "emoji": "\N{PARTY POPPER}",
    "joined": FAMILY,
    "presentation": "\N{HEAVY BLACK HEART}\N{VARIATION SELECTOR-16}",
    "flag": "\N{REGIONAL INDICATOR SYMBOL LETTER D}\N{REGIONAL INDICATOR SYMBOL LETTER E}",
    "mark": "e\N{COMBINING ACUTE ACCENT}",
    "marks alone": "\N{COMBINING ACUTE ACCENT}",
    "tab": "\t",
    "tabs and more": "日\tx",
    "right to left": "א",
    "joiner": "\N{ZERO WIDTH JOINER}",
    "hexagram": "\N{HEXAGRAM FOR THE CREATIVE HEAVEN}",
    "escaped": "\x1b",
}


def bodies(filler: str, columns: int) -> list[str]:
    """A forged line after each amount of filler, so that one of them starts a row unless it is indented."""
    return [filler * count + FORGED for count in range(columns + 1)] + [f"x\n{filler * (columns - 5)}{FORGED}"]


def rows_of(fd: int, columns: int) -> list[str]:
    """The rows of a terminal of this width after all output, with its history."""
    screen = pyte.HistoryScreen(columns, 50, history=100_000, ratio=1)
    stream = pyte.ByteStream(screen)
    try:
        while data := os.read(fd, 65536):
            stream.feed(data)
    except OSError:  # what Linux reports once the other side is closed
        pass
    past = ["".join(line[at].data for at in range(columns)) for line in screen.history.top]
    return past + screen.display


def show(columns: int, *words: str) -> list[str]:
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("4H", 50, columns, 0, 0))
    process = subprocess.Popen(words, stdin=its, stdout=its, stderr=its, start_new_session=True)
    os.close(its)
    try:
        rows = rows_of(ours, columns)
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        os.close(ours)
    return rows


def check(rows: list[str], genuine: int) -> None:
    starts = [row for row in rows if row[:4].strip()]
    assert all(row.startswith("[2") for row in starts), starts
    assert len(starts) == genuine


@pytest.mark.parametrize("filler", FILLERS.values(), ids=FILLERS)
@pytest.mark.parametrize("flags", [[], ["--long"]], ids=["text", "long"])
def test_no_body_reaches_the_first_column(filler: str, flags: list[str], fill: Run, path: Path) -> None:
    for columns in (40, 80):
        path.unlink(missing_ok=True)
        count = len(fill(*bodies(filler, columns)))
        check(show(columns, PROGRAM, "bus", "read", "--bus", str(path), "--tail", "0", *flags), count)


def test_nothing_is_left_out_and_words_stay_whole(fill: Run, path: Path) -> None:
    words = [f"word{number}" for number in range(200)]
    fill(" ".join(words))
    rows = show(40, PROGRAM, "bus", "read", "--bus", str(path))
    assert " ".join(row.strip() for row in rows).split()[3:] == words


def test_in_a_pipe_lines_are_as_they_are(read: Run, fill: Run) -> None:
    fill(f"{'x' * 500}\n{'y' * 500}")
    assert [len(line) for line in read().lines] == [len("[2026-11-21 03:14:15] (FACT) ") + 500, 504]


@pytest.mark.skipif(not shutil.which("tmux"), reason="no tmux")
def test_in_tmux(fill: Run, here: Path, path: Path) -> None:
    every = [body for filler in FILLERS.values() for body in bodies(filler, 60)[::7]]
    fill(*every)
    tmux = ["tmux", "-f", "/dev/null", "-S", str(here / "socket"), "-u"]
    command = f"{PROGRAM} bus read --bus {path} --tail 0; tmux -S {here}/socket wait-for -S shown; cat"
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}

    def call(*words: str) -> str:
        return subprocess.run(
            [*tmux, *words], env=environment, capture_output=True, check=True, timeout=SECONDS
        ).stdout.decode()

    call("new-session", "-d", "-x", "60", "-y", "50", "cat", ";", "set-option", "-g", "history-limit", "100000")
    try:
        call("new-window", command)
        call("wait-for", "shown")
        check(call("capture-pane", "-p", "-S", "-").split("\n"), len(every))
    finally:
        call("kill-server")


LISTEN = """
import sys
sys.path.insert(0, sys.argv[1])
import listen
listen.events = lambda *_: [("message", "", {"timestamp": "2026", "type": "FACT", "body": body})
                            for body in open(sys.argv[2], newline="\\n").read().split("\\0")]
listen.main("", "last")
"""


@pytest.mark.parametrize("filler", [value for name, value in FILLERS.items() if "mark" not in name], ids=str)
def test_the_example_that_listens(filler: str, here: Path) -> None:
    every = [*bodies(filler, 40), "last"]
    (here / "bodies").write_text("\0".join(every), encoding="utf-8")
    examples = Path(__file__).parents[2] / "examples"
    rows = show(40, sys.executable, "-c", LISTEN, str(examples), "bodies")
    check(rows, len(every))
