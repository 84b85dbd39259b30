# The virtual board's heart: virtual time, due pin edges as interrupts, and the channel to the host.
#
# Used by the other shims (time, select, machine, network, socket), never imported by the firmware. All instants are
# virtual UTC in microseconds. The board's clock never runs ahead of the host's timeline, nor past the horizon up to
# which the host has sent every edge. It may lag: code costs the processor time that it really takes, and whatever is
# due (an edge, an alarm, the end of a sleep) happens at exactly its own instant, however late the process gets to it.
# The network is looked at when nothing else is due, now and then in any case. Before it sends, the
# board asks the host to slow the timeline ("on the air") until an answer has come and the network has fallen quiet.
# Shims share the firmware's heap: nothing here allocates without need.
import sys

_path = sys.path[:]
sys.path[:] = []  # the built-in modules, not the shims of the same names
import time as real_time
import select as real_select
import socket as real_socket

sys.path[:] = _path
import array
import os
import uctypes
from micropython import const

_WINDOW = const(64)  # edges that the host sends ahead; host.py has the same number
_LISTEN_US = const(5000)  # real time after which even a busy board looks at the channel ...
_STARVING_US = const(
    100000
)  # ... and at the network: data from there is dated "now", so it waits until the board has caught up
_FOREVER = const(1 << 60)
STALL_PIN = const(
    63
)  # no pin: "high" from the moment at which the processor stands still; host.py has the same number
_QUEUE = const(8)  # soft interrupts that the ESP32's scheduler keeps; more are lost
_BEHIND_REAL_US = const(3000)  # a board that lags by more than this (times the rate), and by more than
_BEHIND_US = const(200000)  # this, asks the timeline to wait
_SHORT_QUIET_US = const(3000)
_LONGEST_SEND_US = const(4000000)  # a blocking send that takes longer might be bitten by the watchdog
TICKS_MASK = const((1 << 30) - 1)  # as on the ESP32

# Words from the host: an edge is positive (t_us << 8 | asked_now << 7 | pin << 1 | level); everything else is a
# negative code followed by as many words as _WORDS tells. Pairs of words to the host: a code and a value.
_TIMELINE, _HORIZON, _WIFI, _LEVEL, _START, _AIR = const(1), const(2), const(3), const(4), const(5), const(6)
_WORDS = b"\x00\x03\x01\x02\x02\x03\x02"
HELLO, CONSUMED, OUTPUT, RESET, LATE, WATCHDOG, DUTY, AIR, BEHIND = 1, 2, 3, 4, 5, 6, 7, 8, 9

_us = real_time.ticks_us
_channel = open(int(os.getenv("FOOTFALL_CHANNEL")), "r+b")
_rtc = open(
    int(os.getenv("FOOTFALL_RTC")), "r+b"
)  # what goes on through a reset; the host empties it at a power cut
_idle = real_select.poll()
_idle.register(_channel, 1)
_in = array.array("l", [0] * 96)
_in_bytes = uctypes.bytearray_at(uctypes.addressof(_in), 768)
_have = 0  # bytes in _in_bytes that are not yet understood
_out = array.array("l", [0, 0])

_v0 = _r0 = _rate = 0  # the timeline: virtual us, real us, thousandths
_horizon = _FOREVER
_now = 0  # the board's clock, right at the real instant _mark
_mark = 0
_heard = 0  # real instant of the last look at the channel
_boot = 0
_ticks0 = 0
_started = False
cause = 1
epoch_s = 0  # what the board calls time 0, in seconds since 1970
rtc_us = 0  # what the board's own clock showed at boot, in its own epoch
rtc_memory = b""  # machine.RTC().memory()

_window = array.array("l", [0] * _WINDOW)
_head = 0
_count = 0
_consumed = 0
_told = 0
_late = 0

_next = _FOREVER  # when the next edge or alarm is due

levels = bytearray(64)  # bit 0: the level; 2 or 3: nobody drives the pin, its pull decides
irqs = {}  # pin -> (handler, trigger, Pin)
counting = {}  # pin -> functions called with (pin, level) at every change, whatever the processor does (hardware counters)
_stalls = 0  # above 0 the processor stands still, as it does while the flash erases
_alarms = []  # [t_us, function] in rising order
_interrupted = False
_masked = False
_pending = []
_called = []

_air = 0  # real instant at which the air counts as quiet again; 0: it is quiet
_records_out = 0  # batches that the gateway has not acknowledged since the board is on the air
_air_heard = True  # the host has slowed the timeline
_answer_us = 100000  # real time that an answer may take
_quiet_us = 20000  # ... and that must pass after the last data that came in
_quiet_now = 20000  # the same, after what was sent last
_behind = True  # the host holds the timeline until the firmware idles for the first time

