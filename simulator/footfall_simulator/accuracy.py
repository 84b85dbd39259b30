"""How many passages the light barrier gets right, behaviour by behaviour: `footfall simulate accuracy`.

People walk (`behaviours`), geometry makes edges (`people`), the very state machine of the firmware counts them
(`footfall_core.beam.Barrier`), and what it counted is matched with what walked. Prints a table in Markdown.

The measure: a count is right if a true crossing in the same direction lies within `TOLERANCE_MS`, one to one. What
remains is a wrong direction (a true crossing at that time, the other way), a miss (a crossing nobody counted) or an
extra (a count nobody walked). The share right is right / (true + extra), so counting too much costs as much as counting
too little; for behaviours in which nobody walks through it is the share of scenes without any count.
"""

from __future__ import annotations

import math
import random
import sys
from bisect import bisect_right
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import click

from footfall_core.beam import PASSED_IN, PASSED_OUT, Barrier
from footfall_simulator.behaviours import BEHAVIOURS
from footfall_simulator.people import IN, OUT, Beams, Crossing, busy_span, crossings_of, edges_of, single_file
from footfall_simulator.reports import deliver

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from footfall_simulator.people import Edge, Walk

__all__ = [
    "Match",
    "Score",
    "count_edges",
    "main",
    "make_scenes",
    "match",
    "measure",
    "score",
    "table",
    "wilson",
]

TOLERANCE_MS = 1000  # the trunk leaves the second beam that much before or after the last bag or arm, at most
CLOSE_MS = 100  # nearly all counts of people without luggage lie this close
SINGLE_FILE_PEOPLE = 20_000
OTHER_SCENES = 2_000
# Single file means that the beams are free for a moment between two people; closer is tailgating and has its own rows.
SINGLE_FILE_GAP_MS = 400.0
SINGLE_FILE_SPARE_MS = 1600.0  # mean of what comes on top, drawn from an exponential distribution
SCENE_GAP_MS = 4000.0  # between other scenes: each is judged alone
SITING_HEIGHTS_MM = (800, 900, 1000, 1050, 1100, 1150, 1200, 1300)
SITING_SPACINGS_MM = (40, 60, 80, 120, 150, 200)
SITING_BEHAVIOURS = ("single_file", "hurrying", "backpack", "tailgating_200", "back_last", "hand")
FAULT_SETTLE_MS = 60_001


@dataclass(frozen=True, slots=True)
class Score:
    """What became of the true crossings and the counts of one behaviour."""

    behaviour: str
    scenes: int
    true: int
    counted: int
    right: int
    wrong_way: int
    missed: int
    extra: int
    clean_scenes: int  # scenes in which everything was right

    @property
    def trials(self) -> int:
        return self.true + self.extra if self.true else self.scenes

    @property
    def successes(self) -> int:
        return self.right if self.true else self.clean_scenes

    @property
    def share(self) -> float:
        return self.successes / self.trials if self.trials else 1.0


