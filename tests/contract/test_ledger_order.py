"""Whatever arrives how often, in whatever order, cut however: the same ledger, the same buckets, the same InfluxDB.

The truth comes from a reference below that knows all records at once and counts in plain loops, step by step.
It shares no code with the gateway.
"""

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from footfall_gateway.accounts import Accounts
from footfall_gateway.export import export_hours
from footfall_gateway.ingest import Batch
from footfall_gateway.ledger import Ledger
from footfall_gateway.outbox import Outbox
from footfall_gateway.places import Placement, Places, Site

DAY_0 = 1_780_012_800_000  # 2026-05-29 00:00 UTC
NOW = DAY_0 + 10 * 86_400_000
QUARTER, HOUR = 900_000, 3_600_000
MOVE = DAY_0 + 30 * HOUR  # node ff-a moves to another door here
PLACES = Places(
    [Site("lab", "Lab", "Europe/Berlin"), Site("bus", "Bus", "Europe/Berlin")],
    [
        Placement("lab", "main", "ff-a", 0),
        Placement("lab", "back", "ff-a", 0, MOVE, calibrate_in=1.5),
        Placement("lab", "side", "ff-a", 1),
        Placement("bus", "door", "ff-b", 0),
        Placement("bus", "desk", "ff-b", None, answers=("good", "bad")),
    ],
)


STEP = 5000  # all times are multiples of this
GONE = None  # in the place of a record: lost, and said to be


@dataclass
class Boot:
    """The truth of one boot: its records in the order of their numbers."""

    node: str
    spool: str
    number: int
    first_seq: int
    records: list[tuple | None] = field(default_factory=list)

    def batch(self, start: int, stop: int) -> Batch:
        return Batch(
            self.node, self.spool, self.number, self.first_seq + start, tuple(self.records[start:stop])
        )

    def cut(self, sizes: Iterator[int]) -> list[Batch]:
        """All records in batches; what is gone is in none."""
        batches, at = [], 0
        while at < len(self.records):
            stop = min(at + next(sizes), len(self.records))
            while GONE in self.records[at:stop]:
                stop -= 1
            if stop > at:
                batches.append(self.batch(at, stop))
            at = max(stop, at + 1)
        return batches

    def __iter__(self) -> Iterator[tuple[int, tuple]]:
        """The records that there are, with their places."""
        return ((at, record) for at, record in enumerate(self.records) if record is not GONE)


@st.composite
def histories(draw) -> list[Boot]:
    """What one or two nodes wrote in a few boots."""
    rng = draw(st.randoms(use_true_random=False))
    boots = []
    for node in ("ff-a", "ff-b")[: draw(st.integers(1, 2))]:
        number = 0
        for spool in range(draw(st.integers(1, 2))):
            seq = 1
            for _ in range(draw(st.integers(1, 3))):
                number += 1
                boot = Boot(node, f"0000000{spool}", number, seq)
                boot.records = _records(rng)
                seq += len(boot.records)
                boots.append(boot)
    return boots


def _records(rng) -> list[tuple | None]:
    began = DAY_0 + rng.randrange(48 * 720) * STEP  # boots may overlap in UTC: a clock was wrong then
    records: list[tuple | None] = [(0, "R", "power", "1.0", 1)]
    t = alive_since = 0
    for _ in range(rng.randrange(1, 25)):
        t += rng.choice((0, 5, 5, 60, 400, 1500, 1500, 8000)) * 1000
        at = max(0, t - rng.choice((0, 0, 0, 60_000)))  # faults are noticed late, so t may go back
        kind = rng.choice("PPPPPBQFFAAAACCL")
        if kind == "P":
            records.append((t, "P", rng.randrange(2), rng.choice((1, -1, 1, -1, 0)), 400))
        elif kind == "B":
            records.append((t, "B", rng.randrange(3), rng.randrange(2)))
        elif kind == "Q":
            records.append((t, "Q", rng.randrange(3), rng.randrange(1, 5)))
        elif kind == "F":
            records.append((at, "F", rng.randrange(2), rng.randrange(2), rng.randrange(2)))
        elif kind == "A":
            records.append((t, "A", alive_since, 0, 0))
            if rng.randrange(5) == 0:  # counting was interrupted
                alive_since = max(0, t - rng.choice((0, 120_000)))
        elif kind == "C":
            error = rng.choice((0, 0, 0, 5, -5, 40, -40, 4000, -4000)) * 1000
            records.append((t, "C", began + t + error, rng.choice(("gw", "gw", "rtc"))))
        else:
            gone = rng.randrange(1, 6)
            records += [(t, "L", gone), *[GONE] * (gone - 1)]
    return records


