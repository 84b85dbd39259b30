"""The pin table: every role on a pin that can serve it, every mistake seen, and all that is written from it up to date."""

import copy
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("hardware_pins", ROOT / "hardware" / "pins.py")
pins = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pins)

CHIPS = pins.read_pins()


@pytest.mark.parametrize("name", CHIPS)
def test_no_role_sits_on_a_pin_that_cannot_serve_it(name):
    assert pins.problems(CHIPS[name]) == []


# A role, a pin that cannot serve it, and what must be said: strapping, flash and PSRAM, console and USB, input only
# (without a pull-up for a switch, without a driver for a lamp), no interrupt, not quiet at power-up, not there, two roles
WRONG = [
    ("esp32", "outer", 0, "read at reset"),
    ("esp32", "lamp1", 2, "read at reset"),
    ("esp32", "status", 5, "read at reset"),
    ("esp32", "button1", 12, "read at reset"),
    ("esp32", "inner", 15, "read at reset"),
    ("esp32", "outer", 6, "flash"),
    ("esp32", "lamp2", 11, "flash"),
    ("esp32", "carrier1", 16, "PSRAM"),
    ("esp32", "inner", 17, "PSRAM"),
    ("esp32", "status", 1, "console"),
    ("esp32", "button2", 3, "console"),
    ("esp32", "outer", 34, "no pull-up"),
    ("esp32", "button5", 35, "no pull-up"),
    ("esp32", "lamp3", 34, "drives nothing"),
    ("esp32", "carrier1", 35, "drives nothing"),
    ("esp32", "inner", 36, "interrupts are unreliable"),
    ("esp32", "button1", 39, "interrupts are unreliable"),
    ("esp32", "lamp1", 26, "not quiet at power-up"),
    ("esp32", "status", 14, "not quiet at power-up"),
    ("esp32", "outer", 24, "no such pin"),
    ("esp32", "outer", 40, "the highest pin is 39"),
    ("esp32", "inner", 32, "outer is there as well"),
    ("esp32", "lamp1", 25, "button1 is there as well"),
    ("esp32", "carrier1", 21, "lamp3 is there as well"),
    ("esp32", "carrier2", 23, "lamp5 is there as well"),
    ("esp32s3", "outer", 0, "read at reset"),
    ("esp32s3", "lamp1", 3, "read at reset"),
    ("esp32s3", "status", 45, "read at reset"),
    ("esp32s3", "button1", 46, "read at reset"),
    ("esp32s3", "outer", 27, "flash"),
    ("esp32s3", "inner", 35, "PSRAM"),
    ("esp32s3", "button1", 19, "USB"),
    ("esp32s3", "button1", 20, "USB"),
    ("esp32s3", "lamp5", 43, "console"),
    ("esp32s3", "lamp1", 21, "not quiet at power-up"),
    ("esp32s3", "carrier1", 4, "not quiet at power-up"),
    ("esp32s3", "status", 38, "LED"),
    ("esp32s3", "status", 48, "LED"),
    ("esp32s3", "inner", 22, "no such pin"),
    ("esp32s3", "inner", 49, "the highest pin is 48"),
    ("esp32s3", "carrier1", 13, "lamp5 is there as well"),
    ("esp32c3", "outer", 2, "read at reset"),
    ("esp32c3", "outer", 8, "read at reset"),
    ("esp32c3", "status", 9, "read at reset"),
    ("esp32c3", "inner", 12, "flash"),
    ("esp32c3", "inner", 11, "flash"),
    ("esp32c3", "status", 18, "USB"),
    ("esp32c3", "status", 18, "not quiet at power-up"),
    ("esp32c3", "carrier1", 21, "console"),
    ("esp32c3", "outer", 0, "does not lead it out"),
    ("esp32c3", "inner", 22, "the highest pin is 21"),
    ("esp32c3", "inner", 3, "outer is there as well"),
]


@pytest.mark.parametrize(("name", "role", "pin", "reason"), WRONG)
def test_a_wrong_pin_is_seen(name, role, pin, reason):
    chip = copy.deepcopy(CHIPS[name])
    chip["roles"][role] = pin
    assert any(f"{role} on pin {pin}: " in line and reason in line for line in pins.problems(chip))


def test_input_only_and_interrupts_are_judged_on_every_chip():
    for name, chip in copy.deepcopy(CHIPS).items():
        chip["input_only"] = chip["no_interrupt"] = [chip["roles"]["outer"], chip["roles"]["status"]]
        said = " ".join(pins.problems(chip))
        assert "no pull-up" in said, name
        assert "interrupts are unreliable" in said, name
        assert "drives nothing" in said, name


@pytest.mark.parametrize("gone", ["button3", "lamp3"])
def test_a_button_without_its_lamp_is_seen(gone):
    chip = copy.deepcopy(CHIPS["esp32"])
    del chip["roles"][gone]
    assert len(pins.problems(chip)) == 1


def test_the_known_traps_are_in_the_table():
    esp32, s3, c3 = (CHIPS[name] for name in ("esp32", "esp32s3", "esp32c3"))
    assert {0, 2, 5, 12, 15} <= set(esp32["never"]["strapping"])
    assert {6, 7, 8, 9, 10, 11} <= set(esp32["never"]["flash"])
    assert {34, 35, 36, 39} <= set(esp32["input_only"])
    assert {0, 3, 45, 46} <= set(s3["never"]["strapping"])
    assert {26, 32} <= set(s3["never"]["flash"])
    assert {2, 8, 9} <= set(c3["never"]["strapping"])


@pytest.mark.parametrize("name", CHIPS)
def test_the_boot_button_is_a_pin_that_the_board_has_it_on_and_nothing_else(name):
    chip = CHIPS[name]
    assert chip["boot_button"] in chip["never"]["strapping"]
    assert chip["boot_button"] not in chip["input_only"]


@pytest.mark.parametrize("path", list(pins.firmware_tables()), ids=lambda path: path.name)
def test_the_firmware_has_the_same_table(path):
    assert path.read_text("utf-8") == pins.firmware_tables()[path]


@pytest.mark.parametrize(("path", "text"), list(pins.documents()), ids=lambda one: getattr(one, "name", ""))
def test_a_document_has_the_same_table(path, text):
    assert path.read_text("utf-8") == text
    assert "<!-- pins " in text


@pytest.mark.parametrize(("name", "second_barrier"), [("esp32", (34, 35)), ("esp32s3", (40, 41))])
def test_the_pins_that_the_wiring_page_gives_to_a_second_barrier_are_free_and_accepted(name, second_barrier):
    chip = CHIPS[name]
    for language in ("de", "en"):
        text = (ROOT / f"hardware/wiring.{language}.md").read_text("utf-8")
        assert re.search(r"\b{} (und|and) {}\b".format(*second_barrier), text)
    assert set(second_barrier) <= set(pins.usable_pins(chip)[0])
    assert not set(second_barrier) & set(chip["roles"].values())
