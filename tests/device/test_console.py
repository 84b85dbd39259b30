"""The USB console beside counting, in every mode, and the commands over it and over the broker: on the whole firmware."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import serial

from footfall_gateway.link_serial import Lines, decode_line, encode_line
from footfall_simulator import parts
from footfall_simulator.timeline import Timeline
from footfall_simulator.virtual_board import VirtualBoard
from footfall_simulator.wifi import WifiRelay
from tests.device.a_node import put_firmware
from tests.device.stand_in import StandInGateway
from tests.servers import Mosquitto

FIRMWARE = Path(__file__).parents[2] / "firmware"
NODE = "ff-test"
OUTER, INNER = 32, 33
BUTTONS, LAMPS, STATUS = (25, 26), (18, 19), 4
FREE, BROKEN = 0, 1
UP, DOWN = 1, 0
PASSWORDS = ("the WiFi's password", "the broker's password")
WAIT_S = 120
# From power-up until the beams are watched for sure: what starting costs, it costs in real time
READY_MS = 4000
LONGEST_ANSWER = 2048


class Desk:
    """A board with a cable to a person's computer: what is typed, and what is read."""

    def __init__(self, board: VirtualBoard, timeline: Timeline, port: str) -> None:
        self.board = board
        self.timeline = timeline
        self.port = serial.Serial(port, timeout=0.05, exclusive=True)
        self.lines = Lines()
        self.console: list[str] = []
        self.answers: list[dict[str, Any]] = []
        self.damaged = 0

    def send(self, do: object, **values: Any) -> None:
        self.port.write(encode_line("command", json.dumps({"v": 1, "do": do, **values})))

    def ask(self, do: object, **values: Any) -> dict[str, Any]:
        """A command's answer."""
        number = f"{do}-{time.monotonic_ns()}"
        self.send(do, id=number, **values)
        return self.until(lambda: next((one for one in self.answers if one.get("id") == number), None))

    def until(self, condition: Callable[[], Any]) -> Any:
        """Read until condition() holds; its value."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            if found := condition():
                return found
            for line in self.lines.feed(self.port.read(max(1, self.port.in_waiting))):
                try:
                    message = decode_line(line)
                except ValueError:
                    self.damaged += 1
                    continue
                if message is None:
                    self.console.append(line.decode())
                elif message[0] == "reply":
                    assert len(line) <= LONGEST_ANSWER + 20
                    self.answers.append(json.loads(message[1]))
        pytest.fail(f"not within {WAIT_S} s; the console: {self.console[-8:]}, answers: {self.answers[-2:]}")

    def wait_for(self, text: str) -> None:
        self.until(lambda: any(text in line for line in self.console))


@pytest.fixture
def desk(micropython: parts.Micropython, flash: Path, tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Make a desk; the broker (None: a port at which nothing listens), and further settings of config.json."""
    open_ones: list[Any] = []

    def make(broker: Mosquitto | None = None, *, rate: float = 4.0, **config: Any) -> Desk:
        timeline = Timeline(rate=rate)
        relay = WifiRelay("127.0.0.1", broker.port if broker else 1)
        settings = {
            "node": NODE,
            "wifi": {"ssid": "door", "password": PASSWORDS[0]},
            "mqtt": {"host": "127.0.0.1", "port": relay.port, "user": NODE, "password": PASSWORDS[1]},
            "barriers": [{"outer": OUTER, "inner": INNER}],
            "buttons": BUTTONS,
            "lamps": LAMPS,
            "status": STATUS,
            "watchdog_s": 0,
            **config,
        }
        put_firmware(flash)
        (flash / "config.json").write_text(json.dumps(settings))
        board = VirtualBoard(NODE, flash, micropython, FIRMWARE, timeline, wifi=relay, cable=tmp_path / "usb")
        board.set_pins({OUTER: FREE, INNER: FREE, BUTTONS[0]: UP, BUTTONS[1]: UP})
        board.plug_in()
        desk = Desk(board, timeline, str(tmp_path / "usb"))
        open_ones.extend([desk.port, board, relay])
        board.start()
        desk.wait_for("next record")
        return desk

    yield make
    for one in open_ones:
        one.close()


def schedule(desk: Desk, edges: list[tuple[int, int, int]], after_ms: int = 300) -> None:
    """Edges (ms from now on, pin, level); time stands still meanwhile, as this process may stall."""
    with desk.timeline.slowed(0):
        t_ms = max(desk.timeline.now_ms() + after_ms, desk.board.boot_utc_ms + READY_MS)
        desk.board.schedule_edges([(t_ms + at, pin, level) for at, pin, level in edges])


def walk_in(desk: Desk, people: int) -> None:
    schedule(
        desk,
        [
            (person * 600 + at, pin, level)
            for person in range(people)
            for at, pin, level in (
                (0, OUTER, BROKEN),
                (70, INNER, BROKEN),
                (180, OUTER, FREE),
                (250, INNER, FREE),
            )
        ],
    )


