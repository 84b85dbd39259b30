"""Judges a node's config.json by the firmware's own rules: a program of its own, started by `provisioning`.

    python settings_rules.py FIRMWARE_FOLDER CHIP < config.json > a JSON object

The rules are in firmware/node/config.py and nowhere else; what it needs of MicroPython is a few names. A process of its own, as those
modules have names (`node`, `board`) that would clash with others', and because passwords then come through a pipe.

Out: {"problems": [...], "name": ..., "barriers": n, "buttons": n, "pins": {...}}
"""

import gc
import json
import sys
import time
import types


def stand_in(firmware: str, machine: str) -> None:
    """Make this Python look enough like MicroPython for modules without pins and sockets."""
    micropython = types.ModuleType("micropython")
    micropython.const = lambda value: value  # type: ignore[attr-defined]
    sys.modules["micropython"] = micropython
    time.ticks_ms = lambda: time.monotonic_ns() // 1_000_000  # type: ignore[attr-defined]
    time.ticks_diff = lambda end, start: end - start  # type: ignore[attr-defined]
    gc.threshold = lambda *_: None  # type: ignore[attr-defined]
    sys.implementation._machine = machine  # type: ignore[attr-defined]  # noqa: SLF001 - board/pin_table.py reads it
    sys.path[:0] = [firmware, firmware + "/lib"]
    sys.dont_write_bytecode = True


def judged(text: str) -> dict[str, object]:
    """What the firmware would make of this config.json."""
    from board import pin_table  # type: ignore[import-not-found]  # noqa: PLC0415
    from node import config  # type: ignore[import-not-found]  # noqa: PLC0415

    problems: list[str] = []
    config.flash.read = lambda name: text if name == config.FILE else None
    settings = config.load("ff-00000000", problems.append)
    return {
        "problems": problems,
        "name": settings.node,
        "barriers": len(settings.barriers),
        "buttons": len(settings.buttons),
        "pins": {
            "inputs": list(pin_table.INPUTS),
            "outputs": list(pin_table.OUTPUTS),
            "outer": pin_table.OUTER,
            "inner": pin_table.INNER,
            "buttons": list(pin_table.BUTTONS),
            "lamps": list(pin_table.LAMPS),
            "status": pin_table.STATUS,
            "carriers": list(pin_table.CARRIERS),
        },
    }


if __name__ == "__main__":
    stand_in(sys.argv[1], sys.argv[2])
    json.dump(judged(sys.stdin.read()), sys.stdout)
