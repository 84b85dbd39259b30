"""Which door a node's barrier stands at, and since when. Built from the settings, used by ingest and accounts.

The words of the settings become one table of `Placement`s. A later entry takes over, in both directions:
where the same barrier appears again, it has moved; where the same door appears again, another node measures it now.
Several entries of one door with the same `valid_from` stand side by side (a wide door): their passages add up, and
the door counts as watched only while all of them watch.

A barrier whose role is passers-by counts people who walk past outside. It is no door: doors and passers-by never take
each other's place by their id, only by the barrier. Where it has the id of a door, its people are compared with that
door's visitors, else with those of all doors of the site (`compared_doors`).
"""

from __future__ import annotations

import datetime as dt
import hashlib
from bisect import bisect_right
from collections import defaultdict
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterable

FOREVER_MS = 1 << 62
DOOR, PASSERS_BY = "door", "passers-by"  # what a barrier counts: visitors, or people who walk past outside


@dataclass(frozen=True, slots=True)
class Site:
    """A place with a time zone; `capacity` in persons, None = not stated."""

    id: str
    name: str
    timezone: str
    capacity: int | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """`barrier` of `node` measures `door` of `site` from `valid_from_ms` (UTC) on, until a later entry takes over.

    `barrier` None is a node's buttons: a feedback terminal whose id is `door`; `answers` names its buttons in order.
    `until_ms` is worked out by `Places`. The calibration factors turn counted into calibrated passages.
    """

    site: str
    door: str
    node: str
    barrier: int | None
    valid_from_ms: int = 0
    calibrate_in: float = 1.0
    calibrate_out: float = 1.0
    answers: tuple[str, ...] = ()
    until_ms: int = FOREVER_MS
    role: str = DOOR

    @property
    def is_door(self) -> bool:
        """True for a barrier that visitors go through."""
        return self.barrier is not None and self.role == DOOR


@dataclass(frozen=True, slots=True)
class Question:
    """What the buttons asked where this number stands in a vote."""

    revision: int
    id: str


class Places:
    """All sites and doors of one gateway, frozen."""

    def __init__(
        self,
        sites: Iterable[Site],
        placements: Iterable[Placement],
        questions: Iterable[Question] = (),
    ) -> None:
        """Raises ValueError, one line, where the entries contradict each other."""
        self.sites = {site.id: site for site in sites}
        self.questions = {question.revision: question.id for question in questions}
        given = list(placements)
        for site in self.sites.values():
            local_midnight_ms(dt.date(2026, 1, 1), site.timezone)
        for one in given:
            if one.site not in self.sites:
                raise ValueError(f'door "{one.door}" belongs to site "{one.site}", which is not described')
        self.placements = _with_ends(given)
        self.nodes = frozenset(one.node for one in given)
        self.fingerprint = self._fingerprint()
        self._by_node: dict[str, list[Placement]] = defaultdict(list)
        self._by_door: dict[tuple[str, str], list[Placement]] = defaultdict(list)
        self._at_site: dict[str, list[Placement]] = defaultdict(list)
        for one in self.placements:
            self._by_node[one.node].append(one)
            self._by_door[one.site, one.door].append(one)
            self._at_site[one.site].append(one)
        self._passersby = {
            site: frozenset(one.door for one in here if one.role == PASSERS_BY)
            for site, here in self._at_site.items()
        }

    def knows(self, node: str) -> bool:
        """True where any entry, of whatever time, names this node."""
        return node in self.nodes

    def of_node(self, node: str, start_ms: int, stop_ms: int) -> list[Placement]:
        """The placements of this node's barriers and buttons that hold at some moment of [start_ms, stop_ms)."""
        return [one for one in self._by_node.get(node, ()) if _holds(one, start_ms, stop_ms)]

    def of_door(self, site: str, door: str, start_ms: int, stop_ms: int) -> list[Placement]:
        """The placements that measure this door at some moment of [start_ms, stop_ms)."""
        return [one for one in self._by_door.get((site, door), ()) if _holds(one, start_ms, stop_ms)]

    def passersby_places(self, site: str) -> frozenset[str]:
        """The ids of this site's barriers for passers-by, of whatever time."""
        return self._passersby.get(site, frozenset())

    def compared_doors(self, site: str, place: str, start_ms: int, stop_ms: int) -> list[str]:
        """The doors, at some moment of [start_ms, stop_ms), whose visitors are compared with the passers-by of `place`."""
        doors = {
            one.door for one in self._at_site.get(site, ()) if one.is_door and _holds(one, start_ms, stop_ms)
        }
        return [place] if place in doors else sorted(doors)

    def _fingerprint(self) -> str:
        """Changes when any entry changes that the buckets depend on."""
        told = (
            sorted((site.id, site.timezone) for site in self.sites.values()),
            sorted(_told(one) for one in self.placements),
            sorted(self.questions.items()),
        )
        return hashlib.blake2b(repr(told).encode(), digest_size=16).hexdigest()


def _told(one: Placement) -> str:
    """The entry for the fingerprint. A door is told as before there were roles: nothing is worked out anew for that."""
    told = astuple(one)
    return repr(told[:-1] if one.role == DOOR else told)


def _holds(one: Placement, start_ms: int, stop_ms: int) -> bool:
    return one.valid_from_ms < stop_ms and one.until_ms > start_ms


def _with_ends(given: list[Placement]) -> tuple[Placement, ...]:
    """The entries with `until_ms` filled in: the next start of the same barrier or of the same door, whichever is first."""
    starts: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for one in given:
        barrier, door = _keys(one)
        if one.valid_from_ms in starts[barrier]:
            what = "the buttons" if one.barrier is None else f"barrier {one.barrier}"
            raise ValueError(f'{what} of node "{one.node}" stand at two doors from the same day on')
        starts[barrier].append(one.valid_from_ms)
        starts[door].append(one.valid_from_ms)
    for moments in starts.values():
        moments.sort()
    return tuple(
        replace(one, until_ms=min(_next(starts[key], one.valid_from_ms) for key in _keys(one)))
        for one in sorted(
            given, key=lambda one: (one.site, one.door, one.valid_from_ms, one.node, str(one.barrier))
        )
    )


def _keys(one: Placement) -> tuple[tuple[str, ...], tuple[str, ...]]:
    role = "buttons" if one.barrier is None else one.role
    return ("node", one.node, str(one.barrier)), ("door", role, one.site, one.door)


def _next(moments: list[int], after_ms: int) -> int:
    at = bisect_right(moments, after_ms)
    return moments[at] if at < len(moments) else FOREVER_MS


def local_midnight_ms(day: dt.date, timezone: str) -> int:
    """UTC ms of the first moment of this local day. ValueError where the time zone is unknown."""
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f'"{timezone}" is not a time zone such as "Europe/Berlin"') from error
    return int(dt.datetime.combine(day, dt.time(), zone).timestamp() * 1000)
