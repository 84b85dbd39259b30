"""When a bucket is written, what it says, and that nobody is shown a false zero."""

import re
from pathlib import Path

import pytest

from footfall_gateway.accounts import LATE_SETTLE_MS, Accounts
from footfall_gateway.export import export_hours
from footfall_gateway.ingest import Batch
from footfall_gateway.ledger import Ledger
from footfall_gateway.outbox import Outbox, point_line
from footfall_gateway.places import Placement, Places, Question, Site

MINUTE, QUARTER, HOUR = 60_000, 900_000, 3_600_000
DAY_0 = 1_780_012_800_000  # 2026-05-29 00:00 UTC, 02:00 in Berlin
NINE = DAY_0 + 9 * HOUR
GRACE = 10 * MINUTE
LAB = Site("lab", "Lab", "Europe/Berlin", 60)
MAIN = Placement("lab", "main", "ff-1", 0)


class Bench:
    """A ledger with accounts, and a node that began at nine and knows the time."""

    def __init__(
        self, path: Path, *placements: Placement, publish: bool = True, sites: tuple[Site, ...] = (LAB,)
    ) -> None:
        self.ledger = Ledger.open(path)
        self.outbox = Outbox(self.ledger)
        self.seq: dict[str, int] = {}
        self.settle(*(placements or (MAIN,)), publish=publish, sites=sites)

    def settle(
        self, *placements: Placement, publish: bool = True, sites: tuple[Site, ...] = (LAB,), **more: object
    ) -> None:
        """As a start of the gateway with these settings."""
        places = Places(sites, placements, **more)  # type: ignore[arg-type]
        self.accounts = Accounts(self.ledger, places, publish=publish, grace_ms=GRACE)

    def send(
        self, *records: tuple, node: str = "ff-1", now_ms: int = NINE + 100 * HOUR, skip: int = 0
    ) -> None:
        """The node's next records; the first of all says that at t = 0 it was nine."""
        if node not in self.seq:
            self.seq[node] = 1
            records = ((0, "C", NINE, "gw"), *records)
        seq = self.seq[node] + skip
        self.seq[node] = seq + len(records)
        self.ledger.store([Batch(node, "8f3a01c2", 1, seq, records)], now_ms=now_ms)

    def lines(self, now_ms: int, measurement: str = "") -> list[str]:
        """What InfluxDB is told up to this moment, the last records being a while ago; occupancy only if asked for."""
        if not measurement.startswith("occupancy"):
            self.work(now_ms - LATE_SETTLE_MS)
        self.work(now_ms)
        items = self.outbox.take(10_000)
        self.outbox.done([item.id for item in items])
        return sorted(
            item.line
            for item in items
            if item.line.startswith(measurement) and (measurement or not item.line.startswith("occupancy"))
        )

    def work(self, now_ms: int) -> None:
        while self.accounts.work(now_ms).more:
            pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def bench(path: Path):
    one = Bench(path)
    yield one
    one.ledger.close()


def alive(minute: int, since: int) -> tuple:
    return (minute * MINUTE, "A", since * MINUTE, 0, 0)


def passed_in(minute: float) -> tuple:
    return (int(minute * MINUTE), "P", 0, 1, 400)


def passed_out(minute: float) -> tuple:
    return (int(minute * MINUTE), "P", 0, -1, 400)


def bucket_line(what: str, start_ms: int, door: str = "main", **fields: float) -> str:
    values = {"in": 0, "out": 0, "undirected": 0, "covered_s": 0, "faults": 0} | fields
    calibrated = {"calibrated_in": float(values["in"]), "calibrated_out": float(values["out"])}
    return point_line(f"footfall_{what}", {"site": "lab", "door": door}, calibrated | values, start_ms)


# When


