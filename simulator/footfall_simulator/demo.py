"""`footfall demo`: one real day through two doors, on one machine, with nothing to install.

Real MicroPython boards in virtual time, a broker, the real gateway with its ledger, and people who break light beams. At the
end three independent counts are laid side by side for every hour: who walked, what the nodes counted, what the
ledger holds. Exit code 0 only if they agree.
"""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from footfall_simulator import parts
from footfall_simulator.demo_view import DayView, comparison_table
from footfall_simulator.people import IN, OUT, crossings_of
from footfall_simulator.profile import (
    CALIT2,
    DEMO_DAY,
    between,
    move_to,
    read_profile,
    schedule_profile,
    to_slots,
)
from footfall_simulator.timeline import Timeline
from footfall_simulator.town import HOUR_MS, Hour, Press, Town, TownError
from footfall_simulator.virtual_board import CompileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from footfall_simulator.people import Walk
    from footfall_simulator.profile import SlotCount

__all__ = ["demo"]

SITE, TIMEZONE = "lab", "Europe/Berlin"
DAY = date(2026, 3, 3)  # the day that the boards live through; the people are those of DEMO_DAY
DOORS = {"main": "ff-main", "garden": "ff-garden"}
MAIN_SHARE = 0.65
TERMINAL, TERMINAL_NODE = "exit", "ff-votes"
ANSWERS = ("good", "fair", "poor")
VOTE_SHARE, VOTE_WEIGHTS = 0.2, (70, 20, 10)
VOTE_GAP_MS = 5000  # longer than the buttons' lockout: everybody's vote counts
OPEN_MS = 60_000  # the boards start a minute before midnight
# A simulated day is short: nodes that chat less leave time for people. Deadlines are in virtual time.
NODE = {"state_s": 3600, "alive_s": 600, "resend_s": 600, "mqtt": {"keepalive_s": 600, "deadline_s": 120}}
AIR_QUIET_MS = 8
START_WITHIN_S = 60.0
PORTS_TRIED = 3
SETTLE_WITHIN_S = 120.0
DAY_WITHIN_S = 600.0


class DemoError(Exception):
    """The demonstration cannot go on; the message is for the user."""


@dataclass
class Day:
    """Who comes when: walks through both doors, votes, and the day's bounds in UTC milliseconds."""

    start_ms: int
    end_ms: int
    walks: list[Walk]
    presses: list[Press]


