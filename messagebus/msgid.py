"""Message ids: how the next one is made, and how two of them are ordered.

An own id is ``MSG-`` and a ULID: 48 bits of milliseconds, 80 bits of randomness, in Crockford's
base 32 (SPEC.md, "Ids"). Each is made from the id before it, so ids strictly increase
in file order whatever the clock does. Foreign ids are ordered by the time they hold. Pure:
clock and randomness are arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ulid import ULID as ULID  # noqa: PLC0414 - for message.py, too: only this module imports ulid

PREFIX = "MSG-"
RANDOM_BYTES = 10

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: no I, L, O, U
_PAIRS = [one + two for one in _ALPHABET for two in _ALPHABET]  # the two characters of each number below 1,024
_BASE_32 = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")  # the digits that int() reads
_SUCCESSOR = dict(pairwise(_ALPHABET))
OWN_ID = rf"MSG-[0-7][{_ALPHABET}]{{25}}"
OWN = re.compile(OWN_ID)
_GO = re.compile(r"MSG-(\d{8})-(\d{6})-(\d{9})-PID\d+-\d+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_BITS = 48
_OWN_LENGTH = 26  # characters after the prefix
_FRESH = 8  # characters at the end that are random in each id, as hexadecimal digits

_LAST = "MSG-7" + 17 * "Z"  # the beginning of the last ids

Order = tuple[int, str]


def next_msg_id(after: str | None, now_ms: int, randomness: Callable[[int], bytes]) -> str:
    """The id that follows ``after`` (the log's last, or None), at ``now_ms`` since 1970; a clock
    earlier than 1970 counts as 1970.

    Strictly greater than ``after`` in ``order``. After an own id of this millisecond or a later one, it is that
    id with its last 8 characters random and the others, as a number, plus one. After a foreign id, it is at
    least a millisecond later. ``randomness(n)`` gives n random bytes.
    """
    now_ms = max(now_ms, 0)
    if after is not None and not after.startswith(_LAST):  # no real clock produces it, and nothing can follow it
        if not OWN.fullmatch(after):
            now_ms = max(now_ms, (time_of(after) or 0) + 1)
        elif after[4:14] >= _time_text(now_ms):  # the alphabet is in the order of ASCII
            return _successor(after, randomness)
    return PREFIX + _time_text(now_ms) + _encode(int.from_bytes(randomness(RANDOM_BYTES), "big"), 16)


def time_of(msg_id: str) -> int | None:
    """Milliseconds since 1970 that an own id or an id of the Go tool holds, else None.

    The id of a one-line message below a record (``<id>+2``) holds the time of the record.
    """
    if OWN.match(msg_id):
        return int(msg_id[4:14].translate(_BASE_32), 32)
    go = _GO.match(msg_id)
    if not go:
        return None
    try:
        moment = datetime.strptime(go[1] + go[2], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int((moment - _EPOCH).total_seconds()) * 1000 + int(go[3]) // 1_000_000


def order(msg_id: str) -> Order | None:
    """A key that sorts ids by the time they hold, then as text; None where they hold none."""
    ms = time_of(msg_id)
    return None if ms is None else (ms, msg_id)


def is_own(msg_id: str) -> bool:
    """Whether this library made it, and not another program or a person."""
    return OWN.fullmatch(msg_id) is not None


def is_go(msg_id: str) -> bool:
    """Whether the Go tool made it, which does so before it has the lock."""
    return _GO.match(msg_id) is not None


def to_ulid(msg_id: str) -> ULID | None:
    """The ULID of an own id, None for any other."""
    if not is_own(msg_id):
        return None
    from ulid import ULID  # 30 ms to import, and few ask for it

    return ULID.from_str(msg_id[len(PREFIX) :])


def sibling(msg_id: str, number: int) -> str:
    """A later id with the time of ``msg_id``, for another message that had the same id; ``number`` (0 to
    2**32 - 1) tells siblings apart. The siblings of an own id are own ids, right after it."""
    if is_own(msg_id) and not msg_id.startswith(_LAST):
        return PREFIX + _encode(_decode(msg_id) + 1 + number)
    return f"{msg_id}-{number:08X}"


def later(one: str | None, two: str | None) -> str | None:
    """The later of two ids; one that holds no time is earlier than any that does."""
    if one is None or two is None:
        return one or two
    return max(one, two, key=lambda msg_id: order(msg_id) or (0, ""))


@lru_cache(maxsize=1)
def _time_text(ms: int) -> str:
    """The ten characters that hold the time."""
    if ms >> _TIME_BITS:
        raise OverflowError(f"no id can hold the time {ms:,} ms after 1970")
    return _encode(ms, 10)


def _successor(msg_id: str, randomness: Callable[[int], bytes]) -> str:
    """A later id, and a different one each time: the same one may have been used for a message since removed."""
    tail = randomness(_FRESH // 2).hex().upper()
    last = _SUCCESSOR.get(msg_id[-_FRESH - 1])
    if last:  # 31 of 32 times: no carry
        return f"{msg_id[: -_FRESH - 1]}{last}{tail}"
    return PREFIX + _encode(_decode(msg_id[:-_FRESH]) + 1, _OWN_LENGTH - _FRESH) + tail


def _encode(number: int, length: int = _OWN_LENGTH) -> str:
    """The last ``length`` (even) characters of a number; the same as python-ulid's, whose import takes longer than
    all else that a ``bus post`` does."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(5 * (length - 2), -1, -10)])


def _decode(msg_id: str) -> int:
    return int(msg_id[len(PREFIX) :].translate(_BASE_32), 32)
