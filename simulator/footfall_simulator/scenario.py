"""Scenario files: who walks through which door, in TOML, read once and refused with one clear line.

Who calls it: `footfall simulate`, the demo and the tests: `load_scenario(path)`, then `play(scenario)` for the walks of
every door. The files beside this module under `scenarios/` are examples that a test loads.

    seed = 7
    people = 500                       # scenes: a group or a pair counts as one
    arrivals = "single file"           # or "random": then scenes overlap as they come
    mean_gap_s = 2.0                   # free time between two scenes, on average
    [[door]]
    name = "main"
    [mix]                              # shares of behaviours, any positive numbers
    single_file = 90
    tailgating_200 = 5

or, instead of `people` and `[mix]`, counts of a real door: `[profile]` with `file`, `first_day`, `days`.
"""

from __future__ import annotations

import difflib
import random
import re
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta, Struct

from footfall_simulator import profile
from footfall_simulator.behaviours import BEHAVIOURS, plain_walker
from footfall_simulator.people import IN, OUT, Beams, crossings_of, edges_of, shift, single_file

if TYPE_CHECKING:
    from footfall_simulator.people import Crossing, Edge, Walk

__all__ = ["Door", "Performance", "Scenario", "ScenarioError", "built_in", "load_scenario", "play"]

SCENARIOS = Path(__file__).parent / "scenarios"
LEAST_GAP_MS = 400.0  # single file: the beams are free that long at least
MAX_SCENES = 1_000_000  # more would not fit into memory


class ScenarioError(ValueError):
    """A scenario file is wrong: file, key and what was expected, in one line."""

    def __init__(self, path: Path, key: str, expected: str) -> None:
        super().__init__(f"{path}: {key}: {expected}" if key else f"{path}: {expected}")
        self.path = path
        self.key = key
        self.expected = expected


class Door(Struct, frozen=True, forbid_unknown_fields=True):
    """A door and its two beams. `share` is its part of the people, against the other doors' shares."""

    name: Annotated[str, Meta(pattern="^[a-z0-9-]{1,32}$")]
    share: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    spacing_mm: Annotated[int, Meta(ge=20, le=500)] = 100
    height_mm: Annotated[int, Meta(ge=200, le=2000)] = 1100

    @property
    def beams(self) -> Beams:
        return Beams(self.spacing_mm, self.height_mm)


class Profile(Struct, frozen=True, forbid_unknown_fields=True):
    """Counts to walk. `file` is "calit2" (built in) or a path beside the scenario; see `profile.read_profile`."""

    file: str = "calit2"
    first_day: date | None = None  # in the file; without it, everything from its first day on
    days: Annotated[int, Meta(ge=1, le=3660)] | None = None
    move_to: date | None = None  # walk them on these days instead
    timezone: str = "UTC"
    people: Literal["plain", "single_file"] = "plain"


