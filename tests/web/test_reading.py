"""Reading: new messages, scrolling, threads, links, filters, the chart, many conversations."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from messagebus import Draft, MessageBus, Parent

LIVE = "#state[data-state=live]"
OFFSCREEN = 60  # messages, more than fit into the window


def bodies(page: Any) -> list[str]:
    texts: list[str] = page.locator("#log .body").all_inner_texts()
    return texts


def test_a_shell_post_appears(server: Any, bus: MessageBus, visit: Any, until: Any) -> None:
    page = visit(server.at())
    page.wait_for_selector(LIVE)
    assert "No messages in demo/t1 yet" in page.locator("#notice").inner_text()
    options = [
        "--root",
        str(server.root),
        "--project",
        "demo",
        "--task",
        "t1",
        "--type",
        "FACT",
        "--body",
        "From a **shell**",
    ]
    subprocess.run(
        [sys.executable, "-m", "run_agent", "bus", "post", *options], check=True, capture_output=True, env=os.environ
    )
    article = page.locator("article.card")
    article.wait_for()
    assert article.locator(".message-type").inner_text() == "FACT"
    assert article.locator("strong").inner_text() == "shell"
    assert page.locator("#notice").is_hidden()
    until(page, "document.querySelector('#announcer').textContent.includes('From a shell')")


def test_the_position_stays_while_messages_arrive(server: Any, append: Any, visit: Any, until: Any) -> None:
    append(*[f"old {number}" for number in range(OFFSCREEN)])
    page = visit(server.at())
    page.wait_for_selector(LIVE)
    page.get_by_text(f"old {OFFSCREEN - 1}", exact=True).wait_for()
    append("followed")
    page.get_by_text("followed", exact=True).wait_for()
    assert page.locator("#newest").is_hidden()

    page.locator("#log").hover()
    page.mouse.wheel(0, -900)
    page.locator("#newest").wait_for()
    seen = page.locator("article").filter(has_text="old 4").first
    top = seen.bounding_box()["y"]
    append("new one", "new two", "new three")
    page.get_by_text("3 new ↓").wait_for()
    assert abs(seen.bounding_box()["y"] - top) < 1
    page.locator("#newest").click()
    page.get_by_text("new three", exact=True).wait_for()
    assert page.locator("#newest").is_hidden()


def test_older_messages_load_while_scrolling(server: Any, append: Any, visit: Any, until: Any, eventually: Any) -> None:
    append(*[f"number {number}" for number in range(700)])
    page = visit(server.at())
    page.get_by_text("number 699", exact=True).wait_for()

    def at_the_beginning() -> bool:
        page.evaluate("document.querySelector('#log').scrollTop = 0")
        return bool(page.get_by_text("number 0", exact=True).count())

    eventually(at_the_beginning)
    assert page.locator("article").count() < 80, "too many rows are in the document"
    shown = [int(text.split()[1]) for text in bodies(page)]
    assert shown == list(range(shown[0], shown[-1] + 1))


def test_questions_are_listed_until_they_are_answered(server: Any, append: Any, visit: Any, until: Any) -> None:
    [question] = append("Drop the table?", type="QUESTION", run_id="builder")
    [issue] = append("It leaks", type="ISSUE")
    append(*[f"talk {number}" for number in range(OFFSCREEN)])
    page = visit(server.at())
    links = page.locator(".unanswered-link")
    links.first.wait_for()
    assert [links.nth(at).locator(".excerpt").inner_text() for at in (0, 1)] == ["It leaks", "Drop the table?"]
    links.nth(1).click()
    until(page, "id => document.activeElement.dataset.id === id", arg=question)
    assert page.locator("article.unanswered").count() == 2
    append("No", type="ANSWER", parents=[Parent(question)])
    until(page, "document.querySelectorAll('.unanswered-link').length === 1")
    append("Fixed", type="FACT", parents=[Parent(issue, "fixes")])
    page.locator("#unanswered").wait_for(state="hidden")
    assert page.locator("article.unanswered").count() == 0


def test_runs_are_thin_lines_with_their_duration(server: Any, bus: MessageBus, visit: Any, until: Any) -> None:
    then = datetime.now(UTC) - timedelta(minutes=30)
    for type_, run, minutes in (
        ("RUN_START", "a", 0),
        ("RUN_START", "b", 1),
        ("RUN_STOP", "a", 5),
        ("RUN_START", "c", 6),
        ("RUN_CRASH", "c", 8),
    ):
        body = "exit 137\n\nthe last words" if type_ == "RUN_CRASH" else ""
        bus.append_message(Draft(type_, "demo", body, task_id="t1", run_id=run, ts=then + timedelta(minutes=minutes)))
    page = visit(server.at())
    page.get_by_text("ended after 5 min", exact=True).wait_for()
    page.get_by_text("crashed after 2 min", exact=True).wait_for()
    page.get_by_role("button", name="exit 137").click()
    page.locator(".run-event .body").get_by_text("the last words").wait_for()
    assert page.locator("#runs-button").inner_text() == "Runs · 1 silent"
    page.locator("#runs-button").click()
    entry = page.locator(".run-entry[data-state=silent]")
    assert entry.locator(".name").inner_text() == "b"
    assert re.match(r"silent for 29 min · 1 message$", entry.locator(".status").inner_text())
    entry.click()
    until(page, "location.hash.includes('run=b')")
    until(page, "document.querySelectorAll('article').length === 1")


def test_threads(server: Any, append: Any, visit: Any, until: Any) -> None:
    [question] = append("Which one?", type="QUESTION")
    append(*[f"talk {number}" for number in range(300)])
    [answer] = append("The second", type="ANSWER", parents=[Parent(question, "answers")])
    [thanks] = append("Thanks", parents=[Parent(answer)])
    page = visit(server.at())
    parent = page.locator(f"article[data-id='{answer}'] .parent")
    parent.wait_for()
    until(page, "[...document.querySelectorAll('.parent')].some((e) => e.innerText.includes('Which one?'))")
    parent.click()
    until(page, "id => document.activeElement.dataset.id === id", arg=question)
    root = page.locator(f"#log .row > article[data-id='{question}']")
    root.get_by_role("button", name="1 reply").click()
    inner = root.locator(f"article[data-id='{answer}']")
    inner.get_by_role("button", name="1 reply").wait_for()
    append("Really?", parents=[Parent(question)])
    root.get_by_text("Really?").wait_for()
    assert root.get_by_role("button", name="2 replies").get_attribute("aria-expanded") == "true"
    assert thanks


def test_a_link_leads_to_a_message(server: Any, append: Any, visit: Any, until: Any) -> None:
    ids = append(*[f"number {number}" for number in range(900)])
    page = visit(server.at(query=f"at={ids[300]}"))
    until(page, "id => document.activeElement.dataset.id === id", arg=ids[300])
    box = page.locator(f"article[data-id='{ids[300]}']").bounding_box()
    frame = page.locator("#log").bounding_box()
    assert frame["y"] <= box["y"] <= frame["y"] + frame["height"] - box["height"]
    append("the end")
    page.get_by_text("1 new ↓").click()
    page.get_by_text("the end").wait_for()
    href = page.locator("#log a.time").last.get_attribute("href")
    assert href.startswith("#/demo/t1?at=MSG-")


def test_a_link_to_a_message_that_is_gone(server: Any, append: Any, visit: Any) -> None:
    """The page reports it and shows the newest messages."""
    append("here")
    page = visit(server.at(query="at=MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA"), expected=("404",))
    page.get_by_text("here", exact=True).wait_for()
    page.locator("#toast").get_by_text("This log does not contain that message").wait_for()


def test_filters_are_in_the_address(server: Any, append: Any, visit: Any, until: Any) -> None:
    for number in range(300):
        append(f"talk {number}", type="PROGRESS", run_id="one")
    append("a needle", type="DECISION", run_id="two")
    append("another NEEDLE", type="FACT", run_id="one")
    append(*["hay"] * 150)
    page = visit(server.at())
    page.locator(".chip[data-name=DECISION]").click()
    until(page, "document.querySelectorAll('article').length === 1")
    assert "type=DECISION" in page.url
    page.locator(".chip[data-name=FACT]").click()
    page.locator("#text").fill("needle")
    page.get_by_text("another NEEDLE").wait_for()
    until(page, "document.querySelectorAll('article').length === 2")
    address = page.url
    assert "text=needle" in address
    page.locator("#run").select_option("two")
    until(page, "document.querySelectorAll('article').length === 1")
    page.go_back()
    until(page, "document.querySelectorAll('article').length === 2")
    append("hay again")
    append("a third needle")
    page.get_by_text("a third needle").wait_for()
    assert bodies(page) == ["a needle", "another NEEDLE", "a third needle"]
    other = visit(address)
    other.get_by_text("a third needle").wait_for()
    assert bodies(other) == bodies(page)
    assert other.locator("#text").input_value() == "needle"
    page.locator("#clear").click()
    until(page, "document.querySelectorAll('article').length > 5")
    page.locator("#text").fill("nowhere to be found")
    page.get_by_text("No message matches this filter.").wait_for()


def test_dragging_over_the_chart_filters_by_time(server: Any, bus: MessageBus, visit: Any, until: Any) -> None:
    then = datetime.now(UTC) - timedelta(hours=100)
    for number in range(100):
        bus.append_message(
            Draft(
                "FACT",
                "demo",
                f"hour {number}",
                task_id="t1",
                run_id=f"r{number % 3}",
                ts=then + timedelta(hours=number),
            )
        )
    page = visit(server.at())
    page.wait_for_selector("#chart canvas")
    assert "FACT 100" in page.locator("#chart").get_attribute("aria-label")
    page.locator("[data-by=run_id]").click()
    until(page, "document.querySelector('#chart').getAttribute('aria-label').includes('r0 34')")
    box = page.locator("#chart .u-over").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.25, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, middle, steps=5)
    page.mouse.up()
    until(page, "location.hash.includes('from=')")
    page.get_by_text("hour 40").wait_for()
    shown = [int(text.split()[1]) for text in bodies(page)]
    assert min(shown) >= 23
    assert max(shown) <= 51
    assert page.locator("#time").input_value() == "absolute"


def test_many_conversations(server: Any, root: Any, append: Any, visit: Any, until: Any) -> None:
    append("here")
    for number in range(200):
        directory = root / f"p{number % 20}" / f"t{number}"
        directory.mkdir(parents=True)
        with MessageBus(directory / "TASK-MESSAGE-BUS.md") as other:
            other.append_message(Draft("FACT", "p", "x"))
    page = visit(server.at())
    until(page, "document.querySelectorAll('a.bus').length === 201")
    assert page.locator("a.bus.unread").count() == 0
    with MessageBus(root / "p7/t7/TASK-MESSAGE-BUS.md") as other:
        other.append_messages([Draft("QUESTION", "p", "y")] * 3)
    unread = page.locator("a.bus.unread")
    unread.wait_for()
    assert unread.locator(".name").inner_text() == "t7"
    assert unread.locator(".count").inner_text() == "3"
    until(page, "document.title.startsWith('(3)')")
    page.keyboard.press("u")
    until(page, "location.hash === '#/p7/t7'")
    until(page, "!document.querySelector('a.bus.unread')")
    page.reload()
    until(page, "document.querySelectorAll('a.bus').length === 201")
    assert page.locator("a.bus.unread").count() == 0
    page.locator("#find-bus").fill("t19")
    until(page, "document.querySelectorAll('a.bus').length === 11")
