"""The merge driver under real git: after any merge, rebase or cherry-pick, each message is there, once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import SECONDS

import messagebus
from messagebus import Draft, Message, MessageBus, msgid

NAME = "TASK-MESSAGE-BUS.md"
PROGRAM = Path(sys.executable).parent
TRIED = "messages through git's merges"
ENVIRONMENT = {
    "PATH": f"{PROGRAM}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(Path(messagebus.__file__).parents[1]),
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    **{f"GIT_{who}_NAME": "nobody" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "nobody@localhost" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_DATE": "2026-11-21T03:14:15Z" for who in ("AUTHOR", "COMMITTER")},
    "GIT_EDITOR": "true",
}


class Repository:
    """A repository with a bus in it."""

    def __init__(self, top: Path, *, attributes: str | None = None) -> None:
        self.top = top
        self.path = top / NAME
        self.git("init", "-q", "-b", "main")
        if attributes is None:
            self.run("run-agent", "bus", "merge", "--install")
        else:
            (top / ".gitattributes").write_text(attributes)
        self.commit()

    def run(self, *arguments: object, code: int | None = 0, cwd: Path | None = None) -> str:
        done = subprocess.run(
            [str(argument) for argument in arguments],
            cwd=cwd or self.top,
            env=ENVIRONMENT,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        output = (done.stdout + done.stderr).decode()
        assert code is None or done.returncode == code, output
        return output

    def git(self, *arguments: object, code: int | None = 0) -> str:
        return self.run("git", *arguments, code=code)

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", "more", "--allow-empty")

    def on(self, branch: str) -> Repository:
        """Check out that branch, made here if there is none."""
        if self.git("branch", "--list", branch):
            self.git("checkout", "-q", branch)
        else:
            self.git("checkout", "-q", "-b", branch)
        return self

    def post(self, *bodies: str) -> list[Message]:
        with MessageBus(self.path) as bus:
            posted = bus.append_messages([Draft("FACT", "p", body) for body in bodies])
        self.commit()
        return posted

    def add(self, text: str) -> None:
        """Append to the file, as a person does."""
        with self.path.open("a") as file:
            file.write(text)
        self.commit()

    def edit(self, msg_id: str, more: str) -> None:
        """Lengthen a body and its length."""
        mark = f"msg_id: {msg_id}\n".encode()
        head, _, rest = self.path.read_bytes().partition(mark)
        fields, _, rest = rest.partition(b"content_length: ")
        length, _, rest = rest.partition(b"\n---\n")
        body, rest = rest[: int(length)], rest[int(length) :]
        body += more.encode()
        self.path.write_bytes(b"%b%b%bcontent_length: %d\n---\n%b%b" % (head, mark, fields, len(body), body, rest))
        self.commit()

    def read(self) -> list[Message]:
        with MessageBus(self.path) as bus:
            return bus.read_messages()

    def bodies(self) -> list[str]:
        return [message.body for message in self.read()]

    def checked(self) -> list[Message]:
        """The messages, in a file that is as it has to be."""
        assert self.git("status", "--porcelain") == ""
        messages = self.read()
        ids = [message.msg_id for message in messages]
        assert len(set(ids)) == len(ids)
        records = [each for each in ids if msgid.is_own(each)]
        assert records == sorted(records)
        assert all(message.intact is not False for message in messages)
        assert b"<<<<<<<" not in self.path.read_bytes()
        return messages


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path)
    made.post("start")
    return made


def by_id(messages: list[Message]) -> list[Message]:
    return sorted(messages, key=lambda message: message.msg_id)


# --- one after another ---------------------------------------------------------------------------


def test_a_merge_is_the_same_from_both_sides(repository: Repository) -> None:
    start = repository.read()
    ours = repository.on("one").post("one", "and one")
    repository.on("main").on("two")
    theirs = repository.post("two")
    repository.git("merge", "-q", "one")
    assert repository.checked() == by_id([*start, *ours, *theirs])
    from_two = repository.path.read_bytes()
    repository.git("checkout", "-q", "one")
    repository.git("merge", "-q", "two~1")
    repository.checked()
    assert repository.path.read_bytes() == from_two


def test_without_a_base(repository: Repository) -> None:
    repository.git("rm", "-q", NAME)
    repository.commit()
    ours = repository.on("one").post("one")
    repository.git("checkout", "-q", "main")
    theirs = repository.post("main")
    repository.git("merge", "-q", "one")
    assert repository.checked() == by_id([*ours, *theirs])


def test_a_record_edited_on_both_sides(repository: Repository) -> None:
    [start] = repository.read()
    repository.on("one").edit(start.msg_id, ", edited here")
    repository.on("main").on("two").edit(start.msg_id, ", edited there")
    repository.git("merge", "-q", "one")
    first, second = repository.checked()
    assert {first.body, second.body} == {"start, edited here", "start, edited there"}
    assert first.msg_id == start.msg_id
    assert second.meta == {"conflict_of": start.msg_id}
    with MessageBus(repository.path) as bus:
        assert bus.append_message(Draft("FACT", "p", "continues")).msg_id > second.msg_id


def test_a_criss_cross(repository: Repository) -> None:
    [start] = repository.read()
    repository.on("one").edit(start.msg_id, " one")
    repository.post("of one")
    repository.on("main").on("two").edit(start.msg_id, " two")
    repository.post("of two")
    repository.git("merge", "-q", "one")
    repository.post("two again")
    repository.on("one")
    repository.git("merge", "-q", "two~1^1")
    repository.post("one again")
    assert len(repository.git("merge-base", "--all", "one", "two").split()) == 2
    repository.git("merge", "-q", "two")
    bodies = [message.body for message in repository.checked()]
    assert set(bodies) == {"start one", "start two", "of one", "of two", "one again", "two again"}
    assert len(bodies) == 6


def test_an_octopus(repository: Repository) -> None:
    """Git calls no driver in an octopus merge: if several sides appended to a file, it refuses, and changes nothing."""
    for branch in ("one", "two", "three"):
        repository.on("main").on(branch).post(branch, f"{branch} again")
    repository.on("main").post("main")
    head, before = repository.git("rev-parse", "HEAD"), repository.path.read_bytes()
    assert "Merge with strategy octopus failed" in repository.git("merge", "-q", "one", "two", "three", code=2)
    assert (repository.git("rev-parse", "HEAD"), repository.path.read_bytes()) == (head, before)
    for branch in ("one", "two", "three"):
        repository.git("merge", "-q", branch)
    assert len(repository.checked()) == 8


def test_an_octopus_that_fails_at_the_last_branch(repository: Repository) -> None:
    """Git leaves conflict markers of its own; merging one after another works."""
    repository.on("one").post("one")
    repository.on("main").on("two").post("two")
    repository.on("main").git("merge", "-q", "one", "two", code=1)
    assert b"<<<<<<<" in repository.path.read_bytes()
    repository.git("merge", "--abort")
    repository.git("merge", "-q", "one")
    repository.git("merge", "-q", "two")
    assert len(repository.checked()) == 3


def test_an_octopus_of_one_bus(repository: Repository) -> None:
    for branch in ("one", "two"):
        repository.on("main").on(branch)
        (repository.top / branch).touch()
        repository.commit()
    repository.on("main").on("three").post("three")
    repository.on("main").git("merge", "-q", "one", "two", "three")
    assert len(repository.git("rev-list", "--parents", "-1", "HEAD").split()) == 4
    assert [message.body for message in repository.checked()] == ["start", "three"]


def test_a_rebase(repository: Repository) -> None:
    repository.on("one")
    ours = [repository.post(f"one {number}")[0] for number in range(3)]
    start = repository.on("main").read()
    theirs = repository.post("main", "and main")
    repository.on("one").git("rebase", "-q", "main")
    assert repository.checked() == by_id([*start, *ours, *theirs])
    repository.git("merge-base", "--is-ancestor", "main", "one")


def test_a_cherry_pick(repository: Repository) -> None:
    """What was posted before the picked message comes with it: it is on both sides of that commit."""
    repository.on("one").post("before")
    repository.post("picked")
    repository.on("main").post("main")
    repository.git("cherry-pick", "one")
    assert {message.body for message in repository.checked()} == {"start", "before", "picked", "main"}
    repository.git("merge", "-q", "one")
    assert len(repository.checked()) == 4


def test_one_line_messages_of_both_sides(repository: Repository) -> None:
    repository.on("one").add("[2026-11-21 03:14:17] NOTE: later\n")
    repository.on("main").on("two").add("[2026-11-21 03:14:16] NOTE: earlier\n")
    repository.git("merge", "-q", "one")
    assert [message.body for message in repository.checked()] == ["start", "earlier", "later"]


def test_an_editor_converted_one_side(repository: Repository) -> None:
    repository.on("one").path.write_bytes(repository.path.read_bytes().replace(b"\n", b"\r\n"))
    repository.commit()
    theirs = repository.on("main").post("main")
    repository.git("merge", "-q", "one")
    assert repository.checked()[1:] == theirs
    assert b"\r" not in repository.path.read_bytes()


def test_archives_that_one_side_made(repository: Repository) -> None:
    """On the other side the old messages are in the live file: then they are in the log twice, and none is lost."""
    [start] = repository.read()
    repository.on("one")
    with MessageBus(repository.path, auto_rotate_bytes=1) as bus:
        one = bus.append_message(Draft("FACT", "p", "in the new file"))
    repository.commit()
    [two] = repository.on("main").post("main")
    repository.git("merge", "-q", "one")
    assert repository.git("status", "--porcelain") == ""
    assert repository.read() == [start, *by_id([start, one, two])]


def test_an_archive_without_a_live_file(repository: Repository) -> None:
    """Git sees a file with a new name, and merges what the other side posted into it."""
    repository.post(*map(str, range(50)))
    repository.on("one").git("mv", NAME, f"{NAME}.20261121-031415-000000.archived")
    repository.commit()
    repository.on("main").post("main")
    repository.git("merge", "-q", "one")
    assert not repository.path.exists()
    assert repository.bodies() == ["start", *map(str, range(50)), "main"]


def test_gits_own_union_is_read(tmp_path: Path) -> None:
    """It takes equal lines for one, so it may make one record of two; those before stay whole."""
    repository = Repository(tmp_path, attributes=f"{NAME} merge=union\n")
    start = repository.post("start", "and start")
    repository.on("one").post("one")
    repository.on("main").post("main")
    repository.git("merge", "-q", "one")
    assert repository.read()[:2] == start
    assert b"one\n" in repository.path.read_bytes()
    assert b"main\n" in repository.path.read_bytes()
    with MessageBus(repository.path) as bus:
        last = bus.append_message(Draft("FACT", "p", "continues"))
    assert repository.read()[-1] == last


def test_a_driver_that_fails_leaves_ours(repository: Repository) -> None:
    repository.git("config", "merge.run-agent-bus.driver", "run-agent bus merge %O %A missing.md")
    repository.on("one").post("one")
    repository.on("main").post("main")
    before = repository.path.read_bytes()
    output = repository.git("merge", "one", code=1)
    assert "missing.md: No such file" in output
    assert "CONFLICT" in output
    assert repository.path.read_bytes() == before


# --- installing and uninstalling -------------------------------------------------------------


@pytest.fixture
def plain(tmp_path: Path) -> Repository:
    """A repository without a driver."""
    return Repository(tmp_path, attributes="*.png binary\n")


def install(repository: Repository, flag: str = "--install", cwd: Path | None = None) -> str:
    return repository.run("run-agent", "bus", "merge", flag, cwd=cwd)


@pytest.mark.parametrize("before", [None, "*.png binary\n"])
def test_installing_is_idempotent_and_reversible(before: str | None, plain: Repository) -> None:
    attributes, config = plain.top / ".gitattributes", plain.top / ".git/config"
    if before is None:
        attributes.unlink()
    old = config.read_bytes()
    output = install(plain)
    assert "MESSAGE-BUS.md" in output
    assert "run-agent bus merge %O %A %B" in output
    installed = attributes.read_bytes(), config.read_bytes()
    assert install(plain) == "Nothing to do: it is already installed.\n"
    assert (attributes.read_bytes(), config.read_bytes()) == installed
    for name in ("TASK", "PROJECT"):
        for path in (f"{name}-MESSAGE-BUS.md", f"a/b/{name}-MESSAGE-BUS.md", f"{name}-MESSAGE-BUS.md.2026.archived"):
            assert plain.git("check-attr", "merge", path).endswith(": run-agent-bus\n")
    assert plain.git("check-attr", "merge", "MESSAGE-BUS.md", "README.md").split() == [
        *("MESSAGE-BUS.md:", "merge:", "run-agent-bus"),
        *("README.md:", "merge:", "unspecified"),
    ]
    assert "Removed" in install(plain, "--uninstall")
    assert config.read_bytes() == old
    assert (attributes.read_text() if attributes.exists() else None) == before
    assert install(plain, "--uninstall") == "Nothing to do: it is not installed.\n"


def test_what_others_wrote_stays(plain: Repository) -> None:
    attributes = plain.top / ".gitattributes"
    attributes.write_text("*.png binary")
    install(plain)
    with attributes.open("a") as file:
        file.write("*.jpg binary\n")
    plain.git("config", "merge.run-agent-bus.driver", "mine %A")
    plain.git("config", "merge.other.driver", "other %A")
    install(plain, "--uninstall")
    assert attributes.read_text() == "*.png binary\n*.jpg binary\n"
    assert plain.git("config", "merge.run-agent-bus.driver") == "mine %A\n"
    assert plain.git("config", "merge.other.driver") == "other %A\n"


def test_from_below_and_from_a_worktree(plain: Repository, tmp_path_factory: pytest.TempPathFactory) -> None:
    below = plain.top / "a/b"
    below.mkdir(parents=True)
    install(plain, cwd=below)
    assert "run-agent-bus" in (plain.top / ".gitattributes").read_text()
    other = tmp_path_factory.mktemp("other") / "tree"
    plain.git("worktree", "add", "-q", other)
    output = install(plain, cwd=other)
    assert str(other / ".gitattributes") in output
    assert "Configured" not in output, "the configuration is one for all work trees"


def test_a_bare_repository_is_refused(tmp_path: Path) -> None:
    environment = {**os.environ, **ENVIRONMENT}
    subprocess.run(["git", "init", "-q", "--bare"], cwd=tmp_path, env=environment, check=True)
    before = sorted(tmp_path.rglob("*")), (tmp_path / "config").read_bytes()
    done = subprocess.run(
        [PROGRAM / "run-agent", "bus", "merge", "--install"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 6
    assert "work tree" in done.stderr
    assert (sorted(tmp_path.rglob("*")), (tmp_path / "config").read_bytes()) == before


# --- any history -----------------------------------------------------------------------------------

BRANCHES = ("main", "one", "two")
BRANCH = st.sampled_from(BRANCHES)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("post"), BRANCH, BRANCH),
        st.tuples(st.just("edit"), BRANCH, BRANCH),
        st.tuples(st.just("line"), BRANCH, BRANCH),
        st.tuples(st.sampled_from(["merge", "rebase", "pick", "octopus"]), BRANCH, BRANCH).filter(
            lambda step: step[1] != step[2]
        ),
    ),
    min_size=4,
    max_size=9,
)


class History:
    """A history in the making; every post, line and edit adds a word of its own, which must never be lost."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.words: list[str] = []
        self.ids: list[str] = []

    def word(self) -> str:
        self.words.append(f"word{len(self.words)}.")
        return self.words[-1]

    def step(self, what: str, branch: str, other: str) -> None:
        repository = self.repository.on(branch)
        getattr(self, f"_{what}")(repository, other)
        repository.checked()

    def _post(self, repository: Repository, _: str) -> None:
        self.ids += [message.msg_id for message in repository.post(self.word())]

    def _edit(self, repository: Repository, _: str) -> None:
        records = [message.msg_id for message in repository.read() if msgid.is_own(message.msg_id)]
        repository.edit(records[len(self.words) % len(records)], " " + self.word())

    def _line(self, repository: Repository, _: str) -> None:
        repository.add(f"[2026-11-21 03:14:{len(self.words):02d}] NOTE: {self.word()}\n")

    def _merge(self, repository: Repository, other: str) -> None:
        repository.git("merge", "-q", other)

    def _rebase(self, repository: Repository, other: str) -> None:
        repository.git("rebase", "-q", other)

    def _pick(self, repository: Repository, other: str) -> None:
        if len(repository.git("rev-list", "--parents", "-1", other).split()) == 2:  # no merge
            repository.git("cherry-pick", "--allow-empty", "--keep-redundant-commits", other)

    def _octopus(self, repository: Repository, _: str) -> None:
        repository.git("merge", "-q", *BRANCHES, code=None)
        repository.git("reset", "-q", "--hard")  # it fails where two have appended, and may leave its conflict
        for branch in BRANCHES:
            repository.git("merge", "-q", branch)


