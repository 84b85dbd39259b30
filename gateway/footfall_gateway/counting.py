"""Recorded edges to passages, and passages to buckets: by columns, without the GIL, on several threads.

`count_passages` and `count_buckets` take whole columns; `recount` streams files through a BucketCounter. The rules of
counting are in footfall_core.beam: here columns are cut up, fed to the engine, and put together again.

Columns are sorted by sensor, then time; see `trace_columns` for what may be a column.
"""

import threading
from abc import ABC, abstractmethod
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Self, TypeAlias, TypeVar

from footfall_core import beam
from footfall_gateway.buckets import HOUR_MS, QUARTER_MS
from footfall_gateway.engine import Engine, engine
from footfall_gateway.trace_columns import Columns, TraceError, as_columns, why_refused

__all__ = [
    "HOUR_MS",
    "QUARTER_MS",
    "BarrierSettings",
    "BucketCounter",
    "Passages",
    "SensorBucket",
    "SensorBuckets",
    "TraceError",
    "count_buckets",
    "count_passages",
]

MAX_THREADS = 64

_EVENTS_AT_ONCE = 16_384  # 213 kB: stays in the cache between the engine and whoever takes the events
_BUCKETS_AT_ONCE = 2 * _EVENTS_AT_ONCE  # so that even a bucket for each event leaves room
_PARTS_PER_THREAD = 8  # sensors differ in traffic, and other programs run; smaller parts even that out
_MIN_PART_ROWS = 65_536  # for less, a thread costs more than it saves

_Ints: TypeAlias = "array[int]"
Progress = Callable[[int], None]  # gets how many rows are done

SETTING_LIMITS = {
    "beams": (1, 2),
    "glitch_ms": (0, 1_000),
    "min_block_ms": (0, 10_000),
    "blocked_after_ms": (1_000, 86_400_000),  # a day; a barrier's own clock remembers 37 hours
}


@dataclass(frozen=True)
class BarrierSettings:
    """How edges are judged; see footfall_core.beam. ValueError for a number that makes no sense."""

    beams: int = 2
    glitch_ms: int = beam.GLITCH_MS
    min_block_ms: int = beam.MIN_BLOCK_MS
    blocked_after_ms: int = beam.BLOCKED_AFTER_MS

    def __post_init__(self) -> None:
        for name, (least, most) in SETTING_LIMITS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"{name} is {value}, expected {least} to {most}")


class SensorBucket(NamedTuple):
    """What one sensor saw from start_ms (UTC) on, for the width of its SensorBuckets."""

    sensor: int
    start_ms: int
    went_in: int
    went_out: int
    passed: int  # a single beam, which knows no direction
    faults: int  # beam faults that began


@dataclass(frozen=True)
class SensorBuckets:
    """Counts in the order of sensor and time. Where nothing happened there is no bucket."""

    width_ms: int
    sensor: _Ints = field(default_factory=lambda: array("i"))
    start_ms: _Ints = field(default_factory=lambda: array("q"))
    counts: _Ints = field(default_factory=lambda: array("i"))  # four a bucket, as in SensorBucket

    def __len__(self) -> int:
        return len(self.sensor)

    def __iter__(self) -> Iterator[SensorBucket]:
        by_kind = (self.counts[kind::4] for kind in range(4))
        return map(SensorBucket, self.sensor, self.start_ms, *by_kind)

    def extend(self, other: Self) -> None:
        self.sensor.extend(other.sensor)
        self.start_ms.extend(other.start_ms)
        self.counts.extend(other.counts)


@dataclass(frozen=True)
class Passages:
    """Passages and beam faults in the order of sensor and time. event: one of the bits in footfall_core.beam."""

    sensor: _Ints = field(default_factory=lambda: array("i"))
    t_ms: _Ints = field(default_factory=lambda: array("q"))
    event: _Ints = field(default_factory=lambda: array("B"))

    def __len__(self) -> int:
        return len(self.sensor)

    def extend(self, other: Self) -> None:
        self.sensor.extend(other.sensor)
        self.t_ms.extend(other.t_ms)
        self.event.extend(other.event)

    def buckets(self, width_ms: int = HOUR_MS, using: Engine | None = None) -> SensorBuckets:
        """The same, counted by sensor and time."""
        sums = _Sums(using or engine(), width_ms)
        desk = _Desk()
        for start in range(0, len(self), _EVENTS_AT_ONCE):
            cut = slice(start, start + _EVENTS_AT_ONCE)
            events = self.sensor[cut], self.t_ms[cut], self.event[cut]
            sums.add(desk, events, len(events[0]))
        return sums.close(desk)


def count_passages(
    sensors: Any,
    t_ms: Any,
    states: Any,
    *,
    settings: BarrierSettings | None = None,
    threads: int = 1,
    progress: Progress | None = None,
    using: Engine | None = None,
) -> Passages:
    """The passages and faults in these columns, the same whatever the number of threads.

    Raises TraceError for a row that is out of order or impossible, ValueError for what are no columns.
    """
    chosen, judged_by = using or engine(), settings or BarrierSettings()
    counter = _EdgeCounter(lambda: _PassageStrand(chosen, judged_by), threads)
    counter.feed(sensors, t_ms, states, progress)
    passages = Passages()
    for part in counter.finish():
        passages.extend(part)
    return passages


