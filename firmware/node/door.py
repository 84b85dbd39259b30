"""One door: what its light barrier's interrupts saw, through the core's state machine, into records. Built by app.py.

The judging is footfall_core.beam's. Here is the clockwork around it: edges in their order with their own times, and a tick
now and then so that what depends on time passing (chatter settled, a beam blocked for too long) comes to be.
"""

import asyncio
from time import ticks_ms

from micropython import const

from footfall_core import beam, record
from footfall_core.beam import ticks_elapsed

TICK_MS = const(100)  # how late a passage may be reported; its time is right all the same
LOOK_MS = const(10000)  # between two looks at the beams themselves, for interrupts that got lost
TRACE_FOR_MS = const(600000)  # a forgotten trace would fill the flash
_DIRECTIONS = {beam.PASSED_IN: 1, beam.PASSED_OUT: -1, beam.PASSED: 0}
_FAULTS = (  # event, beam, begins
    (beam.FAULT_OUTER_BEGINS, 0, 1),
    (beam.FAULT_INNER_BEGINS, 1, 1),
    (beam.FAULT_OUTER_ENDS, 0, 0),
    (beam.FAULT_INNER_ENDS, 1, 0),
)
_WORDS = {1: "in", -1: "out", 0: "unknown"}


class Door:
    """Barrier `number` with its `inputs` (board.inputs.Inputs) and `limits` (a barrier of node.config.Settings).

    append(record) keeps a record, uptime is node.clock.Uptime, report(text) prints a line.
    """

    def __init__(self, number, inputs, limits, append, uptime, report=print):
        self.number = number
        self.name = "door %d" % number
        self.since_ms = uptime.now()  # counting without a break since then
        self.changed = False  # a fault began or ended since this was last set to False
        self._inputs = inputs
        self._append = append
        self._uptime = uptime
        self._report = report
        self._beams = 1 if limits["inner"] is None else 2
        self._lost = 0
        self._trace_until_ms = 0
        self._new_limits = None
        self._begin(limits)

    def _begin(self, limits):
        self._barrier = beam.Barrier(
            self._beams, limits["glitch_ms"], limits["min_block_ms"], limits["blocked_after_ms"]
        )
        self._barrier.start(self._inputs.read())
        self._tick = ticks_ms()

    def configure(self, limits):
        """New limits, from the next moment on at which nobody is in the door."""
        self._new_limits = limits
        self._inputs.changed.set()

    def quiet(self):
        """True when nobody is in the door: a good moment to write to flash."""
        return not self._inputs.waiting() and self._barrier.quiet()

    def state(self):
        """Bits of the beams that are broken."""
        return self._barrier.raw

    def beams(self):
        """Bits of the beams that are broken at this very moment, chatter included: for aligning."""
        return self._inputs.read()

    def faults(self):
        """Bits of the beams that count as obstructed."""
        return self._barrier.faulted

    def lost_edges(self):
        """Edges that came too fast to be kept, since boot."""
        return self._inputs.lost

    def trace(self, on):
        """Record every edge, for ten minutes at most, or stop it."""
        self._trace_until_ms = self._uptime.now() + TRACE_FOR_MS if on else 0
        if on:
            self._append((self._uptime.now(), record.EDGE, self.number, self._barrier.raw))

    async def watch_edges(self):
        """Judge edges as they come, and let time pass until all is quiet; for ever."""
        while True:
            await self._inputs.changed.wait()
            self.tick()
            while not self.quiet():
                await asyncio.sleep_ms(TICK_MS)
                self.tick()

    async def watch_levels(self):
        """Look at the beams now and then, in case an interrupt got lost; for ever."""
        while True:
            await asyncio.sleep_ms(LOOK_MS)
            self.tick()
            if not self.quiet():
                self._inputs.changed.set()  # watch_edges goes on from here

    def tick(self):
        """All edges so far, then the time until now."""
        self._inputs.look()
        while True:
            self._take_edges()
            now = ticks_ms()
            if not self._inputs.waiting():
                break  # no edge between the last one taken and `now`
        self._step(now, self._barrier.raw)
        if self._inputs.lost != self._lost:
            lost = self._inputs.lost - self._lost
            self._lost = self._inputs.lost
            self._report("door %d: %d edges came too fast and are lost" % (self.number, lost))
            self.since_ms = (
                self._uptime.now()
            )  # coverage begins anew: nobody knows what came through meanwhile
        if self._new_limits and self._barrier.quiet() and not self._barrier.settled:
            self._begin(self._new_limits)
            self._new_limits = None

    def _take_edges(self):
        inputs = self._inputs
        while inputs.waiting():
            tick, state = inputs.take()
            self._step(tick, state)
            if self._trace_until_ms:
                t_ms = self._uptime.at(tick)
                if t_ms > self._trace_until_ms:
                    self._trace_until_ms = 0
                else:
                    self._append((t_ms, record.EDGE, self.number, state))

    def _step(self, tick, state):
        elapsed_ms = ticks_elapsed(tick, self._tick)
        self._tick = tick
        events = self._barrier.step(elapsed_ms, state)
        if events:
            self._record(events, tick)

    def _record(self, events, tick):
        barrier = self._barrier
        at_ms = self._uptime.at(tick)
        passage = events & beam.ANY_PASSAGE
        if passage:
            t_ms = max(at_ms - barrier.passage_ago_ms, 0)
            direction = _DIRECTIONS[passage]
            self._append((t_ms, record.PASSAGE, self.number, direction, barrier.transit_ms))
            self._report(
                "passage t=%d barrier=%d %s transit=%d"
                % (t_ms, self.number, _WORDS[direction], barrier.transit_ms)
            )
        for event, which, begins in _FAULTS:
            if events & event:
                ago_ms = barrier.inner_fault_ago_ms if which else barrier.outer_fault_ago_ms
                t_ms = max(at_ms - ago_ms, 0)
                self._append((t_ms, record.FAULT, self.number, which, begins))
                self.changed = True
                self._report(
                    "door %d: %s beam %s"
                    % (
                        self.number,
                        ("outer", "inner")[which],
                        "is blocked, not counting" if begins else "is free again",
                    )
                )
