"""The processes of the system tests: ``python worker.py VERB '{"option": ...}'``.

A worker says events on stdout (one JSON object a line) and hears words on stdin; what it did
goes to the file ``log``. ``conftest.Worker`` is the other end of the pipes.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from patched import Patched

from messagebus import Draft, LockTimeoutError, Message, MessageBus
from messagebus.backends.file import append, live_file, watch

PATIENT = 120.0  # seconds a writer may wait for the lock where waiting is not what is tested
SIZES = {"short": 60, "long": 60 * 1024}  # characters of a body
LINES = ("---", "\\---", "", "msg_id: MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA", "content_length: 3", "a line of text", "  ")


def say(**event: object) -> None:
    os.write(1, json.dumps(event).encode() + b"\n")


def hear() -> str:
    return sys.stdin.readline().strip()


def ready() -> None:
    say(ready=True)
    hear()


# --- bodies that vouch for themselves --------------------------------------------------------


def make_body(size: str, name: str) -> str:
    """Text with hostile lines, whose first line is the digest of the others."""
    lines, wanted = [name], SIZES[size]
    chosen = Random(name).choices(LINES, k=6)
    repeats = wanted // (sum(map(len, chosen)) + len(chosen) + 1) + 1
    text = "\n".join([*lines, *(chosen * repeats), "end"])
    return f"{digest(text)}\n{text}"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def genuine(body: str) -> bool:
    first, _, rest = body.partition("\n")
    return first == digest(rest)


# --- the clock -------------------------------------------------------------------------------


def step_the_clock_back(seed: str) -> None:
    """A clock that now and then jumps back, by up to a minute; each seed has its own."""
    chance, real, behind = Random(seed), time.time_ns, 0

    def time_ns() -> int:
        nonlocal behind
        if chance.random() < 0.1:
            behind = chance.choice((0, 1, 5, 1_000, 60_000)) * 1_000_000
        return real() - behind

    def now(tz: Any) -> datetime:
        return datetime.fromtimestamp(0, tz) + timedelta(microseconds=time_ns() // 1000)

    time.time_ns = time_ns
    append.datetime = Patched(datetime, now=now)  # type: ignore[misc, assignment]


# --- writers ---------------------------------------------------------------------------------


def writer(
    path: str, name: str, count: int, log: str, *, size: str = "short", rotate: int = 0, back: bool = False
) -> None:
    """Post ``count`` messages, and log what was acknowledged."""
    if back:
        step_the_clock_back(name)
    ready()
    with MessageBus(path, lock_timeout=PATIENT, auto_rotate_bytes=rotate) as bus:
        dump(log, [post(bus, size, f"{name} {number}") for number in range(count)])


def post(bus: MessageBus, size: str, name: str) -> tuple[str, str]:
    body = make_body(size, name)
    return bus.append_message(Draft("FACT", "demo", body)).msg_id, body


def dump(log: str, pairs: Iterable[tuple[str, str]]) -> None:
    Path(log).write_text(json.dumps(list(pairs)))


def keyed_writer(path: str, key: str, body: str) -> None:
    with MessageBus(path, lock_timeout=PATIENT) as bus:
        ready()
        say(posted=bus.append_message(Draft("FACT", "demo", body), idempotency_key=key).msg_id)


def limited_writer(path: str) -> None:
    """Post where the file may not grow by more than 1,000 bytes, then where it may not grow,
    then where it may; say what came of it and how long the file was each time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with MessageBus(path) as bus:
        bus.append_message(Draft("FACT", "demo", "before"))
        size = Path(path).stat().st_size
        for room, drafts in (
            (1_000, [Draft("FACT", "demo", "x" * 5_000)]),
            (1_000, [Draft("FACT", "demo", "x" * 300)] * 5),
            (0, [Draft("FACT", "demo", "short")]),
        ):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, hard))
            error = failure_of(bus, drafts)
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            say(error=error, grown=Path(path).stat().st_size - size)
        say(posted=[message.msg_id for message in bus.append_messages([Draft("FACT", "demo", "after")] * 3)])


def failure_of(bus: MessageBus, drafts: list[Draft]) -> str:
    try:
        bus.append_messages(drafts)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return ""


def halting_writer(path: str, body: str) -> None:
    """Take the lock, stand still with it just before writing, and go on at a word."""

    def write(fd: int, data: bytes) -> int:
        say(holding=True)
        hear()
        return os.write(fd, data)

    live_file.os = Patched(os, write=write)  # type: ignore[assignment]
    with MessageBus(path) as bus:
        say(posted=bus.append_message(Draft("FACT", "demo", body)).msg_id)


def forking_writer(path: str, log: str, children: int, count: int) -> None:
    """Open and append, then fork; parent and children append at the same time."""
    bus = MessageBus(path, lock_timeout=PATIENT)
    first = post(bus, "short", "before the fork")
    gate, opener = os.pipe()
    pids = []
    for child in range(children):
        pid = os.fork()
        if pid == 0:
            os.close(opener)
            os.read(gate, 1)  # ends when the parent closes the other end
            dump(f"{log}.{child}", [post(bus, "short", f"child {child} {number}") for number in range(count)])
            os._exit(0)
        pids.append(pid)
    os.close(opener)
    dump(log, [first, *(post(bus, "short", f"parent {number}") for number in range(count))])
    say(statuses=[os.waitpid(pid, 0)[1] for pid in pids])


