"""A stand-in for ``os`` that counts the calls that the library makes to the system, and fails some of them."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from messagebus.backends.file import live_file, lock

ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EINTR, errno.EMFILE)
ABOUT_A_PATH = {"open", "lstat", "stat", "listdir", "rename", "link", "replace", "unlink"}  # whose errors name it
CALLS = ABOUT_A_PATH | {
    "fstat",
    "pread",
    "write",
    "ftruncate",
    "dup",
    "fsync",
    "fchown",
    "fchmod",
}  # close gives its descriptor up


class Short(NamedTuple):
    """Not an error: a write that stops after so many bytes (counted from the end, if negative)."""

    written: int


Fault = Callable[[int, str], "int | Short | None"]  # for the number and the name of a call: what happens to it


class System:
    """Stands for ``os`` in the library: notes its calls, and fails those that ``fault`` chooses."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self.calls: list[str] = []
        self.failed: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        value = getattr(os, name)
        return self._wrapped(name, value) if name in CALLS else value

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def failing(*arguments: Any) -> Any:
            self.calls.append(name)
            fault = self._fault(len(self.calls) - 1, name)
            if fault is None:
                return call(*arguments)
            self.failed.add(name)
            if isinstance(fault, Short):
                return call(arguments[0], arguments[1][: fault.written])
            raise OSError(fault, os.strerror(fault), *(arguments[:1] if name in ABOUT_A_PATH else ()))

        return failing

    @contextmanager
    def spread(self) -> Iterator[None]:
        """Take the place of all that the library calls the system by."""
        flock = lock.flock

        def failing_flock(fd: int, how: int) -> None:
            (flock if how == lock.LOCK_UN else self._wrapped("flock", flock))(fd, how)

        with pytest.MonkeyPatch.context() as patch:
            for name, module in list(sys.modules.items()):
                if name.startswith("messagebus.") and getattr(module, "os", None) is os:
                    patch.setattr(module, "os", self)
            patch.setattr(lock, "flock", failing_flock)
            patch.setattr(live_file, "flush", self._wrapped("flush", live_file.flush))
            yield


def nth(wanted: int, code: int) -> Fault:
    return lambda call, _name: code if call == wanted else None


def by_name(**faults: int | Short) -> Fault:
    return lambda _call, name: faults.get(name)
