"""Draw the wiring: `python hardware/wiring.py` (or `make drawings`) writes hardware/drawings/*.svg, German and English.

The text of every circuit is below; pin numbers come from pins.toml. tests/unit/test_drawings.py draws everything again and
compares with what lies in the repository. Values and their reasons: wiring.md.
"""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import schemdraw
from pins import Chip, read_pins, role_name
from schemdraw import elements as e

FOLDER = Path(__file__).parent / "drawings"
LANGUAGES = ("de", "en")
PIN_BOX_WIDTH = 6.4
NOTE_LETTERS = 108  # in a line below a circuit
FONT = "DejaVu Sans, Arial, sans-serif"

Text = dict[str, str]
Circuit = Callable[["Sheet"], None]

SENSOR: Text = {"de": "Lichtschranke M18\nNPN, 10–30 V", "en": "M18 sensor\nNPN, 10–30 V"}
BROWN: Text = {"de": "braun", "en": "brown"}
BLACK: Text = {"de": "schwarz", "en": "black"}
BLUE: Text = {"de": "blau", "en": "blue"}
TERMINAL: Text = {"de": "Klemme", "en": "terminal"}
TERMINALS: Text = {"de": "Klemmen", "en": "terminals"}


class Sheet:
    """One drawing in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        schemdraw.use("svg")
        e.style(e.STYLE_IEC)
        self.d = schemdraw.Drawing(show=False)
        self.d.config(fontsize=13, font=FONT, lw=1.6, margin=0.4)

    def say(self, text: Text) -> str:
        return text[self.language]

    def ohm(self, value: str) -> str:
        """`4.7 kΩ` with the language's decimal mark."""
        return value.replace(".", ",") if self.language == "de" else value

    def add(self, element: Any) -> Any:
        self.d += element
        return element

    def line(self, *points: tuple[float, float]) -> None:
        for start, end in itertools.pairwise(points):
            self.add(e.Line().at(start).to(end))

    def dot(self, x: float, y: float, *, open_: bool = False) -> None:
        self.add(e.Dot(open=open_).at((x, y)))

    def ground(self, x: float, y: float) -> None:
        self.add(e.GroundSignal().at((x, y)).theta(0))
        self.note(x, y - 0.95, "GND", size=10)

    def rail(self, x: float, y: float, text: str) -> None:
        self.add(e.Vdd().at((x, y)).label(text))

    def part(
        self, kind: Any, start: tuple[float, float], end: tuple[float, float], text: str, loc: str
    ) -> Any:
        return self.add(kind().at(start).to(end).label(text, loc, fontsize=12))

    def box(self, x: float, y: float, w: float, h: float, text: str) -> None:
        """A box whose lower left corner is at x, y."""
        self.add(e.Rect(corner1=(0, 0), corner2=(w, h), fill="#f2f2f2").at((x, y)).theta(0))
        self.note(x + w / 2, y + h / 2, text, size=12)

    def note(self, x: float, y: float, text: str, *, size: int = 11, align: str = "center") -> None:
        low = y - size / 85  # schemdraw centres a text a little too high and too far to the right
        left = x - (0.12 if align == "center" else 0)
        self.add(
            e.Label()
            .at((left, low))
            .theta(0)
            .label(text, "center", ofst=(0, 0), fontsize=size, halign=align, valign="center")
        )

    def below(self, y: float, text: Text) -> None:
        """What to mind, below a circuit: a line for each line of the text, wrapped."""
        lines = [
            part for line in bound(self.say(text)).split("\n") for part in textwrap.wrap(line, NOTE_LETTERS)
        ]
        for i, line in enumerate(lines):
            self.note(0, y - 0.5 * i, line, align="left")
        self.reach(0.2 * NOTE_LETTERS, y - 0.5 * len(lines))

    def reach(self, x: float, y: float) -> None:
        """Make the paper so large that it holds this point: schemdraw does not know how long a text is."""
        self.add(e.Line(color="white", lw=0.1).at((x, y)).to((x, y - 0.01)))

    def title(self, x: float, y: float, text: str) -> None:
        self.add(e.Label().at((x, y)).theta(0).label(text, "center", fontsize=15, halign="left"))

    # ---- parts that several circuits share

    def pin_box(self, x: float, y: float, roles: str) -> None:
        """The end of a wire at the board: the pin's number on each chip."""
        self.add(
            e.Rect(corner1=(0, -1.15), corner2=(PIN_BOX_WIDTH, 1.15), fill="#e6f0fa").at((x, y)).theta(0)
        )
        lines = [
            f"{chip['name']}: " + " / ".join(dict.fromkeys(pin_text(chip, role) for role in roles.split()))
            for chip in read_pins().values()
            if all(role in chip["roles"] for role in roles.split())
        ]
        if " " in roles:
            lines.insert(0, self.say({"de": "außen / innen", "en": "outer / inner"}))
        self.note(x + 0.25, y, "\n".join(lines), size=11, align="left")

    def terminal(self, x: float, y: float) -> None:
        """A screw terminal: here a cable ends at the board."""
        self.dot(x, y, open_=True)
        self.note(x, y + 0.42, self.say(TERMINAL), size=10)

    def suppressor(self, x: float, y: float) -> None:
        """From a line at x, y to ground: for what people who touch a part and long cables bring along."""
        self.dot(x, y)
        self.part(e.DiodeTVS, (x, y - 2.6), (x, y), "TVS 5 V", "bottom")
        self.ground(x, y - 2.6)

    def input_stage(self, x: float, y: float, pull_up: str, roles: str, capacitor: str = "10 nF") -> None:
        """From x, y to the pin: pull-up, 1 kOhm in series, a small capacitor."""
        self.line((x, y), (x + 3.5, y))
        self.dot(x + 3.5, y)
        self.part(e.Resistor, (x + 3.5, y), (x + 3.5, y + 2.8), self.ohm(pull_up), "bottom")
        self.rail(x + 3.5, y + 2.8, self.ohm("3.3 V"))
        self.part(e.Resistor, (x + 3.5, y), (x + 6.5, y), self.ohm("1 kΩ"), "top")
        self.dot(x + 6.5, y)
        self.part(e.Capacitor, (x + 6.5, y), (x + 6.5, y - 2.6), capacitor, "bottom")
        self.ground(x + 6.5, y - 2.6)
        self.line((x + 6.5, y), (x + 8.6, y))
        self.pin_box(x + 8.6, y, roles)

    def sensor(self, x: float, y: float, supply: str) -> None:
        """A three-wire sensor and the terminals of its cable: its output (black) leaves at x + 6, y."""
        self.box(x, y - 1.6, 4, 3.2, self.say(SENSOR))
        for height, colour in ((1.1, BROWN), (0, BLACK), (-1.1, BLUE)):
            self.line((x + 4, y + height), (x + 6, y + height))
            self.note(x + 4.8, y + height + 0.28, self.say(colour), size=10)
            self.dot(x + 6, y + height, open_=True)
        self.note(x + 5.9, y - 1.55, self.say(TERMINALS), size=10)
        self.line((x + 6, y + 1.1), (x + 7, y + 1.1))
        self.rail(x + 7, y + 1.1, supply)
        self.line((x + 6, y - 1.1), (x + 7, y - 1.1))
        self.ground(x + 7, y - 1.1)


