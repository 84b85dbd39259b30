"""Draw docs/live-view.svg, the picture in README.md: `.venv/bin/python .ci/live_view.py`, about a minute.

It runs the demonstration and keeps the live view as a terminal would show it shortly after noon.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from footfall_simulator import demo as demonstration
from footfall_simulator.demo_view import DayView
from footfall_simulator.town import HOUR_MS

PICTURE = Path(__file__).parents[1] / "docs" / "live-view.svg"
MOMENT_H = 12.4
COLUMNS = 92
# A viewer without network shows the picture in its own fixed-width font.
SVG = re.sub(r"@font-face \{\{.*?\}\}\n|<!--.*?-->\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


class PictureView(DayView):
    """Says what a plain view says, and takes one picture of what a terminal would show."""

    taken = False

    def update(self) -> None:
        super().update()
        if self.taken or self._town.timeline.now_ms() < self._start_ms + MOMENT_H * HOUR_MS:
            return
        console = Console(
            record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor"
        )
        console.print(self._picture())
        drawn = console.export_svg(title="make demo", code_format=SVG, unique_id="live")
        PICTURE.write_text("\n".join(line.rstrip() for line in drawn.splitlines()) + "\n", "utf-8")
        PictureView.taken = True


if __name__ == "__main__":
    demonstration.DayView = PictureView
    try:
        demonstration.demo.main(["--plain"], standalone_mode=False)
    finally:
        sys.stderr.write(f"{PICTURE}: {'drawn' if PictureView.taken else 'NOT drawn'}\n")
