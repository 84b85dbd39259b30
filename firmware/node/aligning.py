"""Aligning the beams, for one person on a ladder. node/beacon.py loads it when aligning begins and drops it when it is over.

Command `align`, or the board's BOOT button held for 5 s; ten minutes at most. What the one lamp shows:

    lit                          both beams are free and steady
    one flash, pause             the outer beam is broken
    two flashes, pause           the inner beam is broken
    three flashes, pause         both are
    flickering                   a beam comes and goes: marginal, aim on until it is steady

Where a terminal has lamps, its first one shows the outer beam and its second one the inner beam as well: lit while free, dark while broken,
flickering while marginal; a second barrier has the next two. Presses are no votes meanwhile. With several barriers the one lamp shows the first
that is not free and steady. Every change of a beam is also printed and told in the state topic, and the command's answer has the beams and
how often each changed since the last one: so that one person with a telephone can set up a door.
"""

import asyncio
from time import ticks_diff, ticks_ms

from micropython import const

LASTS_MS = const(600000)
MARGINAL_EDGES = const(4)  # of a barrier within a second: a hand that covers a beam makes two
_LOOK_MS = const(10)
_LOOKS_PER_LINE = const(5)  # a chattering beam must not flood the console
_LOOKS_PER_SECOND = const(100)
_BEAMS = ("free", "outer broken", "inner broken", "both broken")


def lit(state, marginal, t_ms):
    """True when the one lamp is lit t_ms after the beams came to be in `state` (bits of broken beams), aligning."""
    if marginal:
        return bool(t_ms // 50 & 1)
    if not state:
        return True
    t_ms %= 350 * state + 700
    return t_ms < 350 * state and t_ms % 350 < 150


class Aligning:
    """lamp: board.lamps.Lamps of one pin, or None; terminal: node.terminal.Terminal or None; changed() tells the state."""

    def __init__(self, lamp, doors, terminal, changed, report):
        self._lamp = lamp
        self._doors = doors
        self._terminal = terminal
        self._changed = changed
        self._report = report
        self._told = {}
        self._seen = [door.beams() for door in doors]
        self._changes = [[0, 0] for _ in doors]
        self._looks = 0
        self._edges = [door.edges for door in doors]  # how many there had been a second ago
        self._marginal = [False] * len(doors)
        self._shown = None  # what the lamp shows since _shown_since
        self._shown_since = 0
        self.go_on()
        report("aligning")
        if terminal:
            terminal.test(True)

    def go_on(self):
        """Another ten minutes."""
        self._since = ticks_ms()

    def end(self):
        """Give the lamps and the buttons back."""
        self._report("aligning is over")
        if self._terminal:
            self._terminal.test(False)

    def answer(self):
        """The beams, and the changes of each since the answer before."""
        changes, self._changes = self._changes, [[0, 0] for _ in self._doors]
        return {"beams": [door.beams() for door in self._doors], "changes": changes}

    async def look(self):
        """Look at the beams once and show them. False when the time is over."""
        states = [door.beams() for door in self._doors]
        self._show(states)
        for i, state in enumerate(states):
            for beam in (0, 1):
                self._changes[i][beam] += (state ^ self._seen[i]) >> beam & 1
        self._seen = states
        self._looks = (self._looks + 1) % _LOOKS_PER_SECOND
        if not self._looks:
            edges = [door.edges for door in self._doors]
            self._marginal = [new - old >= MARGINAL_EDGES for new, old in zip(edges, self._edges)]
            self._edges = edges
        for door, state in zip(self._doors, states):
            if not self._looks % _LOOKS_PER_LINE and self._told.get(door.number) != state:
                self._told[door.number] = state
                self._report("beams barrier=%d %s" % (door.number, _BEAMS[state]))
                self._changed()
        await asyncio.sleep_ms(_LOOK_MS)
        return ticks_diff(ticks_ms(), self._since) < LASTS_MS

    def _show(self, states):
        """The beams on the lamp, and on those of the terminal."""
        shown = (0, False)
        bits = 0
        now = ticks_ms()
        for i, state in enumerate(states):
            marginal = self._marginal[i]
            if (state or marginal) and shown == (0, False):
                shown = (state, marginal)
            if marginal:  # which of the two, its own light shows: it comes and goes
                bits |= (3 if now // 50 & 1 else 0) << 2 * i
            else:
                bits |= (~state & 3) << 2 * i
        if shown[1]:
            shown = (0, True)  # flickering goes on whatever the beam does
        if shown != self._shown:
            self._shown = shown
            self._shown_since = now
        if self._lamp:
            self._lamp.show(lit(shown[0], shown[1], ticks_diff(now, self._shown_since)))
        if self._terminal:
            self._terminal.show(bits)
