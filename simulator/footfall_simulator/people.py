"""People as bodies that break two light beams: from a walk to beam edges, by geometry alone.

Who calls it: `behaviours` builds the walks, `scenario` and `profile` place them in time, the virtual boards and
`accuracy` turn them into edges with `edges_of` and into the truth with `crossings_of`.

The world is one axis: x in millimetres along the walking direction, growing towards the inside. The outer beam is the
line x = 0, the inner beam x = spacing_mm; both lie at height_mm and span the whole door, so where in the width of the
door somebody walks does not matter. At the height of the beams a person is a few shapes (torso or neck or head or
thighs, two arms, what is carried); each shape is a front and a rear edge on x that move piecewise linearly in time, so
the moments at which it breaks and frees a beam are exact solutions and not samples.

The truth (`crossings_of`) is what walked: it looks at torsos and knows neither beam height, arms, bags nor the counter.

Simplifications, so that nobody takes the result for more than it is: a beam is a thin line that switches at once (a
real pair needs about 3 ms and sees its reflector's width); reflections from shiny clothes and sun do not exist.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "IN",
    "INNER",
    "OUT",
    "OUTER",
    "Beams",
    "Body",
    "Crossing",
    "Edge",
    "Load",
    "Outline",
    "Person",
    "Step",
    "Thing",
    "Walk",
    "busy_span",
    "crossings_of",
    "edges_of",
    "merge",
    "shift",
    "single_file",
    "walk_to_crossings",
    "walk_to_edges",
]

IN, OUT = 1, -1
OUTER, INNER = 1, 2  # bits of a state, a set bit is a broken beam

# Body proportions as shares of the stature: Drillis and Contini, as quoted in many textbooks.
SHOULDER = 0.82
NECK = 0.87  # above it the head
ELBOW = 0.63
HIP = 0.53  # below it two legs
UPPER_ARM = SHOULDER - ELBOW
FOREARM_AND_HAND = 0.25

HEAD_HALF_MM = (98.0, 78.0)  # half depth, half breadth
NECK_HALF_MM = (65.0, 62.0)
UPPER_ARM_HALF_MM = 48.0  # with a sleeve
FOREARM_HALF_MM = 40.0
THIGH_HALF_MM = 85.0
# Step length over step rate is nearly constant for one person, about 6.5 mm per (step/min): so a stride (two steps)
# at speed v is 2 * sqrt(60 * v * 6.5) with v in mm/s. Assumption from general knowledge of gait.
WALK_RATIO_MM_MIN = 6.5
GAIT_SAMPLES = 8  # knots per stride: a sine by eight straight pieces is at most 4 % of its amplitude off

Outline = tuple[
    tuple[float, float, float], ...
]  # knots (t_ms, rear x_mm, front x_mm), strictly ascending in time
_Spans = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Beams:
    """Two parallel beams across a door, both at the same height."""

    spacing_mm: int = 100
    height_mm: int = 1100


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """From `t_ms` on the beams are in `state` (bit 0 outer broken, bit 1 inner broken)."""

    t_ms: int
    state: int


@dataclass(frozen=True, slots=True, order=True)
class Crossing:
    """A person really went in (+1) or out (-1); at `t_ms` the rear of the body left the second beam."""

    t_ms: int
    direction: int


@dataclass(frozen=True, slots=True)
class Load:
    """Something rigid that moves with a person: a box in the plan view, from `bottom_mm` to `top_mm` above ground.

    `forward_mm` is the distance of its centre ahead of the body's centre (negative: behind), `length_mm` its size along
    the walking direction, `width_mm` across.
    """

    forward_mm: float
    length_mm: float
    width_mm: float
    bottom_mm: float
    top_mm: float


@dataclass(frozen=True, slots=True)
class Body:
    """One person's measures. Angles in radians; `swing_rad` is the shoulder's amplitude, `bend_rad` the elbow's."""

    stature_mm: float
    width_mm: float
    depth_mm: float
    arms: Literal["swing", "still", "phone", "push"] = "swing"
    swing_rad: float = 0.3
    bend_rad: float = 0.3
    loads: tuple[Load, ...] = ()

    @property
    def half_depth_mm(self) -> float:
        return self.depth_mm / 2


