"""What the firmware needs and does, measured: heap, code, flash, times, wear. `make firmware-report`

Prints the figures and writes them to docs/firmware-report.md. Boards are virtual boards: the real MicroPython, and where flash
is concerned its own littlefs on a chip that counts erases. Virtual times are the board's; rates per second are this machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme

from footfall_gateway.commissioning.chips import CHIPS, ESP32
from footfall_gateway.commissioning.device_files import DeviceFile, compiled, firmware_version, loader
from footfall_gateway.commissioning.littlefs_image import BLOCK_BYTES, image_of
from footfall_simulator import parts
from footfall_simulator.behaviours import plain_walker
from footfall_simulator.people import Beams, busy_span, single_file
from footfall_simulator.timeline import Timeline
from footfall_simulator.town import HOUR_MS, INNER_PIN, OUTER_PIN
from footfall_simulator.virtual_board import VirtualBoard
from footfall_simulator.virtual_board.host import CHIP
from footfall_simulator.wifi import WifiRelay
from tests.device.stand_in import StandInGateway
from tests.faults.truth import levels_of
from tests.rig import FLASH_BLOCKS
from tests.servers import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "docs/firmware-report.md"
FIRMWARE = ROOT / "firmware"
NODE = "ff-report"
HEAP_KB = 192  # of the 64-bit virtual board; stands for about 100 KB of an ESP32
BEGIN = 1_780_300_800_000  # 2026-06-01 08:00 UTC
ENDURANCE = 100_000  # program-erase cycles of a block, see the report's text
PASSAGES_A_DAY = 2_000
OPEN_MS = 10 * HOUR_MS
DAY_RATE = 20_000.0
LATENCY_RATE = 10.0  # at a higher one, a machine that is busy with other things shows
LONG_DAYS, AWAY_DAYS = 40, 10
EVERYTHING = {"buttons": [25, 26, 27], "lamps": [18, 19, 21], "status": 4}
LIMIT_S = 300.0


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextmanager
def step(title: str) -> Iterator[None]:
    began = time.monotonic()
    sys.stdout.write(f"{title} ... ")
    sys.stdout.flush()
    yield
    say(f"{time.monotonic() - began:.0f} s")


# ------------------------------------------------------------------------------------------------------------- heap


IMPORTS = """
import gc, sys
def measure(name):
    gc.collect()
    before = gc.mem_free()
    __import__(name)
    gc.collect()
    print("SHARE", name, before - gc.mem_free())
for name in %r:
    measure(name)
"""
# In the order in which app.py needs them; each one's share is without what was there before it
MODULES = (
    "asyncio", "json", "footfall_core.record", "footfall_core.payload", "footfall_core.spool", "footfall_core.topic",
    "footfall_core.beam", "node", "node.config", "node.mqtt", "node.spool", "node.door", "node.uplink", "node.clock",
    "node.commands", "node.journal", "board.system", "board.inputs", "board.wifi", "app",
)  # fmt: skip


@dataclass
class Heap:
    """Free bytes of a busy board's heap, and what its modules take."""

    at_start: int = 0
    least: int = 0


def image_with(firmware: Sequence[DeviceFile], files: Mapping[str, bytes]) -> bytes:
    """A flash image with this firmware in slot a, the loader and `files` in the root."""
    slot = [DeviceFile(f"slots/a/{file.path}", file.content) for file in firmware]
    root = [DeviceFile(path, content) for path, content in files.items()]
    return image_of([loader(), *slot, *root], FLASH_BLOCKS)


def source_files() -> list[DeviceFile]:
    """The firmware as sources, at their places in a slot."""
    return [DeviceFile(path.removeprefix("lib/"), (FIRMWARE / path).read_bytes()) for path in sources()]


def board_with(
    folder: Path,
    name: str,
    broker: Mosquitto,
    timeline: Timeline,
    firmware: Sequence[DeviceFile] | None,
    **more: Any,
) -> tuple[VirtualBoard, WifiRelay]:
    """A node with two beams at the broker. `firmware`: what is in slot a of its littlefs image; None: a folder is its flash."""
    relay = WifiRelay("127.0.0.1", broker.port)
    settings = {
        "node": NODE,
        "wifi": {"ssid": "town", "password": "correct horse"},
        "mqtt": {"host": "127.0.0.1", "port": relay.port, **more.pop("mqtt", {})},
        **more.pop("settings", {}),
    }
    flash = folder / name
    flash.mkdir()
    content = json.dumps(settings).encode()
    if firmware is None:
        (flash / "config.json").write_bytes(content)
    else:
        files = {"config.json": content, **more.pop("files", {})}
        (flash / "flash.img").write_bytes(image_with(firmware, files))
        more["flash_image"] = flash / "flash.img"
    board = VirtualBoard(
        NODE, flash, parts.micropython(), FIRMWARE if firmware is None else None, timeline, wifi=relay, heap_kb=HEAP_KB, **more
    )  # fmt: skip
    board.set_pins({OUTER_PIN: 0, INNER_PIN: 0})
    return board, relay


