"""The gateway and the broker are killed at random while nodes send: every record is counted, once.

The nodes are stand-ins that do what the wire asks of a node: keep what is not acknowledged, send it again after a while
and after a reconnect. The gateway is `footfall run` in a process of its own, the broker a real mosquitto.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from footfall_gateway.export import export_hours
from footfall_gateway.ledger import Ledger
from tests.servers import HOST, Mosquitto

RECORDS = 4000  # of each node
BATCH = 20
KILLS = 12
RESEND_S = 0.5
LIMIT_S = 200
BASE_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


class Node:
    """Sends its records in order, at most some batches ahead of the acknowledgement; again when nothing moves."""

    AHEAD = 8 * BATCH

    def __init__(self, name: str, broker: Mosquitto, seed: int) -> None:
        self.name = name
        self.rng = random.Random(seed)
        self.records: list[list[object]] = [[0, "C", BASE_MS, "gw"]]
        for i in range(1, RECORDS):
            self.records.append([i * 2000, "P", 0, 1 if self.rng.random() < 0.6 else -1, 400])
        self.acknowledged = 0
        self.news = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe(f"footfall/1/{name}/ack", 1)
        self.client.on_message = self._on_ack
        self.client.connect_async(HOST, broker.port)
        self.client.loop_start()
        self.thread = threading.Thread(target=self._send)
        self.thread.start()

    def _on_ack(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        ack = json.loads(message.payload)
        assert ack["spool"] == "8f3a01c2"
        self.acknowledged = max(self.acknowledged, ack["seq"])
        self.news.set()

    def _send(self) -> None:
        deadline = time.monotonic() + LIMIT_S
        sent, moved = 0, time.monotonic()
        while self.acknowledged < RECORDS and time.monotonic() < deadline:
            time.sleep(0.1)  # people take their time; it must last longer than the kills
            if self.news.is_set():
                self.news.clear()
                moved = time.monotonic()
            if time.monotonic() - moved > RESEND_S:
                sent, moved = self.acknowledged, time.monotonic()
            sent = max(sent, self.acknowledged)
            if sent < min(RECORDS, self.acknowledged + self.AHEAD) and self.client.is_connected():
                starts = list(range(sent, min(RECORDS, sent + 3 * BATCH), BATCH))
                sent = starts[-1] + BATCH
                if self.rng.random() < 0.3:
                    self.rng.shuffle(starts)
                for start in starts * (2 if self.rng.random() < 0.2 else 1):
                    self._publish(start)

    def _publish(self, start: int) -> None:
        part = self.records[start : start + BATCH]
        batch = {"v": 1, "spool": "8f3a01c2", "boot": 1, "seq": start + 1, "r": part}
        self.client.publish(f"footfall/1/{self.name}/records", json.dumps(batch, separators=(",", ":")), 1)

    def count(self, direction: int) -> int:
        return sum(1 for record in self.records if record[1] == "P" and record[3] == direction)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def start_gateway(config: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "footfall_gateway.cli", "run", "--config", str(config)]
    with (config.parent / "gateway.log").open("ab") as log:
        return subprocess.Popen(command, env=environment, stderr=log)


def wait_until_listening(log: Path, since: int) -> None:
    """Until the gateway that began at this place of the log has said so; only then does it know what SIGTERM asks for."""
    deadline = time.monotonic() + LIMIT_S
    while b"connected, listening" not in log.read_bytes()[since:]:
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.05)


def wait_for_the_accounts(path: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    with Ledger.open(path, read_only=True) as ledger:
        while ledger.counters().dirty:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.timeout(2 * LIMIT_S + 100)
@pytest.mark.parametrize("seed", [1])
def test_nothing_is_lost_or_doubled_when_gateway_and_broker_are_killed_at_random(mosquitto, tmp_path, seed):
    rng = random.Random(seed)
    config = tmp_path / "footfall.toml"
    config.write_text(
        f'[mqtt]\nhost = "{HOST}"\nport = {mosquitto.port}\n[gateway]\ndata = "data"\ngrace_s = 0\n'
        '[[site]]\nid = "lab"\ntimezone = "UTC"\n'
        '[[site.door]]\nid = "main"\nnode = "ff-1"\n[[site.door]]\nid = "side"\nnode = "ff-2"\n'
    )
    log, began = tmp_path / "gateway.log", 0
    gateway = start_gateway(config)
    nodes = [Node("ff-1", mosquitto, seed), Node("ff-2", mosquitto, seed + 100)]
    kills_meanwhile = 0
    try:
        for kill in range(KILLS):
            time.sleep(rng.uniform(0.2, 1.5))
            kills_meanwhile += any(node.acknowledged < RECORDS for node in nodes)
            if kill % 3 == 2:
                mosquitto.kill()
                time.sleep(rng.uniform(0, 0.5))
                mosquitto.start()
            else:
                gateway.kill()
                assert gateway.wait(LIMIT_S) == -signal.SIGKILL
                began = log.stat().st_size
                gateway = start_gateway(config)
        for node in nodes:
            node.thread.join(LIMIT_S)
            assert node.acknowledged == RECORDS, log.read_text()[-3000:]
        wait_until_listening(log, began)
        wait_for_the_accounts(tmp_path / "data" / "ledger.sqlite")
        gateway.send_signal(signal.SIGTERM)
        assert gateway.wait(LIMIT_S) == 0
    finally:
        gateway.kill()
        gateway.wait()
        for node in nodes:
            node.close()
    assert kills_meanwhile >= KILLS // 2
    with Ledger.open(tmp_path / "data" / "ledger.sqlite", read_only=True) as ledger:
        assert [(s.node, s.contiguous, s.missing) for s in ledger.spools()] == [
            ("ff-1", RECORDS, 0),
            ("ff-2", RECORDS, 0),
        ]
        counters = ledger.counters()
        assert counters.records == 2 * RECORDS
        assert counters.duplicates > 0
        assert (counters.quarantined, counters.dirty) == (0, 0)
        sums = {"main": [0, 0], "side": [0, 0]}
        for row in export_hours(ledger):
            sums[row.door][0] += row.n_in
            sums[row.door][1] += row.n_out
    assert sums == {
        door: [node.count(1), node.count(-1)] for door, node in zip(("main", "side"), nodes, strict=True)
    }
