"""Every query of the dashboards is put to a real InfluxDB, and its answer compared with what was written.

A wrong field or measurement gives an empty answer, not an error: so each answer must be the right numbers. The points are
written by hand in the schema of the gateway, not by the gateway's code.
"""

import datetime as dt
import re
import time
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest

from tests.dashboards.grafana import (
    ALL,
    DATABASE,
    dashboard,
    latest,
    replace_variables,
    sent_query,
    series,
    table,
    target,
    targets,
)
from tests.servers import InfluxDB

BERLIN = ZoneInfo("Europe/Berlin")
HOUR_MS = 3_600_000
MINUTE_MS = 60_000
LIVE = dashboard("footfall-live")


def utc_ms(*when: int) -> int:
    return int(dt.datetime(*when, tzinfo=dt.UTC).timestamp() * 1000)


def berlin_ms(*when: int) -> int:
    return int(dt.datetime(*when, tzinfo=BERLIN).timestamp() * 1000)


def lines(measurement: str, tags: str, points: dict[int, str]) -> str:
    return "\n".join(f"{measurement},{tags} {fields} {at_ms}" for at_ms, fields in points.items())


def hour_fields(n_in: int, covered_s: int, undirected: int = 0) -> str:
    return (
        f"in={n_in}i,out={n_in}i,covered_s={covered_s}i,faults=0i,undirected={undirected}i,"
        f"calibrated_in={n_in * 1.5},calibrated_out={n_in * 1.5}"
    )


# A Saturday, the Sunday of 25 hours and a Monday at the main door: one entry in each hour, except on Saturday ...
AUTUMN = range(berlin_ms(2026, 10, 24), berlin_ms(2026, 10, 27), HOUR_MS)
EMPTIED, UNKNOWN, QUIET, HALF, COUNTED_UNCOVERED = (utc_ms(2026, 10, 24, hour) for hour in (8, 9, 10, 11, 12))
MAIN = dict.fromkeys(AUTUMN, (1, 3600)) | {
    EMPTIED: (0, 0),  # written once, then found to be unwatched
    QUIET: (0, 3600),  # watched, and nobody came
    HALF: (7, 1800),
    COUNTED_UNCOVERED: (2, 0),  # people were counted, but no alive record tells for how long
}
del MAIN[UNKNOWN]  # nobody watched: nothing was written
# ... and three days around the Sunday of 23 hours
SPRING = range(berlin_ms(2026, 3, 28), berlin_ms(2026, 3, 31), HOUR_MS)

# Outside on that Saturday: passers-by and coverage; visitors, passers-by and coverage of the same quarters
OUTSIDE = {
    EMPTIED: (0, 0),
    QUIET: (0, 3600),
    HALF: (40, 1800),
    COUNTED_UNCOVERED: (3, 0),
    UNKNOWN: (30, 3600),
}
CAPTURED = {
    EMPTIED: (0, 0, 0),
    HALF: (7, 35, 1800),
    UNKNOWN: (0, 30, 3600),
}  # the first was written, then taken back

AUTUMN_RANGE = (AUTUMN.start, AUTUMN.stop - 1)

