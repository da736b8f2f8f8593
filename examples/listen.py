"""Listens to a bus through the server, from any machine, and prints each message as it arrives.

Usage: python listen.py URL [LAST]      (ends with the message whose body is LAST)

Uses only the standard library. Resumes after the last message it has seen, so that nothing is missed
or printed twice when the server restarts.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any


def events(url: str, last_id: str | None) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, id and data of each event of one connection."""
    # In UTF-8, as browsers send it; urllib alone would refuse an id with letters outside Latin-1.
    resuming = {"Last-Event-ID": last_id.encode().decode("latin-1")} if last_id else {}
    request = urllib.request.Request(url, headers=resuming)
    with urllib.request.urlopen(request, timeout=90) as answer:  # three heartbeats
        fields: dict[str, str] = {}
        for line in answer:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif "event" in fields:
                yield fields["event"], fields.get("id", ""), json.loads(fields["data"])
                fields = {}


def shown(text: str) -> str:
    """``text``, safe for a terminal, with only its start in the first column."""
    lines = ("".join(char if char.isprintable() else repr(char)[1:-1] for char in line) for line in text.split("\n"))
    return "\n    ".join(part for line in lines for part in parts(line))


def parts(line: str) -> list[str]:
    """``line`` in parts that fit the terminal: a character takes at most two of its columns."""
    if not sys.stdout.isatty():
        return [line]
    columns = max(os.get_terminal_size().columns or 80, 20) - 8
    size = columns if line.isascii() else columns // 2
    return [line[start : start + size] for start in range(0, len(line), size)] or [""]


def main(url: str, last: str | None) -> None:
    last_id = None
    while True:
        try:
            for event, msg_id, data in events(url, last_id):
                if event == "message":
                    last_id = msg_id or last_id
                    print(shown(f"[{data['timestamp']}] ({data['type']}) {data.get('body', '')}"), flush=True)
                    if data.get("body") == last:
                        return
        except OSError as error:
            print(f"{error}; retrying in a second", file=sys.stderr)
            time.sleep(1)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: listen.py URL [LAST]")
    try:
        main(sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else None)
    except KeyboardInterrupt:
        sys.exit(130)
