"""Pins -> a ring of (tick, state): what the interrupt saw, for the task that judges it. Used for beams and buttons.

`Pin.irq` on the ESP32 is soft: the handler runs between two bytecodes, not in the interrupt, at most eight wait their
turn, and it is late by as long as a flash write or a garbage collection takes. So the handler trusts nothing but the
levels that it reads itself, and `look` (called regularly) finds a change whose interrupt was lost.
"""

import asyncio
from array import array
from time import ticks_ms

from machine import Pin
from micropython import const

from board.pin_table import WITHOUT_PULL_UP

_ROOM = const(128)  # edges, a power of two: 30 people at once, or a second of a badly bouncing contact


class Inputs:
    """Up to 8 pins as bits of one state, the first pin being bit 0.

    pins: GPIO numbers, None for a bit that is always 0. active: the level that sets a bit. The
    pull-up inside the chip is switched on where it has one; it is weak, long cables want one outside (hardware/pins.toml).
    """

    def __init__(self, pins, active):
        self.lost = 0  # edges that found the ring full
        self.changed = asyncio.ThreadSafeFlag()
        self._active = active
        self._ticks = array("i", [0] * _ROOM)
        self._states = bytearray(_ROOM)
        self._head = 0  # next place to write
        self._tail = 0  # next place to read
        self._pins = tuple(
            (Pin(pin, Pin.IN, None if pin in WITHOUT_PULL_UP else Pin.PULL_UP), 1 << bit)
            for bit, pin in enumerate(pins)
            if pin is not None
        )
        self._last = self.read()
        for pin, _ in self._pins:
            pin.irq(self._on_edge, Pin.IRQ_RISING | Pin.IRQ_FALLING)

    def read(self):
        """The state of the pins at this moment."""
        state = 0
        for pin, bit in self._pins:
            if pin.value() == self._active:
                state |= bit
        return state

    def _on_edge(self, _pin):
        now = ticks_ms()
        state = self.read()
        if state == self._last:
            return
        head = self._head
        following = (head + 1) & (_ROOM - 1)
        if following == self._tail:
            self.lost += 1  # self._last stays: `look` or the next edge finds the difference
            return
        self._last = state
        self._ticks[head] = now
        self._states[head] = state
        self._head = following
        self.changed.set()

    def look(self):
        """Compare the pins with what was last seen; a change whose interrupt got lost is taken as happening now."""
        if self.read() != self._last:
            self._on_edge(None)

    def waiting(self):
        """True while there is something to take."""
        return self._head != self._tail

    def take(self):
        """The oldest (tick, state); only to be called while waiting()."""
        tail = self._tail
        taken = self._ticks[tail], self._states[tail]
        self._tail = (tail + 1) & (_ROOM - 1)
        return taken

    def close(self):
        """No more interrupts from these pins."""
        for pin, _ in self._pins:
            pin.irq(None)
