"""MicroPython's prompt on a board: what the board is, what lies in its flash, and running code there.

mpremote as a library (`mpremote.transport_serial`), not as a program: one raw prompt is kept for hundreds of small steps, where
the program would start, interrupt the board and lose its place each time, and an error arrives as an exception with the
board's traceback instead of as text. Its API is not promised to stay, so this is the only module that knows it.
"""

import contextlib
import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import serial

from footfall_core.payload import PayloadError
from footfall_core.spool import SegmentReader
from footfall_gateway.commissioning import CommissioningError
from footfall_gateway.commissioning.chips import Chip, chip_named
from footfall_gateway.commissioning.language import marked, tr
from footfall_gateway.commissioning.ports import BAUD, check_usable
from footfall_gateway.extras import how_to_install

__all__ = ["BoardError", "Facts", "Prompt", "Seen", "knock", "trouble"]

OPEN_ATTEMPTS = 5
ANSWER_S = 6.0  # for a program to end and the prompt to come
KNOCK_EVERY_S = 0.5
SERIAL_TIMEOUT_S = 3.0
RUN_TIMEOUT_S = 30.0
FIRST_START_S = 40.0  # a new MicroPython formats its part of the flash first
LONGEST_TEXT = 20_000
# Longer than any copying takes. Made anew, it replaces the one that the interrupted firmware left, which would bite in the
# middle; and a board that somebody leaves at the prompt goes back to counting by itself.
WATCHDOG_MS = 1_200_000
STARTS_OF_A_LOOP = 3
SMALLEST_RECORD_BYTES = 5
_RAW = b"raw REPL; CTRL-B to exit\r\n>"
_INTERRUPT, _ENTER_RAW = b"\r\x03\x03", b"\r\x01"

_LOOK = """
import os, sys, json, binascii, machine
def text(name):
    try:
        with open(name) as f:
            return f.read(4000)
    except (OSError, UnicodeError):
        return None
def names(folder):
    try:
        return [row[0] for row in os.ilistdir(folder)]
    except OSError:
        return []
def known(text):
    try:
        values = json.loads(text)
        return {"node": values.get("node"), "serial": values.get("serial")}
    except Exception:
        return {}
def files_at():
    try:
        import esp32
        return esp32.Partition.find(esp32.Partition.TYPE_DATA, label="vfs")[0].info()[2]
    except Exception:
        return 0
spools = {}
for spool in names("spool"):
    rows = []
    for name in names("spool/" + spool):
        try:
            rows.append((name, os.stat("spool/" + spool + "/" + name)[6]))
        except OSError:
            pass
    spools[spool] = rows
room = os.statvfs(os.getcwd())
system = os.uname()
config = text("config.json")
print(json.dumps({"machine": system.machine, "version": system.version, "id": binascii.hexlify(machine.unique_id()).decode(),
    "root": names(os.getcwd()), "a": names("slots/a"), "b": names("slots/b"), "start": text("start.json"), "config": config is not None,
    "settings": known(config), "files_at": files_at(), "free": room[0] * room[3], "size": room[0] * room[2], "spools": spools}))
"""


class BoardError(CommissioningError):
    """The board said no, or nothing: a cable that was pulled, a full flash, an exception in its Python."""


@dataclass(frozen=True)
class Facts:
    """What is on a board that runs MicroPython."""

    machine: str  # "Generic ESP32 module with ESP32"
    version: str  # "v1.26.1 on 2025-09-11"
    address: str  # the chip's, hex
    root: frozenset[str]
    slots: dict[str, frozenset[str]]
    notes: dict[str, Any]  # start.json
    has_settings: bool
    node: str  # its name, from its settings or its address
    files_at: int  # where in the flash the files lie; 0: not known
    free: int  # bytes
    records: int  # in its spool, acknowledged or not; 0: none
    exact: bool = field(default=True)  # False: a segment could not be read, there may be fewer

    @property
    def chip(self) -> Chip:
        return chip_named(self.machine.rsplit(" with ", 1)[-1])

    @property
    def is_node(self) -> bool:
        """Whether our firmware is on it."""
        return bool(self.slots["a"] or self.slots["b"] or {"app.py", "app.mpy"} & self.root)


@dataclass(frozen=True)
class Seen:
    """What a board does when it is spoken to."""

    kind: str  # "prompt", or a key of _WORDS
    said: str


