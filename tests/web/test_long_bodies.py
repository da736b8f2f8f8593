"""Long bodies are rendered as Markdown to their end, chunk by chunk."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from messagebus import Parent

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "run_agent/web"
LIVE = "#state[data-state=live]"
PART = "## Part {0}\n\nSome **bold** text and [a link][there].\n\n- one\n- two\n\n```python\ndef f{0}(): pass\n```\n\n"
REPORT = "".join(PART.format(number) for number in range(2_000)) + "[there]: https://good.example/\n"


def test_a_long_body_is_markdown_to_its_end(server: Any, append: Any, visit: Any, until: Any, eventually: Any) -> None:
    [report] = append(REPORT)
    page = visit(server.at(), permissions=["clipboard-read", "clipboard-write"])
    page.wait_for_selector(LIVE)
    page.get_by_role("button", name="Show all").click()
    body = page.locator(f"article[data-id='{report}'] .body")
    body.locator(".more").wait_for()
    assert "Part 1999" not in body.inner_text(), "rendered before it came into view"
    assert page.locator("#log").evaluate("log => log.scrollTop") < 1_000, "unfolding moved the reader"

    def scroll_to(part: int) -> bool:
        page.evaluate("document.querySelector('#log').scrollTop += 20000")
        return bool(body.get_by_role("heading", name=f"Part {part}", exact=True).count())

    eventually(lambda: scroll_to(300))
    assert page.locator("pre.plain").count() == 0
    assert body.locator("a").last.get_attribute("href") == "https://good.example/"
    page.locator(f"article[data-id='{report}'] .code").last.get_by_role("button", name="Copy").click()
    assert page.evaluate("navigator.clipboard.readText()").startswith("def f")

    # A reply causes the row to be rendered again: the rendered chunks and the position stay.
    top = page.evaluate("document.querySelector('#log').scrollTop")
    append("a reply", parents=[Parent(report)])
    page.get_by_role("button", name="1 reply").wait_for()
    assert page.evaluate("document.querySelector('#log').scrollTop") == top
    page.locator(f"article[data-id='{report}']").focus()
    page.locator(f"article[data-id='{report}'] > header").get_by_role("button", name="Copy").click()
    until(page, "text => navigator.clipboard.readText().then((copied) => copied === text)", REPORT.rstrip("\n"))


def test_a_long_body_is_complete(server: Any, append: Any, visit: Any, eventually: Any) -> None:
    append("".join(PART.format(number) for number in range(400)) + "the end\n")
    page = visit(server.at())
    page.wait_for_selector(LIVE)
    page.get_by_role("button", name="Show all").click()

    def is_complete() -> bool:
        page.evaluate("document.querySelector('#log').scrollTop += 5000")
        return page.locator(".more").count() == 0

    eventually(is_complete)
    assert page.locator(".body h2").all_inner_texts() == [f"Part {number}" for number in range(400)]
    assert page.locator("#log .body").inner_text().endswith("the end")


LONG = {
    "report": REPORT,
    "fence": "before\n\n```python\n" + "code line\n" * 8_000 + "```\n\nafter\n",
    "open fence": "before\n\n~~~~ js\n" + "code line\n~~~\n" * 8_000,
    "list": "- item **a**\n" * 9_000,
    "numbers": "\n".join(f"{number}. item" for number in range(1, 9_000)),
    "loose list": "- item\n\n  more\n\n" * 4_000 + "end",
    "quote": "> quote\n" * 9_000,
    "paragraph": "words and words\n" * 9_000,
    "table": "x\n\n| a | b |\n|---|---|\n" + "| c | d |\n" * 9_000 + "\nafter",
    "blank": "\n" * 90_000 + "x",
    "indented": "    code\n" * 9_000,
}
# The chunks have the same text as the whole; each chunk of a table repeats its head.
COMPARE = """
import MarkdownIt from "../vendor/markdown-it.esm.min.mjs";
import { linkDefinitions, splitMarkdown } from "./markdown-splitter.js";
const parser = new MarkdownIt({ html: false, linkify: true, breaks: true, maxNesting: 30 });
const words = (html) => html.replace(/<[^>]+>/g, " ").replace(/\\s+/g, " ").trim();
let text = "";
for await (const chunk of process.stdin) text += chunk;
const body = JSON.parse(text);
const env = linkDefinitions(parser, body);
const cut = [...splitMarkdown(parser, body)];
const made = cut.map(({ text, language }) =>
  language === undefined ? parser.render(text, env) : parser.utils.escapeHtml(text));
const heads = (html) => html.replaceAll(/<thead>.*?<\\/thead>/gs, "");
const [one, other] = [made.join("\\n"), parser.render(body)].map((html) => words(heads(html)));
console.log(JSON.stringify({ isSame: one === other, links: made.join("").split("<a ").length - 1, count: cut.length }));
"""


@pytest.mark.parametrize("name", LONG)
def test_chunks_have_the_text_of_the_whole(packages: Path, tmp_path: Path, name: str) -> None:
    """Without a browser: Node.js, which comes with npm."""
    assert packages
    for file in ("lib/markdown-splitter.js", "vendor/markdown-it.esm.min.mjs"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes((PAGE / file).read_bytes())
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "lib/compare.js").write_text(COMPARE)
    done = subprocess.run(
        ["node", "lib/compare.js"],
        cwd=tmp_path,
        input=json.dumps(LONG[name]),
        capture_output=True,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout)
    assert result["isSame"]
    assert result["count"] > 1
    assert result["links"] == (2_000 if name == "report" else 0)
