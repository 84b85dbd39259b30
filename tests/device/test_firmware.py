"""The whole firmware, unmodified, on a virtual board, against a real broker."""

import itertools
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from footfall_gateway.link_serial import decode_line
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
FREE, BROKEN = 0, 1
UP, DOWN = 1, 0  # a button: pull-up, pressed = low
USERS = {"node": "node's", "gateway": "gateway's"}
NOBODYS = 39  # a pin: its edge tells that the board itself has lived so long, however far it lags behind
FLUSHED_MS = 3000  # after the last edge: believed, and written to flash, and two seconds more
# From power-up until the beams are watched for sure: what starting costs, it costs in real time
READY_MS = 4000
LONG_S = 120


def passage(
    t_ms: int, *, inward: bool = True, lag_ms: int = 70, block_ms: int = 180
) -> list[tuple[int, int, int]]:
    """The edges of one person whose first beam breaks at t_ms."""
    first, second = (OUTER, INNER) if inward else (INNER, OUTER)
    return [
        (t_ms, first, BROKEN),
        (t_ms + lag_ms, second, BROKEN),
        (t_ms + block_ms, first, FREE),
        (t_ms + lag_ms + block_ms, second, FREE),
    ]


class World:
    """A board, its air, and what it takes to walk through its door."""

    def __init__(self, board: VirtualBoard, relay: WifiRelay, timeline: Timeline) -> None:
        self.board = board
        self.relay = relay
        self.timeline = timeline
        self.ins = 0
        self.outs = 0
        self._busy_until_ms = 0

    def walk(self, people: int, every_ms: int = 700, outward_every: int = 3) -> int:
        """People one after another, from now on; when the first one breaks a beam."""
        edges = []
        with self.timeline.slowed(0):
            t_ms = first_ms = max(self.soon_ms(), self._busy_until_ms, self.board.boot_utc_ms + READY_MS)
            for person in range(people):
                inward = person % outward_every != 0
                self.ins += inward
                self.outs += not inward
                edges += passage(t_ms, inward=inward)
                t_ms += every_ms
            self._busy_until_ms = t_ms
            self.schedule(edges)
        return first_ms

    def soon_ms(self) -> int:
        """A moment that the board has not reached yet. To be called while time stands still: this process may stall."""
        return self.timeline.now_ms() + 50 + int(100 * self.timeline.rate)

    def schedule(self, edges: list[tuple[int, int, int]]) -> None:
        """Edges, and the moment at which what they make is in flash: `walked` waits for it."""
        self.board.schedule_edges([*edges, (max(edges)[0] + FLUSHED_MS, NOBODYS, 1)])

    def walked(self, timeout_s: float = LONG_S) -> None:
        """Wait until everyone is through, and in flash."""
        self.board.wait_for_edges(timeout_s)

    def passages_told(self, count: int) -> int:
        """How many the console tells of; waits until they are as many as that."""
        return len(self.until(lambda: self.lines("passage"), count))

    def lines(self, begin: str) -> list[str]:
        return [line for line in self.board.lines if line.startswith(begin)]

    def until(self, look: Callable[[], Any], wanted: int = 1) -> Any:
        """What look() gives once that is as long as wanted; or at last: what the board sent comes over two pipes."""
        end = time.monotonic() + LONG_S
        while len(found := look()) < wanted and time.monotonic() < end:
            time.sleep(0.01)
        return found

    def outputs(self, *pins: int) -> list[Any]:
        """What was seen of these pins."""
        return [one for one in list(self.board.output_log) if one.pin in pins]


