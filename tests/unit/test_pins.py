"""The pin table: every role on a pin that can serve it, and the firmware's copy of the table up to date."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("hardware_pins", ROOT / "hardware" / "pins.py")
pins = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pins)

CHIP = pins.read_pins()["esp32"]
ROLES = list(CHIP["roles"].items())


@pytest.mark.parametrize(("role", "pin"), ROLES)
@pytest.mark.parametrize("kind", ["strapping", "flash", "console", "missing"])
def test_no_role_sits_on_a_pin_that_the_chip_needs_itself(role, pin, kind):
    assert pin not in CHIP[kind]


@pytest.mark.parametrize(("role", "pin"), [(r, p) for r, p in ROLES if r.startswith(("lamp", "status"))])
def test_a_lamp_sits_on_a_pin_that_can_drive_it(role, pin):
    assert pin not in CHIP["input_only"]


@pytest.mark.parametrize(
    ("role", "pin"), [(r, p) for r, p in ROLES if r in ("outer", "inner") or r.startswith("button")]
)
def test_a_beam_or_button_sits_on_a_pin_with_interrupt_and_pull_up(role, pin):
    assert pin not in CHIP["no_interrupt"]
    assert pin not in CHIP["input_only"]


def test_no_pin_has_two_roles():
    used = list(CHIP["roles"].values())
    assert sorted(used) == sorted(set(used))


def test_every_pin_exists():
    assert all(0 <= pin <= CHIP["last"] for pin in CHIP["roles"].values())


def test_every_button_has_its_lamp():
    buttons = {r.removeprefix("button") for r in CHIP["roles"] if r.startswith("button")}
    lamps = {r.removeprefix("lamp") for r in CHIP["roles"] if r.startswith("lamp")}
    assert buttons == lamps


def test_the_known_traps_of_the_esp32_are_in_the_table():
    assert {0, 2, 5, 12, 15} <= set(CHIP["strapping"])
    assert {6, 7, 8, 9, 10, 11} <= set(CHIP["flash"])
    assert {34, 35, 36, 39} <= set(CHIP["input_only"])


def test_the_firmware_has_the_same_table():
    assert pins.TABLE.read_text("utf-8") == pins.pin_table(CHIP)
