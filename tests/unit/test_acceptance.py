"""How an acceptance is judged, kept and worded."""

import datetime as dt
import json
import re
from pathlib import Path

import msgspec
import pytest

from footfall_gateway.commissioning import CommissioningError, acceptance
from footfall_gateway.commissioning.accept_words import WORDS
from footfall_gateway.commissioning.acceptance import (
    STEPS,
    Acceptance,
    Alignment,
    Counted,
    Mounting,
    Step,
    advice,
    overall,
    result_of,
    tally_of,
    wilson,
)

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
GOOD_MOUNTING = Mounting(1100, 100, 1000, "M18")
QUIET = Alignment(10.0, (0,), ((0, 0),), passed=True)


def blank(**more) -> Acceptance:
    values = {
        "site": "lab",
        "door": "main",
        "node": "ff-1",
        "barriers": (0,),
        "firmware": "0.1.0",
        "single_beam": False,
        "short": False,
        "begun_utc": "2026-03-01T10:00:00Z",
    }
    return Acceptance(**(values | more))


def done(**counted: Counted) -> Acceptance:
    """Everything done and right, but for the steps given."""
    right = {step.id: Counted(step.people_in, step.people_out) for step in STEPS}
    steps = tuple(result_of(step, (right | counted)[step.id]) for step in STEPS)
    return overall(
        blank(
            steps=steps, alignment=QUIET, mounting=GOOD_MOUNTING, tally=tally_of(12, 60, 58, Counted(60, 58))
        )
    )


