"""`footfall accept` from end to end: the real command answers a real firmware; a script stands for the people at the door."""

import json
import os
import pty
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar, Self

import pytest

from tests.device.a_node import BROKEN, FREE, INNER, OUTER, a_node
from tests.device.stand_in import StandInGateway

WAIT_S = 90
SETTINGS = """[gateway]
data = "var"
[mqtt]
host = "127.0.0.1"
port = {port}
[[site]]
id = "lab"
name = "Stadtlabor"
timezone = "Europe/Berlin"
[[site.door]]
id = "main"
node = "ff-test"
"""


class Screen:
    """The command as it runs: what it says, and what is typed."""

    opened: ClassVar[list[Self]] = []

    def __init__(self, folder: Path, *arguments: str, terminal: bool = False) -> None:
        argv = [
            sys.executable,
            "-m",
            "footfall_gateway.cli",
            "accept",
            "--site",
            "lab",
            "--door",
            "main",
            *arguments,
        ]
        environment = {**os.environ, "LANG": "en_GB.UTF-8", "COLUMNS": "200", "TERM": "xterm"}
        environment.pop("LC_ALL", None)
        self._keys: int | None = None
        if terminal:
            self._keys, screen = pty.openpty()
            self.process = subprocess.Popen(
                argv, cwd=folder, env=environment, stdin=screen, stdout=screen, stderr=screen
            )
            os.close(screen)
            self._out = self._keys
        else:
            self.process = subprocess.Popen(
                argv,
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            self._out = self.process.stdout.fileno()
        self.text = ""
        self._at = 0
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.opened.append(self)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._out, 4096)
            except OSError:
                return
            if not data:
                return
            with self._changed:
                self.text += data.decode("utf-8", "replace").replace("\r\n", "\n")
                self._changed.notify_all()

    def wait_for(self, pattern: str) -> str:
        """The next text that fits, from where the last one ended."""
        with self._changed:
            found = self._changed.wait_for(lambda: re.compile(pattern).search(self.text, self._at), WAIT_S)
            assert found, (pattern, self.text[self._at :])
            self._at = found.end()
            return found[0]

    def type(self, text: str) -> None:
        if self._keys is not None:
            os.write(self._keys, text.encode())
        else:
            self.process.stdin.write(text.encode())
            self.process.stdin.flush()

    def end(self) -> int:
        return self.process.wait(WAIT_S)

    def close(self) -> None:
        """End it if it has not ended; a test that fails leaves nothing for the next one."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        if self._keys is None:
            self.process.stdin.close()
            self.process.stdout.close()
        else:
            os.close(self._keys)


@pytest.fixture(autouse=True)
def screens():
    """Those that the test has opened."""
    Screen.opened.clear()
    yield Screen.opened
    for screen in Screen.opened:
        screen.close()


STEPS = ("in", "out", "turn_back", "stop", "bag", "fast", "pairs", "door_leaf")
TITLES = (
    "in, one by one",
    "out, one by one",
    "turning back",
    "standing still",
    "with bag or umbrella",
    "fast",
    "two side by side",
    "door leaf",
)


WALKS = {  # in and out of each step: the whole of it, and --short
    "in": ((20, 0), (5, 0)),
    "out": ((0, 20), (0, 5)),
    "stop": ((5, 0), (2, 0)),
    "bag": ((5, 5), (2, 2)),
    "fast": ((5, 0), (2, 0)),
    "pairs": ((5, 0), (2, 0)),  # two side by side are one to a light barrier
}
TURNS = (10, 3)


class Door:
    """People at the door of a virtual board, as the acceptance asks for them."""

    def __init__(
        self,
        node,
        *,
        short: bool = True,
        swapped: bool = False,
        lost: int = 0,
        too_many: int = 0,
        turns_count: bool = False,
    ) -> None:
        self.node = node
        self.short = short
        self.swapped = swapped
        self.lost = lost
        self.too_many = too_many
        self.turns_count = turns_count

    def walk(self, n_in: int = 0, n_out: int = 0) -> None:
        told = self.node.passages()
        if n_in:
            self.node.walk(n_in, inward=not self.swapped)
        if n_out:
            self.node.walk(n_out, inward=self.swapped)
        self.through()
        until = time.monotonic() + WAIT_S
        while self.node.passages() < told + n_in + n_out:  # then it is on the cable as well
            assert time.monotonic() < until, self.node.board.lines[-20:]
            time.sleep(0.01)

    def walk_seen(self) -> None:
        """One who walks in while the beams are aligned. The node looks at them every 10 ms, and would miss what falls into a stall
        of its process: each change waits until the one before is seen."""
        board = self.node.board
        for pin, level, beams in (
            (OUTER, BROKEN, "outer broken"),
            (INNER, BROKEN, "both broken"),
            (OUTER, FREE, "inner broken"),
        ):
            mark = board.console_mark()
            board.set_pins({pin: level})
            board.wait_for_console(f"beams barrier=0 {beams}", since=mark)
        board.set_pins({INNER: FREE})

    def through(self) -> None:
        self.node.board.wait_for_edges()
        self.node.timeline.sleep_ms(600)

    def turn_back(self, times: int) -> None:
        if self.turns_count:
            self.walk(times)
            return
        self.edges(
            *(
                (1500 * i + after_ms, beam, to)
                for i in range(times)
                for after_ms, beam, to in (
                    (0, OUTER, BROKEN),
                    (80, INNER, BROKEN),
                    (400, INNER, FREE),
                    (480, OUTER, FREE),
                )
            )
        )

    def do(self, step: str) -> tuple[int, int]:
        """In and out as the node counts them."""
        n_in = n_out = 0
        if step == "turn_back":
            self.turn_back(TURNS[self.short])
            n_in = TURNS[self.short] if self.turns_count else 0
        elif step != "door_leaf":  # which swings and breaks nothing
            n_in, n_out = WALKS[step][self.short]
            n_in += self.too_many - self.lost if n_in else 0
            self.walk(n_in, n_out)
        return (n_out, n_in) if self.swapped else (n_in, n_out)

    def edges(self, *edges: tuple[int, int, int]) -> None:
        """(ms from now, beam, broken or free)"""
        self.node.edges(list(edges), after_ms=300)
        self.through()


@pytest.fixture
def site(tmp_path, micropython, mosquitto):
    """A node that is in touch with its gateway, and the settings that name its door."""
    (tmp_path / "footfall.toml").write_text(SETTINGS.format(port=mosquitto.port))
    with (
        StandInGateway(mosquitto.port) as gateway,
        a_node(tmp_path, micropython, mosquitto, rate=15) as node,
    ):
        node.board.wait_for_console("time: learned")
        gateway.wait_for_state()
        yield tmp_path, node


def mount(screen: Screen) -> None:
    for question in ("Height", "Distance", "Clear width"):
        screen.wait_for(question)
        screen.type("\n")
    screen.wait_for("Sensor")
    screen.type("M18 retro\n")


def hold_still(screen: Screen) -> None:
    screen.wait_for("Nobody in the door")
    screen.type("\n")


def align(screen: Screen, door: Door) -> None:
    hold_still(screen)
    screen.wait_for("✓ Both beams free")
    screen.wait_for("one person walks through once")
    door.walk_seen()
    screen.wait_for("✓ Every beam has seen somebody")


def do(screen: Screen, door: Door, step: str) -> None:
    """Do a step, and say so once the screen has everybody: who stands there looks at it, too."""
    n_in, n_out = door.do(step)
    if n_in or n_out:
        screen.wait_for(f"counted: {n_in} in, {n_out} out")
    screen.type("\n")


def walk_all(screen: Screen, door: Door, steps: tuple[str, ...] = STEPS) -> None:
    """Do these steps, and skip the others."""
    for step, title in zip(STEPS, TITLES, strict=True):
        screen.wait_for(re.escape(title))
        screen.wait_for("Enter: done")
        if step not in steps:
            screen.type("s\n")
            continue
        do(screen, door, step)
        if screen.wait_for("✓|✗|noted").startswith("✗"):
            screen.wait_for("r: again   Enter")
            screen.type("\n")


def tally(screen: Screen, door: Door, n_in: int, n_out: int, people: tuple[int, int] | None = None) -> None:
    screen.wait_for("Enter begins")
    screen.type("\n")
    screen.wait_for("Running since")
    door.walk(n_in, n_out)
    screen.type("\n")
    for question, number in zip(("By hand, in", "By hand, out"), people or (n_in, n_out), strict=True):
        screen.wait_for(question)
        screen.type(f"{number}\n")
    if screen.wait_for("✓|✗").startswith("✗"):
        screen.wait_for("r: again")
        screen.type("\n")


def kept(folder: Path) -> dict:
    (path,) = (folder / "var" / "acceptance").glob("lab-main-*.json")
    return json.loads(path.read_text())


def test_a_good_door_passes_the_whole_walk_and_its_protocol_is_kept(site):
    folder, node = site
    screen = Screen(folder, "--alignment-seconds", "1", "--port", node.port)
    door = Door(node, short=False)
    mount(screen)
    align(screen, door)
    walk_all(screen, door)
    tally(screen, door, 12, 9)
    screen.wait_for("PASSED")
    assert screen.end() == 0
    one = kept(folder)
    assert (one["schema"], one["result"], one["node"], one["barriers"]) == (1, "passed", "ff-test", [0])
    assert one["mounting"] == {"height_mm": 1100, "spacing_mm": 100, "width_mm": 1000, "sensor": "M18 retro"}
    assert [step["id"] for step in one["steps"]] == list(STEPS)
    assert (one["right"], one["of"]) == (60 + 21, 60 + 21)
    assert one["tally"]["people_in"] == one["tally"]["counted"]["n_in"] == 12
    assert node.board.late_edges == 0
    shown = subprocess.run(
        [
            sys.executable,
            "-m",
            "footfall_gateway.cli",
            "accept",
            "--site",
            "lab",
            "--door",
            "main",
            "--show",
            "--language",
            "de",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "# Abnahmeprotokoll" in shown
    assert "**BESTANDEN**: 81 von 81 richtig: 100,0 % (95-%-Bereich 95,5 bis 100,0 %)" in shown
    assert "| 20x hinein, einzeln | 20 / 0 | 20 / 0 | bestanden |" in shown
    (page,) = (folder / "var" / "acceptance").glob("*.md")
    assert page.read_text().startswith("# Protocol of acceptance")


def test_over_the_broker_it_waits_for_the_records_and_says_when_the_node_is_away(site):
    folder, node = site
    node.timeline.set_rate(
        1
    )  # so that Enter comes before the records do, and no stall costs the node its connection
    screen = Screen(folder, "--short", "--alignment-seconds", "1")
    mount(screen)
    align(screen, Door(node))
    for step in STEPS[:2]:
        screen.wait_for("Enter: done")
        node.walk(5, inward=step == "in")
        node.board.wait_for_edges()
        screen.type("\n")
        screen.wait_for("✓ right: 5 of 5")
    screen.wait_for("turning back")
    node.timeline.set_rate(15)
    node.relay.refuse()
    screen.wait_for("The node has lost its connection")
    node.relay.restore()
    screen.wait_for("The node is back")
    screen.type("q\n")
    screen.wait_for("The same command goes on from here")
    assert screen.end() == 1
    assert [step["counted"] for step in kept(folder)["steps"]] == [
        {"n_in": 5, "n_out": 0, "n_unknown": 0},
        {"n_in": 0, "n_out": 5, "n_unknown": 0},
    ]


@pytest.mark.parametrize(
    ("trouble", "words", "failing"),
    [
        ({"swapped": True}, "In and out are swapped", {"in", "out", "stop"}),
        ({"lost": 2}, "It misses people", {"in", "stop"}),
        ({"too_many": 2}, "It counts too many", {"in", "stop"}),
        ({"turns_count": True}, "Turning back is counted", {"turn_back"}),
    ],
)
def test_a_door_that_counts_wrong_fails_and_says_what_to_do_at_the_first_such_step_and_at_the_end(
    site, trouble, words, failing
):
    folder, node = site
    screen = Screen(folder, "--short", "--alignment-seconds", "0.5", "--port", node.port)
    door = Door(node, **trouble)
    mount(screen)
    align(screen, door)
    walk_all(screen, door, ("in", "out", "turn_back", "stop"))
    screen.wait_for("Enter begins")
    first = screen.text[: screen.text.index(words)]
    assert first.count("Step ") == (3 if failing == {"turn_back"} else 1)
    screen.type("s\n")
    screen.wait_for("NOT PASSED")
    screen.wait_for("- " + words)
    assert screen.end() == 1
    one = kept(folder)
    assert {step["id"] for step in one["steps"] if step["passed"] is False} == failing
    assert one["result"] == "failed"


def test_beams_so_close_that_they_break_in_any_order_are_said_to_be_so(site):
    folder, node = site
    screen = Screen(folder, "--short", "--alignment-seconds", "0.5", "--port", node.port)
    door = Door(node)
    mount(screen)
    align(screen, door)
    screen.wait_for("Enter: done")
    for lag_ms in (12, -12, 14, -14, 12):  # all five walk in
        first, second = (OUTER, INNER) if lag_ms > 0 else (INNER, OUTER)
        late = abs(lag_ms)
        door.edges((0, first, BROKEN), (late, second, BROKEN), (300, first, FREE), (300 + late, second, FREE))
    screen.wait_for("counted: 3 in, 2 out")
    screen.type("\n")
    screen.wait_for("✗ 3 of 5 right, 2 missed, 2 too many")
    screen.wait_for("Some who go in are counted out.*80 to 120 mm apart")
    screen.wait_for("r: again   Enter")
    screen.type("q\n")
    assert screen.end() == 1


def test_a_beam_that_is_always_broken_or_chatters_is_named_before_anybody_walks(site):
    folder, node = site
    node.board.set_pins({INNER: BROKEN})
    screen = Screen(folder, "--short", "--alignment-seconds", "1", "--port", node.port)
    mount(screen)
    hold_still(screen)
    screen.wait_for("✗ Barrier 0: the inner beam is broken")
    node.board.set_pins({INNER: FREE})
    node.edges([(200 * i, OUTER, 1 - i % 2) for i in range(400)], after_ms=4000)
    screen.type("r\n")
    hold_still(screen)
    screen.wait_for(r"✗ Barrier 0: the outer beam changed \d+ times")
    screen.type("\n")
    screen.wait_for("Step 1 of 8")
    screen.type("q\n")
    assert screen.end() == 1
    assert kept(folder)["alignment"]["passed"] is False


def test_a_node_that_answers_more_slowly_than_the_door_is_watched_is_waited_for(site):
    folder, node = site
    node.timeline.set_rate(1)
    node.relay.set_delay(400)
    screen = Screen(folder, "--short", "--alignment-seconds", "0.5")
    mount(screen)
    hold_still(screen)
    screen.wait_for("✓ Both beams free")
    screen.wait_for("one person walks through once")
    screen.type("q\n")
    assert screen.end() == 1
    assert "Traceback" not in screen.text


def test_who_walks_for_the_alignment_is_through_before_the_first_step_begins(site):
    """Or this passage is counted as one of the step's."""
    folder, node = site
    node.timeline.set_rate(1)
    screen = Screen(folder, "--short", "--alignment-seconds", "0.5", "--port", node.port)
    mount(screen)
    hold_still(screen)
    screen.wait_for("one person walks through once")
    mark = node.board.console_mark()
    node.board.set_pins({OUTER: BROKEN, INNER: BROKEN})
    node.board.wait_for_console("beams barrier=0 both broken", since=mark)
    time.sleep(2.0)  # every beam is seen for long: it would be said within half a second
    assert "Every beam has seen somebody" not in screen.text
    node.board.set_pins({OUTER: FREE, INNER: FREE})
    screen.wait_for("Every beam has seen somebody")
    screen.wait_for("Step 1")
    screen.type("q\n")
    assert screen.end() == 1


