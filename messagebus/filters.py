"""Which messages a caller wants: by type, run, parent, time and text. Loaded by reads that filter."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from messagebus.message import Message


class Filter:
    """A condition on messages: all that is given must hold, and None holds for every message.

    Raises TypeError for ``types`` that is a single text, ValueError for a time without a zone.
    """

    def __init__(
        self,
        *,
        types: Collection[str] | None = None,
        run_id: str | None = None,
        parent: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        text: str | None = None,
    ) -> None:
        if isinstance(types, str):
            raise TypeError(f"types is a collection of types; give [{types!r}]")
        for name, time in (("start", start), ("end", end)):
            if time is not None and time.utcoffset() is None:
                raise ValueError(f"{name}: {time!r} has no time zone; use an aware datetime, e.g. datetime.now(UTC)")
        self._types = None if types is None else frozenset(type_.upper() for type_ in types)
        self._run_id = run_id
        self._parent = parent
        self._start = start
        self._end = end
        self._text = None if text is None else text.casefold()

    def matches(self, message: Message) -> bool:
        """Does ``message`` fulfil the condition?"""
        return (
            (self._types is None or message.type.upper() in self._types)
            and (self._run_id is None or message.run_id == self._run_id)
            and (self._parent is None or any(parent.msg_id == self._parent for parent in message.parents))
            and (self._start is None or message.ts >= self._start)
            and (self._end is None or message.ts < self._end)
            and (self._text is None or self._text in message.body.casefold())
        )
