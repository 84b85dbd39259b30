"""Refused input, kept for a human: bounded in every direction, and every refusal counted. Used by `ledger`.

The same message again (a node re-sends what is not acknowledged) raises `times` of its row. New rows stop where a
source has had its share of a minute, of the table, or where the table is full; `not_kept` counts those.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from footfall_core.payload import PayloadError
from footfall_core.topic import parse

if TYPE_CHECKING:
    import sqlite3
    from collections import Counter

    from footfall_gateway.ingest import Refusal

MAX_ROWS = 10_000
MAX_ROWS_PER_SOURCE = 500  # so that one broken node leaves room for the news of the others
MAX_ROWS_PER_MINUTE = 60  # of one source: a flood costs a count, not a disk
MAX_SOURCES_WATCHED = 1000
NOT_KEPT = "not_kept"
REFUSED = "refused:"  # + reason, the names of the counts


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """One refused thing: `times` it came, why, from where, and what it was (cut)."""

    id: int
    first_ms: int
    last_ms: int
    times: int
    reason: str
    detail: str
    origin: str
    payload: bytes


class Quarantine:
    """Writes rows within the caller's transaction; `tallies` are the caller's counts of this transaction."""

    def __init__(self) -> None:
        self._rows: dict[str, int] | None = None  # source -> rows kept; None: not read yet
        self._minute = 0
        self._this_minute: dict[str, int] = {}

    def forget(self) -> None:
        """After a transaction that did not happen, or one that removed rows."""
        self._rows = None

    def keep_message(
        self, sql: sqlite3.Connection, refusal: Refusal, tallies: Counter[str], now_ms: int
    ) -> None:
        """Keeps a whole message."""
        try:
            source = parse(refusal.topic)[0]
        except PayloadError:
            source = ""
        row = (refusal.reason, refusal.detail, source, refusal.topic, refusal.payload)
        self._keep(sql, row, tallies, now_ms)

    def keep_record(
        self,
        sql: sqlite3.Connection,
        place: tuple[str, str, int],
        why: tuple[str, str, str],
        tallies: Counter[str],
        now_ms: int,
    ) -> None:
        """Keeps one record: place is (node, spool, seq), why is (reason, detail, the record's text)."""
        reason, detail, text = why
        row = (reason, detail, place[0], f"{place[0]} {place[1]} {place[2]}", text.encode())
        self._keep(sql, row, tallies, now_ms)

    def _keep(
        self,
        sql: sqlite3.Connection,
        row: tuple[str, str, str, str, bytes],
        tallies: Counter[str],
        now_ms: int,
    ) -> None:
        reason, _, source, origin, payload = row
        tallies[REFUSED + reason] += 1
        digest = hashlib.blake2b(repr((reason, origin, payload)).encode(), digest_size=16).digest()
        known = sql.execute(
            "UPDATE quarantine SET times = times + 1, last_ms = max(last_ms, ?) WHERE digest = ?",
            (now_ms, digest),
        )
        if known.rowcount:
            return
        if not self._has_room(sql, source, now_ms):
            tallies[NOT_KEPT] += 1
            return
        sql.execute(
            "INSERT INTO quarantine (first_ms, last_ms, reason, detail, source, origin, payload, digest)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (now_ms, now_ms, *row, digest),
        )

    def _has_room(self, sql: sqlite3.Connection, source: str, now_ms: int) -> bool:
        if self._rows is None:
            self._rows = dict(sql.execute("SELECT source, count(*) FROM quarantine GROUP BY source"))
        minute = now_ms // 60_000
        if minute != self._minute or len(self._this_minute) > MAX_SOURCES_WATCHED:
            self._minute = minute
            self._this_minute = {}
        lately, kept = self._this_minute.get(source, 0), self._rows.get(source, 0)
        if (
            lately >= MAX_ROWS_PER_MINUTE
            or kept >= MAX_ROWS_PER_SOURCE
            or sum(self._rows.values()) >= MAX_ROWS
        ):
            return False
        self._this_minute[source] = lately + 1
        self._rows[source] = kept + 1
        return True