@pytest.fixture
def world(micropython: parts.Micropython, flash: Path) -> Iterator[Callable[..., World]]:
    """Make a world on a broker; further settings of config.json as arguments. The board is off."""
    made: list[World] = []

    def make(
        broker: Mosquitto,
        *,
        rate: float = 5.0,
        ticks_start_ms: int = 0,
        mqtt: dict[str, Any] | None = None,
        **config: Any,
    ) -> World:
        timeline = Timeline(rate=rate)
        relay = WifiRelay("127.0.0.1", broker.port)
        settings = {
            "node": NODE,
            "wifi": {"ssid": "door", "password": "secret"},
            "mqtt": {"host": "127.0.0.1", "port": relay.port, **(mqtt or {})},
            "barriers": [{"outer": OUTER, "inner": INNER}],
            **config,
        }
        put_firmware(flash)  # compiled, as boards are flashed: sources would take some 20 KB more of the heap
        (flash / "config.json").write_text(json.dumps(settings))
        board = VirtualBoard(
            NODE, flash, micropython, FIRMWARE, timeline, wifi=relay, ticks_start_ms=ticks_start_ms
        )
        board.set_pins({OUTER: FREE, INNER: FREE})
        made.append(World(board, relay, timeline))
        return made[-1]

    yield make
    for one in made:
        one.board.close()
        one.relay.close()


@pytest.fixture
def gateway(mosquitto: Mosquitto) -> Iterator[StandInGateway]:
    with StandInGateway(mosquitto.port) as gateway:
        yield gateway


def assert_all_arrived(gateway: StandInGateway, world: World) -> None:
    """Every passage once, in numbers without a hole."""
    gateway.wait(
        f"{world.ins} in, {world.outs} out",
        lambda: len(gateway.of_kind("P")) >= world.ins + world.outs,
        LONG_S,
    )
    passages = gateway.of_kind("P")
    assert sum(1 for p in passages if p[3] == 1) == world.ins
    assert sum(1 for p in passages if p[3] == -1) == world.outs
    assert gateway.conflicts == []
    gateway.wait(  # while it takes what else comes
        "no hole",
        lambda: all(gateway.contiguous(spool) == max(records) for spool, records in gateway.records.items()),
    )
    assert world.board.late_edges == 0
    assert world.board.tracebacks == []


def test_people_in_and_out_arrive_with_their_times_and_the_board_learns_the_time(world, mosquitto, gateway):
    w = world(mosquitto, rate=1)  # half of what the gateway's answer takes is the error of the time
    gateway.clock = w.timeline.now_ms
    w.board.start()
    w.board.wait_for_console("time: learned from the gateway")
    boot_utc_ms = w.board.boot_utc_ms
    with w.timeline.slowed(0):
        start_ms = w.soon_ms()
        w.schedule(passage(start_ms, inward=True) + passage(start_ms + 1000, inward=False, lag_ms=100))
    w.ins, w.outs = 1, 1
    w.walked()
    assert_all_arrived(gateway, w)
    first, second = gateway.of_kind("P")
    assert first[2:] == [0, 1, 250]
    assert second[2:] == [0, -1, 280]
    assert second[0] - first[0] == 1030
    ((t, _, utc_ms, source),) = gateway.of_kind("C")
    assert source == "gw"
    assert abs(utc_ms - t + first[0] - (start_ms + 250)) < 1000
    boot, *_ = gateway.of_kind("R")
    assert boot[:3] == [0, "R", "power"]
    assert boot_utc_ms < start_ms


def test_a_board_killed_over_and_over_loses_nothing_that_was_flushed(world, mosquitto, gateway):
    w = world(mosquitto)
    w.board.start()
    seeded = random.Random(4)
    for _ in range(6):
        w.walk(8)
        w.walked()
        if seeded.random() < 0.5:
            w.timeline.sleep_ms(seeded.randrange(2000))
        w.board.restart()
    assert_all_arrived(gateway, w)
    gateway.wait("the last boot", lambda: len(gateway.of_kind("R")) == 7)
    assert len(gateway.records) == 1
    boots = [boot for _, (boot, _) in sorted(next(iter(gateway.records.values())).items())]
    assert boots == sorted(boots)


