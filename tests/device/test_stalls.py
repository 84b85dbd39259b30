"""A processor that stands still, as in a flash erase: what the virtual board makes of it, and what the firmware saves."""

import json
import os
import re
import signal
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from footfall_core.spool import SegmentReader
from footfall_simulator import parts
from footfall_simulator import stalls as simulated
from footfall_simulator.stalls import CROWDS, compare
from footfall_simulator.timeline import Timeline
from footfall_simulator.virtual_board import VirtualBoard

FIRMWARE = Path(__file__).parents[2] / "firmware"
START = 1_780_000_000_000
OUTER, INNER = 32, 33
NOBODYS = 39  # a pin
SOON_MS = 500
MakeBoard = Callable[..., VirtualBoard]

# Prints every call of the interrupt handler with what the counters show then, and the beats of a loop.
RECORDER = f"""
import machine, time
from machine import Pin
from _board import real_time
a, b = Pin({OUTER}, Pin.IN), Pin({INNER}, Pin.IN)
units = []
if hasattr(machine, "Encoder"):
    units = [machine.Encoder(0, a, b, phases=4), machine.Encoder(1, a, b), machine.Counter(2, a)]
seen = []
def edge(pin):
    seen.append((time.ticks_ms(), pin is b, b.value() << 1 | a.value()))
a.irq(edge)
b.irq(edge)
print("ready")
t0 = time.ticks_ms()
beats = []
while time.ticks_diff(time.ticks_ms(), t0) < 3000:
    time.sleep_ms(50)
    beats.append((time.ticks_ms(), real_time.ticks_ms()))
for one in seen:
    print("call", *one)
print("longest", *max([(y - x, real_y - real_x) for (x, real_x), (y, real_y) in zip(beats, beats[1:])]))
print("units", [unit.value() for unit in units])
"""


@pytest.fixture
def make_board(micropython: parts.Micropython, tmp_path: Path) -> Iterator[MakeBoard]:
    """A board with this main.py; further arguments go to VirtualBoard."""
    with ExitStack() as stack:

        def make(code: str, rate: float = 20, **options: Any) -> VirtualBoard:
            firmware = tmp_path / "firmware"
            firmware.mkdir(exist_ok=True)
            (firmware / "main.py").write_text(textwrap.dedent(code))
            board = VirtualBoard(
                "ff-stall",
                tmp_path / "flash",
                micropython,
                firmware,
                Timeline(START, rate),
                boot_ms=0,
                **options,
            )
            board.set_pins({OUTER: 0, INNER: 0})
            return stack.enter_context(board)

        yield make


def start_when_ready(board: VirtualBoard) -> None:
    """Time stands still until the recorder listens, however slow the machine is."""
    board.start()
    board.wait_for_console("ready")
    board.timeline.set_rate(20)


def inward(t_ms: int, lag_ms: int = 70, block_ms: int = 180) -> list[tuple[int, int, int]]:
    return [
        (t_ms, OUTER, 1),
        (t_ms + lag_ms, INNER, 1),
        (t_ms + block_ms, OUTER, 0),
        (t_ms + lag_ms + block_ms, INNER, 0),
    ]


def told(board: VirtualBoard, word: str) -> list[str]:
    return [line.removeprefix(word + " ") for line in board.lines if line.startswith(word + " ")]


def test_a_stall_hides_a_person_from_the_interrupts_and_not_from_the_counters(make_board):
    board = make_board(RECORDER, rate=0)
    board.schedule_edges(inward(START + 500) + inward(START + 1500))
    board.schedule_stalls([(START + 1490, 300)])
    start_when_ready(board)
    assert board.wait_for_end() == "ended", board.lines
    calls = [
        tuple(map(int, re.findall(r"\d+", line.replace("False", "0").replace("True", "1"))))
        for line in told(board, "call")
    ]
    assert [state for _, _, state in calls[:4]] == [1, 3, 2, 0]
    assert [t - calls[0][0] for t, _, _ in calls[:4]] == [0, 70, 180, 250]
    late = calls[4:]
    assert [t - calls[0][0] for t, _, _ in late] == [1290] * 4  # when the stall is over, all at once ...
    assert [pin for _, pin, _ in late] == [0, 1, 0, 1]
    assert [state for _, _, state in late] == [0] * 4  # ... with the levels of then
    longest_ms, real_ms = map(int, told(board, "longest")[0].split())
    assert 300 <= longest_ms <= 350 + real_ms + 1  # what the machine makes the program wait is real
    assert told(board, "units") == ["[8, 2, 2]"]
    assert board.late_edges == 0


