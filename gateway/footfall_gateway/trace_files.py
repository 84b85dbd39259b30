"""Recorded edges from files, CSV or Parquet, in pieces of columns. `recount` reads through `open_trace`.

A trace has the columns sensor, t_ms and state, in any order; others are passed over. CSV is read by the compiled engine
where the lines are plain, and by Python's csv module where they are not, or to find out which row is at fault.
"""

import csv
import io
import os
import re
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from footfall_gateway.engine import Engine
from footfall_gateway.extras import how_to_install
from footfall_gateway.trace_columns import MAX_SENSOR, SENSOR, STATE, T_MS

__all__ = ["COLUMNS", "Piece", "Trace", "TraceFileError", "open_trace"]

COLUMNS = ("sensor", "t_ms", "state")
PARQUET_MAGIC = b"PAR1"
MAX_HEADER_BYTES = 65_536
TEXT_AT_ONCE = 8 << 20  # half a million rows: enough for several threads
CSV_ROWS_AT_ONCE = 65_536
PARQUET_ROWS_AT_ONCE = 1 << 21

_WHOLE_NUMBER = re.compile(r" *-?[0-9]{1,18} *")
_RANGES = {SENSOR: (-MAX_SENSOR - 1, MAX_SENSOR), T_MS: (-(1 << 63), (1 << 63) - 1), STATE: (0, 255)}
_EXPECTED = {
    "sensor": f"a whole number up to {MAX_SENSOR}",
    "t_ms": "whole milliseconds UTC",
    "state": "0 to 3",
}


class TraceFileError(Exception):
    """A file that cannot be read as a trace; the text names the file, the place, and what was expected."""


class Piece(NamedTuple):
    """Rows that follow each other. `line` says where a row is: the first row's line number, or all of them."""

    sensors: Any
    t_ms: Any
    states: Any
    place: "Place"
    done: float  # how much of the file has been read, 0 to 1


@dataclass(frozen=True)
class Place:
    """Turns a row of a piece into words for a user."""

    word: str  # "line" or "row"
    first: int
    each: Sequence[int] | None = None  # where rows are not one after the other

    def of(self, row: int) -> str:
        return f"{self.word} {self.each[row] if self.each is not None else self.first + row}"


class Trace(Protocol):
    def pieces(self) -> Iterator[Piece]:
        """The rows in order. Raises TraceFileError."""
        ...


@contextmanager
def open_trace(path: Path, using: Engine) -> Iterator[Trace]:
    """The trace in this file, told apart by its first bytes. Raises TraceFileError and OSError."""
    with path.open("rb") as file:
        magic = file.read(len(PARQUET_MAGIC))
        file.seek(0)
        if magic == PARQUET_MAGIC:
            yield _ParquetTrace(path, file)
        else:
            yield _CsvTrace(path, file, using)


class _CsvTrace:
    def __init__(self, path: Path, file: IO[bytes], using: Engine) -> None:
        self._path = path
        self._file = file
        self._parse_rows = using.parse_rows
        self._size = max(os.fstat(file.fileno()).st_size, 1)
        header = file.readline(MAX_HEADER_BYTES)
        try:
            names = next(csv.reader([header.decode("utf-8-sig")]), [])
        except (UnicodeDecodeError, csv.Error) as error:
            raise TraceFileError(
                f"{path}: this is neither CSV nor Parquet ({error}); expected a CSV file with a header line"
            ) from None
        self._names = [name.strip() for name in names]
        self._fields = _fields(path, self._names)

    def pieces(self) -> Iterator[Piece]:
        line = 2
        while True:
            start = self._file.tell()
            text = self._file.read(TEXT_AT_ONCE)
            if not text:
                return
            if len(text) == TEXT_AT_ONCE:
                end = text.rfind(b"\n") + 1
                self._file.seek(start + end)
                text = text[:end]
            elif not text.endswith(b"\n"):
                text += b"\n"
            columns = self._plain_rows(text)
            if columns is None:
                self._file.seek(start)
                yield from self._explained_rows(line)
                return
            rows = len(columns[0])
            yield Piece(*columns, Place("line", line), self._file.tell() / self._size)
            line += rows

    def _plain_rows(self, text: bytes) -> tuple[Any, Any, Any] | None:
        if self._parse_rows is None or not text:
            return None
        room = text.count(b"\n")
        columns = array(SENSOR, bytes(4 * room)), array(T_MS, bytes(8 * room)), array(STATE, bytes(room))
        rows = self._parse_rows(text, len(self._names), *self._fields, *columns)
        return columns if rows == room else None

    def _explained_rows(self, line: int) -> Iterator[Piece]:
        """The rest of the file by the csv module: quoted fields, blank lines, spaces, and errors with their line."""
        base = line - 1
        text = io.TextIOWrapper(self._file, encoding="utf-8", errors="replace", newline="")
        reader = csv.reader(text)
        try:
            while True:
                columns = array(SENSOR), array(T_MS), array(STATE)
                lines = array("q")
                for row in reader:
                    if row:
                        self._append(row, base + reader.line_num, columns)
                        lines.append(base + reader.line_num)
                        if len(lines) == CSV_ROWS_AT_ONCE:
                            break
                if not lines:
                    return
                yield Piece(*columns, Place("line", 0, lines), self._file.tell() / self._size)
        except csv.Error as error:
            raise TraceFileError(f"{self._path}: line {base + reader.line_num}: {error}") from None
        finally:
            text.detach()

    def _append(self, row: list[str], line: int, columns: tuple[Any, Any, Any]) -> None:
        if len(row) != len(self._names):
            raise TraceFileError(
                f"{self._path}: line {line}: {len(row)} fields, expected {len(self._names)} as in the header"
            )
        for name, place, column in zip(COLUMNS, self._fields, columns, strict=True):
            try:
                column.append(_whole_number(row[place]))
            except (ValueError, OverflowError):
                raise TraceFileError(
                    f"{self._path}: line {line}: {name} is {row[place][:40]!r}, expected {_EXPECTED[name]}"
                ) from None