def test_a_bucket_is_written_once_its_end_and_the_grace_have_passed_and_then_no_more(bench: Bench) -> None:
    bench.send(passed_in(3), passed_in(4), passed_out(5), alive(15, 0))
    assert bench.lines(NINE + QUARTER + GRACE - 1) == []
    quarter = bucket_line("quarter", NINE, **{"in": 2, "out": 1}, covered_s=900)
    assert bench.lines(NINE + QUARTER + GRACE) == [quarter]
    assert bench.lines(NINE + HOUR + GRACE - 1) == []
    assert bench.lines(NINE + HOUR + GRACE) == [
        bucket_line("hour", NINE, **{"in": 2, "out": 1}, covered_s=900)
    ]
    assert bench.lines(NINE + 50 * HOUR) == []


def test_a_late_record_corrects_its_quarter_and_its_hour_and_nothing_else(bench: Bench) -> None:
    bench.send(passed_in(3), alive(60, 0), passed_in(70), alive(120, 60))
    bench.lines(NINE + 5 * HOUR)
    bench.send(passed_out(4))
    bench.work(NINE + 9 * HOUR)
    bench.work(NINE + 9 * HOUR + LATE_SETTLE_MS - 1)  # more of it may follow within seconds
    assert not any("footfall" in item.line for item in bench.outbox.take())
    assert bench.lines(NINE + 9 * HOUR + LATE_SETTLE_MS) == [
        bucket_line("hour", NINE, **{"in": 1, "out": 1}, covered_s=3600),
        bucket_line("quarter", NINE, **{"in": 1, "out": 1}, covered_s=900),
    ]
    assert bench.lines(NINE + 10 * HOUR) == []


def test_a_record_that_changes_nothing_writes_nothing(bench: Bench) -> None:
    bench.send(passed_in(3), alive(60, 0))
    bench.lines(NINE + 5 * HOUR)
    bench.send(alive(30, 10), (31 * MINUTE, "E", 0, 1))
    assert bench.lines(NINE + 9 * HOUR) == []


def test_results_gathered_without_influxdb_are_all_written_once_it_is_there(path: Path) -> None:
    bench = Bench(path, publish=False)
    bench.send(passed_in(3), alive(60, 0))
    assert bench.lines(NINE + 5 * HOUR) == []
    assert [hour.bucket.n_in for hour in bench.accounts.hours()] == [1]
    bench.settle(MAIN, publish=True)
    assert len(bench.lines(NINE + 5 * HOUR)) == 5
    bench.ledger.close()


# Zero is not missing


def test_a_watched_quarter_without_anybody_is_zero_and_an_unwatched_one_is_not_there(bench: Bench) -> None:
    bench.send(alive(15, 0), passed_in(31), alive(45, 40))
    lines = bench.lines(NINE + 5 * HOUR)
    assert lines == [
        bucket_line("hour", NINE, **{"in": 1}, covered_s=1200),
        bucket_line("quarter", NINE, covered_s=900),
        bucket_line("quarter", NINE + 2 * QUARTER, **{"in": 1}, covered_s=300),
    ]
    assert [(hour.start_ms, hour.bucket.n_in) for hour in bench.accounts.hours()] == [(NINE, 1)]


def test_a_quarter_behind_a_blocked_beam_is_not_zero_visitors(bench: Bench) -> None:
    bench.send((0, "F", 0, 1, 1), alive(60, 0), (70 * MINUTE, "F", 0, 1, 0), alive(75, 60))
    lines = bench.lines(NINE + 9 * HOUR)
    assert set(lines) == {
        point_line("footfall_hour", {"site": "lab", "door": "main"}, {"covered_s": 0, "faults": 1}, NINE),
        bucket_line("hour", NINE + HOUR, covered_s=300),
        point_line("footfall_quarter", {"site": "lab", "door": "main"}, {"covered_s": 0, "faults": 1}, NINE),
        bucket_line("quarter", NINE + HOUR, covered_s=300),
    }
    assert not any("in=" in line for line in lines if "covered_s=0i" in line)
    assert [row.hour_utc for row in export_hours(bench.ledger)] == ["2026-05-29T10:00:00Z"]


