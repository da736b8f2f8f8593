"""Write docs/api.md: every public name of the library, with its signature and its docstring.

The signatures come from ``inspect``, and the docstrings go in as they are: the page says what ``help()``
says, and changes with the source alone.

python tools/generate_api.py           write it
python tools/generate_api.py --check   exit code 1 if it is not what would be written
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from generated import write_or_check

import messagebus

PAGE = Path(__file__).parents[1] / "docs/api.md"
TEMPLATE = """\
<!-- Written by tools/generate_api.py (`make docs`): change the docstrings instead. -->
# The library, name by name

All names that `messagebus` exports. [python-api.md](python-api.md) is the tour, with examples; a
backend of your own has the methods of `messagebus.backends.base.Backend`.

{contents}

{entries}
"""
LINE = 90  # columns of a signature
COLUMNS = 100  # of prose
DESCRIBED = re.compile(r"^(\w+): ")  # what describes a parameter
SECTIONS = {
    "The bus": ("MessageBus", "Filter", "MemoryBackend", "discover_bus"),
    "Messages": ("Draft", "Message", "Parent", "Link", "RUN_START", "RUN_STOP", "RUN_CRASH"),
    "Checking, repairing, merging": ("check_bus", "Finding", "repair_bus", "Repaired", "merge_logs", "merge_files"),
}


def page() -> str:
    """The text of docs/api.md."""
    sections = {**SECTIONS, "Errors": tuple(_errors())}
    unnamed = set(messagebus.__all__) - {name for names in sections.values() for name in names} - {"__version__"}
    if unnamed:
        raise SystemExit(f"{', '.join(sorted(unnamed))}: exported, but in no section of {__file__}")
    contents = "\n".join(
        f"- {title}\n" + "\n".join(f"  - [`{name}`](#{name.lower()})" for name in names)
        for title, names in sections.items()
    )
    entries = "\n\n".join(
        f"## {title}\n\n" + "\n\n".join(_entry(name) for name in names) for title, names in sections.items()
    )
    return TEMPLATE.format(contents=contents, entries=entries)


def _errors() -> Iterator[str]:
    for name in sorted(messagebus.__all__):
        value = getattr(messagebus, name)
        if isinstance(value, type) and issubclass(value, Exception):
            yield name


def _entry(name: str) -> str:
    value = getattr(messagebus, name)
    if isinstance(value, str):
        return f"### {name}\n\nThe message type `{value}`."
    if not isinstance(value, type):
        return f"### {name}\n\n{_code(name, value)}\n\n{_prose(value)}"
    if issubclass(value, Exception):
        bases = ", ".join(base.__name__ for base in value.__bases__)
        return f"### {name}\n\nA subclass of {bases}.\n\n{_prose(value)}"
    methods = "".join(f"\n\n{_method(name, method, member)}" for method, member in _members(value))
    return f"### {name}\n\n{_code(name, value)}\n\n{_prose(value)}{methods}"


def _members(cls: type) -> Iterator[tuple[str, object]]:
    for name, member in vars(cls).items():
        is_callable = inspect.isroutine(member) or isinstance(member, property)
        if not name.startswith("_") and is_callable and inspect.getdoc(getattr(cls, name)):
            yield name, member


def _method(cls: str, name: str, member: object) -> str:
    if isinstance(member, property):
        return f"#### {cls}.{name}\n\n{_prose(member)}"
    function = getattr(member, "__func__", member)
    return f"#### {cls}.{name}\n\n{_code(name, function)}\n\n{_prose(function)}"


def _code(name: str, value: object) -> str:
    return f"<!-- not executed: a signature, as the source has it -->\n```\n{name}{_signature(value)}\n```"


def _signature(value: object) -> str:
    signature = inspect.signature(value)  # type: ignore[arg-type]  # every entry is a class or a function
    parameters = [each for name, each in signature.parameters.items() if name not in ("self", "cls")]
    words: list[str] = []
    for before, each in pairwise([None, *parameters]):
        if each.kind is each.KEYWORD_ONLY and (before is None or before.kind is not each.KEYWORD_ONLY):
            words.append("*")
        words.append(_parameter(each))
    has_result = not isinstance(value, type) and signature.return_annotation is not signature.empty
    result = f" -> {_annotation(signature.return_annotation)}" if has_result else ""
    line = f"({', '.join(words)}){result}"
    return line if len(line) <= LINE else "(\n" + "".join(f"    {word},\n" for word in words) + f"){result}"


def _parameter(parameter: inspect.Parameter) -> str:
    text = f"{parameter.name}: {_annotation(parameter.annotation)}"
    if parameter.default is parameter.empty:
        return text
    default = parameter.default
    shown = "{}" if repr(default) == "<factory>" else getattr(default, "__name__", repr(default).replace("'", '"'))
    return f"{text} = {shown}"


def _annotation(annotation: object) -> str:
    """Under ``from __future__ import annotations`` it is a string; a NamedTuple wraps that."""
    return str(getattr(annotation, "__forward_arg__", annotation))


def _prose(value: object) -> str:
    """The docstring; lines that describe one parameter each become a list."""
    paragraphs = (inspect.getdoc(value) or "").split("\n\n")
    return "\n\n".join(_list(text) if DESCRIBED.match(text) else _filled(text) for text in paragraphs)


def _list(paragraph: str) -> str:
    items = re.split(r"\n(?=\w+: )", paragraph)
    return "\n".join(_filled(DESCRIBED.sub(r"- `\1`: ", item), indent="  ") for item in items)


def _filled(paragraph: str, indent: str = "") -> str:
    words = " ".join(paragraph.split())
    return textwrap.fill(words, COLUMNS, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page(), sys.argv[1:], __doc__))
