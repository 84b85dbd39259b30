"""Draw what goes where on the perforated board: `python hardware/board_plan.py` (or `make drawings`) writes drawings/board.*.svg.

It is the board of the first choice, two 12 V sensors with optocouplers: seen from above, to scale, the USB socket on the left where
the box has the hole for its plug, and nothing in its way. Where the pins of the ESP32 sit comes from pins.toml; what is connected with what says
wiring.md, and tests/unit/test_drawings.py sees to it that no two parts lie on one another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclosure import MEASURES
from mounting import FOLDER, LANGUAGES, Plan, Text
from pins import read_pins

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BOARD_MM = (MEASURES["board_x"], MEASURES["board_y"])
HOLES_MM = (MEASURES["board_holes_x"], MEASURES["board_holes_y"])
PITCH_MM = 2.54
ROWS_MM = 25.4  # between the two rows of the ESP32-DevKitC
SOCKET_AT = (22.0, 14.0)  # the socket next to the USB plug in the front row

Place = tuple[float, float, float, float]  # left, front, width, depth

GREEN, DARK, GREY, SAND = "#cfe8d5", "#c9ced6", "#eeeeee", "#f3e6c4"

# name -> (place, colour, text). The left barrier's parts are those of the outer beam.
PARTS: dict[str, tuple[Place, str, Text]] = {
    "supply": ((6.5, 59, 10, 9), GREEN, {"de": "+12 V\nGND", "en": "+12 V\nGND"}),
    "outer": ((19, 59, 21, 9), GREEN, {"de": "außen: braun,\nschwarz, blau", "en": "outer: brown,\nblack, blue"}),
    "inner": ((44, 59, 21, 9), GREEN, {"de": "innen: braun,\nschwarz, blau", "en": "inner: brown,\nblack, blue"}),
    "led": ((71, 59, 12, 9), GREEN, {"de": "Zustands-\nlampe", "en": "status\nlamp"}),
    "fuse": ((5, 51.5, 9, 5), SAND, {"de": "0,5 A", "en": "0.5 A"}),
    "capacitor": ((5, 40, 10, 10), SAND, {"de": "470 µF", "en": "470 µF"}),
    "converter": ((74, 17, 14, 20), GREY, {"de": "Wandler\n12 → 5 V", "en": "step-\ndown\n12 → 5 V"}),
    "jumper": ((74, 10, 9, 5), SAND, {"de": "J1", "en": "J1"}),
    **{
        f"{beam}_{part}": ((left + x, y, w, h), colour, text)
        for beam, left in (("outer", 19.0), ("inner", 44.0))
        for part, (x, y, w, h), colour, text in (
            ("opto", (7, 50, 9, 7), DARK, {"de": "PC817", "en": "PC817"}),
            ("series", (0, 52.5, 6.5, 4.5), SAND, {"de": "2,2 kΩ", "en": "2.2 kΩ"}),
            ("pull_up", (0, 44, 7, 4.5), SAND, {"de": "4,7 kΩ", "en": "4.7 kΩ"}),
            ("guard", (8, 44, 6, 4.5), SAND, {"de": "1 kΩ", "en": "1 kΩ"}),
            ("filter", (15, 44, 6, 4.5), SAND, {"de": "10 nF", "en": "10 nF"}),
        )
    },
    "led_resistor": ((73, 50, 8, 5), SAND, {"de": "220 Ω", "en": "220 Ω"}),
}  # fmt: skip
MODULE: Place = (SOCKET_AT[0] - 4, SOCKET_AT[1] - 1.3, 54.4, ROWS_MM + 2.6)


def sockets() -> Iterator[tuple[float, float, str]]:
    """(x, y, what is printed beside it) of every socket of the ESP32 board."""
    for y, row in zip((SOCKET_AT[1] + ROWS_MM, SOCKET_AT[1]), read_pins()["esp32"]["sockets"], strict=True):
        for i, name in enumerate(row):
            yield SOCKET_AT[0] + i * PITCH_MM, y, str(name)


def board(language: str) -> str:
    """The perforated board from above."""
    plan = Plan(language, 112, 88, 9)
    title = {"de": "Die Lochrasterplatte von oben", "en": "The perforated board from above"}
    plan.text(4, 83, title, size=18, bold=True)
    x0, y0 = 16, 6

    def box(place: Place, colour: str) -> None:
        plan.box(x0 + place[0], y0 + place[1], place[2], place[3], colour)

    box((0, 0, *BOARD_MM), "#fbf6e6")
    for dx in (-1, 1):
        for dy in (-1, 1):
            middle = (BOARD_MM[0] / 2 + dx * HOLES_MM[0] / 2, BOARD_MM[1] / 2 + dy * HOLES_MM[1] / 2)
            plan.circle(x0 + middle[0], y0 + middle[1], 1.5, "white")
    for place, colour, text in PARTS.values():
        box(place, colour)
        lines = text[language].count("\n")
        middle = (x0 + place[0] + place[2] / 2, y0 + place[1] + place[3] / 2 - 0.5 + lines * 0.8)
        plan.text(*middle, text, size=11, anchor="middle")
    box(MODULE, "#dfe4ec")
    box((MODULE[0] - 2, MODULE[1] + 10, 6, 8), "white")
    plan.text(x0 + MODULE[0] - 4, y0 + MODULE[1] + 13.5, "USB", size=12, anchor="end")
    box((MODULE[0] + 33, MODULE[1] + 5, 17, 18), "#b9c2cf")
    plan.text(x0 + MODULE[0] + 41.5, y0 + MODULE[1] + 13.4, "ESP32", size=13, anchor="middle")
    used = {str(read_pins()["esp32"]["roles"][role]) for role in ("outer", "inner", "status")}
    for x, y, name in sockets():
        wired = name in used or name in ("5V", "3V3") or (name == "GND" and y > SOCKET_AT[1])
        plan.circle(x0 + x, y0 + y, 0.8, "#c1121f" if wired else "white")
        if wired:
            plan.text(
                x0 + x,
                y0 + y + (-2.9 if y > SOCKET_AT[1] else 1.8),
                name,
                size=12,
                anchor="middle",
                bold=True,
            )
    return plan.svg()


def drawings() -> Iterator[tuple[Path, str]]:
    """(path, SVG) of the plan in every language."""
    for language in LANGUAGES:
        yield FOLDER / f"board.{language}.svg", board(language)


if __name__ == "__main__":
    for target, content in drawings():
        target.write_text(content, "utf-8")
    print(f"wrote {len(LANGUAGES)} plans into {FOLDER.name}/")
