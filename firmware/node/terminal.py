"""The feedback terminal: what the buttons' interrupts saw, through the core's ButtonPanel, into records; and the lamps.

Built by app.py where buttons are configured. A lamp is lit from a counted press until the next visitor's press would
count again: dark means "you may vote".
"""

import asyncio
from time import ticks_ms

from micropython import const

from footfall_core import record
from footfall_core.beam import ticks_elapsed
from footfall_core.button import ButtonPanel

TICK_MS = const(50)
LOOK_MS = const(10000)  # between two looks at the buttons themselves, for interrupts that got lost
STUCK_AFTER_MS = const(60000)  # nobody holds a button for that long: something leans on it, or it is broken
_LONGEST_STEP_MS = const(0x0FFFFFFF)


class Terminal:
    """Buttons `inputs` (board.inputs.Inputs) with their `lamps`; settings: lockout_ms, debounce_ms, question."""

    def __init__(self, inputs, buttons, lamps, settings, append, uptime, report=print):
        self.name = "terminal"
        self.stuck = 0  # bits of buttons that are held down for too long
        self.changed = False  # `stuck` changed since this was last set to False
        self.tried = 0  # bits of the buttons that were pressed in the self-test
        self._inputs = inputs
        self._buttons = buttons
        self._lamps = lamps
        self._settings = settings
        self._append = append
        self._uptime = uptime
        self._report = report
        self._held_ms = 0
        self._identify_ms = 0
        self._testing = False
        self.configure()

    def configure(self):
        """Take over the settings as they are now."""
        self._panel = self._new_panel()
        self._down = self._inputs.read()
        self._panel.start(self._down)
        self._tick = ticks_ms()
        self._lit = 0

    def _new_panel(self):
        return ButtonPanel(self._buttons, self._settings.debounce_ms, self._settings.lockout_ms)

    def identify(self, duration_ms):
        """Flash all lamps for a while, so that whoever stands there sees which terminal it is."""
        self._identify_ms = duration_ms
        self._inputs.changed.set()

    def test(self, on):
        """Begin or end the self-test: meanwhile presses are no votes, and whoever tests has the lamps."""
        self._testing = on
        if on:
            self.tried = 0
        else:
            self.configure()  # what a finger does at this moment is no vote either
        self._inputs.changed.set()

    def show(self, bits):
        """Light exactly these lamps: for the self-test."""
        self._lamps.show(bits)

    def held(self):
        """Bits of the buttons that are down at this moment."""
        return self._inputs.read()

    async def watch_edges(self):
        """Judge contacts as they move, and let time pass until the lockout is over and the lamps are dark; for ever."""
        while True:
            await self._inputs.changed.wait()
            self.tick()
            while not self._quiet():
                await asyncio.sleep_ms(TICK_MS)
                self.tick()

    async def watch_levels(self):
        """Look at the buttons now and then, in case an interrupt got lost; for ever."""
        while True:
            await asyncio.sleep_ms(LOOK_MS)
            self._inputs.changed.set()

    def _quiet(self):
        """True when nothing runs: no contact moves, none is held, nothing is lit."""
        return (
            not (self._inputs.waiting() or self._panel.down or self._lit or self._identify_ms)
            and self._panel.quiet()
        )

    def tick(self):
        """All contacts so far, then the time until now."""
        self._inputs.look()
        while True:
            self._take_edges()
            now = ticks_ms()
            if not self._inputs.waiting():
                break
        before = self._tick
        self._step(now, self._down)
        self._watch_stuck(ticks_elapsed(now, before))
        if self._panel.quiet():
            self._lit = 0
            for button, n in enumerate(self._panel.take_suppressed()):
                if n and not self._testing:
                    self._append((self._uptime.now(), record.SUPPRESSED, button, n))
        if self._identify_ms > 0:
            self._identify_ms = max(self._identify_ms - TICK_MS, 0)
            self._lamps.show(-1 if self._identify_ms // 250 & 1 else 0)
        elif not self._testing:
            self._lamps.show(self._lit)

    def _take_edges(self):
        inputs = self._inputs
        while inputs.waiting():
            tick, self._down = inputs.take()
            self._step(tick, self._down)

    def _step(self, tick, down):
        elapsed_ms = min(ticks_elapsed(tick, self._tick), _LONGEST_STEP_MS)
        self._tick = tick
        voted = self._panel.step(elapsed_ms, down)
        if not voted:
            return
        button = 0
        while not voted >> button & 1:
            button += 1
        if self._testing:
            self.tried |= voted
            self._panel = self._new_panel()  # no lockout: the next button is tried at once
            self._panel.start(down)
            return
        t_ms = max(self._uptime.at(tick) - self._panel.press_ago_ms, 0)
        self._append((t_ms, record.PRESS, button, self._settings.question))
        self._report("press t=%d button=%d question=%d" % (t_ms, button, self._settings.question))
        self._lit = voted
        self._lamps.show(voted)

    def _watch_stuck(self, elapsed_ms):
        self._held_ms = self._held_ms + elapsed_ms if self._panel.down else 0
        stuck = self._panel.down if self._held_ms > STUCK_AFTER_MS else 0
        if stuck != self.stuck:
            self.stuck = stuck
            self.changed = True
            self._report("terminal: a button is stuck" if stuck else "terminal: no button is stuck any more")
