"""One transaction of the ledger's `store`: which records are new, when they happened, which quarters they touch.

`Ledger` makes one `Storing` for each transaction, hands it the batches, and keeps the `Spool`s for the next one. The rules are
the ledger's; see there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from footfall_core.record import ALIVE, CLOCK, FAULT, LOST, PASSAGE, PRESS, SUPPRESSED
from footfall_gateway.buckets import QUARTER_MS
from footfall_gateway.dating import (
    BEGINNING,
    END,
    MAX_AHEAD_MS,
    MAX_ALIVE_MS,
    BootClock,
    alive_span,
    implausible_clock,
)
from footfall_gateway.ingest import BAD_CLOCK, BAD_RECORD, CONFLICT, BadRecord, Batch, Record, Refusal
from footfall_gateway.seqset import SeqSet

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from footfall_gateway.dating import AliveSpan
    from footfall_gateway.quarantine import Quarantine

__all__ = ["MAX_GONE_ROWS", "Spool", "Storing", "load_clock", "mark_buckets"]

REFUSED_KIND, GONE_KIND = "?", "-"  # records of which only the place is kept: refused; lost, or given up
MAX_BOOTS_IN_MEMORY = 4  # of one spool; a node speaks of its present boot, and of the last after a power cut
MAX_ROWS_AT_ONCE = 5000
MAX_GONE_ROWS = (
    100_000  # places kept of one gap: what a flash holds. More cannot turn up, and would cost the disk
)

_PAD = (None, None, None)
_INSERT = "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_REPLACE = "INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

_Row = tuple[
    int, int, int, int, str, Any, Any, Any, int | None
]  # as the table: spool_id, seq, boot, t, kind, a, b, c, utc


@dataclass(slots=True)
class _Boot:
    """A boot as the table has it, and its clock."""

    first_seq: int
    last_seq: int
    last_t_ms: int
    first_received_ms: int
    clock: BootClock
    last_alive: AliveSpan | None = None  # of those that are stored and dated by this clock


@dataclass(slots=True)
class Spool:
    """A spool as the tables have it, kept in memory between transactions."""

    id: int
    node_id: int
    seqs: SeqSet
    had_islands: bool
    boots: dict[int, _Boot] = field(default_factory=dict)
    changed_boots: set[int] = field(default_factory=set)

    def shrink(self) -> None:
        """Forgets all but the latest boots."""
        self.changed_boots.clear()
        self.had_islands = bool(self.seqs.islands)
        while len(self.boots) > MAX_BOOTS_IN_MEMORY:
            del self.boots[next(iter(self.boots))]


class Storing:
    """One transaction. New rows wait in a list until something has to read them, or `finish`."""

    def __init__(
        self,
        sql: sqlite3.Connection,
        spools: dict[tuple[str, str], Spool],
        quarantine: Quarantine,
        now_ms: int,
        latest_ms: int,
    ) -> None:
        self.sql = sql
        self.now_ms = now_ms
        # a gateway's clock that has gone back must not make the right clocks of nodes look as if they were ahead
        self._not_before_ms = max(now_ms, latest_ms)
        self.tallies: Counter[str] = Counter()
        self.touched: dict[tuple[str, str], Spool] = {}
        self._spools = spools
        self._quarantine = quarantine
        self._rows: list[_Row] = []
        self._dirty: set[tuple[int, int]] = set()  # (node_id, quarter)
        self._lost: Counter[int] = Counter()

    def take(self, batch: Batch) -> None:
        """Stores a batch; whatever of it is here already changes nothing."""
        spool = self._spool(batch.node, batch.spool)
        last = batch.seq + len(batch.records) - 1
        records: list[tuple[int, Record | BadRecord]] = list(enumerate(batch.records, batch.seq))
        replaced: set[int] = set()
        if spool.seqs.overlaps(batch.seq, last):
            records, replaced = self._only_new(batch, spool, records)
        if any(isinstance(record, BadRecord) or record[1] == CLOCK for _, record in records):
            records = self._without_bad(batch, records)
        if records:
            boot = self._boot(spool, batch.boot, records)
            self._learn_time(spool, batch.boot, boot, records)
            self._append(spool, batch.boot, boot, records, replaced)
        spool.seqs.add(batch.seq, last)
        for seq, record in enumerate(batch.records, batch.seq):
            if not isinstance(record, BadRecord) and record[1] == LOST:
                self._give_up(spool, seq + 1, seq + record[2] - 1)
        if len(self._rows) > MAX_ROWS_AT_ONCE:
            self._flush()

    def refuse(self, refusal: Refusal) -> None:
        """Quarantines a message of which nothing is taken."""
        self._quarantine.keep_message(self.sql, refusal, self.tallies, self.now_ms)

    def finish(self) -> None:
        """Writes everything that has waited."""
        self._flush()
        for spool in self.touched.values():
            self._save(spool)
        self.sql.executemany("INSERT OR IGNORE INTO dirty (node_id, quarter_ms) VALUES (?, ?)", self._dirty)
        self.sql.executemany(
            "UPDATE spool SET lost = lost + ? WHERE id = ?", [(n, i) for i, n in self._lost.items()]
        )
        self.sql.executemany(
            "INSERT INTO tally VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n = n + excluded.n",
            [(name, n) for name, n in self.tallies.items() if n],
        )

    def waive(self, node: str, name: str, first: int, last: int) -> Spool:
        """Fills the places first..last that are empty; ValueError where they are not all of a hole's or below."""
        known = self.sql.execute(
            "SELECT 1 FROM spool JOIN node ON node.id = node_id WHERE node.name = ? AND spool.name = ?",
            (node, name),
        )
        if not known.fetchone():
            raise ValueError(f'there is no spool "{name}" of node "{node}"')
        spool = self._spool(node, name)
        if not 1 <= first <= last < spool.seqs.highest:
            raise ValueError(
                f"{first} to {last} is not a hole: the spool's highest number here is {spool.seqs.highest}"
            )
        if last - first >= MAX_GONE_ROWS:
            raise ValueError(f"{first} to {last} are more than {MAX_GONE_ROWS} records at once")
        self._give_up(spool, first, last)
        return spool

    def _give_up(self, spool: Spool, first: int, last: int) -> None:
        """Fills the places of first..last that are empty: what belongs there will not come."""
        for low, high in spool.seqs.absent(first, last):
            self._lost[spool.id] += high - low + 1
            for seq in range(low, min(high + 1, low + MAX_GONE_ROWS)):
                self._rows.append((spool.id, seq, 0, 0, GONE_KIND, None, None, None, None))
                if len(self._rows) > MAX_ROWS_AT_ONCE:
                    self._flush()
        if first <= last:
            spool.seqs.add(first, last)

    def refuse_clocks_ahead(self) -> None:
        """Refuses the stored clock records that would be refused if they came now, and dates their boots anew."""
        ahead: dict[tuple[str, str, int], list[tuple[int, Record]]] = {}
        for node, name, number, seq, *clock in self.sql.execute(
            "SELECT node.name, spool.name, clock.boot, seq, clock.t_ms, kind, a, b FROM clock"
            " JOIN record USING (spool_id, seq) JOIN spool ON spool.id = spool_id JOIN node ON node.id = node_id"
            " WHERE clock.utc_ms > ? ORDER BY spool_id, seq",
            (self.now_ms + MAX_AHEAD_MS,),
        ):
            ahead.setdefault((node, name, number), []).append((seq, tuple(clock)))
        for (node, name, number), records in ahead.items():
            spool = self._spool(node, name)
            boot = self._boot(spool, number, records)
            for seq, record in records:
                batch = Batch(node, name, number, seq, (record,))
                self._without_bad(batch, [(seq, record)])
                place = (spool.id, seq)
                self.sql.execute("DELETE FROM clock WHERE spool_id = ? AND seq = ?", place)
                self.sql.execute(_REPLACE, (*place, number, 0, REFUSED_KIND, None, None, None, None))
            before, boot.clock = boot.clock, load_clock(self.sql, spool.id, number)
            self._date_anew(spool, number, boot, before, (BEGINNING, END))

    # The state of a spool and a boot

    def _spool(self, node: str, name: str) -> Spool:
        spool = self._spools.get((node, name))
        if spool is None:
            spool = self._spools[node, name] = self._load_spool(node, name)
        self.touched[node, name] = spool
        return spool

    def _load_spool(self, node: str, name: str) -> Spool:
        sql = self.sql
        sql.execute("INSERT OR IGNORE INTO node (name) VALUES (?)", (node,))
        (node_id,) = sql.execute("SELECT id FROM node WHERE name = ?", (node,)).fetchone()
        sql.execute("INSERT OR IGNORE INTO spool (node_id, name) VALUES (?, ?)", (node_id, name))
        spool_id, contiguous = sql.execute(
            "SELECT id, contiguous FROM spool WHERE node_id = ? AND name = ?", (node_id, name)
        ).fetchone()
        islands = sql.execute("SELECT first, last FROM island WHERE spool_id = ?", (spool_id,)).fetchall()
        return Spool(spool_id, node_id, SeqSet(contiguous, islands), bool(islands))

    def _boot(self, spool: Spool, number: int, records: Sequence[tuple[int, Record | BadRecord]]) -> _Boot:
        """The boot, its extent grown by these records."""
        first, last = records[0][0], records[-1][0]
        boot = spool.boots.get(number)
        if boot is None:
            row = self.sql.execute(
                "SELECT first_seq, last_seq, last_t_ms, first_received_ms FROM boot WHERE spool_id = ? AND boot = ?",
                (spool.id, number),
            ).fetchone()
            extent: tuple[int, int, int, int] = row or (first, last, -1, self.now_ms)
            boot = _Boot(*extent, load_clock(self.sql, spool.id, number))
            spool.boots[number] = boot
        boot.first_seq = min(boot.first_seq, first)
        boot.last_seq = max(boot.last_seq, last)
        spool.changed_boots.add(number)
        return boot

    def _save(self, spool: Spool) -> None:
        self.sql.execute(
            "UPDATE spool SET contiguous = ?, last_received_ms = max(last_received_ms, ?) WHERE id = ?",
            (spool.seqs.contiguous, self.now_ms, spool.id),
        )
        islands = spool.seqs.islands
        if spool.had_islands or islands:
            self.sql.execute("DELETE FROM island WHERE spool_id = ?", (spool.id,))
            self.sql.executemany("INSERT INTO island VALUES (?, ?, ?)", [(spool.id, *one) for one in islands])
        for number in spool.changed_boots:
            boot = spool.boots[number]
            self.sql.execute(
                "INSERT OR REPLACE INTO boot VALUES (?, ?, ?, ?, ?, ?)",
                (spool.id, number, boot.first_seq, boot.last_seq, boot.last_t_ms, boot.first_received_ms),
            )

    # What of a batch is new

    def _only_new(
        self, batch: Batch, spool: Spool, records: list[tuple[int, Record | BadRecord]]
    ) -> tuple[list[tuple[int, Record | BadRecord]], set[int]]:
        """Without what is here; the second: places whose refused record gives way to a good one."""
        self._flush()
        here = {
            row[0]: row[1:]
            for row in self.sql.execute(
                "SELECT seq, boot, t_ms, kind, a, b, c, utc_ms FROM record WHERE spool_id = ? AND seq BETWEEN ? AND ?",
                (spool.id, records[0][0], records[-1][0]),
            )
        }
        new: list[tuple[int, Record | BadRecord]] = []
        replaced: set[int] = set()
        for seq, record in records:
            *there, utc_ms = here.get(seq, (None,))
            if not there:
                if seq in spool.seqs:
                    self.tallies["duplicates"] += 1  # compacted; it cannot be compared any more
                else:
                    new.append((seq, record))
            elif isinstance(record, BadRecord):
                if there[2] in (REFUSED_KIND, GONE_KIND):
                    self.tallies["duplicates"] += 1
                else:
                    self._refuse(batch, seq, BAD_RECORD, record)
            elif there == [batch.boot, record[0], record[1], *(*record[2:], *_PAD)[:3]]:
                self.tallies["duplicates"] += 1
            elif record[1] == LOST and there[2] != GONE_KIND:
                self.tallies["duplicates"] += 1  # here, or said to be lost once more, at another t
            elif there[2] in (REFUSED_KIND, GONE_KIND, LOST):
                new.append((seq, record))
                replaced.add(seq)
                if there[2] != REFUSED_KIND:
                    self._lost[spool.id] -= 1
                if utc_ms is not None:
                    self._mark_span(spool, utc_ms, utc_ms)
            else:
                detail = f"another record has this number: boot {there[0]}, {there[2]} at t {there[1]}; the first stays"
                text = msgspec.json.encode(record).decode()
                self._refuse(batch, seq, CONFLICT, BadRecord(detail, f"boot {batch.boot} {text}"))
        return new, replaced

    def _without_bad(
        self, batch: Batch, records: list[tuple[int, Record | BadRecord]]
    ) -> list[tuple[int, Record | BadRecord]]:
        """Quarantines refused records and clocks that cannot be right; their places stay, as BadRecords."""
        checked: list[tuple[int, Record | BadRecord]] = []
        for seq, record in records:
            one = record
            if isinstance(one, BadRecord):
                self._refuse(batch, seq, BAD_RECORD, one)
            elif one[1] == CLOCK:
                detail = implausible_clock(one[2], self._not_before_ms)
                if detail is not None:
                    one = BadRecord(detail, msgspec.json.encode(one).decode())
                    self._refuse(batch, seq, BAD_CLOCK, one)
            checked.append((seq, one))
        return checked

    def _refuse(self, batch: Batch, seq: int, reason: str, record: BadRecord) -> None:
        self._quarantine.keep_record(
            self.sql,
            (batch.node, batch.spool, seq),
            (reason, record.detail, record.text),
            self.tallies,
            self.now_ms,
        )

    # Dates

    def _learn_time(
        self, spool: Spool, number: int, boot: _Boot, records: Sequence[tuple[int, Record | BadRecord]]
    ) -> None:
        """Takes the clock records of these; dates anew what they govern of the records that are here."""
        for seq, record in records:
            if isinstance(record, BadRecord) or record[1] != CLOCK:
                continue
            before = boot.clock.copy()
            span = boot.clock.add(record[0], seq, *record[2:])
            self.sql.execute(
                "INSERT OR REPLACE INTO clock VALUES (?, ?, ?, ?, ?)",
                (spool.id, number, record[0], seq, record[2]),
            )
            if span is not None and span[0] <= boot.last_t_ms:
                self._date_anew(spool, number, boot, before, span)

    def _date_anew(
        self, spool: Spool, number: int, boot: _Boot, before: BootClock, span: tuple[int, int]
    ) -> None:
        self._flush()
        boot.last_alive = None
        after = boot.clock
        start, stop = max(span[0], BEGINNING), span[1]
        rows = self.sql.execute(
            "SELECT seq, t_ms, kind, a, b, c FROM record WHERE spool_id = ? AND seq BETWEEN ? AND ?"
            " AND boot = ? AND kind NOT IN ('?', '-') AND t_ms >= ? AND t_ms < ?",
            (spool.id, boot.first_seq, boot.last_seq, number, start, stop),
        ).fetchall()
        self.sql.executemany(
            "UPDATE record SET utc_ms = ? WHERE spool_id = ? AND seq = ?",
            [(after.utc_ms(row[1]), spool.id, row[0]) for row in rows],
        )
        for clock in (before, after):
            for _, t_ms, kind, a, b, c in rows:
                self._mark(spool, number, clock, (t_ms, kind, a, b, c))
        # alive records behind the span that reach back into it: their beginning has moved
        reaching = self.sql.execute(
            "SELECT t_ms, a FROM record WHERE spool_id = ? AND boot = ? AND kind = 'A'"
            " AND t_ms >= ? AND t_ms < ? AND a < ?",
            (spool.id, number, stop, stop + MAX_ALIVE_MS, stop),
        ).fetchall()
        for clock in (before, after):
            for t_ms, since_ms in reaching:
                self._mark(spool, number, clock, (t_ms, ALIVE, since_ms))

    # New rows

    def _append(
        self,
        spool: Spool,
        number: int,
        boot: _Boot,
        records: Sequence[tuple[int, Record | BadRecord]],
        replaced: set[int],
    ) -> None:
        """Rows for these records, dated, and the quarters marked that they touch."""
        rows, dirty, clock = self._rows, self._dirty, boot.clock
        spool_id, node_id = spool.id, spool.node_id
        latest_t_ms, latest_offset = clock.last_t_ms, clock.last_offset
        last_t_ms = boot.last_t_ms
        special: list[Record] = []
        if replaced:
            self._flush()
            rows = []
        for seq, record in records:
            if record.__class__ is BadRecord:
                rows.append((spool_id, seq, number, 0, REFUSED_KIND, None, None, None, None))
                continue
            t_ms, kind = record[0], record[1]  # type: ignore[index]
            utc_ms = t_ms + latest_offset if t_ms >= latest_t_ms else clock.utc_ms(t_ms)
            if kind == PASSAGE:
                rows.append((spool_id, seq, number, *record, utc_ms))  # type: ignore[misc]
                if utc_ms is not None:
                    dirty.add((node_id, utc_ms - utc_ms % QUARTER_MS))
            else:
                rows.append((spool_id, seq, number, *(*record, *_PAD)[:5], utc_ms))  # type: ignore[misc]
                special.append(record)  # type: ignore[arg-type]
            last_t_ms = max(last_t_ms, t_ms)
        boot.last_t_ms = last_t_ms
        if replaced:
            self.sql.executemany(_REPLACE, rows)
        for record in special:
            if record[1] == LOST:
                self._lost[spool_id] += 1
            if record[1] == ALIVE:
                self._mark_news(spool, boot, record)
            else:
                self._mark(spool, number, clock, record)
        self.tallies["records"] += len(records)

    def _flush(self) -> None:
        if self._rows:
            self.sql.executemany(_INSERT, self._rows)
            self._rows.clear()

    # Which quarters a record touches

    def _mark(self, spool: Spool, number: int, clock: BootClock, record: Record) -> None:
        """Marks the quarters that this record touches, as this clock dates it."""
        utc_ms = clock.utc_ms(record[0])
        if utc_ms is None:
            return
        kind = record[1]
        if kind in (PASSAGE, SUPPRESSED, LOST):
            self._mark_span(spool, utc_ms, utc_ms)
        elif kind == PRESS:
            # presses suppressed in the quarter of an hour after it ask this one for its question
            self._mark_span(spool, utc_ms, utc_ms + QUARTER_MS)
        elif kind == ALIVE:
            self._mark_alive(spool, clock, record)
        elif kind == FAULT:
            self._mark_span(spool, utc_ms, utc_ms)
            self._mark_blinded(spool, number, clock, record)

    def _mark_news(self, spool: Spool, boot: _Boot, record: Record) -> None:
        """A new alive record: only what the last one has not covered yet."""
        span = alive_span(boot.clock, record[2], record[0])
        if span is None:
            return
        last = boot.last_alive
        self._mark_span(spool, *((span.start_ms, span.stop_ms) if last is None else span.news_since(last)))
        if last is None or span.t_ms > last.t_ms:
            boot.last_alive = span

    def _mark_alive(self, spool: Spool, clock: BootClock, record: Record) -> None:
        span = alive_span(clock, record[2], record[0])
        if span is not None:
            self._mark_span(spool, span.start_ms, span.stop_ms)

    def _mark_blinded(self, spool: Spool, number: int, clock: BootClock, fault: Record) -> None:
        """The alive records between this fault record and the same beam's next one: the beam was blind, or not."""
        self._flush()
        t_ms, _, barrier, beam = fault[:4]
        (until,) = self.sql.execute(
            "SELECT min(t_ms) FROM record WHERE spool_id = ? AND boot = ? AND kind = 'F' AND a = ? AND b = ?"
            " AND t_ms > ?",
            (spool.id, number, barrier, beam, t_ms),
        ).fetchone()
        blinded = self.sql.execute(
            "SELECT t_ms, a FROM record WHERE spool_id = ? AND boot = ? AND kind = 'A' AND t_ms >= ? AND t_ms < ?"
            " AND a <= ?",
            (
                spool.id,
                number,
                t_ms,
                END if until is None else until + MAX_ALIVE_MS,
                END if until is None else until,
            ),
        )
        for alive_t_ms, since_ms in blinded.fetchall():
            self._mark_alive(spool, clock, (alive_t_ms, ALIVE, since_ms))

    def _mark_span(self, spool: Spool, start_ms: int, stop_ms: int) -> None:
        for quarter_ms in range(start_ms - start_ms % QUARTER_MS, stop_ms + 1, QUARTER_MS):
            self._dirty.add((spool.node_id, quarter_ms))


def mark_buckets(sql: sqlite3.Connection, from_ms: int) -> None:
    """Marks every bucket that there is from this moment on: the accounts work it out anew, whoever it belongs to."""
    for table, place in (
        ("bucket_quarter", "door"),
        ("feedback_quarter", "door"),
        ("passersby_quarter", "place"),
    ):
        sql.execute(
            f"INSERT OR IGNORE INTO dirty_bucket SELECT start_ms, site, {place} FROM {table} WHERE start_ms >= ?",  # noqa: S608
            (from_ms,),
        )


def load_clock(sql: sqlite3.Connection, spool_id: int, boot: int) -> BootClock:
    """The clock of a boot as the ledger has it."""
    clock = BootClock()
    points: Iterable[tuple[int, int, int, str]] = sql.execute(
        "SELECT clock.t_ms, seq, clock.utc_ms, b FROM clock JOIN record USING (spool_id, seq)"
        " WHERE spool_id = ? AND clock.boot = ? ORDER BY clock.t_ms, seq",
        (spool_id, boot),
    )
    for point in points:
        clock.add(*point)
    return clock
