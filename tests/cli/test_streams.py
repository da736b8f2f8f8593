"""Standard input, output and error of any kind: no byte is lost, and exit codes stay the same."""

from __future__ import annotations

import io
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from patience import SECONDS

Run = Callable[..., Any]
PROGRAM = str(Path(sys.executable).with_name("run-agent"))

needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
buffering = pytest.mark.parametrize("unbuffered", ["", "1"])

# Runs a command with one of its streams made non-blocking.
NON_BLOCKING = "import os, sys; os.set_blocking(int(sys.argv[1]), False); os.execv(sys.argv[2], sys.argv[2:])"


def non_blocking(fd: int, *words: object) -> list[str]:
    return [sys.executable, "-c", NON_BLOCKING, str(fd), PROGRAM, *map(str, words)]


def wait_until_sleeping(pid: int) -> None:
    """Wait until a process sleeps, according to the system."""
    while (state := Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]) != "S":
        assert state in "RD", state


@contextmanager
def running(command: list[str], **options: Any) -> Iterator[Any]:
    """A process that is killed at the end of its test."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")


@pytest.fixture
def post_words(path: Path) -> list[str]:
    return ["bus", "post", "--bus", str(path), "--project", "p", "--quiet"]


@pytest.fixture(params=["pipe", "socket"])
def channel(request: pytest.FixtureRequest) -> Iterator[tuple[io.FileIO, io.FileIO]]:
    """An end to read from and one to write to, as shells and node make them."""
    if request.param == "pipe":
        reading, writing = os.pipe()
    else:
        reading, writing = (end.detach() for end in socket.socketpair())
    with io.FileIO(reading) as source, io.FileIO(writing, "w") as sink:
        yield source, sink


# --- non-blocking --------------------------------------------------------------------------------


@needs_proc
@buffering
def test_text_from_a_non_blocking_channel(
    unbuffered: str, channel: tuple[io.FileIO, io.FileIO], post_words: list[str], messages: Run
) -> None:
    source, sink = channel
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with running(non_blocking(0, *post_words), stdin=source, env=environment) as process:
        for part in (b"do NOT\n", b"deploy\n"):
            sink.write(part)
            wait_until_read_and_sleeping(process.pid, source)
        sink.close()
        assert process.wait(SECONDS) == 0
    assert [message.body for message in messages()] == ["do NOT\ndeploy"]


def wait_until_read_and_sleeping(pid: int, source: io.FileIO) -> None:
    """Wait until a process has read all that was written, and sleeps."""
    import array
    import fcntl
    import termios

    left = array.array("i", [1])
    while left[0]:
        fcntl.ioctl(source.fileno(), termios.FIONREAD, left)
    wait_until_sleeping(pid)


@needs_proc
def test_lines_from_a_non_blocking_channel(
    channel: tuple[io.FileIO, io.FileIO], post_words: list[str], messages: Run
) -> None:
    source, sink = channel
    command = non_blocking(0, *post_words, "--jsonl")
    with running(command, stdin=source, stdout=subprocess.PIPE) as process:
        for body in ("a", "b"):
            sink.write(b'{"body": "%b' % body.encode())
            wait_until_read_and_sleeping(process.pid, source)
            sink.write(b'"}\n')
            assert process.stdout.readline()
        sink.close()
        assert process.wait(SECONDS) == 0
    assert [message.body for message in messages()] == ["a", "b"]


@needs_proc
@buffering
@pytest.mark.parametrize("form", ["--raw", "--json", "--long"])
def test_all_of_it_into_a_non_blocking_channel(
    unbuffered: str, form: str, channel: tuple[io.FileIO, io.FileIO], fill: Run, read: Run, path: Path
) -> None:
    fill("x" * 1_000_000, "last")
    expected = read("--tail", "0", form).raw
    source, sink = channel
    command = non_blocking(1, "bus", "read", "--bus", path, "--tail", "0", form)
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with running(command, stdout=sink, env=environment) as process:
        sink.close()
        first = source.read(1)
        wait_until_sleeping(process.pid)  # the channel is full
        assert first + read_all(source) == expected
        assert process.wait(SECONDS) == 0


def read_all(source: io.FileIO) -> bytes:
    return b"".join(iter(lambda: source.read(65536), b""))


@needs_proc
def test_stopped_and_continued_in_the_middle_of_a_write(fill: Run, read: Run, path: Path) -> None:
    fill("x" * 1_000_000, "last")
    expected = read("--tail", "0", "--json").raw
    command = [PROGRAM, "bus", "read", "--bus", str(path), "--tail", "0", "--json"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with running(command, stdout=subprocess.PIPE, bufsize=0, env=environment) as process:
        assert isinstance(process.stdout, io.FileIO)
        first = process.stdout.read(1)
        wait_until_sleeping(process.pid)
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        process.send_signal(signal.SIGCONT)
        assert first + read_all(process.stdout) == expected
        assert process.wait(SECONDS) == 0


@buffering
def test_a_file_that_may_not_grow(unbuffered: str, fill: Run, read: Run, path: Path, here: Path) -> None:
    fill("x" * 1_000_000)
    command = f"ulimit -f 300; {PROGRAM} bus read --bus {path} --raw > copy.md"
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(
        ["bash", "-c", command], stderr=subprocess.PIPE, env=environment, timeout=SECONDS, check=False
    )
    assert (done.returncode, done.stderr) == (70, b"Error: standard output: File too large\n")
    assert (here / "copy.md").read_bytes() == read("--raw").raw[: 300 * 1024]


# --- standard error ------------------------------------------------------------------------------

OUTCOMES = [
    (["bus", "read", "--bus", "BUS.md", "--since", "GONE"], 4),
    (["bus", "read", "--bus", "BUS.md", "--id", "GONE"], 1),
    (["bus", "read", "--bus", "empty.md"], 0),
    (["bus", "read", "--nonsense"], 2),
    (["bus", "post", "--project"], 2),
    (["bus", "post", "--bus", "/missing/BUS.md", "--project", "p", "--body", "x"], 6),
    (["bus", "discover", "--from", "/"], 3),
    (["bus", "check", "--bus", "torn.md"], 1),
    (["bus", "merge", "a", "b", "c"], 6),
    (["completion", "tcsh"], 2),
    (["serve", "--host", "192.0.2.1"], 2),
    ([], 2),
]


@pytest.fixture
def prepared_files(here: Path, fill: Run) -> None:
    """A bus that is whole, one that is torn, and an empty one."""
    fill("x")
    fill("whole", to=here / "torn.md")
    torn = (here / "torn.md").read_bytes()
    (here / "torn.md").write_bytes(torn.removesuffix(b"ole\n") + b"\n" + torn)
    (here / "empty.md").touch()


@needs_full
@pytest.mark.usefixtures("prepared_files")
@pytest.mark.parametrize("how", ["full", "closed", "unread"])
@pytest.mark.parametrize(("words", "code"), OUTCOMES, ids=lambda value: " ".join(value) if value is list else None)
def test_exit_codes_where_nothing_can_be_reported(how: str, words: list[str], code: int) -> None:
    if how == "unread":
        reading, writing = os.pipe()
        os.close(reading)
    else:
        writing = os.open("/dev/full", os.O_WRONLY)
    command = [PROGRAM, *words] if how != "closed" else ["sh", "-c", 'exec "$@" 2>&-', "sh", PROGRAM, *words]
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=writing, timeout=SECONDS, check=False)
    finally:
        os.close(writing)
    assert done.returncode == code


@needs_full
@pytest.mark.parametrize("how", ["2>/dev/full", "2>&-"])
def test_a_warning_that_cannot_be_written_stops_no_post(how: str, fill: Run, messages: Run, path: Path) -> None:
    fill("a")
    line = f'{sys.executable} -c "$1" bus post --bus {path} --project p --body b --rotate-bytes 1 {how}'
    done = subprocess.run(["sh", "-c", line, "sh", NO_RENAME], stdout=subprocess.PIPE, timeout=SECONDS, check=False)
    assert (done.returncode, len(messages())) == (0, 2)
    assert messages()[1].msg_id.encode() in done.stdout


# As in a directory where no file can be renamed, but without another user.
NO_RENAME = """
import os, sys
def rename(*_): raise PermissionError(1, 'Operation not permitted')
os.rename = rename
from run_agent.__main__ import main
sys.exit(main())
"""

CUT = """
import sys
from messagebus import GapWarning, MessageBus
follow = MessageBus.follow
def cut(*args, **options):
    import warnings
    for _ in range(2):
        warnings.warn('a gap', GapWarning)
    yield from follow(*args, **options)
