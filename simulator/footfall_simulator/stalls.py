"""What a processor that stands still costs, with hardware counters and without: `footfall simulate stalls`.

The unmodified firmware runs on virtual boards; seeded people walk through its door while the processor stands still again
and again, at random moments, as in a flash erase. What is counted is matched with who walked, as `accuracy` does it. Lost through
stalls is a passage that the same board counts right without them and not with them.
"""

from __future__ import annotations

import json
import random
import re
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from footfall_simulator import parts
from footfall_simulator.accuracy import SINGLE_FILE_GAP_MS, SINGLE_FILE_SPARE_MS, make_scenes, match
from footfall_simulator.people import IN, OUT, Beams, Crossing, crossings_of, edges_of, single_file
from footfall_simulator.reports import deliver
from footfall_simulator.timeline import Timeline
from footfall_simulator.town import TownError, firmware_folder
from footfall_simulator.virtual_board import VirtualBoard
from footfall_simulator.virtual_board.host import PCNT_UNITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from footfall_simulator.parts import Micropython
    from footfall_simulator.people import Walk

__all__ = [
    "CROWDS",
    "Count",
    "Effect",
    "compare",
    "count_on_board",
    "crowd",
    "random_stalls",
    "stalls",
    "total",
]

OUTER_PIN, INNER_PIN = 32, 33
NOBODYS_PIN = 39  # its edge tells that the board has lived so long, however far it lags behind
START_UTC_MS = 1_780_000_000_000
READY_MS = 3_000  # from power-up until the first one walks
SENSORS_WAKE_MS = 200  # of the firmware: from its first line until its uptime begins
RATE = 4_000.0
TOLD_AFTER_MS = 330_000  # until what was missed without harm is told as well
STALL_MS = 300
STALL_EVERY_MS = 5_000
LEAST_GAP_MS = 1_500  # between two stalls: one passage is hit once
PEOPLE = 5_000  # scenes
SCENES_PER_SEED = 1_000
HOW = ("no stalls", "stalls, hardware counters", "stalls, interrupts alone")
# What people do at a door, in parts; who tailgates or meets another in the door walks as two.
CROWDS = {
    "one by one": {"single_file": 12, "slow": 2, "backpack": 2, "bag": 2, "trolley": 1, "back_last": 1},
    "with runners, pairs and people who meet in the door": {
        "single_file": 12,
        "hurrying": 3,
        "backpack": 2,
        "back_last": 1,
        "tailgating_400": 1,
        "crossing": 1,
    },
}


@dataclass(frozen=True, slots=True)
class Count:
    """What a board has counted, and what it says about itself."""

    passages: list[Crossing]
    missed_edges: int
    recovered: int


@dataclass(frozen=True, slots=True)
class Effect:
    """A count beside who walked."""

    walked: int
    stalls: int
    right: int
    wrong_way: int
    missed: int
    extra: int
    lost: int  # through the stalls
    count: Count


def crowd(mix: Mapping[str, int], scenes: int, seed: int, beams: Beams, start_ms: int) -> list[Walk]:
    """Seeded scenes of people, one after the other, by the parts of a mix."""
    rng = random.Random(f"{seed}/crowd")
    pools = {name: iter(make_scenes(name, scenes, seed, beams)) for name in mix}
    walks = [next(pools[rng.choices(list(mix), list(mix.values()))[0]]) for _ in range(scenes)]
    gaps = [SINGLE_FILE_GAP_MS + rng.expovariate(1 / SINGLE_FILE_SPARE_MS) for _ in walks]
    return single_file(walks, beams, gaps, start_ms)


def random_stalls(
    seed: int, start_ms: int, stop_ms: int, every_ms: int, stall_ms: int
) -> list[tuple[int, int]]:
    """Stalls (utc_ms, ms) at random, `every_ms` apart on average."""
    rng = random.Random(f"{seed}/stalls")
    found: list[tuple[int, int]] = []
    t_ms = start_ms
    while True:
        t_ms += (
            LEAST_GAP_MS + stall_ms + round(rng.expovariate(1 / max(every_ms - LEAST_GAP_MS - stall_ms, 1)))
        )
        if t_ms >= stop_ms:
            return found
        found.append((t_ms, stall_ms))


