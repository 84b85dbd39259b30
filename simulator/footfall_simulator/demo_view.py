"""What the demonstration shows: a live view on a terminal, plain lines elsewhere, and the table at the end."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from rich import box
from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from footfall_simulator.people import IN, INNER, OUT, OUTER
from footfall_simulator.town import HOUR_MS, LATEST, Hour, Town

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, RenderableType

__all__ = ["DayView", "comparison_table"]

ZONE = ZoneInfo("Europe/Berlin")
ANSWERS = ("good", "fair", "poor")
SILENCE_S = 2.0  # nobody waits longer without a word


class DayView:
    """Shows a town while it lives through a day. `plain`: a line an hour instead of a picture."""

    def __init__(self, console: Console, *, plain: bool) -> None:
        self._console = console
        self._plain = plain
        self._live: Live | None = None
        self._town: Town
        self._start_ms = self._end_ms = 0
        self._told_ms = 0
        self._shown_ms = 0
        self._said_at = time.monotonic()

    @contextlib.contextmanager
    def watching(self, town: Town, start_ms: int, end_ms: int) -> Iterator[None]:
        """Show this town from now on, for as long as the block runs."""
        self._town, self._start_ms, self._end_ms = town, start_ms, end_ms
        self._told_ms = self._shown_ms = start_ms
        if self._plain:
            yield
            return
        with Live(self._picture(), console=self._console, refresh_per_second=10) as self._live:
            yield
        self._live = None

    def update(self) -> None:
        """Show how things are now."""
        if self._live is not None:
            self._live.update(self._picture())
        elif self._plain:
            self._tell_hours()

    # ---- plain

    def _tell_hours(self) -> None:
        now_ms = min(self._town.timeline.now_ms(), self._end_ms)
        if now_ms < self._told_ms + HOUR_MS and time.monotonic() - self._said_at > SILENCE_S:
            self._say(f"{_clock(now_ms)}  ... inside {self._town.inside()}")
        while self._told_ms + HOUR_MS <= now_ms:
            counted = self._town.counted
            hour = self._told_ms
            self._told_ms += HOUR_MS
            went = {
                direction: sum(
                    n for key, n in counted.items() if key.start_ms == hour and key.direction == direction
                )
                for direction in (IN, OUT)
            }
            inside = max(sum(n * key.direction for key, n in counted.items() if key.start_ms <= hour), 0)
            self._say(f"{_clock(hour)}  in {went[IN]:3}  out {went[OUT]:3}  inside {inside:3}")

    def _say(self, line: str) -> None:
        self._console.print(line)
        self._said_at = time.monotonic()

    # ---- the picture

    def _picture(self) -> Panel:
        town = self._town
        now_ms = min(town.timeline.now_ms(), self._end_ms)
        counted = town.counted
        hour = now_ms - now_ms % HOUR_MS
        doors = Table(box=box.SIMPLE, expand=True)
        for title in ("door", "beams", "passages", "in today", "out today", "this hour"):
            doors.add_column(title, justify="left" if title in ("door", "beams", "passages") else "right")
        for place, node in town.nodes.items():
            if node.buttons:
                continue
            mine = Counter({key: n for key, n in counted.items() if key.door == place})
            doors.add_row(
                place,
                _beams(node.broken_between(self._shown_ms, now_ms)),
                _latest(node.latest),
                str(_total(mine, IN)),
                str(_total(mine, OUT)),
                f"{mine[Hour(place, hour, IN)]} in, {mine[Hour(place, hour, OUT)]} out",
            )
        self._shown_ms = now_ms
        votes: Counter[int] = Counter()
        for node in town.nodes.values():
            votes.update(node.presses)
        lines: list[RenderableType] = [
            Text.assemble(
                ("  inside now ", "dim"), (f"{town.inside():4}", "bold"),
                ("     votes  ", "dim"), "   ".join(f"{answer} {votes[i]}" for i, answer in enumerate(ANSWERS)),
            ),
            Text(""),
            ProgressBar(total=self._end_ms - self._start_ms, completed=max(now_ms - self._start_ms, 0)),
        ]  # fmt: skip
        title = f"Footfall demo · a Tuesday at a university building · {_clock(now_ms)}"
        return Panel(Group(doors, *lines), title=title, border_style="cyan")


def _clock(utc_ms: int) -> str:
    return f"{datetime.fromtimestamp(utc_ms / 1000, UTC).astimezone(ZONE):%H:%M}"


def _total(counted: Counter[Hour], direction: int) -> int:
    return sum(n for hour, n in counted.items() if hour.direction == direction)


def _beams(broken: int) -> Text:
    """The two beams, outer first, as a line each: whole, or broken since the picture before."""
    return Text.assemble(
        *(("━ ━ ", "bold red") if broken & bit else ("━━━ ", "green") for bit in (OUTER, INNER))
    )


def _latest(directions: str) -> Text:
    """The latest passages, newest at the right: > in, < out."""
    return Text(f"{directions:>{LATEST}}", style="yellow")


def comparison_table(town: Town, ledger: Counter[Hour], zone: ZoneInfo) -> Table:
    """Every hour and door in which something was: walked, counted by the node, in the ledger."""
    table = Table(title="Walked in truth, counted by the nodes, in the ledger", box=box.SIMPLE_HEAD)
    table.add_column("hour")
    table.add_column("door")
    for title in ("in: walked", "nodes", "ledger", "out: walked", "nodes", "ledger"):
        table.add_column(title, justify="right")
    table.add_column("", no_wrap=True)
    counted = town.counted
    rows = sorted(
        {(hour.start_ms, hour.door) for counts in (town.walked, counted, ledger) for hour in counts}
    )
    for start_ms, door in rows:
        numbers = [
            counts[Hour(door, start_ms, direction)]
            for direction in (IN, OUT)
            for counts in (town.walked, counted, ledger)
        ]
        equal = len(set(numbers[:3])) == len(set(numbers[3:])) == 1
        local = datetime.fromtimestamp(start_ms / 1000, zone)
        table.add_row(f"{local:%H:%M}", door, *map(str, numbers), "=" if equal else "DIFFERENT")
    totals = [
        str(_total(counts, direction)) for direction in (IN, OUT) for counts in (town.walked, counted, ledger)
    ]
    table.add_section()
    table.add_row("day", "both", *totals, "")
    return table
