"""passages.c, compiled on the spot and callable: the yardstick of bench_counting.py."""

import ctypes
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SOURCE = Path(__file__).parent / "passages.c"
FLAGS = ("-O2", "-shared", "-fPIC")

# struct bucket, with what the compiler leaves free at its end
BUCKET = np.dtype(
    {
        "names": ["start_ms", "sensor", "in", "out", "passed", "faults"],
        "formats": ["<i8", "<i4", "<i4", "<i4", "<i4", "<i4"],
        "offsets": [0, 8, 12, 16, 20, 24],
        "itemsize": 32,
    }
)


class CompilerError(Exception):
    """gcc is not there or refuses; the text says which."""


class Settings(ctypes.Structure):
    """struct settings."""

    _fields_ = (
        ("beams", ctypes.c_int32),
        ("glitch_ms", ctypes.c_int32),
        ("min_block_ms", ctypes.c_int32),
        ("blocked_after_ms", ctypes.c_int32),
        ("width_ms", ctypes.c_int64),
    )


class PassagesInC:
    """Columns are NumPy arrays of int32, int64 and uint8."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "passages.so"
            try:
                subprocess.run(["gcc", *FLAGS, "-o", str(made), str(SOURCE)], check=True)
            except FileNotFoundError:
                raise CompilerError("gcc is needed (Debian: apt install gcc)") from None
            except subprocess.CalledProcessError as error:
                raise CompilerError(
                    f"gcc could not compile {SOURCE} (it ended with {error.returncode})"
                ) from None
            library = ctypes.CDLL(str(made))
        self._count = library.count_buckets
        self._count.restype = ctypes.c_ssize_t
        self._count.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_ssize_t] + [ctypes.c_void_p] * 2
        self._read = library.read_columns
        self._read.restype = ctypes.c_int64
        self._read.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_ssize_t]

    def count(self, columns: Sequence[NDArray[Any]], settings: Settings) -> NDArray[Any]:
        """Buckets as an array of BUCKET."""
        rows = len(columns[0])
        out = np.empty(rows + 1, BUCKET)
        found = self._count(
            *(column.ctypes.data for column in columns), rows, ctypes.byref(settings), out.ctypes.data
        )
        if found < 0:
            raise ValueError(f"row {-1 - found} is out of order or impossible")
        return out[:found]

    def read(self, columns: Sequence[NDArray[Any]]) -> int:
        """A sum over every byte of the columns."""
        return int(self._read(*(column.ctypes.data for column in columns), len(columns[0])))


def rows_of(buckets: NDArray[Any]) -> list[tuple[int, ...]]:
    """(sensor, start_ms, in, out, passed, faults) each."""
    names = ("sensor", "start_ms", "in", "out", "passed", "faults")
    return list(zip(*(buckets[name].tolist() for name in names), strict=True))
