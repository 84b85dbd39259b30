"""Virtual time: one line for boards, gateways and this process."""

import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from footfall_gateway.clock import ClockError, simulated_clock
from footfall_simulator import timeline as module
from footfall_simulator.timeline import Line, Timeline

START = 1_780_000_000_000


class RealClock:
    """A real clock that a test turns by hand."""

    def __init__(self) -> None:
        self.us = 5_000_000

    def __call__(self) -> int:
        return self.us


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> RealClock:
    clock = RealClock()
    monkeypatch.setattr(module, "real_us", clock)
    return clock


@pytest.mark.parametrize(
    ("rate", "real_us", "virtual_ms"),
    [(1, 1_500_000, 1500), (100, 10_000, 1000), (200, 5, 1), (0.5, 2_000_000, 1000), (0, 9_000_000, 0)],
)
def test_time_passes_at_the_rate(real: RealClock, rate: float, real_us: int, virtual_ms: int) -> None:
    timeline = Timeline(START, rate)
    real.us += real_us
    assert timeline.now_ms() == START + virtual_ms


def test_a_new_rate_holds_from_its_moment_on(real: RealClock) -> None:
    timeline = Timeline(START)
    real.us += 1_000_000
    timeline.set_rate(100)
    real.us += 1_000_000
    assert timeline.now_ms() == START + 1000 + 100_000
    assert timeline.rate == 100


def test_a_jump_skips_and_then_time_goes_on(real: RealClock) -> None:
    timeline = Timeline(START, 10)
    timeline.jump(3_600_000)
    real.us += 1_000
    assert timeline.now_ms() == START + 3_600_000 + 10


def test_jump_to_a_past_moment_does_nothing(real: RealClock) -> None:
    timeline = Timeline(START)
    timeline.jump_to(START - 1)
    assert timeline.now_ms() == START
    timeline.jump_to(START + 7)
    assert timeline.now_ms() == START + 7


def test_virtual_time_refuses_to_run_backwards() -> None:
    timeline = Timeline(START)
    with pytest.raises(ValueError, match="never runs backwards"):
        timeline.jump(-1)
    with pytest.raises(ValueError, match="rate=-1"):
        timeline.set_rate(-1)
    with pytest.raises(ValueError, match="start_utc_ms"):
        Timeline(-5)


def test_the_slowest_holder_decides_and_releasing_twice_is_harmless(real: RealClock) -> None:
    timeline = Timeline(START, 100)
    fast = timeline.slow(20)
    slow = timeline.slow(2)
    assert timeline.line.rate_milli == 2_000
    slow()
    slow()
    assert timeline.line.rate_milli == 20_000
    timeline.set_rate(500)
    assert timeline.line.rate_milli == 20_000
    fast()
    assert timeline.line.rate_milli == 500_000
    with timeline.slowed(3):
        real.us += 1_000_000
    assert timeline.now_ms() == START + 3000


def test_the_clock_trails_the_boards_at_high_rates_and_leaps_to_whoever_sends(real: RealClock) -> None:
    timeline = Timeline(START, 1000)
    lead_ms = module.LEAD_US * 1000 // 1000
    real.us += module.LEAD_US + 10_000
    assert timeline.ahead_us() == START * 1000 + (module.LEAD_US + 10_000) * 1000
    assert timeline.now_ms() == START + 10_000
    sender_us = START * 1000 + 40_000_000
    release = timeline.slow(20, at_us=sender_us)
    assert timeline.now_us() == timeline.ahead_us() == sender_us
    real.us += 1000
    assert timeline.now_us() == sender_us + 20_000
    release()
    assert timeline.now_us() == sender_us + 20_000
    real.us += module.LEAD_US
    assert timeline.now_us() == sender_us + 20_000
    real.us += 1000
    assert timeline.now_us() == sender_us + 20_000 + 1_000_000
    assert timeline.ahead_us() - timeline.now_us() == lead_ms * 1000


def test_a_sender_from_the_past_does_not_turn_the_clock_back(real: RealClock) -> None:
    timeline = Timeline(START, 100)
    real.us += 1_000_000
    timeline.slow(20, at_us=START * 1000)
    assert timeline.now_ms() == START + 100_000


def test_a_slow_board_keeps_the_clock_behind_it(real: RealClock) -> None:
    timeline = Timeline(START, 1000)
    real.us += 200_000
    shown = timeline.now_us()
    release = timeline.slow(1)
    assert timeline.now_us() == shown
    real.us += 1000
    assert timeline.now_us() == shown + 1000
    release()
    assert timeline.now_us() == shown + 1000


