"""`run-agent bus check`: which bus, text and JSON, exit codes, repair, progress."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from messagebus import Draft, MessageBus, Parent, replace
from messagebus.backends.file import segments
from messagebus.msgid import sibling
from messagebus.repair import originals
from run_agent.cli.commands import bus_check

Run = Callable[..., Any]
GO = (
    "---\nmsg_id: MSG-20261121-031415-926535897-PID00042-0001\nts: 2026-11-21T03:14:15Z\n"
    "type: FACT\nproject_id: demo\n---\nfrom Go\n"
)
ONE_LINE = "[2026-11-21 03:14:15] FACT: by hand\n"


@pytest.fixture
def check(run: Run, path: Path) -> Run:
    """Check the bus."""
    return lambda *args: run("bus", "check", "--bus", path, *args)


@pytest.fixture
def torn(fill: Run, path: Path) -> str:
    """Tear the last of three messages; its id."""
    last = fill("one", "two", "x" * 50)[-1]
    path.write_bytes(path.read_bytes()[:-20])
    return str(last.msg_id)


def test_a_clean_bus(check: Run, fill: Run, path: Path) -> None:
    fill("one", "two")
    before = path.read_bytes()
    for flags in ([], ["--fix"]):
        assert check(*flags) == (0, f"{path}: clean\n".encode(), "")
        assert check("--json", *flags) == (0, b"", "")
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - names


def test_it_finds_its_bus_as_read_does(
    run: Run, fill: Run, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    of_task, of_environment, above = (root / "p/t/TASK-MESSAGE-BUS.md", tmp_path / "env.md", Path("MESSAGE-BUS.md"))
    of_task.parent.mkdir(parents=True)
    for bus in (path, of_task, of_environment, above):
        fill("x", to=bus)
    assert run("bus", "check", "--bus", path).out == f"{path}: clean\n"
    assert run("bus", "check", "--root", root, "--project", "p", "--task", "t").out == f"{of_task}: clean\n"
    Path("deep/er").mkdir(parents=True)
    monkeypatch.chdir("deep/er")
    assert run("bus", "check").out == f"{path.parent / above}: clean\n"
    monkeypatch.setenv("MESSAGE_BUS", str(of_environment))
    assert run("bus", "check").out == f"{of_environment}: clean\n"


def test_no_bus(run: Run, check: Run, refused: Run, path: Path) -> None:
    refused(check(), 3, str(path), "does not exist")
    refused(check("--fix"), 3, str(path))
    refused(run("bus", "check"), 3)
    assert not path.exists()


def test_a_directory(check: Run, refused: Run, path: Path) -> None:
    path.mkdir()
    refused(check(), 6, "a directory")
    refused(check("--fix"), 6, "a directory")


def test_information_is_no_damage(check: Run, path: Path) -> None:
    path.write_text(f"{ONE_LINE}\n{GO}")
    result = check()
    assert result.code == 0
    assert [line.partition(" ")[0] for line in result.lines] == ["BUS102", "BUS101", f"{path}:"]
    assert result.lines[-1] == f"{path}: clean"
    assert {line["level"] for line in check("--json").json} == {"information"}
    assert path.read_text() == f"{ONE_LINE}\n{GO}"


def test_a_parent_that_is_not_on_this_bus(check: Run, fill: Run, path: Path) -> None:
    """Whatever was written as usual is read another way than the rest, which must not matter here."""
    first = fill("the first")[0].msg_id
    elsewhere = sibling(first, 5)
    fill("two answers", parents=[first, Parent(elsewhere, "answers")])
    fill("another to it", parents=[elsewhere])
    canonical = check("--json").json
    path.write_text(path.read_text().replace("project_id: p", 'project_id: "p"'))
    for findings in (canonical, check("--json").json):
        assert [(finding["code"], finding["line"]) for finding in findings] == [("BUS104", 10)]
        assert elsewhere in findings[0]["text"]


def test_a_repaired_record_stays_information(check: Run, path: Path) -> None:
    with MessageBus(path) as bus:
        bus.append_message(Draft("FACT", "p", "x", meta={"mended": "torn"}))
    assert [line.partition(" ")[0] for line in check().lines] == ["BUS103", f"{path}:"]


def test_findings_as_text(check: Run, torn: str, path: Path) -> None:
    result = check()
    assert result.code == 1
    finding, summary = result.lines
    offset = path.read_bytes().rindex(b"---\nmsg_id:")
    assert finding == (
        f"BUS002 BUS.md:19 (byte {offset}) [{torn}] this record is torn: 19 of the 50 bytes of its body are missing"
    )
    assert (
        summary
        == f"{path}: 1 finding; 'run-agent bus check --fix' repairs what it can, docs/checks.md explains the codes"
    )


def test_findings_as_json(check: Run, torn: str, path: Path) -> None:
    [finding] = check("--json").json
    assert finding == {
        "code": "BUS002",
        "level": "finding",
        "path": str(path),
        "line": 19,
        "offset": path.read_bytes().rindex(b"---\nmsg_id:"),
        "msg_id": torn,
        "text": "this record is torn: 19 of the 50 bytes of its body are missing",
    }


def test_a_repair_as_text(check: Run, torn: str, path: Path) -> None:
    before = path.read_bytes()
    result = check("--fix")
    assert result.code == 0
    [broken] = path.parent.glob("*.broken")
    assert re.fullmatch(r"BUS\.md\.\d{8}-\d{6}-\d{6}\.broken", broken.name)
    assert broken.read_bytes() == before
    finding, repaired, done, information, summary = result.lines
    assert finding.startswith("BUS002 ")
    assert repaired == f"Repaired {path}; the original is {broken.name}"
    assert done == f"  line 19: marked {torn}: 19 of the 50 bytes of its body are missing"
    assert information.startswith("BUS103 BUS.md:19 ")
    assert summary == f"{path}: clean"


def test_a_repair_as_json(check: Run, torn: str, path: Path) -> None:
    finding, repaired, information = check("--fix", "--json").json
    [broken] = path.parent.glob("*.broken")
    done = [f"line 19: marked {torn}: 19 of the 50 bytes of its body are missing"]
    assert (finding["code"], information["code"]) == ("BUS002", "BUS103")
    assert repaired == {"mended": str(path), "broken": str(broken), "done": done}


@pytest.mark.usefixtures("torn")
def test_a_second_repair_changes_nothing(check: Run, path: Path) -> None:
    check("--fix")
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    result = check("--fix")
    assert (result.code, len(result.lines)) == (0, 2), "the information, and the summary"
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before


def test_a_joined_record_is_split_off_only_on_request(check: Run, read: Run, path: Path) -> None:
    path.write_text(GO + GO.replace("0001", "0002").replace("from Go", "joined"))
    checked, repaired = check(), check("--fix")
    assert (checked.code, repaired.code) == (1, 1)
    assert f"BUS012 BUS.md:8 (byte {len(GO)}) [MSG-20261121-031415-926535897-PID00042-0002]" in checked.out
    assert "--fix --split-joined" in checked.out
    assert not list(path.parent.glob("*.broken"))
    assert check("--fix").out == repaired.out
    split = check("--fix", "--split-joined")
    assert split.code == 0
    assert (
        "made MSG-20261121-031415-926535897-PID00042-0002, which was joined to the record above, a message" in split.out
    )
    assert read("--tail", "1").out.count("joined") == 1
    assert check("--fix", "--split-joined").code == 0


def test_splitting_needs_fix(check: Run, refused: Run, path: Path) -> None:
    path.write_text(GO)
    refused(check("--split-joined"), 2, "--fix")


@pytest.mark.usefixtures("torn")
def test_a_torn_record_stays_readable_and_marked(check: Run, read: Run, torn: str) -> None:
    check("--fix")
    [message] = read("--id", torn, "--json").json
    assert (message["body"], message["intact"], message["meta"]) == ("x" * 31, False, {"mended": "torn"})


def test_what_needs_a_person_is_left(check: Run, fill: Run, path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    fill("x", to=elsewhere)
    path.symlink_to(elsewhere)
    for flags in ([], ["--fix"]):
        result = check(*flags)
        assert result.code == 1
        assert result.lines[0].startswith("BUS010 BUS.md ")
    assert "fix the rest by hand" in result.lines[-1]
    assert path.is_symlink()


HOSTILE = "\x1b]0;owned\x07\u202e\x1b[2J"


def test_the_content_of_a_file_does_not_control_the_terminal(check: Run, fill: Run, path: Path) -> None:
    [message] = fill("x")
    text = path.read_text()
    ids = [f"{HOSTILE}{number}" for number in "ab"]
    records = [text.replace(message.msg_id, f"{msg_id}\ncontent_length: {HOSTILE}") for msg_id in (*ids, *ids)]
    path.write_text("\n".join([*records, "\n---\nmsg_id: [" + HOSTILE + "\n---\n"]))
    for flags in ([], ["--fix"], []):
        for line in check(*flags).lines:
            assert line.isprintable(), repr(line)
    assert check().code == 0


@pytest.mark.parametrize("name", ["a\nb.md", "\x1b[2J.md", os.fsdecode(b"\xff.md"), " .md", "-.md"])
def test_hostile_names(run: Run, fill: Run, here: Path, name: str) -> None:
    path = here / name
    fill("one", "x" * 50, to=path)
    path.write_bytes(path.read_bytes()[:-20])
    for flags, code in (([], 1), (["--fix"], 0), ([], 0)):
        result = run("bus", "check", "--bus", path, *flags)
        assert result.code == code
        assert all(line.isprintable() for line in result.lines)
    if name.isascii():
        assert run("bus", "check", "--json", "--bus", path).json[0]["path"] == str(path)


def test_another_process_holds_the_lock(
    check: Run, torn: str, held_lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is checked all the same; a repair needs the lock, and exits with 5 after its timeout."""
    monkeypatch.setattr("messagebus.backends.file.lock._wait", lambda *_: False)
    before = held_lock.read_bytes()
    assert check().lines[0].startswith("BUS002 ")
    result = check("--fix")
    assert result.code == 5
    assert str(held_lock) in result.err
    assert held_lock.read_bytes() == before
    assert torn


