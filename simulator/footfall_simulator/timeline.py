"""The one truth about virtual time: a straight line that maps the real clock to a virtual UTC.

    virtual_utc = v0 + (monotonic - r0) * rate

Virtual boards get the line over their control channel, a test gateway in another process reads it from a small
file (`Timeline.publish`; `footfall run --clock` follows it), and everything in this process asks `Timeline.now_ms`. The real clock is
CLOCK_MONOTONIC, which all processes of one machine share and which never steps.

Virtual time never runs backwards: the rate is never negative and jumps only lead forward.

At high rates the clock that everybody reads trails the boards: a board runs ahead, and when it sends something, the
clock leaps to the board's moment and slows down (`slow(at_us=...)`). Were it the other way round, the clock would be seconds ahead
of every message by the time that it is sent, and what the gateway tells a node about the time would be wrong.
"""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

from contextlib import contextmanager

MAX_RATE = (
    100_000.0  # beyond, a microsecond of the real clock is a tenth of a second and nothing is smooth any more
)
MAX_UTC_MS = 1 << 47  # year 6429: an edge word has 55 bits for microseconds
SMOOTH_RATE = 200.0  # up to this rate, clock and boards are at the same moment
LEAD_US = 50_000  # real time by which boards are ahead beyond: longer than this machine makes a process wait
_POLL_S = 0.002  # how often a waiting thread looks at the clock: coarse enough to cost nothing


@dataclass(frozen=True)
class Line:
    """One straight piece of virtual time. Rates are thousandths, so that host and board calculate alike."""

    v0_us: int
    r0_us: int
    rate_milli: int
    lead_us: int = 0  # how far boards are ahead of the clock
    floor_us: int = 0  # what the clock showed before this piece

    def at(self, real_us: int) -> int:
        """The virtual UTC in microseconds up to which boards may run, at a real (monotonic) instant in microseconds."""
        return self.v0_us + (real_us - self.r0_us) * self.rate_milli // 1000

    def shown(self, real_us: int) -> int:
        """The virtual UTC in microseconds that the clock shows at a real instant."""
        return max(self.floor_us, self.at(real_us) - self.lead_us)


def real_us() -> int:
    """CLOCK_MONOTONIC in whole microseconds, as MicroPython's own `ticks_us` on Linux reads it."""
    return time.monotonic_ns() // 1000


