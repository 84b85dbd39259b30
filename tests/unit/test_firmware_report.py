"""docs/firmware-report.md says what `make firmware-report` measured, and what it says keeps the promises."""

import re

import pytest

from tests.bench import firmware_report
from tests.unit.test_documents import ROOT, rows, section

REPORT = ROOT / "docs/firmware-report.md"
LOST_MS = 2_000  # promise 3
RECORDS = 100_000
YEARS = 10  # of 2,000 passages a day


def number(cell: str) -> float:
    found = re.match(r"[\d,]+(?:\.\d+)?", cell)
    assert found is not None, cell
    return float(found[0].replace(",", ""))


def test_the_report_names_machine_and_micropython():
    first = REPORT.read_text().split("## ")[0]
    assert re.search(r"on \d{4}-\d\d-\d\d: firmware \d+\.\d+", first)
    assert re.search(r"MicroPython \d+\.\d+\.\d+ \(Unix port, 64 bit, 192 KB heap\), on .+ cores", first)


def test_a_hundred_thousand_records_fit_into_a_megabyte():
    (row,) = [row for row in rows(section(REPORT, "Flash")) if row[0].startswith("records in 1 MB")]
    records, littlefs_kb = map(number, re.findall(r"[\d,]{3,}", row[1]))
    assert records >= RECORDS
    assert littlefs_kb <= 1024
    assert number(row[2]) < records


def test_a_record_is_in_flash_within_what_a_power_cut_may_cost():
    found = rows(section(REPORT, "From edge to flash"))
    assert len(found) == 2
    for title, half, most, slowest in found:
        assert number(half) <= number(most) <= number(slowest) < LOST_MS, title


def test_the_flash_lasts_for_years_even_at_its_worst_block():
    found = rows(section(REPORT, "Wear"))
    assert len(found) == 3
    for title, a_day, _, evenly, worst in found:
        assert number(a_day) > 1_000, title
        assert number(evenly) >= number(worst) >= YEARS, title


def test_the_heap_has_room_left_on_a_busy_board():
    by_firmware = {row[0]: row for row in rows(section(REPORT, "Heap"))}
    (busy,) = [row for name, row in by_firmware.items() if name.endswith("over TLS")]
    assert number(busy[1]) >= number(busy[2]) > 24  # what an update takes, see tests/device/test_memory.py


def test_every_chip_has_its_size_and_every_file_too():
    sizes = rows(section(REPORT, "Code"))
    assert {"ESP32", "ESP32-S3", "ESP32-C3"} <= {row[0] for row in sizes}
    files = [row for row in sizes if row[0].endswith(".mpy`")]
    assert sum(number(row[1]) for row in files) == number(next(row for row in sizes if row[0] == "ESP32")[2])


@pytest.mark.parametrize(
    ("erases_a_day", "blocks", "expected"),
    [(100_000, 1, 1 / 365), (2_000, 400, 100_000 * 400 / 2_000 / 365), (86_400, 512, 1.62)],
)
def test_years_come_from_erases_and_blocks(erases_a_day, blocks, expected):
    assert firmware_report.years(erases_a_day, blocks) == pytest.approx(expected, rel=0.01)


def test_a_percentile_is_a_value_that_was_measured():
    assert [firmware_report.percentile(range(1, 101), share) for share in (0, 0.5, 0.99, 1)] == [
        1,
        51,
        100,
        100,
    ]


def test_the_month_of_faults_ended_with_everybody_counted_and_a_flat_heap():
    text = (ROOT / "docs/endurance.md").read_text()
    found = re.search(
        r"^- (\d+) days: ([\d,]+) people, ([\d,]+) of them in the ledger, each once; (\d+) were in the door when one of (\d+) power cuts came\."
        r" (\d+) WiFi losses, (\d+) broker restarts",
        text,
        re.MULTILINE,
    )
    assert found is not None
    days, people, counted, lost, cuts, losses, restarts = (
        int(one.replace(",", "")) for one in found.groups()
    )
    assert days == cuts == restarts == losses / 2 == 30
    assert people == counted + lost
    slopes = re.findall(r"slope ([+-]\d+) bytes a day", text)
    assert len(slopes) == 2
    assert min(map(int, slopes)) > -64
