"""What the acceptance of a door is: its steps, how they are judged, what to do about a failure, and how it is kept.

`accept_cli` leads through it. The result is a JSON file beside the ledger (never in it: an acceptance counts nobody), described
in docs/node.md, and a protocol of one page. Steps and limits follow what makers of counters ask for: walk tests at every
installation, then a manual tally, and aligning anew where more than 5 % are wrong.
"""

import datetime as dt
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from footfall_gateway.commissioning import CommissioningError
from footfall_gateway.commissioning.language import tr, why

__all__ = [
    "SCHEMA",
    "STEPS",
    "Acceptance",
    "Alignment",
    "Counted",
    "Mounting",
    "Step",
    "StepResult",
    "Tally",
    "advice",
    "keep",
    "latest",
    "overall",
    "result_of",
    "wilson",
]

SCHEMA = 1
WRONG_SHARE = (
    0.05  # more than one in twenty wrong: align anew; in a step of less than twenty, one may be wrong
)
Z_95 = 1.959964  # of the normal distribution
CONTINUE_WITHIN = dt.timedelta(hours=24)
SHORT = 4  # `--short` takes a quarter

# Below or above these the count is known to suffer; docs/accuracy.md shows how much
HEIGHT_MM = (900, 1300)
SPACING_MM = (80, 120)
WIDTH_MM = 1500
WIDTH_LIMIT_MM = 2500


class Step(Struct, frozen=True):
    """One exercise. people_in, people_out: who truly passes in it. repeats: how often it is done. judged: it can fail."""

    id: str
    repeats: int
    people_in: int = 0
    people_out: int = 0
    judged: bool = True

    def shortened(self) -> "Step":
        """A quarter of it, but at least two."""
        repeats = max(2, math.ceil(self.repeats / SHORT))

        def part(people: int) -> int:
            return people * repeats // self.repeats if people else 0

        if self.people_in and self.people_out:  # half in, half out
            repeats += repeats % 2
        return Step(self.id, repeats, part(self.people_in), part(self.people_out), self.judged)


STEPS = (
    Step("in", 20, people_in=20),
    Step("out", 20, people_out=20),
    Step("turn_back", 10),
    Step("stop", 5, people_in=5),
    Step("bag", 10, people_in=5, people_out=5),
    Step("fast", 5, people_in=5),
    Step("pairs", 5, people_in=10, judged=False),
    Step("door_leaf", 5),
)


class Counted(Struct, frozen=True):
    """What the node counted. unknown: a single beam tells no direction."""

    n_in: int = 0
    n_out: int = 0
    n_unknown: int = 0

    @property
    def total(self) -> int:
        return self.n_in + self.n_out + self.n_unknown


class StepResult(Struct, frozen=True):
    """A step as it was done. right: counted passages that fit a true one in the same direction; passed None: not judged."""

    id: str
    repeats: int
    people_in: int
    people_out: int
    counted: Counted
    right: int
    missed: int
    extra: int
    passed: bool | None
    skipped: bool = False


class Alignment(Struct, frozen=True):
    """Both beams watched with nobody in the door, then with one who walks. For each barrier, beams: those that were broken at
    the end of the first, as bits; changes of each until then; unseen: those that the walk did not break (none: it was not got to)."""

    seconds: float
    beams: tuple[int, ...]
    changes: tuple[tuple[int, int], ...]
    passed: bool
    unseen: tuple[int, ...] = ()


class Tally(Struct, frozen=True):
    """People counted by hand against the node's count of the same minutes."""

    minutes: float
    people_in: int
    people_out: int
    counted: Counted
    right: int
    missed: int
    extra: int
    passed: bool


class Mounting(Struct, frozen=True):
    """Facts that the report of a site must state."""

    height_mm: Annotated[int, Meta(ge=100, le=3000)]
    spacing_mm: Annotated[int, Meta(ge=10, le=1000)]
    width_mm: Annotated[int, Meta(ge=200, le=10_000)]
    sensor: Annotated[str, Meta(max_length=80)]


