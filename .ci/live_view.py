"""Draw docs/live-view.svg, the picture in README.md: `.venv/bin/python .ci/live_view.py`, about a minute.

It runs the demonstration and keeps the live view of the moment, shortly after noon, at which somebody is in a door.
"""

from __future__ import annotations

import io
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from footfall_simulator import demo as demonstration
from footfall_simulator.demo_view import DayView
from footfall_simulator.town import BLOCKED, HOUR_MS, INNER_PIN, OUTER_PIN

if TYPE_CHECKING:
    from rich.panel import Panel

PICTURE = Path(__file__).parents[1] / "docs" / "live-view.svg"
SPEED = 4000.0
PICTURE_RATE = 10.0  # virtual seconds a second: somebody in a door is there for some ten milliseconds
MOMENT_H = 12.4
WITHIN_S = 60.0
COLUMNS = 92
# A viewer without network shows the picture in its own fixed-width font.
SVG = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


class PictureView(DayView):
    """Says what a plain view says, and takes one picture of what a terminal would show."""

    taken = False

    def update(self) -> None:
        super().update()
        timeline = self._town.timeline
        if self.taken or timeline.now_ms() < self._start_ms + MOMENT_H * HOUR_MS:
            return
        timeline.set_rate(PICTURE_RATE)
        until = time.monotonic() + WITHIN_S
        while not self.taken and time.monotonic() < until:
            time.sleep(0.002)
            if self._somebody_in_a_door():
                picture = self._picture()
                if self._somebody_in_a_door():
                    self._draw(picture)
        timeline.set_rate(SPEED)

    def _somebody_in_a_door(self) -> bool:
        return any(
            node.board.level(pin) == BLOCKED
            for node in self._town.nodes.values()
            if not node.buttons
            for pin in (OUTER_PIN, INNER_PIN)
        )

    def _draw(self, picture: Panel) -> None:
        console = Console(
            record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor"
        )
        console.print(picture)
        drawn = console.export_svg(title="make demo", code_format=SVG, unique_id="live")
        PICTURE.write_text("\n".join(line.rstrip() for line in drawn.splitlines()) + "\n", "utf-8")
        PictureView.taken = True


if __name__ == "__main__":
    demonstration.DayView = PictureView
    try:
        demonstration.demo.main(["--plain", "--speed", str(SPEED)], standalone_mode=False)
    finally:
        sys.stderr.write(f"{PICTURE}: {'drawn' if PictureView.taken else 'NOT drawn'}\n")