def bound(text: str) -> str:
    """The text with numbers bound to their units, so that no line ends between them."""
    return re.sub(r"(?<=\d) (?=(?:[kVs]|mA|Ω|µF|nF|m|kΩ)\b)", "\u00a0", text)


def pin_text(chip: Chip, role: str) -> str:
    """`GPIO 32`, or what is printed on the board."""
    pin = chip["roles"][role]
    label = chip.get("labels", {}).get(str(pin))
    return f"GPIO {pin} ({label})" if label else f"GPIO {pin}"


BEAM_PINS = "outer inner"


# ------------------------------------------------------------------------------------------------------------ circuits


def npn_direct(s: Sheet) -> None:
    s.title(
        0,
        4.6,
        s.say(
            {
                "de": "Lichtschranke mit echtem offenem Kollektor (NPN)",
                "en": "Sensor with a true open collector (NPN)",
            }
        ),
    )
    s.sensor(0, 0, "+12 V")
    s.line((6, 0), (8.8, 0))
    s.suppressor(8.8, 0)
    s.input_stage(8.8, 0, "4.7 kΩ", BEAM_PINS)
    s.below(
        -4.6,
        {
            "de": "Nur wenn der Ausgang im Leerlauf keine Spannung führt. Masse von Sensor und Platine verbinden. Hell schaltend einstellen (L.ON).\n"
            "Danach messen, Pin gegen GND: Strahl frei unter 0,6 V, unterbrochen 3,3 V.",
            "en": "Only if the open output shows no voltage. Join the grounds of sensor and board. Set the sensor to light-on (L.ON).\n"
            "Then measure, pin to GND: beam free below 0.6 V, broken 3.3 V.",
        },
    )