class _ParquetTrace:
    def __init__(self, path: Path, file: IO[bytes]) -> None:
        try:
            from pyarrow import ArrowException, parquet  # noqa: PLC0415 - an extra
        except ImportError:
            raise TraceFileError(
                f"{path}: reading Parquet needs pyarrow (CSV needs nothing): {how_to_install('parquet')}"
            ) from None
        self._path = path
        try:
            self._file = parquet.ParquetFile(file)
        except (ArrowException, OSError) as error:
            raise TraceFileError(f"{path}: this Parquet file cannot be read: {_one_line(error)}") from None
        schema = self._file.schema_arrow
        _fields(path, schema.names)
        for name in COLUMNS:
            self._check_type(name, schema.field(name).type)

    def _check_type(self, name: str, kind: Any) -> None:
        from pyarrow import types  # noqa: PLC0415 - an extra

        if not types.is_integer(kind):
            raise TraceFileError(f"{self._path}: the column {name} holds {kind}, expected whole numbers")

    def pieces(self) -> Iterator[Piece]:
        import pyarrow as pa  # noqa: PLC0415 - an extra

        total = max(self._file.metadata.num_rows, 1)
        first = 1
        waiting: list[Any] = []
        rows = 0
        try:
            for batch in self._file.iter_batches(batch_size=PARQUET_ROWS_AT_ONCE, columns=list(COLUMNS)):
                waiting.append(batch)
                rows += batch.num_rows
                if rows >= PARQUET_ROWS_AT_ONCE:
                    yield self._piece(waiting, first, (first + rows) / total)
                    first += rows
                    waiting, rows = [], 0
        except (pa.ArrowException, OSError) as error:
            raise TraceFileError(f"{self._path}: row {first} or after: {_one_line(error)}") from None
        if rows:
            yield self._piece(waiting, first, 1.0)

    def _piece(self, batches: list[Any], first: int, done: float) -> Piece:
        import pyarrow as pa  # noqa: PLC0415 - an extra

        table = pa.Table.from_batches(batches).combine_chunks()
        return Piece(
            self._column(table, "sensor", SENSOR, first),
            self._column(table, "t_ms", T_MS, first),
            self._column(table, "state", STATE, first),
            Place("row", first),
            done,
        )

    def _column(self, table: Any, name: str, typecode: Any, first: int) -> memoryview:
        import pyarrow as pa  # noqa: PLC0415 - an extra

        values = table.column(name)
        kind = {SENSOR: pa.int32(), T_MS: pa.int64(), STATE: pa.uint8()}[typecode]
        try:
            cast = values.cast(kind)
        except pa.ArrowInvalid:
            cast = None
        if cast is None or values.null_count:
            least, most = _RANGES[typecode]
            for row, value in enumerate(values):
                number = value.as_py()
                if number is None or not least <= number <= most:
                    shown = "missing" if number is None else number
                    raise TraceFileError(
                        f"{self._path}: row {first + row}: {name} is {shown}, expected {_EXPECTED[name]}"
                    )
        (chunk,) = cast.chunks
        width = array(typecode).itemsize
        data = memoryview(chunk.buffers()[1]).cast("B")
        column: memoryview = data[chunk.offset * width : (chunk.offset + len(chunk)) * width].cast(typecode)
        return column


def _fields(path: Path, names: Sequence[str]) -> tuple[int, int, int]:
    """Where the three columns are; TraceFileError where one is not there, or there twice."""
    for name in COLUMNS:
        if names.count(name) != 1:
            have = ", ".join(names)
            shown = have if len(have) <= 80 else have[:80] + "..."
            what = "is missing" if name not in names else "is there twice"
            raise TraceFileError(
                f"{path}: the column {name} {what}: the columns are {shown!r}, expected {', '.join(COLUMNS)}"
            )
    sensor, t_ms, state = (names.index(name) for name in COLUMNS)
    return sensor, t_ms, state


def _whole_number(text: str) -> int:
    if not _WHOLE_NUMBER.fullmatch(text):  # int() also takes 1_000 and digits of other scripts
        raise ValueError
    return int(text)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
