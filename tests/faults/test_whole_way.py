"""Real people through real parts while everything goes wrong: every message twice and shuffled, every process killed.

    board ─ mosquitto A ─ chaos relay ─ mosquitto B ─ gateway ─ InfluxDB

What InfluxDB says in the end must be the data set's own number, and no record number may be missing.
"""

import itertools
import os
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Self

import pytest

from footfall_gateway.ledger import Ledger
from footfall_simulator import parts
from footfall_simulator.people import Walk, busy_span
from footfall_simulator.profile import (
    CALIT2,
    SlotCount,
    between,
    move_to,
    read_profile,
    schedule_profile,
    to_slots,
)
from footfall_simulator.town import HOUR_MS, Hour, Node, Town
from tests.faults.chaos import (
    SETTLE_S,
    ChaosRelay,
    Killer,
    approach,
    live_until,
    power_cut,
    resident_mb,
    wait_until_written,
)
from tests.rig import QUIET_NODE, TIMEZONE, Rig, flash_ends
from tests.servers import InfluxDB, Mosquitto

DAYS = int(os.environ.get("FOOTFALL_FAULT_DAYS", "7"))  # fewer for a quick look
SEED = 3
RATE = 5000.0
AIR_QUIET_MS = (
    4  # the acknowledgement takes its time over two brokers and a relay; the node does not wait for it
)
KILLS = 6  # of gateway and InfluxDB; of the brokers twice as many, A and B in turn
CUTS = 5  # power cuts of each node, at least
SPARE_CUTS = 2  # planned beyond that, as a machine that stands still at the wrong moment misses one
GRACE_MS = 3 * HOUR_MS
SETTLE_RATE = 200.0
LIMIT_S = 200.0 * DAYS
LEARN_S = 90.0  # a gateway that is killed is back within seconds; one that has crashed is not
ALIVE_MS = QUIET_NODE["alive_s"] * 1000
NODE = {**QUIET_NODE, "resend_s": 600}
# A cut may cost what cleared its second beam in the last 2 s (promise 3); nobody walks from then until the board is up.
QUIET_BEFORE_CUT_MS = 2_000
CUT_GAP_MS = (300_000, 1_800_000)  # between two people at the same door: room for a machine that stands still
OFF_MS = (500, 20_000)
UP_AGAIN_MS = 15_000  # before the next person
BETWEEN_CUTS_MS = 1_800_000
MOST_MB = 100.0  # the gateway has 61 MB from beginning to end, whatever it carries


@dataclass(frozen=True, order=True)
class Cut:
    """A door's board loses its power at `off_ms` and gets it back at `on_ms`, or at the latest at `latest_ms`."""

    off_ms: int
    on_ms: int
    latest_ms: int
    door: str


def plan_cuts(walks: Sequence[Walk], doors: Sequence[str], rng: random.Random) -> list[Cut]:
    """Power cuts of each door, at random in gaps between two people, away from each other."""
    planned: list[Cut] = []
    for door in doors:
        spans = []
        for walk in walks:
            if walk.door == door:
                first, last = busy_span(walk, Town.BEAMS)
                spans.append((walk.start_ms + first, walk.start_ms + last))
        gaps = [
            (last, first)
            for (_, last), (first, _) in itertools.pairwise(sorted(spans))
            if CUT_GAP_MS[0] <= first - last <= CUT_GAP_MS[1]
        ]
        rng.shuffle(gaps)
        mine = 0
        for last, first in gaps:
            off = last + QUIET_BEFORE_CUT_MS + rng.randrange(2000)
            on = off + rng.randint(*OFF_MS)
            if mine < CUTS + SPARE_CUTS and all(abs(off - cut.off_ms) > BETWEEN_CUTS_MS for cut in planned):
                planned.append(Cut(off, on, first - UP_AGAIN_MS, door))
                mine += 1
        assert mine == CUTS + SPARE_CUTS, f"{door}: only {mine} gaps for power cuts"
    return sorted(planned)


def moments(walks: Sequence[Walk], count: int, rng: random.Random) -> list[int]:
    """Random moments, mostly when people walk."""
    last = walks[-1].start_ms
    return [min(rng.choice(walks).start_ms + rng.randint(-60_000, 60_000), last) for _ in range(count)]


def lives(node: Node, town: Town, walks: Sequence[Walk], cuts: Sequence[Cut]) -> Iterator[None]:
    """Give the node its people life by life: each step knows them until the next power cut, the last one to the end."""
    before = 0
    for cut in cuts:
        live_until(node.board, cut.off_ms)
        town.walk(walk for walk in walks if before <= walk.start_ms < cut.off_ms)
        before = cut.off_ms
        yield
    town.walk(walk for walk in walks if before <= walk.start_ms)
    yield


def learn_time(node: Node, since: int = 0) -> None:
    """Wait until the node knows the time: at thousands of seconds per second no answer would be quick enough for it."""
    node.board.wait_for_console("time: learned", LEARN_S, since=since)