def npn_diode(s: Sheet) -> None:
    s.title(
        0,
        4.6,
        s.say(
            {
                "de": "Lichtschranke mit eingebautem Pull-up: Schottkydiode",
                "en": "Sensor with a pull-up inside: Schottky diode",
            }
        ),
    )
    s.sensor(0, 0, "+12 V")
    s.part(e.Schottky, (10, 0), (7, 0), "", "top")
    s.line((6, 0), (7, 0))
    s.note(8.5, -0.7, "BAT43 / BAT85")
    s.suppressor(10, 0)
    s.input_stage(10, 0, "4.7 kΩ", BEAM_PINS)
    s.below(
        -4.6,
        {
            "de": "Kathode (Ring) zum Sensor, Anode zum Pin; andersherum liegen 12 V am Chip. Kurze Leitung, gemeinsame Masse.\n"
            "Danach messen, Pin gegen GND: Strahl frei unter 0,6 V (sonst Optokoppler nehmen), unterbrochen 3,3 V.",
            "en": "Cathode (ring) towards the sensor, anode towards the pin; the other way round 12 V reach the chip. Short cable, one ground.\n"
            "Then measure, pin to GND: beam free below 0.6 V (or take the optocoupler), broken 3.3 V.",
        },
    )


def npn_opto(s: Sheet) -> None:
    s.title(
        0,
        6.4,
        s.say(
            {
                "de": "Lichtschranke an 12 oder 24 V mit Optokoppler",
                "en": "Sensor on 12 or 24 V with an optocoupler",
            }
        ),
    )
    s.sensor(0, 0, "+12 / 24 V")
    opto = s.add(e.Optocoupler().at((10.6, 0)).anchor("cathode").label("PC817", "top", fontsize=12))
    ax, ay = opto.absanchors["anode"]
    kx, ky = opto.absanchors["cathode"]
    cx, cy = opto.absanchors["collector"]
    ex, ey = opto.absanchors["emitter"]
    for x, y, leg in ((ax, ay, 1), (kx, ky, 2), (ex + 0.45, ey, 3), (cx + 0.45, cy, 4)):
        s.note(x - 0.22, y + 0.25, str(leg), size=9)
    s.line((6, 0), (kx, ky))
    s.line((ax, ay), (9.8, ay))
    s.part(e.Resistor, (9.8, ay + 2.8), (9.8, ay), s.ohm("2.2 kΩ (12 V)\n4.7 kΩ (24 V)"), "bottom")
    s.rail(9.8, ay + 2.8, "+12 / 24 V")
    s.line((ex, ey), (ex + 0.8, ey))
    s.ground(ex + 0.8, ey)
    s.input_stage(cx, cy, "4.7 kΩ", BEAM_PINS)
    s.below(
        -4.6,
        {
            "de": "Der Regelfall: passt für jeden NPN-Ausgang und für Leitungen über 5 m. Hell schaltend (L.ON). PC817: der Punkt ist Bein 1.\n"
            "Haben die Sensoren ein eigenes Netzteil, bleibt dessen Minus getrennt vom GND rechts.\n"
            "Danach messen, Pin gegen GND: Strahl frei unter 0,6 V, unterbrochen oder Leitung ab 3,3 V.",
            "en": "The usual way: fits any NPN output and cables over 5 m. Set to light-on (L.ON). PC817: the dot is leg 1.\n"
            "If the sensors have a supply of their own, its minus stays apart from the GND on the right.\n"
            "Then measure, pin to GND: beam free below 0.6 V, broken or cable off 3.3 V.",
        },
    )