class Timeline:
    """Virtual time for a whole simulated world; safe to use from any thread.

    `start_utc_ms` is the virtual UTC now (default: the real one); `rate` is virtual seconds per real second,
    0 stands still.
    """

    def __init__(self, start_utc_ms: int | None = None, rate: float = 1.0) -> None:
        start = time.time_ns() // 1_000_000 if start_utc_ms is None else start_utc_ms
        if not 0 <= start <= MAX_UTC_MS:
            raise ValueError(f"start_utc_ms={start}: expected 0..{MAX_UTC_MS}")
        self._lock = threading.RLock()
        self._rate = _milli(rate)
        self._slow: list[int] = []  # rates in thousandths that holders ask for at the moment
        self._line = Line(start * 1000, real_us(), self._rate, _lead_us(self._rate), start * 1000)
        self._listeners: list[Callable[[Line], None]] = []
        self._path: Path | None = None

    @property
    def line(self) -> Line:
        return self._line

    @property
    def rate(self) -> float:
        """The rate that was asked for (a `slowed` block may hold the world below it)."""
        return self._rate / 1000

    def now_us(self) -> int:
        return self._line.shown(real_us())

    def now_ms(self) -> int:
        """Virtual UTC in milliseconds."""
        return self.now_us() // 1000

    def ahead_us(self) -> int:
        """The moment that boards may have reached by now; the same as `now_us` up to SMOOTH_RATE."""
        line = self._line
        return max(line.floor_us, line.at(real_us()))

    def set_rate(self, rate: float) -> None:
        """From now on `rate` virtual seconds pass per real second."""
        with self._lock:
            self._rate = _milli(rate)
            self._change(lead_us=_lead_us(self._wanted_milli))

    def jump(self, ms: int) -> None:
        """Skip `ms` of virtual time at once: boards live through it as fast as their processor allows.

        Every edge and timer in between happens at its own instant; the network gets no time.
        """
        if ms < 0:
            raise ValueError(f"jump({ms}): virtual time never runs backwards")
        with self._lock:
            self._change(ahead_us=ms * 1000)

    def jump_to(self, utc_ms: int) -> None:
        """Jump to a virtual UTC; does nothing when that is already past."""
        with self._lock:
            ahead = utc_ms * 1000 - self.now_us()
            if ahead > 0:
                self._change(ahead_us=ahead)

    @contextmanager
    def slowed(self, rate: float) -> Iterator[None]:
        """While the block runs, time passes at most at `rate` (several holders: the slowest wins)."""
        release = self.slow(rate)
        try:
            yield
        finally:
            release()

    def slow(self, rate: float, *, at_us: int | None = None) -> Callable[[], None]:
        """Hold time at most at `rate` until the returned function is called (once; later calls do nothing).

        at_us: the moment at which a board is sending; the clock leaps there unless it is already further.
        """
        milli = _milli(rate)
        with self._lock:
            self._slow.append(milli)
            self._change(at_us=at_us)
        released = False

        def release() -> None:
            nonlocal released
            with self._lock:
                if not released:
                    released = True
                    self._slow.remove(milli)
                    self._change(lead_us=_lead_us(self._wanted_milli))

        return release

    def wait_until(self, utc_ms: int, timeout_s: float = 60.0) -> None:
        """Block until the virtual clock shows `utc_ms`; TimeoutError after `timeout_s` real seconds."""
        end = time.monotonic() + timeout_s
        while (ahead_us := utc_ms * 1000 - self.now_us()) > 0:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(
                    f"virtual time is {ahead_us // 1000} ms short of {utc_ms} after {timeout_s:g} s"
                )
            rate = self._line.rate_milli or 1
            time.sleep(min(left, max(_POLL_S, min(0.05, ahead_us / rate / 1000))))

    def sleep_ms(self, ms: int, timeout_s: float = 60.0) -> None:
        """Block for `ms` virtual milliseconds."""
        self.wait_until(self.now_ms() + ms, timeout_s)

    def subscribe(self, listener: Callable[[Line], None]) -> Callable[[], None]:
        """Call `listener` with every new line, in the thread that changed it; returns the way to unsubscribe."""
        with self._lock:
            self._listeners.append(listener)

        def unsubscribe() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return unsubscribe

    def publish(self, path: Path | str) -> Path:
        """Keep the line in a file from now on, replaced atomically at every change."""
        with self._lock:
            self._path = Path(path)
            self._write()
            return self._path

    @property
    def _wanted_milli(self) -> int:
        return min([self._rate, *self._slow])

    def _change(self, *, ahead_us: int = 0, lead_us: int | None = None, at_us: int | None = None) -> None:
        """A new piece of the line begins now: further `ahead_us`, or with another lead, or with all at the moment `at_us`."""
        now = real_us()
        old = self._line
        shown, reached = old.shown(now), old.at(now)
        rate = self._wanted_milli
        if at_us is not None:
            moment = max(shown, at_us)
            line = Line(moment, now, rate, 0, moment)
        else:
            lead = min(reached - shown, old.lead_us) if lead_us is None else lead_us
            line = Line(reached + ahead_us, now, rate, lead, shown)
            if rate == old.rate_milli and not ahead_us and lead == old.lead_us:
                return
        self._line = line
        if self._path is not None:
            self._write()
        for listener in self._listeners:
            listener(line)

    def _write(self) -> None:
        path = self._path
        if path is None:
            return
        line = self._line
        new = path.with_name(f".{path.name}.{os.getpid()}.{id(self):x}")
        new.write_text(json.dumps(asdict(line)), "ascii")
        new.replace(path)


def _milli(rate: float) -> int:
    if not 0 <= rate <= MAX_RATE:
        raise ValueError(f"rate={rate}: expected 0 (stand still) to {MAX_RATE:g} virtual seconds per second")
    return round(rate * 1000)


def _lead_us(rate_milli: int) -> int:
    return LEAD_US * rate_milli // 1000 if rate_milli > SMOOTH_RATE * 1000 else 0
