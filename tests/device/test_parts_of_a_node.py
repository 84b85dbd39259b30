"""Parts of the node on the real MicroPython, each with the world that it needs and no more."""

import tomllib
from pathlib import Path

import pytest

CHIPS = tomllib.loads((Path(__file__).parents[2] / "hardware" / "pins.toml").read_text("utf-8"))
FAKE_PINS = """
import sys
class Pin:
    IN, PULL_UP, IRQ_RISING, IRQ_FALLING = 0, 2, 1, 2
    all = {}
    def __init__(self, number, mode, pull):
        self.pull = pull
        self.level = 0
        self.handler = None
        Pin.all[number] = self
    def value(self):
        return self.level
    def irq(self, handler=None, trigger=0):
        self.handler = handler
    def to(self, level, interrupt=True):
        self.level = level
        if interrupt and self.handler:
            self.handler(self)
class machine:
    pass
machine.Pin = Pin
sys.modules["machine"] = machine
from board.inputs import Inputs
"""


def test_the_ring_keeps_edges_in_order_and_reads_both_levels_at_each(run_on_board):
    seen = run_on_board(
        FAKE_PINS
        + """
inputs = Inputs((32, 33), 1)
a, b = Pin.all[32], Pin.all[33]
b.level = 1            # changed, its interrupt still waits
a.to(1)                # both are read here ...
b.to(1)                # ... so this one brings nothing new
a.to(0); b.to(0)
states = []
while inputs.waiting():
    states.append(inputs.take()[1])
show([states, inputs.lost, a.pull, Inputs((34, 35), 1) and Pin.all[34].pull])
"""
    )
    assert seen == [[3, 2, 0], 0, 2, None]


def test_a_full_ring_counts_what_it_loses_and_finds_its_way_back(run_on_board):
    seen = run_on_board(
        FAKE_PINS
        + """
inputs = Inputs((32, None), 1)
a = Pin.all[32]
for i in range(201):
    a.to(1 - a.level)
count = 0
while inputs.waiting():
    last = inputs.take()[1]
    count += 1
inputs.look()
show([count, inputs.lost, last, a.level, inputs.take()[1] if inputs.waiting() else None])
"""
    )
    count, lost, last, level, found = seen
    assert count == 127
    assert lost > 0
    assert level == 1
    assert (last if found is None else found) == level


def test_a_change_whose_interrupt_got_lost_is_found_by_looking(run_on_board):
    seen = run_on_board(
        FAKE_PINS
        + """
inputs = Inputs((32, 33), 1)
Pin.all[33].to(1, interrupt=False)
before = inputs.waiting()
inputs.look()
show([before, inputs.waiting(), inputs.take()[1]])
"""
    )
    assert seen == [False, True, 2]


DOOR = """
from array import array
import asyncio, time
from footfall_core.beam import GLITCH_MS
from node import door as door_module
from node.clock import Uptime
class Inputs:
    def __init__(self):
        self.lost = self.unseen = self.steps = 0
        self.counters = None
        self.changed = asyncio.ThreadSafeFlag()
        self.edges = []
        self.state = 0
    def read(self):
        return self.state
    def look(self):
        pass
    def waiting(self):
        return bool(self.edges)
    def take(self):
        return self.edges.pop(0)
limits = {"inner": 33, "glitch_ms": 8, "min_block_ms": 40, "blocked_after_ms": 60000}
inputs = Inputs()
records = []
uptime = Uptime()
"""


def test_lost_edges_begin_the_coverage_anew(run_on_board):
    seen = run_on_board(
        DOOR
        + """
door = door_module.Door(0, inputs, limits, records.append, uptime)
before = door.since_ms
time.sleep_ms(30)
inputs.lost = 5
door.tick()
show([before, door.since_ms, door.lost_edges()])
"""
    )
    before, since, lost = seen
    assert since >= before + 30
    assert lost == 5