def fork_while_writing(path: str) -> None:
    """A thread holds the lock in mid-append while the process forks. The child says that it
    cannot have the lock, and at a word posts."""
    inside = threading.Event()

    def write(_fd: int, _data: bytes) -> int:
        inside.set()
        threading.Event().wait()
        raise AssertionError("unreachable")

    bus = MessageBus(path, lock_timeout=0.05, max_retries=1)
    bus.append_message(Draft("FACT", "demo", "before the fork"))
    live_file.os = Patched(os, write=write)  # type: ignore[assignment]
    threading.Thread(target=bus.append_message, args=(Draft("FACT", "demo", "never"),), daemon=True).start()
    inside.wait()
    if os.fork():
        threading.Event().wait()
    live_file.os = os
    try:
        bus.append_message(Draft("FACT", "demo", "too early"))
    except LockTimeoutError:
        say(blocked=True)
    if hear():
        say(posted=bus.append_message(Draft("FACT", "demo", "from the child")).msg_id)
    os._exit(0)


def fork_while_following(path: str) -> None:
    """Fork with a follower open that has waited; the child closes it and follows anew, and the
    parent continues."""
    bus, subscribe = MessageBus(path, poll_interval=0.05), watch.FileWatch._subscribe

    def subscribe_and_post(waiting: watch.FileWatch) -> None:
        subscribe(waiting)
        watch.FileWatch._subscribe = subscribe  # type: ignore[method-assign]
        bus.append_message(Draft("FACT", "demo", "one"))

    watch.FileWatch._subscribe = subscribe_and_post  # type: ignore[method-assign]
    followed = bus.follow()
    first = next(followed)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            followed.close()  # type: ignore[attr-defined]
            status = 0 if next(bus.follow()) == first else 2
        finally:
            os._exit(status)
    status = os.waitpid(pid, 0)[1]
    second = bus.append_message(Draft("FACT", "demo", "two"))
    say(status=status, goes_on=next(followed) == second)


# --- readers: each reads until a message of type END -----------------------------------------


def follower(path: str, log: str) -> None:
    say(ready=True)
    seen = []
    for message in MessageBus(path).follow():
        if message.type == "END":
            break
        seen.append(checked(message))
    dump(log, seen)


def poller(path: str, log: str) -> None:
    """Read by a cursor, waiting only where there is nothing new."""
    bus, seen, cursor = MessageBus(path, poll_interval=0.05), [], None
    say(ready=True)
    while True:
        for message in bus.read_messages(cursor, first=500) or bus.poll_for_new(cursor, timeout=1):
            if message.type == "END":
                dump(log, seen)
                return
            cursor = message.msg_id
            seen.append(checked(message))


def tail_reader(path: str, log: str) -> None:
    """Read the end and the whole, again and again, as fast as it goes."""
    bus, seen, rounds = MessageBus(path), {}, 0
    say(ready=True)
    while True:
        rounds += 1
        messages = bus.read_last_n(3) if rounds % 20 else bus.read_messages()
        seen.update(checked(message) for message in messages if message.type != "END")
        if messages and messages[-1].type == "END":
            break
    dump(log, sorted(seen.items()))


def checked(message: Message) -> tuple[str, str]:
    assert message.intact, f"{message.msg_id} is torn: {len(message.body)} characters"
    assert genuine(message.body), f"{message.msg_id} has another body: {message.body[-100:]!r}"
    return message.msg_id, message.body


def starved_follower(path: str) -> None:
    """Follow with all inotify instances of this user in use; say whether that was so."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    say(starved=use_up_inotify())
    message = next(iter(MessageBus(path, poll_interval=0.05).follow()))
    say(posted=message.msg_id, polled=watch._hub._observer is None)


def use_up_inotify() -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    while libc.inotify_init() >= 0:
        pass
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))  # was it the instances, or all descriptors?
    except OSError:
        return False
    return ctypes.get_errno() == errno.EMFILE


# --- editors ---------------------------------------------------------------------------------


def editor(path: str) -> None:
    """Save the file as it is, by way of a new file, until a word comes; say how often."""
    halt = threading.Event()
    threading.Thread(target=lambda: (hear(), halt.set()), daemon=True).start()
    target, saved = Path(path), 0
    temporary = target.with_name(".saving")
    while not halt.is_set():
        temporary.write_bytes(target.read_bytes())
        temporary.replace(target)
        saved += 1
        if saved == 1:
            say(ready=True)
    say(saved=saved)


def main() -> None:
    verb, options = sys.argv[1], json.loads(sys.argv[2])
    globals()[verb](**options)


if __name__ == "__main__":
    main()
