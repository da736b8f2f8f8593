"""Texts that are not posted yet: each stays with the message it was written under, in whatever window."""

from __future__ import annotations

from typing import Any

import pytest

from messagebus import Draft, MessageBus, Parent

LIVE = "#state[data-state=live]"
GONE = ("Failed to load resource", "net::ERR")
FORM = "form.reply-form"


def pin(page: Any, words: str) -> Any:
    return page.locator(".unanswered-row").filter(has_text=words)


def answer(page: Any, words: str) -> None:
    pin(page, words).get_by_role("button", name="Answer").click()


def written(page: Any, msg_id: str) -> Any:
    return page.locator(f"article[data-id='{msg_id}'] {FORM} textarea")


@pytest.fixture
def questions(tell: Any) -> list[str]:
    ids: list[str] = tell("One?", "Two?", "Three?", type="QUESTION")
    return ids


def test_a_text_does_not_move_to_another_question(
    server: Any, questions: list[str], visit: Any, stored: Any, eventually: Any
) -> None:
    first, _, third = questions
    page = visit(server.at())
    answer(page, "One?")
    written(page, first).fill("to the first")
    answer(page, "Three?")
    assert written(page, third).input_value() == ""
    written(page, third).fill("to the third")
    page.locator(f"{FORM} .type").fill("FACT")
    assert pin(page, "One?").locator(".draft").inner_text() == "Draft"
    answer(page, "One?")
    assert written(page, first).input_value() == "to the first"
    assert page.locator(f"{FORM} .type").input_value() == "ANSWER"
    written(page, first).press("Control+Enter")
    pin(page, "One?").wait_for(state="hidden")
    answer(page, "Three?")
    assert written(page, third).input_value() == "to the third"
    assert page.locator(f"{FORM} .type").input_value() == "FACT"
    page.locator(FORM).get_by_role("button", name="Post", exact=True).click()
    eventually(lambda: stored()[-1]["body"] == "to the third")
    posted = [(message["body"], message["type"], message["parents"]) for message in stored()[-2:]]
    assert posted == [("to the first", "ANSWER", [first]), ("to the third", "FACT", [third])]


def test_it_outlives_whatever_hides_it(
    server: Any, root: Any, questions: list[str], tell: Any, visit: Any, until: Any
) -> None:
    """Esc, another conversation, a filter, a reload; the text of the conversation itself stays apart."""
    (root / "demo/t2").mkdir()
    with MessageBus(root / "demo/t2/TASK-MESSAGE-BUS.md") as other:
        other.append_message(Draft("QUESTION", "demo", "One?", task_id="t2"))
    page = visit(server.at())
    answer(page, "One?")
    written(page, questions[0]).fill("half an answer")
    page.locator("#composer textarea").fill("half a message")
    page.locator("#composer .type").fill("DECISION")
    answer(page, "One?")
    page.keyboard.press("Escape")
    page.locator(FORM).wait_for(state="detached")

    def is_there() -> None:
        pin(page, "One?").locator(".draft").wait_for()
        answer(page, "One?")
        assert written(page, questions[0]).input_value() == "half an answer"
        assert page.locator("#composer textarea").input_value() == "half a message"
        assert page.locator("#composer .type").input_value() == "DECISION"

    is_there()
    page.locator("a.bus[data-name='demo/t2']").click()
    until(page, "document.querySelectorAll('.unanswered-link').length === 1")
    assert page.locator(".draft").count() == 0
    assert page.locator("#composer textarea").input_value() == ""
    answer(page, "One?")
    assert page.locator(f"{FORM} textarea").input_value() == ""
    page.locator("a.bus[data-name='demo/t1']").click()
    until(page, "document.querySelectorAll('.unanswered-link').length === 3")
    is_there()
    tell("something else")
    page.locator(".chip[data-name=FACT]").click()
    until(page, "document.querySelectorAll('article').length === 1")
    is_there()  # which takes the filter away, since it hides the question
    assert "type=" not in page.url
    page.reload()
    is_there()


