"""The lines of ``post --jsonl``: each a message as JSON, given by a program or copied from a bus."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from messagebus import Draft, InvalidMessageError
from run_agent import strict_json
from run_agent.cli import output

_READ_SIZE = 1024 * 1024  # bytes taken from standard input at a time
_KEY = "idempotency_key"
_OF_THE_LOG = ("msg_id", "intact")  # what only the log may say of a message


def arriving() -> Iterator[list[tuple[int, bytes]]]:
    """Numbered lines of standard input, as many at a time as have arrived."""
    stdin: Any = sys.stdin.buffer  # for its read1, which mypy does not know
    begun: list[bytes] = []  # of a line that has not ended yet
    number = 1
    while True:
        data = stdin.read1(_READ_SIZE)
        if data and b"\n" not in data:
            begun.append(data)
            continue
        *lines, rest = b"".join((*begun, data)).split(b"\n")
        begun = [rest]
        if not data:
            lines = [rest]
        numbered = [(at, line) for at, line in enumerate(lines, number) if line.strip()]
        number += len(lines)
        if numbered:
            yield numbered
        if not data:
            return


def draft_from(line: bytes, defaults: dict[str, Any], *, copy: bool) -> tuple[Draft, str | None]:
    """What to post, and its idempotency key; ``copy``: the line is one of ``read --json``.

    Raises InvalidMessageError.
    """
    try:
        data = strict_json.parse(line)
    except ValueError as error:
        raise InvalidMessageError(f"not JSON: {error}") from None
    if not isinstance(data, dict):
        raise InvalidMessageError("not a JSON object")
    if copy:
        data = _without_what_the_log_says(data)
    elif stored := [name for name in _OF_THE_LOG if name in data]:
        raise InvalidMessageError(
            f"{' and '.join(stored)} are for the log to say; to post lines of 'bus read --json' again, use --copy"
        )
    if not data.get("project_id", defaults.get("project_id")):
        raise InvalidMessageError(
            "no project: give --project ID, set JRUN_PROJECT_ID, or name a project_id in the line"
        )
    key = data.pop(_KEY, None)
    if "parents" in data or "relations" in data:
        defaults = {name: value for name, value in defaults.items() if name not in ("parents", "relations")}
    return Draft.from_json(defaults | data), key


def _without_what_the_log_says(data: dict[str, Any]) -> dict[str, Any]:
    """A stored message as a new one. An idempotency key, which the log keeps in ``meta``, remains one."""
    if data.get("intact") is False:
        output.warn(f"Warning: {data.get('msg_id')} was torn or edited ('intact' is false); its copy counts as whole.")
    kept = {name: value for name, value in data.items() if name not in _OF_THE_LOG}
    meta = kept.get("meta")
    if isinstance(meta, dict) and _KEY in meta:
        kept |= {_KEY: meta[_KEY], "meta": {name: value for name, value in meta.items() if name != _KEY}}
    return kept
