"""People who walk past outside, and the share of them who come in. Tables and lines; `accounts` says when.

A barrier with the role passers-by gives its own buckets: both directions are one number, a single beam is enough. None of
them is a visitor: doors, occupancy and `footfall_hour` know nothing of them.

The capture rate of an hour is visitors / passers-by. Both numbers are kept, never their quotient: only sums of them may be
summed up to days, and a point that turns out wrong can be overwritten with zeros, a quotient cannot. Both are taken over the
same quarters of an hour: those in which the barrier outside and all doors that it is compared with were watched throughout.
An hour without such a quarter, or without passers-by, has no capture rate: no row, and so neither 0 nor infinity.
A door with a single beam does not know who came in: no capture rate either, also not for its quiet hours, as those zeros alone
would make a week of 0 %. It is told by what it counts: whoever passes it has no direction.
"""

# ruff: noqa: S608 - the names put into statements here are our own tables and columns, values are bound
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from footfall_gateway.buckets import HOUR_MS, QUARTER_MS, Bucket
from footfall_gateway.outbox import point_line, put_line

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from footfall_gateway.places import Places

WATCHED_THROUGHOUT_MS = (
    QUARTER_MS * 95 // 100
)  # a blink of the power or a pram in the beam does not cost a quarter

# A door that counted somebody without a direction has a single beam; so it has in the hours around, in which nobody came
SINGLE_BEAM_MS = (
    7 * 24 * HOUR_MS
)  # before and after; a door that gets its second beam has a capture rate a week later

PlaceKey = tuple[str, str, int]  # site, place, start_ms
_Values = tuple[int, ...]

_WHERE = "WHERE site = ? AND place = ? AND start_ms = ?"
_COLUMNS = {
    "passersby_quarter": ("passers_by", "covered_ms"),
    "passersby_hour": ("passers_by", "covered_ms"),
    "capture_hour": ("visitors", "passers_by", "covered_ms"),
}


@dataclass(frozen=True, slots=True)
class PassersByHour:
    """How many walked past in an hour, and for how long the barrier was watched."""

    site: str
    place: str
    start_ms: int
    passers_by: int
    covered_s: int


class PassersBy:
    """The tables within one transaction. Each method is True where something changed that InfluxDB must be told."""

    def __init__(self, sql: sqlite3.Connection, places: Places) -> None:
        self._sql = sql
        self._places = places

    def in_use(self) -> bool:
        """False while no settings name a barrier for passers-by, and none did before."""
        return any(self._places.passersby_places(site) for site in self._places.sites) or bool(
            self._sql.execute("SELECT EXISTS (SELECT 1 FROM passersby_quarter)").fetchone()[0]
        )

    def put_quarter(self, key: PlaceKey, counted: Bucket) -> bool:
        passers_by = counted.n_in + counted.n_out + counted.undirected
        return self._put("passersby_quarter", key, (passers_by, counted.covered_ms))

    def sum_hour(self, hour: PlaceKey) -> bool:
        """The hour from its quarters."""
        row = self._sql.execute(
            "SELECT ifnull(sum(passers_by), 0), ifnull(sum(covered_ms), 0) FROM passersby_quarter"
            " WHERE site = ? AND place = ? AND start_ms >= ? AND start_ms < ?",
            (*hour, hour[2] + HOUR_MS),
        ).fetchone()
        return self._put("passersby_hour", hour, row)

    def compare(self, hour: PlaceKey) -> bool:
        """Visitors and passers-by of an hour, from the quarters in which all of them were watched."""
        return self._put("capture_hour", hour, self._compared(hour) or (0, 0, 0))

    def _compared(self, hour: PlaceKey) -> _Values | None:
        site, place, start_ms = hour
        visitors = passers_by = covered_ms = 0
        for quarter_ms in range(start_ms, start_ms + HOUR_MS, QUARTER_MS):
            outside = self._sql.execute(
                f"SELECT passers_by, covered_ms FROM passersby_quarter {_WHERE}", (site, place, quarter_ms)
            ).fetchone()
            doors = self._places.compared_doors(site, place, quarter_ms, quarter_ms + QUARTER_MS)
            if any(self._has_single_beam(site, door, start_ms) for door in doors):
                return None
            entered = [self._entered((site, door, quarter_ms)) for door in doors]
            watched_ms = [0 if outside is None else outside[1], *(one.covered_ms for one in entered)]
            if doors and min(watched_ms) >= WATCHED_THROUGHOUT_MS:
                visitors += sum(one.n_in for one in entered)
                passers_by += outside[0]
                covered_ms += min(watched_ms)
        return (visitors, passers_by, covered_ms) if passers_by else None

    def hours_around(self, quarter: PlaceKey) -> set[PlaceKey]:
        """The hours whose comparison changes where a door's quarter turns out to have people without a direction, or not."""
        site, door, start_ms = quarter
        return {
            (site, place, hour_ms)
            for place in self._places.passersby_places(site) | {door}
            for (hour_ms,) in self._sql.execute(
                "SELECT start_ms FROM passersby_hour WHERE site = ? AND place = ? AND start_ms > ? AND start_ms <= ?",
                (site, place, start_ms - HOUR_MS - SINGLE_BEAM_MS, start_ms + SINGLE_BEAM_MS),
            )
        }

    def _has_single_beam(self, site: str, door: str, hour_ms: int) -> bool:
        row = self._sql.execute(
            "SELECT EXISTS (SELECT 1 FROM bucket_quarter WHERE site = ? AND door = ? AND start_ms >= ? AND start_ms < ?"
            " AND undirected > 0)",
            (site, door, hour_ms - SINGLE_BEAM_MS, hour_ms + HOUR_MS + SINGLE_BEAM_MS),
        ).fetchone()
        return bool(row[0])

    def undirected(self, quarter: PlaceKey) -> bool:
        """True where a door counted somebody without a direction in this quarter."""
        return self._entered(quarter).undirected > 0

    def _entered(self, key: PlaceKey) -> Bucket:
        row = self._sql.execute(
            "SELECT n_in, n_out, undirected, covered_ms FROM bucket_quarter"
            " WHERE site = ? AND door = ? AND start_ms = ?",
            key,
        ).fetchone()
        return Bucket(*row) if row else Bucket()

    def _put(self, table: str, key: PlaceKey, values: _Values) -> bool:
        """Puts a row in its table; one that says nothing and was never sent is none."""
        columns = _COLUMNS[table]
        sent = "0" if table == "passersby_quarter" else "sent"
        row = self._sql.execute(f"SELECT {', '.join(columns)}, {sent} FROM {table} {_WHERE}", key).fetchone()
        if row is None and not any(values):
            return False
        if row is not None and row[:-1] == values:
            return False
        if not any(values) and not row[-1]:
            self._sql.execute(f"DELETE FROM {table} {_WHERE}", key)
            return True
        if row is None:
            marks = ", ".join("?" * (3 + len(columns)))
            self._sql.execute(
                f"INSERT INTO {table} (site, place, start_ms, {', '.join(columns)}) VALUES ({marks})",
                (*key, *values),
            )
        else:
            assignments = ", ".join(f"{column} = ?" for column in columns)
            self._sql.execute(f"UPDATE {table} SET {assignments} {_WHERE}", (*values, *key))
        return True


