"""A node on a USB cable that is pulled out and plugged in again and again, often in the middle of a batch: every passage once.

A virtual board in serial mode and a real gateway at the two ends of a pty; the gateway is also stopped and started meanwhile.
"""

import itertools
import json
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from footfall_gateway import link_serial
from footfall_gateway.ledger import Ledger
from footfall_gateway.link_serial import Lines
from footfall_gateway.node_book import NodeBook
from footfall_gateway.service import Gateway, ledger_path
from footfall_gateway.settings import (
    Door,
    GatewaySettings,
    NodeBarrier,
    NodeSettings,
    SerialSettings,
    Settings,
    Site,
)
from footfall_simulator.timeline import Timeline
from footfall_simulator.town import INNER_PIN, OUTER_PIN, firmware_folder
from footfall_simulator.virtual_board import VirtualBoard

START_MS = 1_772_442_000_000
BEGIN_MS = START_MS + 60_000  # the first one comes: by then the board must have started, in real time
RATE = 40
PEOPLE = 150
EVERY_MS = 2000
PULLS = 12
LIMIT_S = 120.0


def walk(n: int) -> list[tuple[int, int, int]]:
    """The edges of n people, every third of them on the way out."""
    edges = []
    for i in range(n):
        first, second = (OUTER_PIN, INNER_PIN) if i % 3 else (INNER_PIN, OUTER_PIN)
        at = BEGIN_MS + i * EVERY_MS
        edges += [(at, first, 1), (at + 120, second, 1), (at + 400, first, 0), (at + 520, second, 0)]
    return edges


def wait_until(what: str, done) -> None:
    until = time.monotonic() + LIMIT_S
    while not done():
        assert time.monotonic() < until, what
        time.sleep(0.05)


@pytest.mark.timeout(400)
def test_every_passage_arrives_once_though_the_cable_is_pulled_and_the_gateway_restarted(
    tmp_path: Path, micropython, monkeypatch
) -> None:
    monkeypatch.setattr(link_serial, "RETRY_FIRST_S", 0.02)
    monkeypatch.setattr(link_serial, "RETRY_LIMIT_S", 0.05)
    rng = random.Random(5)
    half_lines: list[bytes] = []
    feed = Lines.feed

    def watched_feed(self: Lines, data: bytes):
        yield from feed(self, data)
        if self._rest:
            half_lines.append(self._rest)

    monkeypatch.setattr(Lines, "feed", watched_feed)
    flash = tmp_path / "flash"
    flash.mkdir()
    (flash / "config.json").write_text(
        json.dumps({"node": "ff-1", "serial": True, "alive_s": 60, "state_s": 20, "resend_s": 5})
    )
    timeline = Timeline(START_MS, 1.0)
    settings = Settings(
        gateway=GatewaySettings(data=tmp_path / "data"),
        serial=(SerialSettings(port=str(tmp_path / "ttyUSB0"), node="ff-1"),),
        sites=(Site(id="lab", timezone="UTC", doors=(Door(id="main", node="ff-1"),)),),
        nodes=(NodeSettings(node="ff-1", barriers=(NodeBarrier(barrier=0, min_block_ms=60),)),),
    )
    with VirtualBoard(
        "ff-1", flash, micropython, firmware_folder(), timeline, cable=tmp_path / "ttyUSB0"
    ) as board:
        board.set_pins({OUTER_PIN: 0, INNER_PIN: 0})
        board.schedule_edges(walk(PEOPLE))
        gateway = Gateway(settings, timeline.now_ms)
        gateway.start()
        board.start()
        board.wait_for_console("time: learned")
        timeline.set_rate(RATE)
        end_ms = BEGIN_MS + PEOPLE * EVERY_MS
        for pull in range(PULLS):
            at = BEGIN_MS + (pull + 1) * PEOPLE * EVERY_MS // (PULLS + 1)
            timeline.wait_until(at + rng.randrange(3000), LIMIT_S)
            # the gateway has just read a part of a line
            seen = len(half_lines)
            wait_until("the node is silent", lambda: len(half_lines) > seen)  # noqa: B023
            board.pull_out()
            time.sleep(rng.choice((0.01, 0.2)))
            if pull == PULLS // 2:
                gateway.stop()
                assert gateway.failure is None
                gateway = Gateway(settings, timeline.now_ms)
                gateway.start()
            board.plug_in()
        timeline.wait_until(end_ms + 5000, LIMIT_S)
        board.wait_for_edges(LIMIT_S)
        assert board.late_edges == 0

        def all_stored() -> bool:
            spools = gateway.ledger.spools()
            return bool(spools) and stored(ledger_path(settings)) == PEOPLE and not spools[0].missing

        wait_until("not every passage came", all_stored)
        wait_until("the node did not say which configuration it has", lambda: has_rev(gateway, 1))
        assert gateway.failure is None
        gateway.stop()
        assert board.tracebacks == []
    assert_everybody_is_there_once(ledger_path(settings))


def assert_everybody_is_there_once(path: Path) -> None:
    with closing(sqlite3.connect(path)) as sql:
        directions = dict(
            sql.execute("SELECT b, count(*) FROM record WHERE kind = 'P' GROUP BY b").fetchall()
        )
        times = [
            t for (t,) in sql.execute("SELECT utc_ms FROM record WHERE kind = 'P' ORDER BY seq").fetchall()
        ]
    assert directions == {1: PEOPLE - PEOPLE // 3, -1: PEOPLE // 3}
    gaps = {round((b - a) / 100) for a, b in itertools.pairwise(times)}
    assert gaps <= {EVERY_MS // 100 - 1, EVERY_MS // 100, EVERY_MS // 100 + 1}
    with Ledger.open(path, read_only=True) as ledger:
        counters = ledger.counters()
        assert (counters.conflicts, counters.quarantined, ledger.missing("ff-1")) == (0, 0, 0)


def stored(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as sql:
        return sql.execute("SELECT count(*) FROM record WHERE kind = 'P'").fetchone()[0]


def has_rev(gateway: Gateway, rev: int) -> bool:
    [one] = NodeBook(gateway.ledger).summaries()
    return one.state is not None and one.state.rev == rev