class Memory(threading.Thread):
    """Watches how much memory the gateway takes at most, over all of its lives."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(daemon=True)
        self._rig = rig
        self._ended = threading.Event()
        self.most_mb = 0.0

    def run(self) -> None:
        while not self._ended.wait(0.1):
            process = self._rig.gateway._process
            if process is not None and process.poll() is None:
                try:
                    self.most_mb = max(self.most_mb, resident_mb(process.pid))
                except OSError:
                    continue  # killed meanwhile

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


def assert_the_ledger_has_each_record_once(rig: Rig, node: Node, boots: int) -> None:
    """The node goes on writing signs of life: what its flash held when this began is what must have come."""
    flash = flash_ends(node.board)
    until = time.monotonic() + SETTLE_S
    while rig.status()["records behind"]:
        assert time.monotonic() < until, rig.status()
        time.sleep(0.2)
    with closing(sqlite3.connect(f"file:{rig.ledger}?mode=ro", uri=True)) as sql:
        sql.execute("BEGIN")  # one moment of a ledger that is still written to
        spools = sql.execute(
            "SELECT spool.id, spool.name, contiguous, lost FROM spool JOIN node ON node.id = node_id WHERE node.name = ?",
            (node.name,),
        ).fetchall()
        assert len(spools) == 1, f"{node.name} has begun a new spool"
        ((spool_id, spool, contiguous, lost),) = spools
        rows = sql.execute(
            "SELECT seq, boot, kind, a, b FROM record WHERE spool_id = ? ORDER BY seq", (spool_id,)
        ).fetchall()
    assert len(rows) >= flash[spool], "a record of the flash is not in the ledger"
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    assert (contiguous, lost) == (len(rows), 0)
    assert {row[2] for row in rows} <= set("PACR"), "something was refused or given up"
    assert [row[3] for row in rows if row[2] == "R"] == ["power"] * boots
    numbers = [row[1] for row in rows]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(1, boots + 1))
    walked: Counter[int] = Counter()
    for hour, people in rig.town.walked.items():
        if hour.door == node.place:
            walked[hour.direction] += people
    assert Counter(row[4] for row in rows if row[2] == "P") == walked


def wait_until_forgotten(node: Node) -> None:
    """What is acknowledged the node deletes, segment by segment; every boot began one, and the newest stays."""
    until = time.monotonic() + SETTLE_S
    while len(left := list(node.board.flash_dir.glob("spool/*/*.seg"))) > 1:
        assert time.monotonic() < until, (
            f"{node.name} has not been told that the gateway has its records: {left}"
        )
        time.sleep(0.2)


def assert_coverage_tells_of_the_cuts_and_of_nothing_else(
    rig: Rig, node: Node, cuts: Sequence[Cut], begin: int, end: int
) -> None:
    """The other faults took no coverage: a node that cannot be heard counts on."""
    rows = {row["time"]: row["covered_s"] for row in rig.hours(node.place) if begin <= row["time"] < end}
    hours = range(begin + HOUR_MS, end, HOUR_MS)  # the first one is that of the start
    assert set(hours) <= rows.keys(), "an hour is missing"
    certain = {cut.off_ms - cut.off_ms % HOUR_MS for cut in cuts if cut.door == node.place}
    possible = set()  # from the last sign of life before the cut until the board is up
    for cut in cuts:
        if cut.door == node.place:
            first = cut.off_ms - ALIVE_MS
            possible |= set(range(first - first % HOUR_MS, cut.on_ms + 10_000, HOUR_MS))
    less = {hour for hour in hours if rows[hour] < 3600}
    assert certain & set(hours) <= less, "a power cut does not show"
    assert less <= possible, "an hour was watched, but not covered"


class Brokers:
    """The two brokers, killed in turn."""

    def __init__(self, nodes: Mosquitto, gateway: Mosquitto) -> None:
        self.nodes = nodes
        self.gateway = gateway
        self.kills: Counter[Mosquitto] = Counter()
        self._turns = itertools.cycle((nodes, gateway))
        self._down = nodes

    def kill(self) -> None:
        self._down = next(self._turns)
        self._down.kill()
        self.kills[self._down] += 1

    def start(self) -> None:
        self._down.start()


def the_days() -> list[SlotCount]:
    """DAYS of the data set for each door, from Mondays on."""
    counts = []
    for door, monday in (("main", date(2005, 10, 3)), ("yard", date(2005, 10, 10))):
        days = between(read_profile(CALIT2, door), monday, monday + timedelta(days=DAYS - 1))
        counts += move_to(days, date(2026, 3, 2))
    return to_slots(counts, TIMEZONE)


def in_hours(slots: Sequence[SlotCount]) -> Counter[Hour]:
    """The data set's own numbers."""
    hours: Counter[Hour] = Counter()
    for slot in slots:
        if slot.people:
            hours[Hour(slot.door, slot.start_ms - slot.start_ms % HOUR_MS, slot.direction)] += slot.people
    return hours


