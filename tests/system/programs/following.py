"""The readers of ``test_followers.py``, each a process of its own: ``python following.py VERB '{...}'``.

Each reads until a message of type END, in one of the ways there are, and writes to the file
``log`` what it was given: ids, each with the digest of the body that came under it, empty where
that body is not whole. A warning ends it with an error: nothing here may open a gap.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, NamedTuple

import worker

from messagebus import Message, MessageBus

worker.SIZES["giant"] = 4 * 2**20
writer = worker.writer  # a verb here too, for bodies of that size


class Given(NamedTuple):
    """What a reader was given."""

    msg_id: str
    type: str
    body: str
    intact: bool | None

    def vouched(self) -> tuple[str, str]:
        """The id, and what the body says its digest is; empty where it is another."""
        digest = self.body.partition("\n")[0]
        return self.msg_id, digest if self.intact and worker.genuine(self.body) else ""


def given(message: Message) -> Given:
    return Given(message.msg_id, message.type, message.body, message.intact)


# --- ways to follow --------------------------------------------------------------------------


def follow(path: str) -> Generator[Given, None, None]:
    yield from map(given, MessageBus(path).follow())


def poll(path: str) -> Generator[Given, None, None]:
    """``poll_for_new`` in a loop."""
    bus, cursor = MessageBus(path), None
    while True:
        for message in bus.poll_for_new(cursor):
            cursor = message.msg_id
            yield given(message)


def page(path: str) -> Generator[Given, None, None]:
    """Read by a cursor, a few at a time, each time by a bus that remembers nothing."""
    cursor = None
    while True:
        bus = MessageBus(path)
        for message in bus.read_messages(cursor, first=20) or bus.poll_for_new(cursor):
            cursor = message.msg_id
            yield given(message)


def json_lines(path: str) -> Generator[Given, None, None]:
    with program(path, "--json") as output:
        for line in output:
            fields = json.loads(line)
            yield Given(fields["msg_id"], fields["type"], fields.get("body", ""), fields.get("intact"))


def raw_records(path: str) -> Generator[Given, None, None]:
    """Records as they are stored, which together are a bus file again."""
    with program(path, "--raw") as output, TemporaryDirectory() as directory:
        copy = Path(directory, "BUS.md")
        copy.write_bytes(b"".join(takewhile(lambda line: line != b"type: END\n", output)))
        yield from map(given, MessageBus(copy).read_messages())
    yield Given("", "END", "", intact=True)


@contextmanager
def program(path: str, form: str) -> Iterator[IO[bytes]]:
    """The output of ``run-agent bus read --follow``, any complaint included: it should have none."""
    command = [sys.executable, "-m", "run_agent", "bus", "read", "--bus", path, "--tail", "0", "--follow", form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout
        try:
            yield process.stdout
        finally:
            process.kill()


WAYS = {way.__name__: way for way in (follow, poll, page, json_lines, raw_records)}


# --- verbs: each says at the end how many reads it made ---------------------------------------


def reader(path: str, log: str, way: str) -> None:
    """Be given each message once, in one of the ways above."""
    warnings.simplefilter("error")
    worker.say(ready=True)
    with closing(WAYS[way](path)) as messages:
        seen = [one.vouched() for one in takewhile(lambda one: one.type != "END", messages)]
    worker.dump(log, seen)
    worker.say(reads=len(seen))


def looker(path: str, log: str) -> None:
    """Read the newest again and again, as fast as it goes."""
    bus, seen, newest, reads = MessageBus(path), set(), [], 0
    worker.say(ready=True)
    while not any(one.type == "END" for one in newest):
        newest = [given(message) for message in bus.read_last_n(1)]
        seen.update(one.vouched() for one in newest if one.type != "END")
        reads += bool(newest)
    worker.dump(log, sorted(seen))
    worker.say(reads=reads)


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
