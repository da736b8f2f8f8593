"""What a verb refuses: exit code 6."""

from __future__ import annotations

import click


class RefusedError(click.ClickException):
    """Input or a path that cannot be taken; nothing was changed."""

    exit_code = 6
