"""``run-agent bus read``: show the newest messages, or those after an id, and follow new ones."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import click

from messagebus import BusNotFoundError, Message, MessageBus, SinceIDNotFoundError
from run_agent.cli import context, output, streams
from run_agent.cli.options import bus_options, complete_type

_POLL_INTERVAL = 0.5  # seconds; file events, if the system has them, are faster
_TAIL = 20

_Item = tuple[Message, bytes]  # a message, and its record as stored if --raw shows it, else b""


@click.command(short_help="Show messages, and follow new ones.")
@bus_options
@click.option("--tail", type=int, metavar="N", help=f"Show the newest N messages; 0 or less shows all. [{_TAIL}]")
@click.option("--since", metavar="ID", help="Show every message after this one (with --tail: the newest N of them).")
@click.option("--id", "msg_id", metavar="ID", help="Show only this message.")
@click.option("--follow", "-f", is_flag=True, help="Then show each new message as it arrives.")
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="TYPE",
    shell_complete=complete_type,
    help="Show only messages of this type, in upper or lower case; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line per message, exact.")
@click.option("--raw", is_flag=True, help="Print the records as they are stored, exact.")
@click.option("--long", "-l", is_flag=True, help="Show id, run, parents and all other fields too.")
def read(**options: Any) -> int:
    """Show messages, oldest first.

    The bus is that of --project and --task under the root, else --bus, else MESSAGE_BUS, else
    the first bus file in the current directory or above it. ('bus post' prefers MESSAGE_BUS to
    --project and --task.) The archives of a bus are read too.

    \b
    Examples:
      run-agent bus read --follow
      run-agent bus read --project demo --task t1 --type QUESTION --long
      run-agent bus read --since MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA --json | jq -r .body
      run-agent bus read --tail 0 --raw > copy.md
    """
    _refuse_contradictions(options)
    flags = context.Flags(options["bus"], options["root"], options["project"], options["task"])
    path = context.bus_to_read(flags).value
    with MessageBus(path, poll_interval=_POLL_INTERVAL) as bus:
        if options["bus"] is not None and not options["follow"]:
            _refuse_missing(bus, path)
        reader = _Reader(bus, os.path.abspath(path), options)
        if options["msg_id"] is not None:
            return reader.show_one()
        reader.show_stored()
        if options["follow"]:
            reader.follow()
    return 0


def _refuse_contradictions(options: dict[str, Any]) -> None:
    if options["as_json"] + options["raw"] + options["long"] > 1:
        raise click.UsageError("--json, --raw and --long are three output formats: give one of them.")
    with_id = [name for name in ("tail", "since", "follow", "types") if options[name] not in (None, False, ())]
    if options["msg_id"] is not None and with_id:
        raise click.UsageError(f"--id shows one message: leave out --{with_id[0].rstrip('s')}.")


def _refuse_missing(bus: MessageBus, path: str) -> None:
    """The bus of --bus must exist; one under the root, or from a variable, may be created later."""
    if not os.path.lexists(path) and not bus.read_last_n(1):  # a bus may consist of archives only
        raise BusNotFoundError(
            f"{os.path.abspath(path)} does not exist; name another bus, or wait for it with --follow"
        )


class _Reader:
    """Shows the messages that the options select; it remembers the last one for ``follow``."""

    def __init__(self, bus: MessageBus, path: str, options: dict[str, Any]) -> None:
        self._bus = bus
        self._path = path
        self._options = options
        self._types = {type_.upper() for type_ in options["types"]}
        self._colour = output.is_terminal() and context.allows_colour()
        self._last_id: str | None = options["since"]
        self._shown = 0

    def show_one(self) -> int:
        """Show the message that --id names."""
        msg_id = self._options["msg_id"]
        message = self._bus.get_message(msg_id)
        if message is None:
            output.warn(f"Error: there is no message {msg_id} in {self._path}; to see the ids, use --long.")
            return 1
        self._show(message, self._bus.get_stored(msg_id) if self._options["raw"] else b"")
        return 0

    def show_stored(self) -> None:
        """Show the selected messages, and say on stderr why there are none or one is not shown."""
        try:
            self._show_all(self._select())
        except SinceIDNotFoundError as error:
            if not self._options["follow"]:
                raise
            output.warn(f"{error} Showing all messages.")
            self._last_id = None
            self._show_all(self._after(None))
        output.flush()
        self._explain_output()

    def follow(self) -> None:
        """Show each new message as it arrives."""
        if not os.path.lexists(self._path):
            output.warn(f"Waiting for {self._path}, which does not exist yet.")
        stop = streams.reader_gone()
        try:
            self._show_each(self._bus.follow(self._last_id, stop=stop))
        except SinceIDNotFoundError as error:  # the last message was removed after it was shown
            output.warn(f"{error} Showing all messages.")
            self._show_each(self._bus.follow(stop=stop))

    def _show_each(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if self._matches(message):
                self._show(message, self._bus.get_stored(message.msg_id) if self._options["raw"] else b"")
                output.flush()

    def _explain_output(self) -> None:
        if self._bus.unfinished:
            output.warn(
                f"The last record of {self._path} is unfinished and not shown: it is still being written, was "
                "cut off by a crash, or was shortened in an editor."
            )
        elif not self._shown and not self._options["follow"]:
            types = f" of type {' or '.join(self._options['types'])}" if self._types else ""
            after = f" after {self._options['since']}" if self._options["since"] is not None else ""
            missing = "" if os.path.lexists(self._path) else ", which does not exist"
            output.warn(f"No messages{types}{after} in {self._path}{missing}.")

    def _select(self) -> Iterable[_Item]:
        tail, since = self._options["tail"], self._options["since"]
        if tail is None:
            tail = _TAIL if since is None else 0
        if tail <= 0:
            return self._after(since)
        tail = min(tail, sys.maxsize // 8)
        return self._newest(tail) if since is None else deque(self._after(since), tail)

    def _newest(self, count: int) -> Iterable[_Item]:
        """The newest ``count`` messages of the types, reading back only as far as needed."""
        end = self._end()
        wanted = count + self._options["raw"]  # --raw starts after the message before them
        messages = self._bus.read_messages(limit=wanted, types=self._types or None)
        if self._options["raw"]:
            return self._after(messages[0].msg_id if len(messages) > count else None)
        self._last_id = messages[-1].msg_id if messages else end
        return [(message, b"") for message in messages]

    def _after(self, since_id: str | None) -> Iterator[_Item]:
        """The messages of the types after an id, with their records for --raw."""
        if self._options["raw"]:
            yield from self._stored_after(since_id)
            return
        self._last_id = self._end() or since_id
        for message in self._bus.iter_messages(since_id, types=self._types or None):
            self._last_id = message.msg_id
            yield message, b""

    def _stored_after(self, since_id: str | None) -> Iterator[_Item]:
        for message, record in self._bus.iter_stored(since_id):
            self._last_id = message.msg_id
            if self._matches(message):
                yield message, record

    def _end(self) -> str | None:
        """The id to follow from if no message matches. Taken before they are read, so that none is missed."""
        return self._bus.last_id() if self._types and self._options["follow"] else None

    def _matches(self, message: Message) -> bool:
        return not self._types or message.type.upper() in self._types

    def _show_all(self, items: Iterable[_Item]) -> None:
        for message, record in items:
            self._show(message, record)

    def _show(self, message: Message, record: bytes) -> None:
        if self._options["as_json"]:
            output.json_line(message.to_json())
        elif self._options["raw"]:
            output.stored(record, first=not self._shown)
        else:
            output.message(message, long=self._options["long"], colour=self._colour)
        self._shown += 1
