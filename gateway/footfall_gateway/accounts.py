"""The accounts: marked quarters become buckets, closed buckets become lines in the outbox.

`Accounts.work` is called about once a second by a thread of its own, and does a bounded piece of work in one
transaction: it works out marked quarters anew from the ledger (never adding to an old number, so late, doubled or
re-dated records need no special case), sums the hours they belong to, and writes what is due.

When a bucket is written: once its end and the grace time have passed; after that again only when its numbers have
changed. Before that its numbers are in the ledger (live page, `hours`), and go to InfluxDB as `occupancy` only.

Zero is not missing: a bucket that was watched and counted nobody is written as 0 with its covered_s; one that was not
watched is not written. One that was written and turns out empty (its records were dated anew, or the door was
another's) is overwritten with zeros and covered_s=0: whoever reads must not show a bucket with covered_s=0.
Votes have hours of their own, see `feedback`; so have people who walk past outside, see `passersby`.
"""

# ruff: noqa: S608 - the names put into statements here are our own tables and columns, values are bound
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from footfall_gateway.buckets import (
    HOUR_MS,
    QUARTER_MS,
    Bucket,
    DoorToday,
    Interval,
    Occupancy,
    clip,
    count_directions,
    hour_of,
    local_day,
    occupancy,
    total,
    watched_together,
)
from footfall_gateway.dating import MAX_AHEAD_MS, MAX_ALIVE_MS, MAX_CORRECTION_MS
from footfall_gateway.feedback import count_feedback, replace_feedback, sum_feedback, write_feedback
from footfall_gateway.node_quarter import NodeReader
from footfall_gateway.outbox import point_line, put_line
from footfall_gateway.passersby import PassersBy, write_capture, write_passersby
from footfall_gateway.places import DOOR, PASSERS_BY
from footfall_gateway.storing import mark_buckets

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from footfall_gateway.ledger import Ledger
    from footfall_gateway.places import Places, Site

GRACE_MS = 600_000
LATE_SETTLE_MS = 5_000  # a spool that arrives late touches an hour many times: it is written once
MAX_LINES_A_ROUND = 1000
OCCUPANCY_CHANGED_MS = 10_000  # at most this often when it changed
OCCUPANCY_EVERY_MS = 60_000  # and this often when it did not
OCCUPANCY_STALE_MS = 3_600_000  # a number from before a door was last watched is old news, not the present

TROUBLE_SENT, COUNTS_SENT = 1, 2  # what InfluxDB knows of a bucket: that it was not watched, or its counts

_VALUES = "n_in, n_out, undirected, covered_ms, faults, calibrated_in, calibrated_out"

BucketKey = tuple[str, str, int]  # site, door, start_ms


@dataclass(frozen=True, slots=True)
class Worked:
    """What a round did; `more`: there is work left that could be done now."""

    quarters: int
    lines: int
    more: bool


@dataclass(frozen=True, slots=True)
class Hour:
    """An hour of a door as it stands now, closed or not."""

    site: str
    door: str
    start_ms: int
    bucket: Bucket