wifi_state = 1  # 0 no access point, 1 up, 2 wrong password
wifi_rssi = -60
wifi_since = 0  # when the state last changed

for _i in range(64):
    levels[_i] = 2


def halt():
    # Nothing may run after a reset or without a host: no finally, no cleaning up.
    try:
        import ffi

        ffi.open(None).func("v", "_exit", "i")(70)
    finally:
        sys.exit(70)


def tell(code, value):
    _out[0] = code
    _out[1] = value
    try:
        while _channel.write(_out) is None:
            real_time.sleep_us(500)
    except OSError:
        halt()


def reset(why):
    # The host answers by killing this process and starting the next one.
    tell(RESET, _now << 8 | why)
    while True:
        _idle.poll(1000)
        _listen()


def _listen():
    global _have, _heard
    _heard = _us()
    while True:
        try:
            n = _channel.readinto(memoryview(_in_bytes)[_have:] if _have else _in_bytes)
        except OSError:
            halt()
        if n is None:
            return
        if n == 0:
            halt()
        _have += n
        words = _have >> 3
        at = 0
        while at < words:
            word = _in[at]
            if word >= 0:
                _insert(word)
                at += 1
            else:
                end = at + 1 + _WORDS[-word]
                if end > words:
                    break
                _understand(-word, at + 1)
                at = end
        at <<= 3
        _have -= at
        for i in range(_have):  # an unfinished message waits for its rest
            _in_bytes[i] = _in_bytes[at + i]


def _understand(code, at):
    global _v0, _r0, _rate, _horizon, wifi_state, wifi_rssi, wifi_since, _air_heard, _answer_us, _quiet_us
    global _now, _mark, _boot, _ticks0, _started, cause, epoch_s, rtc_us
    if code == _TIMELINE:
        _v0 = _in[at]
        _r0 = _in[at + 1]
        _rate = _in[at + 2]
    elif code == _HORIZON:
        _horizon = _in[at]
    elif code == _WIFI:
        if _in[at] != wifi_state:
            wifi_since = _now
        wifi_state = _in[at]
        wifi_rssi = _in[at + 1]
    elif code == _LEVEL:
        levels[_in[at]] = _in[at + 1]
    elif code == _AIR:
        _air_heard = True
        _answer_us = _in[at]
        _quiet_us = _in[at + 1]
    elif code == _START:
        _boot = _now = _in[at]
        _mark = _us()
        _ticks0 = _in[at + 1]
        cause = _in[at + 2] & 7
        if _in[at + 2] & 8:
            epoch_s = 946684800
        else:
            rtc_us = 946684800000000
        _wake_rtc()
        _started = True


def _refresh():
    global _next
    _next = _window[_head] >> 8 if _count else _FOREVER
    if _alarms and _alarms[0][0] < _next:
        _next = _alarms[0][0]


def _insert(word):
    global _count
    if _count == _WINDOW:
        raise RuntimeError("the host sent more edges than the window holds")
    i = _count
    while i:
        before = _window[(_head + i - 1) & (_WINDOW - 1)]
        if before >> 8 <= word >> 8:
            break
        _window[(_head + i) & (_WINDOW - 1)] = before
        i -= 1
    _window[(_head + i) & (_WINDOW - 1)] = word
    _count += 1
    _refresh()


def _step():
    # Do what is due first; _next tells when, and it is due by now.
    global _now, _head, _count, _consumed, _told, _late, _stalls
    goes_on = False
    t = _next
    if not _count or _window[_head] >> 8 > t:
        alarm = _alarms.pop(0)
        _refresh()
        if _now < t:
            _now = t
        _interrupt(alarm[1], alarm)
        return
    _called.clear()
    while _count and _window[_head] >> 8 == t:  # both beams at once: the first handler sees both levels
        word = _window[_head]
        _head = (_head + 1) & (_WINDOW - 1)
        _count -= 1
        _consumed += 1
        if t < _now and not word & 128:
            _late += 1
        pin = word >> 1 & 63
        level = word & 1
        if pin == STALL_PIN:
            if level:
                _stalls += 1
            elif _stalls:  # a board that started in the middle of it knows of none
                _stalls -= 1
                goes_on = not _stalls
            continue
        if levels[pin] & 1 != level:
            for count in counting.get(pin, ()):
                count(pin, level)
            irq = irqs.get(pin)
            if irq and irq[1] & (1 if level else 2):
                if irq not in _called:
                    _called.append(irq)
        levels[pin] = level
    _refresh()
    if _now < t:
        _now = t
    if goes_on:
        _run_pending()
    for irq in _called:
        soft(irq[0], irq[2])
    if not _count or _consumed - _told >= 24:
        _told = _consumed
        if _late:
            tell(LATE, _late)
        tell(CONSUMED, _consumed)


