# machine of a virtual chip, in real time: pins follow files that the test writes.
import asyncio
import os

_LOOK_MS = 50  # at the file that stands for a pin
_ROOT = os.getenv("VIRTUAL_CHIP")
PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5


def asked(name, default):
    try:
        with open(_ROOT + "/" + name) as f:
            return f.read().strip()
    except OSError:
        return default


def tell(name, content):
    # whole or not at all: the test may be looking
    with open(_ROOT + "/" + name + ".new", "w") as f:
        f.write(content)
    os.rename(_ROOT + "/" + name + ".new", _ROOT + "/" + name)


class Pin:
    IN, OUT = 1, 3
    PULL_DOWN, PULL_UP = 1, 2
    IRQ_RISING, IRQ_FALLING = 1, 2

    def __init__(self, id, mode=-1, pull=-1, *, value=None):
        self._id = id
        self._out = value if mode == Pin.OUT else None

    init = lambda self, mode=-1, pull=-1, *, value=None: None

    def value(self, level=None):
        if level is not None:
            self._out = level
        elif self._out is not None:
            return self._out
        else:
            return int(asked("pin%d" % self._id, "0"))

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def irq(self, handler=None, trigger=3, *, wake=None, hard=False):
        self._handler = handler
        if handler is not None:
            asyncio.create_task(self._watch(handler))

    async def _watch(self, handler):
        level = self.value()
        while self._handler is handler:
            await asyncio.sleep_ms(_LOOK_MS)
            if self.value() != level:
                level = not level
                handler(self)
                tell("seen%d" % self._id, str(int(level)))


class WDT:
    def __init__(self, id=0, timeout=5000):
        tell("watchdog", str(timeout))

    def feed(self):
        pass


class RTC:
    def datetime(self, t=None):
        pass


def reset():
    import ffi

    ffi.open(None).func("v", "_exit", "i")(70)


soft_reset = reset


def reset_cause():
    return PWRON_RESET


def unique_id():
    return b"\x24\x6f\x3c\x71\xbf\x4a"


def freq(hz=None):
    return 160000000
