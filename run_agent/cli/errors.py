"""Errors with exit code 6."""

from __future__ import annotations

import click


class RefusedError(click.ClickException):
    """Input or a path is not acceptable; nothing was changed."""

    exit_code = 6
