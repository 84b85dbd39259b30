"""Talking with a real firmware over its USB port and over a real broker, and every way in which that fails, in words."""

import gc
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import trustme

from footfall_gateway.commissioning.node_link import (
    BeamFault,
    CommandRefusedError,
    ConsoleLine,
    MqttLink,
    NoAnswerError,
    NodeError,
    NodeState,
    Passage,
    UsbLink,
    retained_states,
)
from footfall_gateway.settings import MqttSettings, Secret
from tests.cable import Cable
from tests.device.a_node import BROKEN, INNER, NODE, a_node
from tests.device.stand_in import StandInGateway
from tests.servers import free_port

WAIT_S = 60


def mqtt(port: int, **more: Any) -> MqttSettings:
    return MqttSettings(host="127.0.0.1", port=port, **more)


def events(link, wanted: int, kind: type) -> list[Any]:
    """The next events of a kind."""
    found = []
    until = time.monotonic() + WAIT_S
    while len(found) < wanted:
        assert time.monotonic() < until, found
        event = link.next_event(1.0)
        if isinstance(event, kind):
            found.append(event)
    return found


def wait_until_online(broker) -> None:
    """Until the broker tells so of the node to whoever asks."""
    until = time.monotonic() + WAIT_S
    while not retained_states(mqtt(broker.port), None).get(NODE, {}).get("online"):
        assert time.monotonic() < until


@pytest.fixture(params=["usb", "mqtt"])
def node_and_link(request, tmp_path, micropython, mosquitto):
    """A node that counts, and a link to it: once over its port, once over the broker."""
    with a_node(tmp_path, micropython, mosquitto) as node, StandInGateway(mosquitto.port) as gateway:
        node.board.wait_for_console("time: learned")
        if request.param == "usb":
            with UsbLink(node.port) as link:
                yield node, link
        else:
            gateway.wait_for_state()
            with MqttLink(mqtt(mosquitto.port), None, NODE) as link:
                link.live()
                yield node, link


def test_a_command_is_answered_and_passages_come_as_they_happen(node_and_link):
    node, link = node_and_link
    assert link.name == NODE
    assert link.command("info")["net"]["wifi"] == "door"
    node.walk(3)
    node.walk(2, inward=False)
    assert [event.direction for event in events(link, 5, Passage)] == [1, 1, 1, -1, -1]
    text, following = link.log()
    assert "broker: connected" in text
    assert link.log(following)[0] == ""
    assert "test" not in link.log(following)[0]
    with pytest.raises(CommandRefusedError, match="its firmware does not know the command") as caught:
        link.command("dance")
    assert caught.value.unknown
    with pytest.raises(CommandRefusedError, match="watch_s is 99, expected a whole number from 0 to 60"):
        link.command("test", watch_s=99)
    with pytest.raises(NodeError, match="bytes are more than a node takes"):
        link.command("info", padding="x" * 3000)
    assert node.board.tracebacks == []


def test_a_blocked_beam_comes_as_an_event(node_and_link):
    node, link = node_and_link
    node.timeline.set_rate(30)
    node.board.set_pins({INNER: BROKEN})
    assert events(link, 1, BeamFault) == [BeamFault(0, 1, begins=True)]


def test_aligning_tells_the_beams_and_how_often_they_changed(node_and_link):
    node, link = node_and_link
    assert link.command("align", on=True)["beams"] == [0]
    for i in range(
        11
    ):  # the node looks every 10 ms, and may be kept from it: the next change comes when this one is seen
        mark = node.board.console_mark()
        node.board.set_pins({INNER: 1 - i % 2})
        node.board.wait_for_console(f"beams barrier=0 {'free' if i % 2 else 'inner broken'}", since=mark)
    told = link.command("align", on=True)
    assert told["beams"] == [2]
    assert told["changes"] == [[0, 11]]
    assert link.command("align", on=True)["changes"] == [[0, 0]]
    link.command("align", on=False)


def test_what_was_recorded_before_does_not_come_as_news_when_it_is_sent_again(
    tmp_path, micropython, mosquitto
):
    with a_node(tmp_path, micropython, mosquitto, resend_s=1) as node:
        node.walk(4)
        node.board.wait_for_edges()
        node.timeline.sleep_ms(3000)
        wait_until_online(mosquitto)
        with MqttLink(mqtt(mosquitto.port), None, NODE) as link:
            link.live()
            node.walk(2, inward=False)
            assert [event.direction for event in events(link, 2, Passage)] == [-1, -1]
            until = time.monotonic() + 3
            while time.monotonic() < until:
                assert not isinstance(link.next_event(0.5), Passage)


