"""Where the program begins: ``run-agent``, and ``python -m run_agent``."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> int:
    """Run the program. Importing it is half of a short command, and may be interrupted as well."""
    code = _run()
    if code == INTERRUPTED:
        from run_agent.cli import streams

        streams.drop_output()  # or a reader that takes nothing would keep us
    return code


def _run() -> int:
    try:
        from run_agent.cli import interpreter, streams

        interpreter.make_uniform()
        streams.take_over()
        from run_agent.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
