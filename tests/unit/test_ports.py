"""The port of the board: found by its USB chip, asked for where there are several, and every reason why it cannot be used.

Which ports a computer has, and whose they are, is the only thing that is pretended here.
"""

import errno
import os
import pty
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
import serial

from footfall_gateway.commissioning import CommissioningError, ports


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


def test_a_port_that_is_named_is_taken_whatever_sits_there(plugged_in):
    plugged_in(CP2102)
    assert ports.choose("/dev/ttyS7", None).device == "/dev/ttyS7"


def words(device):
    with pytest.raises(CommissioningError) as caught:
        ports.check_usable(device)
    return caught.value.lines


def test_a_port_that_is_not_there():
    assert words("/dev/ttyUSB97")[0] == "/dev/ttyUSB97: there is no such port"


def test_a_port_that_goes_and_comes_with_a_restart_of_the_board_is_waited_for(tmp_path):
    master, slave = pty.openpty()
    port = tmp_path / "ttyACM0"
    port.symlink_to(os.ttyname(slave))
    ports.check_usable(str(port))
    port.unlink()
    threading.Timer(0.5, lambda: port.symlink_to(os.ttyname(slave))).start()
    ports.check_usable(str(port))
    os.close(slave)
    os.close(master)


def test_a_port_of_another_group(mocker, tmp_path):
    port = tmp_path / "ttyUSB0"
    port.touch()
    mocker.patch(
        "serial.serial_for_url", side_effect=serial.SerialException(errno.EACCES, "Permission denied")
    )
    mocker.patch("pathlib.Path.group", return_value="dialout")
    said = words(str(port))
    assert said[0].endswith("you may not use this port, it belongs to the group dialout")
    assert said[1] == "Type: sudo adduser $USER dialout"
    assert said[2].startswith("Then log out and in again")


def test_a_port_that_another_program_uses_is_told_with_the_program():
    master, slave = pty.openpty()
    path = os.ttyname(slave)
    hold = "import serial, sys; s = serial.Serial(sys.argv[1], exclusive=True); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        said = words(path)
        other.stdin.close()
    os.close(slave)
    os.close(master)
    assert f"another program uses this port: python (process {other.pid})" in said[0].replace(
        "python3", "python"
    )
    assert "mpremote, or the gateway itself" in said[1]


def test_a_port_at_another_computer_that_does_not_answer():
    assert words("socket://127.0.0.1:1")[1] == "Does the program at the other end run, and on that port?"


def test_a_port_that_fails_in_another_way(mocker):
    mocker.patch("serial.serial_for_url", side_effect=serial.SerialException(errno.EIO, "Input/output error"))
    assert "cannot be opened" in words("/dev/ttyUSB0")[0]
    assert "Unplug the board, plug it in again" in words("/dev/ttyUSB0")[1]