class Scenario(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole scenario as it stands in the file."""

    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    door: Annotated[tuple[Door, ...], Meta(min_length=1, max_length=64)]
    start: datetime | None = None
    people: Annotated[int, Meta(ge=1, le=MAX_SCENES)] | None = None
    mix: dict[str, Annotated[float, Meta(ge=0, le=1e6)]] | None = None
    arrivals: Literal["single file", "random"] = "single file"
    mean_gap_s: Annotated[float, Meta(ge=0.5, le=86_400)] = 2.0
    inwards: Annotated[float, Meta(ge=0, le=1)] = 0.5
    profile: Profile | None = None
    folder: str = "."  # where the file lies; set by load_scenario, a path in [profile] starts here


@dataclass(frozen=True, slots=True)
class Performance:
    """What happens at the doors: walks, edges and truth by the name of the door, each in order of time."""

    walks: dict[str, list[Walk]]
    edges: dict[str, list[Edge]]
    truth: dict[str, list[Crossing]]


# --- reading ---------------------------------------------------------------------------------------------------------


def built_in() -> list[str]:
    """Names of the scenarios that come along."""
    return sorted(path.stem for path in SCENARIOS.glob("*.toml"))


def load_scenario(path: Path | str) -> Scenario:
    """Read and check a scenario: a path, or the name of a built-in one. Raises ScenarioError."""
    if isinstance(path, str) and path in built_in():
        path = SCENARIOS / f"{path}.toml"
    path = Path(path)
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ScenarioError(path, "", f"no such file; built in are {', '.join(built_in())}") from error
    except OSError as error:
        raise ScenarioError(path, "", f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ScenarioError(path, "", "is not UTF-8 text; expected TOML") from error
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(path, "", f"is not valid TOML: {error}") from error
    if "folder" in raw:
        raise ScenarioError(path, "folder", _unknown_key("folder", Scenario))
    try:
        scenario = msgspec.convert({**raw, "folder": str(path.parent)}, Scenario)
    except msgspec.ValidationError as error:
        raise _explained(path, raw, str(error)) from error
    _check(path, scenario)
    return scenario


_WHERE = re.compile(r"^(?P<what>.*?)(?: - at `(?:key in )?\$(?P<key>[^`]*)`)?$", re.DOTALL)
_FIELD = re.compile(r"unknown field `(?P<name>[^`]*)`")
_MISSING = re.compile(r"missing required field `(?P<name>[^`]*)`")


def _explained(path: Path, raw: dict[str, Any], message: str) -> ScenarioError:
    """msgspec's message with the file's own names: the key, what was found, what was expected."""
    found = _WHERE.match(message)
    key = (found["key"] or "").lstrip(".") if found else ""
    what = found["what"] if found else message
    if unknown := _FIELD.search(what):
        struct = Door if key.startswith("door") else Profile if key.startswith("profile") else Scenario
        return ScenarioError(path, _join(key, unknown["name"]), _unknown_key(unknown["name"], struct))
    if missing := _MISSING.search(what):
        return ScenarioError(path, _join(key, missing["name"]), "is missing")
    expected = what[0].lower() + what[1:]
    if key.startswith("mix"):
        return ScenarioError(path, _bad_share(raw.get("mix")), "expected a number of 0 or more")
    if "matching regex" in expected:
        expected = "expected 1 to 32 of a-z, 0-9 and -"
    return ScenarioError(path, key, expected.replace("`", ""))


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _bad_share(mix: object) -> str:
    if isinstance(mix, dict):
        for name, share in mix.items():
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1e6:
                return f"mix.{name}"
    return "mix"


def _unknown_key(name: str, struct: type[Struct]) -> str:
    known = [field for field in struct.__struct_fields__ if field != "folder"]
    return f"unknown key{_nearest(name, known)}"


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f", did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"


def _check(path: Path, scenario: Scenario) -> None:
    """What the types cannot say."""
    names = [door.name for door in scenario.door]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ScenarioError(path, f"door[{index}].name", f"{name!r} is there twice")
    for name in scenario.mix or {}:
        if name not in BEHAVIOURS:
            raise ScenarioError(path, f"mix.{name}", f"unknown behaviour{_nearest(name, list(BEHAVIOURS))}")
    if scenario.start is not None and scenario.start.tzinfo is None:
        raise ScenarioError(path, "start", "expected a time with its offset, such as 2026-05-04T08:00:00Z")
    if scenario.profile is not None:
        for key in ("people", "mix", "start"):
            if getattr(scenario, key) is not None:
                raise ScenarioError(path, key, "goes with [mix], not with [profile]; leave one of them out")
        try:
            ZoneInfo(scenario.profile.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ScenarioError(
                path,
                "profile.timezone",
                f"expected a name such as Europe/Berlin, not {scenario.profile.timezone!r}",
            ) from error
    elif scenario.people is None:
        raise ScenarioError(path, "people", "is missing (or give counts with [profile])")
    elif not sum((scenario.mix or {}).values()):
        raise ScenarioError(
            path, "mix", 'expected at least one behaviour with a share above 0, such as "single_file = 1"'
        )


# --- playing ---------------------------------------------------------------------------------------------------------


def play(scenario: Scenario) -> Performance:
    """Let everybody walk. The same scenario gives the same performance. Raises ScenarioError for unfit profiles."""
    walks = _from_profile(scenario) if scenario.profile else _from_mix(scenario)
    return Performance(
        walks=walks,
        edges={door.name: edges_of(walks[door.name], door.beams) for door in scenario.door},
        truth={door.name: crossings_of(walks[door.name], door.beams) for door in scenario.door},
    )


def _from_mix(scenario: Scenario) -> dict[str, list[Walk]]:
    start_ms = round(scenario.start.astimezone(UTC).timestamp() * 1000) if scenario.start else 0
    mix = scenario.mix or {}
    rng = random.Random(f"{scenario.seed}/doors")
    shares = [door.share for door in scenario.door]
    drawn = rng.choices(range(len(shares)), weights=shares, k=scenario.people or 0)
    walks: dict[str, list[Walk]] = {}
    for index, door in enumerate(scenario.door):
        walks[door.name] = _door_walks(scenario, door, mix, drawn.count(index), start_ms)
    return walks


def _door_walks(
    scenario: Scenario, door: Door, mix: dict[str, float], scenes: int, start_ms: int
) -> list[Walk]:
    rng = random.Random(f"{scenario.seed}/{door.name}")
    walks = []
    for name in rng.choices(list(mix), weights=list(mix.values()), k=scenes):
        direction = IN if rng.random() < scenario.inwards else OUT
        walks.append(shift(BEHAVIOURS[name].build(rng, door.beams, direction), 0, door.name))
    mean_ms = scenario.mean_gap_s * 1000
    if scenario.arrivals == "single file":
        spare_ms = max(mean_ms - LEAST_GAP_MS, 1.0)
        gaps = (LEAST_GAP_MS + rng.expovariate(1 / spare_ms) for _ in walks)
        return single_file(walks, door.beams, gaps, start_ms)
    starts = sorted(start_ms + rng.randrange(max(1, round(scenes * mean_ms))) for _ in walks)
    return [shift(walk, start) for walk, start in zip(walks, starts, strict=True)]


def _from_profile(scenario: Scenario) -> dict[str, list[Walk]]:
    wanted = scenario.profile
    assert wanted is not None
    path = profile.CALIT2 if wanted.file == "calit2" else Path(scenario.folder) / wanted.file
    build = plain_walker if wanted.people == "plain" else BEHAVIOURS["single_file"].build
    walks: dict[str, list[Walk]] = {door.name: [] for door in scenario.door}
    try:
        counts = profile.read_profile(path, scenario.door[0].name)
        if counts:
            first = wanted.first_day or min(count.start for count in counts).date()
            last = first + timedelta(days=wanted.days - 1) if wanted.days else date.max
            counts = profile.between(counts, first, last)
            if wanted.move_to:
                counts = profile.move_to(counts, wanted.move_to)
        unknown = {count.door for count in counts} - set(walks)
        if unknown:
            raise ScenarioError(path, "door", f"{min(unknown)!r} has counts but no [[door]] in the scenario")
        if not counts:
            raise ScenarioError(
                path, "", "holds no counts for the days that profile.first_day and days ask for"
            )
        slots = profile.to_slots(counts, wanted.timezone)
        for door in scenario.door:
            own = [slot for slot in slots if slot.door == door.name]
            walks[door.name] = profile.schedule_profile(own, scenario.seed, door.beams, build)
    except profile.ProfileError as error:
        raise ScenarioError(path, "", str(error).removeprefix(f"{path}: ")) from error
    return walks