FAKE_TIME = """
now = 5000
def go(ms, state=None):
    # Ticks every 100 ms as the door's task gives them; then the beams change to `state`
    global now
    until = now + ms
    while now < until:
        now = min(now + 100, until)
        door.tick()
    if state is not None:
        inputs.state = state
        inputs.edges.append((now, state))
        door.tick()
import node.clock
door_module.ticks_ms = node.clock.ticks_ms = lambda: now
uptime = Uptime()
door = door_module.Door(0, inputs, limits, records.append, uptime)
for _ in range(100):
    go(10, 1 - inputs.state)
"""


def test_who_stands_in_the_door_when_the_flickering_ends_is_not_counted_and_the_next_one_is(run_on_board):
    seen = run_on_board(
        DOOR
        + FAKE_TIME
        + """
go(70000, 1)
noisy = door.noisy()
go(45000)
noisy_later = door.noisy()
go(100, 3); go(100, 2); go(100, 0); go(2000)
counted = [one for one in records if one[1] == "P"]
go(100, 1); go(100, 3); go(100, 2); go(100, 0); go(2000)
show([noisy, noisy_later, counted, [one[1:4] for one in records]])
"""
    )
    assert seen == [1, 0, [], [["F", 0, 0], ["F", 0, 0], ["P", 0, 1]]]


def test_a_beam_that_flickers_and_is_then_blocked_is_one_fault_until_it_is_free(run_on_board):
    seen = run_on_board(
        DOOR
        + "limits = dict(limits, blocked_after_ms=5000)\n"
        + FAKE_TIME
        + """
go(10, 1)
go(100000)
before = door.faults(), door.noisy()
go(10, 0)
go(1000)
show([before, door.faults(), [one[1:] for one in records]])
"""
    )
    assert seen == [[1, 0], 0, [["F", 0, 0, 1], ["F", 0, 0, 0]]]


def test_counting_without_a_break_begins_with_the_latest_break_of_any_door(run_on_board):
    seen = run_on_board(
        """
from node.journal import Journal
class Spool:
    lifetime_in, lifetime_out = 3, 2
    def append(self, values):
        show(values)
class Uptime:
    def now(self):
        return 9000
class Door:
    def __init__(self, since_ms):
        self.since_ms = since_ms
Journal(Spool(), Uptime(), [Door(50), Door(700), Door(60)]).note_alive()
"""
    )
    assert seen == [9000, "A", 700, 3, 2]


@pytest.mark.parametrize(
    "text",
    [
        '{"v":1,"rev":9,"question":4,"barriers":[{"glitch_ms":9},{"glitch_ms":-1}]}',
        '{"v":1,"rev":9,"question":4,"barriers":[{"glitch_ms":9,"min_block_ms":true}]}',
        '{"v":1,"rev":9,"question":4,"barriers":[{},{},{}]}',
        '{"v":1,"rev":9,"question":4,"lockout_ms":"x","barriers":[{"glitch_ms":9}]}',
        '{"v":1,"question":4,"barriers":[{"glitch_ms":9}]}',
        '{"v":1,"rev":9,"question":4,"barriers":[{"glitch_ms":9}',
    ],
)
def test_of_a_configuration_that_is_refused_nothing_is_taken_and_nothing_kept(run_on_board, flash, text):
    before, after, told, error = run_on_board(
        """
from node import config, remote
settings = config.Settings("ff-test")
settings.barriers.append(dict(settings.barriers[0]))
def all_of_it():
    return [sorted(barrier.items()) for barrier in settings.barriers] + [settings.question, settings.lockout_ms, settings.revision]
before = all_of_it()
told = []
taker = remote.Remote(settings, told.append)
taker.received(sys.argv[1])
show([before, all_of_it(), told, taker.error])
""",
        text,
    )
    assert after == before
    assert told == [False]
    assert error
    assert not (flash / "remote.json").exists()


def test_new_limits_wait_until_nobody_is_in_the_door(run_on_board):
    seen = run_on_board(
        DOOR
        + """
door = door_module.Door(0, inputs, limits, records.append, uptime)
t = time.ticks_ms()
inputs.edges = [(t, 1), (time.ticks_add(t, 60), 3), (time.ticks_add(t, 120), 2)]
time.sleep_ms(140)
door.tick()
door.configure(dict(limits, min_block_ms=5000))
door.tick()
t = time.ticks_ms()
inputs.edges = [(t, 0)]
time.sleep_ms(20)
while not door.quiet():
    door.tick()
counted = len(records)
t = time.ticks_ms()
inputs.edges = [(t, 1), (time.ticks_add(t, 60), 3), (time.ticks_add(t, 120), 2), (time.ticks_add(t, 180), 0)]
time.sleep_ms(200)
door.tick()
while not door.quiet():
    door.tick()
show([counted, len(records), records[0][1:4]])
"""
    )
    assert seen == [1, 1, ["P", 0, 1]]


