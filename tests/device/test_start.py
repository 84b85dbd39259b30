"""How a node starts, and starts again: the loader, safe mode, crashes told, the clock over resets. The real firmware on a
virtual board; a fault is planted by code that is added to the copy of app.py in the slot."""

import itertools
import json
import os
import re
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from footfall_simulator import parts
from footfall_simulator.timeline import Timeline
from footfall_simulator.virtual_board import VirtualBoard
from footfall_simulator.virtual_board.host import WDT_RESET
from tests.device.power_cut import POWER
from tests.device.stand_in import StandInGateway
from tests.device.test_firmware import (
    FIRMWARE,
    INNER,
    NODE,
    OUTER,
    UP,
    passage,
)
from tests.device.test_firmware import world as world  # noqa: PLC0414 - a fixture

APP = (FIRMWARE / "app.py").read_text("utf-8")
LOADER = (FIRMWARE / "main.py").read_text("utf-8")
PATIENT = {
    "deadline_s": 60
}  # at many seconds a second a broker that this machine keeps waiting would be given up
BOOT = re.compile(r"footfall .*, boot (\d+) ")
NO_TERMINAL = """
def broken(self):
    raise ValueError("no terminal today")
Node.make_terminal = broken
"""


@pytest.fixture
def gateway(mosquitto) -> Iterator[StandInGateway]:
    with StandInGateway(mosquitto.port) as gateway:
        yield gateway


@pytest.fixture
def make_board(
    micropython: parts.Micropython, flash: Path, tmp_path: Path
) -> Iterator[Callable[..., VirtualBoard]]:
    """A board without a network; what is in its slots, and beside the loader in its root."""
    boards = []

    def make(
        slots: dict[str, str], *, rate: float = 5.0, alone: bool = False, **options: Any
    ) -> VirtualBoard:
        for slot, text in slots.items():
            plant(flash, text, slot)
        if not (flash / "config.json").exists():
            (flash / "config.json").write_text(json.dumps({"node": NODE}))
        firmware = FIRMWARE
        if alone:  # nothing but the loader: no firmware outside of the slots
            firmware = tmp_path / "loader"
            firmware.mkdir()
            (firmware / "main.py").write_text(LOADER)
        board = VirtualBoard(NODE, flash, micropython, firmware, Timeline(rate=rate), **options)
        board.set_pins({OUTER: 0, INNER: 0})
        boards.append(board)
        return board

    yield make
    for board in boards:
        board.close()


def plant(flash: Path, text: str, slot: str = "a") -> None:
    (flash / "slots" / slot).mkdir(parents=True, exist_ok=True)
    (flash / "slots" / slot / "app.py").write_text(text)


def notes(flash: Path) -> dict[str, Any]:
    return json.loads((flash / "start.json").read_text())


def crashes(gateway: StandInGateway) -> list[dict[str, Any]]:
    return [reply for reply in gateway.replies if reply["do"] == "crash"]


def causes(gateway: StandInGateway) -> list[str]:
    return [record[2] for record in gateway.of_kind("R")]


def until(what: str, true: Callable[[], object], timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, f"{what}: not within {timeout_s} s"
        time.sleep(0.01)


def walk_past(board: VirtualBoard) -> int:
    """One person, soon; when that is. Time stands still until the board knows of it, however long this side takes."""
    with board.timeline.slowed(0):
        start_ms = board.timeline.ahead_us() // 1000 + 1500
        board.schedule_edges(passage(start_ms))
    return start_ms


def passages_of(board: VirtualBoard) -> int:
    return sum(line.startswith("passage") for line in board.lines)


# ---- which firmware


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def run(:\n", "SyntaxError"),
        ("import nothing_of_that_name\n", "ImportError"),
        ("x = bytearray(1 << 40)\n", "MemoryError"),
        ("x = bytearray(10000000)\n", "MemoryError"),
        ("", "AttributeError"),  # no run
    ],
)
def test_a_slot_that_cannot_be_started_leaves_the_door_to_the_other_one(make_board, flash, text, reason):
    board = make_board({"a": text, "b": APP}, rate=20)
    (flash / "start.json").write_text('{"slot":"a"}')
    board.start()
    board.wait_for_console("footfall .*: node ff-test, boot 1")
    walk_past(board)
    board.wait_for_console("passage t=")
    assert f"{reason}" in (flash / "crash.txt").read_text()
    assert (flash / "crash.txt").read_text().startswith("== new boot=0 fw=? slot=a\n")


