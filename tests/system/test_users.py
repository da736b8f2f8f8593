"""Users who share a bus, with groups, modes and umasks as people have them; and directories that may be
searched and not listed. What ``person.py`` does, it does as a real other user, so root is needed."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PERSON = Path(__file__).parent / "programs/other_user.py"
LIMITED = Path(__file__).parent / "programs/rlimits.py"
ANNE, BEN, TEAM = 7001, 7002, 7000

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users, and mount")


class Person:
    def __init__(self, worker: Any) -> None:
        self._worker = worker
        assert worker.event() == {"ready": True}

    def begin(self, verb: str, **options: Any) -> None:
        self._worker.tell(json.dumps([verb, options]))

    def end(self) -> dict[str, Any]:
        return self._worker.event()

    def do(self, verb: str, **options: Any) -> dict[str, Any]:
        self.begin(verb, **options)
        return self.end()


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everyone can reach."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture
def person(work) -> Callable[..., Person]:
    return lambda path, **who: Person(work("be", program=PERSON, path=path, **who))


def make_directory(path: Path, mode: int, uid: int = 0, gid: int = 0) -> Path:
    """... and where a bus would be in it."""
    path.mkdir()
    os.chown(path, uid, gid)
    path.chmod(mode)
    return path / "BUS.md"


def look(path: Path) -> tuple[int, int, int]:
    """Owner, group and mode."""
    status = path.stat()
    return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)


def archives(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.archived"))


def done(said: dict[str, Any]) -> Any:
    assert (said["error"], said["warned"]) == ("", []), said
    return said["done"]


# --- rotation ----------------------------------------------------------------------------------


@as_root
@pytest.mark.parametrize("setgid", [True, False])
def test_who_could_write_before_a_rotation_can_write_after_it(place, person, setgid):
    path = make_directory(place / "shared", 0o2775 if setgid else 0o775, gid=TEAM)
    anne = person(path, uid=ANNE, gid=TEAM if setgid else ANNE, groups=[TEAM], umask=0o002)
    ben = person(path, uid=BEN, gid=TEAM, umask=0o002)
    done(anne.do("post", body="one"))
    if not setgid:
        os.chown(path, ANNE, TEAM)
    assert look(path) == (ANNE, TEAM, 0o664)
    cautious = person(path, uid=ANNE, gid=TEAM if setgid else ANNE, groups=[TEAM], umask=0o077)
    done(cautious.do("post", body="two", auto_rotate_bytes=10))
    assert look(path) == look(archives(path)[0]) == (ANNE, TEAM, 0o664)
    done(ben.do("post", body="three"))
    assert done(ben.do("read")) == ["one", "two", "three"]


@as_root
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666])
def test_a_file_that_root_rotates_stays_its_owners(place, person, mode):
    path = make_directory(place / "home", 0o755, uid=ANNE, gid=ANNE)
    anne, root = person(path, uid=ANNE, gid=ANNE), person(path, umask=0o027)
    done(anne.do("post", body="one"))
    path.chmod(mode)
    done(root.do("post", body="two", auto_rotate_bytes=10))
    assert look(path) == (ANNE, ANNE, mode)
    assert done(anne.do("post", body="three"))
    assert done(anne.do("read")) == ["one", "two", "three"]


@as_root
def test_a_group_that_one_may_not_give_gets_no_more_than_everyone(place, person):
    """Ben may write by the bits for all, and is not of the group that may do the same."""
    path = make_directory(place / "open", 0o777)
    path.touch()
    os.chown(path, ANNE, TEAM)
    path.chmod(0o676)
    done(person(path, uid=BEN, gid=BEN).do("post", body="two", auto_rotate_bytes=1))
    done(person(path, uid=BEN, gid=BEN).do("post", body="two", auto_rotate_bytes=1))
    assert look(path) == (BEN, BEN, 0o666)


@as_root
def test_a_file_is_the_same_after_a_rotation_by_any_user(place, person):
    """Anne was killed when she had renamed the file; it is Ben who comes next."""
    path = make_directory(place / "shared", 0o2775, gid=TEAM)
    done(person(path, uid=ANNE, gid=TEAM, umask=0o002).do("post", body="one"))
    path.rename(f"{path}.20200101-000000-000000.archived")
    done(person(path, uid=BEN, gid=TEAM, umask=0o077).do("post", body="two"))
    assert look(path) == (BEN, TEAM, 0o664)


@as_root
def test_no_one_is_refused_between_rotations(place, person):
    """The one who rotates has a umask that leaves nothing to others; the other opens the file each time."""
    path = make_directory(place / "shared", 0o2775, gid=TEAM)
    done(person(path, uid=ANNE, gid=TEAM, umask=0o002).do("post"))
    people = [person(path, uid=uid, gid=TEAM, umask=0o077) for uid in (ANNE, BEN)]
    for one in people:
        one.begin("post_many", count=150, auto_rotate_bytes=200)
    for one in people:
        assert done(one.end()) == 150
    assert len(archives(path)) > 50
    assert len(done(people[1].do("read"))) == 301
    assert {entry.name for entry in path.parent.iterdir()} == {path.name, *(file.name for file in archives(path))}


@as_root
def test_a_bus_in_a_sticky_directory(place, person):
    """Where the system protects such directories (fs.protected_regular), from root, too."""
    path = make_directory(place / "tmp", 0o1777)
    done(person(path, uid=ANNE, gid=ANNE, umask=0).do("post", body="one"))
    ben = person(path, uid=BEN, gid=BEN)
    done(ben.do("post", body="two"))
    done(person(path).do("post", body="three"))
    said = ben.do("post", body="four", auto_rotate_bytes=1)
    assert "could not rotate" in said["warned"][0][1]
    done(person(path, uid=ANNE, gid=ANNE).do("post", body="five", auto_rotate_bytes=1))
    assert look(path) == (ANNE, ANNE, 0o666)
    assert done(ben.do("read")) == ["one", "two", "three", "four", "five"]


@as_root
def test_a_file_that_root_repairs_stays_its_owners(place, person):
    path = make_directory(place / "home", 0o755, uid=ANNE, gid=ANNE)
    done(person(path, uid=ANNE, gid=ANNE, umask=0o027).do("post", body="one"))
    path.write_bytes(path.read_bytes() + b"\n---\nmsg_id: x\n")
    assert done(person(path).do("mend"))
    assert look(path) == (ANNE, ANNE, 0o640)


# --- a directory that may be searched, and not listed ------------------------------------------


@pytest.fixture
def hidden(place, person) -> tuple[Path, Person, Person]:
    """A bus with an archive in such a directory; its owner, and another."""
    path = make_directory(place / "hidden", 0o711, uid=ANNE, gid=ANNE)
    anne = person(path, uid=ANNE, gid=ANNE, umask=0)
    for body in ("one", "two"):
        done(anne.do("post", body=body, auto_rotate_bytes=1))
    return path, anne, person(path, uid=BEN, gid=BEN)


@as_root
def test_what_can_be_done_in_a_hidden_directory(hidden):
    path, anne, ben = hidden
    done(ben.do("post", body="three", fsync=True))
    for verb, options in (("read", {}), ("follow", {"count": 2})):
        said = ben.do(verb, **options)
        assert said["done"] == ["two", "three"]
        assert {kind for kind, _ in said["warned"]} == {"GapWarning"}
        assert str(path.parent) in said["warned"][0][1]
    assert [kind for kind, _ in ben.do("check")["warned"]] == ["GapWarning"]
    assert done(anne.do("read")) == ["one", "two", "three"]


@as_root
def test_what_cannot_be_done_in_a_hidden_directory(hidden):
    """A key may be in an archive, and no name can be chosen for one; both say why."""
    path, anne, ben = hidden
    said = ben.do("post", body="three", key="k")
    assert said["error"] == "PermissionError"
    assert "archives of BUS.md cannot be seen" in said["text"]
    said = ben.do("mend")
    assert (said["error"], said["warned"]) == ("PermissionError", [])
    said = ben.do("post", body="three", auto_rotate_bytes=1)
    assert "could not rotate" in said["warned"][0][1]
    assert done(anne.do("read")) == ["one", "two", "three"]
    assert len(archives(path)) == 1


# --- a file that is mounted by itself ----------------------------------------------------------


@pytest.fixture
def mounted(work, place) -> tuple[Path, Path, Person]:
    """A file, where it is mounted in a namespace of its own, and a user there."""
    outside, inside = place / "outside.md", place / "inside.md"
    outside.touch()
    inside.touch()
    options = json.dumps({"path": str(inside)})
    mount = ["unshare", "-m", "sh", "-c", 'mount --bind "$1" "$2" && shift 2 && exec "$@"', "sh"]
    command = [*mount, str(outside), str(inside), sys.executable, str(PERSON), "be", options]
    return outside, inside, Person(work("run", program=LIMITED, command=command))


@as_root
def test_a_file_replaced_where_it_is_mounted_from(mounted):
    outside, inside, person = mounted
    done(person.do("post", body="one"))
    saved = outside.with_name("saved")
    saved.write_bytes(outside.read_bytes())
    saved.replace(outside)
    said = person.do("post", body="two")
    assert said["error"] == "InvalidBusPathError"
    assert "mount its directory" in said["text"]
    assert str(inside) in said["text"]
    said = person.do("read")
    assert said["done"] == ["one"]
    assert [kind for kind, _ in said["warned"]] == ["GapWarning"]
    assert "mount its directory" in said["warned"][0][1]


@as_root
def test_a_mounted_file_is_written_and_neither_rotated_nor_repaired(mounted):
    outside, inside, person = mounted
    done(person.do("post", body="one"))
    said = person.do("post", body="two", auto_rotate_bytes=1)
    assert "could not rotate" in said["warned"][0][1]
    damaged = outside.read_bytes() + b"\n---\nmsg_id: x\n"
    outside.write_bytes(damaged)
    said = person.do("mend")
    assert said["error"] == "InvalidBusPathError"
    assert f"{inside} is mounted by itself" in said["text"]
    assert outside.read_bytes() == damaged
    assert {entry.name for entry in outside.parent.iterdir()} == {"outside.md", "inside.md"}


# --- a file system without locks ---------------------------------------------------------------


@pytest.mark.skipif(os.uname().machine not in ("x86_64", "aarch64"), reason="the number of flock is not known")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="seccomp is of Linux")
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(person, path, code):
    """The kernel answers flock as there; what only reads works."""
    path.write_text("[2026-01-01 00:00:00] FACT: by hand\n\n---\nmsg_id: x\n")
    before = path.read_bytes()
    one = person(path, no_flock=code)
    for verb in ("post", "mend"):
        said = one.do(verb)
        assert said["error"] == "InvalidBusPathError", said
        assert f"{path} cannot be locked" in said["text"]
        assert os.strerror(code) in said["text"]
        assert "local disk" in said["text"]
    assert done(one.do("read")) == ["by hand"]
    assert done(one.do("check"))
    assert path.read_bytes() == before