CLOCK = """
import asyncio, time
from node.clock import TimeKeeper, Uptime
asked, records, clocks, reports = [], [], [], []
async def publish(text):
    asked.append(json.loads(text))
class FakeUptime:
    ms = 1000
    def now(self):
        return self.ms
uptime = FakeUptime()
keeper = TimeKeeper(uptime, publish, records.append, lambda ms, told=False: clocks.append(ms), reports.append)
async def ask():
    task = asyncio.create_task(keeper.keep(lambda: True))
    await asyncio.sleep_ms(5)
    task.cancel()
UTC = 1795305600000
"""


@pytest.mark.parametrize(
    ("answer", "after_ms", "expected"),
    [
        ('{"t": 1000, "utc": UTC}', 200, [[1200, "C", 1795305600100, "gw"]]),
        ('{"t": 1000, "utc": UTC}', 5001, []),  # too long on the way to be worth anything
        ('{"t": 999, "utc": UTC}', 200, []),  # an answer to another question
        ('{"utc": UTC}', 200, []),
        ('{"t": 1000, "utc": 946684800000}', 200, []),  # a gateway that woke up in 2000
        ('{"t": 1000, "utc": "now"}', 200, []),
        ('{"t": 1000}', 200, []),
    ],
)
def test_only_a_timely_and_plausible_answer_is_the_time(run_on_board, answer, after_ms, expected):
    records, known, clocks, asked = run_on_board(
        CLOCK
        + f"""
asyncio.run(ask())
uptime.ms += {after_ms}
keeper.answered({answer})
keeper.answered({answer})  # said twice, heard once
show([records, keeper.known, clocks, asked])
"""
    )
    assert asked == [{"v": 1, "ask": "time", "t": 1000}]
    assert records == expected
    assert known is bool(expected)
    assert clocks == [record[2] for record in expected]


def test_the_error_of_our_own_clock_shows_at_the_next_answer(run_on_board):
    assert run_on_board(
        CLOCK
        + """
asyncio.run(ask())
keeper.answered({"t": 1000, "utc": UTC})
uptime.ms += 3600000
asyncio.run(ask())
keeper.answered({"t": 3601000, "utc": UTC + 3599928})
show([keeper.error_ms, len(records)])
"""
    ) == [72, 2]


def test_a_clock_that_went_on_through_a_reset_dates_at_once_and_the_gateway_is_asked_all_the_same(
    run_on_board,
):
    records, clocks, known, asked, error_ms = run_on_board(
        CLOCK
        + """
keeper.start(UTC + 5, True, UTC, None)
known = keeper.known
uptime.ms += 2000
keeper.keep_clock()
asyncio.run(ask())
uptime.ms += 1400
keeper.answered({"t": 3000, "utc": UTC + 2000})
show([records, clocks, known, len(asked), keeper.error_ms])
"""
    )
    assert records == [[1000, "C", 1795305600005, "rtc"], [4400, "C", 1795305602700, "gw"]]
    assert clocks == [1795305602005, 1795305602700]
    assert known is True
    assert asked == 1
    assert error_ms == 705


RESETS = """
import sys
class RTC:
    kept = b""
    def memory(self, data=None):
        if data is None:
            return RTC.kept
        RTC.kept = bytes(data)
    def datetime(self, t):
        RTC.set = t
class machine:
    PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
    mem32 = {0x3FF48034: 12, 0x60008038: 15}
    cause = 1
    def reset_cause():
        return machine.cause
machine.RTC = RTC
sys.modules["machine"] = machine
from board import system, wakeup
"""


