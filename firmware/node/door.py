"""One door: what its light barrier's interrupts saw, through the core's state machine, into records. Built by app.py.

The judging is footfall_core.beam's. Here is the clockwork around it: edges in their order with their own times, and a tick
now and then so that what depends on time passing (chatter settled, a beam blocked for too long) comes to be. What the
processor slept through is put in from the hardware counters where the chip has them (footfall_core.turns), and while edges
come that no people make (footfall_core.noise) nobody is counted.
"""

import asyncio
from time import ticks_add, ticks_ms

from micropython import const

from footfall_core import beam, record
from footfall_core.beam import ticks_elapsed
from footfall_core.noise import Noise
from footfall_core.turns import hidden_states, step_ms

TICK_MS = const(100)  # how late a passage may be reported; its time is right all the same
LOOK_MS = const(10000)  # between two looks at the beams themselves, for interrupts that got lost
LATE_MS = const(
    150
)  # while somebody is in the door, no tick for longer means that the processor was busy ...
JUST_NOW_MS = const(
    25
)  # ... and with an edge seen only after it, that it stood still: the edge is older than it looks
TELL_MISSED_MS = const(
    300000
)  # chatter is faster than an interrupt: edges missed without harm are told in sums
TRACE_FOR_MS = const(600000)  # a forgotten trace would fill the flash
_DIRECTIONS = {beam.PASSED_IN: 1, beam.PASSED_OUT: -1, beam.PASSED: 0}
_FAULTS = (  # event, beam, begins
    (beam.FAULT_OUTER_BEGINS, 0, 1),
    (beam.FAULT_INNER_BEGINS, 1, 1),
    (beam.FAULT_OUTER_ENDS, 0, 0),
    (beam.FAULT_INNER_ENDS, 1, 0),
)
_WORDS = {1: "in", -1: "out", 0: "unknown"}
_BEAM_WORDS = ("outer", "inner")


