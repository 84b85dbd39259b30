"""Write firmware/board/pin_table.py from pins.toml, so that nobody keeps two lists: `python hardware/pins.py`.

tests/unit/test_pins.py fails when the two differ, or when a role sits on a pin that cannot serve it.
"""

import tomllib
from pathlib import Path

HERE = Path(__file__).parent
TABLE = HERE.parent / "firmware" / "board" / "pin_table.py"
CHIP = "esp32"


def read_pins() -> dict[str, dict]:
    """pins.toml as it stands: chip -> its entries."""
    return tomllib.loads((HERE / "pins.toml").read_text("utf-8"))


def usable_pins(chip: dict) -> tuple[list[int], list[int]]:
    """(pins for beams and buttons, pins for lamps) of a chip, in order."""
    taken = {*chip["strapping"], *chip["flash"], *chip["console"], *chip["missing"]}
    free = [pin for pin in range(chip["last"] + 1) if pin not in taken]
    inputs = [pin for pin in free if pin not in chip["no_interrupt"]]
    return inputs, [pin for pin in free if pin not in chip["input_only"]]


def pin_table(chip: dict) -> str:
    """The text of the firmware's pin table."""
    inputs, outputs = usable_pins(chip)
    roles = chip["roles"]
    numbered = {
        kind: tuple(roles[role] for role in sorted(roles) if role.startswith(kind))
        for kind in ("button", "lamp")
    }
    return f'''"""The pins of {chip["board"]}. Written by hardware/pins.py from hardware/pins.toml: change it there.

node/config.py takes its defaults from here and refuses other pins than these.
"""

INPUTS = {tuple(inputs)!r}
OUTPUTS = {tuple(outputs)!r}
WITHOUT_PULL_UP = {tuple(pin for pin in chip["input_only"] if pin in inputs)!r}

OUTER = {roles["outer"]}
INNER = {roles["inner"]}
BUTTONS = {numbered["button"]!r}
LAMPS = {numbered["lamp"]!r}
STATUS = {roles["status"]}
'''


if __name__ == "__main__":
    TABLE.write_text(pin_table(read_pins()[CHIP]), "utf-8")
    print(f"wrote {TABLE}")
