"""The chips that the firmware runs on, and what tools need to know about each. Used by everything in this package."""

import re
from dataclasses import dataclass

from footfall_gateway.commissioning import CommissioningError
from footfall_gateway.commissioning.language import tr

__all__ = ["CHIPS", "ESP32", "ESP32C3", "ESP32S3", "Chip", "chip_named"]


@dataclass(frozen=True)
class Chip:
    """One kind of ESP32."""

    name: str  # as esptool's --chip and hardware/pins.toml have it
    title: str  # as its maker writes it
    mpy_arch: str  # as mpy-cross's -march has it
    bootloader_offset: int  # where in the flash a MicroPython image begins
    image_chip_id: int  # bytes 12 and 13 of an image's header
    board: str  # MicroPython's name for the usual board, with which its image files begin


# Offsets and ids: esptool's targets/*.py (BOOTLOADER_FLASH_OFFSET, IMAGE_CHIP_ID); boards: micropython/ports/esp32/boards
ESP32 = Chip("esp32", "ESP32", "xtensawin", 0x1000, 0, "ESP32_GENERIC")
ESP32S3 = Chip("esp32s3", "ESP32-S3", "xtensawin", 0x0, 9, "ESP32_GENERIC_S3")
ESP32C3 = Chip("esp32c3", "ESP32-C3", "rv32imc", 0x0, 5, "ESP32_GENERIC_C3")
CHIPS = (ESP32, ESP32S3, ESP32C3)


def chip_named(name: str) -> Chip:
    """The chip that somebody means by "esp32s3", "ESP32-S3" or "ESP32-D0WD-V3 (revision v3.1)"."""
    plain = re.sub(r"[ -]", "", name.lower())
    series = re.match(r"esp32([chps]\d+)?", plain)  # D0WD and PICO-D4 are packages of the first ESP32
    for chip in CHIPS:
        if series is not None and series[0] == chip.name:
            return chip
    raise CommissioningError(
        tr("the firmware does not run on the chip {name}", name=name),
        tr(
            "Use a board with an {chips} or {last_chip}.",
            chips=", ".join(chip.title for chip in CHIPS[:-1]),
            last_chip=CHIPS[-1].title,
        ),
    )
