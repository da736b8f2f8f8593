"""What becomes of the spans of a damaged file."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from messagebus.codec.scan import scan
from messagebus.repair.records import RecordDefaults
from messagebus.repair.rewrite import Rewrite

RECORD = b"---\nmsg_id: MSG-01KAJ3M2Q8Z0V4T5R6W7X8Y9ZA\nts: 2026-11-21T03:14:15.926535Z\ncontent_length: 4\n---\nbody\n"


def rewritten(data: bytes) -> list[bytes]:
    defaults = RecordDefaults("demo", "", datetime(2026, 11, 21, tzinfo=UTC))
    rewrite = Rewrite(defaults, "MSG-01KAJ3M2Q700000000000000000", {}, gap="", joined=(), sort=False, live=True)
    return list(rewrite.records(scan([data])))


@pytest.mark.parametrize("text", [b"", b"-", b"---", b"---\nmsg_i"])
def test_the_first_bytes_of_a_record_are_dropped(text: bytes) -> None:
    """Unwritten blocks, and the first bytes of a record start after them."""
    assert rewritten(RECORD + b"\0" * 9 + text) == [RECORD]


@pytest.mark.parametrize(
    "text", [b"words", b"words\n\n-", b"words\n\n---\nmsg_i", b"-\n\nwords", b"\0words\0and words"]
)
def test_text_that_lost_its_header_keeps_its_words(text: bytes) -> None:
    first, recovered = rewritten(RECORD + b"\0" * 9 + text)
    assert first == RECORD
    assert b"type: RECOVERED\n" in recovered
    assert recovered.count(b"words") == text.count(b"words")
