"""Write everything that follows pins.toml, so that nobody keeps a second list: `python hardware/pins.py`.

That is the firmware's pin tables and the tables in the documents. `problems` is the judge of a table; tests/unit/test_pins.py
shows it every mistake it must see, and fails when anything written here differs from what lies in the repository.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BOARD = HERE.parent / "firmware" / "board"
DOCUMENTS = [HERE / "README.md", HERE / "wiring.de.md", HERE / "wiring.en.md"]

Chip = dict[str, Any]

WHY_NOT = {
    "strapping": "it is read at reset (strapping)",
    "flash": "the flash hangs on it",
    "psram": "the PSRAM hangs on it",
    "console": "it is the console",
    "usb": "it is the USB port",
    "missing": "the chip or module has no such pin",
    "led": "the board's LED hangs on it",
    "not_led_out": "the board does not lead it out",
}


def read_pins() -> dict[str, Chip]:
    """pins.toml as it stands: chip -> its entries."""
    return tomllib.loads((HERE / "pins.toml").read_text("utf-8"))


def is_switch(role: str) -> bool:
    """Whether something opens and closes at this role: a beam's sensor or a button."""
    return role in ("outer", "inner") or role.startswith("button")


def problems(chip: Chip) -> list[str]:
    """What is wrong with a chip's roles, a sentence each; empty if they can be wired as they stand."""
    found = []
    roles: dict[str, int] = chip["roles"]
    for role, pin in roles.items():
        where = f"{chip['name']}: {role} on pin {pin}:"
        if not 0 <= pin <= chip["last"]:
            found.append(f"{where} the highest pin is {chip['last']}")
        found += [
            f"{where} {WHY_NOT[reason]}"
            for reason, pins in [*chip["never"].items(), *chip["this_board"].items()]
            if pin in pins
        ]
        if is_switch(role):
            if pin in chip["input_only"]:
                found.append(f"{where} it has no pull-up inside, a cut cable would count")
            if pin in chip["no_interrupt"]:
                found.append(f"{where} its interrupts are unreliable")
        else:
            if pin in chip["input_only"]:
                found.append(f"{where} it is an input only and drives nothing")
            if pin in chip["boot_glitch"]:
                found.append(f"{where} it is not quiet at power-up")
        others = [other for other in roles if roles[other] == pin and other != role]
        found += [
            f"{where} {other} is there as well"
            for other in others
            if chip["instead_of"].get(role) != other and chip["instead_of"].get(other) != role
        ]
    for first, second in (("button", "lamp"), ("lamp", "button")):
        found += [
            f"{chip['name']}: {role} has no {second}"
            for role in roles
            if role.startswith(first) and role.replace(first, second) not in roles
        ]
    return found


def usable_pins(chip: Chip) -> tuple[list[int], list[int]]:
    """(pins for beams and buttons, pins for lamps and carriers) that the firmware accepts, in order.

    It does not know the board, so `this_board` is no reason to refuse; nor is a lamp that flickers at power-up.
    """
    taken = {pin for pins in chip["never"].values() for pin in pins}
    free = [pin for pin in range(chip["last"] + 1) if pin not in taken]
    inputs = [pin for pin in free if pin not in chip["no_interrupt"]]
    return inputs, [pin for pin in free if pin not in chip["input_only"]]


def numbered(chip: Chip, kind: str) -> list[int]:
    """The pins of button1, button2 ..., of lamp1, lamp2 ... or of carrier1, carrier2."""
    return [chip["roles"][role] for role in sorted(chip["roles"]) if role.startswith(kind)]


def pin_table(chip: Chip) -> str:
    """The text of the firmware's pin table of one chip."""
    inputs, outputs = usable_pins(chip)
    roles = chip["roles"]
    return f'''"""The pins of {chip["board"]}. Written by hardware/pins.py from hardware/pins.toml: change it there."""

INPUTS = {tuple(inputs)!r}
OUTPUTS = {tuple(outputs)!r}
WITHOUT_PULL_UP = {tuple(pin for pin in chip["input_only"] if pin in inputs)!r}

OUTER = {roles["outer"]}
INNER = {roles["inner"]}
BUTTONS = {tuple(numbered(chip, "button"))!r}
LAMPS = {tuple(numbered(chip, "lamp"))!r}
STATUS = {roles["status"]}
CARRIERS = {tuple(numbered(chip, "carrier"))!r}
BOOT_BUTTON = {chip["boot_button"]}
'''


