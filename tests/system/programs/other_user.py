"""Another user, with a group and a umask of their own, who posts and reads when told to:
``python other_user.py be '{"uid": 7001, ...}'``. Each line on stdin is a JSON list, the verb and its options."""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import struct
import sys
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import worker

from messagebus import BusError, Draft, MessageBus, check_bus, repair_bus

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_FLOCK = {"x86_64": (0xC000003E, 73), "aarch64": (0xC00000B7, 32)}  # of each machine: its name in audits, and the call


def be(
    path: str, uid: int = 0, gid: int = 0, groups: tuple[int, ...] = (), umask: int = 0o022, no_flock: int = 0
) -> None:
    """Become this user, and do what is asked for until there is no more. ``no_flock``: an error of flock."""
    _import_everything()
    if no_flock:
        _refuse_flock(no_flock)
    if uid:
        os.setgroups(groups)
        os.setgid(gid)
        os.setuid(uid)
    os.umask(umask)
    worker.say(ready=True)
    for line in sys.stdin:
        verb, options = json.loads(line)
        worker.say(**_outcome(verb, path, options))


def _import_everything() -> None:
    """What a stranger could not import, where the interpreter is in a home directory."""
    with tempfile.TemporaryDirectory() as place, MessageBus(Path(place, "BUS.md"), auto_rotate_bytes=1) as bus:
        for _ in range(3):
            bus.append_message(Draft("FACT", "demo", "x"))
        bus.poll_for_new(None, timeout=0)
        Path(place, "BUS.md").open("ab").write(b"\n---\nmsg_id: x\n")  # noqa: SIM115 - to be repaired
        repair_bus(Path(place, "BUS.md"))
    importlib.import_module("portalocker")  # by who has to wait for a lock


def _outcome(verb: str, path: str, options: dict[str, Any]) -> dict[str, Any]:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            result = {"done": globals()[f"_{verb}"](path, **options)}
        except (BusError, OSError) as error:
            result = {"error": type(error).__name__, "text": str(error)}
    told = [[type(warning.message).__name__, str(warning.message)] for warning in warned]
    return {"done": None, "error": "", "text": "", **result, "warned": told}


def _post(path: str, body: str = "x", key: str | None = None, **options: Any) -> str:
    with MessageBus(path, **options) as bus:
        return bus.append_message(Draft("FACT", "demo", body), idempotency_key=key).msg_id


def _post_many(path: str, count: int, **options: Any) -> int:
    """Each with a bus of its own, and so by opening the file."""
    for number in range(count):
        _post(path, str(number), lock_timeout=worker.PATIENT, **options)
    return count


def _read(path: str) -> list[str]:
    return [message.body for message in MessageBus(path).read_messages()]


def _follow(path: str, count: int) -> list[str]:
    followed = MessageBus(path, poll_interval=0.02).follow()
    return [next(followed).body for _ in range(count)]


def _check(path: str) -> list[str]:
    return [finding.code for finding in check_bus(path)]


def _mend(path: str) -> list[str]:
    return [line for mended in repair_bus(path) for line in mended.done]


def _refuse_flock(code: int) -> None:
    """Let the kernel answer this process as a file system without locks does."""
    audit, number = _FLOCK[os.uname().machine]
    filters = (  # load the machine, and another one is allowed everything; load the call, and flock is refused
        (0x20, 0, 0, 4), (0x15, 0, 3, audit), (0x20, 0, 0, 0), (0x15, 0, 1, number),
        (0x06, 0, 0, 0x00050000 | code), (0x06, 0, 0, 0x7FFF0000),
    )  # fmt: skip
    text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in filters))
    program = struct.pack("HxxxxxxP", len(filters), ctypes.addressof(text))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0):
        raise OSError(ctypes.get_errno(), "no seccomp")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        globals()[sys.argv[1]](**json.loads(sys.argv[2]))
