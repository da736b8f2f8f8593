"""The entry point: ``run-agent``, and ``python -m run_agent``."""

from __future__ import annotations

import gc
import sys
import threading

INTERRUPTED = 130


def main() -> int:
    """Run the program and return its exit code."""
    code = _run()
    if code == INTERRUPTED:
        from run_agent.cli import streams

        streams.discard_output()  # else the exit would wait for a reader that takes nothing
    elif threading.active_count() == 1:  # a daemon thread may crash in an exit that leaves it no time
        gc.freeze()  # else the exit would look for garbage in all that was imported, a tenth of a short command
    return code


def _run() -> int:
    try:
        # Imported here, so that Ctrl-C is handled during imports too: half the time of a short command.
        from run_agent.cli import interpreter, streams

        interpreter.normalize()
        streams.install()
        from run_agent.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
