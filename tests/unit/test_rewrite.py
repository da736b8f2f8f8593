"""What becomes of the pieces of a damaged file."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from messagebus.codec.scan import scan
from messagebus.repair.rewrite import Rewrite, Scope

RECORD = b"---\nmsg_id: MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA\nts: 2026-11-21T03:14:15.926535Z\ncontent_length: 4\n---\nbody\n"


def rewritten(data: bytes) -> list[bytes]:
    scope = Scope("demo", "", datetime(2026, 11, 21, tzinfo=UTC))
    rewrite = Rewrite(scope, "MSG-01KAJ3M2Q700000000000000000", {}, missing="", joined=(), sort=False, live=True)
    return list(rewrite.records(scan([data])))


@pytest.mark.parametrize("text", [b"", b"-", b"---", b"---\nmsg_i"])
def test_what_never_was_a_record_goes(text: bytes) -> None:
    """Unwritten blocks, and the first bytes of a start behind them."""
    assert rewritten(RECORD + b"\0" * 9 + text) == [RECORD]


@pytest.mark.parametrize(
    "text", [b"words", b"words\n\n-", b"words\n\n---\nmsg_i", b"-\n\nwords", b"\0words\0and words"]
)
def test_the_words_of_what_lost_its_header_stay(text: bytes) -> None:
    first, recovered = rewritten(RECORD + b"\0" * 9 + text)
    assert first == RECORD
    assert b"type: RECOVERED\n" in recovered
    assert recovered.count(b"words") == text.count(b"words")
