"""People who walk past outside: never visitors, buckets of their own, and a capture rate only where both were watched."""

from pathlib import Path

import pytest

from footfall_gateway.export import export_hours, export_passers_by
from footfall_gateway.ingest import Batch
from footfall_gateway.places import PASSERS_BY, Placement
from tests.contract.test_ledger_accounts import GRACE, HOUR, MINUTE, NINE, QUARTER, Bench

MAIN = Placement("lab", "main", "ff-1", 0)
STREET = Placement("lab", "street", "ff-1", 1, role=PASSERS_BY)
LATE = NINE + 10 * HOUR


def passages(barrier: int, direction: int, *minutes: int) -> list[tuple]:
    return [(minute * MINUTE, "P", barrier, direction, 400) for minute in minutes]


def watched(until_minute: int, since_minute: int = 0) -> tuple:
    return (until_minute * MINUTE, "A", since_minute * MINUTE, 0, 0)


@pytest.fixture
def bench(tmp_path: Path):
    one = Bench(tmp_path / "ledger.sqlite", MAIN, STREET)
    yield one
    one.ledger.close()


def capture(bench: Bench, now_ms: int = LATE) -> list[str]:
    return bench.lines(now_ms, "capture_hour")


def test_people_outside_are_no_visitors_anywhere(bench):
    bench.send(*passages(0, 1, 5, 6), *passages(1, 1, 1, 2, 3), *passages(1, -1, 4), watched(60))
    lines = bench.lines(LATE)
    assert [line for line in lines if line.startswith("footfall_hour")] == [
        f"footfall_hour,door=main,site=lab calibrated_in=2,calibrated_out=0,covered_s=3600i,faults=0i,in=2i,out=0i,undirected=0i {NINE}000000"
    ]
    assert not any("street" in line for line in lines if line.startswith("footfall_"))
    now = bench.accounts.occupancy("lab", NINE + HOUR)
    assert (now.persons, now.in_today, now.out_today) == (2, 2, 0)
    assert [(row.door, row.n_in, row.n_out) for row in export_hours(bench.ledger)] == [("main", 2, 0)]


def test_both_directions_are_one_number_with_its_coverage(bench):
    bench.send(
        *passages(1, 1, 1, 2, 3), *passages(1, -1, 4), *passages(1, 0, 7), watched(30), watched(90, 60)
    )
    assert bench.lines(LATE, "passersby_hour") == [
        f"passersby_hour,door=street,site=lab covered_s=1800i,passers_by=0i {NINE + HOUR}000000",
        f"passersby_hour,door=street,site=lab covered_s=1800i,passers_by=5i {NINE}000000",
    ]
    assert [(row.place, row.hour_utc, row.passers_by, row.covered_s) for row in export_passers_by(bench.ledger)] == [
        ("street", "2026-05-29T09:00:00Z", 5, 1800),
        ("street", "2026-05-29T10:00:00Z", 0, 1800),
    ]  # fmt: skip


def test_an_hour_that_nobody_watched_is_not_there(bench):
    bench.send(*passages(1, 1, 1), watched(60), watched(180, 120))
    assert [row.hour_utc[11:13] for row in export_passers_by(bench.ledger)] == []
    bench.work(LATE)
    assert [row.hour_utc[11:13] for row in export_passers_by(bench.ledger)] == ["09", "11"]


def test_the_capture_rate_has_its_two_numbers_over_the_same_time(bench):
    bench.send(*passages(0, 1, 5, 6, 50), *passages(0, -1, 20), *passages(1, 1, *range(10, 18)), watched(60))
    assert capture(bench) == [
        f"capture_hour,door=street,site=lab covered_s=3600i,passers_by=8i,visitors=3i {NINE}000000"
    ]


def test_quarters_in_which_one_of_the_two_was_blind_are_in_neither_number(bench):
    blind = [(16 * MINUTE, "F", 1, 0, 1), (29 * MINUTE, "F", 1, 0, 0)]  # outside, in the second quarter
    door_blind = [(31 * MINUTE, "F", 0, 0, 1), (44 * MINUTE, "F", 0, 0, 0)]  # the door, in the third
    bench.send(
        *passages(0, 1, 1, 20, 40, 50), *passages(1, 1, 2, 3, 15, 46), *passages(1, 1, 35, 36), *blind, *door_blind,
        watched(60),
    )  # fmt: skip
    assert capture(bench) == [
        f"capture_hour,door=street,site=lab covered_s=1800i,passers_by=3i,visitors=2i {NINE}000000"
    ]