def test_a_power_cut_costs_less_than_two_seconds_of_passages(world, mosquitto, gateway):
    w = world(mosquitto, rate=3.0)
    w.board.start()
    w.board.wait_for_console("broker: connected")
    with w.timeline.slowed(0):
        first_ms = w.soon_ms()
        cut_ms = first_ms + 9000
        edges = [edge for person in range(60) for edge in passage(first_ms + 300 * person)]
        before = [edge for edge in edges if edge[0] < cut_ms]
        w.board.schedule_edges([*before, (cut_ms, NOBODYS, 1)], hold_until=cut_ms)
    w.board.wait_for_edges()  # it has lived so long, and no longer
    w.board.kill()
    through = sum(1 for person in range(60) if first_ms + 300 * person + 250 < cut_ms - 2000)
    w.board.schedule_edges([edge for edge in edges if edge[0] >= cut_ms])
    w.board.hold(None)
    w.board.start()
    gateway.wait("the second boot", lambda: len(gateway.of_kind("R")) == 2)
    (records,) = gateway.records.values()
    kept = [record for boot, record in list(records.values()) if record[1] == "P" and boot == 1]
    assert through > 20
    assert len(kept) >= through
    assert gateway.of_kind("R")[1][2] == "power"


def test_counts_go_on_without_wifi_and_follow_when_it_is_back(world, mosquitto, gateway):
    w = world(mosquitto)
    w.board.start()
    w.walk(10)
    w.walked()
    w.board.set_wifi(up=False)
    w.timeline.set_rate(60)
    w.walk(400)
    w.walked()
    w.timeline.set_rate(5)
    before = len(gateway.of_kind("P"))
    assert before <= 10
    w.board.set_wifi(up=True)
    w.walk(10)
    assert_all_arrived(gateway, w)


def test_counts_survive_a_broker_that_is_killed_and_comes_back_empty(world, mosquitto, gateway):
    w = world(mosquitto)
    w.board.start()
    for _ in range(3):
        w.walk(12)
        mosquitto.kill()
        w.walked()
        mosquitto.start()
    assert_all_arrived(gateway, w)


def test_records_that_nobody_acknowledges_are_sent_again(world, mosquitto, gateway):
    w = world(mosquitto, resend_s=2, state_s=10)
    gateway.acknowledge = False
    w.board.start()
    w.walk(10)
    w.walked()
    gateway.wait("a batch twice", lambda: len({b["seq"] for b in gateway.batches}) < len(gateway.batches))
    gateway.acknowledge = True
    assert_all_arrived(gateway, w)
    state = gateway.wait(
        "an empty spool", lambda: [s for s in gateway.states[-1:] if s.get("spool") == 0], 90
    )
    assert state


def test_an_acknowledgement_of_what_was_never_sent_is_reported_and_not_believed(
    world, mosquitto, gateway, flash
):
    w = world(mosquitto)
    gateway.acknowledge = False
    w.board.start()
    w.walk(5)
    w.walked()
    gateway.wait("records", lambda: gateway.records)
    (spool,) = gateway.records
    gateway.send(NODE, "ack", {"v": 1, "spool": spool, "seq": 10**6})
    w.board.wait_for_console("acknowledgement for record 1000000, but the last one is")
    gateway.send(NODE, "ack", {"v": 1, "spool": "00000000", "seq": 3})
    w.board.wait_for_console("acknowledgement for spool 00000000")
    gateway.send(NODE, "ack", "{")
    w.board.wait_for_console("acknowledgement: payload is")
    gateway.acknowledge = True
    w.walk(5)
    assert_all_arrived(gateway, w)


def test_a_gateway_with_an_empty_ledger_gets_everything_that_is_still_there(world, mosquitto):
    w = world(mosquitto, resend_s=2)
    with StandInGateway(mosquitto.port) as first:
        w.board.start()
        w.walk(10)
        w.walked()
        assert_all_arrived(first, w)
    with StandInGateway(mosquitto.port) as second:
        w.walk(5)
        assert_all_arrived(second, w)


