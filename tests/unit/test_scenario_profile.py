"""Profiles: CalIt2 and tables are read as slots, and walks make exactly the counted numbers."""

import gzip
from collections import Counter
from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall_simulator.people import IN, OUT, Beams, edges_of, walk_to_crossings, walk_to_edges
from footfall_simulator.profile import (
    CALIT2,
    DEMO_DAY,
    LocalCount,
    ProfileError,
    SlotCount,
    between,
    move_to,
    read_profile,
    schedule_profile,
    to_slots,
)

BEAMS = Beams()
HALF_HOUR = 1_800_000


def local(text):
    """A time of the site's own clock: without a time zone."""
    return datetime.fromisoformat(text)


def written(tmp_path, text, name="counts.csv"):
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


def test_the_built_in_weeks_are_whole_and_begin_on_monday():
    counts = read_profile(CALIT2)
    assert len(counts) == 4 * 7 * 48 * 2
    assert min(count.start for count in counts) == local("2005-10-03 00:00")
    assert max(count.start for count in counts) == local("2005-10-30 23:30")
    assert min(count.start for count in counts).weekday() == 0
    assert len({(count.start, count.direction) for count in counts}) == len(counts)


def test_a_stamp_is_the_end_of_its_half_hour(tmp_path):
    counts = read_profile(written(tmp_path, "7,10/04/05,00:00:00,3\n9,10/04/05,09:30:00,5\n"), "north")
    assert counts == [
        LocalCount("north", local("2005-10-03 23:30"), 30, OUT, 3),
        LocalCount("north", local("2005-10-04 09:00"), 30, IN, 5),
    ]


def test_the_built_in_numbers_are_the_files_own():
    """Summed by hand from the text, without the reader."""
    own = Counter()
    for line in CALIT2.read_text("ascii").split():
        flow, _, _, people = line.split(",")
        own[flow] += int(people)
    read = Counter()
    for count in read_profile(CALIT2):
        read[count.direction] += count.people
    assert (read[IN], read[OUT]) == (own["9"], own["7"])


def test_a_table_with_local_times_and_minutes_is_read(tmp_path):
    path = written(tmp_path, "door,start,minutes,in,out\nyard,2026-05-04T09:00,15,4,1\n")
    assert read_profile(path) == [
        LocalCount("yard", local("2026-05-04 09:00"), 15, IN, 4),
        LocalCount("yard", local("2026-05-04 09:00"), 15, OUT, 1),
    ]


def test_an_export_of_the_gateway_is_a_profile(tmp_path):
    path = written(tmp_path, "site,door,hour_utc,in,out,covered_s\nlab,main,2026-05-04T09:00:00Z,4,1,3600\n")
    slots = to_slots(read_profile(path), "Europe/Berlin")
    start_ms = int(datetime.fromisoformat("2026-05-04T09:00:00+00:00").timestamp()) * 1000
    assert slots == [
        SlotCount("main", start_ms, 3_600_000, IN, 4),
        SlotCount("main", start_ms, 3_600_000, OUT, 1),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["line 1 is empty"]),
        ("a,b\n1,2\n", ["line 1", "start,in,out"]),
        ("start,in,out,colour\n", ["line 1", "'colour'"]),
        ("start,in,out\nyesterday,1,2\n", ["line 2", "start", "'yesterday'"]),
        ("start,in,out\n2026-05-04T09:00,-1,2\n", ["line 2", "in", "'-1'"]),
        ("start,in,out\n2026-05-04T09:00,1,2e3\n", ["line 2", "out", "'2e3'"]),
        ("start,in,out\n2026-05-04T09:00,1,99999999999999999999\n", ["line 2", "out"]),
        ("start,in,out\n2026-05-04T09:00,1\n", ["line 2", "3 fields"]),
        ("start,in,out,minutes\n2026-05-04T09:00,1,1,0\n", ["line 2", "minutes"]),
        ("9,10/04/05,09:30:00,5\n8,10/04/05,09:30:00,5\n", ["line 2", "flow"]),
        ("9,31/31/05,09:30:00,5\n", ["line 1", "31/31/05"]),
        ("9,10/04/05,09:30:00,five\n", ["line 1", "count", "'five'"]),
    ],
)
def test_a_bad_profile_is_named_by_file_line_and_expectation(tmp_path, text, words):
    path = written(tmp_path, text)
    with pytest.raises(ProfileError) as caught:
        read_profile(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("name", ["missing.csv", "folder", "binary.csv"])
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary.csv").write_bytes(gzip.compress(b"\xff" * 100))
    with pytest.raises(ProfileError, match=name):
        read_profile(tmp_path / name)


def test_days_move_and_hours_stay():
    day = between(read_profile(CALIT2), DEMO_DAY, DEMO_DAY)
    moved = move_to(day, date(2026, 5, 5))
    assert len(day) == len(moved) == 96
    assert {count.start.date() for count in moved} == {date(2026, 5, 5)}
    assert [count.start.time() for count in moved] == [count.start.time() for count in day]
    assert [count.people for count in moved] == [count.people for count in day]


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 28), 24), (date(2026, 3, 29), 23), (date(2026, 10, 25), 25)]
)
def test_local_slots_lie_where_berlin_puts_them(day, hours):
    counts = [LocalCount("main", local(f"{day} {hour:02}:00"), 60, IN, 0) for hour in range(24)]
    slots = to_slots(counts, "Europe/Berlin")
    assert len(slots) == min(hours, 24), "the hour that does not exist is left out"
    first_to_last_ms = slots[-1].start_ms - slots[0].start_ms
    assert first_to_last_ms == (hours - 1) * 3_600_000