@pytest.mark.parametrize(("sees", "blind"), [(OUTER, "inner"), (INNER, "outer")])
def test_a_beam_that_nobody_breaks_is_named_after_one_walk(site, sees, blind):
    folder, node = site
    screen = Screen(folder, "--short", "--alignment-seconds", "0.5", "--port", node.port)
    door = Door(node)
    mount(screen)
    hold_still(screen)
    screen.wait_for("one person walks through once")
    node.board.set_pins({sees: BROKEN})
    screen.wait_for("barrier 0: .* ✓")
    node.board.set_pins({sees: FREE})
    screen.type("\n")
    screen.wait_for(f"✗ Barrier 0: the {blind} beam saw nobody walk. Aim it")
    screen.type("r\n")
    align(screen, door)
    screen.wait_for("Step 1 of 8")
    screen.type("q\n")
    assert screen.end() == 1
    assert kept(folder)["alignment"]["passed"] is True


def test_a_beam_that_gets_blocked_in_the_middle_is_named(site):
    folder, node = site
    screen = Screen(folder, "--short", "--alignment-seconds", "0.5", "--port", node.port)
    door = Door(node)
    mount(screen)
    align(screen, door)
    screen.wait_for("Enter: done")
    node.board.set_pins({OUTER: BROKEN})
    screen.wait_for("The outer beam counts as blocked: the node does not count now")
    screen.type("q\n")
    assert screen.end() == 1


