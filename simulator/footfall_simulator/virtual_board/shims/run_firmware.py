# What the virtual board's MicroPython is started with: put virtual time in place, then run main.py as a board does.
import sys

_here = sys.path.pop(0)  # the folder of this script, which MICROPYPATH names as well
import _board  # first: it takes the built-in modules before the shims cover them
import _flash
import _tasks

sys.modules["_asyncio"] = _tasks
sys.path.insert(0, "")
import gc
import os

del _here, _flash, _tasks
gc.collect()
if os.getenv("FOOTFALL_HEAP"):
    print("heap: %d bytes free before the firmware starts" % gc.mem_free())
execfile(os.getenv("FOOTFALL_MAIN"))
