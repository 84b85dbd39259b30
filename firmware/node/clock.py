"""Time on the node: milliseconds since boot for every record, and the time of day, asked from the gateway.

door, terminal and main take Uptime; TimeKeeper asks (reply topic), is answered (command topic) and writes C records. An
ESP32's clock goes on through a reset, but forgets the time when the power goes; TLS needs one to judge certificates: so the
last time learned is kept in flash as "not earlier than this", and the board's clock starts from there.
"""

from time import ticks_diff, ticks_ms

from micropython import const

from footfall_core import record
from footfall_core.beam import ticks_elapsed
from node import flash
from node.wake import Wake

ASK_AGAIN_S = const(3600)  # a crystal of 20 ppm drifts by 72 ms an hour
RETRY_S = const(20)
LONGEST_ROUND_TRIP_MS = const(5000)  # half of it is the error of the time: better than none ...
GOOD_ROUND_TRIP_MS = const(1000)  # ... but no reason to change a time that is known
EARLIEST_UTC_MS = 1577836800000  # 2020-01-01: an answer before this is no time
LATEST_UTC_MS = 4102444800000  # 2100-01-01
_FILE = "clock.json"


class Uptime:
    """Milliseconds since boot, from a tick counter that wraps after 12 days; to be asked at least once in 6."""

    def __init__(self):
        self._tick = ticks_ms()
        self._ms = 0

    def now(self):
        """Milliseconds since boot."""
        tick = ticks_ms()
        self._ms += ticks_elapsed(tick, self._tick)
        self._tick = tick
        return self._ms

    def at(self, tick):
        """Milliseconds since boot at a tick of the last minutes."""
        return max(self.now() + ticks_diff(tick, self._tick), 0)


class TimeKeeper:
    """Learns the time from the gateway. publish(text) is async and sends on the reply topic; append takes the record;
    keep_clock(utc_ms, told) sets the board's clock to a time that is sure, just told by the gateway or not."""

    def __init__(self, uptime, publish, append, keep_clock, report=print):
        self.known = False
        self.told = False  # known from the gateway, in this boot
        self.error_ms = None  # how far our clock was off at the latest answer, by the one before it
        self._uptime = uptime
        self._publish = publish
        self._append = append
        self._keep_clock = keep_clock
        self._report = report
        self._asked_at = None
        self._learned = None  # (ms since boot, UTC ms) of the latest answer
        self._wake = Wake()

    def start(self, board_utc_ms, went_on, built_utc_ms, set_clock):
        """Begin with what the board's clock shows. If it was right before a reset and went on since, records are dated by it
        from now on, and the gateway is asked as ever. If not, it is set to the latest time known to have passed, for TLS."""
        if went_on:
            now = self._uptime.now()
            self._learned = now, board_utc_ms
            self._append((now, record.CLOCK, board_utc_ms, "rtc"))
            self.known = True
            self._report("time: went on through the reset")
            return
        kept = flash.read_json(_FILE)
        floor = built_utc_ms
        if kept and isinstance(kept.get("utc"), int) and floor < kept["utc"] < LATEST_UTC_MS:
            floor = kept["utc"]
        if board_utc_ms < floor:
            set_clock(floor)

    def keep_clock(self):
        """Set the board's clock by ours, which is better: it counts a reset from here. To be called every few seconds."""
        if self._learned:
            learned_at, utc_ms = self._learned
            self._keep_clock(utc_ms + self._uptime.now() - learned_at)

    def connected(self):
        """There is a connection anew: ask at once, unless the gateway has told the time."""
        if not self.told:
            self._wake.set()

    async def keep(self, is_connected):
        """Ask, until answered, and again every hour; for ever."""
        while True:
            asking = is_connected()
            if asking:
                self._asked_at = self._uptime.now()
                await self._publish('{"v":1,"ask":"time","t":%d}' % self._asked_at)
            # Where it has been told, an answer that stays out or comes too late is no reason to ask all the time.
            await self._woken(RETRY_S if asking and not self.told else ASK_AGAIN_S)
            if self.told and self._asked_at is None:
                await self._woken(ASK_AGAIN_S)

    async def _woken(self, within_s):
        """Wait for a connection or an answer, but not for ever."""
        await self._wake.within(within_s * 1000)
        self._wake.clear()

    def answered(self, values):
        """An answer of the gateway, a dict with t (ours, given back) and utc. Anything odd is reported and dropped."""
        asked_at = values.get("t")
        utc_ms = values.get("utc")
        now = self._uptime.now()
        if asked_at is None or asked_at != self._asked_at:
            return  # an answer to an older question
        if not isinstance(utc_ms, int) or not EARLIEST_UTC_MS <= utc_ms <= LATEST_UTC_MS:
            self._report("time: the gateway answered %s, not taken" % utc_ms)
            return
        if now - asked_at > (GOOD_ROUND_TRIP_MS if self.told else LONGEST_ROUND_TRIP_MS):
            self._report("time: the answer took %d ms, asking again later" % (now - asked_at))
            return
        self._asked_at = None
        utc_ms += (now - asked_at) // 2
        if self._learned:
            learned_at, learned_utc_ms = self._learned
            self.error_ms = (now - learned_at) - (utc_ms - learned_utc_ms)
        self._learned = now, utc_ms
        self._append((now, record.CLOCK, utc_ms, "gw"))
        self._keep_clock(utc_ms, True)
        flash.write(_FILE, '{"utc":%d}' % utc_ms)
        self.known = True
        if not self.told:
            self.told = True
            self._report("time: learned from the gateway")
        self._wake.set()