def test_an_unplugged_node_costs_the_step_under_way_and_the_same_command_goes_on(site):
    folder, node = site
    screen = Screen(folder, "--short", "--alignment-seconds", "0.5", "--port", node.port)
    door = Door(node)
    mount(screen)
    align(screen, door)
    screen.wait_for("Enter: done")
    do(screen, door, "in")
    screen.wait_for("✓ right: 5 of 5")
    screen.wait_for("Step 2 of 8")
    screen.wait_for("Enter: done")
    door.walk(0, 2)
    screen.wait_for("counted: 0 in, 2 out")
    node.board.pull_out()
    screen.wait_for("The same command goes on from here; a part that was begun is done anew")
    screen.wait_for("unplugged; plug it in and start again")
    assert screen.end() == 1
    assert "Traceback" not in screen.text
    node.board.plug_in()
    again = Screen(folder, "--short", "--alignment-seconds", "0.5", "--port", node.port)
    again.wait_for(r"broken off after 1 of 8 steps. Go on with it\? \[y/n\]")
    again.type("y\n")
    again.wait_for("Step 2 of 8: out, one by one")
    again.wait_for("Enter: done")
    do(again, door, "out")
    again.wait_for("✓ right: 5 of 5")
    again.type("q\n")
    assert again.end() == 1
    assert [step["counted"]["n_out"] for step in kept(folder)["steps"]] == [0, 5]
    not_now = Screen(folder, "--port", node.port)
    not_now.wait_for("Go on with it")
    not_now.type("q\n")
    assert not_now.end() == 1
    assert "error" not in not_now.text


