"""The ledger: every record exactly once, in order, on disk before it is acknowledged. The one source of truth.

`Ledger.store` is called by the ingest thread with all batches that have queued up; what it returns may be acknowledged.
The accounts turn its records into buckets, the outbox lives in the same file. All of them share one `Ledger`.

How it keeps the promises:
- The key (spool, seq) of `record` makes a passage count once, whatever arrives how often in whatever order.
- One transaction per `store`; SQLite writes with synchronous=FULL. If it raises, nothing was stored.
- A refused record keeps its place ('?'), so acknowledgements go on past it. The right record still takes the place if
  it ever comes. A different record for a place that is taken is a conflict: the first stays, the second is quarantined.
- A record that says that n records are lost (L) stands for n numbers, its own and the following: they count as dealt
  with, so that a gap does not hold up what comes after it, and are shown as lost. One that turns up is taken after all.
- Every change marks the quarters whose buckets it touches, in the same transaction; the accounts work those off.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from footfall_gateway.compaction import compact
from footfall_gateway.database import Database, LedgerError
from footfall_gateway.dating import END, BootClock
from footfall_gateway.ingest import CONFLICT, Batch, Refusal
from footfall_gateway.quarantine import NOT_KEPT, REFUSED, Quarantine, QuarantineEntry
from footfall_gateway.seqset import SeqSet
from footfall_gateway.storing import Spool, Storing, load_clock, mark_buckets

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["Ack", "Counters", "Ledger", "LedgerError", "SpoolStatus", "UndatedBoot", "Waiver"]

MAX_SPOOLS_IN_MEMORY = 2000
MAX_HOLES_SHOWN = 20
DAY_MS = 86_400_000
MAX_BACK_MS = 600_000  # a clock that is corrected may go back by less; a computer without a clock of its own starts hours ago


@dataclass(frozen=True, slots=True)
class Ack:
    """Every record of this spool up to and including `seq` is on disk; 0: none is."""

    node: str
    spool: str
    seq: int


@dataclass(frozen=True, slots=True)
class SpoolStatus:
    """How complete a spool is. `holes` are the first missing ranges; `lost` records will not come: the node says so, or
    a person has given them up."""

    node: str
    spool: str
    contiguous: int
    highest: int
    missing: int
    holes: tuple[tuple[int, int], ...]
    lost: int
    last_received_ms: int


@dataclass(frozen=True, slots=True)
class Waiver:
    """Records first..last of a spool that a person gave up."""

    node: str
    spool: str
    first: int
    last: int
    who: str
    why: str
    waived_ms: int


@dataclass(frozen=True, slots=True)
class UndatedBoot:
    """Passages and presses of a boot that never learned the time: counted in no bucket, between two moments."""

    node: str
    spool: str
    boot: int
    n_in: int
    n_out: int
    undirected: int
    presses: int
    after_ms: int | None
    before_ms: int


@dataclass(frozen=True, slots=True)
class Counters:
    """What has happened since this ledger was begun; `dirty` quarters wait for the accounts."""

    records: int
    duplicates: int
    conflicts: int
    quarantined: int
    quarantined_by_reason: dict[str, int]
    not_kept: int
    dirty: int


class Ledger:
    """One ledger file, shared by all threads of the gateway."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._spools: dict[tuple[str, str], Spool] = {}
        self._quarantine = Quarantine()
        self._latest_ms = self.latest_ms()

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Self:
        """Opens the ledger file, creates it where there is none. Raises LedgerError, one line, where it cannot."""
        return cls(Database(path, read_only=read_only))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.database.close()

    @property
    def path(self) -> Path:
        return self.database.path

    def store(
        self, batches: Sequence[Batch], refusals: Sequence[Refusal] = (), *, now_ms: int
    ) -> tuple[Ack, ...]:
        """Stores all of this in one transaction and returns, once it is on disk, what may be acknowledged.

        One Ack for each (node, spool) among the batches. After an exception nothing of it is stored.
        """
        if len(self._spools) > MAX_SPOOLS_IN_MEMORY:
            self._spools.clear()
        with self._storing(now_ms, self._latest_ms) as storing:
            for batch in batches:
                storing.take(batch)
            for refusal in refusals:
                storing.refuse(refusal)
        if storing.touched:
            self._latest_ms = max(self._latest_ms, now_ms)
        return tuple(Ack(*name, spool.seqs.contiguous) for name, spool in storing.touched.items())

    @contextlib.contextmanager
    def _storing(self, now_ms: int, latest_ms: int) -> Iterator[Storing]:
        """One transaction; after an exception nothing of it has happened, neither on disk nor in memory."""
        try:
            with self.database.writing() as sql:
                storing = Storing(sql, self._spools, self._quarantine, now_ms, latest_ms)
                yield storing
                storing.finish()
        except BaseException:
            self._spools.clear()
            self._quarantine.forget()
            raise
        for spool in storing.touched.values():
            spool.shrink()

    def acks(self) -> tuple[Ack, ...]:
        """The acknowledgement of each node's latest spool: what its retained ack topic should say."""
        with self.database.reading() as sql:
            latest = {
                node: Ack(node, name, contiguous)
                for node, name, contiguous in sql.execute(
                    "SELECT node.name, spool.name, contiguous FROM spool JOIN node ON node.id = node_id"
                    " ORDER BY last_received_ms, spool.id"
                )
            }
        return tuple(latest.values())

    def spools(self) -> tuple[SpoolStatus, ...]:
        """All spools, with what is missing in them."""
        with self.database.reading() as sql:
            islands: dict[int, list[tuple[int, int]]] = {}
            for spool_id, first, last in sql.execute("SELECT * FROM island"):
                islands.setdefault(spool_id, []).append((first, last))
            rows = sql.execute(
                "SELECT spool.id, node.name, spool.name, contiguous, lost, last_received_ms"
                " FROM spool JOIN node ON node.id = node_id ORDER BY node.name, spool.id"
            ).fetchall()
        found = []
        for spool_id, node, name, contiguous, lost, received_ms in rows:
            seqs = SeqSet(contiguous, islands.get(spool_id, ()))
            holes = tuple(seqs.holes()[:MAX_HOLES_SHOWN])
            found.append(
                SpoolStatus(node, name, contiguous, seqs.highest, seqs.missing(), holes, lost, received_ms)
            )
        return tuple(found)

    def missing(self, node: str) -> int:
        """How many records of this node are known to exist and are not here."""
        return sum(spool.missing for spool in self.spools() if spool.node == node)

    def clock_gone_back(self, now_ms: int) -> int | None:
        """The latest moment that the ledger knows, where this clock says so much less that it cannot be right; else None."""
        return self._latest_ms if now_ms < self._latest_ms - MAX_BACK_MS else None

    def clock_behind_ms(self, node: str, t_ms: int, now_ms: int) -> int:
        """By how much this clock is behind what the node, now at `t_ms` of its latest boot, was told before; 0 for not.

        A node's crystal counts on while a gateway without a clock of its own is switched off. Nothing is behind on the day
        on which a person has trusted this clock.
        """
        with self.database.reading() as sql:
            trusted_ms = sql.execute("SELECT ifnull(max(trusted_ms), 0) FROM clock_trust").fetchone()[0]
            boot = sql.execute(
                "SELECT spool_id, boot FROM boot JOIN spool ON spool.id = spool_id JOIN node ON node.id = node_id"
                " WHERE node.name = ? ORDER BY last_received_ms DESC, spool_id DESC, boot DESC LIMIT 1",
                (node,),
            ).fetchone()
            clock = load_clock(sql, *boot) if boot else BootClock()
        if not clock.told or now_ms - trusted_ms < DAY_MS:
            return 0
        return max(0, (clock.utc_ms(t_ms) or 0) - now_ms)

    def latest_ms(self) -> int:
        """The latest moment at which anything was received, 0 for never. A clock that says less has gone back."""
        with self.database.reading() as sql:
            return int(sql.execute("SELECT ifnull(max(last_received_ms), 0) FROM spool").fetchone()[0])

    def undated(self) -> tuple[UndatedBoot, ...]:
        """The boots that never learned the time and counted something, between the dated records around them."""
        with self.database.reading() as sql:
            spools = sql.execute(
                "SELECT spool.id, node.name, spool.name FROM spool JOIN node ON node.id = node_id"
            ).fetchall()
            return tuple(
                UndatedBoot(node, name, *counted)
                for spool_id, node, name in spools
                for counted in _undated(sql, spool_id)
            )

    def quarantine(self, limit: int = 100, before_id: int | None = None) -> tuple[QuarantineEntry, ...]:
        """What was refused, newest first; page on with the last entry's id."""
        with self.database.reading() as sql:
            rows = sql.execute(
                "SELECT id, first_ms, last_ms, times, reason, detail, origin, payload FROM quarantine"
                " WHERE id < ? ORDER BY id DESC LIMIT ?",
                (END if before_id is None else before_id, limit),
            ).fetchall()
        return tuple(QuarantineEntry(*row) for row in rows)

    def counters(self) -> Counters:
        """What happened so far, in numbers."""
        with self.database.reading() as sql:
            tallies = dict(sql.execute("SELECT name, n FROM tally"))
            dirty = sql.execute(
                "SELECT (SELECT count(*) FROM dirty) + (SELECT count(*) FROM dirty_bucket)"
            ).fetchone()[0]
        refused = {name.removeprefix(REFUSED): n for name, n in tallies.items() if name.startswith(REFUSED)}
        return Counters(
            records=tallies.get("records", 0),
            duplicates=tallies.get("duplicates", 0),
            conflicts=refused.get(CONFLICT, 0),
            quarantined=sum(refused.values()),
            quarantined_by_reason=refused,
            not_kept=tallies.get(NOT_KEPT, 0),
            dirty=dirty,
        )

    def holes(self, node: str, spool: str) -> list[tuple[int, int]]:
        """All ranges that are missing in this spool, lowest first; a node's latest numbers may just be on their way."""
        with self.database.reading() as sql:
            rows = sql.execute(
                "SELECT contiguous, first, last FROM spool JOIN node ON node.id = node_id"
                " JOIN island ON spool_id = spool.id WHERE node.name = ? AND spool.name = ?",
                (node, spool),
            ).fetchall()
        return SeqSet(rows[0][0], [row[1:] for row in rows]).holes() if rows else []

    def waivers(self) -> tuple[Waiver, ...]:
        """What people have given up, oldest first."""
        with self.database.reading() as sql:
            rows = sql.execute(
                "SELECT node.name, spool.name, first, last, who, why, waived_ms FROM waiver"
                " JOIN spool ON spool.id = spool_id JOIN node ON node.id = node_id ORDER BY waiver.rowid"
            ).fetchall()
        return tuple(Waiver(*row) for row in rows)

    def trust_clock(self, who: str, why: str, now_ms: int) -> None:
        """A person says that this clock is right although the ledger knows later moments; name and reason are kept.

        Nodes were told the time while it was ahead: those clock records are refused now, and what they dated is dated anew.
        """
        was_ms = self.latest_ms()
        with self._storing(now_ms, latest_ms=now_ms) as storing:
            storing.sql.execute("INSERT INTO clock_trust VALUES (?, ?, ?, ?)", (who, why, was_ms, now_ms))
            storing.sql.execute("UPDATE spool SET last_received_ms = min(last_received_ms, ?)", (now_ms,))
            storing.refuse_clocks_ahead()
            mark_buckets(storing.sql, now_ms)
        self._latest_ms = min(self._latest_ms, now_ms)

    def waive(self, node: str, spool: str, first: int, last: int, who: str, why: str, now_ms: int) -> Ack:
        """A person gives up the records first..last that no node has any more, so that acknowledgements go on.

        Those among them that are here stay; one that comes after all is taken. Raises ValueError where the spool is
        unknown or the range goes beyond the hole.
        """
        with self._storing(now_ms, self._latest_ms) as storing:
            given_up = storing.waive(node, spool, first, last)
            storing.sql.execute(
                "INSERT INTO waiver VALUES (?, ?, ?, ?, ?, ?)", (given_up.id, first, last, who, why, now_ms)
            )
        return Ack(node, spool, given_up.seqs.contiguous)

    def compact(self, now_ms: int, retention_days: int = 90, limit: int = 20_000) -> int:
        """Turns single passages older than this into quarters, about `limit` records; returns how many went.

        The numbers stay the same, and so does exactly-once: the places of the records stay known.
        """
        with self.database.writing() as sql:
            removed = compact(sql, now_ms - retention_days * DAY_MS, limit)
        self._quarantine.forget()
        return removed


