"""Carriers for bare infrared emitters: a receiver of the TSSP kind sees only light that flickers at its own frequency.

app.py starts them, where config.json names pins for them. A ready-made light barrier makes its own.
"""

from time import sleep_ms

from machine import PWM, Pin

_DUTY_U16 = 65535 // 3  # a third: more heats the emitter and reaches no further
_SETTLE_MS = 5  # until the receivers have seen it: less than 1 ms


class Carriers:
    """Run as long as this is kept. pins: GPIO numbers of the emitters' transistors; frequencies_hz: their receivers'."""

    def __init__(self, pins, frequencies_hz):
        self._running = [
            PWM(Pin(pin, Pin.OUT, value=0), freq=hz, duty_u16=_DUTY_U16)
            for pin, hz in zip(pins, frequencies_hz)
        ]
        sleep_ms(_SETTLE_MS)
