"""The pins of the chip that this runs on: the table of board/pins_<chip>.py, of which only one is ever loaded.

node/config.py takes its defaults from here and refuses other pins than these. Everywhere else than on an ESP32-S3 or
ESP32-C3 the table is the ESP32's, also on the virtual board.
"""

import sys


def chip(machine):
    """The chip's name in that of MicroPython's port: "Generic ESP32S3 module with ESP32-S3FN8" -> "esp32s3"."""
    name = machine.split(" with ")[-1].lower().replace("-", "")
    for known in ("esp32s3", "esp32c3"):
        if name.startswith(known):
            return known
    return "esp32"


_pins = __import__("board.pins_" + chip(getattr(sys.implementation, "_machine", "")), None, None, ("INPUTS",))

INPUTS = _pins.INPUTS
OUTPUTS = _pins.OUTPUTS
WITHOUT_PULL_UP = _pins.WITHOUT_PULL_UP

OUTER = _pins.OUTER
INNER = _pins.INNER
BUTTONS = _pins.BUTTONS
LAMPS = _pins.LAMPS
STATUS = _pins.STATUS
CARRIERS = _pins.CARRIERS
BOOT_BUTTON = _pins.BOOT_BUTTON
