"""Which engine counts: the compiled one, or the same source in pure Python. Chosen here and nowhere else.

`counting` asks for `engine()`; commands that count print `Engine.notice` where there is one. The environment variable
FOOTFALL_ENGINE forces `compiled` or `pure`, for tests and for finding out whether the engine is to blame.
"""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from footfall_core import beam

__all__ = [
    "COMPILED",
    "PURE",
    "Engine",
    "EngineError",
    "choose_engine",
    "compiled_engine",
    "engine",
    "pure_engine",
]

COMPILED = "compiled"
PURE = "pure"
VARIABLE = "FOOTFALL_ENGINE"


class EngineError(Exception):
    """The engine that was asked for is not to be had; the text says why and what to do."""


@dataclass(frozen=True)
class Engine:
    """The classes of footfall_core.beam, and the functions that feed columns to them, of one engine.

    `run` and `finish` are Replay's methods, `add` and `close` Tally's, with the object as the first argument.
    """

    name: str
    notice: str | None  # what a user should know about this choice, in one line
    barrier: Callable[[int, int, int, int], Any]
    replay: Callable[[], Any]
    tally: Callable[[int], Any]
    run: Callable[..., int]
    finish: Callable[..., None]
    add: Callable[..., int]
    close: Callable[..., int]
    run_and_add: Callable[..., tuple[int, int]]  # both in one go; see run_and_add below
    parse_rows: (
        Callable[..., int] | None
    )  # plain CSV lines to columns; the pure engine leaves that to the csv module


def run_and_add(
    replay: beam.Replay,
    barrier: beam.Barrier,
    tally: beam.Tally,
    sensors: Any,
    t_ms: Any,
    states: Any,
    row: int,
    end: int,
    out_sensors: Any,
    out_t_ms: Any,
    out_events: Any,
    room: int,
    bucket_sensors: Any,
    bucket_starts_ms: Any,
    bucket_counts: Any,
    bucket_room: int,  # noqa: ARG001 - the compiled engine goes on until it is used up
) -> tuple[int, int]:
    """Rows through `replay`, and what it finds into `tally`: what Replay.run returns, and how many buckets there are.

    The pure engine's way; the compiled one does more rows at a time.
    """
    row = replay.run(barrier, sensors, t_ms, states, row, end, out_sensors, out_t_ms, out_events, room)
    found = replay.found
    return row, tally.add(
        out_sensors, out_t_ms, out_events, found, bucket_sensors, bucket_starts_ms, bucket_counts
    )


def pure_engine(notice: str | None = None) -> Engine:
    return Engine(
        name=PURE,
        notice=notice,
        barrier=beam.Barrier,
        replay=beam.Replay,
        tally=beam.Tally,
        run=beam.Replay.run,
        finish=beam.Replay.finish,
        add=beam.Tally.add,
        close=beam.Tally.close,
        run_and_add=run_and_add,
        parse_rows=None,
    )


def compiled_engine() -> Engine:
    """The compiled engine; ImportError where it was not built."""
    from footfall_gateway import _beam, _columns  # noqa: PLC0415 - may be missing

    return Engine(
        name=COMPILED,
        notice=None,
        barrier=_beam.Barrier,
        replay=_beam.Replay,
        tally=_beam.Tally,
        run=_columns.run,
        finish=_columns.finish,
        add=_columns.add,
        close=_columns.close,
        run_and_add=_columns.run_and_add,
        parse_rows=_columns.parse_rows,
    )


def choose_engine(wanted: str | None) -> Engine:
    """The engine of this name; without one the compiled engine if it was built, else the pure one with a notice.

    Raises EngineError.
    """
    if wanted == PURE:
        return pure_engine()
    if wanted not in (None, "", COMPILED):
        raise EngineError(f"{VARIABLE} is {wanted!r}, expected {COMPILED} or {PURE}")
    try:
        return compiled_engine()
    except ImportError as error:
        remedy = "install a C compiler and Python's headers (Debian: apt install gcc python3-dev), then footfall again"
        if wanted == COMPILED:
            raise EngineError(f"the compiled engine cannot be used ({error}): {remedy}") from error
        return pure_engine(
            f"Counting in pure Python, some 100 times slower: the compiled engine was not built. "
            f"For speed {remedy}."
        )


@functools.cache
def engine() -> Engine:
    """The engine of this process, chosen at the first call. Raises EngineError."""
    return choose_engine(os.environ.get(VARIABLE))
