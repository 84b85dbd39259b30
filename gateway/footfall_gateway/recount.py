"""`footfall recount`: counts recorded edges again, for example with other settings, and writes the hours as CSV.

The command line loads `recount` from here. Reading is in `trace_files`, counting in `counting`.
"""

import contextlib
import csv
import heapq
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from footfall_core import beam
from footfall_gateway.clock import utc_text
from footfall_gateway.counting import (
    HOUR_MS,
    MAX_THREADS,
    SETTING_LIMITS,
    BarrierSettings,
    BucketCounter,
    SensorBucket,
    SensorBuckets,
    TraceError,
)
from footfall_gateway.engine import Engine, EngineError, engine
from footfall_gateway.streams import whole_file
from footfall_gateway.toml_reader import reason
from footfall_gateway.trace_files import TraceFileError, open_trace

__all__ = ["recount"]

WRONG_INPUT = 2
PLAIN_PROGRESS_S = 2.0

Report = Callable[[Path, float], None]  # a file, and how much of it is done, 0 to 1


class RecountError(click.ClickException):
    """Wrong input, in one line."""

    exit_code = WRONG_INPUT


def _limited(name: str) -> click.IntRange:
    return click.IntRange(*SETTING_LIMITS[name])


@click.command(
    epilog="\b\nExamples:\n"
    "  footfall recount door-*.csv --out hours.csv\n"
    "  footfall recount march.parquet --out hours.csv --blocked-after-ms 120000"
)
@click.argument("traces", metavar="TRACE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The CSV file to write.")
@click.option(
    "--threads", type=click.IntRange(1, MAX_THREADS), help="How many to count on; all processors if left out."
)
@click.option(
    "--beams", type=_limited("beams"), default=2, show_default=True, help="1: only the outer beam counts."
)
@click.option(
    "--glitch-ms",
    type=_limited("glitch_ms"),
    default=beam.GLITCH_MS,
    show_default=True,
    help="A state that holds for less is chatter.",
)
@click.option(
    "--min-block-ms",
    type=_limited("min_block_ms"),
    default=beam.MIN_BLOCK_MS,
    show_default=True,
    help="A beam broken for less is nobody.",
)
@click.option(
    "--blocked-after-ms",
    type=_limited("blocked_after_ms"),
    default=beam.BLOCKED_AFTER_MS,
    show_default=True,
    help="A beam broken for longer is a fault.",
)
def recount(
    traces: Sequence[Path],
    out: Path,
    threads: int | None,
    beams: int,
    glitch_ms: int,
    min_block_ms: int,
    blocked_after_ms: int,
) -> None:
    """Count recorded edges again.

    A TRACE is a CSV or Parquet file with the columns sensor (a number), t_ms (milliseconds UTC) and state (bit 0: outer
    beam blocked, bit 1: inner beam), sorted by sensor, then time. Each file is a recording of its own; what several say
    about the same sensor and hour is added up.

    The output has the columns sensor, hour_utc, in, out, faults (with --beams 1: sensor, hour_utc, passed, faults). A
    passage belongs to the moment at which the second beam clears. An hour without passage and fault has no row:
    a trace does not say whether anybody was watching.
    """
    _refuse_mixed_up_files(traces, out)
    settings = BarrierSettings(beams, glitch_ms, min_block_ms, blocked_after_ms)
    try:
        using = engine()
    except EngineError as error:
        raise RecountError(str(error)) from error
    if using.notice:
        click.echo(using.notice, err=True)
    started = time.monotonic()
    try:
        with _progress(traces) as report, whole_file(out) as file:
            counted = [_count(trace, settings, threads or _processors(), using, report) for trace in traces]
            rows = _write(file, beams, [buckets for _, buckets in counted])
    except OSError as error:
        raise RecountError(f"{out} cannot be written: {reason(error)}") from error
    edges = sum(edges for edges, _ in counted)
    took = time.monotonic() - started
    click.echo(
        f"{edges} edges gave {rows} hours of counts in {out} ({took:.1f} s, {using.name} engine)", err=True
    )


def _refuse_mixed_up_files(traces: Sequence[Path], out: Path) -> None:
    seen = set()
    for trace in traces:
        real = trace.resolve()
        if real in seen:
            raise RecountError(f"{trace} is named twice, and would be counted twice")
        if real == out.resolve():
            raise RecountError(f"{out} is both a trace and the output; expected another name after --out")
        seen.add(real)
    if out.is_dir():
        raise RecountError(f"{out} is a folder, expected the name of a file to write")


def _processors() -> int:
    return min(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, MAX_THREADS
    )


def _count(
    path: Path, settings: BarrierSettings, threads: int, using: Engine, report: Report
) -> tuple[int, SensorBuckets]:
    """How many edges the file has, and what they come to."""
    counter = BucketCounter(HOUR_MS, settings=settings, threads=threads, using=using)
    try:
        with open_trace(path, using) as trace:
            for piece in trace.pieces():
                first = counter.rows
                try:
                    counter.feed(piece.sensors, piece.t_ms, piece.states)
                except TraceError as error:
                    where = piece.place.of(error.row - first)
                    raise RecountError(
                        f"{path}: {where}: {error.problem}, expected {error.expected}"
                    ) from error
                report(path, piece.done)
    except TraceFileError as error:
        raise RecountError(str(error)) from error
    except OSError as error:
        raise RecountError(f"{path}: {reason(error)}") from error
    report(path, 1.0)
    return counter.rows, counter.finish()


def _write(file: Any, beams: int, counted: Sequence[SensorBuckets]) -> int:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["sensor", "hour_utc", *(["in", "out"] if beams == 2 else ["passed"]), "faults"])
    rows = 0
    for bucket in _added_up(counted):
        hour = utc_text(bucket.start_ms)
        counts = [bucket.went_in, bucket.went_out] if beams == 2 else [bucket.passed]
        writer.writerow([bucket.sensor, hour, *counts, bucket.faults])
        rows += 1
    return rows


def _added_up(counted: Iterable[Iterable[SensorBucket]]) -> Iterator[SensorBucket]:
    """All buckets in order, those of the same sensor and hour as one."""
    for key, group in itertools.groupby(heapq.merge(*counted), key=lambda bucket: bucket[:2]):
        counts = [sum(column) for column in zip(*(bucket[2:] for bucket in group), strict=True)]
        yield SensorBucket(*key, *counts)


@contextlib.contextmanager
def _progress(traces: Sequence[Path]) -> Iterator[Report]:
    """A bar on a terminal; elsewhere a line every two seconds."""
    sizes = {trace: max(trace.stat().st_size, 1) if trace.exists() else 1 for trace in traces}
    done = dict.fromkeys(traces, 0.0)

    def share() -> float:
        return sum(done[trace] * size for trace, size in sizes.items()) / sum(sizes.values())

    if Console(stderr=True).is_terminal:
        columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("counting", total=1.0)

            def show(trace: Path, part: float) -> None:
                done[trace] = min(part, 1.0)
                bar.update(task, completed=share(), description=trace.name)

            yield show
        return
    said = time.monotonic()

    def say(trace: Path, part: float) -> None:
        nonlocal said
        done[trace] = min(part, 1.0)
        if time.monotonic() - said >= PLAIN_PROGRESS_S:
            said = time.monotonic()
            click.echo(f"counting: {share():.0%} ({trace.name})", err=True)

    yield say