def test_settings_from_the_config_topic_are_taken_kept_and_reported(world, mosquitto, gateway, flash):
    w = world(mosquitto)
    gateway.send(
        NODE,
        "config",
        {"v": 1, "rev": 7, "barriers": [{"min_block_ms": 1000}], "lockout_ms": 500, "later": 1},
        retain=True,
    )
    w.board.start()
    w.board.wait_for_console("configuration: revision 7")
    w.timeline.sleep_ms(500)
    w.walk(3)  # 180 ms: too short by now
    w.walked()
    w.ins = w.outs = 0
    gateway.wait("revision 7 in the state", lambda: [s for s in gateway.states if s.get("rev") == 7])
    w.board.restart()
    gateway.wait("the boot record", lambda: [r for r in gateway.of_kind("R") if r[4] == 7])
    w.walk(3)
    w.walked()
    assert not gateway.of_kind("P")
    assert not [line for line in w.board.lines if line.startswith("passage")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "payload is '{', expected a JSON object"),
        ("[1]", "expected a JSON object"),
        ({"v": 2, "rev": 8}, "v is 2, expected 1"),
        ({"v": 1}, "rev is null, expected"),
        ({"v": 1, "rev": 8, "lockout_ms": -5}, "lockout_ms is -5, expected a whole number from 0 to 60000"),
        ({"v": 1, "rev": 8, "barriers": [{"glitch_ms": "x"}]}, 'barriers[0].glitch_ms is "x"'),
        ({"v": 1, "rev": 8, "barriers": [{}, {}]}, "barriers is"),
        ({"v": 1, "rev": 8, "barriers": [3]}, "barriers[0] is 3"),
        ({"v": 1, "rev": True, "question": 3}, "rev is true"),
        (b"\xff\xfe", "payload is"),
    ],
)
def test_a_bad_configuration_is_refused_as_a_whole_and_named(world, mosquitto, gateway, content, reason):
    w = world(mosquitto)
    w.board.start()
    w.board.wait_for_console("broker: connected")
    gateway.send(NODE, "config", {"v": 1, "rev": 7})
    w.board.wait_for_console("configuration: revision 7")
    gateway.send(NODE, "config", content)
    (told,) = gateway.wait("the refusal", lambda: [s for s in gateway.states[-1:] if s.get("config_error")])
    assert reason in told["config_error"]
    assert told["rev"] == 7
    w.walk(3)
    w.walked()
    assert_all_arrived(gateway, w)


def test_too_long_a_configuration_is_skipped_without_losing_the_connection(world, mosquitto, gateway):
    w = world(mosquitto)
    gateway.send(NODE, "config", {"v": 1, "rev": 1, "padding": "x" * 40000}, retain=True)
    w.board.start()
    w.board.wait_for_console("config is longer than 2048 bytes: skipped")
    w.walk(3)
    w.walked()
    assert_all_arrived(gateway, w)
    states = gateway.wait("a state", lambda: [state for state in gateway.states if state["online"]])
    assert states[-1]["connects"] == 1


def test_a_press_counts_once_lights_its_lamp_and_mashing_is_counted_apart(world, mosquitto, gateway):
    w = world(mosquitto, buttons=[25, 26, 27], lamps=[18, 19, 21], question=3)
    w.board.set_pins({25: UP, 26: UP, 27: UP})
    w.board.start()
    w.board.wait_for_console("broker: connected")
    presses = [(26, 0), (26, 400), (25, 900), (26, 1300), (27, 6000)]
    edges = []
    with w.timeline.slowed(0):
        t_ms = w.soon_ms()
        for pin, after_ms in presses:
            edges += [
                (t_ms + after_ms, pin, DOWN),
                (t_ms + after_ms + 4, pin, UP),
                (t_ms + after_ms + 7, pin, DOWN),
            ]
            edges.append((t_ms + after_ms + 150, pin, UP))
        w.board.schedule_edges(edges)
    w.board.wait_for_console("press .* button=2")
    gateway.wait("two presses", lambda: len(gateway.of_kind("B")) == 2)
    gateway.wait("suppressed presses", lambda: len(gateway.of_kind("Q")) == 2)
    assert [b[2:] for b in gateway.of_kind("B")] == [[1, 3], [2, 3]]
    assert sorted(q[2:] for q in gateway.of_kind("Q")) == [[0, 1], [1, 2]]
    first, second = gateway.of_kind("B")
    assert second[0] - first[0] == 6000
    lit = w.until(lambda: [one for one in w.outputs(18, 19, 21) if one.level], 2)
    assert [one.pin for one in lit] == [19, 21]
    assert 0 <= lit[0].utc_ms - t_ms < 1000  # what the machine makes the program wait is real


