"""MicroPython's image files: which one fits the chip, and whether it is whole. Checked before anything is erased.

What a file for an ESP32 looks like (docs.espressif.com: esptool, "Firmware Image Format"; ESP-IDF, "Partition Tables"):
the bootloader at its beginning, the partition table at 0x8000 of the flash, the program in the first app partition. Bootloader
and program begin with a header that names the chip, and end with a checksum and mostly a SHA-256.
"""

import functools
import hashlib
import operator
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from footfall_gateway.commissioning import CommissioningError
from footfall_gateway.commissioning.chips import CHIPS, Chip
from footfall_gateway.commissioning.language import marked, told, tr

__all__ = ["LEAST_VERSION", "Image", "download_hint", "files_at", "find_image", "read_image"]

LEAST_VERSION = (1, 24)  # older ones do not load the format that the firmware is compiled to
TABLE_AT = 0x8000
TABLE_BYTES = 0xC00
LARGEST = 16 * 1024 * 1024
SMALLEST = 256 * 1024  # MicroPython has more than a megabyte
_MAGIC = 0xE9
_ENTRY_MAGIC, _ENTRY_BYTES = b"\xaa\x50", 32
_HEADER_BYTES, _SEGMENT_BYTES, _MOST_SEGMENTS = 24, 8, 16
_CHECKSUM_BEGINS = 0xEF
_APP = 0
_SPECIAL = ("SPIRAM", "OTA", "D2WD", "UNICORE")  # in a name: a variant for boards that are not the usual one


@dataclass(frozen=True)
class Image:
    """A file that was found whole."""

    path: Path
    chip: Chip
    content: bytes
    version: tuple[int, ...] | None  # of MicroPython, where the file tells
    built: str  # "v1.26.1 on 2025-09-11", may be empty
    board: str  # "Generic ESP32 module with ESP32", may be empty
    files_at: int  # where in the flash MicroPython will have its files

    @property
    def title(self) -> str:
        return f"MicroPython {told(self.built)}" if self.built else self.path.name


def download_hint(chip: Chip) -> tuple[str, str]:
    """Which file to fetch, and from where."""
    return (
        tr(
            "Download the newest {board}-….bin (v{least} or newer) from",
            board=chip.board,
            least=".".join(map(str, LEAST_VERSION)),
        ),
        tr(
            "https://micropython.org/download/{board}/ and name it, or its folder: --micropython FILE_OR_FOLDER",
            board=chip.board,
        ),
    )


def find_image(path: Path, chip: Chip) -> Image:
    """The image for this chip: the file itself, or the newest fitting one in a folder."""
    if not path.exists():
        raise CommissioningError(
            tr("{path}: there is no such file or folder", path=path), *download_hint(chip)
        )
    if not path.is_dir():
        image = read_image(path)
        if image.chip is not chip:
            raise CommissioningError(
                tr(
                    "{path}: this is MicroPython for the {other}, but the board has an {chip}; nothing was written",
                    path=path,
                    other=image.chip.title,
                    chip=chip.title,
                ),
                *download_hint(chip),
            )
        return image
    images, refused = [], []
    for file in sorted(path.glob("*.bin")):
        try:
            images.append(read_image(file))
        except CommissioningError as error:
            refused.append(f"  {error.lines[0]}")
    fitting = [image for image in images if image.chip is chip]
    if not fitting:
        others = [
            tr("  {file}: for the {other}", file=image.path.name, other=image.chip.title) for image in images
        ]
        raise CommissioningError(
            tr("{path}: no MicroPython for the {chip} in this folder", path=path, chip=chip.title),
            *others,
            *refused,
            *download_hint(chip),
        )
    return max(fitting, key=_merit)


def _merit(image: Image) -> tuple[bool, tuple[int, ...], str, str]:
    usual = image.path.name.startswith(f"{image.chip.board}-") and not any(
        variant in image.path.name for variant in _SPECIAL
    )
    return usual, image.version or (), image.built, image.path.name


def read_image(path: Path) -> Image:
    """Read and check a file. CommissioningError says in what way it is not a whole MicroPython for a chip of ours."""
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= LARGEST else b""
    except OSError as error:
        raise CommissioningError(
            tr("{path}: cannot be read ({why})", path=path, why=told(error.strerror or ""))
        ) from None
    if not SMALLEST <= size <= LARGEST:
        raise _broken(path, tr("it has {size} bytes, which is no MicroPython", size=size))
    _check_beside(path, content)
    if content[0] != _MAGIC:
        raise _broken(path, tr("it does not begin like a program for an ESP32"))
    chip = _chip_of(path, content)
    _check_program(path, content, 0, marked("bootloader"))
    start = TABLE_AT - chip.bootloader_offset
    partitions = _partitions(content[start : start + TABLE_BYTES])
    apps = [(offset, size) for kind, offset, size in partitions if kind == _APP]
    if not apps:
        raise _broken(
            path, tr("it has no partition table: take the file that ends in .bin alone, not .app-bin or .uf2")
        )
    app_at = apps[0][0] - chip.bootloader_offset
    end = _check_program(path, content, app_at, marked("program"))
    if end - app_at > apps[0][1] or len(content) + chip.bootloader_offset > files_at(
        content[start : start + TABLE_BYTES]
    ):
        raise _broken(path, tr("its program is longer than the place that is meant for it"))
    version, built, board = _version(content[app_at:end])
    if version is not None and version < LEAST_VERSION:
        raise CommissioningError(
            tr(
                "{path}: this is MicroPython {version}; the firmware needs {least} or newer",
                path=path,
                version=".".join(map(str, version)),
                least=".".join(map(str, LEAST_VERSION)),
            ),
            *download_hint(chip),
        )
    return Image(path, chip, content, version, built, board, files_at(content[start : start + TABLE_BYTES]))


