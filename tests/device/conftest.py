"""Fixtures for tests that run the firmware's own modules on the real MicroPython."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from footfall_simulator import parts

ROOT = Path(__file__).parents[2]
FIRMWARE = ROOT / "firmware"
CHIP = (
    ROOT / "simulator/footfall_simulator/virtual_board/chip"
)  # flash_chip: a block device for the real littlefs
HEAP_KB = 192  # on this 64-bit port a fair stand-in for the 100 KB that an ESP32 leaves to the firmware
TIMEOUT_S = 240


@pytest.fixture
def flash(tmp_path: Path) -> Path:
    """An empty folder that is the board's flash."""
    folder = tmp_path / "flash"
    folder.mkdir()
    return folder


@pytest.fixture
def run_on_board(micropython: parts.Micropython, flash: Path) -> Callable[..., Any]:
    """Run a piece of MicroPython with the firmware on its path, in the flash; returns what `show(...)` printed last."""

    def run(code: str, *arguments: object, heap_kb: int = HEAP_KB) -> Any:
        command = micropython.command(
            [
                "-c",
                "import json, sys\ndef show(x): print('SHOWN', json.dumps(x))\n" + code,
                *map(str, arguments),
            ],
            heap_kb=heap_kb,
            path=[FIRMWARE, FIRMWARE / "lib", CHIP],
        )
        done = subprocess.run(
            command.argv,
            env=command.env,
            cwd=flash,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        shown = [
            line.removeprefix("SHOWN ") for line in done.stdout.splitlines() if line.startswith("SHOWN ")
        ]
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return json.loads(shown[-1]) if shown else done.stdout

    return run
