"""A board's flash as `footfall flash` and the browser flasher leave it: the loader, the compiled firmware in slot a, files."""

import functools
from collections.abc import Mapping

from footfall_gateway.commissioning.chips import ESP32
from footfall_gateway.commissioning.device_files import DeviceFile, compiled, loader
from footfall_gateway.commissioning.littlefs_image import image_of
from tests.rig import FLASH_BLOCKS


@functools.cache
def firmware() -> list[DeviceFile]:
    """Everything but the settings."""
    return [loader(), *(DeviceFile(f"slots/a/{file.path}", file.content) for file in compiled(ESP32))]


def board_image(files: Mapping[str, bytes]) -> bytes:
    """The image of a board with these files in its root (config.json)."""
    return image_of(
        [*firmware(), *(DeviceFile(path, content) for path, content in files.items())], FLASH_BLOCKS
    )