def count_on_board(
    micropython: Micropython,
    firmware: Path,
    edges: Sequence[tuple[int, int, int]],
    stalls: Sequence[tuple[int, int]],
    pcnt_units: int,
) -> Count:
    """Let a virtual board live through edges (utc_ms, pin, level) and stalls; what its console says it counted."""
    with tempfile.TemporaryDirectory() as folder:
        flash = Path(folder)
        config = {"barriers": [{"outer": OUTER_PIN, "inner": INNER_PIN}], "watchdog_s": 0}
        (flash / "config.json").write_text(json.dumps(config))
        passages: list[Crossing] = []
        told = [0, 0]
        timeline = Timeline(START_UTC_MS, 0)

        def heard(line: str) -> None:
            if found := re.match(r"passage t=(\d+) barrier=0 (in|out)", line):
                passages.append(Crossing(int(found[1]), IN if found[2] == "in" else OUT))
            elif found := re.match(r"door 0: (\d+) edges were missed, the counters told of (\d+)", line):
                told[0] += int(found[1])
                told[1] += int(found[2])

        with VirtualBoard(
            "ff-stalls", flash, micropython, firmware, timeline, pcnt_units=pcnt_units, on_line=heard
        ) as board:
            board.set_pins({OUTER_PIN: 0, INNER_PIN: 0})
            board.schedule_edges(edges)
            board.schedule_edges([(edges[-1][0] + TOLD_AFTER_MS, NOBODYS_PIN, 1)])
            board.schedule_stalls(stalls)
            timeline.set_rate(1)  # only now: making the board took its time
            board.start()
            timeline.set_rate(RATE)
            board.wait_for_edges(600)
            if board.tracebacks:
                raise RuntimeError(board.tracebacks[0])
            boot_ms = board.boot_utc_ms
        return Count(
            [Crossing(boot_ms + SENSORS_WAKE_MS + one.t_ms, one.direction) for one in passages], *told
        )


def effect(true: Sequence[Crossing], count: Count, undisturbed: Count, stalls: int) -> Effect:
    """How a count fares, and what it lost against the undisturbed one."""
    matched = match(true, count.passages)
    right = Counter(one for one, _ in matched.right)
    before = Counter(one for one, _ in match(true, undisturbed.passages).right)
    return Effect(
        len(true),
        stalls,
        len(matched.right),
        len(matched.wrong_way),
        len(matched.missed),
        len(matched.extra),
        (before - right).total(),
        count,
    )


def pins_of(walks: Sequence[Walk], beams: Beams) -> list[tuple[int, int, int]]:
    """The walks' edges as levels of the two pins."""
    found = []
    state = 0
    for edge in edges_of(walks, beams):
        for bit, pin in ((1, OUTER_PIN), (2, INNER_PIN)):
            if (edge.state ^ state) & bit:
                found.append((edge.t_ms, pin, 1 if edge.state & bit else 0))
        state = edge.state
    return found


def compare(
    micropython: Micropython,
    firmware: Path,
    mix: Mapping[str, int],
    scenes: int,
    seed: int,
    stall_ms: int = STALL_MS,
    every_ms: int = STALL_EVERY_MS,
) -> tuple[Effect, Effect, Effect]:
    """The same people without stalls, with stalls and hardware counters, with stalls and without counters."""
    beams = Beams()
    first_ms = START_UTC_MS + READY_MS
    walks = crowd(mix, scenes, seed, beams, first_ms)
    true = crossings_of(walks, beams)
    edges = pins_of(walks, beams)
    chosen = random_stalls(seed, first_ms, edges[-1][0], every_ms, stall_ms)
    calm = count_on_board(micropython, firmware, edges, [], PCNT_UNITS)
    counters = count_on_board(micropython, firmware, edges, chosen, PCNT_UNITS)
    alone = count_on_board(micropython, firmware, edges, chosen, 0)
    return (
        effect(true, calm, calm, 0),
        effect(true, counters, calm, len(chosen)),
        effect(true, alone, calm, len(chosen)),
    )


