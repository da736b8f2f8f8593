"""The modules of the page: mapped, small, in layers, and preloaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "run_agent/web"
MODULES = sorted(
    path.relative_to(WEB).as_posix() for path in WEB.rglob("*.js") if path.relative_to(WEB).parts[0] != "vendor"
)
MAX_LINES = 300
# What a folder may import from, itself included.
LAYERS = {"lib": {"lib"}, "model": {"lib", "model"}, "views": {"lib", "model", "views"}}


def imports(module: str) -> set[str]:
    """The modules that one loads, as paths below web/; not the types that its comments name."""
    found = re.findall(r'^(?:import|export)\b[^;]*?from "(\.[^"]+)"', (WEB / module).read_text(), re.MULTILINE)
    return {(WEB / module).parent.joinpath(name).resolve().relative_to(WEB).as_posix() for name in found}


def test_the_map_in_app_js_lists_every_module() -> None:
    [comment] = re.findall(r"\A/\*\*(.*?)\*/", (WEB / "app.js").read_text(), re.DOTALL)
    mapped = re.findall(r"^ \*     ([\w/-]+)  +\S", comment, re.MULTILINE)
    assert sorted(f"{name}.js" for name in mapped) == [name for name in MODULES if name != "app.js"]


@pytest.mark.parametrize("name", [*MODULES])
def test_a_module_is_short_and_says_what_it_is_for(name: str) -> None:
    text = (WEB / name).read_text()
    assert text.startswith("/**")
    assert text.count("\n") <= MAX_LINES


@pytest.mark.parametrize("name", [name for name in MODULES if "/" in name])
def test_a_module_imports_only_from_its_layer_and_below(name: str) -> None:
    folder = name.split("/", maxsplit=1)[0]
    assert {path.split("/")[0] for path in imports(name)} <= LAYERS[folder] | {"vendor"}


def test_every_module_that_the_page_loads_is_preloaded() -> None:
    """Without that a browser would learn of each import only when it has loaded the module before."""
    loaded: set[str] = set()
    waiting = {"app.js"}
    while waiting:
        name = waiting.pop()
        loaded.add(name)
        if not name.startswith("vendor/"):
            waiting |= imports(name) - loaded
    preloaded = re.findall(r'rel="modulepreload" href="page/([^"]+)"', (WEB / "index.html").read_text())
    assert sorted(preloaded) == sorted(loaded - {"app.js"})
    assert set(MODULES) - loaded == {"types.js"}