def count_buckets(
    sensors: Any,
    t_ms: Any,
    states: Any,
    *,
    width_ms: int = HOUR_MS,
    settings: BarrierSettings | None = None,
    threads: int = 1,
    progress: Progress | None = None,
    using: Engine | None = None,
) -> SensorBuckets:
    """As `count_passages(...).buckets(width_ms)`, without ever holding all passages."""
    counter = BucketCounter(width_ms, settings=settings, threads=threads, using=using)
    counter.feed(sensors, t_ms, states, progress)
    return counter.finish()


class BucketCounter:
    """Counts columns that come in pieces, as a recording does that is larger than memory; then `finish` once."""

    def __init__(
        self,
        width_ms: int = HOUR_MS,
        *,
        settings: BarrierSettings | None = None,
        threads: int = 1,
        using: Engine | None = None,
    ) -> None:
        if not 1_000 <= width_ms <= 86_400_000:
            raise ValueError(f"width_ms is {width_ms}, expected 1000 (a second) to 86400000 (a day)")
        self._width_ms = width_ms
        chosen, judged_by = using or engine(), settings or BarrierSettings()
        self._counter = _EdgeCounter(lambda: _BucketStrand(chosen, judged_by, width_ms), threads)

    @property
    def rows(self) -> int:
        """How many rows were fed."""
        return self._counter.rows

    def feed(self, sensors: Any, t_ms: Any, states: Any, progress: Progress | None = None) -> None:
        """The next rows, in the order of the whole. Raises TraceError and ValueError; then this counter is done for."""
        self._counter.feed(sensors, t_ms, states, progress)

    def finish(self) -> SensorBuckets:
        """All that was fed; the last state of each sensor counts as having held."""
        buckets = SensorBuckets(self._width_ms)
        for part in self._counter.finish():
            buckets.extend(part)
        return buckets


class _Desk:
    """The columns that an engine writes to. A strand has one while it works, then another strand may."""

    def __init__(self) -> None:
        self.events = (
            array("i", bytes(4 * _EVENTS_AT_ONCE)),
            array("q", bytes(8 * _EVENTS_AT_ONCE)),
            array("B", bytes(_EVENTS_AT_ONCE)),
        )
        self.buckets = (
            array("i", bytes(4 * _BUCKETS_AT_ONCE)),
            array("q", bytes(8 * _BUCKETS_AT_ONCE)),
            array("i", bytes(16 * _BUCKETS_AT_ONCE)),
        )


_Result = TypeVar("_Result")