def lowcost_receiver(s: Sheet) -> None:
    s.title(0, 6, s.say({"de": "Günstig: modulierter Empfänger", "en": "Low-cost: modulated receiver"}))
    inside = {
        "de": "außen: TSSP4038\ninnen: TSSP4056\nin einem Röhrchen",
        "en": "outer: TSSP4038\ninner: TSSP4056\ninside a tube",
    }
    s.box(0, -0.8, 4, 4.8, s.say(inside))
    out, ground, supply = 0, 1.6, 3.2  # heights of its legs
    for y, leg in ((out, "1 OUT"), (ground, "2 GND"), (supply, "3 VS")):
        s.note(4.6, y + 0.28, leg, size=10)
    s.line((4, supply), (5.6, supply))
    s.dot(5.6, supply)
    s.part(e.Capacitor, (5.6, ground), (5.6, supply), "100 nF", "bottom")
    s.dot(5.6, ground)
    s.part(e.Resistor, (5.6, supply), (8.4, supply), "100 Ω", "top")
    s.line((8.4, supply), (9.6, supply))
    s.rail(9.6, supply, s.ohm("3.3 V"))
    s.line((4, ground), (9.6, ground))
    s.ground(9.6, ground)
    s.part(e.Resistor, (4.9, out), (7.7, out), s.ohm("1 kΩ"), "top")
    s.line((4, out), (4.9, out))
    s.line((7.7, out), (10.6, out))
    for y in (out, ground, supply):
        s.dot(8.8, y, open_=True)
    s.note(8.8, out - 0.45, s.say(TERMINALS), size=10)
    s.note(6.3, out - 0.8, s.say({"de": "Leitung höchstens 2 m", "en": "cable 2 m at most"}), size=10)
    s.suppressor(10.6, out)
    s.input_stage(10.6, out, "10 kΩ", BEAM_PINS)
    s.below(
        -4.6,
        {
            "de": "100 Ω, 100 nF (zwischen VS und GND) und 1 kΩ direkt an die Beine des Empfängers löten: seine Last muss unter 2 nF bleiben. Pull-up hier 10 kΩ.\n"
            "Danach messen, Pin gegen GND: Strahl frei unter 0,6 V, unterbrochen 3,3 V.",
            "en": "Solder 100 Ω, 100 nF (between VS and GND) and 1 kΩ right to the receiver's legs: its load must stay below 2 nF. The pull-up here is 10 kΩ.\n"
            "Then measure, pin to GND: beam free below 0.6 V, broken 3.3 V.",
        },
    )


def low_side(s: Sheet, x: float, y: float) -> tuple[float, float]:
    """A transistor from a board's pin at x, y on: 1 kOhm, 10 kOhm to ground; returns its collector."""
    s.part(e.Resistor, (x, y), (x + 3, y), s.ohm("1 kΩ"), "top")
    s.dot(x + 3, y)
    s.part(e.Resistor, (x + 3, y), (x + 3, y - 2.6), "10 kΩ", "bottom")
    s.ground(x + 3, y - 2.6)
    s.line((x + 3, y), (x + 4, y))
    t = s.add(
        e.BjtNpn(circle=True).at((x + 4, y)).anchor("base").right().label("BC337", "right", fontsize=12)
    )
    ex, ey = t.absanchors["emitter"]
    s.line((ex, ey), (ex, y - 2.6))
    s.ground(ex, y - 2.6)
    return tuple(t.absanchors["collector"])


