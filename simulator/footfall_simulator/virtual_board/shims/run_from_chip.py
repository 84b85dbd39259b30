# What the virtual board's MicroPython is started with where its flash is an image: the real littlefs instead of a folder
# that behaves like it. A file of its own, as every name in run_firmware.py costs all other boards heap: MicroPython keeps
# names in pools, each twice as large as the one before, and one name too many is 14 KB.
import os
import sys

import flash_chip

flash_chip.mount(
    flash_chip.FlashChip(os.getenv("FOOTFALL_FLASH_IMAGE"), int(os.getenv("FOOTFALL_FLASH_BLOCKS")))
)
os.chdir("/flash")
sys.modules["_flash"] = flash_chip  # in the place of the folder's behaviour
del flash_chip
execfile(sys.path[0] + "/run_firmware.py")