def test_a_node_that_was_offline_but_counting_is_covered(bench: Bench) -> None:
    bench.send(*(alive(minute, minute - 5) for minute in range(5, 65, 5)), now_ms=NINE + 72 * HOUR)
    assert bench.lines(NINE + 73 * HOUR)[0] == bucket_line("hour", NINE, covered_s=3600)


def test_a_bucket_that_turns_out_empty_is_overwritten_as_unwatched(bench: Bench) -> None:
    bench.send(passed_in(3), alive(15, 0))
    bench.lines(NINE + 5 * HOUR)
    # The first clock record was wrong by a day; the right one arrives late and comes first in the boot's own time.
    bench.ledger.store(
        [Batch("ff-1", "8f3a01c2", 1, 90, ((1, "C", NINE - 24 * HOUR + 1, "ntp"),))], now_ms=NINE + 100 * HOUR
    )
    lines = bench.lines(NINE + 102 * HOUR)
    assert set(lines) == {
        bucket_line("hour", NINE - 24 * HOUR, **{"in": 1}, covered_s=900),
        bucket_line("hour", NINE),
        bucket_line("quarter", NINE - 24 * HOUR, **{"in": 1}, covered_s=900),
        bucket_line("quarter", NINE),
    }
    assert [row.hour_utc for row in export_hours(bench.ledger)] == ["2026-05-28T09:00:00Z"]


def test_lost_records_and_faults_are_counted_where_they_happened(bench: Bench) -> None:
    bench.send((1 * MINUTE, "F", 0, 0, 1), (2 * MINUTE, "F", 0, 0, 0), (20 * MINUTE, "L", 7))
    bench.send(alive(30, 0), skip=6)
    lines = bench.lines(NINE + 5 * HOUR)
    assert lines == [
        bucket_line("hour", NINE, covered_s=1740, faults=2),
        bucket_line("quarter", NINE, covered_s=840, faults=1),
        bucket_line("quarter", NINE + QUARTER, covered_s=900, faults=1),
    ]
    (spool,) = bench.ledger.spools()
    assert (spool.lost, spool.missing) == (7, 0)


def test_a_loss_that_did_not_happen_is_taken_back(bench: Bench) -> None:
    bench.send(alive(15, 0), (20 * MINUTE, "L", 2))
    assert bench.lines(NINE + 5 * HOUR, "footfall_hour") == [
        bucket_line("hour", NINE, covered_s=900, faults=1)
    ]
    bench.seq["ff-1"] -= 1
    bench.send(passed_in(3))
    assert bench.lines(NINE + 6 * HOUR) == [
        bucket_line("hour", NINE, **{"in": 1}, covered_s=900),
        bucket_line("quarter", NINE, **{"in": 1}, covered_s=900),
        point_line(
            "footfall_quarter", {"site": "lab", "door": "main"}, {"covered_s": 0, "faults": 0}, NINE + QUARTER
        ),
    ]


def test_an_alive_record_vouches_for_six_hours_at_most(bench: Bench) -> None:
    bench.send(alive(24 * 60, 0))
    lines = bench.lines(NINE + 50 * HOUR, "footfall_hour")
    assert lines == [bucket_line("hour", NINE + hour * HOUR, covered_s=3600) for hour in range(18, 24)]


def test_a_clock_stepped_by_years_does_not_cover_years(bench: Bench) -> None:
    bench.send(
        passed_in(1),
        (10 * MINUTE, "C", NINE + 366 * 24 * HOUR, "ntp"),
        alive(15, 0),
        now_ms=NINE + 400 * 24 * HOUR,
    )
    lines = bench.lines(NINE + 400 * 24 * HOUR, "footfall_hour")
    assert len(lines) == 3  # the passage's; the hour of the alive record and the one before it
    assert sum(int(line.split("covered_s=")[1].split("i")[0]) for line in lines) == 15 * 60


def test_what_is_dated_in_the_future_waits_for_its_time(bench: Bench) -> None:
    bench.send(passed_in(3), passed_in(60 * 24 * 365 * 30), alive(15, 0))
    bench.work(NINE + 5 * HOUR)
    assert [row.hour_utc for row in export_hours(bench.ledger)] == ["2026-05-29T09:00:00Z"]
    assert bench.ledger.counters().dirty == 1