# Nodes: one reports every minute, one fell silent with a blocked beam and records missing
NODES_FROM, NODES_TO = utc_ms(2026, 11, 2, 9), utc_ms(2026, 11, 2, 10) + 10_000
FALLEN_SILENT = utc_ms(2026, 11, 2, 9, 30) + 30_000


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxDB]:
    """An InfluxDB that holds the points above; tests only add points of the present."""
    with InfluxDB(tmp_path_factory.mktemp("influxdb")) as server:
        server.create_database(DATABASE)
        main = {at_ms: hour_fields(*numbers) for at_ms, numbers in MAIN.items()}
        main |= {at_ms: hour_fields(1, 3600) for at_ms in SPRING}
        healthy = {at: node_fields() for at in range(NODES_FROM + 30_000, NODES_TO, MINUTE_MS)}
        silent = {
            at: node_fields(spool=412, missing=3, blocked=True)
            for at in range(NODES_FROM + 30_000, FALLEN_SILENT + 1, MINUTE_MS)
        }
        for text in (
            lines("footfall_hour", "site=lab,door=main", main),
            lines("footfall_hour", "site=lab,door=side", {EMPTIED: hour_fields(0, 3600, undirected=4)}),
            lines("footfall_hour", "site=bus,door=main", {EMPTIED: hour_fields(5, 3600)}),
            lines("footfall_quarter", "site=lab,door=main", {AUTUMN.start: hour_fields(1, 900)}),
            lines("footfall_quarter", "site=lab,door=side", {AUTUMN.start: hour_fields(1, 900)}),
            lines("footfall_quarter", "site=bus,door=rear", {AUTUMN.start: hour_fields(1, 900)}),
            lines(
                "passersby_hour",
                "site=lab,door=street",
                {at: passersby_fields(*n) for at, n in OUTSIDE.items()},
            ),
            lines(
                "capture_hour", "site=lab,door=street", {at: capture_fields(*n) for at, n in CAPTURED.items()}
            ),
            lines("node_health", "site=lab,node=ff-1", healthy),
            lines("node_health", "site=lab,node=ff-2", silent),
            lines("node_health", "site=bus,node=ff-3", {NODES_FROM: node_fields(spool=7)}),
        ):
            server.write(DATABASE, text, "ms")
        yield server


def node_fields(spool: int = 0, missing: int = 0, *, blocked: bool = False) -> str:
    return (
        f"uptime_s=86400i,heap_free=61000i,spool_depth={spool}i,rssi=-61i,clock_error_ms=12i,"
        f"beam_blocked={str(blocked).lower()},missing={missing}i,noisy=false,safe={str(blocked).lower()},crashes=4i"
    )


def passersby_fields(passers_by: int, covered_s: int) -> str:
    return f"passers_by={passers_by}i,covered_s={covered_s}i"


def capture_fields(visitors: int, passers_by: int, covered_s: int) -> str:
    return f"visitors={visitors}i,{passersby_fields(passers_by, covered_s)}"


@pytest.fixture(scope="module")
def now_ms(stored: InfluxDB) -> int:
    """The present, with what a gateway wrote until just now: dashboards ask for the last five minutes.

    Once: written again for each test, the same numbers could stand in two of the intervals that a panel draws.
    """
    now = int(time.time() * 1000)
    for tags, points in {
        "site=lab": {
            now - 10 * MINUTE_MS: "persons=99i,in_today=110i,out_today=11i,capacity=60i",
            now - MINUTE_MS: "persons=14i,in_today=41i,out_today=27i,capacity=60i",
            now - 10_000: "persons=12i,in_today=41i,out_today=29i,capacity=60i",
        },
        "site=bus": {now - 20_000: "persons=3i,in_today=8i,out_today=5i"},  # no capacity was set
        "site=single": {
            now - 20_000: "in_today=0i,out_today=0i,capacity=10i"
        },  # a single beam: persons unknown
        "site=dead": {now - 30 * MINUTE_MS: "persons=50i,in_today=60i,out_today=10i,capacity=60i"},
    }.items():
        stored.write(DATABASE, lines("occupancy", tags, points), "ms")
    health = {
        now - 20 * MINUTE_MS: "lag_s=700.5,outbox=90i,quarantined=3i,records_per_s=0.0",
        now - 10_000: "lag_s=1.5,outbox=2i,quarantined=5i,records_per_s=4.2",
    }
    stored.write(DATABASE, lines("gateway_health", "gateway=town", health), "ms")
    old = {now - 30 * MINUTE_MS: "lag_s=1.0,outbox=1i,quarantined=0i,records_per_s=0.0"}
    stored.write(DATABASE, lines("gateway_health", "gateway=dead", old), "ms")
    return now


# ---------------------------------------------------------------------------------------------------------- now


def test_persons_now_are_the_last_known_of_each_site_and_never_old_ones(
    stored: InfluxDB, now_ms: int
) -> None:
    shown = latest(series(stored, target(LIVE, "Anwesend jetzt"), now_ms - 7 * 24 * HOUR_MS, now_ms))
    assert shown == {"lab": 12, "bus": 3}


def test_a_range_in_the_past_does_not_change_what_now_means(stored: InfluxDB, now_ms: int) -> None:
    assert latest(series(stored, target(LIVE, "Anwesend jetzt"), *AUTUMN_RANGE)) == {"lab": 12, "bus": 3}


