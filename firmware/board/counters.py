"""Pulse counters in hardware, where the chip has them: they count the beams' edges while the processor stands still. Used by inputs.

MicroPython 1.26 and newer on an ESP32 (8 units), S2, S3, C6 (4); a C3 has none. A pair of beams takes three units: an Encoder that counts
every step of the way through the door up or down (footfall_core.turns), and for each beam a Counter of how often it was broken.
The second barrier of an S3 gets the Encoder alone, a third none.
"""

import machine

_FILTER_NS = 12000  # as long as the filter can be: a spike on a cable, not chatter
_units = 0  # taken so far


class Counters:
    """The counters of a pair of beams, or of one. pins: two machine.Pin, the second may be None; active: the level of a broken beam.

    To be built before the pins get their interrupts: the driver configures the pins anew and switches those off.
    """

    def __init__(self, outer, inner, active):
        self._encoder = None
        self._broken = []
        if not hasattr(machine, "Counter"):
            return
        if inner is not None:
            self._encoder = _next(machine.Encoder, outer, inner, phases=4)
        edge = machine.Counter.RISING if active else machine.Counter.FALLING
        for pin in (outer, inner):
            if pin is not None:
                self._broken.append(_next(machine.Counter, pin, edge=edge))
        if None in self._broken:
            self._broken = []

    def steps(self):
        """Steps made on the way in minus steps on the way out, four for a passage; None without an Encoder."""
        return self._encoder.value() if self._encoder else None

    def broken(self, which):
        """How often beam `which` (0 outer, 1 inner) was broken since the start; None without Counters."""
        return self._broken[which].value() if which < len(self._broken) else None


def _next(make, *pins, **how):
    """One more unit, or None where all are taken."""
    global _units  # noqa: PLW0603 - the chip has them once, so does this module
    try:
        made = make(_units, *pins, filter_ns=_FILTER_NS, **how)
    except (ValueError, OSError, RuntimeError):
        return None
    _units += 1
    return made