@pytest.mark.parametrize("content", [b"", b"M", b"M\x01\x00\x1f" + bytes(200), b"\xff" * 500])
def test_a_compiled_file_that_is_damaged_leaves_the_door_to_the_other_one(make_board, flash, content):
    board = make_board({"b": APP}, rate=20)
    (flash / "slots/a").mkdir()
    (flash / "slots/a/app.mpy").write_bytes(content)
    board.start()
    board.wait_for_console("footfall .*: node ff-test, boot 1")
    assert "slot=a" in (flash / "crash.txt").read_text()


def test_a_slot_that_hangs_the_board_while_it_is_imported_is_not_tried_first_again(make_board):
    board = make_board({"a": "import time\nwhile True: time.sleep(1)\n", "b": APP}, rate=500)
    board.start()
    board.wait_for_console(r"boot 1 \(watchdog\)")
    assert board.resets[1:] == [WDT_RESET]
    assert "loader: slot a did not get through its start" in board.lines


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", '{"slot":7,"short":"x","tries":-1}', '{"slot":["a"],"trial":{"a":1},"short":true}',
        "\x00" * 300, "[" * 900, '{"trial":"b","tries":3', '{"slot":"c","trial":"c","tries":3}', '{"short":100000000000}',
    ],
)  # fmt: skip
def test_notes_that_are_damaged_are_begun_anew(make_board, flash, text):
    (flash / "start.json").write_text(text)
    board = make_board({"a": APP})
    board.start()
    board.wait_for_console("footfall .*: node ff-test, boot 1")
    assert notes(flash)["short"] == 1
    assert set(notes(flash)) <= {"short", "failed"}
    assert board.tracebacks == []


TELLING = """
import sys, time
def run(facts):
    print("slot", facts["slot"], "trial", facts["trial"], "safe", facts["safe"])
    {then}
"""


def test_a_new_firmware_that_is_never_confirmed_is_tried_as_often_as_said_and_then_given_up(
    make_board, flash
):
    (flash / "start.json").write_text('{"slot":"a","trial":"b","tries":3}')
    board = make_board(
        {"a": TELLING.format(then="time.sleep(1000)"), "b": TELLING.format(then="raise ValueError('new')")},
        rate=10,  # three minutes later the watchdog ends slot a, too
    )
    board.start()
    board.wait_for_console("slot a")
    told = [line for line in board.lines if line.startswith("slot")]
    assert told == ["slot b trial True safe False"] * 3 + ["slot a trial False safe False"]
    assert notes(flash) == {"slot": "a", "short": 1, "failed": "slot b: it did not reach the gateway"}


def test_power_cuts_use_up_the_tries_of_a_new_firmware_too(make_board, flash):
    (flash / "start.json").write_text('{"slot":"a","trial":"b","tries":2}')
    hangs = TELLING.format(then="time.sleep(1000)")
    board = make_board({"a": hangs, "b": hangs})
    for slot in ("b", "b", "a", "a"):
        mark = board.console_mark()
        board.start()
        board.wait_for_console(f"slot {slot} ", since=mark)
        board.kill()


def test_a_new_firmware_that_hangs_while_it_is_imported_is_ended_by_the_watchdog(make_board, flash):
    (flash / "start.json").write_text('{"slot":"a","trial":"b","tries":2}')
    board = make_board(
        {"a": TELLING.format(then="time.sleep(1000)"), "b": "import time\nwhile True: time.sleep(1)"},
        rate=500,
    )
    board.start()
    board.wait_for_console("slot a trial False")
    lines = board.lines
    tries = lines[: lines.index("slot a trial False safe False")]
    assert tries.count("watchdog: not fed for 180000 ms") == 2
    assert board.resets[1:3] == [WDT_RESET, WDT_RESET]  # that ends slot a, which sleeps, as well


