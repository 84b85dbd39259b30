"""Image files with the headers of real ones, for tests: no file of micropython.org is part of this project.

Built from the same documents that images.py reads by, but the other way round: segments in, header, checksum and hash out.
"""

import hashlib
import struct

from footfall_gateway.commissioning.chips import ESP32

APP_AT, APP_BYTES = 0x10000, 0x1F0000
BANNER = "MicroPython v1.26.1 on 2025-09-11; Generic ESP32 module with ESP32"


def program(chip, *segments, hashed=True):
    """One program with its header."""
    header = struct.pack("<BBBBIB3sHBHH4sB", 0xE9, len(segments), 2, 0x20, 0x40080000, 0xEE, b"\0" * 3,
                         chip.image_chip_id, 0, 0, 0xFFFF, b"\0" * 4, hashed)  # fmt: skip
    body = bytearray(header)
    checksum = 0xEF
    for segment in segments:
        body += struct.pack("<II", 0x3F400000, len(segment)) + segment
        for byte in segment:
            checksum ^= byte
    body += b"\0" * (15 - len(body) % 16)
    body.append(checksum)
    return bytes(body) + (hashlib.sha256(body).digest() if hashed else b"")


def table(*partitions):
    """A partition table; (type, subtype, offset, size, label) each."""
    rows = b"".join(
        struct.pack("<2sBBII16sI", b"\xaa\x50", kind, subtype, offset, size, label.encode(), 0)
        for kind, subtype, offset, size, label in partitions
    )
    return rows + b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(rows).digest()


def image(chip=ESP32, banner=BANNER, *, app_bytes=APP_BYTES, filling=400_000, vfs=None):
    """A whole file, as micropython.org offers it."""
    partitions = [
        (1, 2, 0x9000, 0x6000, "nvs"),
        (1, 1, 0xF000, 0x1000, "phy_init"),
        (0, 0, APP_AT, app_bytes, "factory"),
    ]
    if vfs is not None:
        partitions.append((1, 0x81, vfs, 0x100000, "vfs"))
    flash = bytearray(b"\xff" * APP_AT)
    first = program(chip, b"bootloader" * 100)
    flash[chip.bootloader_offset : chip.bootloader_offset + len(first)] = first
    rows = table(*partitions)
    flash[0x8000 : 0x8000 + len(rows)] = rows
    flash += program(chip, banner.encode() + b"\0", bytes(i * i >> 3 & 255 for i in range(filling)))
    return bytes(flash[chip.bootloader_offset :])