def people_at(
    begin_ms: int, count: int, gaps_ms: Callable[[random.Random], float], seed: int
) -> tuple[list[tuple[int, int, int]], list[int]]:
    """Levels at the pins for `count` people one behind the other, and when each has cleared the last beam."""
    rng, beams = random.Random(seed), Beams()
    bodies = [plain_walker(rng, beams, rng.choice((1, -1))) for _ in range(count)]
    walks = single_file(bodies, beams, (gaps_ms(rng) for _ in bodies), begin_ms)
    return levels_of(walks, beams), [walk.start_ms + busy_span(walk, beams)[1] for walk in walks]


def measure_heap(
    folder: Path, broker: Mosquitto, name: str, firmware: Sequence[DeviceFile], **settings: Any
) -> Heap:
    """Free heap of a node: at its first report, and the least in half an hour with somebody every three seconds."""
    found = Heap()
    timeline = Timeline(BEGIN, 1)
    more: dict[str, Any] = {"settings": {"state_s": 30, **settings}}
    if broker.ca_der_file is not None:
        more["files"] = {"ca.der": broker.ca_der_file.read_bytes()}
        more["mqtt"] = {"ca": "ca.der", "server_name": "localhost"}
    with StandInGateway(broker.port, ca=str(broker.ca_file) if broker.ca_file else None) as gateway:
        gateway.clock = timeline.now_ms
        board, relay = board_with(folder, f"heap-{name}", broker, timeline, firmware, **more)
        board.set_pins(dict.fromkeys(settings.get("buttons", ()), 1))
        levels, _ = people_at(BEGIN + 20_000, 600, lambda rng: rng.expovariate(1 / 2_000) + 300, 1)
        with relay, board:
            board.schedule_edges(levels)
            board.start()
            gateway.wait("a state", lambda: gateway.states)
            found.at_start = gateway.states[0]["heap"]
            timeline.set_rate(200)
            board.wait_for_edges(LIMIT_S)
            found.least = min(state["heap"] for state in gateway.states if "heap" in state)
    return found


def measure_modules(folder: Path, name: str, firmware: Sequence[DeviceFile]) -> dict[str, int]:
    """What each module takes of the heap, without those that were imported before it."""
    found: dict[str, int] = {}
    image = folder / f"bare-{name}.img"
    files = [DeviceFile("main.py", (IMPORTS % (MODULES,)).encode()), *firmware]
    image.write_bytes(image_of(files, FLASH_BLOCKS))
    bare = VirtualBoard(
        "bare", folder / f"bare-{name}", parts.micropython(), None, Timeline(BEGIN, 1), heap_kb=HEAP_KB, flash_image=image
    )  # fmt: skip
    with bare:
        bare.start()
        bare.wait_for_end()
        assert not bare.tracebacks, bare.tracebacks[0]
        for line in bare.lines:
            if line.startswith("SHARE "):
                _, module, share = line.split()
                found[module] = int(share)
    return found


# ---------------------------------------------------------------------------------------------- from edge to flash


FLUSHES = """
import _board
from node import spool
_flush = spool.Spool.flush
def flush(self):
    first = self.flushed + 1
    _flush(self)
    if self.flushed >= first:
        print("FLUSHED", first, self.flushed, _board.now() // 1000)
spool.Spool.flush = flush
execfile(%r)
"""


