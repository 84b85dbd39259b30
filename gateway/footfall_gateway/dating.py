"""From milliseconds since boot to UTC. Pure; the ledger keeps one `BootClock` for each boot it is busy with.

The rule: a record is dated by the latest clock record of its boot at or before it, or, where there is none, by the
earliest one after it. Of two clock records at the same moment the one with the higher seq counts. So the dates depend on
which clock records exist, never on the order in which they arrived. A boot without a clock record stays undated.
"""

from __future__ import annotations

from bisect import bisect_right

EARLIEST_UTC_MS = 1_577_836_800_000  # 2020-01-01: before the project; a clock that says less was never set
MAX_AHEAD_MS = 600_000  # a node's clock may be ahead of the gateway's by this much, not more
BEGINNING, END = -1, 1 << 62  # bounds of a boot's own time, outside of what a record can say


def implausible_clock(utc_ms: int, now_ms: int) -> str | None:
    """Why a clock record that arrives now cannot be right; None where it can."""
    if utc_ms < EARLIEST_UTC_MS:
        return f"utc_ms is {utc_ms}, before 2020: this clock was never set"
    if utc_ms > now_ms + MAX_AHEAD_MS:
        return f"utc_ms is {utc_ms}, {(utc_ms - now_ms) // 1000} s ahead of the gateway's clock"
    return None


class BootClock:
    """The clock records of one boot."""

    __slots__ = ("_offsets", "_seqs", "_times", "last_offset", "last_t_ms")

    def __init__(self) -> None:
        self._times: list[int] = []
        self._seqs: list[int] = []
        self._offsets: list[int] = []
        self.last_t_ms = END  # the latest clock record's t and offset: nearly every record is dated by it
        self.last_offset = 0

    def copy(self) -> BootClock:
        """The same clock records, independent from now on."""
        twin = BootClock()
        twin._times, twin._seqs, twin._offsets = self._times[:], self._seqs[:], self._offsets[:]
        twin.last_t_ms, twin.last_offset = self.last_t_ms, self.last_offset
        return twin

    def add(self, t_ms: int, seq: int, utc_ms: int) -> tuple[int, int] | None:
        """Takes a clock record; returns [from, to) of the boot's time that it governs, None where another outranks it."""
        at = bisect_right(self._times, t_ms)
        if at and self._times[at - 1] == t_ms:
            at -= 1
            if self._seqs[at] >= seq:
                return None
            self._seqs[at] = seq
            self._offsets[at] = utc_ms - t_ms
        else:
            self._times.insert(at, t_ms)
            self._seqs.insert(at, seq)
            self._offsets.insert(at, utc_ms - t_ms)
        self.last_t_ms, self.last_offset = self._times[-1], self._offsets[-1]
        start = t_ms if at else BEGINNING
        stop = self._times[at + 1] if at + 1 < len(self._times) else END
        return start, stop

    def utc_ms(self, t_ms: int) -> int | None:
        """UTC of this moment of the boot; None while the boot is undated."""
        if t_ms >= self.last_t_ms:
            return t_ms + self.last_offset
        if not self._times:
            return None
        return t_ms + self._offsets[max(bisect_right(self._times, t_ms) - 1, 0)]