@pytest.mark.parametrize("examples", [10, pytest.param(150, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])])
def test_any_history(examples: int, tally: Callable[..., None]) -> None:
    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def play(steps: list[tuple[str, str, str]]) -> None:
        with TemporaryDirectory() as directory:
            tried, lost, repeated = replayed(Path(directory), steps)
        counts[:] = [a + b for a, b in zip(counts, (tried, lost, repeated), strict=True)]
        assert (lost, repeated) == (0, 0)

    counts = [0, 0, 0]
    play()
    tally(TRIED, counts[0], lost=counts[1], repeated=counts[2])


def replayed(directory: Path, steps: list[tuple[str, str, str]]) -> tuple[int, int, int]:
    """How many words there were, how many are lost, how many messages are there twice."""
    repository = Repository(directory)
    history = History(repository)
    history.step("post", "main", "main")
    for branch in BRANCHES:
        repository.on("main").on(branch)
    for step in steps:
        history.step(*step)
    for branch in BRANCHES[1:]:
        history.step("merge", "main", branch)
    messages = repository.read()
    bodies = " ".join(message.body for message in messages)
    ids = [message.msg_id for message in messages]
    lost = [word for word in history.words if word not in bodies] + [each for each in history.ids if each not in ids]
    return len(history.words), len(lost), len(ids) - len(set(ids))