def lowcost_emitter(s: Sheet) -> None:
    s.title(0, 6.4, s.say({"de": "Günstig: Infrarotsender", "en": "Low-cost: infrared emitter"}))
    s.pin_box(0, 0, "carrier1")
    s.note(
        0.25,
        1.5,
        s.say({"de": "außen: 38 kHz (carriers[0])", "en": "outer: 38 kHz (carriers[0])"}),
        size=11,
        align="left",
    )
    s.pin_box(0, -3, "carrier2")
    s.note(
        0.25,
        -4.6,
        s.say({"de": "innen: 56 kHz (carriers[1]), ebenso", "en": "inner: 56 kHz (carriers[1]), the same"}),
        size=11,
        align="left",
    )
    cx, cy = low_side(s, PIN_BOX_WIDTH, 0)
    s.rail(cx, 4.8, "5 V")
    s.part(e.Resistor, (cx, 4.8), (cx + 3, 4.8), "180 Ω", "top")
    s.line((cx + 3, 4.8), (cx + 7, 4.8))
    s.line((cx, cy), (cx, 2.2), (cx + 7, 2.2))
    for y in (4.8, 2.2):
        s.terminal(cx + 3.2, y)
    s.note(cx + 5, 3.5, s.say({"de": "bis 5 m,\nverdrillt", "en": "up to 5 m,\ntwisted"}), size=11)
    s.part(e.LED, (cx + 7, 4.8), (cx + 7, 2.2), "940 nm\n±10°", "bottom")
    s.below(
        -6,
        {
            "de": "180 Ω: 20 mA im Puls, ein Drittel der Zeit. Reicht das nicht, 100 Ω (35 mA), nicht weniger. Röhrchen vor Sender und Empfänger, innen matt schwarz.\n"
            "Beide Sender auf einer Seite, beide Empfänger gegenüber; die zwei Frequenzen halten die Strahlen auseinander.",
            "en": "180 Ω: 20 mA in the pulse, a third of the time. If that does not reach, 100 Ω (35 mA), not less. Tubes in front of emitter and receiver, matt black inside.\n"
            "Both emitters on one side, both receivers opposite; the two frequencies keep the beams apart.",
        },
    )


def button(s: Sheet) -> None:
    s.title(
        0,
        4.6,
        s.say({"de": "Taste (für jede der 3 bis 5 gleich)", "en": "Button (the same for each of 3 to 5)"}),
    )
    s.part(e.Button, (1, -2.6), (1, 0), s.say({"de": "Schließer", "en": "normally\nopen"}), "top")
    s.ground(1, -2.6)
    s.line((1, 0), (5.5, 0))
    s.note(2.5, 0.4, s.say({"de": "bis 3 m", "en": "up to 3 m"}), size=10)
    s.terminal(4, 0)
    s.suppressor(5.5, 0)
    s.input_stage(5.5, 0, "4.7 kΩ", "button1", "100 nF")
    s.below(
        -4.6,
        {
            "de": "Gezeigt ist Taste 1; die Pins der anderen stehen in der Tabelle. Der 1-kΩ-Widerstand schützt auch, wenn der Pin beim Start kurz treibt.\n"
            "Danach messen, Pin gegen GND: losgelassen 3,3 V, gedrückt 0 V.",
            "en": "Button 1 is shown; the table has the pins of the others. The 1 kΩ also protects while the pin drives for a moment at power-up.\n"
            "Then measure, pin to GND: released 3.3 V, pressed 0 V.",
        },
    )


