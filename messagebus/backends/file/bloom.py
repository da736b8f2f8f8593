"""A set that takes the same memory whatever is in it, and may be wrong about what is not: a Bloom filter. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_BITS = 1 << 21  # of 100,000 texts that were not added, it takes 90 for some of 100,000 that were
_HASHES = 4


class BloomFilter:
    """Says of a text that it was never added, or that it may have been."""

    def __init__(self) -> None:
        self._bits = bytearray(_BITS // 8)
        self.count = 0  # of all texts in it, about

    def update(self, texts: Iterable[str]) -> None:
        """Add ``texts``."""
        for text in texts:
            self.count += text not in self
            for bit in _positions(text):
                self._bits[bit >> 3] |= 1 << (bit & 7)

    def __contains__(self, text: str) -> bool:
        return all(self._bits[bit >> 3] >> (bit & 7) & 1 for bit in _positions(text))


def _positions(text: str) -> Iterator[int]:
    """Two halves of one hash give any number of them. The hash is salted: no one can choose texts that collide."""
    both = hash(text)
    at, step = both & 0xFFFF_FFFF, both >> 32 | 1
    for _ in range(_HASHES):
        yield at % _BITS
        at += step