# R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3
@pytest.mark.parametrize(
    ("right", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_wilsons(right, of, low, high):
    assert wilson(right, of) == pytest.approx((low, high), abs=0.00006)


@pytest.mark.parametrize(
    ("step", "counted", "passed", "right", "missed", "extra"),
    [
        (Step("in", 20, people_in=20), Counted(20), True, 20, 0, 0),
        (Step("in", 20, people_in=20), Counted(19), True, 19, 1, 0),
        (Step("in", 20, people_in=20), Counted(18), False, 18, 2, 0),
        (Step("in", 20, people_in=20), Counted(22), False, 20, 0, 2),
        (Step("in", 20, people_in=20), Counted(18, 2), False, 18, 2, 2),
        (Step("bag", 10, 5, 5), Counted(5, 4), True, 9, 1, 0),
        (Step("turn_back", 10), Counted(), True, 0, 0, 0),
        (Step("turn_back", 10), Counted(1), False, 0, 0, 1),
        (Step("pairs", 5, people_in=10, judged=False), Counted(5), None, 5, 5, 0),
    ],
)
def test_one_in_twenty_may_be_wrong_and_nobody_is_nobody(step, counted, passed, right, missed, extra):
    found = result_of(step, counted)
    assert (found.passed, found.right, found.missed, found.extra) == (passed, right, missed, extra)


def test_a_single_beam_is_judged_without_direction():
    assert result_of(Step("out", 20, people_out=20), Counted(n_unknown=20), single_beam=True).passed


def test_a_quarter_of_the_walk_keeps_its_proportions():
    short = {step.id: step.shortened() for step in STEPS}
    assert (short["in"].people_in, short["out"].people_out) == (5, 5)
    assert (short["bag"].people_in, short["bag"].people_out, short["bag"].repeats) == (2, 2, 4)
    assert short["pairs"].people_in == 2 * short["pairs"].repeats
    assert min(step.repeats for step in short.values()) == 2


def test_passed_means_everything_done_and_right():
    one = done()
    assert (one.result, one.right, one.of) == ("passed", 178, 178)
    assert one.high == 1.0
    assert 0.97 < one.low < 0.98
    assert advice(one) == []
    without_tally = overall(msgspec.structs.replace(one, tally=None))
    assert without_tally.result == "incomplete"
    assert done(turn_back=Counted(1)).result == "failed"


@pytest.mark.parametrize(
    ("counted", "found"),
    [
        (
            {"in": Counted(0, 20), "out": Counted(20, 0), "stop": Counted(0, 5), "fast": Counted(0, 5)},
            ["swapped"],
        ),
        ({"in": Counted(12, 8), "stop": Counted(3, 2)}, ["mixed"]),
        ({"in": Counted(12, 5)}, ["mixed", "misses"]),
        ({"in": Counted(18, 2)}, ["mixed"]),
        ({"in": Counted(19, 1)}, []),  # one in twenty may be wrong
        ({"in": Counted(15)}, ["misses"]),
        ({"in": Counted(26)}, ["too_much"]),
        ({"turn_back": Counted(2)}, ["turn_back"]),
        ({"door_leaf": Counted(1)}, ["door_leaf"]),
    ],
)
def test_what_is_wrong_has_its_own_way_out(counted, found):
    assert advice(done(**counted)) == found


def test_at_a_single_step_only_what_is_wrong_there_is_said():
    whole = msgspec.structs.replace(
        done(turn_back=Counted(2)),
        mounting=Mounting(700, 100, 1000, ""),
        alignment=msgspec.structs.replace(QUIET, passed=False),
    )
    [step] = [step for step in done(**{"in": Counted(0, 20)}).steps if step.id == "in"]
    assert advice(acceptance.only(whole, step)) == ["swapped"]


@pytest.mark.parametrize(
    ("mounting", "found"),
    [
        (Mounting(700, 100, 1000, ""), ["height"]),
        (Mounting(1100, 40, 1000, ""), ["spacing"]),
        (Mounting(1100, 100, 1600, ""), ["too_wide"]),
        (Mounting(1100, 100, 3000, ""), ["far_too_wide"]),
    ],
)
def test_a_doubtful_mounting_is_said(mounting, found):
    assert advice(msgspec.structs.replace(done(), mounting=mounting)) == found


def test_a_tally_of_nobody_passes_nothing():
    assert not tally_of(10, 0, 0, Counted()).passed
    assert not tally_of(10, 100, 0, Counted(94)).passed
    assert tally_of(10, 100, 0, Counted(95)).passed


def test_it_is_kept_as_it_is_and_the_latest_is_found(tmp_path):
    first, second = done(), done(turn_back=Counted(1))
    second = msgspec.structs.replace(second, begun_utc="2026-03-02T08:00:00Z")
    other = msgspec.structs.replace(first, door="main-2", begun_utc="2026-03-03T08:00:00Z")
    for one in (second, first, other):
        path = acceptance.keep(tmp_path, one)
        assert acceptance.read(path) == one
    assert path == tmp_path / "acceptance" / "lab-main-2-20260303T080000Z.json"
    assert acceptance.latest(tmp_path, "lab", "main") == second
    assert acceptance.latest(tmp_path, "lab", "back") is None
    assert not list((tmp_path / "acceptance").glob("*.new"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is no acceptance"),
        ('{"schema": 1}', "is no acceptance"),
        ('{"schema": 2, "anything": 1}', "later version of footfall"),
    ],
)
def test_a_file_that_is_no_good_is_said_so(tmp_path, content, words):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(CommissioningError, match=words):
        acceptance.read(tmp_path / "x.json")


def test_one_can_be_continued_for_a_day_unless_it_is_finished():
    one = blank()
    assert acceptance.can_be_continued(one, NOW)
    assert not acceptance.can_be_continued(one, NOW + dt.timedelta(days=1))
    assert not acceptance.can_be_continued(msgspec.structs.replace(one, finished_utc="x"), NOW)


def test_every_step_and_every_advice_has_its_words():
    for step in STEPS:
        assert {step.id, step.id + "_do"} <= set(WORDS)
    keys = {"alignment", "swapped", "misses", "too_much", "tally", "turn_back", "door_leaf", "mixed"}
    keys |= {"height", "spacing", "too_wide", "far_too_wide"}
    assert {f"do_{key}" for key in keys} == {key for key in WORDS if key.startswith("do_")}


def test_every_field_of_the_file_is_documented():
    text = (Path(__file__).parents[2] / "docs/node.md").read_text()
    table = text[text.index("### The file") :]
    told = set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))
    assert told == {field.name for field in msgspec.structs.fields(Acceptance)}
    assert json.loads(json.dumps(msgspec.to_builtins(done())))["schema"] == 1