def wilson(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval for a share by Wilson's formula; (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    scale = 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / scale
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    return max(0.0, middle - half), min(1.0, middle + half)


def make_scenes(behaviour: str, scenes: int, seed: int, beams: Beams) -> list[Walk]:
    """Scenes of one behaviour, in and out at random, one after the other on the time axis."""
    rng = random.Random(f"{seed}/{behaviour}")
    build = BEHAVIOURS[behaviour].build
    walks = [build(rng, beams, rng.choice((IN, OUT))) for _ in range(scenes)]
    if behaviour == "single_file":
        gaps = (SINGLE_FILE_GAP_MS + rng.expovariate(1 / SINGLE_FILE_SPARE_MS) for _ in walks)
        return single_file(walks, beams, gaps)
    return single_file(walks, beams, repeat(SCENE_GAP_MS))


def count_edges(edges: Sequence[Edge], barrier: Barrier | None = None) -> list[Crossing]:
    """What the firmware's state machine counts, each passage at the moment that it reports for it."""
    barrier = barrier or Barrier()
    counted: list[Crossing] = []
    last_ms = edges[0].t_ms if edges else 0
    for t_ms, state in _with_lapses(edges):
        events = barrier.step(t_ms - last_ms, state)
        last_ms = t_ms
        if events & PASSED_IN:
            counted.append(Crossing(t_ms - barrier.passage_ago_ms, IN))
        elif events & PASSED_OUT:
            counted.append(Crossing(t_ms - barrier.passage_ago_ms, OUT))
    return counted


def _with_lapses(edges: Sequence[Edge]) -> Iterator[tuple[int, int]]:
    """The edges, and between them the ticks that a node gives: 20 ms after each edge, and when a fault is due."""
    for index, edge in enumerate(edges):
        yield edge.t_ms, edge.state
        until = edges[index + 1].t_ms if index + 1 < len(edges) else math.inf
        for lapse_ms in (20, FAULT_SETTLE_MS):
            if edge.t_ms + lapse_ms < until:
                yield edge.t_ms + lapse_ms, edge.state


def _pair(
    true: Sequence[Crossing], counted: Sequence[Crossing], tolerance_ms: int
) -> tuple[list[tuple[Crossing, Crossing]], list[Crossing], list[Crossing]]:
    """Match two lists in order of time, one to one within the tolerance, as many as possible."""
    pairs: list[tuple[Crossing, Crossing]] = []
    lone_true: list[Crossing] = []
    lone_counted: list[Crossing] = []
    i = j = 0
    while i < len(true) and j < len(counted):
        late = counted[j].t_ms - true[i].t_ms
        if late > tolerance_ms:
            lone_true.append(true[i])
            i += 1
        elif late < -tolerance_ms:
            lone_counted.append(counted[j])
            j += 1
        else:
            pairs.append((true[i], counted[j]))
            i += 1
            j += 1
    lone_true.extend(true[i:])
    lone_counted.extend(counted[j:])
    return pairs, lone_true, lone_counted


@dataclass(frozen=True, slots=True)
class Match:
    """Every true crossing and every count, in exactly one of these."""

    right: list[tuple[Crossing, Crossing]]
    wrong_way: list[tuple[Crossing, Crossing]]
    missed: list[Crossing]
    extra: list[Crossing]


def match(true: Sequence[Crossing], counted: Sequence[Crossing], tolerance_ms: int = TOLERANCE_MS) -> Match:
    """Match counts with the truth: first in the same direction, then what is left by time alone."""
    right: list[tuple[Crossing, Crossing]] = []
    lone_true: list[Crossing] = []
    lone_counted: list[Crossing] = []
    for direction in (IN, OUT):
        left_true = [crossing for crossing in true if crossing.direction == direction]
        left_counted = [crossing for crossing in counted if crossing.direction == direction]
        # The close ones first, so that one person's extra count is not taken for the next one's only count.
        for within_ms in (min(CLOSE_MS, tolerance_ms), tolerance_ms):
            pairs, left_true, left_counted = _pair(left_true, left_counted, within_ms)
            right += pairs
        lone_true += left_true
        lone_counted += left_counted
    wrong_way, missed, extra = _pair(sorted(lone_true), sorted(lone_counted), tolerance_ms)
    return Match(sorted(right), wrong_way, missed, extra)


def score(behaviour: str, walks: Sequence[Walk], beams: Beams, counted: Sequence[Crossing]) -> Score:
    """Judge what was counted against what walked. `walks` in order of time."""
    true = crossings_of(walks, beams)
    matched = match(true, counted)
    bad_times = [crossing.t_ms for crossing in (*matched.missed, *matched.extra)]
    bad_times += [pair[0].t_ms for pair in matched.wrong_way]
    # A walk's start is the approach, long before its first beam: scenes are told apart by when they are in the beams.
    begins = [walk.start_ms + busy_span(walk, beams)[0] for walk in walks]
    bad_scenes = {bisect_right(begins, t_ms) for t_ms in bad_times}
    return Score(
        behaviour=behaviour,
        scenes=len(walks),
        true=len(true),
        counted=len(counted),
        right=len(matched.right),
        wrong_way=len(matched.wrong_way),
        missed=len(matched.missed),
        extra=len(matched.extra),
        clean_scenes=len(walks) - len(bad_scenes),
    )


def measure(behaviour: str, scenes: int, seed: int, beams: Beams, barrier: Barrier | None = None) -> Score:
    """Let `scenes` scenes of a behaviour walk, count them, and judge the counts."""
    walks = make_scenes(behaviour, scenes, seed, beams)
    return score(behaviour, walks, beams, count_edges(edges_of(walks, beams), barrier))


def table(scores: Sequence[Score], beams: Beams, seed: int) -> str:
    """The scores as a Markdown table."""
    lines = [
        f"Seed {seed}; beams {beams.spacing_mm} mm apart, {beams.height_mm} mm above the floor.",
        "",
        "| What people do | scenes | walked | right | wrong way | missed | extra | share right | 95 % interval |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for item in scores:
        low, high = wilson(item.successes, item.trials)
        lines.append(
            f"| {BEHAVIOURS[item.behaviour].title} | {item.scenes} | {item.true} | {item.right} | {item.wrong_way} "
            f"| {item.missed} | {item.extra} | {item.share:.2%} | {low:.2%} to {high:.2%} |"
        )
    return "\n".join(lines)


def siting_table(scenes: int, seed: int) -> str:
    """How height and spacing of the beams change what is counted right, as a Markdown table: for whoever mounts them."""
    lines = [
        "| Spacing | Height | " + " | ".join(BEHAVIOURS[name].title for name in SITING_BEHAVIOURS) + " |",
        "|--:|--:|" + "--:|" * len(SITING_BEHAVIOURS),
    ]
    usual = Beams()
    sites = [Beams(usual.spacing_mm, height_mm) for height_mm in SITING_HEIGHTS_MM]
    sites += [Beams(spacing_mm, usual.height_mm) for spacing_mm in SITING_SPACINGS_MM]
    for beams in sites:
        _say(f"{beams.spacing_mm} mm apart, {beams.height_mm} mm high")
        shares = [measure(name, scenes, seed, beams).share for name in SITING_BEHAVIOURS]
        row = " | ".join(f"{share:.1%}" for share in shares)
        lines.append(f"| {beams.spacing_mm} mm | {beams.height_mm} mm | {row} |")
    return "\n".join(lines)


def _say(what: str) -> None:
    """Progress, beside the table."""
    sys.stderr.write(f"{what} ...\n")


@click.command(
    short_help="How well people are counted.",
    epilog="\b\nExamples:\n  footfall simulate accuracy\n  footfall simulate accuracy --height 1000 --people 5000",
)
@click.option("--seed", default=1, show_default=True, help="Another number, other people.")
@click.option(
    "--people",
    type=click.IntRange(1),
    default=SINGLE_FILE_PEOPLE,
    show_default=True,
    help="Single-file people.",
)
@click.option(
    "--scenes",
    type=click.IntRange(1),
    default=OTHER_SCENES,
    show_default=True,
    help="Scenes of every other behaviour.",
)
@click.option(
    "--height",
    type=click.IntRange(1),
    default=Beams().height_mm,
    show_default=True,
    help="Of the beams, in mm.",
)
@click.option(
    "--spacing",
    type=click.IntRange(1),
    default=Beams().spacing_mm,
    show_default=True,
    help="Between the beams, in mm.",
)
@click.option("--siting", is_flag=True, help="Compare heights and spacings of the beams instead.")
@click.option("--write", type=click.Path(path_type=Path), help="Put the table between this file's markers.")
def accuracy(
    seed: int, people: int, scenes: int, height: int, spacing: int, write: Path | None, *, siting: bool
) -> int:
    """Walk seeded people through the light barrier and report how many passages are counted right."""
    report = siting_table(scenes, seed) if siting else _report(people, scenes, seed, Beams(spacing, height))
    return deliver(report, write, "siting" if siting else "accuracy")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command outside of `footfall`. Returns the exit code."""
    try:
        result = accuracy.main(arguments, prog_name="footfall simulate accuracy", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("stopped", err=True)
        return 130
    return result if isinstance(result, int) else 0


def _report(people: int, scenes: int, seed: int, beams: Beams) -> str:
    scores = []
    for name, behaviour in BEHAVIOURS.items():
        _say(behaviour.title)
        scores.append(measure(name, people if name == "single_file" else scenes, seed, beams))
    return table(scores, beams, seed)


if __name__ == "__main__":
    raise SystemExit(main())
