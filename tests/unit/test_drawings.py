"""The drawings: what lies in the repository is what their text draws today, in both languages, with the pins of the table."""

import importlib
import itertools
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


pins, wiring, mounting, board_plan, enclosure = (
    module(name) for name in ("pins", "wiring", "mounting", "board_plan", "enclosure")
)
DRAWN = dict([*wiring.drawings(), *mounting.drawings(), *board_plan.drawings()])
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
    turned_back = [float(by_place[("100 mm", height)][6].rstrip("%")) for height in ("900 mm", "1100 mm")]
    assert re.search(r"\({:.0f} \w+ \w* ?{:.0f} %".format(*turned_back), text)
    assert by_place[("100 mm", "1100 mm")][7] == "100.0%"  # "at 100 mm none"
    assert 50 < float(by_place[("60 mm", "1100 mm")][7].rstrip("%")) < 60  # "almost every second"


def test_the_plans_have_the_measures_of_the_simulation():
    head = (ROOT / "docs/accuracy.md").read_text("utf-8")
    assert f"beams {mounting.SPACING_MM} mm apart, {mounting.HEIGHT_MM} mm above the floor" in head


def test_the_plan_from_above_has_the_measures_of_the_box():
    box = enclosure.extent(enclosure.read_stl(enclosure.STL / "node_box.stl"))
    assert (round(box[1]), round(box[0])) == mounting.BOX_MM
    assert int((box[0] - mounting.SPACING_MM) / 2) == mounting.BESIDE_MM


@pytest.mark.parametrize("path", [path for path in DRAWN if ".en." in path.name], ids=lambda path: path.name)
def test_no_german_is_left_in_an_english_drawing(path):
    assert re.findall(r"[äöüßÄÖÜ]|Klemme|Strahl|Lampe|Taste\b|\d,\d", texts(path)) == []


def apart(one: tuple, other: tuple) -> bool:
    """Whether two places on the board do not overlap."""
    return any(
        one[axis] + one[axis + 2] <= other[axis] or other[axis] + other[axis + 2] <= one[axis]
        for axis in (0, 1)
    )


def test_the_parts_lie_beside_each_other_on_the_board_and_clear_of_screws_and_usb_plug():
    (width, depth), (holes_x, holes_y) = board_plan.BOARD_MM, board_plan.HOLES_MM
    screws = {
        f"screw {x} {y}": (x - 3, y - 3, 6, 6)  # as wide as its head
        for x in ((width - holes_x) / 2, (width + holes_x) / 2)
        for y in ((depth - holes_y) / 2, (depth + holes_y) / 2)
    }
    module_at = board_plan.MODULE
    plug = (0, module_at[1] + 7, module_at[0], 14)
    places = {name: place for name, (place, _, _) in board_plan.PARTS.items()}
    places |= {"module": module_at, "plug": plug, **screws}
    for name, (left, front, w, d) in places.items():
        assert "screw" in name or (left >= 0 and front >= 0 and left + w <= width and front + d <= depth), (
            name
        )
    for (one, a), (other, b) in itertools.combinations(places.items(), 2):
        assert apart(a, b), (one, other)


def test_every_pin_of_the_esp32_that_has_a_role_has_a_socket():
    rows = CHIPS["esp32"]["sockets"]
    assert [len(row) for row in rows] == [19, 19]
    printed = [name for row in rows for name in row if isinstance(name, int)]
    assert len(set(printed)) == len(printed)
    assert set(CHIPS["esp32"]["roles"].values()) <= set(printed)


@pytest.mark.parametrize("language", ["de", "en"])
def test_the_board_holds_what_the_circuits_of_the_first_choice_have(language):
    said = texts(HARDWARE / "drawings" / f"board.{language}.svg").replace(",", ".")
    for part in ("PC817", "2.2 kΩ", "4.7 kΩ", "1 kΩ", "10 nF"):
        assert said.count(part) == 2
    for part in ("220 Ω", "0.5 A", "470 µF", "J1", "3V3", "5V", "GND"):
        assert part in said
    roles = CHIPS["esp32"]["roles"]
    for role in ("outer", "inner", "status"):
        assert re.search(rf" {roles[role]}\b", said)


@pytest.mark.parametrize("language", ["de", "en"])
def test_the_lists_of_connections_name_the_pins_of_the_table(language):
    roles = CHIPS["esp32"]["roles"]
    text = (HARDWARE / f"wiring.{language}.md").read_text("utf-8")
    beams = "(außen|outer) {outer}, (innen|inner) {inner} \\|".format(**roles)
    assert len(re.findall(beams, text)) == 2
    assert len(re.findall("\\| (Pin|pin) {status} ".format(**roles), text)) == 2
    assert re.search("\\| (Pin|pin) {carrier1} .(außen|outer). (und|and) {carrier2} ".format(**roles), text)
    for kind, word in (("button", "Taste|button"), ("lamp", "Lampe|lamp")):
        pins_of_all = ", ".join(str(roles[f"{kind}{n}"]) for n in range(1, 6))
        assert re.search(rf"({word}) 1 (bis|to) 5: {pins_of_all} \|", text)