@click.command(
    epilog="\b\nExamples:\n  footfall demo\n  footfall demo --speed 200        slower, to watch people pass\n"
    "  footfall demo --keep demo-out    keep ledger, flashes, consoles and logs"
)
@click.option(
    "--speed",
    type=click.FloatRange(1, 20000),
    default=4000.0,
    show_default=True,
    help="Virtual seconds per second while nobody is at the doors.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Another number, other people and votes."
)
@click.option("--keep", type=click.Path(path_type=Path), help="Keep everything in this new folder.")
@click.option("--plain", is_flag=True, help="Plain lines, also on a terminal.")
def demo(speed: float, seed: int, keep: Path | None, *, plain: bool) -> int:
    """One real day through two doors, with nothing to install.

    Two doors and a feedback terminal as virtual boards (the real firmware on the real MicroPython), a broker, the
    real gateway. People of a real Tuesday, from counts at a university building, walk in and out. Ends with a table
    of every hour: who walked, what the nodes counted, what the ledger holds.
    """
    from rich.console import Console  # noqa: PLC0415

    console = Console(highlight=False)
    if keep is not None and keep.exists() and any(keep.iterdir()):
        click.echo(f"{keep}: is not empty; --keep wants a new folder", err=True)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="footfall-demo-")) if keep is None else keep
    folder.mkdir(parents=True, exist_ok=True)
    # A closed window ends it as Ctrl-C does: nothing is left running
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        return _run(
            folder.absolute(), speed, seed, DayView(console, plain=plain or not console.is_terminal), console
        )
    except (CompileError, DemoError, TownError, parts.PartError) as error:
        click.echo(f"the demo cannot go on: {error}", err=True)
        return 1
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def _run(folder: Path, speed: float, seed: int, view: DayView, console: Console) -> int:
    began = time.monotonic()
    micropython = parts.micropython(console.print)
    day = make_day(seed)
    console.print(
        f"A Tuesday at a university building, {len(day.walks)} passages, {len(day.presses)} votes. "
        "Starting the broker, the gateway and three boards ..."
    )
    with contextlib.ExitStack() as stack:
        timeline = Timeline(day.start_ms - OPEN_MS, rate=1.0)
        port = stack.enter_context(_broker())
        config = _write_settings(folder, port)
        stack.enter_context(_gateway(folder, config, timeline.publish(folder / "clock.json")))
        town = stack.enter_context(
            Town(folder / "boards", micropython, ("127.0.0.1", port), timeline, air_quiet_ms=AIR_QUIET_MS)
        )
        for door, node in DOORS.items():
            town.add(node, door, config=NODE)
        town.add(TERMINAL_NODE, TERMINAL, buttons=True, config=NODE)
        town.walk(day.walks)
        town.press(day.presses)
        console.print("Broker and gateway are up; the boards start and learn the time ...")
        town.start()
        for one in town.nodes.values():
            one.board.wait_for_console("time: learned", START_WITHIN_S)
        timeline.set_rate(speed)
        with view.watching(town, day.start_ms, day.end_ms):
            _live_through(timeline, town, day.end_ms, view)
        timeline.set_rate(20.0)
        console.print("The day is over. Waiting until the last records are in the ledger ...")
        ledger, votes = _settle(config, town, console)
    console.print(comparison_table(town, ledger, ZoneInfo(TIMEZONE)))
    same = town.walked == town.counted == ledger
    voted = dict(town.nodes[TERMINAL].presses)
    same_votes = dict(town.pressed) == voted == votes
    for button, answer in enumerate(ANSWERS):
        console.print(
            f"Votes {answer:5} pressed {town.pressed[button]:4}   node {voted.get(button, 0):4}   ledger {votes.get(button, 0):4}"
        )
    total = sum(town.walked.values())
    if same and same_votes:
        console.print(
            f"Equal in every hour: {total} passages walked, counted and stored; {len(day.presses)} votes. "
            f"{time.monotonic() - began:.0f} s."
        )
        return 0
    console.print(
        f"NOT equal: {total} passages walked, {sum(town.counted.values())} counted, {sum(ledger.values())} in the ledger; "
        f"votes {sum(town.pressed.values())}, {sum(voted.values())}, {sum(votes.values())}. "
        "Run again with --keep FOLDER and look at the logs there."
    )
    return 1


# ---- the day


def make_day(seed: int) -> Day:
    """The people of DEMO_DAY on DAY, spread over both doors, and a fifth of those who leave vote."""
    rng = random.Random(seed)
    counts = move_to(between(read_profile(CALIT2, "main"), DEMO_DAY, DEMO_DAY), DAY)
    slots: list[SlotCount] = []
    for slot in to_slots(counts, TIMEZONE):
        at_main = sum(rng.random() < MAIN_SHARE for _ in range(slot.people))
        slots.append(replace(slot, people=at_main))
        slots.append(replace(slot, door="garden", people=slot.people - at_main))
    walks = schedule_profile(slots, seed)
    presses: list[Press] = []
    free_from = 0
    for crossing in crossings_of(walks, Town.BEAMS):
        at = crossing.t_ms + rng.randrange(2000, 6000)
        if crossing.direction == OUT and rng.random() < VOTE_SHARE and at >= free_from:
            presses.append(Press(at, TERMINAL, rng.choices(range(len(ANSWERS)), VOTE_WEIGHTS)[0]))
            free_from = at + VOTE_GAP_MS
    start = datetime(DAY.year, DAY.month, DAY.day, tzinfo=ZoneInfo(TIMEZONE)).astimezone(UTC)
    start_ms = round(start.timestamp() * 1000)
    return Day(start_ms, start_ms + 24 * HOUR_MS, walks, presses)


def _live_through(timeline: Timeline, town: Town, end_ms: int, view: DayView) -> None:
    until = time.monotonic() + DAY_WITHIN_S
    while timeline.now_ms() < end_ms:
        for node in town.nodes.values():
            if node.board.state != "running" or node.board.tracebacks:
                problem = node.board.tracebacks[0] if node.board.tracebacks else f"it is {node.board.state}"
                raise DemoError(f"board {node.name}: {problem}")
        if time.monotonic() > until:
            raise DemoError(f"the day did not end within {DAY_WITHIN_S:.0f} s; try a higher --speed")
        view.update()
        time.sleep(0.1)
    for node in town.nodes.values():
        node.board.wait_for_edges()
    view.update()


