"""Damage made by real tools and real crashes: found under its code, repaired without a loss, and then clean.

``tests/property/test_check.py`` does the same with damage that no tool makes.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import chain, count, pairwise
from pathlib import Path

import fault_injection
import pytest
from patience import SECONDS

from messagebus import Draft, Finding, GapWarning, Message, MessageBus, check_bus, repair_bus
from messagebus.backends.file import lock, segments
from messagebus.codec.encode import encode, encode_rest
from messagebus.msgid import next_msg_id
from messagebus.repair import originals

REPAIRING = Path(__file__).parent / "programs/repairing.py"
KILLED = Path(__file__).parent / "programs/crash_writer.py"
FOLLOWING = Path(__file__).parent / "programs/following.py"
TALLY = "logs damaged by tools and crashes, and repaired"
PARAGRAPH = " ".join(f"word{number}" for number in range(100))


def draft(body: str = PARAGRAPH) -> Draft:
    return Draft("FACT", "demo", body)


def damage(path: Path) -> list[Finding]:
    return [finding for finding in check_bus(path) if finding.is_damage]


def codes(path: Path) -> list[str]:
    return sorted({finding.code for finding in damage(path)})


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.parent.glob(f"{path.name}*")}


def words(files: dict[str, bytes]) -> set[bytes]:
    return set(re.findall(rb"[^\W\d_]{4,}", b"\n".join(files.values())))


def repaired(path: Path) -> list[Message]:
    """Repair it: then it is clean, originals are kept, no word is missing, and a second repair finds nothing to do."""
    before = {name: text for name, text in contents(path).items() if not name.endswith(".mending")}
    for file in repair_bus(path):
        if file.broken:
            assert Path(file.broken).read_bytes() == before[Path(file.path).name]
    assert damage(path) == []
    after = contents(path)
    assert words(before) <= words({name: text for name, text in after.items() if not name.endswith(".broken")})
    assert repair_bus(path) == []
    assert contents(path) == after
    return MessageBus(path).read_messages()


@pytest.fixture
def sh(tmp_path: Path) -> Callable[[str], None]:
    """Run a command of the shell beside the bus."""

    def run(command: str) -> None:
        program = re.split(r"\W", command.lstrip("("), maxsplit=1)[0]
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        subprocess.run(["sh", "-ec", command], cwd=tmp_path, check=True, capture_output=True, env=environment)

    return run


@pytest.fixture
def five(path: Path) -> list[Message]:
    with MessageBus(path) as bus:
        return [bus.append_message(draft(f"{number} {PARAGRAPH}")) for number in range(5)]


# --- one file, and a command of the shell --------------------------------------------------------

IN_LF = r"printf '\n---\nmsg_id: x\ntype: A\n---\nlf\n' >> BUS.md"
TOOLS = {
    "truncate": ("truncate -s -100 BUS.md", ["BUS002"]),
    "truncate, in a header": ("truncate -s -750 BUS.md", ["BUS001"]),
    "sparse": ("truncate -s -100 BUS.md; truncate -s +9000 BUS.md", ["BUS002", "BUS007"]),
    "sparse, after the last": ("truncate -s +9000 BUS.md", ["BUS007"]),
    "a block that was never written": (
        "dd if=/dev/zero of=BUS.md bs=512 seek=3 count=1 conv=notrunc", ["BUS002", "BUS007"],
    ),
    "a hole over a record": ("dd if=/dev/zero of=BUS.md bs=1 seek=1000 count=900 conv=notrunc", ["BUS002", "BUS007"]),
    "sed, to CRLF in part": ("sed -i.old \"1,20s/$/$(printf '\\r')/\" BUS.md", ["BUS006"]),
    "unix2dos, and a writer": (f"unix2dos BUS.md; {IN_LF}", ["BUS006"]),
    "vim, and a writer": (f"vim -es -u NONE BUS.md -c 'set ff=dos|wq'; {IN_LF}", ["BUS006"]),
    "sed, in a body": ("sed -i.old '/^4 /s/word7/changed/' BUS.md", ["BUS003"]),
    "sed, in a length": ("sed -i.old 's/content_length: 6/content_length: x/' BUS.md", ["BUS003"]),
    "sed, in a header": ("sed -i.old '/^ts/s/ts/\\tts/' BUS.md", ["BUS001"]),
    "echo, at the end": ("echo more words at the end >> BUS.md", ["BUS003"]),
    "cat, above the first": ("(echo words above; cat BUS.md) > new; mv new BUS.md", ["BUS007"]),
    "cat, twice": ("(cat BUS.md; echo; cat BUS.md) > new; mv new BUS.md", ["BUS004"]),
    "cat, without a blank line": ("cat BUS.md BUS.md > new; mv new BUS.md", ["BUS003", "BUS004"]),
    "rename only": ("mv BUS.md BUS.md.20260101-000000-000001.archived", ["BUS011"]),
    "link to itself, as a repair leaves it": ("ln BUS.md BUS.md.20260101-000000-000001.broken", ["BUS011"]),
    "half a repair": ("head -c 99 BUS.md > BUS.md.20260101-000000-000001.mending", ["BUS011"]),
}  # fmt: skip


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool(tool, path, five, sh, tally):
    command, expected = TOOLS[tool]
    sh(command)
    before = MessageBus(path).read_messages()
    assert codes(path) == expected
    if tool == "half a repair":  # its content is of no use
        repair_bus(path)
        assert not list(path.parent.glob("*.mending"))
        assert codes(path) == []
    else:
        after = {message.body for message in repaired(path)}
        lost = [one for one in before if one.intact and one.body not in after]
        tally(TALLY, 1, lost=len(lost))
    assert five


def test_a_whole_file_in_crlf_is_clean(path, five, sh):
    sh("unix2dos BUS.md")
    assert codes(path) == []
    assert MessageBus(path).read_messages() == five


# --- several files -------------------------------------------------------------------------------

DAY = 86_400_000  # milliseconds
START = 1_795_000_000_000


def write_day(file: Path, day: int) -> list[str]:
    """Three messages of one day; their ids."""
    ids = [next_msg_id(None, START + day * DAY + minute * 60_000, os.urandom) for minute in range(3)]
    moment = datetime.fromtimestamp(START / 1000, UTC)
    records = [encode(msg_id, moment, encode_rest(draft(f"{day} {msg_id}"))) for msg_id in ids]
    file.write_bytes(b"\n".join(records))
    return ids


def archive_of(path: Path, day: int) -> Path:
    """The name that a rotation at midnight after that day gives it, just before the next day begins."""
    return Path(segments.archive_name(str(path), datetime.fromtimestamp((START + (day + 1) * DAY) / 1000 - 0.001, UTC)))


@pytest.fixture
def days(path) -> list[str]:
    """Three archives and a live file, of a day each."""
    archives = [write_day(archive_of(path, day), day) for day in range(3)]
    ids = [*chain.from_iterable(archives), *write_day(path, 3)]
    assert codes(path) == []
    return ids


def test_an_archive_is_removed(path, days, tally):
    archive_of(path, 1).unlink()
    [finding] = damage(path)
    assert (finding.code, finding.path, finding.line) == ("BUS009", str(archive_of(path, 2)), 1)
    gap = [message for message in repaired(path) if message.type == "GAP"]
    assert [message.body for message in gap] == [finding.text]
    tally(TALLY, 1, lost=len({*days[:3], *days[6:]} - {one.msg_id for one in MessageBus(path).read_messages()}))


def test_an_archive_is_copied(path, days, tally):
    """... under the name of a later one: the records of all between are in one file then, once each."""
    shutil.copy(archive_of(path, 0), f"{archive_of(path, 1)}.copy")
    assert codes(path) == [], "not the name of an archive"
    shutil.copy(archive_of(path, 0), str(archive_of(path, 1)).replace(".archived", "1.archived")[:-1] + "d")
    Path(f"{archive_of(path, 1)}.copy").unlink()
    assert codes(path) == [], "neither is this"
    shutil.copy(archive_of(path, 0), segments.next_archive(str(path), datetime.now(UTC)))
    assert codes(path) == ["BUS004", "BUS008"]
    assert [message.msg_id for message in repaired(path) if message.type == "FACT"] == days
    tally(TALLY, 1)


def test_buses_are_put_together(path, sh, tmp_path, tally):
    """Two that were written at the same time."""
    with MessageBus(path) as one, MessageBus(tmp_path / "two.md") as two:
        posted = [bus.append_message(draft(f"{bus is one} {number}")) for number in range(5) for bus in (one, two)]
    sh("(cat two.md; echo) >> BUS.md; rm two.md")
    sh("(cat BUS.md) > both; mv both BUS.md")
    found = codes(path)
    assert "BUS003" in found, "the first of the other joined the last of this one"
    bodies = " ".join(message.body for message in repaired(path))
    lost = sum(message.body not in bodies for message in posted)
    tally(TALLY, 1, lost=lost)


def test_buses_are_put_together_with_a_line_between(path, sh, tmp_path, tally):
    ids = [*write_day(tmp_path / "two.md", 0), *write_day(path, 1)]
    sh("(echo; cat two.md) >> BUS.md")
    assert codes(path) == ["BUS005"]
    assert [message.msg_id for message in repaired(path)] == ids
    tally(TALLY, 1)


def test_a_union_merge(path, five, sh, tally):
    """Two branches appended, and git put both ends into the file."""
    sh(
        "git init -q -b main; git config user.email a@example.org; git config user.name a;"
        "git config commit.gpgsign false; echo 'BUS.md merge=union' > .gitattributes;"
        "git add .gitattributes BUS.md; git commit -qm base; git branch side"
    )
    with MessageBus(path) as bus:
        here = [bus.append_message(draft(f"here {number} {PARAGRAPH}")) for number in range(3)]
    sh("git commit -qam here; git checkout -q side")
    with MessageBus(path) as bus:
        there = [bus.append_message(draft(f"there {number} {PARAGRAPH}")) for number in range(3)]
    sh("git commit -qam there; git checkout -q main; git merge -q side")
    assert codes(path)
    bodies = " ".join(message.body for message in repaired(path))
    tally(TALLY, 1, lost=sum(message.body not in bodies for message in (*five, *here, *there)))


def test_an_id_without_a_time_in_two_files(path, days):
    """Nothing overlaps; in the later file the record gets another id, or is left out if it is the same."""
    for file, body in ((archive_of(path, 0), "first"), (archive_of(path, 2), "first"), (path, "second")):
        file.write_bytes(file.read_bytes() + f"\n---\nmsg_id: custom\ntype: A\n---\n{body}\n".encode())
    assert codes(path) == ["BUS004"]
    found = [message for message in repaired(path) if message.type == "A"]
    assert [(message.body, dict(message.meta)) for message in found] == [
        ("first", {}),
        ("second", {"conflict_of": "custom"}),
    ]
    assert found[0].msg_id == "custom"
    assert days


@pytest.mark.parametrize("what", ["bus", "archive", "directory"])
def test_what_is_no_file_needs_a_person(what, path, days):
    target = path if what == "bus" else archive_of(path, 1)
    elsewhere = path.with_name("elsewhere")
    target.rename(elsewhere)
    if what == "directory":
        target.mkdir()
    else:
        target.symlink_to(elsewhere)
    assert "BUS010" in codes(path)
    repair_bus(path)
    assert codes(path) == ["BUS010"]
    assert target.is_dir() or target.is_symlink()
    assert days


def test_after_an_interrupted_rotation_nothing_seems_to_be_missing(path):
    """The file that a repair makes says why it is there, however late the next post is."""
    write_day(archive_of(path, -300), -300)
    assert codes(path) == ["BUS011"]
    assert [message.type for message in repaired(path)] == ["FACT"] * 3 + ["GAP"]
    MessageBus(path).append_message(draft())
    assert codes(path) == []


# --- crashes ---------------------------------------------------------------------------------------


def test_a_writer_is_killed_during_a_write(path, five, work, tally):
    sizes = range(1, 1200, 150)
    for written in sizes:
        dying = work("die_writing", program=REPAIRING, path=path, body=PARAGRAPH, written=written)
        assert dying.process.wait(SECONDS) == -signal.SIGKILL
        found = repaired(path)
        assert found[:5] == five
        assert not any(message.intact and message.body != PARAGRAPH for message in found[5:] if message.type == "FACT")
    tally(TALLY, len(sizes))


@pytest.mark.parametrize("options", [{"torn": 180, "kind": "batch"}, {"torn": 120}, {"torn": 180, "rotate": 1}])
def test_after_many_deaths(path, work, tally, options):
    """Writers were killed at each call: whatever they left, what was acknowledged is there before and after."""
    journal = path.with_name("journal")
    work("die_at_each_call", program=KILLED, path=path, journal=journal, stride=60, **options).finish()
    reports = [report for report in json.loads(journal.read_text()) if "acknowledged" in report]
    acknowledged = {msg_id for report in reports for msg_id, _ in report["acknowledged"]}
    leftovers = {"BUS011"} if "rotate" in options else set()  # new files that were never renamed
    assert {*codes(path)} <= {"BUS001", "BUS002", "BUS007"} | leftovers
    times = Counter(message.msg_id for message in repaired(path) if message.intact)
    tally(TALLY, 1, lost=len(acknowledged - times.keys()), repeated=sum(n > 1 for n in times.values()))


@contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    directory.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", directory]
        mounting = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(f"no small disk: {error}")
    if mounting.returncode:
        pytest.skip(f"no small disk (only root may mount one): {mounting.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


def test_a_full_disk(tmp_path, tally):
    """A tool that writes until the disk is full leaves half a record; and there is no room to repair it."""
    path = tmp_path / "disk/BUS.md"
    with small_disk(path.parent):
        MessageBus(path).append_messages([draft()] * 5)
        record = path.read_bytes()[: path.stat().st_size // 5]
        with path.open("ab", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            file.writelines([b"\n" + record] * 200)
        before = contents(path)
        assert "BUS004" in codes(path)
        with pytest.raises(OSError, match="No space left"):
            repair_bus(path)
        assert contents(path) == before
        found = codes(path)
        subprocess.run(["mount", "-o", "remount,size=256k", path.parent], check=True)
        assert codes(path) == found
        repaired(path)
    tally(TALLY, 1)


def damaged_files(path: Path) -> dict[str, bytes]:
    """Three files, each of which has to be rewritten, and two of which overlap."""
    write_day(archive_of(path, 0), 0)
    write_day(archive_of(path, 1), 1)
    write_day(path, 2)
    first, second = archive_of(path, 0), archive_of(path, 1)
    second.write_bytes(second.read_bytes() + b"\n" + first.read_bytes())
    first.write_bytes(first.read_bytes()[:-5])
    path.write_bytes(path.read_bytes()[:-5])
    (path.parent / f"{path.name}.20200101-000000-000000.mending").write_bytes(b"half")
    return contents(path)


def test_a_repair_is_killed_at_each_call(path, work, tally):
    """After each death the log is whole: each file is old or repaired; and another repair makes it clean."""
    files = damaged_files(path)
    bodies = [message.body for message in MessageBus(path).read_messages()]
    journal = path.with_name("journal")
    encoded = {name: b64encode(text).decode() for name, text in files.items()}
    work("die_repairing", program=REPAIRING, path=path, journal=journal, files=encoded).finish()
    reports = json.loads(journal.read_text())
    lost = sum(body not in report["bodies"] for report in reports for body in bodies)
    repeated = sum(n > 1 for report in reports for n in Counter(report["bodies"]).values())
    for report in reports:
        assert report["damage"] == []
        assert path.name in report["left"], "there is a bus at every moment"
        assert not [name for name in report["after"] if name.endswith(".mending")]
        assert report["kept"], "each original"
    assert {"link", "replace", "rename", "unlink", "fsync", "fchmod"} <= {
        call for report in reports for call in report["died"]
    }
    tally("repairs killed at a system call", len(reports), lost=lost, repeated=repeated)


def test_each_call_of_a_repair_fails(path, tally):
    """It raises, and each file is unchanged or repaired; nothing of the attempt is left but originals."""
    files, tried, failed = damaged_files(path), 0, set()
    expected = {message.body for message in MessageBus(path).read_messages() if message.intact}
    for call in count():
        for file in path.parent.glob("BUS.md*"):
            file.unlink()
        for name, text in files.items():
            (path.parent / name).write_bytes(text)
        system = fault_injection.System(fault_injection.nth(call, (errno.EIO, errno.ENOSPC, errno.EACCES)[call % 3]))
        with system.spread(), suppress(OSError, GapWarning):
            repair_bus(path)
        if not system.failed:
            break
        tried, failed = tried + 1, failed | system.failed
        check_what_a_failure_left(path, files)
        assert expected <= {message.body for message in repaired(path)}
    assert {"link", "replace", "rename", "unlink", "fsync", "fchmod", "listdir", "pread"} <= failed
    tally("faults in a repair", tried)


def check_what_a_failure_left(path: Path, files: dict[str, bytes]) -> None:
    left = contents(path)
    kept = [text for name, text in left.items() if name.endswith(".broken")]
    for name, text in files.items():
        assert left.get(name) == text or text in kept or name.endswith(".mending"), name
    for name in left.keys() - files.keys():
        assert name.endswith(".broken"), f"{name} was left"
        assert not segments.is_same(str(path), str(path.with_name(name)))


def test_a_repair_does_not_wait_for_itself(path, five, sh, monkeypatch):
    """It holds the lock that a check of a torn end asks for."""
    sh("truncate -s -100 BUS.md")

    def wait(*_arguments: object) -> bool:
        raise AssertionError("another process holds the lock")

    monkeypatch.setattr(lock, "_wait", wait)
    assert repaired(path)[:4] == five[:4]


def test_where_there_are_no_links_the_original_is_copied(path, five, sh, monkeypatch, patched):
    sh("truncate -s -100 BUS.md; chmod 640 BUS.md")

    def refuse(*_names: str) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(originals, "os", patched(os, link=refuse))
    assert repaired(path)[:4] == five[:4]
    [broken] = path.parent.glob("*.broken")
    assert [oct(file.stat().st_mode)[-3:] for file in (path, broken)] == ["640", "640"]
    assert broken.stat().st_nlink == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_stays_the_owner(path, five, sh):
    sh("truncate -s -100 BUS.md; chown 12345:23456 BUS.md; chmod 604 BUS.md")
    repaired(path)
    status = path.stat()
    assert (status.st_uid, status.st_gid, oct(status.st_mode)[-3:]) == (12345, 23456, "604")
    assert five


# --- beside others ---------------------------------------------------------------------------------


def test_writers_and_followers_beside_a_repair(path, work, logged, start_together, tally):
    """The live file is replaced again and again: nothing acknowledged is lost, nothing is read twice."""
    names = ["w0", "w1", "w2"]
    MessageBus(path).append_message(draft("the first"))
    reader = work("reader", program=FOLLOWING, path=path, log=path.with_name("seen"), way="follow")
    assert reader.event() == {"ready": True}
    writers = [work("writer", path=path, name=name, count=300, log=path.with_name(name)) for name in names]
    start_together(writers)
    repairs = 0
    while any(writer.process.poll() is None for writer in writers) or not repairs:
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not segments.is_at(str(path), file.fileno()):
                continue
            file.seek(0, os.SEEK_END)
            file.write(b"\n---\r\nmsg_id: crlf-%d\r\ntype: CRLF\r\n---\r\nx\r\n" % repairs)
        command = [sys.executable, "-m", "run_agent", "bus", "check", "--fix", "--bus", path]
        environment = {**os.environ, "PYTHONPATH": str(Path(segments.__file__).parents[2])}
        if repairs < 2:
            done = subprocess.run(command, capture_output=True, check=False, timeout=SECONDS, env=environment)
            assert done.returncode == 0, done.stderr
        else:
            assert repair_bus(path)
        repairs += 1
    for writer in writers:
        writer.finish()
    MessageBus(path).append_message(Draft("END", "demo"))
    reader.finish()
    acknowledged = {msg_id for msg_id, _ in logged(*(path.with_name(name) for name in names))}
    stored = [message.msg_id for message in MessageBus(path).read_messages() if message.type != "END"]
    assert json.loads(path.with_name("seen").read_text()), "it saw something"
    seen = [msg_id for msg_id, _ in json.loads(path.with_name("seen").read_text())]
    assert seen == stored
    tally(
        "messages of writers beside a repair",
        len(acknowledged),
        lost=len(acknowledged - {*stored}),
        repeated=len(seen) - len({*seen}),
    )


def test_a_check_beside_a_busy_writer_finds_nothing(path, work, start_together):
    """Bodies of 4 MiB appear in the file page by page, and it is rotated."""
    MessageBus(path).append_message(draft())
    log = path.with_name("log")
    writer = work("writer", program=FOLLOWING, path=path, name="w", count=6, log=log, size="giant", rotate=7 * 2**20)
    start_together([writer])
    checks = 0
    while writer.process.poll() is None:
        assert damage(path) == []
        checks += 1
    writer.finish()
    assert checks


def test_ids_out_of_order_beside_a_follower(path, sh, follow_through, tmp_path):
    """It continues after the newest message that it got."""
    write_day(tmp_path / "two.md", 0)
    write_day(path, 1)
    sh("(echo; cat two.md) >> BUS.md")
    given = follow_through(path, [lambda: repair_bus(path), lambda: MessageBus(path).append_message(draft("new"))])
    assert [message.body for message in given[-1:]] == ["new"]
    assert len({message.msg_id for message in given}) == 7
    assert all(one.msg_id < two.msg_id for one, two in pairwise(MessageBus(path).read_messages()))
