"""A virtual ESP32: the real MicroPython Unix port running the unmodified firmware in virtual time.

`host.py` is the side that tests and the demo use; `shims/` is the side inside MicroPython.
"""

from footfall_simulator.virtual_board.compiled import CompileError
from footfall_simulator.virtual_board.host import BoardError, Output, VirtualBoard

__all__ = ["BoardError", "CompileError", "Output", "VirtualBoard"]
