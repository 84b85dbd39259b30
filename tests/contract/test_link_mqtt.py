"""The MQTT link against a real mosquitto: what is given back to the broker and when, and what the log says."""

import gc
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import trustme
from paho.mqtt.enums import CallbackAPIVersion

from footfall_gateway.ledger import Ledger
from footfall_gateway.link import MAX_KEPT_BYTES, Arrived, Inbox, Opened
from footfall_gateway.link_mqtt import MqttLink, probe
from footfall_gateway.settings import MqttSettings, Secret
from tests.servers import HOST, Mosquitto, free_port

LIMIT_S = 60
RECORDS = "footfall/1/ff-1/records"


class Node:
    """A publisher that waits for the broker's word, and a reader of what the gateway sends."""

    def __init__(self, broker: Mosquitto, user: str | None = None, password: str | None = None) -> None:
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        if user:
            self.client.username_pw_set(user, password)
        self.got: list[tuple[str, bytes, bool]] = []
        self.client.on_message = lambda _c, _u, m: self.got.append((m.topic, m.payload, m.retain))
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()

    def publish(self, payload: bytes | str, topic: str = RECORDS, *, retain: bool = False) -> None:
        self.client.publish(topic, payload, 1, retain).wait_for_publish(LIMIT_S)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def node(mosquitto) -> Iterator[Node]:
    node = Node(mosquitto)
    yield node
    node.close()


@pytest.fixture
def link() -> Iterator[Callable[..., tuple[MqttLink, Inbox]]]:
    """Makes and starts a link; it is stopped at the end, or by the test."""
    made = []

    def crashed(error: BaseException) -> None:
        raise AssertionError from error

    def make(broker: Mosquitto | int, password: str | None = None, inbox: Inbox | None = None, **settings):
        port = broker if isinstance(broker, int) else broker.port
        inbox = Inbox() if inbox is None else inbox
        one = MqttLink(
            MqttSettings(**{"host": HOST, "port": port, **settings}),
            Secret(password) if password else None,
            inbox,
            crashed,
        )
        made.append((one, inbox))
        one.start()
        return one, inbox

    yield make
    for one, inbox in made:
        inbox.close()
        one.stop()
    gc.collect()  # what paho has left to it (see `unclosed_by_paho`): here, and not in the middle of a later test


def arrivals(inbox: Inbox, n: int) -> list[Arrived]:
    """The next `n` messages, leaving `Opened` out."""
    found: list[Arrived] = []
    deadline = time.monotonic() + LIMIT_S
    while len(found) < n and time.monotonic() < deadline:
        found += [item for item in inbox.take(n - len(found), 0.1) if isinstance(item, Arrived)]
    assert len(found) == n
    return found


def opened(inbox: Inbox) -> None:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if any(isinstance(item, Opened) for item in inbox.take(1, 0.1)):
            return
    pytest.fail("the link did not open")


def wait_until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {LIMIT_S} s for {what}")
        time.sleep(0.02)


def nothing_comes(inbox: Inbox, node: Node, but: bytes = b"end") -> None:
    """Sends one more message and demands that nothing came before it."""
    node.publish(but)
    (arrived,) = arrivals(inbox, 1)
    assert arrived.payload == but