def test_the_share_of_capacity_is_left_out_where_no_capacity_is_set(stored: InfluxDB, now_ms: int) -> None:
    shown = latest(series(stored, target(LIVE, "Auslastung"), now_ms - HOUR_MS, now_ms))
    assert shown == {"lab": 20, "single": None}  # None: shown as unknown


def test_today_shows_in_and_out_of_each_site(stored: InfluxDB, now_ms: int) -> None:
    entered = latest(series(stored, target(LIVE, "Heute", "A"), now_ms - HOUR_MS, now_ms))
    left = latest(series(stored, target(LIVE, "Heute", "B"), now_ms - HOUR_MS, now_ms))
    assert entered == {"lab: hinein": 41, "bus: hinein": 8, "single: hinein": 0}
    assert left == {"lab: hinaus": 29, "bus: hinaus": 5, "single: hinaus": 0}


def test_the_gateway_shows_its_lag_its_outbox_and_its_quarantine(stored: InfluxDB, now_ms: int) -> None:
    def shown(ref_id: str) -> dict[str, object]:
        of_panel = target(LIVE, "Zählrechner jetzt", ref_id)
        return latest(series(stored, of_panel, now_ms - HOUR_MS, now_ms))

    assert shown("A") == {"town: Rückstand": 1.5}
    assert shown("B") == {"town: wartend": 2}
    assert shown("C") == {"town: Quarantäne": 5}
    assert shown("D") == {"town: Quarantäne neu": 2, "dead: Quarantäne neu": 0}


def test_the_gateway_over_time_keeps_the_worst_lag_and_shows_silence_as_a_gap(
    stored: InfluxDB, now_ms: int
) -> None:
    title, between = "Zählrechner: Rückstand und Quarantäne", (now_ms - 25 * MINUTE_MS, now_ms)
    lag = series(stored, target(LIVE, title, "A"), *between, interval="5m")["town: Rückstand"]
    quarantined = series(stored, target(LIVE, title, "B"), *between, interval="5m")["town: Quarantäne"]
    assert [value for value in lag.values() if value is not None] == [700.5, 1.5]
    assert [value for value in quarantined.values() if value is not None] == [3, 5]
    assert None in lag.values()


# --------------------------------------------------------------------------------------------- hours and days


def test_an_hour_that_nobody_watched_is_absent_and_an_hour_without_visitors_is_zero(stored: InfluxDB) -> None:
    bars = series(stored, target(LIVE, "Besucher je Stunde"), *AUTUMN_RANGE)
    assert bars["lab / main"] == {at_ms: n_in for at_ms, (n_in, _) in MAIN.items() if at_ms != EMPTIED}
    assert EMPTIED not in bars["lab / main"]
    assert UNKNOWN not in bars["lab / main"]
    assert bars["lab / main"][QUIET] == 0
    assert bars["lab / main"][COUNTED_UNCOVERED] == 2
    assert bars["bus / main"] == {EMPTIED: 5}


def test_a_door_with_a_single_beam_shows_its_passages_without_direction(stored: InfluxDB) -> None:
    bars = series(stored, target(LIVE, "Besucher je Stunde", "B"), *AUTUMN_RANGE)
    assert bars == {"lab / side: ohne Richtung": {EMPTIED: 4}}


def test_coverage_is_a_share_of_each_hour_and_empty_where_nobody_watched(stored: InfluxDB) -> None:
    shares = series(stored, target(LIVE, "Beobachtet (Anteil jeder Stunde)"), *AUTUMN_RANGE)
    expected = dict.fromkeys(AUTUMN, 100) | {HALF: 50, EMPTIED: None, UNKNOWN: None, COUNTED_UNCOVERED: None}
    assert shares["lab / main"] == expected
    assert shares["bus / main"] == {at_ms: 100 if at_ms == EMPTIED else None for at_ms in AUTUMN}


