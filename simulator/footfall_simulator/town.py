"""A place in a box: virtual boards at its doors, their WiFi, the people who walk through, all on one timeline.

The demo and the pipeline tests build one. Three counts come out of it that know nothing of each other: the truth (who
walked, by geometry), what the nodes counted (their consoles), and, outside this module, what the gateway made of it.
"""

from __future__ import annotations

import json
import re
import threading
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import footfall_core
from footfall_simulator.people import INNER, OUTER, Beams, crossings_of, edges_of
from footfall_simulator.virtual_board import VirtualBoard
from footfall_simulator.virtual_board.host import AIR_QUIET_MS
from footfall_simulator.wifi import WifiRelay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from footfall_simulator.people import Edge, Walk
    from footfall_simulator.timeline import Timeline
    from footfall_simulator.virtual_board.host import Launcher

__all__ = ["HOUR_MS", "LATEST", "Hour", "Node", "Press", "Town", "TownError", "firmware_folder"]

HOUR_MS = 3_600_000
OUTER_PIN, INNER_PIN = 32, 33  # the firmware's defaults (hardware/pins.toml)
BUTTON_PINS = (25, 26, 27)
LAMP_PINS = (18, 19, 21)
BLOCKED, PRESSED = 1, 0  # levels
FLASH_IMAGE = "flash.img"
LATEST = 12  # passages that a node's `latest` shows: more does not fit into 80 columns
PRESS_MS = 150  # how long a visitor holds a button

_PASSAGE = re.compile(r"passage t=(\d+) barrier=(\d+) (in|out|unknown) transit=\d+$")
_PRESS = re.compile(r"press t=(\d+) button=(\d+) question=\d+$")


class TownError(Exception):
    """The town cannot be built here; the message is one line for the user."""


@dataclass(frozen=True, order=True)
class Hour:
    """A direction of a door in a UTC hour: what numbers are kept for."""

    door: str
    start_ms: int
    direction: int


@dataclass(frozen=True, order=True)
class Press:
    """A visitor presses a button of a terminal."""

    utc_ms: int
    terminal: str
    button: int


def firmware_folder() -> Path:
    """The firmware of this checkout; TownError where only the package is installed."""
    folder = Path(footfall_core.__file__).parents[2]
    if not (folder / "main.py").is_file():
        raise TownError(
            f"the firmware is not at {folder}; run this from a checkout of the Footfall repository"
        )
    return folder


class Node:
    """One board of the town, at a door (two beams) or as a feedback terminal (buttons)."""

    def __init__(self, name: str, place: str, *, buttons: bool) -> None:
        self.name = name
        self.place = place
        self.buttons = buttons
        self.passages: Counter[Hour] = Counter()  # counted by the node itself
        self.presses: Counter[int] = Counter()  # button -> presses that counted
        self.edges: list[Edge] = []  # of its beams, as people will break them
        self.latest = ""  # the last passages: > in, < out, | unknown
        self.board: VirtualBoard  # set by Town.add

    def broken_between(self, since_ms: int, until_ms: int) -> int:
        """The beams (bits OUTER, INNER) that were broken at any moment after `since_ms` and up to `until_ms`."""
        first = bisect_right(self.edges, since_ms, key=lambda edge: edge.t_ms)
        last = bisect_right(self.edges, until_ms, key=lambda edge: edge.t_ms)
        broken = self.edges[first - 1].state if first else 0
        for edge in self.edges[first:last]:
            broken |= edge.state
        return broken

    def hear(self, line: str) -> None:
        """A line of the board's console."""
        if found := _PASSAGE.match(line):
            utc_ms = self.board.boot_utc_ms + int(found[1])
            direction = {"in": 1, "out": -1}.get(found[3], 0)
            self.passages[Hour(self.place, utc_ms - utc_ms % HOUR_MS, direction)] += 1
            self.latest = (self.latest + {1: ">", -1: "<"}.get(direction, "|"))[-LATEST:]
        elif found := _PRESS.match(line):
            self.presses[int(found[2])] += 1