@pytest.mark.parametrize(
    ("cause", "board", "expected"),
    [
        (2, "Generic ESP32 module with ESP32", "software"),
        (3, "Generic ESP32 module with ESP32", "watchdog"),
        (4, "Generic ESP32 module with ESP32", "deep sleep"),
        (5, "Generic ESP32 module with ESP32", "soft reset"),
        (0, "Generic ESP32 module with ESP32", "other"),
        (1, "Generic ESP32 module with ESP32", "brown-out"),
        (1, "Generic ESP32S3 module with Octal-SPIRAM with ESP32S3", "brown-out"),
        (1, "Generic ESP32C3 module with ESP32C3", "brown-out"),
        (1, "Generic ESP32S2 module with ESP32S2", "power"),  # its registers are not known: it is not asked
        (1, "linux", "power"),
    ],
)
def test_every_cause_of_a_start_has_its_name(run_on_board, cause, board, expected):
    """A chip that says power-up to MicroPython and something else in its own register has browned out."""
    seen = run_on_board(
        RESETS
        + f"""
machine.cause = {cause}
system.board_name = lambda: "{board}"
told = wakeup.reset_cause()
machine.mem32 = {{0x3FF48034: 1 | 1 << 6, 0x60008038: 1 | 1 << 6}}  # a power-up; the bits above are the other core's
show([told, wakeup.reset_cause()])
"""
    )
    assert seen == [expected, "power" if cause == 1 else expected]


@pytest.mark.parametrize(
    ("change", "believed"),
    [
        ("", True),
        ("machine.cause = 3", True),
        ("now += 599000", True),
        (
            "now += 601000",
            False,
        ),  # too long on the RC oscillator; or somebody had the board at the prompt meanwhile
        ("now -= 1", False),  # a clock that went back was set by someone else
        ("machine.cause = 1", False),
        ("machine.cause = 0", False),
        ("for _ in range(9): wakeup.clock_went_on(); system.keep_clock(now)", True),
        (
            "for _ in range(10): wakeup.clock_went_on(); system.keep_clock(now)",
            False,
        ),  # each reset adds its error
        ("for _ in range(10): wakeup.clock_went_on(); system.keep_clock(now, True)", True),
        ("RTC.kept = b''", False),
        ("RTC.kept = RTC.kept[:-1]", False),
        ("RTC.kept = RTC.kept[:8] + bytes([RTC.kept[8] ^ 1]) + RTC.kept[9:]", False),
        ("RTC.kept = b'somebody else uses it'", False),
    ],
)
def test_the_clock_is_believed_only_where_it_is_certain_that_we_set_it_in_this_power_cycle(
    run_on_board, change, believed
):
    clock, again = run_on_board(
        RESETS
        + f"""
now = 1795305600123
system.utc_ms = lambda: now
system.keep_clock(now)
assert RTC.set[:3] == (2026, 11, 22) and RTC.set[7] == 123000, RTC.set
machine.cause = 2
{change}
first = wakeup.clock_went_on()
machine.cause = 2  # a later reset, with what has come to the clock since
now = 1795305600123 + 1000
show([first, wakeup.clock_went_on()])
"""
    )
    assert clock is believed
    assert again is believed, "a mark that was not believed once is gone"


def test_a_board_that_wakes_up_in_2000_starts_from_the_last_time_it_learned(run_on_board, flash):
    code = (
        CLOCK
        + """
Y2000 = 946684800000
keeper.start(Y2000, False, UTC, clocks.append)
asyncio.run(ask())
keeper.answered({"t": 1000, "utc": UTC + 86400000})
show(clocks)
"""
    )
    assert run_on_board(code) == [1795305600000, 1795392000000]
    assert run_on_board(code)[0] == 1795392000000
    (flash / "clock.json").write_text('{"utc":99999999999999}')
    assert run_on_board(code)[0] == 1795305600000


