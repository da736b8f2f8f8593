"""``run-agent bus read``: show the newest messages, or those after an id, and follow new ones."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import click

from messagebus import BusNotFoundError, Message, MessageBus, SinceIDNotFoundError
from run_agent.cli import context, output, streams
from run_agent.cli.options import bus_options, filter_options, given_filter

_POLL_INTERVAL = 0.5  # seconds; file events, if the system has them, are faster
_TAIL = 20

_CHOICES = {  # among messages, which --id leaves no room for
    "tail": "--tail", "first": "--first", "since": "--since", "until": "--until", "follow": "--follow",
    "types": "--type", "run_id": "--run", "parent": "--parent", "issue_id": "--issue", "sender": "--from",
    "meta": "--meta",
}  # fmt: skip

_Item = tuple[Message, bytes]  # a message, and its record as stored if --raw shows it, else b""


@click.command(short_help="Show messages, and follow new ones.")
@bus_options
@click.option("--tail", type=int, metavar="N", help=f"Show the newest N messages; 0 or less shows all. [{_TAIL}]")
@click.option("--first", type=click.IntRange(min=1), metavar="N", help="Show the oldest N messages.")
@click.option("--id", "msg_id", metavar="ID", help="Show only this message.")
@click.option("--follow", "-f", is_flag=True, help="Then show each new message as it arrives.")
@filter_options
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
      run-agent bus read --since 1h --from reviewer --meta tool=shell
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
    given = [option for name, option in _CHOICES.items() if options[name] not in (None, False, ())]
    if options["msg_id"] is not None and given:
        raise click.UsageError(f"--id shows one message: leave out {given[0]}.")
    if options["first"] is not None and (options["tail"] is not None or options["follow"]):
        raise click.UsageError("--first shows the oldest messages, --tail and --follow the newest: give one of them.")
    if options["until"] is not None and options["follow"]:
        raise click.UsageError("--until names an end, and --follow waits for more: give one of them.")


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
        self._filter = given_filter(options)
        self._last_id = self._moment("since", "start")
        self._until_id = self._moment("until", "end")
        self._wanted = self._condition()
        self._colour = output.is_terminal() and context.allows_colour()
        self._shown = 0

    def _moment(self, option: str, name: str) -> str | None:
        """The id that an option names. A time becomes the condition ``name``."""
        text = self._options[option]
        if text is None:
            return None
        from datetime import UTC, datetime

        from run_agent.cli.moments import moment

        found = moment(text, datetime.now(UTC))
        if isinstance(found, str):
            return found
        self._filter[name] = found
        return None

    def _condition(self) -> Callable[[Message], bool] | None:
        """Which messages match; None: all do."""
        if not self._filter:
            return None
        from messagebus import Filter

        return Filter(**self._filter).matches

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
                if error.msg_id in (self._options["since"], self._options["until"]) and error.msg_id[:4] != "MSG-":
                    error.add_note("a time is written 2026-11-21, 2026-11-21T03:14:15Z, 90s, 1h or 7d")
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
            types = f" of type {' or '.join(self._options['types'])}" if self._options["types"] else ""
            others = self._filter.keys() - {"types", "start"} or self._until_id
            matching = " that match" if others else ""
            word = "since" if "start" in self._filter else "after"
            after = f" {word} {self._options['since']}" if self._options["since"] is not None else ""
            missing = "" if os.path.lexists(self._path) else ", which does not exist"
            output.warn(f"No messages{types}{matching}{after} in {self._path}{missing}.")

    def _select(self) -> Iterable[_Item]:
        since, tail, first = self._last_id, self._options["tail"], self._options["first"]
        if first is not None:
            return islice(self._after(since), first)
        if tail is None:
            tail = _TAIL if self._options["since"] is None else 0
        if tail <= 0:
            return self._after(since)
        tail = min(tail, sys.maxsize // 8)
        if since is None and self._until_id is None:
            return self._newest(tail)
        return deque(self._after(since), tail)

    def _newest(self, count: int) -> Iterable[_Item]:
        """The newest ``count`` messages that match, reading back only as far as needed."""
        end = self._end()
        wanted = count + self._options["raw"]  # --raw starts after the message before them
        messages = self._bus.read_messages(limit=wanted, **self._filter)
        if self._options["raw"]:
            return self._after(messages[0].msg_id if len(messages) > count else None)
        self._last_id = messages[-1].msg_id if messages else end
        return [(message, b"") for message in messages]

    def _after(self, since_id: str | None) -> Iterator[_Item]:
        """The messages after an id that match, with their records for --raw."""
        if self._until_id is not None:
            yield from self._between(since_id, self._until_id)
        elif self._options["raw"]:
            for message, record in self._bus.iter_stored(since_id):
                self._last_id = message.msg_id
                if self._matches(message):
                    yield message, record
        else:
            self._last_id = self._end() or since_id
            for message in self._bus.iter_messages(since_id, **self._filter):
                self._last_id = message.msg_id
                yield message, b""

    def _between(self, since_id: str | None, until_id: str) -> Iterator[_Item]:
        """The messages after one id, up to another, that match. Raises SinceIDNotFoundError for either."""
        if self._bus.get_message(until_id) is None:
            raise SinceIDNotFoundError(self._path, until_id)
        if since_id is not None and all(message.msg_id != until_id for message in self._bus.iter_messages(since_id)):
            return  # it is before the other
        for message, record in self._bus.iter_stored(since_id):
            if self._matches(message):
                yield message, record
            if message.msg_id == until_id:
                return

    def _end(self) -> str | None:
        """The id to follow from if no message matches. Taken before they are read, so that none is missed."""
        return self._bus.last_id() if self._wanted and self._options["follow"] else None

    def _matches(self, message: Message) -> bool:
        return self._wanted is None or self._wanted(message)

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