def logged(caplog, words: str) -> list[str]:
    """Waits until the log has a line with these words; all such lines."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        found = [record.message for record in caplog.records if words in record.message]
        if found:
            return found
        time.sleep(0.02)
    pytest.fail(f"no line with {words!r} in: {[record.message for record in caplog.records]}")


# --------------------------------------------------------------------------------------------------- what arrives


def test_records_states_and_replies_of_every_node_arrive(mosquitto, node, link):
    node.publish("old", "footfall/1/ff-2/state", retain=True)
    _, inbox = link(mosquitto)
    (state,) = arrivals(inbox, 1)
    assert (state.topic, state.payload, state.retained) == ("footfall/1/ff-2/state", b"old", True)
    for name in (RECORDS, "footfall/1/x/reply", "footfall/1/ff-2/state"):
        node.publish("now", name)
        (arrived,) = arrivals(inbox, 1)
        assert (arrived.topic, arrived.payload, arrived.retained) == (name, b"now", False)
    for name in ("footfall/1/ff-1/ack", "footfall/2/ff-1/records", "footfall/1/a/b/records", "other"):
        node.publish("foreign", name)
    nothing_comes(inbox, node)


def test_a_huge_message_is_cut_before_it_waits(mosquitto, node, link):
    _, inbox = link(mosquitto)
    opened(inbox)
    node.publish(b"x" * 1_000_000)
    (arrived,) = arrivals(inbox, 1)
    assert arrived.payload == b"x" * MAX_KEPT_BYTES


def test_a_full_inbox_makes_the_broker_wait_and_loses_nothing(make_mosquitto, link):
    broker = make_mosquitto(settings=["max_inflight_messages 0", "max_queued_messages 0"])
    node = Node(broker)
    one, inbox = link(broker, inbox=Inbox(5))
    opened(inbox)
    for i in range(300):
        node.client.publish(RECORDS, str(i), 1)
    seen = []
    for _ in range(300):
        (arrived,) = arrivals(inbox, 1)
        assert len(inbox) <= 5
        seen.append(int(arrived.payload))
        one.receipt(arrived)
    node.close()
    assert seen == list(range(300))


# ---------------------------------------------------------------------------------------- what the broker forgets


def test_the_broker_forgets_a_message_only_after_the_receipt(mosquitto, node, link):
    one, inbox = link(mosquitto)
    opened(inbox)
    for text in ("one", "two", "three"):
        node.publish(text)
    first, second, third = arrivals(inbox, 3)
    one.receipt(second)
    one.stop()
    two, inbox = link(mosquitto)
    again = arrivals(inbox, 2)
    assert [message.payload for message in again] == [first.payload, third.payload]
    for message in again:
        two.receipt(message)
    two.stop()
    _, inbox = link(mosquitto)
    opened(inbox)
    nothing_comes(inbox, node)


def test_what_comes_while_the_gateway_is_down_waits_at_the_broker(mosquitto, node, link):
    one, inbox = link(mosquitto)
    opened(inbox)
    one.stop()
    for i in range(50):
        node.publish(str(i))
    one, inbox = link(mosquitto)
    seen = []
    for _ in range(50):
        (arrived,) = arrivals(inbox, 1)
        seen.append(int(arrived.payload))
        one.receipt(arrived)
    assert seen == list(range(50))


def test_a_receipt_of_an_earlier_connection_releases_nothing_in_the_next(mosquitto, node, link):
    one, inbox = link(mosquitto)
    opened(inbox)
    node.publish("before")
    (before,) = arrivals(inbox, 1)
    mosquitto.kill()  # without persistence: its session and its message numbers begin anew
    mosquitto.start()
    opened(inbox)
    other = Node(mosquitto)
    other.publish("after")
    (after,) = arrivals(inbox, 1)
    assert after.mid == before.mid
    one.receipt(before)
    one.stop()
    _, inbox = link(mosquitto)
    (again,) = arrivals(inbox, 1)
    assert again.payload == b"after"
    other.close()


def test_a_broker_that_comes_back_is_listened_to_again_and_the_log_says_so_once(
    mosquitto, link, caplog, monkeypatch
):
    caplog.set_level(logging.INFO, "footfall_gateway")
    monkeypatch.setattr("footfall_gateway.link_mqtt.RETRY_LIMIT_S", 1)
    _, inbox = link(mosquitto)
    opened(inbox)
    for _ in range(3):
        mosquitto.kill()
        logged(caplog, "connection refused")
        mosquitto.start()
        opened(inbox)
        logged(caplog, "works again after")
        node = Node(mosquitto)
        nothing_comes(inbox, node)
        node.close()
        assert sum("connection lost" in record.message for record in caplog.records) == 1
        assert sum("connection refused" in record.message for record in caplog.records) == 1
        caplog.clear()


# ------------------------------------------------------------------------------------------------- what is sent


def test_an_acknowledgement_is_retained_and_a_command_is_not(mosquitto, node, link):
    there = Node(mosquitto)
    there.client.subscribe("footfall/1/ff-1/command", 1)
    there.publish("the broker has taken the subscription", "other")
    one, inbox = link(mosquitto)
    opened(inbox)
    assert one.send("ff-1", "ack", '{"seq":1}', retain=True)
    assert one.send("ff-1", "ack", '{"seq":2}', retain=True)
    assert one.send("ff-1", "command", "now")
    one.stop()  # sends what it still has
    wait_until(lambda: there.got, "the broker to have passed on what was sent last")
    there.close()
    node.client.subscribe("footfall/1/ff-1/#", 1)
    node.publish("end", "footfall/1/ff-1/reply")
    wait_until(lambda: len(node.got) >= 2, "what the broker has kept")
    assert there.got == [("footfall/1/ff-1/command", b"now", False)]
    assert node.got == [
        ("footfall/1/ff-1/ack", b'{"seq":2}', True),
        ("footfall/1/ff-1/reply", b"end", False),
    ]


def test_without_a_connection_nothing_is_sent_and_nothing_piles_up(link):
    one, _ = link(free_port())
    assert one.send("ff-1", "ack", "{}", retain=True) is False  # said again after `Opened`
    assert one._client._out_messages == {}


# ------------------------------------------------------------------------------------- what the person at the log reads


def test_a_wrong_password_is_told_once_and_the_right_one_works(make_mosquitto, link, caplog):
    caplog.set_level(logging.INFO, "footfall_gateway")
    broker = make_mosquitto(users={"gateway": "right"})
    one, _ = link(broker, "wrong", username="gateway")
    (line,) = logged(caplog, "refuses")
    assert line == (
        f'broker 127.0.0.1:{broker.port}: the broker refuses user "gateway" (not authorized); look at username '
        f"and password_file; trying again until it works"
    )
    tried = broker.log_file.read_text().count("not authorised")
    deadline = time.monotonic() + LIMIT_S
    while broker.log_file.read_text().count("not authorised") < tried + 2:
        assert time.monotonic() < deadline, broker.log_file.read_text()
        time.sleep(0.05)
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
    one.stop()
    _, inbox = link(broker, "right", username="gateway")
    opened(inbox)
    assert "right" not in caplog.text.replace("the right", "")


# paho leaves a socket whose TLS handshake failed to the garbage collector
unclosed_by_paho = pytest.mark.filterwarnings("ignore:.*unclosed <ssl.SSLSocket")


@unclosed_by_paho
def test_tls_checks_the_brokers_certificate_and_its_name(make_mosquitto, link, tmp_path, ca, caplog):
    caplog.set_level(logging.INFO, "footfall_gateway")
    broker = make_mosquitto(ca=ca)
    _, inbox = link(broker, ca_file=broker.ca_file)
    opened(inbox)
    foreign = tmp_path / "foreign.pem"
    foreign.write_bytes(trustme.CA().cert_pem.bytes())
    link(broker, ca_file=foreign, client_id="a")
    (line,) = logged(caplog, "certificate")
    assert "its TLS certificate is not accepted: " in line
    assert "look at ca_file and host" in line
    caplog.clear()
    link(broker, client_id="b")  # no TLS towards a port that speaks TLS
    logged(caplog, "does this port want TLS?")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"host": "no-such-host.invalid"}, "this host name is not known here"),
        ({"port": None}, "connection refused; does the broker run, and on this port?"),
    ],
)
def test_why_there_is_no_connection_is_one_clear_line(link, caplog, settings, words):
    caplog.set_level(logging.INFO, "footfall_gateway")
    link(free_port(), **{key: value for key, value in settings.items() if value})
    (line,) = logged(caplog, words)
    assert line.startswith("broker ")


@unclosed_by_paho
def test_tls_towards_a_port_without_tls_is_told(mosquitto, link, ca, tmp_path, caplog):
    caplog.set_level(logging.INFO, "footfall_gateway")
    (tmp_path / "ca.pem").write_bytes(ca.cert_pem.bytes())
    link(mosquitto, ca_file=tmp_path / "ca.pem")
    assert logged(caplog, "TLS")


def test_a_second_gateway_with_the_same_client_id_is_named_as_the_likely_cause(mosquitto, link, caplog):
    caplog.set_level(logging.INFO, "footfall_gateway")
    link(mosquitto)
    link(mosquitto)
    (line, *_) = logged(caplog, "does a second client use the id")
    assert '"footfall-gateway"' in line


def test_the_probe_tells_and_does_not_disturb_a_running_gateway(make_mosquitto, link):
    broker = make_mosquitto(users={"gateway": "right"})
    settings = MqttSettings(host=HOST, port=broker.port, username="gateway")
    _, inbox = link(broker, "right", username="gateway")
    opened(inbox)
    assert probe(settings, Secret("right")) is None
    assert "refuses user" in probe(settings, Secret("wrong"))
    assert probe(MqttSettings(host=HOST, port=free_port()), None).startswith("connection refused")
    node = Node(broker, "gateway", "right")
    nothing_comes(inbox, node)
    node.close()


def test_the_probe_without_tls_of_a_broker_that_wants_it_asks_for_it(make_mosquitto):
    broker = make_mosquitto(ca=trustme.CA())
    assert "does this port want TLS?" in probe(MqttSettings(host=HOST, port=broker.port), None)


def test_the_probe_of_something_that_is_no_broker_ends(monkeypatch):
    monkeypatch.setattr("footfall_gateway.link_mqtt.CONNECT_TIMEOUT_S", 1.0)
    with socket.create_server((HOST, 0)) as listener:
        found = probe(MqttSettings(host=HOST, port=listener.getsockname()[1]), None)
    assert "is this port an MQTT broker's?" in found


# ------------------------------------------------------------------------------------------- the whole gateway, killed

GATEWAY = """
import os, signal, sys
from footfall_gateway import cli, link_mqtt
moment = sys.argv[1]
if moment == "before receipt":
    link_mqtt.MqttLink.receipt = lambda self, arrived: os.kill(os.getpid(), signal.SIGKILL)
