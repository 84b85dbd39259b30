# machine, as far as the firmware uses an ESP32's: pins with interrupts, watchdog, timers, reset, clock.
import os

import _board
from _board import now

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5


class Pin:
    IN, OUT, OPEN_DRAIN = 1, 3, 7
    PULL_DOWN, PULL_UP = 1, 2
    IRQ_RISING, IRQ_FALLING = 1, 2
    DRIVE_0, DRIVE_1, DRIVE_2, DRIVE_3 = 0, 1, 2, 3

    def __init__(self, id, mode=-1, pull=-1, *, value=None, drive=None, hold=None):
        if not 0 <= id < 40 or 23 < id < 25 or 27 < id < 32 or id == 20:
            raise ValueError("invalid pin")
        self._id = id
        self._out = None  # the level that it drives, None for an input
        self.init(mode, pull, value=value)

    def init(self, mode=-1, pull=-1, *, value=None, drive=None, hold=None):
        if mode == Pin.OUT or mode == Pin.OPEN_DRAIN:
            if self._id > 33:
                raise ValueError("pin can only be input")
            self._out = 0
            self._drive(1 if value else 0, True)
        elif mode == Pin.IN:
            self._out = None
        if pull != -1 and _board.levels[self._id] & 2:
            _board.levels[self._id] = 3 if pull == Pin.PULL_UP else 2

    def _drive(self, level, always=False):
        if level != self._out or always:
            self._out = level
            _board.tell(_board.OUTPUT, now() << 8 | self._id << 1 | level)

    def value(self, level=None):
        if level is not None:
            if self._out is None:
                return
            self._drive(1 if level else 0)
        elif self._out is not None:
            return self._out
        else:
            now()
            return _board.levels[self._id] & 1

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def toggle(self):
        self.value(not self.value())

    def irq(self, handler=None, trigger=3, *, wake=None, hard=False):
        if hard:
            raise ValueError("hard IRQ not supported")
        now()
        if handler is None:
            _board.irqs.pop(self._id, None)
        else:
            _board.irqs[self._id] = (handler, trigger, self)

    def __repr__(self):
        return "Pin(%d)" % self._id


class PWM:
    # Only what shows outside: the host sees the duty, and the pin as high while it is above 0.
    def __init__(self, pin, freq=5000, duty=None, duty_u16=None):
        self._pin = pin
        self._freq = freq
        pin.init(Pin.OUT)
        self._duty = 0
        self.duty_u16(duty_u16 if duty_u16 is not None else (duty or 0) * 64)

    def freq(self, freq=None):
        if freq is None:
            return self._freq
        self._freq = freq

    def duty_u16(self, duty=None):
        if duty is None:
            return self._duty
        self._duty = duty
        _board.tell(_board.DUTY, duty << 8 | self._pin._id)
        self._pin.value(duty > 0)

    def duty(self, duty=None):
        if duty is None:
            return self._duty >> 6
        self.duty_u16(duty << 6)

    def deinit(self):
        self.duty_u16(0)


class Timer:
    ONE_SHOT, PERIODIC = 0, 1

    def __init__(self, id, **kw):
        self._alarm = None
        if kw:
            self.init(**kw)

    def init(self, *, mode=1, freq=-1, period=-1, callback=None):
        self.deinit()
        self._period = int(1000000 / freq) if freq != -1 else period * 1000
        self._mode = mode
        self._callback = callback
        self._alarm = _board.add_alarm(now() + self._period, self._fire)

    def _fire(self, alarm):
        self._alarm = _board.add_alarm(alarm[0] + self._period, self._fire) if self._mode else None
        if self._callback:
            _board.soft(self._callback, self)

    def deinit(self):
        if self._alarm:
            _board.drop_alarm(self._alarm)
            self._alarm = None


