"""A month of operation, accelerated: the real firmware from its flash image, mosquitto, `footfall run` and its ledger.

    python -m tests.faults.endurance --days 30        (`make soak`; a line for each day; tests/faults/test_endurance.py: two days)

Two doors. Each loses its WiFi once a day, the broker restarts once a day, the gateway is killed every third day, and the
board at the door `main` loses its power once a day, mostly while somebody is in the door. The board at `yard` runs through.
The boards boot compiled firmware from slot a of a littlefs image on a flash chip that counts erases.

The truth is who walked through the beams. What a power cut may cost is promise 3: who cleared the second beam in its last
2 s, or was in the door before the board was up again. Everybody else is in the ledger, once.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import sqlite3
import statistics
import struct
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import paho.mqtt.client as paho

from footfall_gateway.commissioning.littlefs_image import files_in
from footfall_gateway.export import export_hours
from footfall_gateway.ledger import Ledger
from footfall_simulator import parts
from footfall_simulator.behaviours import plain_walker
from footfall_simulator.people import IN, OUT, busy_span, crossings_of, single_file
from footfall_simulator.town import HOUR_MS
from tests.board_image import board_image
from tests.faults.chaos import approach, live_until, power_cut
from tests.faults.truth import LONGEST_BOOT_MS, LOST_MS, Life, Person, lay_over, levels_of
from tests.rig import FLASH_BLOCKS, QUIET_NODE, Rig
from tests.servers import HOST, Mosquitto

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from footfall_simulator.town import Node

DAY_MS = 24 * HOUR_MS
BEGIN = 1_780_272_000_000  # 2026-06-01 00:00 UTC, a Monday
OPEN_MS = (8 * HOUR_MS, 18 * HOUR_MS)
PEOPLE_A_DAY = 240  # at each door, in and out together; more only takes longer
GROUP_PAUSE_MS = (1_600, 4_000)  # within a group
RATE = 20_000.0
SLOW = 20.0  # for what the network has to be in time with
OFF_MS = (500, 20_000)
WIFI_AWAY_MS = (5 * 60_000, 4 * HOUR_MS)
GATEWAY_KILL_EVERY = 3  # days
NODE = {**QUIET_NODE, "alive_s": 1800}
LIMIT_S = 600.0  # of real time that one step may take
SETTLE_S = 120.0
SETTLE_RATE = 200.0
MOST_SEGMENTS = 60  # in flash at the end of a day: a few hours offline and the newest
MOST_FILES = 30  # beside the firmware's and the spool's
HEAP_SLOPE = 64.0  # bytes a day by which the lowest free heap may seem to fall, from noise
NOISE_BYTES = 3_000  # ... and the last days may lie below the first ones


@dataclass(frozen=True, order=True)
class Event:
    """Something goes wrong, or is over, at a moment of virtual time."""

    at_ms: int
    what: str  # cut, wifi down, wifi up, broker, gateway, day
    door: str = ""


@dataclass
class Door:
    """A door with its people, its board's lives, and what the board said of its heap."""

    node: Node
    people: list[Person]
    levels: list[tuple[int, int, int]]
    cuts: list[int]
    lives: list[Life] = field(default_factory=list)
    sent: int = 0  # levels that the board knows of
    wifi: bool = True
    heap: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))  # by day

    def begin_life(self, end_ms: int) -> None:
        """Tell the board its edges up to the next power cut, at which it will stand still, or all that are left."""
        number = len(self.lives)
        cut_ms = self.cuts[number] if number < len(self.cuts) else None
        until = len(self.levels)
        if cut_ms is not None:
            live_until(self.node.board, cut_ms)
            until = sum(1 for t_ms, _, _ in self.levels if t_ms <= cut_ms)
        self.node.board.schedule_edges(self.levels[self.sent : until])
        self.sent = until
        self.lives.append(Life(0, cut_ms or end_ms))