def test_the_state_changes_come_over_the_broker_and_console_lines_over_usb(node_and_link):
    _, link = node_and_link
    link.command("align", on=True)
    if isinstance(link, UsbLink):
        while "beams barrier=0 free" not in events(link, 1, ConsoleLine)[0].text:
            pass
    else:
        assert events(link, 1, NodeState)[0].values["online"] is True


def test_the_broker_knows_its_nodes_with_their_states(tmp_path, micropython, mosquitto):
    assert retained_states(mqtt(mosquitto.port), None, within_s=0.3) == {}
    with a_node(tmp_path, micropython, mosquitto):
        wait_until_online(mosquitto)
        (state,) = retained_states(mqtt(mosquitto.port), None).values()
        assert state["online"] is True
    until = time.monotonic() + WAIT_S
    while retained_states(mqtt(mosquitto.port), None)[NODE]["online"]:
        assert time.monotonic() < until
    with MqttLink(mqtt(mosquitto.port), None, NODE, since=lambda _: "last heard an hour ago") as link:
        assert not link.online
        with pytest.raises(
            NodeError, match="ff-test is offline, last heard an hour ago; has it power and WiFi"
        ):
            link.command("info")


def test_a_node_that_falls_silent_is_named(tmp_path, micropython, mosquitto):
    with a_node(tmp_path, micropython, mosquitto) as node:
        wait_until_online(mosquitto)
        with MqttLink(mqtt(mosquitto.port), None, NODE) as link, UsbLink(node.port) as cable:
            node.board.set_wifi(up=False)
            with pytest.raises(
                NoAnswerError, match=r"no answer to info within 1 s.*may have lost power or WiFi"
            ):
                link.command("info", within_s=1)
            assert cable.command("info")["net"]["wifi"] == "door"
            node.board.pull_out()
            with pytest.raises(NodeError, match="unplugged"):
                cable.command("info")


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (b"", "no sign of life within 1 s; is this the board's port"),
        (b"MicroPython v1.25\r\n>>> ", "shows MicroPython's prompt, its firmware does not run"),
        (b"rst:0x10 (RTCWDT_RTC_RESET)\r\n" * 5, "starts over and over"),
        (b"hello\r\n", "writes, but did not answer within 1 s; its firmware is older"),
        (b"reply {}*00000000\r\n", "lines arrive damaged"),
    ],
)
def test_a_port_without_a_node_is_told_apart_by_what_it_says(says, words, tmp_path):
    with Cable(tmp_path / "ttyUSB0") as cable:

        def speak() -> None:
            os.read(cable.node, 1)  # once it is asked: opening a port drops what came before
            cable.write(says)

        speaker = threading.Thread(target=speak, daemon=True)
        speaker.start()
        with pytest.raises(NoAnswerError, match=words):
            UsbLink(str(cable.path), greet_s=1)
        speaker.join()


def test_a_port_that_cannot_be_opened_is_named_with_the_way_out(tmp_path):
    with pytest.raises(NodeError, match=r"ttyUSB9: there is no such port\nIs the board plugged in\?"):
        UsbLink(str(tmp_path / "ttyUSB9"))


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # paho leaves a TLS socket that failed to the collector
def test_a_broker_that_refuses_is_named_with_the_reason(make_mosquitto, ca: trustme.CA, tmp_path: Path):
    with pytest.raises(NodeError, match="connection refused; does the broker run"):
        retained_states(mqtt(free_port()), None)
    closed = make_mosquitto(users={"gateway": "right"})
    with pytest.raises(NodeError, match='the broker refuses user "gateway"'):
        retained_states(mqtt(closed.port, username="gateway"), Secret("wrong"))
    tls = make_mosquitto(ca=ca)
    with pytest.raises(NodeError, match="does this port want TLS"):
        retained_states(mqtt(tls.port), None)
    with pytest.raises(NodeError, match="its TLS certificate is not accepted"):
        retained_states(mqtt(tls.port, tls=True), None)
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    with pytest.raises(NodeError, match="its TLS certificate is not accepted"):
        retained_states(mqtt(tls.port, ca_file=other), None)
    assert retained_states(mqtt(tls.port, ca_file=tls.ca_file), None, within_s=0.2) == {}
    gc.collect()  # the sockets: in the next test their warning would be an error


def test_a_name_that_the_broker_never_heard_is_said_so(mosquitto):
    with pytest.raises(NodeError, match="has never heard of a node ff-nobody"):
        MqttLink(mqtt(mosquitto.port), None, "ff-nobody")