@dataclass(frozen=True, slots=True)
class Step:
    """A knot of a path: at `t_ms` the body's centre is at `x_mm`, facing `heading_rad` (0 inside, pi outside)."""

    t_ms: float
    x_mm: float
    heading_rad: float = 0.0


@dataclass(frozen=True, slots=True)
class Person:
    body: Body
    path: tuple[Step, ...]
    gait_phase: float = 0.0  # where in the stride the path begins, 0 to 1


@dataclass(frozen=True, slots=True)
class Thing:
    """What is not a person: a door's leaf, a hand, an insect. Given at the height of the beams; it is no truth."""

    outline: Outline


@dataclass(frozen=True, slots=True)
class Walk:
    """One scene at one door: one or several persons and things, times relative to `start_ms`."""

    behaviour: str
    persons: tuple[Person, ...]
    things: tuple[Thing, ...] = ()
    start_ms: int = 0
    door: str = ""


# --- from bodies to outlines -----------------------------------------------------------------------------------------


def _half_extent(half_length: float, half_width: float, heading_rad: float) -> float:
    """Half the size along x of an ellipse that is turned by `heading_rad`."""
    return math.hypot(half_length * math.cos(heading_rad), half_width * math.sin(heading_rad))


def _ellipse(path: Sequence[Step], half_length: float, half_width: float) -> Outline:
    knots = []
    for step in path:
        half = _half_extent(half_length, half_width, step.heading_rad)
        knots.append((step.t_ms, step.x_mm - half, step.x_mm + half))
    return tuple(knots)


def _box(path: Sequence[Step], load: Load) -> Outline:
    knots = []
    for step in path:
        cos, sin = math.cos(step.heading_rad), math.sin(step.heading_rad)
        centre = step.x_mm + load.forward_mm * cos
        half = (load.length_mm * abs(cos) + load.width_mm * abs(sin)) / 2
        knots.append((step.t_ms, centre - half, centre + half))
    return tuple(knots)


def _swinging(person: Person, half_turn: bool, samples: Sequence[tuple[float, float]]) -> Outline:  # noqa: FBT001
    """A limb that swings with the distance walked; `samples` are (offset ahead, half size) over one stride.

    A limb of a standing person rests, because the swing follows the way and not the clock.
    """
    path = person.path
    speed = _mean_speed(path)
    step_mm = 2 * math.sqrt(60 * WALK_RATIO_MM_MIN * max(speed, 0.2) * 1000) / GAIT_SAMPLES
    phase = (person.gait_phase + (0.5 if half_turn else 0.0)) * GAIT_SAMPLES
    knots: list[tuple[float, float, float]] = []

    def add(t_ms: float, x_mm: float, heading_rad: float, at: float) -> None:
        if knots and t_ms <= knots[-1][0]:
            return
        index = math.floor(at)
        part = at - index
        offset, half = samples[index % GAIT_SAMPLES]
        next_offset, next_half = samples[(index + 1) % GAIT_SAMPLES]
        centre = x_mm + (offset + (next_offset - offset) * part) * math.cos(heading_rad)
        half += (next_half - half) * part
        knots.append((t_ms, centre - half, centre + half))

    at = phase
    first = path[0]
    add(first.t_ms, first.x_mm, first.heading_rad, at)
    for before, after in itertools.pairwise(path):
        way = abs(after.x_mm - before.x_mm) / step_mm
        for knot in range(math.floor(at) + 1, math.ceil(at + way)):
            part = (knot - at) / way
            add(
                before.t_ms + (after.t_ms - before.t_ms) * part,
                before.x_mm + (after.x_mm - before.x_mm) * part,
                before.heading_rad + (after.heading_rad - before.heading_rad) * part,
                knot,
            )
        at += way
        add(after.t_ms, after.x_mm, after.heading_rad, at)
    return tuple(knots)


