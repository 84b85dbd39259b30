"""An image file is checked before anything is erased: chip, wholeness, version. The files here are made by the tests."""

import hashlib

import pytest

from footfall_gateway.commissioning import CommissioningError
from footfall_gateway.commissioning.chips import CHIPS, ESP32, ESP32C3, ESP32S3
from footfall_gateway.commissioning.images import files_at, find_image, read_image
from tests.virtual_images import image, table


@pytest.fixture(scope="module")
def whole():
    return image()


def put(folder, content, name="ESP32_GENERIC-20250911-v1.26.1.bin"):
    path = folder / name
    path.write_bytes(content)
    return path


def banner(version, day="2025-09-11"):
    return f"MicroPython v{version} on {day}; Generic ESP32 module with ESP32"


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_a_whole_file_tells_its_chip_version_and_place_of_the_files(chip, tmp_path):
    found = read_image(put(tmp_path, image(chip)))
    assert found.chip is chip
    assert found.version == (1, 26, 1)
    assert found.title == "MicroPython v1.26.1 on 2025-09-11"
    assert found.board == "Generic ESP32 module with ESP32"
    assert found.files_at == 0x200000


def test_a_partition_for_the_files_is_taken_before_what_is_free():
    rows = table(
        (0, 0, 0x10000, 0x1F0000, "factory"), (1, 0x81, 0x210000, 0x1000, "vfs"), (1, 2, 0x300000, 1, "x")
    )
    assert files_at(rows) == 0x210000
    assert files_at(b"\xff" * 0xC00) == 0


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda file: file[:200_000], "200000 bytes, which is no MicroPython"),
        (lambda file: file[:300_000], "its program breaks off: was the download cut off?"),
        (lambda file: b"<html>" + file[6:], "does not begin like a program for an ESP32"),
        (lambda file: file[:50] + b"?" + file[51:], "the checksum of its bootloader is wrong"),
        (lambda file: file[:200_000] + b"????" + file[200_004:], "checksum of its program is wrong"),
        (lambda file: file[:-1] + b"?", "the SHA-256 of its program is wrong"),
        (lambda file: file[0xF000:] + b"\xff" * 99_000, "no partition table: take the file that ends in .bin alone"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_with_what_is_wrong(damage, words, whole, tmp_path):
    with pytest.raises(CommissioningError) as caught:
        read_image(put(tmp_path, damage(whole)))
    assert words in caught.value.lines[0]
    assert caught.value.lines[1] == "Nothing was written to the board. Download the file again."


def test_a_program_longer_than_its_partition_is_refused(tmp_path):
    with pytest.raises(CommissioningError, match="longer than the place"):
        read_image(put(tmp_path, image(app_bytes=0x10000)))


def test_a_file_beside_it_with_another_sha256_refuses_it(whole, tmp_path):
    path = put(tmp_path, whole)
    beside = path.with_name(path.name + ".sha256")
    beside.write_text(f"{hashlib.sha256(whole).hexdigest()}  {path.name}\n")
    assert read_image(path).chip is ESP32
    beside.write_text("0" * 64)
    with pytest.raises(CommissioningError, match=r"SHA-256 is not the one in .*\.sha256"):
        read_image(path)


@pytest.mark.parametrize("version", ["1.19.1", "1.23.0"])
def test_a_micropython_that_is_too_old_is_refused(version, tmp_path):
    with pytest.raises(
        CommissioningError, match=rf"MicroPython {version}; the firmware needs 1\.24 or newer"
    ):
        read_image(put(tmp_path, image(banner=banner(version))))


def test_a_file_that_does_not_tell_its_version_is_taken(tmp_path):
    found = read_image(put(tmp_path, image(banner="something of one's own"), "own.bin"))
    assert (found.version, found.title) == (None, "own.bin")


def test_a_file_for_another_chip_is_refused_and_the_right_one_named(tmp_path):
    path = put(tmp_path, image(ESP32S3))
    with pytest.raises(CommissioningError) as caught:
        find_image(path, ESP32)
    assert "for the ESP32-S3, but the board has an ESP32; nothing was written" in caught.value.lines[0]
    assert "newest ESP32_GENERIC-….bin (v1.24 or newer)" in caught.value.lines[1]
    assert "https://micropython.org/download/ESP32_GENERIC/" in caught.value.lines[2]


def test_a_file_for_a_chip_that_nobody_here_knows_is_refused(whole, tmp_path):
    with pytest.raises(CommissioningError, match=r"a chip that the firmware does not run on \(number 13\)"):
        read_image(put(tmp_path, whole[:12] + b"\x0d\0" + whole[14:]))


def test_from_a_folder_the_newest_usual_one_for_the_chip_is_taken(tmp_path):
    put(tmp_path, image(banner=banner("1.25.0")), "ESP32_GENERIC-20250415-v1.25.0.bin")
    newest = put(tmp_path, image(banner=banner("1.26.1")), "ESP32_GENERIC-20250911-v1.26.1.bin")
    put(tmp_path, image(banner=banner("1.27.0")), "ESP32_GENERIC-SPIRAM-20251209-v1.27.0.bin")
    put(tmp_path, image(ESP32C3, banner("1.28.0")), "ESP32_GENERIC_C3-20260301-v1.28.0.bin")
    put(tmp_path, b"half a download", "ESP32_GENERIC-20260301-v1.28.0.bin")
    assert find_image(tmp_path, ESP32).path == newest


def test_a_folder_without_one_for_the_chip_names_what_is_there(tmp_path):
    put(tmp_path, image(ESP32S3), "ESP32_GENERIC_S3-v1.26.1.bin")
    put(tmp_path, b"?", "broken.bin")
    with pytest.raises(CommissioningError) as caught:
        find_image(tmp_path, ESP32C3)
    text = "\n".join(caught.value.lines)
    assert "no MicroPython for the ESP32-C3 in this folder" in text
    assert "ESP32_GENERIC_S3-v1.26.1.bin: for the ESP32-S3" in text
    assert "broken.bin: it has 1 bytes" in text
    assert "https://micropython.org/download/ESP32_GENERIC_C3/" in text


def test_a_path_that_is_not_there_is_told_with_where_to_get_one(tmp_path):
    with pytest.raises(CommissioningError, match=r"no such file or folder\n.*\n.*ESP32_GENERIC/"):
        find_image(tmp_path / "nothing", ESP32)