def test_a_day_counted_by_a_clock_years_ahead_comes_back_once_a_person_says_so(bench: Bench) -> None:
    ahead = 3650 * 24 * HOUR
    only_the_wrong_time = ((0, "C", NINE - 24 * HOUR + ahead, "gw"), passed_in(1), alive(15, 0))
    right_time_later = (
        (0, "C", NINE + ahead, "gw"),
        passed_in(3),
        (4 * MINUTE, "B", 0, 3),
        alive(60, 0),
    )
    bench.ledger.store(
        [
            Batch("ff-1", "8f3a01c2", 1, 1, only_the_wrong_time),
            Batch("ff-1", "8f3a01c2", 2, 4, right_time_later),
        ],
        now_ms=NINE + ahead + HOUR,
    )
    told = bench.lines(NINE + ahead + 3 * HOUR)
    assert f"{NINE + ahead}000000" in told[0]
    bench.work(NINE + 3 * HOUR)  # the clock has been set right
    assert [row.hour_utc[:4] for row in export_hours(bench.ledger)] == ["2036", "2036"]

    bench.ledger.trust_clock("ben", "it had been set to 2036", NINE + 3 * HOUR)
    assert [(one.boot, one.n_in) for one in bench.ledger.undated()] == [(1, 1), (2, 1)]
    assert bench.ledger.counters().quarantined_by_reason == {"bad clock": 2}
    bench.ledger.store(
        [Batch("ff-1", "8f3a01c2", 2, 8, ((90 * MINUTE, "C", NINE + 90 * MINUTE, "gw"),))],
        now_ms=NINE + 3 * HOUR,
    )
    assert [one.boot for one in bench.ledger.undated()] == [1]
    lines = bench.lines(NINE + 4 * HOUR)
    assert bucket_line("hour", NINE, **{"in": 1}, covered_s=3600) in lines
    assert any(line.startswith("feedback_hour") and "presses=1i" in line for line in lines)
    taken_back = [line for line in lines if int(line.split(" ")[-1]) > (NINE + ahead - 48 * HOUR) * 1_000_000]
    assert len(taken_back) == len(told)
    assert not any(re.search(r"=[1-9]", line.split(" ")[1]) for line in taken_back)
    assert [row.hour_utc for row in export_hours(bench.ledger)] == ["2026-05-29T09:00:00Z"]


# Doors


def test_a_corrected_door_moves_its_buckets_and_empties_the_old_ones(bench: Bench) -> None:
    bench.send(passed_in(3), alive(15, 0))
    bench.lines(NINE + 5 * HOUR)
    bench.settle(Placement("lab", "back", "ff-1", 0))
    assert bench.lines(NINE + 6 * HOUR) == [
        bucket_line("hour", NINE, "back", **{"in": 1}, covered_s=900),
        bucket_line("hour", NINE),
        bucket_line("quarter", NINE, "back", **{"in": 1}, covered_s=900),
        bucket_line("quarter", NINE),
    ]
    bench.settle(Placement("lab", "back", "ff-1", 0))
    assert bench.lines(NINE + 7 * HOUR) == []


def test_a_door_entered_later_gets_what_its_barrier_counted_before(bench: Bench) -> None:
    bench.send((3 * MINUTE, "P", 2, 1, 400), alive(15, 0))
    assert [hour.bucket.n_in for hour in _hours(bench)] == [0]
    bench.settle(MAIN, Placement("lab", "side", "ff-1", 2))
    assert [(hour.door, hour.bucket.n_in) for hour in _hours(bench)] == [("main", 0), ("side", 1)]


def test_who_passes_in_the_very_moment_in_which_a_node_moves_is_counted_at_the_new_door_only(
    bench: Bench,
) -> None:
    moved_ms = NINE + 5 * MINUTE
    bench.settle(
        Placement("lab", "main", "ff-1", 0),
        Placement("lab", "side", "ff-1", 0, valid_from_ms=moved_ms),
    )
    bench.send(passed_in(4), passed_in(5), passed_in(6), alive(15, 0))
    assert [(hour.door, hour.bucket.n_in) for hour in _hours(bench)] == [("main", 1), ("side", 2)]


