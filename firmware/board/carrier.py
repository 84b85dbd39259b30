"""The carrier for bare infrared emitters: a receiver of the TSSP kind sees only light that flickers at its own frequency.

app.py starts it, where config.json names a pin for it. A ready-made light barrier makes its own.
"""

from time import sleep_ms

from machine import PWM, Pin

_DUTY_U16 = 65535 // 3  # a third: more heats the emitter and reaches no further
_SETTLE_MS = 5  # until the receiver has seen it: less than 1 ms


class Carrier:
    """Runs as long as it is kept. pin: GPIO number of the emitter's transistor; hz: what the receivers are made for."""

    def __init__(self, pin, hz):
        self._pwm = PWM(Pin(pin, Pin.OUT, value=0), freq=hz, duty_u16=_DUTY_U16)
        sleep_ms(_SETTLE_MS)