@pytest.mark.parametrize(
    ("ref_id", "name", "factor"), [("A", "lab: gezählt", 1), ("B", "lab: korrigiert", 1.5)]
)
def test_a_day_runs_from_local_midnight_to_local_midnight(
    stored: InfluxDB, ref_id: str, name: str, factor: float
) -> None:
    per_day = target(LIVE, "Besucher je Tag", ref_id)
    saturday = 19 * 1 + 0 + 7 + 2  # 24 hours, two of them unwatched
    assert series(stored, per_day, *AUTUMN_RANGE)[name] == {
        berlin_ms(2026, 10, 24): saturday * factor,
        berlin_ms(2026, 10, 25): 25 * factor,
        berlin_ms(2026, 10, 26): 24 * factor,
    }
    assert series(stored, per_day, SPRING.start, SPRING.stop - 1) == {
        name: {
            berlin_ms(2026, 3, 28): 24 * factor,
            berlin_ms(2026, 3, 29): 23 * factor,
            berlin_ms(2026, 3, 30): 24 * factor,
        }
    }


def test_a_day_tells_for_how_many_hours_each_door_was_watched(stored: InfluxDB) -> None:
    watched = series(stored, target(LIVE, "Beobachtete Stunden je Tag"), *AUTUMN_RANGE)
    assert watched == {
        "lab / main": {
            berlin_ms(2026, 10, 24): 20.5,
            berlin_ms(2026, 10, 25): 25,
            berlin_ms(2026, 10, 26): 24,
        },
        "lab / side": {berlin_ms(2026, 10, 24): 1},
        "bus / main": {berlin_ms(2026, 10, 24): 1},
    }


def test_persons_over_time_have_a_gap_where_the_number_is_unknown(stored: InfluxDB) -> None:
    start = utc_ms(2026, 11, 3, 10)
    known = {start + minute * MINUTE_MS: f"persons={minute}i,capacity=60i" for minute in (0, 1, 2, 3, 8, 9)}
    unknown = {start + minute * MINUTE_MS: "in_today=5i,capacity=60i" for minute in (4, 5, 6, 7)}
    stored.write(DATABASE, lines("occupancy", "site=lab", known | unknown), "ms")
    between = (start, start + 10 * MINUTE_MS - 1)
    persons = series(stored, target(LIVE, "Anwesende im Verlauf", "A"), *between, interval="2m")
    capacity = series(stored, target(LIVE, "Anwesende im Verlauf", "B"), *between, interval="2m")
    assert list(persons["lab"].values()) == [1, 3, None, None, 9]
    assert list(capacity["lab: Höchstzahl"].values()) == [60] * 5


def test_passers_by_of_an_hour_that_nobody_watched_are_absent_and_nobody_outside_is_zero(
    stored: InfluxDB,
) -> None:
    bars = series(stored, target(LIVE, "Passanten je Stunde"), *AUTUMN_RANGE)
    assert bars == {"lab / street": {QUIET: 0, HALF: 40, COUNTED_UNCOVERED: 3, UNKNOWN: 30}}


def test_the_capture_rate_is_nowhere_where_one_side_was_not_watched_and_no_quotient_of_zero(
    stored: InfluxDB,
) -> None:
    rates = series(stored, target(LIVE, "Eintrittsquote"), *AUTUMN_RANGE, interval="1h")
    assert rates == {"lab / street": {HALF: 20, UNKNOWN: 0}}


def test_the_capture_rate_of_several_hours_weighs_people_and_not_hours(stored: InfluxDB) -> None:
    rates = series(stored, target(LIVE, "Eintrittsquote"), *AUTUMN_RANGE, interval="1d")
    assert list(rates["lab / street"].values()) == [100 * 7 / 65]


# -------------------------------------------------------------------------------------------------------- nodes


def test_each_node_shows_its_last_report(stored: InfluxDB) -> None:
    rows = table(stored, target(LIVE, "Zählknoten: letzte Meldung"), NODES_FROM, NODES_TO)
    by_node = {row["node"]: row for row in rows}
    common = {
        "noisy": False,
        "crashes": 4,
        "rssi": -61,
        "clock_error_ms": 12,
        "heap_free": 61_000,
        "uptime_s": 86_400,
    }
    assert by_node["ff-1"] == common | {
        "Time": NODES_TO - 40_000,
        "site": "lab",
        "node": "ff-1",
        "spool_depth": 0,
        "missing": 0,
        "beam_blocked": False,
        "safe": False,
    }
    assert by_node["ff-2"] == common | {
        "Time": FALLEN_SILENT,
        "site": "lab",
        "node": "ff-2",
        "spool_depth": 412,
        "missing": 3,
        "beam_blocked": True,
        "safe": True,
    }
    assert by_node["ff-3"]["spool_depth"] == 7
    assert len(rows) == 3


