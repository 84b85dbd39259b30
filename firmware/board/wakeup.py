"""Why the board started, and whether its clock went on meanwhile. app.py asks once, then this module is forgotten again."""

import struct

import machine

from board import system

# By constant and by what MicroPython 1.24 and newer makes of the chip's reasons (ports/esp32/modmachine.c)
_CAUSES = (
    ("PWRON_RESET", "power"),  # brown-out and the EN button as well
    ("HARD_RESET", "software"),  # machine.reset(), or a crash inside MicroPython: it looks the same
    ("WDT_RESET", "watchdog"),
    ("DEEPSLEEP_RESET", "deep sleep"),
    ("SOFT_RESET", "soft reset"),  # Ctrl-D at the prompt, mpremote
)
# Where a chip keeps the reason in its own words, in the lowest six bits
_RESET_STATE = (("esp32s3", 0x60008038), ("esp32c3", 0x60008038), ("esp32", 0x3FF48034))
_RAW_POWER = 1
_MOST_RESETS = 10  # since the gateway told the time: each may be off by some tenths of a second
_LONGEST_RESET_MS = (
    600000  # the RC oscillator that counts through a reset is off by a few seconds in this time
)


def reset_cause():
    """Why the board started, in one or two words."""
    cause = machine.reset_cause()
    for constant, words in _CAUSES:
        if getattr(machine, constant, None) == cause:
            if words == "power" and _supply_gave_way(system.board_name()):
                return "brown-out"
            return words
    return "other"


def _supply_gave_way(board):
    """True if MicroPython says "power-up" and the chip knows of another reason: then it was the brown-out detector."""
    name = board.split(" with ")[-1].lower().replace("-", "")
    for chip, address in _RESET_STATE:
        if name == chip or (chip != "esp32" and name.startswith(chip)):
            return machine.mem32[address] & 63 != _RAW_POWER
    return False  # a chip whose registers we do not know


def clock_went_on():
    """True where the board's clock was set by us in this power cycle and has gone on; False where there is any doubt.

    The clock goes on through every reset but the one of a power-up, and so does the RTC memory, unless the supply gave way.
    Where the mark is not believed it is deleted: what the clock shows from now on must not look like it.
    """
    memory = getattr(machine.RTC(), "memory", None)
    if not memory:
        return False
    kept = bytes(memory())
    mark = kept[:-4]
    if len(mark) == struct.calcsize(system.KEPT) and struct.unpack("<I", kept[-4:])[0] == system.check(mark):
        name, resets, set_ms = struct.unpack(system.KEPT, mark)
        sure = reset_cause() in ("software", "watchdog", "soft reset", "deep sleep")
        sure = sure and name == system.MARK and resets < _MOST_RESETS
        if sure and 0 <= system.utc_ms() - set_ms < _LONGEST_RESET_MS:
            system.resets = resets + 1
            return True
    memory(b"")
    return False
