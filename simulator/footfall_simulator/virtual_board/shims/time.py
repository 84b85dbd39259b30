# time, in virtual time: the built-in module's counterpart on an ESP32 (30 bits of ticks, whole seconds).
import _board
from _board import real_time, sleep_us, ticks_ms, ticks_us
from micropython import const

_MASK = const((1 << 30) - 1)
_HALF = const(1 << 29)


def ticks_add(ticks, delta):
    if not -_HALF < delta < _HALF:
        raise OverflowError("ticks interval overflow")
    return (ticks + delta) & _MASK


def ticks_diff(new, old):
    return ((new - old + _HALF) & _MASK) - _HALF


def ticks_cpu():
    return real_time.ticks_cpu() & _MASK


def sleep_ms(ms):
    sleep_us(ms * 1000)


def sleep(seconds):
    sleep_us(int(seconds * 1000000))


def time():
    return _board.clock_us() // 1000000


def time_ns():
    return _board.clock_us() * 1000


def gmtime(seconds=None):
    t = real_time.gmtime(int(time() if seconds is None else seconds) + _board.epoch_s)
    return t[:8]


localtime = gmtime  # an ESP32 knows no time zone


def mktime(t):
    # days from the civil calendar, March as the first month
    year = t[0] - (t[1] < 3)
    month = (t[1] + 9) % 12
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + t[2] - 1 - 719468
    return days * 86400 + t[3] * 3600 + t[4] * 60 + t[5] - _board.epoch_s