def lamp(s: Sheet) -> None:
    s.title(
        0,
        6,
        s.say(
            {
                "de": "Lampe in der Taste, 5 V (für jede gleich)",
                "en": "Lamp in the button, 5 V (the same for each)",
            }
        ),
    )
    s.pin_box(0, 0, "lamp1")
    cx, cy = low_side(s, PIN_BOX_WIDTH, 0)
    s.part(e.Resistor, (cx, 4.4), (cx, 1.8), "220 Ω *", "top")
    s.rail(cx, 4.4, "5 V")
    s.line((cx, 1.8), (cx + 4.5, 1.8))
    s.line((cx, cy), (cx + 4.5, cy))
    for y in (1.8, cy):
        s.terminal(cx + 1.8, y)
    s.note(cx + 3.3, 1.8 - (1.8 - cy) / 2, s.say({"de": "bis 3 m", "en": "up to 3 m"}), size=10)
    s.part(e.LED, (cx + 4.5, 1.8), (cx + 4.5, cy), s.say({"de": "Lampe", "en": "lamp"}), "bottom")
    s.below(
        -4.6,
        {
            "de": "* Nur wenn die Taste keinen Vorwiderstand enthält: Aufdruck lesen; „5 V“ heißt meist: eingebaut. 10 kΩ hält die Lampe beim Start dunkel.\n"
            "Statt BC337 geht ein AO3400 (100 Ω statt 1 kΩ). Für 12-V-Lampen 12 V statt 5 V.",
            "en": '* Only if the button has no resistor inside: read the label; "5 V" mostly means built in. 10 kΩ keeps the lamp dark at power-up.\n'
            "Instead of the BC337 an AO3400 will do (100 Ω instead of 1 kΩ). For 12 V lamps 12 V instead of 5 V.",
        },
    )


def status_lamp(s: Sheet) -> None:
    s.title(0, 2.4, s.say({"de": "Zustandslampe", "en": "Status lamp"}))
    s.pin_box(0, 0, "status")
    s.part(e.Resistor, (PIN_BOX_WIDTH, 0), (9.4, 0), "220 Ω", "top")
    s.part(e.LED, (9.4, 0), (12.4, 0), s.say({"de": "rot oder gelb", "en": "red or yellow"}), "top")
    s.ground(12.4, 0)
    s.below(
        -2.4,
        {
            "de": "Leuchtet: zählt und ist verbunden. Kurzes Blitzen alle 2 s: zählt, aber keine Verbindung.\n"
            "Langsames Blinken: ein Strahl ist unterbrochen. Schnelles Blinken: ein Strahl flackert. Beides: zählt nicht.\n"
            "Zwei kurze Blitze alle 2 s: Notbetrieb nach mehreren Abstürzen, zählt weiter, so gut es geht.",
            "en": "Lit: counts and is in touch. A short flash every 2 s: counts, but no connection.\n"
            "Slow blinking: a beam is broken. Fast blinking: a beam flickers. Both: not counting.\n"
            "Two short flashes every 2 s: safe mode after several crashes, counting with what works.",
        },
    )