def test_a_task_that_fails_starts_again_and_one_that_keeps_failing_restarts_the_board(run_on_board):
    seen = run_on_board(
        """
import asyncio
from node import supervise
starts, shown, reasons, reports = [], [], [], []
async def good_at_last():
    starts.append(1)
    if len(starts) < 3:
        raise ValueError("not yet")
    await asyncio.sleep(100)
async def hopeless():
    raise MemoryError("again")
class Stop(BaseException):
    pass
def last_resort(reason):
    reasons.append(reason)
    raise Stop()
async def instead_of_waiting(ms):
    await asyncio.core.sleep_ms(1)
class fast:
    pass
supervisor = supervise.Supervisor(lambda error: shown.append(str(error)), last_resort, reports.append)
supervise.asyncio = type("a", (), {"sleep_ms": staticmethod(instead_of_waiting)})
async def main():
    one = asyncio.create_task(supervisor.keep("one", good_at_last))
    try:
        await supervisor.keep("two", hopeless)
    except Stop:
        pass
    await asyncio.sleep_ms(20)
    show([len(starts), reasons, supervisor.failures, reports[0], shown.count("again")])
asyncio.run(main())
"""
    )
    assert seen == [3, ["task two fails"], 8, seen[3], 6]
    assert "starting it again" in seen[3]


@pytest.mark.parametrize(
    ("machine", "chip"),
    [
        ("Generic ESP32 module with ESP32", "esp32"),
        ("Generic ESP32 module with SPIRAM with ESP32", "esp32"),
        ("Generic ESP32S3 module with ESP32S3", "esp32s3"),
        ("Generic ESP32S3 module with Octal-SPIRAM with ESP32S3", "esp32s3"),
        ("ESP32C3 module with ESP32C3", "esp32c3"),
        ("LOLIN_C3_MINI with ESP32-C3FH4", "esp32c3"),
        ("linux [GCC 14.2.0] version", "esp32"),
        ("", "esp32"),
    ],
)
def test_the_pins_are_those_of_the_chip_that_it_runs_on(run_on_board, machine, chip):
    chosen, outer, carrier, loaded = run_on_board(
        """
class implementation:
    _machine = sys.argv[1]
class FakeSys:
    pass
FakeSys.implementation = implementation
real = sys.modules
real["sys"] = FakeSys
from board import pin_table
show([pin_table.chip(sys.argv[1]), pin_table.OUTER, pin_table.CARRIERS[0], [m for m in real if m.startswith("board.pins_")]])
""",
        machine,
    )
    assert chosen == chip
    assert [outer, carrier] == [CHIPS[chip]["roles"][role] for role in ("outer", "carrier1")]
    assert loaded == [f"board.pins_{chip}"]


def test_whoever_waits_is_woken_at_once_or_in_time_and_news_from_before_is_not_missed(run_on_board):
    found = run_on_board("""
import asyncio, time
from node.wake import Wake
wake = Wake()
async def within(ms):
    began = time.ticks_ms()
    told = await wake.within(ms)
    return [told, time.ticks_diff(time.ticks_ms(), began) < 20000]
async def later(times):
    await asyncio.sleep_ms(10)
    for _ in range(times):
        wake.set()
async def main():
    found = [await within(20)]
    for times in (1, 3):
        asyncio.create_task(later(times))
        found.append(await within(60000))
        wake.clear()
    wake.set()
    found.append(await within(60000))
    wake.clear()
    waiting = asyncio.create_task(within(60000))
    await asyncio.sleep_ms(0)
    waiting.cancel()
    try:
        await waiting
    except asyncio.CancelledError:
        found.append("cancelled")
    wake.set()  # nobody waits any more
    return found
show(asyncio.run(main()))
""")
    assert found == [[False, True], [True, True], [True, True], [True, True], "cancelled"]


def test_a_failure_that_cannot_be_noted_for_want_of_memory_ends_no_task(run_on_board):
    runs, lines = run_on_board("""
import asyncio
from node.supervise import Supervisor
lines = []
def no_memory(text):
    raise MemoryError("memory allocation failed")
supervisor = Supervisor(str, None, lines.append, no_memory)
runs = []
async def start():
    runs.append(1)
    if len(runs) == 2:
        raise KeyboardInterrupt
    raise ValueError("a task")
try:
    asyncio.run(supervisor.keep("x", start))
except KeyboardInterrupt:
    pass
show([len(runs), lines])
""")
    assert runs == 2
    assert lines == [
        "the failure cannot be noted (memory allocation failed)",
        "task x: ValueError a task; starting it again",
    ]
