"""The editors that people have the file open in, driven as a person would.

``Open`` is an editor that has read the file and waits; ``save`` adds a line at the end of its buffer,
overwrites whatever came to the file meanwhile, and returns when the file is saved.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest
from patience import SECONDS

REQUIRED = bool(os.environ.get("REQUIRE_EDITORS"))


def find(program: str) -> str:
    """The path of an editor; without it the test is skipped, or fails where all must be there."""
    found = shutil.which("gsed" if program == "sed" and sys.platform == "darwin" else program)  # the one of GNU
    if not found:
        (pytest.fail if REQUIRED else pytest.skip)(f"{program} is not installed")
    return found


class Open(Protocol):
    def save(self, line: str) -> None: ...


class Talking:
    """An editor that reads commands, and says ``ready`` when it has read the file.

    In its commands, ``{path}`` is the file and ``{line}`` the line to add.
    """

    def __init__(self, path: Path, argv: list[str], load: str, save: str) -> None:
        self._path, self._save = path, save
        self._process = subprocess.Popen(
            [find(argv[0]), *(word.format(path=path) for word in argv[1:])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        self._tell(load.format(path=path))
        self._await_ready()

    def _tell(self, text: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(text.encode())

    def _await_ready(self) -> None:
        assert self._process.stdout
        text = b""
        while b"ready" not in text:
            assert select.select([self._process.stdout], [], [], SECONDS)[0], f"the editor says nothing but {text!r}"
            more = os.read(self._process.stdout.fileno(), 4096)
            assert more, text
            text += more

    def save(self, line: str) -> None:
        said, _ = self._process.communicate(self._save.format(path=self._path, line=line).encode(), SECONDS)
        assert self._process.returncode == 0, said


class Nano:
    """nano has no batch mode: it gets a terminal, and keys."""

    def __init__(self, path: Path) -> None:
        self._fd, terminal = pty.openpty()
        self._process = subprocess.Popen(
            [find("nano"), "--ignorercfiles", str(path)],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={"TERM": "xterm", "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
        os.close(terminal)
        self._await(rb"Read \d+ lines")

    def _await(self, pattern: bytes) -> bytes:
        text, deadline = b"", time.monotonic() + SECONDS
        while not re.search(pattern, text):
            assert select.select([self._fd], [], [], deadline - time.monotonic())[0], text
            text += os.read(self._fd, 65536)
        return text

    def save(self, line: str) -> None:
        os.write(self._fd, b"\x1b/" + line.encode() + b"\r\x13")  # to the end, type, ^S
        if b"Wrote" not in self._await(rb"Wrote \d+ lines|modified since|on disk has changed"):
            os.write(self._fd, b"y")
            self._await(rb"Wrote \d+ lines")
        os.write(self._fd, b"\x18")  # ^X
        self._leave()

    def _leave(self) -> None:
        try:
            while os.read(self._fd, 65536):
                pass
        except OSError:  # nano has closed its end
            pass
        os.close(self._fd)
        assert self._process.wait(SECONDS) == 0


class VSCode:
    """The system calls of VS Code, which is not installed here: it opens with O_TRUNC, writes at offsets of
    its own and flushes; or, as an option, does that to a new file and renames it."""

    def __init__(self, path: Path, *, atomic: bool = False) -> None:
        self._path, self._atomic = path, atomic
        self._buffer = path.read_bytes()

    def save(self, line: str) -> None:
        target = self._path.with_name(f"{self._path.name}.vsctmp") if self._atomic else self._path
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        text = self._buffer + line.encode() + b"\n"
        for at in range(0, len(text), 1024):
            os.pwrite(fd, text[at : at + 1024], at)
        os.fdatasync(fd)
        os.close(fd)
        if self._atomic:
            target.rename(self._path)


def vim(path: Path, copy: str) -> Talking:
    """``backupcopy``: yes writes in place, no renames the old file away and makes a new one. The key ``y``
    answers "changed since reading it, do you really want to write"."""
    quiet = ["vim", "-Nu", "NONE", "-i", "NONE", "-es"]
    load = f"set backupskip= backupcopy={copy}\nedit {{path}}\ncall writefile(['ready'], '/dev/stdout')\n"
    return Talking(path, quiet, load, "call append('$', '{line}')\ncall feedkeys('y', 'L')\nwrite!\n1\nqa!\n")


def emacs(path: Path, settings: str) -> Talking:
    """It answers yes to "has changed since visited; save anyway?"."""
    wait = f'(progn {settings} (find-file "{path}") (princ "ready\\n") (setq line (read-string "")))'
    save = (
        "(progn (advice-add 'ask-user-about-supersession-threat :override #'ignore)"
        " (advice-add 'yes-or-no-p :override (lambda (&rest _) t))"
        " (goto-char (point-max)) (insert line ?\\n) (save-buffer))"
    )
    argv = ["emacs", "-Q", "--batch", "--eval", wait.replace("{", "{{"), "--eval", save]
    return Talking(path, argv, "", "{line}\n")


_SED = '$!b;e echo ready >&2; read line; echo "$line" > added'
_PERL = 'print; if (eof) {{ print STDERR "ready\\n"; print scalar <STDIN> }}'


def stream(path: Path, *argv: str) -> Talking:
    """sed and perl have the whole file read when they come to its last line; there they wait for the text to add."""
    return Talking(path, [*argv, "{path}"], "", "{line}\n")


class Way(NamedTuple):
    open: Callable[[Path], Open]
    renames: bool  # the file at the path is another one afterwards


WAYS: dict[str, Way] = {
    "vim": Way(lambda path: vim(path, "no"), renames=True),
    "vim, in place": Way(lambda path: vim(path, "yes"), renames=False),
    "nano": Way(Nano, renames=False),
    "Emacs": Way(lambda path: emacs(path, "(setq backup-enable-predicate 'identity)"), renames=True),
    "Emacs, in place": Way(lambda path: emacs(path, "(setq make-backup-files nil)"), renames=False),
    "Emacs, precious": Way(lambda path: emacs(path, "(setq file-precious-flag t)"), renames=True),
    "ed": Way(
        lambda path: Talking(path, ["ed", "-s", "{path}"], "!echo ready\n", "$a\n{line}\n.\nw\nq\n"), renames=False
    ),
    "sed -i": Way(lambda path: stream(path, "sed", "-i", "-e", _SED, "-e", "r added"), renames=True),
    "perl -i": Way(lambda path: stream(path, "perl", "-i", "-ne", _PERL), renames=True),
    "VS Code": Way(VSCode, renames=False),
    "VS Code, atomic": Way(lambda path: VSCode(path, atomic=True), renames=True),
}  # fmt: skip
