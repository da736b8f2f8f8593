"""Which messages a caller wants: by type, run, parent, issue, sender, meta, time and text. Loaded by reads that filter.

``matches`` decides on a message. Making one takes far longer than to look for a few bytes, so ``excludes`` decides
on the bytes of a record first: what a message must have to match is in its record as it is, unless the
record is written in a way that may hide it (escapes, letters whose upper case is another letter's).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime

from messagebus.message import SENDER, Message

_PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")
ODD_LETTERS = "ßıſﬀﬁﬂﬃﬄﬅﬆ"  # not in ASCII, but in upper case they are
_REPLACEMENT = "\ufffd"  # what a torn body may end in, and the bytes of its record need not


class Filter:
    """A condition on messages: all that is given must hold, and None holds for every message.

    The arguments mean what they mean in ``MessageBus.read_messages``.
    Raises TypeError for ``types`` that is a single text, ValueError for a time without a zone.
    """

    def __init__(
        self,
        *,
        types: Collection[str] | None = None,
        run_id: str | None = None,
        parent: str | None = None,
        issue_id: str | None = None,
        sender: str | None = None,
        meta: Mapping[str, str] | None = None,
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
        self._issue_id = issue_id
        self._sender = sender
        self._meta = dict(meta or {})
        self._start = start
        self._end = end
        self._text = None if text is None else text.casefold()
        self._words = list(self._words_in_header())
        all_types = " ".join(self._types or ())
        self._odd_letters = [letter.encode() for letter in ODD_LETTERS if letter.upper() in all_types]

    def matches(self, message: Message) -> bool:
        """Does ``message`` fulfil the condition?"""
        return (
            (self._types is None or message.type.upper() in self._types)
            and (self._run_id is None or message.run_id == self._run_id)
            and (self._parent is None or any(parent.msg_id == self._parent for parent in message.parents))
            and (self._issue_id is None or message.issue_id == self._issue_id)
            and (self._sender is None or message.meta.get(SENDER, "") == self._sender)
            and self._meta.items() <= message.meta.items()
            and (self._start is None or message.ts >= self._start)
            and (self._end is None or message.ts < self._end)
            and (self._text is None or self._text in message.body.casefold())
        )

    def excludes(self, data: bytes, headers: Callable[[], bytes]) -> bool:
        """Can no message in ``data``, some whole records of a log, match? ``headers()`` gives the headers of those
        with a backslash."""
        if self._words:
            upper = data.upper()
            has_all = all(any(word in upper for word in words) for words in self._words)
            if not has_all and self._shows_words(data, headers):
                return True
        text = self._text
        if not text or "\n" in text or _REPLACEMENT in text:
            return False
        return text not in data.decode("utf-8", "replace").casefold()

    def _shows_words(self, data: bytes, headers: Callable[[], bytes]) -> bool:
        """Whether the words could be seen: none is escaped, and no other letter becomes one of theirs in upper case."""
        if not data.isascii() and any(odd[:1] in data and odd in data for odd in self._odd_letters):
            return False
        return b"\\" not in data or b"\\" not in headers()

    def _words_in_header(self) -> Iterator[list[bytes]]:
        """For each condition: the words, in upper case, of which one must be in a record that matches."""
        if self._types is not None and all(map(_is_plain, self._types)) and "INFO" not in self._types:
            yield [type_.encode() for type_ in self._types]  # a message without a type is an INFO
        for text in (self._run_id, self._parent, self._issue_id, self._sender, *self._meta, *self._meta.values()):
            if text and _is_plain(text):
                yield [text.upper().encode()]


def _is_plain(text: str) -> bool:
    """Whether YAML writes it as it is, on one line, unless by escapes."""
    return _PLAIN.fullmatch(text) is not None