class _EdgeCounter(Generic[_Result]):
    """Feeds columns, piece after piece, to one strand after the other, or to several at a time.

    The last sensor of a piece may go on in the next one, so the last strand stays open for it.
    """

    def __init__(self, new_strand: Callable[[], "_Strand[_Result]"], threads: int) -> None:
        if not 1 <= threads <= MAX_THREADS:
            raise ValueError(f"threads is {threads}, expected 1 to {MAX_THREADS}")
        self.rows = 0
        self._threads = threads
        self._new_strand = new_strand
        self._open = self._new_strand()
        self._desks: list[_Desk] = []  # those not in use; as many as there were strands at work at once
        self._results: list[_Result] = []

    def feed(self, sensors: Any, t_ms: Any, states: Any, progress: Progress | None) -> None:
        columns = as_columns(sensors, t_ms, states, self.rows)
        cuts = self._cuts(columns)
        before = self._open.stands_at
        strands = [self._open, *(self._new_strand() for _ in cuts[2:])]
        stretches = list(zip(strands, cuts, cuts[1:], strict=False))
        done = [0] * len(stretches)
        stop = threading.Event()

        def run(part: int) -> int | None:
            strand, start, end = stretches[part]
            with self._desk() as desk:
                for row in strand.run(desk, columns, start, end):
                    if row < 0:
                        return -1 - row
                    done[part] = row - start
                    if stop.is_set():
                        break
                    if progress is not None:
                        progress(self.rows + sum(done))
            return None

        refused = self._run_all(run, len(stretches), stop)
        # A cut between sensors in the wrong order is seen by neither side
        refused += [cut for cut in cuts[1:-1] if columns.sensors[cut] < columns.sensors[cut - 1]]
        if refused:
            raise why_refused(columns, min(refused), before, self.rows)
        with self._desk() as desk:
            self._results += [strand.finish(desk) for strand in strands[:-1]]
        self._open = strands[-1]
        self.rows += len(columns.sensors)

    def _run_all(self, run: Callable[[int], int | None], parts: int, stop: threading.Event) -> list[int]:
        if self._threads == 1 or parts == 1:
            found = [run(part) for part in range(parts)]
        else:
            with ThreadPoolExecutor(self._threads, "count") as pool:
                try:
                    found = list(pool.map(run, range(parts)))
                except BaseException:
                    stop.set()  # so that Ctrl-C does not wait for 100 million rows
                    pool.shutdown(cancel_futures=True)
                    raise
        return [row for row in found if row is not None]

    def _cuts(self, columns: Columns) -> list[int]:
        """Where one strand ends and the next begins: only ever at a change of sensor."""
        rows = len(columns.sensors)
        parts = 1 if self._threads == 1 else min(self._threads * _PARTS_PER_THREAD, rows // _MIN_PART_ROWS)
        cuts = [0]
        for part in range(1, parts):
            near = max(rows * part // parts, cuts[-1] + 1)
            cut = bisect_right(columns.sensors, columns.sensors[near - 1], lo=near)
            if cuts[-1] < cut < rows:
                cuts.append(cut)
        return [*cuts, rows]

    def finish(self) -> list[_Result]:
        """What became of all strands, in the order of the rows."""
        with self._desk() as desk:
            return [*self._results, self._open.finish(desk)]

    @contextmanager
    def _desk(self) -> Iterator[_Desk]:
        desk = self._desks.pop() if self._desks else _Desk()
        try:
            yield desk
        finally:
            self._desks.append(desk)


class _Strand(ABC, Generic[_Result]):
    """Some sensors, one after the other, through one barrier of the engine."""

    def __init__(self, using: Engine, settings: BarrierSettings) -> None:
        self._engine = using
        self._barrier = using.barrier(
            settings.beams, settings.glitch_ms, settings.min_block_ms, settings.blocked_after_ms
        )
        self._replay = using.replay()

    @property
    def stands_at(self) -> tuple[int, int] | None:
        """Sensor and t_ms of the last row, if there was one."""
        return (self._replay.sensor, self._replay.last_ms) if self._replay.started else None

    def run(self, desk: _Desk, columns: Columns, row: int, end: int) -> Iterator[int]:
        """Feeds these rows. Yields how far it is now and then, and -1 - row for one that is refused."""
        while 0 <= row < end:
            row = self._feed(desk, columns, row, end)
            yield row

    @abstractmethod
    def _feed(self, desk: _Desk, columns: Columns, row: int, end: int) -> int:
        """Feeds as many rows as the desk has room for; returns what Replay.run returns."""

    @abstractmethod
    def finish(self, desk: _Desk) -> _Result:
        """The last state counts as having held."""


class _PassageStrand(_Strand[Passages]):
    """Keeps every event."""

    def __init__(self, using: Engine, settings: BarrierSettings) -> None:
        super().__init__(using, settings)
        self._passages = Passages()

    def _feed(self, desk: _Desk, columns: Columns, row: int, end: int) -> int:
        row = self._engine.run(self._replay, self._barrier, *columns, row, end, *desk.events, _EVENTS_AT_ONCE)
        self._keep(desk)
        return row

    def finish(self, desk: _Desk) -> Passages:
        self._engine.finish(self._replay, self._barrier, *desk.events)
        self._keep(desk)
        return self._passages

    def _keep(self, desk: _Desk) -> None:
        self._passages.extend(Passages(*(column[: self._replay.found] for column in desk.events)))


class _BucketStrand(_Strand[SensorBuckets]):
    """Counts events by sensor and time."""

    def __init__(self, using: Engine, settings: BarrierSettings, width_ms: int) -> None:
        super().__init__(using, settings)
        self._sums = _Sums(using, width_ms)

    def _feed(self, desk: _Desk, columns: Columns, row: int, end: int) -> int:
        row, written = self._engine.run_and_add(
            self._replay, self._barrier, self._sums.tally, *columns, row, end,
            *desk.events, _EVENTS_AT_ONCE, *desk.buckets, _BUCKETS_AT_ONCE,
        )  # fmt: skip
        self._sums.keep(desk, written)
        return row

    def finish(self, desk: _Desk) -> SensorBuckets:
        self._engine.finish(self._replay, self._barrier, *desk.events)
        self._sums.add(desk, desk.events, self._replay.found)
        return self._sums.close(desk)


class _Sums:
    """A tally of the engine and the buckets that it has written."""

    def __init__(self, using: Engine, width_ms: int) -> None:
        self.tally = using.tally(width_ms)
        self._engine = using
        self._buckets = SensorBuckets(width_ms)

    def add(self, desk: _Desk, events: Sequence[_Ints], count: int) -> None:
        """The first `count` events of these columns, as many as a desk has room for at most."""
        self.keep(desk, self._engine.add(self.tally, *events, count, *desk.buckets))

    def keep(self, desk: _Desk, written: int) -> None:
        """What the tally has written on the desk."""
        sensors, starts_ms, counts = desk.buckets
        self._buckets.extend(
            SensorBuckets(
                self._buckets.width_ms, sensors[:written], starts_ms[:written], counts[: 4 * written]
            )
        )

    def close(self, desk: _Desk) -> SensorBuckets:
        self.keep(desk, self._engine.close(self.tally, 0, *desk.buckets))
        return self._buckets
