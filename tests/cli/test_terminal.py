"""On a terminal: colour, Ctrl-C, the editor, and a missing text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
COLOURED = b"\x1b[36m(FACT)\x1b[0m"


def test_colour(terminal: Run, fill: Run, path: Path) -> None:
    fill("x")
    running = terminal("bus", "read", "--bus", path)
    assert COLOURED in running.until(b"\n")
    assert running.end()[0] == 0


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour(environment: dict[str, str], terminal: Run, fill: Run, path: Path) -> None:
    fill("x")
    out = terminal("bus", "read", "--bus", path, **environment).rest()
    assert b"(FACT) x" in out
    assert b"\x1b" not in out


@pytest.mark.parametrize("form", ["--json", "--raw"])
def test_exact_forms_have_no_colour(form: str, terminal: Run, fill: Run, path: Path) -> None:
    fill("x")
    assert b"\x1b" not in terminal("bus", "read", "--bus", path, form).rest()


def test_ctrl_c(terminal: Run, fill: Run, path: Path) -> None:
    fill("a")
    running = terminal("bus", "read", "--bus", path, "--follow")
    running.until(b"a\r\n")
    fill("b")
    running.until(b"b\r\n")
    running.type_keys(b"\x03")
    assert running.rest().replace(b"^C", b"").strip() == b""
    assert running.end()[0] == 130


def test_without_a_body_a_terminal_is_not_read(terminal: Run, path: Path) -> None:
    running = terminal("bus", "post", "--bus", path, "--project", "p")
    assert b"No text: give --body TEXT" in running.rest()
    assert running.end()[0] == 2


def test_a_dash_reads_the_terminal(terminal: Run, path: Path, messages: Run) -> None:
    running = terminal("bus", "post", "--bus", path, "--project", "p", "--body", "-")
    running.type_keys(b"typed\n\x04")
    running.until(b"msg_id: ")
    assert running.end()[0] == 0
    assert messages()[0].body == "typed"


# --- --edit ----------------------------------------------------------------------------------


@pytest.fixture
def edit(terminal: Run, path: Path, tmp_path: Path) -> Run:
    """Post with an editor that is this shell script; $1 is the file."""

    def post(script: str, *flags: str, variable: str = "EDITOR", **environment: str) -> Any:
        editor = tmp_path / "my-editor"
        editor.write_text(f"#!/bin/sh\n{script}\n")
        editor.chmod(0o755)
        command = ["bus", "post", "--bus", path, "--project", "p", "--edit", *flags]
        running = terminal(*command, **{variable: str(editor)}, **environment)
        out = running.rest().decode().replace("\r\n", "\n")
        return running.end()[0], out

    return post


def write(text: str) -> str:
    """A script that inserts this text at the start of the file."""
    return f"""printf '{text}' | cat - "$1" > "$1.new" && cat "$1.new" > "$1" && rm "$1.new" """


def test_the_editor(edit: Run, messages: Run) -> None:
    code, out = edit("test -t 0 && test -t 1 || exit 1\n" + write("# A heading\\n\\ntext\\n"))
    [message] = messages()
    assert (code, out) == (0, f"msg_id: {message.msg_id}\n")
    assert message.body == "# A heading\n\ntext"


def test_visual_comes_before_editor(edit: Run, messages: Run) -> None:
    assert edit(write("text"), variable="VISUAL", EDITOR="false")[0] == 0
    assert messages()[0].body == "text"


def test_the_editor_starts_with_the_body(edit: Run, messages: Run) -> None:
    assert edit('sed "s/draft/final/" "$1" > "$1.new" && mv "$1.new" "$1"', "--body", "a draft")[0] == 0
    assert messages()[0].body == "a final"


def test_a_body_left_as_it_was_is_posted(edit: Run, messages: Run) -> None:
    """As `git commit --edit -m TEXT` does."""
    assert edit("exit 0", "--body", "as it was")[0] == 0
    assert messages()[0].body == "as it was"


@pytest.mark.parametrize("script", ["exit 0", ': > "$1"', write("  \\n")])
def test_an_empty_text_posts_nothing(script: str, edit: Run, path: Path) -> None:
    code, out = edit(script)
    assert (code, out) == (1, "Nothing posted: the message is empty.\n")
    assert not path.exists()


def test_an_editor_that_fails_posts_nothing(edit: Run, path: Path) -> None:
    code, out = edit(write("text") + "; exit 3")
    assert code == 1
    assert out.startswith("Error: ")
    assert "Traceback" not in out
    assert not path.exists()


def test_an_editor_that_does_not_exist(terminal: Run, path: Path) -> None:
    running = terminal("bus", "post", "--bus", path, "--project", "p", "--edit", EDITOR="/no/such/editor")
    out = running.rest()
    assert b"/no/such/editor" in out
    assert b"Traceback" not in out
    assert running.end()[0] == 1


def test_text_that_is_not_utf8(edit: Run, path: Path) -> None:
    code, out = edit("printf 'caf\\351' > \"$1\"")
    assert code == 6, out
    assert "UTF-8" in out
    assert not path.exists()


@pytest.mark.parametrize("bad", [("--meta", "novalue"), ("--parent", "a b"), ("--type", ""), ("--link", "")])
def test_bad_flags_are_reported_before_the_editor_opens(bad: tuple[str, str], edit: Run, tmp_path: Path) -> None:
    """Otherwise the edited text would be lost."""
    assert edit(f"touch {tmp_path}/opened; " + write("text"), *bad)[0] in (2, 6)
    assert not (tmp_path / "opened").exists()