def test_a_question_changed_over_the_config_topic_holds_for_the_votes_after_it_and_for_none_before(
    world, mosquitto, gateway
):
    w = world(mosquitto, buttons=[25, 26, 27], lamps=[18, 19, 21], question=3)
    w.board.set_pins({25: UP, 26: UP, 27: UP})

    def vote(pin: int) -> None:
        mark = w.board.console_mark()
        with w.timeline.slowed(0):
            t_ms = (
                max(w.timeline.now_ms(), w.board.boot_utc_ms) + 4000
            )  # the lockout of the one before is over
            w.schedule([(t_ms, pin, DOWN), (t_ms + 150, pin, UP)])
        w.board.wait_for_console("press t=", since=mark)
        w.walked()

    w.board.start()
    w.board.wait_for_console("broker: connected")
    vote(25)
    gateway.wait("the first vote", lambda: len(gateway.of_kind("B")) == 1)
    w.relay.refuse()
    vote(26)  # arrives when the question has long been another one
    gateway.send(NODE, "config", {"v": 1, "rev": 1, "question": 4}, retain=True)
    w.relay.restore()
    gateway.wait("it has the new question", lambda: gateway.states[-1].get("rev") == 1)
    vote(27)
    w.board.restart()
    w.board.wait_for_console("boot 2")
    vote(25)
    gateway.wait("all votes", lambda: len(gateway.of_kind("B")) == 4)
    assert [vote[2:] for vote in gateway.of_kind("B")] == [[0, 3], [1, 3], [2, 4], [0, 4]]


def test_a_blocked_beam_is_a_fault_and_not_a_person(world, mosquitto, gateway):
    w = world(mosquitto, rate=20)
    w.board.start()
    w.board.wait_for_console("broker: connected")
    with w.timeline.slowed(0):
        t_ms = w.soon_ms()
        w.board.schedule_edges([(t_ms, INNER, BROKEN), (t_ms + 300_000, INNER, FREE)])
    gateway.wait("the fault", lambda: any(state.get("faults") == [2] for state in gateway.states), LONG_S)
    gateway.wait("begin and end", lambda: len(gateway.of_kind("F")) == 2, LONG_S)
    begin, end = gateway.of_kind("F")
    assert begin[2:] == [0, 1, 1]
    assert end[2:] == [0, 1, 0]
    assert end[0] - begin[0] == 240_000
    w.walk(3)
    w.walked()
    assert_all_arrived(gateway, w)


def test_alive_records_tell_since_when_and_the_totals_of_the_nodes_life(world, mosquitto, gateway):
    w = world(mosquitto, rate=20, alive_s=30)
    w.board.start()
    w.walk(9)
    gateway.wait("two alive records", lambda: len(gateway.of_kind("A")) >= 2)
    first = [w.ins, w.outs]
    gateway.wait("with everybody", lambda: gateway.of_kind("A")[-1][3:] == first)
    w.board.restart()
    w.walk(9)
    w.walked()
    wanted = [w.ins, w.outs]
    gateway.wait("totals over both boots", lambda: gateway.of_kind("A")[-1][3:] == wanted)
    for t, _, since, *_ in gateway.of_kind("A"):
        assert since < 10_000 < t  # starting costs real time


def test_commands_are_answered_and_a_planned_restart_names_its_cause(world, mosquitto, gateway):
    w = world(mosquitto, buttons=[25], lamps=[18])
    w.board.set_pins({25: UP})
    w.board.start()
    w.board.wait_for_console("broker: connected")
    gateway.send(NODE, "command", {"v": 1, "do": "trace", "on": True, "id": 1})
    gateway.wait("an answer", lambda: gateway.replies)
    w.walk(1)
    gateway.wait("edges", lambda: len(gateway.of_kind("E")) == 5)
    assert [edge[3] for edge in gateway.of_kind("E")] in ([0, 1, 3, 2, 0], [0, 2, 3, 1, 0])
    gateway.send(NODE, "command", {"v": 1, "do": "identify", "id": 2})
    gateway.send(NODE, "command", {"v": 1, "do": "dance", "id": 3})
    gateway.send(NODE, "command", "{")
    gateway.wait("three answers", lambda: len(gateway.replies) == 3)
    assert gateway.replies[1] == {"v": 1, "do": "identify", "id": 2, "ok": True}
    assert gateway.replies[2] == {"v": 1, "do": "dance", "id": 3, "error": "unknown command"}
    gateway.send(NODE, "command", {"v": 1, "do": "reboot", "id": 4})
    gateway.wait("the next boot", lambda: len(gateway.of_kind("R")) == 2)
    assert gateway.of_kind("R")[1][2] == "command"
    assert gateway.of_kind("A"), "an alive record closes the coverage before a planned restart"
    assert gateway.replies[3]["ok"] is True
    assert w.board.tracebacks == []