def test_only_eight_interrupts_wait_and_turning_back_cancels_in_the_encoder(make_board):
    board = make_board(RECORDER, rate=0)
    back = [(START + 500 + 10 * n, OUTER, 1 - n % 2) for n in range(12)]
    out = [
        (START + 1200 + after, pin, level)
        for after, pin, level in ((0, INNER, 1), (9, OUTER, 1), (30, INNER, 0), (33, OUTER, 0))
    ]
    board.schedule_edges(back + out)
    board.schedule_stalls([(START + 490, 200)])
    start_when_ready(board)
    assert board.wait_for_end() == "ended", board.lines
    assert len(told(board, "call")) == 8 + 4
    assert told(board, "units") == ["[-4, -1, 7]"]


@pytest.mark.parametrize(
    ("units", "line"), [(0, "False"), (1, "one unit, then: invalid id"), (8, "PCNT in use")]
)
def test_a_chip_has_only_so_many_counters(make_board, units, line):
    board = make_board(
        f"""
        import machine
        pin = machine.Pin({OUTER}, machine.Pin.IN)
        if not hasattr(machine, "Counter"):
            print(hasattr(machine, "Encoder"))
        else:
            machine.Counter(0, pin, filter_ns=12000)
            try:
                machine.Counter(1, pin)
                machine.Encoder(1, pin, pin)
            except ValueError as error:
                print("one unit, then:" if "id" in str(error) else "", error)
        """,
        pcnt_units=units,
    )
    board.start()
    assert board.wait_for_end() == "ended", board.lines
    assert board.lines[-1].strip() == line


def test_a_board_that_starts_in_the_middle_of_a_stall_knows_of_none(make_board):
    board = make_board(
        "import time\nt = time.ticks_ms()\ntime.sleep_ms(20)\nprint('slept', time.ticks_ms() - t)"
    )
    board.schedule_stalls([(START - 100, 60_000)])
    board.start()
    assert board.wait_for_end() == "ended"
    assert 20 <= int(board.lines[0].removeprefix("slept ")) < 5000  # the program itself costs real time


# ---- the firmware


def test_with_hardware_counters_no_passage_is_lost_to_stalls_and_without_some_are(micropython, monkeypatch):
    monkeypatch.setattr(
        simulated, "READY_MS", 30_000
    )  # nobody walks before the firmware runs, on a slow machine either
    calm, counters, alone = compare(micropython, FIRMWARE, CROWDS["one by one"], 400, seed=11)
    assert calm.walked > 350
    assert calm.right >= calm.walked - 1
    assert counters.stalls == alone.stalls > 150
    assert (counters.lost, counters.right, counters.wrong_way) == (0, calm.right, 0)
    assert counters.extra <= calm.extra
    assert alone.lost >= 3
    assert counters.count.missed_edges == alone.count.missed_edges > 0
    assert (calm.count.missed_edges, alone.count.recovered) == (0, 0)
    assert counters.count.recovered >= alone.lost


def test_a_board_that_gets_no_processor_at_the_end_has_told_all_the_same(micropython, monkeypatch):
    class Starved(VirtualBoard):
        def wait_for_edges(self, timeout_s: float = 60.0) -> None:
            super().wait_for_edges(timeout_s)
            os.kill(self.pid, signal.SIGSTOP)

    monkeypatch.setattr(simulated, "READY_MS", 30_000)
    monkeypatch.setattr(simulated, "VirtualBoard", Starved)
    both = START + 40_000, START + 60_000  # what was missed is told five minutes after the first
    edges = [edge for at_ms in both for edge in inward(at_ms)]
    count = simulated.count_on_board(
        micropython, FIRMWARE, edges, [(at_ms - 50, 320) for at_ms in both], pcnt_units=0
    )
    assert count.missed_edges == 8


class Door:
    """The firmware on a board without a network, and who walks at which moment once it watches its door."""

    def __init__(self, micropython: parts.Micropython, folder: Path, **options: Any) -> None:
        folder.mkdir(exist_ok=True)
        barriers = options.pop("barriers", [{"outer": OUTER, "inner": INNER}])
        (folder / "config.json").write_text(json.dumps({"barriers": barriers, "watchdog_s": 0}))
        self.timeline = Timeline(START)
        self.board = VirtualBoard(
            "ff-door", folder, micropython, FIRMWARE, self.timeline, boot_ms=0, **options
        )
        self.board.set_pins({OUTER: 0, INNER: 0, 26: 0, 27: 0})

    def live(self, edges, stalls=(), ms: int = 14_000) -> list[tuple[Any, ...]]:
        """The records in its flash after so long: it looks at its beams itself every 10 s."""
        with self.board:
            self.board.start()
            self.board.wait_for_console("no broker: counting into flash only")  # it watches its beams
            with self.timeline.slowed(0):
                at_ms = self.timeline.ahead_us() // 1000 + SOON_MS
                self.board.schedule_edges([(at_ms + t, pin, level) for t, pin, level in edges])
                self.board.schedule_stalls([(at_ms + t, ms) for t, ms in stalls])
                self.board.schedule_edges([(at_ms + ms, NOBODYS, 1)])  # then it has lived through all of it
                self.timeline.set_rate(20)
            self.board.wait_for_edges(120)
            assert self.board.tracebacks == []
            assert self.board.late_edges == 0
        return [
            record
            for path in sorted(self.board.flash_dir.glob("spool/*/*.seg"))
            for record in SegmentReader(path.read_bytes())
            if record[1] in "PHF"
        ]