class Prompt:
    """The raw prompt of the board at `device`. As a context manager: leaves the board at its friendly prompt."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._open()

    def _open(self) -> None:
        self._transport = _transport(self.device)
        self._transport.serial.timeout = SERIAL_TIMEOUT_S

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError, serial.SerialException, TypeError, AttributeError):
            self._transport.close()

    def enter(self, patience_s: float = ANSWER_S) -> Seen:
        """Interrupt what runs, and reach the prompt with an empty heap. What came instead is told, not raised."""
        end = time.monotonic() + patience_s
        while True:
            try:
                return self._enter(end)
            except (
                BoardError
            ):  # a chip that is the USB device itself goes away when it starts, and comes back
                if time.monotonic() >= end:
                    raise
                self.close()
                self._open()

    def _enter(self, end: float) -> Seen:
        said = bytearray()
        with self._cable():
            port = self._transport.serial
            again = 0.0
            while time.monotonic() < end:
                if time.monotonic() >= again:
                    port.write(_INTERRUPT + _ENTER_RAW)
                    again = time.monotonic() + KNOCK_EVERY_S
                said += port.read(port.in_waiting) if port.in_waiting else b""
                if _RAW in said:
                    self._soft_reset()
                    return Seen("prompt", _shown(said))
                if said.count(b"rst:0x") > STARTS_OF_A_LOOP or b"waiting for download" in said:
                    break
                time.sleep(0.02)
        return Seen(_kind(bytes(said)), _shown(said))

    def _soft_reset(self) -> None:
        time.sleep(0.1)
        self._transport.serial.reset_input_buffer()
        self._transport.enter_raw_repl(soft_reset=True)
        self.run(f"import machine\nmachine.WDT(timeout={WATCHDOG_MS})\n")

    def run(self, code: str, timeout_s: float = RUN_TIMEOUT_S) -> str:
        """Run Python on the board; what it printed. BoardError with the last line of its traceback."""
        with self._cable():
            printed, error = self._transport.exec_raw(code, timeout=timeout_s)
        if error:
            lines = error.decode("utf-8", "replace").strip().splitlines()
            raise BoardError(tr("the board says: {words}", words=lines[-1] if lines else "error"))
        return str(printed.decode("utf-8", "replace"))

    def facts(self) -> Facts:
        told = json.loads(self.run(_LOOK))
        notes = {}
        with contextlib.suppress(ValueError, TypeError):
            loaded = json.loads(told["start"] or "{}")
            notes = loaded if isinstance(loaded, dict) else {}
        records, exact = self._records(told["spools"])
        name = told["settings"].get("node")
        return Facts(
            machine=told["machine"],
            version=told["version"].removeprefix("MicroPython "),
            address=told["id"],
            root=frozenset(told["root"]),
            slots={slot: frozenset(told[slot]) for slot in ("a", "b")},
            notes=notes,
            has_settings=told["config"],
            node=name if isinstance(name, str) else f"ff-{told['id'][-8:]}",
            files_at=told["files_at"],
            free=told["free"],
            records=records,
            exact=exact,
        )

    def _records(self, spools: dict[str, list[tuple[str, int]]]) -> tuple[int, bool]:
        """How many records lie in the flash, and whether that is certain."""
        count, exact = 0, True
        for spool, rows in spools.items():
            segments = sorted((int(name[:-4]), size) for name, size in rows if name[:-4].isdigit())
            if not segments:
                continue
            first, size = segments[-1][0], segments[-1][1]
            content = self.read(f"spool/{spool}/{first:012d}.seg")
            try:
                newest = sum(1 for _ in SegmentReader(memoryview(content)))
            except PayloadError:
                newest, exact = size // SMALLEST_RECORD_BYTES, False
            count += first - segments[0][0] + newest
        return count, exact

    def read(self, path: str) -> bytes:
        """A small file of the board."""
        code = f"import binascii\nwith open({path!r}, 'rb') as f:\n print(binascii.hexlify(f.read({LONGEST_TEXT})).decode())\n"
        return bytes.fromhex(self.run(code).strip())

    def restart(self) -> None:
        """As if its reset button was pressed; then the cable is free."""
        with contextlib.suppress(BoardError, Exception):
            self._transport.exec_raw_no_follow("import machine\nmachine.reset()")
        time.sleep(0.1)
        self.close()

    @contextlib.contextmanager
    def _cable(self) -> Iterator[None]:
        """Puts what the port and mpremote raise into words; keeps what mpremote prints from the screen."""
        from mpremote.transport import TransportError  # noqa: PLC0415

        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        except (
            OSError,
            serial.SerialException,
            TransportError,
            TypeError,
            AttributeError,
            ValueError,
            IndexError,
        ) as error:
            if isinstance(error, CommissioningError):
                raise
            raise BoardError(
                tr("{device}: the board does not answer any more", device=self.device),
                tr(
                    "Was the cable pulled, or is it loose? Plug it in again and give the same command: it goes on where it stopped."
                ),
            ) from error


def _transport(device: str) -> Any:
    try:
        from mpremote.transport import TransportError  # noqa: PLC0415 - comes with the extra
        from mpremote.transport_serial import SerialTransport  # noqa: PLC0415
    except ImportError:
        raise CommissioningError(
            tr("mpremote, which speaks to the board, is not installed"),
            tr("Install what setting up boards needs: {command}", command=how_to_install("flash")),
        ) from None
    for attempt in range(OPEN_ATTEMPTS):
        now = check_usable(
            device
        )  # it says why not, waits for a port that is in use or comes back, and knows its new name
        try:
            return SerialTransport(now, BAUD)
        except (OSError, serial.SerialException, TransportError, ValueError):  # taken or gone since
            time.sleep(0.2 * attempt)
    raise CommissioningError(
        tr("{device}: cannot be opened", device=device), tr("Unplug the board, plug it in again.")
    )


def knock(device: str) -> tuple[Seen, Facts | None]:
    """Look at a board: what it is, if MicroPython answers. The firmware on it is stopped for that, and starts again."""
    with Prompt(device) as prompt:
        seen = prompt.enter(ANSWER_S)
        if seen.kind != "prompt":
            return seen, None
        try:
            return seen, prompt.facts()
        finally:
            prompt.restart()


# What the ROM, the bootloader and MicroPython print, and what it means; the first that fits
_SIGNS = (
    (b"waiting for download", "download"),
    (b"Brownout detector", "brownout"),
    (b"invalid header: 0xffffffff", "empty"),
    (b"flash read err, 1000", "empty"),
    (b"Guru Meditation", "panic"),
    (b"filesystem appears to be corrupted", "files"),
)


def _kind(said: bytes) -> str:
    for sign, kind in _SIGNS:
        if sign in said:
            return kind
    if said.count(b"rst:0x") > 1:
        return "loop"
    return "other" if said.strip() else "silent"


# kind -> what is wrong, what to do where MicroPython is not about to be written
_WORDS = {
    "download": (
        marked("the board waits for a program to be written (download mode)"),
        marked("Press its button EN (or RST) once, without BOOT; or write MicroPython: --micropython FILE_OR_FOLDER"),
    ),
    "brownout": (
        marked("the board restarts again and again because its voltage drops (brownout)"),
        marked("Use a short, thick cable and another USB socket (no hub); unplug sensors and lamps until it runs."),
    ),
    "empty": (marked("there is no program on this board yet"), ""),
    "panic": (
        marked("the program on the board crashes and restarts again and again (Guru Meditation)"),
        marked("Write MicroPython anew: --micropython FILE_OR_FOLDER. The counts in its flash are kept."),
    ),
    "files": (
        marked("MicroPython runs, but finds something that is no file system in its part of the flash"),
        marked("If this board has never counted: --micropython FILE --erase. If it has, its flash is damaged; keep it for a look."),
    ),
    "loop": (
        marked("the board restarts again and again"),
        marked("Unplug everything but the USB cable. If it goes on, write MicroPython anew: --micropython FILE_OR_FOLDER"),
    ),
    "other": (marked("another program runs on this board, not MicroPython"), ""),
    "silent": (
        marked("the board says nothing"),
        marked("Is it an ESP32 board? Press its button EN (or RST). A board without a program is silent, too."),
    ),
}  # fmt: skip


def trouble(seen: Seen) -> tuple[str, str]:
    """What is the matter with a board that shows no prompt, and the way out (may be empty)."""
    what, way_out = _WORDS[seen.kind]
    return tr(what), tr(way_out)


def _shown(said: bytes | bytearray) -> str:
    return bytes(said[-LONGEST_TEXT:]).decode("utf-8", "replace")
