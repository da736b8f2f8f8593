"""A header is text, lists and mappings, as large as it looks: no objects, no aliases, fifty levels."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import yaml

from messagebus.codec import header
from messagebus.codec.header import HeaderError

TRIED = "headers that tried to make objects, or more than they hold"


def levels(count: int, step: str) -> str:
    """That many mappings, each indented by ``step`` more than the one around it."""
    return "".join(f"{step * depth}a:\n" for depth in range(count - 1)) + f"{step * (count - 1)}a: b\n"


def lists_and_mappings(count: int) -> str:
    """That many of both in turn, as many as go with so little indentation."""
    return "a:\n" + "".join(f"{' ' * depth}-\n {' ' * depth}a:\n" for depth in range(1, count // 2)) + " " * count + "b"


ENTRIES = ", ".join(f"k{number}: v" for number in range(3000))
BOMBS = {
    "an alias": "meta: &m {a: b}\nparents: [{msg_id: a, meta: *m}]",
    "a merge": "a: &a {b: c}\nmeta:\n  <<: *a",
    "an alias of itself": "parents: &p [*p]",
    "laughs": "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmnop")),
    "a square": f"meta: &m {{{ENTRIES}}}\nparents: [{'{msg_id: a, meta: *m},' * 1300}]",
    "51 brackets": f"a: {50 * '['}{50 * ']'}",
    "51 levels": levels(51, "  "),
    "51 levels of a blank": levels(51, " "),
    "52 levels of both": lists_and_mappings(54),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_what_expands_to_more_than_it_is_makes_no_header(bomb: str, tally: Callable[..., None]) -> None:
    text = f"msg_id: x\n{bomb.rstrip()}\n"  # an empty line would keep it from the small parser
    assert yaml.compose(text), "nothing else is wrong with it"
    with pytest.raises(HeaderError):
        header.parse(text)
    tally(TRIED, 1)


@pytest.mark.parametrize("count", [1, 2, 25, 26, 49, 50])
def test_fifty_levels_are_a_header(count: int) -> None:
    for text in (levels(count, "  "), levels(count, " "), f"a: {(count - 1) * '['}x{(count - 1) * ']'}\n"):
        assert header.parse(text) == header.parse_yaml(text) == yaml.load(text, yaml.BaseLoader)  # noqa: S506 - makes no objects


@pytest.mark.parametrize(
    "value",
    ["!!python/object/apply:builtins.print [x]", "!!python/name:os.system", "!!python/tuple [a]", "!!set {a}",
     "!!float 1", "!!timestamp 2026-01-01", "!!binary eA==", "!!int 1", "!!null x", "!mine x", "2026-01-01", "1",
     "yes", "~"],
)  # fmt: skip
def test_a_value_is_text_whatever_its_tag(value: str, tally: Callable[..., None]) -> None:
    def is_plain(value: object) -> bool:
        parts = (*value, *value.values()) if type(value) is dict else value if type(value) is list else ()
        return type(value) in (str, list, dict) and all(map(is_plain, parts))

    assert is_plain(header.parse(f"msg_id: x\na: {value}\nb: {{c: [{value} ]}}\n"))
    tally(TRIED, 1)