def test_one_that_was_broken_off_by_ctrl_c_goes_on_where_it_was(site):
    folder, node = site
    screen = Screen(folder, "--short", "--alignment-seconds", "0.5", "--port", node.port)
    mount(screen)
    align(screen, Door(node))
    screen.wait_for("Enter: done")
    do(screen, Door(node), "in")
    screen.wait_for("✓ right: 5 of 5")
    screen.wait_for("Step 2 of 8")
    screen.process.send_signal(2)
    screen.wait_for("The same command goes on from here")
    assert screen.end() == 130
    again = Screen(folder, "--short", "--alignment-seconds", "0.5", "--port", node.port)
    again.wait_for(r"broken off after 1 of 8 steps. Go on with it\? \[y/n\]")
    again.type("y\n")
    again.wait_for("Step 2 of 8: out, one by one")
    again.type("s\n")
    again.wait_for("skipped")
    again.wait_for("Step 3 of 8")
    again.process.stdin.close()  # whoever typed has gone
    again.wait_for("The same command goes on from here")
    assert again.end() == 1
    assert [(step["id"], step["skipped"]) for step in kept(folder)["steps"]] == [("in", False), ("out", True)]


def test_in_a_terminal_people_are_counted_by_hand_with_two_keys(site):
    folder, node = site
    screen = Screen(folder, "--short", "--alignment-seconds", "0.5", "--port", node.port, terminal=True)
    mount(screen)
    align(screen, Door(node))
    for _ in STEPS:
        screen.wait_for("q: stop here")
        screen.type("s\n")
    screen.wait_for("Enter begins")
    screen.type("\n")
    screen.wait_for("i: one in")
    screen.type("iiioou")
    Door(node).walk(3, 1)
    screen.wait_for("3 in, 1 out by hand")
    screen.type("q")
    screen.wait_for("the node 3 in, 1 out")
    screen.wait_for("NOT COMPLETE")
    assert screen.end() == 1
    one = kept(folder)["tally"]
    assert (one["people_in"], one["people_out"], one["passed"]) == (3, 1, True)


def test_a_barrier_that_the_node_does_not_have_is_not_accepted_as_if_it_were_there(site):
    folder, node = site
    with (folder / "footfall.toml").open("a") as settings:
        settings.write("barrier = 1\n")
    screen = Screen(folder, "--port", node.port)
    screen.wait_for(
        r"footfall.toml: door main is barrier 1 of ff-test, but that node has 1 \(numbered from 0\)"
    )
    assert screen.end() == 1
    assert not (folder / "var/acceptance").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--site", "hall"), "--site hall: the settings know lab"),
        (("--door", "back"), "--door back: site lab has main"),
        (("--node", "ff-x"), "--node ff-x: main is watched by ff-test"),
        (("--show",), "no acceptance of this door is kept"),
    ],
)
def test_what_is_not_there_is_said(tmp_path, arguments, words):
    (tmp_path / "footfall.toml").write_text(SETTINGS.format(port=1))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "footfall_gateway.cli",
            "accept",
            "--site",
            "lab",
            "--door",
            "main",
            "--language",
            "en",
            *arguments,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert words in done.stderr