def press(pin: int, at: int = 0) -> list[tuple[int, int, int]]:
    return [(at, pin, DOWN), (at + 150, pin, UP)]


@pytest.mark.parametrize("serial_mode", [False, True])
def test_a_node_answers_on_the_cable_in_every_mode_while_it_counts(desk, mosquitto, serial_mode):
    d = desk(mosquitto, serial=serial_mode)
    walk_in(d, 12)
    for _ in range(12):
        told = d.ask("info")
        assert told["node"] == NODE
        assert d.ask("dance")["error"] == "unknown command"
    d.until(lambda: sum("passage t=" in line for line in d.console) == 12)
    assert d.damaged == 0
    assert d.board.late_edges == 0
    assert d.board.tracebacks == []


def test_info_tells_what_the_node_is_and_no_password(desk, mosquitto):
    d = desk(mosquitto)
    d.wait_for("broker: connected")
    told = d.ask("info")
    assert told["ok"] is True
    assert (told["fw"], told["boot"], told["cause"]) == ("0.1.0", 1, "power")
    assert told["micropython"].startswith("1.")
    assert told["barriers"][0]["outer"] == OUTER
    assert told["barriers"][0]["inner"] == INNER
    assert (told["buttons"], told["lamps"], told["status"]) == (list(BUTTONS), list(LAMPS), STATUS)
    assert told["spool"]["next"] >= 2
    assert told["heap"] > 20_000
    assert told["flash_free_kb"] > 0
    assert told["net"]["connected"] is True
    assert told["net"]["wifi"] == "door"
    assert not any(password in json.dumps(told) for password in PASSWORDS)


def test_the_largest_info_fits_into_one_answer(desk):
    pins = [18, 19, 21, 22, 23, 25, 26, 27]
    d = desk(
        node="a" * 32,
        wifi={"ssid": "w" * 32, "password": "p"},
        mqtt={"host": "h" * 100, "port": 65535},
        barriers=[{"outer": pins[i], "inner": pins[i + 1]} for i in range(0, 8, 2)],
        buttons=[14, 34, 35, 32, 33],
        lamps=[],
        status=None,
    )
    told = d.ask("info")
    assert told["ok"] is True
    assert len(told["barriers"]) == 4


def test_the_last_console_lines_can_be_asked_for_without_the_passages(desk):
    d = desk()
    d.wait_for("trying again")
    walk_in(d, 2)
    d.until(lambda: sum("passage t=" in line for line in d.console) == 2)
    text, since, more = "", 0, True
    while more:
        part = d.ask("log", **{"from": since})
        text, since, more = text + part["text"], part["next"], part["more"]
    assert "footfall 0.1.0: node ff-test, boot 1" in text
    assert "trying again" in text
    assert "passage" not in text
    assert text.endswith("\n")
    assert d.ask("log", **{"from": since})["from"] >= since
    assert "expected a whole number" in d.ask("log", **{"from": "x"})["error"]
    assert 'expected "console" or "crash"' in d.ask("log", of="cat")["error"]


def test_the_text_of_the_last_crash_can_be_asked_for(desk, flash):
    d = desk()
    assert d.ask("log", of="crash")["text"] == ""
    (flash / "crash.txt").write_text("boot 3\nValueError: x\n" * 60)
    text, since, more = "", 0, True
    while more:
        part = d.ask("log", of="crash", **{"from": since})
        text, since, more = text + part["text"], part["next"], part["more"]
    assert text == "boot 3\nValueError: x\n" * 60


def results(answer: dict[str, Any]) -> dict[str, tuple[bool | None, str]]:
    return {name: (ok, words) for name, ok, words in answer["results"]}


def test_the_self_test_of_a_node_that_is_well(desk, mosquitto):
    with StandInGateway(mosquitto.port):
        d = desk(mosquitto, rate=4)
        before = len(d.board.output_log)
        told = results(d.ask("test", watch_s=1, wait_s=120))
    assert {name for name, (ok, _) in told.items() if ok} == {
        "beam 0 outer",
        "beam 0 inner",
        "flash",
        "wifi",
        "broker",
        "time",
    }
    assert {name for name, (ok, _) in told.items() if ok is None} == {
        "lamps",
        "status lamp",
        "button 0",
        "button 1",
    }
    assert told["wifi"][1] == "door, address 192.168.4.40, -60 dBm"
    lit = [output.pin for output in list(d.board.output_log)[before:] if output.level and output.pin in LAMPS]
    assert lit == list(LAMPS)
    assert not list((d.board.flash_dir).glob("selftest*"))


def test_the_self_test_names_what_is_wrong(desk):
    d = desk(rate=4)
    d.wait_for("trying again")  # it has tried its broker
    d.board.set_pins({INNER: BROKEN, BUTTONS[1]: DOWN})
    schedule(d, [(8 * i, OUTER, BROKEN if i % 2 else FREE) for i in range(2001)], after_ms=2000)
    told = results(d.ask("test", watch_s=5))
    assert told["beam 0 outer"][0] is False
    assert "chatters" in told["beam 0 outer"][1]
    assert told["beam 0 inner"] == (
        False,
        "broken all the time: does something stand in it, is it aimed, has it power?",
    )
    assert told["button 1"] == (False, "held down: stuck, or pressed_level is wrong")
    assert told["broker"] in [(False, "the broker closed the connection"), (False, "connection reset")]
    assert told["time"][0] is False


