"""Layout: the log has half of the height whatever else is shown, and hidden overflow is indicated."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from messagebus import Draft, MessageBus
from tests.web.test_accessibility import PHONE, violations

LIVE = "#state[data-state=live]"
ZOOMED = (720, 450)  # 1440x900 at 200 %
LAPTOP = (1280, 800)
HEIGHT = "document.querySelector('#log').clientHeight"
# The middle of an element is visible, if necessary after scrolling, and nothing covers it.
REACHABLE = """element => {
  element.scrollIntoView({ block: "nearest" });
  const { x, y, width, height } = element.getBoundingClientRect();
  const topmost = document.elementFromPoint(x + width / 2, y + height / 2);
  return element === topmost || element.contains(topmost);
}"""


@pytest.fixture
def many_questions(append: Any) -> None:
    """A conversation with many questions and many types."""
    append(*[f"Question {number}?" for number in range(12)], type="QUESTION", run_id="builder")
    for number in range(16):
        append("x", type=f"TYPE_{number}")


@pytest.mark.parametrize("size", [ZOOMED, LAPTOP, PHONE])
def test_the_log_has_half_of_the_height(
    server: Any, many_questions: None, visit: Any, until: Any, packages: Path, size: tuple[int, int]
) -> None:
    page = visit(server.at(), size=size, reduced_motion="reduce")
    page.wait_for_selector(LIVE)
    page.locator(".unanswered-link").first.wait_for()
    page.locator(".chip").first.wait_for()
    if page.locator("#timeline").is_hidden():
        page.locator("#chart-button").click()
    page.wait_for_selector("#chart canvas")
    page.get_by_role("button", name="All 12").click()
    page.locator("#composer textarea").fill("\n".join(f"line {number}" for number in range(60)))
    page.locator("#composer").get_by_role("button", name="Preview").click()
    assert page.evaluate(HEIGHT) >= size[1] / 2
    for locator in (
        "#sidebar-button, #runs-button",
        "#text",
        ".chip",
        "#chart",
        ".unanswered-link",
        ".unanswered-link + button",
        "#composer .primary",
    ):
        seen = page.locator(locator).locator("visible=true").last
        assert seen.evaluate(REACHABLE), locator
    assert page.locator("#composer textarea").bounding_box()["height"] > 30
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    assert violations(page, packages) == []


@pytest.mark.parametrize("size", [ZOOMED, PHONE])
def test_failed_posts_leave_the_log_its_half(
    server: Any, many_questions: None, visit: Any, until: Any, size: tuple[int, int]
) -> None:
    page = visit(server.at(), size=size, expected=("422",))
    page.wait_for_selector(LIVE)
    page.route("**/api/v1/messages", lambda route: route.fulfill(status=422, body="{}"))
    for number in range(4):
        page.locator("#composer textarea").fill(f"post {number}")
        page.keyboard.press("Control+Enter")
    until(page, "document.querySelectorAll('.post.failed').length === 4")
    assert page.evaluate(HEIGHT) >= size[1] / 2
    assert page.locator(".post.failed button").first.evaluate(REACHABLE)
    assert page.locator("#composer .primary").evaluate(REACHABLE)


def test_an_edge_with_chips_beyond_it_fades(server: Any, many_questions: None, visit: Any, until: Any) -> None:
    page = visit(server.at())
    until(page, "document.querySelector('#types').className === 'more-right'")
    page.evaluate("document.querySelector('#types').scrollLeft = 100000")
    until(page, "document.querySelector('#types').className === 'more-left'")
    page.set_viewport_size({"width": 3000, "height": 800})
    until(page, "document.querySelector('#types').className === ''")


def test_a_young_bus(server: Any, append: Any, visit: Any, until: Any) -> None:
    """One message is not a rate, and the chart ends now, not minutes in the future."""
    append("first")
    page = visit(server.at())
    until(page, "document.querySelector('#rate').textContent === '1 message'")
    page.wait_for_selector("#chart canvas")
    append("second")
    until(page, "document.querySelector('#rate').textContent === '2 messages · 2 a minute, peak 2'")
    assert "FACT 2" in page.locator("#chart").get_attribute("aria-label")
    page.mouse.move(*middle(page.locator("#chart .u-over")))
    page.mouse.down()
    box = page.locator("#chart .u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + 10, steps=5)
    page.mouse.up()
    until(page, "location.hash.includes('until=')")
    end = datetime.fromisoformat(re.search(r"until=([^&]+)", page.url)[1].replace("%3A", ":"))  # type: ignore[index]
    assert end < datetime.now(UTC) + timedelta(seconds=15)


def test_the_rate_has_a_suitable_unit(server: Any, bus: MessageBus, visit: Any, until: Any) -> None:
    then = datetime.now(UTC) - timedelta(days=20)
    for number in range(40):
        ts = then + timedelta(hours=12 * number)
        bus.append_message(Draft("FACT", "demo", f"{number}", task_id="t1", ts=ts))
    page = visit(server.at())
    until(page, "/^40 messages · [\\d.]+ a day, peak 2$/.test(document.querySelector('#rate').textContent)")


def test_the_controls_of_the_chart(server: Any, append: Any, visit: Any) -> None:
    append("x")
    page = visit(server.at())
    page.wait_for_selector("#chart canvas")
    page.get_by_role("group", name="Colour by").get_by_role("button", name="run").click()
    assert page.locator("[data-by=run_id]").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Chart").click()
    assert page.get_by_role("group", name="Colour by").is_hidden()


def test_touch_targets_are_large_enough(server: Any, many_questions: None, append: Any, visit: Any, until: Any) -> None:
    [root] = append("exit 1", type="RUN_CRASH", run_id="builder")
    append("# Long\n\n" + "line\n\n" * 60 + "```\ncode\n```", parents=[root], run_id="tester")
    page = visit(server.at(), size=PHONE, has_touch=True, is_mobile=True)
    page.wait_for_selector(LIVE)
    page.locator(".parent").wait_for()
    small = """() => [...document.querySelectorAll('button, input, select, a.bus, a.time, a.unanswered-link')]
      .filter((control) => control.checkVisibility() && !control.closest('.skip'))
      .map((control) => [control.outerHTML.slice(0, 90), control.getBoundingClientRect()])
      .filter(([, { width, height }]) => width && (width < 39.9 || height < 39.9))
      .map(([html, { width, height }]) => `${Math.round(width)}x${Math.round(height)} ${html}`)"""
    assert page.evaluate(small) == []
    page.locator(".fold").last.tap()
    page.locator("#chart-button").tap()
    page.locator(".unanswered-row button").last.tap()
    page.locator("form.reply-form").wait_for()
    assert page.evaluate(small) == []
    for drawer in ("#runs-button", "#sidebar-button"):
        page.locator(drawer).tap()
        assert page.evaluate(small) == []
        page.locator("#backdrop").tap(position={"x": 5 if drawer == "#runs-button" else 380, "y": 400})


def middle(locator: Any) -> tuple[float, float]:
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