def soft(handler, argument):
    # A soft interrupt: waits while the processor stands still, and is lost where too many wait already.
    if not _stalls:
        _interrupt(handler, argument)
    elif len(_pending) < _QUEUE:
        _pending.append((handler, argument))


def _run_pending():
    while _pending and not _masked and not _stalls:
        handler, argument = _pending.pop(0)
        _interrupt(handler, argument)


def _stand_still():
    # The processor does nothing until the stall is over; time, pins and hardware counters go on.
    global _mark
    while _stalls:
        if not _catch_up(_FOREVER):
            wait = _real_ms(_FOREVER)
            if wait != 0 and _idle.poll(wait):
                _listen()
    _mark = _us()


def _interrupt(handler, argument):
    global _interrupted
    if _masked:
        _pending.append((handler, argument))
        return
    _interrupted = True
    try:
        handler(argument)
    except Exception as error:
        sys.print_exception(error)
    finally:
        _interrupted = False


def mask(masked):
    global _masked
    was = _masked
    now()
    _masked = masked
    _run_pending()
    return was


def add_alarm(t, function):
    # function([t, function]) is called like an interrupt at t; returns the handle for drop_alarm
    alarm = [t, function]
    i = len(_alarms)
    while i and _alarms[i - 1][0] > t:
        i -= 1
    _alarms.insert(i, alarm)
    _refresh()
    return alarm


def drop_alarm(alarm):
    if alarm in _alarms:
        _alarms.remove(alarm)
        _refresh()


def _limit(real):
    # How far the clock may be at a real instant. It never goes back, even if the host slows the others' time for us.
    limit = _v0 + (real - _r0) * _rate // 1000
    if limit > _horizon:
        limit = _horizon
    return limit if limit > _now else _now


def now():
    global _now, _mark
    if _interrupted:
        return _now
    real = _us()
    if real - _heard > _LISTEN_US:
        _listen()
    limit = _limit(real)
    upto = _now + real - _mark
    if upto > limit:
        upto = limit
    while _next <= upto:
        _step()
    if _now < upto:
        _now = upto
    _mark = real
    if _stalls:
        _stand_still()
    return _now


