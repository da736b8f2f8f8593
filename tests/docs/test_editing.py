"""docs/editing.md: what it tells people to paste into editors is tried there, and its preview is rendered."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
from pathlib import Path

import pytest
from manual import HOME, blocks
from markdown_it import MarkdownIt
from patience import SECONDS

from messagebus import Draft, Message, MessageBus, Parent

TRIED = [block for block in blocks(HOME / "docs/editing.md") if "test_editing" in block.mark]
BLOCKS = {block.language: block.text for block in TRIED if block.language}
[LINE] = {block.text for block in (*TRIED, *blocks(HOME / "README.md")) if block.text.startswith("[")}
[RECORD] = (block.text for block in TRIED if "msg_id" in block.text and not block.language)
find = runpy.run_path(str(HOME / "tests/system/programs/editors.py"))["find"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "TASK-MESSAGE-BUS.md"


@pytest.fixture
def posted(path: Path) -> list[Message]:
    with MessageBus(path) as bus:
        return [
            bus.append_message(Draft("QUESTION", "demo", "Is it green?\n\n---\nmsg_id: no\n---\n# A heading")),
            bus.append_message(Draft("ANSWER", "demo", "It is.", parents=[Parent("MSG-1", "answers")])),
            bus.append_message(Draft("FACT", "demo", "* one\n* two", meta={"branch": "main"})),
        ]


@pytest.fixture
def starts(path: Path, posted: list[Message]) -> list[int]:
    """The lines, from 1, on which the records start."""
    lines = path.read_text().splitlines()
    return [lines.index(f"msg_id: {message.msg_id}") for message in posted]


def run(*command: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_record_by_hand(path: Path, posted: list[Message]) -> None:
    path.write_text(path.read_text() + RECORD)
    with MessageBus(path) as bus:
        after = bus.append_message(Draft("FACT", "demo", "after"))
        [*before, by_hand, last] = bus.read_messages()
        assert (before, last) == (posted, after)
        assert (by_hand.msg_id, by_hand.type, by_hand.intact) == ("monday-1", "DECISION", None)
        assert by_hand.body == "We release on Monday.\n\nWho is against it says so today."
        assert bus.read_messages("monday-1") == [after]
        assert after.msg_id > posted[-1].msg_id


def test_the_line_by_hand(path: Path, posted: list[Message]) -> None:
    path.write_text(path.read_text() + LINE)
    [*before, by_hand] = MessageBus(path).read_messages()
    assert before == posted
    assert (by_hand.type, by_hand.body) == ("DECISION", "We release on Monday.")


def test_vim_folds_records(path: Path, starts: list[int], tmp_path: Path) -> None:
    (tmp_path / "vimrc").write_text(BLOCKS["vim"])
    show = "map(range(1, line('$')), 'foldlevel(v:val) . \" \" . foldclosed(v:val) . \" \" . foldtextresult(v:val)')"
    commands = [f"source {tmp_path / 'vimrc'}", f"edit {path}", "normal zM", f"call writefile({show}, 'folds')", "qa!"]
    words = [word for command in [f"cd {tmp_path}", *commands] for word in ("-c", command)]
    run(find("vim"), "-Nu", "NONE", "-i", "NONE", "-es", *words)
    folds = (tmp_path / "folds").read_text().splitlines()
    assert {fold.split()[0] for fold in folds} == {"1"}
    assert sorted({int(fold.split()[1]) for fold in folds}) == starts
    texts = [folds[start - 1].split(maxsplit=2)[2].strip() for start in starts]
    assert texts == ["QUESTION: Is it green?", "ANSWER: It is.", "FACT: * one"]


def test_emacs_folds_records(path: Path, starts: list[int], tmp_path: Path) -> None:
    (tmp_path / "init.el").write_text(BLOCKS["elisp"])
    show = """(progn (find-file "{}") (outline-hide-body) (goto-char (point-min))
      (while (not (eobp))
        (unless (outline-invisible-p) (princ (format "%d\n" (line-number-at-pos))))
        (forward-line)))"""
    shown = run(find("emacs"), "-Q", "--batch", "-l", tmp_path / "init.el", "--eval", show.format(path))
    lines = path.read_text().splitlines()
    text = [int(number) for number in shown.split() if lines[int(number) - 1]]
    assert text == [start + line for start in starts for line in range(4)]


def test_the_rule_for_vs_code_finds_the_records(path: Path, starts: list[int]) -> None:
    [rule] = json.loads(BLOCKS["json"])["[markdown]"]["explicitFolding.rules"]
    lines = path.read_text().splitlines()
    found = [number for number, line in enumerate(lines) if re.search(rule["separatorRegex"], line)]
    assert set(starts) <= set(found)
    assert all(lines[number] == "msg_id: no" for number in set(found) - set(starts)), "but for one in a body"


def test_the_preview(path: Path, posted: list[Message]) -> None:
    """Headers are headings, but those with a list; bodies are Markdown."""
    shown = MarkdownIt("commonmark").render(path.read_text())
    headings = re.findall(r"<h2>msg_id: (\S+)\n.*?</h2>", shown, re.DOTALL)
    assert headings == [posted[0].msg_id, posted[2].msg_id]
    assert f"<p>msg_id: {posted[1].msg_id}\n" in shown
    assert "<li>msg_id: MSG-1\nkind: answers\ncontent_length: 6</li>\n</ul>\n<hr />\n<p>It is.</p>" in shown
    assert "<p>---\nmsg_id: no\n---</p>\n<h1>A heading</h1>" in shown
    assert "content_length: 11</h2>\n<ul>\n<li>one</li>\n<li>two</li>\n</ul>" in shown
    assert shown.count("<hr />") == len(posted) + 1
