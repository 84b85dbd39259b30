"""Malformed input of every kind, among a good node's batches, on the real way: broker, gateway process, InfluxDB.

Nothing crashes, each is quarantined with its reason and counted in `footfall status`, and the good records around it
stand in the right hour in InfluxDB.
"""

import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from footfall_gateway.ledger import Ledger
from footfall_simulator.timeline import Timeline
from tests.faults.chaos import resident_mb
from tests.rig import DATABASE, Gateway
from tests.servers import HOST, InfluxDB, Mosquitto

pytestmark = pytest.mark.timeout(600)
HOUR = 3_600_000
NINE = 1_780_045_200_000  # 2026-05-29 09:00 UTC
NOW = NINE + 24 * HOUR
SPOOL = "8f3a01c2"
NODE, NEIGHBOUR, FOREIGN = "ff-good", "ff-neighbour", "ff-foreign"
RECORDS = f"footfall/1/{NODE}/records"
STATE = f"footfall/1/{NODE}/state"
REPLY = f"footfall/1/{NODE}/reply"
STEP_MS = 20_000  # between two good passages
WAIT_S = 120.0
QUARANTINE_PAUSE_MS = 60_000  # a source may fill 60 rows of the quarantine a minute
MOST_MB = 150.0


class Way:
    """The gateway with its servers, and a good node that sends to it."""

    def __init__(self, folder: Path, broker: Mosquitto, influxdb: InfluxDB) -> None:
        self.influxdb = influxdb
        self.timeline = Timeline(NOW)
        self.truth: Counter[tuple[int, str]] = Counter()  # (hour, "in" or "out")
        self.seq = 1
        self._config = folder / "footfall.toml"
        self._rng = random.Random(5)
        influxdb.create_database(DATABASE)
        (folder / "token").write_text("user:password")
        (folder / "token").chmod(0o600)
        doors = "".join(
            f'[[site.door]]\nid = "{door}"\nnode = "{node}"\n'
            for door, node in (("main", NODE), ("side", NEIGHBOUR))
        )
        self._config.write_text(
            f'[gateway]\ndata = "var"\n[mqtt]\nhost = "{HOST}"\nport = {broker.port}\n'
            f'[influxdb]\nurl = "{influxdb.v2_url}"\norg = "-"\nbucket = "{DATABASE}/autogen"\ntoken_file = "token"\n'
            f'[[site]]\nid = "lab"\ntimezone = "Europe/Berlin"\n{doors}'
        )
        self.gateway = Gateway(folder, self._config, self.timeline.publish(folder / "clock.json"))
        self.gateway.start()
        self.gateway.wait_until_listening()
        self.ledger = Ledger.open(folder / "var" / "ledger.sqlite", read_only=True)
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.connect(HOST, broker.port)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self.ledger.close()
        if self.gateway.alive:
            self.gateway.kill()

    def publish(self, topic: str, payload: bytes, qos: int = 1) -> None:
        self._client.publish(topic, payload, qos).wait_for_publish(WAIT_S)

    def t_ms(self) -> int:
        """When the record with the next number happened, since the boot at nine o'clock."""
        return self.seq * STEP_MS

    def good_record(self, *, before: int = 0) -> str:
        """A passage with the next number, as JSON; `before` more come first."""
        self.seq += before
        direction = self._rng.choice((1, -1))
        hour = (NINE + self.t_ms()) // HOUR * HOUR
        self.truth[hour, "in" if direction == 1 else "out"] += 1
        text = f'[{self.t_ms()},"P",0,{direction},400]'
        self.seq += 1
        return text

    def good(self, people: int = 3) -> bytes:
        """Send a good batch; what was sent."""
        first = self.seq
        clock = [f'[{self.t_ms()},"C",{NINE + self.t_ms()},"gw"]'] if first == 1 else []
        self.seq += len(clock)
        payload = batch(first, *clock, *(self.good_record() for _ in range(people)))
        self.publish(RECORDS, payload)
        return payload

    def around(self, bad: str | bytes) -> None:
        """Send a batch with a record that is no good between two that are."""
        first = self.seq
        before = self.good_record().encode()
        self.seq += 1
        after = self.good_record().encode()
        text = bad if isinstance(bad, bytes) else bad.encode()
        self.publish(RECORDS, batch(first, "@").replace(b"@", b",".join((before, text, after))))

    def wait(self, what: str, done: Callable[[], bool]) -> None:
        until = time.monotonic() + WAIT_S
        while not done():
            assert self.gateway.alive, self.gateway.log_file.read_text()
            assert time.monotonic() < until, f"{what}: {self.refused()}, {self.ledger.spools()}"
            time.sleep(0.01)

    def wait_for_the_good(self) -> None:
        """Until every number sent so far is in the ledger."""

        def there() -> bool:
            return any(
                (spool.node, spool.spool, spool.contiguous) == (NODE, SPOOL, self.seq - 1)
                for spool in self.ledger.spools()
            )

        self.wait(f"records up to {self.seq - 1}", there)

    def refused(self) -> dict[str, int]:
        return self.ledger.counters().quarantined_by_reason

    def pause_for_the_quarantine(self) -> None:
        self.timeline.jump(QUARANTINE_PAUSE_MS)

    def counted(self) -> Counter[tuple[int, str]]:
        """What InfluxDB has of the good node's door."""
        found: Counter[tuple[int, str]] = Counter()
        rows = self.influxdb.query(
            'SELECT "in", "out" FROM footfall_hour WHERE door = \'main\''
            f" AND time >= {NINE - 48 * HOUR}ms AND time < {NOW + 48 * HOUR}ms",
            DATABASE,
        )
        for row in rows:
            for direction in ("in", "out"):
                if row[direction]:
                    found[row["time"], direction] += row[direction]
        return found

    def assert_good_to_the_end(self, refused: dict[str, int]) -> None:
        """The same process still runs, has counted the good and nothing else, says what it refused, and ends well."""
        self.wait("the sums", lambda: self.ledger.counters().dirty == 0)
        self.wait("the points", lambda: self.counted() == self.truth)
        status = subprocess.run(
            [sys.executable, "-m", "footfall_gateway.cli", "status", "--config", str(self._config)],
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert status.returncode == 0, status.stdout + status.stderr
        said = re.search(r"^refused: (\d+) \((.*)\)$", status.stdout, re.MULTILINE)
        assert said, status.stdout
        by_reason = dict(one.split(" ", 1)[::-1] for one in said[2].split(", "))
        assert {reason: int(n) for reason, n in by_reason.items()} == refused
        assert int(said[1]) == sum(refused.values())
        assert self.gateway.stop() == 0
        log = self.gateway.log_file.read_text()
        assert "Traceback" not in log
        assert "an error inside" not in log
        assert self.counted() == self.truth


@pytest.fixture
def way(tmp_path: Path, make_mosquitto: Callable[..., Mosquitto], influxdb: InfluxDB) -> Iterator[Way]:
    # This good node sends nothing again, so the broker may drop nothing (mosquitto: beyond 1000 messages by default)
    way = Way(tmp_path, make_mosquitto(settings=["max_queued_messages 0"]), influxdb)
    yield way
    way.close()


def batch(seq: object, /, *records: str, **changes: object) -> bytes:
    """A batch as the wire has it; `changes` are JSON texts for its fields, None leaves a field out."""
    fields = {"v": "1", "spool": f'"{SPOOL}"', "boot": "1", "seq": str(seq), "r": f"[{','.join(records)}]"}
    return (
        "{" + ",".join(f'"{k}":{v}' for k, v in (fields | changes).items() if v is not None) + "}"
    ).encode()


PASSAGE = '[1000,"P",0,1,400]'
DEEP = 900  # brackets fit into a message

# reason -> messages: (topic, payload)
MESSAGES: dict[str, list[tuple[str, bytes]]] = {
    "not json": [
        (RECORDS, b""),
        (RECORDS, b"garbage"),
        (RECORDS, b"\x00\x01\x02\xff\xfe\xfd"),
        (RECORDS, batch(2, PASSAGE)[:-3]),
        (RECORDS, batch(2, PASSAGE) + b"}"),
        (RECORDS, b"\xef\xbb\xbf" + batch(2, PASSAGE)),  # a byte order mark
        (RECORDS, batch(2, PASSAGE).decode().encode("utf-16")),
        (RECORDS, b"[" * (2 * DEEP)),
        (RECORDS, b'{"v":1,"a":' * 150),
        (RECORDS, batch(2, "'single quotes'")),
        (STATE, b"{"),
        (STATE, b'{"v":1,"online":true,"x":' + b"[" * (2 * DEEP)),
        (REPLY, b"\xff"),
    ],
    "too large": [
        (RECORDS, b"x" * 5_000_000),
        (RECORDS, batch(2, *[PASSAGE] * 51)),
        (RECORDS, batch(2, PASSAGE, x='"' + "x" * 2048 + '"')),
        (RECORDS, b"[" * 100_000),
        (RECORDS, b" " * 2100 + batch(2, PASSAGE)),
        (RECORDS, batch(2, f'["{"x" * 3000}"]')),
        (STATE, b'{"v":1,"online":true,"x":"' + b"x" * 1_000_000 + b'"}'),
        (REPLY, b" " * 3000),
    ],
    "bad batch": [
        (RECORDS, b"[]"),
        (RECORDS, b"null"),
        (RECORDS, b"true"),
        (RECORDS, b"NaN"),
        (RECORDS, b'"text"'),
        (RECORDS, b"1e400"),
        *(
            (RECORDS, batch(seq, PASSAGE))
            for seq in (0, -3, 1.5, "1e3", '"2"', "true", "null", "NaN", 2**53, 10**60)
        ),
        *(
            (RECORDS, batch(2, PASSAGE, boot=boot))
            for boot in ("-1", '"1"', "1.5", "null", "[]", str(2**64), "Infinity")
        ),
        *(
            (RECORDS, batch(2, PASSAGE, spool=spool))
            for spool in (
                '"8F3A01C2"',
                '"8f3a01c"',
                '"8f3a01c2a"',
                '"../../etc"',
                "12345678",
                "null",
                '"\\u0000"',
                '{"a":1}',
            )
        ),
        *((RECORDS, batch(2, r=r)) for r in ("null", "[]", "{}", '"P"', "7", None)),
        (RECORDS, batch(2, PASSAGE, seq=None)),
        (RECORDS, batch(2, PASSAGE, boot=None)),
        (RECORDS, batch(2, PASSAGE, spool=None)),
    ],
    "unknown version": [
        *(
            (RECORDS, batch(2, PASSAGE, v=v))
            for v in ("2", "0", "-1", '"1"', "true", "null", "[1]", "NaN", "1.5", None)
        ),
        (RECORDS, b"{}"),
        (STATE, b'{"v":2,"online":true}'),
        (REPLY, b'{"v":"1","ask":"time","t":1}'),
    ],
    "unknown node": [
        (f"footfall/1/{FOREIGN}/records", batch(2, PASSAGE)),
        (f"footfall/1/{NODE}x/records", batch(2, PASSAGE)),
        (f"footfall/1/{FOREIGN}/state", b'{"v":1,"online":true}'),
        (f"footfall/1/{FOREIGN}/reply", b'{"v":1,"ask":"time","t":1}'),
    ],
    "bad topic": [
        (f"footfall/1/{NODE.upper()}/records", batch(2, PASSAGE)),
        ("footfall/1//records", batch(2, PASSAGE)),
        ("footfall/1/ff_1/records", batch(2, PASSAGE)),
        ("footfall/1/ff 1/state", b'{"v":1,"online":true}'),
        (f"footfall/1/{'f' * 33}/records", batch(2, PASSAGE)),
        ("footfall/1/tür/reply", b'{"v":1,"ask":"time","t":1}'),
        ("footfall/1/" + "x" * 10_000 + "/records", batch(2, PASSAGE)),
    ],
    "bad state": [
        *(
            (STATE, f'{{"v":1,{fields}}}'.encode())
            for fields in (
                '"fw":"no online"',
                '"online":null',
                '"online":"yes"',
                '"online":true,"uptime_s":-1',
                '"online":true,"heap":1.5',
                '"online":true,"heap":1e400',
                '"online":true,"faults":[4]',
                '"online":true,"faults":[0,0,0,0,0,0,0,0,0]',
                '"online":true,"rssi":"loud"',
                f'"online":true,"spool":{10**40}',
            )
        ),
    ],
    "bad reply": [
        (REPLY, b'{"v":1,"ask":"time","t":-1}'),
        (REPLY, b'{"v":1,"ask":"time","t":"now"}'),
        (REPLY, b'{"v":1,"ask":7}'),
    ],
}

# The gateway has not subscribed to these, so they change nothing and count nowhere.
ELSEWHERE = [
    ("footfall/2/ff-good/records", batch(2, PASSAGE)),
    ("footfall/1/ff-good/records/more", batch(2, PASSAGE)),
    ("footfall/1/records", batch(2, PASSAGE)),
    ("footfall/1/ff-good/ack", b'{"v":1,"spool":"8f3a01c2","seq":99999}'),
    ("footfall/1/ff-good/command", b'{"v":1,"do":"reboot"}'),
    ("footfall", b"footfall"),
]


def test_a_malformed_message_is_quarantined_and_the_batches_around_it_count(way: Way) -> None:
    way.good()
    way.wait_for_the_good()
    expected: Counter[str] = Counter()
    for reason, messages in MESSAGES.items():
        for topic, payload in messages:
            way.publish(topic, payload)
            way.good()
            way.wait_for_the_good()
            expected[reason] += 1
            assert way.refused() == expected, f"{topic[:60]}: {payload[:60]!r}"
            newest = way.ledger.quarantine(1)[0]
            assert newest.reason == reason
            assert newest.detail
            assert len(newest.payload) <= 2048
        way.pause_for_the_quarantine()
    for topic, payload in ELSEWHERE:
        way.publish(topic, payload)
        way.good()
    way.wait_for_the_good()
    assert way.ledger.counters().not_kept == 0
    way.assert_good_to_the_end(expected)


BAD_RECORDS: list[str | bytes] = [
    *("null", "7", '"P"', "{}", "[]", "[1000]", '["P",1000,0,1,400]', '[1000,"P"]', '[1000,"P",0,1]'),
    *('[1000,"p",0,1,400]', '[1000,"PP",0,1,400]', "[1000,7,0,1,400]", "[1000,null,0,1,400]"),
    *(
        '["1000","P",0,1,400]',
        '[null,"P",0,1,400]',
        '[true,"P",0,1,400]',
        '[[1000],"P",0,1,400]',
        '[1000.5,"P",0,1,400]',
    ),
    *('[-1,"P",0,1,400]', f'[{2**63},"P",0,1,400]', f'[{10**300},"P",0,1,400]', '[1e400,"P",0,1,400]'),
    *('[NaN,"P",0,1,400]', '[Infinity,"P",0,1,400]', '[-Infinity,"P",0,1,400]', '[1000,"P",0,NaN,400]'),
    *(
        '[1000,"P",-1,1,400]',
        '[1000,"P",99,1,400]',
        '[1000,"P",0,2,400]',
        '[1000,"P",0,-2,400]',
        '[1000,"P",0,true,400]',
    ),
    *('[1000,"P",0,1,-400]', f'[1000,"P",0,1,{10**20}]', '[1000,"P",0,"in",400]', '[1000,"P",{"a":1},1,400]'),
    *(
        '[1000,"B",-1,0]',
        '[1000,"B",99,0]',
        '[1000,"Q",0,-1]',
        f'[1000,"Q",0,{10**20}]',
        '[1000,"L",-5]',
        '[1000,"L",0]',
    ),
    *(
        '[1000,"F",0,2,1]',
        '[1000,"F",0,0,2]',
        '[1000,"A",-1,0,0]',
        '[1000,"A",2000,0,0]',
        '[1000,"A",0,-1,0]',
    ),
    *('[1000,"C",1.5,"gw"]', '[1000,"C",-1,"gw"]', f'[1000,"C",{NINE},7]', '[1000,"C","2026-05-29","gw"]'),
    *(f'[1000,"C",{NINE},"\\ud800"]', f'[1000,"C",{NINE},"g\\u0000w"]', f'[1000,"C",{NINE},"{"x" * 500}"]'),
    *(
        '[0,"R","power"]',
        '[0,"R",7,"0.1.0",0]',
        '[0,"R","power","0.1.0",-1]',
        '[1000,"E",0,4]',
        '[1000,"E",0,-1]',
    ),
    f'[1000,"C",{2**52},"gw"]',
    b'[1000,"P",0,1,"\xff\xfe"]',
    f'[1000,"C",{NINE},"g'.encode() + b'\xc3\x28"]',
    "[" * 400 + "]" * 400,
]
BAD_CLOCKS = [  # UTC in ms: 1970, a board that was never set, the year before 2020, ahead of the gateway, far future
    *(
        0,
        1,
        1000,
        946_684_800_000,
        1_577_836_799_999,
        NOW + 2 * HOUR,
        NOW + 10_000 * HOUR,
        4_102_444_800_000,
    )
]


def test_a_malformed_record_costs_its_own_place_only(way: Way) -> None:
    first = way.good()
    way.wait_for_the_good()
    expected: Counter[str] = Counter()
    cases = [("bad record", bad) for bad in BAD_RECORDS]
    cases += [("bad clock", f'[1000,"C",{utc_ms},"ntp"]') for utc_ms in BAD_CLOCKS]
    for number, (reason, bad) in enumerate(cases):
        way.around(bad)
        way.wait_for_the_good()
        expected[reason] += 1
        assert way.refused() == expected, f"{bad[:80]!r}"
        newest = way.ledger.quarantine(1)[0]
        assert (newest.reason, newest.origin) == (reason, f"{NODE} {SPOOL} {way.seq - 2}")
        assert newest.detail
        if number % 50 == 49:
            way.pause_for_the_quarantine()
    # the same numbers once more: as they were, and with another content
    way.publish(RECORDS, first)
    way.publish(
        RECORDS, first.replace(b'"P",0,1,400', b'"P",0,0,401').replace(b'"P",0,-1,400', b'"P",0,0,401')
    )
    expected["conflict"] += 3
    way.good()
    way.wait_for_the_good()
    assert way.ledger.counters().not_kept == 0
    way.assert_good_to_the_end(expected)


def test_a_flood_of_garbage_costs_a_count_and_not_the_memory_and_the_good_come_through(way: Way) -> None:
    rng = random.Random(9)
    way.good()
    way.wait_for_the_good()
    process = way.gateway._process
    assert process is not None
    before_mb = resident_mb(process.pid)
    flood = 4000
    for number in range(flood):
        garbage = rng.randbytes(rng.randrange(1, 2000)) if number % 50 else b"\xff" * 300_000
        topic = rng.choice(
            (RECORDS, f"footfall/1/{NEIGHBOUR}/records", f"footfall/1/{FOREIGN}-{number}/records")
        )
        way._client.publish(topic, b"\xff" + garbage, 1)
        if number % 100 == 0:
            way.good()
    way.good()
    way.wait_for_the_good()
    way.wait("the flood", lambda: sum(way.refused().values()) == flood)
    assert way.refused().keys() <= {"not json", "too large"}
    assert way.ledger.counters().not_kept > 0
    assert len(way.ledger.quarantine(flood)) < flood / 2
    assert resident_mb(process.pid) < max(MOST_MB, before_mb + 60)
    way.assert_good_to_the_end(dict(way.refused()))


def test_a_message_that_only_looks_strange_is_taken(way: Way) -> None:
    """Other order, white space, fields of a later version: a gateway ignores what it does not know."""
    way.good()
    record = json.loads(way.good_record())
    strange = {
        "later": [1, {"x": None}],
        "r": [record],
        "seq": way.seq - 1,
        "spool": SPOOL,
        "boot": 1,
        "v": 1,
    }
    way.publish(RECORDS, json.dumps(strange, indent=2).encode(), qos=0)
    way.wait_for_the_good()
    way.publish(RECORDS, b"no")  # so that `status` has something to tell
    way.good()
    way.wait_for_the_good()
    way.assert_good_to_the_end({"not json": 1})