def _real_ms(end):
    # How many real milliseconds until something is due; -1: only the host knows.
    if _next < end:
        end = _next
    if end > _horizon or end >= _FOREVER or not _rate:
        ms = -1
    else:
        ms = ((end - _v0) * 1000 // _rate + _r0 - _us()) // 1000 + 1
        if ms < 0:  # the process has stood still since it looked at the clock
            ms = 0
    if _air:
        left = (_air - _us()) // 1000 + 1
        if ms < 0 or ms > left:
            return left if left > 0 else 0
    return ms


def on_air(data=b" "):
    # Called before anything is sent: time slows down, and the board catches up with it as if the sending took so long.
    # Of MQTT's packets we know what follows them, which spares waiting: a PINGREQ (0xc0) has one answer and then
    # quiet; a PUBACK (0x40) has none, and once it confirms the gateway's word on the last records, all is said.
    global _air, _air_heard, _quiet_now, _records_out
    if not _air:
        _air_heard = False
        _records_out = 0
        tell(AIR, now())
        start = _us()
        while not _air_heard and _us() - start < 1000000:
            _idle.poll(100)
            _listen()
        if not _interrupted:
            limit = _limit(_us())
            if limit - _now < _LONGEST_SEND_US:
                while _catch_up(limit) == 1:
                    pass
    kind = data[0]
    if kind == 0x40:
        _records_out -= 1
        until = _us() + _SHORT_QUIET_US
        if _records_out == 0 or until > _air:
            _air = until
    else:
        if b"/records" in bytes(data[:60]):
            _records_out += 1
        _quiet_now = _SHORT_QUIET_US if kind == 0xC0 else _quiet_us
        _air = _us() + _answer_us


def _catch_up(end):
    # Live through what is due, but stop after each instant that may have woken somebody.
    # 1: something happened; 2: the end is reached; 0: nothing due before the timeline moves on
    global _now, _behind, _air
    real = _us()
    if _air and real > _air:
        _air = 0
        tell(AIR, 0)
    limit = _limit(real)
    if not _behind and limit - _now > _BEHIND_US and limit - _now > _BEHIND_REAL_US * _rate // 1000:
        _behind = True
        tell(BEHIND, 1)
    if _next <= limit and _next <= end:
        _step()
        return 1
    if end <= limit:
        if _now < end:
            _now = end
        return 2
    if _now < limit:
        _now = limit
    if _behind:
        _behind = False
        tell(BEHIND, 0)
    return 0


def sleep_us(duration):
    global _mark
    if _interrupted:
        return
    end = now() + duration
    while True:
        if _us() - _heard > _LISTEN_US:
            _listen()
        done = _catch_up(end)
        if done == 2:
            break
        if not done:
            wait = _real_ms(end)
            if wait != 0 and _idle.poll(wait):
                _listen()
    _mark = _us()
    if _stalls:
        _stand_still()


class Poll:
    # select.poll in virtual time. Objects of Python with an ioctl (asyncio.ThreadSafeFlag) are asked directly:
    # only interrupts set them, and those happen in here.
    def __init__(self):
        self._real = real_select.poll()
        self._real.register(_channel, 1)
        self._soft = []
        self._wrapped = {}  # id of a built-in socket -> the shim around it
        self._looked = 0

    def register(self, obj, mask=5):
        if hasattr(obj, "ioctl"):
            for pair in self._soft:
                if pair[0] is obj:
                    pair[1] = mask
                    return
            self._soft.append([obj, mask])
        else:
            self._real.register(self._inside(obj), mask)

    def _inside(self, obj):
        inside = getattr(obj, "inside", obj)
        if inside is not obj:
            self._wrapped[id(inside)] = obj
        return inside

    def modify(self, obj, mask):
        if hasattr(obj, "ioctl"):
            for pair in self._soft:
                if pair[0] is obj:
                    pair[1] = mask
                    return
            raise OSError(2)
        self._real.modify(self._inside(obj), mask)

    def unregister(self, obj):
        if hasattr(obj, "ioctl"):
            for i in range(len(self._soft)):
                if self._soft[i][0] is obj:
                    del self._soft[i]
                    return
        else:
            inside = getattr(obj, "inside", obj)
            self._wrapped.pop(id(inside), None)
            self._real.unregister(inside)

    def _look(self, wait, ready):
        global _air
        for obj, event in self._real.ipoll(wait):
            if obj is _channel:
                wait = None
            else:
                ready.append((self._wrapped.get(id(obj), obj), event))
                if event & 1:  # time is slow while the firmware reads, too
                    if not _air:
                        tell(AIR, _now)
                    _air = _us() + _quiet_now
        if wait is None:
            _listen()
        self._looked = _us()

    def poll(self, timeout=-1):
        global _mark, _now
        ready = []
        end = _FOREVER if timeout is None or timeout < 0 else now() + timeout * 1000
        while True:
            real = _us()
            if real - self._looked > _STARVING_US and not _behind:
                self._look(0, ready)
            elif real - _heard > _LISTEN_US:
                _listen()
            for obj, wanted in self._soft:
                event = obj.ioctl(3, wanted)
                if event > 0:
                    ready.append((obj, event))
            if ready:
                break
            done = _catch_up(end)
            if done == 2:
                break
            if not done:
                self._look(_real_ms(end), ready)
                if ready:  # what was due meanwhile comes first, at its own instants
                    while _catch_up(end) == 1:
                        pass
                    for obj, wanted in self._soft:
                        event = obj.ioctl(3, wanted)
                        if event > 0:
                            ready.append((obj, event))
                    break
        _mark = _us()
        if _stalls:
            _stand_still()
        return ready

    def ipoll(self, timeout=-1, flags=0):
        return self.poll(timeout)


def ticks_us():
    return (now() - _boot + _ticks0 * 1000) & TICKS_MASK


def ticks_ms():
    return ((now() - _boot) // 1000 + _ticks0) & TICKS_MASK


def clock_us():
    # the board's own idea of the time, in its own epoch
    return now() - _boot + rtc_us


def set_clock_us(value):
    global rtc_us
    rtc_us = value - (now() - _boot)
    keep_rtc()


def keep_rtc():
    # how far the clock is ahead of virtual UTC, and the memory; their length before them
    kept = b"%d %s" % (rtc_us - _boot, rtc_memory)
    _rtc.seek(0)
    _rtc.write(b"%4d %s" % (len(kept), kept))
    _rtc.flush()


def _wake_rtc():
    global rtc_us, rtc_memory
    _rtc.seek(0)
    kept = _rtc.read()
    if kept:
        ahead_us, rtc_memory = kept[5 : 5 + int(kept[:4])].split(b" ", 1)
        rtc_us = int(ahead_us) + _boot
    else:
        keep_rtc()


tell(HELLO, 1)
while not _started:
    _idle.poll(5000)
    _listen()
