"""Which numbers of a spool are here: all up to `contiguous`, and islands above it. Pure; used by the ledger.

A spool numbers its records from 1. The acknowledgement is `contiguous`: the highest number below which nothing is
missing. What lies between the islands is missing, and shown.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class SeqSet:
    """A set of whole numbers from 1 on, kept as ranges."""

    __slots__ = ("_firsts", "_lasts", "contiguous")

    def __init__(self, contiguous: int = 0, islands: Iterable[tuple[int, int]] = ()) -> None:
        self.contiguous = contiguous
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in sorted(islands):
            self.add(first, last)

    @property
    def highest(self) -> int:
        """The highest number that is here, 0 for none."""
        return self._lasts[-1] if self._lasts else self.contiguous

    @property
    def islands(self) -> list[tuple[int, int]]:
        """The ranges above the first hole."""
        return list(zip(self._firsts, self._lasts, strict=True))

    def overlaps(self, first: int, last: int) -> bool:
        """True where any number of first..last is here."""
        if first <= self.contiguous:
            return True
        at = bisect_left(self._lasts, first)
        return at < len(self._firsts) and self._firsts[at] <= last

    def __contains__(self, number: int) -> bool:
        return self.overlaps(number, number)

    def add(self, first: int, last: int) -> None:
        """Takes first..last; ranges that touch become one."""
        if first <= self.contiguous + 1:
            self.contiguous = max(self.contiguous, last)
            while self._firsts and self._firsts[0] <= self.contiguous + 1:
                self.contiguous = max(self.contiguous, self._lasts[0])
                del self._firsts[0], self._lasts[0]
            return
        low = bisect_left(self._lasts, first - 1)
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first = min(first, self._firsts[low])
            last = max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    def absent(self, first: int, last: int) -> list[tuple[int, int]]:
        """The ranges of first..last that are not here, lowest first."""
        ranges = []
        at = max(first, self.contiguous + 1)
        for index in range(bisect_left(self._lasts, at), len(self._firsts)):
            if self._firsts[index] > last:
                break
            if at < self._firsts[index]:
                ranges.append((at, self._firsts[index] - 1))
            at = self._lasts[index] + 1
        if at <= last:
            ranges.append((at, last))
        return ranges

    def holes(self) -> list[tuple[int, int]]:
        """The missing ranges, lowest first."""
        before = [self.contiguous, *self._lasts]
        return [(last + 1, first - 1) for last, first in zip(before, self._firsts, strict=False)]

    def missing(self) -> int:
        """How many numbers below the highest are not here."""
        return sum(last - first + 1 for first, last in self.holes())
