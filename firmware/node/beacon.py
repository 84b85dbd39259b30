"""What whoever stands at the door sees on the status lamp; and the button that begins aligning. app.py runs `keep` and `watch_button`.

The lamp, where one is configured:

    lit                          counting, and in touch with the gateway
    a short flash every 2 s      counting into flash, no connection
    slow blinking                a beam is obstructed: not counting
    fast blinking                a beam flickers as no people do (sun, a loose contact): not counting
    two short flashes every 2 s  safe mode: counting with what works, see main.py

Aligning (command `align`, or the board's BOOT button held for 5 s) has the lamp while it lasts: node/aligning.py.
"""

import asyncio

from micropython import const

import node as package
from node.wake import Wake

NOTHING_TO_SHOW_MS = const(60000)  # without a lamp; aligning wakes it
HOLD_MS = const(5000)  # of the BOOT button: nobody leans on it for so long by mistake


class Beacon:
    """lamp: board.lamps.Lamps of one pin, or None; terminal: node.terminal.Terminal or None. in_touch() tells whether there is a
    connection; changed() tells the state."""

    def __init__(self, lamp, doors, terminal, in_touch, changed, report=print, safe=False):
        self._lamp = lamp
        self._safe = safe
        self._terminal = terminal
        self._doors = doors
        self._in_touch = in_touch
        self._changed = changed
        self._report = report
        self._aligning = None
        self._blinks = 0
        self._wake = Wake()

    def align(self, on):
        """Begin, go on, or end aligning; the answer has the beams, and the changes of each since the answer before."""
        if not (on or self._aligning):
            return {"beams": [door.beams() for door in self._doors], "changes": [[0, 0] for _ in self._doors]}
        if not self._aligning:
            from node.aligning import Aligning

            self._aligning = Aligning(self._lamp, self._doors, self._terminal, self._changed, self._report)
        answer = self._aligning.answer()
        if on:
            self._aligning.go_on()
        else:
            self._aligning.end()
            self._aligning = None
            package.forget("node.aligning")
        self._wake.set()
        return answer

    async def watch_button(self, button):
        """Begin or end aligning when `button` (board.inputs.Button) is held; for ever."""
        while True:
            await button.changed.wait()
            held_ms = 0
            while button.held() and held_ms <= HOLD_MS:
                await asyncio.sleep_ms(100)
                held_ms += 100
                if held_ms == HOLD_MS:
                    self.align(self._aligning is None)

    def blink(self, times):
        """Flash the lamp a few times, for the self-test."""
        self._blinks = times
        self._wake.set()

    async def keep(self):
        """Show what is; for ever."""
        while True:
            self._wake.clear()
            if self._aligning:
                aligning = self._aligning
                if not await aligning.look() and aligning is self._aligning:
                    self.align(False)
            elif not self._lamp:
                await self._pause(NOTHING_TO_SHOW_MS)
            elif self._blinks:
                self._blinks -= 1
                await self._flash(150, 150)
            elif any(door.noisy() for door in self._doors):
                await self._flash(125, 125)
            elif any(door.faults() for door in self._doors):
                await self._flash(500, 500)
            elif self._safe:
                await self._flash(100, 200)
                await self._flash(100, 1600)
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
        await self._wake.within(ms)