def start(rig: Rig, walks: Sequence[Walk], cuts: Sequence[Cut]) -> dict[str, Iterator[None]]:
    """Start everything, with the people of the boards' first lives; the second lives come from what is returned."""
    to_come = {}
    for door, node in rig.town.nodes.items():
        its_cuts = [cut for cut in cuts if cut.door == door]
        its_walks = [walk for walk in walks if walk.door == door]
        to_come[door] = lives(node, rig.town, its_walks, its_cuts)
        next(to_come[door])
    with rig.timeline.slowed(20):
        rig.start()
        for node in rig.town.nodes.values():
            learn_time(node)
    return to_come


def cut_and_give_back(rig: Rig, cut: Cut, to_come: Iterator[None]) -> Cut | None:
    """One power cut, at its exact moment of the board's life; as it was, None if its time was over or there were enough."""
    board = rig.town.nodes[cut.door].board
    if board.boots > CUTS:
        board.hold(None)
        next(to_come)
        return None
    approach(rig.timeline, cut.off_ms, LIMIT_S)
    with rig.timeline.slowed(20):
        # however long the machine stands still, the power is back before the next person
        with rig.timeline.slowed(1):
            if rig.timeline.now_ms() > cut.latest_ms:
                board.hold(None)
                next(to_come)
                return None
            power_cut(board)
            next(to_come)
            rig.timeline.jump_to(cut.on_ms)
            mark = board.console_mark()
            board.start()
        on_ms = board.boot_utc_ms
        assert on_ms < cut.latest_ms + UP_AGAIN_MS, "somebody may have come before the power was back"
        learn_time(rig.town.nodes[cut.door], mark)
    return replace(cut, on_ms=on_ms)


@pytest.mark.timeout(900 + LIMIT_S)
def test_days_read_back_right_though_all_comes_twice_and_shuffled_and_every_process_is_killed(
    tmp_path, micropython: parts.Micropython, make_mosquitto: Callable[[], Mosquitto], influxdb: InfluxDB
) -> None:
    rng = random.Random(SEED)
    slots = the_days()
    begin = min(slot.start_ms for slot in slots)
    end = max(slot.start_ms + slot.length_ms for slot in slots)
    walks = schedule_profile(slots, seed=SEED)
    cuts = plan_cuts(walks, ("main", "yard"), rng)
    brokers = Brokers(make_mosquitto(), make_mosquitto())
    rig = Rig(
        tmp_path,
        micropython,
        brokers.gateway,
        influxdb,
        begin - 60_000,
        RATE,
        node_broker_port=brokers.nodes.port,
    )
    rig.town._air_quiet_ms = AIR_QUIET_MS
    with rig, ChaosRelay(brokers.nodes, brokers.gateway, SEED) as relay, ExitStack() as stack:
        rig.town.add("ff-main", "main", config=NODE)
        rig.town.add("ff-yard", "yard", config=NODE)
        to_come = start(rig, walks, cuts)
        memory = stack.enter_context(Memory(rig))
        killers = [
            stack.enter_context(
                Killer(name, rig.timeline, moments(walks, kills, rng), kill, start_again, SEED)
            )
            for name, kills, kill, start_again in (
                ("gateway", KILLS, rig.gateway.kill, rig.gateway.start),
                ("InfluxDB", KILLS, influxdb.kill, influxdb.start),
                ("brokers", 2 * KILLS, brokers.kill, brokers.start),
            )
        ]
        done = [cut_and_give_back(rig, cut, to_come[cut.door]) for cut in cuts]
        cuts = [cut for cut in done if cut is not None]
        rig.run_until(end + GRACE_MS, LIMIT_S)
        for killer in killers:
            killer.finish()
        rig.timeline.set_rate(SETTLE_RATE)
        wait_until_written(rig)
        for node in rig.town.nodes.values():
            wait_until_forgotten(node)

        assert rig.written() == in_hours(slots)
        assert rig.town.walked == in_hours(slots)
        for node in rig.town.nodes.values():
            boots = 1 + sum(cut.door == node.place for cut in cuts)
            assert_the_ledger_has_each_record_once(rig, node, boots)
            assert_coverage_tells_of_the_cuts_and_of_nothing_else(rig, node, cuts, begin, end)
        with Ledger.open(rig.ledger, read_only=True) as ledger:
            counters = ledger.counters()
        assert counters.duplicates > counters.records / 2
        assert (counters.conflicts, counters.quarantined, counters.not_kept) == (0, 0, 0)
        assert memory.most_mb < MOST_MB
        # and all of this did happen
        assert relay.errors == []
        relay.wait_until_all_is_sent()
        assert relay.overtaken > relay.passed["records"] / 20, f"{relay.overtaken} of {relay.passed}"
        assert [killer.kills for killer in killers] == [KILLS, KILLS, 2 * KILLS]
        assert min(brokers.kills.values()) == KILLS
        assert min(node.board.boots for node in rig.town.nodes.values()) >= 1 + CUTS
