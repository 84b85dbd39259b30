"""InfluxDB is away, again and again, while records arrive: afterwards every number is there, and it is the last one."""

import json
import logging
import random
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from footfall_gateway.ledger import Ledger
from footfall_gateway.outbox import Outbox, point_line
from footfall_gateway.service import Gateway
from footfall_gateway.settings import (
    Door,
    GatewaySettings,
    InfluxSettings,
    MqttSettings,
    Settings,
    Site,
)
from footfall_gateway.sink_influx import AwayError, InfluxSink, InfluxWriter
from tests.servers import HOST, InfluxDB, Mosquitto, free_port

HOUR_MS = 3_600_000
HOURS = 36
KILLS = 6
LIMIT_S = 120
SPOOL = "8f3a01c2"


def settings_for(folder: Path, mosquitto: Mosquitto, influxdb: InfluxDB, **influx: int) -> Settings:
    return Settings(
        gateway=GatewaySettings(data=folder, grace_s=0),
        mqtt=MqttSettings(host=HOST, port=mosquitto.port),
        influxdb=InfluxSettings(url=influxdb.v2_url, bucket="footfall/autogen", timeout_s=5, **influx),
        sites=(Site(id="lab", timezone="Europe/Berlin", doors=(Door(id="main", node="ff-1"),)),),
    )