def _mean_speed(path: Sequence[Step]) -> float:
    """Metres per second while moving."""
    way = moving = 0.0
    for before, after in itertools.pairwise(path):
        if after.x_mm != before.x_mm:
            way += abs(after.x_mm - before.x_mm)
            moving += after.t_ms - before.t_ms
    return way / moving if moving else 0.0


def _arm_samples(body: Body, height_mm: float) -> tuple[tuple[float, float], ...] | None:
    """Where the plane of the beams cuts a swinging arm over one stride, or None if it never does.

    The upper arm hangs from the shoulder; the elbow bends more as the arm comes forward, as it does in walking.
    """
    shoulder = SHOULDER * body.stature_mm
    upper, lower = UPPER_ARM * body.stature_mm, FOREARM_AND_HAND * body.stature_mm
    if height_mm >= shoulder:
        return None
    samples: list[tuple[float, float]] = []
    seen = False
    for index in range(GAIT_SAMPLES):
        wave = math.sin(2 * math.pi * index / GAIT_SAMPLES)
        angle = body.swing_rad * wave
        bend = 0.15 + body.bend_rad * (1 + wave) / 2
        elbow_height = shoulder - upper * math.cos(angle)
        if height_mm >= elbow_height:
            offset, half = (shoulder - height_mm) * math.tan(angle), UPPER_ARM_HALF_MM / math.cos(angle)
        else:
            tilt = min(angle + bend, 1.4)
            drop = elbow_height - height_mm
            offset, half = upper * math.sin(angle) + drop * math.tan(tilt), FOREARM_HALF_MM / math.cos(tilt)
            if drop > lower * math.cos(tilt):
                # The hand hangs or swings above the beams: a negative size blocks nothing.
                offset, half = upper * math.sin(angle) + lower * math.sin(tilt), -20.0
        seen = seen or half > 0
        samples.append((offset, half))
    return tuple(samples) if seen else None


def _leg_samples(body: Body, height_mm: float, speed: float) -> tuple[tuple[float, float], ...]:
    """Where the plane of the beams cuts a leg that swings about the hip over one stride."""
    drop = HIP * body.stature_mm - height_mm
    amplitude = min(0.45, 0.33 * speed)
    return tuple(
        (drop * math.tan(amplitude * math.sin(2 * math.pi * index / GAIT_SAMPLES)), THIGH_HALF_MM)
        for index in range(GAIT_SAMPLES)
    )


def _outlines(person: Person, height_mm: float) -> list[Outline]:
    """What the plane at `height_mm` sees of a person; empty for somebody who walks below it."""
    body, path = person.body, person.path
    outlines: list[Outline] = []
    share = height_mm / body.stature_mm
    if share < HIP:
        samples = _leg_samples(body, height_mm, _mean_speed(path))
        outlines.extend(_swinging(person, half_turn, samples) for half_turn in (False, True))
    elif share < SHOULDER:
        outlines.append(_ellipse(path, body.half_depth_mm, body.width_mm / 2))
    elif share < NECK:
        outlines.append(_ellipse(path, *NECK_HALF_MM))
    elif share < 1:
        outlines.append(_ellipse(path, *HEAD_HALF_MM))
    outlines.extend(_arms(person, height_mm))
    outlines.extend(_box(path, load) for load in body.loads if load.bottom_mm <= height_mm <= load.top_mm)
    return outlines


