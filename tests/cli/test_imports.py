"""What a short command imports: most of its time goes into that, and nothing else of the program may add to it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from patience import SECONDS

LOADED = """
import sys
from run_agent.cli.main import main
main(sys.argv[1:])
print(*sorted(sys.modules), file=sys.stderr)
"""

# A name more in these sets makes every post or read of a shell script slower: see `python -m benchmarks start-up`.
BOTH = """
    messagebus messagebus.backends messagebus.backends.base messagebus.backends.file messagebus.backends.file.preamble
    messagebus.backends.file.search messagebus.backends.file.segments messagebus.bus messagebus.codec
    messagebus.codec.framing messagebus.codec.header messagebus.discovery messagebus.errors messagebus.follow
    messagebus.message messagebus.msgid messagebus.timestamps messagebus.validation
    run_agent run_agent.cli run_agent.cli.commands run_agent.cli.context run_agent.cli.main run_agent.cli.options
    run_agent.cli.output run_agent.cli.streams
"""
A_POST = """
    messagebus.backends.file.append messagebus.backends.file.create messagebus.backends.file.durability
    messagebus.backends.file.live_file messagebus.backends.file.lock messagebus.backends.file.randomness
    messagebus.backends.file.tail messagebus.codec.encode messagebus.codec.tail messagebus.replace
    run_agent.cli.commands.bus_post
"""
A_READ = """
    messagebus.backends.file.archive_list messagebus.backends.file.late_writes messagebus.backends.file.read
    messagebus.codec.canonical messagebus.codec.decode messagebus.codec.fields messagebus.codec.lenient
    messagebus.codec.one_line run_agent.cli.commands.bus_read
"""
USED_LATER = {"portalocker", "ulid", "watchdog", "yaml", "json", "importlib.metadata"}


def modules_of(*arguments: str) -> set[str]:
    """The modules in memory once the command has been run."""
    command = [sys.executable, "-c", LOADED, *arguments]
    done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=True, text=True)
    return set(done.stderr.splitlines()[-1].split())


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] in ("messagebus", "run_agent")}


def test_a_post_imports_no_more_than_it_needs(here: Path) -> None:
    post = ["bus", "post", "--bus", "BUS.md", "--project", "demo", "--body", "x"]
    modules_of(*post)
    modules = modules_of(*post)  # there is something to append to
    assert ours(modules) - {*BOTH.split(), *A_POST.split()} == set()
    assert modules.isdisjoint(USED_LATER)


def test_a_read_imports_no_more_than_it_needs(here: Path, fill: Callable[..., object]) -> None:
    fill("x")
    modules = modules_of("bus", "read", "--bus", "BUS.md")
    assert ours(modules) - {*BOTH.split(), *A_READ.split()} == set()
    assert modules.isdisjoint(USED_LATER)


@pytest.mark.parametrize(
    "arguments",
    ["--help", "bus --help", "bus read --bus BUS.md --type FACT --long", "bus discover", "bus discover --explain"],
)
def test_what_other_short_commands_leave_out(arguments: str, here: Path, fill: Callable[..., object]) -> None:
    fill("x")
    assert modules_of(*arguments.split()).isdisjoint(USED_LATER)


@pytest.mark.parametrize("threads", [0, 1])
def test_only_an_exit_without_other_threads_is_hurried(threads: int) -> None:
    """A thread of a follower that wakes up in an exit that skips the garbage crashes now and then."""
    code = (
        "import gc, sys, threading\n"
        "from run_agent.__main__ import main\n"
        "sys.argv = ['run-agent', '--version']\n"
        f"for _ in range({threads}): threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "main()\n"
        "print(gc.get_freeze_count() > 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=SECONDS, check=True, text=True)
    assert done.stdout.splitlines()[-1] == str(not threads)
