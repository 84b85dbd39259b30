"""Update over the air on whole virtual boards with a real broker: people walk through the door all the time."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import paho.mqtt.client as paho
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from footfall_gateway.commissioning import CommissioningError, device_files, update_sender
from footfall_gateway.commissioning.bundle import Bundle, make_bundle
from footfall_gateway.commissioning.chips import ESP32
from footfall_gateway.commissioning.device_files import DeviceFile
from footfall_gateway.commissioning.signing import public_half
from footfall_gateway.commissioning.update_sender import Sender
from footfall_simulator import parts
from footfall_simulator.timeline import Timeline
from footfall_simulator.virtual_board import VirtualBoard
from footfall_simulator.wifi import WifiRelay
from tests.device.stand_in import StandInGateway
from tests.device.test_firmware import (
    FIRMWARE,
    FREE,
    INNER,
    NODE,
    OUTER,
    World,
    assert_all_arrived,
    passage,
)
from tests.servers import Mosquitto

OLD, NEW = "0.1.0", "0.2.0"
RATE, TRIAL_RATE = 20, 100
CONFIRMED_RATE = 40  # a good firmware has ten minutes to reach the gateway: fifteen seconds here
CHIP = "esp32"  # what the virtual board is taken for
COMPILED_ONCE: dict[tuple[str, ...], list[DeviceFile]] = {}


@cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=3072)


@pytest.fixture(scope="session")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[DeviceFile]]:
    """The firmware with another version number and, where wanted, with something broken in it."""

    def make(version: str, path: str = "", this: str = "", that: str = "") -> list[DeviceFile]:
        name = (version, path, this, that)
        if name not in COMPILED_ONCE:
            folder = tmp_path_factory.mktemp("firmware") / "firmware"
            shutil.copytree(FIRMWARE, folder, ignore=shutil.ignore_patterns("__pycache__"))
            change(folder / "node/__init__.py", r'VERSION = ".*"', f'VERSION = "{version}"')
            if path:
                change(folder / path, re.escape(this), that)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(device_files, "firmware_folder", lambda: folder)
                COMPILED_ONCE[name] = device_files.compiled(ESP32)
        return COMPILED_ONCE[name]

    return make


def change(path: Path, this: str, that: str) -> None:
    text, n = re.subn(this, lambda _: that, path.read_text())
    assert n == 1, f"{path}: {this} is there {n} times"
    path.write_text(text)


class Conversation:
    """To and from one node through the broker, as small as can be."""

    def __init__(self, broker: Mosquitto) -> None:
        self._replies = replies = SimpleQueue[dict[str, Any]]()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(f"footfall/1/{NODE}/reply", 1)
        self._client.on_message = lambda *values: replies.put(json.loads(values[-1].payload))
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def send(self, values: dict[str, Any]) -> None:
        self._client.publish(f"footfall/1/{NODE}/command", json.dumps({"v": 1, **values}), 1)

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        try:
            return self._replies.get(timeout=timeout_s)
        except Empty:
            return None

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@dataclass
class Seen:
    """Watches a sender; `at` is called with the percentage whenever it grows."""

    at: Callable[[int], None] = lambda _: None
    lines: list[str] = field(default_factory=list)
    percent: int = 0

    def sent(self, done: int, size: int) -> None:
        if done * 100 // size > self.percent:
            self.percent = done * 100 // size
            self.at(self.percent)

    def say(self, line: str) -> None:
        self.lines.append(line)


class Town(World):
    """A board whose firmware lies in slot a, its broker, and who sends updates."""

    broker: Mosquitto
    gateway: StandInGateway
    conversation: Conversation

    def send(
        self, bundle: Bundle, seen: Seen | None = None, *, trial_rate: float = CONFIRMED_RATE, **options: Any
    ) -> bool:
        """As `footfall update send`, until it ends; the trial passes quickly."""
        seen = seen or Seen()
        seen.say = lambda line: (seen.lines.append(line), self.timeline.set_rate(trial_rate))
        try:
            return Sender(NODE, bundle, self.conversation, seen, **options).run()
        finally:
            self.timeline.set_rate(RATE)

    def almost_all_there(self, bundle: Bundle) -> Bundle:
        """The flash as a transfer leaves it that broke off before the last few files: saves the tests' time."""
        flash = self.board.flash_dir
        *rows, _ = bundle.content[: bundle.head_bytes].splitlines()[1:]
        shutil.rmtree(flash / "slots/b", ignore_errors=True)
        at = bundle.head_bytes
        for row in rows:
            path, size, _ = json.loads(row)
            if path.startswith(("board/", "node/")):
                put(flash / "slots/b", [DeviceFile(path, bundle.content[at : at + size])])
            at += size
        (flash / "update.head").write_bytes(bundle.content[: bundle.head_bytes])
        note = {"bundle": bundle.id, "version": bundle.version, "slot": "b"}
        (flash / "update.json").write_text(json.dumps(note))
        return bundle

    def boots(self) -> list[list[Any]]:
        return self.gateway.of_kind("R")

    def runs(self, slot: str, version: str) -> dict[str, Any]:
        """The board runs this from this slot, and counts; its state. A firmware that stays has none of the update in it."""
        self.walk(3)
        self.walked()
        assert_all_arrived(self.gateway, self)

        def told() -> dict[str, Any]:
            state = self.gateway.state
            here = (state.get("fw"), state.get("slot")) == (version, slot)
            return state if here and (slot != "b" or state["update"] is None) else {}

        state: dict[str, Any] = self.gateway.wait(f"{version} in slot {slot}", told, 90)
        return state


