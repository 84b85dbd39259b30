"""`footfall update send` to several nodes through a real broker: each node's own end, and what the command ends with."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import paho.mqtt.client as paho
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import rsa

from footfall_gateway.cli import cli
from footfall_gateway.commissioning import CommissioningError, update_sender
from footfall_gateway.commissioning.bundle import make_bundle
from footfall_gateway.commissioning.device_files import DeviceFile
from tests.servers import Mosquitto

OLD, NEW = "0.1.0", "0.2.0"
BUNDLE = f"footfall-{NEW}-esp32.ffu"
WAIT_S = 60


class ScriptedNode:
    """A node that answers the command `update` with `end`, and from then on `info` with `told`."""

    def __init__(self, broker: Mosquitto, name: str, end: dict[str, Any], told: dict[str, Any]) -> None:
        self.asked: list[str] = []
        self._name = name
        self._answers = {"update": end, "info": {"fw": told.pop("fw", NEW), "update": told or None}}
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        listens = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe(f"footfall/1/{name}/command", 1)
        self._client.on_subscribe = lambda *_: listens.set()
        self._client.on_message = self._answer
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert listens.wait(WAIT_S)
        self._say("state", {"v": 1, "online": True}, retain=True).wait_for_publish(WAIT_S)

    def _say(self, leaf: str, values: dict[str, Any], *, retain: bool = False) -> paho.MQTTMessageInfo:
        return self._client.publish(f"footfall/1/{self._name}/{leaf}", json.dumps(values), 1, retain)

    def _answer(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        command = json.loads(message.payload)
        self.asked.append(command["do"])
        if command["do"] in self._answers:
            same = {"v": 1, "do": command["do"], "id": command["id"]}
            self._say("reply", same | self._answers[command["do"]])

    def goes_off(self) -> None:
        """As the broker tells it when a node falls silent."""
        self._say("state", {"v": 1, "online": False}, retain=True).wait_for_publish(WAIT_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def node(mosquitto: Mosquitto) -> Iterator[Callable[..., ScriptedNode]]:
    made = []

    def make(name: str, end: dict[str, Any], **told: Any) -> ScriptedNode:
        made.append(ScriptedNode(mosquitto, name, end, told))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def send(tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`footfall update send <words> BUNDLE` in a folder with settings and a bundle."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(update_sender, "LOOK_S", 0.1)
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    bundle = make_bundle([DeviceFile("app.mpy", b"M\6\0\x1f")], NEW, "esp32", key)
    Path(BUNDLE).write_bytes(bundle.content)
    Path("footfall.toml").write_text(
        f'[gateway]\ndata = "var"\n[mqtt]\nhost = "127.0.0.1"\nport = {mosquitto.port}\n'
        '[[site]]\nid = "lab"\ntimezone = "Europe/Berlin"\n[[site.door]]\nid = "main"\nnode = "ff-a"\n'
    )

    def run(*words: str) -> Result:
        options = {"catch_exceptions": False, "standalone_mode": False}
        return CliRunner().invoke(cli, ["update", "send", *words, BUNDLE], **options)

    return run


RESTARTS = {"stage": "restarting"}


def test_every_node_gets_its_turn_and_the_end_names_who_was_not_updated_and_why(node, send, mosquitto):
    node("ff-a", RESTARTS)
    node("ff-b", RESTARTS).goes_off()
    node("ff-c", {"error": "made for the chip esp32, this is esp32c3"})
    node("ff-d", {"stage": "runs"})
    done = send("ff-a", "ff-b", "ff-never", "ff-c", "ff-d", "ff-a")
    assert done.return_value == 1
    results = done.stdout.partition(f"{NEW}, node by node:\n")[2].splitlines()
    expected = [
        f"  ff-a: {NEW} runs and has reached the gateway",
        "  ff-b: NOT UPDATED: ff-b is offline; has it power and WiFi? Over USB it answers all the same: --port",
        f"  ff-never: NOT UPDATED: broker 127.0.0.1:{mosquitto.port} has never heard of a node ff-never;",
        f"  ff-c: NOT UPDATED: ff-c does not take {NEW}: made for the chip esp32, this is esp32c3",
        f"  ff-d: runs {NEW} already; --again sends it all the same",
    ]
    assert [line[: len(words)] for line, words in zip(results, expected, strict=True)] == expected
    assert "    Build it for that chip" in done.stdout, "each failure comes with its way out"


def test_a_firmware_that_one_node_gave_up_is_not_tried_on_the_next(node, send):
    node("ff-a", RESTARTS, fw=OLD, version=NEW, error="slot b: ValueError")
    spared = node("ff-b", RESTARTS)
    done = send("ff-a", "ff-b")
    assert done.return_value == 1
    assert (
        f"ff-a: NOT UPDATED: ff-a has returned to {OLD}: {NEW} was given up (slot b: ValueError)"
        in done.stdout
    )
    assert f"ff-b: not tried, as {NEW} was given up on the node before" in done.stdout
    assert spared.asked == []


def test_all_updated_is_a_success(node, send):
    node("ff-a", RESTARTS)
    node("ff-b", {"stage": "runs"})
    assert send("ff-a", "ff-b").return_value == 0


def test_a_node_that_is_offline_is_said_at_once(node, send):
    node("ff-a", RESTARTS).goes_off()
    began = time.monotonic()
    with pytest.raises(CommissioningError, match="ff-a is offline"):
        send("ff-a")
    assert time.monotonic() - began < update_sender.SILENCE_S / 4


def test_a_port_leads_to_one_node_only(send):
    with pytest.raises(click.UsageError, match="--port leads to one node"):
        send("ff-a", "ff-b", "--port", "/dev/ttyUSB0")
