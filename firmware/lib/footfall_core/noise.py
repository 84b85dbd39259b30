"""Edges that no people make: flickering light, a loose contact, a plant in the draught. node/door.py asks at every edge.

Two leaky buckets, whole numbers only. Into the first, one for each beam, every edge puts a little that drains with time: it
runs over where edges come faster than people can make them. A person is two edges a beam, six with both arms swinging
clear of the body; a door of a metre lets 1.3 people a second through, for a moment two. Simulated people (docs/accuracy.md) made at most
16 edges in a second, 39 in ten and 136 in a minute on one beam, children waving their hands among them.

The second bucket holds the edges of both beams that led to nobody: each passage empties it by a person's share. It runs
over where something moves in the beams for a minute or two and nobody comes through.

A disturbance that moves both beams one after the other as a person does, there and back, cannot be told from people by edges.
"""

EDGES_PER_S = 6  # on one beam, for as long as they like; more is no crowd ...
BURST_EDGES = 20  # ... once so many have come on top
FRUITLESS_PER_S = 1  # edges of both beams without a passage: people who turn back, or stand and talk
FRUITLESS_EDGES = 100
PASSAGE_EDGES = 12  # what one person may take out of the second bucket
LEAST_MS = 60000  # a disturbance lasts at least so long: no more than one record a minute begins or ends it

_RATE_EDGE = 1000 // EDGES_PER_S
_RATE_LIMIT = BURST_EDGES * _RATE_EDGE
_FRUITLESS_EDGE = 1000 // FRUITLESS_PER_S
_FRUITLESS_LIMIT = FRUITLESS_EDGES * _FRUITLESS_EDGE


class Noise:
    """One barrier. `beams`: bits of the beams that are disturbed (1 outer, 2 inner)."""

    def __init__(self):
        self.beams = 0
        self._outer = 0  # the buckets, in milliseconds of draining
        self._inner = 0
        self._fruitless = 0
        self._balance = (
            0  # edges of the outer beam minus those of the inner one, since the second bucket was empty
        )
        self._left_ms = 0  # of the disturbance's least time

    def step(self, elapsed_ms, changed):
        """Let elapsed_ms go by, then take `changed`, bits of the beams that have an edge now. Returns `beams`."""
        outer = self._outer - elapsed_ms
        inner = self._inner - elapsed_ms
        fruitless = self._fruitless - elapsed_ms
        self._outer = max(0, outer)
        self._inner = max(0, inner)
        if fruitless <= 0:
            fruitless = self._balance = 0
        if self.beams:
            self._left_ms = max(self._left_ms - elapsed_ms, 0)
            if not (self._left_ms or self._outer or self._inner or fruitless):
                self.beams = 0
        if changed & 1:
            self._outer = min(self._outer + _RATE_EDGE, _RATE_LIMIT + _RATE_EDGE)
            self._balance += 1
            fruitless += _FRUITLESS_EDGE
        if changed & 2:
            self._inner = min(self._inner + _RATE_EDGE, _RATE_LIMIT + _RATE_EDGE)
            self._balance -= 1
            fruitless += _FRUITLESS_EDGE
        self._fruitless = min(fruitless, _FRUITLESS_LIMIT + _FRUITLESS_EDGE)
        if changed:
            beams = 0
            if self._outer > _RATE_LIMIT:
                beams = 1
            if self._inner > _RATE_LIMIT:
                beams |= 2
            if fruitless > _FRUITLESS_LIMIT and not self.beams:
                beams |= 1 if self._balance >= 0 else 2  # the one that moves more
            if beams:
                self.beams |= beams
                self._left_ms = LEAST_MS
        return self.beams

    def passed(self):
        """A passage was judged: its edges led to somebody."""
        self._fruitless = max(self._fruitless - PASSAGE_EDGES * _FRUITLESS_EDGE, 0)