@pytest.mark.parametrize(
    "records",
    [
        pytest.param([*passages(0, 1, 5), watched(60)], id="nobody passed by"),
        pytest.param(
            [*passages(0, 1, 5), *passages(1, 1, 6), watched(10)], id="no quarter was watched whole"
        ),
        pytest.param(
            [*passages(0, 1, 5), *passages(1, 1, 6), (1000, "F", 0, 0, 1), watched(60)],
            id="the door was blind",
        ),
        pytest.param(
            [*passages(0, 1, 5), *passages(1, 1, 6), (1000, "F", 1, 0, 1), watched(60)],
            id="outside was blind",
        ),
        pytest.param([*passages(0, 0, 5), *passages(1, 1, 6), watched(60)], id="the door knows no direction"),
    ],
)
def test_where_there_is_no_capture_rate_there_is_no_point(bench, records):
    bench.send(*records)
    assert capture(bench) == []


def test_nobody_who_came_in_is_a_rate_of_zero_where_both_were_watched(bench):
    bench.send(*passages(1, 1, 6, 7), watched(60))
    assert capture(bench) == [
        f"capture_hour,door=street,site=lab covered_s=3600i,passers_by=2i,visitors=0i {NINE}000000"
    ]


DAY = 24 * 60


def test_a_door_with_a_single_beam_has_no_rate_of_zero_in_its_quiet_hours(bench):
    bench.send(
        *passages(1, 1, 6, 7),
        watched(60),
        *passages(1, 1, 2 * DAY + 6, 2 * DAY + 7),
        watched(2 * DAY + 60, 2 * DAY),
    )
    assert [line.split("visitors=")[1] for line in capture(bench, LATE + 3 * 24 * HOUR)] == [
        f"0i {NINE}000000",
        f"0i {NINE + 48 * HOUR}000000",
    ]
    bench.send(*passages(0, 0, DAY + 5))  # comes late: whoever passes has no direction
    assert [line.split(" ")[1] for line in capture(bench, LATE + 4 * 24 * HOUR)] == [
        "covered_s=0i,passers_by=0i,visitors=0i"
    ] * 2
    bench.send(*passages(1, 1, 3 * DAY + 6), watched(3 * DAY + 60, 3 * DAY))
    assert capture(bench, LATE + 5 * 24 * HOUR) == []


def test_a_door_that_gets_its_second_beam_has_a_rate_a_week_later(bench):
    for day in (1, 8, 9):
        bench.send(*passages(1, 1, day * DAY + 6), watched(day * DAY + 60, day * DAY))
    bench.send(*passages(0, 0, DAY + 20), *passages(0, 1, 8 * DAY + 20, 9 * DAY + 20))
    assert [line.split(" ")[2] for line in capture(bench, LATE + 20 * 24 * HOUR)] == [
        f"{NINE + 9 * 24 * HOUR}000000"
    ]


def test_people_outside_are_compared_with_all_doors_of_the_site_or_with_the_door_of_their_id(tmp_path):
    yard = Placement("lab", "yard", "ff-2", 0)
    bench = Bench(tmp_path / "ledger.sqlite", MAIN, STREET, yard)
    at_main = Placement("lab", "main", "ff-1", 2, role=PASSERS_BY)
    bench.send(*passages(0, 1, 5), *passages(1, 1, 6, 7), *passages(2, 1, 1, 2, 3), watched(60))
    assert capture(bench) == []  # nobody watched the yard
    bench.send(*passages(0, 1, 5, 6, 7, 8), watched(60), node="ff-2")
    assert capture(bench) == [
        f"capture_hour,door=street,site=lab covered_s=3600i,passers_by=2i,visitors=5i {NINE}000000"
    ]
    bench.settle(MAIN, STREET, yard, at_main)
    assert capture(bench, LATE + HOUR) == [
        f"capture_hour,door=main,site=lab covered_s=3600i,passers_by=3i,visitors=1i {NINE}000000"
    ]
    assert [row.place for row in export_passers_by(bench.ledger)] == ["main", "street"]
    bench.ledger.close()


def test_late_people_correct_both(bench):
    bench.send(*passages(0, 1, 5), *passages(1, 1, 6, 7), watched(60))
    bench.lines(LATE)
    bench.send(*passages(1, 1, 8), *passages(0, 1, 9), now_ms=LATE)
    assert bench.lines(LATE + GRACE, "passersby_hour") == [
        f"passersby_hour,door=street,site=lab covered_s=3600i,passers_by=3i {NINE}000000"
    ]
    bench.send(*passages(1, -1, 10), now_ms=LATE)
    assert capture(bench, LATE + 2 * GRACE) == [
        f"capture_hour,door=street,site=lab covered_s=3600i,passers_by=4i,visitors=2i {NINE}000000"
    ]


def test_a_rate_that_does_not_hold_any_more_is_overwritten_with_zeros(bench):
    bench.send(*passages(0, 1, 5), *passages(1, 1, 6, 7), watched(60))
    bench.lines(LATE)
    bench.send((100, "F", 0, 1, 1), now_ms=LATE)  # comes late: the door had been blind
    assert capture(bench, LATE + GRACE) == [
        f"capture_hour,door=street,site=lab covered_s=0i,passers_by=0i,visitors=0i {NINE}000000"
    ]