MessageBus.follow = cut
from run_agent.__main__ import main
sys.exit(main())
"""


@needs_full
def test_a_gap_that_cannot_be_reported_ends_no_follower(fill: Run, path: Path) -> None:
    fill("a")
    command = [sys.executable, "-c", CUT, "bus", "read", "--bus", str(path), "--follow", "--json"]
    with Path("/dev/full").open("wb") as full, running(command, stdout=subprocess.PIPE, stderr=full) as process:
        for body in ("a", "b"):
            assert json.loads(process.stdout.readline())["body"] == body
            if body == "a":
                fill("b")
        process.stdout.close()
        assert process.wait(SECONDS) == 0


# --- closed streams ------------------------------------------------------------------------------

VERBS: list[tuple[list[str], int]] = [
    (["bus", "post", "--bus", "BUS.md", "--project", "p", "--body", "y"], 0),
    (["bus", "read", "--bus", "BUS.md"], 0),
    (["bus", "read", "--bus", "BUS.md", "--json"], 0),
    (["bus", "discover"], 3),
    (["bus", "check", "--bus", "torn.md", "--fix"], 0),
    (["bus", "merge", "BUS.md", "BUS.md", "BUS.md"], 0),
    (["completion", "bash"], 0),
    (["--help"], 0),
    (["--version"], 0),
    (["serve", "--port", "x"], 2),
]


@pytest.mark.usefixtures("prepared_files")
@pytest.mark.parametrize("closed", [" ".join(which) for which in product(("", "<&-"), ("", ">&-"), ("", "2>&-"))])
def test_closed_streams(closed: str, messages: Run, here: Path) -> None:
    """No file that is opened gets the descriptor of a stream."""
    for words, code in VERBS:
        line = f'exec "$@" {closed}'
        done = subprocess.run(
            ["sh", "-c", line, "sh", PROGRAM, *words], stdin=subprocess.DEVNULL, capture_output=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == code, (words, done.stderr)
        assert b"Traceback" not in done.stderr
        assert b"Exception ignored" not in done.stderr
    assert [message.body for message in messages()] == ["x", "y"]
    assert all(message.intact for message in messages())
    assert b"msg_id: MSG" in (here / "torn.md").read_bytes()


# --- readers that close --------------------------------------------------------------------------


def ends(kind: str) -> tuple[int, int]:
    if kind == "pipe":
        return os.pipe()
    if kind == "socket":
        ours, theirs = socket.socketpair()
        return ours.detach(), theirs.detach()
    return pty.openpty()


@pytest.mark.parametrize("kind", ["pipe", "socket", "terminal"])
@pytest.mark.parametrize("is_idle", [True, False])
def test_a_follower_ends_with_its_listener(kind: str, is_idle: bool, fill: Run, path: Path) -> None:
    fill("a")
    ours, theirs = ends(kind)
    command = [PROGRAM, "bus", "read", "--bus", str(path), "--follow"]
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": theirs, "stderr": subprocess.PIPE}
    with running(command, **options, start_new_session=True) as process:
        os.close(theirs)
        assert b"FACT" in os.read(ours, 1000)
        os.close(ours)
        if not is_idle:
            fill("b")
        assert process.wait(SECONDS) == 0
        assert process.stderr.read() == b""


# --- process 1 -----------------------------------------------------------------------------------

can_unshare = (
    shutil.which("unshare")
    and not subprocess.run(["unshare", "--pid", "--fork", "true"], stderr=subprocess.DEVNULL, check=False).returncode
)
needs_unshare = pytest.mark.skipif(not can_unshare, reason="no unshare, or not root: no process 1 can be made")


def child_of(process: Any) -> int:
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())


@needs_unshare
@pytest.mark.parametrize(
    ("words", "code"), [(["bus", "read", "--bus", "BUS.md", "-f"], 143), (["serve", "--root", ".", "--port", "0"], 0)]
)
def test_process_1_ends_on_sigterm(words: list[str], code: int, fill: Run) -> None:
    fill("x")
    command = ["unshare", "--pid", "--fork", PROGRAM, *words]
    with running(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline()
        os.kill(child_of(process), signal.SIGTERM)
        assert process.wait(SECONDS) == code


def test_sigterm_elsewhere_does_what_it_does_to_every_program(start: Run, fill: Run, path: Path) -> None:
    fill("x")
    running = start("bus", "read", "--bus", path, "-f")
    running.line()
    assert running.end(signal.SIGTERM)[0] == -signal.SIGTERM


def test_an_ignored_ctrl_c_stays_ignored(start: Run, fill: Run, path: Path) -> None:
    """As in a background job of a script: Ctrl-C is for the foreground job."""
    fill("a")
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which a child inherits
    try:
        running = start("bus", "read", "--bus", path, "-f")
    finally:
        signal.signal(signal.SIGINT, handler)
    running.line()
    running.process.send_signal(signal.SIGINT)
    fill("b")
    assert running.line().endswith("b")


# --- the interpreter's variables -----------------------------------------------------------------

VARIABLES: list[dict[str, str]] = [
    {"PYTHONUNBUFFERED": "1"},
    {"PYTHONWARNINGS": "ignore"},
    {"PYTHONWARNINGS": "error"},
    {"PYTHONDEVMODE": "1"},
    {"PYTHONUTF8": "0", "LC_ALL": "C"},
    {"PYTHONIOENCODING": "ascii:strict"},
]
variables = pytest.mark.parametrize("environment", VARIABLES, ids=" ".join)


@variables
def test_variables_of_the_interpreter_change_nothing(
    environment: dict[str, str], program: Run, here: Path, path: Path
) -> None:
    given = {**os.environ, **environment}
    (here / "Ünïcode").mkdir()
    bus = here / "Ünïcode/BUS.md"
    words = ["bus", "post", "--project", "prøjekt", "--type", "FÄCT", "--body", "日本語 \N{PARTY POPPER}", "--json"]
    posted = program(*words, "--bus", bus, env=given)
    assert (posted.code, posted.err) == (0, "")
    assert posted.json[0]["body"] == "日本語 \N{PARTY POPPER}"
    shown = program("bus", "read", "--bus", bus, env=given)
    assert (shown.code, shown.err) == (0, "")
    assert "(FÄCT) 日本語 \N{PARTY POPPER}" in shown.out
    missing = program("bus", "read", "--bus", "Ünïcode/nö.md", env=given)
    assert (missing.code, "Ünïcode/nö.md" in missing.err) == (missing.code, True)


@variables
def test_an_argument_that_is_not_text(environment: dict[str, str], refused: Run, program: Run, path: Path) -> None:
    given = {**os.environ, **environment}
    words = ["bus", "post", "--bus", str(path), "--project", "p"]
    for bad in ("\udcff", "ü\udce9"):
        refused(program(*words, "--body", bad, env=given), 6, "body")
        refused(program(*words, "--type", bad, "--body", "x", env=given), 6, "type")
    assert not path.exists()


@variables
def test_a_warning_is_shown_each_time(environment: dict[str, str], fill: Run, messages: Run, path: Path) -> None:
    fill("a")
    given = {**os.environ, **environment}
    post = ["bus", "post", "--bus", str(path), "--project", "p", "--body", "b", "--rotate-bytes", "1"]
    done = subprocess.run([sys.executable, "-c", NO_RENAME, *post], capture_output=True, env=given, check=False)
    assert (done.returncode, len(messages())) == (0, 2)
    assert done.stderr.startswith(b"Warning: could not rotate")
    assert done.stderr.count(b"\n") == 1
    follow = [sys.executable, "-c", CUT, "bus", "read", "--bus", str(path), "--follow"]
    with running(follow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=given) as process:
        assert [process.stderr.readline() for _ in range(2)] == [b"Warning: a gap\n"] * 2
        process.stdout.close()
        assert process.wait(SECONDS) == 0
