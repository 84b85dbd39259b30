"""A ledger of an older version is brought up to date without losing anything, whole or not at all.

`ledger-0001.sql` is a dump of a ledger that the program wrote while its schema was 1; it has something in every table. It stays as it is:
whoever adds a schema adds a dump of the one before.
"""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from footfall_gateway.export import export_hours
from footfall_gateway.ingest import Batch
from footfall_gateway.ledger import Ledger, LedgerError

OLD = (Path(__file__).parent / "ledger-0001.sql").read_text()
NOW = 1_788_220_800_000 + 600_000
KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from footfall_gateway import database
left = int(sys.argv[2])
class Doomed(sqlite3.Connection):
    def executescript(self, script):
        self.set_trace_callback(self.count)
        return super().executescript(script)
    def count(self, statement):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
connect = sqlite3.connect
sqlite3.connect = lambda *values, **named: connect(*values, factory=Doomed, **named)
database.Database(Path(sys.argv[1]), read_only=False)
print(int(sys.argv[2]) - left)
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as sql:
        sql.executescript(OLD)
    return path


def content(path: Path, like: dict[str, tuple[list[str], list[tuple]]] | None = None) -> dict:
    """Table -> its columns and rows, in a fixed order; with `like`, only the tables and columns of that one."""
    found = {}
    with closing(sqlite3.connect(path)) as sql:
        tables = like or {
            name
            for (name,) in sql.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if not name.startswith("sqlite_")
        }
        for table in tables:
            columns = (
                sorted(row[1] for row in sql.execute(f"PRAGMA table_info({table})"))
                if like is None
                else like[table][0]
            )
            rows = sql.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
            found[table] = (columns, sorted(rows, key=repr))
    return found


def version(path: Path) -> str:
    with closing(sqlite3.connect(path)) as sql:
        return sql.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()[0]


def without_version(found: dict) -> dict:
    columns, rows = found["meta"]
    return found | {"meta": (columns, [row for row in rows if "schema_version" not in row])}


def test_the_old_ledger_has_something_in_every_table(old):
    assert version(old) == "1"
    assert {table for table, (_, rows) in content(old).items() if not rows} == set()


def test_every_row_of_every_table_is_there_afterwards(old):
    before = content(old)
    Ledger.open(old).close()
    assert version(old) == "2"
    assert without_version(content(old, before)) == without_version(before)


def test_nothing_of_the_rebuilding_is_left_behind(old, tmp_path):
    Ledger.open(old).close()
    Ledger.open(tmp_path / "new.sqlite").close()
    assert content(old).keys() == content(tmp_path / "new.sqlite").keys()
    with closing(sqlite3.connect(old)) as sql:
        assert sql.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_the_key_columns_of_every_table_are_in_front(old):
    Ledger.open(old).close()
    with closing(sqlite3.connect(old)) as sql:
        for table in content(old):
            key = [row[5] for row in sql.execute(f"PRAGMA table_info({table})")]
            keys = max(key)
            assert key[:keys] == list(range(1, keys + 1)), table


def test_what_is_sent_again_is_known_and_the_numbers_go_on(old):
    with Ledger.open(old) as ledger:
        [one, two] = ledger.spools()
        assert (one.node, one.contiguous, one.missing, one.lost) == ("ff-1", 146, 10, 10)
        assert (two.node, two.highest) == ("ff-2", 3)
        assert ledger.counters().quarantined == 2
        [undated] = ledger.undated()
        assert (undated.node, undated.n_in, undated.n_out, undated.presses) == ("ff-2", 1, 1, 1)
        before = ledger.counters().records
        compacted = Batch("ff-1", "8f3a01c2", 1, 1, ((0, "R", "power", "0.1.0", 1),))
        undated_again = Batch("ff-2", "00c0ffee", 1, 1, ((5000, "P", 0, 1, 300),))
        new = Batch("ff-2", "00c0ffee", 1, 4, ((8000, "P", 0, 1, 300),))
        acks = ledger.store([compacted, undated_again, new], now_ms=NOW)
        assert [(ack.node, ack.seq) for ack in acks] == [("ff-1", 146), ("ff-2", 4)]
        assert ledger.counters().records == before + 1
        hours = [(row.n_in, row.n_out) for row in export_hours(ledger) if row.door == "main"]
        # 33 passages in each of the two lives of 100 minutes, in and out in turn, and one behind the hole
        assert (sum(n for n, _ in hours), sum(n for _, n in hours)) == (35, 32)


@pytest.fixture
def statements(tmp_path) -> int:
    """How many statements bringing it up to date takes."""
    path = tmp_path / "counted.sqlite"
    with closing(sqlite3.connect(path)) as sql:
        sql.executescript(OLD)
    return int(killed_after(path, 10_000).stdout)


def killed_after(path: Path, n: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", KILLED, str(path), str(n)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )


def test_one_that_is_killed_in_the_middle_is_as_before_and_the_next_start_does_all_of_it(old, statements):
    before = content(old)
    assert statements > 30
    for n in (1, 2, statements // 3, 2 * statements // 3, statements - 2, statements - 1):
        done = killed_after(old, n)
        assert done.returncode == -9, done.stderr
        assert version(old) == "1", n
        assert content(old) == before, n
    Ledger.open(old).close()
    assert without_version(content(old, before)) == without_version(before)


def test_a_newer_ledger_is_refused_in_a_sentence_and_left_alone(old):
    Ledger.open(old).close()
    with closing(sqlite3.connect(old)) as sql:
        sql.execute("UPDATE meta SET value = '3' WHERE key = 'schema_version'")
        sql.commit()
    before = content(old)
    for read_only in (True, False):
        with pytest.raises(LedgerError) as refused:
            Ledger.open(old, read_only=read_only)
        assert str(refused.value) == (
            f"ledger {old}: it was written by a newer Footfall (schema 3, known here 2): update this one"
        )
    assert content(old) == before


def test_reading_an_older_ledger_says_who_brings_it_up_to_date(old):
    with pytest.raises(LedgerError, match="it was written by an older Footfall: start the gateway once"):
        Ledger.open(old, read_only=True)
    assert version(old) == "1"