class Accounts:
    """Buckets and outbox of one ledger. Used by one thread; `occupancy` and `hours` by any."""

    def __init__(self, ledger: Ledger, places: Places, *, publish: bool, grace_ms: int = GRACE_MS) -> None:
        """`publish` False (no InfluxDB): closed buckets wait; a later start with True writes them all.

        Where sites or doors have changed since the last start, everything is marked to be worked out anew.
        """
        self._database = ledger.database
        self._places = places
        self._publish = publish
        self._grace_ms = grace_ms
        self._settle_ms = min(grace_ms, LATE_SETTLE_MS)
        self._occupancy_sent: dict[str, tuple[int, Occupancy]] = {}
        with self._database.writing() as sql:
            known = sql.execute("SELECT value FROM meta WHERE key = 'places'").fetchone()
            if known is None or known[0] != places.fingerprint:
                _mark_everything(sql)
                sql.execute("INSERT OR REPLACE INTO meta VALUES ('places', ?)", (places.fingerprint,))

    def work(self, now_ms: int, limit: int = 100) -> Worked:
        """One round: up to `limit` marked quarters, then the lines that are due. Call again at once while `.more`."""
        if not self._has_work(now_ms):
            return Worked(0, 0, more=False)
        with self._database.writing() as sql:
            quarters = self._work_off(sql, now_ms, limit)
            lines = 0
            if self._publish:
                lines = self._write_due(sql, now_ms) + self._write_occupancy(sql, now_ms)
            more = _is_marked(sql, now_ms)
        return Worked(quarters, lines, more=more or lines >= MAX_LINES_A_ROUND)

    def occupancy(self, site: str, now_ms: int) -> Occupancy:
        """A site's people now, and its passages of the local day. KeyError for a site that is not in the settings."""
        with self._database.reading() as sql:
            return self._occupancy(sql, self._places.sites[site], now_ms)

    def hours(
        self,
        site: str | None = None,
        door: str | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
    ) -> tuple[Hour, ...]:
        """Hours that were watched or counted somebody, open ones too; ordered by site, door, time."""
        with self._database.reading() as sql:
            return tuple(read_hours(sql, site, door, from_ms, to_ms))

    def _has_work(self, now_ms: int) -> bool:
        with self._database.reading() as sql:
            if _is_marked(sql, now_ms):
                return True
            if not self._publish:
                return False
            due = sql.execute(
                "SELECT EXISTS (SELECT 1 FROM pending WHERE due_ms <= ?)", (now_ms,)
            ).fetchone()[0]
            return bool(due) or bool(self._occupancy_due(sql, now_ms))

    # From marked quarters to buckets

    def _work_off(self, sql: sqlite3.Connection, now_ms: int, limit: int) -> int:
        """Works out marked quarters anew, the latest first: the present does not wait for the past.

        What is dated in the future cannot be right; it stays marked, and out of all buckets, until its time has come.
        """
        marked = sql.execute(
            "SELECT quarter_ms, node_id, name FROM dirty JOIN node ON node.id = node_id WHERE quarter_ms <= ?"
            " ORDER BY quarter_ms DESC LIMIT ?",
            (now_ms + MAX_AHEAD_MS, limit),
        ).fetchall()
        single = sql.execute(
            "SELECT site, door, quarter_ms FROM dirty_bucket ORDER BY quarter_ms DESC LIMIT ?",
            (limit - len(marked),),
        ).fetchall()
        sql.executemany("DELETE FROM dirty WHERE quarter_ms = ? AND node_id = ?", [row[:2] for row in marked])
        sql.executemany("DELETE FROM dirty_bucket WHERE site = ? AND door = ? AND quarter_ms = ?", single)
        touched: set[BucketKey] = set(single)
        for quarter_ms, _, node in marked:
            for place in self._places.of_node(node, quarter_ms, quarter_ms + QUARTER_MS):
                touched.add((place.site, place.door, quarter_ms))
        reader = NodeReader(sql)
        hours: set[BucketKey] = set()
        feedback_hours: set[BucketKey] = set()
        passersby = PassersBy(sql, self._places)
        outside = passersby.in_use()
        outside_hours: set[BucketKey] = set()
        to_compare = self._to_compare(touched) if outside else set()
        for key in sorted(touched):
            hour = (key[0], key[1], hour_of(key[2]))
            undirected = outside and passersby.undirected(key)
            if self._update(sql, "quarter", key, self._bucket(reader, key, DOOR), now_ms):
                hours.add(hour)
            if outside and passersby.put_quarter(key, self._bucket(reader, key, PASSERS_BY)):
                outside_hours.add(hour)
            if outside and passersby.undirected(key) != undirected:
                to_compare |= passersby.hours_around(key)
            if replace_feedback(sql, key, count_feedback(reader, self._places, key)):
                feedback_hours.add(hour)
        for hour in hours:
            self._update(sql, "hour", hour, _sum_of_quarters(sql, hour), now_ms)
        for hour in feedback_hours:
            sum_feedback(sql, hour)
            self._wait(sql, "feedback", hour, HOUR_MS, now_ms)
        for hour in outside_hours:
            if passersby.sum_hour(hour):
                self._wait(sql, "passersby", hour, HOUR_MS, now_ms)
        for hour in to_compare:
            if passersby.compare(hour):
                self._wait(sql, "capture", hour, HOUR_MS, now_ms)
        return len(marked) + len(single)

    def _to_compare(self, touched: Iterable[BucketKey]) -> set[BucketKey]:
        """The hours of places for passers-by whose comparison a touched quarter may change: any of the site's."""
        return {
            (site, place, hour_of(start_ms))
            for site, door, start_ms in touched
            for place in self._places.passersby_places(site) | {door}  # `door` may have been one, once
        }

    def _bucket(self, reader: NodeReader, key: BucketKey, role: str) -> Bucket:
        """A quarter of a door, or of its passers-by, from its nodes' records."""
        site, door, start_ms = key
        counted = Bucket()
        watched: list[tuple[Interval, list[Interval]]] = []
        for place in self._places.of_door(site, door, start_ms, start_ms + QUARTER_MS):
            if place.barrier is None or place.role != role:
                continue
            span = max(start_ms, place.valid_from_ms), min(start_ms + QUARTER_MS, place.until_ms)
            node = reader.quarter(place.node, start_ms)
            watched.append((span, clip(node.watching(place.barrier), *span)))
            one = count_directions(
                direction
                for utc_ms, barrier, direction in node.passages
                if barrier == place.barrier and span[0] <= utc_ms < span[1]
            )
            if span[0] == start_ms:  # a compacted quarter belongs to the door that it began with
                one += node.compacted.get(place.barrier, Bucket())
            faults = sum(
                1 for at, barrier in node.faults if barrier == place.barrier and span[0] <= at < span[1]
            )
            faults += sum(1 for at in node.losses if span[0] <= at < span[1])
            counted += replace(
                one,
                faults=faults,
                calibrated_in=one.n_in * place.calibrate_in,
                calibrated_out=one.n_out * place.calibrate_out,
            )
        return replace(counted, covered_ms=total(watched_together(watched)))

    def _update(
        self, sql: sqlite3.Connection, what: str, key: BucketKey, bucket: Bucket, now_ms: int
    ) -> bool:
        """Puts a bucket in its table; True where it changed. A changed one waits to be written."""
        table = f"bucket_{what}"
        where = "WHERE site = ? AND door = ? AND start_ms = ?"
        row = sql.execute(f"SELECT {_VALUES}, sent FROM {table} {where}", key).fetchone()
        if row is not None and Bucket(*row[:-1]) == bucket:
            return False
        if bucket == Bucket() and (row is None or not row[-1]):
            if row is None:
                return False
            sql.execute(f"DELETE FROM {table} {where}", key)
            sql.execute(
                "DELETE FROM pending WHERE what = ? AND site = ? AND door = ? AND start_ms = ?", (what, *key)
            )
            return True
        sql.execute(
            f"INSERT OR REPLACE INTO {table} (site, door, start_ms, {_VALUES}, sent)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*key, *_values(bucket), row[-1] if row else 0),
        )
        self._wait(sql, what, key, QUARTER_MS if what == "quarter" else HOUR_MS, now_ms)
        return True

    def _wait(self, sql: sqlite3.Connection, what: str, key: BucketKey, length_ms: int, now_ms: int) -> None:
        due_ms = max(key[2] + length_ms + self._grace_ms, now_ms + self._settle_ms)
        if key[2] > now_ms + MAX_AHEAD_MS:  # of a clock that was ahead: it is here to be taken back
            due_ms = now_ms + self._settle_ms
        sql.execute("INSERT OR IGNORE INTO pending VALUES (?, ?, ?, ?, ?)", (what, *key, due_ms))

    # From buckets to lines

    def _write_due(self, sql: sqlite3.Connection, now_ms: int) -> int:
        """Lines for the buckets whose time has come, unless marked quarters are about to change them."""
        due = sql.execute(
            "SELECT what, site, door, start_ms FROM pending WHERE due_ms <= ? AND NOT EXISTS"
            " (SELECT 1 FROM dirty WHERE quarter_ms >= start_ms AND quarter_ms < start_ms"
            f" + CASE what WHEN 'quarter' THEN {QUARTER_MS} ELSE {HOUR_MS} END AND quarter_ms <= ?)"
            " ORDER BY due_ms, start_ms LIMIT ?",
            (now_ms, now_ms + MAX_AHEAD_MS, MAX_LINES_A_ROUND),
        ).fetchall()
        lines = 0
        for what, *rest in due:
            site, door, start_ms = rest
            if what in _WRITERS:
                lines += _WRITERS[what](sql, (site, door, start_ms), now_ms)
            else:
                lines += _write_bucket(sql, what, (site, door, start_ms), now_ms)
        sql.executemany("DELETE FROM pending WHERE what = ? AND site = ? AND door = ? AND start_ms = ?", due)
        return lines

    # Occupancy

    def _occupancy(self, sql: sqlite3.Connection, site: Site, now_ms: int) -> Occupancy:
        start_ms, stop_ms = local_day(now_ms, site.timezone)
        doors = {
            place.door: DoorToday(Bucket(), None)
            for place in self._places.placements
            if place.site == site.id and place.is_door and place.valid_from_ms <= now_ms < place.until_ms
        }
        for door, watched_ms, *values in sql.execute(
            "SELECT door, max(CASE WHEN covered_ms > 0 THEN start_ms END),"
            " sum(n_in), sum(n_out), sum(undirected), sum(covered_ms), sum(faults) FROM bucket_quarter"
            " WHERE site = ? AND start_ms >= ? AND start_ms < ? GROUP BY door",
            (site.id, start_ms, stop_ms),
        ):
            until_ms = None if watched_ms is None else watched_ms + QUARTER_MS
            gone = door not in doors  # it was measured earlier today
            doors[door] = DoorToday(Bucket(*values), stop_ms if gone else until_ms)
        return occupancy(site.id, site.capacity, start_ms, list(doors.values()))

    def _occupancy_due(self, sql: sqlite3.Connection, now_ms: int) -> list[Occupancy]:
        """The sites whose occupancy should be told now; not those with a door that nobody has watched for a while."""
        due = []
        for site in self._places.sites.values():
            sent_ms, sent = self._occupancy_sent.get(site.id, (None, None))
            if sent_ms is not None and 0 <= now_ms - sent_ms < OCCUPANCY_CHANGED_MS:
                continue
            one = self._occupancy(sql, site, now_ms)
            if one.watched_until_ms is None or now_ms - one.watched_until_ms > OCCUPANCY_STALE_MS:
                continue
            changed = sent is None or (one.persons, one.in_today, one.out_today) != (
                sent.persons,
                sent.in_today,
                sent.out_today,
            )
            if changed or sent_ms is None or not 0 <= now_ms - sent_ms < OCCUPANCY_EVERY_MS:
                due.append(one)
        return due

    def _write_occupancy(self, sql: sqlite3.Connection, now_ms: int) -> int:
        due = self._occupancy_due(sql, now_ms)
        for one in due:
            fields = {
                "persons": one.persons,
                "in_today": one.in_today,
                "out_today": one.out_today,
                "capacity": one.capacity,
            }
            line = point_line(
                "occupancy",
                {"site": one.site},
                {name: n for name, n in fields.items() if n is not None},
                now_ms,
            )
            put_line(sql, f"occupancy|{one.site}|{now_ms}", line, now_ms)
            self._occupancy_sent[one.site] = now_ms, one
        return len(due)


