"""``post --jsonl``: read JSON lines from standard input, and post each as a message.

Lines are posted as they arrive. Those that have arrived together are posted in one write; if it is
refused, they are posted one by one, so that one bad line does not keep out the others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from messagebus import Draft, InvalidMessageError, Message, MessageBus
from run_agent import strict_json
from run_agent.cli import output

_READ_SIZE = 1024 * 1024  # bytes taken from standard input at a time
_KEY = "idempotency_key"
_SET_BY_LOG = ("msg_id", "intact")  # the fields of a stored message that a draft must not have

_NumberedDraft = tuple[int, Draft, str | None]  # the line number, the draft, its idempotency key


class Poster:
    """Posts lines to a bus. ``defaults`` are fields for lines that lack them; ``copy``: the lines are
    those of ``read --json``; ``show`` gets the stored messages."""

    def __init__(
        self, bus: MessageBus, defaults: dict[str, Any], *, copy: bool, show: Callable[[list[Message]], None]
    ) -> None:
        self._bus = bus
        self._defaults = defaults
        self._copy = copy
        self._show = show
        self._refused = 0

    def post_all(self) -> int:
        """Post every line of standard input; returns how many were refused, each with an error on stderr."""
        for lines in _batches():
            drafts = []
            for number, line in lines:
                try:
                    draft, key = draft_from(line, self._defaults, copy=self._copy)
                    self._bus.check_message(draft)
                    drafts.append((number, draft, key))
                except InvalidMessageError as error:
                    self._refuse(number, error)
            self._post_batch(drafts)
        return self._refused

    def _post_batch(self, drafts: list[_NumberedDraft]) -> None:
        if len(drafts) > 1 and all(key is None for _, _, key in drafts):
            with suppress(InvalidMessageError):  # nothing was written: find out below which draft is refused
                messages = self._bus.append_messages([draft for _, draft, _ in drafts])
                self._show(messages)
                return
        for number, draft, key in drafts:
            try:
                self._show([self._bus.append_message(draft, idempotency_key=key)])
            except InvalidMessageError as error:
                self._refuse(number, error)

    def _refuse(self, number: int, error: InvalidMessageError) -> None:
        output.warn(f"Error: line {number}: {error}")
        self._refused += 1


def _batches() -> Iterator[list[tuple[int, bytes]]]:
    """Numbered lines of standard input, as many at a time as have arrived."""
    stdin: Any = sys.stdin.buffer  # mypy does not know its read1
    unfinished: list[bytes] = []  # the parts of a line that has not ended yet
    first_number = 1
    while True:
        data = stdin.read1(_READ_SIZE)
        if data and b"\n" not in data:
            unfinished.append(data)
            continue
        *lines, rest = b"".join((*unfinished, data)).split(b"\n")
        unfinished = [rest]
        if not data:
            lines = [rest]
        numbered = [(number, line) for number, line in enumerate(lines, first_number) if line.strip()]
        first_number += len(lines)
        if numbered:
            yield numbered
        if not data:
            return


def draft_from(line: bytes, defaults: dict[str, Any], *, copy: bool) -> tuple[Draft, str | None]:
    """The draft in a line, and its idempotency key. Raises InvalidMessageError."""
    try:
        data = strict_json.parse(line)
    except ValueError as error:
        raise InvalidMessageError(f"invalid JSON: {error}") from None
    if not isinstance(data, dict):
        raise InvalidMessageError("not a JSON object")
    if copy:
        data = _as_draft(data)
    elif stored := [name for name in _SET_BY_LOG if name in data]:
        raise InvalidMessageError(
            f"only the log sets {' and '.join(stored)}; to copy lines of 'bus read --json', use --copy"
        )
    if not data.get("project_id", defaults.get("project_id")):
        raise InvalidMessageError("no project: give --project ID, set JRUN_PROJECT_ID, or add project_id to the line")
    key = data.pop(_KEY, None)
    if "parents" in data or "relations" in data:
        defaults = {name: value for name, value in defaults.items() if name not in ("parents", "relations")}
    return Draft.from_json(defaults | data), key


def _as_draft(message: dict[str, Any]) -> dict[str, Any]:
    """The fields of a stored message without those that the log sets; its idempotency key moves out of ``meta``."""
    if message.get("intact") is False:
        output.warn(
            f"Warning: {message.get('msg_id')} is torn or was edited ('intact' is false); its copy counts as intact."
        )
    fields = {name: value for name, value in message.items() if name not in _SET_BY_LOG}
    meta = fields.get("meta")
    if isinstance(meta, dict) and _KEY in meta:
        fields |= {_KEY: meta[_KEY], "meta": {name: value for name, value in meta.items() if name != _KEY}}
    return fields
