"""Messages whose name tells their body, and readers that hold them to it: ``python self_describing.py VERB '{...}'``.

A message is named by its ``run_id``, from which anybody can make its body again, were it of one byte:
so every reader knows a whole body from the half of one, and from what another process wrote.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from random import Random
from typing import Any, NamedTuple

import worker

from messagebus import Draft, Message, MessageBus

BATCH = 5  # messages
Say = Callable[[dict[str, Any]], None]


def make_name(writer: str, number: int, part: int, longest: int) -> str:
    """Ends in the size of the body: from 1 to ``longest``, in characters, each order of magnitude as often."""
    name = f"{writer}.{number}.{part}"
    return f"{name}.{int(longest ** Random(name).random())}"


def make_body(name: str) -> str:
    """One line, or many that are hostile."""
    chance, size = Random(name), int(name.rpartition(".")[2])
    block = f"{name} " if chance.random() < 0.5 else "\n".join([name, *chance.choices(worker.LINES, k=6), ""])
    return (block * (size // len(block) + 1))[: size - 1] + "."


def verdict(name: str, body: str, intact: bool | None) -> str:
    genuine = make_body(name)
    if intact and body == genuine:
        return "whole"
    return "torn" if intact is False and _begins(genuine, body) else "forged"


def _begins(genuine: str, torn: str) -> bool:
    """Is this the beginning of it? (Of a line cut short no one can say whether it was escaped, nor whose the first
    bytes of a record are that another writer began after it and died, too: SPEC.md, "Torn records".)"""
    torn = re.sub(r"\n\n(--?|---\n?(m(s(g(_(i(d)?)?)?)?)?)?)\Z", "", torn)
    lines, line_end, last = torn.rpartition("\n")
    return genuine.startswith((torn, lines + line_end + last.removeprefix("\\")))


class Post(NamedTuple):
    """The ``number``-th thing that a writer appends."""

    writer: str
    number: int
    kind: str
    longest: int

    def to(self, bus: MessageBus, say: Say) -> None:
        """Append it, and say what was acknowledged."""
        names = [make_name(self.writer, self.number, part, self.longest) for part in range(self.parts)]
        drafts = [Draft("FACT", "demo", make_body(name), run_id=name) for name in names]
        if self.kind == "keyed":
            stored = [bus.append_message(drafts[0], idempotency_key=names[0])]
        else:
            stored = bus.append_messages(drafts)
        ids = [message.msg_id for message in stored]
        say({"writer": self.writer, "number": self.number, "acknowledged": list(zip(ids, names, strict=True))})

    @property
    def parts(self) -> int:
        return BATCH if self.kind == "batch" else 1


# --- readers ---------------------------------------------------------------------------------


class Given(NamedTuple):
    """What a reader was given."""

    msg_id: str
    type: str
    name: str
    body: str
    intact: bool | None


def _given(message: Message) -> Given:
    return Given(message.msg_id, message.type, message.run_id, message.body, message.intact)


def follow(path: str) -> Iterator[Given]:
    yield from map(_given, MessageBus(path).follow())


def read(path: str) -> Iterator[Given]:
    yield from map(_given, MessageBus(path).iter_messages())


def json_lines(path: str) -> Iterator[Given]:
    """``run-agent bus read --follow --json``."""
    command = [sys.executable, "-m", "run_agent", "bus", "read", "--bus", path, "--tail", "0", "--follow", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        try:
            for line in process.stdout:
                fields = json.loads(line)
                optional = [fields.get(name, "") for name in ("run_id", "body")]
                yield Given(fields["msg_id"], fields["type"], *optional, fields.get("intact"))
        finally:
            process.kill()
            assert b"Warning" not in process.stderr.read()


def reader(path: str, log: str, way: str) -> None:
    """Log each message up to that of type END as id, name and verdict."""
    warnings.simplefilter("error")
    worker.say(ready=True)
    seen = []
    with closing({"follow": follow, "read": read, "json_lines": json_lines}[way](path)) as messages:
        for one in messages:
            if one.type == "END":
                break
            seen.append((one.msg_id, one.name, verdict(one.name, one.body, one.intact)))
    worker.dump(log, seen)


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
