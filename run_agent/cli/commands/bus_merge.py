"""``run-agent bus merge``: two versions of a bus made one, as git's merge driver or by hand."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

import click

from messagebus import merge_logs
from run_agent.cli import output
from run_agent.cli.errors import RefusedError


@click.command(short_help="Merge two versions of a bus, for git.")
@click.argument("files", nargs=-1, metavar="[BASE OURS THEIRS]", type=click.Path())
@click.option("--install", is_flag=True, help="Make git merge buses so, in the repository of this directory.")
@click.option("--uninstall", is_flag=True, help="Take that back.")
def merge(files: tuple[str, ...], install: bool, uninstall: bool) -> int:
    """Write the messages of OURS and THEIRS to OURS, each once, in the order of their ids.

    BASE is what both come from, and may be empty. Nothing is dropped, and there are no conflict
    markers: of a message that both sides edited, both versions stay, the second under a new id
    and with meta.conflict_of. Of a failure (exit code 6) OURS knows nothing.

    --install adds two lines to .gitattributes, which is to be committed, and the driver to the
    configuration of this clone; each clone needs it once. docs/git.md says what git then does.

    \b
    Examples:
      run-agent bus merge --install
      run-agent bus merge --uninstall
      run-agent bus merge base.md MESSAGE-BUS.md theirs.md
    """
    if install or uninstall:
        if files or (install and uninstall):
            raise click.UsageError("--install and --uninstall stand alone.")
        return _change_repository(install=install)
    if len(files) != 3:
        raise click.UsageError("Give three files, BASE OURS THEIRS, or --install.")
    base, ours, theirs = files
    _replace(ours, merge_logs(_read(base), _read(ours), _read(theirs)))
    return 0


def _change_repository(*, install: bool) -> int:
    from run_agent.cli import merge_driver  # which needs subprocesses

    done = merge_driver.install() if install else merge_driver.uninstall()
    for sentence in done or ["Nothing to do: " + ("it is installed." if install else "it is not installed.")]:
        output.line(output.escape_controls(sentence))
    return 0


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}; nothing was merged.") from None


def _replace(path: str, data: bytes) -> None:
    """All of the new content or all of the old, with the mode, the group and, as far as may be, the owner of it."""
    old = os.lstat(path)
    if not stat.S_ISREG(old.st_mode):
        raise RefusedError(f"{path} is not a regular file; nothing was merged.")
    new = f"{path}.{os.getpid()}.merged"
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            _share(file.fileno(), old)
        os.replace(new, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(new)
        raise RefusedError(f"{path}: {error.strerror}; nothing was merged.") from None


def _share(fd: int, old: os.stat_result) -> None:
    """As the library does where it replaces a file; for another group than the old one, no more than for all."""
    mode = stat.S_IMODE(old.st_mode)
    try:
        os.fchown(fd, -1, old.st_gid)
    except PermissionError:
        mode = mode & 0o707 | (mode & 0o007) << 3
    os.fchmod(fd, mode)
    with suppress(PermissionError):
        os.fchown(fd, old.st_uid, -1)
