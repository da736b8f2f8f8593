"""The header: what we write reads as text in every YAML, and the small parser agrees with PyYAML."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from patience import SECONDS
from ruamel.yaml import YAML

import messagebus
from messagebus.codec import header
from messagebus.codec.header import HeaderError

TRICKY = [
    "yes", "no", "on", "off", "true", "false", "y", "n", "Y", "N", "Yes", "NO", "null", "Null", "NULL", "~", "=",
    "<<", "!", "&", "*", "?", "-", "--", "---", "...", "|", ">", "%", "@", "`", "#", ",", ":", "::", "[", "]", "{",
    "}", "1e3", "1E+3", "1e", "1.e3", ".5", "5.", "007", "08", "0o17", "0O17", "0x1f", "0b11", "0x", "0_", "1_000",
    "1_", "1,000", "+1", "-1", "1__0.0_e1", "12:30:45", "190:20:30.15", "1:2", "1:", "9:99:", ".inf", "-.inf",
    "+.INF", ".nan", ".NaN", "inf", "nan", "2026-11-21", "2026-1-2", "2026-11-21T03:14:15Z",
    "2001-12-14t21:59:43.10-05:00", "https://example.org/a?b=c#d", "http://[::1]:80/", "mailto:x@y", "C:\\x", "a:b",
    "a:/b", "a/:b", "é", "日本", "١٢", "²",
]  # fmt: skip
TRICKY += [
    "", " ", "a ", " a", "a: b", "a :b", "a #b", "a# b", "a -b", "a  b", "- a", "? a", "! a", "'a", "a'", '"a"', 'a"',
    "a\\n",
    "2026-11-21 03:14:15", "2026-11-21 x", "a\u2028b", "\u2028", "\ufeff", "a\ufeff", "a\u00a0b", "\u00a0",
    "\U0001f600",
    "a\U0001ffff", "\U0010ffff", "\ufffe", "\uffff", "\ufdd0", "\ue000", "e\u0301", "\u0301", "\u200b", "\u3000", "Ⅷ",
    "1e3 x",
]  # fmt: skip

CHARACTERS = st.characters(exclude_categories=("Cs", "Cc"))
VALUES = st.one_of(
    st.sampled_from(TRICKY),
    st.text(CHARACTERS, max_size=20),
    st.text("01_.:eExXbo+- ,~tTzZ", max_size=8),
    st.text("ab :#-/\\\"'&*!|>%@`{}[],?~=<\u2028\u00a0\ufeff", max_size=10),
    st.lists(st.sampled_from(TRICKY), min_size=2, max_size=3).map(" ".join),
    st.lists(st.sampled_from(TRICKY), min_size=2, max_size=3).map("".join),
)
KEYS = VALUES.filter(bool)
MAPPINGS = st.dictionaries(KEYS, VALUES, max_size=4)


def as_yaml_1_2(text: str) -> object:
    reader = YAML(typ="safe", pure=True)
    reader.version = (1, 2)
    return reader.load(text)


@settings(max_examples=600)
@given(VALUES)
@example("1:2")
@example("0:0._")
@example("a\u2029b")
def test_a_scalar_is_the_same_text_in_yaml_1_1(text: str) -> None:
    document = f"k: {header.scalar(text)}\n"
    assert yaml.safe_load(document) == {"k": text}
    assert yaml.load(document, Loader=yaml.CSafeLoader) == {"k": text}


@settings(max_examples=250)
@given(VALUES)
@example("0o17")
def test_a_scalar_is_the_same_text_in_yaml_1_2(text: str) -> None:
    assert as_yaml_1_2(f"k: {header.scalar(text)}\n") == {"k": text}


@pytest.mark.parametrize("text", TRICKY)
def test_each_tricky_scalar_is_text_as_value_and_as_key(text: str) -> None:
    document = f"{header.scalar(text)}: {header.scalar(text)}\n"
    assert yaml.safe_load(document) == {text: text}
    assert as_yaml_1_2(document) == {text: text}
    assert header.parse_subset(document) == {text: text}


@settings(max_examples=250)
@given(KEYS)
def test_a_key_is_the_same_text(text: str) -> None:
    assert yaml.safe_load(header.entry(text, "v")) == {text: "v"}


def test_the_longest_key_with_the_longest_escapes_is_a_key_in_yaml() -> None:
    key = "\u2028" * 128
    assert yaml.safe_load(header.entry(key, "v")) == {key: "v"}


@pytest.mark.parametrize(
    "text", ["a", "FACT", "run-7", "two words", "https://example.org/a", "MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA"]
)
def test_ordinary_text_is_plain(text: str) -> None:
    assert header.scalar(text) == text


@st.composite
def headers(draw: st.DrawFn) -> tuple[str, dict[str, object]]:
    """Header text as the codec writes it, and what it means."""
    scalars = draw(MAPPINGS)
    items = draw(st.lists(st.tuples(KEYS, VALUES, MAPPINGS), max_size=3))
    meta = draw(MAPPINGS)
    text = "msg_id: x\n" + "".join(header.entry(f"s{key}", scalars[key]) for key in scalars)
    fields: dict[str, object] = {"msg_id": "x"} | {f"s{key}": value for key, value in scalars.items()}
    text += "items:\n" if items else ""
    for msg_id, kind, extra in items:
        text += header.entry("msg_id", msg_id, "  - ") + header.entry("kind", kind, "    ")
        text += header.mapping("meta", extra, "    ")
    if items:
        fields["items"] = [
            {"msg_id": msg_id, "kind": kind} | ({"meta": extra} if extra else {}) for msg_id, kind, extra in items
        ]
    text += header.mapping("zmeta", meta)
    return text, fields | ({"zmeta": meta} if meta else {})


@settings(max_examples=250)
@given(headers())
def test_what_is_written_is_in_the_subset_and_means_the_same_to_pyyaml(case: tuple[str, dict[str, object]]) -> None:
    text, fields = case
    assert header.parse_subset(text) == fields
    assert header.parse_yaml(text) == fields


def agree(text: str) -> None:
    """Whatever the small parser accepts, PyYAML reads alike; all is text."""
    fields = header.parse_subset(text)
    if fields is not None:
        assert header.parse_yaml(text) == fields
    try:
        assert header.parse(text)
    except HeaderError:
        assert fields is None
    except AssertionError:
        assert header.parse_yaml(text) == {}


TOKENS = st.sampled_from(
    ["a", "b", "k", "msg_id", "parents", "meta", "x y", '"q"', '"\\u0041"', '"\\/"', '"\\ud83d\\ude00"', "'s'", "1",
    "yes", "é",
     ":", ": ", ":", "\n", "\n", "\n", "\n  ", "\n  ", "\n    ", "  - ", "- ", "-", "  ", " ", "\t", "#", " #", "---",
     "...", "\\",
     '"', "'", "|", ">", "&a", "*a", "<<", "!t", "?", "? ", "{", "}", "[", "]", ",", "%", "\r", "\u2028", "\ufeff",
     "\x85", "\x7f",
     "a: b\n", "k: v\n", "  - a: b\n", "    c: d\n", "m:\n", "  x: y\n", 'k: "v"\n']
)  # fmt: skip


@settings(max_examples=1500)
@given(st.lists(TOKENS, max_size=14).map("".join))
@example("a:\n  b: c\nd: e")
@example("a:\n  - b: c\n    d: e\n  - b: f\n")
@example("a:\n-   b: c")
@example("a: b\na: c\n")
@example("a:\n  - - b: c\n")
def test_the_parsers_agree_on_yamlish_text(text: str) -> None:
    agree(text)


@settings(max_examples=600)
@given(headers(), st.data())
def test_the_parsers_agree_on_edited_headers(case: tuple[str, object], data: st.DataObject) -> None:
    text = case[0]
    for _ in range(data.draw(st.integers(1, 2))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 3)))
        text = text[:start] + data.draw(st.one_of(TOKENS, st.just(""), st.text(max_size=2))) + text[end:]
    agree(text)


@pytest.mark.parametrize("length", [1023, 1024, 1025, 3000])
def test_the_parsers_agree_on_long_keys(length: int) -> None:
    agree(f"{'k' * length}: v\n")


@pytest.mark.parametrize(
    "text", ["", "\n", "just text", "- a\n- b\n", "a: [", "a: *b", "\0", "a: b\nc", "{", "a: !!python/object:os.x {}\n"]
)
def test_what_is_not_a_mapping_is_refused_or_text(text: str) -> None:
    try:
        fields = header.parse(text)
    except HeaderError:
        return
    assert fields == {"a": {}}, "a tag makes nothing but text, lists and mappings"


@pytest.mark.parametrize("opened", ["[", "{", "- ", "? "])
def test_deep_nesting_is_refused_and_never_fatal(opened: str) -> None:
    """In a process of its own: PyYAML's C loader recurses, and overran the stack at 30,000 levels."""
    code = (
        "import sys; from messagebus.codec import header\n"
        f"for depth in (100, 1_000, 10_000, 65_536 // {len(opened)} - 8):\n"
        f"    try: header.parse('a:\\n  ' + {opened!r} * depth + 'x')\n"
        "    except header.HeaderError: pass\n"
        "print('alive')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(messagebus.__file__).parents[1], capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (0, "alive\n"), result.stderr[:300]
