"""Counted profiles: how many people went in and out in each slot of time, and walks that make exactly these numbers.

Who calls it: the demo and the pipeline tests replay a real day or week (`read_profile`, `move_to`, `to_slots`,
`schedule_profile`); a scenario file names a profile instead of a number of people.

Two kinds of CSV are read, told apart by their first line:
- with a header: `start,in,out` and optionally `door` and `minutes` (length of the slot, 60 if missing); an export of the
  gateway (`site,door,hour_utc,in,out,covered_s`) is one too. `start` is ISO 8601; without an offset it is local time.
- CalIt2 as published, without a header: `flow,MM/DD/YY,HH:MM:SS,count`, flow 9 = in, 7 = out, counted "for the previous
  half hour": the slot ENDS at the stamp, so 00:00:00 belongs to the evening before.
"""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from footfall_simulator.behaviours import plain_walker
from footfall_simulator.people import IN, OUT, Beams, busy_span, shift

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from footfall_simulator.people import Walk

__all__ = [
    "CALIT2",
    "DEMO_DAY",
    "LocalCount",
    "ProfileError",
    "SlotCount",
    "between",
    "move_to",
    "read_profile",
    "schedule_profile",
    "to_slots",
]

CALIT2 = Path(__file__).parent / "data" / "calit2_four_weeks.csv"  # Monday 2005-10-03 to Sunday 2005-10-30
DEMO_DAY = date(2005, 10, 4)  # an ordinary Tuesday

CALIT2_FLOWS = {"9": IN, "7": OUT}
CALIT2_MINUTES = 30
MIN_GAP_MS = 1600  # beams free between two people: no doubt about who is who
MARGIN_MS = (
    5000  # at both ends of a slot nobody is in the beams, so that no clock error moves a person across
)
MAX_PEOPLE = 100_000  # in one slot; more is a typing error


class ProfileError(ValueError):
    """A profile cannot be read or walked; the message is one line for the user."""


@dataclass(frozen=True, slots=True)
class LocalCount:
    """People in one direction from `start` on for `minutes`. Without a time zone, `start` is the site's local time."""

    door: str
    start: datetime
    minutes: int
    direction: int
    people: int


@dataclass(frozen=True, slots=True)
class SlotCount:
    """People in one direction in the half-open slot from `start_ms` (UTC) for `length_ms`."""

    door: str
    start_ms: int
    length_ms: int
    direction: int
    people: int


# --- reading ---------------------------------------------------------------------------------------------------------


