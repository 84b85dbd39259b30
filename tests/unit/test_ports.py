"""The port of the board: found by its USB chip, asked for where there are several, and every reason why it cannot be used.

Which ports a computer has is the only thing that is pretended here.
"""

import errno
import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import serial

from footfall_gateway.commissioning import CommissioningError, ports
from tests.cable import Cable


@pytest.fixture
def plugged_in(mocker):
    def plug(*found):
        infos = [
            SimpleNamespace(device=device, vid=vid, pid=pid, serial_number=number, location=None)
            for device, vid, pid, number in found
        ]
        mocker.patch("serial.tools.list_ports.comports", return_value=infos)

    return plug


CP2102 = ("/dev/ttyUSB0", 0x10C4, 0xEA60, "0001")
CH340 = ("/dev/ttyUSB1", 0x1A86, 0x7523, None)
NATIVE = ("/dev/ttyACM0", 0x303A, 0x1001, "24:6F:28:00:00:01")
MODEM = ("/dev/ttyS0", None, None, None)
PRINTER = ("/dev/ttyACM1", 0x2341, 0x0043, None)


def test_the_only_board_is_taken_and_other_ports_are_left_alone(plugged_in):
    plugged_in(MODEM, PRINTER, CP2102)
    assert str(ports.choose(None, None)) == "/dev/ttyUSB0  CP210x  0001"


@pytest.mark.parametrize(
    ("vid", "pid", "name"),
    [
        (0x10C4, 0xEA60, "CP210x"),
        (0x1A86, 0x7523, "CH340"),
        (0x1A86, 0x55D4, "CH9102"),
        (0x0403, 0x6001, "FT232R"),
        (0x0403, 0x6010, "FT2232"),
        (0x303A, 0x1001, "the USB port of the chip itself"),
        (0x303A, 0x4001, "the USB port of the chip itself"),
    ],
)
def test_a_board_is_known_by_its_usb_chip(vid, pid, name, plugged_in):
    plugged_in(("/dev/ttyUSB0", vid, pid, None))
    assert [port.bridge for port in ports.candidates()] == [name]


def test_of_several_boards_the_user_chooses(plugged_in):
    plugged_in(CH340, NATIVE, CP2102)
    asked = []
    chosen = ports.choose(None, lambda found: asked.extend(found) or found[1])
    assert [port.device for port in asked] == ["/dev/ttyACM0", "/dev/ttyUSB0", "/dev/ttyUSB1"]
    assert chosen.device == "/dev/ttyUSB0"


def test_of_several_boards_with_nobody_to_ask_the_ports_are_named(plugged_in):
    plugged_in(CH340, CP2102)
    with pytest.raises(CommissioningError) as caught:
        ports.choose(None, None)
    assert caught.value.lines == (
        "2 boards found:", "  /dev/ttyUSB0  CP210x  0001", "  /dev/ttyUSB1  CH340", "Say which one: --port PORT"
    )  # fmt: skip


def test_without_a_board_it_asks_for_a_cable_with_data_lines(plugged_in):
    plugged_in(MODEM)
    with pytest.raises(CommissioningError) as caught:
        ports.choose(None, None)
    assert caught.value.lines[0] == "no board found on any USB port"
    assert "cable one with data lines (many that charge a phone have none)" in caught.value.lines[1]


def test_a_port_with_a_usb_chip_that_is_not_known_is_named(plugged_in):
    plugged_in(MODEM, PRINTER)
    with pytest.raises(CommissioningError) as caught:
        ports.choose(None, None)
    assert (
        caught.value.lines[-1]
        == "There is /dev/ttyACM1 (2341:0043): if that is the board, name it with --port"
    )


def test_a_port_that_is_named_is_taken_whatever_sits_there(plugged_in):
    plugged_in(CP2102)
    assert ports.choose("/dev/ttyS7", None).device == "/dev/ttyS7"


def words(device):
    with pytest.raises(CommissioningError) as caught:
        ports.check_usable(device)
    return caught.value.lines


def test_a_port_that_is_not_there():
    assert words("/dev/ttyUSB97")[0] == "/dev/ttyUSB97: there is no such port"


def test_a_file_is_no_port(tmp_path):
    (tmp_path / "file").touch()
    assert words(str(tmp_path / "file"))[0] == f"{tmp_path}/file: this is no serial port"


