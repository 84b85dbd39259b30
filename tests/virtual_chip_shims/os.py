# os of a virtual chip: the real one, and what an ESP32 tells of itself.
from collections import namedtuple

from uos import *

_System = namedtuple("uname", ("sysname", "nodename", "release", "version", "machine"))


def uname():
    banner = getenv("VIRTUAL_BANNER")
    version, _, board = banner.replace("MicroPython ", "").partition("; ")
    return _System("esp32", "esp32", "1.26.1", version, board)
