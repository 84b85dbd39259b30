"""MicroPython onto the chip, with esptool. esptool is under the GPL and therefore a program here, never imported.

Nothing is erased but what an image covers: the files of a node lie behind it and stay, unless the image puts them elsewhere.
"""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from footfall_gateway.commissioning import CommissioningError
from footfall_gateway.commissioning.chips import Chip, chip_named
from footfall_gateway.commissioning.images import TABLE_AT, TABLE_BYTES, Image, files_at
from footfall_gateway.commissioning.language import tr
from footfall_gateway.commissioning.ports import check_usable
from footfall_gateway.extras import how_to_install

__all__ = ["ChipSeen", "Esptool"]

FAST_BAUD = 460_800  # the fastest that every USB chip of _BRIDGES takes
SECTOR = 4096
CONNECT_ATTEMPTS = 7
ATTEMPTS = 3

Progress = Callable[[float], None]  # 0 to 1


@dataclass(frozen=True)
class ChipSeen:
    """What the chip's own loader tells."""

    chip: Chip
    description: str  # "ESP32-D0WD-V3 (revision v3.1)"
    flash_bytes: int  # 0: not known
    address: str  # hex; machine.unique_id() on the board. Empty: not told


class Esptool:
    """esptool for the board at `device`.

    download_mode: the board is already waiting for a program, do not try to bring it there. slow: no faster baud rate, and
    the chip's own loader alone.
    """

    def __init__(self, device: str, *, download_mode: bool = False, slow: bool = False) -> None:
        self._device = device
        self._options = ["--connect-attempts", str(CONNECT_ATTEMPTS)]
        if download_mode:
            self._options += ["--before", "no-reset"]
        if slow:
            self._options += ["--no-stub"]
        else:
            self._options += ["--baud", str(FAST_BAUD)]
        if importlib.util.find_spec("esptool") is None:
            raise CommissioningError(
                tr("esptool, which writes to the chip, is not installed"),
                tr("Install what setting up boards needs: {command}", command=how_to_install("flash")),
            )

    def look(self) -> ChipSeen:
        """Which chip it is; nothing is written."""
        said = self._run(["flash-id"])
        named = re.search(r"^Chip type:\s*(\S.*?)\s*$", said, re.MULTILINE) or re.search(
            r"^Detecting chip type\.*\s*(\S.*?)\s*$", said, re.MULTILINE
        )
        if named is None:
            raise CommissioningError(
                tr("{device}: esptool does not tell the chip", device=self._device), *said.splitlines()[-3:]
            )
        description = named[1]
        size = re.search(r"^Detected flash size:\s*(\d+)MB", said, re.MULTILINE)
        address = re.search(
            r"^MAC:\s*((?:[0-9a-f]{2}:){5}[0-9a-f]{2})\s*$", said, re.MULTILINE | re.IGNORECASE
        )
        return ChipSeen(
            chip_named(description),
            description,
            int(size[1]) << 20 if size else 0,
            address[1].replace(":", "").lower() if address else "",
        )

    def files_at(self) -> int:
        """Where the MicroPython that is in the flash has its files; 0: there is none."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "table.bin")
            self._run(["read-flash", hex(TABLE_AT), hex(TABLE_BYTES), str(path)])
            return files_at(path.read_bytes())

    def write(self, image: Image, progress: Progress, *, clear_files: bool) -> None:
        """Write an image; esptool compares what is in the flash afterwards. clear_files: no file system is there yet, so
        that what lies in its place is not taken for a damaged one."""
        with tempfile.TemporaryDirectory() as folder:
            parts = [hex(image.chip.bootloader_offset), str(image.path)]
            if clear_files:
                blank = Path(folder, "blank.bin")
                blank.write_bytes(b"\xff" * 2 * SECTOR)
                parts += [hex(image.files_at), str(blank)]
            self._run(["--chip", image.chip.name], ["write-flash", *parts], progress)

    def erase(self, progress: Progress) -> None:
        """Erase everything."""
        self._run(["erase-flash"], [], progress)

    def _run(
        self, first: Sequence[str], command: Sequence[str] = (), progress: Progress | None = None
    ) -> str:
        """Run esptool; what it said. It is run again if the port went away meanwhile: a chip that is the USB device itself is
        still leaving it when the last run has just let it start. All that esptool does here may be repeated."""
        for _ in range(ATTEMPTS):
            code, said = self._run_once(first, command, progress)
            if code == 0:
                return said
            if not re.search(
                r"Could not open|Input/output error|No such file|No such device|disconnected", said
            ):
                break
        raise self._failure(said)

    def _run_once(
        self, first: Sequence[str], command: Sequence[str], progress: Progress | None
    ) -> tuple[int, str]:
        argv = [sys.executable, "-m", "esptool", "--port", check_usable(self._device)]
        argv += [*self._options, *first, *command]
        environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "TERM": "dumb",
        }
        said = ""
        with subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
        ) as process:
            try:
                assert process.stdout is not None
                while data := os.read(process.stdout.fileno(), 4096):
                    said += data.decode("utf-8", "replace")
                    if progress is not None:
                        done = re.findall(r"(?:Writing at|Wrote).*?(\d+\.\d) ?%", said[-2000:])
                        if done:
                            progress(float(done[-1]) / 100)
            except BaseException:
                process.terminate()
                raise
        if progress is not None and process.returncode == 0:
            progress(1.0)
        return process.returncode, said

    def _failure(self, said: str) -> CommissioningError:
        """What esptool's last words mean."""
        if re.search(
            r"This chip is \S+, not|Unexpected chip|not an? .* image|Wrong chip", said, re.IGNORECASE
        ):
            return CommissioningError(f"{self._device}: {_last_words(said)}", tr("Nothing was written."))
        if "Failed to connect" in said or "No serial data received" in said or "Wrong boot mode" in said:
            return CommissioningError(
                tr(
                    "{device}: the board does not let itself be written to (it is not in download mode)",
                    device=self._device,
                ),
                tr(
                    "Hold its button BOOT, press EN (or RST) once, let BOOT go, and give the same command with --download-mode."
                ),
                tr("Nothing happens? Then try another cable: some have no data lines."),
            )
        if (
            re.search(r"MD5|Hash of data|does not match|verif\w+ fail", said, re.IGNORECASE)
            and "match" in said
        ):
            return CommissioningError(
                tr("{device}: what was written does not read back the same", device=self._device),
                tr(
                    "Try again with another cable, at another socket, and with --slow. If it stays so, the board's flash is worn out."
                ),
            )
        if re.search(r"flash size|does not fit|will not fit|larger than", _last_words(said)):
            return CommissioningError(
                f"{self._device}: {_last_words(said)}", tr("Use a board with 4 MB of flash or more.")
            )
        return CommissioningError(
            tr("{device}: esptool gave up: {words}", device=self._device, words=_last_words(said)),
            tr(
                "Was the cable pulled, or is it loose? Plug it in again and give the same command; --slow helps with poor cables."
            ),
            tr("The counts in the board's flash are where they were."),
        )


def _last_words(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for line in reversed(lines):
        found = re.search(r"(?:fatal )?error(?: occurred)?: (.+)", line, re.IGNORECASE)
        if found:
            return found[1]
    return lines[-1] if lines else tr("without a word")
