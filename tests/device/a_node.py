"""A virtual board as somebody with a laptop finds it: flashed with the compiled firmware, on a USB port, and on a broker.

For tests of the commands that talk to nodes.
"""

import contextlib
import functools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from footfall_gateway.commissioning import device_files
from footfall_gateway.commissioning.chips import ESP32
from footfall_simulator import parts
from footfall_simulator.timeline import Timeline
from footfall_simulator.virtual_board import VirtualBoard
from footfall_simulator.wifi import WifiRelay
from tests.servers import Mosquitto

FIRMWARE = Path(__file__).parents[2] / "firmware"
NODE = "ff-test"
OUTER, INNER = 32, 33
FREE, BROKEN = 0, 1
BUTTONS, LAMPS, STATUS = (25, 26), (18, 19), 4
WIFI_PASSWORD = "the WiFi's password"
UP = 1
TOLD_WITHIN_S = 60
# From power-up until the beams are watched for sure: what starting costs, it costs in real time
READY_MS = 4000


class ANode:
    """The board, its time, its port; `walk` sends people through its door."""

    def __init__(self, board: VirtualBoard, timeline: Timeline, relay: WifiRelay, port: Path) -> None:
        self.board = board
        self.timeline = timeline
        self.relay = relay
        self.port = str(port)
        self._busy_until_ms = 0

    def walk(self, people: int = 1, *, inward: bool = True, every_ms: int = 600, after_ms: int = 200) -> None:
        """People one after another, from `after_ms` on."""
        first, second = (OUTER, INNER) if inward else (INNER, OUTER)
        self.edges(
            [
                (every_ms * n + ms, pin, level)
                for n in range(people)
                for ms, pin, level in (
                    (0, first, BROKEN),
                    (70, second, BROKEN),
                    (180, first, FREE),
                    (250, second, FREE),
                )
            ],
            lasts_ms=every_ms * people,
            after_ms=after_ms,
        )

    def edges(self, edges: list[tuple[int, int, int]], *, lasts_ms: int = 0, after_ms: int = 200) -> None:
        """Edges (ms from then on, pin, level) from `after_ms` on, once those who walk are through; others wait `lasts_ms` for them.

        Time stands still until the board has them: at a high rate the shortest stall of this process would make them late.
        """
        with self.timeline.slowed(0):
            soon_ms = self.timeline.ahead_us() // 1000 + after_ms
            t_ms = max(soon_ms, self._busy_until_ms, self.board.boot_utc_ms + READY_MS)
            self.board.schedule_edges([(t_ms + ms, pin, level) for ms, pin, level in edges])
        self._busy_until_ms = t_ms + lasts_ms

    def told(self, people: int) -> None:
        """Wait until its console tells of so many."""
        end = time.monotonic() + TOLD_WITHIN_S
        while self.passages() < people:
            assert time.monotonic() < end, self.board.lines[-8:]
            time.sleep(0.01)

    def passages(self) -> int:
        """How many it has told on its console."""
        return sum(line.startswith("passage t=") for line in self.board.lines)


@functools.cache
def _compiled() -> list[device_files.DeviceFile]:
    return device_files.compiled(ESP32)  # without native code it runs here as well


def put_firmware(flash: Path) -> None:
    """Compiled, into a slot, as `footfall flash` leaves it."""
    for file in _compiled():
        path = flash / "slots" / "a" / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)


@contextlib.contextmanager
def a_node(
    folder: Path,
    micropython: parts.Micropython,
    broker: Mosquitto | None,
    *,
    rate: float = 3.0,
    **config: Any,
) -> Iterator[ANode]:
    """A running board; config: what its config.json has beside the usual, or instead of it."""
    flash = folder / "flash"
    flash.mkdir(exist_ok=True)
    put_firmware(flash)
    timeline = Timeline(rate=rate)
    with contextlib.ExitStack() as stack:
        relay = WifiRelay("127.0.0.1", broker.port if broker else 1)
        stack.callback(relay.close)
        settings = {
            "node": NODE,
            "wifi": {"ssid": "door", "password": WIFI_PASSWORD},
            "mqtt": {"host": "127.0.0.1", "port": relay.port},
            "barriers": [{"outer": OUTER, "inner": INNER}],
            "buttons": BUTTONS,
            "lamps": LAMPS,
            "status": STATUS,
            **config,
        }
        settings["mqtt"] = {**settings["mqtt"], "port": settings["mqtt"].get("port", relay.port)}
        (flash / "config.json").write_text(json.dumps(settings))
        board = stack.enter_context(
            VirtualBoard(NODE, flash, micropython, FIRMWARE, timeline, wifi=relay, cable=folder / "usb")
        )
        board.set_pins({OUTER: FREE, INNER: FREE, BUTTONS[0]: UP, BUTTONS[1]: UP})
        board.start()
        board.wait_for_console("next record")
        yield ANode(board, timeline, relay, folder / "usb")
