"""Read marks: windows share them, and none moves back what another one has marked."""

from __future__ import annotations

from typing import Any

from messagebus import Draft, MessageBus

LIVE = "#state[data-state=live]"
GONE = ("Failed to load resource", "net::ERR")
MARKS = "Object.fromEntries(Object.entries(localStorage).filter(([key]) => key.startsWith('run-agent:seen:')))"
READ = "!document.querySelector('a.bus.unread')"


def second_bus(root: Any) -> MessageBus:
    (root / "demo/t2").mkdir()
    return MessageBus(root / "demo/t2/TASK-MESSAGE-BUS.md")


def test_two_windows_keep_each_others_marks(
    server: Any, root: Any, append: Any, visit: Any, until: Any, eventually: Any
) -> None:
    """Each window reads one conversation; both have both marks, after a reload too."""
    append("one")
    with second_bus(root) as bus:
        bus.append_message(Draft("FACT", "demo", "two", task_id="t2"))
        first = visit(server.at("demo/t1"))
        first.wait_for_selector(LIVE)
        until(first, "document.querySelectorAll('a.bus').length === 2")
        other = first.context.new_page()
        other.goto(server.at("demo/t2"))
        other.wait_for_selector(LIVE)
        [last] = append("more in the first")
        first.get_by_text("more in the first").wait_for()
        newest = bus.append_message(Draft("FACT", "demo", "more in the second", task_id="t2")).msg_id
        other.get_by_text("more in the second").wait_for()
    expected = {"run-agent:seen:demo/t1": f'"{last}"', "run-agent:seen:demo/t2": f'"{newest}"'}
    for page in (first, other):
        eventually(lambda page=page: page.evaluate(MARKS) == expected)
        until(page, READ)
        page.reload()
        page.wait_for_selector(LIVE)
        until(page, "document.querySelectorAll('a.bus').length === 2")
        assert page.evaluate(READ)


def test_a_window_with_an_older_state_does_not_move_a_mark_back(
    server: Any, append: Any, visit: Any, until: Any
) -> None:
    append("one")
    late = visit(server.at(), expected=GONE)
    late.wait_for_selector(LIVE)
    late.route("**/api/v1/messages/stream*", lambda route: route.abort())
    late.evaluate("window.dispatchEvent(new Event('online'))")  # it opens its stream again, which fails
    late.wait_for_selector("#state[data-state=offline]")
    other = late.context.new_page()
    other.goto(server.at())
    other.wait_for_selector(LIVE)
    [last] = append("two")
    other.get_by_text("two", exact=True).wait_for()
    mark = "localStorage.getItem('run-agent:seen:demo/t1')"
    until(other, f"{mark} === '\"{last}\"'")
    with late.expect_response("**/api/v1/unread"):
        late.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    late.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert late.evaluate(mark) == f'"{last}"'


def test_foreign_ids_and_a_replaced_file(server: Any, root: Any, append: Any, visit: Any, until: Any) -> None:
    """Foreign ids have no order, so the server compares them. A mark that is in no file is replaced."""
    append("one")
    file = root / "demo/t1/TASK-MESSAGE-BUS.md"
    page = visit(server.at(), expected=GONE)
    page.wait_for_selector(LIVE)
    mark = "localStorage.getItem('run-agent:seen:demo/t1')"
    for msg_id in ("zebra", "aardvark"):
        with file.open("a") as log:
            log.write(f"\n---\nmsg_id: {msg_id}\nts: 2026-01-01T00:00:00Z\ntype: FACT\n---\n{msg_id} came\n")
        page.get_by_text(f"{msg_id} came").wait_for()
        until(page, f"{mark} === '\"{msg_id}\"'")
    file.unlink()
    [last] = append("another file")
    page.get_by_text("another file").wait_for()
    until(page, f"{mark} === '\"{last}\"'")
