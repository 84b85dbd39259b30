"""Bodies to edges: hand-computed geometry, and laws that hold for every seed and behaviour."""

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall_simulator.behaviours import BEHAVIOURS, plain_walker
from footfall_simulator.people import (
    IN,
    OUT,
    Beams,
    Body,
    Crossing,
    Edge,
    Load,
    Person,
    Step,
    Thing,
    Walk,
    busy_span,
    crossings_of,
    edges_of,
    merge,
    shift,
    single_file,
    walk_to_crossings,
    walk_to_edges,
)

BEAMS = Beams(spacing_mm=100, height_mm=1100)
# 300 mm deep, no arms in the way, 1 mm per ms: all times can be done in the head.
TRUNK = Body(stature_mm=1700, width_mm=500, depth_mm=300, arms="still")
INWARDS = (Step(0, -1000), Step(2000, 1000))
OUTWARDS = (Step(0, 1000, math.pi), Step(2000, -1000, math.pi))


def one(body=TRUNK, path=INWARDS, start_ms=0):
    return Walk("test", (Person(body, path),), start_ms=start_ms)


def scene(name, seed, direction):
    return BEHAVIOURS[name].build(random.Random(seed), BEAMS, direction)


# --- geometry by hand ---


def test_a_trunk_breaks_outer_then_both_then_frees_outer_then_inner():
    # The front, 150 mm ahead, is at x = 0 at 850 ms and at 100 at 950; the rear 300 ms later.
    assert walk_to_edges(one(), BEAMS) == [Edge(850, 1), Edge(950, 3), Edge(1150, 1 + 1), Edge(1250, 0)]


def test_the_way_out_is_the_mirror_image():
    edges = walk_to_edges(one(path=OUTWARDS), BEAMS)
    assert edges == [Edge(750, 2), Edge(850, 3), Edge(1050, 1), Edge(1150, 0)]


def test_the_truth_is_the_moment_the_rear_leaves_the_second_beam():
    assert walk_to_crossings(one(start_ms=5000), BEAMS) == [Crossing(6250, IN)]
    assert walk_to_crossings(one(path=OUTWARDS), BEAMS) == [Crossing(1150, OUT)]


@pytest.mark.parametrize(
    ("heading", "size_mm"),
    [(0.0, 300), (math.pi / 2, 500), (math.pi / 4, math.hypot(300, 500) / math.sqrt(2))],
)
def test_a_turned_body_is_as_long_as_its_ellipse(heading, size_mm):
    path = tuple(Step(step.t_ms, step.x_mm, heading) for step in INWARDS)
    edges = walk_to_edges(one(path=path), BEAMS)
    assert edges[2].t_ms - edges[0].t_ms == pytest.approx(size_mm, abs=1)


@pytest.mark.parametrize(
    ("stature_mm", "blocked_ms"),
    [
        (1090, 0),  # below the beams
        (1150, 196),  # head
        (1290, 130),  # neck
        (1700, 300),  # trunk
    ],
)
def test_stature_decides_what_the_beams_see(stature_mm, blocked_ms):
    edges = walk_to_edges(one(Body(stature_mm, 500, 300, "still")), BEAMS)
    assert (edges[2].t_ms - edges[0].t_ms if edges else 0) == blocked_ms
    assert len(walk_to_crossings(one(Body(stature_mm, 500, 300, "still")), BEAMS)) == 1


def test_below_the_hip_two_legs_are_seen():
    edges = walk_to_edges(one(Body(1900, 500, 300, "still")), Beams(100, 700))
    assert sum(1 for edge in edges if edge.state & 1) > 2


def test_a_load_counts_only_where_it_reaches_the_height_of_the_beams():
    low = Load(forward_mm=400, length_mm=300, width_mm=300, bottom_mm=0, top_mm=1099)
    high = Load(forward_mm=400, length_mm=300, width_mm=300, bottom_mm=900, top_mm=1100)
    plain = walk_to_edges(one(), BEAMS)
    assert walk_to_edges(one(Body(1700, 500, 300, "still", loads=(low,))), BEAMS) == plain
    # 250 to 550 mm ahead: outer is broken from 450 to 750 ms, then by the trunk from 850 on.
    edges = walk_to_edges(one(Body(1700, 500, 300, "still", loads=(high,))), BEAMS)
    assert edges[0] == Edge(450, 1)
    assert len(edges) > len(plain)


def test_what_is_carried_turns_with_its_bearer():
    bag = Load(forward_mm=-200, length_mm=200, width_mm=100, bottom_mm=1000, top_mm=1300)
    edges = walk_to_edges(one(Body(1700, 500, 300, "still", loads=(bag,)), OUTWARDS), BEAMS)
    assert edges[-1].t_ms == 1000 + 300, "on the way out the backpack is on the inner side and leaves last"


