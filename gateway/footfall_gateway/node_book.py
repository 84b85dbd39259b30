"""What the ledger knows of the nodes beside their records: last state, crashes, missed edges, configuration.

`health`, `receiver` and `node_config` write it, `footfall status` reads it. None of it counts anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from footfall_gateway.node_messages import CrashReport, NodeState

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from footfall_gateway.ledger import Ledger

__all__ = ["Configuration", "Crash", "NodeBook", "NodeSummary"]

MAX_CRASHES_KEPT = 20  # of each node, the latest; a node that crashes all day must not fill a disk

_state = msgspec.json.Decoder(NodeState)


@dataclass(frozen=True, slots=True)
class Crash:
    """A crash report as it was kept. `boot`: the start of the node that ended so."""

    node: str
    boot: int
    firmware: str
    text: str
    received_ms: int

    @property
    def last_line(self) -> str:
        """What it died of: the last line of the traceback."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return lines[-1] if lines else "(no text)"


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a node is to have: `content` is the JSON of the config topic without its revision."""

    rev: int
    content: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class NodeSummary:
    """A node as the ledger knows it. `state` None: it has never told; `told_ms` None: nobody knows when."""

    node: str
    state: NodeState | None
    online: bool
    told_ms: int | None
    configuration: Configuration | None
    crashes: int
    last_crash: Crash | None
    missed_edges: int
    recovered: int


class NodeBook:
    """The tables of one ledger that are about nodes. Used by any thread."""

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database

    # crashes

    def keep_crashes(self, reports: Iterable[tuple[str, CrashReport]], now_ms: int) -> list[Crash]:
        """Keeps (node, report)s in one transaction and returns those that are new; the same again is nothing new."""
        new = []
        with self._database.writing() as sql:
            for node, report in reports:
                kept = sql.execute(
                    "INSERT OR IGNORE INTO crash (node_id, boot, firmware, text, received_ms) VALUES (?, ?, ?, ?, ?)",
                    (_node_id(sql, node), report.boot, report.fw, report.text, now_ms),
                )
                if not kept.rowcount:
                    continue
                new.append(Crash(node, report.boot, report.fw, report.text, now_ms))
                sql.execute("UPDATE node SET crashes = crashes + 1 WHERE name = ?", (node,))
                sql.execute(
                    "DELETE FROM crash WHERE node_id = (SELECT id FROM node WHERE name = ?1) AND id NOT IN (SELECT id"
                    " FROM crash WHERE node_id = (SELECT id FROM node WHERE name = ?1) ORDER BY id DESC LIMIT ?2)",
                    (node, MAX_CRASHES_KEPT),
                )
        return new

    def crashes(self) -> tuple[Crash, ...]:
        """The crashes that are kept, each node's latest first."""
        with self._database.reading() as sql:
            return tuple(Crash(*row) for row in sql.execute(_CRASHES + " ORDER BY node.name, crash.id DESC"))

    # states

    def put_state(
        self, sql: sqlite3.Connection, node: str, state: NodeState, now_ms: int, *, retained: bool
    ) -> None:
        """The last state of a node, within the caller's transaction. One that says "offline" leaves all else as it was."""
        node_id = _node_id(sql, node)
        told_ms = None if retained else now_ms
        if not state.online:
            sql.execute(
                "INSERT INTO node_state VALUES (?1, 0, '', ?2)"
                " ON CONFLICT DO UPDATE SET online = 0, told_ms = ifnull(excluded.told_ms, told_ms)",
                (node_id, told_ms),
            )
            return
        text = msgspec.json.encode(state).decode()
        sql.execute(
            "INSERT INTO node_state VALUES (?, 1, ?, ?) ON CONFLICT DO UPDATE"
            " SET online = 1, state = excluded.state, told_ms = ifnull(excluded.told_ms, told_ms)",
            (node_id, text, told_ms),
        )

    def trouble(self, sql: sqlite3.Connection, node: str) -> tuple[int, int, int]:
        """(crashes, missed_edges, recovered) of this node since the ledger was begun."""
        row = sql.execute("SELECT id, crashes FROM node WHERE name = ?", (node,)).fetchone()
        if row is None:
            return 0, 0, 0
        missed, recovered = sql.execute(
            "SELECT ifnull(sum(b), 0), ifnull(sum(c), 0) FROM record JOIN spool ON spool.id = spool_id"
            " WHERE node_id = ? AND kind = 'H'",
            (row[0],),
        ).fetchone()
        return row[1], missed, recovered

    # configurations

    def configure(self, node: str, content: str, now_ms: int, at_least: int = 1) -> Configuration:
        """What this node is to have from now on; the revision goes up where the content differs, or is below `at_least`."""
        with self._database.writing() as sql:
            node_id = _node_id(sql, node)
            row = sql.execute(
                "SELECT rev, content, since_ms FROM node_config WHERE node_id = ?", (node_id,)
            ).fetchone()
            if row is not None and row[1] == content and row[0] >= at_least:
                return Configuration(*row)
            rev = max(at_least, row[0] + 1 if row else 1)
            sql.execute(
                "INSERT OR REPLACE INTO node_config VALUES (?, ?, ?, ?)", (node_id, rev, content, now_ms)
            )
        return Configuration(rev, content, now_ms)

    # all together

    def summaries(self) -> tuple[NodeSummary, ...]:
        """Every node that has told a state, crashed, missed edges or has a configuration; by name."""
        with self._database.reading() as sql:
            crashed = {}
            for row in sql.execute(_CRASHES + " ORDER BY crash.id"):
                crashed[row[0]] = Crash(*row)
            found = []
            for name, online, text, told_ms, *configuration in sql.execute(
                "SELECT node.name, online, state, told_ms, rev, content, since_ms FROM node"
                " LEFT JOIN node_state ON node_state.node_id = node.id"
                " LEFT JOIN node_config ON node_config.node_id = node.id ORDER BY node.name"
            ).fetchall():
                trouble = self.trouble(sql, name)
                found.append(
                    NodeSummary(
                        name,
                        _read_state(text),
                        bool(online),
                        told_ms,
                        None if configuration[0] is None else Configuration(*configuration),
                        trouble[0],
                        crashed.get(name),
                        *trouble[1:],
                    )
                )
        return tuple(
            one for one in found if one.state or one.configuration or one.crashes or one.missed_edges
        )


_CRASHES = (
    "SELECT node.name, boot, firmware, text, received_ms FROM crash JOIN node ON node.id = crash.node_id"
)


def _node_id(sql: sqlite3.Connection, node: str) -> int:
    sql.execute("INSERT OR IGNORE INTO node (name) VALUES (?)", (node,))
    return int(sql.execute("SELECT id FROM node WHERE name = ?", (node,)).fetchone()[0])


def _read_state(text: str | None) -> NodeState | None:
    """None where there is none, or where another version of this program wrote it."""
    try:
        return _state.decode(text) if text else None
    except msgspec.DecodeError:
        return None