# The reference


def date(boot: Boot, t: int) -> int | None:
    told = [r[3] for _, r in boot if r[1] == "C" and r[3] != "rtc"]
    clocks = [(r[0], seq, r[2]) for seq, r in boot if r[1] == "C" and (r[3] != "rtc" or not told)]
    earlier = [c for c in clocks if c[0] <= t]
    if earlier:
        chosen = max(earlier)
    elif clocks:
        first_t = min(c[0] for c in clocks)
        chosen = max(c for c in clocks if c[0] == first_t)
    else:
        return None
    return chosen[2] + t - chosen[0]


def door_of(node: str, barrier: int, utc: int) -> tuple[str, str] | None:
    if node == "ff-b":
        return ("bus", "door") if barrier == 0 else None
    if barrier == 1:
        return "lab", "side"
    return ("lab", "main") if utc < MOVE else ("lab", "back")


def passages(boots: list[Boot], unit: int) -> dict[tuple, list[int]]:
    """(site, door, start) -> [in, out, undirected]"""
    counted: dict[tuple, list[int]] = defaultdict(lambda: [0, 0, 0])
    for boot in boots:
        for _, record in boot:
            utc = date(boot, record[0])
            if record[1] != "P" or utc is None:
                continue
            door = door_of(boot.node, record[2], utc)
            if door is not None:
                counted[*door, utc - utc % unit][{1: 0, -1: 1, 0: 2}[record[3]]] += 1
    return dict(counted)


def faults(boots: list[Boot], unit: int) -> Counter[tuple]:
    counted: Counter[tuple] = Counter()
    for boot in boots:
        for _, record in boot:
            utc = date(boot, record[0])
            if utc is None:
                continue
            if record[1] == "F" and record[4]:
                doors = {door_of(boot.node, record[2], utc)}
            elif record[1] == "L":
                doors = {door_of(boot.node, barrier, utc) for barrier in (0, 1)}
            else:
                continue
            for door in doors - {None}:
                counted[*door, utc - utc % unit] += 1
    return counted


def covered_seconds(boots: list[Boot], unit: int) -> Counter[tuple]:
    """(site, door, start) -> seconds watched, step by step."""
    watched: set[tuple[tuple[str, str], int]] = set()
    for boot in boots:
        for barrier in (0, 1):
            blind = blind_spans(boot, barrier)
            for _, record in boot:
                if record[1] != "A" or date(boot, 0) is None:
                    continue
                since, t = record[2], record[0]
                stop, start = date(boot, t), date(boot, since)
                length = t - since
                if length >= 6 * HOUR:  # more than an alive record vouches for
                    since, start = t - 6 * HOUR, stop - 6 * HOUR
                elif not length - 10_000 <= stop - start <= length + 10_000:
                    start = stop - length  # the clock was stepped in between
                for moment in range(start, stop, STEP):
                    at = max(t - (stop - moment), since)  # in the boot's own time
                    door = door_of(boot.node, barrier, moment)
                    if door is not None and not any(a <= at < b for a, b in blind):
                        watched.add((door, moment))
    seconds: Counter[tuple] = Counter()
    for door, moment in watched:
        seconds[*door, moment - moment % unit] += STEP // 1000
    return seconds


def blind_spans(boot: Boot, barrier: int) -> list[tuple[int, int]]:
    """In the boot's own time."""
    spans = []
    for beam in (0, 1):
        changes = sorted((r[0], seq, r[4]) for seq, r in boot if r[1] == "F" and r[2:4] == (barrier, beam))
        began = None
        for t, _, begins in changes:
            if begins and began is None:
                began = t
            elif not begins and began is not None:
                spans.append((began, t))
                began = None
        if began is not None:
            spans.append((began, 1 << 62))
    return spans


