"""The firmware against the stubs of the ESP32 port: only functions that a board really has, with arguments it takes."""

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIRMWARE = ROOT / "firmware"
# Where the stubs know less than the board does
GAPS_IN_THE_STUBS = (
    '"SSLContext" has no attribute "verify_mode"',
    'Argument 3 to "Pin" has incompatible type "int | None"',  # None: no pull
)


@pytest.fixture(scope="module")
def errors_in(tmp_path_factory):
    """Check a copy of the firmware, with one file replaced if given; mypy's errors in it, one a line."""
    base = tmp_path_factory.mktemp("types")
    stubs = base / "stubs"
    stubs.mkdir()
    distribution = importlib.metadata.distribution("micropython-esp32-stubs")
    for file in distribution.files or ():
        if len(file.parts) == 1 and file.name.endswith(".pyi"):
            shutil.copy(distribution.locate_file(file), stubs)
    site_packages = Path(str(distribution.locate_file("")))
    shutil.copytree(FIRMWARE, base / "firmware", ignore=shutil.ignore_patterns("__pycache__", "manifest.py"))
    config = base / "mypy.ini"
    config.write_text(
        f"""[mypy]
python_version = 3.11
custom_typeshed_dir = {site_packages}
mypy_path = {base}/firmware/lib:{stubs}
check_untyped_defs = True
explicit_package_bases = True
disable_error_code = var-annotated, union-attr, index, assignment, misc
cache_dir = {base}/cache
"""
    )

    def check(name: str | None = None, text: str = "") -> list[str]:
        planted = base / "firmware" / name if name else None
        if planted is not None:
            planted.write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--config-file", config, "main.py", "app.py", "board", "node"],
            cwd=base / "firmware",
            capture_output=True,
            text=True,
            check=False,
        )
        if planted is not None:
            planted.unlink()
        assert "Found" in done.stdout or "Success" in done.stdout, done.stdout + done.stderr
        ours = ("main.py:", "app.py:", "board/", "node/", "lib/")
        return [line for line in done.stdout.splitlines() if line.startswith(ours) and ": error:" in line]

    return check


def test_the_firmware_uses_only_what_the_esp32_has(errors_in):
    errors = [line for line in errors_in() if not any(gap in line for gap in GAPS_IN_THE_STUBS)]
    assert errors == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("machine.reboot()", "reboot"),
        ("machine.Pin(4).irq(hardness=True)", "hardness"),
        ("network.WLAN().join('x')", "join"),
        ("time.ticks_seconds()", "ticks_seconds"),
        ("import esp33", "esp33"),
    ],
)
def test_the_check_sees_a_planted_mistake(errors_in, line, reason):
    text = f"import machine\nimport network\nimport time\n\n\ndef planted():\n    {line}\n"
    assert any(reason in error for error in errors_in("board/planted.py", text))
