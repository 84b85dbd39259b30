"""Feedback buttons: traces of contacts drawn by hand, as (buttons down as bits, how long in ms)."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall_core.button import ButtonPanel

A, B, C = 1, 2, 4


def watch(trace, **panel_settings):
    """Votes as (bit, t_ms of the press), and the suppressed presses of each button."""
    panel = ButtonPanel(3, **panel_settings)
    panel.start(trace[0][0])
    now_ms, votes = 0, []
    ahead = [down for down, _ in trace[1:]] + [trace[-1][0]]
    for (_, held_ms), following in zip(trace, ahead, strict=True):
        now_ms += held_ms
        voted = panel.step(held_ms, following)
        if voted:
            votes.append((voted, now_ms - panel.press_ago_ms))
    return votes, panel.take_suppressed()


CASES = {
    "a press is a vote, at the moment of the press": ([(0, 500), (B, 200), (0, 500)], [(B, 500)], [0, 0, 0]),
    "a long press is one vote": ([(0, 500), (A, 20_000), (0, 500)], [(A, 500)], [0, 0, 0]),
    "a contact that bounces is one vote, from when it has come to rest": (
        [(0, 500), (A, 3), (0, 4), (A, 2), (0, 1), (A, 300), (0, 5), (A, 5), (0, 500)],
        [(A, 510)],
        [0, 0, 0],
    ),
    "a spike is nobody": ([(0, 500), (A, 29), (0, 500)], [], [0, 0, 0]),
    "the same press a second later is the same visitor": (
        [(0, 500), (A, 100), (0, 900), (A, 100), (0, 500)],
        [(A, 500)],
        [1, 0, 0],
    ),
    "another button right after is the same visitor": (
        [(0, 500), (A, 100), (0, 100), (C, 100), (0, 500)],
        [(A, 500)],
        [0, 0, 1],
    ),
    "hammering is one vote and a number": (
        [(0, 500), *[(B, 100), (0, 100)] * 10, (0, 500)],
        [(B, 500)],
        [0, 9, 0],
    ),
    "after the lockout the next visitor votes": (
        [(0, 500), (A, 100), (0, 2900), (B, 100), (0, 500)],
        [(A, 500), (B, 3500)],
        [0, 0, 0],
    ),
    "hammering does not make the lockout longer": (
        [(0, 500), (A, 100), (0, 1400), (A, 100), (0, 1400), (A, 100), (0, 100)],
        [(A, 500), (A, 3500)],
        [1, 0, 0],
    ),
    "two buttons at once are one vote": ([(0, 500), (A | C, 200), (0, 500)], [(A, 500)], [0, 0, 1]),
    "a second button while the first is held is suppressed, lockout or not": (
        [(0, 500), (A, 10_000), (A | B, 200), (A, 200), (0, 500)],
        [(A, 500)],
        [0, 1, 0],
    ),
    "a button that is held down through a start does not vote": (
        [(A, 5000), (0, 500), (A, 100), (0, 100)],
        [(A, 5500)],
        [0, 0, 0],
    ),
}


@pytest.mark.parametrize(("trace", "votes", "suppressed"), CASES.values(), ids=CASES)
def test_what_contacts_do_is_judged(trace, votes, suppressed):
    assert watch(trace) == (votes, suppressed)


@pytest.mark.parametrize(("held_ms", "counted"), [(29, False), (30, True)])
def test_a_press_is_believed_when_it_has_held_long_enough(held_ms, counted):
    votes, _ = watch([(0, 100), (A, held_ms), (0, 100)])
    assert bool(votes) == counted


@pytest.mark.parametrize(("pause_ms", "counted"), [(2899, False), (2900, True)])
def test_the_lockout_ends_when_it_is_over(pause_ms, counted):
    votes, suppressed = watch([(0, 100), (A, 100), (0, pause_ms), (B, 100), (0, 100)])
    assert (len(votes) == 2, suppressed == [0, 0, 0]) == (counted, counted)


def test_suppressed_presses_are_handed_out_once():
    panel = ButtonPanel(1)
    for held_ms, down in [(100, A), (100, 0), (100, A), (100, 0), (100, 0)]:
        panel.step(held_ms, down)
    assert panel.take_suppressed() == [1]
    assert panel.take_suppressed() == [0]


def test_a_panel_is_quiet_only_while_no_time_is_running():
    panel = ButtonPanel(3)
    assert panel.quiet()
    panel.step(100, A)
    assert not panel.quiet()  # is it a spike?
    panel.step(100, A)
    assert not panel.quiet()  # the lockout runs
    panel.step(3000, A)
    assert panel.quiet()


moves = st.lists(
    st.tuples(st.one_of(st.integers(0, 60), st.integers(0, 5000)), st.integers(0, 7)), min_size=1, max_size=40
)


@settings(max_examples=300, deadline=None)
@given(moves, st.data())
def test_cutting_time_into_ticks_changes_nothing(steps, data):
    trace = list(itertools.accumulate([(0, 50), *[(down, ms) for ms, down in steps]], lambda _, new: new))
    cut = []
    for down, held_ms in trace:
        tick_ms = data.draw(st.integers(0, held_ms))
        cut += [(down, tick_ms), (down, held_ms - tick_ms)]
    end = [(0, 5000)]
    assert watch(cut + end) == watch(trace + end)


@settings(max_examples=300, deadline=None)
@given(moves)
def test_votes_are_never_closer_than_the_lockout(steps):
    votes, _ = watch([(0, 50), *[(down, ms) for ms, down in steps], (0, 5000)])
    believed_ms = [t_ms for _, t_ms in votes]
    assert all(later - earlier >= 3000 for earlier, later in itertools.pairwise(believed_ms))