def feedback(boots: list[Boot]) -> dict[tuple, tuple[int, int]]:
    """(site, door, question, answer, hour) -> (presses, suppressed)"""
    counted: dict[tuple, list[int]] = defaultdict(lambda: [0, 0])
    for boot in boots:
        for _, record in boot:
            utc = date(boot, record[0])
            if record[1] not in "BQ" or utc is None:
                continue
            if record[1] == "B":
                revision = record[3]
            else:
                before = [
                    (date(boot, r[0]), i, r[3])
                    for i, r in boot
                    if r[1] == "B" and r[2] == record[2] and utc - QUARTER < date(boot, r[0]) <= utc
                ]
                revision = max(before)[2] if before else 0
            if boot.node == "ff-b":
                where = ("bus", "desk", f"revision-{revision}", ("good", "bad", "button-2")[record[2]])
            else:
                where = (*door_of("ff-a", 0, utc), f"revision-{revision}", f"button-{record[2]}")
            counted[*where, utc - utc % HOUR][record[1] == "Q"] += 1 if record[1] == "B" else record[3]
    return {key: (a, b) for key, (a, b) in counted.items()}


# What the gateway made of it


class Influx:
    """As InfluxDB: a later write of a field of the same series and time wins, fields that are not written stay."""

    def __init__(self) -> None:
        self.points: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)

    def write(self, line: str) -> None:
        series, fields, time_ns = line.rsplit(" ", 2)
        for one in fields.split(","):
            name, value = one.split("=")
            self.points[series, time_ns][name] = float(value.rstrip("i"))

    def buckets(self, measurement: str) -> dict[tuple, dict[str, float]]:
        found = {}
        for (series, time_ns), fields in self.points.items():
            name, *tags = series.split(",")
            if name == measurement:
                tag = dict(one.split("=") for one in tags)
                found[tag["site"], tag["door"], int(time_ns) // 1_000_000] = fields
        return found


def work_off(accounts: Accounts, outbox: Outbox, influx: Influx, now_ms: int, rounds: int = 1000) -> None:
    for _ in range(rounds):
        more = accounts.work(now_ms, limit=7).more
        for item in outbox.take(50):
            influx.write(item.line)
            outbox.done([item.id])
        if not more:
            break


# without Phase.shrink: making a failing history smaller takes longer than a test may
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(boots=histories(), rng=st.randoms(use_true_random=False))
def test_any_order_any_repetition_gives_the_same_books(boots: list[Boot], rng) -> None:
    sizes = iter(lambda: rng.randrange(1, 9), None)
    batches = [
        batch for boot in boots for _ in range(2) for batch in boot.cut(sizes)
    ]  # everything twice, cut differently
    for boot in boots:
        if (
            rng.randrange(3) == 0
        ):  # the node could not read its flash for a moment, and gave up what is here all the same
            at = rng.choice([at for at, record in boot if record[1] != "L"])
            n = rng.randrange(1, len(boot.records) - at + 1)
            batches.append(Batch(boot.node, boot.spool, boot.number, boot.first_seq + at, ((5000, "L", n),)))
    rng.shuffle(batches)

    with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder) / "ledger.sqlite3") as ledger:
        accounts = Accounts(ledger, PLACES, publish=True, grace_ms=0)
        outbox, influx = Outbox(ledger), Influx()
        while batches:
            size = rng.randrange(1, 12)
            ledger.store(batches[:size], now_ms=NOW)
            del batches[:size]
            if rng.randrange(3) == 0:
                work_off(accounts, outbox, influx, NOW, rounds=rng.randrange(1, 4))
        work_off(accounts, outbox, influx, NOW)
        assert outbox.depth() == 0

        with ledger.database.reading() as sql:
            kept = sql.execute(
                "SELECT node.name, spool.name, seq, kind, t_ms, utc_ms FROM record"
                " JOIN spool ON spool.id = spool_id JOIN node ON node.id = node_id WHERE kind <> '-'"
            ).fetchall()
        assert sorted(kept) == sorted(
            (boot.node, boot.spool, boot.first_seq + at, record[1], record[0], date(boot, record[0]))
            for boot in boots
            for at, record in boot
        )
        assert ledger.counters().quarantined == 0
        for spool in ledger.spools():
            last = max(
                boot.first_seq + len(boot.records) - 1
                for boot in boots
                if (boot.node, boot.spool) == (spool.node, spool.spool)
            )
            assert (spool.contiguous, spool.highest, spool.missing) == (last, last, 0)

        for measurement, unit in (("footfall_quarter", QUARTER), ("footfall_hour", HOUR)):
            _assert_same(influx.buckets(measurement), boots, unit)
        assert _feedback_written(influx) == feedback(boots)
        hours, covered = passages(boots, HOUR), covered_seconds(boots, HOUR)
        assert {
            (row.site, row.door, row.hour_utc): (row.n_in, row.n_out, row.covered_s)
            for row in export_hours(ledger)
        } == {
            (*key[:2], _iso(key[2])): (*hours.get(key, [0, 0])[:2], covered[key])
            for key in hours.keys() | covered.keys()
        }
        undated = {
            (one.node, one.spool, one.boot): (one.n_in + one.n_out + one.undirected, one.presses)
            for one in ledger.undated()
        }
        expected = {
            (boot.node, boot.spool, boot.number): (
                sum(record[1] == "P" for _, record in boot),
                sum(record[1] == "B" for _, record in boot),
            )
            for boot in boots
            if date(boot, 0) is None
        }
        assert undated == {key: counts for key, counts in expected.items() if any(counts)}