def test_without_permission(check: Run, torn: str, path: Path, monkeypatch: pytest.MonkeyPatch, patched: Any) -> None:
    """As on a disk that is mounted read-only: it is checked, and an attempt to repair it says why it fails."""
    before = path.read_bytes()

    def refusing(file: str, flags: int, *more: Any, **named: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(30, "Read-only file system", file)
        return os.open(file, flags, *more, **named)

    for module in (originals, replace, segments):
        monkeypatch.setattr(module, "os", patched(os, open=refusing))
    assert check().code == 1
    result = check("--fix")
    assert result.code not in (0, 1)
    assert "Read-only file system" in result.err
    assert path.read_bytes() == before
    assert torn


def test_without_standard_input(start: Run, torn: str, path: Path) -> None:
    """As under cron."""
    process = start("bus", "check", "--fix", "--bus", path, preexec_fn=lambda: os.close(0))
    output = process.rest().decode()
    assert process.end() == (0, "")
    assert f"marked {torn}" in output
    assert output.endswith(": clean\n")


class Clock:
    """A clock that advances by a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


IN_A_MOUNT = 'mount --bind "$1" "$2" && exec run-agent bus check --fix --bus "$2"'


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
@pytest.mark.usefixtures("torn")
def test_a_file_that_is_a_mount_point(path: Path, tmp_path: Path) -> None:
    """No file can replace it: an error, and both sides are unchanged."""
    if subprocess.run(["unshare", "-m", "mount", "--bind", path, path], check=False, capture_output=True).returncode:
        pytest.skip("this container may not mount")
    inside = tmp_path / "container" / "MESSAGE-BUS.md"
    inside.parent.mkdir()
    inside.touch()
    before = path.read_bytes()
    program = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["unshare", "-m", "bash", "-c", IN_A_MOUNT, "-", path, inside]
    result = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | program)
    assert result.returncode == 6
    assert f"{inside} is mounted by itself" in result.stderr
    assert "mount its directory" in result.stderr
    assert path.read_bytes() == before
    assert [file.name for file in inside.parent.iterdir()] == [inside.name]


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.usefixtures("torn")
def test_progress_is_shown_on_a_terminal(
    check: Run, is_terminal: bool, monkeypatch: pytest.MonkeyPatch, patched: Any
) -> None:
    stderr = io.StringIO()
    stderr.isatty = lambda: is_terminal  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(bus_check, "time", patched(time, monotonic=Clock()))
    assert check().code == 1
    assert bool(stderr.getvalue()) == is_terminal
    if is_terminal:
        assert re.search(r"\r +\d+% of 0 MB", stderr.getvalue())
        assert stderr.getvalue().endswith("\r\x1b[K"), "the line is cleared at the end"


def test_a_short_check_shows_no_progress(terminal: Run, fill: Run, path: Path) -> None:
    fill("x")
    assert terminal("bus", "check", "--bus", path).rest() == f"{path}: clean\r\n".encode()
