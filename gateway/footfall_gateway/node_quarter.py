"""What the ledger knows of a node in one quarter of an hour: read for `accounts`, judged by `buckets`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from footfall_gateway.buckets import QUARTER_MS, Bucket, Interval, fault_times, subtract, union
from footfall_gateway.compaction import suppressed_revision
from footfall_gateway.dating import END, MAX_ALIVE_MS, MAX_CORRECTION_MS, alive_span
from footfall_gateway.storing import load_clock

if TYPE_CHECKING:
    import sqlite3

    from footfall_gateway.dating import AliveSpan, BootClock


@dataclass(frozen=True, slots=True)
class Presses:
    """Presses, or suppressed presses, of a button at a moment (a compacted quarter: at its start)."""

    utc_ms: int
    button: int
    revision: int
    presses: int
    suppressed: int


@dataclass(slots=True)
class NodeQuarter:
    """The dated records of a node that concern one quarter."""

    passages: list[tuple[int, int, int]] = field(default_factory=list)  # utc_ms, barrier, direction
    compacted: dict[int, Bucket] = field(default_factory=dict)  # by barrier
    faults: list[tuple[int, int]] = field(default_factory=list)  # utc_ms, barrier of each fault that began
    losses: list[int] = field(default_factory=list)  # utc_ms of each record that says that records were lost
    presses: list[Presses] = field(default_factory=list)
    alive: list[tuple[_BootRecords, AliveSpan]] = field(default_factory=list)

    def watching(self, barrier: int) -> list[Interval]:
        """When this barrier was watching: the node alive and no beam of the barrier blind.

        Both are compared in the boot's own time, which no correction of its clock can fold over itself.
        """
        return union(
            span.part(start, stop)
            for boot, span in self.alive
            for start, stop in subtract([(span.since_t_ms, span.t_ms)], boot.blind(barrier))
        )


class _BootRecords:
    """Clock and faults of a boot."""

    def __init__(self, sql: sqlite3.Connection, spool_id: int, number: int) -> None:
        self.clock: BootClock = load_clock(sql, spool_id, number)
        self._faults: dict[int, list[tuple[int, int, int]]] = {}
        for t_ms, barrier, beam, begins in sql.execute(
            "SELECT t_ms, a, b, c FROM record INDEXED BY fault_by_beam"
            " WHERE spool_id = ? AND boot = ? AND kind = 'F' ORDER BY a, b, t_ms, seq",
            (spool_id, number),
        ):
            self._faults.setdefault(barrier, []).append((t_ms, beam, begins))
        self._blind: dict[int, list[Interval]] = {}

    def blind(self, barrier: int) -> list[Interval]:
        """When a beam of this barrier was blocked or noisy, in ms of this boot."""
        if barrier not in self._blind:
            self._blind[barrier] = fault_times(self._faults.get(barrier, ()), END)
        return self._blind[barrier]


class NodeReader:
    """Reads quarters within one transaction; what they share is read once."""

    def __init__(self, sql: sqlite3.Connection) -> None:
        self._sql = sql
        self._nodes = {name: node_id for node_id, name in sql.execute("SELECT id, name FROM node")}
        self._spools: dict[int, list[int]] = {}
        for spool_id, node_id in sql.execute("SELECT id, node_id FROM spool ORDER BY id"):
            self._spools.setdefault(node_id, []).append(spool_id)
        self._boots: dict[tuple[int, int], _BootRecords] = {}
        self._quarters: dict[tuple[str, int], NodeQuarter] = {}

    def quarter(self, node: str, quarter_ms: int) -> NodeQuarter:
        """This node's quarter, empty where the ledger does not know the node."""
        key = node, quarter_ms
        if key not in self._quarters:
            self._quarters[key] = self._read(self._nodes.get(node), quarter_ms)
        return self._quarters[key]

    def _read(self, node_id: int | None, quarter_ms: int) -> NodeQuarter:
        found = NodeQuarter()
        if node_id is None:
            return found
        for spool_id in self._spools.get(node_id, ()):
            self._read_records(found, node_id, spool_id, quarter_ms)
            self._read_alive(found, spool_id, quarter_ms)
        self._read_compacted(found, node_id, quarter_ms)
        return found

    def _read_records(self, found: NodeQuarter, node_id: int, spool_id: int, quarter_ms: int) -> None:
        span = spool_id, quarter_ms, quarter_ms + QUARTER_MS
        person = self._sql.execute(
            "SELECT kind, utc_ms, a, b, boot, seq FROM record WHERE spool_id = ? AND utc_ms >= ? AND utc_ms < ?"
            " AND kind IN ('P', 'B', 'Q', 'E')",
            span,
        ).fetchall()
        for kind, utc_ms, a, b, boot, seq in person:
            if kind == "P":
                found.passages.append((utc_ms, a, b))
            elif kind == "B":
                found.presses.append(Presses(utc_ms, a, b, 1, 0))
            elif kind == "Q":
                revision = suppressed_revision(self._sql, node_id, (spool_id, boot, seq), a, utc_ms)
                found.presses.append(Presses(utc_ms, a, revision, 0, b))
        trouble = self._sql.execute(
            "SELECT kind, utc_ms, a, c FROM record WHERE spool_id = ? AND utc_ms >= ? AND utc_ms < ?"
            " AND kind IN ('F', 'L')",
            span,
        )
        for kind, utc_ms, a, c in trouble:
            if kind == "L":
                found.losses.append(utc_ms)
            elif c:  # it begins
                found.faults.append((utc_ms, a))

    def _read_alive(self, found: NodeQuarter, spool_id: int, quarter_ms: int) -> None:
        stop_ms = quarter_ms + QUARTER_MS
        rows = self._sql.execute(
            "SELECT boot, t_ms, a FROM record WHERE spool_id = ? AND kind = 'A' AND utc_ms > ? AND utc_ms < ?",
            (spool_id, quarter_ms, stop_ms + MAX_ALIVE_MS + MAX_CORRECTION_MS),
        ).fetchall()
        for number, t_ms, since_ms in rows:
            boot = self._boot(spool_id, number)
            span = alive_span(boot.clock, since_ms, t_ms)
            if span is not None and span.start_ms < stop_ms:
                found.alive.append((boot, span))

    def _boot(self, spool_id: int, number: int) -> _BootRecords:
        key = spool_id, number
        if key not in self._boots:
            self._boots[key] = _BootRecords(self._sql, spool_id, number)
        return self._boots[key]

    def _read_compacted(self, found: NodeQuarter, node_id: int, quarter_ms: int) -> None:
        for barrier, *counts in self._sql.execute(
            "SELECT barrier, n_in, n_out, undirected FROM compacted_passages WHERE node_id = ? AND quarter_ms = ?",
            (node_id, quarter_ms),
        ):
            found.compacted[barrier] = Bucket(*counts)
        for button, revision, presses, suppressed in self._sql.execute(
            "SELECT button, revision, presses, suppressed FROM compacted_presses WHERE node_id = ? AND quarter_ms = ?",
            (node_id, quarter_ms),
        ):
            found.presses.append(Presses(quarter_ms, button, revision, presses, suppressed))
