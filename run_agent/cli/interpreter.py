"""The interpreter, set up the same whatever its environment variables and its process id."""

from __future__ import annotations

import os
import sys
import warnings
from types import FrameType


def normalize() -> None:
    """Call this before anything else is imported. May restart the interpreter."""
    _use_utf8()
    _show_library_warnings()
    if os.getpid() == 1:
        import signal  # for containers only

        signal.signal(signal.SIGTERM, _exit_on_signal)


def _use_utf8() -> None:
    """Restart in UTF-8 mode if the encoding is ASCII (``PYTHONUTF8=0`` in the C locale).

    In ASCII no argument, variable or path with other characters could be read as text.
    """
    if sys.getfilesystemencoding() == "ascii" and sys.executable and not sys.flags.utf8_mode:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - ourselves


def _show_library_warnings() -> None:
    """Show each warning of the library, every time; hide those that are for programmers."""
    warnings.resetwarnings()
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", RuntimeWarning)


def _exit_on_signal(number: int, _frame: FrameType | None) -> None:
    """Do what a signal does by default; the system ignores it for process 1, as in a container."""
    os._exit(128 + number)
