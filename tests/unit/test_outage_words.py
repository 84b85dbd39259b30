"""How failures of a connection are told: often enough to be seen, seldom enough to be read."""

import logging

import pytest

from footfall_gateway.outage import Backoff, Outage, spoken


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (86_400, "1 d"),
        (273_600, "3 d 4 h"),
        (-5, "0 s"),
    ],
)
def test_a_duration_is_said_in_two_units_at_most(seconds, words):
    assert spoken(seconds) == words


@pytest.fixture
def clock():
    return {"now": 1000.0}


@pytest.fixture
def outage(clock):
    return Outage("broker b", logging.getLogger("footfall_gateway.test"), lambda: clock["now"])


def test_a_night_without_the_broker_is_some_lines_and_its_end_says_how_long(outage, clock, caplog):
    caplog.set_level(logging.INFO, "footfall_gateway")
    for _ in range(8 * 3600 // 30):
        outage.fails("connection refused")
        clock["now"] += 30
    outage.works()
    outage.works()
    words = [record.message for record in caplog.records]
    assert words[0] == "broker b: connection refused; trying again until it works"
    assert words[1] == "broker b: connection refused (for 5 min now)"
    assert words[-1] == "broker b: works again after 8 h"
    assert len(words) == 8 * 12 + 1


def test_a_new_reason_is_told_at_once(outage, clock, caplog):
    for reason in ("connection refused", "connection refused", "not authorized", "not authorized"):
        outage.fails(reason)
        clock["now"] += 1
    assert [record.message for record in caplog.records] == [
        "broker b: connection refused; trying again until it works",
        "broker b: not authorized (for 2 s now)",
    ]
    assert outage.reason == "not authorized"


def test_reasons_that_take_turns_do_not_fill_the_log(outage, clock, caplog):
    for _ in range(100):
        for reason in ("connection refused", "no answer within 10 s"):
            outage.fails(reason)
            clock["now"] += 1
    assert len(caplog.records) <= 4


def test_works_without_trouble_says_nothing(outage, caplog):
    caplog.set_level(logging.INFO, "footfall_gateway")
    outage.works()
    assert caplog.records == []


def test_the_wait_doubles_up_to_its_limit_and_begins_anew():
    backoff = Backoff(0.5, 3)
    assert [backoff.next_s() for _ in range(5)] == [0.5, 1, 2, 3, 3]
    backoff.reset()
    assert backoff.next_s() == 0.5
