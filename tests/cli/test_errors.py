"""Exit codes, errors as sentences, and help."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from patience import SECONDS

from messagebus import MessageBus
from messagebus.backends.file import live_file, segments
from run_agent.cli import main

Run = Callable[..., Any]
LONG = "x" * 300
POST = ["bus", "post", "--project", "p"]
READ = ["bus", "read"]
BODY = ["--body", "x"]
BUS = ["--bus", "BUS.md"]
HERE = ["--bus", "BUS.md", "--body", "x"]


# --- a table of mistakes -----------------------------------------------------------------------


@pytest.fixture
def prepared_files(here: Path, fill: Run) -> None:
    """A bus, and files that are not one."""
    fill("x")
    (here / "directory").mkdir()
    (here / "file").write_text("x")
    (here / "link.md").symlink_to("BUS.md")
    os.mkfifo(here / "fifo.md")


MISTAKES: list[tuple[list[str], int, str]] = [
    ([], 2, "Usage: run-agent"),
    (["bus"], 2, "Usage: run-agent bus"),
    (["nonsense"], 2, "No such command 'nonsense'"),
    (["bus", "nonsense"], 2, "No such command 'nonsense'"),
    (["bus", "watch"], 2, "use 'run-agent bus read --follow'"),
    (["bus", "watch", "--bus", "BUS.md"], 2, "use 'run-agent bus read --follow'"),
    (["--nonsense"], 2, "--nonsense"),
    ([*READ, "--nonsense"], 2, "--nonsense"),
    ([*READ, "extra"], 2, "extra"),
    ([*READ, *BUS, "--tail", "x"], 2, "--tail"),
    ([*READ, *BUS, "--tail"], 2, "--tail"),
    ([*READ, *BUS, "--project", "p"], 2, "one or the other"),
    ([*READ, "--task", "t"], 2, "--task needs --project"),
    ([*READ, *BUS, "--json", "--raw"], 2, "one of them"),
    ([*READ, *BUS, "--id", "x", "--follow"], 2, "--follow"),
    (READ, 3, "--bus FILE"),
    ([*READ, *BUS, "--since", "MSG-x"], 4, "MSG-x"),
    ([*READ, *BUS, "--since", "a\nb"], 4, "BUS.md"),
    ([*READ, *BUS, "--id", "MSG-x"], 1, "MSG-x"),
    ([*READ, "--bus", ""], 6, "name the bus file"),
    ([*READ, "--bus", "directory"], 6, "is a directory"),
    ([*READ, "--bus", "link.md"], 6, "is a symbolic link"),
    ([*READ, "--bus", "fifo.md"], 6, "is a FIFO"),
    ([*READ, "--bus", "/dev/null"], 6, "is a device"),
    ([*READ, "--bus", "directory", "--follow"], 6, "is a directory"),
    ([*READ, "--bus", LONG], 6, "too long"),
    ([*READ, "--root", ".", "--project", LONG], 6, "too long"),
    ([*READ, "--project", "../p"], 6, "cannot name a directory"),
    ([*POST, "--bus", "directory", *BODY], 6, "is a directory"),
    ([*POST, "--bus", "link.md", *BODY], 6, "is a symbolic link"),
    ([*POST, "--bus", "fifo.md", *BODY], 6, "is a FIFO"),
    ([*POST, "--bus", "/dev/full", *BODY], 6, "is a device"),
    ([*POST, "--bus", "file/BUS.md", *BODY], 6, "file"),
    ([*POST, "--bus", "missing/BUS.md", *BODY], 6, "create it"),
    ([*POST, "--bus", "", *BODY], 6, "name the bus file"),
    ([*POST, "--bus", LONG, *BODY], 6, "too long"),
    (["bus", "post", "--project", LONG, *BODY], 6, "too long"),
    ([*POST, "--root", "file", *BODY], 6, "file"),
    (["bus", "post", "--root", ".", "--project", "file", *BODY], 6, "file"),
    (["bus", "post", "--root", ".", "--project", "link.md", *BODY], 6, "link.md"),
    (["bus", "post", *HERE], 2, "--project ID"),
    ([*POST, *BUS], 2, "Standard input is empty"),
    ([*POST, *HERE, "--meta", "x"], 2, "KEY=VALUE"),
    ([*POST, *HERE, "--parent", "a b"], 6, "parents"),
    ([*POST, *HERE, "--type", "\x1b"], 6, "type"),
    ([*POST, *HERE, "--type", "\udcff"], 6, "type"),
    ([*POST, *BUS, "--body", "\udcff"], 6, "body"),
    ([*POST, *HERE, "--lock-timeout", "nan"], 2, "--lock-timeout"),
    ([*POST, *HERE, "--lock-timeout", "-1"], 2, "--lock-timeout"),
    ([*POST, *HERE, "--rotate-bytes", "1.5"], 2, "--rotate-bytes"),
    ([*POST, *HERE, "--jsonl"], 2, "--body"),
    (["bus", "discover"], 3, "MESSAGE-BUS.md"),
    (["bus", "discover", "--explain"], 3, "--bus FILE"),
    (["bus", "discover", "--from", "missing"], 2, "--from"),
    (["bus", "discover", "--from", LONG], 2, "--from"),
    (["completion"], 2, "bash"),
    (["completion", "tcsh"], 2, "tcsh"),
]


@pytest.mark.usefixtures("prepared_files")
@pytest.mark.parametrize(("arguments", "code", "words"), MISTAKES)
def test_a_mistake_is_reported_in_a_sentence(
    arguments: list[str], code: int, words: str, program: Run, path: Path
) -> None:
    before = path.read_bytes()
    result = program(*arguments)
    assert "Traceback" not in result.err
    assert "report it" not in result.err
    assert (result.code, words in result.err) == (code, True), result.err
    assert path.read_bytes() == before
    if "explain" not in "".join(arguments):
        assert result.raw == b""


@pytest.fixture
def shell(path: Path) -> Run:
    """Run a shell line; $run is the program, $bus a bus."""

    def call(line: str) -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, "run": str(Path(sys.executable).with_name("run-agent")), "bus": str(path)}
        done = subprocess.run(["sh", "-c", line], capture_output=True, timeout=SECONDS, check=False, env=environment)
        assert b"Traceback" not in done.stderr
        assert b"Exception ignored" not in done.stderr
        return done

    return call


@pytest.mark.parametrize("flags", ["--body -", "--jsonl", ""])
def test_standard_input_is_closed(flags: str, shell: Run, path: Path) -> None:
    done = shell(f'"$run" bus post --bus "$bus" --project p {flags} <&-')
    assert done.returncode == 2, done.stderr
    assert not path.exists()


def test_standard_output_is_closed(shell: Run, messages: Run) -> None:
    assert shell('"$run" bus post --bus "$bus" --project p --body x >&-').returncode == 0
    assert len(messages()) == 1
    assert shell('"$run" bus read --bus "$bus" >&-').returncode == 0
    assert shell('"$run" bus read --bus "$bus" --follow >&-').returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_standard_output_is_full(shell: Run, fill: Run) -> None:
    fill("x")
    for verb in ('bus read --bus "$bus"', 'bus read --bus "$bus" --follow', "--help", "--version", "completion bash"):
        done = shell(f'"$run" {verb} > /dev/full')
        assert done.returncode != 0
        assert b"No space left on device" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("buffering", ["", "PYTHONUNBUFFERED=1 "])
def test_a_stored_message_whose_id_cannot_be_printed(buffering: str, shell: Run, messages: Run) -> None:
    """A caller that takes it for a failure would post twice."""
    done = shell(f'{buffering}"$run" bus post --bus "$bus" --project p --body x > /dev/full')
    [message] = messages()
    assert f"{message.msg_id} is stored, but cannot be written to standard output" in done.stderr.decode()
    assert done.returncode == 70


def test_the_current_directory_is_gone(shell: Run, here: Path) -> None:
    (here / "gone").mkdir()
    for verb in ("read", "discover", "post --body x"):
        done = shell(f'cd gone && rmdir "$PWD" && "$run" bus {verb}; code=$?; mkdir -p "{here}/gone"; exit $code')
        assert done.returncode in (3, 6), done.stderr
        assert b"current directory" in done.stderr


def test_help_into_a_closed_pipe(shell: Run) -> None:
    assert shell('{ "$run" bus post --help; } | :').stderr == b""


# --- every exit code ---------------------------------------------------------------------------


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[BaseException], None]]:
    """Make reads and posts raise this."""

    def arrange(error: BaseException) -> None:
        def fail(*_args: object, **_options: object) -> None:
            raise error

        for name in ("append_message", "iter_messages", "read_last_n"):
            monkeypatch.setattr(MessageBus, name, fail)

    return arrange


def test_0_done(read: Run, path: Path) -> None:
    path.touch()
    assert read().code == 0


def test_1_the_answer_is_no(read: Run, path: Path) -> None:
    path.touch()
    assert read("--id", "MSG-x").code == 1


def test_2_usage(run: Run) -> None:
    assert run("bus", "read", "--nonsense").code == 2


def test_3_no_bus(run: Run, read: Run) -> None:
    assert run("bus", "read").code == read().code == 3


def test_4_since_id_not_found(read: Run, path: Path) -> None:
    path.touch()
    assert read("--since", "MSG-x").code == 4


def test_5_lock_timeout(post: Run, held_lock: Path) -> None:
    assert post("--body", "x", "--lock-timeout", "0").code == 5
    assert held_lock.exists()


def test_6_refused(post: Run, read: Run, fails: Run, here: Path) -> None:
    assert post("--type", "", "--body", "x").code == 6
    assert read("--bus", here).code == 6
    fails(PermissionError(13, "Permission denied", "/bus.md"))
    for result in (read(), post("--body", "x")):
        assert (result.code, result.err) == (6, "Error: /bus.md: Permission denied\n")


def test_70_unexpected(read: Run, post: Run, fails: Run) -> None:
    fails(RuntimeError("the moon"))
    for result in (read(), post("--body", "x")):
        assert result.code == 70
        assert result.err.startswith("Error: unexpected RuntimeError: the moon")
        assert "report it" in result.err


def test_70_the_disk_is_full(post: Run, fails: Run) -> None:
    fails(OSError(28, "No space left on device", "/bus.md"))
    result = post("--body", "x")
    assert (result.code, result.err) == (70, "Error: /bus.md: No space left on device\n")


def test_70_not_flushed(post: Run, refused: Run, messages: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_flush(_fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(live_file, "flush", no_flush)
    result = post("--body", "x", "--fsync")
    [message] = messages()
    refused(result, 70, message.msg_id, "Do not post it again")


def test_130_interrupted(read: Run, post: Run, fails: Run) -> None:
    fails(KeyboardInterrupt())
    for result in (read(), post("--body", "x")):
        assert (result.code, result.raw, result.err.strip()) == (130, b"", "")


def test_130_while_lines_are_awaited(start: Run, path: Path) -> None:
    process = start("bus", "post", "--bus", path, "--project", "p", "--jsonl", stdin=subprocess.PIPE)
    process.send(b"{}\n")
    process.line()
    code, err = process.end(signal.SIGINT)
    assert (code, err.strip()) == (130, "")


def test_no_permission(
    read: Run, refused: Run, fill: Run, path: Path, monkeypatch: pytest.MonkeyPatch, patched: Any
) -> None:
    def closed(name: Any, *args: Any, **options: Any) -> int:
        if name == str(path):
            raise PermissionError(13, "Permission denied", name)
        return os.open(name, *args, **options)

    fill("x")
    monkeypatch.setattr(segments, "os", patched(os, open=closed))
    refused(read(), 6, f"{path}: Permission denied")


# --- help, version, imports --------------------------------------------------------------------


def commands(group: click.Group = main.run_agent, *words: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        if isinstance(command, click.Group):
            yield from commands(command, *words, name)
        else:
            yield " ".join((*words, name)), command


VERBS = dict(commands())


def test_the_verbs() -> None:
    assert set(VERBS) >= {"bus post", "bus read", "bus discover", "completion"}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples(verb: str, run: Run) -> None:
    for flag in ("--help", "-h"):
        result = run(*verb.split(), flag)
        assert (result.code, result.err) == (0, "")
        assert f"Usage: run-agent {verb} " in result.out
        assert "  Examples:\n" in result.out
        assert f"\n    run-agent {verb}" in result.out
    for parameter in VERBS[verb].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_help_of_the_groups(run: Run) -> None:
    assert "bus " in run("--help").out
    for verb in ("post", "read", "discover"):
        assert f"  {verb} " in run("bus", "--help").out
    assert "watch" not in run("bus", "--help").out


def test_version(run: Run) -> None:
    from importlib.metadata import version

    assert run("--version").out == f"run-agent {version('run-agent')}\n"


def test_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "run_agent", "bus", "read"], capture_output=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 3


def test_130_during_imports(here: Path, shell: Run) -> None:
    """Half the time of a short command is imports."""
    (here / "click.py").write_text("raise KeyboardInterrupt")
    done = shell(f'PYTHONPATH="{here}" "$run" bus read')
    assert done.returncode == 130
    assert done.stderr.strip() == b""


# --- the layout of help ----------------------------------------------------------------------


def every_help() -> Iterator[list[str]]:
    yield []
    for name, verb in main.VERBS.items():
        yield [name]
        if isinstance(verb, tuple):
            yield from ([name, below] for below in verb[1])


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("command", list(every_help()), ids=" ".join)
def test_help_reads_well_at_any_width(
    command: list[str], columns: int, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = run(*command, "--help").lines
    examples = {line for line in lines if re.match(r"    (\S.* )?(run-agent|curl) ", line)}  # to copy, so one line each
    widest = max(len(line) for line in lines if line not in examples)
    assert widest <= min(columns, 100)
    assert columns < 200 or widest > 80 or len(lines) < 20, "it uses the width of the terminal"
    for line in lines:
        assert not re.search(r"\w-$", line), "a word is split"
    terms = [match.end() for line in lines if (match := re.match(r"  -.*?  +(?=\S)", line))]
    assert len(set(terms)) <= 1, "the descriptions of options are in one column"
