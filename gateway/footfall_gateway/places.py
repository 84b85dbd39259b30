"""Which door a node's barrier stands at, and since when. Built from the settings, used by ingest and accounts.

The words of the settings become one table of `Placement`s. A later entry takes over, in both directions:
where the same barrier appears again, it has moved; where the same door appears again, another node measures it now.
Several entries of one door with the same `valid_from` stand side by side (a wide door): their passages add up, and
the door counts as watched only while all of them watch.
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


@dataclass(frozen=True, slots=True)
class Question:
    """What the buttons asked while the node carried this configuration revision."""

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
        for one in self.placements:
            self._by_node[one.node].append(one)
            self._by_door[one.site, one.door].append(one)

    def knows(self, node: str) -> bool:
        """True where any entry, of whatever time, names this node."""
        return node in self.nodes

    def of_node(self, node: str, start_ms: int, stop_ms: int) -> list[Placement]:
        """The placements of this node's barriers and buttons that hold at some moment of [start_ms, stop_ms)."""
        return [one for one in self._by_node.get(node, ()) if _holds(one, start_ms, stop_ms)]

    def of_door(self, site: str, door: str, start_ms: int, stop_ms: int) -> list[Placement]:
        """The placements that measure this door at some moment of [start_ms, stop_ms)."""
        return [one for one in self._by_door.get((site, door), ()) if _holds(one, start_ms, stop_ms)]

    def doors(self) -> list[tuple[str, str]]:
        """(site, door) of every door, and of every terminal, in order."""
        return sorted(self._by_door)

    def _fingerprint(self) -> str:
        """Changes when any entry changes that the buckets depend on."""
        told = (
            sorted((site.id, site.timezone) for site in self.sites.values()),
            sorted(repr(astuple(one)) for one in self.placements),
            sorted(self.questions.items()),
        )
        return hashlib.blake2b(repr(told).encode(), digest_size=16).hexdigest()


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
    role = "buttons" if one.barrier is None else "barrier"
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