def supply_12v(s: Sheet) -> None:
    s.title(
        0,
        4.2,
        s.say({"de": "Versorgung mit 12 V (Industriesensoren)", "en": "12 V supply (industrial sensors)"}),
    )
    s.box(
        0,
        -0.6,
        3.6,
        2.4,
        s.say(
            {"de": "Steckernetzteil\n12 V, 1 A\n(gekauft, CE)", "en": "plug supply\n12 V, 1 A\n(bought, CE)"}
        ),
    )
    s.line((3.6, 1.3), (4.4, 1.3))
    s.part(e.Fuse, (4.4, 1.3), (7, 1.3), s.ohm("0.5 A"), "top")
    s.line((7, 1.3), (13, 1.3))
    for x in (8, 11):
        s.dot(x, 1.3)
    s.line((8, 1.3), (8, 2.4))
    s.rail(8, 2.4, s.say({"de": "+12 V zu den Sensoren", "en": "+12 V to the sensors"}))
    s.part(e.Capacitor2, (11, 1.3), (11, -1.2), "470 µF", "bottom")
    s.ground(11, -1.2)
    s.box(13, -0.2, 3.6, 2.2, s.say({"de": "Abwärtswandler\n12 V → 5 V", "en": "step-down\n12 V → 5 V"}))
    s.line((14.8, -0.2), (14.8, -1.2))
    s.ground(14.8, -1.2)
    s.part(e.Switch, (16.6, 1.3), (19.6, 1.3), "J1", "top")
    s.box(19.6, -0.2, 3.4, 2.2, s.say({"de": "ESP32-Platine", "en": "ESP32 board"}))
    s.note(19.75, 1.6, "5V", size=10, align="left")
    s.line((21.3, -0.2), (21.3, -1.2))
    s.ground(21.3, -1.2)
    s.line((23, 0.9), (24.2, 0.9), (24.2, 2.4))
    s.note(23.6, 1.2, "3V3", size=10)
    s.rail(24.2, 2.4, s.say({"de": "3,3 V zu den Pull-ups", "en": "3.3 V to the pull-ups"}))
    s.reach(27, 2.4)
    s.line((3.6, -0.2), (4.4, -0.2), (4.4, -1.2))
    s.ground(4.4, -1.2)
    s.below(
        -3.4,
        {
            "de": "Den Wandler vor dem Anschließen auf 5,0 V einstellen und messen. J1 ist eine Steckbrücke: ziehen, solange ein USB-Kabel steckt, sonst speisen sich zwei Netzteile gegenseitig.\n"
            "Mit 24 V: Netzteil und Wandler für 24 V. Nirgends Netzspannung im Gehäuse.",
            "en": "Set the converter to 5.0 V and measure before connecting it. J1 is a jumper: pull it while a USB cable is plugged in, or two supplies feed each other.\n"
            "With 24 V: supply and converter for 24 V. No mains voltage inside the box anywhere.",
        },
    )


def supply_usb(s: Sheet) -> None:
    s.title(
        0,
        3.6,
        s.say(
            {
                "de": "Versorgung über USB (günstige Variante, Terminal)",
                "en": "USB supply (low-cost variant, terminal)",
            }
        ),
    )
    s.box(
        0,
        -0.8,
        3.6,
        2.4,
        s.say({"de": "USB-Netzteil\n5 V, 2 A\n(gekauft, CE)", "en": "USB supply\n5 V, 2 A\n(bought, CE)"}),
    )
    s.line((3.6, 0.8), (6, 0.8))
    s.note(4.8, 1.2, "USB", size=11)
    s.box(6, -0.8, 4.2, 2.4, s.say({"de": "ESP32-Platine\nUSB-Buchse", "en": "ESP32 board\nUSB socket"}))
    s.line((10.2, 0.8), (11, 0.8))
    s.note(10.6, 1.2, "5V", size=11)
    s.part(e.Fuse, (11, 0.8), (13.6, 0.8), s.ohm("0.5 A"), "top")
    s.line((13.6, 0.8), (16.5, 0.8))
    s.rail(
        16.5, 0.8, s.say({"de": "5 V für Lampen, Infrarotsender", "en": "5 V for lamps, infrared emitters"})
    )
    s.line((10.2, 0), (11, 0), (11, -0.8))
    s.ground(11, -0.8)
    s.line((10.2, -0.4), (10.6, -0.4), (10.6, -2.2), (13, -2.2))
    s.box(13, -2.7, 6, 1, s.say({"de": "3V3: Pull-ups, Empfänger", "en": "3V3: pull-ups, receivers"}))
    s.below(
        -4.2,
        {
            "de": "Keine Batterie. Das USB-Kabel am Gehäuse zugentlasten; das Netzteil muss 2 A liefern, sonst startet die Platine beim Funken neu.",
            "en": "No battery. Relieve the USB cable's strain at the box; the supply must give 2 A, or the board restarts when it transmits.",
        },
    )


