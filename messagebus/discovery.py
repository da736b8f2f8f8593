"""Where bus files are: their names, the tree of a project, and the walk upward.

<root>/<project>/PROJECT-MESSAGE-BUS.md
<root>/<project>/<task>/TASK-MESSAGE-BUS.md
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from messagebus.errors import BusNotFoundError, InvalidBusPathError

if TYPE_CHECKING:
    from pathlib import Path

TASK_BUS = "TASK-MESSAGE-BUS.md"
PROJECT_BUS = "PROJECT-MESSAGE-BUS.md"
PLAIN_BUS = "MESSAGE-BUS.md"
BUS_NAMES = (TASK_BUS, PROJECT_BUS, PLAIN_BUS)


class Scope(NamedTuple):
    """What a path says about its messages; empty where it says nothing."""

    project_id: str = ""
    task_id: str = ""


def discover_bus(start: str | os.PathLike[str] | None = None) -> Path:
    """The first bus file at or above ``start`` (a directory; None: the current one).

    Each directory is asked for the task's bus, then the project's, then MESSAGE-BUS.md; only
    regular files count. Raises BusNotFoundError.
    """
    from pathlib import Path  # 5 ms, and the program itself does without

    return Path(find_bus(start))


def find_bus(start: str | os.PathLike[str] | None = None) -> str:
    """``discover_bus``, as text."""
    try:
        directory = first = os.path.abspath(start or os.curdir)
    except FileNotFoundError:
        raise BusNotFoundError("the current directory is gone: change to another, or name a bus") from None
    while True:
        for name in BUS_NAMES:
            candidate = os.path.join(directory, name)
            if os.path.isfile(candidate) and not os.path.islink(candidate):
                return candidate
        if directory == os.path.dirname(directory):
            raise BusNotFoundError(
                f"no {', '.join(BUS_NAMES)} in {first} or above it; name a bus, or post to a new one"
            )
        directory = os.path.dirname(directory)


def bus_path(root: str | os.PathLike[str], project_id: str, task_id: str | None = None) -> str:
    """The bus of a task, or of a project where ``task_id`` is None.

    Raises InvalidBusPathError for an id that cannot be the name of a directory.
    """
    project = os.path.join(root, _name("project", project_id))
    return os.path.join(project, PROJECT_BUS if task_id is None else os.path.join(_name("task", task_id), TASK_BUS))


def scope_of(path: str | os.PathLike[str]) -> Scope:
    """The project and task that a bus path stands for, by its place in the tree."""
    directory, name = os.path.split(os.path.abspath(path))
    above, last = os.path.split(directory)
    if name == TASK_BUS:
        return Scope(os.path.basename(above), last)
    if name == PROJECT_BUS:
        return Scope(last)
    return Scope()


def _name(kind: str, value: str) -> str:
    bad = not value.strip() or value == "." or ".." in value or "/" in value or "\\" in value
    if bad or any(char < " " or "\x7f" <= char <= "\x9f" for char in value):
        raise InvalidBusPathError(
            f"the {kind} id {value!r} cannot name a directory: use an id that is not blank or '.', "
            "without '..', slashes, backslashes or control characters"
        )
    return value
