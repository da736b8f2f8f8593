"""The page in a real browser: how soon it shows messages, its memory, and its frame times while messages arrive."""

from __future__ import annotations

import importlib.util
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.baselines import draft
from benchmarks.cli import command
from benchmarks.context import Bench, BenchmarkError
from benchmarks.measure import percentile
from benchmarks.server import running
from benchmarks.table import Row
from messagebus import MessageBus

_RATE = 100  # messages a second
_FIRST = 1.0  # seconds until the newest messages are shown
_FRAME = 0.034  # seconds, of 99 frames in 100: two ticks of a screen
_HEAP = 64  # MiB
_FRAMES = """seconds => new Promise((done) => {
  const frames = [];
  const end = performance.now() + 1000 * seconds;
  let last = performance.now();
  requestAnimationFrame(function next() {
    const now = performance.now();
    frames.push((now - last) / 1000);
    last = now;
    if (now < end) requestAnimationFrame(next);
    else done(frames.slice(1));
  });
})"""


def page(bench: Bench) -> list[Row]:
    """A log of 100,000 messages, and 100 more every second, at the live end and while scrolling back."""
    size, seconds = bench.pick(100_000, 2_000), bench.pick(10, 1)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    what = f"page, {size:,} messages, {_RATE} more a second"
    if not chromium or importlib.util.find_spec("playwright") is None:
        return [Row(what, "", "-", "skipped: chromium or playwright is not installed", None)]
    with bench.directory() as root:
        (root / "demo/t1").mkdir(parents=True)
        path = bench.copy(size, root / "demo/t1/TASK-MESSAGE-BUS.md")
        with running(command("serve", "--root", root, "--port", "0")) as server, _browser(chromium) as browser:
            url = f"{server.url}/#/demo/t1"
            shown = [_first_seen(browser, url) for _ in range(bench.pick(7, 2))]
            view, tools = _view(browser, url)
            view.wait_for_selector("#chart canvas")
            with MessageBus(path) as bus:
                at_end = _frames_under_load(view, bus, seconds, wheel=0)
                back = _frames_under_load(view, bus, seconds, wheel=-700)
            heap = _heap(tools)
            _check_that_all_arrived(view, bus)
            count = view.evaluate("document.querySelectorAll('*').length")
    return [
        Row(f"{what}: newest seen", f"{_FIRST:g} s", "-", _spread(shown, "s"), percentile(shown, 50) <= _FIRST),
        _frame_row(f"{what}: 99 frames of 100 at the live end", at_end),
        _frame_row(f"{what}: 99 frames of 100 while scrolling back", back),
        Row(f"{what}: JavaScript heap", f"{_HEAP} MiB", "-", f"{heap:.0f} MiB, {count:,} elements", heap <= _HEAP),
    ]


def _frame_row(what: str, frames: list[float]) -> Row:
    late = percentile(frames, 99)
    measured = f"{1000 * late:.0f} ms (half: {1000 * percentile(frames, 50):.0f}, longest: {1000 * max(frames):.0f})"
    return Row(what, f"{1000 * _FRAME:.0f} ms", "-", measured, late <= _FRAME)


def _spread(values: list[float], unit: str) -> str:
    return f"{percentile(values, 50):.2f} {unit} ({min(values):.2f}..{max(values):.2f})"


@contextmanager
def _browser(chromium: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


def _view(browser: Any, url: str) -> tuple[Any, Any]:
    view = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    tools = view.context.new_cdp_session(view)
    view.goto(url)
    view.wait_for_selector("#log article")
    return view, tools


def _first_seen(browser: Any, url: str) -> float:
    """Seconds from the request until messages are shown, with an empty cache, by the browser's clock."""
    view, _ = _view(browser, url)
    milliseconds: float = view.evaluate("performance.now()")
    view.context.close()
    return milliseconds / 1000


def _frames_under_load(view: Any, bus: MessageBus, seconds: float, *, wheel: int) -> list[float]:
    """The times between frames while messages arrive and a wheel turns."""
    frames: list[float] = []
    view.mouse.move(700, 500)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        bus.append_messages([draft() for _ in range(_RATE // 4)])
        if wheel:
            view.mouse.wheel(0, wheel)
        frames += view.evaluate(_FRAMES, 0.25)
    return frames


def _check_that_all_arrived(view: Any, bus: MessageBus) -> None:
    last = bus.last_id()
    view.keyboard.press("G")
    try:
        view.wait_for_selector(f"article[data-id='{last}']", timeout=10_000)
    except Exception as error:
        raise BenchmarkError("the page does not show the last message") from error


def _heap(tools: Any) -> float:
    """MiB in use after a garbage collection."""
    tools.send("HeapProfiler.collectGarbage")
    used: float = tools.send("Runtime.getHeapUsage")["usedSize"]
    return used / 2**20
