"""How fast recorded edges are counted: `make bench`, or with a smaller size `python tests/bench/bench_counting.py --edges 1e7`.

In one run, over the same seeded edges, from columns in memory to counts by sensor and hour: the compiled engine on one thread
and on two, the same algorithm hand-written in C (passages.c, gcc -O2), the same for numba, the pure engine on a sample,
and merely reading the bytes. All results must be equal, or the run ends with 1.

The edges are cut into blocks; every block goes through all of them in turn, so that whatever else the machine does
hits all alike. Times are the median over blocks and rounds, ratios the median of the ratios of neighbours in time.
"""

import argparse
import ctypes
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
C_SOURCE = HERE / "passages.c"
C_FLAGS = ("-O2", "-shared", "-fPIC")

SEED = 20261122
EDGES_PER_SENSOR = 500_000
BLOCK_EDGES = 10_000_000
PURE_SAMPLE = 300_000
MAX_TIMES_C = 1.3
MIN_SPEEDUP = 1.7
HOUR_MS = 3_600_000

Row = tuple[int, int, int, int, int, int]  # sensor, start_ms, in, out, passed, faults


class Missing(Exception):
    """Something that the benchmark needs is not there; the text says what to do."""


class Contender(NamedTuple):
    name: str
    count: Callable[[Any], Any]  # a block in, something out that `rows` makes comparable
    rows: Callable[[Any], list[Row]] | None


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    try:
        return _bench(options)
    except Missing as error:
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
    parser.add_argument("--rounds", type=int, default=3, help="how often every block is counted; default 3")
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
    from tests.bench.traffic import traffic

    started = time.perf_counter()
    sensors = max(2 * options.threads, -(-options.edges // EDGES_PER_SENSOR))
    _say(f"drawing {options.edges:,} edges of {sensors} sensors (seed {options.seed})")
    columns = traffic(options.edges, sensors, options.seed)
    blocks = _blocks(columns, sensors)
    _say(f"drawn in {time.perf_counter() - started:.1f} s; comparing all results once")
    rows = _compare(contenders, blocks)
    counts = [sum(row[kind] for row in rows) for kind in range(2, 6)]
    times = _measure(contenders, blocks, options.rounds)
    sample = type(columns)(*(column[:PURE_SAMPLE] for column in columns))
    pure_ns = _pure(pure, contenders[0], sample)

    c, one, several, numba, read = (contender.name for contender in contenders)
    print(
        f"\n{options.edges:,} edges -> {len(rows):,} hours with {counts[0]:,} in, {counts[1]:,} out, {counts[3]:,} faults"
    )
    print(
        "all equal: "
        + ", ".join((c, one, several, numba))
        + f"; and the pure engine on {len(sample[0]):,} edges\n"
    )
    print(f"{'':34}{'ns/edge':>9}{'times C':>9}")
    for name in (c, one, several, numba):
        print(f"{name:34}{statistics.median(times[name]):9.2f}{_ratio(times[name], times[c]):9.2f}")
    print(f"{'pure Python (from the sample)':34}{pure_ns:9.0f}{pure_ns / statistics.median(times[c]):9.0f}")
    print(f"{read:34}{statistics.median(times[read]):9.2f}{_ratio(times[read], times[c]):9.2f}\n")
    times_c, speedup = _ratio(times[one], times[c]), _ratio(times[one], times[several])
    print(
        f"one thread:   {times_c:.2f} times C, at most {MAX_TIMES_C} wanted: {_met(times_c <= MAX_TIMES_C)}"
    )
    print(
        f"{options.threads} threads:    {speedup:.2f} times as fast as one, at least {MIN_SPEEDUP} wanted: "
        f"{_met(speedup >= MIN_SPEEDUP)}"
    )
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"\n{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} processors, load "
        f"{os.getloadavg()[0]:.1f}, {options.rounds} rounds of {len(blocks)} blocks, {time.perf_counter() - started:.0f} s, "
        f"peak memory {peak_gb:.1f} GB"
    )
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _met(met: bool) -> str:  # noqa: FBT001
    return "met" if met else "NOT met"


def _ratio(times: Sequence[float], others: Sequence[float]) -> float:
    return statistics.median(one / other for one, other in zip(times, others, strict=True))


def _contenders(threads: int) -> tuple[list[Contender], Any]:
    try:
        import numpy as np

        from tests.bench import passages_numba
    except ImportError as error:
        raise Missing(f"the benchmark needs {error.name}: pip install 'footfall[bench]'") from None
    from footfall_gateway.counting import count_buckets
    from footfall_gateway.engine import EngineError, choose_engine, pure_engine

    try:
        compiled = choose_engine("compiled")
    except EngineError as error:
        raise Missing(str(error)) from None
    library = _compiled_c()

    def rows_of(buckets: Any) -> list[Row]:
        return [tuple(bucket) for bucket in buckets]

    def in_c(block: Any) -> Any:
        out = np.empty(len(block.sensors) + 1, BUCKET)
        settings = Settings(2, 8, 40, 60_000, HOUR_MS)
        pointers = [ctypes.c_void_p(column.ctypes.data) for column in block]
        found = library.count_buckets(
            *pointers, len(block.sensors), ctypes.byref(settings), ctypes.c_void_p(out.ctypes.data)
        )
        return out[:found]

    def rows_of_c(out: Any) -> list[Row]:
        names = ("sensor", "start_ms", "in", "out", "passed", "faults")
        return list(zip(*(out[name].tolist() for name in names), strict=True))

    def with_numba(block: Any) -> Any:
        size = len(block.sensors) + 1
        out = np.empty(size, np.int32), np.empty(size, np.int64), np.empty((size, 4), np.int32)
        found = passages_numba.count_buckets(*block, 2, 8, 40, 60_000, HOUR_MS, *out)
        return tuple(column[:found] for column in out)

    def rows_of_numba(out: Any) -> list[Row]:
        return [
            (sensor, start_ms, *counts)
            for sensor, start_ms, counts in zip(*(column.tolist() for column in out), strict=True)
        ]

    def read(block: Any) -> Any:
        pointers = [ctypes.c_void_p(column.ctypes.data) for column in block]
        return library.read_columns(*pointers, len(block.sensors))

    contenders = [
        Contender("C, gcc -O2", in_c, rows_of_c),
        Contender("compiled engine, 1 thread", lambda block: count_buckets(*block, using=compiled), rows_of),
        Contender(
            f"compiled engine, {threads} threads",
            lambda block: count_buckets(*block, using=compiled, threads=threads),
            rows_of,
        ),
        Contender("numba", with_numba, rows_of_numba),
        Contender("reading the bytes", read, None),
    ]
    pure = pure_engine()
    return contenders, Contender("pure", lambda block: count_buckets(*block, using=pure), rows_of)


class Settings(ctypes.Structure):
    """struct settings of passages.c."""

    _fields_ = (
        ("beams", ctypes.c_int32),
        ("glitch_ms", ctypes.c_int32),
        ("min_block_ms", ctypes.c_int32),
        ("blocked_after_ms", ctypes.c_int32),
        ("width_ms", ctypes.c_int64),
    )


# struct bucket of passages.c, with what the compiler leaves free at its end
BUCKET = {
    "names": ["start_ms", "sensor", "in", "out", "passed", "faults"],
    "formats": ["<i8", "<i4", "<i4", "<i4", "<i4", "<i4"],
    "offsets": [0, 8, 12, 16, 20, 24],
    "itemsize": 32,
}


def _compiled_c() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "passages.so"
        try:
            subprocess.run(["gcc", *C_FLAGS, "-o", str(made), str(C_SOURCE)], check=True)
        except FileNotFoundError:
            raise Missing("the benchmark needs gcc (Debian: apt install gcc)") from None
        except subprocess.CalledProcessError as error:
            raise Missing(f"gcc could not compile {C_SOURCE} (it ended with {error.returncode})") from None
        library = ctypes.CDLL(str(made))
    library.count_buckets.restype = ctypes.c_ssize_t
    library.count_buckets.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_ssize_t] + [ctypes.c_void_p] * 2
    library.read_columns.restype = ctypes.c_int64
    library.read_columns.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_ssize_t]
    return library