def test_a_firmware_that_is_confirmed_stays(make_board, flash):
    (flash / "start.json").write_text('{"slot":"a","trial":"b","tries":3,"short":2}')
    confirming = (
        APP
        + "\nboot_begin = boot.begin\ndef begin(*a):\n    boot_begin(*a)\n    boot.confirm()\nboot.begin = begin\n"
    )
    board = make_board({"a": APP, "b": confirming})
    board.start()
    board.wait_for_console("footfall .*: node")
    board.restart()
    board.wait_for_console("footfall .*: node .*boot 2")
    assert notes(flash) == {"slot": "b", "short": 2}  # power cuts do not count
    assert not (flash / "crash.txt").exists()


CUT_NOTES = (
    POWER
    + """
class machine:
    PWRON_RESET = 1
sys.modules["machine"] = machine
with open(sys.argv[1]) as f:
    source = f.read()
loader = {"__name__": "loader"}
exec(source[:source.rindex("\\nwatchdog =")], loader)
from node import boot, flash
for space in (loader, flash.__dict__):
    space["open"] = File
    space["os"] = Os()
for folder in ("slots", "slots/a", "slots/b"):
    os.mkdir(folder)
for slot in "ab":
    with open("slots/%s/app.py" % slot, "w") as f:
        pass

def begin(text):
    for name in ("start.json", "start.json.new", "crash.txt", "crash.txt.new"):
        if name in os.listdir():
            os.remove(name)
    with builtins.open("start.json", "w") as f:
        f.write(text)

def a_start(crash, after_power_cut):
    # What main.py does; returns (slot, on trial) of what ran, None where the power was cut before.
    notes = loader["read_notes"]()
    order, on_trial, safe, why = loader["choose"](notes, after_power_cut)
    loader["loaded"]()
    ran.append((order[0], on_trial))
    if crash:
        loader["keep_crash"]("Traceback\\n  File\\nValueError: %d" % len(ran), 7, "1.0", order[0])
        notes = loader["read_notes"]()
        notes["why"] = "crash"
        loader["write_notes"](notes)
"""
)


def test_a_power_cut_at_any_write_of_the_loader_s_notes_never_runs_a_new_firmware_too_often(run_on_board):
    cuts = run_on_board(
        CUT_NOTES
        + """
cut = 0
while True:
    ran = []
    begin('{"slot":"a","trial":"b","tries":3}')
    power.left = cut
    starts = 0
    was_cut = False
    while starts < 7:
        starts += 1
        try:
            a_start(True, was_cut and power.left is None and not told)
            told = was_cut
        except Cut:
            was_cut = True
            told = False
            power.left = None
    if not was_cut:
        break
    trials = [slot for slot, on_trial in ran if on_trial]
    assert trials == ["b"] * len(trials) and len(trials) in (2, 3), (cut, ran)
    assert ran[-1] == ("a", False), (cut, ran)
    with builtins.open("crash.txt") as f:
        log = f.read()
    assert log.count("== new boot=7 fw=1.0") in (6, 7), (cut, log)
    assert log.startswith("== new ")
    cut += 1
show(cut)
""",
        FIRMWARE / "main.py",
    )
    assert cuts > 40


def test_a_power_cut_at_any_write_of_the_node_s_word_to_the_loader_leaves_the_old_or_the_new(run_on_board):
    seen = run_on_board(
        CUT_NOTES
        + """
boot.begin({"slot": "a"}, "1.0")
seen = []
for change, wanted in (
    (lambda: boot.begin_trial("b"), {"slot": "a", "short": 0, "trial": "b", "tries": 3}),
    (boot.healthy, {"slot": "a", "short": 0}),
    (boot.confirm, {"slot": "a", "short": 2}),
    (lambda: boot.give_it_a_try(1), {"slot": "a", "short": 1}),
):
    for cut in range(4):
        begin('{"slot":"a","short":2}')
        power.left = cut
        try:
            change()
            done = True
        except Cut:
            done = False
        power.left = None
        found = loader["read_notes"]()
        assert found == (wanted if done else {"slot": "a", "short": 2}), (cut, found)
        seen.append(done)
show(seen)
""",
        FIRMWARE / "main.py",
    )
    assert seen == [False, False, False, True] * 4


