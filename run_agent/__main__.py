"""Where the program begins: ``run-agent``, and ``python -m run_agent``."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the program. Importing it is half of a short command, and may be interrupted as well."""
    try:
        from run_agent import cli

        return cli.main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
