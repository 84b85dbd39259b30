"""How people walk through a door: one builder for each behaviour, from the ordinary to the awkward.

Who calls it: `scenario` mixes behaviours by name (`BEHAVIOURS`), `profile` uses `plain_walker`, `accuracy` reports on
every one of them. A builder draws from the given random generator only, so the same seed gives the same people.

Where the measures come from. Stature: UK adults, 5 % of women below 1505 mm, 5 % of men above 1855 mm (hardware notes,
excerpt). Free walking speed around 1.3 m/s with a spread of a quarter is common textbook knowledge (Weidmann gives 1.34
+- 0.26 m/s). Everything marked "assumed" below is our own estimate: nobody has measured the public of your door.
The people are not fitted to the counter: where it miscounts them, the accuracy table says so.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from footfall_simulator.people import IN, Beams, Body, Load, Person, Step, Thing, Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

__all__ = ["BEHAVIOURS", "Behaviour", "plain_walker"]

APPROACH_MM = 1500.0  # a walk begins and ends this far from the beams: nothing carried reaches that far
TURN_MS = (500.0, 1200.0)  # how long it takes to turn on the spot (assumed)
TURN_KNOTS = 6  # a turn of 180 degrees in pieces of 30: the outline is then within 1 cm of the true ellipse
SHOES_MM = 25.0

Arms = Literal["swing", "still", "phone", "push"]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One way of using a door. `title` is how the accuracy table names it, `build` makes one scene in a direction."""

    name: str
    title: str
    build: Callable[[Random, Beams, int], Walk]


# --- drawing people --------------------------------------------------------------------------------------------------


def _clipped(rng: Random, mean: float, spread: float, low: float, high: float) -> float:
    return min(max(rng.gauss(mean, spread), low), high)


def _adult(rng: Random, arms: Arms | None = None, loads: tuple[Load, ...] = ()) -> Body:
    """An adult in street clothes. Depth at the trunk 250 +- 28 mm and 15 to 70 mm of clothing (assumed)."""
    if rng.random() < 0.5:
        stature = _clipped(rng, 1610, 63, 1420, 1800)
        width = _clipped(rng, 450, 30, 370, 560)
    else:
        stature = _clipped(rng, 1745, 67, 1550, 1960)
        width = _clipped(rng, 505, 32, 420, 620)
    depth = _clipped(rng, 250, 28, 180, 380) + rng.uniform(15, 70)
    if arms is None:
        draw = (
            rng.random()
        )  # shares assumed: most arms swing, some are in pockets or folded, some hold a phone
        arms = "swing" if draw < 0.75 else "still" if draw < 0.9 else "phone"
    # A phone's forearm points 30 to 60 degrees up.
    bend = rng.uniform(0.5, 1.1) if arms == "phone" else rng.uniform(0.0, 0.6)
    return Body(
        stature_mm=stature + SHOES_MM,
        width_mm=width,
        depth_mm=depth,
        arms=arms,
        swing_rad=_clipped(
            rng, 0.31, 0.1, 0.05, 0.7
        ),  # 18 +- 6 degrees to either side at the shoulder (assumed)
        bend_rad=bend,
        loads=loads,
    )


def _child(rng: Random, low_mm: float, high_mm: float) -> Body:
    """A child; trunk about a tenth of the stature deep and a quarter wide (assumed)."""
    stature = rng.uniform(low_mm, high_mm)
    return Body(
        stature_mm=stature,
        width_mm=stature * 0.25,
        depth_mm=stature * 0.12 + rng.uniform(15, 50),
        arms="swing",
        swing_rad=rng.uniform(0.2, 0.6),
        bend_rad=rng.uniform(0.0, 0.6),
    )


def _ordinary_speed(rng: Random) -> float:
    """Metres per second at a door, 0.5 to 2.5: mostly a stroll, one in ten slow, one in twenty in a hurry (assumed)."""
    draw = rng.random()
    if draw < 0.10:
        return rng.uniform(0.5, 0.9)
    if draw < 0.95:
        return _clipped(rng, 1.3, 0.26, 0.6, 2.2)
    return rng.uniform(1.7, 2.5)


def _backpack(rng: Random, body: Body) -> Load:
    """On the back, from the hip nearly to the shoulder, 120 to 250 mm deep (assumed)."""
    length = rng.uniform(120, 250)
    return Load(
        forward_mm=-(body.half_depth_mm + length / 2) + 10,
        length_mm=length,
        width_mm=300,
        bottom_mm=0.55 * body.stature_mm,
        top_mm=0.80 * body.stature_mm,
    )