@pytest.fixture
def town(
    micropython: parts.Micropython,
    flash: Path,
    tmp_path: Path,
    mosquitto: Mosquitto,
    firmware: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Town]:
    monkeypatch.setattr(update_sender, "LOOK_S", 0.4)
    monkeypatch.setattr(update_sender, "KNOCK_S", 2.0)
    loader = tmp_path / "loader"
    loader.mkdir()
    shutil.copy(FIRMWARE / "main.py", loader)
    put(flash / "slots/a", firmware(OLD))
    (flash / "update_key.json").write_text(public_half(key()))
    timeline = Timeline(rate=RATE)
    relay = WifiRelay("127.0.0.1", mosquitto.port)
    (flash / "config.json").write_text(
        json.dumps(
            {
                "node": NODE,
                "wifi": {"ssid": "door", "password": "secret"},
                # at many seconds a second a broker that this machine keeps waiting would be given up
                "mqtt": {"host": "127.0.0.1", "port": relay.port, "deadline_s": 120},
                "barriers": [{"outer": OUTER, "inner": INNER}],
                "state_s": 10,
            }
        )
    )
    board = VirtualBoard(NODE, flash, micropython, loader, timeline, wifi=relay)
    board.set_pins({OUTER: FREE, INNER: FREE})
    with StandInGateway(mosquitto.port) as gateway:
        conversation = Conversation(mosquitto)
        one = Town(board, relay, timeline)
        one.broker, one.gateway, one.conversation = mosquitto, gateway, conversation
        try:
            board.start()
            board.wait_for_console("broker: connected")
            yield one
        finally:
            conversation.close()
            board.close()
            relay.close()


def put(folder: Path, files: list[DeviceFile]) -> None:
    for file in files:
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.path).write_bytes(file.content)


def bundle_of(files: list[DeviceFile], version: str = NEW, **options: Any) -> Bundle:
    return make_bundle(files, version, CHIP, options.pop("signer", None) or key(), **options)


def test_a_running_node_changes_to_the_new_firmware_and_everybody_who_passes_meanwhile_is_counted(
    town, firmware
):
    walking = Seen(at=lambda percent: town.walk(2) if percent % 4 == 0 else None)
    assert town.send(bundle_of(firmware(NEW)), walking) is True
    town.runs("b", NEW)
    assert town.ins + town.outs > 40
    assert len(town.gateway.records) == 1, "the spool is the same"
    assert [boot[2:4] for boot in town.boots()] == [["power", OLD], ["update", NEW]]
    told = [
        state["update"]["percent"]
        for state in town.gateway.states
        if (state.get("update") or {}).get("percent")
    ]
    assert told == sorted(told)
    assert len(told) > 3
    town.board.restart()
    town.runs("b", NEW)
    assert not (town.board.flash_dir / "update.head").exists()


def test_power_cuts_and_a_sender_that_was_ended_cost_time_and_nothing_else(town, firmware):
    bundle = bundle_of(firmware(NEW))
    offsets = []

    class EndedError(Exception):
        pass

    def at(percent: int) -> None:
        town.walk(1)
        if percent in (3, 20, 55, 83):
            town.walked()
            town.board.restart()
        elif percent == 40:
            raise EndedError

    with pytest.raises(EndedError):
        town.send(bundle, Seen(at))
    later = Seen(at=lambda percent: offsets.append(percent) or (at(percent) if percent != 40 else None))
    assert town.send(bundle, later) is True
    assert min(offsets) > 30
    town.runs("b", NEW)
    assert len(town.gateway.records) == 1


