"""What goes to stdout: messages as text or JSON lines, ids, paths. The only writer of it.

Text is for eyes: a message starts in the first column and nothing else does, and control
characters are shown, not sent, so that no body can imitate another message or drive the
terminal. ``--json`` and ``--raw`` are exact.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import click

from messagebus import Message

# Everything a terminal may obey: C0 but tab, DEL, C1, and what changes the direction or line.
_UNSAFE = {*range(9), *range(10, 32), *range(127, 160), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F)}
_UNSAFE |= {*range(0x2066, 0x206A), 0xFEFF}
_SHOWN = {code: repr(chr(code))[1:-1] for code in _UNSAFE}
_ESCAPED = {code: f"\\u{code:04x}" for code in _UNSAFE}  # JSON's own way to write them
_INDENT = "\n    "
_COLOURS = {
    "QUESTION": "33", "ANSWER": "32", "FACT": "36", "DECISION": "35", "ISSUE": "35",
    "ERROR": "31", "CRASH": "31", "RUN_CRASH": "31", "WARNING": "33",
}  # fmt: skip


def is_terminal() -> bool:
    """Is somebody looking?"""
    return sys.stdout is not None and sys.stdout.isatty()


def line(text: str) -> None:
    """One line of text."""
    _write(f"{text}\n".encode("utf-8", "backslashreplace"))


def warn(text: str) -> None:
    """One line of text to standard error."""
    click.echo(escape_controls(text), err=True)


def json_line(value: dict[str, Any]) -> None:
    """One line of JSON, also to a terminal and to who takes U+2028 for the end of a line."""
    import json

    text = json.dumps(value, ensure_ascii=False).translate(_ESCAPED)
    _write(text.encode("utf-8", "backslashreplace") + b"\n")  # a path may hold bytes that are no UTF-8


def stored(record: bytes, *, first: bool) -> None:
    """A record as it stands in the file; all of them together are a bus file again."""
    _write(record if first else b"\n" + record)


def message(message: Message, *, long: bool = False, colour: bool = False) -> None:
    """One message, as text; to a terminal in rows that are no wider than it is."""
    text = text_of(message, long=long, colour=colour).encode("utf-8", "backslashreplace")
    if is_terminal():
        from run_agent.cli import rows

        text = rows.wrapped(text.decode(), sys.stdout.fileno()).encode()
    _write(text + b"\n")


def flush() -> None:
    """Hand over what was written."""
    if sys.stdout is not None:
        sys.stdout.buffer.flush()


def text_of(message: Message, *, long: bool = False, colour: bool = False) -> str:
    """``[2026-11-21 03:14:15] (FACT) body``, further lines indented; ``long`` adds the other fields."""
    kind = f"({_word(message.type)})"
    stamp = f"[{message.ts:%Y-%m-%d %H:%M:%S}]"
    if colour:
        stamp = f"\x1b[2m{stamp}\x1b[0m"
        kind = f"\x1b[{_COLOURS.get(message.type.upper(), '1')}m{kind}\x1b[0m"
    words = [stamp, kind]
    if message.intact is False:
        words.append("(torn)")
    if long:
        words.append(f"<{' '.join(_fields(message))}>")
    body = _INDENT.join(escape_controls(part) for part in message.body.split("\n"))
    return " ".join((*words, body)) if body else " ".join(words)


def _fields(message: Message) -> Iterator[str]:
    """``id run re parent:kind task=t issue=i link=url meta.key=value``, as far as there are any."""
    yield _word(message.msg_id, "=")
    if message.run_id:
        yield _word(message.run_id, "=")
    for parent in message.parents:
        yield f"re {_word(parent.msg_id, ':=')}" + (f":{_word(parent.kind)}" if parent.kind else "")
    named = [(name, value) for name, value in (("task", message.task_id), ("issue", message.issue_id)) if value]
    named += [("link", link.url) for link in message.links]
    named += [(f"meta.{_word(key, '=')}", value) for key, value in message.meta.items()]
    yield from (f"{name}={_word(value)}" for name, value in named)


def _word(text: str, separators: str = "") -> str:
    """A field: quoted where it holds what separates it from others, so that none imitates another."""
    unsafe = re.search(rf'[\s()<>"{separators}]|^re$', text)
    return f'"{escape_controls(text).replace(chr(34), chr(39))}"' if unsafe else escape_controls(text)


def escape_controls(text: str) -> str:
    """``text`` on one line, with what a terminal would obey made visible."""
    return text.translate(_SHOWN)


def _write(data: bytes) -> None:
    if sys.stdout is not None:  # closed before we began: no one wants to know
        sys.stdout.buffer.write(data)
