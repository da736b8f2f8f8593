"""``run-agent serve``: REST and SSE over all buses under a root."""

from __future__ import annotations

import os
import stat
import threading
import webbrowser
from typing import Any

import click

from run_agent.cli import context, output
from run_agent.cli.options import PathType

_PORT = 14355
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command(short_help="Serve a page, REST and SSE over all buses of a root.")
@click.option(
    "--root",
    type=PathType(file_okay=False),
    metavar="DIR",
    help="Where all projects are. [JRUN_RUNS_DIR, ~/.run-agent/runs]",
)
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="Where to listen. [127.0.0.1]; others need a key.")
@click.option(
    "--port", default=_PORT, type=click.IntRange(0, 65535), metavar="N", help=f"[{_PORT}]; 0: any that is free."
)
@click.option(
    "--api-key-file", type=PathType(), metavar="FILE", help="The key is its text; mode 600. [RUN_AGENT_API_KEY]"
)
@click.option(
    "--allow-host", multiple=True, metavar="NAME", help="A name that the server may be asked by; may be repeated."
)
@click.option(
    "--allow-origin",
    multiple=True,
    metavar="URL",
    help="Pages that may use it (https://page.example); may be repeated.",
)
@click.option(
    "--heartbeat",
    default=30.0,
    type=click.FloatRange(0.1),
    metavar="SECONDS",
    help="Between heartbeats on a stream. [30]",
)
@click.option("--fsync", is_flag=True, help="Flush each posted message to disk before answering.")
@click.option(
    "--rotate-bytes", default=0, type=click.IntRange(0), metavar="N", help="Archive a bus of this size. [0: never]"
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
@click.option("--log-json", is_flag=True, help="Log lines (standard error) as JSON.")
def serve(**given: Any) -> int:
    """Serve a page, REST and SSE over every bus under a root, until interrupted.

    Needs the extra: pip install 'path/to/this/checkout[server]'. The page is at /; /openapi.json describes
    all requests.

    \b
    Examples:
      run-agent serve --open
      run-agent serve --root runs --port 8080
      RUN_AGENT_API_KEY=... run-agent serve --host 0.0.0.0 --allow-host bus.example
      curl -N 'http://127.0.0.1:14355/api/projects/demo/tasks/t1/messages/stream'
    """
    key = _key(given["api_key_file"])
    if given["host"] not in _LOOPBACK and not key:
        raise click.UsageError(
            f"--host {given['host']} lets other machines in: give a key too, in RUN_AGENT_API_KEY or --api-key-file."
        )
    runner = _runner()
    root = context.root_directory(context.Flags(root=given["root"]))
    app = _application(runner, root, key, given)
    listener = _listener(runner, given["host"], given["port"])

    def announce() -> None:
        if not os.path.isdir(root):
            runner.warn(f"{os.path.abspath(root)} is not there: nothing is served until something is posted below it")
        output.line(f"Serving {os.path.abspath(root)} at {runner.address_of(listener)} (Ctrl-C ends it)")
        output.flush()
        if given["open_page"]:
            threading.Thread(target=webbrowser.open, args=[runner.address_of(listener)], daemon=True).start()

    code: int = runner.run(app, listener, log_json=given["log_json"], ready=announce)
    return code


def _runner() -> Any:
    """What runs the server, if the extra is installed. Raises ClickException."""
    try:
        from run_agent.server import runner
    except ImportError as error:
        raise click.ClickException(
            f"{error.name} is missing: pip install 'path/to/this/checkout[server]' brings it."
        ) from None
    return runner


def _application(runner: Any, root: str, key: str | None, given: dict[str, Any]) -> Any:
    """The application to serve. Raises UsageError."""
    try:
        return runner.create_app(
            root,
            api_key=key,
            allowed_hosts=(*runner.LOOPBACK_NAMES, given["host"], *given["allow_host"]),
            allowed_origins=given["allow_origin"],
            heartbeat=given["heartbeat"],
            fsync=given["fsync"],
            auto_rotate_bytes=given["rotate_bytes"],
        )
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None


def _listener(runner: Any, host: str, port: int) -> Any:
    """The socket to listen on. Raises ClickException."""
    try:
        return runner.listen(host, port)
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on {host} port {port}: {error.strerror}; --port 0 takes a free one."
        ) from None


def _key(path: str | None) -> str | None:
    """The key that clients must bring: of the file, else of the environment. Raises UsageError."""
    if path is None:
        return context.api_key()
    try:
        with open(path, encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            key = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--api-key-file {path}: {getattr(error, 'strerror', None) or 'is no text'}.") from None
    # The group's bits of a credential are the mask of an access control list, by which systemd lets the service in.
    if mode & (0o007 if context.is_credential(path) else 0o077):
        raise click.UsageError(
            f"--api-key-file {path} has mode {mode:03o}, so others can read it: chmod 600 {path}; "
            "a key in a file that cannot have that mode goes into RUN_AGENT_API_KEY."
        )
    if not key:
        raise click.UsageError(f"--api-key-file {path} is empty: write a key into it.")
    return key
