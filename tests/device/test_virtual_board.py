"""The virtual board: real MicroPython in virtual time, exact to the millisecond however slow this machine is."""

import calendar
import contextlib
import json
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import serial
import trustme

from footfall_simulator import parts
from footfall_simulator.timeline import Timeline
from footfall_simulator.virtual_board import BoardError, VirtualBoard
from footfall_simulator.virtual_board import host as board_host
from footfall_simulator.wifi import WifiRelay

START = 1_780_000_000_000
OUTER, INNER, LAMP = 32, 33, 18
WRAP = 1 << 30
MakeBoard = Callable[..., VirtualBoard]

# Prints every edge that its interrupts see: ticks and the state of both beams.
RECORDER = f"""
import asyncio, time
from array import array
from machine import Pin
flag = asyncio.ThreadSafeFlag()
ring = array("l", [0] * 8192)
head = 0
a, b = Pin({OUTER}, Pin.IN, Pin.PULL_UP), Pin({INNER}, Pin.IN, Pin.PULL_UP)
def edge(pin):
    global head
    ring[head] = time.ticks_ms() << 2 | b.value() << 1 | a.value()
    head += 1
    flag.set()
a.irq(edge, Pin.IRQ_RISING | Pin.IRQ_FALLING)
b.irq(edge, Pin.IRQ_RISING | Pin.IRQ_FALLING)
async def main():
    done = 0
    print("ready")
    while True:
        await flag.wait()
        while done < head:
            print("edge", ring[done] >> 2, ring[done] & 3)
            done += 1
asyncio.run(main())
"""

# ... and says something every second, so that it sees time pass.
BEATING = RECORDER.replace(
    'print("ready")',
    """
    async def beat():
        n = 0
        while True:
            await asyncio.sleep(1)
            n += 1
            print("beat", n)
    asyncio.create_task(beat())
    print("ready")""",
)


@pytest.fixture
def make_board(micropython: parts.Micropython, tmp_path: Path) -> Iterator[MakeBoard]:
    """A board with this main.py; further arguments go to VirtualBoard."""
    with ExitStack() as stack:

        def make(code: str, timeline: Timeline, name: str = "ff-test", **options: Any) -> VirtualBoard:
            firmware = tmp_path / f"{name}-firmware"
            firmware.mkdir(exist_ok=True)
            (firmware / "main.py").write_text(textwrap.dedent(code))
            return stack.enter_context(
                VirtualBoard(name, tmp_path / f"{name}-flash", micropython, firmware, timeline, **options)
            )

        yield make


def edges_seen(board: VirtualBoard) -> list[tuple[int, int]]:
    found = [re.fullmatch(r"edge (\d+) (\d)", line) for line in board.lines]
    return [(int(match[1]), int(match[2])) for match in found if match]


def walk(seed: int, count: int, start_ms: int, longest_ms: int = 8000) -> list[tuple[int, int, int]]:
    """Random edges of two beams, some in the same millisecond, some far apart."""
    rng = random.Random(seed)
    levels = {OUTER: 1, INNER: 1}
    t = start_ms
    edges = []
    for _ in range(count):
        t += rng.choice((0, 1, 1, 2, 9, 40, 300, rng.randrange(longest_ms)))
        pin = rng.choice((OUTER, INNER))
        levels[pin] ^= 1
        edges.append((t, pin, levels[pin]))
    return edges