STALLED = {
    "a whole person": (inward(50), [(0, 300)], [1], 4),
    "a whole person on the way out": (
        [(t, {OUTER: INNER, INNER: OUTER}[pin], level) for t, pin, level in inward(50)],
        [(0, 300)],
        [-1],
        4,
    ),
    "all but the first edge": (inward(0), [(20, 300)], [1], 2),
    "all but the last edge": (inward(50), [(0, 260)], [1], 2),
    "the middle, as if something thin went by": (inward(0), [(60, 150)], [1], 0),
    "the beginning, so that a fast person's block would be too short": (
        inward(120, 33, 80),
        [(0, 195)],
        [1],
        0,
    ),
    "one late edge right before the next": (inward(0, 100, 300), [(60, 238)], [1], 0),
    "somebody who turns back": (
        [(50, OUTER, 1), (120, INNER, 1), (190, INNER, 0), (250, OUTER, 0)],
        [(0, 300)],
        [],
        4,
    ),
    "one leaves as another comes the other way": (
        [
            (0, INNER, 1),
            (140, OUTER, 1),
            (390, INNER, 0),
            (515, OUTER, 0),
            (530, OUTER, 1),
            (670, INNER, 1),
            (910, OUTER, 0),
            (1050, INNER, 0),
        ],
        [(280, 300)],
        [-1, 1],
        2,
    ),
    "both beams at once and back at once, as sensors without power": (
        [(50, OUTER, 1), (50, INNER, 1), (250, OUTER, 0), (250, INNER, 0)],
        [],
        [],
        0,
    ),
}


@pytest.mark.parametrize(("edges", "stalls", "directions", "missed"), STALLED.values(), ids=STALLED)
def test_what_a_stall_hides_is_told_by_the_counters(micropython, flash, edges, stalls, directions, missed):
    records = Door(micropython, flash).live(edges, stalls)
    passages = [record for record in records if record[1] == "P"]
    assert [record[3] for record in passages] == directions
    told = [record[3:] for record in records if record[1] == "H"]
    assert sum(one[0] for one in told) == missed
    assert sum(one[1] for one in told) == sum(record[4] == 0 for record in passages)
    assert sum(one[1] for one in told) <= len(passages)


def test_without_counters_what_was_missed_is_told_and_not_made_up(micropython, flash):
    records = Door(micropython, flash, pcnt_units=0).live(inward(50), [(0, 300)])
    assert [record[1:] for record in records] == [("H", 0, 4, 0)]


def test_a_chip_with_four_units_counts_the_second_barrier_by_its_encoder_alone(micropython, flash):
    barriers = [{"outer": OUTER, "inner": INNER}, {"outer": 26, "inner": 27}]
    swapped = {OUTER: 26, INNER: 27}
    both = inward(50) + [(t + 5, swapped[pin], level) for t, pin, level in inward(50)]
    records = Door(micropython, flash, pcnt_units=4, barriers=barriers).live(both, [(0, 320)])
    assert sorted(record[2:5] for record in records if record[1] == "P") == [(0, 1, 0), (1, 1, 0)]
    assert sorted(record[1:] for record in records if record[1] == "H") == [("H", 0, 4, 1), ("H", 1, 4, 1)]


def test_light_that_flickers_is_a_fault_and_nobody_until_it_has_calmed(micropython, flash):
    flicker = [(2000 + 50 * n, pin, (n + 1) % 2) for n in range(600) for pin in (OUTER, INNER)]
    edges = inward(0) + sorted(flicker) + inward(34_000) + inward(200_000)
    records = Door(micropython, flash).live(edges, ms=204_000)
    faults = [record[3:] for record in records if record[1] == "F"]
    assert sorted(faults) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    began = min(record[0] for record in records if record[1] == "F" and record[4])
    ended = max(record[0] for record in records if record[1] == "F" and not record[4])
    assert 60_000 <= ended - began < 180_000
    passages = [record for record in records if record[1] == "P"]
    assert [record[3] for record in passages if not began <= record[0] <= ended][-1] == 1
    assert [record for record in passages if began <= record[0] <= ended] == []
    assert passages[-1][0] > ended