def read_hours(
    sql: sqlite3.Connection,
    site: str | None = None,
    door: str | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
) -> Iterator[Hour]:
    """`Accounts.hours` within the caller's transaction."""
    rows = sql.execute(
        f"SELECT site, door, start_ms, {_VALUES} FROM bucket_hour WHERE (?1 IS NULL OR site = ?1)"
        " AND (?2 IS NULL OR door = ?2) AND (?3 IS NULL OR start_ms >= ?3) AND (?4 IS NULL OR start_ms < ?4)"
        " ORDER BY site, door, start_ms",
        (site, door, from_ms, to_ms),
    )
    for name, door_name, start_ms, *values in rows:
        bucket = Bucket(*values)
        if bucket.says_something:
            yield Hour(name, door_name, start_ms, bucket)


def _is_marked(sql: sqlite3.Connection, now_ms: int) -> bool:
    row = sql.execute(
        "SELECT EXISTS (SELECT 1 FROM dirty WHERE quarter_ms <= ?) OR EXISTS (SELECT 1 FROM dirty_bucket)",
        (now_ms + MAX_AHEAD_MS,),
    ).fetchone()
    return bool(row[0])


def _values(bucket: Bucket) -> tuple[float, ...]:
    return (
        bucket.n_in,
        bucket.n_out,
        bucket.undirected,
        bucket.covered_ms,
        bucket.faults,
        bucket.calibrated_in,
        bucket.calibrated_out,
    )


