"""Milliseconds since boot become UTC by the clock records of the same boot, in whatever order those come."""

from itertools import permutations

import pytest

from footfall_gateway.dating import BEGINNING, EARLIEST_UTC_MS, END, BootClock, implausible_clock

NOW = 1_780_000_000_000


def clock_of(*points: tuple[int, int, int]) -> BootClock:
    clock = BootClock()
    for t_ms, seq, utc_ms in points:
        clock.add(t_ms, seq, utc_ms)
    return clock


def test_a_boot_that_never_learned_the_time_is_undated() -> None:
    assert BootClock().utc_ms(5) is None


@pytest.mark.parametrize(
    ("t_ms", "utc_ms"),
    [
        (0, NOW - 100),  # before the first clock record: by the first
        (100, NOW),
        (199, NOW + 99),
        (200, NOW + 5100),  # from the second on: by the second
        (299, NOW + 5199),
        (300, NOW - 9000),  # a step back, too
        (10**9, NOW - 9300 + 10**9),
    ],
)
def test_the_latest_clock_record_at_or_before_a_moment_dates_it(t_ms: int, utc_ms: int) -> None:
    points = [(100, 4, NOW), (200, 7, NOW + 5100), (300, 9, NOW - 9000)]
    for order in permutations(points):
        assert clock_of(*order).utc_ms(t_ms) == utc_ms


def test_of_two_clock_records_at_one_moment_the_later_number_counts_in_any_order() -> None:
    points = [(100, 4, NOW), (100, 5, NOW + 77), (50, 3, NOW - 50)]
    assert {clock_of(*order).utc_ms(100) for order in permutations(points)} == {NOW + 77}


def test_a_new_clock_record_names_the_span_that_it_dates() -> None:
    clock = BootClock()
    assert clock.add(200, 2, NOW) == (BEGINNING, END)
    assert clock.add(400, 4, NOW + 200) == (400, END)
    assert clock.add(300, 3, NOW + 100) == (300, 400)
    assert clock.add(100, 1, NOW - 100) == (BEGINNING, 200)
    assert clock.add(300, 9, NOW + 101) == (300, 400)
    assert clock.add(300, 8, NOW + 102) is None


def test_a_copy_does_not_follow() -> None:
    clock = clock_of((100, 1, NOW))
    twin = clock.copy()
    clock.add(50, 2, NOW + 5000)
    assert (twin.utc_ms(60), twin.utc_ms(100)) == (NOW - 40, NOW)


@pytest.mark.parametrize(
    ("utc_ms", "said"),
    [
        (0, "before 2020"),
        (EARLIEST_UTC_MS - 1, "before 2020"),
        (946_684_800_000, "before 2020"),  # an ESP32 that was never told
        (EARLIEST_UTC_MS, None),
        (NOW, None),
        (NOW + 600_000, None),
        (NOW + 600_001, "ahead of the gateway's clock"),
        (4_102_444_800_000, "ahead of the gateway's clock"),
    ],
)
def test_a_clock_that_was_never_set_or_runs_ahead_is_not_believed(utc_ms: int, said: str | None) -> None:
    reason = implausible_clock(utc_ms, NOW)
    if said is None:
        assert reason is None
    else:
        assert reason is not None
        assert said in reason