# --------------------------------------------------------------------------------------------- currents and levels
# Worst cases: ESP32 data sheet (low below 0.25, high above 0.75 of 3.3 V), PC817 (CTR at least 50 %, 1.2 V), a sensor that keeps 2 V,
# infrared LED 1.35 V, BC337 0.2 V when it is on and a gain of 20 at least to be driven hard, red LED 2.0 V, white LED 3.2 V.
LOW_V, HIGH_V = 0.25 * 3.3, 0.75 * 3.3


def ohms(drawing: str) -> list[float]:
    """The resistors of a drawing in the order in which they are drawn."""
    found = re.findall(
        r"(?<![\d.])([\d.]+) (k?)Ω",
        texts(HARDWARE / "drawings" / f"{drawing}.en.svg").partition("measure")[0],
    )
    return [float(number) * (1000 if kilo else 1) for number, kilo in found]


@pytest.mark.parametrize("language", ["de", "en"])
def test_the_emitter_draws_the_current_that_is_told(language):
    told = re.findall(
        r"(\d+)\s?Ω:? \(?(\d+)\s?mA", texts(HARDWARE / "drawings" / f"lowcost-emitter.{language}.svg")
    )
    assert [pair[0] for pair in told] == ["180", "100"]
    for resistor, milliamperes in told:
        assert (5 - 1.35 - 0.2) / float(resistor) * 1000 == pytest.approx(float(milliamperes), rel=0.06)
        base = (3.3 - 0.7) / 1000 - 0.7 / 10_000
        assert float(milliamperes) / 1000 / base < 20


def test_lamps_and_the_status_lamp_get_a_current_that_led_and_pin_stand():
    assert 220 in ohms("lamp")
    assert 220 in ohms("status-lamp")
    assert 5 < (5 - 3.2 - 0.2) / 220 * 1000 < (5 - 2.0 - 0.2) / 220 * 1000 < 20
    assert 4 < (3.3 - 2.0) / 220 * 1000 < 12  # from the pin itself


@pytest.mark.parametrize(("volts", "series"), [(12, 2200), (24, 4700)])
def test_the_optocoupler_pulls_the_pin_low_even_when_it_is_a_weak_one(volts, series):
    at_led, pull_up = ohms("npn-optocoupler"), 4700
    assert series in at_led
    assert pull_up in at_led
    led = (volts - 1.2 - 2) / series
    assert 0.5 * led > 2 * 3.3 / pull_up
    assert (volts - 1.2) ** 2 / series < 0.25 / 2  # half of what the resistor stands


def test_a_receiver_with_its_series_resistor_reads_low():
    assert sorted(ohms("lowcost-receiver"))[:4] == [100, 1000, 1000, 10_000]
    assert 0.1 + 3.3 * 1000 / (1000 + 10_000) < 0.6 < LOW_V


def test_a_pin_reads_high_past_what_a_suppressor_leaks():
    """One for 3.3 V may leak 0.8 mA there; one for 5 V leaks that at 5 V, and hardly at 3.3 V."""
    may_leak = (3.3 - HIGH_V) / 4700
    assert 0.0001 < may_leak < 0.0006
    for drawing in ("npn-direct", "npn-diode", "lowcost-receiver", "button"):
        assert "TVS 5 V" in texts(HARDWARE / "drawings" / f"{drawing}.en.svg").replace("\u00a0", " ")


@pytest.mark.parametrize("drawing", ["npn-direct", "npn-diode", "npn-optocoupler", "lowcost-receiver"])
def test_a_broken_beam_is_high_in_the_drawing_and_in_the_firmware(drawing):
    said = texts(HARDWARE / "drawings" / f"{drawing}.en.svg").replace("\u00a0", " ")
    assert "beam free below 0.6 V" in said
    assert re.search(r"broken (or cable off )?3\.3 V", said)
    config = (ROOT / "firmware/node/config.py").read_text("utf-8")
    assert re.search(r'"blocked_level": \(1,', config)


def test_the_fuse_carries_sensors_board_and_lamps():
    at_12_v = (
        2 * 0.030 + 2 * (12 - 1.2) / 2200 + 5 * 0.5 / 0.85 / 12
    )  # sensors, optocouplers, an ESP32 that transmits
    lamps = 5 * (5 - 2.0) / 220
    at_5_v = lamps + 2 * 0.035
    assert max(at_12_v, at_5_v) < 0.5 * 0.8  # a resettable fuse holds less when it is warm
    for language, told in (("de", "höchstens 0,32 A"), ("en", "at most 0.32 A")):
        assert told in (HARDWARE / f"wiring.{language}.md").read_text("utf-8")
    assert at_12_v == pytest.approx(0.32, abs=0.006)
    assert lamps == pytest.approx(0.070, abs=0.003)
    for drawing in ("supply-12v", "supply-usb"):
        assert "0.5 A" in texts(HARDWARE / "drawings" / f"{drawing}.en.svg").replace("\u00a0", " ")


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