def _assert_same(written: dict[tuple, dict[str, float]], boots: list[Boot], unit: int) -> None:
    counted, covered, faulty = passages(boots, unit), covered_seconds(boots, unit), faults(boots, unit)
    for key in counted.keys() | covered.keys() | faulty.keys():
        fields = written.pop(key)
        n_in, n_out, undirected = counted.get(key, [0, 0, 0])
        assert (fields["covered_s"], fields["faults"]) == (covered[key], faulty[key]), key
        if key in counted or covered[key]:
            assert (fields["in"], fields["out"], fields["undirected"]) == (n_in, n_out, undirected), key
            assert fields["calibrated_in"] == n_in * (1.5 if key[1] == "back" else 1.0)
        else:
            assert not fields.get("in"), key
    for key, fields in written.items():  # was once written, and is nobody's now
        assert fields["covered_s"] == 0, key
        assert not any(fields.values()), key


def _feedback_written(influx: Influx) -> dict[tuple, tuple[int, int]]:
    found = {}
    for (series, time_ns), fields in influx.points.items():
        name, *tags = series.split(",")
        if name == "feedback_hour" and any(fields.values()):
            tag = dict(one.split("=") for one in tags)
            key = (tag["site"], tag["door"], tag["question"], tag["answer"], int(time_ns) // 1_000_000)
            found[key] = (int(fields["presses"]), int(fields["suppressed"]))
    return found


def _iso(utc_ms: int) -> str:
    day, rest = divmod((utc_ms - DAY_0) // HOUR, 24)
    month, day = (5, 29 + day) if day < 3 else (6, day - 2)
    return f"2026-{month:02}-{day:02}T{rest:02}:00:00Z"


@pytest.mark.parametrize("together", [1, 1000], ids=["one by one", "all at once"])
def test_a_boot_that_arrives_backwards_is_dated_like_one_that_arrives_in_order(
    tmp_path: Path, together: int
) -> None:
    boot = Boot("ff-a", "00000000", 1, 1)
    boot.records = [(0, "R", "power", "1.0", 1)]
    for minute in range(1, 300):
        boot.records.append((minute * 60_000, "P", 0, 1, 400))
        if minute % 5 == 0:
            boot.records.append((minute * 60_000, "A", (minute - 5) * 60_000, 0, 0))
        if minute % 60 == 7:
            boot.records.append((minute * 60_000, "C", DAY_0 + minute * 60_000 + minute, "ntp"))
    batches = [boot.batch(at, at + 10) for at in range(0, len(boot.records), 10)][::-1]
    with Ledger.open(tmp_path / "ledger.sqlite3") as ledger:
        accounts, outbox, influx = (
            Accounts(ledger, PLACES, publish=True, grace_ms=0),
            Outbox(ledger),
            Influx(),
        )
        for at in range(0, len(batches), together):
            ledger.store(batches[at : at + together], now_ms=NOW)
            work_off(accounts, outbox, influx, NOW)
        hours = passages([boot], HOUR)
        assert {key: int(one["in"]) for key, one in influx.buckets("footfall_hour").items() if one["in"]} == {
            key: n for key, (n, _, _) in hours.items()
        }
        assert sum(n for n, _, _ in hours.values()) == 299
