"""Hostile bodies: no script runs, nothing loads, and no link leads into the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from messagebus import Draft, Link, MessageBus
from run_agent.server.static_files import POLICY

WEB = Path(__file__).parents[2] / "run_agent/web"
CORPUS = (Path(__file__).parent / "data/hostile.md").read_text()
BODIES = [*CORPUS.split("\n"), CORPUS]
FORBIDDEN = set("script img svg iframe object embed style link meta base video audio math template".split())  # noqa: SIM905
DEEP = {
    "quotes": ">" * 5_000 + " deep",
    "lists": "\n".join("  " * depth + "- deep" for depth in range(400)),
    "brackets": "[" * 20_000 + "](" * 20_000,
    "stars": "*_" * 20_000,
    "backticks": "\n".join("`" * count for count in range(1, 400)),
    "table": "|" + "x|" * 3_000 + "\n|" + "-|" * 3_000 + "\n" + ("|" + "y|" * 3_000 + "\n") * 30,
    "long word": "x" * 300_000,
    "rows": "| a | b |\n|---|---|\n" + "| c | d |\n" * 20_000,
}


def test_hostile_bodies_are_inert(server: Any, bus: MessageBus, visit: Any, until: Any) -> None:
    requested: list[str] = []
    page = visit("about:blank")
    page.on("request", lambda request: requested.append(request.url))
    page.on("dialog", lambda dialog: requested.append(dialog.message))
    bus.append_messages([Draft("FACT", "demo", body, task_id="t1") for body in BODIES if body.strip()])
    bus.append_message(
        Draft(
            "<img src=x onerror=ran=40>",
            "demo",
            "fields",
            task_id="t1",
            run_id="<script>ran=41</script>",
            issue_id='"><svg onload=ran=42>',
            links=[Link("javascript:window.ran=43", "<b>label</b>"), Link("https://good.example/", "<i>good</i>")],
        )
    )
    page.goto(server.at())
    page.get_by_text("fields", exact=True).wait_for()
    seen = 0
    for _ in range(40):
        page.evaluate("document.querySelector('#log').scrollTop -= 500")
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        for fold in page.locator("button.fold[aria-expanded=false]").all():
            fold.click()
        found = page.evaluate(
            """() => {
              const inside = [...document.querySelectorAll('#log article *, #unanswered *, #runs-panel *')];
              const named = [...inside].flatMap((e) => [...e.attributes].map((a) => a.name));
              return {
                count: document.querySelectorAll('#log article').length,
                tags: [...new Set(inside.map((e) => e.localName))],
                handlers: named.filter((name) => name.startsWith('on')),
                styled: document.querySelectorAll('#log .body [style], #log .body [id]').length,
                links: [...document.querySelectorAll(':is(.body, .links) a')].map((a) => [a.href, a.rel, a.target]),
                ran: window.ran ?? 0,
              };
            }"""
        )
        seen += found["count"]
        assert not FORBIDDEN & {*found["tags"]}
        assert found["handlers"] == []
        assert found["styled"] == 0
        assert found["ran"] == 0
        for href, rel, target in found["links"]:
            assert href.startswith(("http://", "https://", "mailto:")), href
            assert not href.startswith(server.url), "a body links into the server"
            assert (rel, target) == ("noopener noreferrer", "_blank")
    assert seen > len(BODIES)
    assert page.url.startswith(server.url)
    assert [url for url in requested if not url.startswith((server.url, "about:"))] == []
    assert page.locator("#composer").is_visible()


def test_the_policy_blocks_what_gets_past_parser_and_sanitiser(server: Any, append: Any, visit: Any) -> None:
    """Without parser and sanitiser: elements that a body might bring into the document have no effect."""
    append("x")
    page = visit(server.at(), expected=("violates", "Trusted", "blocked", "Refused"))
    page.locator("article").wait_for()
    done = page.evaluate(
        """async () => {
          const blocked = [];
          try { document.body.innerHTML = '<img src=x onerror="window.ran = 1">'; } catch { blocked.push('innerHTML'); }
          try { await fetch('https://evil.example/'); } catch { blocked.push('fetch'); }
          const image = new Image();
          const failed = new Promise((done) => { image.onerror = done; });
          image.src = 'https://evil.example/pixel.png';
          await failed;
          blocked.push('image');
          const bold = document.createElement('b');
          try { bold.setAttribute('onclick', 'window.ran = 3'); } catch { blocked.push('onclick'); }
          document.body.append(bold);
          bold.click();
          return { blocked, ran: window.ran ?? 0 };
        }"""
    )
    assert done["ran"] == 0
    assert {"innerHTML", "fetch", "image"} <= {*done["blocked"]}


def test_the_page_is_served_with_that_policy(server: Any) -> None:
    answer = httpx.get(server.url + "/")
    assert answer.headers["content-security-policy"] == POLICY
    for rule in ("default-src 'none'", "script-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert rule in POLICY
    assert "unsafe" not in POLICY
    assert "data:" not in POLICY


@pytest.mark.parametrize("name", DEEP)
def test_extreme_bodies(server: Any, append: Any, visit: Any, name: str) -> None:
    """Deep nesting, huge tables, endless words: the page keeps working, and gets no wider."""
    append("before", DEEP[name], "after")
    page = visit(server.at())
    page.get_by_text("after", exact=True).wait_for()
    for fold in page.locator("button.fold").all():
        fold.click()
    append("still here")
    page.keyboard.press("G")
    page.get_by_text("still here", exact=True).wait_for(state="attached")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.querySelector('#log').scrollWidth <= document.querySelector('#log').clientWidth")


def test_no_module_turns_text_into_html() -> None:
    paths = [path for path in WEB.rglob("*.js") if "vendor" not in path.parts]
    assert len(paths) > 30
    for path in paths:
        source = path.read_text()
        for name in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
            assert name not in source, f"{name} in {path.name}"
