"""A new WiFi or broker on trial: what works stays, whatever goes wrong, and whenever the power goes."""

import json
import re
from typing import Any

import pytest

from footfall_gateway.commissioning.node_link import CommandRefusedError, UsbLink
from tests.device.a_node import NODE, WIFI_PASSWORD, a_node
from tests.device.stand_in import StandInGateway
from tests.servers import free_port

RATE = 10.0
USERS = {"gateway": "gateway's", NODE: "right"}


def config_of(node) -> dict[str, Any]:
    return json.loads((node.board.flash_dir / "config.json").read_text())


def restarted(node, mark: int) -> None:
    node.board.wait_for_console("boot .*new connection", since=mark)


def test_a_good_new_broker_is_kept_once_its_gateway_has_answered(
    tmp_path, micropython, mosquitto, make_mosquitto
):
    new = make_mosquitto(users=USERS)
    with (
        a_node(tmp_path, micropython, mosquitto, rate=RATE, lockout_ms=2500) as node,
        StandInGateway(new.port, "gateway", USERS["gateway"]) as gateway,
        UsbLink(node.port) as link,
    ):
        node.walk(2)
        node.told(2)  # before it restarts
        before = config_of(node)
        mark = node.board.console_mark()
        wanted = {"host": "127.0.0.1", "port": new.port, "user": NODE, "password": "right"}
        assert link.command("connect", mqtt=wanted, wifi={"ssid": "new"})["trial_s"] == 180
        restarted(node, mark)
        node.board.wait_for_console("the gateway has answered, kept from now on", since=mark)
        after = config_of(node)
        assert after == {**before, "wifi": {"ssid": "new", "password": WIFI_PASSWORD}, "mqtt": wanted}
        node.board.restart()
        gateway.wait("both people, at the new gateway", lambda: len(gateway.of_kind("P")) == 2)
        states = gateway.wait("a state", lambda: [one for one in gateway.states if one.get("boot") == 3])
        assert states[-1]["connect_error"] is None
        assert not (node.board.flash_dir / "connect.json").exists()
        assert node.board.tracebacks == []


@pytest.mark.parametrize(
    ("spoiled", "reason"),
    [
        ("password", "broker refused the password, or this user may not connect"),
        ("port", "nothing listens there"),
        ("silent gateway", "connected, but no gateway answered"),
    ],
)
def test_a_broker_that_does_not_work_is_given_up_and_the_old_one_is_used_again(
    tmp_path, micropython, mosquitto, make_mosquitto, spoiled, reason
):
    new = make_mosquitto(users=USERS)
    wanted = {"host": "127.0.0.1", "port": new.port, "user": NODE, "password": "right"}
    if spoiled == "password":
        wanted["password"] = "wrong"
    if spoiled == "port":
        wanted["port"] = free_port()
    with (
        StandInGateway(mosquitto.port) as gateway,
        a_node(tmp_path, micropython, mosquitto, rate=RATE) as node,
    ):
        node.board.wait_for_console("time: learned")
        before = config_of(node)
        mark = node.board.console_mark()
        gateway.send(NODE, "command", {"v": 1, "do": "connect", "id": 1, "mqtt": wanted, "trial_s": 60})
        restarted(node, mark)
        node.walk(3)
        state = gateway.wait("the reason", lambda: [s for s in gateway.states if s.get("connect_error")])[-1]
        assert state["connect_error"] == reason
        gateway.wait("those who walked meanwhile", lambda: len(gateway.of_kind("P")) == 3)
        assert config_of(node) == before
        gateway.wait("the third boot", lambda: len(gateway.of_kind("R")) == 3)
        assert [record[2] for record in gateway.of_kind("R")] == [
            "power",
            "new connection",
            "new connection failed",
        ]
        assert "right" not in (node.board.flash_dir / "connect.json").read_text()


def test_a_wrong_wifi_password_is_given_up(tmp_path, micropython, mosquitto):
    with (
        StandInGateway(mosquitto.port) as gateway,
        a_node(tmp_path, micropython, mosquitto, rate=RATE) as node,
    ):
        node.board.wait_for_console("time: learned")
        mark = node.board.console_mark()
        gateway.send(
            NODE,
            "command",
            {"v": 1, "do": "connect", "id": 1, "wifi": {"ssid": "x", "password": "y"}, "trial_s": 40},
        )
        gateway.wait("its answer: it will restart", lambda: gateway.replies)
        node.board.set_wifi(up=True, wrong_password=True)  # before it tries
        restarted(node, mark)
        node.board.wait_for_console("given up, the password is wrong", since=mark)
        node.board.set_wifi(up=True)
        state = gateway.wait("the reason", lambda: [s for s in gateway.states if s.get("connect_error")])[-1]
        assert state["connect_error"] == "the password is wrong"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "neither wifi nor mqtt in it"),
        ({"wifi": {"ssid": "x" * 33}}, "wifi.ssid is .* expected a text of at most 32"),
        ({"wifi": {"ssid": None}}, "wifi.ssid is null, expected the name of the network"),
        ({"wifi": 5}, "wifi is 5, expected"),
        ({"mqtt": {"hosst": "x"}}, "mqtt.hosst is not a setting"),
        ({"mqtt": {"port": 0}}, "mqtt.port is 0, expected a whole number from 1 to 65535"),
        ({"mqtt": {"ca": "new.der"}}, "mqtt.ca: new.der is not on this node; copy it over USB first"),
        ({"wifi": {"ssid": "x"}, "trial_s": 5}, "trial_s is 5, expected a whole number from 20 to 1800"),
    ],
)
def test_settings_that_are_no_good_are_refused_and_nothing_changes(run_on_board, flash, values, words):
    (flash / "config.json").write_text('{"wifi":{"ssid":"old"},"mqtt":{"host":"old"}}')
    error = run_on_board(
        """
from node import config, connect
class Node:
    settings = config.load("ff-test")
    def restart_soon(self, values, reason):
        raise AssertionError
try:
    connect.answer(Node(), json.loads(sys.argv[1]))
except ValueError as error:
    show(str(error))
""",
        json.dumps(values),
    )
    assert re.search(words, error), error
    assert not (flash / "connect.json").exists()


