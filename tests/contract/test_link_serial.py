"""The serial link: the line on the cable, and a cable that is pulled out. The far end is a pty, or a port that dies."""

import binascii
import json
import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial

from footfall_gateway import link_serial, serial_ports
from footfall_gateway.ledger import Ledger
from footfall_gateway.link import MAX_KEPT_BYTES, Arrived, Inbox, Opened
from footfall_gateway.link_serial import MAX_LINE_BYTES, Lines, SerialLink, decode_line, encode_line
from footfall_gateway.service import Gateway, ledger_path
from footfall_gateway.settings import Door, GatewaySettings, SerialSettings, Settings, Site
from tests.cable import Cable

LIMIT_S = 60
BATCH = '{"v":1,"spool":"8f3a01c2","boot":12,"seq":1041,"r":[[81234567,"P",0,1,420]]}'


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Cable]:
    """Not plugged in yet."""
    cable = Cable(tmp_path / "ttyUSB0")
    yield cable
    if cable.node >= 0:
        cable.pull()


@pytest.fixture
def link(cable, monkeypatch) -> Iterator[Callable[[], tuple[SerialLink, Inbox]]]:
    monkeypatch.setattr(link_serial, "RETRY_FIRST_S", 0.02)
    monkeypatch.setattr(link_serial, "RETRY_LIMIT_S", 0.1)
    monkeypatch.setattr(link_serial, "READ_TIMEOUT_S", 0.05)
    made = []

    def crashed(error: BaseException) -> None:
        raise AssertionError from error

    def make() -> tuple[SerialLink, Inbox]:
        inbox = Inbox()
        one = SerialLink(SerialSettings(port=str(cable.path), node="ff-1"), inbox, crashed)
        made.append((one, inbox))
        one.start()
        return one, inbox

    yield make
    for one, inbox in made:
        inbox.close()
        one.stop()


