"""Restarts, rotation, lost networks and long logs: no message is lost or shown twice."""

from __future__ import annotations

import re
from typing import Any

from messagebus import Draft, MessageBus

LIVE = "#state[data-state=live]"
OFFLINE = "#state[data-state=offline]"
GONE = ("Failed to load resource", "net::ERR")
# Scrolls through the log; returns all bodies, and how many were shown in two rows.
SCROLL_THROUGH = """async () => {
  const log = document.querySelector('#log');
  const seen = new Map();
  let twice = 0;
  const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  for (log.scrollTop = 0; ; log.scrollTop += 400) {
    await frame();
    for (const row of document.querySelectorAll('#log .row')) {
      const body = row.querySelector('.body').innerText;
      if (seen.has(body) && seen.get(body) !== row.dataset.key) twice += 1;
      seen.set(body, row.dataset.key);
    }
    if (log.scrollTop + log.clientHeight >= log.scrollHeight - 1) break;
  }
  return { bodies: [...seen.keys()], twice };
}"""


def test_restart_and_rotation_under_load(server: Any, root: Any, visit: Any, eventually: Any) -> None:
    """A writer keeps appending while the server restarts and the file is rotated every few messages."""
    (root / "demo/t1").mkdir(parents=True)
    with MessageBus(root / "demo/t1/TASK-MESSAGE-BUS.md", auto_rotate_bytes=4_000) as bus:

        def write(start: int, count: int) -> None:
            for number in range(start, start + count):
                bus.append_message(Draft("FACT", "demo", f"number {number}", task_id="t1"))

        write(0, 30)
        page = visit(server.at(), expected=GONE)
        page.get_by_text("number 29", exact=True).wait_for()
        for round_ in range(3):
            write(30 + round_ * 200, 100)
            server.kill()
            page.wait_for_selector(OFFLINE)
            write(130 + round_ * 200, 100)
            server.start()
        page.wait_for_selector(LIVE)
        page.get_by_text("number 629", exact=True).wait_for()
    assert len(list((root / "demo/t1").glob("*.archived"))) > 5

    def at_the_beginning() -> bool:
        page.evaluate("document.querySelector('#log').scrollTop = 0")
        return bool(page.get_by_text("number 0", exact=True).count())

    eventually(at_the_beginning)
    result = page.evaluate(SCROLL_THROUGH)
    assert result["twice"] == 0
    assert sorted(int(body.split()[1]) for body in result["bodies"]) == list(range(630))


def test_a_file_that_was_cut(server: Any, append: Any, root: Any, visit: Any) -> None:
    """The server no longer has the page's last id: the page starts again at the newest message."""
    append("one", "two", "three")
    page = visit(server.at(), expected=GONE)
    page.get_by_text("three").wait_for()
    server.kill()
    page.wait_for_selector(OFFLINE)
    (root / "demo/t1/TASK-MESSAGE-BUS.md").unlink()
    append("four")
    server.start()
    page.get_by_text("four").wait_for()
    assert page.locator("article").count() == 1


def test_a_lost_network(server: Any, append: Any, visit: Any, until: Any) -> None:
    append("one")
    page = visit(server.at(), expected=GONE)
    page.wait_for_selector(LIVE)
    page.context.set_offline(True)
    server.kill()
    page.wait_for_selector(OFFLINE)
    append("two")
    server.start()
    page.context.set_offline(False)
    page.get_by_text("two").wait_for()
    page.wait_for_selector(LIVE)


def test_the_page_loads_before_the_server_responds(serve: Any, append: Any, visit: Any) -> None:
    """The files of the page load, but no request succeeds until later."""
    server = serve()
    append("one")
    page = visit(server.at(), expected=GONE)
    page.route("**/api/**", lambda route: route.abort())
    page.reload()
    page.get_by_text("The server does not respond. Retrying").wait_for()
    page.unroute("**/api/**")
    page.get_by_text("one", exact=True).wait_for()
    page.wait_for_selector(LIVE)


def test_the_first_message(server: Any, visit: Any, until: Any) -> None:
    page = visit(server.url + "/")
    page.get_by_text("Post the first one").wait_for()
    command = page.locator("#notice code").inner_text()
    assert command == 'run-agent bus post --project demo --task first --body "Hello"'
    with MessageBus(_made(server.root / "demo/first") / "TASK-MESSAGE-BUS.md") as bus:
        bus.append_message(Draft("USER", "demo", "Hello", task_id="first"))
    page.locator("article").wait_for()
    assert page.url.endswith("#/demo/first")
    page.goto(server.at("demo/not-there"))
    page.get_by_text("No messages in demo/not-there yet").wait_for()
    assert "--task not-there" in page.locator("#notice code").inner_text()


def test_the_key_is_asked_for_once(serve: Any, append: Any, visit: Any, until: Any) -> None:
    server = serve(RUN_AGENT_API_KEY="correct-horse")
    append("secret")
    page = visit(server.at(), expected=("401",))
    page.locator("#key").fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_text("Wrong API key.").wait_for()
    page.locator("#key").fill("correct-horse")
    page.keyboard.press("Enter")
    page.get_by_text("secret").wait_for()
    page.wait_for_selector(LIVE)
    [cookie] = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert "correct-horse" not in str(cookie) + page.evaluate("JSON.stringify(localStorage) + document.cookie")
    append("and live")
    page.get_by_text("and live").wait_for()
    page.locator("#composer textarea").fill("From a session")
    page.keyboard.press("Control+Enter")
    page.locator("article").filter(has_text="From a session").wait_for()
    page.reload()
    page.wait_for_selector(LIVE)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_selector("#sign-in[open]")
    assert page.context.cookies() == []


def test_a_hundred_thousand_messages(server: Any, bus: MessageBus, append: Any, visit: Any, until: Any) -> None:
    for start in range(0, 100_000, 5_000):
        fields = [{"run_id": f"run-{start}", "meta": {"from": f"coder-{at % 3}"}} for at in range(5_000)]
        bus.append_messages(
            [Draft("FACT", "demo", f"number {start + at}", task_id="t1", **fields[at]) for at in range(5_000)]
        )
    page = visit(server.at())
    page.get_by_text("number 99999", exact=True).wait_for()
    page.get_by_text(re.compile("100,000 messages")).wait_for()
    append(*[f"live {number}" for number in range(1_000)])
    page.get_by_text("live 999", exact=True).wait_for()
    assert page.locator("article").count() < 100
    for _ in range(10):
        page.evaluate("document.querySelector('#log').scrollTop = 0")
        until(page, "document.querySelector('#log').scrollTop > 0")
    assert page.locator("article").count() < 100


def _made(directory: Any) -> Any:
    directory.mkdir(parents=True)
    return directory