def test_a_node_is_silent_five_minutes_after_its_last_report_and_not_because_a_step_has_just_begun(
    stored: InfluxDB,
) -> None:
    states = series(stored, target(LIVE, "Zählknoten: meldet sich"), NODES_FROM, NODES_TO, interval="5m")
    assert set(states["lab / ff-1"].values()) == {1}
    assert max(states["lab / ff-1"]) == utc_ms(2026, 11, 2, 10)  # the step of the last ten seconds
    silent_from = utc_ms(2026, 11, 2, 9, 40)
    assert states["lab / ff-2"] == {at_ms: int(at_ms < silent_from) for at_ms in states["lab / ff-2"]}
    assert set(states["lab / ff-2"].values()) == {0, 1}


# ---------------------------------------------------------------------------------------------------- variables


def test_the_site_variable_offers_every_site(stored: InfluxDB, now_ms: int) -> None:
    assert offered(stored, "site") == {"lab", "bus", "single", "dead"}


def test_the_door_variable_offers_the_doors_of_the_chosen_sites(stored: InfluxDB) -> None:
    assert offered(stored, "door", site=["lab"]) == {"main", "side"}
    assert offered(stored, "door", site=["lab", "bus"]) == {"main", "side", "rear"}
    assert offered(stored, "door", site=ALL) == {"main", "side", "rear"}


def offered(server: InfluxDB, name: str, **chosen: list[str] | str) -> set[str]:
    [variable] = [variable for variable in LIVE["templating"]["list"] if variable["name"] == name]
    query = replace_variables(variable["query"]["query"], chosen)
    return {row["value"] for row in server.query(query, DATABASE)}


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ({"site": ["lab"], "door": ["main"]}, {"lab / main"}),
        ({"site": ["lab", "bus"], "door": ["main"]}, {"lab / main", "bus / main"}),
        ({"site": ["lab"], "door": ALL}, {"lab / main", "lab / side"}),
        ({"site": ["la"], "door": ["mai"]}, set()),  # a name is compared as a whole
    ],
)
def test_site_and_door_select_what_is_drawn(
    stored: InfluxDB, chosen: dict[str, list[str] | str], names: set[str]
) -> None:
    assert set(series(stored, target(LIVE, "Besucher je Stunde"), *AUTUMN_RANGE, **chosen)) == names


@pytest.mark.parametrize("title", ["Anwesend jetzt", "Auslastung", "Heute"])
def test_the_numbers_of_now_follow_the_chosen_site(stored: InfluxDB, now_ms: int, title: str) -> None:
    drawn = series(stored, target(LIVE, title), now_ms - HOUR_MS, now_ms, site=["lab"])
    assert [name.split(":")[0] for name in drawn] == ["lab"]


# -------------------------------------------------------------------------------------------------- all queries


QUERIES = [
    pytest.param(target, id=f"{name}-{panel['id']}{target['refId']}")
    for name in ("footfall-live", "footfall-live-en")
    for panel, target in targets(dashboard(name))
]


@pytest.mark.parametrize("asked", QUERIES)
def test_a_query_is_answered_with_something(stored: InfluxDB, now_ms: int, asked: dict[str, str]) -> None:
    assert stored.query(sent_query(asked, AUTUMN.start, now_ms, interval="1d"), DATABASE)


@pytest.mark.parametrize("asked", QUERIES)
def test_a_query_is_bounded_in_time(asked: dict[str, str]) -> None:
    assert re.search(r" WHERE (\$timeFilter|time > now\(\) - 5m) (AND|GROUP BY) ", asked["query"])


@pytest.mark.parametrize("asked", QUERIES)
def test_a_query_of_visitors_never_takes_an_unwatched_hour_for_zero(asked: dict[str, str]) -> None:
    if '"capture_hour"' in asked["query"]:
        assert '"passers_by" > 0' in asked["query"]
        assert "fill(none)" in asked["query"]
    if '"footfall_' in asked["query"]:
        assert re.search(r'"covered_s" > 0|"undirected" > 0', asked["query"])
        assert "fill(0)" not in asked["query"]
