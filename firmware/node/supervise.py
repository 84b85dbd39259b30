"""Tasks that must not end. app.py starts everything that runs for ever through `keep`.

An exception that nobody foresaw ends one task, not the counting: it is shown, the task starts again. If that happens over and
over, the board restarts; what was counted is in flash by then.
"""

import asyncio
import gc
from time import ticks_diff, ticks_ms

from micropython import const

RESTART_AFTER_MS = const(1000)
TOO_MANY = const(6)  # failures within FORGIVEN_AFTER_MS of each other
FORGIVEN_AFTER_MS = const(120000)


class Supervisor:
    """show(error) prints the details, last_resort(reason) restarts the board."""

    def __init__(self, show, last_resort, report=print):
        self.failures = 0  # since boot
        self._show = show
        self._last_resort = last_resort
        self._report = report

    async def keep(self, name, start):
        """Run start(), a coroutine function without arguments, again and again."""
        in_a_row = 0
        while True:
            began = ticks_ms()
            try:
                await start()
                problem = "ended"
            except Exception as caught:
                problem = "%s %s" % (type(caught).__name__, caught)
                self._show(caught)
            gc.collect()
            self.failures += 1
            if ticks_diff(ticks_ms(), began) > FORGIVEN_AFTER_MS:
                in_a_row = 0
            in_a_row += 1
            self._report("task %s: %s; starting it again" % (name, problem))
            if in_a_row >= TOO_MANY:
                self._last_resort("task %s fails" % name)
            await asyncio.sleep_ms(RESTART_AFTER_MS)