def _sum_of_quarters(sql: sqlite3.Connection, hour: BucketKey) -> Bucket:
    rows = sql.execute(
        f"SELECT {_VALUES} FROM bucket_quarter WHERE site = ? AND door = ? AND start_ms >= ? AND start_ms < ?"
        " ORDER BY start_ms",
        (*hour, hour[2] + HOUR_MS),
    )
    return sum((Bucket(*row) for row in rows), Bucket())


def _write_bucket(sql: sqlite3.Connection, what: str, key: BucketKey, now_ms: int) -> int:
    site, door, start_ms = key
    table = f"bucket_{what}"
    row = sql.execute(
        f"SELECT {_VALUES}, sent FROM {table} WHERE site = ? AND door = ? AND start_ms = ?",
        key,
    ).fetchone()
    if row is None:
        return 0
    bucket, sent = Bucket(*row[:-1]), row[-1]
    fields: dict[str, float] = {"covered_s": bucket.covered_s, "faults": bucket.faults}
    if bucket.says_something or sent == COUNTS_SENT:
        fields |= {
            "in": bucket.n_in,
            "out": bucket.n_out,
            "undirected": bucket.undirected,
            "calibrated_in": bucket.calibrated_in,
            "calibrated_out": bucket.calibrated_out,
        }
        sent = COUNTS_SENT
    sql.execute(
        f"UPDATE {table} SET sent = ? WHERE site = ? AND door = ? AND start_ms = ?",
        (sent or TROUBLE_SENT, *key),
    )
    line = point_line(f"footfall_{what}", {"site": site, "door": door}, fields, start_ms)
    put_line(sql, f"footfall_{what}|{site}|{door}|{start_ms}", line, now_ms)
    return 1


