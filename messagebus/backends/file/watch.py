"""Waiting for a log to change: file events where they work, polling everywhere.

One watchdog observer serves the process, one watch a directory. An event only wakes; whether
the log differs is always read off the file itself, so a lost event costs a poll interval and
no message.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, NamedTuple

from messagebus.backends.file.segments import archives_in_sight

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver, ObservedWatch

_DESCRIPTORS = 8  # what events take, and some for reading

Mark = tuple[int, int, int] | tuple[str, ...]


class FileWatch:
    """Watches one bus path, whether or not anything is there yet."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._subscribed_to: tuple[str, int] | None = None  # a directory and its inode
        self.name = ""  # of what is waited for there
        self.woken = threading.Event()

    def mark(self) -> Mark:
        """Inode, size and mtime of the live file; None where there is none."""
        try:
            status = os.lstat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return tuple(archives_in_sight(self._path)[-1:])  # a file may have come and gone between two looks
        return status.st_ino, status.st_size, status.st_mtime_ns

    def wait(self, mark: Mark, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the file to differ from ``mark``; does it?"""
        self._subscribe()
        if self.mark() != mark:
            return True
        self.woken.wait(timeout)
        self.woken.clear()
        return self.mark() != mark

    def close(self) -> None:
        """Stop watching; the last watch of the process stops the observer."""
        if self._subscribed_to is not None:
            directory, _ = self._subscribed_to
            self._subscribed_to = None
            _hub.unsubscribe(directory, self)

    def _subscribe(self) -> None:
        """Ask for events of the directory, again if it is replaced; of the nearest above it that
        there is, until it is made."""
        while (wanted := self._nearest()) and wanted[:2] != self._subscribed_to:
            directory, inode, name = wanted
            self.close()
            self.name = name
            if not _hub.subscribe(directory, inode, self):
                return
            self._subscribed_to = directory, inode  # and look once more: a nearer one may be there now

    def _nearest(self) -> tuple[str, int, str] | None:
        """The nearest directory on the way to the file, its inode, and the next name on that way."""
        directory = self._path
        while True:
            directory, name = os.path.split(directory)
            try:
                return directory, os.stat(directory).st_ino, name
            except (FileNotFoundError, NotADirectoryError):
                if not name:
                    return None
            except OSError:
                return None


class _Watched(NamedTuple):
    """A directory that events come from, and who waits for them."""

    inode: int
    observed: ObservedWatch
    watches: set[FileWatch]


class _Hub:
    """The process's one observer, and who waits for which directory."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin without an observer, as a forked child must: its threads stay with the parent."""
        self._lock = threading.Lock()
        self._observer: BaseObserver | None = None
        self._directories: dict[str, _Watched] = {}

    def subscribe(self, directory: str, inode: int, watch: FileWatch) -> bool:
        """Wake ``watch`` by events from now on; False where there are none to be had."""
        with self._lock:
            watched = self._directories.get(directory)
            if watched is None or watched.inode != inode:
                # A directory made anew needs a new watch, also for those who have the old one.
                watches = watched.watches if watched else set()
                self._unwatch(directory)
                if not self._watch(directory, inode, watches):
                    return False
            self._directories[directory].watches.add(watch)
            return True

    def unsubscribe(self, directory: str, watch: FileWatch) -> None:
        """No more events for ``watch``."""
        with self._lock:
            watched = self._directories.get(directory)
            if watched:  # else it was subscribed before a fork
                watched.watches.discard(watch)
                if not watched.watches:
                    self._unwatch(directory)

    def _watch(self, directory: str, inode: int, watches: set[FileWatch]) -> bool:
        from watchdog import events, observers  # 40 ms, and only who follows needs it

        class Handler(events.FileSystemEventHandler):
            def on_any_event(self, event: events.FileSystemEvent) -> None:
                names = {os.path.basename(os.fsdecode(path)) for path in (event.src_path, event.dest_path)}
                for watch in tuple(watches):
                    if watch.name in names:
                        watch.woken.set()

        wanted: list[type[events.FileSystemEvent]] = [
            events.FileCreatedEvent,
            events.FileModifiedEvent,
            events.FileMovedEvent,
            events.FileDeletedEvent,
            events.DirCreatedEvent,  # of one that the file is to be in
            events.DirMovedEvent,
        ]
        try:
            if self._observer is None:
                _ask_for_descriptors()
                observer = observers.Observer()
                observer.start()
                self._observer = observer
            observed = self._observer.schedule(Handler(), directory, event_filter=wanted)
        except OSError:  # no events here, or out of watches: whoever waits polls
            self._stop_if_idle()
            return False
        self._directories[directory] = _Watched(inode, observed, watches)
        return True

    def _unwatch(self, directory: str) -> None:
        watched = self._directories.pop(directory, None)
        if watched and self._observer:
            self._observer.unschedule(watched.observed)
        self._stop_if_idle()

    def _stop_if_idle(self) -> None:
        if self._observer and not self._directories:
            self._observer.stop()
            self._observer.join()
            self._observer = None


def _ask_for_descriptors() -> None:
    """Raise OSError where descriptors run out: watchdog would lose the first that it gets if there
    were no more, and reading comes before events."""
    taken: list[int] = []
    try:
        while len(taken) < _DESCRIPTORS:
            taken.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    finally:
        for fd in taken:
            os.close(fd)


_hub = _Hub()
os.register_at_fork(after_in_child=_hub.reset)
