"""`footfall node` from end to end: real firmware on virtual boards, on a USB port and on a real broker."""

import contextlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from footfall_gateway import cli
from footfall_gateway.commissioning import node_cli, ports
from footfall_gateway.commissioning.node_link import UsbLink, retained_states
from footfall_gateway.settings import MqttSettings
from tests.device.a_node import BROKEN, FIRMWARE, INNER, NODE, a_node, put_firmware
from tests.device.stand_in import StandInGateway
from tests.servers import free_port
from tests.virtual_chip import VirtualChip

SETTINGS = """[gateway]
data = "var"
[mqtt]
host = "127.0.0.1"
port = {port}
[[site]]
id = "lab"
timezone = "Europe/Berlin"
[[site.door]]
id = "main"
node = "ff-test"
[[site.door]]
id = "back"
node = "ff-back"
"""


@pytest.fixture
def footfall(capsys, monkeypatch, tmp_path):
    """Run the command; (exit code, output, errors)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli._status([str(one) for one in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def usb(mocker):
    """What is plugged in; the only thing here that is not real."""

    def plugged(*devices: str) -> None:
        mocker.patch.object(
            ports.list_ports,
            "comports",
            return_value=[
                SimpleNamespace(device=device, vid=0x10C4, pid=0xEA60, serial_number=str(i), location="1-1")
                for i, device in enumerate(devices)
            ],
        )

    plugged()
    return plugged


@pytest.fixture(params=["usb", "mqtt"])
def node_and_way(request, tmp_path, micropython, mosquitto, usb):
    """A node that counts, and the words that lead to it: once over its port, once over the broker."""
    with StandInGateway(mosquitto.port) as gateway, a_node(tmp_path, micropython, mosquitto) as node:
        node.board.wait_for_console("time: learned")
        gateway.wait_for_state()
        node.gateway = gateway
        if request.param == "usb":
            yield node, ("--port", node.port)
        else:
            (tmp_path / "footfall.toml").write_text(SETTINGS.format(port=mosquitto.port))
            yield node, (NODE,)


def wait_until_online(broker):
    """Until the broker tells so of the node to whoever asks."""
    until = time.monotonic() + 60
    while (
        not retained_states(MqttSettings(host="127.0.0.1", port=broker.port), None)
        .get(NODE, {})
        .get("online")
    ):
        assert time.monotonic() < until


def test_info_logs_and_identify_say_how_a_node_is(node_and_way, footfall):
    _, way = node_and_way
    code, out, err = footfall("node", "info", *way)
    assert (code, err) == (0, "")
    assert re.search(r"^ff-test  firmware 0\.1\.0 \(slot a\), MicroPython 1\.", out)
    assert "WiFi door: -60 dBm, address 192.168.4.40; broker 127.0.0.1:" in out
    assert "barrier 0    outer (pin 32) free, inner (pin 33) free" in out
    assert "time         known; configuration revision 0" in out
    code, out, _ = footfall("node", "logs", *way)
    assert code == 0
    assert "broker: connected as ff-test" in out
    code, out, _ = footfall("node", "logs", "--crash", *way)
    assert out == "no crash is kept\n"
    code, out, _ = footfall("node", "identify", *way)
    assert (code, out) == (0, "ff-test: its lamps flash for 10 s\n")
    code, out, err = footfall("node", "info", "--language", "de", *way)
    assert (code, err) == (0, "")
    assert "WLAN door: -60 dBm, Adresse 192.168.4.40; Broker 127.0.0.1:" in out
    assert "Schranke 0   außen (Pin 32) frei, innen (Pin 33) frei" in out
    assert "Uhrzeit      bekannt; Konfiguration 0" in out


def test_aligning_shows_both_beams_and_ends_the_mode(node_and_way, footfall):
    node, way = node_and_way
    node.board.set_pins({INNER: BROKEN})
    before = node.board.console_mark()
    code, out, _ = footfall("node", "align", "--seconds", "2", *way)
    assert code == 0
    assert re.search(r"0 outer free +0/s +0 inner BROKEN +\d+/s", out)
    node.board.wait_for_console("aligning is over", since=before)
    mark = node.board.console_mark()
    node.board.set_pins({INNER: 0})
    node.timeline.sleep_ms(1000)
    assert not [line for line in node.board.lines_since(mark) if line.startswith("beams")]


def test_a_configuration_is_changed_shown_and_survives(node_and_way, footfall):
    node, way = node_and_way
    code, out, err = footfall(
        "node",
        "config",
        *way,
        "--set",
        "question=3",
        "--set",
        "barriers.0.glitch_ms=12",
        "--set",
        "lockout_ms=4000",
    )
    assert (code, out, err) == (0, "ff-test: has configuration 1\n", "")
    code, out, _ = footfall("node", "config", *way, "--set", "lockout_ms=2000")
    assert out == "ff-test: has configuration 2\n"
    node.board.restart()
    node.gateway.wait_for_state(boot=2)
    code, out, _ = footfall("node", "config", *way)
    assert code == 0
    for line in ("question=3", "barriers.0.glitch_ms=12", "lockout_ms=2000", "configuration revision 2"):
        assert line in out
    code, _, err = footfall("node", "config", *way, "--set", "lockout_ms=-4")
    assert code == 1
    assert (
        "refuses it and keeps configuration 2: lockout_ms is -4, expected a whole number from 0 to 60000"
        in err
    )
    for wrong, words in (
        ("lockout=4", 'has no lockout that can be set, did you mean "lockout_ms"?'),
        ("barriers.0.outer=4", "has no barriers.0.outer that can be set"),
        ("lockout_ms=x", "expected a whole number"),
        ("lockout_ms", "expected KEY=VALUE"),
    ):
        code, _, err = footfall("node", "config", *way, "--set", wrong)
        assert code == 2
        assert words in err


def test_a_restart_is_awaited(node_and_way, footfall):
    node, way = node_and_way
    node.walk(2)
    node.board.wait_for_edges()
    code, out, err = footfall("node", "reboot", *way)
    assert (code, err) == (0, "")
    assert out == "ff-test: restarts …\nff-test: back, boot 2 (command)\n"


def test_a_new_broker_is_tried_and_kept_or_given_up_with_the_reason(
    node_and_way, footfall, make_mosquitto, tmp_path
):
    node, way = node_and_way
    node.timeline.set_rate(8)
    (tmp_path / "password").write_text("the new one\n")
    new = ("--broker-user", NODE, "--broker-password-file", "password", "--within", "25")
    code, out, err = footfall("node", "config", *way, "--broker", f"127.0.0.1:{free_port()}", *new)
    assert code == 1
    assert "if no gateway answers within 25 s the old connection comes back" in out
    assert "the new connection was given up, the old one is used again: nothing listens there" in err
    assert "the new one" not in out + err
    assert ("over a broker without TLS" in err) == (way == (NODE,))
    if way == (NODE,):
        return
    broker = make_mosquitto(users={NODE: "the new one", "gateway": "g"})
    new = (*new[:-1], "120")  # a busy machine takes its time, of which the board has eight times as much
    with StandInGateway(broker.port, "gateway", "g"):
        code, out, err = footfall("node", "config", *way, "--broker", f"127.0.0.1:{broker.port}", *new)
    assert (code, err) == (0, "")
    assert "the gateway was reached, the new connection is kept" in out
    assert json.loads((node.board.flash_dir / "config.json").read_text())["mqtt"]["port"] == broker.port


def test_the_list_has_the_boards_on_usb_and_what_the_broker_knows(
    footfall, usb, tmp_path, micropython, mosquitto
):
    code, out, _ = footfall("node", "list")
    assert (code, out) == (0, "USB: no board\n")
    (tmp_path / "footfall.toml").write_text(SETTINGS.format(port=mosquitto.port))
    with a_node(tmp_path, micropython, mosquitto) as node:
        usb(node.port, str(tmp_path / "ttyUSB9"))
        wait_until_online(mosquitto)
        code, out, _ = footfall("node", "list")
        assert code == 0
        lines = out.replace("\r", "\n").splitlines()
        assert any(
            re.search(r"/usb  ff-test  online, firmware 0\.1\.0, \d+ records wait", line) for line in lines
        )
        assert any("ttyUSB9  there is no such port" in line for line in lines)
        assert f"broker 127.0.0.1:{mosquitto.port}" in lines
        assert any(line.startswith("  ff-test  online") for line in lines)
        assert "  ff-back  in footfall.toml, but the broker has never heard of it" in lines


def test_a_node_that_is_offline_or_unknown_is_said_so(footfall, usb, tmp_path, micropython, mosquitto):
    (tmp_path / "footfall.toml").write_text(SETTINGS.format(port=mosquitto.port))
    code, _, err = footfall("node", "info", "ff-nobody")
    assert code == 1
    assert "has never heard of a node ff-nobody" in err
    with StandInGateway(mosquitto.port) as gateway:
        gateway.send(NODE, "state", {"v": 1, "online": False}, retain=True)
        code, _, err = footfall("node", "info", NODE)
        assert code == 1
        assert "ff-test is offline; has it power and WiFi? Over USB it answers all the same: --port" in err
        code, out, _ = footfall("node", "list")
        assert "  ff-test  OFFLINE" in out


def test_without_a_name_it_is_the_only_board_and_with_several_it_asks_which(
    footfall, usb, tmp_path, micropython
):
    code, _, err = footfall("node", "info")
    assert code == 1
    assert "no board on USB, and no node named" in err
    code, _, err = footfall("node", "info", NODE)
    assert "ff-test is on none of the USB ports (no board found), and there is no footfall.toml" in err
    with a_node(tmp_path, micropython, None) as node:
        usb(node.port)
        assert footfall("node", "info")[0] == 0
        assert footfall("node", "info", NODE)[0] == 0
        code, _, err = footfall("node", "info", "ff-other", "--port", node.port)
        assert "this is ff-test, not ff-other" in err
        usb(node.port, "/dev/ttyUSB9")
        code, _, err = footfall("node", "info")
        assert code == 1
        assert "2 boards on USB" in err
        assert "say which one: --port" in err


def test_a_node_that_the_gateway_configures_is_left_to_it(footfall, usb, tmp_path, micropython, mosquitto):
    settings = SETTINGS.format(port=mosquitto.port) + '[[node]]\nnode = "ff-test"\nlockout_ms = 3500\n'
    (tmp_path / "footfall.toml").write_text(settings)
    with a_node(tmp_path, micropython, mosquitto) as node:
        wait_until_online(mosquitto)
        for way in ((NODE,), ("--port", node.port)):
            code, _, err = footfall("node", "config", *way, "--set", "lockout_ms=1000")
            assert code == 1
            assert "gets its configuration from" in err
            assert "(lockout_ms)" in err
            assert "[[node]]" in err
        assert "revision 0" in footfall("node", "config", NODE)[1]


def test_logs_follow_what_happens_and_end_with_ctrl_c(tmp_path, micropython, usb):
    with a_node(tmp_path, micropython, None) as node:
        process = subprocess.Popen(
            [sys.executable, "-m", "footfall_gateway.cli", "node", "logs", "--follow", "--port", node.port],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            line = process.stdout.readline()
            assert "footfall 0.1.0" in line
            node.walk(1)
            while "passage" not in line:
                line = process.stdout.readline()
                assert line, process.stderr.read()
            process.send_signal(2)
            assert process.wait(60) == 130
            assert "ended by Ctrl-C" in process.stderr.read()
        finally:
            process.kill()
            process.communicate()


def test_logs_follow_a_node_over_the_broker_through_a_restart(tmp_path, micropython, mosquitto):
    (tmp_path / "footfall.toml").write_text(SETTINGS.format(port=mosquitto.port))
    argv = [sys.executable, "-m", "footfall_gateway.cli", "node", "logs", "--follow", NODE]
    seen = tmp_path / "seen"

    def wait_for(text: str) -> None:
        until = time.monotonic() + 60
        while text not in seen.read_text():
            assert process.poll() is None, seen.read_text()
            assert time.monotonic() < until, seen.read_text()
            time.sleep(0.1)

    with a_node(tmp_path, micropython, mosquitto) as node, seen.open("w") as output:
        wait_until_online(mosquitto)
        process = subprocess.Popen(argv, cwd=tmp_path, stdout=output, stderr=output)
        try:
            wait_for("boot 1 ")
            node.board.restart()
            wait_for("boot 2 ")
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("happens", "words"),
    [
        ("os.unlink(sys.argv[2]);", "unplugged. Once it is plugged in again the node starts, and counts"),
        ("", "the prompt has ended (OSError: [Errno 5] odd). The node was told to restart"),
    ],
)
def test_a_prompt_that_breaks_off_is_said_in_words(tmp_path, micropython, monkeypatch, capfd, happens, words):
    program = f"import os, sys\nif 'repl' in sys.argv: {happens} raise OSError(5, 'odd')"
    monkeypatch.setattr(node_cli, "MPREMOTE", (sys.executable, "-c", program))
    with a_node(tmp_path, micropython, None) as node:
        assert cli._status(["node", "shell", "--port", node.port]) == 1
    out, err = capfd.readouterr()
    assert words in err
    assert "Traceback" not in out + err


@pytest.fixture
def chip(tmp_path, micropython) -> Iterator[VirtualChip]:
    """A flashed board that has a prompt, and counts without a network."""
    chip = VirtualChip(tmp_path / "chip", micropython, on_pty=True, running=True)
    put_firmware(chip.files)  # before it starts, or it might find half of it
    shutil.copy(FIRMWARE / "main.py", chip.files)
    (chip.files / "config.json").write_text(json.dumps({"node": NODE, "watchdog_s": 0}))
    with chip:
        yield chip


def test_the_shell_hands_over_to_the_prompt_and_restarts_the_node_afterwards(tmp_path, chip):
    keys, screen = pty.openpty()
    shell = subprocess.Popen(
        [sys.executable, "-m", "footfall_gateway.cli", "node", "shell", "--port", chip.url],
        stdin=screen,
        stdout=screen,
        stderr=screen,
        cwd=tmp_path,
    )
    seen = bytearray()

    def look() -> None:
        with contextlib.suppress(OSError):
            while True:
                seen.extend(os.read(keys, 4096))

    def wait_for(text: bytes) -> None:
        until = time.monotonic() + 60
        while text not in seen:
            assert time.monotonic() < until, bytes(seen)
            time.sleep(0.05)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        wait_for(b"ff-test: COUNTING STOPS NOW")
        wait_for(b"to exit this shell")
        os.write(keys, b"help\r")
        wait_for(b">>> help")
        resets = chip.resets
        os.write(keys, b"\x1d")
        assert shell.wait(60) == 0, bytes(seen)
        wait_for(b"shows whether it counts")
        until = time.monotonic() + 60
        while chip.resets == resets:  # the order is on its way
            assert time.monotonic() < until
            time.sleep(0.05)
        with UsbLink(chip.url) as link:
            assert link.info["boot"] > 1
        assert chip.resets == resets + 1
    finally:
        shell.kill()
        shell.wait()
        os.close(screen)  # nobody holds it any more: that ends the thread
        looking.join()
        os.close(keys)


def test_the_shell_needs_the_cable(footfall, tmp_path, mosquitto):
    (tmp_path / "footfall.toml").write_text(SETTINGS.format(port=mosquitto.port))
    code, _, err = footfall("node", "shell", NODE)
    assert code == 1
    assert "a prompt needs the USB cable: footfall node shell --port PORT" in err
