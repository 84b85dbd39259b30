"""What a node needs at the other end, as small as can be: records kept by number, acknowledged, the time told.

Not the gateway's code: the firmware's tests must not depend on it, and their truth must not come from it.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import paho.mqtt.client as paho

WAIT_S = 60


class StandInGateway:
    """Connects to a broker and answers nodes. `acknowledge`, `tell_time` can be switched off; clock() gives UTC ms."""

    def __init__(
        self, port: int, user: str | None = None, password: str | None = None, ca: str | None = None
    ):
        self.records: dict[str, dict[int, tuple[int, list[Any]]]] = {}  # spool -> seq -> (boot, record)
        self.conflicts: list[str] = []
        self.batches: list[dict[str, Any]] = []
        self.replies: list[dict[str, Any]] = []
        self.states: list[dict[str, Any]] = []
        self.acknowledge = True
        self.tell_time = True
        self.clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000
        self._changed = threading.Condition()
        listening = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        if user is not None:
            self._client.username_pw_set(user, password)
        if ca is not None:
            self._client.tls_set(ca)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(
            [(f"footfall/1/+/{leaf}", 1) for leaf in ("records", "reply", "state")]
        )
        self._client.on_subscribe = lambda *_: listening.set()
        self._client.on_message = self._on_message
        self._client.connect("localhost" if ca else "127.0.0.1", port)
        self._client.loop_start()
        if not listening.wait(WAIT_S):  # what a node says to nobody is not said again
            self.__exit__()
            raise TimeoutError(f"no broker answered on port {port} within {WAIT_S} s")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        # So that the client goes, and its sockets with it, as soon as this does: collected in one ring with it, its sockets
        # may be found open, which is an error of whatever test runs by then
        self._client.on_message = None

    def send(self, node: str, leaf: str, content: object, *, retain: bool = False) -> None:
        """Publish on a node's topic; a str or bytes goes as it is, everything else as JSON."""
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        self._client.publish(f"footfall/1/{node}/{leaf}", text, 1, retain).wait_for_publish(WAIT_S)

    def wait(self, what: str, condition: Callable[[], object], timeout_s: float = WAIT_S) -> Any:
        """Wait until condition() holds after something was received; its value."""
        with self._changed:
            value = self._changed.wait_for(condition, timeout_s)
        assert value, f"{what}: not within {timeout_s} s"
        return value

    def wait_for_state(self, boot: int = 1) -> None:
        """Until the broker has the node's state of this boot, and so hands it to whoever asks.

        Also after a restart: that the connection before was lost is told at the same time, and must not be the last word.
        """
        self.wait(f"state of boot {boot}", lambda: self.states and self.states[-1].get("boot") == boot)

    @contextlib.contextmanager
    def at_rest(self) -> Iterator[None]:
        """Nothing is received while the block runs: for what belongs together, as nodes go on sending."""
        with self._changed:
            yield

    @property
    def state(self) -> dict[str, Any]:
        """The latest state; empty where there is none yet. It may be the last will, which has little in it."""
        return (self.states or [{}])[-1]

    def of_kind(self, kind: str) -> list[list[Any]]:
        """All records of a kind, in the order of their numbers."""
        with self._changed:
            return [
                record
                for spool in self.records.values()
                for _, (_, record) in sorted(spool.items())
                if record[1] == kind
            ]

    def contiguous(self, spool: str) -> int:
        """The highest number below which nothing is missing."""
        with self._changed:
            records = self.records.get(spool, {})
            seq = 0
            while seq + 1 in records:
                record = records[seq + 1][1]
                seq += record[2] if record[1] == "L" else 1
            return seq

    def _on_message(self, _client: object, _userdata: object, message: paho.MQTTMessage) -> None:
        _, _, node, leaf = message.topic.split("/")
        content = json.loads(message.payload)
        with self._changed:
            if leaf == "records":
                self._take(node, content)
            elif leaf == "state":
                self.states.append(content)
            elif content.get("ask") == "time":
                if self.tell_time:
                    answer = {"v": 1, "do": "time", "t": content["t"], "utc": self.clock()}
                    self._client.publish(f"footfall/1/{node}/command", json.dumps(answer), 1)
            else:
                self.replies.append(content)
            self._changed.notify_all()

    def _take(self, node: str, batch: dict[str, Any]) -> None:
        self.batches.append(batch)
        known = self.records.setdefault(batch["spool"], {})
        for seq, record in enumerate(batch["r"], batch["seq"]):
            if known.setdefault(seq, (batch["boot"], record)) != (batch["boot"], record):
                self.conflicts.append(f"{seq}: {known[seq]} and {record}")
        if self.acknowledge:
            ack = {"v": 1, "spool": batch["spool"], "seq": self.contiguous(batch["spool"])}
            self._client.publish(f"footfall/1/{node}/ack", json.dumps(ack), 1, retain=True)
