"""What the ledger promises about single records: once, in order, on disk, and nothing refused without a trace."""

import sqlite3
import threading
from pathlib import Path

import pytest

from footfall_gateway import database, quarantine
from footfall_gateway.ingest import BAD_CLOCK, BAD_RECORD, CONFLICT, NOT_JSON, BadRecord, Batch, Refusal
from footfall_gateway.ledger import Ack, Ledger, LedgerError

DAY_0 = 1_780_012_800_000
NOW = DAY_0 + 86_400_000
NODE, SPOOL = "ff-1", "8f3a01c2"


def passage(t_ms: int) -> tuple:
    return (t_ms, "P", 0, 1, 400)


def clock(t_ms: int, utc_ms: int) -> tuple:
    return (t_ms, "C", utc_ms, "gw")


def batch(seq: int, *records: object, node: str = NODE, spool: str = SPOOL, boot: int = 1) -> Batch:
    return Batch(node, spool, boot, seq, records)  # type: ignore[arg-type]


def passages(first: int, last: int) -> Batch:
    return batch(first, *(passage(seq * 1000) for seq in range(first, last + 1)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "ledger.sqlite3"


@pytest.fixture
def ledger(path: Path):
    with Ledger.open(path) as one:
        yield one


def rows(ledger: Ledger, columns: str = "seq, kind, t_ms") -> list[tuple]:
    with ledger.database.reading() as sql:
        return sql.execute(f"SELECT {columns} FROM record ORDER BY spool_id, seq").fetchall()


def store(ledger: Ledger, *batches: Batch, now_ms: int = NOW) -> list[int]:
    return [ack.seq for ack in ledger.store(batches, now_ms=now_ms)]


# Once, and acknowledged as far as nothing is missing


def test_the_acknowledgement_is_the_highest_number_below_which_nothing_is_missing(ledger: Ledger) -> None:
    assert store(ledger, passages(1, 5)) == [5]
    assert store(ledger, passages(9, 12)) == [5]
    assert store(ledger, passages(15, 16)) == [5]
    (status,) = ledger.spools()
    assert (status.highest, status.missing, status.holes) == (16, 5, ((6, 8), (13, 14)))
    assert ledger.missing(NODE) == 5
    assert store(ledger, passages(6, 8)) == [12]
    assert store(ledger, passages(11, 15)) == [16]
    assert ledger.missing(NODE) == 0
    assert rows(ledger) == [(seq, "P", seq * 1000) for seq in range(1, 17)]


def test_a_spool_whose_beginning_never_came_shows_a_hole(ledger: Ledger) -> None:
    assert store(ledger, passages(3, 4)) == [0]
    assert ledger.spools()[0].holes == ((1, 2),)
    assert ledger.acks() == (Ack(NODE, SPOOL, 0),)


def test_what_comes_again_changes_nothing_and_is_acknowledged_again(ledger: Ledger) -> None:
    assert store(ledger, passages(1, 20), passages(1, 20), passages(5, 10)) == [20]
    assert store(ledger, passages(1, 20)) == [20]
    assert len(rows(ledger)) == 20
    assert (ledger.counters().records, ledger.counters().duplicates) == (20, 46)


def test_the_holes_are_still_known_after_a_restart(path: Path) -> None:
    with Ledger.open(path) as ledger:
        store(ledger, passages(1, 5), passages(9, 12))
    with Ledger.open(path) as ledger:
        assert ledger.acks() == (Ack(NODE, SPOOL, 5),)
        assert ledger.spools()[0].holes == ((6, 8),)
        assert store(ledger, passages(6, 8)) == [12]
    with Ledger.open(path) as ledger:
        assert ledger.spools()[0].holes == ()


def test_each_spool_of_each_node_counts_for_itself(ledger: Ledger) -> None:
    acks = ledger.store(
        [
            batch(1, passage(1), passage(2)),
            batch(1, passage(1), spool="00000002"),
            batch(1, passage(1), passage(2), passage(3), node="ff-2"),
        ],
        now_ms=NOW,
    )
    assert set(acks) == {Ack(NODE, SPOOL, 2), Ack(NODE, "00000002", 1), Ack("ff-2", SPOOL, 3)}
    store(ledger, batch(2, passage(2), spool="00000002"), now_ms=NOW + 1)
    assert set(ledger.acks()) == {Ack(NODE, "00000002", 2), Ack("ff-2", SPOOL, 3)}


def test_another_record_for_a_taken_number_is_a_conflict_and_the_first_stays(ledger: Ledger) -> None:
    store(ledger, batch(1, passage(1), passage(2), passage(3)))
    assert store(ledger, batch(2, passage(2), (3, "P", 0, -1, 400), passage(4))) == [4]
    assert store(ledger, batch(1, passage(1), boot=2)) == [4]
    assert rows(ledger, "seq, b, boot") == [(1, 1, 1), (2, 1, 1), (3, 1, 1), (4, 1, 1)]
    assert ledger.counters().conflicts == 2
    boot, direction = ledger.quarantine()
    assert (boot.reason, boot.origin) == (CONFLICT, f"{NODE} {SPOOL} 1")
    assert direction.payload == b'boot 1 [3,"P",0,-1,400]'


# Refused records


def test_a_refused_record_keeps_its_number_so_that_the_node_need_not_send_it_for_ever(ledger: Ledger) -> None:
    bad = BadRecord("direction is 7", '[2,"P",0,7,1]')
    assert store(ledger, batch(1, passage(1), bad, passage(3))) == [3]
    assert rows(ledger) == [(1, "P", 1), (2, "?", 0), (3, "P", 3)]
    (entry,) = ledger.quarantine()
    assert (entry.reason, entry.detail, entry.origin) == (BAD_RECORD, "direction is 7", f"{NODE} {SPOOL} 2")
    assert entry.payload == b'[2,"P",0,7,1]'
    assert store(ledger, batch(1, passage(1), bad, passage(3))) == [3]
    assert ledger.counters().quarantined == 1


def test_the_right_record_takes_the_place_of_a_refused_one(ledger: Ledger) -> None:
    store(ledger, batch(1, clock(0, DAY_0), BadRecord("torn", "x"), passage(3)))
    assert store(ledger, batch(1, clock(0, DAY_0), passage(2), passage(3))) == [3]
    assert rows(ledger, "seq, kind, utc_ms") == [(1, "C", DAY_0), (2, "P", DAY_0 + 2), (3, "P", DAY_0 + 3)]
    assert store(ledger, batch(2, BadRecord("torn", "x"))) == [3]
    assert rows(ledger)[1] == (2, "P", 2)


@pytest.mark.parametrize("utc_ms", [0, 5, 946_684_800_000, NOW + 600_001, 2**41])
def test_a_clock_that_cannot_be_right_is_quarantined_and_dates_nothing(ledger: Ledger, utc_ms: int) -> None:
    assert store(ledger, batch(1, clock(0, utc_ms), passage(5))) == [2]
    assert rows(ledger, "kind, utc_ms") == [("?", None), ("P", None)]
    assert [entry.reason for entry in ledger.quarantine()] == [BAD_CLOCK]
    assert store(ledger, batch(3, clock(10, DAY_0))) == [3]
    assert rows(ledger, "kind, utc_ms") == [("?", None), ("P", DAY_0 - 5), ("C", DAY_0)]


def test_a_clock_refused_while_the_gateways_own_was_behind_counts_when_it_comes_again(ledger: Ledger) -> None:
    one = batch(1, clock(0, DAY_0), passage(5))
    store(ledger, one, now_ms=DAY_0 - 3_600_000)
    assert rows(ledger, "utc_ms") == [(None,), (None,)]
    store(ledger, one, now_ms=NOW)
    assert rows(ledger, "utc_ms") == [(DAY_0,), (DAY_0 + 5,)]


def test_a_boot_without_time_is_shown_between_its_neighbours(ledger: Ledger) -> None:
    store(ledger, batch(1, clock(0, DAY_0), passage(1000)), now_ms=NOW)
    store(
        ledger,
        batch(3, passage(5), (6, "P", 0, -1, 1), (7, "P", 0, 0, 1), (8, "B", 0, 1), boot=2),
        now_ms=NOW + 9,
    )
    (undated,) = ledger.undated()
    assert (undated.boot, undated.n_in, undated.n_out, undated.undirected, undated.presses) == (2, 1, 1, 1, 1)
    assert (undated.after_ms, undated.before_ms) == (DAY_0 + 1000, NOW + 9)
    store(ledger, batch(7, clock(0, DAY_0 + 7000), boot=3))
    assert ledger.undated()[0].before_ms == DAY_0 + 7000
    store(ledger, batch(8, clock(10, DAY_0 + 5000), boot=2))
    assert ledger.undated() == ()


def test_a_hole_that_nobody_can_fill_can_be_given_up_with_a_name_and_a_reason(ledger: Ledger) -> None:
    store(ledger, passages(1, 3), passages(7, 9))
    assert ledger.waive(NODE, SPOOL, 4, 5, "mk", "flash was damaged", NOW) == Ack(NODE, SPOOL, 5)
    assert ledger.waive(NODE, SPOOL, 1, 6, "mk", "flash was damaged", NOW) == Ack(NODE, SPOOL, 9)
    assert ledger.missing(NODE) == 0
    assert store(ledger, passages(5, 5)) == [9]  # it came after all
    assert [kind for _, kind, _ in rows(ledger)] == ["P", "P", "P", "-", "P", "-", "P", "P", "P"]
    with ledger.database.reading() as sql:
        assert sql.execute("SELECT first, last, who, why, waived_ms FROM waiver").fetchall() == [
            (4, 5, "mk", "flash was damaged", NOW),
            (1, 6, "mk", "flash was damaged", NOW),
        ]


# Records that the node has lost


def test_a_gap_that_the_node_declares_lost_does_not_hold_up_what_comes_after_it(ledger: Ledger) -> None:
    store(ledger, passages(1, 3))
    assert store(ledger, passages(9, 10)) == [3]
    assert store(ledger, batch(4, (9000, "L", 5))) == [10]
    (status,) = ledger.spools()
    assert (status.missing, status.lost) == (0, 5)
    assert [kind for _, kind, _ in rows(ledger)] == ["P", "P", "P", "L", "-", "-", "-", "-", "P", "P"]


def test_a_new_ledger_gets_going_with_a_node_that_has_forgotten_what_the_old_one_had(ledger: Ledger) -> None:
    assert store(ledger, passages(501, 550)) == [0]  # told 0, the node begins anew and finds 1 to 480 gone
    assert store(ledger, batch(1, (600_000, "L", 480))) == [480]
    assert store(ledger, passages(481, 530)) == [550]
    assert (ledger.spools()[0].lost, ledger.spools()[0].missing) == (480, 0)


def test_a_gap_declared_again_at_another_time_or_longer_is_no_conflict(ledger: Ledger) -> None:
    store(ledger, passages(1, 3))
    assert store(ledger, batch(4, (9000, "L", 5))) == [8]
    assert store(ledger, batch(4, (19_000, "L", 5), boot=2)) == [8]
    assert store(ledger, batch(4, (29_000, "L", 7), boot=2)) == [10]
    assert rows(ledger)[3] == (4, "L", 9000)
    assert (ledger.spools()[0].lost, ledger.counters().quarantined) == (7, 0)


def test_a_record_that_was_declared_lost_and_turns_up_counts(ledger: Ledger) -> None:
    store(ledger, passages(1, 3), batch(4, (9000, "L", 5)))
    assert store(ledger, passages(4, 5)) == [8]
    assert [kind for _, kind, _ in rows(ledger)] == ["P", "P", "P", "P", "P", "-", "-", "-"]
    assert ledger.spools()[0].lost == 3
    assert store(ledger, batch(4, (9000, "L", 5))) == [8]
    assert rows(ledger)[3] == (4, "P", 4000)


def test_a_gap_beyond_all_measure_does_not_fill_the_disk(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("footfall_gateway.storing.MAX_GONE_ROWS", 1000)
    assert store(ledger, batch(1, (9000, "L", 2**31 - 1))) == [2**31 - 1]
    assert len(rows(ledger)) == 1001
    assert ledger.spools()[0].lost == 2**31 - 1


@pytest.mark.parametrize("asked", [("ff-9", 4, 5), (NODE, 4, 9), (NODE, 10, 12), (NODE, 0, 5), (NODE, 5, 4)])
def test_only_a_hole_can_be_given_up(ledger: Ledger, asked: tuple[str, int, int]) -> None:
    store(ledger, passages(1, 3), passages(7, 9))
    node, first, last = asked
    with pytest.raises(ValueError, match=r"there is no spool|not a hole"):
        ledger.waive(node, SPOOL, first, last, "mk", "because", NOW)
    assert ledger.missing(NODE) == 3


# The quarantine's bounds


def refusal(payload: bytes = b"hello", node: str = NODE) -> Refusal:
    return Refusal(NOT_JSON, "payload is hello, expected JSON", f"footfall/1/{node}/records", payload)


def test_a_refused_message_is_kept_with_its_reason_and_counted_each_time(ledger: Ledger) -> None:
    ledger.store([], [refusal(), refusal()], now_ms=NOW)
    ledger.store([], [refusal()], now_ms=NOW + 60_000)
    (entry,) = ledger.quarantine()
    assert (entry.times, entry.first_ms, entry.last_ms) == (3, NOW, NOW + 60_000)
    assert (entry.reason, entry.origin, entry.payload) == (NOT_JSON, "footfall/1/ff-1/records", b"hello")
    assert ledger.counters().quarantined_by_reason == {NOT_JSON: 3}


def test_a_flood_costs_a_count_and_not_a_disk(ledger: Ledger) -> None:
    flood = [refusal(str(n).encode()) for n in range(500)]
    ledger.store([], flood, now_ms=NOW)
    assert len(ledger.quarantine(1000)) == quarantine.MAX_ROWS_PER_MINUTE
    for minute in range(1, 15):
        ledger.store([], [refusal(b"%d %d" % (minute, n)) for n in range(500)], now_ms=NOW + minute * 60_000)
    assert len(ledger.quarantine(1000)) == quarantine.MAX_ROWS_PER_SOURCE
    ledger.store([], [refusal(b"other", node="ff-2")], now_ms=NOW)
    assert ledger.quarantine(1)[0].payload == b"other"
    counters = ledger.counters()
    assert counters.quarantined == 15 * 500 + 1
    assert counters.not_kept == 15 * 500 - quarantine.MAX_ROWS_PER_SOURCE


def test_the_quarantine_has_an_end_whoever_fills_it(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MAX_ROWS", 50)
    many = [refusal(node=f"ff-{n}") for n in range(80)]
    ledger.store([], many, now_ms=NOW)
    assert len(ledger.quarantine(1000)) == 50
    assert ledger.counters().not_kept == 30


def test_the_bounds_hold_over_a_restart(path: Path) -> None:
    for minute in range(12):
        with Ledger.open(path) as ledger:
            ledger.store(
                [], [refusal(b"%d %d" % (minute, n)) for n in range(60)], now_ms=NOW + minute * 60_000
            )
    with Ledger.open(path, read_only=True) as ledger:
        assert len(ledger.quarantine(1000)) == quarantine.MAX_ROWS_PER_SOURCE


# When the disk or the file is not as it should be


def test_a_full_disk_stores_nothing_says_so_and_goes_on_when_there_is_room(ledger: Ledger) -> None:
    store(ledger, passages(1, 50))
    with ledger.database.reading() as sql:
        pages = sql.execute("PRAGMA page_count").fetchone()[0]
        sql.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(LedgerError, match="the disk is full: free some space") as refused:
        ledger.store([passages(first, first + 49) for first in range(51, 20_000, 50)], now_ms=NOW)
    assert refused.value.temporary
    assert "\n" not in str(refused.value)
    assert len(rows(ledger)) == 50
    with ledger.database.reading() as sql:
        sql.execute("PRAGMA max_page_count = 1000000")
    assert store(ledger, *[passages(first, first + 49) for first in range(51, 20_000, 50)]) == [20_000]
    assert len(rows(ledger)) == 20_000


def test_a_commit_waits_for_the_disk(ledger: Ledger) -> None:
    with ledger.database.reading() as sql:
        assert sql.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert sql.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_second_gateway_on_the_same_ledger_is_turned_away(ledger: Ledger, path: Path) -> None:
    with pytest.raises(LedgerError, match="another gateway is running with it"):
        Ledger.open(path)
    assert store(ledger, passages(1, 1)) == [1]


def test_a_program_that_locks_the_file_is_named_as_the_trouble(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_MS", 50)
    with Ledger.open(path) as ledger:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="another program has locked it") as refused:
            store(ledger, passages(1, 1))
        assert refused.value.temporary
        other.execute("ROLLBACK")
        other.close()
        assert store(ledger, passages(1, 1)) == [1]


def test_a_file_that_is_no_ledger_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is a shopping list\n" * 100)
    with pytest.raises(LedgerError, match="not a ledger: restore a backup or move the file away") as refused:
        Ledger.open(path)
    assert not refused.value.temporary
    assert path.read_bytes().startswith(b"this is a shopping list")


def test_another_programs_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE recipes (name)")
    other.close()
    with pytest.raises(LedgerError, match="not a ledger"):
        Ledger.open(path)


def test_a_damaged_ledger_is_found_at_the_start(path: Path) -> None:
    with Ledger.open(path) as ledger:
        for first in range(1, 20_000, 500):
            store(ledger, passages(first, first + 499))
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\x55" * 20_000)
    with pytest.raises(LedgerError, match="it is damaged: stop the gateway, keep a copy"):
        Ledger.open(path)


def test_a_ledger_of_a_newer_version_is_left_alone(path: Path) -> None:
    Ledger.open(path).close()
    with sqlite3.connect(path) as sql:
        sql.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    sql.close()
    with pytest.raises(LedgerError, match="written by a newer Footfall"):
        Ledger.open(path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="its folder cannot be written") as refused:
        Ledger.open(tmp_path / "file" / "ledger.sqlite3")
    assert str(tmp_path / "file") in str(refused.value)


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").mkdir()
    with pytest.raises(LedgerError, match="cannot be opened"):
        Ledger.open(tmp_path / "ledger.sqlite3")


def test_a_reader_sees_what_is_committed_and_cannot_write(ledger: Ledger, path: Path) -> None:
    store(ledger, passages(1, 3))
    with Ledger.open(path, read_only=True) as reader:
        assert reader.spools()[0].contiguous == 3
        store(ledger, passages(4, 4))
        assert reader.spools()[0].contiguous == 4
        with pytest.raises(LedgerError, match="cannot be written"):
            store(reader, passages(5, 5))


def test_a_reader_of_no_ledger_is_told_to_start_the_gateway(path: Path) -> None:
    with pytest.raises(LedgerError, match="does not exist yet: start the gateway once"):
        Ledger.open(path, read_only=True)
    assert not path.parent.exists()


def test_a_closed_ledger_says_so(path: Path) -> None:
    ledger = Ledger.open(path)
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError, match="it is closed"):
        store(ledger, passages(1, 1))


def test_an_error_in_the_middle_leaves_nothing_behind(ledger: Ledger) -> None:
    store(ledger, passages(1, 3))
    with pytest.raises(AttributeError):
        ledger.store([passages(4, 9), None], now_ms=NOW)  # type: ignore[list-item]
    assert store(ledger, passages(4, 4)) == [4]
    assert len(rows(ledger)) == 4


def test_threads_share_one_ledger(ledger: Ledger) -> None:
    failed: list[BaseException] = []

    def run(node: str) -> None:
        try:
            for first in range(1, 400, 10):
                records = [passage(seq) for seq in range(first, first + 10)]
                ledger.store([batch(first, *records, node=node)], now_ms=NOW)
                ledger.spools()
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=run, args=(f"ff-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert {status.contiguous for status in ledger.spools()} == {400}