elif moment == "before acknowledgement":
    link_mqtt.MqttLink.send = lambda *values, **named: os.kill(os.getpid(), signal.SIGKILL)
cli.main(["run", "--config", sys.argv[2]])
"""


def gateway(moment: str, config: Path, log: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, "-c", GATEWAY, moment, str(config)]
    with log.open("wb") as file:
        return subprocess.Popen(argv, env=environment, stderr=file)


@pytest.mark.parametrize("moment", ["before receipt", "before acknowledgement"])
def test_killed_between_store_and_receipt_nothing_is_lost_and_nothing_counted_twice(
    mosquitto, node, tmp_path, moment
):
    config = tmp_path / "footfall.toml"
    config.write_text(
        f'[mqtt]\nhost = "{HOST}"\nport = {mosquitto.port}\n[gateway]\ndata = "data"\n'
        '[[site]]\nid = "lab"\ntimezone = "UTC"\n[[site.door]]\nid = "main"\nnode = "ff-1"\n'
    )
    # its queue exists once the gateway has been there
    log = tmp_path / "gateway.log"
    first = gateway("never", config, log)
    wait_until(lambda: "connected, listening" in log.read_text(), "the gateway")
    node.client.subscribe("footfall/1/ff-1/ack", 1)
    batch = {"v": 1, "spool": "8f3a01c2", "boot": 1, "seq": 1, "r": [[0, "R", "power", "0.1", 1]]}
    node.publish(
        json.dumps(batch)
    )  # once: whatever else were left at the broker would meet the second gateway
    wait_until(lambda: node.got, "the first acknowledgement")
    first.send_signal(signal.SIGTERM)
    assert first.wait(LIMIT_S) == 0
    batch = {**batch, "seq": 2, "r": [[1000, "C", time.time_ns() // 10**6, "gw"], [2000, "P", 0, 1, 400]]}
    node.publish(json.dumps(batch))
    second = gateway(moment, config, log)
    assert second.wait(LIMIT_S) == -signal.SIGKILL
    with Ledger.open(tmp_path / "data" / "ledger.sqlite", read_only=True) as ledger:
        assert ledger.counters().records == 3
    node.got.clear()
    third = gateway("never", config, log)
    wait_until(lambda: any(json.loads(p)["seq"] == 3 for _, p, _ in node.got), "the acknowledgement")
    third.send_signal(signal.SIGTERM)
    assert third.wait(LIMIT_S) == 0
    assert json.loads(node.got[-1][1]) == {"v": 1, "spool": "8f3a01c2", "seq": 3}
    with Ledger.open(tmp_path / "data" / "ledger.sqlite", read_only=True) as ledger:
        counters = ledger.counters()
        assert counters.records == 3
        assert counters.duplicates >= 2  # the broker brought the unacknowledged batch again
        assert counters.quarantined == 0