def measure_latency(folder: Path, broker: Mosquitto) -> dict[str, list[int]]:
    """Milliseconds of virtual time from the edge that ends a passage to its record being in flash, by what the door is like."""
    found: dict[str, list[int]] = {}
    for title, people, gap in (
        ("one at a time", 60, lambda rng: 2_500 + rng.expovariate(1 / 2_000)),
        ("a crowd, somebody always in the door", 150, lambda rng: rng.uniform(60, 250)),
    ):
        timeline = Timeline(BEGIN, 1)
        main = folder / f"latency-{len(found)}.py"
        main.write_text(FLUSHES % str(FIRMWARE / "main.py"))
        with StandInGateway(broker.port) as gateway:
            gateway.clock = timeline.now_ms
            board, relay = board_with(folder, f"latency-{len(found)}", broker, timeline, None, main=main)
            levels, cleared = people_at(BEGIN + 10_000, people, gap, 2)
            with relay, board:
                board.schedule_edges(levels)
                board.start()
                timeline.set_rate(LATENCY_RATE)
                board.wait_for_edges(LIMIT_S)
                timeline.sleep_ms(5_000)
                gateway.wait("all passages", lambda most=people: len(gateway.of_kind("P")) >= most)
                flushed = {}
                for line in board.lines:
                    if line.startswith("FLUSHED "):
                        first, last, utc_ms = map(int, line.split()[1:])
                        flushed |= dict.fromkeys(range(first, last + 1), utc_ms)
                (spool,) = gateway.records.values()
                passages = [seq for seq, (_, record) in sorted(spool.items()) if record[1] == "P"]
        assert len(passages) == len(cleared)
        found[title] = sorted(flushed[seq] - utc_ms for seq, utc_ms in zip(passages, cleared, strict=True))
    return found


# ------------------------------------------------------------------------------------------------------ the flash


@dataclass
class Wear:
    """Erases of each block in some days."""

    days: float
    erases: tuple[int, ...]

    @property
    def a_day(self) -> float:
        return sum(self.erases) / self.days


def erases_of(image: Path) -> tuple[int, ...]:
    wear = image.with_name(image.name + ".wear").read_bytes()
    return struct.unpack(f"<{FLASH_BLOCKS}I", wear[: 4 * FLASH_BLOCKS])


def measure_day(folder: Path, broker: Mosquitto) -> Wear:
    """A day with PASSAGES_A_DAY passages, as the running firmware writes it: records, totals, notes."""
    timeline = Timeline(BEGIN, 1)
    with StandInGateway(broker.port) as gateway:
        gateway.clock = timeline.now_ms
        board, relay = board_with(
            folder, "day", broker, timeline, compiled(ESP32),
            settings={"state_s": 3600}, mqtt={"keepalive_s": 600, "deadline_s": 120}, air_quiet_ms=4,
        )  # fmt: skip
        mean_ms = OPEN_MS / PASSAGES_A_DAY - 1_400
        levels, _ = people_at(
            BEGIN + 60_000, PASSAGES_A_DAY, lambda rng: rng.expovariate(1 / mean_ms) + 200, 3
        )
        with relay, board:
            board.schedule_edges(levels)
            board.start()
            board.wait_for_console("time: learned", 60)
            timeline.set_rate(DAY_RATE)
            timeline.wait_until(BEGIN + 24 * HOUR_MS, LIMIT_S)
            board.wait_for_edges(LIMIT_S)
            assert board.late_edges == 0
            assert not board.tracebacks, board.tracebacks[0]
            assert len(gateway.of_kind("P")) > 0.99 * PASSAGES_A_DAY
            assert board.flash_image is not None
            return Wear(1, erases_of(board.flash_image))


# The same writes without the waiting, for as long as it takes the wear levelling to go round: a passage every 18 s of
# 10 hours, each flushed by itself, as most are; alive records and totals every 5 minutes, the clock every hour.
MONTHS = """
import json, os, sys, time
import flash_chip
from node import flash
from node.spool import Spool
def show(x): print("SHOWN", json.dumps(x))
days, unacknowledged = int(sys.argv[1]), sys.argv[2] == "away"
chip = flash_chip.FlashChip("flash.img")
flash_chip.mount(chip)
os.chdir("/flash")
spool = Spool(report=lambda text: None)
spool.open()
if unacknowledged:  # the spool is full: this many blocks do not take part
    while not spool.lost:
        for i in range(20):
            spool.append((spool.next_seq * 21600, "P", 0, 1, 400))
        spool.flush()
before = chip.erases()
for day in range(days):
    flash.write("boot.json", '{"boot":%d}' % day)
    t = 0
    for minute in range(0, 1440, 5):
        t = minute * 60000
        if 480 <= minute < 1080:
            for i in range(PASSAGES * 5 // 600):
                spool.append((t + i * 18000, "P", 0, 1 if i & 1 else -1, 400 + i))
                spool.flush()
        spool.append((t, "A", 812, spool.lifetime_in, spool.lifetime_out))
        spool.flush()
        spool.save_totals()
        if minute % 60 == 0:
            spool.append((t, "C", 1780300800000 + t, "gw"))
            spool.flush()
            flash.write("clock.json", '{"utc":%d}' % (1780300800000 + t))
        if not unacknowledged:
            spool.acknowledged(spool.flushed)
after = chip.erases()
show([after[i] - before[i] for i in range(len(after))])
""".replace("PASSAGES", str(PASSAGES_A_DAY))

