"""Real weeks of people through real parts: what InfluxDB says in the end is the data set's own number, hour by hour."""

from collections import Counter
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from footfall_simulator import parts
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
from tests.rig import QUIET_NODE, TIMEZONE, Rig
from tests.servers import InfluxDB, Mosquitto

RATE = 5000.0
GRACE_MS = 3 * HOUR_MS


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


def test_a_week_through_two_doors_reads_back_as_the_data_set_has_it(
    tmp_path: Path, micropython: parts.Micropython, mosquitto: Mosquitto, influxdb: InfluxDB
) -> None:
    main = move_to(
        between(read_profile(CALIT2, "main"), date(2005, 10, 3), date(2005, 10, 9)), date(2026, 3, 2)
    )
    yard = move_to(
        between(read_profile(CALIT2, "yard"), date(2005, 10, 10), date(2005, 10, 16)), date(2026, 3, 2)
    )
    slots = to_slots(main + yard, TIMEZONE)
    begin = min(slot.start_ms for slot in slots)
    end = max(slot.start_ms + slot.length_ms for slot in slots)
    with Rig(tmp_path, micropython, mosquitto, influxdb, begin - 60_000, RATE) as rig:
        rig.town.add(
            "ff-main", "main", config=QUIET_NODE, ticks_start_ms=(1 << 30) - 86_400_000
        )  # the tick counter wraps on the second day
        rig.town.add("ff-yard", "yard", config=QUIET_NODE)
        rig.town.walk(schedule_profile(slots, seed=1))
        rig.start()
        rig.run_until(end + GRACE_MS)
        rig.settle()

        assert rig.town.walked == rig.town.counted
        assert by_local_hour(rig.written()) == local_hours(main + yard)
        for door in ("main", "yard"):
            rows = [row for row in rig.hours(door) if begin <= row["time"] < end]
            assert len(rows) == 7 * 24, "an hour is missing"
            assert min(row["covered_s"] for row in rows[1:]) == 3600, "an hour was watched, but not covered"
