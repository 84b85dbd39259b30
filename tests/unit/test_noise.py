"""Edges that no people make, told from those that they do."""

import random

import pytest

from footfall_core.noise import BURST_EDGES, EDGES_PER_S, FRUITLESS_EDGES, LEAST_MS, Noise
from footfall_simulator.accuracy import make_scenes
from footfall_simulator.behaviours import BEHAVIOURS
from footfall_simulator.disturbances import DISTURBANCES, NOBODY_COMES, judge
from footfall_simulator.people import Beams, edges_of
from footfall_simulator.scenario import load_scenario, play


def alarm_after(every_ms, beam=1, longest_ms=300_000):
    """When a beam that changes every so many ms is called disturbed, in ms; None where it is not."""
    noise = Noise()
    for t_ms in range(every_ms, longest_ms, every_ms):
        if noise.step(every_ms, beam):
            assert noise.beams == beam
            return t_ms
    return None


@pytest.mark.parametrize("beam", [1, 2])
def test_a_flickering_lamp_is_noticed_within_a_tenth_of_a_second(beam):
    assert alarm_after(5, beam) <= 120


def test_what_people_can_make_at_the_most_is_no_alarm_before_the_slow_bucket_is_full():
    just_below_ms = 1000 // EDGES_PER_S + 1
    assert alarm_after(just_below_ms) > 15_000


def test_edges_without_anybody_are_an_alarm_in_the_end_and_those_of_passages_are_not():
    assert 60_000 < alarm_after(500) < 130_000
    noise = Noise()
    for edge in range(2000):  # the same edges, and every tenth is somebody
        assert not noise.step(500, 1)
        if edge % 10 == 9:
            noise.passed()


def test_a_single_burst_as_people_make_it_is_no_alarm():
    noise = Noise()
    assert not any(noise.step(1, 1) for _ in range(BURST_EDGES))


def test_a_disturbance_ends_a_minute_after_it_began_at_the_earliest_and_when_the_beams_have_calmed():
    noise = Noise()
    for _ in range(40):
        noise.step(5, 1)
    assert noise.beams == 1
    assert noise.step(LEAST_MS - 201, 0) == 1
    for _ in range(40):
        noise.step(5, 1)
    assert noise.step(LEAST_MS - 1, 0) == 1
    assert noise.step(FRUITLESS_EDGES * 1000, 0) == 0


def test_only_the_beam_that_flickers_is_named():
    noise = Noise()
    for n in range(400):
        noise.step(5, 2 | (n % 40 == 0))
    assert noise.beams == 2


@pytest.mark.parametrize("name", ["rush_hour", "mischief", "everyday"])
def test_a_rush_hour_raises_no_alarm(name):
    for edges in play(load_scenario(name)).edges.values():
        assert judge(edges).alarms_ms == []


@pytest.mark.parametrize("name", [name for name in BEHAVIOURS if name not in NOBODY_COMES])
def test_no_behaviour_of_people_raises_an_alarm(name):
    beams = Beams()
    assert judge(edges_of(make_scenes(name, 150, 7, beams), beams)).alarms_ms == []


@pytest.mark.parametrize("title", [title for title in DISTURBANCES if "curtain" not in title])
def test_every_disturbance_but_one_that_walks_like_people_is_noticed(title):
    edges = DISTURBANCES[title](random.Random(3))
    verdict = judge(edges)
    assert verdict.alarms_ms
    assert verdict.counted - verdict.counted_before <= 1
    assert verdict.counted_before <= 15