def test_a_wide_door_adds_its_barriers_and_is_watched_while_both_watch(path: Path) -> None:
    bench = Bench(path, MAIN, Placement("lab", "main", "ff-2", 1))
    bench.send(passed_in(3), alive(15, 0))
    bench.send((4 * MINUTE, "P", 1, 1, 400), alive(10, 5), node="ff-2")
    (hour,) = _hours(bench)
    assert (hour.bucket.n_in, hour.bucket.covered_s) == (2, 300)
    bench.ledger.close()


def test_calibrated_numbers_stand_beside_the_raw_ones(path: Path) -> None:
    bench = Bench(path, Placement("lab", "main", "ff-1", 0, 0, 1.25, 0.5))
    bench.send(*(passed_in(minute) for minute in range(1, 5)), passed_out(6), alive(15, 0))
    (line,) = bench.lines(NINE + 5 * HOUR, "footfall_hour")
    assert "calibrated_in=5,calibrated_out=0.5," in line
    assert "in=4i,out=1i," in line
    bench.ledger.close()


def test_passages_without_direction_are_neither_in_nor_out(bench: Bench) -> None:
    bench.send((3 * MINUTE, "P", 0, 0, 400), alive(60, 0))
    (line,) = bench.lines(NINE + 5 * HOUR, "footfall_hour")
    assert "in=0i,out=0i,undirected=1i" in line
    assert bench.accounts.occupancy("lab", NINE + HOUR).persons is None


# Feedback


def test_presses_are_counted_by_question_and_answer_at_their_door(path: Path) -> None:
    terminal = Placement("lab", "desk", "ff-t", None, answers=("good", "bad"))
    bench = Bench(path, MAIN, terminal)
    bench.settle(MAIN, terminal, questions=[Question(3, "clean")])
    press, minute = "B", MINUTE
    bench.send(
        (1 * minute, press, 0, 3), (2 * minute, press, 0, 3), (3 * minute, press, 1, 3), (4 * minute, "Q", 1, 6),
        (5 * minute, press, 2, 4), node="ff-t",
    )  # fmt: skip
    bench.send((6 * minute, press, 0, 3), (59 * minute, "Q", 0, 2))
    lines = bench.lines(NINE + 5 * HOUR, "feedback")

    def line(door: str, question: str, answer: str, presses: int, suppressed: int) -> str:
        tags = {"site": "lab", "door": door, "question": question, "answer": answer}
        return point_line("feedback_hour", tags, {"presses": presses, "suppressed": suppressed}, NINE)

    assert lines == sorted(
        [
            line("desk", "clean", "good", 2, 0),
            line("desk", "clean", "bad", 1, 6),
            line("desk", "revision-4", "button-2", 1, 0),
            line("main", "clean", "button-0", 1, 0),
            line("main", "revision-0", "button-0", 0, 2),  # no press within a quarter of an hour before it
        ]
    )
    bench.ledger.close()


def test_presses_move_with_a_terminal_that_is_entered_later(bench: Bench) -> None:
    bench.send((1 * MINUTE, "B", 0, 3), (20 * MINUTE, "Q", 0, 4))
    assert len(bench.lines(NINE + 5 * HOUR, "feedback")) == 2
    bench.settle(MAIN, Placement("lab", "desk", "ff-1", None, answers=("good",)))
    lines = bench.lines(NINE + 6 * HOUR, "feedback")
    assert sorted(line.rsplit(" ", 2)[0].split(",", 1)[1] + " " + line.split(" ")[1] for line in lines) == [
        "answer=button-0,door=main,question=revision-0,site=lab presses=0i,suppressed=0i",
        "answer=button-0,door=main,question=revision-3,site=lab presses=0i,suppressed=0i",
        "answer=good,door=desk,question=revision-0,site=lab presses=0i,suppressed=4i",
        "answer=good,door=desk,question=revision-3,site=lab presses=1i,suppressed=0i",
    ]