def _arms(person: Person, height_mm: float) -> list[Outline]:
    body = person.body
    if body.arms == "swing":
        samples = _arm_samples(body, height_mm)
        return [_swinging(person, half_turn, samples) for half_turn in (False, True)] if samples else []
    elbow = ELBOW * body.stature_mm
    reach = FOREARM_AND_HAND * body.stature_mm
    if body.arms == "phone":
        # One forearm points up by `bend_rad`: at a height above the elbow it is ahead by rise / tan(bend).
        rise = height_mm - elbow
        if 0 <= rise <= reach * math.sin(body.bend_rad):
            ahead = rise / math.tan(body.bend_rad)
            size = 2 * FOREARM_HALF_MM / math.sin(body.bend_rad)
            return [_box(person.path, Load(ahead, size, 80, height_mm, height_mm))]
    if body.arms == "push" and abs(height_mm - elbow) <= FOREARM_HALF_MM + 30:
        # Both forearms lie level on a handle: one piece from the chest to the handle.
        return [_box(person.path, Load(reach / 2, reach, body.width_mm, height_mm, height_mm))]
    return []


# --- from outlines to edges ------------------------------------------------------------------------------------------


def _blocked_spans(outline: Outline, beam_x: float, spans: _Spans) -> None:
    """Append the times at which the outline covers `beam_x`: on every straight piece one exact interval."""
    knots = iter(outline)
    t0, rear0, front0 = next(knots)
    for t1, rear1, front1 in knots:
        if (rear0 <= beam_x or rear1 <= beam_x) and (front0 >= beam_x or front1 >= beam_x):
            start, stop = t0, t1
            if rear0 > beam_x:
                start = t0 + (t1 - t0) * (rear0 - beam_x) / (rear0 - rear1)
            elif rear1 > beam_x:
                stop = t0 + (t1 - t0) * (beam_x - rear0) / (rear1 - rear0)
            if front0 < beam_x:
                start = max(start, t0 + (t1 - t0) * (beam_x - front0) / (front1 - front0))
            elif front1 < beam_x:
                stop = min(stop, t0 + (t1 - t0) * (front0 - beam_x) / (front0 - front1))
            if start < stop:
                spans.append((start, stop))
        t0, rear0, front0 = t1, rear1, front1


def _walk_spans(walk: Walk, beams: Beams) -> tuple[_Spans, _Spans]:
    outer: _Spans = []
    inner: _Spans = []
    for person in walk.persons:
        for outline in _outlines(person, beams.height_mm):
            _blocked_spans(outline, 0, outer)
            _blocked_spans(outline, beams.spacing_mm, inner)
    for thing in walk.things:
        _blocked_spans(thing.outline, 0, outer)
        _blocked_spans(thing.outline, beams.spacing_mm, inner)
    return outer, inner


def _union(spans: _Spans) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for start, stop in sorted(spans):
        if joined and start <= joined[-1][1] + 1e-6:
            if stop > joined[-1][1]:
                joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined


def _whole_ms(spans: _Spans, start_ms: int) -> list[tuple[int, int]]:
    """Spans on a clock of whole milliseconds; what begins and ends in the same one is gone."""
    whole: list[tuple[int, int]] = []
    for start, stop in _union(spans):
        first, last = start_ms + round(start), start_ms + round(stop)
        if whole and first <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(last, whole[-1][1]))
        elif first < last:
            whole.append((first, last))
    return whole


def _edges(changes: Iterable[tuple[int, int, int]]) -> list[Edge]:
    """Changes (t_ms, beam bit, +1 or -1), in any order, to edges: a beam is broken while its sum is above zero."""
    depth = {OUTER: 0, INNER: 0}
    state = 0
    edges: list[Edge] = []
    ordered = sorted(changes)
    count = len(ordered)
    for index, (t_ms, beam, change) in enumerate(ordered):
        depth[beam] += change
        if index + 1 < count and ordered[index + 1][0] == t_ms:
            continue
        now = (OUTER if depth[OUTER] else 0) | (INNER if depth[INNER] else 0)
        if now != state:
            edges.append(Edge(t_ms, now))
            state = now
    return edges


def _changes(walk: Walk, beams: Beams) -> Iterable[tuple[int, int, int]]:
    outer, inner = _walk_spans(walk, beams)
    for beam, spans in ((OUTER, outer), (INNER, inner)):
        for start, stop in _whole_ms(spans, walk.start_ms):
            yield start, beam, 1
            yield stop, beam, -1


