"""Output: messages as text or JSON lines, ids, paths. The only writer of stdout.

Text is for people. Only messages start in the first column, and control characters are escaped, so
that no body can imitate another message or control the terminal. ``--json`` and ``--raw`` are exact.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import click

from messagebus import Message

# What a terminal may act on: C0 except tab, DEL, C1, and characters that change the direction or the line.
_UNSAFE = {*range(9), *range(10, 32), *range(127, 160), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F)}
_UNSAFE |= {*range(0x2066, 0x206A), 0xFEFF}
_VISIBLE = {code: repr(chr(code))[1:-1] for code in _UNSAFE}
_ESCAPED = {code: f"\\u{code:04x}" for code in _UNSAFE}  # as JSON escapes them
_INDENT = "\n    "
_COLOURS = {
    "QUESTION": "33", "ANSWER": "32", "FACT": "36", "DECISION": "35", "ISSUE": "35",
    "ERROR": "31", "CRASH": "31", "RUN_CRASH": "31", "WARNING": "33",
}  # fmt: skip


def is_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def line(text: str) -> None:
    """Write a line of text."""
    _write(f"{text}\n".encode("utf-8", "backslashreplace"))


def warn(text: str) -> None:
    """Write a line of text to standard error."""
    click.echo(escape_controls(text), err=True)


def json_line(value: dict[str, Any]) -> None:
    """Write a line of JSON, which stays one line also where U+2028 ends a line, and is safe on a terminal."""
    import json

    text = json.dumps(value, ensure_ascii=False).translate(_ESCAPED)
    _write(text.encode("utf-8", "backslashreplace") + b"\n")  # a path may contain bytes that are not UTF-8


def stored(record: bytes, *, first: bool) -> None:
    """Write a record exactly as stored. Records written one after another make a bus file."""
    _write(record if first else b"\n" + record)


def message(message: Message, *, long: bool = False, colour: bool = False) -> None:
    """Write a message as text, wrapped to the width of the terminal if stdout is one."""
    text = text_of(message, long=long, colour=colour).encode("utf-8", "backslashreplace")
    if is_terminal():
        from run_agent.cli import wrapping

        text = wrapping.wrap(text.decode(), sys.stdout.fileno()).encode()
    _write(text + b"\n")


def flush() -> None:
    """Flush stdout."""
    if sys.stdout is not None:
        sys.stdout.buffer.flush()


def text_of(message: Message, *, long: bool = False, colour: bool = False) -> str:
    """``[2026-11-21 03:14:15] (FACT) body``, further lines indented; ``long`` adds the other fields."""
    type_ = f"({_word(message.type)})"
    stamp = f"[{message.ts:%Y-%m-%d %H:%M:%S}]"
    if colour:
        stamp = f"\x1b[2m{stamp}\x1b[0m"
        type_ = f"\x1b[{_COLOURS.get(message.type.upper(), '1')}m{type_}\x1b[0m"
    words = [stamp, type_]
    if message.intact is False:
        words.append("(torn)")
    if long:
        words.append(f"<{' '.join(_fields(message))}>")
    body = _INDENT.join(escape_controls(part) for part in message.body.split("\n"))
    return " ".join((*words, body)) if body else " ".join(words)


def _fields(message: Message) -> Iterator[str]:
    """``id run re parent:kind task=t issue=i link=url meta.key=value``, without those that are empty."""
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
    """A field, quoted if it contains a separator, so that no value imitates another field."""
    unsafe = re.search(rf'[\s()<>"{separators}]|^re$', text)
    return f'"{escape_controls(text).replace(chr(34), chr(39))}"' if unsafe else escape_controls(text)


def escape_controls(text: str) -> str:
    """``text`` on one line, with everything a terminal may act on escaped."""
    return text.translate(_VISIBLE)


def _write(data: bytes) -> None:
    if sys.stdout is not None:  # None: it was closed when the program started
        sys.stdout.buffer.write(data)
