"""What the node does, with files and sockets but without pins: app.py wires these modules together.

config    settings from config.json and the config topic        journal   records on their way into flash
exchange  the node's topics, in and out                          spool     records in flash, numbered for good
door      beam edges -> passages and faults                      uplink    spool -> gateway, until acknowledged
terminal  buttons -> presses, lamps                              clock     time since boot, and the time of day
mqtt      the broker, over asyncio streams                       cable     a USB cable instead
status    the state topic                                        console   the USB console, beside or instead of the broker
commands  the command topic                                      flash     small files that are never half
supervise tasks that must not end                                beacon    the status lamp, aligning
boot      what the loader says and is told

Loaded when a command asks for them, and forgotten again: info, logbook, selftest, connect; updater,
update, signature and trial for a new firmware.
"""

import gc

# Here, because it must come before the modules are loaded: each leaves garbage, and what stays would settle all over the
# heap between it (measured: 4 KB in one piece with 86 KB free, against 59 KB). It also keeps each collection short.
gc.threshold(8192)

from node import console  # noqa: E402, F401 - after that; it replaces the `print` that the others take as their default

VERSION = "0.1.0"
RELEASED_UTC_MS = 1795305600000  # 2026-11-22: an ESP32 that says it is earlier is wrong
