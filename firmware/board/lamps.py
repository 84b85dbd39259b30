"""Lamps of the buttons and the status lamp. The terminal and the identify command light them."""

from machine import Pin


class Lamps:
    """Lamps by number; pins: GPIO numbers, lit when high."""

    def __init__(self, pins):
        self._pins = tuple(Pin(pin, Pin.OUT, value=0) for pin in pins)

    def show(self, bits):
        """Light exactly the lamps whose bits are set, lamp 0 being bit 0."""
        for number, pin in enumerate(self._pins):
            pin.value(bits >> number & 1)