def total(effects: Sequence[Effect]) -> Effect:
    """The sum of several; the passages themselves are left out."""

    def add(name: str) -> int:
        return sum(getattr(one, name) for one in effects)

    count = Count(
        [], sum(one.count.missed_edges for one in effects), sum(one.count.recovered for one in effects)
    )
    return Effect(
        add("walked"),
        add("stalls"),
        add("right"),
        add("wrong_way"),
        add("missed"),
        add("extra"),
        add("lost"),
        count,
    )


def table(rows: Sequence[tuple[str, str, Effect]], stall_ms: int, every_ms: int, seeds: Sequence[int]) -> str:
    """The effects as a Markdown table."""
    columns = (
        *("People", "Counting", "walked", "stalls", "right", "wrong way", "missed", "extra"),
        *("lost through stalls", "edges missed", "recovered"),
    )
    still = f"the processor stands still for {stall_ms} ms at random, every {every_ms / 1000:g} s on average"
    lines = [
        f"Seeds {seeds[0]} to {seeds[-1]}; {still}.",
        "",
        "| " + " | ".join(columns) + " |",
        "|---|---|" + "--:|" * (len(columns) - 2),
    ]
    for people, how, one in rows:
        lines.append(
            f"| {people} | {how} | {one.walked} | {one.stalls} | {one.right} | {one.wrong_way} | {one.missed} | {one.extra} "
            f"| {one.lost} ({one.lost / max(one.walked, 1):.2%}) | {one.count.missed_edges} | {one.count.recovered} |"
        )
    return "\n".join(lines)


@click.command(
    short_help="What a processor that stands still loses.",
    epilog="\b\nExamples:\n  footfall simulate stalls\n  footfall simulate stalls --stall-ms 100 --every-s 2",
)
@click.option("--seed", default=1, show_default=True, help="The first seed; each gets 1,000 scenes.")
@click.option(
    "--people", type=click.IntRange(1), default=PEOPLE, show_default=True, help="Scenes of people, at least."
)
@click.option(
    "--stall-ms",
    type=click.IntRange(1),
    default=STALL_MS,
    show_default=True,
    help="How long the processor stands still.",
)
@click.option(
    "--every-s",
    type=click.FloatRange(2),
    default=STALL_EVERY_MS / 1000,
    show_default=True,
    help="How often, on average.",
)
@click.option(
    "--firmware",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The firmware's folder; that of this checkout if left out.",
)
@click.option("--write", type=click.Path(path_type=Path), help="Put the table between this file's markers.")
def stalls(
    seed: int, people: int, stall_ms: int, every_s: float, firmware: Path | None, write: Path | None
) -> int:
    """Stop a virtual board's processor at random while people walk, and report what its count loses.

    Once with the hardware's pulse counters (ESP32, S3), once without (C3, or MicroPython before 1.26).
    """
    try:
        firmware, micropython = firmware or firmware_folder(), parts.micropython()
    except (TownError, parts.PartError) as error:
        raise click.ClickException(str(error)) from None
    seeds = list(range(seed, seed - (-people // SCENES_PER_SEED)))
    every_ms = round(every_s * 1000)
    rows = []
    for title, mix in CROWDS.items():
        found = []
        for one in seeds:
            sys.stderr.write(f"{title}: seed {one} ...\n")
            scenes = min(people, SCENES_PER_SEED)
            found.append(compare(micropython, firmware, mix, scenes, one, stall_ms, every_ms))
        for how, effects in zip(HOW, zip(*found, strict=True), strict=True):
            rows.append((title, how, total(effects)))
    report = table(rows, stall_ms, every_ms, seeds)
    return deliver(report, write, "stalls")