def test_a_broker_that_is_killed_meanwhile_holds_it_up_only(town, firmware):
    killed = []

    def at(percent: int) -> None:
        if percent > 90 and not killed:
            killed.append(percent)
            town.broker.kill()
            town.walk(5)
            town.walked()
            town.broker.start()

    assert town.send(town.almost_all_there(bundle_of(firmware(NEW))), Seen(at)) is True
    assert killed
    town.runs("b", NEW)


@pytest.mark.parametrize(
    ("path", "this", "that", "reason", "crash"),
    [
        ("app.py", "import gc\n", "import gc\nraise ValueError(7)\n", "slot b: ValueError", "ValueError: 7"),
        ("app.py", "        self.vouched = False", "        self.vouched = nothing", "did not reach", "NameError"),
        ("app.py", "    this_node = Node()", "    while True: __import__('time').sleep(1)", "did not reach", ""),
        ("node/uplink.py", "            if not is_connected():", "            if True:", "did not reach the gateway within 10 minutes", ""),
        ("node/status.py", "    async def keep(self, is_connected):", "    async def keep(self, is_connected):\n        await asyncio.sleep(40)\n        raise ValueError", "did not reach", ""),
    ],
    ids=["crashes at import", "crashes at start", "hangs", "never reaches the gateway", "a task fails over and over"],
)  # fmt: skip
def test_a_new_firmware_that_is_no_good_gives_way_to_the_old_one(
    town, firmware, path, this, that, reason, crash
):
    with pytest.raises(CommissioningError) as told:
        town.send(town.almost_all_there(bundle_of(firmware(NEW, path, this, that))), trial_rate=TRIAL_RATE)
    assert f"{NODE} has returned to {OLD}: {NEW} was given up" in str(told.value)
    assert reason in str(told.value)
    town.board.tracebacks.clear()
    state = town.runs("a", OLD)
    assert reason in state["update"]["error"]
    assert state["update"]["version"] == NEW
    crashes = town.board.flash_dir / "crash.txt"
    assert crash in (crashes.read_text() if crashes.exists() else "")
    if "import" in this:
        good = town.almost_all_there(bundle_of(firmware(NEW)))
        assert town.send(good) is True, "the next one is taken"
        town.runs("b", NEW)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"signer": rsa.generate_private_key(public_exponent=65_537, key_size=2048)},
            "the signature does not fit",
        ),
        ({"chip": "esp32c3"}, "made for the chip esp32c3, this is esp32"),
        ({"version": "0.0.9"}, "older than 0.1.0"),
    ],
    ids=["another key", "another chip", "an older version"],
)
def test_a_bundle_that_is_refused_leaves_the_old_firmware_running_and_the_reason_is_told(
    town, firmware, options, reason
):
    bundle = make_bundle(
        firmware(OLD), options.get("version", NEW), options.get("chip", CHIP), options.get("signer") or key()
    )
    with pytest.raises(CommissioningError, match=reason):
        town.send(bundle)
    town.gateway.wait(
        "the reason in the state",
        lambda: reason in ((town.gateway.state.get("update") or {}).get("error") or ""),
    )
    town.runs("a", OLD)
    assert len(town.boots()) == 1


def test_a_node_without_a_key_takes_no_update_and_says_where_one_comes_from(town, firmware):
    (town.board.flash_dir / "update_key.json").unlink()
    with pytest.raises(CommissioningError, match=r"no update_key.json on this node.*\n.*\n.*footfall flash"):
        town.send(bundle_of(firmware(NEW)))
    town.runs("a", OLD)


def test_a_node_whose_firmware_was_copied_by_hand_takes_no_update_and_says_what_to_do_once(town, firmware):
    town.board.kill()
    flash = town.board.flash_dir
    shutil.rmtree(flash / "slots")
    put(flash, firmware(OLD))
    mark = town.board.console_mark()
    town.board.start()
    town.board.wait_for_console("broker: connected", since=mark)
    with pytest.raises(CommissioningError) as told:
        town.send(bundle_of(firmware(NEW)))
    assert told.value.lines == (
        f"{NODE} does not take {NEW}: this firmware was copied by hand and has no slot: use footfall flash once",
        "It runs on with the firmware it has; nothing was changed.",
        "Flash it over USB once: footfall flash",
    )
    assert not (flash / "slots").exists()
    town.runs("", OLD)