def _shoulder_bag(rng: Random, body: Body) -> Load:
    """At the side under an arm: 250 to 400 mm long along the way, its top between hip and elbow (assumed)."""
    top = rng.uniform(0.55, 0.66) * body.stature_mm
    return Load(
        forward_mm=rng.uniform(-80, 40),
        length_mm=rng.uniform(250, 400),
        width_mm=body.width_mm + 200,
        bottom_mm=top - rng.uniform(220, 350),
        top_mm=top,
    )


# --- drawing paths ---------------------------------------------------------------------------------------------------


def _straight(
    rng: Random, beams: Beams, speed: float, *, heading_rad: float | None = None
) -> tuple[Step, ...]:
    """Inwards through the beams with a slight change of pace in each of four stretches."""
    heading = rng.gauss(0, 0.12) if heading_rad is None else heading_rad
    stops = (
        -APPROACH_MM,
        -400.0,
        beams.spacing_mm / 2,
        beams.spacing_mm + 400.0,
        beams.spacing_mm + APPROACH_MM,
    )
    t = 0.0
    path = [Step(t, stops[0], heading)]
    for before, after in itertools.pairwise(stops):
        t += (after - before) / (speed * rng.uniform(0.92, 1.08))
        path.append(Step(t, after, heading))
    return tuple(path)


def _wait(path: list[Step], rng: Random, ms: float, restless_mm: float) -> None:
    """Stand where the path ends, shifting weight every second or two."""
    t, x, heading = path[-1].t_ms, path[-1].x_mm, path[-1].heading_rad
    end = t + ms
    while True:
        t += rng.uniform(700, 2500)
        if t >= end:
            break
        path.append(Step(t, x + rng.uniform(-restless_mm, restless_mm), heading))
    path.append(Step(end, x, heading))


def _turn(path: list[Step], rng: Random) -> None:
    """Turn by half a circle on the spot."""
    last = path[-1]
    piece = rng.uniform(*TURN_MS) / TURN_KNOTS
    path.extend(
        Step(last.t_ms + piece * knot, last.x_mm, last.heading_rad + math.pi * knot / TURN_KNOTS)
        for knot in range(1, TURN_KNOTS + 1)
    )


def _go(path: list[Step], x_mm: float, speed: float) -> None:
    last = path[-1]
    path.append(Step(last.t_ms + abs(x_mm - last.x_mm) / speed, x_mm, last.heading_rad))


def _there_and_back(rng: Random, reach_mm: float, pause_ms: float) -> tuple[Step, ...]:
    """Inwards until the body's centre is at `reach_mm`, a pause, and back out: mostly turned, sometimes backwards."""
    path = [Step(0.0, -APPROACH_MM)]
    _go(path, min(reach_mm - 250.0, -300.0), rng.uniform(0.9, 1.5))
    _go(path, reach_mm, rng.uniform(0.4, 1.0))  # slower towards the end
    if pause_ms > 0:
        _wait(path, rng, pause_ms, 15)
    if rng.random() < 0.75:
        _turn(path, rng)
    _go(path, -APPROACH_MM, rng.uniform(0.7, 1.5))
    return tuple(path)


def _faced(path: tuple[Step, ...], beams: Beams, direction: int) -> tuple[Step, ...]:
    """The path as drawn for the way in, or its mirror image for the way out."""
    if direction == IN:
        return path
    return tuple(Step(step.t_ms, beams.spacing_mm - step.x_mm, math.pi - step.heading_rad) for step in path)


def _moved(path: tuple[Step, ...], dx_mm: float = 0.0, dt_ms: float = 0.0) -> tuple[Step, ...]:
    return tuple(replace(step, t_ms=step.t_ms + dt_ms, x_mm=step.x_mm + dx_mm) for step in path)


def _alone(name: str, rng: Random, beams: Beams, direction: int, body: Body, path: tuple[Step, ...]) -> Walk:
    return Walk(name, (Person(body, _faced(path, beams, direction), rng.random()),))


# --- one person ------------------------------------------------------------------------------------------------------


def plain_walker(rng: Random, beams: Beams, direction: int) -> Walk:
    """An adult at an ordinary pace with quiet arms and nothing in hand.

    For replaying counted profiles: there the pipeline behind the beams is on trial, and a single miscount by the light
    barrier would hide its faults. How natural people are counted is the accuracy table's matter.
    """
    body = _adult(rng, arms="still")
    return _alone("plain", rng, beams, direction, body, _straight(rng, beams, rng.uniform(0.8, 1.8)))