def test_a_barrier_that_becomes_one_for_passers_by_counts_no_visitors_from_that_day_on(tmp_path):
    eleven = NINE + 2 * HOUR
    bench = Bench(
        tmp_path / "ledger.sqlite",
        MAIN,
        Placement("lab", "main", "ff-1", 0, eleven, role=PASSERS_BY),
    )
    bench.send(*passages(0, 1, 5, 100, 125, 130), watched(180))
    bench.work(LATE)
    assert [(row.hour_utc[11:13], row.n_in, row.covered_s) for row in export_hours(bench.ledger)] == [
        ("09", 1, 3600),
        ("10", 1, 3600),
    ]
    assert [(row.hour_utc[11:13], row.passers_by, row.covered_s) for row in export_passers_by(bench.ledger)] == [
        ("11", 2, 3600)
    ]  # fmt: skip
    bench.ledger.close()


def test_settings_that_make_a_door_of_it_move_what_was_counted_so_far(bench):
    bench.send(*passages(1, 1, 5, 6), watched(60))
    bench.lines(LATE)
    bench.settle(MAIN, Placement("lab", "street", "ff-1", 1))
    lines = bench.lines(LATE + HOUR)
    assert f"passersby_hour,door=street,site=lab covered_s=0i,passers_by=0i {NINE}000000" in lines
    assert any(line.startswith("footfall_hour,door=street,site=lab") and "in=2i" in line for line in lines)
    assert list(export_passers_by(bench.ledger)) == []


def test_people_outside_stay_after_single_records_have_become_quarters(bench):
    bench.send(*passages(1, 1, 5), *passages(1, 0, 20), watched(60))
    bench.ledger.compact(NINE + 200 * 24 * HOUR)
    bench.settle(MAIN, STREET, publish=False)
    with bench.ledger.database.writing() as sql:
        sql.execute("DELETE FROM passersby_quarter")
        sql.execute("INSERT OR IGNORE INTO dirty SELECT quarter_ms, node_id FROM compacted_passages")
    bench.work(LATE)
    assert [(row.passers_by) for row in export_passers_by(bench.ledger)] == [2]


def test_presses_at_a_node_with_both_belong_to_the_door(tmp_path):
    bench = Bench(
        tmp_path / "ledger.sqlite",
        Placement("lab", "a", "ff-1", 0, role=PASSERS_BY),
        Placement("lab", "z", "ff-1", 1),
    )
    bench.send((MINUTE, "B", 0, 1), watched(60))
    assert [line.split(" ")[0] for line in bench.lines(LATE, "feedback_hour")] == [
        "feedback_hour,answer=button-0,door=z,question=revision-1,site=lab"
    ]
    bench.ledger.close()


def test_roles_do_not_make_existing_sites_be_worked_out_anew(tmp_path):
    bench = Bench(tmp_path / "ledger.sqlite", MAIN)
    with bench.ledger.database.reading() as sql:
        before = sql.execute("SELECT value FROM meta WHERE key = 'places'").fetchone()
    # worked out by the version before roles, for these very settings
    assert before == ("0d6a966802019f32f7860bd53b62d3b8",)
    bench.ledger.close()


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_in_which_a_single_beam_shows_changes_nothing(tmp_path, order):
    bench = Bench(tmp_path / "ledger.sqlite", MAIN, STREET)
    records = [(0, "C", NINE, "gw")]
    for day in range(0, 30, 5):
        records += [*passages(1, 1, day * DAY + 6), watched(day * DAY + 60, day * DAY)]
    records += passages(0, 0, 12 * DAY)
    one_by_one = [Batch("ff-1", "8f3a01c2", 1, seq, (record,)) for seq, record in enumerate(records, 1)]
    for batch in one_by_one[::order]:
        bench.ledger.store([batch], now_ms=NINE + 40 * 24 * HOUR)
        bench.work(NINE + 40 * 24 * HOUR)
    days = [NINE + day * 24 * HOUR for day in (0, 20, 25)]
    told = {
        line.split(" ")[2]: line.split(" ")[1] for line in capture(bench, NINE + 41 * 24 * HOUR)
    }  # the last line of an hour
    assert {at for at, fields in told.items() if "passers_by=1i" in fields} == {
        f"{day}000000" for day in days
    }
    bench.ledger.close()


@pytest.mark.parametrize("order", [1, -1])
def test_order_of_arrival_changes_nothing(tmp_path, order):
    bench = Bench(tmp_path / "ledger.sqlite", MAIN, STREET)
    records = [(0, "C", NINE, "gw"), *passages(0, 1, 5, 20), *passages(1, 1, 6, 30), watched(60)]
    one_by_one = [Batch("ff-1", "8f3a01c2", 1, seq, (record,)) for seq, record in enumerate(records, 1)]
    for batch in one_by_one[::order]:
        bench.ledger.store([batch], now_ms=NINE + QUARTER)
        bench.work(NINE + QUARTER)
    assert capture(bench) == [
        f"capture_hour,door=street,site=lab covered_s=3600i,passers_by=2i,visitors=2i {NINE}000000"
    ]
    bench.ledger.close()
