"""What whoever stands at the door sees: the status lamp, and the aligning mode. app.py runs `keep`.

The lamp, where one is configured:

    lit                          counting, and in touch with the gateway
    a short flash every 2 s      counting into flash, no connection
    slow blinking                a beam is obstructed: not counting
    aligning: lit                both beams are free; dark while one is broken

While aligning (command `align`, ten minutes at most) every change of a beam is also printed and told in the state topic, and the
command's answer has the beams and how often each changed since the last one: so that one person with a telephone can set up
a door.
"""

import asyncio
from time import ticks_diff, ticks_ms

from micropython import const

ALIGN_FOR_MS = const(600000)
_LOOK_MS = const(10)  # while aligning
_LOOKS_PER_LINE = const(5)  # a chattering beam must not flood the console
_BEAMS = ("free", "outer broken", "inner broken", "both broken")


class Beacon:
    """lamp: board.lamps.Lamps of one pin, or None. in_touch() tells whether there is a connection; changed() tells the state."""

    def __init__(self, lamp, doors, in_touch, changed, report=print):
        self._lamp = lamp
        self._doors = doors
        self._in_touch = in_touch
        self._changed = changed
        self._report = report
        self._align_since = None
        self._told = {}
        self._seen = [0] * len(doors)
        self._changes = [[0, 0] for _ in doors]
        self._looks = 0
        self._blinks = 0
        self._wake = asyncio.Event()

    def align(self, on):
        """Begin, go on, or end aligning; the answer has the beams, and the changes of each since the answer before."""
        beams = [door.beams() for door in self._doors]
        changes, self._changes = self._changes, [[0, 0] for _ in self._doors]
        if self._align_since is None:
            changes, self._told, self._seen = self._changes, {}, beams
        self._align_since = ticks_ms() if on else None
        self._wake.set()
        return {"beams": beams, "changes": changes}

    def blink(self, times):
        """Flash the lamp a few times, for the self-test."""
        self._blinks = times
        self._wake.set()

    async def keep(self):
        """Show what is; for ever."""
        while True:
            self._wake.clear()
            if self._align_since is not None:
                await self._show_beams()
            elif not self._lamp:
                await self._wake.wait()
            elif self._blinks:
                self._blinks -= 1
                await self._flash(150, 150)
            elif any(door.faults() for door in self._doors):
                await self._flash(500, 500)
            elif not self._in_touch():
                await self._flash(100, 1900)
            else:
                self._lamp.show(1)
                await self._pause(2000)

    async def _flash(self, lit_ms, dark_ms):
        self._lamp.show(1)
        await asyncio.sleep_ms(lit_ms)
        self._lamp.show(0)
        await self._pause(dark_ms)

    async def _pause(self, ms):
        try:
            await asyncio.wait_for_ms(self._wake.wait(), ms)
        except asyncio.TimeoutError:
            pass

    async def _show_beams(self):
        if ticks_diff(ticks_ms(), self._align_since) > ALIGN_FOR_MS:
            self._align_since = None
            return
        states = [door.beams() for door in self._doors]
        if self._lamp:
            self._lamp.show(not any(states))
        for i, state in enumerate(states):
            for beam in (0, 1):
                self._changes[i][beam] += (state ^ self._seen[i]) >> beam & 1
        self._seen = states
        self._looks = (self._looks + 1) % _LOOKS_PER_LINE
        for door, state in zip(self._doors, states):
            if not self._looks and self._told.get(door.number) != state:
                self._told[door.number] = state
                self._report("beams barrier=%d %s" % (door.number, _BEAMS[state]))
                self._changed()
        await asyncio.sleep_ms(_LOOK_MS)
