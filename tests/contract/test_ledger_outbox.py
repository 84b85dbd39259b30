"""The queue to InfluxDB: in order, nothing lost while it is away, a newer number instead of an older one."""

from pathlib import Path

import pytest

from footfall_gateway.ledger import Ledger
from footfall_gateway.outbox import Item, Outbox, point_line

NOW = 1_780_012_800_000


@pytest.fixture
def outbox(tmp_path: Path):
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        yield Outbox(ledger)


def lines(items: list[Item]) -> list[str]:
    return [item.line for item in items]


def test_lines_leave_in_order_and_stay_until_they_are_done(outbox: Outbox) -> None:
    for n in range(5):
        outbox.put(f"key {n}", f"line {n}", NOW + n)
    assert lines(outbox.take(3)) == ["line 0", "line 1", "line 2"]
    assert lines(outbox.take(3)) == ["line 0", "line 1", "line 2"]
    assert (outbox.depth(), outbox.lag_ms(NOW + 1000)) == (5, 1000)
    outbox.done([item.id for item in outbox.take(3)])
    assert lines(outbox.take()) == ["line 3", "line 4"]
    assert outbox.lag_ms(NOW + 1000) == 997
    outbox.done([item.id for item in outbox.take()])
    assert (outbox.take(), outbox.depth(), outbox.lag_ms(NOW)) == ([], 0, 0)


def test_a_newer_line_replaces_the_one_that_waits(outbox: Outbox) -> None:
    outbox.put("hour 9", "in=1", NOW)
    outbox.put("hour 10", "in=5", NOW)
    outbox.put("hour 9", "in=2", NOW)
    assert lines(outbox.take()) == ["in=5", "in=2"]


def test_a_done_for_the_older_line_does_not_remove_the_newer_one(outbox: Outbox) -> None:
    outbox.put("hour 9", "in=1", NOW)
    on_its_way = outbox.take()
    outbox.put("hour 9", "in=2", NOW)
    outbox.done([item.id for item in on_its_way])
    assert lines(outbox.take()) == ["in=2"]


def test_a_done_line_makes_no_number_free_for_another(outbox: Outbox) -> None:
    outbox.put("hour 9", "in=1", NOW)
    (first,) = outbox.take()
    outbox.done([first.id])
    outbox.put("hour 10", "in=2", NOW)
    outbox.done([first.id])
    assert lines(outbox.take()) == ["in=2"]


def test_a_line_that_influxdb_refuses_is_set_aside_and_the_others_go_on(outbox: Outbox) -> None:
    outbox.put("a", "bad", NOW)
    outbox.put("b", "good", NOW)
    bad = outbox.take()[0]
    outbox.reject(bad.id, "400: points beyond retention policy\n" * 100, NOW)
    outbox.reject(bad.id, "again", NOW)
    assert (lines(outbox.take()), outbox.rejected()) == (["good"], 1)


def test_what_waits_is_still_there_after_a_restart(tmp_path: Path) -> None:
    for n in range(3):
        with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
            Outbox(ledger).put(str(n), f"line {n}", NOW)
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        assert lines(Outbox(ledger).take()) == ["line 0", "line 1", "line 2"]


def test_a_point_is_a_line_with_nanoseconds_and_whole_numbers() -> None:
    line = point_line(
        "occupancy", {"site": "Stadt labor,1"}, {"persons": 5, "share": 0.5, "open": True, "who": 'a"b'}, NOW
    )
    assert line == (
        r"occupancy,site=Stadt\ labor\,1 open=true,persons=5i,share=0.5,who=" + '"a\\"b" ' + f"{NOW}000000"
    )
