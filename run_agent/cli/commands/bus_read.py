"""``run-agent bus read``: the newest messages, those after an id, and those still to come."""

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

_POLL_INTERVAL = 0.5  # seconds; file events are faster where there are any
_TAIL = 20

_Item = tuple[Message, bytes]  # a message, and its record as stored where that is to be shown


@click.command(short_help="Show messages, and follow.")
@bus_options
@click.option("--tail", type=int, metavar="N", help=f"The newest N messages; 0 or less: all. [{_TAIL}]")
@click.option("--since", metavar="ID", help="Every message after this one (the newest N of them with --tail).")
@click.option("--id", "msg_id", metavar="ID", help="This message alone.")
@click.option("--follow", "-f", is_flag=True, help="Go on with each new message as it comes.")
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="TYPE",
    shell_complete=complete_type,
    help="Messages of this type only, in upper or lower case; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON line a message, exact.")
@click.option("--raw", is_flag=True, help="The records as they are stored, exact.")
@click.option("--long", "-l", is_flag=True, help="Show id, run, parents and all other fields too.")
def read(**given: Any) -> int:
    """Show messages, oldest first.

    The bus is that of --project and --task under the root, else --bus, else MESSAGE_BUS, else
    the first one upward from here. ('bus post' goes to MESSAGE_BUS rather than to that of --project
    and --task.) Archives of a rotated bus are part of it.

    \b
    Examples:
      run-agent bus read --follow
      run-agent bus read --project demo --task t1 --type QUESTION --long
      run-agent bus read --since MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA --json | jq -r .body
      run-agent bus read --tail 0 --raw > copy.md
    """
    _refuse_contradictions(given)
    flags = context.Flags(given["bus"], given["root"], given["project"], given["task"])
    path = context.bus_to_read(flags).value
    with MessageBus(path, poll_interval=_POLL_INTERVAL) as bus:
        if given["bus"] is not None and not given["follow"]:
            _refuse_missing(bus, path)
        reading = _Reading(bus, os.path.abspath(path), given)
        if given["msg_id"] is not None:
            return reading.one()
        reading.past()
        if given["follow"]:
            reading.future()
    return 0


def _refuse_contradictions(given: dict[str, Any]) -> None:
    if given["as_json"] + given["raw"] + given["long"] > 1:
        raise click.UsageError("--json, --raw and --long are three ways to show a message: give one of them.")
    with_id = [name for name in ("tail", "since", "follow", "types") if given[name] not in (None, False, ())]
    if given["msg_id"] is not None and with_id:
        raise click.UsageError(f"--id shows one message: leave out --{with_id[0].rstrip('s')}.")


def _refuse_missing(bus: MessageBus, path: str) -> None:
    """A bus that --bus names must be there; one under the root, or of a variable, may be still to come."""
    if not os.path.lexists(path) and not bus.read_last_n(1):  # of a rotated bus, archives alone may be left
        raise BusNotFoundError(
            f"{os.path.abspath(path)} does not exist; name another bus, or wait for it with --follow"
        )


class _Reading:
    """One run of the command: what was asked for, and how far it came."""

    def __init__(self, bus: MessageBus, path: str, given: dict[str, Any]) -> None:
        self._bus = bus
        self._path = path
        self._given = given
        self._types = {kind.upper() for kind in given["types"]}
        self._colour = output.is_terminal() and context.wants_colour()
        self._last_id: str | None = given["since"]
        self._shown = 0

    def one(self) -> int:
        """Show the message that --id names."""
        msg_id = self._given["msg_id"]
        message = self._bus.get_message(msg_id)
        if message is None:
            output.warn(f"Error: there is no message {msg_id} in {self._path}; --long shows the ids.")
            return 1
        self._show(message, self._bus.get_stored(msg_id) if self._given["raw"] else b"")
        return 0

    def past(self) -> None:
        """Show what is there, and say what may surprise about it."""
        try:
            self._show_all(self._selected())
        except SinceIDNotFoundError as error:
            if not self._given["follow"]:
                raise
            output.warn(f"{error} Showing all messages.")
            self._last_id = None
            self._show_all(self._after(None))
        output.flush()
        self._explain()

    def future(self) -> None:
        """Show each new message as it comes."""
        if not os.path.lexists(self._path):
            output.warn(f"Waiting for {self._path}, which does not exist yet.")
        stop = streams.reader_gone()
        try:
            self._show_coming(self._bus.follow(self._last_id, stop=stop))
        except SinceIDNotFoundError as error:  # removed since it was shown
            output.warn(f"{error} Showing all messages.")
            self._show_coming(self._bus.follow(stop=stop))

    def _show_coming(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if self._wanted(message):
                self._show(message, self._bus.get_stored(message.msg_id) if self._given["raw"] else b"")
                output.flush()

    def _explain(self) -> None:
        if self._bus.unfinished:
            output.warn(
                f"The last record of {self._path} is unfinished and not shown: it is being written, was cut off "
                "by a crash, or shortened in an editor."
            )
        elif not self._shown and not self._given["follow"]:
            kinds = f" of type {' or '.join(self._given['types'])}" if self._types else ""
            after = f" after {self._given['since']}" if self._given["since"] is not None else ""
            missing = "" if os.path.lexists(self._path) else ", which does not exist"
            output.warn(f"No messages{kinds}{after} in {self._path}{missing}.")

    def _selected(self) -> Iterable[_Item]:
        tail, since = self._given["tail"], self._given["since"]
        if tail is None:
            tail = _TAIL if since is None else 0
        if tail <= 0:
            return self._after(since)
        tail = min(tail, sys.maxsize // 8)
        return self._newest(tail) if since is None else deque(self._after(since), tail)

    def _newest(self, count: int) -> Iterable[_Item]:
        """The newest ``count`` messages that match, looking back no further than it takes."""
        reach = count
        while True:
            messages = self._bus.read_last_n(reach + 1)
            matching = [message for message in messages if self._wanted(message)]
            if len(matching) > count or len(messages) <= reach:
                break
            reach *= 4
        if self._given["raw"]:
            return self._after(None if len(matching) <= count else matching[-count - 1].msg_id)
        self._last_id = messages[-1].msg_id if messages else None
        return [(message, b"") for message in matching[-count:]]

    def _after(self, since_id: str | None) -> Iterator[_Item]:
        """The messages after an id that match, with their records where those are shown."""
        items: Iterable[_Item]
        if self._given["raw"]:
            items = self._bus.iter_stored(since_id)
        else:
            items = ((message, b"") for message in self._bus.iter_messages(since_id))
        for message, record in items:
            self._last_id = message.msg_id
            if self._wanted(message):
                yield message, record

    def _wanted(self, message: Message) -> bool:
        return not self._types or message.type.upper() in self._types

    def _show_all(self, items: Iterable[_Item]) -> None:
        for message, record in items:
            self._show(message, record)

    def _show(self, message: Message, record: bytes) -> None:
        if self._given["as_json"]:
            output.json_line(message.to_json())
        elif self._given["raw"]:
            output.stored(record, first=not self._shown)
        else:
            output.message(message, long=self._given["long"], colour=self._colour)
        self._shown += 1
