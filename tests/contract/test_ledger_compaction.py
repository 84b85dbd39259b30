"""Single passages go after the retention time; the numbers stay, and what comes again is still known."""

from pathlib import Path

import pytest

from footfall_gateway.accounts import Accounts
from footfall_gateway.ingest import NOT_JSON, Batch, Refusal
from footfall_gateway.ledger import Ledger
from footfall_gateway.places import Placement, Places, Site

DAY = 86_400_000
DAY_0 = 1_780_012_800_000
NOW = DAY_0 + 200 * DAY
SITES = [Site("lab", "Lab", "Europe/Berlin")]
PLACEMENTS = [Placement("lab", "main", "ff-1", 0), Placement("lab", "side", "ff-1", 1)]


def node_records() -> list[tuple]:
    """Two days of a node, with everything that a node may say."""
    records: list[tuple] = [(0, "R", "power", "1.0", 1), (0, "C", DAY_0, "gw")]
    for minute in range(1, 2 * 24 * 60):
        t_ms = minute * 60_000
        records.append((t_ms, "P", minute % 2, (1, -1, 1, 0)[minute % 4] if minute > 600 else 1, 400))
        if minute % 5 == 0:
            records.append((t_ms, "A", t_ms - 300_000, minute, minute))
        if minute % 7 == 0:
            records.append((t_ms, "B", minute % 3, minute // 500))
            records.append((t_ms + 14 * 60_000, "Q", minute % 3, 2))  # often in the quarter after its press's
        if minute % 100 == 0:
            records += [(t_ms, "F", 0, 1, 1), (t_ms + 30_000, "F", 0, 1, 0)]
        if minute % 11 == 0:
            records.append((t_ms, "E", 0, 1))
    return records


def batches(records: list[tuple]) -> list[Batch]:
    return [
        Batch("ff-1", "8f3a01c2", 1, at + 1, tuple(records[at : at + 50]))
        for at in range(0, len(records), 50)
    ]


def books(ledger: Ledger) -> list[tuple]:
    """All buckets and presses, worked out anew from what the ledger has."""
    with ledger.database.writing() as sql:
        sql.execute("DELETE FROM meta WHERE key = 'places'")
    accounts = Accounts(ledger, Places(SITES, PLACEMENTS), publish=False)
    while accounts.work(NOW).more:
        pass
    with ledger.database.reading() as sql:
        return (
            sql.execute("SELECT * FROM bucket_hour").fetchall()
            + sql.execute("SELECT * FROM feedback_hour").fetchall()
        )


def single_records(ledger: Ledger) -> int:
    with ledger.database.reading() as sql:
        return sql.execute("SELECT count(*) FROM record WHERE kind IN ('P', 'B', 'Q', 'E')").fetchone()[0]


@pytest.fixture
def ledger(tmp_path: Path):
    with Ledger.open(tmp_path / "ledger.sqlite3") as one:
        yield one


@pytest.mark.parametrize("limit", [10, 777, 1_000_000])
def test_compacting_changes_no_number_and_sending_all_again_neither(ledger: Ledger, limit: int) -> None:
    records = node_records()
    ledger.store(batches(records), now_ms=DAY_0 + 3 * DAY)
    before = books(ledger)
    assert len(before) > 48

    removed = 0
    while n := ledger.compact(NOW, limit=limit):
        assert n <= limit
        removed += n
    assert removed == sum(record[1] in "PBQE" for record in records)
    assert single_records(ledger) == 0
    assert books(ledger) == before

    (ack,) = ledger.store(batches(records), now_ms=NOW)
    assert ack.seq == len(records)
    assert single_records(ledger) == 0
    assert books(ledger) == before
    assert ledger.counters().quarantined == 0


def test_records_within_the_retention_time_stay(ledger: Ledger) -> None:
    records = node_records()
    ledger.store(batches(records), now_ms=DAY_0 + 3 * DAY)
    ledger.compact(DAY_0 + 91 * DAY, retention_days=90)
    young = sum(record[1] in "PBQE" and record[0] >= DAY for record in records)
    assert single_records(ledger) == young


def test_a_passage_that_comes_after_its_quarter_was_compacted_is_added(ledger: Ledger) -> None:
    records = node_records()
    late = [one for one in batches(records) if one.seq == 501]
    ledger.store(batches(records), now_ms=DAY_0 + 3 * DAY)
    complete = books(ledger)
    other = Ledger.open(ledger.path.with_name("other.sqlite3"))
    other.store([one for one in batches(records) if one.seq != 501], now_ms=DAY_0 + 3 * DAY)
    while other.compact(NOW):
        pass
    assert books(other) != complete
    (ack,) = other.store(late, now_ms=NOW)
    assert ack.seq == len(records)
    assert books(other) == complete
    other.compact(NOW)
    assert single_records(other) == 0
    assert books(other) == complete
    other.close()


def test_a_compacted_quarter_belongs_to_the_door_that_it_began_with(ledger: Ledger) -> None:
    ledger.store(
        batches([(0, "C", DAY_0, "gw"), *((n * 60_000, "P", 0, 1, 400) for n in range(15))]), now_ms=NOW
    )
    moved = [PLACEMENTS[0], Placement("lab", "new", "ff-1", 0, DAY_0 + 5 * 60_000)]

    def counted() -> dict[str, int]:
        with ledger.database.writing() as sql:
            sql.execute("DELETE FROM meta WHERE key = 'places'")
        accounts = Accounts(ledger, Places(SITES, moved), publish=False)
        while accounts.work(NOW).more:
            pass
        return {hour.door: hour.bucket.n_in for hour in accounts.hours()}

    assert counted() == {"main": 5, "new": 10}
    ledger.compact(NOW)
    assert counted() == {"main": 15}


def test_undated_passages_stay_until_they_are_dated(ledger: Ledger) -> None:
    ledger.store([Batch("ff-1", "8f3a01c2", 1, 1, ((5, "P", 0, 1, 400),))], now_ms=DAY_0)
    ledger.compact(NOW)
    assert [boot.n_in for boot in ledger.undated()] == [1]


def test_the_quarantine_forgets_after_the_same_time(ledger: Ledger) -> None:
    ledger.store([], [Refusal(NOT_JSON, "no", "footfall/1/ff-1/records", b"old")], now_ms=DAY_0)
    ledger.store([], [Refusal(NOT_JSON, "no", "footfall/1/ff-1/records", b"new")], now_ms=NOW)
    ledger.compact(NOW)
    assert [entry.payload for entry in ledger.quarantine()] == [b"new"]
    assert ledger.counters().quarantined == 2
