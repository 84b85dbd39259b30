"""What whoever stands at the door sees and does: lamps while aligning, the button that begins it, roles of barriers."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from footfall_core.spool import SegmentReader
from footfall_simulator import parts
from footfall_simulator.timeline import Timeline
from footfall_simulator.virtual_board import VirtualBoard

FIRMWARE = Path(__file__).parents[2] / "firmware"
START = 1_780_000_000_000
OUTER, INNER, STATUS, BOOT = 32, 33, 4, 0
BUTTONS, LAMPS = (25, 26), (18, 19)
STEP_MS = 25
NOBODY_S_PIN = 39
FREE, BROKEN = 0, 1
UP, DOWN = 1, 0


class AtTheDoor:
    """A board without a network, and what happens at its pins from two seconds after its start."""

    def __init__(self, micropython: parts.Micropython, flash: Path, **config: Any) -> None:
        settings = {
            "barriers": [{"outer": OUTER, "inner": INNER}],
            "status": STATUS,
            "watchdog_s": 0,
            **config,
        }
        (flash / "config.json").write_text(json.dumps(settings))
        self.timeline = Timeline(START, 0)
        self.board = VirtualBoard("ff-door", flash, micropython, FIRMWARE, self.timeline, boot_ms=0)
        self.board.set_pins({OUTER: FREE, INNER: FREE, BOOT: UP, 26: UP, 25: UP, 13: FREE, 14: FREE})

    def live(self, edges: list[tuple[int, int, int]], ms: int, watched: tuple[int, int] = (0, 0)) -> None:
        """Start, and live through edges (ms after two seconds, pin, level); then time stands still.

        As fast as the board can, so a millisecond in which a busy machine does something else is one, not forty. Where lamps are
        `watched`, from and until then, in short steps: a stall of the board's process costs it one of them at the most.
        """
        begin = START + 2000
        self.board.hold(begin)
        self.timeline.set_rate(1)  # only now: making the board took its time
        self.board.start()
        self.timeline.jump_to(begin + ms)
        self.board.wait_for_console("no broker")  # it has got as far as its tasks
        left = sorted(edges)
        for until in sorted({*range(*watched, STEP_MS), ms}):
            now = [(begin + t, pin, level) for t, pin, level in left if t <= until]
            left = left[len(now) :]
            self.board.schedule_edges([*now, (begin + until, NOBODY_S_PIN, 0)], hold_until=begin + until)
            self.board.wait_for_edges(240)
        assert self.board.tracebacks == []
        assert self.board.late_edges == 0

    def goes_on(self, rate: float) -> None:
        """From where `live` ended."""
        self.board.hold(None)
        self.timeline.set_rate(rate)

    def lit(self, pin: int, from_ms: int, to_ms: int) -> list[tuple[int, int]]:
        """When a lamp went on within a stretch, and for how long, rounded to 10 ms."""
        log = [(o.utc_ms - START - 2000, o.level) for o in list(self.board.output_log) if o.pin == pin]
        return [
            (a, round((b - a) / 10) * 10)
            for (a, on), (b, _) in itertools.pairwise(log)
            if on and from_ms <= a < to_ms
        ]

    def level(self, pin: int, at_ms: int) -> int:
        """What a lamp showed at a moment."""
        return [
            o.level for o in list(self.board.output_log) if o.pin == pin and o.utc_ms <= START + 2000 + at_ms
        ][-1]

    def records(self) -> list[tuple[Any, ...]]:
        """Everything in its flash."""
        paths = sorted(self.board.flash_dir.glob("spool/*/*.seg"))
        return [record for path in paths for record in SegmentReader(path.read_bytes())]


@pytest.fixture
def at_the_door(micropython: parts.Micropython, flash: Path) -> Iterator[Any]:
    made: list[AtTheDoor] = []

    def make(**config: Any) -> AtTheDoor:
        made.append(AtTheDoor(micropython, flash, **config))
        return made[-1]

    yield make
    for one in made:
        one.board.close()


HELD = [(0, BOOT, DOWN), (6500, BOOT, UP)]


@pytest.mark.parametrize(
    ("broken", "flashes"),
    [([], 0), ([OUTER], 1), ([INNER], 2), ([OUTER, INNER], 3)],
    ids=["free", "outer", "inner", "both"],
)
def test_one_lamp_tells_which_beam_is_broken_while_aligning(at_the_door, broken, flashes):
    door = at_the_door()
    door.live(HELD + [(8000, pin, BROKEN) for pin in broken], 20_000, (9900, 19_500))
    assert "aligning" in door.board.lines
    shown = door.lit(STATUS, 10_000, 19_000)
    if not flashes:
        assert shown == []
        assert door.level(STATUS, 15_000) == 1
        return
    assert all(120 <= ms <= 230 for _, ms in shown)
    pauses = [b - a for (a, _), (b, _) in itertools.pairwise(shown)]
    assert all(280 < pause < 480 or 900 < pause < 1300 for pause in pauses)
    groups = "".join("." if pause < 700 else " " for pause in pauses).split(" ")
    assert {len(group) + 1 for group in groups[1:-1]} == {flashes}


def test_a_beam_that_comes_and_goes_flickers_until_it_is_steady(at_the_door):
    door = at_the_door()
    chatter = [(8000 + 60 * n, INNER, (n + 1) % 2) for n in range(100)]
    door.live(HELD + chatter, 22_000, (9900, 13_500))
    shown = door.lit(STATUS, 10_000, 13_000)
    assert len(shown) > 20
    assert all(30 <= ms <= 110 for _, ms in shown)
    assert door.lit(STATUS, 16_500, 21_000) == []
    assert door.level(STATUS, 18_000) == 1


def test_a_terminal_s_lamps_show_a_beam_each_and_its_buttons_do_not_vote_meanwhile(at_the_door):
    door = at_the_door(buttons=BUTTONS, lamps=LAMPS)
    press = [(9500, BUTTONS[1], DOWN), (9700, BUTTONS[1], UP)]
    again = [(20_000, BOOT, DOWN), (26_500, BOOT, UP), (28_000, BUTTONS[1], DOWN), (28_200, BUTTONS[1], UP)]
    door.live(
        [
            *HELD,
            (8000, INNER, BROKEN),
            (12000, OUTER, BROKEN),
            (15000, INNER, FREE),
            (16000, OUTER, FREE),
            *press,
            *again,
        ],
        31_000,
        (6900, 17_100),
    )
    assert [
        (door.level(LAMPS[0], t), door.level(LAMPS[1], t)) for t in (7000, 9900, 13_000, 15_500, 17_000)
    ] == [
        (1, 1),
        (1, 0),
        (0, 0),
        (0, 1),
        (1, 1),
    ]
    assert "aligning is over" in door.board.lines
    assert [record[2] for record in door.records() if record[1] == "B"] == [1]  # the one after aligning


def test_a_short_press_of_the_boot_button_begins_nothing(at_the_door):
    door = at_the_door()
    door.live([(0, BOOT, DOWN), (4500, BOOT, UP), (5000, BOOT, DOWN), (6000, BOOT, UP)], 9000)
    assert "aligning" not in door.board.lines


def test_aligning_ends_by_itself_and_gives_the_lamps_back(at_the_door):
    door = at_the_door(buttons=BUTTONS, lamps=LAMPS)
    after = 640_000
    door.live([*HELD, (after, BUTTONS[0], DOWN), (after + 200, BUTTONS[0], UP)], after + 3000)
    assert "aligning is over" in door.board.lines
    assert door.level(LAMPS[1], after) == 0
    assert [record[2] for record in door.records() if record[1] == "B"] == [0]


def test_light_that_flickers_makes_the_status_lamp_blink_fast(at_the_door):
    door = at_the_door()
    door.live([(1000 + 20 * n, INNER, (n + 1) % 2) for n in range(100)], 10_000, (4900, 9500))
    shown = door.lit(STATUS, 5000, 9000)
    assert len(shown) > 12
    assert all(110 <= ms <= 200 for _, ms in shown)
    assert any("inner beam flickers as no people do" in line for line in door.board.lines)


def person(t_ms: int, outer: int = OUTER, inner: int = INNER) -> list[tuple[int, int, int]]:
    return [
        (t_ms, outer, BROKEN),
        (t_ms + 70, inner, BROKEN),
        (t_ms + 180, outer, FREE),
        (t_ms + 250, inner, FREE),
    ]


def test_people_who_walk_past_outside_are_recorded_and_are_no_visitors(at_the_door):
    barriers = [{"outer": OUTER, "inner": INNER}, {"outer": 13, "inner": 14, "role": "passers-by"}]
    door = at_the_door(barriers=barriers, buttons=BUTTONS, lamps=LAMPS, alive_s=10)
    edges = (
        [edge for n in range(5) for edge in person(1000 * n, 13, 14)] + person(0) + person(1500, INNER, OUTER)
    )
    door.live([*edges, (3000, BUTTONS[0], DOWN), (3200, BUTTONS[0], UP)], 12_000)
    door.board.kill()
    door.goes_on(40)
    door.board.start()
    door.board.schedule_edges([(door.board.boot_utc_ms + 14_000, NOBODY_S_PIN, 1)])
    door.board.wait_for_edges()  # it has lived through an `alive_s`, and written it
    door.board.kill()
    records = door.records()
    assert sorted(record[2:4] for record in records if record[1] == "P") == [(0, -1), (0, 1)] + [(1, 1)] * 5
    assert [record[2] for record in records if record[1] == "B"] == [0]
    assert {record[3:] for record in records if record[1] == "A"} == {(1, 1)}
