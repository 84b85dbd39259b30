"""Coverage, days and occupancy: pure arithmetic on intervals, checked moment by moment where that is possible."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall_gateway.buckets import (
    HOUR_MS,
    Bucket,
    DoorToday,
    clip,
    count_directions,
    fault_times,
    local_day,
    occupancy,
    subtract,
    total,
    union,
    watched_together,
)

INTERVALS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6)


def moments(intervals: list[tuple[int, int]]) -> set[int]:
    return {moment for start, stop in intervals for moment in range(start, stop)}


@given(INTERVALS, INTERVALS)
def test_intervals_are_sets_of_moments(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> None:
    assert moments(union(some)) == moments(some)
    assert total(union(some)) == len(moments(some))
    assert moments(subtract(some, others)) == moments(some) - moments(others)
    assert total(subtract(some, others)) == len(moments(some) - moments(others))
    assert moments(clip(some, 5, 20)) == moments(some) & set(range(5, 20))


@given(INTERVALS, INTERVALS)
def test_a_wide_door_is_watched_while_all_its_barriers_watch(
    first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    both = watched_together([((0, 30), clip(first, 0, 30)), ((10, 20), clip(second, 10, 20))])
    expected = {m for m in range(30) if m in moments(first) and (not 10 <= m < 20 or m in moments(second))}
    assert moments(both) == expected


def test_a_door_without_a_barrier_is_not_watched() -> None:
    assert watched_together([]) == []


@pytest.mark.parametrize(
    ("events", "blind"),
    [
        ([], []),
        ([(5, 0, 1)], [(5, 99)]),
        ([(5, 0, 1), (8, 0, 0)], [(5, 8)]),
        ([(5, 0, 0)], []),
        ([(5, 0, 1), (7, 0, 1), (8, 0, 0)], [(5, 8)]),
        ([(5, 0, 1), (6, 1, 1), (8, 0, 0), (9, 1, 0)], [(5, 9)]),
        ([(5, 0, 1), (6, 0, 0), (6, 0, 1), (9, 0, 0)], [(5, 9)]),
        ([(1, 0, 1), (2, 0, 0), (3, 1, 1), (4, 1, 0)], [(1, 2), (3, 4)]),
    ],
)
def test_one_blocked_beam_blinds_a_barrier(
    events: list[tuple[int, int, int]], blind: list[tuple[int, int]]
) -> None:
    assert fault_times(events, 99) == blind


def test_passages_without_direction_are_counted_apart() -> None:
    assert count_directions([1, 1, -1, 0, 0, 0]) == Bucket(2, 1, 3)


@pytest.mark.parametrize(
    ("bucket", "says"),
    [
        (Bucket(), False),
        (Bucket(faults=3), False),
        (Bucket(covered_ms=499), False),  # would be written as covered_s = 0
        (Bucket(covered_ms=500), True),
        (Bucket(n_in=1), True),
        (Bucket(undirected=1), True),
    ],
)
def test_an_unwatched_bucket_says_nothing(bucket: Bucket, says: object) -> None:
    assert bucket.says_something is says


@pytest.mark.parametrize(
    ("moment", "timezone", "day", "hours"),
    [
        ("2026-03-29T12:00", "Europe/Berlin", "2026-03-28T23:00", 23),
        ("2026-10-25T12:00", "Europe/Berlin", "2026-10-24T22:00", 25),
        ("2026-10-24T22:00", "Europe/Berlin", "2026-10-24T22:00", 25),  # the first moment of that day
        ("2026-10-25T22:59", "Europe/Berlin", "2026-10-24T22:00", 25),  # its last minute
        ("2026-10-25T23:00", "Europe/Berlin", "2026-10-25T23:00", 24),
        ("2026-06-01T12:00", "Asia/Kathmandu", "2026-05-31T18:15", 24),
        ("2026-06-01T12:00", "UTC", "2026-06-01T00:00", 24),
    ],
)
def test_a_local_day_is_as_long_as_it_is(moment: str, timezone: str, day: str, hours: int) -> None:
    def utc_ms(text: str) -> int:
        return int(dt.datetime.fromisoformat(text + "+00:00").timestamp() * 1000)

    start, stop = local_day(utc_ms(moment), timezone)
    assert (start, stop - start) == (utc_ms(day), hours * HOUR_MS)


@pytest.mark.parametrize(
    ("doors", "persons", "covered_s"),
    [
        ([Bucket(5, 2, covered_ms=9000), Bucket(1, 3, covered_ms=4000)], 1, 4),
        ([Bucket(1, 4, covered_ms=9000)], 0, 9),  # more out than in: nobody is inside, not minus three
        ([Bucket(5, 2, 1, covered_ms=9000)], None, 9),  # a barrier that sees no direction
        ([Bucket()], None, 0),  # nobody watched
        ([Bucket(covered_ms=9000)], 0, 9),
        ([], None, 0),
    ],
)
def test_occupancy_is_in_less_out_where_that_can_be_known(
    doors: list[Bucket], persons: int | None, covered_s: int
) -> None:
    one = occupancy("lab", 60, 0, [DoorToday(bucket, 5) for bucket in doors])
    assert (one.persons, one.covered_today_s, one.capacity) == (persons, covered_s, 60)


@pytest.mark.parametrize(("watched", "until"), [([], None), ([7, 5, 9], 5), ([7, None], None)])
def test_occupancy_is_as_old_as_the_least_watched_door(watched: list[int | None], until: int | None) -> None:
    assert (
        occupancy("lab", 60, 0, [DoorToday(Bucket(), moment) for moment in watched]).watched_until_ms == until
    )
