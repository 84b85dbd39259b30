"""Who walked, and whom a board with power cuts may have missed: for the tests that cut the power in the middle of people."""

from dataclasses import dataclass, field

from footfall_simulator.people import INNER, OUTER, Beams, edges_of
from footfall_simulator.town import BLOCKED, INNER_PIN, OUTER_PIN

LOST_MS = 2_000  # promise 3
SAME_MS = 60  # between two clocks that are laid over one another; people are much farther apart
LONGEST_BOOT_MS = 10_000  # on a machine that is busy with other things


@dataclass(frozen=True)
class Person:
    """The truth: the beams are broken from `begins_ms`, and at `clears_ms` the second one is free again."""

    begins_ms: int
    clears_ms: int
    direction: int


@dataclass
class Life:
    """A board's life from power-up to the next cut, in UTC ms; what follows `cut_ms` comes from the ledger, in ms since the boot."""

    on_ms: int
    cut_ms: int
    watching_since: int = 0
    passages: list[tuple[int, int]] = field(default_factory=list)  # (t, direction)
    boot_ms: int = 0  # when its t was 0, in UTC: found by laying its passages over the truth


def levels_of(walks: list, beams: Beams) -> list[tuple[int, int, int]]:
    """What the pins see: (utc_ms, pin, level)."""
    before = 0
    levels = []
    for edge in edges_of(walks, beams):
        for bit, pin in ((OUTER, OUTER_PIN), (INNER, INNER_PIN)):
            if (edge.state ^ before) & bit:
                levels.append((edge.t_ms, pin, BLOCKED if edge.state & bit else 1 - BLOCKED))
        before = edge.state
    return levels


def lay_over(life: Life, people: list[Person]) -> list[Person]:
    """Find the one boot time at which every passage of this life is one of these people; returns who was counted."""
    first_t = life.passages[0][0]
    for candidate in people:
        boot_ms = candidate.clears_ms - first_t
        if not life.on_ms <= boot_ms <= life.on_ms + LONGEST_BOOT_MS:
            continue
        found = [
            [
                person
                for person in people
                if abs(person.clears_ms - boot_ms - t_ms) <= SAME_MS and person.direction == direction
            ]
            for t_ms, direction in life.passages
        ]
        counted = [one[0] for one in found if len(one) == 1]
        if len(counted) == len(found) == len(set(counted)):
            life.boot_ms = boot_ms
            return counted
    raise AssertionError(f"it counted somebody twice, the wrong way, or nobody at all: {life}")