@pytest.fixture
def cable(tmp_path):
    with Cable(tmp_path / "ttyACM0") as cable:
        yield cable


@pytest.fixture
def port(cable):
    """A port that works."""
    return cable.path


def test_a_port_that_goes_and_comes_with_a_restart_of_the_board_is_waited_for(cable, port):
    ports.check_usable(str(port))
    cable.pull()
    back = threading.Timer(0.5, cable.plug)
    back.start()
    assert ports.check_usable(str(port)) == str(port)
    back.join()


def test_a_board_that_does_not_come_back_is_told_as_gone(cable, port, monkeypatch):
    monkeypatch.setattr(ports, "RETURN_PATIENCE_S", 0.3)
    ports.check_usable(str(port))
    cable.pull()
    said = words(str(port))
    assert said[0] == f"{port}: the board has gone, and does not come back"
    assert "Was the cable pulled, or is it loose?" in said[1]


@pytest.mark.parametrize(
    ("number_then", "number_now", "socket_now", "same"),
    [
        ("24:6F:28:00:00:01", "246f28000001", "1-9:1.0", True),  # the loader's number, MicroPython's
        ("24:6F:28:00:00:01", "123456", "1-2:1.0", True),  # an older MicroPython, in the same socket
        ("24:6F:28:00:00:01", "246f28000099", "1-3:1.0", False),  # another board
    ],
)
def test_a_chip_with_a_usb_port_of_its_own_is_found_again_under_another_name(
    number_then, number_now, socket_now, same, port, mocker, monkeypatch
):
    monkeypatch.setattr(ports, "RETURN_PATIENCE_S", 0.3)
    there = mocker.patch("serial.tools.list_ports.comports")

    def plugged_in(device, number, socket):
        there.return_value = [
            SimpleNamespace(device=str(device), vid=0x303A, pid=0x1001, serial_number=number, location=socket)
        ]

    plugged_in(port, number_then, "1-2:1.0")
    ports.check_usable(str(port))
    new_name = port.rename(port.with_name("ttyACM1"))
    plugged_in(new_name, number_now, socket_now)
    if same:
        assert ports.check_usable(str(port)) == str(new_name)
    else:
        assert "has gone" in words(str(port))[0]


def test_a_port_of_another_group(port):
    """The system's own refusal, of a port that belongs to nobody here; root, who may use all, is somebody else meanwhile."""
    target = port.readlink()
    group = target.group()
    target.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        said = words(str(target))
    finally:
        os.seteuid(user)
    assert said[0] == f"{target}: you may not use this port, it belongs to the group {group}"
    assert said[1] == f"Type: sudo adduser $USER {group}"
    assert said[2].startswith("Then log out and in again")


HOLD = "import serial, sys; s = serial.Serial(sys.argv[1], exclusive=True); print(1, flush=True); sys.stdin.read()"


@pytest.fixture
def other_program(port):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        yield other
        other.stdin.close()


def test_a_port_that_another_program_uses_is_told_with_the_program(port, other_program, monkeypatch):
    monkeypatch.setattr(ports, "BUSY_PATIENCE_S", 0.3)
    said = words(str(port))
    assert "another program uses this port: " in said[0]
    assert f" (process {other_program.pid})" in said[0]
    assert "mpremote, or the gateway itself" in said[1]


def test_a_port_that_is_in_use_for_a_moment_only_is_waited_for_with_a_line_that_says_so(
    port, other_program, capsys, mocker
):
    wait = time.sleep

    def wait_and_let_go(seconds):
        """It goes on for two looks, and ends before the third."""
        if looks.call_count == 2:
            other_program.stdin.close()
            other_program.wait(60)
        wait(seconds)

    looks = mocker.patch.object(ports.time, "sleep", side_effect=wait_and_let_go)
    ports.check_usable(str(port))
    [line] = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"{port}: in use by ")
    assert line.endswith("; waiting a few seconds …")


def test_a_port_at_another_computer_that_does_not_answer():
    assert words("socket://127.0.0.1:1")[1] == "Does the program at the other end run, and on that port?"


def test_a_port_that_fails_in_another_way(mocker):
    mocker.patch("serial.serial_for_url", side_effect=serial.SerialException(errno.EIO, "Input/output error"))
    assert "cannot be opened" in words("/dev/ttyUSB0")[0]
    assert "Unplug the board, plug it in again" in words("/dev/ttyUSB0")[1]
