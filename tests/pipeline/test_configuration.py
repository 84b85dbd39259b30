"""A configuration from the gateway's settings to a node and back: refused, shown, corrected, taken, and known after a power cut.
And a crash that a node tells of."""

import time
from pathlib import Path

import pytest

from footfall_gateway.ledger import Ledger
from footfall_gateway.node_book import NodeBook, NodeSummary
from footfall_simulator import parts
from tests.rig import QUIET_NODE, Rig
from tests.servers import InfluxDB, Mosquitto

START_MS = 1_772_308_800_000
LIMIT_S = 90.0
FOURTH_BARRIER = '[[node]]\nnode = "ff-main"\n[[node.barrier]]\nbarrier = 3\nglitch_ms = 5\n'  # it has one


def told(rig: Rig, node: str, done) -> NodeSummary:
    """The node as the ledger knows it, once `done` says so of its summary."""
    until = time.monotonic() + LIMIT_S
    while True:
        with Ledger.open(rig.ledger, read_only=True) as ledger:
            found = {one.node: one for one in NodeBook(ledger).summaries()}
        if node in found and found[node].state is not None and done(found[node]):
            return found[node]
        assert time.monotonic() < until, found
        time.sleep(0.1)


@pytest.mark.timeout(400)
def test_a_refused_configuration_is_shown_and_the_corrected_one_taken_and_kept_over_a_power_cut(
    tmp_path: Path, micropython: parts.Micropython, mosquitto: Mosquitto, influxdb: InfluxDB
) -> None:
    with Rig(tmp_path, micropython, mosquitto, influxdb, START_MS, 20.0) as rig:
        board = rig.town.add("ff-main", "main", config=QUIET_NODE).board
        rig.more_settings = FOURTH_BARRIER
        rig.start()
        one = told(rig, "ff-main", lambda node: node.state.config_error)
        assert (one.configuration.rev, one.state.rev) == (1, 0)
        assert one.state.config_error.startswith("barriers is [")
        text = rig.config.read_text()
        assert rig.gateway.stop() == 0
        rig.config.write_text(text.replace("barrier = 3", "barrier = 0"))
        rig.gateway.start()
        rig.gateway.wait_until_listening()
        one = told(rig, "ff-main", lambda node: node.state.rev == 2)
        assert (one.configuration.rev, one.state.config_error) == (2, None)
        board.kill()
        mosquitto.kill()  # and with it all that it had retained
        mosquitto.start()
        until = time.monotonic() + LIMIT_S
        while rig.gateway.log_file.read_text().count("connected, listening") < 3:
            assert time.monotonic() < until
            time.sleep(0.1)
        off_ms = rig.timeline.now_ms()
        board.start()
        one = told(rig, "ff-main", lambda node: node.online and node.told_ms > off_ms)
        assert (one.state.rev, one.state.config_error) == (2, None)
        assert board.tracebacks == []


@pytest.mark.timeout(400)
def test_a_crash_in_a_nodes_log_reaches_the_ledger_once(
    tmp_path: Path, micropython: parts.Micropython, mosquitto: Mosquitto, influxdb: InfluxDB
) -> None:
    log = "== new boot=12 fw=0.1.0 slot=a\nTraceback:\n  here\nMemoryError: memory allocation failed\n"
    with Rig(tmp_path, micropython, mosquitto, influxdb, START_MS, 20.0) as rig:
        board = rig.town.add("ff-main", "main", config=QUIET_NODE).board
        (board.flash_dir / "crash.txt").write_text(log)  # as the loader leaves it
        rig.start()
        until = time.monotonic() + LIMIT_S
        while "== told" not in (board.flash_dir / "crash.txt").read_text():
            assert time.monotonic() < until
            time.sleep(0.1)
        (board.flash_dir / "crash.txt").write_text(log)  # as if the power had gone before that was noted
        board.kill()
        board.start()
        until = time.monotonic() + LIMIT_S
        while "== told" not in (board.flash_dir / "crash.txt").read_text():
            assert time.monotonic() < until
            time.sleep(0.1)
        with Ledger.open(rig.ledger, read_only=True) as ledger:
            [crash] = NodeBook(ledger).crashes()
        assert (crash.node, crash.boot, crash.firmware) == ("ff-main", 12, "0.1.0")
        assert crash.last_line == "MemoryError: memory allocation failed"
        assert rig.gateway.log_file.read_text().count("node ff-main: crashed (boot 12") == 1