class Acceptance(Struct, frozen=True):
    """One acceptance of one door; the JSON file is this. finished_utc None: it was broken off, and can be continued."""

    site: str
    door: str
    node: str
    barriers: tuple[int, ...]
    firmware: str
    single_beam: bool
    short: bool
    begun_utc: str
    schema: int = SCHEMA
    finished_utc: str | None = None
    mounting: Mounting | None = None
    alignment: Alignment | None = None
    steps: tuple[StepResult, ...] = ()
    tally: Tally | None = None
    result: Literal["passed", "failed", "incomplete"] = "incomplete"
    right: int = 0  # over the judged steps with people in them, and the tally
    of: int = 0  # people who walked, and passages counted beside them
    low: float | None = None
    high: float | None = None

    def plan(self) -> tuple[Step, ...]:
        """The steps of this acceptance."""
        return tuple(step.shortened() for step in STEPS) if self.short else STEPS


def compare(
    people_in: int, people_out: int, counted: Counted, *, single_beam: bool = False
) -> tuple[int, int, int]:
    """(right, missed, extra). A passage in the wrong direction is missed once and extra once."""
    if single_beam:
        right = min(people_in + people_out, counted.total)
    else:
        right = min(people_in, counted.n_in) + min(people_out, counted.n_out)
    return right, people_in + people_out - right, counted.total - right


def result_of(step: Step, counted: Counted, *, single_beam: bool = False) -> StepResult:
    """A step, judged: nothing may be counted where nobody passed; else at most one in twenty (or one) may be wrong."""
    right, missed, extra = compare(step.people_in, step.people_out, counted, single_beam=single_beam)
    passed = max(missed, extra) <= allowed(step.people_in + step.people_out) if step.judged else None
    return StepResult(
        step.id, step.repeats, step.people_in, step.people_out, counted, right, missed, extra, passed
    )


def skipped(step: Step) -> StepResult:
    """A step that nobody did."""
    return StepResult(
        step.id, step.repeats, step.people_in, step.people_out, Counted(), 0, 0, 0, None, skipped=True
    )


def allowed(people: int) -> int:
    """How many of so many people may be wrong."""
    return max(1, math.floor(people * WRONG_SHARE)) if people else 0


def tally_of(
    minutes: float, people_in: int, people_out: int, counted: Counted, *, single_beam: bool = False
) -> Tally:
    """A tally, judged by the same share. One missed and one extra cancel here, as only totals are known."""
    right, missed, extra = compare(people_in, people_out, counted, single_beam=single_beam)
    passed = people_in + people_out > 0 and max(missed, extra) <= allowed(people_in + people_out)
    return Tally(round(minutes, 1), people_in, people_out, counted, right, missed, extra, passed)