def test_a_wrong_password_is_named_and_counting_goes_on(world, make_mosquitto):
    broker = make_mosquitto(users=USERS)
    w = world(broker, mqtt={"user": "node", "password": "wrong"})
    w.board.start()
    w.board.wait_for_console("broker refused the password")
    w.walk(3)
    w.walked()
    assert w.passages_told(3) == 3
    config = json.loads((w.board.flash_dir / "config.json").read_text())
    config["mqtt"]["password"] = USERS["node"]
    (w.board.flash_dir / "config.json").write_text(json.dumps(config))
    w.board.restart()
    with StandInGateway(broker.port, "gateway", USERS["gateway"]) as gateway:
        assert_all_arrived(gateway, w)


def test_tls_with_the_right_authority_connects(world, make_mosquitto, ca: trustme.CA):
    broker = make_mosquitto(ca=ca, users=USERS)
    w = world(
        broker,
        mqtt={"user": "node", "password": USERS["node"], "ca": "ca.der", "server_name": "localhost"},
    )
    (w.board.flash_dir / "ca.der").write_bytes(broker.ca_der_file.read_bytes())
    w.board.start()
    w.board.wait_for_console("broker: connected")
    w.walk(5)
    with StandInGateway(broker.port, "gateway", USERS["gateway"], str(broker.ca_file)) as gateway:
        assert_all_arrived(gateway, w)
        states = gateway.wait("a state", lambda: [state for state in gateway.states if state["online"]])
        assert states[-1]["heap"] > 20_000


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        ("other authority", "TLS: .*not correctly signed by the trusted CA"),
        ("other name", "TLS: .*does not match|TLS: .*(?i:name)"),
        ("no file", "mqtt.ca: ca.der is not there; counting without a broker"),
        ("no certificate", "mqtt.ca: ca.der is not a certificate in DER form; counting without a broker"),
    ],
)
def test_tls_refuses_what_the_authority_did_not_sign(world, make_mosquitto, ca, spoil, line):
    broker = make_mosquitto(ca=ca, users=USERS)
    name = "elsewhere.example" if spoil == "other name" else "localhost"
    w = world(
        broker,
        mqtt={"user": "node", "password": USERS["node"], "ca": "ca.der", "server_name": name},
    )
    certificate = broker.ca_der_file.read_bytes()
    if spoil == "other authority":
        other = Mosquitto(w.board.flash_dir.parent / "other", ca=trustme.CA())
        certificate = other.ca_der_file.read_bytes()
    if spoil == "no certificate":
        certificate = b"-----BEGIN NONSENSE-----"
    if spoil != "no file":
        (w.board.flash_dir / "ca.der").write_bytes(certificate)
    w.board.start()
    w.board.wait_for_console(line)
    w.walk(2)
    w.walked()
    assert w.passages_told(2) == 2
    assert not [text for text in w.board.lines if "broker: connected" in text]


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (None, "config.json: not there; counting with the default pins"),
        ("{", "config.json: not a JSON object"),
        ('{"barriers":[{"outer":6,"inner":33}]}', r"barriers\[0\].outer is 6, expected one of the pins"),
        ('{"barriers":[{"outer":33,"inner":33}]}', "expected a pin that nothing else uses"),
        (
            '{"barriers":[{"outer":32,"inner":33,"role":"passersby"}]}',
            r'barriers\[0\].role is "passersby", expected "door" or "passers-by"',
        ),
        ('{"mqtt":{"host":"x","port":99999}}', "mqtt.port is 99999, expected a whole number from 1 to 65535"),
        ('{"mqqt":{}}', "mqqt is not a setting"),
        ('{"node":"Große Tür"}', "expected a name of a-z, 0-9 and -"),
        ('{"wifi":{"password":"x"}}', "wifi.ssid is null"),
    ],
)
def test_a_config_file_that_is_no_good_is_named_and_the_node_counts_all_the_same(
    micropython, flash, config, line
):
    if config is not None:
        (flash / "config.json").write_text(config)
    timeline = Timeline(rate=5)
    with VirtualBoard(NODE, flash, micropython, FIRMWARE, timeline) as board:
        board.set_pins({OUTER: FREE, INNER: FREE})
        board.start()
        board.wait_for_console(line)
        board.wait_for_console("no broker: counting into flash only")
        with timeline.slowed(0):
            board.schedule_edges(passage(timeline.now_ms() + 1000))
        board.wait_for_console("passage t=.* in transit=250")
        assert board.tracebacks == []


