"""Write the parts lists, totals and what follows from parts.toml into the documents: `python hardware/parts.py`.

tests/unit/test_parts_lists.py fails when a document differs, when a part is unused or a variant names one that is not there.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DOCUMENTS = [HERE / f"{name}.{language}.md" for name in ("parts", "mounting") for language in ("de", "en")]
DOCUMENTS.append(HERE / "README.md")

WORDS = {
    "de": {
        "heading": "| Stück | Was | Suchwort im Industrie- und Elektrogroßhandel | Suchwort im Elektronikversand | je Stück, EUR | zusammen, EUR |",
        "total": "Summe",
        "variants": "| Variante | Durchgang bis | Teile zusammen, geschätzt |",
        "any_door": "–",
        "lanes": "| Eingang | So wird gezählt |",
        "one": "eine Lichtschranke mit zwei Strahlen",
        "warned": "eine Lichtschranke, mit Ansage: Wo zwei nebeneinander passen, wird einer gezählt",
        "split": "{n} Spuren mit {posts} dazwischen, je Spur eine Lichtschranke",
        "posts": ["", "", "einem Pfosten", "zwei Pfosten"],
        "wider": "keine Aufgabe für Lichtschranken; dafür gibt es Zähler mit Kamera oder Tiefensensor",
        "up_to": "bis {0} m",
        "between": "{0} bis {1} m",
        "over": "über {0} m",
        "unsuitable": "| Nicht geeignet | Warum |",
        "decimal": ",",
    },
    "en": {
        "heading": "| Pieces | What | Search at an automation or electrical wholesaler | Search at an electronics mail order | each, EUR | together, EUR |",
        "total": "total",
        "variants": "| Variant | Passage up to | Parts together, estimated |",
        "any_door": "–",
        "lanes": "| Entrance | How it is counted |",
        "one": "one barrier of two beams",
        "warned": "one barrier, and say so: where two fit side by side, one is counted",
        "split": "{n} lanes with {posts} between them, a barrier for each",
        "posts": ["", "", "a post", "two posts"],
        "wider": "no task for beams; counters with a camera or depth sensor exist for that",
        "up_to": "up to {0} m",
        "between": "{0} to {1} m",
        "over": "over {0} m",
        "unsuitable": "| Unsuitable | Why |",
        "decimal": ".",
    },
}


def read_parts() -> dict[str, Any]:
    """parts.toml as it stands."""
    return tomllib.loads((HERE / "parts.toml").read_text("utf-8"))


def number(value: float, language: str, places: int = 2) -> str:
    """1.5 -> "1,50" in German; whole amounts without places."""
    text = f"{value:.0f}" if value == round(value) else f"{value:.{places}f}"
    return text.replace(".", WORDS[language]["decimal"])


def band(low: float, high: float, language: str) -> str:
    return f"{number(low, language)}–{number(high, language)}"


def total(variant: dict[str, Any], parts: dict[str, Any]) -> tuple[int, int]:
    """(least, most) that all parts of a variant cost together, in whole EUR."""
    low, high = (sum(parts[name]["price"][i] * pieces for name, pieces in variant["items"]) for i in (0, 1))
    return round(low), round(high)


def parts_table(name: str, language: str) -> str:
    """All parts of one variant, with the total."""
    data = read_parts()
    variant, parts = data["variant"][name], data["part"]
    lines = [WORDS[language]["heading"], "|--:|---|---|---|--:|--:|"]
    for part_name, pieces in variant["items"]:
        part = parts[part_name]
        low, high = part["price"]
        lines.append(
            f"| {pieces} | {part[language]} | {part['trade_' + language]} | {part['maker_' + language]} "
            f"| {band(low, high, language)} | {band(low * pieces, high * pieces, language)} |"
        )
    lines.append(f"| | **{WORDS[language]['total']}** | | | | **{band(*total(variant, parts), language)}** |")
    return "\n".join(lines)


def variants_table(_: str, language: str) -> str:
    """All variants: how wide, how much."""
    data = read_parts()
    lines = [WORDS[language]["variants"], "|---|--:|--:|"]
    for variant in data["variant"].values():
        door = (
            f"{variant['door_m']:.1f} m".replace(".", WORDS[language]["decimal"])
            if "door_m" in variant
            else WORDS[language]["any_door"]
        )
        lines.append(
            f"| {variant[language]} | {door} | {band(*total(variant, data['part']), language)} EUR |"
        )
    return "\n".join(lines)


def lanes_for(width_m: float, lanes: dict[str, float]) -> int:
    """How many barriers an entrance needs; 0 where beams are no answer."""
    if width_m > lanes["widest_m"]:
        return 0
    if width_m <= lanes["warn_m"]:
        return 1
    return 2 if width_m <= 2 * lanes["lane_m"] else 3


def lanes_table(_: str, language: str) -> str:
    """How wide an entrance is counted how."""
    words, lanes = WORDS[language], read_parts()["lanes"]
    lane, warn, widest = (lanes[key] for key in ("lane_m", "warn_m", "widest_m"))

    def metres(value: float) -> str:
        return f"{value:.1f}".replace(".", words["decimal"])

    lines = [words["lanes"], "|---|---|"]
    lines.append(f"| {words['up_to'].format(metres(lane))} | {words['one']} |")
    lines.append(f"| {words['between'].format(metres(lane), metres(warn))} | {words['warned']} |")
    for low, high in ((warn, 2 * lane), (2 * lane, widest)):
        n = lanes_for(high, lanes)
        split = words["split"].format(n=n, posts=words["posts"][n])
        lines.append(f"| {words['between'].format(metres(low), metres(high))} | {split} |")
    lines.append(f"| {words['over'].format(metres(widest))} | {words['wider']} |")
    return "\n".join(lines)


def unsuitable_table(_: str, language: str) -> str:
    """What not to buy, and why."""
    lines = [WORDS[language]["unsuitable"], "|---|---|"]
    lines += [f"| {one[language]} | {one['why_' + language]} |" for one in read_parts()["unsuitable"]]
    return "\n".join(lines)


TABLES = {"variants": variants_table, "lanes": lanes_table, "unsuitable": unsuitable_table}
MARKED = re.compile(r"(<!-- parts (\w+) (\w\w) -->\n).*?(<!-- /parts -->)", re.DOTALL)


def with_tables(text: str) -> str:
    """A document with its marked tables as parts.toml has them."""
    return MARKED.sub(
        lambda found: f"{found[1]}{TABLES.get(found[2], parts_table)(found[2], found[3])}\n{found[4]}", text
    )


def documents() -> Iterator[tuple[Path, str]]:
    """(path, text as it should be) of every document with a table of parts."""
    for path in DOCUMENTS:
        yield path, with_tables(path.read_text("utf-8"))


if __name__ == "__main__":
    for target, content in documents():
        target.write_text(content, "utf-8")
        print(f"wrote {target.relative_to(HERE.parent)}")
