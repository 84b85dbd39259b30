"""How fast recorded edges are counted: `make bench`, or with a smaller size `python tests/bench/bench_counting.py --edges 1e7`.

In one run, over the same seeded edges, from columns in memory to counts by sensor and hour: the compiled engine on one thread
and on two, the same algorithm hand-written in C (passages.c, gcc -O2), the same for numba, the pure engine on a sample,
and merely reading the bytes. All results must be equal, or the run ends with 1.

The edges are cut into blocks; every block goes through all of them in turn, so that whatever else the machine does
hits all alike. Times are the median over blocks and rounds, ratios the median of the ratios of neighbours in time.
The comparison with C is by processor time, which other programs do not take away. That of threads is by the clock, in the
moments in which processors were free: when C, merely cut in as many parts, gained what is asked for just before and after.
"""

import argparse
import itertools
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from footfall_gateway.counting import count_buckets
from footfall_gateway.engine import EngineError, choose_engine, pure_engine

HERE = Path(__file__).parent
SEED = 20261122
EDGES_PER_SENSOR = 100_000  # 24,000 crossings
BLOCK_EDGES = 10_000_000
PURE_SAMPLE = 300_000
MAX_TIMES_C = 1.3
MIN_SPEEDUP = 1.7
MIN_MOMENTS = 5  # fewer with free processors may be luck
HOUR_MS = 3_600_000

USUAL = (2, 8, 40, 60_000)  # beams, glitch_ms, min_block_ms, blocked_after_ms

C, ONE, SEVERAL = "C, gcc -O2", "compiled engine, 1 thread", "compiled engine, {} threads"
C_BEFORE, C_AFTER = "C, {} threads", "C, {} threads, again"
NUMBA, READ = "numba", "merely reading the bytes"

Row = tuple[int, ...]  # sensor, start_ms, in, out, passed, faults


class MissingError(Exception):
    """Something that the benchmark needs is not there; the text says what to do."""


class Contender(NamedTuple):
    name: str
    count: Callable[[Any], Any]  # a block in, something out that `rows` makes comparable
    rows: Callable[[Any], list[Row]] | None


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    try:
        return _bench(options)
    except MissingError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ended by Ctrl-C", file=sys.stderr)
        return 130


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--edges", type=lambda text: int(float(text)), default=100_000_000, help="default 1e8"
    )
    parser.add_argument("--rounds", type=int, default=4, help="how often every block is counted; default 4")
    parser.add_argument(
        "--threads", type=int, default=2, help="for the second run of the compiled engine; default 2"
    )
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(arguments)
    if options.edges < 1000 or options.rounds < 1 or options.threads < 1:
        parser.error("expected at least 1000 edges, 1 round and 1 thread")
    return options


