"""Pins -> a ring of (tick, state): what the interrupt saw, for the task that judges it. Used for beams and buttons.

`Pin.irq` on the ESP32 is soft: the handler runs between two bytecodes, not in the interrupt, at most eight wait their
turn, and it is late by as long as a flash write or a garbage collection takes. So the handler trusts nothing but the
levels that it reads itself, and `look` (called regularly) finds a change whose interrupt was lost. Of beams it reads the
hardware's count of steps as well (board.counters), which tells what went by unseen.
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
    count: makes the hardware counters of the first two pins (board.counters.Counters), where there are to be any.
    """

    def __init__(self, pins, active, count=None):
        self.lost = 0  # edges that found the ring full
        self.unseen = (
            0  # interrupts that found nothing changed: as many edges came and went before they were looked at
        )
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
        self.counters = self._steps = None
        if count:
            both = [pin for pin, _ in self._pins] + [None]
            self.counters = count(both[0], both[1], active)
            if self.counters.steps() is not None:
                self._steps = array("i", [0] * _ROOM)
        self.steps = self._last_steps = (
            self._count()
        )  # hardware's count at the edge last taken, at the last one seen
        self._expected = 0  # interrupts still to come for changes already seen
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

    def _count(self):
        return self.counters.steps() if self._steps else 0

    def _on_edge(self, pin):
        now = ticks_ms()
        state = self.read()
        steps = self._count()
        changed = state ^ self._last
        if not changed:
            if self._expected:
                self._expected -= 1
            elif pin is not None:
                self.unseen += 1
            if steps == self._last_steps:
                return
        elif changed & (changed - 1):
            self._expected += 1
        head = self._head
        following = (head + 1) & (_ROOM - 1)
        if following == self._tail:
            self.lost += 1  # self._last stays: `look` or the next edge finds the difference
            return
        self._last = state
        self._last_steps = steps
        if self._steps:
            self._steps[head] = steps
        self._ticks[head] = now
        self._states[head] = state
        self._head = following
        self.changed.set()

    def look(self):
        """Compare the pins with what was last seen; a change whose interrupt got lost is taken as happening now."""
        self._expected = 0  # whatever was to come is here
        if self.read() != self._last or self._count() != self._last_steps:
            self._on_edge(None)

    def waiting(self):
        """True while there is something to take."""
        return self._head != self._tail

    def take(self):
        """The oldest (tick, state); only to be called while waiting()."""
        tail = self._tail
        taken = self._ticks[tail], self._states[tail]
        if self._steps:
            self.steps = self._steps[tail]
        self._tail = (tail + 1) & (_ROOM - 1)
        return taken

    def close(self):
        """No more interrupts from these pins."""
        for pin, _ in self._pins:
            pin.irq(None)


class Button:
    """One button that is asked, with a flag that wakes whoever waits for it; pressed = low."""

    def __init__(self, pin):
        self.changed = asyncio.ThreadSafeFlag()
        self._pin = Pin(pin, Pin.IN, Pin.PULL_UP)
        self._pin.irq(self._on_press, Pin.IRQ_FALLING)

    def _on_press(self, _pin):
        self.changed.set()

    def held(self):
        """True while it is pressed."""
        return not self._pin.value()