def files_at(table: bytes) -> int:
    """Where MicroPython has its files under this partition table (its bytes): the partition `vfs`, or what is free behind
    the last one. 0 where there is no table."""
    last = 0
    for at in range(0, len(table) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
        if table[at : at + 2] != _ENTRY_MAGIC:
            break
        offset, size = struct.unpack_from("<II", table, at + 4)
        if table[at + 12 : at + 28].rstrip(b"\0") in (b"vfs", b"ffat"):
            return int(offset)
        last = max(last, offset + size)
    return last


def _partitions(table: bytes) -> list[tuple[int, int, int]]:
    """(type, offset, size) of each entry."""
    found = []
    for at in range(0, len(table) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
        if table[at : at + 2] != _ENTRY_MAGIC:
            break
        offset, size = struct.unpack_from("<II", table, at + 4)
        found.append((table[at + 2], offset, size))
    return found


def _chip_of(path: Path, content: bytes) -> Chip:
    [number] = struct.unpack_from("<H", content, 12)
    for chip in CHIPS:
        if chip.image_chip_id == number:
            return chip
    names = ", ".join(chip.title for chip in CHIPS)
    raise CommissioningError(
        tr(
            "{path}: this is for a chip that the firmware does not run on (number {number}); it runs on {names}",
            path=path,
            number=number,
            names=names,
        )
    )


def _check_program(path: Path, content: bytes, start: int, what: str) -> int:
    """Check header, checksum and hash of what begins at `start`; returns where it ends."""
    if start + _HEADER_BYTES > len(content) or content[start] != _MAGIC:
        raise _broken(path, tr("its {what} is missing: was the download cut off?", what=tr(what)))
    segments, hashed = content[start + 1], content[start + 23]
    if not 0 < segments <= _MOST_SEGMENTS:
        raise _broken(path, tr("its {what} has a damaged header", what=tr(what)))
    at = start + _HEADER_BYTES
    checksum = _CHECKSUM_BEGINS
    for _ in range(segments):
        if at + _SEGMENT_BYTES > len(content):
            raise _broken(path, tr("its {what} breaks off: was the download cut off?", what=tr(what)))
        [length] = struct.unpack_from("<I", content, at + 4)
        at += _SEGMENT_BYTES
        if at + length > len(content):
            raise _broken(path, tr("its {what} breaks off: was the download cut off?", what=tr(what)))
        checksum = functools.reduce(operator.xor, content[at : at + length], checksum)
        at += length
    at = start + ((at - start) | 15)  # the checksum is the last byte of 16
    if at + 1 + 32 * hashed > len(content):
        raise _broken(path, tr("its {what} breaks off: was the download cut off?", what=tr(what)))
    if content[at] != checksum:
        raise _broken(path, tr("the checksum of its {what} is wrong", what=tr(what)))
    at += 1
    if hashed:
        if hashlib.sha256(content[start:at]).digest() != content[at : at + 32]:
            raise _broken(path, tr("the SHA-256 of its {what} is wrong", what=tr(what)))
        at += 32
    return at


def _version(program: bytes) -> tuple[tuple[int, ...] | None, str, str]:
    found = re.search(
        rb"MicroPython (v(\d+)\.(\d+)(?:\.(\d+))?[\w.+-]*(?: on \d{4}-\d\d-\d\d)?)(?:; ([\x20-\x7e]+))?",
        program,
    )
    if found is None:
        return None, "", ""
    version = tuple(int(part) for part in found.groups()[1:4] if part is not None)
    return version, found[1].decode(), (found[5] or b"").decode()


def _check_beside(path: Path, content: bytes) -> None:
    """A file of the same name with .sha256 behind it, as sha256sum writes it."""
    beside = path.with_name(path.name + ".sha256")
    if not beside.is_file():
        return
    words = beside.read_text("utf-8", "replace").split()
    if not words or words[0].lower() != hashlib.sha256(content).hexdigest():
        raise _broken(path, tr("its SHA-256 is not the one in {file}", file=beside.name))


def _broken(path: Path, why: str) -> CommissioningError:
    return CommissioningError(
        f"{path}: {why}", tr("Nothing was written to the board. Download the file again.")
    )