def test_a_hand_of_80_mm_never_breaks_both_beams_100_mm_apart():
    hand = Thing(((0, -240, -160), (1000, 260, 340)))
    states = [edge.state for edge in walk_to_edges(Walk("hand", (), (hand,)), BEAMS)]
    assert states == [1, 0, 2, 0]


def test_swinging_arms_are_at_rest_while_standing():
    body = Body(1900, 500, 250, "swing", swing_rad=0.7, bend_rad=0.6)
    stands = (Step(0, -1000), Step(1000, 0), Step(9000, 0), Step(10000, 1000))
    edges = walk_to_edges(one(body, stands), BEAMS)
    assert not [edge for edge in edges if 1001 < edge.t_ms < 8999]


def test_swinging_arms_of_tall_people_go_before_them():
    body = Body(1900, 500, 250, "swing", swing_rad=0.5, bend_rad=0.5)
    assert any(
        walk_to_edges(Walk("arm", (Person(body, INWARDS, phase / 8),)), BEAMS)[0].t_ms < 875 - 50
        for phase in range(8)
    )


def test_the_outline_agrees_with_sampling_the_ellipse():
    """The exact crossing times against a dumb scan in steps of 0.1 ms, for a body that turns while it walks."""
    path = (Step(0, -500, 0.1), Step(700, 50, 0.9), Step(1500, 700, 0.4))
    edges = walk_to_edges(one(path=path), BEAMS)

    def blocked(t):
        (a, b) = (path[0], path[1]) if t <= 700 else (path[1], path[2])
        part = (t - a.t_ms) / (b.t_ms - a.t_ms)
        extents = [
            (s.x_mm - e, s.x_mm + e)
            for s in (a, b)
            for e in [math.hypot(150 * math.cos(s.heading_rad), 250 * math.sin(s.heading_rad))]
        ]
        rear = extents[0][0] + (extents[1][0] - extents[0][0]) * part
        front = extents[0][1] + (extents[1][1] - extents[0][1]) * part
        return (1 if rear <= 0 <= front else 0) | (2 if rear <= 100 <= front else 0)

    scanned, state = [], 0
    for tenth in range(15000):
        now = blocked(tenth / 10)
        if now != state:
            scanned.append((tenth / 10, now))
            state = now
    assert [edge.state for edge in edges] == [now for _, now in scanned]
    assert all(abs(edge.t_ms - t) <= 0.7 for edge, (t, _) in zip(edges, scanned, strict=True))


# --- the truth ---


@pytest.mark.parametrize("direction", [IN, OUT])
@pytest.mark.parametrize("name", ["back_before", "back_first", "back_between", "back_last"])
def test_a_person_who_turns_back_is_nobody(name, direction):
    rng = random.Random(f"turn/{name}")
    walks = [BEHAVIOURS[name].build(rng, BEAMS, direction) for _ in range(300)]
    assert crossings_of(walks, BEAMS) == []


@pytest.mark.parametrize(
    ("name", "broken"), [("back_first", {0, 1}), ("back_between", {0, 1, 3}), ("back_last", {0, 1, 2, 3})]
)
def test_turning_back_happens_where_it_says(name, broken):
    """Seen without arms, of people who step backwards: the states the beams go through."""
    seen = set()
    for seed in range(60):
        walk = scene(name, seed, IN)
        person = walk.persons[0]
        if any(step.heading_rad for step in person.path):
            continue
        quiet = Body(1700, person.body.width_mm, person.body.depth_mm, "still")
        seen |= {edge.state for edge in walk_to_edges(one(quiet, person.path), BEAMS)}
    assert seen == broken


def test_whoever_turns_round_behind_the_beams_went_in_and_out():
    walk = scene("back_behind", 1, IN)
    assert [crossing.direction for crossing in walk_to_crossings(walk, BEAMS)] == [IN, OUT]


@pytest.mark.parametrize("name", ["leaf", "hand", "insect"])
def test_things_are_nobody(name):
    assert crossings_of([scene(name, seed, IN) for seed in range(50)], BEAMS) == []


@pytest.mark.parametrize(
    ("name", "people"), [("side_by_side", 2), ("tailgating_100", 2), ("crossing", 2), ("child_below", 1)]
)
def test_everybody_counts_in_the_truth_whatever_the_beams_see(name, people):
    for seed in range(30):
        assert len(walk_to_crossings(scene(name, seed, OUT), BEAMS)) == people