def test_thousands_of_passages_run_in_192_kb_without_the_heap_growing(world, mosquitto, gateway):
    w = world(mosquitto, rate=60, state_s=60)
    w.board.start()
    w.board.wait_for_console("broker: connected")
    w.walk(2000, every_ms=400)
    w.walked(200)
    assert_all_arrived(gateway, w)
    heaps = [state["heap"] for state in gateway.states if "heap" in state]
    assert len(heaps) > 10
    assert min(heaps) > 25_000
    assert min(heaps[len(heaps) // 2 :]) > min(heaps[1 : len(heaps) // 2]) - 4096
    assert [state["dropped_edges"] for state in gateway.states if state["online"]][-1] == 0


def test_the_ticks_may_wrap_while_people_walk(world, mosquitto, gateway):
    w = world(mosquitto, ticks_start_ms=(1 << 30) - 6000)
    w.board.start()
    w.walk(20)
    w.walked()
    assert_all_arrived(gateway, w)
    times = [p[0] for p in gateway.of_kind("P")]
    assert {b - a for a, b in itertools.pairwise(times)} == {700}


def test_two_barriers_and_one_of_a_single_beam_are_told_apart(world, mosquitto, gateway):
    w = world(
        mosquitto, barriers=[{"outer": OUTER, "inner": INNER}, {"outer": 26, "inner": 27}, {"outer": 14}]
    )
    w.board.set_pins({26: FREE, 27: FREE, 14: FREE})
    w.board.start()
    w.board.wait_for_console("broker: connected")
    swapped = {OUTER: 26, INNER: 27}
    with w.timeline.slowed(0):
        t_ms = w.soon_ms() + 2000
        w.schedule(
            [(t, swapped[pin], level) for t, pin, level in passage(t_ms, inward=False)]
            + passage(t_ms + 30)
            + [(t_ms + 100, 14, BROKEN), (t_ms + 400, 14, FREE)]
        )
    w.walked()
    gateway.wait("three passages", lambda: len(gateway.of_kind("P")) == 3)
    assert sorted(p[2:4] for p in gateway.of_kind("P")) == [[0, 1], [1, -1], [2, 0]]
    assert w.board.tracebacks == []


def test_a_button_that_is_held_for_a_minute_is_reported_as_stuck(world, mosquitto, gateway):
    w = world(mosquitto, rate=20, barriers=[], buttons=[25, 26], lamps=[18, 19], alive_s=30)
    w.board.set_pins({25: UP, 26: UP})
    w.board.start()
    w.board.wait_for_console("broker: connected")
    with w.timeline.slowed(0):
        t_ms = w.soon_ms() + 8000
        w.board.schedule_edges([(t_ms, 26, DOWN), (t_ms + 300_000, 26, UP)])
    gateway.wait("stuck", lambda: any(state.get("stuck") == 2 for state in gateway.states), LONG_S)
    gateway.wait("not stuck", lambda: gateway.states[-1].get("stuck") == 0, LONG_S)
    assert [press[2] for press in gateway.of_kind("B")] == [1]
    assert all(
        since < 10_000 < t for t, _, since, *_ in gateway.of_kind("A")
    )  # a terminal without a door is alive, too
    assert gateway.of_kind("A")
    assert w.board.tracebacks == []


def test_the_status_lamp_tells_how_the_node_is_and_aligning_shows_the_beams(world, mosquitto, gateway):
    w = world(
        mosquitto, rate=10, status=4, barriers=[{"outer": OUTER, "inner": INNER, "blocked_after_ms": 20000}]
    )

    def lamp(since_ms: int, ms: int) -> list[int]:
        """How long the lamp was lit each time, in a stretch of time."""
        w.board.schedule_edges([(since_ms + ms, NOBODYS, 1)])
        w.board.wait_for_edges()
        log = [o for o in w.outputs(4) if since_ms <= o.utc_ms <= since_ms + ms]
        return [b.utc_ms - a.utc_ms for a, b in itertools.pairwise(log) if a.level and not b.level]

    w.board.set_wifi(up=False)
    w.board.start()
    w.board.wait_for_console("trying again")
    assert any(100 <= lit_ms < 200 for lit_ms in lamp(w.timeline.now_ms(), 6000))
    w.board.set_wifi(up=True)
    w.board.wait_for_console("broker: connected")
    w.timeline.sleep_ms(3000)
    assert lamp(w.timeline.now_ms(), 6000) == []
    assert w.board.outputs[4] == 1

    gateway.send(NODE, "command", {"v": 1, "do": "align", "on": True})
    w.board.wait_for_console("beams barrier=0 free")
    w.board.set_pins({INNER: BROKEN})
    w.board.wait_for_console("beams barrier=0 inner broken")
    gateway.wait("the beam in the state", lambda: gateway.states[-1].get("beams") == [2])
    gateway.send(NODE, "command", {"v": 1, "do": "align", "on": False})
    w.board.wait_for_console("inner beam is blocked, not counting")
    w.timeline.sleep_ms(1500)
    assert any(500 <= lit_ms < 600 for lit_ms in lamp(w.timeline.now_ms(), 6000))
    assert w.board.tracebacks == []


def test_the_carriers_of_bare_emitters_run_before_a_beam_is_looked_at(world, mosquitto, gateway):
    w = world(mosquitto, carriers=[23, 22], lamps=[18])
    w.board.start()
    w.board.wait_for_console("footfall .* boot 1")
    w.board.wait_for_console("broker: connected")
    w.until(lambda: [one for one in w.outputs(23, 22) if one.level], 2)
    assert w.board.duties == {23: 65535 // 3, 22: 65535 // 3}
    for pin in (23, 22):
        levels = [one.level for one in w.outputs(pin)]
        assert levels[0] == 0  # dark at first
        assert levels.count(1) == 1  # then for good
        assert levels[-1] == 1
    w.walk(2)
    w.walked()
    assert_all_arrived(gateway, w)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"carriers": [23]}, r"carriers\[0\] is 23, expected a pin that nothing else uses"),
        ({"carriers": [34]}, r"carriers\[0\] is 34, expected one of the pins 4, 13"),
        ({"carriers": [22], "carriers_hz": [455000]}, r"carriers_hz is 455000, expected a whole number"),
        (
            {"carriers": [21, 22], "carriers_hz": [38000]},
            r"carriers is \[21, 22\], expected a list of at most 1",
        ),
    ],
)
def test_carriers_that_cannot_be_are_refused_and_the_lamp_stays(world, mosquitto, wrong, line):
    w = world(mosquitto, buttons=[25], lamps=[23], **wrong)
    w.board.start()
    w.board.wait_for_console("config.json: " + line)
    w.board.wait_for_console("broker: connected")
    assert w.board.duties == {}


def test_on_a_cable_the_records_are_lines_on_the_console(world, mosquitto):
    w = world(mosquitto, serial=True)
    w.board.start()
    w.board.wait_for_console("cable: connected as ff-test")
    w.walk(3)
    w.walked()

    def told() -> dict[int, list[Any]]:
        batches = []
        for line in w.board.lines:
            if line.startswith(("records {", "state {", "reply {")):
                leaf, content = decode_line(line.encode())
                if leaf == "records":
                    batches.append(json.loads(content))
        return {seq: record for batch in batches for seq, record in enumerate(batch["r"], batch["seq"])}

    w.until(lambda: [record for record in told().values() if record[1] == "P"], 3)
    seen = told()
    assert sum(record[1] == "P" for record in seen.values()) == 3
    assert sorted(seen) == list(range(1, len(seen) + 1))
