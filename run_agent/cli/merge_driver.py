"""Installing the merge driver in a git repository, and removing it again.

Git learns of a driver in two places: ``.gitattributes``, which is committed, says which files it is for, and the
configuration of the clone says which program to run.
"""

from __future__ import annotations

import os
import subprocess

from run_agent.cli.errors import RefusedError

PATTERNS = (b"*MESSAGE-BUS.md merge=run-agent-bus", b"*MESSAGE-BUS.md.*.archived merge=run-agent-bus")
CONFIGURATION = {
    "merge.run-agent-bus.name": "the messages of both sides",
    "merge.run-agent-bus.driver": "run-agent bus merge %O %A %B",
}


def install() -> list[str]:
    """Add what is missing; returns what was done, a sentence each. Raises RefusedError."""
    path = _attributes_path()
    return [*_add_patterns(path), *_configure()]


def uninstall() -> list[str]:
    """Remove what ``install`` adds; the same otherwise."""
    path = _attributes_path()
    return [*_remove_patterns(path), *_deconfigure()]


def _attributes_path() -> str:
    """``.gitattributes`` at the top of the work tree."""
    return os.path.join(_git("rev-parse", "--show-toplevel"), ".gitattributes")


def _add_patterns(path: str) -> list[str]:
    text = _content(path)
    missing = [pattern for pattern in PATTERNS if pattern not in text.splitlines()]
    if not missing:
        return []
    separator = b"" if not text or text.endswith(b"\n") else b"\n"
    with open(path, "ab") as file:
        file.write(separator + b"".join(pattern + b"\n" for pattern in missing))
    return [f"Added to {path}, to be committed: {_listed(missing)}"]


def _remove_patterns(path: str) -> list[str]:
    lines = _content(path).splitlines(keepends=True)
    kept = [line for line in lines if line.strip() not in PATTERNS]
    if kept == lines:
        return []
    if not kept:
        os.unlink(path)
        return [f"Removed {path}, which held nothing else."]
    with open(path, "wb") as file:
        file.writelines(kept)
    return [f"Removed from {path}: {_listed(PATTERNS)}"]


def _configure() -> list[str]:
    missing = {key: value for key, value in CONFIGURATION.items() if _configured(key) != value}
    for key, value in missing.items():
        _git("config", "--local", key, value)
    return [f"Configured in this repository: {key} = {value}" for key, value in missing.items()]


def _deconfigure() -> list[str]:
    present = [key for key, value in CONFIGURATION.items() if _configured(key) == value]
    for key in present:
        _git("config", "--local", "--unset", key)
    return [f"Removed from the configuration of this repository: {key}" for key in present]


def _configured(key: str) -> str:
    return _git("config", "--local", "--default", "", "--get", key)


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def _listed(patterns: tuple[bytes, ...] | list[bytes]) -> str:
    return ", ".join(pattern.decode() for pattern in patterns)


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], capture_output=True, check=False)  # noqa: S603, S607 - all words are our own
    except FileNotFoundError:
        raise RefusedError("git is not on the PATH.") from None
    if done.returncode:
        errors = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise RefusedError(f"git {words[0]}: {errors[0]}. Run this in the work tree of a repository.")
    return os.fsdecode(done.stdout).removesuffix("\n")
