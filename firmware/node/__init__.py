"""What the node does, with files and sockets but without pins: app.py wires these modules together.

config    the rules of the settings: config.json, config topic  journal   records on their way into flash
exchange  the node's topics, in and out                          spool     records in flash, numbered for good
door      beam edges -> passages and faults                      uplink    spool -> gateway, until acknowledged
terminal  buttons -> presses, lamps                              clock     time since boot, and the time of day
mqtt      the broker, over asyncio streams                       cable     a USB cable instead
status    the state topic                                        console   the USB console, beside or instead of the broker
commands  the command topic                                      flash     small files that are never half
supervise tasks that must not end                                beacon    the status lamp, aligning
boot      what the loader says and is told                       remote    settings in memory, changed by the config topic
memory    whether the heap is large enough to go on         wake      a flag to wait for, but not for ever

Loaded when they are needed, and forgotten again: config, info, logbook, selftest, connect, crash (tells the gateway
of crashes); updater, update, head, signature and trial for a new firmware.
"""

import gc
import sys

# Here, because it must come before the modules are loaded: each leaves garbage, and what stays would settle all over the
# heap between it (measured: 4 KB in one piece with 86 KB free, against 59 KB). It also keeps each collection short.
gc.threshold(8192)

from node import console  # noqa: E402, F401 - after that; it replaces the `print` that the others take as their default

VERSION = "0.1.0"
RELEASED_UTC_MS = 1795305600000  # 2026-11-22: an ESP32 that says it is earlier is wrong


def forget(*names):
    """Drop modules that were needed for a moment, and the memory that they take; nobody may hold on to anything of them."""
    for name in names:
        if sys.modules.pop(name, None):
            package, _, leaf = name.rpartition(".")
            if hasattr(sys.modules.get(package), leaf):
                delattr(sys.modules[package], leaf)
