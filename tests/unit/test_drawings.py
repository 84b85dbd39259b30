"""The drawings: what lies in the repository is what their text draws today, in both languages, with the pins of the table."""

import importlib
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HARDWARE = ROOT / "hardware"


def module(name: str):
    sys.path.insert(0, str(HARDWARE))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(HARDWARE))


pins, wiring, mounting = module("pins"), module("wiring"), module("mounting")
DRAWN = dict([*wiring.drawings(), *mounting.drawings()])
CHIPS = pins.read_pins()


@pytest.mark.parametrize("path", list(DRAWN), ids=lambda path: path.name)
def test_a_drawing_is_what_its_text_draws(path):
    assert path.read_text("utf-8") == DRAWN[path], "make drawings"


def test_no_drawing_is_left_over():
    assert set((HARDWARE / "drawings").glob("*.svg")) == set(DRAWN)


@pytest.mark.parametrize("path", list(DRAWN), ids=lambda path: path.name)
def test_a_drawing_is_shown_in_a_document_of_its_language(path):
    language = path.stem.rpartition(".")[2]
    documents = [one.read_text("utf-8") for one in HARDWARE.glob(f"*.{language}.md")]
    assert any(f"drawings/{path.name})" in text for text in documents)


def texts(path: Path) -> str:
    return " ".join(part for part in ET.fromstring(DRAWN[path]).itertext() if part.strip())


@pytest.mark.parametrize("name", CHIPS)
def test_the_overview_names_every_role_with_its_pin(name):
    said = texts(HARDWARE / "drawings" / f"pins-{name}.en.svg")
    for role, pin in CHIPS[name]["roles"].items():
        assert f"GPIO {pin}" in said
        assert pins.role_name(role, "en") in said


@pytest.mark.parametrize(
    ("drawing", "roles"),
    [
        ("npn-direct", ["outer", "inner"]),
        ("npn-diode", ["outer", "inner"]),
        ("npn-optocoupler", ["outer", "inner"]),
        ("lowcost-receiver", ["outer", "inner"]),
        ("lowcost-emitter", ["carrier1", "carrier2"]),
        ("button", ["button1"]),
        ("lamp", ["lamp1"]),
        ("status-lamp", ["status"]),
    ],
)
def test_a_circuit_ends_at_the_pins_of_the_table(drawing, roles):
    said = texts(HARDWARE / "drawings" / f"{drawing}.de.svg")
    for chip in CHIPS.values():
        for role in roles:
            if role in chip["roles"]:
                assert f"GPIO {chip['roles'][role]}" in said


def test_a_pin_that_is_changed_in_the_table_changes_the_drawing(monkeypatch):
    changed = pins.read_pins()
    changed["esp32"]["roles"]["status"] = 33
    monkeypatch.setattr(wiring, "read_pins", lambda: changed)
    assert "GPIO 33" in wiring.drawn(wiring.status_lamp, "en")


@pytest.mark.parametrize("language", ["de", "en"])
def test_the_setting_for_bare_emitters_has_their_pins(language):
    roles = CHIPS["esp32"]["roles"]
    text = (HARDWARE / f"wiring.{language}.md").read_text("utf-8")
    assert f'`"carriers": [{roles["carrier1"]}, {roles["carrier2"]}]`' in text


@pytest.mark.parametrize("language", ["de", "en"])
def test_the_reasons_for_the_measures_have_the_figures_of_the_simulation(language):
    table = (ROOT / "docs/accuracy.md").read_text("utf-8").partition("<!-- siting -->")[2]
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines()]
    by_place = {(row[0], row[1]): row for row in rows if row[0].endswith("mm")}
    text = (HARDWARE / f"mounting.{language}.md").read_text("utf-8").replace(",", ".")
    for place in (("100 mm", "1100 mm"), ("100 mm", "900 mm"), ("100 mm", "1300 mm")):
        assert by_place[place][2].replace("%", " %") in text
    followed = [float(by_place[(spacing, "1100 mm")][5].rstrip("%")) for spacing in ("200 mm", "100 mm")]
    assert re.search(r"\b{:.0f} \w+ \w* ?{:.0f} %".format(*followed), text)
    assert by_place[("100 mm", "1100 mm")][7] == "100.0%"  # "at 100 mm none"
    assert 50 < float(by_place[("60 mm", "1100 mm")][7].rstrip("%")) < 60  # "almost every second"


def test_the_plans_have_the_measures_of_the_simulation():
    head = (ROOT / "docs/accuracy.md").read_text("utf-8")
    assert f"beams {mounting.SPACING_MM} mm apart, {mounting.HEIGHT_MM} mm above the floor" in head


LETTER_EM = 0.58  # of a letter of DejaVu Sans, on average: what is longer than the paper is cut off


def overhang(svg: str) -> list[str]:
    """The lines of text that do not fit on the paper."""
    tree = ET.fromstring(svg)
    left, top, width, height = (float(number) for number in tree.attrib["viewBox"].split())
    found = []
    for text in tree.iter("{http://www.w3.org/2000/svg}text"):
        style = f"{text.attrib.get('style', '')};font-size:{text.attrib.get('font-size', '')}"
        size = float(re.search(r"font-size:\s*([\d.]+)", style)[1])
        anchor = text.attrib.get("text-anchor", "start")
        before = {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
        for line in [*text] or [text]:
            words = "".join(line.itertext())
            x, y = (float(line.attrib.get(axis) or text.attrib[axis]) for axis in ("x", "y"))
            begin = x - before * len(words) * size * LETTER_EM
            end = begin + len(words) * size * LETTER_EM
            if begin < left or end > left + width or not top <= y <= top + height:
                found.append(words)
    return found


@pytest.mark.parametrize("path", list(DRAWN), ids=lambda path: path.name)
def test_no_text_runs_over_the_edge_of_the_paper(path):
    assert overhang(DRAWN[path]) == []


def test_a_text_over_the_edge_is_seen():
    svg = DRAWN[HARDWARE / "drawings/mounting-side.de.svg"]
    assert overhang(svg.replace("höchstens 1200 mm", "höchstens 1200 mm " * 20))
