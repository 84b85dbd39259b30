"""The chip itself: its name, restarting, the watchdog, the memory, the clock. Used by app.py."""

import binascii
import gc
import io
import os
import struct
import sys
import time

import machine

_DAYS_TO_2000_MS = 946684800000
# In RTC memory: our mark, resets since the gateway told the time, when the clock was set last (UTC ms); then a CRC-32
KEPT = "<3sBQ"
MARK = b"ff1"
resets = 0  # since the gateway told the time


def node_name():
    """A name that no other board has, from the chip's address: ff- and its last eight hex digits."""
    return "ff-" + "".join("%02x" % byte for byte in machine.unique_id()[-4:])


def board_name():
    """Which board this is, in the words of whoever built its MicroPython."""
    return sys.implementation._machine  # noqa: SLF001 - it has no other name


def chip():
    """The chip's name, as board/pin_table.py has it."""
    from board import pin_table

    return pin_table.chip(board_name())


def how_it_woke():
    """(why the board started, True where its clock has gone on and is right); see board/wakeup.py."""
    from board import wakeup

    try:
        return wakeup.reset_cause(), wakeup.clock_went_on()
    finally:  # asked once; the memory is needed for other things
        del sys.modules["board.wakeup"], sys.modules["board"].wakeup


def reset():
    """Restart now."""
    machine.reset()


def free_heap():
    """Bytes of heap that are free, garbage included out."""
    gc.collect()
    return gc.mem_free()


def room_for(wanted_bytes):
    """True where that many bytes of heap are free in one piece. Just after `free_heap`, which collects the garbage."""
    try:
        bytearray(wanted_bytes)
    except MemoryError:
        return False
    return True


def free_flash_kb():
    """Kilobytes that the flash has left for files."""
    block_bytes, _, blocks, free_blocks = os.statvfs(".")[:4]
    # littlefs counts some blocks of an open file twice: a full flash then has 2**32 - 3 free ones
    return block_bytes * free_blocks // 1024 if free_blocks <= blocks else 0


def stop_with_traceback(error):
    """Show an exception that nobody expected, for whoever looks at the console. Returns what was shown."""
    sys.print_exception(error)
    shown = io.StringIO()
    try:
        sys.print_exception(error, shown)
        return shown.getvalue()
    except MemoryError:
        return type(error).__name__


class Watchdog:
    """Restarts the board when `feed` stays out. Once started it cannot be stopped, so it may be left out for tinkering."""

    def __init__(self, seconds):
        self._wdt = machine.WDT(timeout=seconds * 1000) if seconds else None

    def feed(self):
        """All is well."""
        if self._wdt:
            self._wdt.feed()


def utc_ms():
    """The board's own clock. After power-up an ESP32 says 2000-01-01."""
    epoch_ms = 0 if time.gmtime(0)[0] == 1970 else _DAYS_TO_2000_MS
    return time.time_ns() // 1000000 + epoch_ms


def set_clock(to_utc_ms):
    """Set the board's clock: TLS judges with it whether a certificate is valid."""
    seconds = to_utc_ms // 1000
    if time.gmtime(0)[0] != 1970:
        seconds -= _DAYS_TO_2000_MS // 1000
    year, month, day, hour, minute, second, weekday = time.gmtime(seconds)[:7]
    machine.RTC().datetime(
        (year, month, day, weekday, hour, minute, second, to_utc_ms % 1000 * 1000),
    )


def keep_clock(to_utc_ms, told=False):
    """Set the board's clock to a time that is known, just now `told` by the gateway or not, so that it is known after a reset; to
    be repeated often."""
    global resets  # noqa: PLW0603 - of this board
    if told:
        resets = 0
    set_clock(to_utc_ms)
    memory = getattr(machine.RTC(), "memory", None)
    if memory:  # board/wakeup.py reads it
        mark = struct.pack(KEPT, MARK, resets, to_utc_ms)
        memory(mark + struct.pack("<I", check(mark)))


def check(data):
    return binascii.crc32(data) & 0xFFFFFFFF
