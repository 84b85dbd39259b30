"""The host's side of a virtual board: power, pins, console, WiFi and time of one MicroPython process.

    timeline = Timeline(rate=100)
    with VirtualBoard("ff-demo", flash, parts.micropython(), firmware, timeline) as board:
        board.set_pins({32: 0, 33: 0})                     # levels from now on; they outlive resets and power cuts
        board.schedule_edges([(utc_ms, 32, 1), ...])       # exact to the millisecond, however slow this machine is
        board.start()
        match = board.wait_for_console(r"passage t=(\\d+)")
        board.kill()                                       # power cut: SIGKILL; the flash folder stays
        board.start()

How virtual time and edges work: the board's clock follows the `Timeline` but never passes the horizon up to
which it has been sent every edge, so a stalled host or process delays edges in real time only. Inside the board each
edge interrupts at exactly its own instant, timers end at exactly theirs, and code costs the processor time that it really
takes. A board that is short of processor time lags behind; the timeline then waits for it, so a rate is the most that is
reached. Before a board sends it has the timeline leap to its own moment and slow down to `air_rate` until the answer is
there and the network quiet: so the firmware's network deadlines, which are virtual, meet a network that answers in
believable time.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import heapq
import logging
import os
import re
import resource
import selectors
import socket
import struct
import subprocess
import threading
import time
import tty
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, Protocol, Self, TypeVar

from footfall_simulator.virtual_board.compiled import compiled_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from footfall_simulator.timeline import Line, Timeline
    from footfall_simulator.wifi import WifiRelay

SHIMS = Path(__file__).with_name("shims")
CHIP = Path(__file__).with_name("chip")
SHIMS_HEAP_KB = (
    49  # what the shims take of the heap, with what they need at run time; a test holds them to it
)
# MicroPython's table of names doubles at 1,270, which costs 15 KB here and half of it on the chip. The shims' own 300 make
# it do so; the firmware's 1,000 alone, as on the chip, do not.
NAMES_KB = 16
PINS = 64
STALL_PIN = 63  # not a pin of any chip: carries the stalls; _board.py has the same number
PCNT_UNITS = 8  # of an ESP32; an S3 has 4, a C3 none
CONSOLE_LINES = 20_000  # kept in memory; the console file, if asked for, keeps all
OUTPUTS_KEPT = 10_000
AIR_RATE = (
    20.0  # virtual seconds per second while a board waits for the network: its 10 s deadlines are 500 ms long
)
AIR_ANSWER_MS = 500  # real time an answer is waited for before time speeds up again
AIR_QUIET_MS = 15  # ... and after the last data: long enough for the gateway's own acknowledgement to follow the broker's
CATCH_UP_RATE = 1.0  # while a board is behind
CPU_LIMIT_S = 1800  # a board that burns more processor time than this has run away

_WINDOW = 64  # edges sent ahead; _board.py has the same number
_FOREVER = 1 << 60
_TIMELINE, _HORIZON, _WIFI, _LEVEL, _START, _AIR_IS_SLOW = 1, 2, 3, 4, 5, 6
_HELLO, _CONSUMED, _OUTPUT, _RESET, _LATE, _WATCHDOG, _DUTY, _AIR, _BEHIND = 1, 2, 3, 4, 5, 6, 7, 8, 9
_ASKED_NOW = 128
_PAIR = struct.Struct("<qq")

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")

State = Literal["off", "running", "ended", "crashed"]


class BoardError(Exception):
    """A virtual board that did not do what was waited for; says which board, what, and how its console ended."""


class Launcher(Protocol):
    """What a board needs of `footfall_simulator.parts.Micropython`."""

    def command(
        self, args: Sequence[str], *, heap_kb: int, path: Sequence[Path | str]
    ) -> tuple[list[str], dict[str, str]]:
        """The argv and environment that start MicroPython."""


@dataclass(frozen=True)
class Output:
    """A pin that the firmware drives has changed (a lamp, say)."""

    utc_ms: int
    pin: int
    level: int


@dataclass
class _Unread:
    """What has been read from a process and is not a whole line or report yet."""

    console: bytes = b""
    reports: bytes = b""


class VirtualBoard:
    """One board. All methods may be called from any thread.

    name: for messages and for the board's MAC address (`mac` overrides it).
    flash_dir: the flash, a folder that is created when missing and becomes the working directory.
    micropython: from `parts.micropython()`.
    firmware_dir: holds main.py, board/, node/ and lib/, which are compiled as for a board; `main` is relative to it, or
        absolute. None: the board boots what its `flash_image` holds, as a real one does.
    flash_image: the flash as a file with `flash_blocks` blocks of 4 KB on which MicroPython's own littlefs is mounted, instead of
        the folder. An image that is not there yet begins empty. The file beside it, .wear, counts erases (chip/flash_chip.py).
    heap_kb: what the firmware gets; the shims' own share is added.
    ticks_start_ms: what `ticks_ms` shows at boot (for a test across the wrap at 2**30).
    epoch_2000: the board's clock counts from 2000-01-01 as on an ESP32, else from 1970; it shows 2000-01-01 at power-up.
    boot_ms: virtual time from power-up to the firmware's first line.
    air_rate, air_quiet_ms: see above.
    pcnt_units: how many pulse counters the chip has (machine.Counter, machine.Encoder): ESP32 8, S3 4, C3 0 (then the
        classes are missing, as in a MicroPython before 1.26).
    wifi: the relay that carries this board's connections; `set_wifi` and `kill` then cut it as a real access point or a
        dead board would.
    cable: where to make a serial port (a link to a pty) that is the board's USB cable: console out, standard input in.
    console_file: where to keep the whole console; in memory are the last CONSOLE_LINES.
    on_line, on_output: called with every console line and every change of an output pin, in the board's own thread, where
        boards must not be started or stopped.
    """

    def __init__(  # noqa: PLR0915 - one assignment a line reads best
        self,
        name: str,
        flash_dir: Path | str,
        micropython: Launcher,
        firmware_dir: Path | str | None,
        timeline: Timeline,
        *,
        flash_image: Path | str | None = None,
        flash_blocks: int = 512,
        heap_kb: int = 192,
        main: Path | str = "main.py",
        mac: bytes | None = None,
        ticks_start_ms: int = 0,
        epoch_2000: bool = True,
        boot_ms: int = 250,
        air_rate: float = AIR_RATE,
        air_quiet_ms: int = AIR_QUIET_MS,
        pcnt_units: int = PCNT_UNITS,
        wifi: WifiRelay | None = None,
        cable: Path | str | None = None,
        console_file: Path | str | None = None,
        on_line: Callable[[str], None] | None = None,
        on_output: Callable[[Output], None] | None = None,
    ) -> None:
        self.name = name
        self.flash_dir = Path(flash_dir).absolute()
        self.timeline = timeline
        self.wifi = wifi
        self.mac = mac or b"\x3c\x71" + hashlib.sha256(name.encode()).digest()[:4]
        self.boot_ms = boot_ms
        self._air_rate = air_rate
        self._air_quiet_ms = air_quiet_ms
        self._pcnt_units = pcnt_units
        self._micropython = micropython
        self.flash_image = Path(flash_image).absolute() if flash_image else None
        self._flash_blocks = flash_blocks
        self._modules: Path | None = None
        self._main: Path | None = None
        if firmware_dir is not None:
            self._modules = compiled_folder(Path(firmware_dir).absolute())
            self._main = Path(firmware_dir).absolute() / main
        elif flash_image is None:
            raise ValueError(f"{name}: neither a firmware_dir nor a flash_image to boot from")
        self._heap_kb = heap_kb
        self._ticks_start_ms = ticks_start_ms
        self._epoch_2000 = epoch_2000
        self.cable = Path(cable).absolute() if cable else None
        self._cable_ends: tuple[int, int] | None = None  # ours, and the port that others open
        self._console_file = Path(console_file).absolute() if console_file else None
        self._on_line = on_line
        self._on_output = on_output

        self.boots = 0  # processes started
        self.boot_utc_ms = 0  # when the current or last run began, in virtual time
        self.resets: list[int] = []  # the cause of every boot, as machine.reset_cause() tells it
        self.late_edges = (
            0  # edges that were scheduled for an instant that the board had already passed: 0 in a sound test
        )
        self.tracebacks: list[str] = []  # every uncaught or printed exception, as text
        self.exit_code: int | None = None  # of the last process that ended by itself
        self.outputs: dict[int, int] = {}  # pin -> level, as driven by the firmware
        self.duties: dict[int, int] = {}  # pin -> PWM duty (0..65535)
        self.output_log: collections.deque[Output] = collections.deque(maxlen=OUTPUTS_KEPT)

        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._lines: collections.deque[str] = collections.deque(maxlen=CONSOLE_LINES)
        self._line_count = 0
        self._levels = bytearray([2]) * PINS  # 2: nobody drives it
        self._queue: list[tuple[int, int, int]] = []  # heap of (t_us, order, word)
        self._order = 0
        self._sent: list[tuple[int, int, int]] = []  # heap too: in the board, not yet lived through
        self._consumed = 0  # by the present process
        self._hold_us = _FOREVER
        self._told_horizon = _FOREVER
        self._wifi_state = 1
        self._wifi_rssi = -60
        self._rtc: int | None = None  # a file in memory: the clock and the memory that go on through resets
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._outgoing = bytearray()
        self._stale_line = False
        self._linked = False  # the board has been told where it stands
        self._thread: threading.Thread | None = None
        self._wake: socket.socket | None = None
        self._watchdog_ms = 0
        self._slowing: dict[
            int, Callable[[], None]
        ] = {}  # why the timeline waits for this board -> let it go
        self._late_in_run = 0
        self._in_traceback = False
        self._cause = PWRON_RESET
        self._state: State = "off"
        self._unsubscribe: Callable[[], None] | None = None

    # ---- power

    @property
    def state(self) -> State:
        """off; running; ended (main.py returned: a real board would show its prompt); crashed (uncaught exception)."""
        return self._state

    @property
    def pid(self) -> int:
        """The process of the running board, for SIGSTOP and the like; BoardError when it is off."""
        process = self._process
        if process is None:
            raise BoardError(f"{self.name}: is {self._state}, so it has no process")
        return process.pid

    def start(self, cause: int = PWRON_RESET, *, timeout_s: float = 60.0) -> None:
        """Power on; returns when MicroPython has started and the firmware is about to run."""
        if self._state == "running":
            raise BoardError(f"{self.name}: is already running")
        if self._main is not None and not self._main.is_file():
            raise BoardError(f"{self.name}: there is no firmware at {self._main}")
        self._join()
        self.plug_in()
        self.flash_dir.mkdir(parents=True, exist_ok=True)
        if self._unsubscribe is None:
            self._unsubscribe = self.timeline.subscribe(self._on_timeline)
        self._slow(_BEHIND, CATCH_UP_RATE, on=True)  # until the firmware idles for the first time
        with self._lock:
            before = self._line_count
            boots = self.boots
            self._launch(cause, self.timeline.ahead_us())
            self._thread = threading.Thread(target=self._serve, name=f"board {self.name}", daemon=True)
            self._thread.start()
            self._changed.wait_for(
                lambda: self._linked or self.boots > boots + 1 or self._state != "running", timeout_s
            )
            tail = "\n    ".join(self.lines_since(before)[-12:])
            started = self._linked or self._state == "ended" or self.boots > boots + 1 or self.tracebacks
        if not started:
            self.kill()
            raise BoardError(f"{self.name}: MicroPython did not start within {timeout_s:g} s\n    {tail}")

    def kill(self) -> None:
        """Power cut: the process is gone at once (SIGKILL), the flash folder and the levels at the pins remain.

        The board's connections fall silent without a FIN, as those of a dead board do. Does nothing when it is off.
        """
        if self.wifi is not None and self._state == "running":
            self.wifi.abandon()
        with self._lock:
            self._state = "off"
            process = self._process
            if process is not None:
                process.kill()
            self._rouse()
        self._join()

    stop = kill

    def restart(self, off_ms: int = 0) -> None:
        """Power cut, `off_ms` virtual milliseconds without power, power on."""
        self.kill()
        if off_ms:
            self.timeline.sleep_ms(off_ms)
        self.start()

    def press_reset(self) -> None:
        """The board's reset button: for an ESP32 the same as a power cut, its clock included."""
        self.kill()
        self.start()

    def close(self) -> None:
        """Power off for good and let go of the timeline."""
        self.kill()
        self.pull_out()
        if self._rtc is not None:
            os.close(self._rtc)
            self._rtc = None
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- pins

    def set_pins(self, levels: Mapping[int, int], utc_ms: int | None = None) -> None:
        """Drive pins (pin -> 0 or 1) from now on, or from `utc_ms` on. The board may be off."""
        word = 0 if utc_ms is not None else _ASKED_NOW
        with self._lock:
            t_us = self.timeline.now_us() if utc_ms is None else utc_ms * 1000
            for pin, level in levels.items():
                self._enqueue(t_us, pin, level, word)
            self._feed()

    def schedule_edges(self, edges: Iterable[tuple[int, int, int]], *, hold_until: int | None = None) -> None:
        """Edges (utc_ms, pin, level), best in rising order; any number, this side keeps them.

        Schedule them before the board gets there: ahead of `timeline.ahead_us`, most simply before `start`.

        Edges of the same millisecond change together, before the first interrupt handler runs. With `hold_until` (as
        with `hold`) the board's clock stops at that virtual UTC until later edges are known: so a producer that falls
        behind makes nothing late. An edge for an instant that the board has already seen pass happens at once and counts
        as late.
        """
        with self._lock:
            for utc_ms, pin, level in edges:
                self._enqueue(utc_ms * 1000, pin, level, 0)
            if hold_until is not None:
                self._hold_us = hold_until * 1000
            self._feed()

    def schedule_stalls(self, stalls: Iterable[tuple[int, int]]) -> None:
        """Let the processor stand still from `utc_ms` on for so many ms: pairs (utc_ms, ms), as far ahead as edges are.

        As in a flash erase or a garbage collection: pins change and hardware counters count at their own instants, no code
        runs. Of the interrupts of that time the first eight wait and are handled late, with the levels of then; the rest is lost.
        """
        with self._lock:
            for utc_ms, ms in stalls:
                if ms <= 0:
                    raise ValueError(f"{self.name}: a stall of {ms} ms: expected at least 1")
                self._enqueue(utc_ms * 1000, STALL_PIN, 1, 0)
                self._enqueue((utc_ms + ms) * 1000, STALL_PIN, 0, 0)
            self._feed()

    def stall(self, ms: int) -> None:
        """Let the processor stand still for `ms` virtual milliseconds from now on."""
        now_us = self.timeline.ahead_us()
        with self._lock:
            self._enqueue(now_us, STALL_PIN, 1, _ASKED_NOW)
            self._enqueue(now_us + ms * 1000, STALL_PIN, 0, _ASKED_NOW)
            self._feed()

    def hold(self, utc_ms: int | None) -> None:
        """The board's clock may not pass `utc_ms`: all edges before it are known. None lets it go."""
        with self._lock:
            self._hold_us = _FOREVER if utc_ms is None else utc_ms * 1000
            self._feed()

    @property
    def pending_edges(self) -> int:
        """Edges that have been scheduled and that the board has not lived through yet."""
        with self._lock:
            return len(self._queue) + len(self._sent)

    def wait_for_edges(self, timeout_s: float = 60.0) -> None:
        """Block until the board has lived through every edge; BoardError after `timeout_s` real seconds."""
        with self._lock:
            if not self._changed.wait_for(
                lambda: not (self._queue or self._sent) or self._state != "running", timeout_s
            ):
                raise BoardError(
                    f"{self.name}: {self.pending_edges} edges not delivered within {timeout_s:g} s"
                )
            if self._state != "running":
                raise BoardError(f"{self.name}: is {self._state} with {self.pending_edges} edges to come")

    # ---- WiFi

    def set_wifi(self, *, up: bool, rssi: int = -60, wrong_password: bool = False) -> None:
        """The access point is there or not. Down, the relay (if any) goes silent and the firmware loses its network."""
        if self.wifi is not None:  # not under the lock: the relay's thread may be telling this board the time
            if up and not wrong_password:
                self.wifi.restore()
            else:
                self.wifi.cut()
        with self._lock:
            self._wifi_state = 2 if wrong_password else int(up)
            self._wifi_rssi = rssi
            self._send_wifi()

    # ---- USB cable

    def plug_in(self) -> None:
        """Make the serial port (again); `start` does it the first time. Nothing happens when it is there."""
        with self._lock:
            if self.cable is None or self._cable_ends is not None:
                return
            ours, theirs = os.openpty()
            tty.setraw(theirs)
            os.set_blocking(ours, False)
            self._cable_ends = (ours, theirs)
            self.cable.unlink(missing_ok=True)
            self.cable.symlink_to(os.ttyname(theirs))
            self._rouse()

    def pull_out(self) -> None:
        """Pull the cable: the port vanishes, and whoever has it open finds it dead. The board stays powered."""
        with self._lock:
            if self.cable is None or self._cable_ends is None:
                return
            ends, self._cable_ends = self._cable_ends, None
            self.cable.unlink(missing_ok=True)
            self._rouse()
        for end in ends:
            os.close(end)

    # ---- console

    def console_mark(self) -> int:
        """The present end of the console, for `wait_for_console(..., since=mark)`."""
        return self._line_count

    def lines_since(self, mark: int = 0) -> list[str]:
        """Console lines from a mark on (at most the last CONSOLE_LINES are kept)."""
        with self._lock:
            first = self._line_count - len(self._lines)
            return list(self._lines)[max(0, mark - first) :]

    @property
    def lines(self) -> list[str]:
        """The console so far, all boots."""
        return self.lines_since(0)

    def wait_for_console(
        self, pattern: str | re.Pattern[str], timeout_s: float = 60.0, *, since: int = 0
    ) -> re.Match[str]:
        """The first line from `since` on in which the pattern is found; BoardError after `timeout_s` real seconds,
        or as soon as the board is no longer running."""
        regex = re.compile(pattern)
        at = since
        end = time.monotonic() + timeout_s
        with self._lock:
            while True:
                for line in self.lines_since(at):
                    if found := regex.search(line):
                        return found
                at = self._line_count
                left = end - time.monotonic()
                running = self._state == "running"
                if left <= 0 or not running:
                    tail = "\n    ".join(self.lines_since(since)[-15:])
                    why = f"within {timeout_s:g} s" if running else f"before it was {self._state}"
                    raise BoardError(
                        f"{self.name}: no console line with {regex.pattern!r} {why}; it ended\n    {tail}"
                    )
                self._changed.wait(min(left, 1.0))

    def wait_for_end(self, timeout_s: float = 30.0) -> State:
        """Block until the board no longer runs; BoardError after `timeout_s` real seconds."""
        with self._lock:
            if not self._changed.wait_for(lambda: self._state != "running", timeout_s):
                raise BoardError(f"{self.name}: still running after {timeout_s:g} s")
            return self._state

    # ---- below: the process and its channel

    def _launch(self, cause: int, boot_us: int) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.settimeout(0)
        theirs.settimeout(0)  # MicroPython reads it without blocking
        if self._rtc is None:
            self._rtc = os.memfd_create(f"RTC of {self.name}")
        if cause == PWRON_RESET:
            os.ftruncate(self._rtc, 0)
        boot_us = (boot_us + self.boot_ms * 1000) // 1000 * 1000
        argv, env = self._micropython.command(
            [str(SHIMS / ("run_firmware.py" if self.flash_image is None else "run_from_chip.py"))],
            heap_kb=self._heap_kb + SHIMS_HEAP_KB + NAMES_KB,
            path=[SHIMS, CHIP, *([self._modules] if self._modules is not None else [])],
        )
        env = {
            **env,
            "FOOTFALL_CHANNEL": str(theirs.fileno()),
            "FOOTFALL_RTC": str(self._rtc),
            "FOOTFALL_MAC": self.mac.hex(),
            "FOOTFALL_MAIN": str(self._main or "/flash/main.py"),
            "FOOTFALL_PCNT": str(self._pcnt_units),
        }
        if self.flash_image is not None:
            env |= {
                "FOOTFALL_FLASH_IMAGE": str(self.flash_image),
                "FOOTFALL_FLASH_BLOCKS": str(self._flash_blocks),
            }
        try:
            process = subprocess.Popen(
                argv,
                cwd=self.flash_dir,
                env=env,
                stdin=subprocess.DEVNULL if self.cable is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno(), self._rtc],
            )
        except OSError as error:
            ours.close()
            raise BoardError(f"{self.name}: cannot start MicroPython ({argv[0]}): {error}") from error
        finally:
            theirs.close()
        with contextlib.suppress(OSError):  # it may be gone already
            resource.prlimit(process.pid, resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S))
        self._process = process
        self._channel = ours
        self._outgoing.clear()
        self._stale_line = False
        self._linked = False
        self._told_horizon = _FOREVER
        self._watchdog_ms = 0
        self._late_in_run = 0
        self._in_traceback = False
        self._cause = cause
        self.boot_utc_ms = boot_us // 1000
        self.boots += 1
        self.resets.append(cause)
        self.outputs.clear()
        self.duties.clear()
        self._state = "running"

    def _link(self) -> None:
        """The board's shims have started: tell them time, levels and edges, and let them go."""
        boot_us = self.boot_utc_ms * 1000
        for edge in self._sent:  # sent to a process that died before it lived through them
            heapq.heappush(self._queue, edge)
        self._sent.clear()
        self._consumed = 0
        while self._queue and self._queue[0][0] <= boot_us:
            word = heapq.heappop(self._queue)[2]
            self._levels[word >> 1 & 63] = word & 1
        line = self.timeline.line
        words = [
            -_TIMELINE,
            line.v0_us,
            line.r0_us,
            line.rate_milli,
            -_WIFI,
            self._wifi_state,
            self._wifi_rssi,
        ]
        for pin, level in enumerate(self._levels):
            if level < 2 and pin != STALL_PIN:
                words += [-_LEVEL, pin, level]
        self._send(words)
        self._linked = True
        self._feed()
        self._send([-_START, boot_us, self._ticks_start_ms, self._cause | (8 if self._epoch_2000 else 0)])
        self._changed.notify_all()

    def _enqueue(self, t_us: int, pin: int, level: int, flag: int) -> None:
        if not 0 <= pin < PINS or level not in (0, 1):
            raise ValueError(
                f"{self.name}: pin {pin}, level {level}: expected a pin 0..{STALL_PIN - 1} and a level 0 or 1"
            )
        self._order += 1
        heapq.heappush(self._queue, (t_us, self._order, t_us << 8 | flag | pin << 1 | level))

    def _feed(self) -> None:
        """Send edges while the board's window has room, and the horizon up to which it knows them all."""
        if not self._linked or self._state != "running":
            return
        words = []
        while self._queue and len(self._sent) < _WINDOW:
            edge = heapq.heappop(self._queue)
            heapq.heappush(self._sent, edge)
            words.append(edge[2])
        horizon = self._hold_us
        if self._queue:
            horizon = min(horizon, max(self._queue[0][0] - 1, self._sent[0][0]))
        if horizon != self._told_horizon:
            self._told_horizon = horizon
            words += [-_HORIZON, horizon]
        self._send(words)

    def _send_wifi(self) -> None:
        if self._linked and self._state == "running":
            self._send([-_WIFI, self._wifi_state, self._wifi_rssi])

    def _on_timeline(self, line: Line) -> None:
        with self._lock:
            if not self._linked or self._state != "running":
                return
            if self._outgoing:  # a board that does not listen gets the latest line once it does
                self._stale_line = True
            else:
                self._send([-_TIMELINE, line.v0_us, line.r0_us, line.rate_milli])

    def _send(self, words: Sequence[int]) -> None:
        if not words or self._channel is None:
            return
        self._outgoing += struct.pack(f"<{len(words)}q", *words)
        self._flush()
        if self._outgoing:
            self._rouse()

    def _flush(self) -> None:
        if self._channel is None:
            return
        try:
            while self._outgoing:
                del self._outgoing[: self._channel.send(self._outgoing)]
                if not self._outgoing and self._stale_line:
                    self._stale_line = False
                    line = self.timeline.line
                    self._outgoing += struct.pack("<4q", -_TIMELINE, line.v0_us, line.r0_us, line.rate_milli)
        except BlockingIOError:
            return
        except OSError:  # the process is gone; _serve notices
            self._outgoing.clear()

    def _rouse(self) -> None:
        if self._wake is not None:
            with contextlib.suppress(OSError):
                self._wake.send(b"!")

    def _join(self) -> None:
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
            self._thread = None

    def _serve(self) -> None:
        """The board's own thread: reads console and channel, supervises the process, restarts it after a reset."""
        ours, theirs = socket.socketpair()
        ours.settimeout(0)
        with self._lock:
            self._wake = theirs
        try:
            while self._run_once(ours):
                pass
        finally:
            with self._lock:
                self._wake = None
            ours.close()
            theirs.close()

    def _run_once(self, wake: socket.socket) -> bool:
        """Serve one process from its start to its end; True when the next one has been started."""
        with self._lock:
            process, channel = self._process, self._channel
        if process is None or channel is None or process.stdout is None:
            return False
        console = process.stdout
        self._slow(_BEHIND, CATCH_UP_RATE, on=True)  # after a reset: as in `start`
        os.set_blocking(console.fileno(), False)
        reset: list[int] = []
        unread = _Unread()
        with selectors.DefaultSelector() as selector, channel, console:
            selector.register(console, selectors.EVENT_READ, lambda: self._read_console(console, unread))
            selector.register(
                channel, selectors.EVENT_READ, lambda: self._read_channel(channel, unread, reset)
            )
            selector.register(wake, selectors.EVENT_READ, lambda: bool(wake.recv(4096)))
            cable: tuple[int, int] | None = None
            while console.fileno() in selector.get_map():
                cable = self._watch_cable(selector, cable, process.stdin)
                for key, _ in selector.select():
                    if not key.data():
                        selector.unregister(key.fileobj)
                if reset:
                    process.kill()
                with self._lock:
                    self._flush()
                    wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0)
                entry = selector.get_map().get(channel.fileno())
                if entry is not None and entry.events != wanted:
                    selector.modify(channel, wanted, entry.data)
            if process.stdin is not None:
                process.stdin.close()
            if unread.console:
                self._take_console(unread.console + b"\n")
            code = process.wait()
        self._let_go()
        return self._after(code, (reset[0], reset[1]) if reset else None)

    def _watch_cable(
        self,
        selector: selectors.DefaultSelector,
        watched: tuple[int, int] | None,
        stdin: IO[bytes] | None,
    ) -> tuple[int, int] | None:
        """Have the selector watch our end of the cable, if there is one by now; returns the ends that it watches.

        The ends are compared as objects: a new cable's may well have the numbers of the old one's.
        """
        with self._lock:
            ends = self._cable_ends
            if ends is watched:
                return ends
            if watched is not None and watched[0] in selector.get_map():
                selector.unregister(watched[0])
            if ends is not None and stdin is not None:
                os.set_blocking(stdin.fileno(), False)
                selector.register(ends[0], selectors.EVENT_READ, lambda: self._read_cable(ends, stdin))
            return ends

    def _read_cable(self, ends: tuple[int, int], stdin: IO[bytes]) -> bool:
        """Hand the board what came over the cable. False when the cable is gone."""
        with self._lock:
            if self._cable_ends is not ends:
                return False
            try:
                data = os.read(ends[0], 4096)
            except BlockingIOError:
                return True
            except OSError:
                return False
        with contextlib.suppress(OSError):  # the board does not read: lost
            os.write(stdin.fileno(), data)
        return True

    def _read_console(self, console: IO[bytes], unread: _Unread) -> bool:
        """False at the end of the console."""
        data = console.read(65536)
        if data:
            with self._lock, contextlib.suppress(OSError):  # full, as nobody reads: lost, as on a real cable
                if self._cable_ends is not None:
                    os.write(self._cable_ends[0], data)
            unread.console = self._take_console(unread.console + data)
        return data != b""

    def _read_channel(self, channel: socket.socket, unread: _Unread, reset: list[int]) -> bool:
        """False when the process has let go of the channel. A reset request ends up in `reset` as (cause, t_us)."""
        data = self._receive(channel)
        if data:
            data = unread.reports + data
            whole = len(data) // _PAIR.size * _PAIR.size
            unread.reports = data[whole:]
            for code, value in _PAIR.iter_unpack(data[:whole]):
                if code == _RESET:
                    reset[:] = (value & 255, value >> 8)
                else:
                    self._take_report(code, value)
        return data != b""

    @staticmethod
    def _receive(channel: socket.socket) -> bytes | None:
        try:
            return channel.recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _after(self, code: int, reset: tuple[int, int] | None) -> bool:
        """The process has ended: what that means. True when the next one has been started."""
        with self._lock:
            self._process = None
            self._channel = None
            self._linked = False
            try:
                if self._state == "off":  # the power was cut
                    return False
                if reset is None:
                    self.exit_code = code
                    if self._watchdog_ms:  # nobody is left to feed it
                        reset = (WDT_RESET, self.timeline.ahead_us() + self._watchdog_ms * 1000)
                if reset is not None:
                    try:
                        self._launch(*reset)
                    except BoardError as error:
                        self._lines.append(str(error))
                        self._line_count += 1
                        self._state = "crashed"
                        return False
                    return True
                self._state = "ended" if code == 0 else "crashed"
                return False
            finally:
                self._changed.notify_all()

    def _take_console(self, data: bytes) -> bytes:
        *whole, rest = data.split(b"\n")
        lines = [line.decode(errors="replace").rstrip("\r") for line in whole]
        if not lines:
            return rest
        if self._console_file is not None:
            with self._console_file.open("a", encoding="utf-8") as file:
                file.writelines(line + "\n" for line in lines)
        with self._lock:
            for line in lines:
                if line.startswith("Traceback (most recent call last)"):
                    self.tracebacks.append(line)
                    self._in_traceback = True
                elif self._in_traceback:
                    self.tracebacks[-1] += "\n" + line
                    self._in_traceback = line.startswith(" ")
                self._lines.append(line)
            self._line_count += len(lines)
            self._changed.notify_all()
        if self._on_line is not None:
            for line in lines:
                self._call(self._on_line, line)
        return rest

    def _slow(self, why: int, rate: float, *, on: bool, at_us: int | None = None) -> None:
        """The board waits for the network, or is behind: have the timeline wait for it, or no longer."""
        if on and why not in self._slowing:
            self._slowing[why] = self.timeline.slow(rate, at_us=at_us)
        elif not on and why in self._slowing:
            self._slowing.pop(why)()
        if on and why == _AIR:
            with self._lock:
                self._send([-_AIR_IS_SLOW, AIR_ANSWER_MS * 1000, self._air_quiet_ms * 1000])

    def _let_go(self) -> None:
        for why in list(self._slowing):
            self._slow(why, 0, on=False)

    def _call(self, function: Callable[[_T], None], value: _T) -> None:
        """A listener's mistake must not stop the board's thread: it is shown, and the board goes on."""
        try:
            function(value)
        except Exception:  # noqa: BLE001 - whatever it is
            _LOG.exception("board %s: a listener failed", self.name)

    def _take_report(self, code: int, value: int) -> None:
        output: Output | None = None
        if code in (_AIR, _BEHIND):  # not under the lock: other boards may be told, and tell this one
            self._slow(
                code,
                self._air_rate if code == _AIR else CATCH_UP_RATE,
                on=bool(value),
                at_us=value if code == _AIR and value else None,
            )
            return
        with self._lock:
            if code == _HELLO:
                self._link()
            elif code == _CONSUMED:
                while self._consumed < value and self._sent:
                    word = heapq.heappop(self._sent)[2]
                    self._levels[word >> 1 & 63] = word & 1
                    self._consumed += 1
                self._feed()
                if not self._sent:
                    self._changed.notify_all()
            elif code == _OUTPUT:
                output = Output((value >> 8) // 1000, value >> 1 & 63, value & 1)
                self.outputs[output.pin] = output.level
                self.output_log.append(output)
                self._changed.notify_all()
            elif code == _DUTY:
                self.duties[value & 255] = value >> 8
            elif code == _LATE:
                self.late_edges += value - self._late_in_run
                self._late_in_run = value
            elif code == _WATCHDOG:
                self._watchdog_ms = value
        if output is not None and self._on_output is not None:
            self._call(self._on_output, output)