def test_a_node_in_safe_mode_takes_the_update_that_repairs_it(town, firmware):
    town.board.kill()
    this = "        beams = Inputs(\n"
    broken = firmware(
        OLD, "app.py", this, "        if not boot.safe():\n            raise ValueError\n" + this
    )
    put(town.board.flash_dir / "slots/a", broken)
    (town.board.flash_dir / "start.json").write_text('{"slot":"a","short":3}')
    town.board.start()
    town.board.wait_for_console(r"boot 3 \(crash: ValueError, safe mode\)")
    town.board.tracebacks.clear()
    town.gateway.wait("safe mode", lambda: town.gateway.state.get("safe"), 90)
    walking = Seen(at=lambda _: town.walk(1))
    assert town.send(town.almost_all_there(bundle_of(firmware(NEW))), walking) is True
    assert town.runs("b", NEW)["safe"] is False
    assert town.boots()[-1][2:4] == ["update", NEW]


def test_a_sender_that_fell_silent_keeps_another_bundle_waiting_for_five_minutes_and_no_longer(
    town, firmware
):
    class EndedError(Exception):
        pass

    def end(_percent: int) -> None:
        raise EndedError

    other = bundle_of(firmware(NEW), NEW + ".1")
    with pytest.raises(EndedError):
        town.send(town.almost_all_there(bundle_of(firmware(NEW))), Seen(end))
    with pytest.raises(CommissioningError, match=f"the update to {NEW} is under way\n.*\n.*five minutes"):
        town.send(other)
    town.walk(5)
    town.timeline.set_rate(TRIAL_RATE)
    town.gateway.wait(
        "it is given up",
        lambda: "nobody sent the piece" in ((town.gateway.state.get("update") or {}).get("error") or ""),
    )
    town.timeline.set_rate(RATE)
    asked = [reply["offset"] for reply in town.gateway.replies if reply.get("ask") == "update"]
    assert 30 <= asked.count(asked[-1]) < 40, "every ten seconds"
    with pytest.raises(EndedError):
        town.send(other, Seen(end))
    assert json.loads((town.board.flash_dir / "update.json").read_text())["version"] == NEW + ".1"
    town.runs("a", OLD)


def test_where_people_never_stop_coming_the_restart_costs_those_of_two_seconds_and_of_the_restart_itself(
    town, firmware
):
    """Promise 3: it waits for a quiet door for five minutes, then restarts all the same."""
    came: list[int] = []

    def crowd_for(how_long_ms: int) -> None:
        with town.timeline.slowed(0):
            soon_ms = town.timeline.ahead_us() // 1000 + 6_000
            more = range(max([soon_ms, *(t_ms + 2_300 for t_ms in came[-1:])]), soon_ms + how_long_ms, 2_300)
            came.extend(more)
            town.board.schedule_edges([edge for t_ms in more for edge in passage(t_ms)])

    def at(_percent: int) -> None:
        crowd_for(300_000)

    def say(_line: str) -> None:
        if town.timeline.rate < TRIAL_RATE:
            crowd_for(
                600_000
            )  # the five minutes begin once it has checked what came, which takes a busy machine long
            town.timeline.set_rate(TRIAL_RATE)

    seen = Seen(at)
    seen.say = say
    Sender(NODE, town.almost_all_there(bundle_of(firmware(NEW))), town.conversation, seen).run()
    town.walked(200)
    town.timeline.set_rate(RATE)
    restart_ms = town.board.boot_utc_ms - town.board.boot_ms
    before = sum(t_ms < restart_ms - 2_000 for t_ms in came)
    after = sum(t_ms > town.board.boot_utc_ms + 3_000 for t_ms in came)
    assert before > 100
    assert after > 5
    assert before + after >= len(came) - 4, "the rest came around the restart"
    assert town.board.late_edges == 0
    [spool] = town.gateway.records.values()

    def counted(boot: int) -> int:
        return sum(b == boot and record[1] == "P" for b, record in list(spool.values()))

    town.gateway.wait(
        "those before and after the restart", lambda: counted(1) >= before and counted(2) >= after
    )
    assert counted(1) + counted(2) <= len(came)
    assert [boot[2] for boot in town.boots()] == ["power", "update"]


def test_an_update_to_what_runs_already_is_no_work_unless_it_is_asked_for(town, firmware):
    same = bundle_of(firmware(OLD), OLD)
    assert town.send(same) is False
    assert town.send(town.almost_all_there(same), again=True) is True
    town.runs("b", OLD)