def firmware_tables() -> dict[Path, str]:
    """The firmware's files that are written from pins.toml: path -> text."""
    return {BOARD / f"pins_{name}.py": pin_table(chip) for name, chip in read_pins().items()}


# ------------------------------------------------------------------------------------------- tables in the documents

ROLE_NAMES = {
    "en": {
        "outer": "outer beam (towards the street)",
        "inner": "inner beam",
        "button": "button",
        "lamp": "lamp",
        "status": "status lamp",
        "carrier": "bare infrared emitter",
    },
    "de": {
        "outer": "äußere Lichtschranke (zur Straße hin)",
        "inner": "innere Lichtschranke",
        "button": "Taste",
        "lamp": "Lampe",
        "status": "Zustandslampe",
        "carrier": "bloßer Infrarotsender",
    },
}
HEADINGS = {"en": "What", "de": "Was"}
INSTEAD = {"en": "instead of", "de": "statt"}
NONE = "–"


def role_name(role: str, language: str) -> str:
    """`button3` -> `button 3`, in the reader's words."""
    kind, number = re.fullmatch(r"([a-z]+)(\d*)", role).groups()  # type: ignore[union-attr]
    return f"{ROLE_NAMES[language][kind]} {number}".strip()


def shown(chip: Chip, role: str, language: str) -> str:
    """A role's pin as a reader finds it on the board."""
    pin = chip["roles"].get(role)
    if pin is None:
        return NONE
    label = chip.get("labels", {}).get(str(pin))
    text = f"{pin} ({label})" if label else str(pin)
    other = chip["instead_of"].get(role)
    return f"{text}, {INSTEAD[language]} {role_name(other, language)}" if other else text


def roles_table(language: str) -> str:
    """Role by role, the pin on each of the three boards."""
    chips = list(read_pins().values())
    lines = [
        f"| {HEADINGS[language]} | " + " | ".join(chip["board"] for chip in chips) + " |",
        "|---|" + "--:|" * len(chips),
    ]
    lines += [
        f"| {role_name(role, language)} | " + " | ".join(shown(chip, role, language) for chip in chips) + " |"
        for role in chips[0]["roles"]
    ]
    return "\n".join(lines)


def refused_table(language: str) -> str:
    """Which pins the firmware refuses, and which it takes."""
    heading = {
        "en": "| Chip | for beams and buttons | for lamps and carriers | refused |",
        "de": "| Chip | für Lichtschranken und Tasten | für Lampen und Träger | abgelehnt |",
    }[language]
    lines = [heading, "|---|---|---|---|"]
    for chip in read_pins().values():
        inputs, outputs = usable_pins(chip)
        refused = [pin for pin in range(chip["last"] + 1) if pin not in inputs and pin not in outputs]
        lines.append(
            f"| {chip['name']} | {ranges(inputs)} | {ranges(outputs)} | {ranges(refused)} |",
        )
    return "\n".join(lines)


def ranges(pins: list[int]) -> str:
    """[1, 2, 4, 5, 6] -> "1, 2, 4-6"."""
    runs: list[list[int]] = []
    for pin in pins:
        if runs and pin == runs[-1][-1] + 1:
            runs[-1].append(pin)
        else:
            runs.append([pin])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


TABLES = {"roles": roles_table, "refused": refused_table}
MARKED = re.compile(r"(<!-- pins (\w+) (\w\w) -->\n).*?(<!-- /pins -->)", re.DOTALL)


def with_tables(text: str) -> str:
    """A document with its marked tables as pins.toml has them."""
    return MARKED.sub(lambda found: f"{found[1]}{TABLES[found[2]](found[3])}\n{found[4]}", text)


def documents() -> Iterator[tuple[Path, str]]:
    """(path, text as it should be) of every document with a table of pins."""
    for path in DOCUMENTS:
        yield path, with_tables(path.read_text("utf-8"))


if __name__ == "__main__":
    for target, content in [*firmware_tables().items(), *documents()]:
        target.write_text(content, "utf-8")
        print(f"wrote {target.relative_to(HERE.parent)}")
