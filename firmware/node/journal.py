"""Records on their way into flash: what everyone appends to, and when it is written. app.py builds it on the spool.

Flash is written rather while nobody is in a door, as interrupts wait meanwhile; but no record waits longer than a second.
The node's own records are made here: boot, and alive ("counting without a break since then").
"""

import asyncio
import gc

from micropython import const

import node
from footfall_core import record
from node import flash

_LOOK_MS = const(200)
_LONGEST_WAIT_MS = const(800)  # with the look above: a power cut costs at most a second of what was recorded
_REBOOT_NOTE = "reboot.txt"


class Journal:
    """Writes to `spool`. doors may still be empty when it is built; written() is called after every write."""

    def __init__(self, spool, uptime, doors, report=print):
        self.written = None
        self._spool = spool
        self._uptime = uptime
        self._doors = doors
        self._began_ms = uptime.now()
        self._report = report
        self._recorded = asyncio.Event()

    def append(self, values):
        """Keep a record (a tuple as in footfall_core.record)."""
        self._spool.append(values)
        self._recorded.set()

    def note_boot(self, cause, revision):
        """The boot record, at once in flash. Returns the cause: the one noted by restart_because, else the one given."""
        cause = (flash.read(_REBOOT_NOTE) or cause)[: record.MAX_TEXT_LENGTH]
        flash.remove(_REBOOT_NOTE)
        self.append((0, record.BOOT, cause, node.VERSION, revision))
        self._flush()
        return cause

    def note_alive(self):
        """Counting without a break since then, and the totals of the node's life."""
        now_ms = self._uptime.now()
        since_ms = max([door.since_ms for door in self._doors] or [self._began_ms])
        self.append((now_ms, record.ALIVE, since_ms, self._spool.lifetime_in, self._spool.lifetime_out))

    def close_because(self, reason):
        """Everything into flash for a restart that names its reason at the next boot."""
        for door in self._doors:
            door.tick()
        self.note_alive()
        self._flush()
        self._spool.save_totals()
        flash.write(_REBOOT_NOTE, reason)

    def all_quiet(self):
        """True when nobody is in any door."""
        return all(door.quiet() for door in self._doors)

    async def keep_in_flash(self):
        """Write what is recorded; for ever."""
        while True:
            await self._recorded.wait()
            self._recorded.clear()
            waited_ms = 0
            while self._spool.unflushed():
                await asyncio.sleep_ms(_LOOK_MS)
                waited_ms += _LOOK_MS
                if waited_ms >= _LONGEST_WAIT_MS or self.all_quiet():
                    self._flush()
            self.written()

    async def keep_alive(self, every_s):
        """An alive record every so often: zero is not missing."""
        while True:
            await asyncio.sleep(every_s)
            self.note_alive()
            try:
                self._spool.save_totals()
            except (
                OSError
            ) as error:  # the flash is full of other things: the segments still have what is counted
                self._report("spool: cannot note the totals (%s)" % error)
            gc.collect()

    def _flush(self):
        try:
            self._spool.flush()
        except OSError as error:
            self._report("spool: writing to flash failed (%s), trying again" % error)