def _single_file(rng: Random, beams: Beams, direction: int) -> Walk:
    """The everyday mix: natural arms, every fifth with a backpack, every fifth with a bag, 0.5 to 2.5 m/s."""
    body = _adult(rng)
    draw = rng.random()
    if draw < 0.2:
        body = replace(body, loads=(_backpack(rng, body),))
    elif draw < 0.4:
        body = replace(body, loads=(_shoulder_bag(rng, body),))
    return _alone("single_file", rng, beams, direction, body, _straight(rng, beams, _ordinary_speed(rng)))


def _hurrying(rng: Random, beams: Beams, direction: int) -> Walk:
    """2 to 3.5 m/s, elbows bent, arms swinging wide."""
    body = replace(_adult(rng, "swing"), swing_rad=rng.uniform(0.4, 0.8), bend_rad=rng.uniform(0.6, 1.4))
    return _alone("hurrying", rng, beams, direction, body, _straight(rng, beams, rng.uniform(2.0, 3.5)))


def _slow(rng: Random, beams: Beams, direction: int) -> Walk:
    """0.2 to 0.6 m/s: frail people, people reading a notice."""
    path = _straight(rng, beams, rng.uniform(0.2, 0.6))
    return _alone("slow", rng, beams, direction, _adult(rng), path)


def _with_backpack(rng: Random, beams: Beams, direction: int) -> Walk:
    body = _adult(rng)
    body = replace(body, loads=(_backpack(rng, body),))
    return _alone("backpack", rng, beams, direction, body, _straight(rng, beams, _ordinary_speed(rng)))


def _with_bag(rng: Random, beams: Beams, direction: int) -> Walk:
    body = _adult(rng)
    body = replace(body, loads=(_shoulder_bag(rng, body),))
    return _alone("bag", rng, beams, direction, body, _straight(rng, beams, _ordinary_speed(rng)))


def _with_box(rng: Random, beams: Beams, direction: int) -> Walk:
    """A box of 250 to 500 mm in both arms, in front of belly or chest."""
    body = _adult(rng, "still")
    length = rng.uniform(250, 500)
    bottom = rng.uniform(0.50, 0.62) * body.stature_mm
    top = bottom + rng.uniform(200, 450)
    box = Load(body.half_depth_mm + length / 2 + rng.uniform(0, 40), length, 400, bottom, top)
    path = _straight(rng, beams, rng.uniform(0.7, 1.3))
    return _alone("box", rng, beams, direction, replace(body, loads=(box,)), path)


def _with_trolley(rng: Random, beams: Beams, direction: int) -> Walk:
    """Half pull a case (its bar reaches hip height), half push a cart loaded 0.9 to 1.5 m high."""
    if rng.random() < 0.5:
        case = Load(-rng.uniform(600, 850), rng.uniform(200, 300), 400, 0, rng.uniform(550, 750))
        body = _adult(rng, "swing", (case,))
    else:
        length = rng.uniform(500, 800)
        body = _adult(rng, "push")
        ahead = body.half_depth_mm + rng.uniform(250, 400) + length / 2
        body = replace(body, loads=(Load(ahead, length, 500, 150, rng.uniform(900, 1500)),))
    return _alone("trolley", rng, beams, direction, body, _straight(rng, beams, rng.uniform(0.6, 1.2)))


def _with_pram(rng: Random, beams: Beams, direction: int) -> Walk:
    """The hood, 300 to 450 mm long and 0.95 to 1.15 m high, is the only part that may reach the beams."""
    body = _adult(rng, "push")
    hood = rng.uniform(300, 450)
    ahead = body.half_depth_mm + rng.uniform(300, 450) + hood / 2
    load = Load(ahead, hood, 400, 500, rng.uniform(950, 1150))
    path = _straight(rng, beams, rng.uniform(0.6, 1.2))
    return _alone("pram", rng, beams, direction, replace(body, loads=(load,)), path)


def _wheelchair(rng: Random, beams: Beams, direction: int) -> Walk:
    """Seated, the top of the head 1.15 to 1.33 m above ground; the chair itself ends at 0.95 m (assumed)."""
    chair = Load(100, rng.uniform(900, 1100), 600, 0, 950)
    seated = Body(rng.uniform(1150, 1330), width_mm=480, depth_mm=280, arms="still", loads=(chair,))
    return _alone("wheelchair", rng, beams, direction, seated, _straight(rng, beams, rng.uniform(0.4, 1.2)))


