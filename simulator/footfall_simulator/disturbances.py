"""Edges that no people make, and how soon the firmware says so: `footfall simulate disturbances`.

Flickering light, a loose contact, something that moves in the draught: each as a random telegraph on one beam or both. The firmware's own
`Noise` and `Barrier` judge them as node/door.py has it: what is counted before the alarm is counted, then nothing. The
same two judge the people of `behaviours` and of the built-in scenarios: every alarm among those is a false one.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from footfall_core.beam import ANY_PASSAGE, Barrier
from footfall_core.noise import Noise
from footfall_simulator.accuracy import make_scenes
from footfall_simulator.behaviours import BEHAVIOURS
from footfall_simulator.people import INNER, OUTER, Beams, Edge, edges_of
from footfall_simulator.reports import deliver
from footfall_simulator.scenario import load_scenario, play

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["DISTURBANCES", "Verdict", "disturbances", "judge"]

LASTS_MS = 180_000
TICK_MS = 100  # of node/door.py
SEEDS = 100
SCENES = 2_000
SCENARIOS = ("everyday", "rush_hour", "mischief", "calit2_day")
NOBODY_COMES = ("hand", "insect", "back_last")  # without a break for hours, these are no people, either


@dataclass(frozen=True, slots=True)
class Verdict:
    """When alarms began, and how many passages were counted before the first one and outside of all."""

    alarms_ms: list[int]
    counted_before: int
    counted: int


def judge(edges: Sequence[Edge], beams: int = 2) -> Verdict:
    """What a door makes of edges."""
    noise, barrier = Noise(), Barrier(beams)
    alarms: list[int] = []
    counted = before = state = 0
    last_ms = edges[0].t_ms if edges else 0
    noisy = 0
    for edge in edges:
        gap_ms = edge.t_ms - last_ms
        first_ms = min(gap_ms, TICK_MS)
        for elapsed_ms, now in (
            (first_ms, state),
            (min(gap_ms - first_ms, 300), state),
            (max(gap_ms - first_ms - 300, 0), edge.state),
        ):
            passed = barrier.step(elapsed_ms, now) & ANY_PASSAGE
            was, noisy = noisy, noise.step(elapsed_ms, (now ^ state) & (3 if beams == 2 else OUTER))
            state = now
            if noisy and not was:
                alarms.append(edge.t_ms)
            elif was and not noisy:
                barrier.start(state)
            if passed:
                noise.passed()
                counted += not noisy
                before += not alarms
        last_ms = edge.t_ms
    return Verdict(alarms, before, counted)


def _telegraph(changes: Iterator[tuple[int, int]]) -> list[Edge]:
    """Edges from (ms after the one before, state)."""
    edges, t_ms, last = [], 0, 0
    for after_ms, state in changes:
        t_ms += max(after_ms, 1)
        if t_ms > LASTS_MS:
            break
        if state != last:
            edges.append(Edge(t_ms, state))
            last = state
    return edges


def _light(hz: int) -> Callable[[random.Random], list[Edge]]:
    """A lamp on the mains or a dimmer: both beams at `hz`, the thresholds a little apart."""

    def make(rng: random.Random) -> list[Edge]:
        period_ms = 1000 / hz
        lag_ms = rng.uniform(0, period_ms / 3)
        times = sorted(
            (round(n * period_ms / 2 + lag_ms * beam), beam, (n + 1) % 2)
            for n in range(round(LASTS_MS / period_ms * 2))
            for beam in (0, 1)
        )
        edges, state = [], 0
        for t_ms, group in itertools.groupby(times, key=lambda one: one[0]):
            for _, beam, level in group:
                state = state & ~(1 << beam) | level << beam
            edges.append(Edge(t_ms, state))
        return edges

    return make


def _sun(rng: random.Random) -> list[Edge]:
    """Sun through leaves: each beam blinded and freed at random, 5 to 15 times a second."""

    def changes() -> Iterator[tuple[int, int]]:
        state, hz = 0, rng.uniform(5, 15)
        while True:
            state ^= rng.choice((OUTER, INNER))
            yield round(rng.expovariate(4 * hz) * 1000), state

    return _telegraph(changes())


def _contact(rng: random.Random) -> list[Edge]:
    """A loose plug on one beam: a burst of bouncing whenever a door is slammed, every 2 to 10 s."""

    def changes() -> Iterator[tuple[int, int]]:
        while True:
            yield round(rng.uniform(2000, 10_000)), OUTER
            for n in range(rng.randrange(10, 60)):
                yield round(rng.expovariate(1 / 15)), OUTER * (n % 2)
            yield 5, 0

    return _telegraph(changes())


def _plant(hz: float) -> Callable[[random.Random], list[Edge]]:
    """A twig or the hem of a curtain swings in and out of one beam."""

    def make(rng: random.Random) -> list[Edge]:
        def changes() -> Iterator[tuple[int, int]]:
            for n in itertools.count():
                yield round(max(rng.gauss(500 / hz, 100 / hz), 20)), INNER * ((n + 1) % 2)

        return _telegraph(changes())

    return make


def _curtain(rng: random.Random) -> list[Edge]:
    """A curtain swings through both beams, there and back as a person would, every 3 s."""

    def changes() -> Iterator[tuple[int, int]]:
        while True:
            for states in ((1, 3, 2, 0), (2, 3, 1, 0)):
                for state in states:
                    yield round(rng.uniform(150, 400)) if state else 200, state
                yield round(rng.uniform(200, 800)), 0

    return _telegraph(changes())


DISTURBANCES: dict[str, Callable[[random.Random], list[Edge]]] = {
    "Light at 100 Hz (mains lamp), both beams": _light(100),
    "Light at 50 Hz (one-way rectified), both beams": _light(50),
    "Light at 10 Hz (failing tube), both beams": _light(10),
    "Sun through leaves, both beams at random": _sun,
    "A loose contact, bursts on one beam": _contact,
    "A twig swings in one beam, 3 times a second": _plant(3),
    "A hem swings in one beam, once a second": _plant(1),
    "A curtain swings through both beams": _curtain,
}


def table(seeds: int) -> str:
    """Disturbances and people, as a Markdown table."""
    lines = [
        f"{seeds} seeds of three minutes each; people: {SCENES} scenes of each behaviour, one after the other, and four scenarios.",
        "",
        "| What moves in the beams | noticed | after, median | at the latest | counted as people until then, mean | in three minutes without the rule |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for title, make in DISTURBANCES.items():
        verdicts, rivals = [], 0
        for seed in range(seeds):
            edges = make(random.Random(f"{seed}/{title}"))
            verdicts.append(judge(edges))
            rivals += _unguarded(edges)
        after = sorted(one.alarms_ms[0] for one in verdicts if one.alarms_ms)
        shown = (
            (f"{after[len(after) // 2] / 1000:.1f} s", f"{after[-1] / 1000:.1f} s") if after else ("-", "-")
        )
        before = sum(one.counted_before for one in verdicts) / seeds
        lines.append(
            f"| {title} | {len(after) / seeds:.0%} | {shown[0]} | {shown[1]} | {before:.1f} | {rivals / seeds:.1f} |"
        )
    beams = Beams()
    false = {}
    for name in BEHAVIOURS:
        false[BEHAVIOURS[name].title] = (
            len(judge(edges_of(make_scenes(name, SCENES, 1, beams), beams)).alarms_ms),
            name,
        )
    people = sum(n for n, name in false.values() if name not in NOBODY_COMES)
    others = ", ".join(f"{title.lower()} {n}" for title, (n, name) in false.items() if name in NOBODY_COMES)
    scenes = sum(
        len(judge(edges).alarms_ms)
        for name in SCENARIOS
        for edges in play(load_scenario(name)).edges.values()
    )
    lines.append("")
    lines.append(
        f"False alarms: {people} among people of all behaviours but these, {scenes} in the scenarios {', '.join(SCENARIOS)}. Of "
        f"scenes in which nobody comes through, {SCENES} in a row without anybody else: {others}."
    )
    return "\n".join(lines)


def _unguarded(edges: Sequence[Edge]) -> int:
    """How many the state machine alone would count."""
    barrier = Barrier()
    counted, last_ms, state = 0, 0, 0
    for edge in edges:
        for elapsed_ms, now in (
            (min(edge.t_ms - last_ms, 300), state),
            (max(edge.t_ms - last_ms - 300, 0), edge.state),
        ):
            counted += bool(barrier.step(elapsed_ms, now) & ANY_PASSAGE)
        last_ms, state = edge.t_ms, edge.state
    return counted


@click.command(
    short_help="Flickering light and loose contacts.", epilog="\b\nExample:\n  footfall simulate disturbances"
)
@click.option(
    "--seeds", type=click.IntRange(1), default=SEEDS, show_default=True, help="Of each disturbance."
)
@click.option("--write", type=click.Path(path_type=Path), help="Put the table between this file's markers.")
def disturbances(seeds: int, write: Path | None) -> int:
    """Let light flicker and contacts bounce, and report how soon the firmware stops taking it for people."""
    report = table(seeds)
    return deliver(report, write, "disturbances")
