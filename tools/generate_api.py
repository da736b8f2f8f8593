"""Write docs/api.md: every public name of the library, with its signature and its docstring.

python tools/generate_api.py           write it
python tools/generate_api.py --check   exit code 1 if it is not what would be written
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from generated import write_or_check

import messagebus

PAGE = Path(__file__).parents[1] / "docs/api.md"
TEMPLATE = """\
<!-- Written by tools/generate_api.py (`make docs`): change the docstrings instead. -->
# The library, name by name

Everything that `import messagebus` gives. [python-api.md](python-api.md) is the tour, with examples;
a backend of your own has the methods of `messagebus.backends.base.Backend`.

{contents}

{entries}
"""
SECTIONS = {
    "The bus": ("MessageBus", "MemoryBackend", "discover_bus"),
    "Messages": ("Draft", "Message", "Parent", "Link", "RUN_START", "RUN_STOP", "RUN_CRASH"),
    "Checking, repairing, merging": ("check_bus", "Finding", "repair_bus", "Repaired", "merge_logs"),
}


def page() -> str:
    """What docs/api.md should be."""
    sections = {**SECTIONS, "Errors": tuple(_errors())}
    unnamed = set(messagebus.__all__) - {name for names in sections.values() for name in names} - {"__version__"}
    if unnamed:
        raise SystemExit(f"{', '.join(sorted(unnamed))}: public, and in no section of {__file__}")
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
    return f"<!-- not executed: the signature of a public name -->\n```python\n{name}{_signature(value)}\n```"


def _signature(value: object) -> str:
    text = str(inspect.signature(value))  # type: ignore[arg-type]  # every entry is a class or a function
    text = re.sub(r"'([^']*)'", r"\1", text)  # annotations are strings: quoted twice
    text = re.sub(r"<built-in function (\w+)>|<function (\w+) at 0x\w+>", r"\1\2", text)
    text = re.sub(r"\((self|cls)(, )?", "(", text)
    if isinstance(value, type):
        text = text.removesuffix(" -> None")
    if len(text) <= 90:
        return text
    inside, _, returned = text.rpartition(")")
    parts = re.split(r", (?=[\w*]+(?::|,|$|=))", inside.removeprefix("("))
    return "(\n" + "".join(f"    {part},\n" for part in parts) + f"){returned}"


def _prose(value: object) -> str:
    return inspect.getdoc(value) or ""


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page(), sys.argv[1:], __doc__))
