"""What time it is: the system's clock, or for simulations one that another process drives through a small file.

`footfall run` passes one of these to the service; nothing else in the gateway asks the system for the time of day.
`utc_text` is how all of it writes a moment.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["ClockError", "simulated_clock", "system_clock", "utc_text"]

# File systems note the time of a change in steps of some milliseconds, and give a file's number to the next one at once
SAME_STAMP_NS = 50_000_000


class ClockError(Exception):
    """The file of a simulated clock cannot be used; the message is one line for the user."""


def system_clock() -> int:
    """UTC now, in milliseconds."""
    return time.time_ns() // 1_000_000


def utc_text(utc_ms: int) -> str:
    """`2026-01-31T09:15:02Z`"""
    return dt.datetime.fromtimestamp(utc_ms / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def simulated_clock(path: Path) -> Callable[[], int]:
    """A clock that follows a file, replaced whenever the course of time changes; all its numbers are whole microseconds.

    UTC = v0_us + (monotonic clock - r0_us) * rate_milli / 1000 - lead_us, but never less than floor_us; the monotonic
    clock is the machine's (CLOCK_MONOTONIC). The file is read again only when it was replaced, or so lately that another one might
    look the same. ClockError where the file cannot be read or says something else.
    """
    seen: tuple[int, int] | None = None
    v0_us = r0_us = rate_milli = lead_us = floor_us = 0

    def clock() -> int:
        nonlocal seen, v0_us, r0_us, rate_milli, lead_us, floor_us
        try:
            status = path.stat()
            stamp = (status.st_ino, status.st_mtime_ns)
            if stamp != seen:
                line = json.loads(path.read_text("ascii"))
                v0_us, r0_us, rate_milli = int(line["v0_us"]), int(line["r0_us"]), int(line["rate_milli"])
                lead_us, floor_us = int(line["lead_us"]), int(line["floor_us"])
                seen = stamp if time.time_ns() - status.st_mtime_ns > SAME_STAMP_NS else None
        except OSError as error:
            raise ClockError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise ClockError(f"{path}: not the file of a simulated clock ({error})") from error
        now_us = v0_us + (time.monotonic_ns() // 1000 - r0_us) * rate_milli // 1000 - lead_us
        return max(now_us, floor_us) // 1000

    clock()
    return clock
