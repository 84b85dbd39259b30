"""Visitors at a feedback terminal, as contacts that bounce: what the firmware's ButtonPanel reads from them.

Assumptions, not measurements: most visitors press once. One who is displeased often presses again at once, out of anger or since nothing
seems to happen (`AGAIN_DISPLEASED`), one who is pleased seldom does (`AGAIN_PLEASED`); presses of one visitor follow each other
within 0.2 to 0.7 s. Who calls it: tests, and whoever wants to try other assumptions.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from footfall_core.button import LOCKOUT_MS, ButtonPanel

__all__ = ["Reading", "read_votes"]

PLEASED, DISPLEASED = 0, 1  # the buttons
AGAIN_PLEASED = 0.05  # the chance of one more press, after each
AGAIN_DISPLEASED = 0.36
GAP_MS = 8_000  # mean time between two visitors at the terminal, beyond the shortest
LEAST_GAP_MS = 2_500  # one steps aside, the next one comes near


@dataclass(frozen=True, slots=True)
class Reading:
    """What the terminal has counted."""

    visitors: int
    pleased: int  # visitors who really were
    votes: tuple[int, int]
    suppressed: int

    @property
    def satisfaction(self) -> float:
        return self.votes[PLEASED] / sum(self.votes)


def _presses(rng: random.Random, visitors: int, share: float) -> tuple[list[tuple[int, int]], int]:
    """(ms, button) of every press, and how many visitors were pleased."""
    found = []
    pleased = t_ms = 0
    for _ in range(visitors):
        t_ms += LEAST_GAP_MS + round(rng.expovariate(1 / GAP_MS))
        button = PLEASED if rng.random() < share else DISPLEASED
        pleased += button == PLEASED
        found.append((t_ms, button))
        while rng.random() < (AGAIN_PLEASED if button == PLEASED else AGAIN_DISPLEASED):
            t_ms += rng.randrange(200, 700)
            found.append((t_ms, button))
    return found, pleased


def _contacts(rng: random.Random, presses: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """(ms, buttons down as bits) at every change of a contact: each press and each release bounces for up to 15 ms."""
    changes = []
    for t_ms, button in presses:
        for start_ms, rest in ((t_ms, 1), (t_ms + rng.randrange(60, 150), 0)):
            bounces = sorted(rng.sample(range(1, 15), 2 * rng.randrange(4)))
            for n, after_ms in enumerate([0, *bounces]):
                changes.append((start_ms + after_ms, button, rest if n % 2 == 0 else 1 - rest))
    changes.sort()
    down, contacts = 0, []
    for t_ms, button, level in changes:
        down = down | 1 << button if level else down & ~(1 << button)
        contacts.append((t_ms, down))
    return contacts


def read_votes(visitors: int, share: float, seed: int, lockout_ms: int = LOCKOUT_MS) -> Reading:
    """Let visitors vote of whom `share` are pleased, and count as the firmware does."""
    rng = random.Random(seed)
    presses, pleased = _presses(rng, visitors, share)
    panel = ButtonPanel(2, lockout_ms=lockout_ms)
    votes = [0, 0]
    now_ms = down = 0
    for t_ms, new in _contacts(rng, presses):
        settled_ms = min(now_ms + 50, t_ms)  # the terminal ticks every 50 ms
        for until_ms, state in ((settled_ms, down), (t_ms, new)):
            voted = panel.step(until_ms - now_ms, state)
            now_ms = until_ms
            if voted:
                votes[voted.bit_length() - 1] += 1
        down = new
    return Reading(visitors, pleased, (votes[0], votes[1]), sum(panel.take_suppressed()))