def take(inbox: Inbox, kind: type) -> Arrived | Opened:
    """The next item of the inbox, which must be of this kind."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        for item in inbox.take(1, 0.1):
            assert isinstance(item, kind), item
            return item
    pytest.fail(f"no {kind.__name__} came")


def logged(caplog, words: str) -> str:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        for record in caplog.records:
            if words in record.message:
                return record.message
        time.sleep(0.01)
    pytest.fail(f"no line with {words!r} in {[record.message for record in caplog.records]}")


# ----------------------------------------------------------------------------------------------------- the line


def test_a_line_is_leaf_json_star_and_the_crc32_of_all_before_the_star():
    line = encode_line("ack", '{"v":1,"spool":"8f3a01c2","seq":1090}')
    body = b'ack {"v":1,"spool":"8f3a01c2","seq":1090}'
    assert line == body + b"*" + format(binascii.crc32(body), "08x").encode() + b"\n"
    # worked out with another program: printf '%s' 'ack {...}' | gzip -c | tail -c8 | od -t x4
    assert line == b'ack {"v":1,"spool":"8f3a01c2","seq":1090}*c31a91b6\n'
    assert decode_line(line[:-1]) == ("ack", b'{"v":1,"spool":"8f3a01c2","seq":1090}')


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"passage t=81234567 barrier=0 in transit=420",
        b"Traceback (most recent call last):",
        b'{"v":1}*00000000',
        b"records of yesterday*00000000",
        b'unknown {"v":1}*00000000',
        b"\xff\xfe{",
        b"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)",
    ],
)
def test_console_text_of_the_board_is_no_message_and_no_damage(text):
    assert decode_line(text) is None


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_that_lost_bytes_is_damaged(cut):
    line = encode_line("records", BATCH)[:-1]
    for damaged in (line[:-cut], line[:20] + line[20 + cut :]):
        with pytest.raises(ValueError, match="checksum"):
            decode_line(damaged)


def test_every_single_wrong_bit_is_noticed():
    line = encode_line("records", BATCH)[:-1]
    for position in range(len("records {"), len(line)):
        for bit in range(8):
            damaged = bytearray(line)
            damaged[position] ^= 1 << bit
            with pytest.raises(ValueError, match="checksum"):
                decode_line(bytes(damaged))


def test_a_star_inside_the_json_does_no_harm():
    payload = '{"fw":"a*b*deadbeef"}'
    assert decode_line(encode_line("state", payload)[:-1]) == ("state", payload.encode())


@pytest.mark.parametrize("seed", range(5))
def test_lines_are_the_same_in_whatever_pieces_they_come(seed):
    rng = random.Random(seed)
    expected = [encode_line("records", BATCH[: rng.randrange(len(BATCH))])[:-1] for _ in range(50)]
    stream = b"".join(line + rng.choice([b"\n", b"\r\n"]) for line in expected)
    lines = Lines()
    found: list[bytes] = []
    while stream:
        n = rng.randrange(1, 40)
        found += lines.feed(stream[:n])
        stream = stream[n:]
    assert found == expected


def test_an_endless_line_takes_no_memory_and_the_next_one_is_read():
    lines = Lines()
    for _ in range(1000):
        assert list(lines.feed(b"x" * 1000)) == []
        assert len(lines._rest) <= MAX_LINE_BYTES
    assert list(lines.feed(b"\nnext\n")) == [b"next"]


# ---------------------------------------------------------------------------------------------------- the cable


def test_messages_of_the_node_arrive_under_the_topic_of_its_name(cable, link):
    cable.plug()
    one, inbox = link()
    take(inbox, Opened)
    cable.write(b"boot noise \xff\xfe\r\n" + encode_line("records", BATCH) + encode_line("ack", "{}"))
    cable.write(encode_line("state", '{"v":1,"online":true}'))
    records, state = take(inbox, Arrived), take(inbox, Arrived)
    assert records == Arrived(one, "footfall/1/ff-1/records", BATCH.encode())
    assert (state.topic, state.payload) == ("footfall/1/ff-1/state", b'{"v":1,"online":true}')


def test_a_damaged_line_is_counted_told_and_passed_over(cable, link, caplog):
    cable.plug()
    one, inbox = link()
    take(inbox, Opened)
    line = encode_line("records", BATCH)
    cable.write(line[:30] + b"#" + line[31:] + line)
    assert take(inbox, Arrived).payload == BATCH.encode()
    assert one.damaged == 1
    assert "damaged line (1 so far), the node will send it again" in caplog.text


def test_a_huge_payload_does_not_come_through(cable, link):
    cable.plug()
    _, inbox = link()
    take(inbox, Opened)
    cable.write(encode_line("records", "{" + "x" * 100_000) + encode_line("records", BATCH))
    arrived = take(inbox, Arrived)
    assert arrived.payload == BATCH.encode()
    assert len(arrived.payload) <= MAX_KEPT_BYTES


def test_what_is_sent_has_the_same_form(cable, link):
    cable.plug()
    one, inbox = link()
    take(inbox, Opened)
    assert one.send("ff-1", "ack", '{"seq":1}', retain=True)
    assert cable.read_line() == encode_line("ack", '{"seq":1}')
    assert one.send("ff-2", "ack", "{}") is False  # another node is not at this cable


def test_a_cable_that_is_pulled_and_plugged_again_goes_on_and_the_log_says_so(cable, link, caplog):
    caplog.set_level(logging.INFO, "footfall_gateway")
    one, inbox = link()
    assert "not there; is the cable plugged in?" in logged(caplog, "not there")
    for n in range(1, 4):
        cable.plug()
        take(inbox, Opened)
        assert logged(caplog, "works again after")
        caplog.clear()
        cable.write(encode_line("records", f'{{"n":{n}}}'))
        assert take(inbox, Arrived).payload == f'{{"n":{n}}}'.encode()
        cable.pull()
        logged(caplog, "trying again until it works")
        assert one.send("ff-1", "ack", "{}") is False


@pytest.mark.parametrize(
    "error",
    [
        serial.SerialException(
            "device reports readiness to read but returned no data (device disconnected?)"
        ),
        OSError(5, "Input/output error"),
        TypeError("'NoneType' object cannot be interpreted as an integer"),
    ],
    ids=["readiness", "EIO", "torn away"],
)
def test_each_way_in_which_pyserial_reports_a_vanished_port_is_survived(mocker, link, caplog, error):
    healthy = mocker.Mock(in_waiting=1, **{"read.side_effect": [encode_line("records", BATCH), error]})
    after = mocker.Mock(in_waiting=1)
    after.read.side_effect = lambda _n: time.sleep(0.01) or b""
    mocker.patch.object(link_serial, "_opened", side_effect=[healthy, after])
    _, inbox = link()
    take(inbox, Opened)
    assert take(inbox, Arrived).payload == BATCH.encode()
    take(inbox, Opened)
    healthy.close.assert_called_once()
    assert "unplugged" in caplog.text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (serial.SerialException(13, "could not open port: [Errno 13] Permission denied"), "group dialout"),
        (serial.SerialException(11, "Could not exclusively lock port"), "in use by another program"),
        (serial.SerialException(2, "could not open port: No such file"), "is the cable plugged in?"),
        (
            serial.SerialException("Could not configure port: (25, 'Inappropriate ioctl for device')"),
            "no serial port",
        ),
    ],
)
def test_why_a_port_cannot_be_opened_is_said_in_words_that_help(mocker, link, caplog, error, words):
    mocker.patch.object(link_serial, "_opened", side_effect=error)
    link()
    assert words in logged(caplog, "serial port")


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Path:
    """A /dev and a /proc of its own."""
    monkeypatch.setattr(serial_ports, "DEV", tmp_path / "dev")
    monkeypatch.setattr(serial_ports, "PROCESSES", tmp_path / "proc")
    (tmp_path / "dev/serial/by-id").mkdir(parents=True)
    return tmp_path


def test_a_board_with_another_name_after_a_replug_is_pointed_at(machine, mocker, link, caplog):
    stays = machine / "dev/serial/by-id/usb-Silicon_Labs_CP2102-if00-port0"
    (machine / "dev/ttyUSB1").touch()
    stays.symlink_to("../../ttyUSB1")
    (machine / "dev/ttyACM0").touch()
    mocker.patch.object(link_serial, "_opened", side_effect=serial.SerialException(2, "No such file"))
    link()
    said = logged(caplog, "is the cable plugged in?")
    assert f"There is {stays}, {machine}/dev/ttyACM0: if that is the board, set `port` to it" in said
    assert "ttyUSB1" not in said  # it has a better name


def test_a_name_that_stays_leads_to_the_board_wherever_it_comes_back(cable, link, tmp_path):
    one, inbox = link()
    by_id = cable.path
    for n in range(2):
        cable.path = tmp_path / f"ttyUSB{7 + n}"
        cable.plug()
        by_id.symlink_to(cable.path)  # as udev does
        take(inbox, Opened)
        cable.write(encode_line("records", f'{{"n":{n}}}'))
        assert take(inbox, Arrived).payload == f'{{"n":{n}}}'.encode()
        by_id.unlink()
        cable.pull()
    assert one.name == f"serial port {by_id} (node ff-1)"


def test_a_port_without_permission_names_the_user_the_group_and_the_command(
    mocker, link, caplog, monkeypatch
):
    monkeypatch.setattr(link_serial, "user", lambda: "footfall")
    monkeypatch.setattr(link_serial, "group_of", lambda _port: "dialout")
    mocker.patch.object(link_serial, "_opened", side_effect=serial.SerialException(13, "Permission denied"))
    link()
    said = logged(caplog, "no permission")
    assert "the user footfall must be in the group dialout: as root `adduser footfall dialout`" in said


def test_the_group_of_a_port_is_that_of_its_file(tmp_path):
    (tmp_path / "ttyUSB0").touch()
    assert serial_ports.group_of(str(tmp_path / "ttyUSB0")) == (tmp_path / "ttyUSB0").group()
    assert serial_ports.group_of(str(tmp_path / "gone")) == "dialout"


def test_of_two_gateways_on_one_port_the_second_names_the_first_and_takes_over_when_it_ends(
    cable, link, caplog
):
    cable.plug()
    first, inbox = link()
    take(inbox, Opened)
    second, its_inbox = link()
    said = logged(caplog, "in use by another program")
    name = Path("/proc/self/comm").read_text().strip()
    assert f"{name} (process {os.getpid()})" in said
    cable.write(encode_line("records", BATCH))
    assert take(inbox, Arrived).payload == BATCH.encode()
    assert second.send("ff-1", "ack", "{}") is False
    assert len(its_inbox) == 0
    first.stop()
    take(its_inbox, Opened)
    cable.write(encode_line("records", BATCH))
    assert take(its_inbox, Arrived).payload == BATCH.encode()


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.97])
def test_a_cable_that_is_pulled_in_the_middle_of_a_batch_again_and_again(cable, link, share):
    one, inbox = link()
    line = encode_line("records", BATCH)
    cut = round(len(line) * share)
    for _ in range(4):
        cable.plug()
        take(inbox, Opened)
        cable.write(line[:cut])
        time.sleep(0.02)
        cable.pull()
    cable.plug()
    take(inbox, Opened)
    cable.write(line[cut:] + line)  # the board had not noticed
    assert take(inbox, Arrived).payload == BATCH.encode()
    assert inbox.take(1, 0.2) == []  # and nothing was put together from two halves
    assert one.damaged == 0


def test_a_port_that_does_not_take_bytes_does_not_hold_up_the_gateway(mocker, link):
    port = mocker.Mock(in_waiting=0)
    port.read.side_effect = lambda _n: time.sleep(0.01) or b""
    port.write.side_effect = serial.SerialTimeoutException("Write timeout")
    mocker.patch.object(link_serial, "_opened", return_value=port)
    one, inbox = link()
    take(inbox, Opened)
    assert one.send("ff-1", "ack", "{}") is False


# ------------------------------------------------------------------------------------------- through the gateway


def test_a_node_on_a_cable_is_stored_acknowledged_and_told_the_time(cable, tmp_path, caplog):
    caplog.set_level(logging.INFO, "footfall_gateway")
    cable.plug()
    settings = Settings(
        gateway=GatewaySettings(data=tmp_path / "data"),
        serial=(SerialSettings(port=str(cable.path), node="ff-1"),),
        sites=(Site(id="lab", timezone="UTC", doors=(Door(id="main", node="ff-1"),)),),
    )
    now_ms = 1_767_225_600_000
    gateway = Gateway(settings, clock=lambda: now_ms)
    gateway.start()
    logged(caplog, ": open")  # what came before is thrown away with the port's old bytes
    cable.write(encode_line("reply", '{"v":1,"ask":"time","t":77}'))
    leaf, payload = decode_line(cable.read_line()[:-1])
    assert (leaf, json.loads(payload)) == ("command", {"v": 1, "do": "time", "t": 77, "utc": now_ms})
    records = f'[[0,"C",{now_ms},"gw"],[1000,"P",0,1,420],[2000,"P",0,-1,420]]'
    cable.write(encode_line("records", f'{{"v":1,"spool":"8f3a01c2","boot":1,"seq":1,"r":{records}}}'))
    leaf, payload = decode_line(cable.read_line()[:-1])
    assert (leaf, json.loads(payload)) == ("ack", {"v": 1, "spool": "8f3a01c2", "seq": 3})
    cable.pull()
    cable.plug()
    leaf, payload = decode_line(cable.read_line()[:-1])  # said again, as the node may have missed it
    assert (leaf, json.loads(payload)["seq"]) == ("ack", 3)
    gateway.stop()
    assert gateway.failure is None
    with Ledger.open(ledger_path(settings), read_only=True) as ledger:
        assert ledger.counters().records == 3
