"""``run-agent bus post``: store one message, or one for each JSON line of standard input."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from math import isnan
from typing import Any

import click

from messagebus import BusError, Draft, InvalidMessageError, Link, Message, MessageBus, Parent
from run_agent.cli import context, output
from run_agent.cli.options import bus_options, complete_type

_SCISSORS = "<!-- Write the message above this line. An empty one posts nothing. -->"


@click.command(short_help="Store a message.")
@bus_options
@click.option("--run", "run_id", metavar="ID", help="The run that says it. [RUN_FOLDER, JRUN_ID]")
@click.option(
    "--type",
    "kind",
    default="INFO",
    metavar="TYPE",
    shell_complete=complete_type,
    help="FACT, QUESTION, ANSWER, ... any word, stored as it is given. [INFO]",
)
@click.option("--body", metavar="TEXT", help="The text; '-' takes it from standard input, '' is an empty one.")
@click.option("--edit", is_flag=True, help="Write the text in your editor.")
@click.option(
    "--parent",
    "parents",
    multiple=True,
    metavar="ID[:KIND]",
    help="A message this one refers to, and how. (An id that holds a colon ends in one: 'a:b:'.)",
)
@click.option("--link", "links", multiple=True, metavar="URL", help="Something outside the bus.")
@click.option("--meta", "meta", multiple=True, metavar="KEY=VALUE", help="Anything else worth keeping.")
@click.option("--issue-id", default="", metavar="ID", help="The issue it belongs to; an ISSUE is its own.")
@click.option("--idempotency-key", metavar="KEY", help="Posting again with this key within 24 hours stores nothing.")
@click.option("--fsync", is_flag=True, help="Return only once it is on the disk.")
@click.option(
    "--rotate-bytes", type=click.IntRange(min=0), default=0, metavar="N", help="Archive the file once it has N bytes."
)
@click.option(
    "--lock-timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait for other writers, in all. [about 30]",
)
@click.option("--jsonl", is_flag=True, help="One message for each JSON line of standard input, as the lines come.")
@click.option("--copy", is_flag=True, help="With --jsonl: lines of 'read --json'; each message gets a new id.")
@click.option("--quiet", "-q", is_flag=True, help="Print the id alone.")
@click.option("--json", "as_json", is_flag=True, help="Print the stored message as a JSON line.")
def post(**given: Any) -> int:
    """Store a message and print its id.

    The bus is --bus, else MESSAGE_BUS, else that of --project and --task under the root, else
    the first one upward from here. ('bus read' shows that of --project and --task, whatever MESSAGE_BUS
    says; post warns where these are two.) Project, task and run are taken from the flags, the path
    of the bus, RUN_FOLDER, TASK_FOLDER, or JRUN_PROJECT_ID, JRUN_TASK_ID, JRUN_ID.

    The text is --body, or what is piped in.

    \b
    Examples:
      run-agent bus post --project demo --task t1 --type FACT --body "The build is green"
      make 2>&1 | tail -5 | run-agent bus post --type ERROR
      run-agent bus post --type ANSWER --parent MSG-01KAJ3...:answers --body "In util.c"
      jq -c '{type: "FACT", body: .msg}' log.json | run-agent bus post --jsonl --quiet
      run-agent bus read --bus old.md --tail 0 --json | run-agent bus post --bus new.md --jsonl --copy
    """
    _refuse_contradictions(given)
    flags = context.Flags(given["bus"], given["root"], given["project"], given["task"], given["run_id"])
    target = context.bus_to_post(flags)
    if doubt := context.doubt(flags, target):
        output.warn(f"Warning: {doubt}")
    fields = _fields(flags, target.value, given)
    with _open(target.value, given) as bus:
        if given["jsonl"]:
            context.make_directories(target)
            return _post_lines(bus, fields, given)
        draft = _draft(fields, given)
        bus.check_message(draft)  # before a body is typed or waited for, only to be lost
        draft = replace(draft, body=_body(given, bus.max_body_bytes))
        bus.check_message(draft)
        context.make_directories(target)
        try:
            stored = bus.append_message(draft, idempotency_key=given["idempotency_key"])
        except (BusError, OSError):
            if given["edit"]:
                _keep(draft.body)
            raise
    _print([stored], given)
    return 0


def _fields(flags: context.Flags, bus: str, given: dict[str, Any]) -> dict[str, str]:
    """Project, task and run. A copy is of the task and run that it says, and not of ours."""
    return {
        name: found.value
        for name, found in context.scope(flags, bus).items()
        if not given["copy"] or name == "project_id" or found.rule == context.FLAGS
    }


def _open(path: str, given: dict[str, Any]) -> MessageBus:
    options: dict[str, Any] = {"fsync": given["fsync"], "auto_rotate_bytes": given["rotate_bytes"]}
    if given["lock_timeout"] is not None:
        options |= {"lock_timeout": given["lock_timeout"], "max_retries": 1}
    return MessageBus(path, **options)


def _print(messages: list[Message], given: dict[str, Any]) -> None:
    try:
        for message in messages:
            if given["as_json"]:
                output.json_line(message.to_json())
            else:
                msg_id = output.escape_controls(
                    message.msg_id
                )  # which a person may have written, under an idempotency key
                output.line(msg_id if given["quiet"] else f"msg_id: {msg_id}")
        output.flush()
    except OSError as error:
        ids = ", ".join(message.msg_id for message in messages)
        reason = f"{ids} is stored, but standard output cannot be written ({error.strerror}); do not post it again"
        raise OSError(error.errno, reason) from None


def _refuse_contradictions(given: dict[str, Any]) -> None:
    if given["quiet"] and given["as_json"]:
        raise click.UsageError("--quiet prints the id, --json the message: give one of them.")
    if given["lock_timeout"] is not None and isnan(given["lock_timeout"]):
        raise click.UsageError("--lock-timeout must be a number of seconds, 0 or more.")
    if given["jsonl"] and sys.stdin is None:
        raise click.UsageError("--jsonl takes messages from standard input, which is closed.")
    if given["copy"] and not given["jsonl"]:
        raise click.UsageError("--copy says what the lines of --jsonl are: give --jsonl too.")
    own = [f"--{name}" for name in ("body", "edit", "idempotency_key") if given[name] not in (None, False)]
    if given["jsonl"] and own:
        raise click.UsageError(f"--jsonl takes messages from standard input: leave out {own[0].replace('_', '-')}.")


# --- one message ---------------------------------------------------------------------------


def _draft(fields: dict[str, str], given: dict[str, Any]) -> Draft:
    """What is to be posted, without its body."""
    if not fields.get("project_id"):
        raise click.UsageError(
            "No project: give --project ID, set JRUN_PROJECT_ID, or post to a bus at <root>/<project>/<task>/."
        )
    return Draft(
        type=given["kind"],
        issue_id=given["issue_id"],
        parents=_parents(given),
        links=_links(given),
        meta=_meta(given),
        project_id=fields["project_id"],
        task_id=fields.get("task_id", ""),
        run_id=fields.get("run_id", ""),
    )


def _parents(given: dict[str, Any]) -> list[Parent]:
    split = (text.rpartition(":") if ":" in text else (text, "", "") for text in given["parents"])
    return [Parent(msg_id, kind) for msg_id, _, kind in split]


def _links(given: dict[str, Any]) -> list[Link]:
    return [Link(url) for url in given["links"]]


def _meta(given: dict[str, Any]) -> dict[str, str]:
    pairs = {}
    for text in given["meta"]:
        key, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"--meta {text!r} has no '=': write --meta KEY=VALUE.")
        pairs[key] = value
    return pairs


def _body(given: dict[str, Any], max_bytes: int) -> str:
    text = given["body"]
    if given["edit"]:
        if not (sys.stdin and sys.stdin.isatty()) and not context.has_editor():
            raise click.UsageError("--edit needs a terminal, or an editor named by EDITOR; or give --body TEXT.")
        return _edited("" if text in (None, "-") else text)
    if text is not None and text != "-":
        return str(text)
    if sys.stdin is None or (text is None and sys.stdin.isatty()):
        raise click.UsageError("No text: give --body TEXT, pipe it in, or use --edit.")
    piped = _piped(max_bytes)
    if not piped.strip("\r\n"):
        raise click.UsageError("Standard input is empty: post an empty text with --body ''.")
    return piped


def _piped(max_bytes: int) -> str:
    most = max_bytes + 2  # room for a line end, which does not count
    data = sys.stdin.buffer.read(most)
    if len(data) == most and sys.stdin.buffer.read(1):
        raise InvalidMessageError(
            f"standard input is longer than the limit of {max_bytes:,} bytes: store it in a file and use --link"
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidMessageError(
            f"standard input is not UTF-8 at byte {error.start}; convert it, e.g. with iconv -t UTF-8"
        ) from None


def _edited(text: str) -> str:
    try:
        edited = click.edit(f"{text}\n\n{_SCISSORS}\n", extension=".md")
    except UnicodeDecodeError as error:
        raise InvalidMessageError(f"what the editor saved is not UTF-8 at byte {error.start}") from None
    body = (text if edited is None else edited).partition(_SCISSORS)[0].strip("\r\n")
    if not body.strip():
        output.warn("Nothing posted: the message is empty.")
        raise click.exceptions.Exit(1)
    return body


def _keep(body: str) -> None:
    """Save what somebody typed from an append that failed."""
    from tempfile import NamedTemporaryFile

    with NamedTemporaryFile("w", encoding="utf-8", prefix="message-", suffix=".md", delete=False) as file:
        file.write(body)
    output.warn(f"Your text is kept in {file.name}.")


# --- many ----------------------------------------------------------------------------------


def _post_lines(bus: MessageBus, fields: dict[str, str], given: dict[str, Any]) -> int:
    """Post what comes; a bad line is told by its number and the others go in."""
    from run_agent.cli import json_lines

    defaults = {
        "type": given["kind"],
        "issue_id": given["issue_id"],
        "parents": [parent.msg_id for parent in _parents(given)],
        "relations": [{"msg_id": parent.msg_id, "kind": parent.kind} for parent in _parents(given) if parent.kind],
        "links": [{"url": link.url} for link in _links(given)],
        "meta": _meta(given),
        **fields,
    }
    refused = 0
    for lines in json_lines.arriving():
        drafts = []
        for number, line in lines:
            try:
                draft, key = json_lines.draft_from(line, defaults, copy=given["copy"])
                bus.check_message(draft)
                drafts.append((number, draft, key))
            except InvalidMessageError as error:
                refused += _refuse(number, error)
        refused += _post_batch(bus, drafts, given)
    return 6 if refused else 0


def _post_batch(bus: MessageBus, drafts: list[tuple[int, Draft, str | None]], given: dict[str, Any]) -> int:
    """Post them in one write; where that is refused, one by one. Returns how many were."""
    if not drafts:
        return 0
    if len(drafts) > 1 and all(key is None for _, _, key in drafts):
        with suppress(InvalidMessageError):  # then nothing was written: find out which it is
            messages = bus.append_messages([draft for _, draft, _ in drafts])
            _print(messages, given)
            return 0
    refused = 0
    for number, draft, key in drafts:
        try:
            _print([bus.append_message(draft, idempotency_key=key)], given)
        except InvalidMessageError as error:
            refused += _refuse(number, error)
    return refused


def _refuse(number: int, error: InvalidMessageError) -> int:
    output.warn(f"Error: line {number}: {error}")
    return 1