def _undated(sql: sqlite3.Connection, spool_id: int) -> list[tuple[int, int, int, int, int, int | None, int]]:
    """The last fields of UndatedBoot for each undated boot of this spool."""
    boots = sql.execute(
        "SELECT boot, sum(kind = 'P' AND b = 1), sum(kind = 'P' AND b = -1), sum(kind = 'P' AND b = 0), sum(kind = 'B')"
        " FROM record INDEXED BY person_by_time WHERE spool_id = ? AND utc_ms IS NULL"
        " AND kind IN ('P', 'B', 'Q', 'E') AND kind IN ('P', 'B')"
        " GROUP BY boot",
        (spool_id,),
    ).fetchall()
    found = []
    for boot, *counts in boots:
        first_seq, last_seq, received_ms = sql.execute(
            "SELECT first_seq, last_seq, first_received_ms FROM boot WHERE spool_id = ? AND boot = ?",
            (spool_id, boot),
        ).fetchone()
        before = sql.execute(
            "SELECT utc_ms FROM record WHERE spool_id = ? AND seq < ? AND utc_ms IS NOT NULL ORDER BY seq DESC LIMIT 1",
            (spool_id, first_seq),
        ).fetchone()
        after = sql.execute(
            "SELECT utc_ms FROM record WHERE spool_id = ? AND seq > ? AND utc_ms IS NOT NULL ORDER BY seq LIMIT 1",
            (spool_id, last_seq),
        ).fetchone()
        after_ms = None if before is None else before[0]
        found.append((boot, *counts, after_ms, received_ms if after is None else min(after[0], received_ms)))
    return found
