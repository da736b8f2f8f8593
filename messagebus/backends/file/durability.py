"""Step 10 of an append with ``fsync``: flush what was written, after unlocking (SPEC.md section 6).

So writers that wait for the lock write meanwhile, and share one flush (docs/adr/0003-waiting-for-the-lock.md).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from messagebus.backends.file import live_file
from messagebus.errors import DurabilityError
from messagebus.message import Message

_YIELDS_BEFORE_FLUSH = 10


def flush(fd: int, file: live_file.LiveFile, messages: Sequence[Message]) -> None:
    """Make ``messages``, and the name of the file, durable; ``fd`` is the file, and is closed.

    Raises DurabilityError.
    """
    for _ in range(_YIELDS_BEFORE_FLUSH):
        os.sched_yield()  # a writer that is about to write then shares this flush
    try:
        with reporting(file.path, messages):
            live_file.flush(fd)
            file.flush_name()
    finally:
        os.close(fd)


@contextmanager
def reporting(path: str, messages: Sequence[Message]) -> Iterator[None]:
    """Raise DurabilityError, which names the messages, in place of any OSError."""
    try:
        yield
    except OSError as error:
        ids = tuple(message.msg_id for message in messages)
        raise DurabilityError(path, ids, error.strerror or str(error)) from error
