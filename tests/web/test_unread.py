"""What was read: windows share it, and none undoes what another one knows."""

from __future__ import annotations

from typing import Any

from messagebus import Draft, MessageBus

LIVE = "#state[data-state=live]"
GONE = ("Failed to load resource", "net::ERR")
MARKS = "Object.fromEntries(Object.entries(localStorage).filter(([key]) => key.startsWith('run-agent:seen:')))"
READ = "!document.querySelector('a.bus.unread')"


def second(root: Any) -> MessageBus:
    (root / "demo/t2").mkdir()
    return MessageBus(root / "demo/t2/TASK-MESSAGE-BUS.md")


def test_two_windows_keep_each_others_marks(
    server: Any, root: Any, tell: Any, visit: Any, until: Any, eventually: Any
) -> None:
    """Each reads one conversation; what one has read is read in the other, and after a reload."""
    tell("one")
    with second(root) as bus:
        bus.append_message(Draft("FACT", "demo", "two", task_id="t2"))
        first = visit(server.at("demo/t1"))
        first.wait_for_selector(LIVE)
        until(first, "document.querySelectorAll('a.bus').length === 2")
        other = first.context.new_page()
        other.goto(server.at("demo/t2"))
        other.wait_for_selector(LIVE)
        [last] = tell("more in the first")
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


def test_a_window_that_lags_behind_moves_no_mark_back(server: Any, tell: Any, visit: Any, until: Any) -> None:
    tell("one")
    late = visit(server.at(), expected=GONE)
    late.wait_for_selector(LIVE)
    late.route("**/api/v1/messages/stream*", lambda route: route.abort())
    late.evaluate("window.dispatchEvent(new Event('online'))")  # its stream is opened anew, and fails
    late.wait_for_selector("#state[data-state=offline]")
    other = late.context.new_page()
    other.goto(server.at())
    other.wait_for_selector(LIVE)
    [last] = tell("two")
    other.get_by_text("two", exact=True).wait_for()
    mark = "localStorage.getItem('run-agent:seen:demo/t1')"
    until(other, f"{mark} === '\"{last}\"'")
    with late.expect_response("**/api/v1/unread"):
        late.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    late.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert late.evaluate(mark) == f'"{last}"'


def test_ids_without_an_order_and_a_file_that_was_replaced(
    server: Any, root: Any, tell: Any, visit: Any, until: Any
) -> None:
    """Ids by hand say nothing about their place: the server does. A mark that is in no file any more goes."""
    tell("one")
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
    [last] = tell("another file")
    page.get_by_text("another file").wait_for()
    until(page, f"{mark} === '\"{last}\"'")
