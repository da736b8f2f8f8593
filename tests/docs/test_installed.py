"""What installing the wheel gives: the program, its manual, and a description whose links work."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import venv
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest
from manual import HOME
from patience import SECONDS


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", directory, cwd=HOME)
    [built] = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the programs of a fresh environment, with this wheel and what it depends on."""
    directory = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(directory, symlinks=True)
    programs = directory / "bin"
    run(
        *(sys.executable, "-m", "pip", "--python", programs / "python", "--disable-pip-version-check"),
        *("install", "--quiet", "--no-index", "--no-deps", wheel),
        cwd=directory,
    )
    [packages] = directory.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))  # nothing comes from the network
    return programs


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        [name] = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_it_comes_with_its_manual(installed: Path, tmp_path: Path) -> None:
    manual = Path(run(installed / "run-agent", "--docs", cwd=tmp_path))
    assert installed.parent in manual.parents
    shipped = {path.relative_to(manual).as_posix() for path in manual.rglob("*") if path.is_file()}
    assert {"README.md", "SPEC.md", "docs/cli.md", "docs/python-api.md", "docs/images/page.png"} <= shipped
    assert {f"examples/{path.name}" for path in (HOME / "examples").iterdir() if path.is_file()} <= shipped
    assert not any(name.startswith("tests/") or name.endswith("_cli.py") for name in shipped)


def test_links_between_its_pages_work(installed: Path, tmp_path: Path) -> None:
    manual = Path(run(installed / "run-agent", "--docs", cwd=tmp_path))
    for page in manual.rglob("*.md"):
        for target in re.findall(r"\]\(([^)\s#]+)", page.read_text()):
            if not re.match(r"[a-z]+:|\.\./tests/", target):  # the tests are in the repository alone
                assert (page.parent / target).exists(), f"{page} links to {target}"


def test_the_demo_runs_from_the_manual(installed: Path, tmp_path: Path) -> None:
    manual = run(installed / "run-agent", "--docs", cwd=tmp_path)
    shown = run("env", f"PATH={installed}:/usr/bin:/bin", "sh", f"{manual}/examples/demo.sh", cwd=tmp_path)
    assert "9 messages in all." in shown


def test_a_checkout_names_itself(tmp_path: Path) -> None:
    assert run(sys.executable, "-m", "run_agent", "--docs", cwd=tmp_path) == str(HOME)


def test_the_description_has_no_link_that_leads_nowhere(metadata: Message) -> None:
    text = metadata.get_payload()
    assert isinstance(text, str)
    assert "# run-agent: a message bus in a Markdown file" in text
    assert "docs/guarantees.md" in text
    assert [target for target in re.findall(r"\]\(([^)]*)\)", text) if not re.match("https?:", target)] == []
    assert "<!--" not in text


def test_no_address_is_made_up(metadata: Message) -> None:
    """The project has no public home yet: when it has one, it belongs into [project.urls]."""
    assert metadata.get_all("Project-URL") is None
