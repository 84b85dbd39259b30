"""Why a terminal locks its buttons for three seconds: the same visitors read with and without."""

import pytest

from footfall_core.button import LOCKOUT_MS, ButtonPanel
from footfall_simulator.accuracy import wilson
from footfall_simulator.voters import read_votes

VISITORS = 2500


@pytest.mark.parametrize("seed", range(3))
def test_without_a_lockout_four_of_five_pleased_visitors_read_as_less_and_with_it_as_they_are(seed):
    without = read_votes(VISITORS, 0.8, seed, lockout_ms=0)
    locked = read_votes(VISITORS, 0.8, seed)
    assert without.satisfaction == pytest.approx(0.73, abs=0.025)
    low, high = wilson(locked.votes[0], sum(locked.votes))
    assert low < locked.pleased / locked.visitors < high
    assert locked.satisfaction == pytest.approx(0.8, abs=0.025)
    assert without.suppressed == 0


def test_every_press_is_a_vote_or_counted_as_suppressed():
    without = read_votes(VISITORS, 0.8, 7, lockout_ms=0)
    locked = read_votes(VISITORS, 0.8, 7)
    assert sum(locked.votes) + locked.suppressed == sum(without.votes)
    assert (
        locked.visitors * 0.93 < sum(locked.votes) <= locked.visitors
    )  # a few came within the lockout of the one before


def test_the_lockout_is_about_three_seconds():
    assert 2000 <= LOCKOUT_MS <= 4000


def test_all_buttons_at_once_and_bouncing_are_one_vote_and_the_rest_is_suppressed():
    panel = ButtonPanel(5)
    votes = 0
    for elapsed_ms, down in [
        (1000, 0b11111),
        (3, 0b10101),
        (2, 0b11011),
        (4, 0b11111),
        (2, 0b01111),
        (5, 0b11111),
        (200, 0b11111),
        (1, 0),
        (100, 0),
    ]:
        votes += bool(panel.step(elapsed_ms, down))
    assert votes == 1
    assert sum(panel.take_suppressed()) == 4


def test_a_second_button_a_moment_later_is_the_same_hand():
    panel = ButtonPanel(3)
    voted = [
        panel.step(elapsed_ms, down)
        for elapsed_ms, down in [(500, 1), (12, 3), (4, 1), (6, 3), (40, 3), (300, 2), (40, 0), (100, 0)]
    ]
    assert [vote for vote in voted if vote] in ([1], [2])
    assert sum(panel.take_suppressed()) == 1