def _bench(options: argparse.Namespace) -> int:
    contenders, pure = _contenders(options.threads)
    from tests.bench.traffic import traffic  # noqa: PLC0415 - needs NumPy, which _contenders looks for

    started = time.perf_counter()
    sensors = max(2 * options.threads, -(-options.edges // EDGES_PER_SENSOR))
    _say(f"drawing {options.edges:,} edges of {sensors} sensors (seed {options.seed})")
    columns = traffic(options.edges, sensors, options.seed)
    blocks = _blocks(columns, sensors)
    _say(f"drawn in {time.perf_counter() - started:.1f} s; comparing all results once")
    rows = _compare(contenders, blocks)
    counts = [sum(row[kind] for row in rows) for kind in range(2, 6)]
    times, processor_times = _measure(contenders, blocks, options.rounds)
    sample = type(columns)(*(column[:PURE_SAMPLE] for column in columns))
    pure_ns = _pure(pure, contenders[0], sample)

    print(
        f"\n{options.edges:,} edges -> {len(rows):,} hours with {counts[0]:,} in, {counts[1]:,} out, "
        f"{counts[3]:,} faults"
    )
    names = ", ".join(contender.name for contender in contenders if contender.rows)
    print(f"all equal: {names}; and the pure engine on {len(sample[0]):,} edges\n")
    print(f"{'':34}{'ns/edge':>9}{'processor ns/edge':>20}{'times C':>9}")
    for name, used in processor_times.items():
        taken = statistics.median(times[name])
        print(f"{name:34}{taken:9.2f}{statistics.median(used):20.2f}{_ratio(used, processor_times[C]):9.2f}")
    print(
        f"{'pure Python (from the sample)':34}{pure_ns:9.0f}{pure_ns:20.0f}{pure_ns / statistics.median(processor_times[C]):9.0f}\n"
    )
    _judge(times, processor_times, options.threads)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"\n{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} processors, load "
        f"{os.getloadavg()[0]:.1f}, {options.rounds} rounds of {len(blocks)} blocks, {time.perf_counter() - started:.0f} s, "
        f"peak memory {peak_gb:.1f} GB"
    )
    return 0


def _judge(times: dict[str, list[float]], processor_times: dict[str, list[float]], threads: int) -> None:
    times_c = _ratio(processor_times[ONE], processor_times[C])
    print(f"one thread: {times_c:.2f} times C, at most {MAX_TIMES_C} wanted: {_met(times_c <= MAX_TIMES_C)}")

    def gains(one: str, several: str) -> list[float]:
        """Processor time of one thread, which others do not disturb, by the clock time of several."""
        return [alone / cut for alone, cut in zip(processor_times[one], times[several], strict=True)]

    before, after = gains(C, C_BEFORE.format(threads)), gains(C, C_AFTER.format(threads))
    free = [
        gain
        for gain, *in_c in zip(gains(ONE, SEVERAL.format(threads)), before, after, strict=True)
        if min(in_c) >= MIN_SPEEDUP
    ]
    if len(free) < min(MIN_MOMENTS, len(before)):
        print(
            f"{threads} threads: cannot be judged, other programs use the processors: C, merely cut in {threads}, was "
            f"{statistics.median(before + after):.2f} times as fast as on one"
        )
        return
    speedup = statistics.median(free)
    print(
        f"{threads} threads: {speedup:.2f} times as fast as one in the {len(free)} of {len(before)} moments with free "
        f"processors, at least {MIN_SPEEDUP} wanted: {_met(speedup >= MIN_SPEEDUP)}"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _met(met: bool) -> str:
    return "met" if met else "NOT met"


def _ratio(times: Sequence[float], others: Sequence[float]) -> float:
    return statistics.median(one / other for one, other in zip(times, others, strict=True))


def _contenders(threads: int) -> tuple[list[Contender], Contender]:
    """Those that are timed, and the pure engine."""
    try:
        from tests.bench import passages_c  # noqa: PLC0415 - needs NumPy, which may be missing
    except ImportError as error:
        raise MissingError(f"the benchmark needs {error.name}: `make bench` installs it") from None
    try:
        compiled, in_c = choose_engine("compiled"), passages_c.PassagesInC()
    except (EngineError, passages_c.CompilerError) as error:
        raise MissingError(str(error)) from None
    settings = passages_c.Settings(*USUAL, HOUR_MS)
    pool = ThreadPoolExecutor(threads)

    def rows_of(buckets: Any) -> list[Row]:
        return [tuple(bucket) for bucket in buckets]

    def in_c_cut(block: Any) -> None:
        list(pool.map(lambda part: in_c.count(part, settings), _cut(block, threads)))

    contenders = [
        Contender(C, lambda block: in_c.count(block, settings), passages_c.rows_of),
        Contender(ONE, lambda block: count_buckets(*block, using=compiled), rows_of),
        Contender(C_BEFORE.format(threads), in_c_cut, None),
        Contender(
            SEVERAL.format(threads),
            lambda block: count_buckets(*block, using=compiled, threads=threads),
            rows_of,
        ),
        Contender(C_AFTER.format(threads), in_c_cut, None),
        *_numba(),
        Contender(READ, in_c.read, None),
    ]
    pure = pure_engine()
    return contenders, Contender("pure", lambda block: count_buckets(*block, using=pure), rows_of)


def _numba() -> list[Contender]:
    try:
        import numpy as np  # noqa: PLC0415 - may be missing

        from tests.bench import passages_numba  # noqa: PLC0415
    except ImportError as error:
        _say(f"without numba, as there is no {error.name}: `make bench` installs it")
        return []

    def count(block: Any) -> Any:
        size = len(block.sensors) + 1
        out = np.empty(size, np.int32), np.empty(size, np.int64), np.empty((size, 4), np.int32)
        found = passages_numba.count_buckets(*block, *USUAL, HOUR_MS, *out)
        return tuple(column[:found] for column in out)

    def rows_of(out: Any) -> list[Row]:
        columns = (column.tolist() for column in out)
        return [(sensor, start_ms, *counts) for sensor, start_ms, counts in zip(*columns, strict=True)]

    return [Contender(NUMBA, count, rows_of)]


def _cut(block: Any, parts: int) -> list[Any]:
    """A block in equal parts, for timing only: a cut may go through a sensor."""
    cuts = [len(block.sensors) * part // parts for part in range(parts + 1)]
    return [type(block)(*(column[start:end] for column in block)) for start, end in itertools.pairwise(cuts)]


def _blocks(columns: Any, sensors: int) -> list[Any]:
    """BLOCK_EDGES each, more or less, cut between sensors."""
    edges = len(columns.sensors)
    blocks = max(1, min(round(edges / BLOCK_EDGES), sensors))
    cuts = [edges * (sensors * block // blocks) // sensors for block in range(blocks + 1)]
    return [
        type(columns)(*(column[start:end] for column in columns)) for start, end in itertools.pairwise(cuts)
    ]


def _compare(contenders: Sequence[Contender], blocks: Sequence[Any]) -> list[Row]:
    """Everybody's results over all blocks; ends the run where they are not equal."""
    together: list[Row] = []
    for number, block in enumerate(blocks):
        expected: list[Row] | None = None
        for contender in contenders:
            if contender.rows is None:
                continue
            rows = contender.rows(contender.count(block))
            if expected is None:
                expected = rows
            elif rows != expected:
                different = next(
                    (pair for pair in zip(expected, rows, strict=False) if pair[0] != pair[1]), None
                )
                sys.exit(
                    f"block {number}: {contenders[0].name} and {contender.name} differ: {len(expected)} and "
                    f"{len(rows)} buckets, the first that differ are {different}"
                )
        together += expected or []
    return together


def _measure(
    contenders: Sequence[Contender], blocks: Sequence[Any], rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """ns per edge of each contender for each round and block, in the same order for all; then by processor time."""
    times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    processor_times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for turn in range(rounds):
        _say(f"round {turn + 1} of {rounds}")
        for number, block in enumerate(blocks):
            # To and fro: nobody always finds the cache as the same other has left it
            for contender in contenders[:: 1 if (turn + number) % 2 else -1]:
                started, used = time.perf_counter_ns(), time.process_time_ns()
                contender.count(block)
                times[contender.name].append((time.perf_counter_ns() - started) / len(block.sensors))
                processor_times[contender.name].append((time.process_time_ns() - used) / len(block.sensors))
    return times, processor_times


def _pure(pure: Contender, c: Contender, sample: Any) -> float:
    _say("the pure engine on a sample")
    started = time.process_time_ns()
    counted = pure.count(sample)
    took_ns = time.process_time_ns() - started
    if pure.rows is None or c.rows is None or pure.rows(counted) != c.rows(c.count(sample)):
        sys.exit("the pure engine and C differ")
    return took_ns / len(sample.sensors)


if __name__ == "__main__":
    sys.path.insert(
        0, str(HERE.parent.parent)
    )  # so that tests.bench is found when this file is started by itself
    sys.exit(main())
