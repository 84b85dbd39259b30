"""The light barrier's rules, each with a trace drawn by hand and the answer worked out on paper.

A trace is a list of (state, how long it held in ms); the clock starts at 0. Expected is (event, t_ms) each.
"""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall_core import beam
from footfall_core.beam import Barrier, Replay, Tally, ticks_elapsed

NONE, OUTER, INNER, BOTH = 0, 1, 2, 3
EVENTS = {
    beam.PASSED_IN: "in",
    beam.PASSED_OUT: "out",
    beam.PASSED: "passed",
    beam.FAULT_OUTER_BEGINS: "outer fault begins",
    beam.FAULT_INNER_BEGINS: "inner fault begins",
    beam.FAULT_OUTER_ENDS: "outer fault ends",
    beam.FAULT_INNER_ENDS: "inner fault ends",
}
WALK_IN = [(NONE, 1000), (OUTER, 90), (BOTH, 160), (INNER, 90), (NONE, 1000)]
WALK_OUT = [(NONE, 1000), (INNER, 90), (BOTH, 160), (OUTER, 90), (NONE, 1000)]


class Watch:
    """Feeds a barrier and notes what it reports, when."""

    def __init__(self, barrier, state):
        self.barrier = barrier
        barrier.start(state)
        self.now = 0
        self.seen = []
        self.transits = []

    def step(self, elapsed_ms, state):
        self.now += elapsed_ms
        events = self.barrier.step(elapsed_ms, state)
        for bit, name in EVENTS.items():
            if events & bit:
                if "outer" in name:
                    ago = self.barrier.outer_fault_ago_ms
                elif "inner" in name:
                    ago = self.barrier.inner_fault_ago_ms
                else:
                    ago = self.barrier.passage_ago_ms
                    self.transits.append(self.barrier.transit_ms)
                self.seen.append((name, self.now - ago))


def watch(trace, **barrier_settings):
    watched = Watch(Barrier(**barrier_settings), trace[0][0])
    for (_, held_ms), (state, _) in itertools.pairwise(trace):
        watched.step(held_ms, state)
    watched.step(trace[-1][1], trace[-1][0])
    return watched


def judge(trace, **barrier_settings):
    return sorted(watch(trace, **barrier_settings).seen, key=lambda event: event[1])


