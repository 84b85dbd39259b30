"""Watches the heap: how low it ever was, and whether it has become too small to go on with. app.py asks every minute.

A node that runs for years must not depend on nothing ever leaking: where memory stays short, a restart in a quiet moment, with
everything in flash, costs two seconds of counting; an allocation that fails in the middle of something may cost more.
"""

from micropython import const

LITTLE_BYTES = const(8192)
PIECE_BYTES = const(3072)  # a message is up to 2 KB, in one piece
TOO_LONG = const(5)  # looks in a row


class Memory:
    """free() collects garbage and gives the bytes that are free, room_for(n) tells whether n are free in one piece."""

    def __init__(self, free, room_for, report=print):
        self.lowest = free()  # bytes, since boot
        self._free = free
        self._room_for = room_for
        self._report = report
        self._short = 0  # looks in a row at which it was short

    def look(self):
        """Bytes that are free."""
        free = self._free()
        self.lowest = min(self.lowest, free)
        return free

    def short(self):
        """To be asked every minute. True where it has been short for long enough to restart."""
        free = self.look()
        if free >= LITTLE_BYTES and self._room_for(PIECE_BYTES):
            self._short = 0
            return False
        self._short += 1
        self._report("memory is short: %d bytes free, %d in one piece wanted" % (free, PIECE_BYTES))
        return self._short >= TOO_LONG
