"""Fixtures of the CLI tests: the program in this process, as a process, and on a terminal."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from patience import SECONDS

from messagebus import Draft, Message, MessageBus
from run_agent.cli.main import main

PROGRAM = Path(sys.executable).with_name("run-agent")
OUR_VARIABLES = ("MESSAGE_BUS", "RUN_FOLDER", "TASK_FOLDER", "NO_COLOR", "VISUAL", "EDITOR", "PYTHONUNBUFFERED")

# Gives the program a controlling terminal: its own standard input.
ON_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


# Changes to another user after all imports, because that user may not be able to read our files.
# Everything is imported before the user changes, also what the program imports only when it needs
# it: the other user may not be allowed to read the virtual environment.
AS_USER = """
import importlib, json, os, pkgutil, pwd, sys, messagebus, run_agent.cli.commands
import portalocker, ulid, watchdog.observers, yaml
for package in (messagebus, run_agent.cli.commands):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
from run_agent.cli.main import main
os.setgroups([])
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[1]))
sys.exit(main(sys.argv[2:]))
"""


class Result(NamedTuple):
    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def lines(self) -> list[str]:
        return self.out.removesuffix("\n").split("\n") if self.out else []

    @property
    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory and home, and none of our environment variables."""
    for name in list(os.environ):
        if name in OUR_VARIABLES or name.startswith("JRUN_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TERM", "xterm")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def path(here: Path) -> Path:
    """The path of a bus, which does not exist yet."""
    return here / "BUS.md"


@pytest.fixture
def fill(path: Path) -> Callable[..., list[Message]]:
    """Append messages to the bus: one for each body, with the same fields."""

    def append(*bodies: str, to: Path = path, **fields: Any) -> list[Message]:
        type_ = fields.pop("type_", "FACT")
        with MessageBus(to) as bus:
            return bus.append_messages([Draft(type_, "p", body, **fields) for body in bodies])

    return append


@pytest.fixture
def messages(path: Path) -> Callable[..., list[Message]]:
    """Read all messages of the bus."""

    def read(at: Path = path) -> list[Message]:
        with MessageBus(at) as bus:
            return bus.read_messages()

    return read


@pytest.fixture
def run(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., Result]]:
    """Run the program in this process."""
    inherited = os.dup(0)
    piped = tmp_path / "stdin"

    def call(*args: object, stdin: bytes | None = None) -> Result:
        piped.write_bytes(stdin or b"")
        with piped.open("rb") as source, monkeypatch.context() as patch:
            os.dup2(source.fileno(), 0)
            text = io.TextIOWrapper(io.BytesIO(stdin or b""))
            text.isatty = lambda: stdin is None  # type: ignore[method-assign]
            patch.setattr(sys, "stdin", text)
            code = main([str(arg) for arg in args])
        out, err = capfdbinary.readouterr()
        return Result(code, out, err.decode())

    yield call
    os.dup2(inherited, 0)
    os.close(inherited)


@pytest.fixture
def post(run: Callable[..., Result], path: Path) -> Callable[..., Result]:
    """Post to the bus, for project p."""
    return lambda *args, **kwargs: run("bus", "post", "--bus", path, "--project", "p", *args, **kwargs)


@pytest.fixture
def read(run: Callable[..., Result], path: Path) -> Callable[..., Result]:
    """Read the bus."""
    return lambda *args: run("bus", "read", "--bus", path, *args)


@pytest.fixture
def refused() -> Callable[..., None]:
    """Check that a result is this exit code, nothing on stdout, and a sentence with these words on stderr."""

    def check(result: Result, code: int, *words: str) -> None:
        assert result.code == code, result.err
        assert result.raw == b""
        for word in words:
            assert word in result.err
        sentence = result.err.rpartition("Error: ")[2].strip()
        assert 15 < len(sentence) < 500
        assert "Traceback" not in result.err

    return check