# ---- broker and gateway


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def _broker() -> Iterator[int]:
    """A broker on a free port at 127.0.0.1, for as long as the block runs."""
    if importlib.util.find_spec("amqtt") is None:
        raise DemoError(
            "the broker amqtt is not installed; pip install '/path/to/this/repository[demo]' brings it"
        )
    said: list[str] = []
    for _ in range(PORTS_TRIED):  # between looking and listening somebody else may take the port
        port = _free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "footfall_simulator.broker", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the demo, which ends the broker last
        )
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            if process.stdout.readline().strip() == b"ready":
                yield port
                return
            said = process.stderr.read().decode(errors="replace").strip().splitlines()
        finally:
            _end(process)
    raise DemoError(f"the broker does not start: {said[-1] if said else 'it said nothing'}")


@contextlib.contextmanager
def _gateway(folder: Path, config: Path, clock: Path) -> Iterator[None]:
    """`footfall run` in the time of the simulation."""
    log_file = folder / "gateway.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [_footfall(), "run", "--config", str(config), "--clock", str(clock)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + START_WITHIN_S
        while "listening" not in (said := log_file.read_text(errors="replace")):
            if process.poll() is not None or time.monotonic() > until:
                raise DemoError(
                    f"the gateway does not start: {said.strip().splitlines()[-1:] or 'it said nothing'}"
                )
            time.sleep(0.05)
        yield
    finally:
        _end(process)


def _footfall() -> str:
    """The command beside the Python that runs this."""
    beside = Path(sys.executable).with_name("footfall")
    found = str(beside) if beside.exists() else shutil.which("footfall")
    if found is None:
        raise DemoError("the command footfall is not installed beside this Python")
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _write_settings(folder: Path, port: int) -> Path:
    """A settings file without [influxdb]: the embedded mode, results stay in the ledger."""
    doors = "".join(f'[[site.door]]\nid = "{door}"\nnode = "{node}"\n' for door, node in DOORS.items())
    config = folder / "footfall.toml"
    config.write_text(
        f'[gateway]\ndata = "var"\n[mqtt]\nhost = "127.0.0.1"\nport = {port}\n'
        f'[[site]]\nid = "{SITE}"\nname = "Demo"\ntimezone = "{TIMEZONE}"\ncapacity = 250\n{doors}'
        f'[[site.terminal]]\nid = "{TERMINAL}"\nnode = "{TERMINAL_NODE}"\nanswers = {json.dumps(ANSWERS)}\n'
    )
    return config


# ---- what the ledger holds


def _settle(config: Path, town: Town, console: Console) -> tuple[Counter[Hour], dict[int, int]]:
    """The ledger's hours and votes, as soon as they are as many as the nodes have counted, or after a while."""
    until = time.monotonic() + SETTLE_WITHIN_S
    while True:
        hours, votes = _hours(config), _votes(config)
        complete = hours == town.counted and votes == dict(town.nodes[TERMINAL].presses)
        if complete or time.monotonic() > until:
            return hours, votes
        console.print(
            f"  {sum(hours.values())} of {sum(town.counted.values())} passages are in their hours ..."
        )
        time.sleep(1.0)


def _hours(config: Path) -> Counter[Hour]:
    hours: Counter[Hour] = Counter()
    for row in _export(config, "--hours"):
        start_ms = round(datetime.fromisoformat(row["hour_utc"]).timestamp() * 1000)
        for direction, column in ((IN, "in"), (OUT, "out")):
            if int(row[column]):
                hours[Hour(row["door"], start_ms, direction)] += int(row[column])
    return hours


def _votes(config: Path) -> dict[int, int]:
    votes: Counter[int] = Counter()
    for row in _export(config, "--feedback"):
        if int(row["presses"]):
            votes[ANSWERS.index(row["answer"])] += int(row["presses"])
    return dict(votes)


def _export(config: Path, what: str) -> Sequence[dict[str, str]]:
    done = subprocess.run(
        [_footfall(), "export", what, "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise DemoError(f"footfall export {what}: {done.stderr.strip()}")
    return list(csv.DictReader(io.StringIO(done.stdout)))
