"""From dated records to buckets. Pure functions, used by `accounts`; no clock, no database.

Quarters of an hour in UTC are the unit: every time zone in use begins its days on one, so hours, local hours and
local days of 23 or 25 hours are sums of them. Intervals are (from, to) in UTC ms, to not included.

A passage without a direction (a barrier with a single beam) is counted as `undirected`, never as half an entry and
half an exit: what to make of it is for the reader to say.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from footfall_gateway.places import local_midnight_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

QUARTER_MS = 900_000
HOUR_MS = 3_600_000
IN, OUT, UNDIRECTED = 1, -1, 0

Interval = tuple[int, int]


def quarter_of(utc_ms: int) -> int:
    """The start of the quarter that this moment lies in."""
    return utc_ms - utc_ms % QUARTER_MS


def hour_of(utc_ms: int) -> int:
    """The start of the UTC hour that this moment lies in."""
    return utc_ms - utc_ms % HOUR_MS


@dataclass(frozen=True, slots=True)
class Bucket:
    """What was counted in a quarter or hour, and for how much of it somebody was counting."""

    n_in: int = 0
    n_out: int = 0
    undirected: int = 0
    covered_ms: int = 0
    faults: int = 0
    calibrated_in: float = 0.0
    calibrated_out: float = 0.0

    def __add__(self, other: Bucket) -> Bucket:
        return Bucket(
            self.n_in + other.n_in,
            self.n_out + other.n_out,
            self.undirected + other.undirected,
            self.covered_ms + other.covered_ms,
            self.faults + other.faults,
            self.calibrated_in + other.calibrated_in,
            self.calibrated_out + other.calibrated_out,
        )

    @property
    def covered_s(self) -> int:
        """Coverage in whole seconds, as it is written; 0 means not watched."""
        return (self.covered_ms + 500) // 1000

    @property
    def says_something(self) -> bool:
        """False for a bucket that was not watched and counted nobody: it must not be shown as zero visitors."""
        return bool(self.covered_s or self.n_in or self.n_out or self.undirected)


def count_directions(directions: Iterable[int]) -> Bucket:
    """A bucket with these passages."""
    counted = {IN: 0, OUT: 0, UNDIRECTED: 0}
    for direction in directions:
        counted[direction] += 1
    return Bucket(counted[IN], counted[OUT], counted[UNDIRECTED])


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """The same time as disjoint intervals in order; empty and backward ones vanish."""
    joined: list[Interval] = []
    for start, stop in sorted(intervals):
        if start >= stop:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], stop))
        else:
            joined.append((start, stop))
    return joined


def subtract(whole: Iterable[Interval], gaps: Iterable[Interval]) -> list[Interval]:
    """The time of `whole` that lies in none of `gaps`."""
    holes = union(gaps)
    left: list[Interval] = []
    for start, stop in union(whole):
        at = start
        for gap_start, gap_stop in holes:
            if gap_stop <= at or gap_start >= stop:
                continue
            if gap_start > at:
                left.append((at, gap_start))
            at = gap_stop
        if at < stop:
            left.append((at, stop))
    return left


def clip(intervals: Iterable[Interval], start: int, stop: int) -> list[Interval]:
    """The part of these intervals that lies within [start, stop)."""
    return [(max(a, start), min(b, stop)) for a, b in intervals if a < stop and b > start]


def total(intervals: Iterable[Interval]) -> int:
    """Their length together; they must be disjoint."""
    return sum(stop - start for start, stop in intervals)


def fault_times(events: Sequence[tuple[int, int, int]], end: int) -> list[Interval]:
    """When a barrier was blind: its fault records (t, beam, begins) of one boot, each beam's in order; an open fault lasts to `end`.

    One blocked beam blinds the barrier. A second "begins" of a beam changes nothing, nor does an "ends" without a begin.
    """
    blind: list[Interval] = []
    for beam in {event[1] for event in events}:
        began: int | None = None
        for t, which, begins in events:
            if which != beam:
                continue
            if begins and began is None:
                began = t
            elif not begins and began is not None:
                blind.append((began, t))
                began = None
        if began is not None:
            blind.append((began, end))
    return union(blind)


def watched_together(barriers: Sequence[tuple[Interval, Sequence[Interval]]]) -> list[Interval]:
    """When a door was watched: of each barrier (when it belongs to the door, when it was watching).

    A door with several barriers is watched while all that belong to it at that moment are watching.
    """
    belongs = union(span for span, _ in barriers)
    blind = [gap for span, watching in barriers for gap in subtract([span], watching)]
    return subtract(belongs, blind)


def local_day(now_ms: int, timezone: str) -> Interval:
    """The local calendar day that this moment belongs to, midnight to midnight: 23, 24 or 25 hours."""
    day = dt.datetime.fromtimestamp(now_ms / 1000, ZoneInfo(timezone)).date()
    return local_midnight_ms(day, timezone), local_midnight_ms(day + dt.timedelta(days=1), timezone)


@dataclass(frozen=True, slots=True)
class DoorToday:
    """What a door has counted since the day began, and when it was last watched (the end of that quarter)."""

    bucket: Bucket
    watched_until_ms: int | None


@dataclass(frozen=True, slots=True)
class Occupancy:
    """A site now. `persons` is None where it cannot be known: nobody watched today, or a barrier sees no direction.

    The day begins at local midnight, and with nobody inside: what yesterday's miscounts left over does not stay.
    `persons` is never below 0; in_today - out_today shows the drift. `covered_today_s` and `watched_until_ms` are those
    of the least watched door: about what came after that moment nobody can say anything.
    """

    site: str
    persons: int | None
    in_today: int
    out_today: int
    capacity: int | None
    covered_today_s: int
    watched_until_ms: int | None
    day_start_ms: int


def occupancy(site: str, capacity: int | None, day_start_ms: int, doors: Sequence[DoorToday]) -> Occupancy:
    """The occupancy of a site from what each of its doors has counted today."""
    day = sum((door.bucket for door in doors), Bucket())
    known = day.says_something and not day.undirected
    persons = max(0, day.n_in - day.n_out) if known else None
    watched = [door.watched_until_ms for door in doors]
    return Occupancy(
        site,
        persons,
        day.n_in,
        day.n_out,
        capacity,
        min((door.bucket.covered_s for door in doors), default=0),
        None if None in watched or not watched else min(moment for moment in watched if moment is not None),
        day_start_ms,
    )