def walk_to_edges(walk: Walk, beams: Beams) -> list[Edge]:
    """The edges of one walk: strictly ascending in time, each a change, the last one with both beams clear."""
    return _edges(_changes(walk, beams))


def edges_of(walks: Iterable[Walk], beams: Beams) -> list[Edge]:
    """The edges of many walks through ONE door, which may overlap: a beam is broken while anybody breaks it."""
    return _edges(change for walk in walks for change in _changes(walk, beams))


def merge(*streams: Sequence[Edge]) -> list[Edge]:
    """Lay edge streams of one door, each starting clear, over one another: a beam is broken if any says so."""
    changes: list[tuple[int, int, int]] = []
    for stream in streams:
        state = 0
        for edge in stream:
            changes.extend(
                (edge.t_ms, beam, 1 if edge.state & beam else -1)
                for beam in (OUTER, INNER)
                if (edge.state ^ state) & beam
            )
            state = edge.state
    return _edges(changes)


# --- the truth -------------------------------------------------------------------------------------------------------


def walk_to_crossings(walk: Walk, beams: Beams) -> list[Crossing]:
    """Who went through: one crossing for each time a torso leaves the pair of beams on the other side, by time.

    The height of the beams plays no part (a child below them is a person too). Whoever turns back before the rear of
    the body has left the second beam yields nothing; whoever walks through and returns yields an in and an out.
    """
    crossings: list[Crossing] = []
    for person in walk.persons:
        outline = _ellipse(person.path, person.body.half_depth_mm, person.body.width_mm / 2)
        came_from = 0
        for t_ms, side in _sides(outline, beams.spacing_mm):
            if came_from and side != came_from:
                crossings.append(Crossing(walk.start_ms + round(t_ms), side))
            came_from = side
    return sorted(crossings)


def _sides(outline: Outline, spacing_mm: float) -> Iterable[tuple[float, int]]:
    """The moments at which a body comes to be wholly outside (-1) or wholly inside (+1) of the pair of beams."""
    t0, rear0, front0 = outline[0]
    if front0 < 0:
        yield t0, OUT
    elif rear0 > spacing_mm:
        yield t0, IN
    for t1, rear1, front1 in outline[1:]:
        if front0 >= 0 > front1:
            yield t0 + (t1 - t0) * front0 / (front0 - front1), OUT
        if rear0 <= spacing_mm < rear1:
            yield t0 + (t1 - t0) * (spacing_mm - rear0) / (rear1 - rear0), IN
        t0, rear0, front0 = t1, rear1, front1


def crossings_of(walks: Iterable[Walk], beams: Beams) -> list[Crossing]:
    """The truth of many walks through one door, in order of time."""
    return sorted(crossing for walk in walks for crossing in walk_to_crossings(walk, beams))


# --- in time ---------------------------------------------------------------------------------------------------------


def shift(walk: Walk, start_ms: int, door: str | None = None) -> Walk:
    """The same walk at another time and, if given, at another door."""
    return replace(walk, start_ms=start_ms, door=walk.door if door is None else door)


def busy_span(walk: Walk, beams: Beams) -> tuple[int, int]:
    """First and last moment, relative to the start, at which the walk breaks a beam or a truth happens."""
    still = shift(walk, 0)
    times = [edge.t_ms for edge in walk_to_edges(still, beams)]
    times += [crossing.t_ms for crossing in walk_to_crossings(still, beams)]
    return (min(times), max(times)) if times else (0, 0)


def single_file(
    walks: Iterable[Walk], beams: Beams, gaps_ms: Iterable[float], start_ms: int = 0
) -> list[Walk]:
    """Place walks one after the other: the beams stay clear for the next of `gaps_ms` before each one."""
    placed: list[Walk] = []
    free_at = start_ms
    gaps = iter(gaps_ms)
    for walk in walks:
        first, last = busy_span(walk, beams)
        start = free_at + math.ceil(next(gaps)) - first
        placed.append(shift(walk, start))
        free_at = start + last
    return placed