def test_the_log_of_crashes_stays_small_and_keeps_the_latest(run_on_board):
    log = run_on_board(
        CUT_NOTES
        + """
for i in range(30):
    loader["keep_crash"]("x" * (i * 70) + "\\n== new boot=666\\nValueError: %d" % i, i, "0.1.0", "")
with open("crash.txt") as f:
    show(f.read())
""",
        FIRMWARE / "main.py",
    )
    assert len(log) <= 2048
    heads = re.findall(r"^== .*", log, re.MULTILINE)
    assert heads == ["== new boot=28 fw=0.1.0 slot=-", "== new boot=29 fw=0.1.0 slot=-"]
    assert log.endswith("ValueError: 29\n")


def test_where_nothing_can_be_started_it_says_so_tries_again_and_ctrl_c_leads_to_the_prompt(
    make_board, flash, tmp_path
):
    board = make_board({"a": "def run(:", "b": "import nothing"}, alone=True, rate=100)
    board.start()
    board.wait_for_console(
        "No firmware on this board can be started; the reasons are in crash.txt. Nobody is counted."
    )
    board.wait_for_console(r"Trying again in 5 minutes\.")
    log = (flash / "crash.txt").read_text()
    assert "SyntaxError" in log
    assert "ImportError" in log
    plant(flash, TELLING.format(then="time.sleep(1000)"), "b")
    board.timeline.set_rate(500)
    board.wait_for_console("^slot b trial False")  # by itself, some minutes later
    board.kill()
    plant(flash, "import nothing", "b")
    board.timeline.set_rate(1)  # so that the only restart is the one after Ctrl-C
    mark = board.console_mark()
    board.start()
    board.wait_for_console("Trying again in 5 minutes", since=mark)
    began_ms, boots, mark = board.boot_utc_ms, board.boots, board.console_mark()
    os.kill(board.pid, signal.SIGINT)
    board.wait_for_console("Stopped by Ctrl-C", since=mark)
    board.wait_for_console("No firmware on this board", since=mark)
    assert board.resets[boots:] == [WDT_RESET], "a prompt that somebody forgot"
    assert board.boot_utc_ms - began_ms > 3_600_000


def test_ctrl_c_is_no_crash(make_board, flash, tmp_path):
    left: list[dict[str, Any]] = []  # in the notes when it stops; the watchdog is the next to start it

    def told(line: str) -> None:
        if line.startswith("Stopped by Ctrl-C"):
            left.append(notes(flash))

    board = make_board({"a": APP}, cable=tmp_path / "tty", on_line=told)
    for boot in range(1, 6):
        mark = board.console_mark()
        board.start()
        board.wait_for_console(f"boot {boot} ", since=mark)
        with (tmp_path / "tty").open("wb", buffering=0) as cable:
            cable.write(b"\x03")
            board.wait_for_console("Stopped by Ctrl-C", since=mark)
            board.kill()
    assert left == [{"short": 0}] * 5
    assert not (flash / "crash.txt").exists()


# ---- safe mode


