"""What the chip's counters found and what was no people: in the ledger, beside the count and not in it."""

from pathlib import Path

import pytest

from footfall_gateway.ingest import read_batch
from tests.contract.test_ledger_accounts import (
    GRACE,
    MINUTE,
    NINE,
    QUARTER,
    Bench,
    alive,
    bucket_line,
    passed_in,
)


@pytest.fixture
def bench(tmp_path: Path):
    one = Bench(tmp_path / "ledger.sqlite3")
    yield one
    one.ledger.close()


def test_a_record_of_missed_edges_counts_nobody_and_the_passages_it_tells_of_count(bench: Bench) -> None:
    recovered = (4 * MINUTE, "P", 0, 1, 0)
    bench.send(passed_in(3), recovered, (4 * MINUTE + 200, "H", 0, 4, 1), alive(15, 0))
    [line] = bench.lines(NINE + QUARTER + GRACE)
    assert line == bucket_line("quarter", NINE, **{"in": 2}, covered_s=900)
    with bench.ledger.database.reading() as sql:
        kept = sql.execute("SELECT a, b, c FROM record WHERE kind = 'H'").fetchall()
    assert kept == [(0, 4, 1)]


def test_a_noisy_time_is_not_watched_and_never_zero(bench: Bench) -> None:
    noise = [(5 * MINUTE, "F", 0, 1, 1), (9 * MINUTE, "F", 0, 1, 0)]
    bench.send(passed_in(3), *noise, passed_in(10), alive(15, 0))
    [line] = bench.lines(NINE + QUARTER + GRACE)
    assert line == bucket_line("quarter", NINE, **{"in": 2}, covered_s=660, faults=1)


def test_the_wire_takes_it_in_a_batch() -> None:
    batch = read_batch(
        "footfall/1/ff-1/records",
        b'{"v":1,"spool":"8f3a01c2","boot":1,"seq":7,"r":[[5,"P",0,1,0],[9,"H",0,4,1]]}',
    )
    assert batch.records == ((5, "P", 0, 1, 0), (9, "H", 0, 4, 1))