_WRITERS = {"feedback": write_feedback, "passersby": write_passersby, "capture": write_capture}


def _mark_everything(sql: sqlite3.Connection) -> None:
    """Marks every quarter that any record touches, and every bucket that there is (it may be nobody's now)."""
    sql.execute(
        "INSERT OR IGNORE INTO dirty (node_id, quarter_ms)"
        f" SELECT DISTINCT node_id, utc_ms - utc_ms % {QUARTER_MS} FROM record JOIN spool ON spool.id = spool_id"
        " WHERE utc_ms IS NOT NULL AND kind IN ('P', 'B', 'Q', 'F', 'L')"
    )
    for table in ("compacted_passages", "compacted_presses"):
        sql.execute(
            f"INSERT OR IGNORE INTO dirty (node_id, quarter_ms) SELECT node_id, quarter_ms FROM {table}"
        )
    alive = sql.execute(
        "SELECT node_id, utc_ms - min(t_ms - a, ?) - ?, utc_ms FROM record JOIN spool ON spool.id = spool_id"
        " WHERE utc_ms IS NOT NULL AND kind = 'A'",
        (MAX_ALIVE_MS, MAX_CORRECTION_MS),
    )
    sql.executemany(
        "INSERT OR IGNORE INTO dirty (node_id, quarter_ms) VALUES (?, ?)",
        {
            (node_id, quarter_ms)
            for node_id, start_ms, stop_ms in alive
            for quarter_ms in range(start_ms - start_ms % QUARTER_MS, stop_ms + 1, QUARTER_MS)
        },
    )
    mark_buckets(sql, 0)