class Door:
    """Barrier `number` with its `inputs` (board.inputs.Inputs) and `limits` (a barrier of node.config.Settings).

    append(record) keeps a record, uptime is node.clock.Uptime, report(text) prints a line.
    """

    def __init__(self, number, inputs, limits, append, uptime, report=print):
        self.number = number
        self.name = "door %d" % number
        self.since_ms = uptime.now()  # counting without a break since then
        self.changed = False  # a fault began or ended since this was last set to False
        self.missed_edges = 0  # edges that the program has not seen, as far as it can know; since boot
        self.recovered = 0  # passages that rest on what the hardware counters told; since boot
        self.edges = 0  # edges seen, of both beams: for aligning
        self._inputs = inputs
        self._append = append
        self._uptime = uptime
        self._report = report
        self._beams = 1 if limits["inner"] is None else 2
        self._lost = 0
        self._trace_until_ms = 0
        self._new_limits = None
        self._noise = Noise()
        self._steps = inputs.steps
        self._hidden = []  # stretches (ms, ms) of which only the counters know
        self._hidden_edges = 0
        self._pair = 0  # both beams broke unseen, this one first
        self._broke = [0, 0]  # how often each beam was seen to break
        counters = inputs.counters
        self._counted = bool(counters) and counters.broken(0) is not None
        self._explained = (
            self._ask_counters()
        )  # how often the counters say that each did, when they were last asked
        self._missed_before = self._missed_total(self._explained)
        self._untold = (0, 0)  # missed edges and recovered passages that no record tells of yet
        self._told_ms = -TELL_MISSED_MS
        self._begin(limits)

    def _begin(self, limits):
        self._barrier = beam.Barrier(
            self._beams, limits["glitch_ms"], limits["min_block_ms"], limits["blocked_after_ms"]
        )
        self._barrier.start(self._inputs.read())
        self._glitch_ms = limits["glitch_ms"]
        self._min_block_ms = limits["min_block_ms"]
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
        """Bits of the beams that count as obstructed or disturbed."""
        return self._barrier.faulted | self._noise.beams

    def noisy(self):
        """Bits of the beams whose edges no people make: nobody is counted meanwhile."""
        return self._noise.beams

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
            while self._noise.beams or not self.quiet():
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
            self._tell_lost()
        if self._barrier.quiet() and not self._barrier.settled:
            self._audit()
            if self._new_limits:
                self._begin(self._new_limits)
                self._new_limits = None

    def _tell_lost(self):
        lost = self._inputs.lost - self._lost
        self._lost = self._inputs.lost
        if not self._noise.beams:
            self._report("door %d: %d edges came too fast and are lost" % (self.number, lost))
            self.since_ms = (
                self._uptime.now()
            )  # coverage begins anew: nobody knows what came through meanwhile

    def _take_edges(self):
        inputs = self._inputs
        while inputs.waiting():
            tick, state = inputs.take()
            before = self._barrier.raw
            broken = state & ~before
            self._broke[0] += broken & 1
            self._broke[1] += broken >> 1
            self.edges += 1
            steps = inputs.steps - self._steps
            self._steps = inputs.steps
            late = (
                before
                and ticks_elapsed(tick, self._tick) > LATE_MS
                and ticks_elapsed(ticks_ms(), tick) < JUST_NOW_MS
                and not self._barrier.faulted
            )
            if late or not -1 <= steps <= 1:
                self._step_hidden(tick, before, state, steps)
            else:
                self._pair = 0
                self._step(tick, state)
            if self._trace_until_ms and not self._noise.beams:
                t_ms = self._uptime.at(tick)
                if t_ms > self._trace_until_ms:
                    self._trace_until_ms = 0
                else:
                    self._append((t_ms, record.EDGE, self.number, state))

    def _step_hidden(self, tick, before, state, steps):
        """The processor stood still: let what lay between the last edge and this one have happened shortly before now."""
        states = hidden_states(before, state, steps) if steps else (state,)
        changed = before ^ state
        extra = len(states) - (changed & 1) - (changed >> 1)
        pair, self._pair = self._pair, 0
        if changed == 3 and not extra:
            if not before:
                self._pair = states[0]
            elif not state and (pair or self._unexplained(1, states) or self._unexplained(2, states)):
                # Both broke together and cleared together, as sensors without power do: nobody. Or an arm was about, and
                # in which order the body cleared is not known: then which way it came decides.
                states = (pair, 0) if pair else (0,)
        elif before == 3 and len(states) == 1 and state != 3 and self._unexplained(state, states):
            # One left by this beam, the next one is in it already; if it was an arm, it leaves as it came
            states = (state, 0, state)
            extra = 2
        lasted_ms = step_ms(ticks_elapsed(tick, self._tick), len(states), self._min_block_ms)
        if not states or lasted_ms < self._glitch_ms:  # no time for people in there
            self._step(tick, state)
            return
        # A block rather gets too long than too short
        earlier = [before] + list(states)
        last_ms = lasted_ms if state & ~earlier[-2] else self._glitch_ms
        back_ms = lasted_ms * (len(states) - 1) + last_ms
        at = ticks_add(tick, -back_ms)
        if extra > 0 or (steps and before and before ^ 3 == state):
            self._hidden.append((self._uptime.at(at), self._uptime.at(tick)))
            self._hidden_edges += extra
        for one in states:
            self._step(at, one)
            back_ms -= lasted_ms
            at = ticks_add(tick, -back_ms)

    def _unexplained(self, bit, states):
        """True when this beam was broken in the hardware's eyes more often than was seen and than `states` tell."""
        if not self._counted:
            return False
        which = bit >> 1
        told = 0
        was = self._barrier.raw
        for one in states[:-1]:
            told += 1 if one & ~was & bit else 0
            was = one
        return self._inputs.counters.broken(which) > self._explained[which] + self._broke[which] + told

    def _ask_counters(self):
        """How often each beam was broken since the start."""
        if not self._counted:
            return (0, 0)
        counters = self._inputs.counters
        return (counters.broken(0), counters.broken(1) if self._beams == 2 else 0)

    def _missed_total(self, broken):
        """A count of edges that grows with every one that the program has missed; with counters, with every one that there was."""
        if self._counted:
            return 2 * (broken[0] + broken[1])  # who breaks a beam clears it, too
        if self._inputs.counters and self._inputs.counters.steps() is not None:
            return self._hidden_edges
        return self._inputs.unseen

    def _audit(self):
        """Nobody is in the door: compare what was seen with what the hardware counted, and tell of a difference."""
        broken = self._ask_counters()
        total = self._missed_total(broken)
        if self._inputs.waiting():
            return  # just now somebody came
        missed = total - self._missed_before
        self._missed_before = total
        if self._counted:
            self._explained = broken
            missed -= 2 * (self._broke[0] + self._broke[1])
            self._broke[0] = self._broke[1] = 0
        edges, recovered = self._untold
        if missed > 0 and not self._noise.beams:
            self.missed_edges += missed
            edges += missed
            self._untold = (edges, recovered)
        if self._hidden:
            self._hidden = []
        if recovered or edges:
            now_ms = self._uptime.now()
            if recovered or now_ms - self._told_ms >= TELL_MISSED_MS:
                self._append((now_ms, record.HIDDEN, self.number, edges, recovered))
                self._report(
                    "door %d: %d edges were missed, the counters told of %d passages"
                    % (self.number, edges, recovered)
                )
                self._untold = (0, 0)
                self._told_ms = now_ms

    def _step(self, tick, state):
        elapsed_ms = ticks_elapsed(tick, self._tick)
        self._tick = tick
        barrier = self._barrier
        noise = self._noise
        changed = (state ^ barrier.raw) & (3 if self._beams == 2 else 1)
        events = barrier.step(elapsed_ms, state)
        noisy = noise.beams
        if noise.step(min(elapsed_ms, 0xFFFFFF), changed) != noisy:
            self._tell_noise(noise.beams, noisy, tick)
        if events:
            self._record(events, tick)

    def _tell_noise(self, now, before, tick):
        t_ms = self._uptime.at(tick)
        for which in (0, 1):
            bit = 1 << which
            if (now ^ before) & bit:
                if not self._barrier.faulted & bit:
                    self._append((t_ms, record.FAULT, self.number, which, 1 if now & bit else 0))
                self._report(
                    "door %d: %s beam %s"
                    % (
                        self.number,
                        _BEAM_WORDS[which],
                        "flickers as no people do, not counting" if now & bit else "is calm again",
                    )
                )
        self.changed = True
        if not (now or self._barrier.faulted):
            self._barrier.start(self._barrier.raw)  # nobody who began in the noise is believed

    def _record(self, events, tick):
        barrier = self._barrier
        at_ms = self._uptime.at(tick)
        passage = events & beam.ANY_PASSAGE
        if passage:
            self._noise.passed()
        if passage and not self._noise.beams:
            t_ms = max(at_ms - barrier.passage_ago_ms, 0)
            direction = _DIRECTIONS[passage]
            transit_ms = barrier.transit_ms
            for from_ms, until_ms in self._hidden:
                if t_ms >= from_ms and t_ms - transit_ms <= until_ms:
                    transit_ms = 0  # how long it took, nobody knows
                    self.recovered += 1
                    self._untold = (self._untold[0], self._untold[1] + 1)
                    break
            self._append((t_ms, record.PASSAGE, self.number, direction, transit_ms))
            self._report(
                "passage t=%d barrier=%d %s transit=%d" % (t_ms, self.number, _WORDS[direction], transit_ms)
            )
        for event, which, begins in _FAULTS:
            if events & event and not self._noise.beams >> which & 1:
                ago_ms = barrier.inner_fault_ago_ms if which else barrier.outer_fault_ago_ms
                t_ms = max(at_ms - ago_ms, 0)
                self._append((t_ms, record.FAULT, self.number, which, begins))
                self.changed = True
                self._report(
                    "door %d: %s beam %s"
                    % (
                        self.number,
                        _BEAM_WORDS[which],
                        "is blocked, not counting" if begins else "is free again",
                    )
                )