SPEED = """
import json, os, sys, time
from node.spool import Spool
def show(x): print("SHOWN", json.dumps(x))
where, each, form = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if where == "chip":
    import flash_chip
    chip = flash_chip.FlashChip("flash.img")
    flash_chip.mount(chip)
    os.chdir("/flash")
RECORDS = 20000 if each > 1 else 4000
if form == "spool":
    spool = Spool(report=lambda text: None)
    spool.open()
else:
    lines = open("lines.json", "w")
began = time.ticks_us()
for i in range(1, RECORDS + 1):
    record = (i * 18000, "P", 0, 1 if i & 1 else -1, 400 + i % 1000)
    if form == "spool":
        spool.append(record)
        if i % each == 0:
            spool.flush()
    else:
        lines.write(json.dumps([i, record]) + "\\n")
        if i % each == 0:
            lines.flush()
took = time.ticks_diff(time.ticks_us(), began)
size = sum([s for s in spool._sizes]) if form == "spool" else os.stat("lines.json")[6]
show([RECORDS * 1000000 // took, size / RECORDS])
"""

CAPACITY = """
import json, os, sys
import flash_chip
from node.spool import Spool
def show(x): print("SHOWN", json.dumps(x))
chip = flash_chip.FlashChip("flash.img")
flash_chip.mount(chip)
os.chdir("/flash")
spool = Spool(report=lambda text: None)
spool.open()
free = os.statvfs("/flash")[3]
n = 0
while not spool.lost:
    for i in range(20):
        n += 1
        t = n * 21600 + n * 7919 % 20011
        if n % 8 == 0:
            spool.append((t, "A", 812, n // 2, n // 3))
        else:
            spool.append((t, "P", 0, 1 if n & 1 else -1, 150 + n * 31 % 1400))
    last = spool.oldest()
    spool.flush()
show([spool.flushed - spool.lost, (free - os.statvfs("/flash")[3]) * 4, free])
"""


def run_on_chip(folder: Path, name: str, code: str, *arguments: object, image: bytes = b"") -> Any:
    """Run MicroPython code with the firmware and flash_chip at hand; returns what it showed."""
    place = folder / name
    place.mkdir()
    if image:
        (place / "flash.img").write_bytes(image)
    command = parts.micropython().command(
        ["-c", code, *map(str, arguments)], heap_kb=HEAP_KB, path=[FIRMWARE, FIRMWARE / "lib", CHIP]
    )
    done = subprocess.run(
        command.argv, env=command.env, cwd=place, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (shown,) = [line for line in done.stdout.splitlines() if line.startswith("SHOWN ")]
    return json.loads(shown.removeprefix("SHOWN "))


# ----------------------------------------------------------------------------------------------------- the report


def kb(count: float) -> str:
    return f"{count / 1024:.1f} KB"


def percentile(values: Sequence[int], share: float) -> int:
    return values[min(len(values) - 1, int(share * len(values)))]


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def years(erases_a_day: float, blocks: int) -> float:
    """Until a block has had ENDURANCE erases, where all `blocks` share them evenly."""
    return ENDURANCE * blocks / erases_a_day / 365


def machine() -> str:
    model = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")),
        platform.machine(),
    )  # fmt: skip
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def measure(folder: Path) -> str:
    """All of it; returns the report."""
    authority = trustme.CA()
    heaps = []
    for name, title, firmware, ca, settings in (
        ("py", "a door, from sources (.py)", source_files(), None, {}),
        ("mpy", "a door, compiled (.mpy) as on a board", compiled(ESP32), None, {}),
        ("all", "... with buttons and lamps", compiled(ESP32), None, EVERYTHING),
        ("tls", "... and the broker over TLS", compiled(ESP32), authority, EVERYTHING),
    ):
        with step(f"heap: {title}"), Mosquitto(folder / f"broker {name}", ca=ca) as broker:
            heaps.append((title, measure_heap(folder, broker, name, firmware, **settings)))
    modules = measure_modules(folder, "py", source_files()), measure_modules(folder, "mpy", compiled(ESP32))
    with (
        step("from the last edge of a passage to its record in flash"),
        Mosquitto(folder / "broker 3") as broker,
    ):
        latency = measure_latency(folder, broker)
    with step(f"wear: a day with {PASSAGES_A_DAY:,} passages"), Mosquitto(folder / "broker 4") as broker:
        day = measure_day(folder, broker)
    firmware_image = image_with(compiled(ESP32), {"config.json": b"{}"})
    with step(f"wear: {LONG_DAYS} days, and {AWAY_DAYS} with the gateway away"):
        long = Wear(
            LONG_DAYS, tuple(run_on_chip(folder, "months", MONTHS, LONG_DAYS, "there", image=firmware_image))
        )
        away = Wear(
            AWAY_DAYS, tuple(run_on_chip(folder, "away", MONTHS, AWAY_DAYS, "away", image=firmware_image))
        )
    with step("records per second, and how many fit"):
        speeds = {
            (where, each, form): run_on_chip(folder, f"speed-{where}-{each}-{form}", SPEED, where, each, form)
            for where in ("chip", "file")
            for each in (1, 20)
            for form in ("spool", "JSON lines")
        }
        capacity = run_on_chip(folder, "capacity", CAPACITY, image=firmware_image)
    return report(heaps, modules, latency, (day, long, away), speeds, capacity)