class Endurance:
    """One run. `days` days; `say` gets a line now and then."""

    def __init__(
        self, rig: Rig, broker: Mosquitto, days: int, people: int, seed: int, say: Callable[[str], None]
    ) -> None:
        self.rig = rig
        self.broker = broker
        self.days = days
        self._people = people
        self.say = say
        self.happened: Counter[str] = Counter()
        self._rng = random.Random(seed)
        self._started = time.monotonic()
        self._day_began = self._started
        self.doors = {name: self._door(name, cut=name == "main") for name in ("main", "yard")}

    # ---- the plan

    def _door(self, name: str, *, cut: bool) -> Door:
        rng, beams = self._rng, self.rig.town.beams
        walks = []
        for day in range(self.days):
            bodies = [plain_walker(rng, beams, rng.choice((1, -1))) for _ in range(self._people)]
            mean_ms = (OPEN_MS[1] - OPEN_MS[0]) / self._people * 1.6
            gaps = (
                rng.uniform(*GROUP_PAUSE_MS)
                if rng.random() < 0.4
                else GROUP_PAUSE_MS[0] + rng.expovariate(1 / mean_ms)
                for _ in bodies
            )
            walks += single_file(bodies, beams, gaps, BEGIN + day * DAY_MS + OPEN_MS[0])
        people = [
            Person(walk.start_ms + first, walk.start_ms + last, crossings_of([walk], beams)[0].direction)
            for walk in walks
            for first, last in [busy_span(walk, beams)]
        ]
        cuts = [self._cut_on(day, people) for day in range(self.days)] if cut else []
        node = self.rig.town.add(f"ff-{name}", name, config=NODE)
        return Door(node, people, levels_of(walks, beams), cuts)

    def _cut_on(self, day: int, people: Sequence[Person]) -> int:
        """Three of four in the middle of somebody, the others at any time of the day."""
        start = BEGIN + day * DAY_MS
        if self._rng.random() < 0.75:
            one = self._rng.choice([one for one in people if start <= one.begins_ms < start + DAY_MS])
            return self._rng.randint(one.begins_ms - 500, one.clears_ms + 1500)
        return start + self._rng.randrange(HOUR_MS, DAY_MS - HOUR_MS)

    def events(self) -> list[Event]:
        rng, found = self._rng, []
        for day in range(self.days):
            start = BEGIN + day * DAY_MS
            for name, door in self.doors.items():
                away = start + rng.randrange(HOUR_MS, 19 * HOUR_MS)
                found += [
                    Event(away, "wifi down", name),
                    Event(away + rng.randint(*WIFI_AWAY_MS), "wifi up", name),
                ]
                if door.cuts:
                    found.append(Event(door.cuts[day], "cut", name))
            found.append(Event(start + rng.randrange(HOUR_MS, DAY_MS), "broker"))
            if day % GATEWAY_KILL_EVERY == 1:
                found.append(Event(start + rng.randrange(HOUR_MS, DAY_MS), "gateway"))
            found.append(Event(start + DAY_MS, "day", str(day + 1)))
        return sorted(found)

    # ---- what happens

    def run(self) -> None:
        """Live through it, then hold the ledger against the truth."""
        end_ms = BEGIN + self.days * DAY_MS
        with ExitStack() as stack:
            self._listen(stack)
            for door in self.doors.values():
                door.begin_life(end_ms)
            with self.rig.timeline.slowed(SLOW):
                self.rig.start()
            for door in self.doors.values():
                door.lives[0].on_ms = door.node.board.boot_utc_ms
            for event in self.events():
                if event.what == "cut":
                    self._cut(self.doors[event.door], end_ms)
                else:
                    self.rig.timeline.wait_until(event.at_ms, LIMIT_S)
                    getattr(self, "_" + event.what.replace(" ", "_"))(event.door)
                self.happened[event.what] += 1
            self.rig.run_until(end_ms + HOUR_MS, LIMIT_S)
            self.rig.timeline.set_rate(SETTLE_RATE)
            self._settle()
        self._check()

    def _listen(self, stack: ExitStack) -> None:
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        client.reconnect_delay_set(0.2, 0.2)  # type: ignore[arg-type]
        client.on_connect = lambda client, *_: client.subscribe("footfall/1/+/state", 1)

        def on_state(_client: object, _data: object, message: paho.MQTTMessage) -> None:
            state = json.loads(message.payload)
            if state.get("online") and not message.retain:
                door = self.doors[message.topic.split("/")[2].removeprefix("ff-")]
                door.heap[(self.rig.timeline.now_ms() - BEGIN) // DAY_MS].append(state["heap"])
                if state["failures"]:
                    self.happened["task failures"] += 1

        client.on_message = on_state
        client.connect(HOST, self.broker.port)
        client.loop_start()
        stack.callback(client.loop_stop)
        stack.callback(client.disconnect)

    def _cut(self, door: Door, end_ms: int) -> None:
        cut_ms = door.lives[-1].cut_ms
        approach(self.rig.timeline, cut_ms, LIMIT_S)
        board = door.node.board
        with self.rig.timeline.slowed(SLOW):
            power_cut(board)
            door.begin_life(end_ms)
            self.rig.timeline.wait_until(max(cut_ms, self.rig.timeline.now_ms()) + self._rng.randint(*OFF_MS))
            mark = board.console_mark()
            board.start()
            door.lives[-1].on_ms = board.boot_utc_ms
            if door.wifi:
                board.wait_for_console("time: learned", LIMIT_S, since=mark)

    def _wifi_down(self, name: str) -> None:
        self.doors[name].wifi = False
        self.doors[name].node.board.set_wifi(up=False)

    def _wifi_up(self, name: str) -> None:
        door = self.doors[name]
        door.wifi = True
        door.node.board.set_wifi(up=True)
        with self.rig.timeline.slowed(SLOW * 10):  # a board that has started meanwhile asks for the time
            self.rig.timeline.sleep_ms(60_000, LIMIT_S)

    def _broker(self, _: str) -> None:
        with self.rig.timeline.slowed(SLOW * 10):
            self.broker.kill()
            self.rig.timeline.sleep_ms(self._rng.randint(1_000, 60_000), LIMIT_S)
            self.broker.start()
            self.rig.timeline.sleep_ms(30_000, LIMIT_S)

    def _gateway(self, _: str) -> None:
        with self.rig.timeline.slowed(SLOW * 10):
            self.rig.gateway.kill()
            self.rig.timeline.sleep_ms(self._rng.randint(1_000, 120_000), LIMIT_S)
            self.rig.gateway.start()
            self.rig.gateway.wait_until_listening()

    def _day(self, name: str) -> None:
        day = int(name)
        files = {}
        for door_name, door in self.doors.items():
            board = door.node.board
            assert not board.tracebacks, board.tracebacks[0]
            files[door_name] = left = _files(board.flash_image)
            segments = [path for path in left if path.endswith(".seg")]
            others = [path for path in left if not path.startswith("slots/") and path not in segments]
            assert len(segments) <= MOST_SEGMENTS, f"{door_name}: the spool grows: {len(segments)} segments"
            assert len(others) <= MOST_FILES, f"{door_name}: files pile up: {others}"
        records, stored = self._ledger_counts()
        now = time.monotonic()
        heaps = ", ".join(
            f"{name} {min(door.heap[day - 1]) / 1024:.1f}"
            for name, door in self.doors.items()
            if door.heap[day - 1]
        )
        went = sum(
            one.clears_ms < BEGIN + day * DAY_MS for door in self.doors.values() for one in door.people
        )
        spools = ", ".join(f"{sum(path.endswith('.seg') for path in left)}" for left in files.values())
        erases = ", ".join(f"{sum(_erases(door.node.board.flash_image)):,}" for door in self.doors.values())
        self.say(
            f"day {day:2} of {self.days}: {went:,} people so far, {stored:,} passages of {records:,} records in the ledger;"
            f" free heap at the least: {heaps} KB; segments {spools}; erases {erases};"
            f" {now - self._day_began:.0f} s (all {now - self._started:.0f} s)"
        )
        self._day_began = now

    def _ledger_counts(self) -> tuple[int, int]:
        with closing(sqlite3.connect(f"file:{self.rig.ledger}?mode=ro", uri=True)) as sql:
            (records,) = sql.execute("SELECT count(*) FROM record").fetchone()
            (passages,) = sql.execute("SELECT count(*) FROM record WHERE kind = 'P'").fetchone()
        return records, passages

    def _settle(self) -> None:
        until = time.monotonic() + SETTLE_S
        while True:
            try:
                if self.rig.settled():
                    return
            except Exception as error:  # noqa: BLE001 - the flash was copied in the middle of a write
                why = str(error)
            else:
                why = str(self.rig.status())
            assert time.monotonic() < until, f"not settled after {SETTLE_S:g} s: {why}"
            time.sleep(0.2)

    # ---- the truth

    def _check(self) -> None:
        lost_to_cuts = 0
        days: Counter[tuple[str, str, int]] = Counter()
        for name, door in self.doors.items():
            rows = self._records(door.node)
            for number, life in enumerate(door.lives, 1):
                mine = [row for row in rows if row[0] == number]
                life.watching_since = (
                    min(row[3] for row in mine if row[2] == "A") if any(r[2] == "A" for r in mine) else 0
                )
                life.passages = sorted((row[1], row[4]) for row in mine if row[2] == "P")
            counted = [one for life in door.lives for one in self._counted(life, door.people)]
            assert len(counted) == len(set(counted)), f"{name}: somebody was counted in two lives"
            lost = set(door.people) - set(counted)
            lost_to_cuts += len(lost)
            dark = [
                (life.cut_ms - LOST_MS, after.on_ms + LONGEST_BOOT_MS)
                for life, after in itertools.pairwise(door.lives)
            ]
            for one in lost:
                assert any(one.clears_ms >= start and one.begins_ms <= end for start, end in dark), (
                    f"{name}: {one} was lost, though the board was on and no cut near"
                )
            for one in counted:
                days[
                    name, f"{datetime.fromtimestamp(one.clears_ms / 1000, UTC):%Y-%m-%d}", one.direction
                ] += 1
            assert len(lost) <= 3 * len(door.cuts), (
                f"{name}: {len(lost)} people lost to {len(door.cuts)} power cuts"
            )
            self._check_heap(name, door)
        with Ledger.open(self.rig.ledger, read_only=True) as ledger:
            counters = ledger.counters()
            told = _told_by_day(ledger)
        assert (counters.conflicts, counters.quarantined, counters.not_kept) == (0, 0, 0)
        assert self.happened["task failures"] == 0, "a task of a node has failed"
        self.happened["lost to cuts"] = lost_to_cuts
        assert told == days, "the gateway's numbers are not the people's"
        cuts = sum(len(door.cuts) for door in self.doors.values())
        people = sum(len(door.people) for door in self.doors.values())
        self.say(
            f"{self.days} days: {people:,} people, {people - lost_to_cuts:,} of them in the ledger, each once; {lost_to_cuts} were"
            f" in the door when one of {cuts} power cuts came. {self.happened['wifi down']} WiFi losses,"
            f" {self.happened['broker']} broker restarts, {self.happened['gateway']} gateway kills."
        )
        for name, door in self.doors.items():
            least = [min(door.heap[day]) for day in range(self.days)]
            wear = _erases(door.node.board.flash_image)
            self.say(
                f"{name}: free heap at the least {min(least) / 1024:.1f} KB (daily lows {least[0] / 1024:.1f} to"
                f" {least[-1] / 1024:.1f} KB, slope {_slope(least):+.0f} bytes a day);"
                f" {sum(wear):,} erases, at most {max(wear)} of one block"
            )

    def _records(self, node: Node) -> list[tuple[int, int, str, int, int]]:
        with closing(sqlite3.connect(f"file:{self.rig.ledger}?mode=ro", uri=True)) as sql:
            rows = sql.execute(
                "SELECT seq, boot, t_ms, kind, a, b, utc_ms FROM record JOIN spool ON spool.id = spool_id"
                " JOIN node ON node.id = node_id WHERE node.name = ? ORDER BY seq",
                (node.name,),
            ).fetchall()
        assert [row[0] for row in rows] == list(range(1, len(rows) + 1)), f"{node.name}: a number is missing"
        assert all(row[6] is not None for row in rows), f"{node.name}: a boot never learned the time"
        boots = [row[4] for row in rows if row[3] == "R"]
        assert boots == ["power"] * len(self.doors[node.place].lives), boots
        return [row[1:6] for row in rows]

    @staticmethod
    def _counted(life: Life, people: Sequence[Person]) -> list[Person]:
        if not life.passages:
            return []
        near = [
            one for one in people if life.on_ms - DAY_MS <= one.clears_ms <= life.cut_ms + LONGEST_BOOT_MS
        ]
        return lay_over(life, near)

    def _check_heap(self, name: str, door: Door) -> None:
        """Flat: neither falls the daily low by and by, nor do the last days lie below the first ones."""
        least = [min(door.heap[day]) for day in range(self.days) if door.heap[day]]
        assert len(least) == self.days, f"{name}: a day without a sign of life: {sorted(door.heap)}"
        if self.days >= 7:
            assert _slope(least) > -HEAP_SLOPE, (
                f"{name}: the free heap falls by {-_slope(least):.0f} bytes a day: {least}"
            )
        some = max(1, min(3, self.days // 2))
        assert min(least[-some:]) > min(least[:some]) - NOISE_BYTES, (
            f"{name}: the free heap has fallen: {least}"
        )


def _told_by_day(ledger: Ledger) -> Counter[tuple[str, str, int]]:
    """What `footfall export --hours` says: (door, date, direction) -> people."""
    days: Counter[tuple[str, str, int]] = Counter()
    for row in export_hours(ledger):
        for direction, people in ((IN, row.n_in), (OUT, row.n_out)):
            if people:
                days[row.door, row.hour_utc[:10], direction] += people
    return days


def _slope(values: Sequence[float]) -> float:
    """By how much a value changes from one day to the next: the median over all pairs of days (Theil and Sen).

    One life of a board in which something took more, until the next power cut, is no trend.
    """
    days = itertools.combinations(enumerate(values), 2)
    return statistics.median([(b - a) / (j - i) for (i, a), (j, b) in days] or [0.0])


def _files(image: Path | None) -> dict[str, bytes]:
    """What is in a flash; the board may be writing to it, so an image that was copied half way is copied again."""
    assert image is not None
    for attempt in itertools.count():
        try:
            return files_in(image.read_bytes(), FLASH_BLOCKS)
        except Exception:
            if attempt == 200:
                raise
            time.sleep(0.02)
    raise AssertionError


def _erases(image: Path | None) -> tuple[int, ...]:
    """How often each block of a flash was erased (see chip/flash_chip.py)."""
    assert image is not None
    wear = image.with_name(image.name + ".wear").read_bytes()
    return struct.unpack(f"<{FLASH_BLOCKS}I", wear[: 4 * FLASH_BLOCKS])


def run(
    folder: Path, broker: Mosquitto, days: int, people: int, seed: int, say: Callable[[str], None]
) -> Counter[str]:
    """Live through `days` days; AssertionError where something was not as it must be. Returns what happened, how often.

    people: at each door and day.
    """
    rig = Rig(folder, parts.micropython(), broker, None, BEGIN - 60_000, RATE, make_flash=board_image)
    with rig:
        endurance = Endurance(rig, broker, days, people, seed, say)
        endurance.run()
    return endurance.happened


TEXT = """# A month of faults

Made by `make soak` (`tests/faults/endurance.py`) on {date}, in {minutes:.0f} minutes, on {cores} cores shared with other work: the compiled firmware, booted from
littlefs images on virtual boards with 192 KB heap, mosquitto, `footfall run` and its ledger, in accelerated time.

Two doors, {people} people a day each. Every day each of them loses its WiFi for 5 minutes to 4 hours and the broker restarts; every third day the gateway
is killed; the board at `main` loses its power once a day, three times out of four in the middle of somebody, and `yard` runs
through. At the end every passage must be in the ledger once and on its day, every record number must be there, free heap must
be flat, and spool and files bounded. Who may be missing: whoever cleared the second beam in the last 2 s before a power cut, or was in the
door before the board was up again (it is off for half a second to 20 s).

{lines}

`make test` lives through two days of this.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write what came out to this document")
    chosen = parser.parse_args()
    lines: list[str] = []
    began = time.monotonic()

    def say(line: str) -> None:
        lines.append(line)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory(prefix="footfall-soak-") as name:
        folder = Path(name)
        with Mosquitto(folder / "mosquitto") as broker:
            run(folder, broker, chosen.days, PEOPLE_A_DAY, chosen.seed, say)
    if chosen.out:
        text = TEXT.format(
            date=datetime.now(UTC).date().isoformat(),
            minutes=(time.monotonic() - began) / 60,
            cores=os.cpu_count(),
            people=PEOPLE_A_DAY,
            lines="\n".join(f"- {line}" for line in lines[-3:]),
        )
        chosen.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
