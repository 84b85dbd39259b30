"""Take the pictures of terminals in the build guide: `.venv/bin/python .ci/build_guide_pictures.py [name ...]`; some minutes.

Each is what the real command says to a virtual board, a virtual door and a real broker; only names of ports and folders
are those that a reader has, not this machine's. It also prints the notice for the door as a picture.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # tests.*

if TYPE_CHECKING:
    from collections.abc import Iterator

from footfall_simulator import parts  # noqa: E402
from tests.device.a_node import ANode, a_node  # noqa: E402
from tests.servers import Mosquitto  # noqa: E402
from tests.virtual_chip import VirtualChip  # noqa: E402
from tests.virtual_images import image  # noqa: E402

FOLDER = ROOT / "hardware" / "pictures"
COLUMNS = 100
NODE = "ff-3c71bf4a"
SVG = re.sub(r"@font-face \{\{.*?\}\}\n|<!--.*?-->\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
SETTINGS = """
[gateway]
data = "data"
[mqtt]
host = "127.0.0.1"
port = {port}
[[site]]
id = "lab"
name = "Stadtlabor"
timezone = "Europe/Berlin"
[[site.door]]
id = "main"
node = "{node}"
barrier = 0
"""


def draw(name: str, typed: str, said: str) -> None:
    """Keep what a terminal shows after `typed`."""
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(Text.from_ansi(f"\x1b[1m$ {typed}\x1b[0m\n{said.rstrip()}"))
    drawn = console.export_svg(
        title=typed.partition(" --")[0], code_format=SVG, unique_id=name.replace(".", "-")
    )
    lines = [line.rstrip() for line in drawn.splitlines()]
    (FOLDER / f"{name}.svg").write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{name}.svg")


def footfall(*arguments: str, folder: Path, typed: str | None = None, limit_s: float = 120) -> str:
    """What the command says, as on a terminal without colours."""
    done = subprocess.run(
        [sys.executable, "-m", "footfall_gateway.cli", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": str(COLUMNS)},
        input=typed,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )
    return done.stdout + done.stderr


@contextlib.contextmanager
def door(folder: Path) -> Iterator[ANode]:
    """A node at a door, its broker, and the gateway with its settings in folder/footfall.toml."""
    with Mosquitto(folder / "broker") as broker:
        (folder / "footfall.toml").write_text(SETTINGS.format(port=broker.port, node=NODE))
        gateway = subprocess.Popen(
            [sys.executable, "-m", "footfall_gateway.cli", "run", "--config", "footfall.toml"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with a_node(folder, parts.micropython(), broker, rate=1, node=NODE, buttons=[], lamps=[]) as node:
                node.board.wait_for_console("time: learned", timeout_s=60)
                yield node
        finally:
            gateway.terminate()
            gateway.wait(30)


def status(folder: Path) -> None:
    with door(folder) as node:
        node.walk(12)
        node.walk(9, inward=False)
        time.sleep(16)
        said = footfall("status", "--config", "footfall.toml", folder=folder)
        said = said.replace(f"{folder}/data", "/var/lib/footfall")
    draw("status", "footfall status --config footfall.toml", said)


def align(folder: Path) -> None:
    """Somebody waves a hand through the outer beam while it is being aimed; in each language."""
    for language in ("de", "en"):
        here = folder / language
        here.mkdir()
        with door(here) as node:
            node.board.schedule_edges(
                [(node.timeline.now_ms() + 4000, 32, 1), (node.timeline.now_ms() + 5500, 32, 0)]
            )
            options = ("--config", "footfall.toml", "--seconds", "8", "--language", language)
            said = footfall("node", "align", NODE, *options, folder=here)
        draw(f"align.{language}", f"footfall node align {NODE} --config footfall.toml", said)


class Typist:
    """A command that asks, and what it says; an answer is typed once it has been quiet for a while."""

    QUIET_S = 2.0

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "footfall_gateway.cli", *arguments],
            cwd=folder,
            env={**os.environ, "COLUMNS": str(COLUMNS)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.said = b""
        self._asked_from = 0  # what came before this was answered
        self._last = time.monotonic()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while data := self._process.stdout.read1(4096):  # type: ignore[union-attr]
            self.said += data
            self._last = time.monotonic()

    def answer(self, text: str = "") -> None:
        while len(self.said) == self._asked_from or time.monotonic() - self._last < self.QUIET_S:
            time.sleep(0.1)
        self.said += f"{text}\n".encode()  # before it is typed: what comes of it stands behind it
        self._asked_from = len(self.said)
        self._process.stdin.write(f"{text}\n".encode())  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]
        self._last = time.monotonic()

    def wait_for(self, pattern: str, limit_s: float = 60) -> None:
        until = time.monotonic() + limit_s
        while not re.search(pattern, self.said.decode("utf-8", "replace")):
            if time.monotonic() > until:
                raise TimeoutError(f"{pattern}: {self.said.decode()}")
            time.sleep(0.1)

    def end(self) -> str:
        self._process.wait(30)
        return self.said.decode("utf-8")


def accept(folder: Path) -> None:
    """Alignment and the first two steps of an acceptance, in each language; then it is broken off."""
    for language in ("de", "en"):
        here = folder / language
        here.mkdir()
        options = ("--site", "lab", "--door", "main")
        with door(here) as node:
            screen = Typist(
                here, "accept", *options, "--short", "--alignment-seconds", "3", "--language", language
            )
            for text in ("", "", "", "M18", ""):
                screen.answer(text)
            screen.wait_for("(geht einer einmal|one person walks)")
            node.walk(1)
            for number, inward in ((1, True), (2, False)):
                screen.wait_for(rf"(Schritt|Step) {number} ")
                time.sleep(1)
                node.walk(5, inward=inward, every_ms=900)
                screen.wait_for(r"(gezählt|counted): 5 " if inward else r"(gezählt|counted): 0 \w+, 5 ")
                screen.answer()
            screen.wait_for(r"(Schritt|Step) 3 ")
            screen.answer("q")
            said = re.sub(r"127\.0\.0\.1:\d+", "10.1.2.3:1883", screen.end())
            said = said.replace(f"{here}/data", "/var/lib/footfall")
        draw(f"accept.{language}", "footfall accept " + " ".join([*options, "--short"]), said)


def flash(folder: Path) -> None:
    """A new board at the end of a cable, WiFi and broker in reach; no beam is wired, and the broker does not know the node yet. In each language."""
    for language in ("de", "en"):
        here = folder / language
        here.mkdir()
        draw_flash(here, language)


def draw_flash(folder: Path, language: str) -> None:
    downloads = folder / "Downloads"
    downloads.mkdir()
    (downloads / "ESP32_GENERIC-20250911-v1.26.1.bin").write_bytes(image())
    (folder / "wifi.password").write_text("correct horse battery\n")
    example = footfall("flash", "--example-settings", folder=folder)
    with (
        Mosquitto(folder / "broker", users={"gateway": "of no use here"}) as broker,
        VirtualChip(folder / "board", parts.micropython(), "esp32", on_pty=True) as board,
    ):
        (board.machine / "wifi").write_text("up")
        for pin in (32, 33):
            (board.machine / f"pin{pin}").write_text("1")
        filled = example.replace('host = "10.1.2.3"', f'host = "127.0.0.1"\nport = {broker.port}')
        (folder / "node.toml").write_text("status = 4\n" + filled)
        said = footfall(
            "flash",
            "--port",
            board.url,
            "--micropython",
            str(downloads),
            "--settings",
            "node.toml",
            "--language",
            language,
            folder=folder,
        )
        said = said.replace(str(board.url), "/dev/ttyUSB0").replace(str(downloads), "~/Downloads")
        said = said.replace(f":{broker.port}", ":1883").replace("127.0.0.1", "10.1.2.3")
    said = re.sub(r"\d+ KB (free|frei)\b", r"… KB \1", said)  # of this machine's disk
    said = re.sub(r"\$7\$101\$\S+", "$7$101$…", said)
    draw(f"flash.{language}", "footfall flash --micropython ~/Downloads --settings node.toml", said)


def notice(folder: Path) -> None:
    """The notice for the door, filled in, as a small picture."""
    for language in ("de", "en"):
        subprocess.run(
            [
                sys.executable,
                ROOT / "hardware/notice.py",
                f"--into={folder}",
                f"--language={language}",
                "--operator=Stadtlabor Musterstadt",
                "--contact=Frau Muster, 01234 567-89",
                "--officer=datenschutz@musterstadt.example",
                "--backup-days=30",
                "--purpose="
                + {
                    "de": "Wir planen damit Öffnungszeiten und melden Besuchszahlen an den Stadtrat.",
                    "en": "To plan opening hours, and to report visits to the town council.",
                }[language],
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        target = FOLDER / f"door-notice.{language}"
        page = folder / f"door-notice.{language}.pdf"
        subprocess.run(["pdftoppm", "-r", "50", "-png", "-singlefile", page, target], check=True)
        print(f"{target.name}.png")


PICTURES = {"flash": flash, "status": status, "align": align, "accept": accept, "notice": notice}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for wanted in sys.argv[1:] or PICTURES:
        with tempfile.TemporaryDirectory() as scratch:
            PICTURES[wanted](Path(scratch))