def _sideways(rng: Random, beams: Beams, direction: int) -> Walk:
    """Squeezing past somebody, turned by 40 to 90 degrees."""
    heading = rng.choice((-1, 1)) * rng.uniform(0.7, math.pi / 2)
    path = _straight(rng, beams, rng.uniform(0.3, 0.9), heading_rad=heading)
    return _alone("sideways", rng, beams, direction, _adult(rng, "still"), path)


def _standing(name: str, low_s: float, high_s: float) -> Callable[[Random, Beams, int], Walk]:
    """Somebody who stops in the beams, shifts about, and goes on."""

    def build(rng: Random, beams: Beams, direction: int) -> Walk:
        path = [Step(0.0, -APPROACH_MM)]
        _go(path, -300.0, rng.uniform(0.8, 1.4))
        _go(path, rng.uniform(-60, beams.spacing_mm + 60), rng.uniform(0.5, 1.0))
        _wait(path, rng, 1000 * rng.uniform(low_s, high_s), 40)
        _go(path, beams.spacing_mm + APPROACH_MM, rng.uniform(0.6, 1.4))
        return _alone(name, rng, beams, direction, _adult(rng), tuple(path))

    return build


def _turn_back(
    name: str, centre: Callable[[Random, Beams, float], float]
) -> Callable[[Random, Beams, int], Walk]:
    """Somebody who comes in, stops with the body's centre at `centre(rng, beams, half depth)` and goes back out."""

    def build(rng: Random, beams: Beams, direction: int) -> Walk:
        body = _adult(rng)
        reach = centre(rng, beams, body.half_depth_mm)
        pause = rng.choice((0.0, rng.uniform(200, 3000)))
        return _alone(name, rng, beams, direction, body, _there_and_back(rng, reach, pause))

    return build


def _child_walk(name: str, low_mm: float, high_mm: float) -> Callable[[Random, Beams, int], Walk]:
    """A child whose stature, less the height of the beams, lies between `low_mm` and `high_mm`."""

    def build(rng: Random, beams: Beams, direction: int) -> Walk:
        body = _child(rng, beams.height_mm + low_mm, beams.height_mm + high_mm)
        return _alone(name, rng, beams, direction, body, _straight(rng, beams, rng.uniform(0.7, 2.2)))

    return build


# --- several people --------------------------------------------------------------------------------------------------


def _tailgating(gap_mm: float) -> Callable[[Random, Beams, int], Walk]:
    """Two people at the same pace, `gap_mm` of air between the trunks; arms and backpacks reach into it."""

    def build(rng: Random, beams: Beams, direction: int) -> Walk:
        first, second = _adult(rng), _adult(rng)
        if rng.random() < 0.2:
            first = replace(first, loads=(_backpack(rng, first),))
        path = _straight(rng, beams, _clipped(rng, 1.1, 0.25, 0.5, 1.8))
        behind = -(first.half_depth_mm + gap_mm + second.half_depth_mm)
        persons = (
            Person(first, _faced(path, beams, direction), rng.random()),
            Person(second, _faced(_moved(path, dx_mm=behind), beams, direction), rng.random()),
        )
        return Walk(f"tailgating_{gap_mm:.0f}", tuple(_walk_on(person, beams) for person in persons))

    return build


def _walk_on(person: Person, beams: Beams) -> Person:
    """Let a path that was moved end well clear of the beams again."""
    before, last = person.path[-2:]
    speed = abs(last.x_mm - before.x_mm) / (last.t_ms - before.t_ms)
    if last.x_mm > before.x_mm:
        end = max(last.x_mm, beams.spacing_mm + APPROACH_MM)
    else:
        end = min(last.x_mm, -APPROACH_MM)
    extra = abs(end - last.x_mm)
    if not extra:
        return person
    return replace(person, path=(*person.path, Step(last.t_ms + extra / speed, end, last.heading_rad)))


def _side_by_side(rng: Random, beams: Beams, direction: int) -> Walk:
    """Two people next to one another, at most 150 mm apart along the way."""
    path = _straight(rng, beams, _clipped(rng, 1.1, 0.2, 0.6, 1.6))
    behind = _moved(path, dx_mm=-rng.uniform(0, 150))
    persons = (
        Person(_adult(rng), _faced(path, beams, direction), rng.random()),
        _walk_on(Person(_adult(rng), _faced(behind, beams, direction), rng.random()), beams),
    )
    return Walk("side_by_side", persons)


