"""Take docs/images/*.png: the page in each of its states, in a real browser. `make screenshots` runs it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from messagebus import Draft, MessageBus, Parent

IMAGES = Path(__file__).parents[1] / "docs/images"
KEY = "a-key-for-pictures"
NOW = datetime.now(UTC).replace(microsecond=0)
LAPTOP, PHONE = (1280, 800), (390, 844)
REPORT = """Three tests fail on the branch, all in the importer:

| test | since | reason |
|---|---|---|
| `test_empty_feed` | yesterday | the feed has no header any more |
| `test_large_feed` | today | 30 s are not enough |
| `test_encoding` | today | `latin-1` in row 412 |

```python
def rows(feed: Feed) -> Iterator[Row]:
    for number, line in enumerate(feed, 1):
        if not line.strip():
            continue  # was: raise
        yield Row.parse(line, number)
```

I would **skip blank lines** and raise the limit to 120 s."""


def fill(root: Path) -> None:
    """Post a working day of a few agents."""
    with _bus(root, "shop", "checkout-rewrite") as bus:
        _morning(bus)
    for project, task, type_, minutes, body in (
        ("shop", "image-cache", "PROGRESS", 4, "Warmed 1,204 of 3,000 images"),
        ("shop", "flaky-tests", "ISSUE", 26, "test_upload fails one time in forty"),
        ("shop", None, "DECISION", 190, "Releases are cut on Tuesdays"),
        ("website", "search", "FACT", 55, "The index takes 41 MB"),
        ("website", None, "FACT", 1500, "Traffic doubled since May"),
        ("infra", "backups", "RUN_CRASH", 310, "exit 137"),
        ("infra", "dns-move", "ANSWER", 2900, "The old zone stays until Friday"),
    ):
        with _bus(root, project, task) as bus:
            bus.append_message(Draft(type_, project, body, task_id=task or "", ts=NOW - timedelta(minutes=minutes)))


def _morning(bus: MessageBus) -> None:
    def post(minutes: float, type_: str, run: str, body: str, *parents: Parent) -> str:
        ts = NOW - timedelta(minutes=minutes)
        draft = Draft(type_, "shop", body, task_id="checkout-rewrite", run_id=run, parents=list(parents), ts=ts)
        return bus.append_message(draft).msg_id

    for step in range(120):
        type_ = ("PROGRESS", "FACT", "PROGRESS", "INFO", "DECISION")[step % 5 if step % 3 else 0]
        post(300 - step * 2.2, type_, f"worker-{step % 3}", f"Step {step + 1}: moved `cart/{step}.py` to the new API")
    post(34, "RUN_START", "planner", "")
    post(33, "DECISION", "planner", "Payments move first, the basket last: each can be rolled back alone.")
    post(32, "RUN_START", "builder", "")
    question = post(29, "QUESTION", "builder", "May I drop the `legacy_total` column? Nothing has read it for 90 days.")
    post(27, "ANSWER", "planner", "Yes, behind a flag.", Parent(question, "answers"))
    post(26, "FACT", "builder", "The flag is `drop_legacy_total`, off by default.", Parent(question))
    post(21, "PROGRESS", "builder", REPORT)
    post(16, "RUN_START", "tester", "")
    post(12, "ISSUE", "tester", "Checkout takes **4.1 s** at the 99th percentile, the goal is 1.5 s.")
    post(9, "RUN_CRASH", "tester", "exit 137: out of memory")
    post(6, "FACT", "builder", "412 tests pass, 3 fail, 2 skipped.")
    post(4, "USER", "", "Leave the importer alone until Monday, please.")
    post(3, "ANSWER", "builder", "Will do.")
    post(1, "QUESTION", "builder", "The staging database holds 2 TB. Clone it, or test on a sample of 50 GB?")
    post(0.2, "RUN_STOP", "builder", "")


def _bus(root: Path, project: str, task: str | None) -> MessageBus:
    directory = root / project / (task or "")
    directory.mkdir(parents=True, exist_ok=True)
    return MessageBus(directory / ("TASK-MESSAGE-BUS.md" if task else "PROJECT-MESSAGE-BUS.md"))


@contextmanager
def serving(root: Path, port: int = 0, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run ``run-agent serve``; yields its URL and the process."""
    command = [sys.executable, "-m", "run_agent", "serve", "--root", str(root), "--port", str(port)]
    clean = {name: value for name, value in os.environ.items() if name != "RUN_AGENT_API_KEY"}
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=clean | environment
    )
    assert server.stdout
    try:
        yield server.stdout.readline().split(" at ")[1].split()[0], server
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def take_all(browser: Browser, root: Path) -> None:
    task = "#/shop/checkout-rewrite"
    with serving(root) as (url, _):
        for name, size, scheme in (("page", LAPTOP, "light"), ("dark", LAPTOP, "dark"), ("phone", PHONE, "light")):
            page = _open(browser, url + "/" + task, size, scheme)
            if name == "page":
                page.click("#runs-button")
            _take(page, name)
        page = _open(browser, f"{url}/{task}?type=DECISION%2CFACT&text=API", LAPTOP)
        _take(page, "filter")
        page = _open(browser, f"{url}/{task}", LAPTOP)
        page.locator("button.replies").last.click()
        page.get_by_role("button", name="Answer", exact=True).first.click()
        page.locator(".reply-form textarea").fill("A **sample**, please:\n\n- 50 GB\n- from *last week*")
        page.locator(".reply-form").get_by_role("button", name="Preview").click()
        _take(page, "reply")
        page = _open(browser, f"{url}/{task}", LAPTOP)
        page.keyboard.press("?")
        _take(page, "keyboard")
        page = _open(browser, f"{url}/#/shop/new-task", LAPTOP, wait="#notice code")
        _take(page, "empty")
    port = free_port()
    with serving(root, port) as (url, server):
        page = _open(browser, f"{url}/{task}", LAPTOP)
        server.kill()
        page.wait_for_selector("#state[data-state=offline]")
        page.fill("#composer textarea", "Is anyone there?")
        page.get_by_role("button", name="Post", exact=True).click()
        page.wait_for_selector(".post.failed")
        _take(page, "offline")
    with serving(root, RUN_AGENT_API_KEY=KEY) as (url, _):
        page = _open(browser, url, LAPTOP, wait="#sign-in[open]")
        _take(page, "key")


def _open(
    browser: Browser, url: str, size: tuple[int, int], scheme: str = "light", wait: str = "#chart canvas"
) -> Page:
    viewport = {"width": size[0], "height": size[1]}
    context = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce", locale="en-GB")  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector(wait, state="attached")
    page.wait_for_load_state("domcontentloaded")
    return page


def _take(page: Page, name: str) -> None:
    path = IMAGES / f"{name}.png"
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.screenshot(path=path)
    page.context.close()
    print(f"{path.relative_to(Path.cwd())}: {path.stat().st_size:,} bytes")


def main() -> int:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        print("chromium not found", file=sys.stderr)
        return 1
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        fill(Path(directory))
        take_all(browser, Path(directory))
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
