"""The Bloom filter of idempotency keys."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from messagebus.backends.file.bloom import BloomFilter


@given(st.sets(st.text()))
def test_what_was_added_is_in_it(texts: set[str]) -> None:
    keys = BloomFilter()
    keys.update(texts)
    assert all(text in keys for text in texts)
    assert keys.count <= len(texts)


def test_what_was_not_added_is_hardly_ever_in_it() -> None:
    keys = BloomFilter()
    keys.update(f"post-{number}" for number in range(20_000))
    assert keys.count > 19_900
    assert sum(f"other-{number}" in keys for number in range(20_000)) < 20  # of 0.04 that are expected


def test_nothing_is_in_an_empty_one() -> None:
    assert not any(f"{number}" in BloomFilter() for number in range(3))