def _group(rng: Random, beams: Beams, direction: int) -> Walk:
    """Three to five people, each 200 to 1000 mm behind the one before, some of them beside one another."""
    path = _straight(rng, beams, _clipped(rng, 1.1, 0.2, 0.6, 1.6))
    behind = 0.0
    persons: list[Person] = []
    for _ in range(rng.randint(3, 5)):
        moved = _faced(_moved(path, dx_mm=-behind), beams, direction)
        persons.append(_walk_on(Person(_adult(rng), moved, rng.random()), beams))
        behind += rng.uniform(200, 1000)
    return Walk("group", tuple(persons))


def _crossing(rng: Random, beams: Beams, direction: int) -> Walk:
    """Two people from opposite sides who reach the beams within 0.8 s of one another."""
    first = _straight(rng, beams, _clipped(rng, 1.1, 0.25, 0.5, 1.8))
    second = _straight(rng, beams, _clipped(rng, 1.1, 0.25, 0.5, 1.8))
    # The third knot of a straight path is the middle of the beams.
    late = first[2].t_ms - second[2].t_ms + rng.uniform(-800, 800)
    persons = (
        Person(_adult(rng), _faced(_moved(first, dt_ms=max(0.0, -late)), beams, direction), rng.random()),
        Person(_adult(rng), _faced(_moved(second, dt_ms=max(0.0, late)), beams, -direction), rng.random()),
    )
    return Walk("crossing", persons)


# --- nobody ----------------------------------------------------------------------------------------------------------


def _thing(name: str, beams: Beams, direction: int, knots: list[tuple[float, float, float]]) -> Walk:
    """A thing drawn as coming from the outside, or its mirror image."""
    if direction != IN:
        knots = [(t, beams.spacing_mm - front, beams.spacing_mm - rear) for t, rear, front in knots]
    return Walk(name, (), (Thing(tuple(knots)),))


def _leaf(rng: Random, beams: Beams, direction: int) -> Walk:
    """A door leaf, hinged 50 to 250 mm before the first beam, that opens across both beams or part of the way.

    It reaches from the hinge to its rim all the time, so its rim comes back the way it went.
    """
    hinge = -rng.uniform(50, 250)
    leaf = rng.uniform(700, 1000)
    widest = rng.uniform(0.3, math.pi / 2)
    opening, open_ms, closing = rng.uniform(700, 2500), rng.uniform(500, 8000), rng.uniform(1500, 5000)
    pieces = 8
    parts = [index / pieces for index in range(pieces + 1)]
    knots = [(opening * part, hinge, hinge + leaf * math.sin(widest * part)) for part in parts]
    shut_from = opening + open_ms
    knots += [
        (shut_from + closing * part, hinge, hinge + leaf * math.sin(widest * (1 - part))) for part in parts
    ]
    return _thing("leaf", beams, direction, knots)


def _hand(rng: Random, beams: Beams, direction: int) -> Walk:
    """A hand of 60 to 95 mm: waved through both beams, to and fro, or held into one."""
    size = rng.uniform(60, 95)
    speed = rng.uniform(0.5, 2.5)
    turns = rng.choice((1, 1, 2, 3, 4))
    reach = beams.spacing_mm + size / 2 + rng.uniform(20, 300) if rng.random() < 0.7 else rng.uniform(0, 90)
    t, x = 0.0, -size / 2 - 150.0
    knots = [(t, x - size / 2, x + size / 2)]
    for turn in range(turns):
        for goal in (reach, -size / 2 - 20.0) if turns > 1 or reach < beams.spacing_mm else (reach,):
            t += abs(goal - x) / speed
            x = goal
            knots.append((t, x - size / 2, x + size / 2))
            if turn == 0 and rng.random() < 0.3:
                t += rng.uniform(50, 1500)
                knots.append((t, x - size / 2, x + size / 2))
    last_x = x + 400.0 if x > beams.spacing_mm else -size - 300.0
    knots.append((t + abs(last_x - x) / speed, last_x - size / 2, last_x + size / 2))
    return _thing("hand", beams, direction, knots)


