"""The default backend: a Markdown file, flock, and archives beside it.

append       the write path, step by step as SPEC.md section 6 has it
live_file    the file that is appended to: locked, checked, written
durability   flushing what was appended
randomness   random bytes, many at a time
read         the read path: cursors, tails, streams
search       finding a record in a segment without reading all of it
tail         the end of the log: where the next record goes
idempotency  idempotency keys: is there a message with this key already?
key_search   idempotency keys in the bytes of a segment
late_writes  archives that grow after they were read
archive_list the archives of a log, remembered while their directory does not change
segments     which files a log consists of, and opening them safely
preamble     the text above the first record of a file
create       the live file: opened to append, or created with the permissions of the one before
lock         the lock on the file
watch        waiting for the log to change
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from messagebus.message import Draft, Message

if TYPE_CHECKING:
    from messagebus.backends.file.append import Appender
    from messagebus.backends.file.read import Reader
    from messagebus.backends.file.watch import FileWatch
    from messagebus.filters import Filter


class AppendOptions(NamedTuple):
    """How to append. Times are in seconds, sizes in bytes; ``auto_rotate_bytes`` 0: never rotate."""

    lock_timeout: float
    max_retries: int
    retry_backoff: float
    fsync: bool
    auto_rotate_bytes: int
    make_directories: bool


class FileBackend:
    """The log at one path (absolute)."""

    filters = True

    def __init__(self, path: str, options: AppendOptions) -> None:
        self._path = path
        self._options = options

    # Each is imported by who needs it: a reader needs no lock, and a shell script that posts no decoder.

    @cached_property
    def _appender(self) -> Appender:
        from messagebus.backends.file.append import Appender

        return Appender(self._path, self._options)

    @cached_property
    def _reader(self) -> Reader:
        from messagebus.backends.file.read import Reader

        return Reader(self._path)

    @property
    def _has_appended(self) -> bool:
        return "_appender" in self.__dict__

    @property
    def unfinished(self) -> bool:
        return self._reader.unfinished

    def append(self, drafts: Sequence[Draft], *, idempotency_key: str | None = None) -> list[Message]:
        return self._appender.append(drafts, idempotency_key) if drafts else []

    def read(self, since_id: str | None = None, wanted: Filter | None = None) -> Generator[Message, None, None]:
        return self._reader.read(since_id, wanted)

    def read_stored(self, since_id: str | None = None) -> Generator[tuple[Message, bytes], None, None]:
        return self._reader.read_stored(since_id)

    def get(self, msg_id: str) -> tuple[Message, bytes] | None:
        return self._reader.get(msg_id)

    def tail(self, n: int, wanted: Filter | None = None) -> list[Message]:
        return self._reader.tail(n, wanted)

    def watch(self) -> FileWatch:
        from messagebus.backends.file.watch import FileWatch  # for followers only

        return FileWatch(self._path)

    def contention_stats(self) -> tuple[int, int]:
        return self._appender.contention_stats() if self._has_appended else (0, 0)

    def close(self) -> None:
        if self._has_appended:
            self._appender.close()
