"""How a connection that fails is told to the person who reads the log. Used by the links and by the sink.

A broker that is away for a night must not fill the log, and must not be forgotten in it either: the first failure is
a line, each new reason is a line, the same reason is a line every few minutes, and the end is a line with how long
it took.
"""

import logging
import time
from collections.abc import Callable

__all__ = ["Backoff", "Outage", "spoken"]

REPEAT_S = 300.0  # the same bad news again after five minutes
MAX_REASONS = 50  # of one outage that are remembered as told


def spoken(seconds: float) -> str:
    """A duration as a person says it: `40 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    whole = max(0, round(seconds))
    for unit, size, small_unit, small in (
        ("d", 86_400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{whole} s"


class Outage:
    """One connection's troubles. `fails` and `works` may be called as often as anything happens, by one thread."""

    def __init__(self, what: str, log: logging.Logger, now: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._log = log
        self._now = now
        self._since: float | None = None
        self._told: dict[str, float] = {}  # reason -> when
        self.reason: str | None = None  # why it does not work; None while it does

    def fails(self, reason: str, level: int = logging.WARNING) -> None:
        now = self._now()
        self.reason = reason
        if self._since is None:
            self._since = now
            self._log.log(level, "%s: %s; trying again until it works", self._what, reason)
        elif now - self._told.get(reason, now - REPEAT_S) >= REPEAT_S:
            self._log.log(level, "%s: %s (for %s now)", self._what, reason, spoken(now - self._since))
        else:
            return
        if len(self._told) >= MAX_REASONS:
            self._told.clear()
        self._told[reason] = now

    def works(self) -> None:
        if self._since is not None:
            self._log.info("%s: works again after %s", self._what, spoken(self._now() - self._since))
            self._since = None
            self._told.clear()
            self.reason = None


class Backoff:
    """How long to wait before the next attempt: doubled each time up to a limit, back to the start by `reset`."""

    def __init__(self, first_s: float, limit_s: float) -> None:
        self._first_s = first_s
        self._limit_s = limit_s
        self._next_s = first_s

    def next_s(self) -> float:
        wait_s = self._next_s
        self._next_s = min(self._limit_s, wait_s * 2)
        return wait_s

    def reset(self) -> None:
        self._next_s = self._first_s