class Publisher:
    """A node as the broker sees it: batches go out, acknowledgements come back."""

    def __init__(self, mosquitto: Mosquitto) -> None:
        self.acknowledged = 0
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.on_message = self._on_ack
        self.client.connect(HOST, mosquitto.port)
        self.client.loop_start()
        self.client.subscribe("footfall/1/ff-1/ack", 1)

    def _on_ack(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self.acknowledged = max(self.acknowledged, json.loads(message.payload)["seq"])

    def send(self, seq: int, records: list[list[object]]) -> int:
        """Publishes as batches of at most 50; the next seq."""
        for start in range(0, len(records), 50):
            part = records[start : start + 50]
            batch = {"v": 1, "spool": SPOOL, "boot": 1, "seq": seq + start, "r": part}
            payload = json.dumps(batch, separators=(",", ":"))
            self.client.publish("footfall/1/ff-1/records", payload, 1).wait_for_publish(LIMIT_S)
        return seq + len(records)

    def wait_for_ack(self, seq: int) -> None:
        wait_until(lambda: self.acknowledged >= seq, "the gateway to acknowledge")

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def publisher(mosquitto) -> Iterator[Publisher]:
    publisher = Publisher(mosquitto)
    yield publisher
    publisher.close()


def wait_until(true, what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {LIMIT_S} s for {what}")
        time.sleep(0.02)


@pytest.mark.timeout(600)
def test_after_many_outages_every_bucket_is_there_with_its_last_number(
    mosquitto, influxdb, publisher, tmp_path, caplog
):
    caplog.set_level(logging.INFO, "footfall_gateway")
    rng = random.Random(11)
    influxdb.create_database("footfall")
    gateway = Gateway(settings_for(tmp_path, mosquitto, influxdb, batch_points=7))
    gateway.start()
    wait_until(lambda: "connected, listening" in caplog.text, "the gateway")

    killed = threading.Event()

    def chaos() -> None:
        for kill in range(KILLS):
            time.sleep(rng.uniform(0.1, 0.6))
            influxdb.kill()
            time.sleep(rng.uniform(0.1, 1.0))
            if kill == 0:  # one outage at least that the gateway has met
                wait_until(lambda: gateway.sink.trouble, "the gateway to miss InfluxDB")
            influxdb.start()
        killed.set()

    start_ms = (time.time_ns() // 10**6 // HOUR_MS - HOURS - 2) * HOUR_MS
    truth: Counter[tuple[int, str]] = Counter()
    seq = publisher.send(1, [[0, "R", "power", "0.1.0", 1], [0, "C", start_ms, "gw"]])
    chaos_thread = threading.Thread(target=chaos)
    chaos_thread.start()
    for part in range(2):  # the second half of each hour comes late: buckets that were sent are written again
        for hour in range(HOURS):
            first_ms = hour * HOUR_MS + part * HOUR_MS // 2
            records: list[list[object]] = []
            for t_ms in sorted(rng.sample(range(first_ms, first_ms + HOUR_MS // 2), rng.randrange(5, 60))):
                direction = rng.choice([1, 1, -1])
                records.append([t_ms, "P", 0, direction, 400])
                truth[start_ms + hour * HOUR_MS, "in" if direction > 0 else "out"] += 1
            records.append([first_ms + HOUR_MS // 2, "A", first_ms, 0, 0])
            seq = publisher.send(seq, records)
            time.sleep(0.03)
    publisher.wait_for_ack(seq - 1)  # at once, whatever InfluxDB does
    chaos_thread.join(2 * LIMIT_S)
    assert killed.is_set()
    wait_until(
        lambda: gateway.ledger.counters().dirty == 0 and gateway.outbox.depth() == 0, "the outbox to drain"
    )
    gateway.stop()
    assert gateway.failure is None

    rows = influxdb.query(
        "SELECT \"in\", \"out\", covered_s FROM footfall_hour WHERE site='lab' AND door='main' "
        f"AND time >= {start_ms}ms AND time < {start_ms + HOURS * HOUR_MS}ms",
        "footfall",
    )
    found = {(row["time"], word): row[word] for row in rows for word in ("in", "out")}
    assert found == {
        (start_ms + h * HOUR_MS, word): truth[start_ms + h * HOUR_MS, word]
        for h in range(HOURS)
        for word in ("in", "out")
    }
    assert {row["covered_s"] for row in rows} == {3600}
    with Ledger.open(tmp_path / "ledger.sqlite", read_only=True) as ledger:
        assert Outbox(ledger).rejected() == 0
        assert ledger.counters().records == seq - 1
    assert "InfluxDB" in caplog.text
    assert "works again after" in caplog.text


def test_a_gateway_without_influxdb_keeps_everything_and_delivers_after_a_restart(
    mosquitto, influxdb, publisher, tmp_path, caplog
):
    caplog.set_level(logging.INFO, "footfall_gateway")
    influxdb.create_database("footfall")
    influxdb.kill()
    settings = settings_for(tmp_path, mosquitto, influxdb)
    start_ms = (time.time_ns() // 10**6 // HOUR_MS - 30) * HOUR_MS
    gateway = Gateway(settings)
    gateway.start()
    wait_until(lambda: "connected, listening" in caplog.text, "the gateway")
    seq = publisher.send(1, [[0, "C", start_ms, "gw"]])
    for hour in range(24):
        t_ms = hour * HOUR_MS
        seq = publisher.send(seq, [[t_ms + 1000, "P", 0, 1, 400], [t_ms + HOUR_MS, "A", t_ms, 0, 0]])
    publisher.wait_for_ack(seq - 1)
    wait_until(lambda: gateway.ledger.counters().dirty == 0, "the accounts")
    waiting = gateway.outbox.depth()
    gateway.stop()
    assert waiting >= 24 * 5  # an hour and its four quarters
    influxdb.start()
    gateway = Gateway(settings)
    gateway.start()
    wait_until(lambda: gateway.outbox.depth() == 0, "the outbox to drain")
    gateway.stop()
    rows = influxdb.query('SELECT sum("in"), count("in") FROM footfall_hour', "footfall")
    assert (rows[0]["sum"], rows[0]["count"]) == (24, 24)


def test_a_long_outage_takes_disk_and_not_memory(tmp_path):
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        outbox = Outbox(ledger)
        with ledger.database.writing() as sql:
            for i in range(60_000):  # a year and a half of quarters of one door, or a week of health points
                line = point_line("footfall_quarter", {"site": "lab", "door": "main"}, {"in": i}, i * 900_000)
                sql.execute("INSERT INTO outbox (key, line, put_ms) VALUES (?, ?, 0)", (f"q{i}", line))
        writer = InfluxWriter(
            InfluxSettings(url=f"http://{HOST}:{free_port()}", bucket="b", timeout_s=1), None
        )
        sink = InfluxSink(writer, outbox, 1000, lambda: 0, lambda _error: None)
        with pytest.raises(AwayError):
            sink.deliver()  # what is loaded once stays: imports, caches
        tracemalloc.start()
        for _ in range(20):
            with pytest.raises(AwayError):
                sink.deliver()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 5_000_000  # 1,000 lines at a time, not 60,000
        assert outbox.depth() == 60_000
        assert outbox.lag_ms(3_600_000) == 3_600_000
        writer.close()
