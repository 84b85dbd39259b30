"""How the nodes and the gateway are, as points for InfluxDB and as lines for the log. Used by `receiver` and `service`."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest

from footfall_gateway.ledger import Ledger
from footfall_gateway.node_book import NodeBook
from footfall_gateway.node_messages import NodeState, UpdateState
from footfall_gateway.outage import spoken
from footfall_gateway.outbox import Outbox, point_line, put_line
from footfall_gateway.places import Places

__all__ = ["GatewayHealth", "NodeWatch"]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Seen:
    """What was said last, so that only changes are told."""

    online: bool | None = None
    since: float = 0.0
    faults: tuple[int, ...] = ()
    dropped_edges: int = 0
    lost: int = 0
    config_error: str | None = None
    safe: bool = False
    noisy: tuple[int, ...] = ()
    update: UpdateState | None = None
    other_roles: tuple[int, ...] = ()


class NodeWatch:
    """Follows each node's `state`, and keeps the last one. `outbox` None: embedded mode, no points are written."""

    def __init__(
        self,
        ledger: Ledger,
        places: Places,
        outbox: Outbox | None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._book = NodeBook(ledger)
        self._places = places
        self._outbox = outbox
        self._now = now
        self._seen: dict[str, _Seen] = {}

    def report(self, node: str, state: NodeState, now_ms: int, *, retained: bool) -> None:
        """A state message came. A retained one is as old as it may be: it tells how things are, not how they are now."""
        seen = self._seen.setdefault(node, _Seen())
        if seen.online != state.online:
            lasted = f" after {spoken(self._now() - seen.since)}" if seen.online is not None else ""
            if state.online:
                log.info("node %s: online%s%s", node, lasted, f", firmware {state.fw}" if state.fw else "")
            else:
                log.warning("node %s: offline%s; it keeps counting into its flash", node, lasted)
            seen.online = state.online
            seen.since = self._now()
        if state.online:
            self._tell_changes(node, seen, state)
            self._tell_roles(node, seen, state, now_ms)
        tells = state.online and not retained and self._outbox is not None
        missing = self._ledger.missing(node) if tells else 0
        with self._ledger.database.writing() as sql:
            self._book.put_state(sql, node, state, now_ms, retained=retained)
            if tells:
                line = self._point(node, state, self._book.trouble(sql, node), missing, now_ms)
                if line is not None:
                    put_line(sql, f"node_health {node} {now_ms}", line, now_ms)

    @staticmethod
    def _tell_changes(node: str, seen: _Seen, state: NodeState) -> None:
        both = zip_longest(seen.faults, state.faults, seen.noisy, state.noisy, fillvalue=0)
        for barrier, (was, fault, was_noisy, noisy) in enumerate(both):
            if noisy and not was_noisy:
                log.warning(
                    "node %s: barrier %d is disturbed by edges that no people make, it cannot count",
                    node,
                    barrier,
                )
            elif fault and not was:
                log.warning("node %s: barrier %d is obstructed, it cannot count", node, barrier)
            elif was and not fault:
                log.info("node %s: barrier %d is free again", node, barrier)
        seen.faults, seen.noisy = state.faults, state.noisy
        if state.update is not None and state.update.error and state.update != seen.update:
            log.warning(
                "node %s: update to %s failed: %s", node, state.update.version or "?", state.update.error
            )
        seen.update = state.update
        if state.dropped_edges > seen.dropped_edges:
            log.warning(
                "node %s: %d edges came too fast to be kept since it booted", node, state.dropped_edges
            )
        seen.dropped_edges = state.dropped_edges
        if state.lost > seen.lost:
            log.warning("node %s: gave up %d records since it booted, its flash is full", node, state.lost)
        seen.lost = state.lost
        if state.config_error and state.config_error != seen.config_error:
            log.warning("node %s: did not take its configuration: %s", node, state.config_error)
        seen.config_error = state.config_error
        if state.safe and not seen.safe:
            log.warning(
                "node %s: is in safe mode, its firmware ended several times in a row; it counts", node
            )
        seen.safe = state.safe

    def _tell_roles(self, node: str, seen: _Seen, state: NodeState, now_ms: int) -> None:
        """The settings here decide what is counted as what; the node's own are for its lifetime totals."""
        other = tuple(
            place.barrier
            for place in self._places.of_node(node, now_ms, now_ms + 1)
            if place.barrier is not None
            and place.barrier < len(state.roles)
            and state.roles[place.barrier] != place.role
        )
        for barrier in set(other) - set(seen.other_roles):
            log.warning(
                "node %s: has another role for barrier %d than the settings here, which count; give it the same, or its "
                "lifetime totals are wrong",
                node,
                barrier,
            )
        seen.other_roles = other

    def _point(
        self, node: str, state: NodeState, trouble: tuple[int, int, int], missing: int, now_ms: int
    ) -> str | None:
        """The node's line for InfluxDB; None where it stands nowhere today: there is no site to write it for."""
        placements = self._places.of_node(node, now_ms, now_ms + 1)
        if not placements:
            return None
        fields: dict[str, int | float | bool | str] = {
            name: value
            for name, value in (
                ("uptime_s", state.uptime_s),
                ("heap_free", state.heap),
                ("heap_low", state.heap_low),
                ("spool_depth", state.spool),
                ("rssi", state.rssi),
                ("clock_error_ms", state.clock_error_ms),
                ("rev", state.rev),
            )
            if value is not None
        }
        fields["beam_blocked"] = any(state.faults)
        fields["missing"] = missing
        fields["safe"] = state.safe
        fields["noisy"] = any(state.noisy)
        fields["crashes"], fields["missed_edges"], fields["recovered"] = trouble
        return point_line("node_health", {"site": placements[0].site, "node": node}, fields, now_ms)


class GatewayHealth:
    """The gateway's own numbers. `count` is called by the receiver, `write` every few seconds by the service."""

    def __init__(
        self, name: str, ledger: Ledger, outbox: Outbox, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._ledger = ledger
        self._outbox = outbox
        self._now = now
        self._at = now()
        self._records = ledger.counters().records

    def write(self, now_ms: int) -> None:
        counters = self._ledger.counters()
        now = self._now()
        rate = (counters.records - self._records) / max(0.001, now - self._at)
        self._at, self._records = now, counters.records
        fields: dict[str, int | float | bool | str] = {
            "lag_s": self._outbox.lag_ms(now_ms) / 1000,
            "outbox": self._outbox.depth(),
            "quarantined": counters.quarantined,
            "records_per_s": round(rate, 3),
        }
        line = point_line("gateway_health", {"gateway": self._name}, fields, now_ms)
        self._outbox.put(f"gateway_health {now_ms}", line, now_ms)