def report(
    heaps: list[tuple[str, Heap]],
    modules: tuple[dict[str, int], dict[str, int]],
    latency: dict[str, list[int]],
    wear: tuple[Wear, Wear, Wear],
    speeds: dict[tuple[str, int, str], list[float]],
    capacity: tuple[int, int, int],
) -> str:
    day, long, away = wear
    from_py, from_mpy = modules
    records, used_kb, free = capacity
    files = {chip: compiled(chip) for chip in CHIPS}
    slot = sum(-(-len(file.content) // BLOCK_BYTES) * BLOCK_BYTES for file in files[ESP32])
    static = FLASH_BLOCKS - free
    levelled = FLASH_BLOCKS - static
    busy_away = sum(1 for count in away.erases if count)
    json_bytes = speeds["chip", 20, "JSON lines"][1]
    spool_bytes = speeds["chip", 20, "spool"][1]
    sections = [
        f"""# The firmware's budget

Made by `make firmware-report` (`tests/bench/firmware_report.py`) on {datetime.now(UTC).date().isoformat()}: firmware {firmware_version()},
MicroPython {parts.micropython().part.version} (Unix port, 64 bit, {HEAP_KB} KB heap), on {machine()}.
What needs a real board to be known (WiFi and TLS beside it, the chip's own speed) is not in here.

## Heap

A 64-bit heap of {HEAP_KB} KB holds about what 100 KB hold on the chip, as objects are twice as large. Firmware and flash image are those
that `footfall flash` makes; the sources only stand beside it. All modules together take {kb(sum(from_mpy.values()))} (from sources {kb(sum(from_py.values()))}), part of which
is given back once the node is built. Free, garbage collected:
""",
        table(
            (
                "a node with",
                "at the first report",
                "least, a person every 3 s for half an hour",
            ),
            [(name, kb(heap.at_start), kb(heap.least)) for name, heap in heaps],
        ),
        "\nThe largest modules, each without what was imported before it:\n",
        table(
            ("module", "from .py", "from .mpy"),
            [
                (f"`{name}`", kb(from_py[name]), kb(from_mpy.get(name, 0)))
                for name in sorted(from_py, key=lambda name: -from_py[name])[:12]
            ],
        ),
        "\n## Code\n",
        table(
            ("chip", "files", "bytes", "in flash (whole blocks)"),
            [
                (
                    chip.title,
                    len(found),
                    f"{sum(len(file.content) for file in found):,}",
                    kb(sum(-(-len(file.content) // BLOCK_BYTES) * BLOCK_BYTES for file in found)),
                )
                for chip, found in files.items()
            ],
        ),
        f"""
The loader `main.py` has {len(loader().content):,} bytes. Beside it: the sources of these files have
{sum((FIRMWARE / path).stat().st_size for path in sources()):,} bytes. Each file, for the {ESP32.title}:
""",
        table(
            ("file", "bytes"),
            [
                (f"`{file.path}`", f"{len(file.content):,}")
                for file in sorted(files[ESP32], key=lambda file: -len(file.content))
            ],
        ),
        f"""
## Flash

A board with 4 MB has {FLASH_BLOCKS * BLOCK_BYTES // 1024:,} KB ({FLASH_BLOCKS} blocks) for files. Loader, one slot and its folders take
{static} blocks ({static * BLOCK_BYTES // 1024} KB); a second slot for updates takes {slot // 1024} KB more. The spool takes at most 1,024 KB.

""",
        table(
            ("", "spool", "the same as JSON lines"),
            [
                ("bytes a passage", f"{spool_bytes:.1f}", f"{json_bytes:.1f}"),
                (
                    "records in 1 MB, alive records included",
                    f"{records:,} (takes {used_kb:,} KB of littlefs)",
                    f"{1024 * 1024 / json_bytes:,.0f}",
                ),
            ],
        ),
        """
## From edge to flash

Virtual time from the edge that ends a passage to its record being safe in flash. The firmware waits on purpose: up to 0.25 s until
the beams have stayed clear (an arm behind a body is not a second person), then 0.2 s for whoever follows, and while somebody
is in the door up to 0.8 s more, as interrupts wait while flash is written. Promise: 2 s.
""",
        table(
            ("people", "half of them within", "99 of 100 within", "the slowest"),
            [
                (title, *(f"{percentile(values, share)} ms" for share in (0.5, 0.99)), f"{values[-1]} ms")
                for title, values in latency.items()
            ],
        ),
        """
A real chip adds the time of an erase: some 45 ms typically, up to 400 ms at worst, by such chips' data sheets.

## Records per second into flash

Passages through `node/spool.py` in MicroPython on this machine; what it tells is the ratio. On a chip the erase of a block decides: one for each flush.
""",
        table(
            (
                "flushed",
                "spool, littlefs in RAM",
                "JSON lines, littlefs in RAM",
                "spool, file",
                "JSON lines, file",
            ),
            [
                (
                    f"every {each} records" if each > 1 else "every record",
                    *(
                        f"{speeds[where, each, form][0]:,.0f}"
                        for where in ("chip", "file")
                        for form in ("spool", "JSON lines")
                    ),
                )
                for each in (1, 20)
            ],
        ),
        f"""
JSON lines cost less time and take 4 to 5 times the flash; they have no check of each record, and one file gives nothing
back while anything in it is unacknowledged.

## Wear

Erases on littlefs with its wear levelling over {FLASH_BLOCKS} blocks, of which {static} hold the firmware and stay as they are.
{ENDURANCE:,} program-erase cycles a block is what data sheets of serial NOR flash chips give as a minimum
(Winbond's W25Q family, for one); which chip is on a board, only its label tells.
""",
        table(
            (
                "",
                "erases a day",
                "worst block a day",
                "years, evenly over the other blocks",
                "years of the worst block",
            ),
            [
                (
                    title,
                    f"{one.a_day:,.0f}",
                    f"{max(one.erases) / one.days:.1f}",
                    f"{years(one.a_day, blocks):,.0f}",
                    f"{ENDURANCE * one.days / max(one.erases) / 365:,.0f}",
                )
                for title, one, blocks in (
                    (f"a day of {PASSAGES_A_DAY:,} passages, the running firmware", day, levelled),
                    (f"{LONG_DAYS} such days, the same writes without the waiting", long, levelled),
                    (f"{AWAY_DAYS} such days with the gateway away and the spool full", away, busy_away),
                )
            ],
        ),
        f"""
In one day a few blocks stand out, as littlefs leaves a folder where it is for 100 erases; over {LONG_DAYS} days the worst one is {max(long.erases) / (sum(long.erases) / levelled):.1f} times the average. Nearly
every erase is a flush: littlefs copies the segment's last block for each. Promise 3 (a power cut costs at most 2 s) is what
sets their number. An erase a second, day and night, would wear a chip out in {years(86_400, levelled):.1f} years.
""",
    ]
    return "\n".join(sections)


def sources() -> list[str]:
    """The firmware's source files but the loader."""
    listed = json.loads((FIRMWARE / "package.json").read_text())
    return [source for _, source in listed["urls"] if source != "main.py"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=REPORT)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="footfall-report-") as name:
        text = measure(Path(name))
    chosen.out.write_text(text, encoding="utf-8")
    say("")
    say(text)
    say(f"Written to {chosen.out}")


if __name__ == "__main__":
    main()
