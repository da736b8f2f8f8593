"""Idempotency keys: the rules that every backend follows (SPEC.md, "Idempotency keys"). Pure.

A message keeps its key in ``meta``, under ``IDEMPOTENCY_KEY`` (in ``message.py``, as that name is reserved in every
draft). Under its lock, a backend looks for a message with the key that ``holds_key``; ``answer_repeated`` decides
whether a new post under the key is that message again.
"""

from __future__ import annotations

from messagebus.errors import IdempotencyConflictError, InvalidMessageError
from messagebus.message import IDEMPOTENCY_KEY, SCALAR_FIELDS, Draft, Message, message_from
from messagebus.msgid import time_of
from messagebus.validation import check_header_value

IDEMPOTENCY_WINDOW_MS = 24 * 3600 * 1000  # how long a message holds its key


def validate_key(idempotency_key: str) -> None:
    """Refuse an idempotency key that no header can hold. Raises InvalidMessageError."""
    check_header_value(IDEMPOTENCY_KEY, idempotency_key)
    if not idempotency_key.strip():
        raise InvalidMessageError(f"{IDEMPOTENCY_KEY} is empty: omit it, or give this post a key of its own")


def with_key(draft: Draft, idempotency_key: str) -> Draft:
    """The draft as it is stored under the key. Raises InvalidMessageError for a key that no header can hold."""
    validate_key(idempotency_key)
    return Draft(
        draft.type, draft.project_id, draft.body, task_id=draft.task_id, run_id=draft.run_id, issue_id=draft.issue_id,
        parents=draft.parents, links=draft.links, meta={**draft.meta, IDEMPOTENCY_KEY: idempotency_key}, ts=draft.ts,
    )  # fmt: skip


def holds_key(message: Message, key: str, now_ms: int) -> bool:
    """Whether a message was posted under ``key``, recently enough at ``now_ms`` since 1970, and is whole.

    Recently enough is 24 hours, by the time in its id. An id further in the future tells no age: some writer's clock
    was wrong, and all later ids are in the future too. Then its ``ts`` counts.
    """
    if message.intact is False or message.meta.get(IDEMPOTENCY_KEY) != key:
        return False
    age = now_ms - (time_of(message.msg_id) or 0)
    if age < -IDEMPOTENCY_WINDOW_MS:
        age = now_ms - int(message.ts.timestamp() * 1000)
    return abs(age) <= IDEMPOTENCY_WINDOW_MS


def answer_repeated(draft: Draft, first: Message) -> Message:
    """``first``, which holds the idempotency key of ``draft``: the answer to posting ``draft`` again.

    Raises IdempotencyConflictError where ``draft`` says something else; ids and times do not count.
    """
    again = message_from(draft, first.msg_id, first.ts)
    for name in (*SCALAR_FIELDS, "parents", "links", "meta", "body"):
        if getattr(again, name) != getattr(first, name):
            raise IdempotencyConflictError(
                f"{IDEMPOTENCY_KEY} {first.meta[IDEMPOTENCY_KEY]!r} is taken by {first.msg_id}, whose {name} differs: "
                "use a new key for a new message"
            )
    return first
