"""Real days of people through real parts: what InfluxDB says in the end is the data set's own number, hour by hour.

Virtual boards at two doors, mosquitto, `footfall run`, InfluxDB 1.6.7 read with InfluxQL. Nothing is compared with what
the code under test says of itself: the expected numbers are the rows of the data set.
"""

import time
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from footfall_simulator import parts
from footfall_simulator.people import IN, OUT
from footfall_simulator.profile import (
    CALIT2,
    LocalCount,
    between,
    move_to,
    read_profile,
    schedule_profile,
    to_slots,
)
from footfall_simulator.town import HOUR_MS, Hour
from tests.rig import DATABASE, QUIET_NODE, TIMEZONE, Rig
from tests.servers import InfluxDB, Mosquitto

RATE = 20000.0  # virtual seconds per second while nobody is at the doors and nothing is on the air
AFTERWARDS_MS = 3 * HOUR_MS  # until every bucket is closed
WEEK_S = 900  # real time; about 3 minutes beside other tests on two cores


def counts_of(door: str, first: date, days: int, moved_to: date) -> list[LocalCount]:
    """The data set's rows of some days, at a door of ours, on recent dates."""
    counts = between(read_profile(CALIT2, door), first, first + timedelta(days=days - 1))
    return move_to(counts, moved_to)


def local_hours(counts: list[LocalCount]) -> Counter[tuple[str, datetime, int]]:
    """The data set's own numbers by local hour, straight from its rows."""
    hours: Counter[tuple[str, datetime, int]] = Counter()
    for count in counts:
        if count.people:
            hours[count.door, count.start.replace(minute=0), count.direction] += count.people
    return hours


def by_local_hour(hours: Counter[Hour]) -> Counter[tuple[str, datetime, int]]:
    """UTC hours as the clock on the wall shows them."""
    zone = ZoneInfo(TIMEZONE)
    found: Counter[tuple[str, datetime, int]] = Counter()
    for hour, people in hours.items():
        local = datetime.fromtimestamp(hour.start_ms / 1000, zone).replace(tzinfo=None)
        found[hour.door, local, hour.direction] += people
    return found


def midnight_ms(day: date) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(TIMEZONE)).timestamp() * 1000)


@pytest.mark.timeout(WEEK_S + 400)
def test_a_week_through_two_doors_reads_back_as_the_data_set_has_it(
    tmp_path: Path, micropython: parts.Micropython, mosquitto: Mosquitto, influxdb: InfluxDB
) -> None:
    monday = date(2026, 3, 2)
    counts = counts_of("main", date(2005, 10, 3), 7, monday) + counts_of(
        "yard", date(2005, 10, 10), 7, monday
    )
    begin, end = midnight_ms(monday), midnight_ms(monday + timedelta(days=7))
    with Rig(tmp_path, micropython, mosquitto, influxdb, begin - 60_000, RATE) as rig:
        # the board's tick counter wraps in the afternoon of the first day
        rig.town.add("ff-main", "main", config=QUIET_NODE, ticks_start_ms=(1 << 30) - 15 * HOUR_MS)
        rig.town.add("ff-yard", "yard", config=QUIET_NODE)
        rig.town.walk(schedule_profile(to_slots(counts, TIMEZONE), seed=1))
        rig.start()
        rig.run_until(end + AFTERWARDS_MS, WEEK_S)
        rig.settle()

        until = (
            time.monotonic() + 60
        )  # what a node said of somebody may still be on its way through the console
        while rig.town.counted.total() < rig.town.walked.total() and time.monotonic() < until:
            time.sleep(0.05)
        assert rig.town.counted == rig.town.walked
        assert by_local_hour(rig.written()) == local_hours(counts)
        for door in ("main", "yard"):
            covered = {row["time"]: row["covered_s"] for row in rig.hours(door) if begin <= row["time"] < end}
            assert covered == dict.fromkeys(range(begin, end, HOUR_MS), 3600), "an hour is not covered whole"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("data_day", "day", "hours"),
    [
        # both have people in the night: before, in and after the hour that is left out or comes twice
        pytest.param(date(2005, 10, 21), date(2026, 3, 29), 23, id="spring, 23 hours"),
        pytest.param(date(2005, 10, 27), date(2026, 10, 25), 25, id="autumn, 25 hours"),
    ],
)
def test_a_day_on_which_the_clocks_change_reads_back_by_local_hour(
    tmp_path: Path,
    micropython: parts.Micropython,
    mosquitto: Mosquitto,
    influxdb: InfluxDB,
    data_day: date,
    day: date,
    hours: int,
) -> None:
    counts = counts_of("main", data_day, 1, day)
    begin, end = midnight_ms(day), midnight_ms(day + timedelta(days=1))
    assert end - begin == hours * HOUR_MS
    with Rig(tmp_path, micropython, mosquitto, influxdb, begin - 60_000, RATE) as rig:
        rig.town.add("ff-main", "main", config=QUIET_NODE)
        rig.town.walk(schedule_profile(to_slots(counts, TIMEZONE), seed=2))
        rig.start()
        rig.run_until(end + AFTERWARDS_MS)
        rig.settle()

        assert by_local_hour(rig.written()) == local_hours(counts)
        assert len([row for row in rig.hours("main") if begin <= row["time"] < end]) == hours
        days = influxdb.query(
            'SELECT sum("in") AS "in", sum("out") AS "out" FROM footfall_hour'
            f" WHERE time >= {begin}ms AND time < {end}ms GROUP BY time(1d) tz('{TIMEZONE}')",
            DATABASE,
        )
        assert [(row["in"], row["out"]) for row in days] == [
            tuple(sum(count.people for count in counts if count.direction == way) for way in (IN, OUT))
        ]
