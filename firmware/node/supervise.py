"""Tasks that must not end. app.py starts everything that runs for ever through `keep`.

An exception that nobody foresaw ends one task, not the counting: it is shown, the task starts again. If that happens over and
over, the board restarts; what was counted is in flash by then. In safe mode it does not: that would help nobody any more, so the
task waits longer, and the others go on.
"""

import asyncio
import gc
from time import ticks_diff, ticks_ms

from micropython import const

RESTART_AFTER_MS = const(1000)
SAFE_RESTART_AFTER_MS = const(30000)
TOO_MANY = const(6)  # failures within FORGIVEN_AFTER_MS of each other
FORGIVEN_AFTER_MS = const(120000)
NOTED_EVERY_MS = const(
    3600000
)  # the flash wears: one failure an hour goes into the log of crashes, the rest on the console


class Supervisor:
    """show(error) prints the details and returns them, last_resort(reason) restarts the board; keep_crash(text) logs.

    now_ms() is the time since boot; ticks would look young again after days.
    """

    def __init__(self, show, last_resort, report=print, keep_crash=None, safe=False, now_ms=ticks_ms):
        self.failures = 0  # since boot
        self._now_ms = now_ms
        self._failed_at = None  # when the latest was
        self._noted_at = None
        self._show = show
        self._last_resort = last_resort
        self._report = report
        self._keep_crash = keep_crash
        self._safe = safe

    def failed(self, name, error):
        """Something called `name` ended by an exception: shown, counted, and noted if nothing was for a while."""
        text = self._show(error)
        self.failures += 1
        now = self._failed_at = self._now_ms()
        if self._keep_crash and (self._noted_at is None or now - self._noted_at > NOTED_EVERY_MS):
            self._noted_at = now
            try:
                self._keep_crash("%s: %s" % (name, text))
            except (
                Exception
            ) as also:  # memory may be what failed; the console has it, and the other tasks go on
                self._report("the failure cannot be noted (%s)" % also)

    def calm(self):
        """True where nothing has failed lately."""
        return self._failed_at is None or self._now_ms() - self._failed_at > FORGIVEN_AFTER_MS

    async def keep(self, name, start):
        """Run start(), a coroutine function without arguments, again and again."""
        in_a_row = 0
        while True:
            began = ticks_ms()
            try:
                await start()
                raise RuntimeError("ended")
            except Exception as caught:
                self.failed("task " + name, caught)
                problem = "%s %s" % (type(caught).__name__, caught)
            gc.collect()
            if ticks_diff(ticks_ms(), began) > FORGIVEN_AFTER_MS:
                in_a_row = 0
            in_a_row += 1
            self._report("task %s: %s; starting it again" % (name, problem))
            if in_a_row >= TOO_MANY and not self._safe:
                self._last_resort("task %s fails" % name)
            await asyncio.sleep_ms(SAFE_RESTART_AFTER_MS if self._safe else RESTART_AFTER_MS)