def _insect(rng: Random, beams: Beams, direction: int) -> Walk:
    """5 to 25 mm that flutter about the beams, or sit on a sensor for up to two minutes."""
    size = rng.uniform(5, 25)
    t, x = 0.0, -200.0
    knots = [(t, x - size / 2, x + size / 2)]
    for _ in range(rng.randint(1, 8)):
        goal = rng.uniform(-150, beams.spacing_mm + 150)
        t += abs(goal - x) / rng.uniform(0.3, 2.0)
        x = goal
        knots.append((t, x - size / 2, x + size / 2))
    if rng.random() < 0.2:
        sits_at = rng.choice((0.0, float(beams.spacing_mm)))
        t += max(abs(sits_at - x), 1) / 0.5
        x = sits_at
        knots.append((t, x - size / 2, x + size / 2))
        t += rng.uniform(1_000, 120_000)
        knots.append((t, x - size / 2, x + size / 2))
    away = rng.choice((-200.0, beams.spacing_mm + 200.0))
    t += max(abs(away - x), 1) / rng.uniform(0.3, 2.0)
    knots.append((t, away - size / 2, away + size / 2))
    return _thing("insect", beams, direction, knots)


_ALL = (
    Behaviour("single_file", "Single file: natural arms, bags, 0.5 to 2.5 m/s", _single_file),
    Behaviour("hurrying", "Hurrying, 2 to 3.5 m/s", _hurrying),
    Behaviour("slow", "Very slow, 0.2 to 0.6 m/s", _slow),
    Behaviour("backpack", "With a backpack", _with_backpack),
    Behaviour("bag", "With a shoulder bag", _with_bag),
    Behaviour("box", "Carrying a box in front", _with_box),
    Behaviour("trolley", "Pulling a case or pushing a loaded cart", _with_trolley),
    Behaviour("pram", "Pushing a pram", _with_pram),
    Behaviour("wheelchair", "In a wheelchair", _wheelchair),
    Behaviour("sideways", "Squeezing through sideways", _sideways),
    Behaviour("child_above", "Child up to 350 mm taller than the beams", _child_walk("child_above", 20, 350)),
    Behaviour("child_below", "Child below the beams", _child_walk("child_below", -250, -20)),
    Behaviour("standing", "Standing in the beams 3 to 40 s, then through", _standing("standing", 3, 40)),
    Behaviour(
        "standing_long",
        "Standing in the beams 65 to 120 s, then through",
        _standing("standing_long", 65, 120),
    ),
    Behaviour("tailgating_600", "Tailgating, 600 mm between bodies", _tailgating(600)),
    Behaviour("tailgating_400", "Tailgating, 400 mm", _tailgating(400)),
    Behaviour("tailgating_200", "Tailgating, 200 mm", _tailgating(200)),
    Behaviour("tailgating_100", "Tailgating, 100 mm", _tailgating(100)),
    Behaviour("tailgating_50", "Tailgating, 50 mm", _tailgating(50)),
    Behaviour("side_by_side", "Two side by side", _side_by_side),
    Behaviour("group", "Loose group of three to five", _group),
    Behaviour("crossing", "Two in opposite directions at once", _crossing),
    Behaviour(
        "back_before",
        "Turns back before the beams",
        _turn_back("back_before", lambda rng, _, half: -half - rng.uniform(30, 500)),
    ),
    Behaviour(
        "back_first",
        "Turns back in the first beam",
        _turn_back("back_first", lambda rng, beams, half: rng.uniform(15, beams.spacing_mm - 10) - half),
    ),
    Behaviour(
        "back_between",
        "Turns back with both beams broken",
        _turn_back(
            "back_between",
            lambda rng, beams, half: rng.uniform(
                min(beams.spacing_mm + 5 - half, half - 5), max(beams.spacing_mm + 5 - half, half - 5)
            ),
        ),
    ),
    Behaviour(
        "back_last",
        "Turns back with only the last beam broken",
        _turn_back("back_last", lambda rng, beams, half: half + rng.uniform(5, beams.spacing_mm - 20)),
    ),
    Behaviour(
        "back_behind",
        "Walks through, turns round behind the beams, and back",
        _turn_back(
            "back_behind",
            lambda rng, beams, half: beams.spacing_mm + half + rng.uniform(50, 1000),
        ),
    ),
    Behaviour("leaf", "Door leaf", _leaf),
    Behaviour("hand", "Hand waved through the beams", _hand),
    Behaviour("insect", "Insect", _insect),
)
BEHAVIOURS: Mapping[str, Behaviour] = {behaviour.name: behaviour for behaviour in _ALL}