def wilson(right: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share. E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
    Journal of the American Statistical Association 22 (1927) 209-212, formula for the score interval."""
    if of <= 0:
        raise ValueError("no cases, no interval")
    share = right / of
    middle = share + Z_95**2 / (2 * of)
    half = Z_95 * math.sqrt(share * (1 - share) / of + Z_95**2 / (4 * of**2))
    below = 1 + Z_95**2 / of
    return max(0.0, (middle - half) / below), min(1.0, (middle + half) / below)


def overall(one: Acceptance) -> Acceptance:
    """With its result: failed where anything failed, passed where everything was done and passed."""
    judged = [step.passed for step in one.steps if not step.skipped and step.passed is not None]
    parts = [*judged]
    if one.alignment is not None:
        parts.append(one.alignment.passed)
    if one.tally is not None:
        parts.append(one.tally.passed)
    whole = (
        one.alignment is not None
        and one.tally is not None
        and len([step for step in one.steps if not step.skipped]) == len(one.plan())
    )
    counting: list[StepResult | Tally] = [
        step
        for step in one.steps
        if not step.skipped and step.passed is not None and step.people_in + step.people_out
    ]
    if one.tally is not None:
        counting.append(one.tally)
    right = sum(part.right for part in counting)
    of = sum(part.people_in + part.people_out + part.extra for part in counting)
    low, high = wilson(right, of) if of else (None, None)
    result = "failed" if False in parts else "passed" if whole else "incomplete"
    return msgspec.structs.replace(one, result=result, right=right, of=of, low=low, high=high)


def only(one: Acceptance, step: StepResult) -> Acceptance:
    """As if nothing else had been done: what `advice` says of it is about this step."""
    return msgspec.structs.replace(one, mounting=None, alignment=None, steps=(step,), tally=None)


def advice(one: Acceptance) -> list[str]:
    """What is wrong, as keys for the words in `accept_words`, the weightiest first."""
    found = []
    done = {step.id: step for step in one.steps if not step.skipped}
    directed = [
        step for step in done.values() if step.people_in + step.people_out and step.passed is not None
    ]
    walked = sum(step.people_in + step.people_out for step in directed)
    if one.alignment is not None and not one.alignment.passed:
        found.append("alignment")
    if not one.single_beam and walked and sum(map(_wrong_way, directed)) > walked / 2:
        found.append("swapped")
    else:
        failed = [step for step in directed if step.passed is False]
        if not one.single_beam and any(
            _wrong_way(step) > allowed(step.people_in + step.people_out) for step in failed
        ):
            found.append("mixed")
        if sum(step.people_in + step.people_out - step.counted.total for step in failed) > 0:
            found.append("misses")
        if sum(step.counted.total - step.people_in - step.people_out for step in failed) > 0:
            found.append("too_much")
        if one.tally is not None and not one.tally.passed:
            found.append("tally")
    found += [name for name in ("turn_back", "door_leaf") if name in done and done[name].passed is False]
    return found + mounting_doubts(one.mounting)


def _wrong_way(step: StepResult) -> int:
    """How many were counted in the other direction; where people go both ways in one step, that does not show."""
    if step.people_in and step.people_out:
        return 0
    return min(step.people_in, step.counted.n_out) + min(step.people_out, step.counted.n_in)


def mounting_doubts(mounting: Mounting | None) -> list[str]:
    """What about the mounting is known to cost accuracy."""
    if mounting is None:
        return []
    found = []
    if not HEIGHT_MM[0] <= mounting.height_mm <= HEIGHT_MM[1]:
        found.append("height")
    if not SPACING_MM[0] <= mounting.spacing_mm <= SPACING_MM[1]:
        found.append("spacing")
    if mounting.width_mm > WIDTH_LIMIT_MM:
        found.append("far_too_wide")
    elif mounting.width_mm > WIDTH_MM:
        found.append("too_wide")
    return found


# ------------------------------------------------------------------------------------------------------ how it is kept


def folder(data: Path) -> Path:
    """Where the acceptances of a gateway lie."""
    return data / "acceptance"


def path_of(data: Path, one: Acceptance) -> Path:
    """<data>/acceptance/<site>-<door>-<utc>.json"""
    stamp = one.begun_utc.replace("-", "").replace(":", "")
    return folder(data) / f"{one.site}-{one.door}-{stamp}.json"


def keep(data: Path, one: Acceptance) -> Path:
    """Write it, whole or not at all, and return where. CommissioningError where that is not possible."""
    path = path_of(data, one)
    beside = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(msgspec.to_builtins(one), indent=1) + "\n", encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise CommissioningError(
            tr("{path}: cannot be written ({why})", path=path, why=why(error)),
            tr("Run this as the user that the gateway runs as, or name another folder in [gateway] data."),
        ) from error
    return path


def read(path: Path) -> Acceptance:
    """CommissioningError where the file is none of ours, or from a later version."""
    try:
        raw = path.read_bytes()
        values = msgspec.json.decode(raw)
        if (
            isinstance(values, Mapping)
            and isinstance(values.get("schema"), int)
            and values["schema"] > SCHEMA
        ):
            raise CommissioningError(
                tr(
                    "{path}: was written by a later version of footfall (schema {schema}, this one knows {SCHEMA})",
                    path=path,
                    schema=values["schema"],
                    SCHEMA=SCHEMA,
                )
            )
        return msgspec.json.decode(raw, type=Acceptance)
    except OSError as error:
        raise CommissioningError(f"{path}: {why(error)}") from error
    except msgspec.DecodeError as error:
        raise CommissioningError(
            tr("{path}: is no acceptance ({error})", path=path, error=error),
            tr("Move it away, or put it back from a backup."),
        ) from error


def of_door(data: Path, site: str, door: str) -> Sequence[Acceptance]:
    """All acceptances of a door, the latest last."""
    found = [read(path) for path in sorted(folder(data).glob(f"{site}-{door}-*.json"))]
    return sorted(
        (one for one in found if (one.site, one.door) == (site, door)), key=lambda one: one.begun_utc
    )


def latest(data: Path, site: str, door: str) -> Acceptance | None:
    """The last one of this door, finished or not."""
    all_of_it = of_door(data, site, door)
    return all_of_it[-1] if all_of_it else None


def can_be_continued(one: Acceptance, now: dt.datetime) -> bool:
    """It was broken off not long ago: beams and sun are still the same."""
    return one.finished_utc is None and now - dt.datetime.fromisoformat(one.begun_utc) < CONTINUE_WITHIN
