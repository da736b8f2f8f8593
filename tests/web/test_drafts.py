"""Drafts: each stays with the message that it replies to, in every window."""

from __future__ import annotations

from typing import Any

import pytest

from messagebus import Draft, MessageBus, Parent

LIVE = "#state[data-state=live]"
GONE = ("Failed to load resource", "net::ERR")
FORM = "form.reply-form"


def listed(page: Any, text: str) -> Any:
    return page.locator(".unanswered-row").filter(has_text=text)


def answer(page: Any, text: str) -> None:
    listed(page, text).get_by_role("button", name="Answer").click()


def reply_field(page: Any, msg_id: str) -> Any:
    return page.locator(f"article[data-id='{msg_id}'] {FORM} textarea")


@pytest.fixture
def questions(append: Any) -> list[str]:
    ids: list[str] = append("One?", "Two?", "Three?", type="QUESTION")
    return ids


def test_a_text_does_not_move_to_another_question(
    server: Any, questions: list[str], visit: Any, stored: Any, eventually: Any
) -> None:
    first, _, third = questions
    page = visit(server.at())
    answer(page, "One?")
    reply_field(page, first).fill("to the first")
    answer(page, "Three?")
    assert reply_field(page, third).input_value() == ""
    reply_field(page, third).fill("to the third")
    page.locator(f"{FORM} .type").fill("FACT")
    assert listed(page, "One?").locator(".draft").inner_text() == "Draft"
    answer(page, "One?")
    assert reply_field(page, first).input_value() == "to the first"
    assert page.locator(f"{FORM} .type").input_value() == "ANSWER"
    reply_field(page, first).press("Control+Enter")
    listed(page, "One?").wait_for(state="hidden")
    answer(page, "Three?")
    assert reply_field(page, third).input_value() == "to the third"
    assert page.locator(f"{FORM} .type").input_value() == "FACT"
    page.locator(FORM).get_by_role("button", name="Post", exact=True).click()
    eventually(lambda: stored()[-1]["body"] == "to the third")
    posted = [(message["body"], message["type"], message["parents"]) for message in stored()[-2:]]
    assert posted == [("to the first", "ANSWER", [first]), ("to the third", "FACT", [third])]


def test_a_draft_survives_whatever_hides_its_form(
    server: Any, root: Any, questions: list[str], append: Any, visit: Any, until: Any
) -> None:
    """Esc, another conversation, a filter, a reload. The draft of the conversation itself stays separate."""
    (root / "demo/t2").mkdir()
    with MessageBus(root / "demo/t2/TASK-MESSAGE-BUS.md") as other:
        other.append_message(Draft("QUESTION", "demo", "One?", task_id="t2"))
    page = visit(server.at())
    answer(page, "One?")
    reply_field(page, questions[0]).fill("half an answer")
    page.locator("#composer textarea").fill("half a message")
    page.locator("#composer .type").fill("DECISION")
    answer(page, "One?")
    page.keyboard.press("Escape")
    page.locator(FORM).wait_for(state="detached")

    def assert_restored() -> None:
        listed(page, "One?").locator(".draft").wait_for()
        answer(page, "One?")
        assert reply_field(page, questions[0]).input_value() == "half an answer"
        assert page.locator("#composer textarea").input_value() == "half a message"
        assert page.locator("#composer .type").input_value() == "DECISION"

    assert_restored()
    page.locator("a.bus[data-name='demo/t2']").click()
    until(page, "document.querySelectorAll('.unanswered-link').length === 1")
    assert page.locator(".draft").count() == 0
    assert page.locator("#composer textarea").input_value() == ""
    answer(page, "One?")
    assert page.locator(f"{FORM} textarea").input_value() == ""
    page.locator("a.bus[data-name='demo/t1']").click()
    until(page, "document.querySelectorAll('.unanswered-link').length === 3")
    assert_restored()
    append("something else")
    page.locator(".chip[data-name=FACT]").click()
    until(page, "document.querySelectorAll('article').length === 1")
    assert_restored()  # which removes the filter, because it hides the question
    assert "type=" not in page.url
    page.reload()
    assert_restored()


def test_a_draft_reply_to_an_answered_message_is_listed_too(server: Any, append: Any, visit: Any, until: Any) -> None:
    [root] = append("a root")
    [reply] = append("a reply", parents=[Parent(root)])
    page = visit(server.at(query="text=root"))
    page.get_by_role("button", name="1 reply").click()
    page.locator(f".thread article[data-id='{reply}']").focus()
    page.keyboard.press("r")
    reply_field(page, reply).fill("to the reply")
    page.keyboard.press("Escape")
    draft = page.locator(".unanswered-row").filter(has_text="to the reply")
    assert "to FACT: a reply" in draft.inner_text()
    page.reload()
    draft.get_by_role("button").click()
    until(page, "document.activeElement.value === 'to the reply'")
    assert reply_field(page, reply).count() == 1


def test_the_parent_of_a_draft_is_gone(server: Any, root: Any, append: Any, visit: Any, until: Any) -> None:
    """The text becomes a message of its own, which the user sees before posting it."""
    [question] = append("One?", type="QUESTION")
    page = visit(server.at(), expected=("404",))
    answer(page, "One?")
    reply_field(page, question).fill("an answer")
    page.locator("#composer textarea").fill("a message")
    (root / "demo/t1/TASK-MESSAGE-BUS.md").unlink()
    append("another file")
    page.reload()
    page.get_by_text("another file").wait_for()
    page.locator(".unanswered-row").filter(has_text="an answer").get_by_role("button").click()
    until(page, "document.querySelector('#composer textarea').value === 'a message\\n\\nan answer'")
    page.locator("#unanswered").wait_for(state="hidden")


def test_two_windows_share_a_draft(server: Any, questions: list[str], visit: Any, stored: Any, until: Any) -> None:
    one = visit(server.at())
    other = one.context.new_page()
    other.goto(server.at())
    for page in (one, other):
        answer(page, "Two?")
    reply_field(one, questions[1]).fill("from one")
    until(other, "document.querySelector('form.reply-form textarea').value === 'from one'")
    reply_field(other, questions[1]).fill("from one and the other")
    until(one, "document.querySelector('form.reply-form textarea').value === 'from one and the other'")
    reply_field(one, questions[1]).press("Control+Enter")
    listed(other, "Two?").wait_for(state="hidden")
    until(other, "document.querySelector('form.reply-form textarea').value === ''")
    assert [message["body"] for message in stored()[3:]] == ["from one and the other"]


def test_two_windows_keep_each_others_failed_posts(
    server: Any, append: Any, visit: Any, stored: Any, until: Any
) -> None:
    append("before")
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


def test_drafts_survive_signing_in(serve: Any, append: Any, visit: Any, until: Any) -> None:
    server = serve(RUN_AGENT_API_KEY="correct-horse")
    [question] = append("One?", type="QUESTION")
    page = visit(server.at(), expected=("401",))

    def sign_in() -> None:
        page.locator("#key").fill("correct-horse")
        page.keyboard.press("Enter")
        page.wait_for_selector(LIVE)

    sign_in()
    answer(page, "One?")
    reply_field(page, question).fill("an answer")
    page.context.clear_cookies()
    page.locator("#composer textarea").fill("a message")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#sign-in[open]")
    sign_in()
    page.locator(".post.failed").filter(has_text="a message").wait_for()
    answer(page, "One?")
    assert reply_field(page, question).input_value() == "an answer"
