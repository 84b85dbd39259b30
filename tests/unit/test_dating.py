"""Milliseconds since boot become UTC by the clock records of the same boot, in whatever order those come."""

from itertools import permutations

import pytest

from footfall_gateway.dating import (
    BEGINNING,
    EARLIEST_UTC_MS,
    END,
    MAX_ALIVE_MS,
    BootClock,
    alive_span,
    implausible_clock,
)

NOW = 1_780_000_000_000


def clock_of(*points: tuple[int, int, int] | tuple[int, int, int, str]) -> BootClock:
    """A clock with these records; the gateway told them where no source is given."""
    clock = BootClock()
    for t_ms, seq, utc_ms, *source in points:
        clock.add(t_ms, seq, utc_ms, *(source or ["gw"]))
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
    assert clock.add(200, 2, NOW, "gw") == (BEGINNING, END)
    assert clock.add(400, 4, NOW + 200, "gw") == (400, END)
    assert clock.add(300, 3, NOW + 100, "gw") == (300, 400)
    assert clock.add(100, 1, NOW - 100, "gw") == (BEGINNING, 200)
    assert clock.add(300, 9, NOW + 101, "gw") == (300, 400)
    assert clock.add(300, 8, NOW + 102, "gw") is None


def test_what_a_node_believed_after_a_reset_counts_until_it_is_told_and_no_longer() -> None:
    believed, told, told_again = (
        (0, 1, NOW - 3_600_000, "rtc"),
        (9000, 2, NOW + 9000, "gw"),
        (20_000, 3, NOW + 20_005, "gw"),
    )
    assert clock_of(believed).utc_ms(5) == NOW - 3_600_000 + 5
    for order in permutations((believed, told, told_again)):
        clock = clock_of(*order)
        assert [clock.utc_ms(t_ms) for t_ms in (0, 8999, 9000, 20_000)] == [
            NOW,
            NOW + 8999,
            NOW + 9000,
            NOW + 20_005,
        ]
    clock = clock_of(believed)
    assert clock.add(*told) == (BEGINNING, END)  # all that it had dated
    assert clock.add(*believed) is None
    assert clock.copy().add(*believed) is None


def test_a_copy_does_not_follow() -> None:
    clock = clock_of((100, 1, NOW))
    twin = clock.copy()
    clock.add(50, 2, NOW + 5000, "gw")
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


def span(clock: BootClock, since_ms: int, t_ms: int) -> tuple[int, int] | None:
    found = alive_span(clock, since_ms, t_ms)
    return None if found is None else (found.start_ms - NOW, found.stop_ms - NOW)


def test_an_alive_record_covers_the_time_since_it_began() -> None:
    assert span(BootClock(), 0, 300_000) is None
    clock = clock_of((0, 1, NOW))
    assert span(clock, 0, 300_000) == (0, 300_000)
    assert span(clock, 300_000, 300_000) is None
    assert span(clock, 0, 10 * MAX_ALIVE_MS) == (9 * MAX_ALIVE_MS, 10 * MAX_ALIVE_MS)


@pytest.mark.parametrize("error_ms", [3, -3, 10_000, -10_000])
def test_alive_records_in_a_row_leave_no_gap_where_the_clock_was_corrected(error_ms: int) -> None:
    clock = clock_of((0, 1, NOW), (450_000, 2, NOW + 450_000 + error_ms))
    assert span(clock, 0, 300_000) == (0, 300_000)
    assert span(clock, 300_000, 600_000) == (300_000, 600_000 + error_ms)


@pytest.mark.parametrize("error_ms", [10_001, -10_001, 3_600_000, -86_400_000 * 400])
def test_a_clock_that_was_stepped_covers_what_really_passed(error_ms: int) -> None:
    clock = clock_of((0, 1, NOW), (450_000, 2, NOW + 450_000 + error_ms))
    assert span(clock, 300_000, 600_000) == (300_000 + error_ms, 600_000 + error_ms)


def test_the_news_of_an_alive_record_is_what_the_last_one_did_not_cover() -> None:
    clock = clock_of((0, 1, NOW), (1_000_000, 2, NOW + 1_000_005))

    def news(since_ms: int, t_ms: int, last: tuple[int, int]) -> tuple[int, int]:
        start, stop = alive_span(clock, since_ms, t_ms).news_since(alive_span(clock, *last))
        return start - NOW, stop - NOW

    assert news(0, 600_000, (0, 300_000)) == (300_000, 600_000)
    assert news(300_000, 600_000, (0, 300_000)) == (300_000, 600_000)
    assert news(100_000, 600_000, (0, 300_000)) == (100_000, 600_000)  # another beginning: all of it
    assert news(0, 1_200_000, (0, 900_000)) == (0, 1_200_005)  # another clock: all of it
    late = 2_000_000 + MAX_ALIVE_MS
    assert news(0, late + 300_000, (0, late)) == (late + 5, late + 300_005)