def test_nobody_can_walk_in_the_hour_that_does_not_exist():
    counts = [LocalCount("main", local("2026-03-29 02:30"), 30, IN, 4)]
    with pytest.raises(
        ProfileError, match=r"4 people at 2026-03-29 02:30, but Europe/Berlin has no such time"
    ):
        to_slots(counts, "Europe/Berlin")


# --- walking a profile ---


def slots_strategy():
    people = st.integers(0, 25)
    return st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 20), people, people), max_size=6
    ).map(
        lambda rows: [
            SlotCount(door, 1_700_000_000_000 + index * 300_000, 300_000, direction, n)
            for door, index, n_in, n_out in {(row[0], row[1]): row for row in rows}.values()
            for direction, n in ((IN, n_in), (OUT, n_out))
        ]
    )


@given(slots_strategy(), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_walks_make_exactly_the_counts_of_every_slot(slots, seed):
    walked = Counter()
    for walk in schedule_profile(slots, seed):
        edges = walk_to_edges(walk, BEAMS)
        (crossing,) = walk_to_crossings(walk, BEAMS)
        start_ms = crossing.t_ms // 300_000 * 300_000 + 1_700_000_000_000 % 300_000
        start_ms = start_ms if start_ms <= crossing.t_ms else start_ms - 300_000
        assert edges[0].t_ms >= start_ms + 5000
        assert edges[-1].t_ms <= start_ms + 300_000 - 5000
        walked[walk.door, start_ms, crossing.direction] += 1
    wanted = Counter({(s.door, s.start_ms, s.direction): s.people for s in slots if s.people})
    assert walked == wanted


def test_a_whole_real_day_sums_exactly_and_nobody_overlaps():
    day = between(read_profile(CALIT2), DEMO_DAY, DEMO_DAY)
    slots = to_slots(move_to(day, date(2026, 5, 5)), "Europe/Berlin")
    walks = schedule_profile(slots, seed=1)
    walked = Counter()
    for walk in walks:
        for crossing in walk_to_crossings(walk, BEAMS):
            walked[crossing.t_ms // HALF_HOUR * HALF_HOUR, crossing.direction] += 1
    assert walked == Counter({(slot.start_ms, slot.direction): slot.people for slot in slots if slot.people})
    spans = sorted(
        (edges[0].t_ms, edges[-1].t_ms) for edges in (walk_to_edges(walk, BEAMS) for walk in walks)
    )
    assert min(later[0] - earlier[1] for earlier, later in pairwise(spans)) >= 1598
    assert len(edges_of(walks, BEAMS)) == 4 * len(walks), "quiet walkers break each beam exactly once"


def test_the_busiest_half_hour_fits():
    rush = [SlotCount("main", 0, HALF_HOUR, IN, 300), SlotCount("main", 0, HALF_HOUR, OUT, 250)]
    assert len(schedule_profile(rush, seed=1)) == 550


def test_too_many_people_are_refused_with_the_number_that_fits():
    crowd = [SlotCount("main", 0, 60_000, IN, 60)]
    with pytest.raises(ProfileError, match=r"door main: 60 people in the 1 min slot .* about \d+ fit"):
        schedule_profile(crowd, seed=1)


def test_overlapping_slots_of_one_door_are_refused():
    slots = [SlotCount("main", 0, HALF_HOUR, IN, 1), SlotCount("main", 900_000, HALF_HOUR, IN, 1)]
    with pytest.raises(ProfileError, match="begins before the one before it has ended"):
        schedule_profile(slots, seed=1)


def test_leaving_out_a_slot_changes_no_other():
    slots = [SlotCount("main", index * HALF_HOUR, HALF_HOUR, IN, 5) for index in range(3)]
    everything = schedule_profile(slots, seed=9)
    without_first = schedule_profile(slots[1:], seed=9)
    assert [walk for walk in everything if walk.start_ms > HALF_HOUR - 1000] == without_first


def test_a_slot_is_worth_its_own_length():
    quarter = timedelta(minutes=15)
    slots = to_slots(
        [LocalCount("main", local("2026-05-04 00:00") + quarter * i, 15, IN, 3) for i in range(8)]
    )
    assert [slot.length_ms for slot in slots] == [900_000] * 8
    assert len(schedule_profile(slots, seed=2)) == 24