def overview(chip_key: str) -> Circuit:
    def draw(s: Sheet) -> None:
        chip = read_pins()[chip_key]
        left = [role for role in chip["roles"] if re.match("outer|inner|button", role)]
        right = [role for role in chip["roles"] if re.match("lamp|carrier|status", role)]
        s.reach(-8.6, 0)
        s.reach(19.4, 0)
        rows = max(len(left), len(right)) + 1
        s.title(
            -8.2,
            1.6,
            s.say({"de": "Welche Klemme an welchen Pin: ", "en": "Which terminal at which pin: "})
            + chip["board"],
        )
        s.add(e.Rect(corner1=(0, -rows * 1.1 - 0.2), corner2=(7, 0.6), fill="#e6f0fa").at((0, 0)).theta(0))
        supply = {"de": "5V, 3V3, GND: Versorgung", "en": "5V, 3V3, GND: supply"}
        s.note(3.5, -rows * 1.1 + 0.35, s.say(supply), size=11)
        for i, role in enumerate(left):
            y = -0.3 - 1.1 * i
            s.line((-1.5, y), (0, y))
            s.dot(-1.5, y, open_=True)
            s.note(0.2, y, pin_text(chip, role), size=12, align="left")
            s.note(-1.8, y, role_name(role, s.language), size=12, align="right")
        for i, role in enumerate(right):
            y = -0.3 - 1.1 * i
            s.line((7, y), (8.5, y))
            s.dot(8.5, y, open_=True)
            s.note(6.8, y, pin_text(chip, role), size=12, align="right")
            other = chip["instead_of"].get(role)
            instead = {"de": "statt", "en": "instead of"}[s.language]
            text = role_name(role, s.language) + (
                f" ({instead} {role_name(other, s.language)})" if other else ""
            )
            s.note(8.8, y, text, size=12, align="left")

    return draw


CIRCUITS: dict[str, Circuit] = {
    "npn-direct": npn_direct,
    "npn-diode": npn_diode,
    "npn-optocoupler": npn_opto,
    "lowcost-receiver": lowcost_receiver,
    "lowcost-emitter": lowcost_emitter,
    "button": button,
    "lamp": lamp,
    "status-lamp": status_lamp,
    "supply-12v": supply_12v,
    "supply-usb": supply_usb,
    **{f"pins-{name}": overview(name) for name in read_pins()},
}


def drawn(circuit: Circuit, language: str) -> str:
    """The drawing as SVG; the same text on every machine."""
    sheet = Sheet(language)
    circuit(sheet)
    text = sheet.d.get_imagedata("svg").decode("utf-8")
    numbers = re.compile(r"-?\d+\.\d+")  # their last digits differ between machines
    text = re.sub(r"<[^>]*>", lambda tag: numbers.sub(lambda one: short(float(one[0])), tag[0]), text)
    text = text.replace('xml:lang="en"', f'xml:lang="{language}"', 1)
    x, y, width, height = re.search(r'viewBox="(\S+) (\S+) (\S+) (\S+)"', text).groups()  # type: ignore[union-attr]
    paper = (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="white"/>'  # readers with a dark page
    )
    return text.replace(">", ">" + paper, 1).rstrip() + "\n"


def short(value: float) -> str:
    """Two decimals, and no minus before a zero."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def drawings() -> Iterator[tuple[Path, str]]:
    """(path, SVG) of every circuit in every language."""
    for name, circuit in CIRCUITS.items():
        for language in LANGUAGES:
            yield FOLDER / f"{name}.{language}.svg", drawn(circuit, language)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for target, content in drawings():
        target.write_text(content, "utf-8")
    print(f"wrote {len(CIRCUITS) * len(LANGUAGES)} drawings into {FOLDER.name}/")