def test_the_truth_of_single_file_ends_on_the_side_it_went_to():
    rng = random.Random(5)
    for _ in range(200):
        direction = rng.choice((IN, OUT))
        walk = BEHAVIOURS["single_file"].build(rng, BEAMS, direction)
        assert [crossing.direction for crossing in walk_to_crossings(walk, BEAMS)] == [direction]


# --- laws for every seed ---

names = st.sampled_from(sorted(BEHAVIOURS))
seeds = st.integers(0, 2**32)
directions = st.sampled_from([IN, OUT])
beam_pairs = st.builds(Beams, st.integers(40, 200), st.integers(700, 1500))


def assert_consistent(edges):
    state = 0
    last = None
    for edge in edges:
        assert last is None or edge.t_ms > last, "strictly ordered in time"
        assert edge.state != state, "every edge is a change"
        assert 0 <= edge.state <= 3
        last, state = edge.t_ms, edge.state
    assert state == 0, "the beams are clear at the end"


@given(names, seeds, directions, beam_pairs)
@settings(max_examples=300, deadline=None)
def test_edges_are_ordered_changes_and_end_clear(name, seed, direction, beams):
    walk = BEHAVIOURS[name].build(random.Random(seed), beams, direction)
    assert_consistent(walk_to_edges(walk, beams))


@given(names, seeds, directions)
@settings(max_examples=100, deadline=None)
def test_the_same_seed_gives_the_same_edges(name, seed, direction):
    assert scene(name, seed, direction) == scene(name, seed, direction)
    assert walk_to_edges(scene(name, seed, direction), BEAMS) == walk_to_edges(
        scene(name, seed, direction), BEAMS
    )


@given(names, seeds, directions, st.integers(0, 2**41))
@settings(max_examples=100, deadline=None)
def test_a_walk_is_the_same_at_any_time_of_day(name, seed, direction, start_ms):
    still = scene(name, seed, direction)
    moved = shift(still, start_ms)
    assert walk_to_edges(moved, BEAMS) == [
        Edge(e.t_ms + start_ms, e.state) for e in walk_to_edges(still, BEAMS)
    ]
    assert walk_to_crossings(moved, BEAMS) == [
        Crossing(c.t_ms + start_ms, c.direction) for c in walk_to_crossings(still, BEAMS)
    ]


@given(st.lists(st.tuples(names, seeds, directions, st.integers(0, 8000)), min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_overlapping_walks_break_a_beam_while_anybody_does(drawn):
    walks = [shift(scene(name, seed, direction), start) for name, seed, direction, start in drawn]
    edges = edges_of(walks, BEAMS)
    assert_consistent(edges)
    streams = [walk_to_edges(walk, BEAMS) for walk in walks]
    assert merge(*streams) == edges

    def state_at(stream, t_ms):
        state = 0
        for edge in stream:
            if edge.t_ms > t_ms:
                break
            state = edge.state
        return state

    for t_ms in {edge.t_ms for stream in streams for edge in stream}:
        expected = 0
        for stream in streams:
            expected |= state_at(stream, t_ms)
        assert state_at(edges, t_ms) == expected


def test_people_of_other_seeds_are_other_people():
    assert plain_walker(random.Random(1), BEAMS, IN) != plain_walker(random.Random(2), BEAMS, IN)


# --- placing ---


def test_single_file_leaves_the_beams_free_between_two_people():
    rng = random.Random(3)
    walks = [BEHAVIOURS["single_file"].build(rng, BEAMS, rng.choice((IN, OUT))) for _ in range(200)]
    placed = single_file(walks, BEAMS, (700 for _ in walks), start_ms=1000)
    spans = [
        (walk.start_ms + first, walk.start_ms + last)
        for walk in placed
        for first, last in [busy_span(walk, BEAMS)]
    ]
    assert spans[0][0] >= 1700
    assert all(700 <= later[0] - earlier[1] <= 702 for earlier, later in pairwise(spans))


def test_the_mixed_public_is_as_varied_as_it_claims():
    rng = random.Random(11)
    walks = [BEHAVIOURS["single_file"].build(rng, BEAMS, IN) for _ in range(3000)]
    speeds = []
    for walk in walks:
        path = walk.persons[0].path
        speeds.append((path[-1].x_mm - path[0].x_mm) / (path[-1].t_ms - path[0].t_ms))
    assert min(speeds) < 0.55
    assert max(speeds) > 2.3
    bodies = [walk.persons[0].body for walk in walks]
    assert 0.35 < sum(bool(body.loads) for body in bodies) / len(bodies) < 0.45
    assert 0.7 < sum(body.arms == "swing" for body in bodies) / len(bodies) < 0.8
    statures = sorted(body.stature_mm - 25 for body in bodies)
    assert 1450 < statures[len(statures) // 20] < 1560
    assert 1780 < statures[-len(statures) // 20] < 1880
