"""Where bus files are: their names, the directories of a project, the search upward, and how long the listing of a
directory holds.

<root>/<project>/PROJECT-MESSAGE-BUS.md
<root>/<project>/<task>/TASK-MESSAGE-BUS.md
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from messagebus.errors import BusNotFoundError, InvalidBusPathError

if TYPE_CHECKING:
    from pathlib import Path

TASK_BUS = "TASK-MESSAGE-BUS.md"
PROJECT_BUS = "PROJECT-MESSAGE-BUS.md"
PLAIN_BUS = "MESSAGE-BUS.md"
BUS_NAMES = (TASK_BUS, PROJECT_BUS, PLAIN_BUS)

_TICK_NS = 50_000_000  # longer than a tick of any local file system's clock
_SECOND_NS = 1_000_000_000


class Scope(NamedTuple):
    """The project and task that a path names; empty where it names none."""

    project_id: str = ""
    task_id: str = ""


def discover_bus(start: str | os.PathLike[str] | None = None) -> Path:
    """The first bus file at or above ``start`` (a directory; None: the current one).

    Each directory is searched for the task's bus, then the project's, then MESSAGE-BUS.md; only
    regular files count. Raises BusNotFoundError, and InvalidBusPathError where another user may have
    put the file there, or a directory cannot be searched. To use such a bus, pass its path:
    ``MessageBus(path)`` does not check this.
    """
    from pathlib import Path  # 5 ms, and the program does not need it

    return Path(find_bus(start))


def find_bus(start: str | os.PathLike[str] | None = None) -> str:
    """``discover_bus``, as text."""
    try:
        directory = first = os.path.abspath(start or os.curdir)
    except FileNotFoundError:
        raise BusNotFoundError("the current directory no longer exists: change to another, or name a bus") from None
    while True:
        for name in BUS_NAMES:
            candidate = os.path.join(directory, name)
            status = _status(candidate)
            if status and stat.S_ISREG(status.st_mode):
                _refuse_planted(candidate, status.st_uid)
                return candidate
        if directory == os.path.dirname(directory):
            raise BusNotFoundError(
                f"no {', '.join(BUS_NAMES)} in {first} or above it; name a bus, or post to a new one"
            )
        directory = os.path.dirname(directory)


def _status(path: str) -> os.stat_result | None:
    """The status of a path, links not followed; None where there is nothing."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise InvalidBusPathError(
            f"cannot search {os.path.dirname(path)} for a bus ({error.strerror}), and a bus further up may be "
            "the wrong one: name the bus"
        ) from None


def _refuse_planted(path: str, owner: int) -> None:
    """Refuse a file that another user may have planted (docs/security.md, "A bus found upward")."""
    trusted = (os.geteuid(), 0)
    if owner in trusted:
        return
    directory = os.stat(os.path.dirname(path))
    if directory.st_uid not in trusted or directory.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise InvalidBusPathError(
            f"{path} belongs to another user (uid {owner}) and is in a directory that others may write to, so "
            "anyone could have put it there; if you trust it, name it"
        )


def bus_path(root: str | os.PathLike[str], project_id: str, task_id: str | None = None) -> str:
    """The bus of a task, or of a project where ``task_id`` is None.

    Raises InvalidBusPathError for an id that cannot be the name of a directory.
    """
    project = os.path.join(root, _name("project", project_id))
    return os.path.join(project, PROJECT_BUS if task_id is None else os.path.join(_name("task", task_id), TASK_BUS))


def scope_of(path: str | os.PathLike[str]) -> Scope:
    """The project and task of a bus, by its path.

    MESSAGE-BUS.md, which may be anywhere, belongs to a project of its directory's name, if that can be an id.
    """
    directory, name = os.path.split(os.path.abspath(path))
    above, last = os.path.split(directory)
    if name == TASK_BUS:
        return Scope(os.path.basename(above), last)
    if name == PROJECT_BUS or (name == PLAIN_BUS and last.isprintable() and _can_be_name(last)):
        return Scope(last)
    return Scope()


def _name(kind: str, value: str) -> str:
    if not _can_be_name(value):
        raise InvalidBusPathError(
            f"the {kind} id {value!r} cannot name a directory: use an id that is not blank or '.', "
            "without '..', slashes, backslashes or control characters"
        )
    return value


def _can_be_name(value: str) -> bool:
    if not value.strip() or value == "." or ".." in value or "/" in value or "\\" in value:
        return False
    return not any(char < " " or "\x7f" <= char <= "\x9f" for char in value)


def is_settled(changed_ns: int, now_ns: int) -> bool:
    """Whether a directory that was last changed at ``changed_ns`` and is listed at ``now_ns`` would get a later time
    from another change (nanoseconds since 1970). Then the listing holds for as long as that time stays."""
    tick = _TICK_NS if changed_ns % _SECOND_NS else 2 * _SECOND_NS  # some file systems know only whole seconds
    return not 0 <= now_ns - changed_ns < tick