def write_passersby(sql: sqlite3.Connection, key: PlaceKey, now_ms: int) -> int:
    """The line of an hour; how many lines. An hour that nobody watched is written only over one that said otherwise."""
    row = sql.execute(f"SELECT passers_by, covered_ms, sent FROM passersby_hour {_WHERE}", key).fetchone()
    if row is None:
        return 0
    passers_by, covered_ms, sent = row
    covered_s = (covered_ms + 500) // 1000
    if not (passers_by or covered_s or sent):
        return 0
    return _write(sql, "passersby_hour", key, {"passers_by": passers_by, "covered_s": covered_s}, now_ms)


def write_capture(sql: sqlite3.Connection, key: PlaceKey, now_ms: int) -> int:
    """The line of an hour's comparison; zeros over one that was sent and does not hold any more."""
    row = sql.execute(f"SELECT visitors, passers_by, covered_ms FROM capture_hour {_WHERE}", key).fetchone()
    if row is None:
        return 0
    visitors, passers_by, covered_ms = row
    fields = {"visitors": visitors, "passers_by": passers_by, "covered_s": (covered_ms + 500) // 1000}
    return _write(sql, "capture_hour", key, fields, now_ms)


def _write(
    sql: sqlite3.Connection, measurement: str, key: PlaceKey, fields: dict[str, int], now_ms: int
) -> int:
    site, place, start_ms = key
    sql.execute(f"UPDATE {measurement} SET sent = 1 {_WHERE}", key)
    line = point_line(measurement, {"site": site, "door": place}, fields, start_ms)
    put_line(sql, f"{measurement}|{site}|{place}|{start_ms}", line, now_ms)
    return 1


def passersby_hours(sql: sqlite3.Connection) -> Iterator[PassersByHour]:
    """Every hour in which the barrier was watched or counted somebody, ordered by site, place, time."""
    rows = sql.execute(
        "SELECT site, place, start_ms, passers_by, (covered_ms + 500) / 1000 FROM passersby_hour"
        " ORDER BY site, place, start_ms"
    )
    for row in rows:
        hour = PassersByHour(*row)
        if hour.passers_by or hour.covered_s:
            yield hour