# Occupancy


def test_occupancy_is_told_when_it_changed_and_every_minute(bench: Bench) -> None:
    now = NINE + 20 * MINUTE
    assert bench.lines(now, "occupancy") == []  # nobody watched yet: not zero
    bench.send(passed_in(3), passed_in(4), passed_out(5), alive(15, 0))

    def line(at_ms: int, persons: int, n_in: int) -> str:
        fields = {"persons": persons, "in_today": n_in, "out_today": 1, "capacity": 60}
        return point_line("occupancy", {"site": "lab"}, fields, at_ms)

    assert bench.lines(now, "occupancy") == [line(now, 1, 2)]
    assert bench.lines(now + 59_999, "occupancy") == []
    assert bench.lines(now + 60_000, "occupancy") == [line(now + 60_000, 1, 2)]
    bench.send(passed_in(16))
    assert bench.lines(now + 69_999, "occupancy") == []
    assert bench.lines(now + 70_000, "occupancy") == [line(now + 70_000, 2, 3)]


def test_occupancy_is_not_told_while_a_door_goes_unwatched(path: Path) -> None:
    bench = Bench(path, MAIN, Placement("lab", "side", "ff-2", 0))
    bench.send(passed_in(3), alive(120, 0))
    assert bench.lines(NINE + 2 * HOUR, "occupancy") == []
    bench.send(alive(30, 0), node="ff-2")
    assert len(bench.lines(NINE + 30 * MINUTE + HOUR, "occupancy")) == 1
    assert bench.lines(NINE + 30 * MINUTE + HOUR + 1 + MINUTE, "occupancy") == []
    assert bench.accounts.occupancy("lab", NINE + 2 * HOUR).watched_until_ms == NINE + 30 * MINUTE
    bench.ledger.close()


def test_the_day_begins_at_local_midnight(bench: Bench) -> None:
    midnight = DAY_0 + 22 * HOUR  # 00:00 in Berlin
    minute = (midnight - NINE) // MINUTE
    bench.send(
        passed_in(minute - 1), passed_in(minute), passed_in(minute + 1), alive(minute + 15, minute - 15)
    )
    _hours(bench)
    before, after = (bench.accounts.occupancy("lab", at) for at in (midnight - 1, midnight))
    assert (before.in_today, before.day_start_ms) == (1, midnight - 24 * HOUR)
    assert (after.in_today, after.persons, after.day_start_ms) == (2, 2, midnight)


# Bounded work


def test_a_round_does_no_more_than_it_was_asked_and_the_present_comes_first(bench: Bench) -> None:
    bench.send(*(passed_in(minute) for minute in range(1, 48 * 60, 15)))
    worked = bench.accounts.work(NINE + 50 * HOUR, limit=4)
    assert (worked.quarters, worked.more) == (4, True)
    assert [hour.start_ms for hour in bench.accounts.hours()] == [NINE + 47 * HOUR]
    assert bench.ledger.counters().dirty == 48 * 4 - 4
    assert len(_hours(bench)) == 48


def test_nothing_is_written_of_an_hour_that_is_still_being_worked_out(bench: Bench) -> None:
    bench.send(*(passed_in(minute) for minute in range(1, 60, 15)), alive(60, 0))
    bench.accounts.work(NINE + 49 * HOUR, limit=1)
    bench.accounts.work(NINE + 50 * HOUR, limit=1)
    assert not any("footfall_hour" in item.line for item in bench.outbox.take(100))
    bench.accounts.work(NINE + 51 * HOUR, limit=9)
    assert [line.split(" ")[1] for line in bench.lines(NINE + 52 * HOUR, "footfall_hour")] == [
        "calibrated_in=4,calibrated_out=0,covered_s=3600i,faults=0i,in=4i,out=0i,undirected=0i"
    ]


def _hours(bench: Bench):
    bench.work(NINE + 50 * HOUR)
    return bench.accounts.hours()