def test_the_self_test_sees_a_hand_in_the_beam_and_takes_no_press_for_a_vote(desk, mosquitto):
    with StandInGateway(mosquitto.port) as gateway:
        d = desk(mosquitto)
        d.wait_for("time: learned")
        d.send("test", id="t", watch_s=20)
        d.until(lambda: d.board.outputs.get(LAMPS[0]))  # it has begun; it looks when both lamps were lit
        hand = [(0, OUTER, BROKEN), (1000, OUTER, FREE)]  # it only looks
        presses = press(BUTTONS[0]) + press(BUTTONS[0], 500) + press(BUTTONS[1], 1000)
        schedule(d, hand + presses, after_ms=2000)
        told = results(d.until(lambda: next((one for one in d.answers if one.get("id") == "t"), None)))
        assert told["button 0"] == (True, "pressed and released")
        assert told["button 1"] == (True, "pressed and released")
        assert told["beam 0 outer"] == (True, "free, was broken 1 times")
        assert not [line for line in d.console if line.startswith(("press", "passage"))]
        schedule(d, press(BUTTONS[1]))
        gateway.wait("the vote after the test", lambda: gateway.of_kind("B"))
        assert [record[2] for record in gateway.of_kind("B")] == [1]
        assert gateway.of_kind("Q") == []
        assert gateway.of_kind("P") == []


def test_one_self_test_at_a_time_and_other_commands_are_answered_meanwhile(desk):
    d = desk()
    d.send("test", id="first", watch_s=60)
    assert d.ask("test")["error"] == "busy with test, ask again later"
    assert d.ask("info")["ok"] is True
    assert not [one for one in d.answers if one.get("id") == "first"]
    d.timeline.set_rate(40)
    d.until(lambda: [one for one in d.answers if one.get("id") == "first"])
    assert "expected a whole number from 0 to 60" in d.ask("test", watch_s=61)["error"]


def test_over_the_broker_the_same_commands_are_answered_there_and_not_on_the_cable(desk, mosquitto):
    with StandInGateway(mosquitto.port) as gateway:
        d = desk(mosquitto, rate=4)
        d.wait_for("broker: connected")
        gateway.send(NODE, "command", {"v": 1, "do": "info", "id": "i"})
        gateway.send(NODE, "command", {"v": 1, "do": "test", "id": "t", "watch_s": 0})
        gateway.wait("both answers", lambda: {"i", "t"} <= {one.get("id") for one in gateway.replies})
        assert d.ask("info")["ok"] is True
        assert len(d.answers) == 1


def test_a_configuration_over_the_cable_is_taken_or_refused_as_one_from_the_broker(desk):
    d = desk()
    d.port.write(encode_line("config", '{"v":1,"rev":5,"lockout_ms":500}'))
    d.wait_for("configuration: revision 5")
    told = d.ask("info")
    assert (told["rev"], told["lockout_ms"], told["config_error"]) == (5, 500, None)
    d.port.write(encode_line("config", '{"v":1,"rev":6,"lockout_ms":-1}'))
    d.wait_for("configuration refused")
    told = d.ask("info")
    assert told["rev"] == 5
    assert "lockout_ms is -1" in told["config_error"]


def test_an_acknowledgement_on_the_cable_of_a_node_with_a_broker_is_not_believed(desk):
    d = desk()
    walk_in(d, 2)
    d.until(lambda: sum("passage t=" in line for line in d.console) == 2)
    d.timeline.sleep_ms(2000)  # then it is in flash
    before = d.ask("info")["spool"]
    d.port.write(encode_line("ack", json.dumps({"v": 1, "spool": before["id"], "seq": before["next"] - 1})))
    assert d.ask("info")["spool"]["depth"] >= before["depth"] > 0


def test_typing_and_damaged_lines_disturb_nothing_and_ctrl_c_ends_the_program(desk):
    d = desk()
    d.port.write(b"hello?\r\ncommand {broken*00000000\n" + b"x" * 5000 + b"\r\n")
    assert d.ask("info")["ok"] is True
    d.port.write(b"\x03")
    d.wait_for("Stopped by Ctrl-C")
    d.board.wait_for_end(WAIT_S)


def test_a_hundred_long_answers_leave_the_heap_as_it_was(desk):
    d = desk()
    for do in ("info", "log", "test"):
        d.ask(do, **({"watch_s": 0} if do == "test" else {}))
    before = d.ask("info")["heap"]
    for _ in range(50):
        d.ask("info")
        d.ask("log")
    # The answer may be here before the board has forgotten what it needed for the one before
    assert max(d.ask("info")["heap"] for _ in range(5)) > before - 2048
