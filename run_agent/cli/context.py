"""Which bus, which project: flags, then environment, then inference.

The only reader of the environment. Every answer comes with the rule that gave it, so that
``bus discover --explain`` can say why.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import click

from messagebus import BusNotFoundError, InvalidBusPathError
from messagebus.discovery import PLAIN_BUS, bus_path, find_bus, scope_of

DEFAULT_ROOT = "~/.run-agent/runs"
FLAGS = "the flags"  # a rule
_BUS_VARIABLES = ("MESSAGE_BUS", "JRUN_MESSAGE_BUS")


class Resolved(NamedTuple):
    """A value, and the rule that gave it. ``managed``: a bus in the tree under the root, whose
    directories are made when it is posted to."""

    value: str
    rule: str
    managed: bool = False


class Flags(NamedTuple):
    """What the command line says about the bus; None where it says nothing. ``start`` is where
    the walk upward begins, None for the current directory."""

    bus: str | None = None
    root: str | None = None
    project: str | None = None
    task: str | None = None
    run: str | None = None
    start: str | None = None


class _Hint(NamedTuple):
    """What one source says of project, task and run."""

    rule: str
    project: str = ""
    task: str = ""
    run: str = ""
    is_path: bool = False


def wants_colour() -> bool:
    """Does the environment allow colour? (Whether stdout is a terminal is asked elsewhere.)"""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def api_key() -> str | None:
    """The key of the server; blanks around it do not count."""
    return os.environ.get("RUN_AGENT_API_KEY", "").strip() or None


def is_credential(path: str) -> bool:
    """Does a file lie in the directory in which systemd gives a service its credentials?"""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(directory) and os.path.dirname(os.path.realpath(path)) == os.path.realpath(directory or "")


def has_editor() -> bool:
    """Is an editor named that may need no terminal?"""
    return bool(os.environ.get("VISUAL") or os.environ.get("EDITOR"))


def bus_to_post(flags: Flags) -> Resolved:
    """The bus a post goes to: --bus, environment, --project/--task, the walk upward."""
    return _named_bus(flags) or _environment_bus() or _project_bus(flags) or bus_upward(flags)


def bus_to_read(flags: Flags) -> Resolved:
    """The bus a read looks at: --project/--task, --bus, environment, the walk upward."""
    if flags.bus is not None and (flags.project is not None or flags.task is not None):
        raise click.UsageError(
            "--bus names a file, --project and --task name one under the root: give one or the other."
        )
    return _project_bus(flags) or _named_bus(flags) or _environment_bus() or bus_upward(flags)


def doubt(flags: Flags, bus: Resolved) -> str | None:
    """Why a post to ``bus`` may go elsewhere than meant: a variable names it, but the flags or the
    directory name another."""
    if bus.rule not in _BUS_VARIABLES:
        return None
    goes = f"this goes to {os.path.abspath(bus.value)}, because {bus.rule} names it"
    with suppress(BusNotFoundError, InvalidBusPathError, click.UsageError):  # then there is no other bus
        if other := _project_bus(flags):
            if os.path.realpath(other.value) != os.path.realpath(bus.value):
                return f"{goes}; 'bus read' with the same flags shows {other.value}. Say which with --bus FILE."
        elif project := scope_of(bus.value).project_id:
            here = bus_upward(flags).value
            if (other_project := scope_of(here).project_id) not in ("", project):
                return (
                    f"{goes}, for project {project}; the bus of this directory is {here}, for project {other_project}."
                )
    return None


def make_directories(bus: Resolved) -> None:
    """Make the directories of a bus under the root."""
    if bus.managed:
        os.makedirs(os.path.dirname(bus.value), exist_ok=True)


def scope(flags: Flags, bus: str) -> dict[str, Resolved]:
    """What ``project_id``, ``task_id`` and ``run_id`` are, as far as anything says so.

    A task that a path says counts only where the project is that path's.
    """
    found: dict[str, Resolved] = {}
    hints = [hint for hint in _hints(flags, bus) if hint.project or hint.task or hint.run]
    for hint in hints:
        if hint.project:
            found.setdefault("project_id", Resolved(hint.project, hint.rule))
    project = found["project_id"].value if "project_id" in found else ""
    for hint in hints:
        if hint.task and (not hint.is_path or hint.project == project):
            found.setdefault("task_id", Resolved(hint.task, hint.rule))
        if hint.run:
            found.setdefault("run_id", Resolved(hint.run, hint.rule))
    return found


def _hints(flags: Flags, bus: str) -> Iterator[_Hint]:
    yield _Hint(FLAGS, flags.project or "", flags.task or "", flags.run or "")
    of_bus = _Hint("the path of the bus", *scope_of(bus), is_path=True)
    is_guess = os.path.basename(bus) == PLAIN_BUS  # it may be anywhere: whatever else says something knows better
    if not is_guess:
        yield of_bus
    for name in ("RUN_FOLDER", "JRUN_RUN_FOLDER"):
        parts = os.path.abspath(_path_in(name) or "/").split("/")
        if len(parts) > 4 and parts[-2] == "runs":
            yield _Hint(name, parts[-4], parts[-3], parts[-1], is_path=True)
    for name in ("TASK_FOLDER", "JRUN_TASK_FOLDER"):
        parts = os.path.abspath(_path_in(name) or "/").split("/")
        if len(parts) > 2:
            yield _Hint(name, parts[-2], parts[-1], is_path=True)
    yield _Hint("JRUN_PROJECT_ID", project=os.environ.get("JRUN_PROJECT_ID", ""))
    yield _Hint("JRUN_TASK_ID", task=os.environ.get("JRUN_TASK_ID", ""))
    yield _Hint("JRUN_ID", run=os.environ.get("JRUN_ID", ""))
    if is_guess:
        yield of_bus


def _named_bus(flags: Flags) -> Resolved | None:
    return None if flags.bus is None else Resolved(flags.bus, "--bus")


def _environment_bus() -> Resolved | None:
    for name in _BUS_VARIABLES:
        if path := _path_in(name):
            return Resolved(path, name)
    return None


def _project_bus(flags: Flags) -> Resolved | None:
    if flags.project is None and flags.task is None:
        return None
    path = bus_path(root_directory(flags), project_of(flags), flags.task)
    return Resolved(path, "--project and --task under the root" if flags.task else "--project under the root", True)


def project_of(flags: Flags) -> str:
    """The project whose task --task names."""
    if flags.project is not None:
        return flags.project
    if project := os.environ.get("JRUN_PROJECT_ID"):
        return project
    raise click.UsageError("--task needs --project (or JRUN_PROJECT_ID): a task is part of a project.")


def root_directory(flags: Flags) -> str:
    """The directory of all projects: --root, JRUN_RUNS_DIR, ~/.run-agent/runs."""
    return flags.root or _path_in("JRUN_RUNS_DIR") or expanded(DEFAULT_ROOT)


def bus_upward(flags: Flags) -> Resolved:
    """The first bus file from the start upward."""
    try:
        found = find_bus(flags.start)
    except BusNotFoundError as error:
        raise BusNotFoundError(f"{error}: --bus FILE, MESSAGE_BUS, or --project with --task") from None
    except InvalidBusPathError as error:
        raise InvalidBusPathError(f"{error}: --bus FILE, or MESSAGE_BUS") from None
    return Resolved(found, f"the first bus file upward from {os.path.abspath(flags.start or os.curdir)}")


def _path_in(variable: str) -> str | None:
    """The path that a variable holds, None where it is empty or not set."""
    return expanded(os.environ.get(variable, "")) or None


def expanded(path: str) -> str:
    """``path`` with ``~`` or ``~user`` in front of it replaced, which shells do in fewer places than people think.

    Raises InvalidBusPathError where that has no meaning: nothing may be made in a directory named ``~``.
    """
    if not path.startswith("~"):
        return path
    user, _, rest = path[1:].partition("/")
    home = _home_of(user)
    if not home.startswith("/"):
        raise InvalidBusPathError(f"{path}: the home directory is {home!r}, which is no absolute path; correct HOME")
    return os.path.join(home, rest.lstrip("/")) if rest else home


def _home_of(user: str) -> str:
    """The home directory of a user, "" for our own."""
    if not user and (home := os.environ.get("HOME")):
        return home
    import pwd

    try:
        return (pwd.getpwnam(user) if user else pwd.getpwuid(os.getuid())).pw_dir
    except KeyError:
        if user:
            raise InvalidBusPathError(f"there is no user {user}; write ./~{user} for a file of that name") from None
        raise InvalidBusPathError(
            f"HOME is not set, and user {os.getuid()} has no home directory: set HOME, or name the bus "
            "(--bus, MESSAGE_BUS) or the root of all projects (--root, JRUN_RUNS_DIR)"
        ) from None