class Town:
    """Boards on one timeline. Add nodes, give them people, start; then drive the timeline.

    folder: a folder for the flashes (one folder per node) and consoles. broker: host and port of the real broker.
    make_flash: makes a flash image with the given files in its root, from which nodes boot instead, with the real littlefs.
    """

    BEAMS = Beams()

    def __init__(
        self,
        folder: Path,
        micropython: Launcher,
        broker: tuple[str, int],
        timeline: Timeline,
        *,
        beams: Beams | None = None,
        on_line: Callable[[Node, str], None] | None = None,
        password: str | None = None,
        air_quiet_ms: int = AIR_QUIET_MS,
        make_flash: Callable[[Mapping[str, bytes]], bytes] | None = None,
    ) -> None:
        self.folder = folder
        self.timeline = timeline
        self.beams = beams or self.BEAMS
        self.nodes: dict[str, Node] = {}  # by place
        self.walked: Counter[Hour] = Counter()  # the truth
        self.pressed: Counter[int] = Counter()
        self._micropython = micropython
        self._firmware = firmware_folder()
        self._broker = broker
        self._on_line = on_line
        self._password = password
        self._air_quiet_ms = air_quiet_ms
        self._make_flash = make_flash
        self._lock = threading.Lock()

    def add(
        self,
        name: str,
        place: str,
        *,
        buttons: bool = False,
        config: Mapping[str, Any] | None = None,
        ticks_start_ms: int = 0,
    ) -> Node:
        """A node called `name` (its name on the wire) at `place` (a door's or terminal's id); `config` overrides its settings."""
        node = Node(name, place, buttons=buttons)
        relay = WifiRelay(*self._broker)
        flash = self.folder / name
        flash.mkdir(parents=True, exist_ok=True)
        settings: dict[str, Any] = {
            "node": name,
            "wifi": {"ssid": "town", "password": "correct horse"},
            "mqtt": {"host": "127.0.0.1", "port": relay.port, "user": name, "password": self._password},
        }
        if self._password is None:
            del settings["mqtt"]["user"], settings["mqtt"]["password"]
        if buttons:
            settings |= {"barriers": [], "buttons": BUTTON_PINS, "lamps": LAMP_PINS}
        config = dict(config or {})
        settings["mqtt"] |= config.pop("mqtt", {})
        settings |= config
        content = json.dumps(settings).encode()
        if self._make_flash is None:
            (flash / "config.json").write_bytes(content)
        else:
            (flash / FLASH_IMAGE).write_bytes(self._make_flash({"config.json": content}))

        def heard(line: str) -> None:
            with self._lock:
                node.hear(line)
            if self._on_line is not None:
                self._on_line(node, line)

        node.board = VirtualBoard(
            name,
            flash,
            self._micropython,
            self._firmware if self._make_flash is None else None,
            self.timeline,
            flash_image=flash / FLASH_IMAGE if self._make_flash is not None else None,
            wifi=relay,
            air_quiet_ms=self._air_quiet_ms,
            ticks_start_ms=ticks_start_ms,
            console_file=self.folder / f"{name}.console",
            on_line=heard,
        )
        if buttons:
            node.board.set_pins(dict.fromkeys(BUTTON_PINS, 1 - PRESSED))
        else:
            node.board.set_pins({OUTER_PIN: 1 - BLOCKED, INNER_PIN: 1 - BLOCKED})
        self.nodes[place] = node
        return node

    def walk(self, walks: Iterable[Walk]) -> None:
        """People walk through the doors that their walks name, at their own UTC times, which must lie ahead."""
        by_door: dict[str, list[Walk]] = {}
        for walk in walks:
            by_door.setdefault(walk.door, []).append(walk)
        for door, its_walks in by_door.items():
            for crossing in crossings_of(its_walks, self.beams):
                hour = Hour(door, crossing.t_ms - crossing.t_ms % HOUR_MS, crossing.direction)
                self.walked[hour] += 1
            before = 0
            levels: list[tuple[int, int, int]] = []
            edges = edges_of(its_walks, self.beams)
            self.nodes[door].edges += edges
            for edge in edges:
                for bit, pin in ((OUTER, OUTER_PIN), (INNER, INNER_PIN)):
                    if (edge.state ^ before) & bit:
                        levels.append((edge.t_ms, pin, BLOCKED if edge.state & bit else 1 - BLOCKED))
                before = edge.state
            self.nodes[door].board.schedule_edges(levels)

    def press(self, presses: Iterable[Press]) -> None:
        """Visitors press buttons, at UTC times that lie ahead."""
        for press in sorted(presses):
            self.pressed[press.button] += 1
            pin = BUTTON_PINS[press.button]
            self.nodes[press.terminal].board.schedule_edges(
                [(press.utc_ms, pin, PRESSED), (press.utc_ms + PRESS_MS, pin, 1 - PRESSED)]
            )

    def start(self) -> None:
        """Power on all boards."""
        for node in self.nodes.values():
            node.board.start()

    @property
    def counted(self) -> Counter[Hour]:
        """What the nodes say that they counted."""
        with self._lock:
            total: Counter[Hour] = Counter()
            for node in self.nodes.values():
                total.update(node.passages)
            return total

    def inside(self) -> int:
        """People inside by the nodes' counts; whoever was there before the first count is not in it, so never below 0."""
        return max(sum(n * hour.direction for hour, n in self.counted.items()), 0)

    def close(self) -> None:
        """Power off and end everything; the folders stay."""
        for node in self.nodes.values():
            node.board.close()
            if node.board.wifi is not None:
                node.board.wifi.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
