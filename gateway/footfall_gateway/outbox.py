"""Lines for InfluxDB wait here, in the ledger's own file, until InfluxDB has taken them.

The accounts put a bucket's line in the same transaction that closes it; the sink's thread takes lines in order and
says when they are done. A newer line of the same key replaces the older one where that still waits, and goes to the
end of the queue under a new number: a "done" for the old line cannot remove the new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from influxdb_client.client.write.point import Point
from influxdb_client.domain.write_precision import WritePrecision

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from footfall_gateway.ledger import Ledger

MAX_REASON = 500  # characters of what InfluxDB said about a line that it refused


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the outbox; `id` is for `done` and `reject`."""

    id: int
    line: str


class Outbox:
    """The queue between the ledger and InfluxDB."""

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database

    def put(self, key: str, line: str, now_ms: int) -> None:
        """Adds a line; one of the same key that still waits goes."""
        with self._database.writing() as sql:
            put_line(sql, key, line, now_ms)

    def take(self, limit: int = 500) -> list[Item]:
        """The oldest lines, in order. They stay until `done` or `reject`."""
        with self._database.reading() as sql:
            rows = sql.execute("SELECT id, line FROM outbox ORDER BY id LIMIT ?", (limit,)).fetchall()
        return [Item(*row) for row in rows]

    def done(self, ids: Iterable[int]) -> None:
        """InfluxDB has these. Ids that are no longer here do no harm."""
        with self._database.writing() as sql:
            sql.executemany("DELETE FROM outbox WHERE id = ?", [(one,) for one in ids])

    def reject(self, item_id: int, reason: str, now_ms: int) -> None:
        """InfluxDB refuses this line for good: it is set aside with the reason, so that the others go on."""
        with self._database.writing() as sql:
            sql.execute(
                "INSERT INTO rejected (key, line, reason, rejected_ms)"
                " SELECT key, line, ?, ? FROM outbox WHERE id = ?",
                (reason[:MAX_REASON], now_ms, item_id),
            )
            removed = sql.execute("DELETE FROM outbox WHERE id = ?", (item_id,)).rowcount
            sql.execute(
                "INSERT INTO tally VALUES ('rejected', ?) ON CONFLICT (name) DO UPDATE SET n = n + excluded.n",
                (removed,),
            )

    def depth(self) -> int:
        """How many lines wait."""
        with self._database.reading() as sql:
            return int(sql.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def lag_ms(self, now_ms: int) -> int:
        """For how long the oldest line has waited; 0 when none waits."""
        with self._database.reading() as sql:
            row = sql.execute("SELECT put_ms FROM outbox ORDER BY id LIMIT 1").fetchone()
        return 0 if row is None else max(0, now_ms - int(row[0]))

    def rejected(self) -> int:
        """How many lines InfluxDB has refused since this ledger was begun."""
        with self._database.reading() as sql:
            row = sql.execute("SELECT n FROM tally WHERE name = 'rejected'").fetchone()
        return 0 if row is None else int(row[0])


def put_line(sql: sqlite3.Connection, key: str, line: str, now_ms: int) -> None:
    """`Outbox.put` within the caller's transaction."""
    sql.execute("INSERT OR REPLACE INTO outbox (key, line, put_ms) VALUES (?, ?, ?)", (key, line, now_ms))


def point_line(
    measurement: str, tags: Mapping[str, str], fields: Mapping[str, float | str | bool], time_ms: int
) -> str:
    """A point in line protocol, nanoseconds. Whole numbers are written as integers; empty tags are left out."""
    point = Point(measurement)
    for name, tag in tags.items():
        point.tag(name, tag)
    for name, value in fields.items():
        point.field(name, value)
    point.time(time_ms * 1_000_000, WritePrecision.NS)
    return str(point.to_line_protocol())