class WDT:
    # One for the whole board: a second WDT() only sets another time.
    _us = 0
    _alarm = None

    def __init__(self, id=0, timeout=5000):
        WDT._us = timeout * 1000
        _board.tell(_board.WATCHDOG, timeout)
        self.feed()

    def feed(self):
        if WDT._alarm:
            _board.drop_alarm(WDT._alarm)
        WDT._alarm = _board.add_alarm(now() + WDT._us, self._bite)

    def _bite(self, _alarm):
        print("watchdog: not fed for %d ms" % (WDT._us // 1000))
        _board.reset(WDT_RESET)


class RTC:
    def __init__(self, id=0):
        pass

    def datetime(self, t=None):
        import time

        if t is None:
            us = _board.clock_us()
            t = time.gmtime(us // 1000000)
            return (t[0], t[1], t[2], t[6], t[3], t[4], t[5], us % 1000000)
        _board.set_clock_us(time.mktime((t[0], t[1], t[2], t[4], t[5], t[6])) * 1000000 + t[7])

    init = datetime

    def memory(self, data=None):
        if data is None:
            return _board.rtc_memory
        if len(data) > 2048:
            raise ValueError("buffer too long")
        _board.rtc_memory = bytes(data)
        _board.keep_rtc()


if os.getenv("FOOTFALL_PCNT") != "0":  # a chip without PCNT has neither class

    class _Unit:
        # One unit of the pulse counter, as ports/esp32/modules/machine.py wraps it: a singleton per number.
        def __new__(cls, id, *_args, **_kw):
            if not 0 <= id < int(os.getenv("FOOTFALL_PCNT")):
                raise ValueError("invalid id")
            unit = _units.get(id)
            if unit is None:
                unit = _units[id] = object.__new__(cls)
                unit._sources = ()
                unit._count = unit._edge
            elif not isinstance(unit, cls):
                raise ValueError("PCNT in use")
            return unit

        def __init__(self, id, *pins, filter_ns=0, **kw):
            if self._sources and not pins and not kw:
                return
            self.deinit()
            self._value = 0
            self._configure(*pins, **kw)
            for pin in self._sources:
                now()
                _board.counting.setdefault(pin, []).append(self._count)

        def init(self, *pins, **kw):
            now()
            self.__init__(0, *pins, **kw)

        def deinit(self):
            for pin in self._sources:
                _board.counting[pin] = [one for one in _board.counting[pin] if one is not self._count]
            self._sources = ()

        def value(self, value=None):
            if not self._sources:
                raise RuntimeError("not initialised")
            now()
            was = self._value
            if value is not None:
                self._value = value
            return was

    class Counter(_Unit):
        RISING, FALLING, UP, DOWN = 1, 2, 1, 2

        def _configure(self, src, edge=1, direction=1):
            self._edges = edge
            self._by = 1 if direction == 1 else -1
            self._sources = (src._id,)

        def _edge(self, _pin, level):
            if self._edges & (1 if level else 2):
                self._value += self._by

    class Encoder(_Unit):
        def _configure(self, phase_a, phase_b, phases=1):
            if phases not in (1, 2, 4):
                raise ValueError("phases")
            self._phases = phases
            self._a, self._b = phase_a._id, phase_b._id
            self._sources = (self._a, self._b) if phases == 4 else (self._a,)

        def _edge(self, pin, level):
            a = pin == self._a
            other = _board.levels[self._b if a else self._a] & 1
            if other or self._phases > 1:  # one phase: counts only while b is high
                self._value += 1 if (level != other) == a else -1

        def phases(self):
            return self._phases

    _units = {}


def reset():
    _board.reset(HARD_RESET)  # so says an ESP32 that restarted itself, since MicroPython 1.13


def soft_reset():
    _board.reset(SOFT_RESET)


def deepsleep(ms=0):
    _board.sleep_us(ms * 1000)
    _board.reset(DEEPSLEEP_RESET)


def lightsleep(ms=0):
    _board.sleep_us(ms * 1000)


def idle():
    now()


def reset_cause():
    return _board.cause


def wake_reason():
    return 0


def unique_id():
    mac = os.getenv("FOOTFALL_MAC")
    return bytes(int(mac[i : i + 2], 16) for i in range(0, 12, 2))


def freq(hz=None):
    return 160000000


def disable_irq():
    return _board.mask(True)


def enable_irq(state=False):
    _board.mask(state)
