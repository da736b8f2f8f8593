"""Which bus, project, task and run: from the flags, then the environment, then inference.

The only reader of the environment. Each value comes with the rule that chose it, which
``bus discover --explain`` shows.
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
FLAGS = "the flags"  # the rule of values that the command line gives
_BUS_VARIABLES = ("MESSAGE_BUS", "JRUN_MESSAGE_BUS")


class Resolved(NamedTuple):
    """A value, and the rule that chose it. ``managed``: it is a bus under the root, whose
    directories are created by the first post."""

    value: str
    rule: str
    managed: bool = False


class Flags(NamedTuple):
    """The flags that choose a bus; None for those not given. ``start`` is the directory where the
    search upward begins, None for the current directory."""

    bus: str | None = None
    root: str | None = None
    project: str | None = None
    task: str | None = None
    run: str | None = None
    start: str | None = None


class _Source(NamedTuple):
    """Project, task and run according to one source, "" for what it does not name. ``is_path``: the
    source is a path, so its task belongs to its project."""

    rule: str
    project: str = ""
    task: str = ""
    run: str = ""
    is_path: bool = False


def allows_colour() -> bool:
    """Whether the environment allows colour. The caller checks that stdout is a terminal."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def api_key() -> str | None:
    """The API key of the server, stripped of blanks; None if it is empty or not set."""
    return os.environ.get("RUN_AGENT_API_KEY", "").strip() or None