@pytest.mark.parametrize("seed", range(20))
def test_the_clock_never_goes_back_and_never_passes_the_boards(real: RealClock, seed: int) -> None:
    rng = random.Random(seed)
    timeline = Timeline(START, 5000)
    releases = []
    shown = timeline.now_us()
    for _ in range(300):
        real.us += rng.randrange(100_000)
        deed = rng.randrange(5)
        if deed == 0:
            releases.append(timeline.slow(rng.choice((1, 20))))
        elif deed == 1:
            at_us = rng.randint(timeline.now_us() - 1_000_000, timeline.ahead_us())
            releases.append(timeline.slow(20, at_us=at_us))
        elif deed == 2 and releases:
            releases.pop(rng.randrange(len(releases)))()
        elif deed == 3:
            timeline.set_rate(rng.choice((0, 1, 150, 1000, 5000)))
        else:
            timeline.jump(rng.randrange(1000))
        assert shown <= timeline.now_us() <= timeline.ahead_us()
        shown = timeline.now_us()


def test_listeners_hear_every_change_until_they_leave(real: RealClock) -> None:
    timeline = Timeline(START, 1)
    heard: list[Line] = []
    leave = timeline.subscribe(heard.append)
    timeline.set_rate(5)
    timeline.set_rate(5)  # no change, nothing to tell
    timeline.jump(10)
    leave()
    timeline.set_rate(6)
    assert [(line.v0_us, line.rate_milli) for line in heard] == [
        (START * 1000, 5000),
        (START * 1000 + 10_000, 5000),
    ]


def test_waiting_gives_up_with_words_when_time_stands_still() -> None:
    timeline = Timeline(START, 0)
    with pytest.raises(TimeoutError, match=r"100 ms short of"):
        timeline.wait_until(START + 100, timeout_s=0.02)


def test_waiting_notices_a_jump() -> None:
    timeline = Timeline(START, 0)
    threading.Timer(0.02, timeline.jump, [100]).start()
    timeline.wait_until(START + 100)
    assert timeline.now_ms() == START + 100


def test_a_gateway_in_another_process_reads_the_same_time(tmp_path: Path) -> None:
    timeline = Timeline(START, 1000)
    path = timeline.publish(tmp_path / "clock.json")
    script = (
        "import pathlib, sys; from footfall_gateway.clock import simulated_clock\n"
        "clock = simulated_clock(pathlib.Path(sys.argv[1]))\n"
        "for line in sys.stdin: print(clock(), flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        for change in (lambda: None, lambda: timeline.jump(86_400_000), lambda: timeline.set_rate(0)):
            change()
            before = timeline.now_ms()
            other.stdin.write("?\n")
            other.stdin.flush()
            there = int(other.stdout.readline())
            assert before <= there <= timeline.now_ms()
        other.stdin.close()


def test_a_reader_never_sees_half_a_change(tmp_path: Path) -> None:
    timeline = Timeline(START, 0)
    clock = simulated_clock(timeline.publish(tmp_path / "clock.json"))
    done = threading.Event()

    def change() -> None:
        for _ in range(300):
            timeline.jump(1)
        done.set()

    thread = threading.Thread(target=change)
    thread.start()
    seen = [START]
    while not done.is_set():
        seen.append(clock())
    thread.join()
    assert all(earlier <= later for earlier, later in itertools.pairwise(seen))
    assert clock() == START + 300
    assert [file.name for file in tmp_path.iterdir()] == ["clock.json"]


def test_a_change_within_one_tick_of_the_file_systems_clock_is_seen(tmp_path: Path) -> None:
    """The new file has the number and the time of the one before the last, as they may be where time goes in steps."""
    timeline = Timeline(START, 0)
    path = timeline.publish(tmp_path / "clock.json")
    just_now_ns = time.time_ns() + 60 * 10**9  # however long this test is held up
    os.utime(path, ns=(just_now_ns, just_now_ns))
    clock = simulated_clock(path)
    first = path.stat()
    path.write_text(path.read_text().replace(str(START), str(START + 5)))
    os.utime(path, ns=(just_now_ns, just_now_ns))
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    assert clock() == START + 5


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"v0_us": "x", "r0_us": 1, "rate_milli": 1}', "\x00"])
def test_a_file_that_is_no_timeline_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "clock.json"
    path.write_text(text)
    with pytest.raises(ClockError, match=r"clock\.json: not the file of a simulated clock"):
        simulated_clock(path)


def test_the_published_numbers_are_the_line(tmp_path: Path, real: RealClock) -> None:
    path = Timeline(START, 2.5).publish(tmp_path / "clock.json")
    assert json.loads(path.read_text()) == {
        "v0_us": START * 1000,
        "r0_us": real.us,
        "rate_milli": 2500,
        "lead_us": 0,
        "floor_us": START * 1000,
    }


def test_the_default_is_the_real_time() -> None:
    before = time.time_ns() // 1_000_000
    now = Timeline().now_ms()
    assert before <= now <= time.time_ns() // 1_000_000 + 1
