"""The interpreter made the same, however its variables and its place in the system would have it."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from types import FrameType


def make_uniform() -> None:
    """Before anything else is imported. May start the interpreter anew."""
    _use_utf8()
    _tell_every_warning()
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _die)


def _use_utf8() -> None:
    """In ASCII (``PYTHONUTF8=0`` in the C locale) no argument, variable or path can be taken for text."""
    if sys.getfilesystemencoding() == "ascii" and sys.executable and not sys.flags.utf8_mode:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - ourselves


def _tell_every_warning() -> None:
    """Those of our library, each time; those for programmers are not for who uses a program."""
    warnings.resetwarnings()
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", RuntimeWarning)


def _die(number: int, _frame: FrameType | None) -> None:
    """What a signal does to a process by default, but not to process 1 of a container."""
    os._exit(128 + number)
