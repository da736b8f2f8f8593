"""The public API as a type checker sees it: ``mypy --strict tests/typing/api.py`` must pass. Never run."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, assert_type

from messagebus import (
    RUN_CRASH,
    RUN_START,
    RUN_STOP,
    BusError,
    BusNotFoundError,
    Draft,
    DurabilityError,
    InvalidBusPathError,
    InvalidMessageError,
    Link,
    LockTimeoutError,
    MemoryBackend,
    Message,
    MessageBus,
    Parent,
    SinceIDNotFoundError,
    discover_bus,
)


def drafts(when: datetime) -> Iterable[Draft]:
    yield Draft("FACT", "demo")
    yield Draft("FACT", "demo", "body")
    yield Draft(type=RUN_START, project_id="demo", body="", task_id="t", run_id="r", issue_id="i")
    yield Draft(
        RUN_STOP, "demo", parents=["a", Parent("b", "answers", {"k": "v"})], links=[Link("u"), Link("u", "l", "k")]
    )
    yield Draft(RUN_CRASH, "demo", parents=("a",), links=(), meta={"k": "v"}, ts=when)
    yield Draft("FACT", "demo", 7)  # type: ignore[arg-type]
    yield Draft("FACT", "demo", "body", "task")  # type: ignore[call-arg]
    yield Draft("FACT")  # type: ignore[call-arg]
    yield Draft("FACT", "demo", attachment="x")  # type: ignore[call-arg]
    yield Draft.from_json({"type": "FACT"})


def open_bus() -> MessageBus:
    MessageBus(MemoryBackend())
    MessageBus(Path("bus.md"), lock_timeout=1, poll_interval=0.5, max_retries=1, retry_backoff=0, fsync=True)
    MessageBus(discover_bus(), auto_rotate_bytes=1 << 20, max_body_bytes=1 << 20)
    MessageBus("bus.md", 10.0)  # type: ignore[call-arg]
    MessageBus(None)  # type: ignore[arg-type]
    with MessageBus("bus.md") as bus:
        assert_type(bus, MessageBus)
    return bus


def append(bus: MessageBus, draft: Draft) -> None:
    assert_type(bus.append_message(draft), Message)
    assert_type(bus.append_message(draft, idempotency_key="key"), Message)
    assert_type(bus.append_messages([draft, draft]), list[Message])
    bus.append_message("text")  # type: ignore[arg-type]
    bus.append_message(draft, "key")  # type: ignore[call-arg]


def read(bus: MessageBus, stop: threading.Event) -> None:
    assert_type(bus.read_messages(), list[Message])
    assert_type(bus.read_messages("id", limit=3), list[Message])
    assert_type(bus.read_messages(first=3), list[Message])
    assert_type(bus.read_messages(types=["FACT"], run_id="r", parent="p", text="t"), list[Message])
    bus.read_messages(start="2026-11-21")  # type: ignore[arg-type]
    bus.iter_messages(limit=3)  # type: ignore[call-arg]
    assert_type(bus.read_last_n(3), list[Message])
    assert_type(bus.poll_for_new(None, timeout=1.5), list[Message])
    assert_type(bus.last_id(), str | None)
    assert_type(bus.unfinished, bool)
    assert_type(bus.contention_stats(), tuple[int, int])
    streams: tuple[Iterator[Message], ...] = (
        bus.iter_messages(),
        bus.iter_messages("id"),
        bus.follow(),
        bus.follow("id", stop=stop),
    )
    for stream in streams:
        for message in stream:
            assert_type(message, Message)
    bus.close()


def look_at(message: Message) -> None:
    assert_type(message.msg_id, str)
    assert_type(message.ts, datetime)
    assert_type(message.type, str)
    assert_type(message.project_id, str)
    assert_type(message.task_id, str)
    assert_type(message.run_id, str)
    assert_type(message.issue_id, str)
    assert_type(message.parents, tuple[Parent, ...])
    assert_type(message.links, tuple[Link, ...])
    assert_type(message.meta, Mapping[str, str])
    assert_type(message.body, str)
    assert_type(message.intact, bool | None)
    assert_type(message.to_json(), dict[str, Any])
    assert_type(Message.from_json({}), Message)
    message.body = "x"  # type: ignore[misc]


def look_at_draft(draft: Draft, parent: Parent, link: Link) -> None:
    assert_type(draft.parents, Sequence[str | Parent])
    assert_type(draft.links, Sequence[Link])
    assert_type(draft.ts, datetime | None)
    assert_type((parent.msg_id, parent.kind, parent.meta), tuple[str, str, Mapping[str, str]])
    assert_type((link.url, link.label, link.kind), tuple[str, str, str])


def errors(bus: MessageBus) -> None:
    try:
        assert_type(discover_bus("."), Path)
    except (InvalidMessageError, InvalidBusPathError) as refused:
        value: ValueError = refused
        assert_type(str(value), str)
    except (BusNotFoundError, SinceIDNotFoundError) as missing:
        lookup: LookupError = missing
        assert_type(str(lookup), str)
    except LockTimeoutError as locked:
        assert_type((locked.path, locked.attempts, locked.waited), tuple[str, int, float])
    except DurabilityError as flush:
        assert_type(flush.msg_ids, tuple[str, ...])
    except BusError:
        bus.close()
