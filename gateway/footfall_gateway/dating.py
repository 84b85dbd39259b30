"""From milliseconds since boot to UTC. Pure; the ledger keeps one `BootClock` for each boot it is busy with.

The rule: a record is dated by the latest clock record of its boot at or before it, or, where there is none, by the
earliest one after it. Of two clock records at the same moment the one with the higher seq counts. What the node's own clock
said after a reset (source "rtc") counts only until the boot has been told the time: what was told is measured, a clock that
went through a reset is believed. So the dates depend on which clock records exist, never on the order in which they arrived.
A boot without a clock record stays undated.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

EARLIEST_UTC_MS = 1_577_836_800_000  # 2020-01-01: before the project; a clock that says less was never set
MAX_AHEAD_MS = 600_000  # a node's clock may be ahead of the gateway's by this much, not more
MAX_ALIVE_MS = (
    6 * 3_600_000
)  # an alive record vouches for this much time at most; nodes send one every 5 minutes
MAX_CORRECTION_MS = 10_000  # an hour's drift of a node's clock is below 1 s
OWN_CLOCK = "rtc"  # the source of a clock record that nobody told the node
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

    __slots__ = ("_offsets", "_seqs", "_times", "_told", "last_offset", "last_t_ms")

    def __init__(self) -> None:
        self._times: list[int] = []
        self._seqs: list[int] = []
        self._offsets: list[int] = []
        self._told = (
            False  # these are what the node was told; what its own clock said does not count any more
        )
        self.last_t_ms = END  # the latest clock record's t and offset: nearly every record is dated by it
        self.last_offset = 0

    def copy(self) -> BootClock:
        """The same clock records, independent from now on."""
        twin = BootClock()
        twin._times, twin._seqs, twin._offsets = self._times[:], self._seqs[:], self._offsets[:]
        twin._told = self._told
        twin.last_t_ms, twin.last_offset = self.last_t_ms, self.last_offset
        return twin

    def add(self, t_ms: int, seq: int, utc_ms: int, source: str) -> tuple[int, int] | None:
        """Takes a clock record; returns [from, to) of the boot's time that it governs, None where another outranks it."""
        told = source != OWN_CLOCK
        if self._told and not told:
            return None
        if told and not self._told:
            self._told = True
            self._times, self._seqs, self._offsets = [], [], []
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

    @property
    def told(self) -> bool:
        """True where the gateway has told this boot the time."""
        return self._told

    def utc_ms(self, t_ms: int) -> int | None:
        """UTC of this moment of the boot; None while the boot is undated."""
        if t_ms >= self.last_t_ms:
            return t_ms + self.last_offset
        if not self._times:
            return None
        return t_ms + self._offsets[max(bisect_right(self._times, t_ms) - 1, 0)]


@dataclass(frozen=True, slots=True)
class AliveSpan:
    """The time that an alive record vouches for: [since_t_ms, t_ms) of the boot, [start_ms, stop_ms) in UTC."""

    since_t_ms: int
    t_ms: int
    start_ms: int
    stop_ms: int

    def part(self, from_t_ms: int, to_t_ms: int) -> tuple[int, int]:
        """[from, to) in UTC of a part of it that is given in the boot's time."""
        start_ms = self.start_ms if from_t_ms <= self.since_t_ms else self.stop_ms - (self.t_ms - from_t_ms)
        return max(start_ms, self.start_ms), self.stop_ms - (self.t_ms - to_t_ms)

    def news_since(self, other: AliveSpan) -> tuple[int, int]:
        """[from, to] in UTC of what this span covers and that other one of the same boot does not, or more.

        A node that goes on counting says so every few minutes with the same beginning: the news is the end.
        """
        same_clock = self.stop_ms - self.t_ms == other.stop_ms - other.t_ms
        capped = self.t_ms - self.since_t_ms == MAX_ALIVE_MS
        begins_within = self.since_t_ms == other.since_t_ms or (
            capped and other.since_t_ms <= self.since_t_ms <= other.t_ms
        )
        if same_clock and begins_within and other.start_ms <= self.start_ms:
            return min(other.stop_ms, self.stop_ms), self.stop_ms
        return self.start_ms, self.stop_ms


def alive_span(clock: BootClock, since_ms: int, t_ms: int) -> AliveSpan | None:
    """The span of an alive record; None where it is undated or empty.

    It is MAX_ALIVE_MS long at most. Both ends are dated by themselves, so that two in a row leave no gap where the clock was corrected between them;
    where it was stepped far between the ends, the span is what really passed before its end.
    """
    start, stop = clock.utc_ms(since_ms), clock.utc_ms(t_ms)
    if start is None or stop is None:
        return None
    capped = t_ms - since_ms >= MAX_ALIVE_MS
    since_ms = max(since_ms, t_ms - MAX_ALIVE_MS)
    measured = stop - (t_ms - since_ms)
    if capped or abs(start - measured) > MAX_CORRECTION_MS:
        start = measured
    return AliveSpan(since_ms, t_ms, start, stop) if start < stop else None
