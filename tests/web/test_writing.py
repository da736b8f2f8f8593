"""Posting from the page: each message is stored exactly once, whatever fails on the way."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

from messagebus import MessageBus

LIVE = "#state[data-state=live]"
GONE = ("Failed to load resource", "net::ERR")


def post(page: Any, body: str, form: str = "#composer") -> None:
    page.locator(f"{form} textarea").fill(body)
    page.locator(form).get_by_role("button", name="Post", exact=True).click()


def test_a_post_is_stored_and_followed(server: Any, bus: MessageBus, visit: Any, stored: Any, root: Any) -> None:
    page = visit(server.at())
    page.wait_for_selector(LIVE)
    follower = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "run_agent",
            "bus",
            "read",
            "--bus",
            str(root / "demo/t1/TASK-MESSAGE-BUS.md"),
            "--follow",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        page.locator("#composer textarea").fill("It **works**")
        page.locator("#composer").get_by_role("button", name="Preview").click()
        assert page.locator("#composer .preview strong").inner_text() == "works"
        page.locator("#composer .type").fill("decision")
        page.keyboard.press("Control+Enter")
        page.locator("article .body strong").wait_for()
        watchdog = threading.Timer(20, follower.kill)
        watchdog.start()
        assert follower.stdout
        assert "It **works**" in follower.stdout.readline()
        watchdog.cancel()
    finally:
        follower.kill()
        follower.wait()
        assert follower.stdout
        follower.stdout.close()
    [message] = stored()
    assert (message["type"].upper(), message["body"]) == ("DECISION", "It **works**")
    assert page.locator("#composer textarea").input_value() == ""


def test_a_reply_answers_the_question(server: Any, append: Any, visit: Any, stored: Any, until: Any) -> None:
    [question] = append("Which one?", type="QUESTION")
    append("something else")
    page = visit(server.at())
    page.locator(".unanswered-link").wait_for()
    page.keyboard.press("a")
    form = f"article[data-id='{question}'] form"
    until(page, "document.activeElement.closest('form.reply-form') !== null")
    assert page.locator(f"{form} .type").input_value() == "ANSWER"
    append("meanwhile")
    page.get_by_text("meanwhile").wait_for()
    post(page, "The second", form)
    page.locator("#unanswered").wait_for(state="hidden")
    page.get_by_role("button", name="1 reply").wait_for()
    answer = stored()[-1]
    assert answer["relations"] == [{"msg_id": question, "kind": "answers"}]
    assert page.locator("form.reply-form").count() == 0


def test_a_failed_post_stays_and_is_stored_once(server: Any, append: Any, visit: Any, stored: Any, until: Any) -> None:
    append("before")
    page = visit(server.at(), expected=GONE)
    page.wait_for_selector(LIVE)
    server.kill()
    page.wait_for_selector("#state[data-state=offline]")
    post(page, "Is anybody there?")
    failed = page.locator(".post.failed")
    failed.wait_for()
    assert "the server does not respond" in failed.inner_text()
    page.get_by_text("before").wait_for()

    server.start()
    page.wait_for_selector(LIVE)
    # The response to the first retry is lost, so the page has to send it again, with the same key.
    page.route("**/api/v1/messages", lambda route: (route.fetch(), route.abort())[1], times=1)
    failed.get_by_role("button", name="Retry").click()
    page.get_by_text("Is anybody there?").nth(1).wait_for()
    page.reload()
    failed.get_by_role("button", name="Retry").click()
    failed.wait_for(state="hidden")
    assert [message["body"] for message in stored()] == ["before", "Is anybody there?"]
    assert page.locator("article").count() == 2


def test_a_draft_survives_a_reload(server: Any, append: Any, visit: Any) -> None:
    append("x")
    page = visit(server.at())
    page.locator("#composer textarea").fill("half a thou")
    page.reload()
    page.wait_for_selector(LIVE)
    assert page.locator("#composer textarea").input_value() == "half a thou"