def test_a_node_on_a_cable_has_no_network_to_change(tmp_path, micropython):
    with (
        a_node(tmp_path, micropython, None, serial=True) as node,
        UsbLink(node.port) as link,
        pytest.raises(CommandRefusedError, match="this node is on a cable"),
    ):
        link.command("connect", wifi={"ssid": "x"})


POWER_CUTS = """
import asyncio, builtins, os
from node import config, connect, flash

class PowerCut(BaseException):
    pass

OLD = {"wifi": {"ssid": "old", "password": "o"}, "mqtt": {"host": "old"}, "buttons": [25]}
NEW = {"wifi": {"ssid": "new"}, "mqtt": {"host": "new", "port": 99}}
left = [0]
def step():
    left[0] -= 1
    if left[0] == 0:
        raise PowerCut

plain_rename, plain_remove, plain_open = os.rename, os.remove, builtins.open
class Cut:
    # files as littlefs keeps them: nothing is there before flush or close; the power may go before and after each
    def __getattr__(self, name):
        return getattr(os, name)
    def rename(self, a, b):
        step(); plain_rename(a, b); step()
    def remove(self, a):
        step(); plain_remove(a); step()
def cut_open(name, mode="r"):
    if "w" in mode:
        step()
    return plain_open(name, mode)
flash.os = Cut()
flash.open = cut_open

class Node:
    def restart_soon(self, values, reason):
        pass

def boot(gateway_answers):
    # one boot: what the node runs with; a trial goes on until proved or given up
    settings = config.load("ff-test", lambda text: None)
    used = settings.wifi["ssid"], settings.mqtt["host"]
    error = None
    if flash.read("connect.json") is not None:
        trial, error = connect.begin(settings, lambda text: None)
        if trial:
            trial._kept["trial_s"] = 0 if not gateway_answers else 1
            asyncio.run(trial.watch(lambda: gateway_answers, lambda: None, lambda reason: None))
    used = settings.wifi["ssid"], settings.mqtt["host"]
    return used, error

def life(cut_at, gateway_answers):
    # the command and three boots, the power being cut at step cut_at; then three boots without any
    for name in ("connect.json", "connect.json.new", "config.json.new"):
        try:
            plain_remove(name)
        except OSError:
            pass
    with plain_open("config.json", "w") as f:
        f.write(json.dumps(OLD))
    left[0] = cut_at
    taken = False
    try:
        node = Node()
        node.settings = config.load("ff-test", lambda text: None)
        connect.answer(node, {"wifi": NEW["wifi"], "mqtt": NEW["mqtt"]})
        taken = True
        for _ in range(3):
            boot(gateway_answers)
        was_cut = False
    except PowerCut:
        was_cut = True
    left[0] = 0
    seen = [boot(gateway_answers) for _ in range(3)]
    final = json.loads(flash.read("config.json"))
    assert final["buttons"] == [25], final
    pair = final["wifi"]["ssid"], final["mqtt"]["host"]
    assert pair in (("old", "old"), ("new", "new")), pair
    assert seen[2][0] == pair, (cut_at, seen, pair)
    if not gateway_answers:
        assert pair == ("old", "old"), (cut_at, pair)
        assert not taken or seen[2][1], (cut_at, seen)
    if pair == ("new", "new"):
        assert seen[2][1] is None, (cut_at, seen)
    elif taken:
        assert seen[2][1], (cut_at, seen)
    return was_cut, pair[0]

for gateway_answers in (True, False):
    ends = []
    cut_at = 1
    while True:
        was_cut, end = life(cut_at, gateway_answers)
        ends.append(end)
        if not was_cut:
            break
        cut_at += 1
    show_ends = ends
    print("cuts", gateway_answers, cut_at - 1, "".join(end[0] for end in ends))
    if gateway_answers:
        answered = ends
show([answered, ends])
"""


def test_a_trial_that_is_cut_short_is_not_tried_again(run_on_board):
    used = run_on_board(
        """
from node import config, connect
with open("config.json", "w") as f:
    f.write('{"wifi":{"ssid":"old"},"mqtt":{"host":"old"}}')
with open("connect.json", "w") as f:
    f.write('{"wifi":{"ssid":"new"},"mqtt":{"host":"new"},"trial_s":60}')
used = []
for _ in range(3):  # three boots; the power goes before anything is proved
    settings = config.load("ff-test")
    error = connect.begin(settings)[1]
    used.append([settings.wifi["ssid"], error])
show(used)
"""
    )
    assert used == [["new", None]] + [["old", "the node restarted before the new connection was proved"]] * 2


def test_the_power_may_go_at_every_step_and_a_whole_working_connection_remains(run_on_board):
    answered, silent = run_on_board(POWER_CUTS)
    assert len(answered) > 10
    assert answered[-1] == "new"
    assert answered[0] == "old"
    assert set(silent) == {"old"}
    assert len(silent) > 8
