"""Put MicroPython's type stubs alone into a folder: `python .ci/firmware_typings.py build/typings`.

`make check` calls it before it type-checks the firmware. mypy needs the stubs as its library of built-in modules, in a
folder with nothing of CPython's; pip has mixed them with everything else in site-packages.
"""

import re
import shutil
import sys
from importlib.metadata import distribution
from pathlib import Path

STUBS = ("micropython-esp32-stubs", "micropython-stdlib-stubs")


def main() -> None:
    target = Path(sys.argv[1])
    shutil.rmtree(target, ignore_errors=True)
    for name in STUBS:
        for file in distribution(name).files or ():
            if file.suffix == ".pyi" or file.name == "VERSIONS":
                copy = target / str(file)
                copy.parent.mkdir(parents=True, exist_ok=True)
                text = Path(str(file.locate())).read_text(encoding="utf-8")
                copy.write_text(adapted(text) if file.suffix == ".pyi" else text, encoding="utf-8")


def adapted(stub: str) -> str:
    """Mistakes inside the stubs are not ours to report; and without annotations a tick value can only be an int."""
    return "# mypy: ignore-errors\n" + re.sub(r"-> _Ticks\w*:", "-> int:", stub)


if __name__ == "__main__":
    main()