def states(edges: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """What a board must see of edges: one entry a millisecond and pin that really changed, with the state after all of it."""
    levels = {OUTER: 1, INNER: 1}
    seen = []
    for t in sorted({edge[0] for edge in edges}):
        now = [edge for edge in edges if edge[0] == t]
        changes: dict[int, int] = {}
        for _, pin, level in now:
            if levels[pin] != level:
                changes[pin] = changes.get(pin, 0) + 1
            levels[pin] = level
        seen += [(t, levels[OUTER] | levels[INNER] << 1)] * len(changes)
    return seen


# ---- time


@pytest.mark.parametrize("rate", [100, 1000])
def test_every_edge_is_seen_at_its_own_millisecond_however_the_process_stalls(
    make_board: MakeBoard, rate: int
) -> None:
    timeline = Timeline(START, 0)  # until it listens, however long that takes
    board = make_board(RECORDER, timeline, heap_kb=400)
    edges = walk(rate, 4000, START + 5_000, longest_ms=8 * rate)
    board.schedule_edges(edges)
    board.start()
    board.wait_for_console("ready")
    timeline.set_rate(rate)
    stalls = random.Random(rate)
    while board.pending_edges and board.state == "running":
        os.kill(board.pid, signal.SIGSTOP)
        time.sleep(stalls.random() * 0.04)
        os.kill(board.pid, signal.SIGCONT)
        time.sleep(stalls.random() * 0.06)
    board.wait_for_edges()
    expected = [(t - board.boot_utc_ms, state) for t, state in states(edges)]
    board.wait_for_console(f"edge {expected[-1][0]} ")
    wait_until(lambda: len(edges_seen(board)) == len(expected))
    assert edges_seen(board) == expected
    assert board.late_edges == 0
    assert board.tracebacks == []


def test_a_producer_that_falls_behind_makes_nothing_late(make_board: MakeBoard) -> None:
    timeline = Timeline(START, 0)
    board = make_board(RECORDER, timeline)
    edges = walk(3, 600, START + 1_000)
    board.hold(START + 500)
    board.start()
    board.wait_for_console("ready")
    timeline.set_rate(1000)
    for at in range(0, len(edges), 50):
        part = edges[at : at + 50]
        time.sleep(0.01)
        board.schedule_edges(part, hold_until=part[-1][0])
    board.hold(None)
    board.wait_for_edges()
    expected = [(t - board.boot_utc_ms, state) for t, state in states(edges)]
    wait_until(lambda: len(edges_seen(board)) >= len(expected))
    assert edges_seen(board) == expected
    assert board.late_edges == 0


def test_an_edge_for_a_moment_that_the_board_has_seen_pass_happens_at_once_and_is_counted(
    make_board: MakeBoard,
) -> None:
    timeline = Timeline(START, 10)
    board = make_board(BEATING, timeline)
    board.start()
    board.wait_for_console("beat 3")
    board.schedule_edges([(START, OUTER, 0)])
    board.wait_for_edges()
    assert int(board.wait_for_console(r"edge (\d+) 2")[1]) >= 3000
    assert board.late_edges == 1


def test_ticks_wrap_as_on_the_chip(make_board: MakeBoard) -> None:
    timeline = Timeline(START, 0)
    board = make_board(RECORDER, timeline, ticks_start_ms=WRAP - 3000)
    board.schedule_edges([(START + at, OUTER, at // 1000 % 2) for at in range(2000, 12_000, 1000)])
    board.start()
    board.wait_for_console("ready")
    timeline.set_rate(100)
    board.wait_for_edges()
    boot_ms = board.boot_utc_ms - START
    wait_until(lambda: len(edges_seen(board)) == 10)
    assert [t for t, _ in edges_seen(board)] == [
        (at - boot_ms + WRAP - 3000) % WRAP for at in range(2000, 12_000, 1000)
    ]


def test_sleeps_end_exactly_and_across_the_wrap(make_board: MakeBoard) -> None:
    code = """
        import asyncio, time
        from _board import real_time
        sleeps = 0
        def judge(ms, t0, real0):
            # What code costs is real, and so is what the machine makes it wait: by so much it may be late, and never early.
            global sleeps
            late = time.ticks_diff(time.ticks_ms(), t0) - ms
            real_ms = real_time.ticks_diff(real_time.ticks_us(), real0) // 1000
            if not 0 <= late <= real_ms + 1: print("wrong by", late, "in", ms, "real", real_ms)
            sleeps += 1
        async def sleeper(ms, n):
            for _ in range(n):
                real0 = real_time.ticks_us()
                t0 = time.ticks_ms()
                await asyncio.sleep_ms(ms)
                judge(ms, t0, real0)
        async def main():
            await asyncio.gather(sleeper(700, 40), sleeper(1000, 28), sleeper(13, 2000))
            real0 = real_time.ticks_us()
            t0 = time.ticks_ms()
            time.sleep_ms(2500)
            judge(2500, t0, real0)
            print("slept", sleeps)
        asyncio.run(main())
    """
    board = make_board(code, Timeline(START, 1000), ticks_start_ms=WRAP - 10_000)
    board.start()
    assert board.wait_for_end(120) == "ended"
    assert board.lines == [f"slept {40 + 28 + 2000 + 1}"]


def test_a_jump_is_lived_through_second_by_second(make_board: MakeBoard) -> None:
    timeline = Timeline(START, 1)
    board = make_board(BEATING, timeline)
    edges = [(START + minute * 60_000 + 137, OUTER, minute % 2) for minute in range(2, 180)]
    board.schedule_edges(edges)
    board.start()
    board.wait_for_console("ready")
    timeline.jump(3 * 3_600_000)
    board.wait_for_console("beat 10799")
    board.wait_for_edges()
    wait_until(lambda: len(edges_seen(board)) == len(edges))
    assert [t for t, _ in edges_seen(board)] == [t - board.boot_utc_ms for t, _, _ in edges]
    beats = [line for line in board.lines if line.startswith("beat")]
    assert beats == [f"beat {n + 1}" for n in range(len(beats))]


def test_time_can_stand_still(make_board: MakeBoard) -> None:
    timeline = Timeline(START, 0)
    board = make_board(RECORDER, timeline, boot_ms=0)
    board.start()
    board.wait_for_console("ready")
    board.schedule_edges([(START + 50, OUTER, 0)])
    time.sleep(0.05)
    assert board.pending_edges == 1
    timeline.jump(50)
    assert board.wait_for_console(r"edge (\d+)")[1] == "50"


def test_the_board_s_clock_starts_in_2000_and_can_be_set(make_board: MakeBoard) -> None:
    code = """
        import json, machine, time
        print(json.dumps(["start", time.gmtime(0), time.time(), machine.RTC().datetime()]))
        for t in ((2026, 3, 29, 1, 59, 59), (2000, 2, 29, 0, 0, 0), (2100, 12, 31, 23, 0, 1)):
            s = time.mktime(t + (0, 0))
            print(json.dumps(["made", s, time.gmtime(s)]))
        machine.RTC().datetime((2026, 10, 25, 6, 0, 30, 15, 0))
        time.sleep(2)
        print(json.dumps(["set", time.time(), time.localtime(), time.time_ns()]))
    """
    timeline = Timeline(START, 0)
    board = make_board(code, timeline)
    board.start()
    board.wait_for_console('"start"')  # within the first second, however long that takes
    timeline.set_rate(100)
    board.wait_for_end()
    start, *made, now = [json.loads(line) for line in board.lines]
    epoch = calendar.timegm((2000, 1, 1, 0, 0, 0))
    assert start == ["start", [2000, 1, 1, 0, 0, 0, 5, 1], 0, start[3]]
    assert start[3][:7] == [2000, 1, 1, 5, 0, 0, 0]
    for (_, seconds, fields), t in zip(
        made, [(2026, 3, 29, 1, 59, 59), (2000, 2, 29, 0, 0, 0), (2100, 12, 31, 23, 0, 1)], strict=True
    ):
        assert seconds == calendar.timegm(t) - epoch
        assert fields == [*t, *time.gmtime(seconds + epoch)[6:8]]
    slept_until = calendar.timegm((2026, 10, 25, 0, 30, 17)) - epoch
    assert now[2][:5] + now[2][6:] == [2026, 10, 25, 0, 30, 6, 298]
    told = [now[1], calendar.timegm((*now[2][:6],)) - epoch, now[3] // 1_000_000_000]
    assert (
        slept_until <= told[0] <= told[1] <= told[2] <= slept_until + 2
    )  # the program itself costs real time


def test_the_other_epoch_is_there_for_whoever_asks(make_board: MakeBoard) -> None:
    board = make_board(
        "import time\nprint(time.gmtime(0)[0], time.gmtime()[0])", Timeline(START), epoch_2000=False
    )
    board.start()
    board.wait_for_end()
    assert board.lines == ["1970 2000"]


# ---- power


COUNTER = """
    import machine, os, time
    try:
        with open("boots") as f: n = int(f.read())
    except OSError:
        n = 0
    with open("boots", "w") as f: f.write(str(n + 1))
    print("boot", n + 1, machine.reset_cause(), time.ticks_ms() < 2500)  # the program itself costs real time
"""


def test_a_power_cut_leaves_the_flash_and_the_levels_at_the_pins(make_board: MakeBoard) -> None:
    timeline = Timeline(START, 0)
    board = make_board(
        textwrap.dedent(COUNTER)
        + "from machine import Pin\n"
        + f"pins = [Pin({OUTER}, Pin.IN, Pin.PULL_UP), Pin({INNER}, Pin.IN, Pin.PULL_UP)]\n"
        + "for p in pins: p.irq(lambda p: print('irq', p))\n"
        + "print('levels', pins[0].value(), pins[1].value())\n"
        + "time.sleep(1000)\n",
        timeline,
    )
    board.start()
    board.wait_for_console("levels 1 1")
    board.set_pins({OUTER: 0})
    board.wait_for_console("irq")
    board.kill()
    assert board.state == "off"
    board.set_pins({INNER: 0})
    board.schedule_edges([(timeline.now_ms() + 50, OUTER, 1), (timeline.now_ms() + 90, OUTER, 0)])
    timeline.jump(100)
    mark = board.console_mark()
    board.start()
    board.wait_for_console("levels 0 0", since=mark)
    assert board.lines_since(mark)[0] == f"boot 2 {board_host.PWRON_RESET} True"
    assert not [line for line in board.lines_since(mark) if line.startswith("irq")]
    board.press_reset()
    board.wait_for_console(f"boot 3 {board_host.PWRON_RESET} True")
    assert (board.flash_dir / "boots").read_text() == "3"


def test_a_power_cut_takes_what_was_not_flushed_as_littlefs_does(make_board: MakeBoard) -> None:
    code = """
        import os, time
        if "old" in os.listdir():
            for name in sorted(os.listdir()):
                print(name, open(name).read().replace("\\n", "|"))
            raise SystemExit
        with open("old", "w") as f: f.write("old")
        keep = []
        def write(name, mode, *parts):
            f = open(name, mode)
            keep.append(f)
            for part in parts:
                if part is None: f.flush()
                else: f.write(part)
        write("flushed", "wb", b"1\\n", b"2\\n", None, b"3\\n")
        write("never", "w", "x")
        write("old", "w", "new")
        write("log", "a", "1\\n", None)
        write("log", "a", "2\\n", None, "3\\n")
        with open("closed", "a") as f: print(f.write("ä"), "written")
        print(repr(open("old").read()), repr(open("flushed").read()), open("closed").read() == "ä")
        time.sleep(1000)
    """
    board = make_board(code, Timeline(START))
    board.start()
    board.wait_for_console("'old' '1.n2.n' True")
    assert board.lines[0] == "1 written"
    board.kill()
    mark = board.console_mark()
    board.start()
    board.wait_for_end()
    assert board.lines_since(mark) == ["closed ä", "flushed 1|2|", "log 1|2|", "never ", "old old"]


def test_edges_and_restarts_make_no_edge_twice(make_board: MakeBoard) -> None:
    timeline = Timeline(
        START, 0
    )  # it goes on in jumps: so many restarts, at whatever speed this machine lives
    board = make_board(RECORDER, timeline)
    edges = [(START + 1000 + at * 100, OUTER, at % 2) for at in range(400)]
    board.schedule_edges(edges)
    seen: list[int] = []
    rng = random.Random(5)
    board.start()
    while board.pending_edges:
        board.wait_for_console("ready")
        timeline.jump(rng.randrange(1500, 5000))
        board.wait_for_console("edge")
        time.sleep(rng.random() * 0.01)
        mark_utc = board.boot_utc_ms
        board.kill()
        seen += [t + mark_utc for t, _ in edges_seen(board)]
        board._lines.clear()
        if board.pending_edges:
            board.start()
    times = [t for t, _, _ in edges]
    assert board.boots > 7
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(times)
    assert board.late_edges == 0


@pytest.mark.parametrize(
    ("ending", "cause"),
    [
        ("machine.reset()", board_host.HARD_RESET),
        ("machine.soft_reset()", board_host.SOFT_RESET),
        ("machine.deepsleep(5000)", board_host.DEEPSLEEP_RESET),
        ("w = machine.WDT(timeout=3000)\nfor i in range(5): time.sleep(2); w.feed()\ntime.sleep(10)", board_host.WDT_RESET),
        ("w = machine.WDT(timeout=3000)\nwhile True: time.ticks_ms()", board_host.WDT_RESET),
        ("w = machine.WDT(timeout=3000)\nraise ValueError('boom')", board_host.WDT_RESET),
    ],
)  # fmt: skip
def test_a_board_that_resets_itself_comes_back_and_knows_why(
    make_board: MakeBoard, ending: str, cause: int
) -> None:
    code = textwrap.dedent(COUNTER) + (
        "if n == 0:\n    try:\n"
        + textwrap.indent(ending, " " * 8)
        + "\n    finally:\n        print('finally')\n"
    )
    board = make_board(code, Timeline(START, 5), boot_ms=1)
    board.start()
    assert board.wait_for_end() == "ended"
    assert board.resets == [board_host.PWRON_RESET, cause]
    assert board.wait_for_end() == "ended"
    assert f"boot 2 {cause} True" in board.lines
    if "boom" not in ending:
        assert "finally" not in board.lines  # a reset is not an exception


@pytest.mark.parametrize(
    ("ending", "goes_on"),
    [
        ("machine.reset()", True),
        ("machine.soft_reset()", True),
        ("machine.WDT(timeout=5000)\nwhile True: time.ticks_ms()", True),
        ("print('cut me'); time.sleep(1000)", False),
    ],
)
def test_the_clock_and_its_memory_go_on_through_a_reset_and_not_through_a_power_cut(
    make_board: MakeBoard,
    ending: str,
    goes_on: bool,  # noqa: FBT001 - a case of the table
) -> None:
    code = textwrap.dedent(COUNTER) + (
        "r = machine.RTC()\nprint('seen', r.datetime(), r.memory())\n"
        "if n == 0:\n    time.sleep(2)\n    r.memory(b'kept')\n    r.datetime((2026, 10, 25, 6, 0, 30, 15, 0))\n"
        + textwrap.indent("time.sleep(2)\nprint('ticks', time.ticks_ms() >= 4000)\n" + ending, "    ")
    )
    board = make_board(code, Timeline(START, 20), boot_ms=1)
    board.start()
    if not goes_on:
        board.wait_for_console("cut me")
        board.restart()
    assert board.wait_for_end() == "ended"
    seen = [line for line in board.lines if line.startswith("seen")]
    second = 17 if "WDT" not in ending else 22
    wanted = (2026, 10, 25, 6, 0, 30, second) if goes_on else (2000, 1, 1, 5, 0, 0, 0)
    for line, (*day, at_s) in zip(seen, [(2000, 1, 1, 5, 0, 0, 0), wanted], strict=True):
        *shown, shown_s, _ = (
            int(number) for number in line[line.index("(") + 1 : line.index(")")].split(",")
        )
        assert shown == day
        assert at_s <= shown_s <= at_s + 2  # the program itself costs real time
    assert seen[0].endswith(") b''")
    assert seen[1].endswith("b'kept'" if goes_on else "b''")
    assert "ticks True" in board.lines
    assert board.lines[-2].startswith("boot 2 ")  # and its ticks began anew


def test_an_uncaught_exception_is_told_and_the_board_stays_down(make_board: MakeBoard) -> None:
    board = make_board("def f():\n    raise ValueError('boom')\nprint('up')\nf()\n", Timeline(START))
    board.start()
    assert board.wait_for_end() == "crashed"
    assert board.exit_code == 1
    (trace,) = board.tracebacks
    assert trace.endswith("ValueError: boom")
    with pytest.raises(BoardError, match=r"ff-test: no console line with 'never' before it was crashed"):
        board.wait_for_console("never")


def test_a_wait_for_the_console_ends_with_words(make_board: MakeBoard) -> None:
    board = make_board("import time\nprint('hello')\ntime.sleep(1000)", Timeline(START))
    board.start()
    board.wait_for_console("hello")
    with pytest.raises(BoardError, match=r"(?s)'goodbye' within 0.05 s; it ended\n    hello"):
        board.wait_for_console("goodbye", 0.05)
    with pytest.raises(BoardError, match="already running"):
        board.start()


def test_missing_parts_are_named(make_board: MakeBoard, tmp_path: Path) -> None:
    board = make_board("", Timeline(START), main="elsewhere.py")
    with pytest.raises(BoardError, match=r"there is no firmware at .*elsewhere\.py"):
        board.start()

    class Nothing:
        def command(self, _args: object, **_options: object) -> tuple[list[str], dict[str, str]]:
            return ["/nowhere/micropython"], {}

    (tmp_path / "main.py").write_text("")
    with pytest.raises(BoardError, match=r"cannot start MicroPython \(/nowhere/micropython\)"):
        VirtualBoard("ff-x", tmp_path / "flash", Nothing(), tmp_path, Timeline(START)).start()


@pytest.mark.parametrize("busy", ["while True: time.ticks_ms()", "time.sleep(100000)", "asyncio.run(main())"])
def test_no_board_outlives_its_host(micropython: parts.Micropython, tmp_path: Path, busy: str) -> None:
    (tmp_path / "main.py").write_text(
        "import asyncio, time\nasync def main():\n    while True: await asyncio.sleep(1)\nprint('up')\n"
        + busy
    )
    script = textwrap.dedent("""
        import os, signal, sys
        from footfall_simulator import parts
        from footfall_simulator.timeline import Timeline
        from footfall_simulator.virtual_board import VirtualBoard
        board = VirtualBoard("ff-x", sys.argv[1] + "/flash", parts.micropython(), sys.argv[1], Timeline())
        board.start()
        board.wait_for_console("up")
        print(board.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid = int(done.stdout)
    wait_until(lambda: not running(pid))


# ---- pins


def test_lamps_are_seen_with_their_time(make_board: MakeBoard) -> None:
    code = f"""
        import time
        from machine import Pin, PWM
        lamp = Pin({LAMP}, Pin.OUT, value=0, drive=Pin.DRIVE_3)
        def edge(pin):
            if pin.value():
                lamp.on()
                lamp(1)
            else:
                lamp.value(0)
        a = Pin({OUTER}, Pin.IN)
        a.irq(edge)
        pwm = PWM(Pin(19), freq=1000, duty_u16=0)
        pwm.duty_u16(32768)
        print(lamp.value(), pwm.duty())
        time.sleep(100)
    """
    seen: list[Any] = []
    timeline = Timeline(START, 0)
    board = make_board(code, timeline, on_output=seen.append)
    board.schedule_edges([(START + 1000, OUTER, 1), (START + 2500, OUTER, 0)])
    board.start()
    board.wait_for_console("0 512")
    wait_until(lambda: board.duties.get(19) == 32768 and board.outputs.get(19) == 1)
    timeline.set_rate(100)
    wait_until(lambda: [output.pin for output in seen].count(LAMP) == 3)
    lamp = [(output.utc_ms - START, output.level) for output in seen if output.pin == LAMP]
    assert lamp == [(board.boot_ms, 0), (1000, 1), (2500, 0)]
    assert board.outputs == {LAMP: 0, 19: 1}
    assert list(board.output_log) == seen


def test_interrupts_wait_while_they_are_off_and_both_beams_change_together(make_board: MakeBoard) -> None:
    code = f"""
        import machine, time
        from machine import Pin
        a, b = Pin({OUTER}, Pin.IN), Pin({INNER}, Pin.IN)
        a.irq(lambda p: print("a", a.value(), b.value()), Pin.IRQ_RISING)
        b.irq(lambda p: print("b", a.value(), b.value()), Pin.IRQ_RISING)
        print("ready")
        time.sleep_ms(1000)
        state = machine.disable_irq()
        time.sleep_ms(20_000)
        print("on again")
        machine.enable_irq(state)
        print("end")
    """
    timeline = Timeline(START, 0)
    board = make_board(code, timeline, boot_ms=0)
    board.schedule_edges(
        [
            (START + 500, OUTER, 1),
            (START + 500, INNER, 1),
            (START + 600, OUTER, 0),
            (START + 600, INNER, 0),
            (START + 11_000, INNER, 1),
        ]
    )
    board.start()
    board.wait_for_console("ready")
    timeline.set_rate(100)
    board.wait_for_end()
    assert board.lines == ["ready", "a 1 1", "b 1 1", "on again", "b 0 1", "end"]


def test_timers_interrupt_at_their_instants(make_board: MakeBoard) -> None:
    code = """
        import time
        from machine import Timer
        t0 = time.ticks_ms()
        seen = []
        t = Timer(0, mode=Timer.PERIODIC, period=250, callback=lambda t: seen.append(time.ticks_diff(time.ticks_ms(), t0)))
        once = Timer(1, mode=Timer.ONE_SHOT, period=600, callback=lambda t: seen.append("once"))
        last = Timer(2, mode=Timer.ONE_SHOT, period=1100, callback=lambda _: t.deinit())
        print("ready")
        time.sleep_ms(2100)
        print(seen)
    """
    timeline = Timeline(START, 0)
    board = make_board(code, timeline)
    board.start()
    board.wait_for_console("ready")
    timeline.set_rate(100)
    board.wait_for_end()
    seen = json.loads(board.lines[1].replace("'", '"'))
    assert [entry - seen[0] for entry in seen if entry != "once"] == [0, 250, 500, 750]
    assert seen.index("once") == 2


@pytest.mark.parametrize("bad", [(START, 64, 1), (START, -1, 0), (START, OUTER, 2)])
def test_impossible_edges_are_refused(make_board: MakeBoard, bad: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected a pin"):
        make_board("", Timeline(START)).schedule_edges([bad])


# ---- network


NETWORK = """
    import asyncio, network, time
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    async def main():
        was = None
        wlan.connect("name", "password")
        while True:
            is_now = wlan.isconnected(), wlan.status()
            if is_now != was:
                print("wifi", *is_now)
                was = is_now
            await asyncio.sleep_ms(100)
    asyncio.run(main())
"""


def test_the_board_sees_its_wifi_come_and_go(make_board: MakeBoard) -> None:
    timeline = Timeline(START, 50)
    board = make_board(NETWORK, timeline)
    board.start()
    board.wait_for_console("wifi True 1010")
    board.set_wifi(up=False)
    board.wait_for_console("wifi False 201")
    mark = board.console_mark()
    board.set_wifi(up=True)
    board.wait_for_console("wifi True 1010", since=mark)
    board.set_wifi(up=True, wrong_password=True)
    board.wait_for_console("wifi False 202")


# Its deadline is 60 s: a host that stalls for a moment is not a network that has failed.
CLIENT = """
    import asyncio, network, sys, time
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    wlan.connect("name", "password")
    async def main():
        n = 0
        while True:
            try:
                while not wlan.isconnected():
                    await asyncio.sleep_ms(100)
                reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
                print("connected")
                while True:
                    n += 1
                    writer.write(b"%d\\n" % n)
                    await writer.drain()
                    line = await asyncio.wait_for_ms(reader.readline(), DEADLINE)
                    if not line:
                        raise OSError("end")
                    print("echo", n, line == b"%d\\n" % n)
                    await asyncio.sleep(5)
            except (OSError, asyncio.TimeoutError) as error:
                print("broken", type(error).__name__)
                await asyncio.sleep(1)
    asyncio.run(main())
""".replace("DEADLINE", "60_000")


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets."""
    server = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            connection.settimeout(120)
            try:
                while data := connection.recv(4096):
                    connection.sendall(data)
            except OSError:
                return

    def accept() -> None:
        while not stop.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=[connection], daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    yield server.getsockname()[1]
    stop.set()
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


@pytest.mark.parametrize("rate", [1, 1000])
def test_network_deadlines_are_believable_at_any_rate(
    make_board: MakeBoard, echo: int, rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There and back takes 0.8 s: were time not to slow down, more than the 600 s that the client waits for an answer.

    At this rate a host that stalls for half a second before it can slow down costs nearly as much.
    """
    monkeypatch.setattr(board_host, "AIR_ANSWER_MS", 30_000)
    with WifiRelay("127.0.0.1", echo, delay_ms=400) as relay:
        patient = CLIENT.replace("PORT", str(relay.port)).replace("60_000", "600_000")
        board = make_board(patient, Timeline(START, rate), wifi=relay)
        board.start()
        board.wait_for_console("echo 1 True" if rate == 1 else "echo 5 True")
        assert not [line for line in board.lines if "broken" in line or "False" in line]


def test_a_wifi_that_is_cut_keeps_connections_and_delivers_later(make_board: MakeBoard, echo: int) -> None:
    with WifiRelay("127.0.0.1", echo) as relay:
        board = make_board(CLIENT.replace("PORT", str(relay.port)), Timeline(START, 20), wifi=relay)
        board.start()
        board.wait_for_console("echo 2 True")
        mark = board.console_mark()
        board.set_wifi(up=False)
        board.wait_for_console("broken TimeoutError", since=mark)
        assert relay.connections == 1
        board.set_wifi(up=True)
        board.wait_for_console("connected", since=mark)
        board.wait_for_console("echo .* True", since=mark)


def test_a_broker_that_refuses_or_resets_is_an_error_at_once(make_board: MakeBoard, echo: int) -> None:
    with WifiRelay("127.0.0.1", echo) as relay:
        board = make_board(CLIENT.replace("PORT", str(relay.port)), Timeline(START, 20), wifi=relay)
        board.start()
        board.wait_for_console("echo 1 True")
        mark = board.console_mark()
        relay.reset()
        board.wait_for_console("broken OSError", since=mark)
        board.wait_for_console("echo .* True", since=mark)
        mark = board.console_mark()
        relay.refuse()
        board.wait_for_console("broken OSError", since=mark)
        board.wait_for_console("broken OSError", since=board.console_mark())
        mark = board.console_mark()
        relay.restore()
        board.wait_for_console("echo .* True", since=mark)


def test_a_board_without_power_leaves_its_broker_in_the_dark(make_board: MakeBoard) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        WifiRelay("127.0.0.1", server.getsockname()[1]) as relay,
    ):
        board = make_board(CLIENT.replace("PORT", str(relay.port)), Timeline(START, 5), wifi=relay)
        board.start()
        connection, _ = server.accept()
        with connection:
            connection.settimeout(60)
            assert connection.recv(100) == b"1\n"
            board.kill()
            connection.sendall(b"are you there?\n")
            connection.settimeout(0.3)
            with pytest.raises(TimeoutError):
                connection.recv(100)  # neither an answer nor an end
            assert relay.connections == 0


def test_delay_is_felt(echo: int) -> None:
    with (
        WifiRelay("127.0.0.1", echo, delay_ms=50) as relay,
        socket.create_connection(("127.0.0.1", relay.port), timeout=60) as client,
    ):
        start = time.monotonic()
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        assert time.monotonic() - start >= 0.1


def test_tls_data_that_waits_inside_the_socket_is_not_forgotten(
    make_board: MakeBoard, ca: trustme.CA
) -> None:
    """A record of 16 KB is decrypted at once and read in small pieces: the kernel sees nothing to read any more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    payload = bytes(range(256)) * 60

    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        connection.settimeout(120)
        with context.wrap_socket(connection, server_side=True) as tls:
            assert tls.recv(100) == b"go\n"
            tls.sendall(payload)
            assert tls.recv(100) == b"thanks\n"
            tls.sendall(b"bye\n")
            with contextlib.suppress(OSError):
                tls.recv(1)  # it hangs up

    code = """
        import asyncio, network, ssl
        wlan = network.WLAN()
        wlan.active(True)
        wlan.connect("name", "password")
        async def main():
            while not wlan.isconnected():
                await asyncio.sleep_ms(100)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cafile="ca.der")
            r, w = await asyncio.open_connection("127.0.0.1", PORT, ssl=context, server_hostname="localhost")
            w.write(b"go\\n")
            await w.drain()
            got = 0
            while got < SIZE:
                piece = await asyncio.wait_for(r.read(100), 600)
                for i, byte in enumerate(piece):
                    if byte != (got + i) & 255: print("wrong at", got + i)
                got += len(piece)
            print("got", got)
            w.write(b"thanks\\n")
            await w.drain()
            print(await r.readline())
        asyncio.run(main())
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=[server], daemon=True)
        thread.start()
        port = str(server.getsockname()[1])
        board = make_board(code.replace("PORT", port).replace("SIZE", str(len(payload))), Timeline(START, 50))
        board.flash_dir.mkdir()
        (board.flash_dir / "ca.der").write_bytes(ssl.PEM_cert_to_DER_cert(ca.cert_pem.bytes().decode()))
        board.start()
        assert board.wait_for_end(120) == "ended", board.lines
        assert board.lines == [f"got {len(payload)}", "b'bye\\n'"]
        thread.join(10)


def test_a_wrong_certificate_is_refused(make_board: MakeBoard, ca: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    code = """
        import socket, ssl, network, time
        wlan = network.WLAN()
        wlan.active(True)
        wlan.connect("name", "password")
        time.sleep(3)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations("ca.der")
        s = socket.socket()
        s.connect(socket.getaddrinfo("127.0.0.1", PORT)[0][-1])
        try:
            context.wrap_socket(s, server_hostname="localhost")
        except ValueError as error:
            print("refused", "not correctly signed" in str(error))
    """
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            connection.settimeout(120)
            with connection, contextlib.suppress(OSError):  # TLS says why, or the client has merely hung up
                context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        board = make_board(code.replace("PORT", str(server.getsockname()[1])), Timeline(START, 50))
        board.flash_dir.mkdir()
        (board.flash_dir / "ca.der").write_bytes(ssl.PEM_cert_to_DER_cert(ca.cert_pem.bytes().decode()))
        board.start()
        board.wait_for_console("refused True")
        board.wait_for_end()
        thread.join(10)


def test_without_wifi_no_address_is_found(make_board: MakeBoard) -> None:
    code = """
        import socket
        try:
            socket.getaddrinfo("127.0.0.1", 1883)
        except OSError as error:
            print(error.errno)
    """
    board = make_board(code, Timeline(START))
    board.start()
    board.wait_for_end()
    assert board.lines == ["-202"]


def test_a_cable_carries_the_console_out_and_standard_input_in(make_board: MakeBoard, tmp_path: Path) -> None:
    code = """
        import asyncio, sys
        async def main():
            reader = asyncio.StreamReader(sys.stdin.buffer)
            print("ready")
            while True:
                line = b""
                while not line.endswith(b"\\n"):
                    line += await reader.read(1)
                print("heard", line)
                if line == b"reset\\n":
                    import machine
                    machine.reset()
        asyncio.run(main())
    """
    board = make_board(code, Timeline(START, 10), cable=tmp_path / "ttyBOARD")
    board.start()
    board.wait_for_console("ready")
    with serial.Serial(str(board.cable), timeout=60) as port:
        port.write(b"one\ntwo\n")
        assert port.readline() == b"heard b'one\\n'\n"
        assert port.readline() == b"heard b'two\\n'\n"
        port.write(b"reset\n")
        assert [port.readline(), port.readline()] == [b"heard b'reset\\n'\n", b"ready\n"]
        board.pull_out()
        assert not (tmp_path / "ttyBOARD").exists()
        with pytest.raises((serial.SerialException, OSError)):
            port.read(1)
    board.plug_in()
    with serial.Serial(str(board.cable), timeout=60) as port:
        port.write(b"again\n")
        assert port.readline() == b"heard b'again\\n'\n"
    board.close()
    assert not (tmp_path / "ttyBOARD").is_symlink()


# ---- MicroPython itself


# Between what must happen in a certain order lie 50 units at least. It tells by how much it was late itself.
ASYNCIO = """
import asyncio
from time import ticks_diff, ticks_ms
U = UNIT_MS
log = []
began = worst = 0
def phase():
    global began
    began = ticks_ms()
def due(ms):
    global worst
    worst = max(worst, ticks_diff(ticks_ms(), began) - ms)
async def worker(name, ms, n):
    try:
        for i in range(n):
            await asyncio.sleep_ms(ms)
            due(ms * (i + 1))
            log.append((name, i))
    except asyncio.CancelledError:
        log.append((name, "cancelled"))
        raise
    return name
async def fails():
    await asyncio.sleep_ms(100 * U)
    due(100 * U)
    raise ValueError("x")
async def waits(event, name):
    await event.wait()
    log.append((name, "event"))
async def locks(lock, name, ms):
    async with lock:
        log.append((name, "locked"))
        await asyncio.sleep_ms(ms)
async def main():
    phase()
    a = asyncio.create_task(worker("a", 100 * U, 3))
    b = asyncio.create_task(worker("b", 150 * U, 20))
    event = asyncio.Event()
    tasks = [asyncio.create_task(waits(event, i)) for i in range(3)]
    await asyncio.sleep_ms(250 * U)
    due(250 * U)
    b.cancel()
    event.set()
    log.append(await a)
    try:
        await b
    except asyncio.CancelledError:
        log.append("b is gone")
    log.append((a.done(), b.done(), b.cancel()))
    phase()
    try:
        await asyncio.wait_for_ms(worker("slow", 100 * U, 3), 150 * U)
    except asyncio.TimeoutError:
        due(150 * U)
        log.append("timeout")
    phase()
    log.append(await asyncio.gather(worker("x", 150 * U, 1), fails(), worker("y", 50 * U, 1), return_exceptions=True))
    lock = asyncio.Lock()
    await asyncio.gather(*(locks(lock, i, 10) for i in range(4)))
    phase()
    nested = asyncio.create_task(asyncio.wait_for_ms(worker("inner", 100 * U, 10), 5000 * U))
    await asyncio.sleep_ms(150 * U)
    due(150 * U)
    nested.cancel()
    try:
        await nested
    except asyncio.CancelledError:
        log.append("nested is gone")
    flag = asyncio.ThreadSafeFlag()
    async def later():
        await asyncio.sleep_ms(30)
        flag.set()
    asyncio.create_task(later())
    await flag.wait()
    log.append("flag")
    order = []
    async def once(i): order.append(i)
    for i in range(10): asyncio.create_task(once(i))
    await asyncio.sleep_ms(0)
    await asyncio.sleep_ms(0)
    log.append(order)
asyncio.run(main())
print(log)
print(worst)
"""
REAL_UNIT_MS, VIRTUAL_UNIT_MS = 8, 100


def test_asyncio_behaves_as_the_built_in_one(
    make_board: MakeBoard, micropython: parts.Micropython, tmp_path: Path
) -> None:
    code = ASYNCIO.replace("UNIT_MS", str(REAL_UNIT_MS))
    plain = micropython.command(["-c", code], heap_kb=192, path=[tmp_path])
    late_ms = 50 * REAL_UNIT_MS
    while late_ms > 49 * REAL_UNIT_MS:  # in real time: no measure where the machine made it wait for so long
        expected, late = subprocess.run(
            plain.argv, env=plain.env, capture_output=True, text=True, timeout=120, check=True
        ).stdout.splitlines()
        late_ms = int(late)
    board = make_board(ASYNCIO.replace("UNIT_MS", str(VIRTUAL_UNIT_MS)), Timeline(START, 500))
    board.start()
    assert board.wait_for_end(120) == "ended"
    assert board.lines[0] == expected


def test_the_firmware_has_the_heap_that_it_was_promised(make_board: MakeBoard) -> None:
    code = """
        import gc, machine, network, socket, select, time, ssl, esp32
        gc.collect()
        print(gc.mem_free())
    """
    board = make_board(code, Timeline(START), heap_kb=192)
    board.start()
    board.wait_for_end()
    free_kb = (
        int(board.lines[0]) / 1024 - board_host.NAMES_KB
    )  # is needed later, when the names become too many
    assert 192 <= free_kb <= 204  # a few KB for what the shims allocate later: tasks, sockets


def test_console_lines_are_bounded_and_marks_stay_right(
    make_board: MakeBoard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(board_host, "CONSOLE_LINES", 100)
    board = make_board(
        "for i in range(1000): print('line', i)", Timeline(START), console_file=tmp_path / "console"
    )
    board.start()
    board.wait_for_end()
    assert board.console_mark() == 1000
    assert board.lines == [f"line {i}" for i in range(900, 1000)]
    assert board.lines_since(998) == ["line 998", "line 999"]
    assert len((tmp_path / "console").read_text().splitlines()) == 1000


def test_two_boards_have_their_own_names_and_the_same_time(make_board: MakeBoard) -> None:
    timeline = Timeline(START, 0)
    boards = [make_board(RECORDER, timeline, name=name) for name in ("ff-one", "ff-two")]
    at = START + 5000
    for board in boards:
        board.schedule_edges([(at, OUTER, 0)])
        board.start()
        board.wait_for_console("ready")
    timeline.set_rate(100)
    for board in boards:
        board.wait_for_edges()
        assert int(board.wait_for_console(r"edge (\d+)")[1]) == at - board.boot_utc_ms
    assert boards[0].mac != boards[1].mac


def running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)