def read_profile(path: Path, door: str = "main") -> list[LocalCount]:
    """All counts of a CSV (see the module's head), zeros included. `door` names the door where the file does not."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise ProfileError(f"{path}: {reason}; expected a CSV of counts") from error
    lines = text.splitlines()
    if not lines or not lines[0].strip():
        raise ProfileError(f"{path}: line 1 is empty; expected a header or CalIt2 counts")
    if lines[0].split(",")[0].strip() in CALIT2_FLOWS:
        return [
            _calit2_count(path, number, line, door) for number, line in enumerate(lines, 1) if line.strip()
        ]
    return _table_counts(path, lines, door)


def _calit2_count(path: Path, number: int, line: str, door: str) -> LocalCount:
    fields = [field.strip() for field in line.split(",")]
    if len(fields) != 4 or fields[0] not in CALIT2_FLOWS:
        raise ProfileError(f"{path}: line {number}: expected flow (7 or 9), date, time, count")
    try:
        stamp = datetime.strptime(f"{fields[1]} {fields[2]}", "%m/%d/%y %H:%M:%S")  # noqa: DTZ007 - local time
    except ValueError as error:
        raise ProfileError(
            f"{path}: line {number}: expected MM/DD/YY,HH:MM:SS, not {fields[1]},{fields[2]}"
        ) from error
    return LocalCount(
        door=door,
        start=stamp - timedelta(minutes=CALIT2_MINUTES),
        minutes=CALIT2_MINUTES,
        direction=CALIT2_FLOWS[fields[0]],
        people=_whole(path, number, "count", fields[3], MAX_PEOPLE),
    )


_KNOWN_COLUMNS = {"site", "door", "start", "hour_utc", "minutes", "in", "out", "covered_s"}


def _table_counts(path: Path, lines: list[str], door: str) -> list[LocalCount]:
    rows = csv.reader(lines)
    header = [name.strip() for name in next(rows)]
    start_column = "hour_utc" if "hour_utc" in header else "start"
    missing = [name for name in (start_column, "in", "out") if name not in header]
    unknown = [name for name in header if name not in _KNOWN_COLUMNS]
    if missing or unknown:
        what = f"column {missing[0]} is missing" if missing else f"unknown column {unknown[0]!r}"
        raise ProfileError(f"{path}: line 1: {what}; expected start,in,out and optionally door,minutes")
    counts: list[LocalCount] = []
    for fields in rows:
        number = rows.line_num
        if not any(field.strip() for field in fields):
            continue
        if len(fields) != len(header):
            raise ProfileError(f"{path}: line {number}: expected {len(header)} fields, not {len(fields)}")
        row = dict(zip(header, (field.strip() for field in fields), strict=True))
        start = _time(path, number, start_column, row[start_column])
        minutes = _whole(path, number, "minutes", row.get("minutes", "60"), 1440)
        if minutes == 0:
            raise ProfileError(f"{path}: line {number}: minutes: expected 1 to 1440, not 0")
        for direction, name in ((IN, "in"), (OUT, "out")):
            people = _whole(path, number, name, row[name], MAX_PEOPLE)
            counts.append(LocalCount(row.get("door") or door, start, minutes, direction, people))
    return counts


def _whole(path: Path, number: int, name: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= most):
        raise ProfileError(
            f"{path}: line {number}: {name}: expected a whole number from 0 to {most}, not {text!r}"
        )
    return int(text)


def _time(path: Path, number: int, name: str, text: str) -> datetime:
    try:
        start = datetime.fromisoformat(text)
    except ValueError as error:
        raise ProfileError(
            f"{path}: line {number}: {name}: expected a time such as 2026-05-04T09:00, not {text!r}"
        ) from error
    return start.replace(tzinfo=UTC) if name == "hour_utc" and start.tzinfo is None else start


# --- moving and dating -----------------------------------------------------------------------------------------------


def between(counts: Iterable[LocalCount], first: date, last: date) -> list[LocalCount]:
    """The counts of the local days `first` to `last`, both included."""
    return [count for count in counts if first <= count.start.date() <= last]


def move_to(counts: Sequence[LocalCount], first_day: date) -> list[LocalCount]:
    """The same counts on other days: the earliest day becomes `first_day`, the hours of the day stay."""
    if not counts:
        return []
    days = first_day - min(count.start for count in counts).date()
    return [replace(count, start=count.start + days) for count in counts]


def to_slots(counts: Iterable[LocalCount], timezone: str = "UTC") -> list[SlotCount]:
    """Local counts as slots of UTC.

    In the hour that a change of clocks leaves out nobody can walk: zeros there are dropped, anything else is a
    ProfileError. An hour that comes twice is taken as its first occurrence.
    """
    zone = ZoneInfo(timezone)
    slots: list[SlotCount] = []
    for count in counts:
        start = count.start if count.start.tzinfo else count.start.replace(tzinfo=zone)
        utc = start.astimezone(UTC)
        if count.start.tzinfo is None and utc.astimezone(zone).replace(tzinfo=None) != count.start:
            if count.people:
                raise ProfileError(
                    f"{count.people} people at {count.start:%Y-%m-%d %H:%M}, but {timezone} has no such time on that day"
                )
            continue
        start_ms = round(utc.timestamp() * 1000)
        slots.append(SlotCount(count.door, start_ms, count.minutes * 60_000, count.direction, count.people))
    return slots


# --- walking ---------------------------------------------------------------------------------------------------------


def schedule_profile(
    slots: Iterable[SlotCount],
    seed: int,
    beams: Beams | None = None,
    build: Callable[[random.Random, Beams, int], Walk] = plain_walker,
    *,
    min_gap_ms: int = MIN_GAP_MS,
    margin_ms: int = MARGIN_MS,
) -> list[Walk]:
    """Single-file walks that make exactly these counts, in order of time, each carrying its door's name.

    Every walk breaks its first beam and has passed its last one inside its slot, `margin_ms` away from both ends, and
    the beams are free for `min_gap_ms` between two of them. A slot draws from its own seed, so leaving out one slot
    changes no other. Raises ProfileError where the people do not fit, or where slots of one door overlap.
    """
    beams = beams or Beams()
    wanted: dict[tuple[str, int, int], list[int]] = {}
    for slot in slots:
        directions = wanted.setdefault((slot.door, slot.start_ms, slot.length_ms), [])
        directions.extend([slot.direction] * slot.people)
    free_from: dict[str, int] = {}
    walks: list[Walk] = []
    for door, start_ms, length_ms in sorted(wanted):
        if start_ms < free_from.get(door, start_ms):
            raise ProfileError(
                f"door {door}: the slot at {_utc(start_ms)} begins before the one before it has ended"
            )
        free_from[door] = start_ms + length_ms
        rng = random.Random(f"{seed}/{door}/{start_ms}")
        directions = sorted(wanted[door, start_ms, length_ms])
        rng.shuffle(directions)
        slot_walks = [shift(build(rng, beams, direction), 0, door) for direction in directions]
        walks += _spread(slot_walks, rng, beams, start_ms, length_ms, min_gap_ms, margin_ms)
    return sorted(walks, key=lambda walk: walk.start_ms)


def _spread(
    walks: Sequence[Walk],
    rng: random.Random,
    beams: Beams,
    start_ms: int,
    length_ms: int,
    min_gap_ms: int,
    margin_ms: int,
) -> list[Walk]:
    """Place the walks of one slot; the time that is left over goes between them at random."""
    if not walks:
        return []
    spans = [busy_span(walk, beams) for walk in walks]
    busy_ms = sum(last - first for first, last in spans) + (len(walks) - 1) * min_gap_ms
    spare_ms = length_ms - 2 * margin_ms - busy_ms
    if spare_ms < 0:
        fit = max(0, int(len(walks) * (length_ms - 2 * margin_ms) / max(busy_ms, 1)))
        raise ProfileError(
            f"door {walks[0].door}: {len(walks)} people in the {length_ms // 60_000} min slot at {_utc(start_ms)}, "
            f"but about {fit} fit in single file"
        )
    pauses = sorted(rng.randint(0, spare_ms) for _ in walks)
    placed: list[Walk] = []
    busy_before = 0
    for index, (walk, (first, last)) in enumerate(zip(walks, spans, strict=True)):
        at = start_ms + margin_ms + pauses[index] + busy_before + index * min_gap_ms
        placed.append(shift(walk, at - first))
        busy_before += last - first
    return placed


def _utc(t_ms: int) -> str:
    return f"{datetime.fromtimestamp(t_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
