"""Waiting for a log to change: file events where they work, polling everywhere.

One watchdog observer serves the whole process, with one watch for each directory. An event only
wakes: whether the log differs is always read from the file itself, so a lost event costs a poll
interval and no message.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, NamedTuple

from messagebus.backends.file.segments import archives_in_sight

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver, ObservedWatch

_DESCRIPTORS = 8  # that events need, and a few for reading

Mark = tuple[int, int, int] | tuple[str, ...]


class FileWatch:
    """Watches one bus path, where a file may not exist yet."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._subscribed_to: tuple[str, int] | None = None  # a directory and its inode
        self.name = ""  # the entry of that directory whose events wake
        self.woken = threading.Event()

    def mark(self) -> Mark:
        """Inode, size and mtime of the live file; None where there is none."""
        try:
            status = os.lstat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return tuple(archives_in_sight(self._path)[-1:])  # a file may have been created and rotated in between
        return status.st_ino, status.st_size, status.st_mtime_ns

    def wait(self, mark: Mark, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds until the file differs from ``mark``; False if it does not."""
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
        """Subscribe to events of the directory, again if it was replaced; until it exists, to those of
        the nearest directory above it."""
        while (wanted := self._nearest()) and wanted[:2] != self._subscribed_to:
            directory, inode, name = wanted
            self.close()
            self.name = name
            if not _hub.subscribe(directory, inode, self):
                return
            self._subscribed_to = directory, inode  # then check again: a nearer one may exist by now

    def _nearest(self) -> tuple[str, int, str] | None:
        """The nearest existing directory on the path to the file, its inode, and the next name on that path."""
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
    """A directory that sends events, and the watches that they wake."""

    inode: int
    observed: ObservedWatch
    watches: set[FileWatch]


class _Hub:
    """The one observer of the process, and which watches wait for which directory."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start without an observer, as a forked child must: threads are not inherited."""
        self._lock = threading.Lock()
        self._observer: BaseObserver | None = None
        self._directories: dict[str, _Watched] = {}

    def subscribe(self, directory: str, inode: int, watch: FileWatch) -> bool:
        """Let events wake ``watch`` from now on; False where there are no events."""
        with self._lock:
            watched = self._directories.get(directory)
            if watched is None or watched.inode != inode:
                # A directory that was replaced needs a new observation, also for the watches of the old one.
                watches = watched.watches if watched else set()
                self._unwatch(directory)
                if not self._watch(directory, inode, watches):
                    return False
            self._directories[directory].watches.add(watch)
            return True

    def unsubscribe(self, directory: str, watch: FileWatch) -> None:
        """Stop waking ``watch``."""
        with self._lock:
            watched = self._directories.get(directory)
            if watched:  # else it was subscribed before a fork
                watched.watches.discard(watch)
                if not watched.watches:
                    self._unwatch(directory)

    def _watch(self, directory: str, inode: int, watches: set[FileWatch]) -> bool:
        from watchdog import events, observers  # takes 40 ms, and only followers need it

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
            events.DirCreatedEvent,  # of a directory above the file
            events.DirMovedEvent,
        ]
        try:
            if self._observer is None:
                _require_descriptors()
                observer = observers.Observer()
                observer.start()
                self._observer = observer
            observed = self._observer.schedule(Handler(), directory, event_filter=wanted)
        except OSError:  # no events here, or no watches left: the caller polls
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


def _require_descriptors() -> None:
    """Raise OSError where too few descriptors are left: watchdog would leak the first that it gets if
    the next one failed, and reading comes before events."""
    taken: list[int] = []
    try:
        while len(taken) < _DESCRIPTORS:
            taken.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    finally:
        for fd in taken:
            os.close(fd)


_hub = _Hub()
os.register_at_fork(after_in_child=_hub.reset)
