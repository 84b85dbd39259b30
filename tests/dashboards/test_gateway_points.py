"""What the gateway itself writes is what the dashboards read: names, types and times fit together.

The other tests write the schema's points by hand. Here a ledger, its accounts and the health reports write them.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from footfall_gateway.accounts import Accounts
from footfall_gateway.health import GatewayHealth, NodeWatch
from footfall_gateway.ingest import Batch
from footfall_gateway.ledger import Ledger
from footfall_gateway.node_messages import NodeState
from footfall_gateway.outbox import Outbox
from footfall_gateway.places import PASSERS_BY, Placement, Places, Site
from tests.dashboards.grafana import (
    DATABASE,
    Series,
    dashboard,
    latest,
    sent_query,
    series,
    table,
    target,
    targets,
)
from tests.servers import InfluxDB

HOUR_MS = 3_600_000
SETTLED_MS = 10_000
LIVE = dashboard("footfall-live")


def places(now_ms: int) -> Places:
    """Where it is noon now, so that the last six hours are of one day."""
    ahead = 12 - now_ms // HOUR_MS % 24
    timezone = f"Etc/GMT{-ahead:+d}"  # POSIX counts the other way round
    return Places(
        [Site("lab", "Lab", timezone, 60)],
        [
            Placement("lab", "main", "ff-1", 0, calibrate_in=1.5),
            Placement("lab", "side", "ff-2", 0),
            Placement("lab", "main", "ff-1", 1, role=PASSERS_BY),
        ],
    )


class Shown:
    """An InfluxDB with the points of a gateway whose node ff-1 booted six hours ago, at `boot_ms`.

    First hour: 3 entries. Second: nobody. Third: no alive record covers it, nothing was counted. Fourth: 4 entries and 2
    exits, all hours but the third covered. ff-2 has a single beam: one passage in the first hour.
    """

    def __init__(self, server: InfluxDB, folder: Path) -> None:
        self.server = server
        self.now_ms = int(time.time() * 1000)
        self.boot_ms = self.now_ms - self.now_ms % HOUR_MS - 6 * HOUR_MS
        server.create_database(DATABASE)
        with Ledger.open(folder / "ledger.sqlite") as ledger:
            outbox = Outbox(ledger)
            here = places(self.now_ms)
            self._store(ledger)
            accounts = Accounts(ledger, here, publish=True)
            for moment_ms in (
                self.now_ms - SETTLED_MS,
                self.now_ms,
            ):  # what has just come in is written a little later
                while accounts.work(moment_ms).more:
                    pass
            NodeWatch(ledger, here, outbox).report(
                "ff-1",
                NodeState(
                    online=True,
                    faults=(2,),
                    noisy=(2,),
                    spool=17,
                    heap=61_000,
                    rssi=-61,
                    uptime_s=21_600,
                    clock_error_ms=-3,
                ),
                self.now_ms,
                retained=False,
            )
            GatewayHealth("town", ledger, outbox).write(self.now_ms)
            lines = "\n".join(item.line for item in outbox.take(10_000))
        server.write(DATABASE, lines)

    def _store(self, ledger: Ledger) -> None:
        def at(hour: int, minute: int) -> int:
            return hour * HOUR_MS + minute * 60_000

        clock = (0, "C", self.boot_ms, "gw")
        passages = [(at(0, minute), "P", 0, 1, 400) for minute in (5, 6, 7)]
        passages += [(at(0, minute), "P", 1, 1, 400) for minute in range(20, 32)]  # twelve people outside
        later = [
            (at(3, minute), "P", 0, direction, 400)
            for minute, direction in enumerate((1, 1, 1, 1, -1, -1), 5)
        ]
        uptime_ms = self.now_ms - SETTLED_MS - self.boot_ms
        records = (
            (0, "R", "power", "1.0", 1),
            clock,
            *passages,
            (at(2, 0), "A", 0, 3, 0),
            *later,
            (uptime_ms, "A", at(3, 0), 7, 2),
        )
        single = ((0, "R", "power", "1.0", 1), clock, (at(0, 9), "P", 0, 0, 400), (uptime_ms, "A", 0, 0, 0))
        batches = [Batch("ff-1", "0000000a", 1, 1, records), Batch("ff-2", "0000000b", 1, 1, single)]
        ledger.store(batches, now_ms=self.now_ms - SETTLED_MS)

    def series(self, title: str, ref_id: str = "A", interval: str = "5m") -> Series:
        return series(self.server, target(LIVE, title, ref_id), self.boot_ms, self.now_ms, interval=interval)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    with InfluxDB(tmp_path_factory.mktemp("influxdb")) as server:
        yield Shown(server, tmp_path_factory.mktemp("gateway"))


def test_the_unwatched_hour_is_a_gap_and_the_quiet_one_a_zero(shown: Shown) -> None:
    # settled: the fifth hour's end and the grace time have passed for certain
    first, second, third, fourth, fifth = (shown.boot_ms + hour * HOUR_MS for hour in range(5))
    entries = shown.series("Besucher je Stunde")["lab / main"]
    coverage = shown.series("Beobachtet (Anteil jeder Stunde)")["lab / main"]
    assert {at: entries.get(at) for at in (first, second, third, fourth, fifth)} == {
        first: 3,
        second: 0,
        third: None,
        fourth: 4,
        fifth: 0,
    }
    assert third not in entries
    assert [coverage[at] for at in (first, second, third, fourth, fifth)] == [100, 100, None, 100, 100]


def test_people_outside_and_the_share_who_come_in(shown: Shown) -> None:
    outside = shown.series("Passanten je Stunde")["lab / main"]
    assert [outside.get(shown.boot_ms + hour * HOUR_MS) for hour in (0, 1, 2, 3)] == [12, 0, None, 0]
    assert shown.series("Eintrittsquote", interval="1h") == {"lab / main": {shown.boot_ms: 25}}


def test_the_query_in_the_documents_answers_with_the_rate_of_a_day(shown: Shown) -> None:
    text = (Path(__file__).parents[2] / "docs/gateway.md").read_text(encoding="utf-8")
    [query] = re.findall(r"```sql\n(SELECT 100 \* sum.*?)```", text, re.DOTALL)
    rows = shown.server.query(query, DATABASE)
    assert [value for row in rows for value in row.values() if value == 25] == [25]


def test_a_single_beam_counts_without_direction(shown: Shown) -> None:
    assert shown.series("Besucher je Stunde", "B") == {"lab / side: ohne Richtung": {shown.boot_ms: 1}}


def test_days_show_what_was_counted_and_what_was_calibrated(shown: Shown) -> None:
    counted = shown.series("Besucher je Tag", "A")["lab: gezählt"]
    calibrated = shown.series("Besucher je Tag", "B")["lab: korrigiert"]
    assert sum(counted.values()) == 7
    assert sum(calibrated.values()) == 10.5


def test_a_blocked_beam_and_a_full_spool_are_seen(shown: Shown) -> None:
    [row] = table(shown.server, target(LIVE, "Zählknoten: letzte Meldung"), shown.boot_ms, shown.now_ms)
    assert row == {
        "Time": shown.now_ms,
        "site": "lab",
        "node": "ff-1",
        "spool_depth": 17,
        "missing": 0,
        "beam_blocked": True,
        "noisy": True,
        "safe": False,
        "crashes": 0,
        "rssi": -61,
        "clock_error_ms": -3,
        "heap_free": 61_000,
        "uptime_s": 21_600,
    }


def test_today_is_the_sites_day(shown: Shown) -> None:
    assert latest(shown.series("Heute", "A")) == {"lab: hinein": 7}
    assert latest(shown.series("Heute", "B")) == {"lab: hinaus": 2}


def test_the_gateway_shows_itself(shown: Shown) -> None:
    assert latest(shown.series("Zählrechner jetzt", "C")) == {"town: Quarantäne": 0}


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(asked, id=f"{panel['id']}{asked['refId']}")
        for panel, asked in targets(LIVE)
        # a single beam at one of the doors: how many are inside is unknown
        if "persons" not in asked["query"]
    ],
)
def test_every_query_finds_what_the_gateway_wrote(shown: Shown, asked: dict[str, str]) -> None:
    assert shown.server.query(sent_query(asked, shown.boot_ms, shown.now_ms, interval="5m"), DATABASE)


def test_persons_are_not_shown_where_a_single_beam_leaves_them_unknown(shown: Shown) -> None:
    assert shown.series("Anwesend jetzt") == {}
