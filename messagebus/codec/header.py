"""The header of a record: a subset of YAML, written and read.

Written are ``key: value`` lines, indented by two spaces a level. A value is plain where YAML 1.1 and
1.2 both read it as the same string, and JSON-quoted everywhere else. ``parse`` reads that
subset line by line, and leaves a header in any other YAML to PyYAML, which gives the same
answer about eight times slower. All scalars are text: ``type: yes`` is ``"yes"``
(SPEC.md, "Header").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from typing import Any

Fields = dict[str, Any]

# A colon needs a neighbour, or it would end a key; "- x" would start a list.
_PLAIN_TEXT = r"[^\W_](?:[\w./@+=~()%,-]|:(?=[\w/])| (?=[\w/(]))*"
_PLAIN = re.compile(_PLAIN_TEXT)
# What YAML 1.1 or 1.2 does not read as a string, though it looks like plain text: these words (most of them in
# 1.1 alone), and what begins with a digit and fits this pattern. It is compiled on first use, as are the next
# two: a short command needs none of them.
_NOT_STRINGS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
_NUMBER_OR_TIME = r"""(?xia)
      0 [box] [\da-f_]*                                           # other bases
    | \d [\d_,]* (?: \. [\d_]* )? (?: e [-+]? \d* )?              # numbers, with 1.1's separators
    | \d [\d_]* (?: : [\d._]* )+                                  # base 60
    | \d{4} - \d\d? - \d\d? .*                                    # dates and times
    """
_UNPRINTABLE = "[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]"
_QUOTED_TEXT = (
    r'"(?:[^"\\\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]'
    r'|\\["\\bfnrt]|\\u(?![dD][89a-fA-F])[\da-fA-F]{4})*"'
)
_LONGEST_KEY = 1000  # YAML looks for the colon in the first 1,024 characters
_SHORT = 128  # characters of a scalar that is remembered: agents repeat names, not texts
_DEEPEST = 50
_OPENERS = ("[", "{", "- ", "-\t", "? ", "?\t")  # these nest within one line
_DEEP_LINE = "\n" + _DEEPEST // 2 * " "  # nested by indentation: at most two levels a space


class HeaderError(ValueError):
    """A header is not a YAML mapping; its record cannot be read."""


def scalar(text: str) -> str:
    """``text`` as a YAML scalar on one line."""
    return _short_scalar(text) if len(text) <= _SHORT else _scalar(text)


def _scalar(text: str) -> str:
    plain = _PLAIN.fullmatch(text)
    if plain and not _means_something_else(text):
        return plain[0]  # a str: text may be of a subclass that prints as something else
    import json  # most headers need no quotes

    return re.sub(_UNPRINTABLE, lambda char: f"\\u{ord(char[0]):04x}", json.dumps(text, ensure_ascii=False))


def _means_something_else(text: str) -> bool:
    if text[0] in "0123456789":
        return re.fullmatch(_NUMBER_OR_TIME, text) is not None
    return text.lower() in _NOT_STRINGS


_short_scalar = lru_cache(maxsize=1024)(_scalar)


def entry(key: str, text: str, indent: str = "") -> str:
    """One ``key: value`` line."""
    return f"{indent}{scalar(key)}: {scalar(text)}\n"


def mapping(key: str, items: Mapping[str, str], indent: str = "") -> str:
    """``key:`` and its entries one level deeper; empty where there are none."""
    text = f"{indent}{key}:\n" if items else ""
    for name in items:
        text += f"{indent}  {scalar(name)}: {scalar(items[name])}\n"
    return text


def parse(text: str) -> Fields:
    """The mapping that a header holds; scalars are str. Raises HeaderError where it holds none."""
    fields = parse_subset(text)
    return parse_yaml(text) if fields is None else fields


def parse_subset(text: str) -> Fields | None:
    """The mapping, if ``text`` keeps to the subset that is written; else None."""
    lines = text.removesuffix("\n").split("\n")
    fields, end = _block(lines, 0, 0)
    return fields if end == len(lines) and isinstance(fields, dict) else None


def parse_yaml(text: str) -> Fields:
    """The mapping, in any YAML. Raises HeaderError."""
    import yaml  # owned by this module; most headers never need it

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        if "*" in text or _DEEP_LINE in text or sum(map(text.count, _OPENERS)) > _DEEPEST // 2:
            _refuse_bombs(yaml.parse(text, Loader=loader))
        fields = yaml.load(text, Loader=loader)  # noqa: S506 - BaseLoader makes str, list and dict only
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise HeaderError(str(error)) from None
    if not isinstance(fields, dict):
        raise HeaderError("a header must be a mapping")
    return fields


def _refuse_bombs(events: Iterable[Any]) -> None:
    """Raise HeaderError where a few bytes expand to much: an alias repeats what its anchor names,
    and deep nesting overflows the stack of the C composer, which recurses."""
    depth = -2  # a stream and a document are around the first level
    for event in events:
        name = type(event).__name__
        if name == "AliasEvent":
            raise HeaderError("it holds an alias")
        depth += name.endswith("StartEvent") - name.endswith("EndEvent")
        if depth > _DEEPEST:
            raise HeaderError(f"it is nested more than {_DEEPEST} levels deep")


def _block(lines: list[str], start: int, indent: int) -> tuple[Any, int]:
    """The list or mapping whose lines are indented by ``indent``, and the line after it."""
    dash = " " * indent + "- "
    if not lines[start].startswith(dash):
        return _mapping(lines, start, indent)
    items = []
    while 0 <= start < len(lines) and lines[start].startswith(dash):
        lines[start] = lines[start].replace("- ", "  ", 1)
        item, start = _mapping(lines, start, indent + 2)
        items.append(item)
    return items, start


def _mapping(lines: list[str], start: int, indent: int) -> tuple[Fields | None, int]:
    fields: Fields = {}
    if indent >= 2 * _DEEPEST:
        return None, -1
    while start < len(lines) and _indent_of(lines[start]) == indent:
        if (entry := _parse_line(lines[start], indent)) is None:
            return None, -1
        key, value = entry
        start += 1
        if value is not None:
            fields[key] = value
            continue
        if start == len(lines) or _indent_of(lines[start]) != indent + 2:
            return None, -1
        fields[key], start = _block(lines, start, indent + 2)
        if start < 0:
            return None, -1
    return fields or None, start


def parse_entry(line: str, indent: int) -> tuple[str, str] | None:
    """The key and the value in a line that is indented by ``indent``; None where it has no value or is not in the
    subset."""
    key, value = _parse_line(line, indent) or ("", None)
    return None if value is None else (key, value)


def _parse_line(line: str, indent: int) -> tuple[str, str | None] | None:
    """The key in a line, and the value if it has one; None where it is not in the subset."""
    match = _entry_pattern().fullmatch(line, indent)
    if not match or match.end(1) - indent > _LONGEST_KEY:
        return None
    key, value = match.groups()
    return _matched_text(key), None if value is None else _matched_text(value)


def _matched_text(scalar: str) -> str:
    """``unquote`` for what has matched the pattern: where nothing is escaped, the quotes are all to be taken off."""
    return scalar[1:-1] if scalar[0] == '"' and "\\" not in scalar else unquote(scalar)


@cache
def _entry_pattern() -> re.Pattern[str]:
    """One line of a mapping: a key, and perhaps a value."""
    return re.compile(rf"({_PLAIN_TEXT}|{_QUOTED_TEXT}):(?: ({_PLAIN_TEXT}|{_QUOTED_TEXT}))?")


def _indent_of(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def unquote(text: str) -> str:
    """The inverse of ``scalar``. Raises ValueError for quoting that it would not have written."""
    if not text.startswith('"'):
        return text
    import json

    return str(json.loads(text))
