"""A power cut at the node, in the middle of people: it costs at most the passages of the last 2 s, and it shows.

The whole way: a virtual board, mosquitto, `footfall run`, InfluxDB. Each cut happens at an exact random instant of the
board's own life; people walk on while it is off and while it boots.
"""

import itertools
import random
import sqlite3
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from footfall_simulator import parts
from footfall_simulator.behaviours import plain_walker
from footfall_simulator.people import busy_span, crossings_of, single_file
from footfall_simulator.town import HOUR_MS, Hour, Node
from tests.faults.chaos import live_until, power_cut, wait_until_written
from tests.faults.truth import LONGEST_BOOT_MS, LOST_MS, Life, Person, lay_over, levels_of
from tests.rig import Rig
from tests.servers import InfluxDB, Mosquitto

NINE = 1_780_045_200_000  # 2026-05-29 09:00 UTC
BEGIN = NINE + 48 * 60_000  # the hour changes on the way
GRACE_MS = 15 * 60_000  # after it an hour is written
RATE = 50.0
LEARN_RATE = 5.0
CUTS = 12
LIFE_MS = (12_000, 45_000)  # from one start to the next cut; alive records come every 10 s
OFF_MS = (0, 9_000)
PAUSE_MS = (1600, 3500)  # between two people
PEOPLE = 240
TIMEOUT_S = 120.0


def live_through_cuts(rig: Rig, node: Node, levels: list, rng: random.Random) -> list[Life]:
    """CUTS power cuts while the edges in `levels` come, wherever the board may be in them."""
    board = node.board
    lives = []
    sent = 0
    for number in range(CUTS + 1):
        mark = board.console_mark()
        with ExitStack() as still:  # a life is as long as it was drawn, however long the board takes to start
            still.enter_context(rig.timeline.slowed(0))
            cut_ms = rig.timeline.now_ms() + rng.randint(*LIFE_MS)
            last = number == CUTS
            until = len(levels) if last else sum(1 for t_ms, _, _ in levels if t_ms <= cut_ms)
            if not last:
                live_until(board, cut_ms)
            board.schedule_edges(levels[sent:until])
            sent = until
            if number == 0:
                still.close()  # nothing runs yet, time begins with the board
                rig.start()
            else:
                board.start()
        lives.append(Life(board.boot_utc_ms, cut_ms))
        with rig.timeline.slowed(LEARN_RATE):  # else a life could end before it has learned the time
            board.wait_for_console("time: learned", TIMEOUT_S, since=mark)
        if last:
            break
        rig.timeline.wait_until(cut_ms, TIMEOUT_S)
        power_cut(board)
        rig.timeline.wait_until(cut_ms + rng.randint(*OFF_MS), TIMEOUT_S)
    end_ms = levels[-1][0] + 15_000  # one more alive record
    rig.run_until(end_ms, TIMEOUT_S)
    lives[-1].cut_ms = end_ms
    return lives


def read_ledger(path: Path, lives: list[Life]) -> Counter[Hour]:
    """Fills in `lives`, whose boots must show with their causes; the ledger's passages by hour."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as sql:
        rows = sql.execute("SELECT seq, boot, t_ms, kind, a, b, utc_ms FROM record ORDER BY seq").fetchall()
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    assert [(row[1], row[2], row[4]) for row in rows if row[3] == "R"] == [
        (number, 0, "power") for number in range(1, len(lives) + 1)
    ]
    assert all(row[6] is not None for row in rows), "a boot never learned the time"
    for number, life in enumerate(lives, 1):
        mine = [row for row in rows if row[1] == number]
        since = {row[4] for row in mine if row[3] == "A"}
        assert len(since) == 1, (
            f"boot {number} does not say, once and for all, since when it has watched: {since}"
        )
        life.watching_since = since.pop()
        life.passages = sorted((row[2], row[5]) for row in mine if row[3] == "P")
    return Counter(Hour("main", row[6] // HOUR_MS * HOUR_MS, row[5]) for row in rows if row[3] == "P")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_power_cut_costs_at_most_two_seconds_of_passages_and_shows(
    tmp_path,
    micropython: parts.Micropython,
    mosquitto: Mosquitto,
    influxdb: InfluxDB,
    seed: int,
) -> None:
    rng = random.Random(seed)
    with Rig(tmp_path, micropython, mosquitto, influxdb, NINE, RATE) as rig:
        rig.timeline.jump_to(BEGIN)
        node = rig.town.add("ff-main", "main", config={"alive_s": 10})
        beams = rig.town.beams
        bodies = [plain_walker(rng, beams, rng.choice((1, -1))) for _ in range(PEOPLE)]
        walks = single_file(bodies, beams, (rng.randint(*PAUSE_MS) for _ in bodies), BEGIN + 3_000)
        people = [
            Person(*busy, crossings_of([walk], beams)[0].direction)
            for walk in walks
            for busy in [tuple(walk.start_ms + t_ms for t_ms in busy_span(walk, beams))]
        ]
        lives = live_through_cuts(rig, node, levels_of(walks, beams), rng)
        rig.timeline.jump_to(NINE + 2 * HOUR_MS + GRACE_MS)
        wait_until_written(rig)

        hours = read_ledger(rig.ledger, lives)
        assert rig.written() == hours
        counted = [person for life in lives for person in lay_over(life, people)]
        assert len(counted) == len(set(counted)), "somebody was counted in two lives"
        lost = set(people) - set(counted)
        assert len(lost) >= CUTS / 2, "the cuts were not in the middle of people"
        dark = [(BEGIN, lives[0].boot_ms + lives[0].watching_since)]
        dark += [
            (before.cut_ms - LOST_MS, after.boot_ms + after.watching_since)
            for before, after in itertools.pairwise(lives)
        ]
        for person in lost:
            assert any(person.clears_ms >= start and person.begins_ms <= end for start, end in dark), (
                f"{person} was lost, though the board was on and the next cut far: {dark}"
            )
        for life in lives:
            assert life.boot_ms + life.watching_since - life.on_ms < LONGEST_BOOT_MS
