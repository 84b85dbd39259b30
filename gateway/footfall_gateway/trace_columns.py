"""Recorded edges as three columns that the counting engines can read: checked, and copied only where they must be.

`counting` calls `as_columns` on whatever it is given; `recount` makes columns from files.
"""

from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

from footfall_core import beam

__all__ = ["MAX_SENSOR", "SENSOR", "STATE", "T_MS", "Columns", "TraceError", "as_columns", "why_refused"]

MAX_SENSOR = 0x7FFFFFFF
SENSOR, T_MS, STATE = "i", "q", "B"  # int32, int64, uint8, as array and memoryview call them
_WHOLE_NUMBERS = "bBhHiIlLqQ"


class TraceError(ValueError):
    """A row that cannot be counted. `row` counts from 0, over everything that was fed."""

    def __init__(self, row: int, problem: str, expected: str) -> None:
        super().__init__(f"row {row + 1}: {problem}, expected {expected}")
        self.row = row
        self.problem = problem
        self.expected = expected


class Columns(NamedTuple):
    """Equally long, contiguous memoryviews of int32, int64 and uint8."""

    sensors: memoryview
    t_ms: memoryview
    states: memoryview


def as_columns(sensors: Any, t_ms: Any, states: Any, first_row: int = 0) -> Columns:
    """Buffers (array, memoryview, NumPy) as they are if they have the right type, otherwise copies; lists too.

    Raises TraceError for a number that does not fit, with rows counted from first_row, and ValueError for columns that
    are of different lengths or do not hold whole numbers.
    """
    columns = Columns(
        _as_column(sensors, SENSOR, "sensor", f"-{MAX_SENSOR + 1} to {MAX_SENSOR}", first_row),
        _as_column(t_ms, T_MS, "t_ms", f"0 to {beam.MAX_T_MS}", first_row),
        _as_column(states, STATE, "state", "0 to 3", first_row),
    )
    lengths = [len(column) for column in columns]
    if len(set(lengths)) != 1:
        raise ValueError(
            "the columns sensor, t_ms, state have {}, {} and {} rows, expected equally many".format(*lengths)
        )
    return columns


def _as_column(values: Any, typecode: str, name: str, expected: str, first_row: int) -> memoryview:
    try:
        view = memoryview(values)
    except TypeError:
        return _copied(values, typecode, name, expected, first_row)
    if view.ndim != 1 or view.format[-1:] not in _WHOLE_NUMBERS or view.format[:-1] not in ("", "@"):
        raise ValueError(
            f"the column {name} has the format {view.format!r}, expected one row of whole numbers of this machine"
        )
    wanted = array(typecode)
    fits = view.itemsize == wanted.itemsize and (view.format[-1].isupper() == typecode.isupper())
    if fits and view.c_contiguous:
        return view
    return _copied(view, typecode, name, expected, first_row)


def _copied(values: Sequence[int], typecode: str, name: str, expected: str, first_row: int) -> memoryview:
    try:
        return memoryview(array(typecode, values))
    except (OverflowError, TypeError):
        pass
    for row, value in enumerate(values):
        try:
            array(typecode, (value,))
        except (OverflowError, TypeError):
            raise TraceError(first_row + row, f"{name} is {value!r}", expected) from None
    raise ValueError(f"the column {name} changed while it was read")


def why_refused(columns: Columns, row: int, before: tuple[int, int] | None, first_row: int) -> TraceError:
    """What is wrong with the row that an engine refused. before: sensor and t_ms of the row ahead of these columns."""
    sensor, t, state = columns.sensors[row], columns.t_ms[row], columns.states[row]
    if state > 3:
        return TraceError(first_row + row, f"state is {state}", "0 to 3")
    if not 0 <= t <= beam.MAX_T_MS:
        return TraceError(first_row + row, f"t_ms is {t}", f"0 to {beam.MAX_T_MS}")
    if row > 0:
        before = columns.sensors[row - 1], columns.t_ms[row - 1]
    if before is None:
        raise AssertionError(f"the engine refused row {first_row + row}, and nothing is wrong with it")
    order = "rows sorted by sensor, then t_ms"
    if sensor < before[0]:
        return TraceError(first_row + row, f"sensor {sensor} comes after sensor {before[0]}", order)
    return TraceError(first_row + row, f"t_ms {t} of sensor {sensor} comes after {before[1]}", order)
