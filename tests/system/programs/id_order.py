"""Writers whose clocks do not agree: ``python id_order.py VERB '{"option": ...}'``.

Ours, with clocks that step an hour back and forth, and one of the Go kind: its ids come from a clock of
its own, before it has the lock, and it does not look at the content of the file. What was acknowledged
goes to the file ``log``.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import worker
from patched import Patched

from messagebus import MessageBus
from messagebus.backends.file import append

HOUR = 3600 * 10**9  # nanoseconds
PACE = 0.0005  # seconds between two posts of the Go kind, so that ours come in between
RECORD = """\
---
msg_id: {msg_id}
ts: {moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z
type: FACT
project_id: demo
task_id: ""
run_id: ""
parents:
    - msg_id: {parent}
      kind: follows
---
{body}
"""


def swing_the_clock(seed: str) -> None:
    """A clock that now and then steps to an hour behind, to an hour ahead, or to the right time."""
    chance, real, ahead = Random(seed), time.time_ns, 0

    def time_ns() -> int:
        nonlocal ahead
        if chance.random() < 0.1:
            ahead = chance.choice((-HOUR, 0, HOUR))
        return real() + ahead

    def now(tz: Any) -> datetime:
        return datetime.fromtimestamp(0, tz) + timedelta(microseconds=time_ns() // 1000)

    time.time_ns = time_ns
    append.datetime = Patched(datetime, now=now)  # type: ignore[misc, assignment]


def ours(path: str, name: str, rounds: int, count: int, log: str, rotate: int = 0, swing: bool = False) -> None:
    """Post so many messages a round, and wait for a word before each."""
    if swing:
        swing_the_clock(name)
    posted = []
    with MessageBus(path, lock_timeout=worker.PATIENT, auto_rotate_bytes=rotate) as bus:
        for turn in range(rounds):
            worker.ready()
            posted += [worker.post(bus, "short", f"{name} {turn} {number}") for number in range(count)]
    worker.dump(log, posted)
    worker.say(done=True)


def go(path: str, log: str, hours_ahead: int) -> None:
    """Post all the time between two words."""
    halt, posted = threading.Event(), []
    last = "MSG-20260101-000000-000000000-PID00001-0001"
    worker.ready()
    threading.Thread(target=lambda: (worker.hear(), halt.set()), daemon=True).start()
    while not halt.wait(PACE):
        seconds, nanoseconds = divmod(time.time_ns() + hours_ahead * HOUR, 10**9)
        moment = datetime.fromtimestamp(seconds, UTC)
        msg_id = f"MSG-{moment:%Y%m%d-%H%M%S}-{nanoseconds:09d}-PID{os.getpid():05d}-{len(posted) % 10_000:04d}"
        body = f"Go {len(posted)}"
        record = RECORD.format(msg_id=msg_id, moment=moment, nanoseconds=nanoseconds, parent=last, body=body)
        append_as_go(path, record.encode())
        posted.append((msg_id, body))
        last = msg_id
    worker.dump(log, posted)


def append_as_go(path: str, record: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        blank_line = b"\n" if os.fstat(fd).st_size else b""
        os.write(fd, blank_line + record)
    finally:
        os.close(fd)


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
