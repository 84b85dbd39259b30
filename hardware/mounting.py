"""Draw where the beams go: `python hardware/mounting.py` (or `make drawings`) writes hardware/drawings/mounting-*.svg.

The measures are named once, here; mounting.md gives their reasons, docs/accuracy.md what other values cost.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent / "drawings"
LANGUAGES = ("de", "en")

HEIGHT_MM = 1100  # of both beams above the floor
SPACING_MM = 100  # between the two beams, along the way of the people
LANE_MM = 1200  # widest passage of one barrier
LEAF_CLEARANCE_MM = 100  # between the door leaf's arc and the beams
BESIDE_MM = 27  # from the wall to the nearer beam, when box and reflectors sit beside the door: first_beam in common.scad
BOX_MM = (94, 155)  # the box, from above

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xml:lang="{language}" width="{w}" height="{h}" viewBox="0 0 {w} {h}" '
    'font-family="DejaVu Sans, Arial, sans-serif">'
)
ARROW = (
    '<defs><marker id="tip" viewBox="0 0 10 10" refX="10" refY="5" markerWidth="7" markerHeight="7" '
    'orient="auto-start-reverse"><path d="M0,0 L10,5 L0,10 z"/></marker></defs>'
)

Text = dict[str, str]


class Plan:
    """A drawing to scale in one language; lengths in millimetres, y upwards."""

    def __init__(self, language: str, width: int, height: int, scale: float) -> None:
        self.language = language
        self._scale = scale
        self._height = height
        w, h = f"{width * scale:.0f}", f"{height * scale:.0f}"
        self._lines = [
            SVG.format(language=language, w=w, h=h),
            ARROW,
            f'<rect width="{w}" height="{h}" fill="white"/>',
        ]

    def _at(self, x: float, y: float) -> tuple[str, str]:
        return f"{x * self._scale:.1f}", f"{(self._height - y) * self._scale:.1f}"

    def box(self, x: float, y: float, w: float, h: float, fill: str = "#d9d9d9", line: str = "black") -> None:
        left, top = self._at(x, y + h)
        self._lines.append(
            f'<rect x="{left}" y="{top}" width="{w * self._scale:.1f}" height="{h * self._scale:.1f}" '
            f'fill="{fill}" stroke="{line}"/>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str = "") -> None:
        (a, b), (c, d) = self._at(x1, y1), self._at(x2, y2)
        self._lines.append(f'<line x1="{a}" y1="{b}" x2="{c}" y2="{d}" stroke="black" {style}/>')

    def beam(self, x1: float, y1: float, x2: float, y2: float, colour: str) -> None:
        self.line(x1, y1, x2, y2, f'style="stroke:{colour};stroke-width:3;stroke-dasharray:9 5"')

    def measure(self, x1: float, y1: float, x2: float, y2: float, text: str, dx: float, dy: float) -> None:
        """A dimension line with arrows, its text beside the middle."""
        self.line(x1, y1, x2, y2, 'marker-start="url(#tip)" marker-end="url(#tip)"')
        self.text((x1 + x2) / 2 + dx, (y1 + y2) / 2 + dy, text, anchor="start" if dx > 0 else "middle")

    def arc(self, radius: float, start: tuple[float, float], end: tuple[float, float]) -> None:
        (a, b), (c, d) = self._at(*start), self._at(*end)
        r = f"{radius * self._scale:.1f}"
        self._lines.append(
            f'<path d="M{a},{b} A{r},{r} 0 0 1 {c},{d}" fill="none" stroke="#666" stroke-dasharray="4 4"/>'
        )

    def circle(self, x: float, y: float, radius: float, fill: str = "#e8d8c8") -> None:
        a, b = self._at(x, y)
        self._lines.append(
            f'<circle cx="{a}" cy="{b}" r="{radius * self._scale:.1f}" fill="{fill}" stroke="black"/>'
        )

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: str = "#e8d8c8") -> None:
        a, b = self._at(x, y)
        self._lines.append(
            f'<ellipse cx="{a}" cy="{b}" rx="{rx * self._scale:.1f}" ry="{ry * self._scale:.1f}" fill="{fill}" '
            'stroke="black"/>'
        )

    def text(
        self,
        x: float,
        y: float,
        text: str | Text,
        *,
        size: int = 15,
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        if isinstance(text, dict):
            text = text[self.language]
        weight = ' font-weight="bold"' if bold else ""
        for i, line in enumerate(text.split("\n")):
            a, b = self._at(x, y)
            self._lines.append(
                f'<text x="{a}" y="{float(b) + i * size * 1.25:.1f}" font-size="{size}" text-anchor="{anchor}"{weight}>'
                f"{line}</text>"
            )

    def svg(self) -> str:
        return "\n".join([*self._lines, "</svg>", ""])


RED, BLUE = "#c1121f", "#1d4ed8"


def side_view(language: str) -> str:
    """Looking through the door: how high, how wide."""
    plan = Plan(language, 2900, 2250, 0.36)
    left, right = 500, 500 + LANE_MM
    plan.text(
        60,
        2150,
        {"de": "Blick durch die Tür: Höhe und Breite", "en": "Looking through the door: height and width"},
        size=18,
        bold=True,
    )
    plan.line(100, 100, 2300, 100, 'style="stroke-width:3"')
    for x in (left - 150, right):
        plan.box(x, 100, 150, 1900)
    y = 100 + HEIGHT_MM
    plan.ellipse(1250, 100 + 1230, 190, 320)
    plan.circle(1250, 100 + 1680, 120)
    plan.box(1130, 100, 100, 830, "#e8d8c8")
    plan.box(1270, 100, 100, 830, "#e8d8c8")
    plan.ellipse(830, 100 + 700, 95, 190, "#f0e6dc")
    plan.circle(830, 100 + 970, 95, "#f0e6dc")
    plan.box(770, 100, 50, 420, "#f0e6dc")
    plan.box(840, 100, 50, 420, "#f0e6dc")
    plan.beam(left, y, right, y, RED)
    plan.box(left - 90, y - 60, 90, 120, "#555555")
    plan.box(right, y - 40, 25, 80, "#c1121f")
    plan.measure(280, 100, 280, y, "", 0, 0)
    plan.text(40, 100 + HEIGHT_MM / 2, f"{HEIGHT_MM} mm", size=16)
    plan.measure(
        left,
        1950,
        right,
        1950,
        {"de": f"höchstens {LANE_MM} mm", "en": f"{LANE_MM} mm at most"}[language],
        0,
        25,
    )
    plan.text(left + 25, y + 60, {"de": "Sensoren", "en": "sensors"}, size=14)
    plan.text(
        right + 170, y + 330, {"de": "Reflektoren\n(oder Sender)", "en": "reflectors\n(or emitters)"}, size=14
    )
    plan.line(right + 160, y + 290, right + 30, y + 40)
    plan.text(
        right + 170,
        y - 60,
        {
            "de": f"Beide Strahlen gleich hoch: {HEIGHT_MM} mm.\nTiefer zählen Beine und Taschen,\nhöher fehlen kleine Menschen.\n"
            f"Wer kleiner ist als {HEIGHT_MM} mm,\nwird nicht gezählt: in den Bericht!",
            "en": f"Both beams at one height: {HEIGHT_MM} mm.\nLower, and legs and bags count;\nhigher, and short people are missed.\n"
            f"Who is shorter than {HEIGHT_MM} mm\nis not counted: say so in reports.",
        },
        size=14,
    )
    return plan.svg()


def top_view(language: str) -> str:
    """From above: how far apart, which one is outer, where the leaf may swing."""
    plan = Plan(language, 2900, 2300, 0.36)
    left, right, wall = 500, 500 + LANE_MM, 700
    plan.text(
        60,
        2200,
        {
            "de": "Blick von oben: Abstand, Richtung, Türblatt",
            "en": "From above: spacing, direction, door leaf",
        },
        size=18,
        bold=True,
    )
    for x, w in ((100, left - 100), (right, 600)):
        plan.box(x, wall, w, 200)
    leaf = LANE_MM
    hinge = (right, wall + 200)
    plan.line(hinge[0], hinge[1], hinge[0], hinge[1] + leaf, 'style="stroke-width:5"')
    plan.line(left, hinge[1], *hinge, 'style="stroke:#666;stroke-dasharray:4 4"')
    plan.arc(leaf, (left, wall + 200), (hinge[0], hinge[1] + leaf))
    inner_y = wall - BESIDE_MM
    outer_y = inner_y - SPACING_MM
    plate = right + 45  # the angle's foot lies on the wall, its plate carries the reflectors
    plan.beam(left, outer_y, plate, outer_y, RED)
    plan.beam(left, inner_y, plate, inner_y, BLUE)
    plan.box(left - BOX_MM[0], wall - BOX_MM[1], *BOX_MM, "#555555")
    plan.box(right, wall - 8, 45, 8, "#555555")
    plan.box(plate, wall - 165, 12, 165, "#555555")
    for y in (outer_y, inner_y):
        plan.box(plate - 12, y - 20, 12, 40, "#c1121f")
    plan.measure(plate + 90, outer_y, plate + 90, inner_y, f"{SPACING_MM} mm", 40, -10)
    plan.measure(left + 120, inner_y, left + 120, hinge[1], f"≥ {LEAF_CLEARANCE_MM} mm", 30, -10)
    plan.ellipse(1050, 250, 240, 140)
    plan.circle(1050, 250, 90)
    plan.line(1050, 420, 1050, 1050, 'style="stroke-width:3" marker-end="url(#tip)"')
    plan.text(1080, 960, {"de": "hinein", "en": "in"}, size=16)
    plan.text(120, 130, {"de": "Straße, Windfang", "en": "street, porch"}, size=16, bold=True)
    plan.text(120, 1900, {"de": "Haus", "en": "building"}, size=16, bold=True)
    plan.text(
        40,
        outer_y - 150,
        {
            "de": "rot: äußerer Strahl (outer)\nblau: innerer Strahl (inner)",
            "en": "red: outer beam\nblue: inner beam",
        },
        size=14,
    )
    plan.text(
        right + 60,
        1750,
        {
            "de": "Das Türblatt darf die Strahlen\nnie berühren, auch nicht halb offen.",
            "en": "The leaf must never touch the\nbeams, not even half open.",
        },
        size=14,
    )
    plan.text(
        right + 60,
        330,
        {
            "de": f"{SPACING_MM} mm: dünner als ein Körper,\nalso unterbrechen Menschen kurz beide\nStrahlen; eine Hand tut das nicht.\n"
            "Empfänger nicht zur Sonne.",
            "en": f"{SPACING_MM} mm: thinner than a body, so that\npeople break both beams for a moment;\na hand does not.\n"
            "Receivers away from the sun.",
        },
        size=14,
    )
    return plan.svg()


def crosstalk(language: str) -> str:
    """Which side each part is on, for the three kinds of barrier."""
    plan = Plan(language, 2900, 1500, 0.36)
    plan.text(
        60, 1400, {"de": "Was auf welche Seite gehört", "en": "What goes on which side"}, size=18, bold=True
    )
    kinds: list[tuple[Text, list[tuple[str, str]], Text]] = [
        (
            {"de": "Reflexion M18", "en": "M18 retro-reflective"},
            [("S", "R"), ("S", "R")],
            {
                "de": "S Sensor, R Reflektor bis 40 mm.\nProbe: Reflektor A zuhalten,\nnur Strahl A darf schalten.",
                "en": "S sensor, R reflector up to 40 mm.\nTest: cover reflector A,\nonly beam A may switch.",
            },
        ),
        (
            {"de": "Einweg M18", "en": "M18 through-beam"},
            [("S", "E"), ("E", "S")],
            {
                "de": "S Sender, E Empfänger,\ngegenläufig: kein Empfänger\nsieht den falschen Sender.",
                "en": "E emitter, R receiver,\nopposed: no receiver sees\nthe wrong emitter.",
            },
        ),
        (
            {"de": "Günstig", "en": "low-cost"},
            [("S", "E"), ("S", "E")],
            {
                "de": "S Sender, E Empfänger, alle in\nRöhrchen; 38 kHz und 56 kHz\nhalten die Strahlen auseinander.",
                "en": "E emitter, R receiver, all in\ntubes; 38 kHz and 56 kHz\nkeep the beams apart.",
            },
        ),
    ]
    letters = {"de": {}, "en": {"S": "E", "E": "R"}}[language]
    for column, (name, pairs, note) in enumerate(kinds):
        x = 120 + 930 * column
        plan.text(x, 1200, name, size=16, bold=True)
        for row, (near, far) in enumerate(pairs):
            y = 1000 - 200 * row
            colour = (RED, BLUE)[row]
            plan.beam(x + 110, y, x + 590, y, colour)
            arrow = x + 360 if near == "S" else x + 340
            back = arrow - 20 if near == "S" else arrow + 20
            plan.line(back, y, arrow, y, f'style="stroke:{colour}" marker-end="url(#tip)"')
            plan.box(x, y - 55, 110, 110, "#eeeeee")
            plan.box(x + 590, y - 55, 110, 110, "#eeeeee")
            plain = letters if column else {}  # a retro-reflective sensor is S and R in both languages
            plan.text(x + 55, y - 20, plain.get(near, near), anchor="middle")
            plan.text(x + 645, y - 20, plain.get(far, far), anchor="middle")
            plan.text(x + 725, y - 20, "AB"[row], size=15)
        plan.text(x, 600, note, size=14)
    plan.text(
        120,
        160,
        {
            "de": "A: äußerer Strahl, B: innerer Strahl. Von oben gesehen, die Leute gehen von oben nach unten oder umgekehrt.",
            "en": "A: outer beam, B: inner beam. Seen from above; people walk up or down the page.",
        },
        size=14,
    )
    return plan.svg()


PLANS = {"mounting-side": side_view, "mounting-top": top_view, "mounting-sides": crosstalk}


def drawings() -> Iterator[tuple[Path, str]]:
    """(path, SVG) of every plan in every language."""
    for name, plan in PLANS.items():
        for language in LANGUAGES:
            yield FOLDER / f"{name}.{language}.svg", plan(language)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for target, content in drawings():
        target.write_text(content, "utf-8")
    print(f"wrote {len(PLANS) * len(LANGUAGES)} plans into {FOLDER.name}/")
