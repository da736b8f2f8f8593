"""``run-agent serve``: a web page, REST and SSE for all buses under a root."""

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


@click.command(short_help="Serve a web page, REST and SSE for all buses under a root.")
@click.option(
    "--root",
    type=PathType(file_okay=False),
    metavar="DIR",
    help="The root: the directory of all projects. [JRUN_RUNS_DIR, ~/.run-agent/runs]",
)
@click.option(
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    help="The address to listen on; any but loopback needs a key. [127.0.0.1]",
)
@click.option(
    "--port",
    default=_PORT,
    type=click.IntRange(0, 65535),
    metavar="N",
    help=f"The port to listen on; 0 takes any free one. [{_PORT}]",
)
@click.option(
    "--api-key-file", type=PathType(), metavar="FILE", help="Read the API key from FILE (mode 600). [RUN_AGENT_API_KEY]"
)
@click.option(
    "--allow-host", multiple=True, metavar="NAME", help="Accept requests for this host name; may be repeated."
)
@click.option(
    "--allow-origin",
    multiple=True,
    metavar="URL",
    help="Accept requests from pages of this origin (https://page.example); may be repeated.",
)
@click.option(
    "--heartbeat",
    default=30.0,
    type=click.FloatRange(0.1),
    metavar="SECONDS",
    help="The time between heartbeats on a stream. [30]",
)
@click.option("--fsync", is_flag=True, help="Flush each posted message to disk before answering.")
@click.option(
    "--rotate-bytes",
    default=0,
    type=click.IntRange(0),
    metavar="N",
    help="Before a post, archive a file of N bytes or more. [0: never]",
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
@click.option("--log-json", is_flag=True, help="Write the log (standard error) as JSON lines.")
def serve(**options: Any) -> int:
    """Serve a web page, REST and SSE for every bus under a root, until interrupted.

    Needs the server extra: pip install 'path/to/this/checkout[server]'. The page is at /; /openapi.json
    describes all requests.

    \b
    Examples:
      run-agent serve --open
      run-agent serve --root runs --port 8080
      RUN_AGENT_API_KEY=... run-agent serve --host 0.0.0.0 --allow-host bus.example
      curl -N 'http://127.0.0.1:14355/api/projects/demo/tasks/t1/messages/stream'
    """
    key = _key(options["api_key_file"])
    if options["host"] not in _LOOPBACK and not key:
        raise click.UsageError(
            f"--host {options['host']} accepts other machines, so it needs an API key: "
            "set RUN_AGENT_API_KEY or give --api-key-file."
        )
    runner = _runner()
    root = context.root_directory(context.Flags(root=options["root"]))
    app = _application(runner, root, key, options)
    listener = _listener(runner, options["host"], options["port"])

    def announce() -> None:
        if not os.path.isdir(root):
            runner.warn(f"{os.path.abspath(root)} does not exist: there are no messages until one is posted under it")
        output.line(f"Serving {os.path.abspath(root)} at {runner.address_of(listener)} (Ctrl-C stops it)")
        output.flush()
        if options["open_page"]:
            threading.Thread(target=webbrowser.open, args=[runner.address_of(listener)], daemon=True).start()

    code: int = runner.run(app, listener, log_json=options["log_json"], ready=announce)
    return code


def _runner() -> Any:
    """The module that runs the server. Raises ClickException if its extra is not installed."""
    try:
        from run_agent.server import runner
    except ImportError as error:
        raise click.ClickException(
            f"the server needs {error.name}, which is not installed: pip install 'path/to/this/checkout[server]'"
        ) from None
    return runner


def _application(runner: Any, root: str, key: str | None, options: dict[str, Any]) -> Any:
    """The application to serve. Raises UsageError."""
    try:
        return runner.create_app(
            root,
            api_key=key,
            allowed_hosts=(*runner.LOOPBACK_NAMES, options["host"], *options["allow_host"]),
            allowed_origins=options["allow_origin"],
            heartbeat=options["heartbeat"],
            fsync=options["fsync"],
            auto_rotate_bytes=options["rotate_bytes"],
        )
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None


def _listener(runner: Any, host: str, port: int) -> Any:
    """The socket to listen on. Raises ClickException."""
    try:
        return runner.listen(host, port)
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on {host} port {port}: {error.strerror}; to use a free port, give --port 0."
        ) from None


def _key(path: str | None) -> str | None:
    """The key that clients must send, from the file or else the environment. Raises UsageError."""
    if path is None:
        return context.api_key()
    try:
        with open(path, encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            key = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(
            f"--api-key-file {path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}."
        ) from None
    # On a credential of systemd the group bits are the mask of an access control list, which lets the service read it.
    if mode & (0o007 if context.is_credential(path) else 0o077):
        raise click.UsageError(
            f"--api-key-file {path} has mode {mode:03o}, so other users can read it: chmod 600 {path}, "
            "or set RUN_AGENT_API_KEY to the key if the file cannot have that mode."
        )
    if not key:
        raise click.UsageError(f"--api-key-file {path} is empty: write a key into it.")
    return key