def test_after_crashes_in_a_row_it_counts_in_safe_mode_tells_each_crash_once_and_takes_a_repair(
    world, mosquitto, gateway, flash
):
    w = world(mosquitto, rate=20, buttons=[25], lamps=[18], status=4, mqtt=PATIENT)
    w.board.set_pins({25: UP})
    (flash / "remote.json").write_text(
        '{"v":1,"rev":7,"barriers":[{"min_block_ms":1000}]}'
    )  # nobody would count
    plant(flash, APP + NO_TERMINAL)
    w.board.start()
    w.board.wait_for_console("boot 4 .crash: ValueError, safe mode.")
    w.board.wait_for_console("terminal: left out")
    state = gateway.wait("safe mode", lambda: [s for s in gateway.states if s.get("safe")])[-1]
    assert state["slot"] == "a"
    assert state["rev"] == 0, "what came over the air is left out"
    w.walk(9)
    w.walked()
    gateway.wait("nine people", lambda: len(gateway.of_kind("P")) == 9)
    gateway.wait("crashes", lambda: len(crashes(gateway)) == 4)
    assert [crash["boot"] for crash in crashes(gateway)] == [1, 2, 3, 4]
    assert all("ValueError: no terminal today" in crash["text"] for crash in crashes(gateway))
    assert all(set(crash) == {"v", "do", "boot", "fw", "text"} for crash in crashes(gateway))
    gateway.wait("four boots", lambda: len(causes(gateway)) == 4)
    assert causes(gateway) == [
        "power",
        "crash: ValueError",
        "crash: ValueError",
        "crash: ValueError, safe mode",
    ]
    log = [o for o in list(w.board.output_log) if o.pin == 4]
    lit = [b.utc_ms - a.utc_ms for a, b in itertools.pairwise(log) if a.level]
    dark = [b.utc_ms - a.utc_ms for a, b in itertools.pairwise(log) if not a.level]
    assert min(lit) >= 100
    assert (
        statistics.median(lit) < 160
    )  # the program may have to wait for the processor, as a rule it does not
    assert {ms // 100 for ms in dark} >= {2, 16}

    # the repair: another configuration, kept for the next start, and a firmware without the fault
    gateway.send(NODE, "config", {"v": 1, "rev": 8, "barriers": [{"min_block_ms": 50}]}, retain=True)
    w.board.wait_for_console("configuration: revision 8|configuration refused")
    until("each crash is told", lambda: "== new" not in (flash / "crash.txt").read_text())
    plant(flash, APP)
    gateway.send(NODE, "command", {"v": 1, "do": "reboot"})
    state = gateway.wait("a normal start", lambda: [s for s in gateway.states if s.get("safe") is False])[-1]
    assert state["rev"] == 8
    gateway.wait("its cause", lambda: causes(gateway)[-1] == "command")
    w.walk(3)
    w.walked()
    gateway.wait("twelve people", lambda: len(gateway.of_kind("P")) == 12)
    w.timeline.sleep_ms(40_000)
    assert len(crashes(gateway)) == 4, "each is told once"
    assert "== new" not in (flash / "crash.txt").read_text()
    assert "ValueError" in (flash / "crash.txt").read_text()


def test_a_crash_is_kept_until_the_gateway_listens(world, mosquitto, gateway, flash):
    w = world(mosquitto, rate=10)
    gateway.tell_time = False
    plant(flash, APP + "\ndef run(facts):\n    boot.begin(facts, '9')\n    1 / 0\n")
    w.board.start()
    w.board.wait_for_console("ZeroDivisionError")  # ... and on its way into the flash
    until("a log of crashes", (flash / "crash.txt").exists)
    w.board.kill()
    plant(flash, APP)
    w.board.start()
    w.board.wait_for_console("broker: connected")
    w.timeline.sleep_ms(30_000)
    assert crashes(gateway) == []
    gateway.tell_time = True
    crash = gateway.wait("the crash", lambda: crashes(gateway))[0]
    assert crash["fw"] == "9"
    assert crash["boot"] == 0


def test_safe_mode_ends_after_an_hour_and_one_more_crash_brings_it_back(make_board, flash):
    (flash / "config.json").write_text('{"buttons":[25],"lamps":[18]}')
    began: dict[int, int] = {}  # boot -> when

    def told(line: str) -> None:
        if found := BOOT.match(line):
            began[int(found[1])] = board.boot_utc_ms
            if found[1] == "6":
                plant(flash, APP)

    board = make_board({"a": APP + NO_TERMINAL}, rate=2000, on_line=told)
    board.set_pins({25: UP})
    board.start()
    board.wait_for_console("boot 4 .*safe mode")
    board.wait_for_console("restarting: end of safe mode")
    board.wait_for_console(r"boot 5 \(end of safe mode\)")
    board.wait_for_console("boot 6 .*safe mode")
    assert 3_600_000 < began[5] - began[4] < 3_700_000
    assert passages_of(board) == 0
    board.wait_for_console(r"boot 7 \(end of safe mode\)")
    until("it is well", lambda: notes(flash)["short"] == 0)
    board.timeline.sleep_ms(400_000)
    assert notes(flash)["short"] == 0
    assert board.boots == 7


DOOR_0_FAILS = """
from node.door import Door
well = Door.watch_edges
async def ill(self):
    await self._inputs.changed.wait()
    if self.number == 0:
        raise OSError(5)
    self._inputs.changed.set()
    await well(self)
Door.watch_edges = ill
"""


def test_in_safe_mode_a_part_that_fails_does_not_take_the_others_with_it(world, mosquitto, gateway, flash):
    barriers = [{"outer": OUTER, "inner": INNER}, {"outer": 26, "inner": 27}]
    w = world(mosquitto, rate=30, barriers=barriers, mqtt=PATIENT)
    w.board.set_pins({26: 0, 27: 0})
    plant(flash, APP + DOOR_0_FAILS + "\nNode.make_wifi_ = 1\n")
    (flash / "start.json").write_text('{"slot":"a","short":5}')
    w.board.start()
    w.board.wait_for_console("safe mode, as starts in a row came to nothing")
    w.board.wait_for_console("broker: connected")
    edges = []
    other = {OUTER: 26, INNER: 27}
    with w.timeline.slowed(0):
        t_ms = w.timeline.ahead_us() // 1000 + 8000
        for n in range(20):
            edges += passage(t_ms + 5000 * n)
            edges += [(t, other[pin], level) for t, pin, level in passage(t_ms + 5000 * n + 500)]
        w.board.schedule_edges(sorted(edges))
    gateway.wait("door 1 counts", lambda: sum(p[2] == 1 for p in gateway.of_kind("P")) == 20)
    assert w.board.boots == 1, "no restart helps"
    assert len([line for line in w.board.lines if "task door 0 edges" in line]) >= 2
    gateway.wait("one of the failures told", lambda: crashes(gateway))
    assert "OSError" in crashes(gateway)[0]["text"]
    assert (flash / "crash.txt").read_text().count("== ") == 1, "the flash wears: one an hour"
    assert len(crashes(gateway)) == 1


def test_a_task_that_keeps_failing_restarts_the_board_and_leads_to_safe_mode(make_board, flash):
    board = make_board({"a": APP + DOOR_0_FAILS}, rate=20)
    soon_ms = board.timeline.now_ms() + 2000
    board.schedule_edges([edge for n in range(400) for edge in passage(soon_ms + 500 * n)])
    board.start()
    board.wait_for_console(r"boot 2 \(task door 0 edges fails\)")
    board.wait_for_console(r"boot 4 \(task door 0 edges fails")
    board.wait_for_console("safe mode, as")
    assert (flash / "crash.txt").read_text().count(
        "OSError"
    ) >= 3  # in safe mode it may have failed again by now


def test_where_the_spool_cannot_be_read_safe_mode_counts_into_another_one(world, mosquitto, gateway, flash):
    w = world(mosquitto, rate=10)
    (flash / "spool").mkdir()
    (flash / "spool/8f3a01c2").write_text("no folder")  # listing it fails
    w.board.start()
    w.board.wait_for_console("boot 1 .crash: OSError, safe mode")
    w.walk(6)
    w.walked()
    gateway.wait("six people", lambda: len(gateway.of_kind("P")) == 6)
    assert "8f3a01c2" not in gateway.records
    assert (flash / "spool/8f3a01c2").read_text() == "no folder"


HANG = """
import time
fed = Node.keep_watch
async def hang():
    await asyncio.sleep(%d)
    while True:
        time.sleep(1)
async def feed_and_hang(self):
    asyncio.create_task(hang())
    await fed(self)
Node.keep_watch = feed_and_hang
"""


@pytest.mark.parametrize("after_s", [30, 100])
def test_a_firmware_that_hangs_is_restarted_by_the_watchdog_and_the_boot_says_so(make_board, flash, after_s):
    """After 100 s, too: a run is healthy only from two minutes on."""
    (flash / "config.json").write_text('{"watchdog_s":40}')
    board = make_board({"a": APP + HANG % after_s}, rate=200)
    board.start()
    board.wait_for_console("watchdog: not fed for 40000 ms")  # its own, not the loader's of three minutes
    board.wait_for_console(r"boot 2 \(watchdog\)")
    board.wait_for_console(r"boot 4 \(watchdog, safe mode\)")


def test_memory_that_stays_short_leads_to_a_restart_that_says_so_but_not_from_the_beginning(
    make_board, flash
):
    short = "\nsystem.room_for = lambda n: False\n"
    began: list[int] = []

    def told(line: str) -> None:
        if BOOT.match(line):
            began.append(board.boot_utc_ms)

    board = make_board({"a": APP + short}, rate=2000, on_line=told)
    board.start()
    board.wait_for_console("memory is short: .* bytes free, 3072 in one piece wanted")
    board.wait_for_console(r"boot 2 \(memory short\)")
    until("when that was", lambda: len(began) > 1)
    assert 3_600_000 < began[1] - began[0] < 3_700_000


# ---- the clock


@pytest.mark.parametrize("how", ["command", "watchdog", "crash", "power"])
def test_after_a_reset_records_are_dated_at_once_and_after_a_power_cut_never(
    world, mosquitto, gateway, flash, how
):
    w = world(mosquitto, rate=5, watchdog_s=30)
    gateway.clock = w.timeline.now_ms
    fault = (
        "\nimport time\nwell = Node.keep_watch\nasync def fault(self):\n"
        "    if self.spool.boot > 1: await well(self)\n"
        "    while not self.time.told: await asyncio.sleep(1)\n"
        "    await asyncio.sleep(20)\n    self.time.keep_clock()\n    await asyncio.sleep(2)\n    %s\n"
    )
    if how == "crash":
        plant(flash, APP + fault % "system.reset()" + "Node.keep_watch = fault\n")
    if how == "watchdog":
        plant(flash, APP + fault % "while True: time.sleep(1)" + "Node.keep_watch = fault\n")
    w.board.start()
    w.board.wait_for_console("time: learned from the gateway")
    gateway.tell_time = False
    gateway.wait("the clock in the state", lambda: gateway.state.get("clock"))
    if how == "command":
        w.timeline.sleep_ms(3000)
        gateway.send(NODE, "command", {"v": 1, "do": "reboot"})
    elif how == "power":
        w.timeline.sleep_ms(3000)
        w.board.restart(off_ms=2000)
    w.board.wait_for_console("boot 2 ")
    mark = w.board.console_mark()
    w.timeline.sleep_ms(1000)
    start_ms = walk_past(w.board)
    gateway.wait("a passage", lambda: gateway.of_kind("P"))

    def clocks() -> list[list[Any]]:
        return [record for record in gateway.of_kind("C") if record[3] == "rtc"]

    if how == "power":
        assert clocks() == []
        return
    (clock,) = gateway.wait("the clock", clocks)
    (person,) = gateway.of_kind("P")
    # as exact as the gateway's answer was quick, at five seconds a second
    assert abs(clock[2] - clock[0] + person[0] - (start_ms + 250)) < 3000
    with gateway.at_rest():
        seq_of = {
            tuple(record): seq for known in gateway.records.values() for seq, (_, record) in known.items()
        }
    assert seq_of[tuple(clock)] < seq_of[tuple(person)]
    states = gateway.wait("the state", lambda: [s for s in gateway.states if s.get("boot") == 2])
    assert states[0]["clock"] is True
    gateway.tell_time = True
    w.board.wait_for_console("time: learned from the gateway", since=mark)
