"""Accessibility: keyboard, touch, small screens, dark mode, reduced motion, and what axe checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from messagebus import Parent

LIVE = "#state[data-state=live]"
PHONE = (390, 844)
BODY = """# Heading

Some **bold** text, `code`, [a link](https://good.example/) and

```python
def f(x: int) -> str:  # comment
    return "text" + str(x)
```

| a | b |
|---|---|
| 1 | 2 |
"""


@pytest.fixture
def question(append: Any) -> str:
    """A conversation with every kind of content; the id of its question."""
    for type_ in ("FACT", "PROGRESS", "DECISION", "ANSWER", "INFO", "ERROR", "USER", "CUSTOM", "OTHER"):
        append(f"of type {type_}", type=type_, run_id=f"run-{len(type_)}")
    append(BODY, type="FACT", run_id="builder")
    append("", type="RUN_START", run_id="tester")
    append("exit 1", type="RUN_CRASH", run_id="tester")
    [question_id] = append("May I?", type="QUESTION", run_id="builder")
    append("a comment", parents=[Parent(question_id)])
    append("It burns", type="ISSUE", run_id="tester")
    append("\n".join(f"line {number}" for number in range(100)))
    return question_id


def violations(page: Any, packages: Path) -> list[str]:
    """The violations that axe finds."""
    page.evaluate((packages / "axe-core/axe.min.js").read_text() + "\n;0")
    results = page.evaluate("async () => (await axe.run(document)).violations")
    return [
        f"{rule['id']}: {node['html'][:120]} {node['failureSummary']}" for rule in results for node in rule["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), PHONE])
def test_axe_finds_no_violations(
    server: Any, question: str, visit: Any, packages: Path, scheme: str, size: tuple[int, int]
) -> None:
    page = visit(server.at(), size=size, color_scheme=scheme, reduced_motion="reduce")
    page.wait_for_selector(LIVE)
    page.locator(".unanswered-link").first.wait_for()
    page.locator(".chip").first.wait_for()
    assert violations(page, packages) == []
    page.locator("button.replies").first.click()
    page.locator(".thread article").wait_for()
    page.locator("#runs-button").click()
    page.locator(".run-entry").first.wait_for()
    assert violations(page, packages) == []
    page.keyboard.press("Escape") if size == PHONE else page.locator("#runs-button").click()
    page.keyboard.press("a")
    page.locator("form.reply-form").wait_for()
    assert violations(page, packages) == []
    page.keyboard.press("Escape")
    page.locator(".chip").first.click()
    page.locator("#clear").wait_for()
    assert violations(page, packages) == []
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.locator("#help[open]").wait_for()
    assert violations(page, packages) == []


def test_axe_finds_no_violations_in_empty_and_locked_pages(serve: Any, visit: Any, packages: Path) -> None:
    page = visit(serve().at("demo/none"))
    page.locator("#notice code").wait_for()
    assert violations(page, packages) == []
    page = visit(serve(RUN_AGENT_API_KEY="secret").url, expected=("401",))
    page.locator("#sign-in[open]").wait_for()
    assert violations(page, packages) == []


def test_using_the_page_by_keyboard(
    server: Any, question: str, visit: Any, until: Any, eventually: Any, stored: Any
) -> None:
    page = visit(server.at())
    page.wait_for_selector(LIVE)
    page.locator(".unanswered-link").first.wait_for()
    press = page.keyboard.press
    current = "document.activeElement.dataset.id"

    press("?")
    until(page, "document.querySelector('#help').open")
    assert page.locator("#help kbd").count() > 15
    press("Escape")
    press("G")
    press("j")
    first = page.evaluate(current)
    assert first
    press("k")
    assert page.evaluate(current) != first
    press("g")
    press("End")
    press("g")
    until(page, "document.activeElement.innerText.includes('of type FACT')")
    press("j")
    until(page, "document.activeElement.innerText.includes('of type PROGRESS')")
    press("r")
    until(page, "document.activeElement.localName === 'textarea'")
    page.keyboard.type("By keyboard")
    press("Control+Enter")
    eventually(lambda: stored()[-1].get("body") == "By keyboard")
    until(page, "document.activeElement.innerText.includes('of type PROGRESS')")
    press("t")
    until(page, "document.activeElement.querySelector('.thread article') !== null")
    press("G")
    press("/")
    until(page, "document.activeElement.id === 'text'")
    page.keyboard.type("burns")
    until(page, "document.querySelectorAll('#log article').length === 1")
    press("Escape")
    press("x") if page.evaluate("document.activeElement.id !== 'text'") else page.locator("#clear").click()
    until(page, "!location.hash.includes('text')")
    press("c")
    until(page, "document.activeElement.closest('#composer') !== null")
    press("Escape")
    press("a")
    until(page, "document.activeElement.closest('form.reply-form') !== null")
    page.keyboard.type("Put it out")
    press("Control+Enter")
    until(page, "document.querySelectorAll('.unanswered-link').length === 1")
    eventually(lambda: stored()[-1].get("body") == "Put it out")


def test_tab_reaches_every_control(server: Any, question: str, visit: Any, until: Any) -> None:
    page = visit(server.at())
    page.wait_for_selector(LIVE)
    page.locator(".unanswered-link").first.wait_for()
    missed = {
        "find-bus",
        "text",
        "run",
        "time",
        "runs-button",
        "chip",
        "unanswered-link",
        "log",
        "sort",
        "primary",
        "help-button",
    }
    for _ in range(300):
        page.keyboard.press("Tab")
        missed.discard(page.evaluate("document.activeElement.id || document.activeElement.className"))
        if not missed:
            break
    assert missed == set()
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "log"


def test_using_the_page_on_a_phone(server: Any, question: str, visit: Any, until: Any) -> None:
    page = visit(server.at(), size=PHONE, has_touch=True)
    page.wait_for_selector(LIVE)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("#sidebar").is_hidden()
    page.locator("#sidebar-button").tap()
    page.locator("a.bus").first.wait_for()
    page.locator("a.bus").first.tap()
    page.locator("#sidebar").wait_for(state="hidden")
    page.locator("#composer textarea").fill("From a phone")
    page.locator("#composer .primary").tap()
    page.get_by_text("From a phone", exact=True).wait_for()
    assert page.locator("#log").bounding_box()["height"] > 300
    for name in ("#composer", "#head", "#filter"):
        box = page.locator(name).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390


def test_the_system_chooses_light_or_dark(server: Any, question: str, visit: Any) -> None:
    page = visit(server.at(), color_scheme="light")
    page.wait_for_selector("#chart canvas")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(ground) != light
    page.wait_for_selector("#chart canvas")


def test_reduced_motion(server: Any, question: str, visit: Any, until: Any) -> None:
    page = visit(server.at(), reduced_motion="reduce")
    page.locator(".unanswered-link").first.click()
    until(page, "document.querySelector('.highlighted') !== null")
    assert page.evaluate("document.getAnimations().length") == 0


def test_a_pressed_button_is_not_replaced(server: Any, question: str, append: Any, visit: Any, until: Any) -> None:
    """Counts change all the time; a button that is replaced between press and release gets no click."""
    page = visit(server.at())
    chip = page.locator(".chip[data-name=FACT]")
    chip.hover()
    page.mouse.down()
    count = chip.locator(".number").inner_text()
    append("one more", type="FACT")
    until(page, "document.querySelector('#rate').textContent.startsWith('17 ')")
    assert chip.locator(".number").inner_text() == count
    page.mouse.up()
    until(page, "location.hash.includes('type=FACT')")
    chip.focus()
    append("and one", type="FACT")
    until(page, "document.querySelector('#rate').textContent.startsWith('18 ')")
    assert page.evaluate("document.activeElement.dataset.name") == "FACT"


def test_code_is_highlighted_and_copied_and_long_bodies_fold(
    server: Any, question: str, visit: Any, until: Any
) -> None:
    page = visit(server.at(), permissions=["clipboard-read", "clipboard-write"])
    page.wait_for_selector(LIVE)
    fold = page.get_by_role("button", name="Show all (100 lines)")
    fold.wait_for()
    folded = page.locator(".folded").bounding_box()["height"]
    assert folded < 400
    fold.click()
    page.get_by_role("button", name="Show less").click()
    page.locator(".folded").wait_for()
    code = page.locator(".code").first
    code.scroll_into_view_if_needed()
    assert code.locator(".hljs-keyword").count() > 0
    code.get_by_role("button", name="Copy").click()
    code.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()").startswith("def f(x: int) -> str:")
