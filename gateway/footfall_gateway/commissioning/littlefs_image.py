"""A board's file system as an image, as MicroPython's VfsLfs2 mounts it. Used for the browser flasher and by tests.

littlefs is MicroPython's file system on an ESP32: blocks of 4 KB in the free flash behind the last partition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from footfall_gateway.commissioning import CommissioningError
from footfall_gateway.extras import how_to_install

if TYPE_CHECKING:
    from collections.abc import Iterable

    from footfall_gateway.commissioning.device_files import DeviceFile

__all__ = ["BLOCK_BYTES", "files_in", "image_of"]

BLOCK_BYTES = 4096  # the flash's erase unit, with which MicroPython mounts it
_READ_BYTES = _PROGRAM_BYTES = (
    32  # MicroPython's defaults (extmod/vfs_lfs.c); a file's first 128 bytes lie in its folder
)
_CACHE_BYTES = 4 * _PROGRAM_BYTES
_LOOKAHEAD_BYTES = 32
# 2.0 is what every MicroPython reads; one that knows 2.1 raises it at the first write
_DISK_VERSION = 0x00020000
_NO_SPACE = -28


def image_of(files: Iterable[DeviceFile], blocks: int) -> bytes:
    """The bytes of a file system of `blocks` blocks that holds `files` (paths from its root).

    As short as can be: the blocks behind its end may hold anything, littlefs erases a block before it writes.
    """
    files = list(files)
    needed = 4 + sum(2 + len(file.content) // BLOCK_BYTES for file in files)
    while (
        needed < blocks
    ):  # littlefs scatters files over all blocks that it has, so it gets few, and the rest later
        image = _try(files, needed, blocks)
        if image is not None:
            return image
        needed += 4
    raise CommissioningError(
        f"the firmware does not fit into {blocks * BLOCK_BYTES // 1024} KB of flash",
        "Use a board with 4 MB of flash or more.",
    )


def _try(files: Iterable[DeviceFile], needed: int, blocks: int) -> bytes | None:
    littlefs = _littlefs()
    system = littlefs.LittleFS(
        block_size=BLOCK_BYTES,
        block_count=needed,
        read_size=_READ_BYTES,
        prog_size=_PROGRAM_BYTES,
        cache_size=_CACHE_BYTES,
        lookahead_size=_LOOKAHEAD_BYTES,
        disk_version=_DISK_VERSION,
    )
    try:
        for file in files:
            folder, _, _ = file.path.rpartition("/")
            if folder:
                system.makedirs(folder, exist_ok=True)
            with system.open(file.path, "wb") as out:
                out.write(file.content)
    except littlefs.LittleFSError as error:
        if error.code == _NO_SPACE:
            return None
        raise
    system.fs_grow(blocks)
    return bytes(system.context.buffer)


def files_in(image: bytes, blocks: int, below: str = "") -> dict[str, bytes]:
    """The files of an image whose paths from its root begin with `below`."""
    littlefs = _littlefs()
    context = littlefs.context.UserContext(blocks * BLOCK_BYTES)
    context.buffer[:] = image.ljust(blocks * BLOCK_BYTES, b"\xff")
    system = littlefs.LittleFS(context=context, block_size=BLOCK_BYTES, block_count=blocks)
    found = {}
    for folder, _, names in system.walk("/"):
        for name in names:
            path = f"{folder.strip('/')}/{name}".lstrip("/")
            if not path.startswith(below):
                continue
            with system.open(path, "rb") as file:
                found[path] = bytes(file.read())
    return found


def _littlefs() -> Any:
    try:
        import littlefs  # noqa: PLC0415 - comes with the extra
    except ImportError:
        raise CommissioningError(
            "littlefs-python, which makes the image of a board's files, is not installed",
            f"Install what setting up boards needs: {how_to_install('flash')}",
        ) from None
    return littlefs
