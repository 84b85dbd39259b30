"""What the fault tests do to the way from the nodes to the gateway: everything twice and shuffled, processes killed.

`ChaosRelay` stands between two brokers: the nodes talk to one, the gateway to the other. `Killer` takes one process away
again and again at moments of virtual time. `power_cut` switches a board off at an exact instant of its own life.
`wait_until_written` is the end of it all.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

import paho.mqtt.client as paho

from footfall_core import topic
from footfall_simulator.town import HOUR_MS
from tests.servers import HOST, Mosquitto

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from footfall_simulator.timeline import Timeline
    from footfall_simulator.virtual_board import VirtualBoard
    from tests.rig import Rig

WINDOW = 8  # copies of batches that wait at a time, to be sent on in any order
HELD_S = 0.04  # with nothing new for so long, what waits is sent on
RECONNECT_S = 0.2
SENTINEL_PIN = 5  # nothing is connected to it; an edge there tells that the board has lived until then
WATCH_S = 0.002
SETTLE_S = 120.0


class ChaosRelay:
    """Carries every message of the nodes' broker to the gateway's and back, twice each.

    Batches of records wait in a pool of WINDOW copies and leave it in random order, the two copies of one batch apart.
    Retained messages stay retained. A broker that comes back, empty, is told again what the other has retained. `passed`
    counts messages by leaf, `overtaken` the batches that were sent on behind a later one of the same spool.
    """

    def __init__(self, nodes: Mosquitto, gateway: Mosquitto, seed: int) -> None:
        self.passed: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.overtaken = 0
        self.errors: list[str] = []
        self._rng = random.Random(seed)
        self._pool: list[tuple[str, bytes, int]] = []  # topic, payload, number
        self._newest: dict[str, int] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._towards_gateway = (topic.RECORDS, topic.STATE, topic.REPLY)
        self._towards_nodes = (topic.ACK, topic.CONFIG, topic.COMMAND)
        self._nodes = self._client(self._on_from_nodes)
        self._gateway = self._client(self._on_from_gateway)
        self._nodes.connect_async(HOST, nodes.port)
        self._gateway.connect_async(HOST, gateway.port)
        self._thread = threading.Thread(target=self._stir, name="chaos relay", daemon=True)

    def __enter__(self) -> Self:
        self._nodes.loop_start()
        self._gateway.loop_start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        for client in (self._nodes, self._gateway):
            client.disconnect()
            client.loop_stop()

    def wait_until_all_is_sent(self) -> None:
        """Until nothing waits to be sent on: nodes go on writing signs of life, and what has passed is sent a little later."""
        until = time.monotonic() + SETTLE_S
        while True:
            with self._changed:
                if not self._pool and self.sent[topic.RECORDS] == 2 * self.passed[topic.RECORDS]:
                    return
            assert time.monotonic() < until, f"{self.passed} passed, {self.sent} sent"
            time.sleep(HELD_S / 4)

    def _client(self, on_message: Callable[[paho.MQTTMessage], None]) -> paho.Client:
        def guarded(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
            try:
                on_message(message)
            except Exception as error:  # noqa: BLE001 - it would end paho's thread unseen
                self.errors.append(repr(error))

        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        client.reconnect_delay_set(RECONNECT_S, RECONNECT_S)  # type: ignore[arg-type]
        client.max_inflight_messages = 200
        client.on_connect = self._on_connect
        client.on_message = guarded
        return client

    def _on_connect(self, _client: paho.Client, *_: object) -> None:
        # Both, as the one that has just come back has forgotten what the other one may still have retained.
        for client, leaves in (
            (self._nodes, self._towards_gateway),
            (self._gateway, self._towards_nodes),
        ):
            if client.is_connected():
                client.subscribe([(f"footfall/1/+/{leaf}", 1) for leaf in leaves])

    def _on_from_nodes(self, message: paho.MQTTMessage) -> None:
        _, leaf = topic.parse(message.topic)
        self.passed[leaf] += 1
        if leaf != topic.RECORDS:
            self._send_twice(self._gateway, message, leaf)
            return
        number = self.passed[leaf]
        with self._changed:
            for _ in range(2):
                self._pool.append((message.topic, bytes(message.payload), number))
            while len(self._pool) > WINDOW:
                self._send_one()
            self._changed.notify_all()

    def _on_from_gateway(self, message: paho.MQTTMessage) -> None:
        _, leaf = topic.parse(message.topic)
        self.passed[leaf] += 1
        self._send_twice(self._nodes, message, leaf)

    def _send_twice(self, client: paho.Client, message: paho.MQTTMessage, leaf: str) -> None:
        retain = leaf in (topic.ACK, topic.CONFIG, topic.STATE)
        for _ in range(2):
            client.publish(message.topic, message.payload, 1, retain)
            self.sent[leaf] += 1

    def _send_one(self) -> None:
        where, payload, number = self._pool.pop(self._rng.randrange(len(self._pool)))
        self._gateway.publish(where, payload, 1)
        self.sent[topic.RECORDS] += 1
        newest = self._newest.get(where, 0)
        self.overtaken += number < newest
        self._newest[where] = max(newest, number)

    def _stir(self) -> None:
        with self._changed:
            while not self._closing:
                if not self._pool:
                    self._changed.wait(1)
                elif not self._changed.wait(HELD_S):
                    while self._pool:
                        self._send_one()


class Killer:
    """Kills a process (SIGKILL) as virtual time passes each of `moments_ms`, and starts it again a little later."""

    def __init__(
        self,
        name: str,
        timeline: Timeline,
        moments_ms: Sequence[int],
        kill: Callable[[], None],
        start: Callable[[], None],
        seed: int,
        longest_down_s: float = 0.5,
    ) -> None:
        self.name = name
        self.kills = 0
        self._timeline = timeline
        self._moments_ms = sorted(moments_ms)
        self._kill = kill
        self._start = start
        self._rng = random.Random(f"{name} {seed}")
        self._longest_down_s = longest_down_s
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"killer of {name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def finish(self) -> None:
        """Wait until the last kill is over and the process is back."""
        self._thread.join(120)
        if self._error is not None:
            raise self._error
        assert not self._thread.is_alive(), f"the killer of {self.name} is stuck"

    def _run(self) -> None:
        try:
            for moment_ms in self._moments_ms:
                while self._timeline.now_ms() < moment_ms:
                    if self._stop.wait(WATCH_S):
                        return
                self._kill()
                self.kills += 1
                time.sleep(self._rng.uniform(0, self._longest_down_s))
                self._start()
        except Exception as error:  # noqa: BLE001 - told by `finish`
            self._error = error


def approach(timeline: Timeline, utc_ms: int, timeout_s: float) -> None:
    """Let time pass until `utc_ms`: ever slower, so that a machine that stands still for half a second on the way
    overshoots by seconds only."""
    with ExitStack() as stack:
        for ahead_ms, rate in (
            (3 * HOUR_MS, 4000),
            (2_400_000, 1000),
            (600_000, 400),
            (120_000, 100),
            (20_000, 20),
        ):
            timeline.wait_until(utc_ms - ahead_ms, timeout_s)
            stack.enter_context(timeline.slowed(rate))
        timeline.wait_until(utc_ms, timeout_s)


def live_until(board: VirtualBoard, utc_ms: int) -> None:
    """The board will live until exactly `utc_ms` and then stand still, for `power_cut`. Its edges until then may follow."""
    board.schedule_edges([(utc_ms, SENTINEL_PIN, 0), (utc_ms, SENTINEL_PIN, 1)], hold_until=utc_ms)


def power_cut(board: VirtualBoard, timeout_s: float = 60.0) -> None:
    """Cut the power at exactly the instant that `live_until` named; returns when it is off."""
    board.wait_for_edges(timeout_s)
    assert board.late_edges == 0, f"{board.name}: edges came late, the run proves nothing"
    assert not board.tracebacks, board.tracebacks[0]
    board.kill()
    board.hold(None)


def resident_mb(pid: int) -> float:
    """Memory that a process really occupies (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0  # it is just ending


def wait_until_written(rig: Rig) -> None:
    """Until every record is in the ledger, and every bucket that has closed in InfluxDB."""
    until = time.monotonic() + SETTLE_S
    while not rig.settled():
        assert time.monotonic() < until, rig.status()
        time.sleep(0.2)