CASES = {
    "outer, both, inner, none is one person in": (WALK_IN, [("in", 1340)]),
    "inner, both, outer, none is one person out": (WALK_OUT, [("out", 1340)]),
    "a runner is counted": (
        [(NONE, 500), (OUTER, 33), (BOTH, 60), (INNER, 33), (NONE, 500)],
        [("in", 626)],
    ),
    "one in and one out are two people": (
        [*WALK_IN, *WALK_OUT],
        [("in", 1340), ("out", 1340 + 1000 + 1000 + 340)],
    ),
    # turning back
    "turning back in the outer beam is nobody": ([(NONE, 500), (OUTER, 300), (NONE, 500)], []),
    "turning back in the inner beam is nobody": ([(NONE, 500), (INNER, 300), (NONE, 500)], []),
    "turning back in both beams, from outside, is nobody": (
        [(NONE, 500), (OUTER, 90), (BOTH, 800), (OUTER, 90), (NONE, 500)],
        [],
    ),
    "turning back in both beams, from inside, is nobody": (
        [(NONE, 500), (INNER, 90), (BOTH, 800), (INNER, 90), (NONE, 500)],
        [],
    ),
    "turning back in the last beam, from outside, is nobody": (
        [(NONE, 500), (OUTER, 100), (BOTH, 300), (INNER, 100), (BOTH, 600), (OUTER, 100), (NONE, 500)],
        [],
    ),
    "turning back in the last beam, from inside, is nobody": (
        [(NONE, 500), (INNER, 100), (BOTH, 300), (OUTER, 100), (BOTH, 600), (INNER, 100), (NONE, 500)],
        [],
    ),
    "hesitating in the door and then going in is one person": (
        [(NONE, 500), (OUTER, 90), (BOTH, 200), (OUTER, 90), (BOTH, 200), (INNER, 90), (NONE, 500)],
        [("in", 1170)],
    ),
    "looking in first and coming in later is one person": (
        [(NONE, 500), (OUTER, 200), (NONE, 2000), *WALK_IN],
        [("in", 2700 + 1340)],
    ),
    # glitches
    "a spike is nobody": ([(NONE, 500), (OUTER, 7), (NONE, 500)], []),
    "a spike on both beams is nobody": ([(NONE, 500), (BOTH, 5), (NONE, 500)], []),
    "spikes without end are nobody": ([(NONE, 20), (OUTER, 5), (NONE, 20), (INNER, 6)] * 50 + [(NONE, 99)], []),
    "chatter at both ends of a passage is one person, through when it has ended": (
        [(NONE, 500), (OUTER, 3), (NONE, 2), (OUTER, 90), (BOTH, 160), (INNER, 90), (NONE, 3), (INNER, 2), (NONE, 500)],
        [("in", 850)],
    ),
    "chatter where the second beam breaks is one person": (
        [(NONE, 500), (OUTER, 90), (BOTH, 4), (OUTER, 3), (BOTH, 160), (INNER, 90), (NONE, 500)],
        [("in", 847)],
    ),
    "a hole of a few ms in a body does not make it two": (
        [(NONE, 500), (OUTER, 90), (BOTH, 90), (OUTER, 6), (BOTH, 90), (INNER, 90), (NONE, 500)],
        [("in", 866)],
    ),
    # too thin or too short for a person
    "a hand in one beam is nobody": ([(NONE, 500), (OUTER, 35), (NONE, 500)], []),
    "an insect that crosses both beams is nobody": (
        [(NONE, 500), (OUTER, 12), (NONE, 40), (INNER, 12), (NONE, 500)],
        [],
    ),
    "two different beams broken one after the other are nobody": (
        [(NONE, 500), (OUTER, 200), (NONE, 200), (INNER, 200), (NONE, 500)],
        [],
    ),
    "a hand that goes from one beam to the next is nobody": (
        [(NONE, 500), (OUTER, 60), (INNER, 60), (NONE, 500), (INNER, 60), (OUTER, 60), (NONE, 500)],
        [],
    ),
    # tailgating
    "someone who follows so closely that the first beam breaks before the last one clears counts as well": (
        [(NONE, 500), (OUTER, 90), (BOTH, 160), (INNER, 60), (BOTH, 60), (OUTER, 40), (BOTH, 150), (INNER, 90), (NONE, 500)],
        [("in", 870), ("in", 1150)],
    ),
    "tailgating outwards counts both": (
        [(NONE, 500), (INNER, 90), (BOTH, 160), (OUTER, 60), (BOTH, 60), (INNER, 40), (BOTH, 150), (OUTER, 90), (NONE, 500)],
        [("out", 870), ("out", 1150)],
    ),
    "someone who reaches the first beam in the moment in which the last one clears counts as well": (
        [(NONE, 500), (OUTER, 90), (BOTH, 160), (INNER, 90), (OUTER, 90), (BOTH, 160), (INNER, 90), (NONE, 500)],
        [("in", 840), ("in", 1180)],
    ),
    "a bag that trails behind is no second person": (
        [(NONE, 500), (OUTER, 90), (BOTH, 160), (INNER, 40), (BOTH, 30), (INNER, 60), (NONE, 500)],
        [("in", 880)],
    ),
    "stepping back from the last beam into the door and then going through is one person": (
        [(NONE, 500), (OUTER, 90), (BOTH, 210), (INNER, 300), (BOTH, 60), (OUTER, 60), (BOTH, 200), (INNER, 90), (NONE, 500)],
        [("in", 1510)],
    ),
    # a runner's arms swing faster than the body goes
    "an arm that clears the last beam behind the body belongs to it": (
        [(NONE, 500), (OUTER, 30), (BOTH, 120), (OUTER, 20), (INNER, 40), (NONE, 500)],
        [("in", 710)],
    ),
    "so it does where the beams are clear for a moment, narrow against their spacing": (
        [(NONE, 500), (INNER, 30), (BOTH, 120), (INNER, 20), (NONE, 11), (OUTER, 40), (NONE, 500)],
        [("out", 721)],
    ),
    "after a wider gap it was somebody who turned back, and a hand": (
        [(NONE, 500), (INNER, 30), (BOTH, 120), (INNER, 20), (NONE, 12), (OUTER, 40), (NONE, 500)],
        [],
    ),
    "an arm ahead that swings back into the last beam while the body goes through tells where it came from": (
        [(NONE, 500), (OUTER, 40), (NONE, 10), (INNER, 15), (NONE, 50), (INNER, 45), (BOTH, 170), (INNER, 60), (NONE, 500)],
        [("in", 890)],
    ),
    "the same outwards, with the arm in the first beam alone and 150 ms ahead": (
        [(NONE, 500), (INNER, 40), (NONE, 150), (OUTER, 45), (BOTH, 170), (OUTER, 60), (NONE, 500)],
        [("out", 965)],
    ),
    "a hand that was in the other beam longer ago tells nothing": (
        [(NONE, 500), (INNER, 40), (NONE, 151), (OUTER, 45), (BOTH, 170), (OUTER, 60), (NONE, 500)],
        [],
    ),
    "nor does the other arm, when it clears the first beam last, take the passage back": (
        [(NONE, 500), (OUTER, 40), (NONE, 20), (INNER, 45), (BOTH, 170), (INNER, 60), (NONE, 10), (OUTER, 40), (NONE, 500)],
        [("in", 835)],
    ),
    "who turned back before has no part in the arm behind somebody else": (
        [(NONE, 500), (OUTER, 90), (BOTH, 200), (OUTER, 90), (NONE, 500), *WALK_OUT[1:-1], (NONE, 20), (INNER, 40), (NONE, 500)],
        [("out", 1720)],
    ),
    "who has gone in leaves no trace for somebody inside who turns back at once": (
        [*WALK_IN[:-1], (NONE, 100), (INNER, 60), (BOTH, 200), (INNER, 60), (NONE, 500)],
        [("in", 1340)],
    ),
    "who steps back to let another one out is nobody, and the other one is": (
        [(NONE, 500), (OUTER, 100), (BOTH, 900), (OUTER, 80), (NONE, 30), (INNER, 90), (BOTH, 160), (OUTER, 90), (NONE, 500)],
        [("out", 1950)],
    ),
    # both at once
    "both beams cleared at once: the one broken first tells": (
        [(NONE, 500), (OUTER, 90), (BOTH, 200), (NONE, 500)],
        [("in", 790)],
    ),
    "both beams broken at once: the one cleared last tells": (
        [(NONE, 500), (BOTH, 200), (INNER, 90), (NONE, 500)],
        [("in", 790)],
    ),
    "both beams broken at once, outer last: out": (
        [(NONE, 500), (BOTH, 200), (OUTER, 90), (NONE, 500)],
        [("out", 790)],
    ),
    "both beams broken and cleared at once is a door leaf or a power dip, nobody": (
        [(NONE, 500), (BOTH, 400), (NONE, 500)],
        [],
    ),
    # obstruction
    "a blocked outer beam is a fault and nobody": (
        [(NONE, 500), (OUTER, 65_000), (NONE, 500)],
        [("outer fault begins", 60_500), ("outer fault ends", 65_500)],
    ),
    "a blocked inner beam is a fault and nobody": (
        [(NONE, 500), (INNER, 65_000), (NONE, 500)],
        [("inner fault begins", 60_500), ("inner fault ends", 65_500)],
    ),
    "a trolley parked in both beams is two faults, each at its own time, and nobody": (
        [(NONE, 500), (OUTER, 150), (BOTH, 70_000), (INNER, 90), (NONE, 500)],
        [
            ("outer fault begins", 60_500),
            ("inner fault begins", 60_650),
            ("outer fault ends", 70_650),
            ("inner fault ends", 70_740),
        ],
    ),
    "someone who stands in the door for almost the limit is a person": (
        [(NONE, 500), (OUTER, 100), (BOTH, 59_800), (INNER, 90), (NONE, 500)],
        [("in", 60_490)],
    ),
    "a beam that clears just before the limit is no fault, though that is known only afterwards": (
        [(NONE, 500), (OUTER, 59_995), (NONE, 500)],
        [],
    ),
    "chatter at the limit does not hide a fault": (
        [(NONE, 500), (OUTER, 59_997), (NONE, 6), (OUTER, 2000), (NONE, 500)],
        [("outer fault begins", 60_500), ("outer fault ends", 62_503)],
    ),
    "nobody is counted while one beam is at fault": (
        [(NONE, 500), (OUTER, 70_000), (BOTH, 200), (OUTER, 500), (BOTH, 200), (INNER, 200), (NONE, 500)],
        [("outer fault begins", 60_500), ("outer fault ends", 71_400)],
    ),
    "after a fault people count again": (
        [(NONE, 500), (OUTER, 61_000), *WALK_IN],
        [("outer fault begins", 60_500), ("outer fault ends", 61_500), ("in", 61_500 + 1340)],
    ),
    # starts in the middle
    "a start with the outer beam broken counts nobody until both are clear": (
        [(OUTER, 90), (BOTH, 160), (INNER, 90), *WALK_IN],
        [("in", 340 + 1340)],
    ),
    "a start with the inner beam broken counts nobody until both are clear": (
        [(INNER, 90), (BOTH, 160), (OUTER, 90), *WALK_OUT],
        [("out", 340 + 1340)],
    ),
    "a start with both beams broken counts nobody until both are clear": (
        [(BOTH, 160), (INNER, 90), *WALK_IN],
        [("in", 250 + 1340)],
    ),
    "a start in front of an obstruction is a fault from the limit on": (
        [(BOTH, 61_000), *WALK_IN],
        [
            ("outer fault begins", 60_000),
            ("inner fault begins", 60_000),
            ("outer fault ends", 61_000),
            ("inner fault ends", 61_000),
            ("in", 61_000 + 1340),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("trace", "expected"), CASES.values(), ids=CASES)
def test_what_beams_show_is_judged(trace, expected):
    assert judge(trace) == expected


@pytest.mark.parametrize(("trace", "expected"), CASES.values(), ids=CASES)
def test_the_same_is_judged_with_a_tick_every_millisecond(trace, expected):
    watched = Watch(Barrier(), trace[0][0])
    for (state, held_ms), (following, _) in zip(trace, [*trace[1:], trace[-1]], strict=True):
        for _ in range(held_ms - 1):
            watched.step(1, state)
        watched.step(1, following)
    assert sorted(watched.seen, key=lambda event: event[1]) == expected


@pytest.mark.parametrize(("block_ms", "counted"), [(39, False), (40, True)])
def test_the_length_of_a_block_decides(block_ms, counted):
    trace = [(NONE, 500), (OUTER, 20), (BOTH, block_ms - 20), (INNER, 20), (NONE, 500)]
    assert bool(judge(trace)) == counted


@pytest.mark.parametrize(("held_ms", "counted"), [(7, False), (8, True)])
def test_a_state_is_believed_when_it_has_held_long_enough(held_ms, counted):
    """Between outer and inner both must have been seen, or nothing, for what follows; here it is a thin gap."""
    trace = [(NONE, 500), (OUTER, 200), (BOTH, 200), (NONE, held_ms), (INNER, 200), (NONE, 500)]
    through_at_the_gap = ("in", 900) in judge(trace)
    assert through_at_the_gap == counted


@pytest.mark.parametrize(
    ("limit_ms", "expected"), [(999, [("outer fault begins", 1499), ("outer fault ends", 1500)]), (1001, [])]
)
def test_the_limit_of_a_fault_can_be_set(limit_ms, expected):
    assert judge([(NONE, 500), (OUTER, 1000), (NONE, 500)], blocked_after_ms=limit_ms) == expected


SINGLE_CASES = {
    "a broken beam is one person of unknown direction": (
        [(NONE, 500), (OUTER, 300), (NONE, 500)],
        [("passed", 800)],
    ),
    "a beam that is not there is not looked at": (
        [(NONE, 500), (INNER, 300), (OUTER, 300), (BOTH, 100), (INNER, 300), (NONE, 500)],
        [("passed", 1200)],
    ),
    "a hand is nobody": ([(NONE, 500), (OUTER, 39), (NONE, 500)], []),
    "the shortest block that can be a person is one": (
        [(NONE, 500), (OUTER, 40), (NONE, 500)],
        [("passed", 540)],
    ),
    "a spike is nobody": ([(NONE, 500), (OUTER, 7), (NONE, 500)], []),
    "a hole of a few ms in a body does not make it two": (
        [(NONE, 500), (OUTER, 100), (NONE, 5), (OUTER, 100), (NONE, 500)],
        [("passed", 705)],
    ),
    "a blocked beam is a fault and nobody": (
        [(NONE, 500), (OUTER, 65_000), (NONE, 500)],
        [("outer fault begins", 60_500), ("outer fault ends", 65_500)],
    ),
    "a start with the beam broken is nobody": (
        [(OUTER, 300), (NONE, 500), (OUTER, 300), (NONE, 500)],
        [("passed", 1100)],
    ),
    "a start with the missing beam broken loses nobody": (
        [(INNER, 300), (BOTH, 300), (INNER, 500)],
        [("passed", 600)],
    ),
}


@pytest.mark.parametrize(("trace", "expected"), SINGLE_CASES.values(), ids=SINGLE_CASES)
def test_a_single_beam_is_judged(trace, expected):
    assert judge(trace, beams=1) == expected


def test_a_passage_tells_how_long_it_took_from_the_first_beam_to_the_last():
    assert watch(WALK_IN).transits == [340]


def test_someone_who_follows_has_a_transit_of_their_own():
    trace, _ = CASES[
        "someone who follows so closely that the first beam breaks before the last one clears counts as well"
    ]
    assert watch(trace).transits == [370, 340]  # the second one broke the outer beam at 810


def test_a_barrier_is_quiet_only_while_no_time_is_running():
    barrier = Barrier()
    assert barrier.quiet()
    barrier.step(500, OUTER)
    assert not barrier.quiet()  # is it chatter?
    barrier.step(20, OUTER)
    assert not barrier.quiet()  # does it become a fault?
    barrier.step(200, NONE)
    assert not barrier.quiet()
    barrier.step(20, NONE)
    assert barrier.quiet()


def test_an_obstructed_beam_is_quiet_once_its_fault_is_reported():
    barrier = Barrier()
    barrier.step(500, OUTER)
    barrier.step(60_000, OUTER)
    assert barrier.faulted == OUTER
    assert barrier.quiet()


def test_people_count_after_weeks_of_silence():
    watched = Watch(Barrier(), NONE)
    for _ in range(7):
        watched.step(beam.MAX_ELAPSED_MS, NONE)
    silence_ms = watched.now
    for held_ms, state in [(0, OUTER), (90, BOTH), (160, INNER), (90, NONE), (1000, NONE)]:
        watched.step(held_ms, state)
    assert watched.seen == [("in", silence_ms + 340)]


def test_a_beam_blocked_for_weeks_is_one_fault_that_ends():
    watched = Watch(Barrier(), NONE)
    watched.step(0, INNER)
    for _ in range(7):
        watched.step(beam.MAX_ELAPSED_MS, INNER)
    watched.step(0, NONE)
    cleared_ms = watched.now
    watched.step(100, NONE)
    assert watched.seen == [("inner fault begins", 60_000), ("inner fault ends", cleared_ms)]


def test_people_who_come_every_second_for_weeks_are_all_counted():
    """The barrier's own clock is set back every few days; nobody may be lost at that moment."""
    watched = Watch(Barrier(), NONE)
    for _ in range(300):
        for held_ms, state in [(4_000_000, OUTER), (90, BOTH), (160, INNER), (90, NONE)]:
            watched.step(held_ms, state)
    watched.step(1000, NONE)
    assert [name for name, _ in watched.seen] == ["in"] * 300
    assert [t_ms for _, t_ms in watched.seen] == [4_000_340 * n for n in range(1, 301)]


BEFORE_THE_CLOCK_IS_SET_BACK = {
    "somebody so slow that the next one is an arm against it": (
        [(NONE, 500), (OUTER, 900), (BOTH, 900), (INNER, 900), (NONE, 500), *WALK_IN],
        [("in", 3200), ("in", 3700 + 1340)],
    ),
    "a hand in the outer beam, and later somebody inside who turns back": (
        [(NONE, 500), (OUTER, 100), (NONE, 500), (INNER, 90), (BOTH, 200), (INNER, 90), (NONE, 500)],
        [],
    ),
    "somebody who turns back, and later a hand": (
        [(NONE, 500), (OUTER, 100), (BOTH, 300), (OUTER, 100), (NONE, 500), (INNER, 100), (NONE, 500)],
        [],
    ),
    **{name: case for name, case in CASES.items() if case[0][0][0] == NONE},
}


@pytest.mark.parametrize(
    ("trace", "expected"), BEFORE_THE_CLOCK_IS_SET_BACK.values(), ids=BEFORE_THE_CLOCK_IS_SET_BACK
)
def test_it_does_not_matter_in_which_moment_the_inner_clock_is_set_back(trace, expected):
    """That happens at the first change beyond 2**28 ms: here at each one of the trace."""
    begin_ms = 0
    for _, held_ms in trace:
        begin_ms += held_ms
        silence_ms = 2**28 - begin_ms + 1
        seen = judge([(NONE, silence_ms), *trace])
        assert [(name, t_ms - silence_ms) for name, t_ms in seen] == expected


def test_a_passage_is_held_back_for_just_so_long_in_case_it_was_an_arm():
    watched = watch([*WALK_IN[:-1], (NONE, 149)])
    assert watched.seen == []
    watched.step(1, NONE)
    assert watched.seen == [("in", 1340)]


@pytest.mark.parametrize("beam_state", [OUTER, INNER])
def test_a_beam_is_at_fault_from_the_very_limit_on(beam_state):
    watched = watch([(NONE, 500), (beam_state, 59_999)])
    assert watched.seen == []
    watched.step(1, beam_state)
    assert [t_ms for _, t_ms in watched.seen] == [60_500]


@pytest.mark.parametrize(
    ("t", "t0", "elapsed_ms"),
    [(5, 2, 3), (2, 2, 0), (3, 2**30 - 4, 7), (0, 2**30 - 1, 1), (2**29 - 1, 0, 2**29 - 1)],
)
def test_elapsed_ticks_cross_the_wrap_of_the_counter(t, t0, elapsed_ms):
    assert ticks_elapsed(t, t0) == elapsed_ms


# ------------------------------------------------------------------------------------------------------------- properties

some_settings = st.fixed_dictionaries(
    {
        "beams": st.sampled_from([1, 2, 2, 2]),
        "glitch_ms": st.sampled_from([0, 1, 8, 8, 30]),
        "min_block_ms": st.sampled_from([0, 40, 40, 120]),
        "blocked_after_ms": st.sampled_from([100, 700, 60_000]),
    }
)
durations = st.one_of(st.integers(0, 12), st.integers(0, 300), st.integers(0, 70_000), st.just(8))
edges = st.lists(st.tuples(durations, st.integers(0, 3)), min_size=1, max_size=60)
states = st.integers(0, 3)


def seen_in(start, steps, barrier_settings):
    watched = Watch(Barrier(**barrier_settings), start)
    for elapsed_ms, state in steps:
        watched.step(elapsed_ms, state)
    return sorted(watched.seen, key=lambda event: (event[1], event[0])), watched.transits


@settings(max_examples=400, deadline=None)
@given(states, edges, some_settings, st.data())
def test_cutting_time_into_ticks_changes_nothing(start, steps, barrier_settings, data):
    ticked = []
    shown = start
    for elapsed_ms, state in steps:
        left_ms = elapsed_ms
        for tick_ms in data.draw(st.lists(st.integers(0, 40), max_size=4)):
            if tick_ms <= left_ms:
                ticked.append((tick_ms, shown))
                left_ms -= tick_ms
        ticked.append((left_ms, state))
        shown = state
    end = [(200_000, steps[-1][1])]
    assert seen_in(start, ticked + end, barrier_settings) == seen_in(start, steps + end, barrier_settings)


@settings(max_examples=200, deadline=None)
@given(edges, some_settings, st.integers(0, beam.MAX_ELAPSED_MS))
def test_silence_before_a_trace_only_shifts_it(steps, barrier_settings, silence_ms):
    seen, transits = seen_in(NONE, steps, barrier_settings)
    shifted = [(name, t_ms + silence_ms) for name, t_ms in seen]
    assert seen_in(NONE, [(silence_ms, NONE), *steps], barrier_settings) == (shifted, transits)


def mirrored(state):
    return (state & OUTER) << 1 | state >> 1


@settings(max_examples=300, deadline=None)
@given(states, edges, some_settings)
def test_exchanged_beams_exchange_the_directions(start, steps, barrier_settings):
    barrier_settings["beams"] = 2
    other = {"in": "out", "out": "in", "passed": "passed"}
    seen, transits = seen_in(start, steps, barrier_settings)
    expected = [
        (
            other.get(name)
            or (name.replace("outer", "inner") if "outer" in name else name.replace("inner", "outer")),
            t,
        )
        for name, t in seen
    ]
    expected.sort(key=lambda event: (event[1], event[0]))
    got = seen_in(mirrored(start), [(ms, mirrored(state)) for ms, state in steps], barrier_settings)
    assert got == (expected, transits)


@settings(max_examples=200, deadline=None)
@given(states, edges, some_settings)
def test_faults_of_a_beam_begin_and_end_in_turn(start, steps, barrier_settings):
    seen, _ = seen_in(start, [*steps, (200_000, NONE), (200_000, NONE)], barrier_settings)
    for which in ("outer", "inner"):
        faults = [name.split()[-1] for name, _ in seen if which in name]
        assert faults == ["begins", "ends"] * (len(faults) // 2)


# -------------------------------------------------------------------------------------------------------------- recordings


def replayed(rows, cuts=(), room=16, barrier_settings=None):
    """Rows (sensor, t_ms, state) through Replay, stopped and taken up again at `cuts`; (sensor, t_ms, event) each."""
    barrier = Barrier(**(barrier_settings or {}))
    replay = Replay()
    out = [0] * room, [0] * room, [0] * room
    found = []

    def take():
        found.extend(zip(*(column[: replay.found] for column in out), strict=True))

    columns = [list(column) for column in zip(*rows, strict=True)]
    at = 0
    for end in [*sorted(cuts), len(rows)]:
        while at < end:
            at = replay.run(barrier, *columns, at, end, *out, room)
            assert at >= 0
            take()
    replay.finish(barrier, *out)
    take()
    return found


def rows_of(sensor, begin_ms, trace):
    rows = []
    for state, held_ms in trace:
        rows.append((sensor, begin_ms, state))
        begin_ms += held_ms
    return rows


def test_a_recording_of_several_sensors_gives_the_passages_of_each():
    rows = rows_of(3, 1_000_000, WALK_IN) + rows_of(7, 500, WALK_OUT) + rows_of(8, 0, WALK_OUT)
    expected = [(3, 1_001_340, beam.PASSED_IN), (7, 1840, beam.PASSED_OUT), (8, 1340, beam.PASSED_OUT)]
    assert replayed(rows) == expected


def test_the_state_at_the_end_of_a_recording_counts_as_having_held():
    rows = rows_of(1, 0, WALK_IN)
    assert rows[-1] == (1, 1340, NONE)
    assert replayed(rows) == [(1, 1340, beam.PASSED_IN)]


def test_a_crossing_does_not_go_on_at_the_next_sensor():
    rows = rows_of(1, 0, [(NONE, 500), (OUTER, 90), (BOTH, 100)]) + rows_of(2, 700, [(INNER, 90), (NONE, 9)])
    assert replayed(rows) == []


def test_a_silence_of_weeks_in_a_recording_ends_in_the_right_place():
    rows = [*rows_of(1, 0, WALK_IN[:4]), (1, 10**10, NONE), *rows_of(1, 3 * 10**10, WALK_OUT)]
    assert replayed(rows) == [
        (1, 1090 + 60_000, beam.FAULT_INNER_BEGINS),
        (1, 10**10, beam.FAULT_INNER_ENDS),
        (1, 3 * 10**10 + 1340, beam.PASSED_OUT),
    ]


@pytest.mark.parametrize(
    ("bad_row", "what"),
    [
        ((5, 2000, 4), "a state of 4"),
        ((5, 1999, NONE), "a time before the one before"),
        ((4, 3000, NONE), "a sensor before the one before"),
        ((6, -1, NONE), "a time before 1970"),
        ((5, beam.MAX_T_MS + 1, NONE), "a time after 2109"),
        ((6, beam.MAX_T_MS + 1, NONE), "a first time after 2109"),
    ],
)
def test_an_impossible_row_is_named_and_nothing_after_it_is_fed(bad_row, what):
    rows = [(5, 1000, NONE), (5, 2000, OUTER), bad_row, (9, 0, NONE)]
    columns = [list(column) for column in zip(*rows, strict=True)]
    replay = Replay()
    out = [0] * 16, [0] * 16, [0] * 16
    assert replay.run(Barrier(), *columns, 0, len(rows), *out, 16) == -1 - 2
    assert replay.sensor == 5


recordings = st.lists(st.tuples(st.integers(1, 5), edges), min_size=1, max_size=4).map(
    lambda parts: [
        row
        for sensor, (_, steps) in enumerate(parts)
        for row in rows_of(sensor, 10**12, [(state, held_ms) for held_ms, state in steps])
    ]
)


@settings(max_examples=150, deadline=None)
@given(recordings, st.data(), some_settings)
def test_a_recording_in_pieces_gives_the_same_as_the_whole(rows, data, barrier_settings):
    cuts = data.draw(st.lists(st.integers(0, len(rows)), max_size=5))
    room = data.draw(st.sampled_from([16, 17, 40]))
    whole = replayed(rows, room=1000, barrier_settings=barrier_settings)
    assert replayed(rows, cuts, room, barrier_settings) == whole


@settings(max_examples=150, deadline=None)
@given(recordings, some_settings, st.integers(0, 10**11))
def test_a_later_date_only_shifts_a_recording(rows, barrier_settings, later_ms):
    later = [(sensor, t_ms + later_ms, state) for sensor, t_ms, state in rows]
    expected = [
        (sensor, t_ms + later_ms, event)
        for sensor, t_ms, event in replayed(rows, barrier_settings=barrier_settings)
    ]
    assert replayed(later, barrier_settings=barrier_settings) == expected


@settings(max_examples=150, deadline=None)
@given(recordings, some_settings)
def test_what_a_recording_gives_is_in_order_of_sensor_and_time(rows, barrier_settings):
    found = replayed(rows, barrier_settings=barrier_settings)
    assert [event[:2] for event in found] == sorted(event[:2] for event in found)


def test_a_tally_sums_by_sensor_and_hour():
    events = [
        (1, 3_599_999, beam.PASSED_IN),
        (1, 3_600_000, beam.PASSED_IN),
        (1, 3_600_500, beam.PASSED_OUT),
        (1, 3_700_000, beam.PASSED_IN),
        (1, 3_800_000, beam.FAULT_INNER_BEGINS),
        (1, 9_000_000, beam.FAULT_INNER_ENDS),
        (2, 3_700_000, beam.PASSED),
        (2, 3_700_000, beam.FAULT_OUTER_BEGINS),
    ]
    tally = Tally(3_600_000)
    out = [0] * 9, [0] * 9, [0] * 36
    written = tally.add(*map(list, zip(*events, strict=True)), len(events), *out)
    written = tally.close(written, *out)
    assert [
        (sensor, start_ms, *out[2][4 * i : 4 * i + 4])
        for i, (sensor, start_ms) in enumerate(zip(out[0][:written], out[1], strict=False))
    ] == [
        (1, 0, 1, 0, 0, 0),
        (1, 3_600_000, 2, 1, 0, 1),
        (2, 3_600_000, 0, 0, 1, 1),
    ]


def ahead(lag_ms, body_lag_ms):
    """Something through both beams, 50 ms a block; then, 60 ms later, a body the same way."""
    thing = [(OUTER, lag_ms), (BOTH, 50 - lag_ms), (INNER, lag_ms)]
    body = [(OUTER, body_lag_ms), (BOTH, 60), (INNER, body_lag_ms)]
    return [(NONE, 1000), *thing, (NONE, 60), *body, (NONE, 1000)]


@pytest.mark.parametrize(
    ("lag_ms", "body_lag_ms", "passages"),
    [(12, 30, 1), (12, 24, 1), (12, 23, 2), (24, 48, 1), (25, 40, 2), (20, 60, 1)],
    ids=[
        "an arm swung ahead of a runner",
        "exactly twice as fast",
        "hardly slower: two runners",
        "just too fast for a body",
        "as fast as a body may be",
        "thinner than the beams' spacing at this pace",
    ],
)
def test_what_is_faster_than_any_body_and_twice_as_fast_as_the_next_one_was_its_arm(
    lag_ms, body_lag_ms, passages
):
    assert [name for name, _ in watch(ahead(lag_ms, body_lag_ms)).seen] == ["in"] * passages
