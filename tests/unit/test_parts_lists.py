"""The parts lists: written from one table, complete, priced, and honest about how wide a door may be."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("hardware_parts", ROOT / "hardware" / "parts.py")
parts = importlib.util.module_from_spec(spec)
spec.loader.exec_module(parts)

DATA = parts.read_parts()


@pytest.mark.parametrize(("path", "text"), list(parts.documents()), ids=lambda one: getattr(one, "name", ""))
def test_a_document_has_the_lists_of_the_table(path, text):
    assert "<!-- parts " in text
    assert path.read_text("utf-8") == text


@pytest.mark.parametrize("language", ["de", "en"])
def test_every_variant_is_listed_in_both_languages(language):
    text = (ROOT / f"hardware/parts.{language}.md").read_text("utf-8")
    for name in [*DATA["variant"], "lanes", "unsuitable", "variants"]:
        assert f"<!-- parts {name} {language} -->" in text


@pytest.mark.parametrize("name", DATA["part"])
def test_a_part_is_used_priced_and_described_for_two_kinds_of_supplier(name):
    part = DATA["part"][name]
    low, high = part["price"]
    assert 0 < low < high
    for language in ("de", "en"):
        assert part[language]
        assert part[f"trade_{language}"] != part[f"maker_{language}"]
    assert any(name in dict(variant["items"]) for variant in DATA["variant"].values())


@pytest.mark.parametrize("name", DATA["variant"])
def test_the_total_of_a_variant_is_the_sum_of_its_parts(name):
    variant = DATA["variant"][name]
    assert len(dict(variant["items"])) == len(variant["items"])
    low = high = 0.0
    for item, pieces in variant["items"]:
        low += pieces * DATA["part"][item]["price"][0]
        high += pieces * DATA["part"][item]["price"][1]
    shown = f"**{low:.0f}–{high:.0f}**"
    assert shown in parts.parts_table(name, "en")
    assert f"{low:.0f}–{high:.0f} EUR" in parts.variants_table("", "de")


def test_the_front_page_tells_the_cheapest_and_the_dearest():
    totals = [parts.total(variant, DATA["part"]) for variant in DATA["variant"].values()]
    told = f"Parts for {min(low for low, _ in totals)} to {max(high for _, high in totals)} EUR (estimated)"
    assert told in (ROOT / "README.md").read_text("utf-8")


def test_a_terminal_has_a_transistor_and_a_suppressor_for_every_button():
    for buttons in (3, 5):
        items = dict(DATA["variant"][f"terminal{buttons}"]["items"])
        assert items["button"] == items["transistor"] == items["tvs"] == buttons


def test_no_variant_claims_a_door_that_two_people_fit_through():
    for variant in DATA["variant"].values():
        assert variant.get("door_m", 0) <= DATA["lanes"]["lane_m"]


@pytest.mark.parametrize(
    ("width_m", "lanes"), [(0.9, 1), (1.2, 1), (1.5, 1), (1.6, 2), (2.4, 2), (2.5, 3), (3.6, 3), (3.7, 0)]
)
def test_a_wide_entrance_is_split_into_lanes(width_m, lanes):
    assert parts.lanes_for(width_m, DATA["lanes"]) == lanes


def test_the_estimate_and_its_date_are_said():
    assert DATA["prices_estimated"] == "2026-11"
    assert "**Alle Preise sind Schätzungen** vom November 2026" in (ROOT / "hardware/parts.de.md").read_text(
        "utf-8"
    )
    assert "**All prices are estimates** of\nNovember 2026".replace("\n", " ") in (
        ROOT / "hardware/parts.en.md"
    ).read_text("utf-8")


# Which circuits a variant is soldered from: what is drawn there must be in its list
CIRCUITS = {
    "retro": ["supply-12v", "npn-optocoupler", "status-lamp"],
    "through": ["supply-12v", "npn-optocoupler", "status-lamp"],
    "lowcost": ["supply-usb", "lowcost-receiver", "lowcost-emitter", "status-lamp"],
    "terminal3": ["supply-usb", "button", "lamp"],
    "terminal5": ["supply-usb", "button", "lamp"],
}
DRAWN_PART = r"\b(?:\d[\d.]* (?:k?Ω|[nµ]F|A)|TVS \d V|PC817|BC337|TSSP\d+)(?= |$)"


def drawn_parts(circuit: str, language: str) -> set[str]:
    """Values and types in a drawing, without the sentences below it; with a point in both languages."""
    svg = (ROOT / f"hardware/drawings/{circuit}.{language}.svg").read_text("utf-8").replace("\u00a0", " ")
    texts = [text.replace(",", ".") for text in re.findall(r">([^<>]+)<", svg) if len(text) < 30]
    found = set(re.findall(DRAWN_PART, " | ".join(texts)))
    return found - {"1 A", "2 A"}  # what a bought supply gives


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("name", CIRCUITS)
def test_what_is_drawn_is_on_the_shopping_list(name, language):
    assert set(CIRCUITS) == set(DATA["variant"])
    items = " ".join(DATA["part"][item][language] for item, _ in DATA["variant"][name]["items"])
    items = re.sub(r"(?<=\d),(?=\d)", ".", items)
    drawn = set().union(*(drawn_parts(circuit, language) for circuit in CIRCUITS[name]))
    assert len(drawn) > 4
    assert {part for part in drawn if not re.search(rf"(?<![\d.]){re.escape(part)}", items)} == set()


def test_every_value_of_the_receiver_is_read_from_its_drawing():
    assert drawn_parts("lowcost-receiver", "de") == {
        "100 Ω", "1 kΩ", "10 kΩ", "10 nF", "100 nF", "TVS 5 V", "TSSP4038", "TSSP4056",
    }  # fmt: skip
