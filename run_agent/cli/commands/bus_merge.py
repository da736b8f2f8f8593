"""``run-agent bus merge``: merges two versions of a bus, as git's merge driver or by hand."""

from __future__ import annotations

import click

from messagebus import InvalidBusPathError, merge_files
from run_agent.cli import output
from run_agent.cli.errors import RefusedError


@click.command(short_help="Merge two versions of a bus, for git.")
@click.argument("files", nargs=-1, metavar="[BASE OURS THEIRS]", type=click.Path())
@click.option("--install", is_flag=True, help="Install the git merge driver in the repository of this directory.")
@click.option("--uninstall", is_flag=True, help="Remove it again.")
def merge(files: tuple[str, ...], install: bool, uninstall: bool) -> int:
    """Merge OURS and THEIRS into OURS: each message once, in the order of the ids.

    BASE is the common ancestor of both, and may be empty. Nothing is dropped, and there are no conflict
    markers: if both sides edited a message, both versions stay, the second with a new id and with
    meta.conflict_of. On failure (exit code 6) OURS is unchanged.

    --install adds two lines to .gitattributes, which you commit, and adds the driver to the
    configuration of this clone; each clone needs it once. docs/git.md says what git then does.

    \b
    Examples:
      run-agent bus merge --install
      run-agent bus merge --uninstall
      run-agent bus merge base.md MESSAGE-BUS.md theirs.md
    """
    if install or uninstall:
        if files or (install and uninstall):
            raise click.UsageError("Use --install or --uninstall alone.")
        return _change_repository(install=install)
    if len(files) != 3:
        raise click.UsageError("Give three files, BASE OURS THEIRS, or --install.")
    _, ours, _ = files
    try:
        merge_files(*files)
    except InvalidBusPathError as error:
        raise RefusedError(f"{error}; nothing was merged.") from None
    except OSError as error:
        raise RefusedError(f"{error.filename or ours}: {error.strerror}; nothing was merged.") from None
    return 0


def _change_repository(*, install: bool) -> int:
    from run_agent.cli import merge_driver  # imported here: it needs subprocess

    changes = merge_driver.install() if install else merge_driver.uninstall()
    for sentence in changes or [f"Nothing to do: it is {'already' if install else 'not'} installed."]:
        output.line(output.escape_controls(sentence))
    return 0