def _blocks(columns: Any, sensors: int) -> list[Any]:
    """Some ten million edges each, cut between sensors."""
    edges = len(columns.sensors)
    blocks = max(1, min(round(edges / BLOCK_EDGES), sensors))
    cuts = [edges * (sensors * block // blocks) // sensors for block in range(blocks + 1)]
    return [
        type(columns)(*(column[start:end] for column in columns))
        for start, end in zip(cuts, cuts[1:], strict=False)
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


def _measure(contenders: Sequence[Contender], blocks: Sequence[Any], rounds: int) -> dict[str, list[float]]:
    """ns per edge of each contender for each round and block, in the same order for all."""
    times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for turn in range(rounds):
        _say(f"round {turn + 1} of {rounds}")
        for number, block in enumerate(blocks):
            # A different one begins each time: nobody always finds the cache as the same other has left it
            first = (turn + number) % len(contenders)
            for contender in (*contenders[first:], *contenders[:first]):
                started = time.perf_counter_ns()
                contender.count(block)
                times[contender.name].append((time.perf_counter_ns() - started) / len(block.sensors))
    return times


def _pure(pure: Contender, c: Contender, sample: Any) -> float:
    _say("the pure engine on a sample")
    started = time.perf_counter_ns()
    counted = pure.count(sample)
    took_ns = time.perf_counter_ns() - started
    if pure.rows is None or c.rows is None or pure.rows(counted) != c.rows(c.count(sample)):
        sys.exit("the pure engine and C differ")
    return took_ns / len(sample.sensors)


if __name__ == "__main__":
    sys.path.insert(
        0, str(HERE.parent.parent)
    )  # so that tests.bench is found when this file is started by itself
    sys.exit(main())
