"""What a hardware counter tells of the states that the program slept through."""

import itertools
import random

import pytest

from footfall_core.turns import STEP_MS, hidden_states, step_ms

IN = (1, 3, 2, 0)
OUT = (2, 3, 1, 0)
CASES = {
    "nothing happened": (0, 0, 0, ()),
    "chatter on one edge cancels": (1, 3, 1, (3,)),
    "someone turned back": (0, 0, 0, ()),
    "a whole person in": (0, 0, 4, IN),
    "a whole person out": (0, 0, -4, OUT),
    "two in": (0, 0, 8, IN * 2),
    "the end of one in, outer beam first": (1, 0, 3, (3, 2, 0)),
    "the beginning of one out": (0, 1, -3, (2, 3, 1)),
    "from outer to inner through both": (1, 2, 2, (3, 2)),
    "from outer to inner with none between": (1, 2, -2, (0, 2)),
    "both broke, the inner one first": (0, 3, -2, (2, 3)),
    "one leaves as the next one comes": (2, 1, 2, (0, 1)),
    "an edge fell between reading the levels and the count": (0, 1, 2, (1,)),
    "the count moved, the levels not yet": (3, 3, 1, ()),
}


@pytest.mark.parametrize(("before", "after", "steps", "states"), CASES.values(), ids=CASES)
def test_the_way_between_two_looks_follows_from_the_count(before, after, steps, states):
    assert hidden_states(before, after, steps) == states


def test_every_way_without_turning_is_found_again():
    rng = random.Random(1)
    ring = [0, 1, 3, 2]
    for _ in range(500):
        at, way, length = rng.randrange(4), rng.choice((1, -1)), rng.randrange(1, 12)
        walked = [ring[(at + way * n) % 4] for n in range(length + 1)]
        assert hidden_states(walked[0], walked[-1], way * length) == tuple(walked[1:])
        assert all((a ^ b) in (1, 2) for a, b in itertools.pairwise(walked))


@pytest.mark.parametrize(
    ("room_ms", "states", "least_ms", "expected"),
    [(10_000, 4, 40, STEP_MS), (10_000, 4, 200, 200), (100, 4, 40, 20), (46, 2, 40, 15), (0, 3, 40, 0)],
)
def test_hidden_states_last_as_a_walker_s_do_or_share_the_time_there_was(room_ms, states, least_ms, expected):
    assert step_ms(room_ms, states, least_ms) == expected
