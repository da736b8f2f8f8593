"""``run-agent bus post``: post one message, or one for each JSON line of standard input."""

from __future__ import annotations

import sys
from dataclasses import replace
from math import isnan
from typing import Any

import click

from messagebus import BusError, Draft, InvalidMessageError, Link, Message, MessageBus, Parent
from run_agent.cli import context, output
from run_agent.cli.options import bus_options, complete_type, meta_of

_SCISSORS = "<!-- Write the message above this line. An empty message is not posted. -->"


@click.command(short_help="Post a message.")
@bus_options
@click.option("--run", "run_id", metavar="ID", help="The run that posts it. [RUN_FOLDER, JRUN_ID]")
@click.option(
    "--type",
    "type_",
    default="INFO",
    metavar="TYPE",
    shell_complete=complete_type,
    help="FACT, QUESTION, ANSWER, ... or any other word; stored as given. [INFO]",
)
@click.option("--body", metavar="TEXT", help="The text; '-' reads it from standard input, '' posts an empty text.")
@click.option("--edit", is_flag=True, help="Write the text in your editor.")
@click.option(
    "--parent",
    "parents",
    multiple=True,
    metavar="ID[:KIND]",
    help="A message that this one refers to, and how; may be repeated. (After an id with a colon, add one: 'a:b:'.)",
)
@click.option(
    "--link", "links", multiple=True, metavar="URL", help="A link to something outside the bus; may be repeated."
)
@click.option("--meta", "meta", multiple=True, metavar="KEY=VALUE", help="Another field to store; may be repeated.")
@click.option("--issue-id", default="", metavar="ID", help="The issue it belongs to; an ISSUE defaults to its own id.")
@click.option("--idempotency-key", metavar="KEY", help="A retry with this key within 24 hours stores nothing new.")
@click.option("--fsync", is_flag=True, help="Flush the message to disk before returning.")
@click.option(
    "--rotate-bytes",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="First archive the file if it has N bytes or more.",
)
@click.option(
    "--lock-timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait for other writers, in total. [about 30]",
)
@click.option("--jsonl", is_flag=True, help="Post each JSON line of standard input as a message, as it arrives.")
@click.option("--copy", is_flag=True, help="With --jsonl: copy lines of 'read --json'; each message gets a new id.")
@click.option("--quiet", "-q", is_flag=True, help="Print only the id.")
@click.option("--json", "as_json", is_flag=True, help="Print the stored message as a JSON line.")
def post(**options: Any) -> int:
    """Post a message and print its id.

    The bus is --bus, else MESSAGE_BUS, else the bus of --project and --task under the root, else
    the first bus file in the current directory or above it. ('bus read' prefers --project and --task
    to MESSAGE_BUS; post warns if the two are different buses.) Project, task and run come from the
    flags, the path of the bus, RUN_FOLDER, TASK_FOLDER, or JRUN_PROJECT_ID, JRUN_TASK_ID, JRUN_ID.

    The text is --body, or is read from a pipe or a redirected file.

    \b
    Examples:
      run-agent bus post --project demo --task t1 --type FACT --body "The build is green"
      make 2>&1 | tail -5 | run-agent bus post --type ERROR
      run-agent bus post --type ANSWER --parent MSG-01KAJ3...:answers --body "In util.c"
      jq -c '{type: "FACT", body: .msg}' log.json | run-agent bus post --jsonl --quiet
      run-agent bus read --bus old.md --tail 0 --json | run-agent bus post --bus new.md --jsonl --copy
    """
    _refuse_contradictions(options)
    flags = context.Flags(options["bus"], options["root"], options["project"], options["task"], options["run_id"])
    target = context.bus_to_post(flags)
    if misdirection := context.misdirection(flags, target):
        output.warn(f"Warning: {misdirection}")
    fields = _fields(flags, target.value, options)
    with _open(target, options) as bus:
        if options["jsonl"]:
            return _post_lines(bus, fields, options)
        draft = _draft(fields, options)
        if options["edit"] or options["body"] in (None, "-"):
            bus.check_message(draft)  # before the body is typed or read, which an error would lose
        draft = replace(draft, body=_body(options, bus.max_body_bytes))
        try:
            stored = bus.append_message(draft, idempotency_key=options["idempotency_key"])
        except (BusError, OSError):
            if options["edit"]:
                _save(draft.body)
            raise
    _print([stored], options)
    return 0


def _fields(flags: context.Flags, bus: str, options: dict[str, Any]) -> dict[str, str]:
    """Project, task and run. A copy keeps its own task and run, unless flags give others."""
    return {
        name: resolved.value
        for name, resolved in context.scope(flags, bus).items()
        if not options["copy"] or name == "project_id" or resolved.rule == context.FLAGS
    }


def _open(target: context.Resolved, options: dict[str, Any]) -> MessageBus:
    settings: dict[str, Any] = {
        "fsync": options["fsync"],
        "auto_rotate_bytes": options["rotate_bytes"],
        "make_directories": target.managed,
    }
    if options["lock_timeout"] is not None:
        settings |= {"lock_timeout": options["lock_timeout"], "max_retries": 1}
    return MessageBus(target.value, **settings)


