"""Single passages and presses past the retention time become numbers of their quarter. Used by `Ledger.compact`.

Nothing that is counted changes: a row's one goes from `record` into `compacted_*` in the same transaction. Which numbers
of a spool are here is kept apart (`spool.contiguous`, `island`), so a passage that is sent again after it was compacted
is still known. Alive, fault, boot and clock records stay: they say nothing about a person, and coverage needs them.
"""

# ruff: noqa: S608 - the names put into statements here are our own tables and columns, values are bound
from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from footfall_gateway.buckets import QUARTER_MS, quarter_of

if TYPE_CHECKING:
    import sqlite3

UNKNOWN_REVISION = 0
MAX_REJECTED_KEPT = 10_000


def compact(sql: sqlite3.Connection, before_ms: int, limit: int) -> int:
    """Compacts up to `limit` records dated before this moment, oldest first, and forgets what was quarantined before."""
    removed = 0
    for spool_id, node_id in sql.execute("SELECT id, node_id FROM spool").fetchall():
        if removed < limit:
            removed += _compact_spool(sql, spool_id, node_id, before_ms, limit - removed)
    sql.execute("DELETE FROM quarantine WHERE last_ms < ?", (before_ms,))
    sql.execute(
        "DELETE FROM rejected WHERE rejected_ms < ? OR id <= (SELECT max(id) FROM rejected) - ?",
        (before_ms, MAX_REJECTED_KEPT),
    )
    return removed


def _compact_spool(sql: sqlite3.Connection, spool_id: int, node_id: int, before_ms: int, limit: int) -> int:
    rows = sql.execute(
        "SELECT seq, boot, kind, a, b, utc_ms FROM record WHERE spool_id = ? AND utc_ms < ?"
        " AND kind IN ('P', 'B', 'Q', 'E') ORDER BY utc_ms LIMIT ?",
        (spool_id, before_ms, limit),
    ).fetchall()
    passages: Counter[tuple[int, int, int]] = Counter()
    presses: Counter[tuple[int, int, int, str]] = Counter()
    for seq, boot, kind, a, b, utc_ms in rows:
        quarter_ms = quarter_of(utc_ms)
        if kind == "P":
            passages[a, quarter_ms, b] += 1
        elif kind == "B":
            presses[a, b, quarter_ms, "presses"] += 1
        elif kind == "Q":
            revision = suppressed_revision(sql, node_id, (spool_id, boot, seq), a, utc_ms)
            presses[a, revision, quarter_ms, "suppressed"] += b
    columns = {1: "n_in", -1: "n_out", 0: "undirected"}
    for (barrier, quarter_ms, direction), n in passages.items():
        column = columns[direction]
        sql.execute(
            f"INSERT INTO compacted_passages (node_id, barrier, quarter_ms, {column}) VALUES (?, ?, ?, ?)"
            f" ON CONFLICT DO UPDATE SET {column} = {column} + excluded.{column}",
            (node_id, barrier, quarter_ms, n),
        )
    for (button, revision, quarter_ms, column), n in presses.items():
        sql.execute(
            f"INSERT INTO compacted_presses (node_id, button, revision, quarter_ms, {column}) VALUES (?, ?, ?, ?, ?)"
            f" ON CONFLICT DO UPDATE SET {column} = {column} + excluded.{column}",
            (node_id, button, revision, quarter_ms, n),
        )
    sql.executemany("DELETE FROM record WHERE spool_id = ? AND seq = ?", [(spool_id, row[0]) for row in rows])
    return len(rows)


def suppressed_revision(
    sql: sqlite3.Connection, node_id: int, place: tuple[int, int, int], button: int, utc_ms: int
) -> int:
    """The question revision that suppressed presses belong to: that of the same button's press before them.

    A press counts as "before" within a quarter of an hour; without one the revision is unknown, which is 0.
    `place` is (spool_id, boot, seq) of the record about the suppressed presses.
    """
    spool_id, boot, _ = place
    row = sql.execute(
        "SELECT b FROM record WHERE spool_id = ? AND utc_ms > ? AND utc_ms <= ? AND boot = ? AND a = ?"
        " AND kind IN ('P', 'B', 'Q', 'E') AND kind = 'B'"
        " ORDER BY utc_ms DESC, seq DESC LIMIT 1",
        (spool_id, utc_ms - QUARTER_MS, utc_ms, boot, button),
    ).fetchone()
    if row is None:  # the press may have been compacted already
        row = sql.execute(
            "SELECT revision FROM compacted_presses WHERE node_id = ? AND button = ? AND quarter_ms IN (?, ?)"
            " AND presses > 0 ORDER BY quarter_ms DESC, revision DESC LIMIT 1",
            (node_id, button, quarter_of(utc_ms), quarter_of(utc_ms) - QUARTER_MS),
        ).fetchone()
    return UNKNOWN_REVISION if row is None else int(row[0])