def is_credential(path: str) -> bool:
    """Whether a file is in the directory where systemd puts the credentials of a service."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(directory) and os.path.dirname(os.path.realpath(path)) == os.path.realpath(directory or "")


def has_editor() -> bool:
    """Whether the environment names an editor, which may not need a terminal."""
    return bool(os.environ.get("VISUAL") or os.environ.get("EDITOR"))


def bus_to_post(flags: Flags) -> Resolved:
    """The bus that a post goes to: --bus, environment, --project/--task, the search upward."""
    return _named_bus(flags) or _environment_bus() or _project_bus(flags) or bus_upward(flags)


def bus_to_read(flags: Flags) -> Resolved:
    """The bus to read: --project/--task, --bus, environment, the search upward."""
    if flags.bus is not None and (flags.project is not None or flags.task is not None):
        raise click.UsageError(
            "--bus names a file, but --project and --task name a bus under the root: give one or the other."
        )
    return _project_bus(flags) or _named_bus(flags) or _environment_bus() or bus_upward(flags)


def misdirection(flags: Flags, bus: Resolved) -> str | None:
    """Why a post to ``bus`` may go to a bus that its user does not mean; None if nothing suggests that.

    It may if a variable names the bus, but the flags or the directory name another.
    """
    if bus.rule not in _BUS_VARIABLES:
        return None
    target = f"posting to {os.path.abspath(bus.value)}, which {bus.rule} names"
    with suppress(BusNotFoundError, InvalidBusPathError, click.UsageError):  # then there is no other bus
        if other := _project_bus(flags):
            if os.path.realpath(other.value) != os.path.realpath(bus.value):
                return f"{target}; 'bus read' with the same flags reads {other.value}. To choose one, use --bus FILE."
        elif project := scope_of(bus.value).project_id:
            here = bus_upward(flags).value
            if (other_project := scope_of(here).project_id) not in ("", project):
                return (
                    f"{target}, for project {project}; the bus of this directory is {here}, for project "
                    f"{other_project}. To choose one, use --bus FILE."
                )
    return None


def scope(flags: Flags, bus: str) -> dict[str, Resolved]:
    """``project_id``, ``task_id`` and ``run_id``, without those that no source names.

    The first source that names a value decides. A task from a path counts only if the project is that
    of the path.
    """
    resolved: dict[str, Resolved] = {}
    sources = [source for source in _sources(flags, bus) if source.project or source.task or source.run]
    for source in sources:
        if source.project:
            resolved.setdefault("project_id", Resolved(source.project, source.rule))
    project = resolved["project_id"].value if "project_id" in resolved else ""
    for source in sources:
        if source.task and (not source.is_path or source.project == project):
            resolved.setdefault("task_id", Resolved(source.task, source.rule))
        if source.run:
            resolved.setdefault("run_id", Resolved(source.run, source.rule))
    return resolved


def _sources(flags: Flags, bus: str) -> Iterator[_Source]:
    yield _Source(FLAGS, flags.project or "", flags.task or "", flags.run or "")
    of_bus = _Source("the path of the bus", *scope_of(bus), is_path=True)
    is_guess = os.path.basename(bus) == PLAIN_BUS  # which may be anywhere, so every other source is better
    if not is_guess:
        yield of_bus
    for name in ("RUN_FOLDER", "JRUN_RUN_FOLDER"):
        parts = os.path.abspath(_path_in(name) or "/").split("/")
        if len(parts) > 4 and parts[-2] == "runs":
            yield _Source(name, parts[-4], parts[-3], parts[-1], is_path=True)
    for name in ("TASK_FOLDER", "JRUN_TASK_FOLDER"):
        parts = os.path.abspath(_path_in(name) or "/").split("/")
        if len(parts) > 2:
            yield _Source(name, parts[-2], parts[-1], is_path=True)
    yield _Source("JRUN_PROJECT_ID", project=os.environ.get("JRUN_PROJECT_ID", ""))
    yield _Source("JRUN_TASK_ID", task=os.environ.get("JRUN_TASK_ID", ""))
    yield _Source("JRUN_ID", run=os.environ.get("JRUN_ID", ""))
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
    """The project of --task. Raises UsageError if nothing names it."""
    if flags.project is not None:
        return flags.project
    if project := os.environ.get("JRUN_PROJECT_ID"):
        return project
    raise click.UsageError("--task needs --project ID (or JRUN_PROJECT_ID), because a task belongs to a project.")


def root_directory(flags: Flags) -> str:
    """The directory of all projects: --root, JRUN_RUNS_DIR, ~/.run-agent/runs."""
    return flags.root or _path_in("JRUN_RUNS_DIR") or expanded(DEFAULT_ROOT)


def bus_upward(flags: Flags) -> Resolved:
    """The first bus file in the start directory or above it."""
    try:
        path = find_bus(flags.start)
    except BusNotFoundError as error:
        raise BusNotFoundError(f"{error} (--bus FILE, MESSAGE_BUS, or --project with --task)") from None
    except InvalidBusPathError as error:
        raise InvalidBusPathError(f"{error} (--bus FILE or MESSAGE_BUS)") from None
    return Resolved(path, f"the first bus file upward from {os.path.abspath(flags.start or os.curdir)}")


def _path_in(variable: str) -> str | None:
    """The path in a variable, None if it is empty or not set."""
    return expanded(os.environ.get(variable, "")) or None


def expanded(path: str) -> str:
    """``path`` with ``~`` or ``~user`` at its start replaced by a home directory.

    Shells leave it alone in ``--root=~/runs``, and cron and systemd everywhere. Raises InvalidBusPathError
    if there is no such home: otherwise a post would create a directory named ``~``.
    """
    if not path.startswith("~"):
        return path
    user, _, rest = path[1:].partition("/")
    home = _home_of(user)
    if not home.startswith("/"):
        raise InvalidBusPathError(
            f"cannot expand {path}: the home directory {home!r} is not an absolute path; correct HOME"
        )
    return os.path.join(home, rest.lstrip("/")) if rest else home


def _home_of(user: str) -> str:
    """The home directory of a user; "" is the current user."""
    if not user and (home := os.environ.get("HOME")):
        return home
    import pwd

    try:
        return (pwd.getpwnam(user) if user else pwd.getpwuid(os.getuid())).pw_dir
    except KeyError:
        if user:
            raise InvalidBusPathError(f"there is no user {user}; for a file of that name, write ./~{user}") from None
        raise InvalidBusPathError(
            f"HOME is not set, and user {os.getuid()} has no home directory: set HOME, or name the bus "
            "(--bus, MESSAGE_BUS) or the root of all projects (--root, JRUN_RUNS_DIR)"
        ) from None
