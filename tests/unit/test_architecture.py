"""The rules of the house (CONTRIBUTING.md), read off the source."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

import messagebus

ROOT = Path(__file__).parents[2]
LIBRARY = sorted((ROOT / "messagebus").rglob("*.py"))
PROGRAM = sorted((ROOT / "run_agent").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
BESIDE = sorted(path for top in ("benchmarks", "tools", "examples") for path in (ROOT / top).rglob("*.py"))
WEB = sorted(path for path in (ROOT / "run_agent/web").rglob("*.js") if "vendor" not in path.parts)
SERVER = [path for path in PROGRAM if "server" in path.relative_to(ROOT / "run_agent").parts[:1]]
PACKAGES = sorted(
    path for top in ("messagebus", "run_agent", "benchmarks") for path in (ROOT / top).rglob("__init__.py")
)
MODULE_LINES, FUNCTION_LINES, TABLE_LINES = 300, 45, 70
# Tables and wiring: each name in them is a line, and none of them is a step.
TABLES = {
    "run_agent/server/app.py:create_app": "the options of the server, and its routes",
}

PURE = (
    *("message.py", "validation.py", "idempotency.py", "filters.py", "msgid.py", "errors.py"),
    *(f"codec/{path.name}" for path in sorted((ROOT / "messagebus/codec").glob("*.py"))),
    *(f"merge/{path.name}" for path in sorted((ROOT / "messagebus/merge").glob("*.py"))),
)
IMPURE = {
    "os",
    "io",
    "sys",
    "time",
    "random",
    "secrets",
    "uuid",
    "socket",
    "pathlib",
    "shutil",
    "tempfile",
    "threading",
    "subprocess",
    "asyncio",
    "logging",
}
OWNERS = {
    "portalocker": "messagebus/backends/file/lock.py",
    "ulid": "messagebus/msgid.py",
    "watchdog": "messagebus/backends/file/watch.py",
    "yaml": "messagebus/codec/header.py",
}
OF_THE_PROGRAM = {"click", "starlette", "uvicorn", "sse_starlette", "anyio", "h11", "mcp", "nats"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), name_of(path))


def imports_of(path: Path) -> Iterator[str]:
    """Every module a file imports, in full; for ``from a import b`` both ``a`` and ``a.b``."""
    package = name_of(path).removesuffix(".py").removesuffix("/__init__").split("/")
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + (path.name == "__init__.py")] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def roots_of(path: Path) -> set[str]:
    return {module.partition(".")[0] for module in imports_of(path)}


def uses(path: Path, owner: str, *names: str) -> bool:
    """Does the file mention ``owner.name``, or import the name from its owner?"""
    attributes = any(
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == owner
        and node.attr in names
        for node in ast.walk(tree_of(path))
    )
    return attributes or any(f"{owner}.{name}" in imports_of(path) for name in names)


def calls(path: Path, name: str) -> bool:
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
        for node in ast.walk(tree_of(path))
    )


def test_there_is_something_to_read() -> None:
    assert len(LIBRARY) > 10
    assert Path(messagebus.__file__ or "").name == "__init__.py"
    assert "messagebus.codec.header" in set(imports_of(ROOT / "messagebus/codec/lenient.py"))


@pytest.mark.parametrize("name", PURE)
def test_the_format_is_pure(name: str) -> None:
    path = ROOT / "messagebus" / name
    assert roots_of(path).isdisjoint(IMPURE)
    assert not calls(path, "open")
    assert not any(
        isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today") for node in ast.walk(tree_of(path))
    ), "the clock is an argument"


@pytest.mark.parametrize("path", [*LIBRARY, *PROGRAM], ids=name_of)
def test_each_third_party_package_has_one_owner(path: Path) -> None:
    for root in roots_of(path):
        if root not in sys.stdlib_module_names and root not in ("messagebus", "run_agent"):
            assert OWNERS.get(root) == name_of(path) or (root in OF_THE_PROGRAM and path in PROGRAM), (
                f"{root} in {name_of(path)}"
            )


@pytest.mark.parametrize("package", OWNERS)
def test_each_owner_uses_what_it_owns(package: str) -> None:
    assert package in roots_of(ROOT / OWNERS[package])


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_the_library_knows_no_program_environment_or_terminal(path: Path) -> None:
    assert roots_of(path).isdisjoint({"click", "run_agent", "argparse", "logging", "urllib", "http"})
    assert not uses(path, "os", "environ", "environb", "getenv", "getenvb")
    assert not uses(path, "sys", "stdout", "stderr", "stdin", "argv")
    assert not calls(path, "print")
    assert not calls(path, "input")


def test_nothing_in_the_library_points_up() -> None:
    """bus > backends > core; import-linter has the whole of it."""
    core = [ROOT / "messagebus" / name for name in (*PURE, "discovery.py")]
    backends = [path for path in LIBRARY if "backends" in path.parts]
    for path in core:
        assert not any(name.startswith(("messagebus.bus", "messagebus.backends")) for name in imports_of(path)), path
    for path in backends:
        assert "messagebus.bus" not in set(imports_of(path)), path


@pytest.mark.parametrize("path", PROGRAM, ids=name_of)
def test_the_program_uses_public_names_only(path: Path) -> None:
    public = {f"messagebus.{name}" for name in messagebus.__all__}
    allowed = {"messagebus", "messagebus.discovery"} | public
    used = {module for module in imports_of(path) if module.partition(".")[0] == "messagebus"}
    assert {module for module in used if not module.startswith("messagebus.discovery.")} <= allowed


@pytest.mark.parametrize("path", PROGRAM, ids=name_of)
def test_one_reader_of_the_environment_and_one_writer_of_stdout(path: Path) -> None:
    name = name_of(path)
    if name != "run_agent/cli/context.py":
        assert not uses(path, "os", "environ", "environb", "getenv", "getenvb")
    if name not in ("run_agent/cli/output.py", "run_agent/cli/streams.py"):
        assert not uses(path, "sys", "stdout", "__stdout__")
        assert not calls(path, "print")


@pytest.mark.parametrize("path", PROGRAM, ids=name_of)
def test_click_echo_goes_to_stderr_outside_of_output(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if name_of(path) != "run_agent/cli/output.py" and isinstance(node, ast.Call) and echoes(node.func):
            assert any(keyword.arg == "err" for keyword in node.keywords), f"{name_of(path)}:{node.lineno}"


def echoes(function: ast.expr) -> bool:
    return (isinstance(function, ast.Attribute) and function.attr in ("echo", "secho", "echo_via_pager")) or (
        isinstance(function, ast.Name) and function.id in ("echo", "secho", "echo_via_pager")
    )


def test_the_server_never_imports_click() -> None:
    assert [name_of(path) for path in SERVER if "click" in roots_of(path)] == []


def test_commands_do_not_import_each_other() -> None:
    commands = [path for path in PROGRAM if path.parent.name == "commands" and path.name != "__init__.py"]
    for path in commands:
        others = {f"run_agent.cli.commands.{other.stem}" for other in commands if other != path}
        assert others.isdisjoint(imports_of(path)), name_of(path)


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_no_test_patches_the_whole_process(path: Path) -> None:
    """A name of the standard library is replaced for one of its users (``patched``), not for every thread there is.

    The streams of ``sys`` and what ``warnings`` shows are the program's own to replace.
    """
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr":
            target = ast.unparse(node.args[0]).rpartition(".")[2].strip("'")
            of_a_module = target in sys.stdlib_module_names - {"sys", "warnings"}
            assert not of_a_module, f"{name_of(path)}:{node.lineno} replaces a name of {target}"


def test_reading_imports_nothing_that_only_writers_need() -> None:
    """Third-party packages are imported where they are used, inside of functions."""
    for package, owner in OWNERS.items():
        if package == "portalocker":
            continue  # the lock is all that its module is
        top = {
            alias.name for node in tree_of(ROOT / owner).body if isinstance(node, ast.Import) for alias in node.names
        }
        top |= {node.module or "" for node in tree_of(ROOT / owner).body if isinstance(node, ast.ImportFrom)}
        assert package not in {name.partition(".")[0] for name in top}


@pytest.mark.parametrize("path", [*LIBRARY, *PROGRAM, *BESIDE], ids=name_of)
def test_no_module_and_no_function_is_too_long_to_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MODULE_LINES
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            most = TABLE_LINES if f"{name_of(path)}:{node.name}" in TABLES else FUNCTION_LINES
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= most, f"{node.name} has {lines} lines"


def functions_in(script: list[str]) -> Iterator[tuple[str, int]]:
    """Each function of a script that biome has formatted, and its lines: it ends at a brace under its beginning."""
    for start, line in enumerate(script):
        opening = re.fullmatch(r"( *)(.*(?:\)|=>|\bfunction\b.*)) \{", line)
        if opening and not re.match(r"(\} )?(if|for|while|switch|catch|else|do|try)\b", opening[2]):
            end = next(n for n in range(start + 1, len(script)) if script[n].startswith(f"{opening[1]}}}"))
            yield opening[2], end - start + 1


@pytest.mark.parametrize("path", WEB, ids=name_of)
def test_no_script_of_the_page_is_too_long_to_read(path: Path) -> None:
    script = path.read_text().splitlines()
    assert len(script) <= MODULE_LINES
    assert [(name, lines) for name, lines in functions_in(script) if lines > FUNCTION_LINES] == []


def test_functions_of_scripts_are_found() -> None:
    script = ["class A {", "  #b(c) {", "    if (c) {", "    }", "  }", "}", "export function d(", "  e,", ") {", "}"]
    assert list(functions_in(script)) == [("#b(c)", 4), (")", 2)]
    assert sum(len(list(functions_in(path.read_text().splitlines()))) for path in WEB) > 100


@pytest.mark.parametrize("path", PACKAGES, ids=name_of)
def test_a_package_maps_every_module_in_it(path: Path) -> None:
    """Its docstring has a line for each: the name, and what it is for."""
    lines = (ast.get_docstring(tree_of(path)) or "").splitlines()
    named = {words[0].removesuffix("/") for line in lines if len(words := line.split(maxsplit=1)) == 2}
    there = {
        entry.stem if entry.suffix == ".py" else entry.name
        for entry in path.parent.iterdir()
        if (entry.suffix == ".py" and entry.stem not in ("__init__", "__main__")) or (entry / "__init__.py").is_file()
    }
    assert there <= named, f"not in the map: {', '.join(sorted(there - named))}"


def test_the_version_is_written_once() -> None:
    """The distribution gets it from here, and importing it loads nothing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["hatch"]["version"]["path"] == "messagebus/__init__.py"
    assert version("run-agent") == messagebus.__version__