def _print(messages: list[Message], options: dict[str, Any]) -> None:
    try:
        for message in messages:
            if options["as_json"]:
                output.json_line(message.to_json())
            else:
                msg_id = output.escape_controls(message.msg_id)  # a retry may find a message written by hand
                output.line(msg_id if options["quiet"] else f"msg_id: {msg_id}")
        output.flush()
    except OSError as error:
        ids = ", ".join(message.msg_id for message in messages)
        reason = f"{ids} is stored, but cannot be written to standard output ({error.strerror}); do not post it again"
        raise OSError(error.errno, reason) from None


def _refuse_contradictions(options: dict[str, Any]) -> None:
    if options["quiet"] and options["as_json"]:
        raise click.UsageError("--quiet prints the id and --json the message: give one of them.")
    if options["lock_timeout"] is not None and isnan(options["lock_timeout"]):
        raise click.UsageError("--lock-timeout must be a number of seconds, 0 or more.")
    if options["jsonl"] and sys.stdin is None:
        raise click.UsageError("--jsonl reads messages from standard input, which is closed.")
    if options["copy"] and not options["jsonl"]:
        raise click.UsageError("--copy works only with --jsonl: give --jsonl too.")
    unused = [f"--{name}" for name in ("body", "edit", "idempotency_key") if options[name] not in (None, False)]
    if options["jsonl"] and unused:
        raise click.UsageError(f"--jsonl reads messages from standard input: leave out {unused[0].replace('_', '-')}.")


def _draft(fields: dict[str, str], options: dict[str, Any]) -> Draft:
    """The draft, without its body."""
    if not fields.get("project_id"):
        raise click.UsageError(
            "No project: give --project ID, set JRUN_PROJECT_ID, or use a bus in <root>/<project>/<task>/."
        )
    return Draft(
        type=options["type_"],
        issue_id=options["issue_id"],
        parents=_parents(options),
        links=_links(options),
        meta=meta_of(options["meta"]),
        project_id=fields["project_id"],
        task_id=fields.get("task_id", ""),
        run_id=fields.get("run_id", ""),
    )


def _parents(options: dict[str, Any]) -> list[Parent]:
    split = (text.rpartition(":") if ":" in text else (text, "", "") for text in options["parents"])
    return [Parent(msg_id, kind) for msg_id, _, kind in split]


def _links(options: dict[str, Any]) -> list[Link]:
    return [Link(url) for url in options["links"]]


def _body(options: dict[str, Any], max_bytes: int) -> str:
    text = options["body"]
    if options["edit"]:
        if not (sys.stdin and sys.stdin.isatty()) and not context.has_editor():
            raise click.UsageError("--edit needs a terminal, or an editor in VISUAL or EDITOR; or give --body TEXT.")
        return _edited("" if text in (None, "-") else text)
    if text is not None and text != "-":
        return str(text)
    if sys.stdin is None or (text is None and sys.stdin.isatty()):
        raise click.UsageError("No text: give --body TEXT, pipe it in, or use --edit.")
    piped = _piped(max_bytes)
    if not piped.strip("\r\n"):
        raise click.UsageError("Standard input is empty; to post an empty text, use --body ''.")
    return piped


def _piped(max_bytes: int) -> str:
    limit = max_bytes + 2  # a line end at the end does not count
    data = sys.stdin.buffer.read(limit)
    if len(data) == limit and sys.stdin.buffer.read(1):
        raise InvalidMessageError(
            f"standard input is longer than the limit of {max_bytes:,} bytes: save it in a file and use --link"
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidMessageError(
            f"standard input is not UTF-8 at byte {error.start}; convert it, for example with iconv -t UTF-8"
        ) from None


def _edited(text: str) -> str:
    try:
        edited = click.edit(f"{text}\n\n{_SCISSORS}\n", extension=".md")
    except UnicodeDecodeError as error:
        raise InvalidMessageError(f"the edited text is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    body = (text if edited is None else edited).partition(_SCISSORS)[0].strip("\r\n")
    if not body.strip():
        output.warn("Nothing posted: the message is empty.")
        raise click.exceptions.Exit(1)
    return body


def _save(body: str) -> None:
    """Save the edited text after its append failed."""
    from tempfile import NamedTemporaryFile

    with NamedTemporaryFile("w", encoding="utf-8", prefix="message-", suffix=".md", delete=False) as file:
        file.write(body)
    output.warn(f"Your text is saved in {file.name}.")


def _post_lines(bus: MessageBus, fields: dict[str, str], options: dict[str, Any]) -> int:
    from run_agent.cli import jsonl  # imported here: a single post does without JSON

    defaults = {
        "type": options["type_"],
        "issue_id": options["issue_id"],
        "parents": [parent.msg_id for parent in _parents(options)],
        "relations": [{"msg_id": parent.msg_id, "kind": parent.kind} for parent in _parents(options) if parent.kind],
        "links": [{"url": link.url} for link in _links(options)],
        "meta": meta_of(options["meta"]),
        **fields,
    }
    poster = jsonl.Poster(bus, defaults, copy=options["copy"], show=lambda messages: _print(messages, options))
    return 6 if poster.post_all() else 0