def call_program(*args: object, stdin: bytes = b"", **options: Any) -> Result:
    done = subprocess.run(
        [PROGRAM, *map(str, args)], input=stdin, capture_output=True, timeout=SECONDS, check=False, **options
    )
    return Result(done.returncode, done.stdout, done.stderr.decode())


@pytest.fixture
def program() -> Callable[..., Result]:
    """Run the program as a process, to its end."""
    return call_program


@pytest.fixture
def as_user() -> Callable[..., Result]:
    """Run the program as the user with this number, with no environment but the given one."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")

    def call(user: int, *args: object, cwd: Path, **environment: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-c", AS_USER, str(user), *map(str, args)],
            cwd=cwd,
            env={"PATH": os.environ["PATH"], **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr.decode())

    return call


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user can reach, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="run-agent-", dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


class RunningProgram:
    """The program as a running process; its output is read from ``fd``."""

    def __init__(self, process: subprocess.Popen[bytes], fd: int) -> None:
        self.process = process
        self.fd = fd
        self._text: dict[int, bytes] = {}

    def line(self, fd: int | None = None) -> str:
        """Its next line."""
        return self.until(b"\n", fd).rstrip(b"\n").decode()

    def stderr_line(self) -> str:
        """Its next line on stderr."""
        assert self.process.stderr
        return self.line(self.process.stderr.fileno())

    def until(self, mark: bytes, fd: int | None = None) -> bytes:
        """Its output up to and including ``mark``."""
        fd = self.fd if fd is None else fd
        deadline = time.monotonic() + SECONDS
        text = self._text.pop(fd, b"")
        while mark not in text:
            left = max(deadline - time.monotonic(), 0)
            assert select.select([fd], [], [], left)[0], f"no more output than {text!r}"
            data = self._take(fd)
            assert data, f"it ended with {text!r}"
            text += data
        found, _, self._text[fd] = text.partition(mark)
        return found + mark

    def rest(self) -> bytes:
        """All its output until it ends."""
        text = self._text.pop(self.fd, b"")
        while data := self._take(self.fd):
            text += data
        return text

    def send(self, data: bytes) -> None:
        """Write to its standard input."""
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def type_keys(self, data: bytes) -> None:
        """Type on its terminal."""
        os.write(self.fd, data)

    def end(self, number: int | None = None) -> tuple[int, str]:
        """Its exit code and the rest of stderr, after a signal if one is given."""
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(SECONDS)
        err = self.process.stderr.read().decode() if self.process.stderr else ""
        return code, err

    @staticmethod
    def _take(fd: int) -> bytes:
        try:
            return os.read(fd, 65536)
        except OSError:  # what Linux reports once the other side of a terminal is closed
            return b""


@pytest.fixture
def start() -> Iterator[Callable[..., RunningProgram]]:
    """Start the program with pipes; it is killed at the end of the test."""
    started: list[subprocess.Popen[bytes]] = []

    def launch(*args: object, stdin: int = subprocess.DEVNULL, **options: Any) -> RunningProgram:
        process = subprocess.Popen(
            [PROGRAM, *map(str, args)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            restore_signals=True,
            **options,
        )
        started.append(process)
        assert process.stdout
        return RunningProgram(process, process.stdout.fileno())

    yield launch
    for process in started:
        process.kill()
        process.wait(SECONDS)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()


@pytest.fixture
def terminal() -> Iterator[Callable[..., RunningProgram]]:
    """Start the program on its own terminal; it is killed at the end of the test."""
    started: list[tuple[subprocess.Popen[bytes], int]] = []

    def launch(*args: object, **environment: str) -> RunningProgram:
        ours, its = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, PROGRAM, *map(str, args)],
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
            env={**os.environ, **environment},
        )
        os.close(its)
        started.append((process, ours))
        return RunningProgram(process, ours)

    yield launch
    for process, fd in started:
        process.kill()
        process.wait(SECONDS)
        os.close(fd)


@pytest.fixture
def held_lock(path: Path) -> Iterator[Path]:
    """The bus, locked by another writer."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield path
