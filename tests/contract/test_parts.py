"""The real MicroPython is what the virtual board takes it for."""

import subprocess
from pathlib import Path

from footfall_simulator import parts


def run(
    micropython: parts.Micropython,
    code: str,
    folder: Path,
    *,
    heap_kb: int = 192,
    path: tuple[Path, ...] = (),
):
    command = micropython.command(["-c", code], heap_kb=heap_kb, path=path)
    return subprocess.run(
        command.argv, env=command.env, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_it_has_the_modules_that_the_firmware_imports(micropython, tmp_path):
    code = "import asyncio, binascii, json, os, select, socket, struct, sys, time, tls; print(sys.implementation[0])"
    assert run(micropython, code, tmp_path).stdout == "micropython\n"


def test_its_heap_is_as_large_as_asked_for(micropython, tmp_path):
    code = "import gc; print(gc.mem_free() + gc.mem_alloc())"
    total = int(run(micropython, code, tmp_path, heap_kb=64).stdout)
    assert 60 * 1024 < total <= 64 * 1024
    assert "MemoryError" in run(micropython, "bytearray(100_000)", tmp_path, heap_kb=64).stderr


def test_a_folder_on_its_path_overrides_a_built_in_module(micropython, tmp_path):
    shims = tmp_path / "shims"
    shims.mkdir()
    (shims / "machine.py").write_text("WHOSE = 'ours'\n")
    assert (
        run(micropython, "import machine; print(machine.WHOSE)", tmp_path, path=(shims,)).stdout == "ours\n"
    )


def test_its_flash_is_its_working_folder(micropython, tmp_path):
    run(micropython, "open('kept', 'w').write('1')", tmp_path)
    assert (tmp_path / "kept").read_text() == "1"