def test_a_reply_to_what_does_not_wait_is_listed_too(server: Any, tell: Any, visit: Any, until: Any) -> None:
    [root] = tell("a root")
    [reply] = tell("a reply", parents=[Parent(root)])
    page = visit(server.at(query="text=root"))
    page.get_by_role("button", name="1 reply").click()
    page.locator(f".thread article[data-id='{reply}']").focus()
    page.keyboard.press("r")
    written(page, reply).fill("to the reply")
    page.keyboard.press("Escape")
    listed = page.locator(".unanswered-row").filter(has_text="to the reply")
    assert "to FACT: a reply" in listed.inner_text()
    page.reload()
    listed.get_by_role("button").click()
    until(page, "document.activeElement.value === 'to the reply'")
    assert written(page, reply).count() == 1


def test_what_it_replies_to_is_gone(server: Any, root: Any, tell: Any, visit: Any, until: Any) -> None:
    """The text is not lost: it becomes a message of its own, which one sees before it is posted."""
    [question] = tell("One?", type="QUESTION")
    page = visit(server.at(), expected=("404",))
    answer(page, "One?")
    written(page, question).fill("an answer")
    page.locator("#composer textarea").fill("a message")
    (root / "demo/t1/TASK-MESSAGE-BUS.md").unlink()
    tell("another file")
    page.reload()
    page.get_by_text("another file").wait_for()
    page.locator(".unanswered-row").filter(has_text="an answer").get_by_role("button").click()
    until(page, "document.querySelector('#composer textarea').value === 'a message\\n\\nan answer'")
    page.locator("#unanswered").wait_for(state="hidden")


def test_two_windows_have_the_same_draft(
    server: Any, questions: list[str], visit: Any, stored: Any, until: Any
) -> None:
    one = visit(server.at())
    other = one.context.new_page()
    other.goto(server.at())
    for page in (one, other):
        answer(page, "Two?")
    written(one, questions[1]).fill("from one")
    until(other, "document.querySelector('form.reply-form textarea').value === 'from one'")
    written(other, questions[1]).fill("from one and the other")
    until(one, "document.querySelector('form.reply-form textarea').value === 'from one and the other'")
    written(one, questions[1]).press("Control+Enter")
    pin(other, "Two?").wait_for(state="hidden")
    until(other, "document.querySelector('form.reply-form textarea').value === ''")
    assert [message["body"] for message in stored()[3:]] == ["from one and the other"]


def test_two_windows_keep_each_others_failed_posts(server: Any, tell: Any, visit: Any, stored: Any, until: Any) -> None:
    tell("before")
    one = visit(server.at(), expected=GONE)
    other = one.context.new_page()
    other.goto(server.at())
    for page in (one, other):
        page.wait_for_selector(LIVE)
        page.route("**/api/v1/messages", lambda route: route.abort())
        page.locator("#composer textarea").fill("from one" if page is one else "from the other")
        page.keyboard.press("Control+Enter")
        page.locator(".post.failed").nth(0 if page is one else 1).wait_for()
    one.reload()
    until(one, "document.querySelectorAll('.post.failed').length === 2")
    other.unroute("**/api/v1/messages")
    for text in ("from the other", "from one"):
        other.locator(".post.failed").filter(has_text=text).get_by_role("button", name="Retry").click()
        other.locator("article").filter(has_text=text).wait_for()
    until(one, "!document.querySelector('.post')")
    assert [message["body"] for message in stored()] == ["before", "from the other", "from one"]


def test_a_draft_outlives_signing_in(serve: Any, tell: Any, visit: Any, until: Any) -> None:
    server = serve(RUN_AGENT_API_KEY="correct-horse")
    [question] = tell("One?", type="QUESTION")
    page = visit(server.at(), expected=("401",))

    def sign_in() -> None:
        page.locator("#key").fill("correct-horse")
        page.keyboard.press("Enter")
        page.wait_for_selector(LIVE)

    sign_in()
    answer(page, "One?")
    written(page, question).fill("an answer")
    page.context.clear_cookies()
    page.locator("#composer textarea").fill("a message")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#sign-in[open]")
    sign_in()
    page.locator(".post.failed").filter(has_text="a message").wait_for()
    answer(page, "One?")
    assert written(page, question).input_value() == "an answer"
