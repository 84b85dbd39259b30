"""The Grafana dashboard for staff, defined once and written in German and English.

    python3 dashboards/build.py            writes dashboards/grafana/footfall-live.json and footfall-live-en.json
    python3 dashboards/build.py --check    only compares; exit code 1 and the file's name if one is stale

Nothing to install. Whoever changes a panel edits this file and runs it; the tests compare the committed files with its
output and put every query to a real InfluxDB. The queries are InfluxQL (works on InfluxDB 1.x, 2.x and 3), always
bounded in time, and the same in both languages: only what a reader sees is translated.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent / "grafana"
DATASOURCE = {"type": "influxdb", "uid": "footfall-influxql"}
TIMEZONE = "Europe/Berlin"  # Grafana's own zone never reaches InfluxQL, so days name it in the query
SCHEMA_VERSION = 42

SITE = '"site" =~ /^$site$/'
SITE_AND_DOOR = f'{SITE} AND "door" =~ /^$door$/'
# "Now" is the last five minutes, whatever the dashboard's range: occupancy is written at least once a minute, and a
# gateway that died at noon must not show noon's number in the evening.
NOW = "time > now() - 5m"
# An hour that nobody watched is no hour of zero visitors. Counted people are shown even if no coverage is known.
WATCHED = '"covered_s" > 0'
WATCHED_OR_COUNTED = f'({WATCHED} OR "in" > 0 OR "out" > 0)'
PER_DOOR = "$tag_site / $tag_door"


class Text(NamedTuple):
    """What a reader sees, in each language."""

    de: str
    en: str


LANGUAGES = {"de": "footfall-live", "en": "footfall-live-en"}  # language -> the dashboard's uid and file name


def dashboard() -> dict[str, Any]:
    """The whole dashboard, with a `Text` wherever a reader sees words."""
    return {
        "id": None,
        "uid": Text(*LANGUAGES.values()),
        "title": Text("Besucher live", "Visitors live"),
        "description": Text(
            "Wer jetzt da ist, wie viele kamen, und ob die Zähler wirklich hinsehen. Eine Lücke heißt: nicht beobachtet.",
            "Who is here now, how many came, and whether the counters really watch. A gap means: not watched.",
        ),
        "tags": ["footfall"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,  # one cross-hair through all panels: a gap above is explained by the coverage below
        "timezone": TIMEZONE,
        "weekStart": "monday",
        "fiscalYearStartMonth": 0,
        "refresh": "1m",
        "time": {"from": "now-7d/d", "to": "now"},  # from a midnight on, so that the first day is whole
        "timepicker": {},
        "annotations": {"list": []},
        "links": [
            {
                "type": "link",
                "title": Text("English", "Deutsch"),
                "url": Text(*(f"/d/{uid}" for uid in reversed(LANGUAGES.values()))),
                "icon": "external link",
                "tooltip": "",
                "tags": [],
                "asDropdown": False,
                "targetBlank": False,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "templating": {"list": [site_variable(), door_variable()]},
        "panels": [{"id": number, **panel} for number, panel in enumerate(panels(), 1)],
    }


# ---------------------------------------------------------------------------------------------------- variables


def site_variable() -> dict[str, Any]:
    return _variable("site", Text("Standort", "Site"), 'SHOW TAG VALUES FROM "occupancy" WITH KEY = "site"')


def door_variable() -> dict[str, Any]:
    # A quarter is known sooner than an hour: a new door can be chosen after half an hour
    query = f'SHOW TAG VALUES FROM "footfall_quarter" WITH KEY = "door" WHERE {SITE}'
    return _variable("door", Text("Tür", "Door"), query)


def _variable(name: str, label: Text, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 1,  # when the dashboard is opened
        "regex": "",
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",  # also while nothing has been written yet
        "current": {"text": ["All"], "value": ["$__all"]},
        "options": [],
        "hide": 0,
    }


# ------------------------------------------------------------------------------------------------------- panels


def panels() -> list[dict[str, Any]]:
    return [
        persons_now(),
        capacity_used(),
        today(),
        entries_by_hour(),
        coverage_by_hour(),
        entries_by_day(),
        watched_by_day(),
        persons_over_time(),
        nodes(),
        node_reports(),
        gateway_now(),
        gateway_over_time(),
        passersby_by_hour(),
        capture_by_hour(),
    ]


def persons_now() -> dict[str, Any]:
    query = f'SELECT last("persons") FROM "occupancy" WHERE {NOW} AND {SITE} GROUP BY "site"'
    return _stat(
        Text("Anwesend jetzt", "Present now"),
        Text(
            "Menschen im Haus nach Zählung. Ein Standort fehlt hier, statt eine alte Zahl zu zeigen, wenn der Zählrechner seit "
            "fünf Minuten schweigt oder die Zahl unbekannt ist (eine Tür mit nur einer Lichtschranke kennt keine Richtung).",
            "People inside as counted. A site is left out, rather than shown with an old number, when the gateway has been "
            "silent for five minutes or the number is unknown (a door with a single beam knows no direction).",
        ),
        (0, 0, 8, 5),
        [_series("A", query, "$tag_site")],
    )


def capacity_used() -> dict[str, Any]:
    query = (
        'SELECT 100 * last("persons") / last("capacity") FROM "occupancy" '
        f'WHERE {NOW} AND {SITE} AND "capacity" > 0 GROUP BY "site"'
    )
    return _panel(
        "bargauge",
        Text("Auslastung", "Share of capacity"),
        Text(
            "Anwesende im Verhältnis zur eingestellten Höchstzahl. Standorte ohne Höchstzahl erscheinen nicht.",
            "People present in relation to the capacity that was set. Sites without one do not appear.",
        ),
        (8, 0, 8, 5),
        [_series("A", query, "$tag_site")],
        defaults={
            "unit": "percent",
            "decimals": 0,
            "min": 0,
            "max": 100,
            "noValue": UNKNOWN,
            "color": {"mode": "thresholds"},
            "thresholds": _thresholds("green", (80, "orange"), (100, "red")),
        },
        options={
            "orientation": "horizontal",
            "displayMode": "basic",
            "valueMode": "text",
            "showUnfilled": True,
            "reduceOptions": LAST_VALUE,
        },
    )


def today() -> dict[str, Any]:
    where = f'FROM "occupancy" WHERE {NOW} AND {SITE} GROUP BY "site"'
    return _stat(
        Text("Heute", "Today"),
        Text(
            "Hinein und hinaus seit Mitternacht in der Zeitzone des Standorts.",
            "In and out since midnight in the site's time zone.",
        ),
        (16, 0, 8, 5),
        [
            _series("A", f'SELECT last("in_today") {where}', Text("$tag_site: hinein", "$tag_site: in")),
            _series("B", f'SELECT last("out_today") {where}', Text("$tag_site: hinaus", "$tag_site: out")),
        ],
    )


def entries_by_hour() -> dict[str, Any]:
    where = f'FROM "footfall_hour" WHERE $timeFilter AND {SITE_AND_DOOR}'
    per_door = 'GROUP BY "site", "door"'
    return _bars(
        Text("Besucher je Stunde", "Visitors per hour"),
        Text(
            "Gezählte Eintritte je Tür. Kein Balken heißt entweder null Besucher oder nicht beobachtet: das Band darunter "
            "zeigt, welches von beiden. Eine Stunde erscheint etwa zehn Minuten nach ihrem Ende und wird "
            "berichtigt, wenn Daten nachkommen. Türen mit nur einer Lichtschranke zählen ohne Richtung.",
            "Counted entries per door. No bar means either no visitors or not watched: the band below tells which. An "
            "hour appears about ten minutes after its end and is corrected when data arrives late. Doors with a single "
            "beam count without direction.",
        ),
        (0, 5, 24, 8),
        [
            _series("A", f'SELECT "in" {where} AND {WATCHED_OR_COUNTED} {per_door}', PER_DOOR),
            _series(
                "B",
                f'SELECT "undirected" {where} AND "undirected" > 0 {per_door}',
                Text(f"{PER_DOOR}: ohne Richtung", f"{PER_DOOR}: without direction"),
            ),
        ],
        interval="1h",
        stacked=True,
    )


def coverage_by_hour() -> dict[str, Any]:
    query = (
        f'SELECT sum("covered_s") / 36 FROM "footfall_hour" WHERE $timeFilter AND {SITE_AND_DOOR} AND {WATCHED} '
        'GROUP BY time(1h), "site", "door" fill(null)'
    )
    return _timeline(
        Text("Beobachtet (Anteil jeder Stunde)", "Watched (share of each hour)"),
        Text(
            "Wie viel Prozent der Stunde die Tür wirklich beobachtet wurde. Leer: nicht beobachtet oder noch nicht "
            "abgerechnet. Ein Zähler ohne Netz zählt weiter; seine Stunden füllen sich, sobald er wieder verbunden ist.",
            "For how many per cent of the hour the door was really being watched. Empty: not watched or not settled yet. "
            "A counter without network goes on counting; its hours fill up once it is connected again.",
        ),
        (0, 13, 24, 5),
        [_series("A", query, PER_DOOR)],
        interval="1h",
        defaults={
            "unit": "percent",
            "decimals": 0,
            "color": {"mode": "thresholds"},
            "thresholds": _thresholds("orange", (95, "green")),
        },
    )


def entries_by_day() -> dict[str, Any]:
    def per_day(field: str) -> str:
        return (
            f'SELECT sum("{field}") FROM "footfall_hour" WHERE $timeFilter AND {SITE_AND_DOOR} AND {WATCHED_OR_COUNTED} '
            f"GROUP BY time(1d), \"site\" fill(none) tz('{TIMEZONE}')"
        )

    panel = _bars(
        Text("Besucher je Tag", "Visitors per day"),
        Text(
            f"Eintritte von Mitternacht bis Mitternacht ({TIMEZONE}; bei der Zeitumstellung 23 oder 25 Stunden). Balken: "
            "gezählt. Punkt: mit dem eingestellten Korrekturfaktor. Der heutige Tag geht bis zur letzten abgerechneten "
            "Stunde.",
            f"Entries from midnight to midnight ({TIMEZONE}; 23 or 25 hours when the clocks change). Bar: counted. Point: "
            "with the calibration factor that was set. Today reaches to the last settled hour.",
        ),
        (0, 18, 14, 8),
        [
            _series("A", per_day("in"), Text("$tag_site: gezählt", "$tag_site: counted")),
            _series("B", per_day("calibrated_in"), Text("$tag_site: korrigiert", "$tag_site: calibrated")),
        ],
        interval="1d",
    )
    points = {"custom.drawStyle": "points", "custom.pointSize": 8}
    panel["fieldConfig"]["overrides"].append(_override("byFrameRefID", "B", points))
    return panel


def watched_by_day() -> dict[str, Any]:
    query = (
        f'SELECT sum("covered_s") / 3600 FROM "footfall_hour" WHERE $timeFilter AND {SITE_AND_DOOR} AND {WATCHED} '
        f'GROUP BY time(1d), "site", "door" fill(none) tz(\'{TIMEZONE}\')'
    )
    return _lines(
        Text("Beobachtete Stunden je Tag", "Hours watched per day"),
        Text(
            "Je Tür. Was hier zu 24 Stunden fehlt, fehlt auch in der Besucherzahl des Tages.",
            "Per door. What is short of 24 hours here is missing from the day's visitors, too.",
        ),
        (14, 18, 10, 8),
        [_series("A", query, PER_DOOR)],
        interval="1d",
        defaults={"unit": "suffix: h", "decimals": 1, "min": 0},
        custom={"showPoints": "always", "pointSize": 8},
    )


def persons_over_time() -> dict[str, Any]:
    where = f'FROM "occupancy" WHERE $timeFilter AND {SITE} GROUP BY time($__interval), "site" fill(null)'
    panel = _lines(
        Text("Anwesende im Verlauf", "People present over time"),
        Text(
            "Der höchste Wert in jedem Zeitschritt; gestrichelt die Höchstzahl. Lücken: unbekannt.",
            "The highest value in each step of time; dashed: the capacity. Gaps: unknown.",
        ),
        (0, 26, 24, 8),
        [
            _series("A", f'SELECT max("persons") {where}', "$tag_site"),
            _series(
                "B", f'SELECT max("capacity") {where}', Text("$tag_site: Höchstzahl", "$tag_site: capacity")
            ),
        ],
        interval="2m",
        defaults={"unit": "none", "decimals": 0, "min": 0},
    )
    dashed = {"custom.lineStyle": {"fill": "dash", "dash": [10, 10]}, "custom.fillOpacity": 0}
    panel["fieldConfig"]["overrides"].append(_override("byFrameRefID", "B", dashed))
    return panel


def nodes() -> dict[str, Any]:
    query = (
        'SELECT "spool_depth", "missing", "beam_blocked", "noisy", "safe", "crashes", "rssi", "clock_error_ms", "heap_free", "uptime_s" '
        f'FROM "node_health" WHERE $timeFilter AND {SITE} GROUP BY "site", "node" ORDER BY time DESC LIMIT 1'
    )
    beam = _states(Text("VERDECKT", "BLOCKED"), Text("frei", "free"))
    disturbed = _states(Text("GESTÖRT", "DISTURBED"), Text("ruhig", "quiet"))
    safe = _states(Text("NOTBETRIEB", "SAFE MODE"), Text("normal", "normal"))
    coloured = {"type": "color-text"}
    return _panel(
        "table",
        Text("Zählknoten: letzte Meldung", "Nodes: last report"),
        Text(
            "Wartend: Zählungen, die noch im Knoten liegen (nach einem Netzausfall normal, sie kommen nach). Fehlend: "
            "Nummern, die nie ankamen; mehr als null ist ein Fehler. Verdeckt oder gestört (Sonne, flackerndes Licht, Wackelkontakt): die "
            "Tür kann nicht zählen. Notbetrieb: die Firmware ist mehrmals abgestürzt; gezählt wird. Ein Knoten, der sich "
            "im gewählten Zeitraum nie gemeldet hat, erscheint nicht.",
            "Waiting: counts that are still inside the node (normal after a network failure, they follow). Missing: "
            "numbers that never arrived; more than zero is a fault. Blocked or disturbed (sun, flickering light, a loose contact): the "
            "door cannot count. Safe mode: the firmware has crashed several times; it counts. A node that has not "
            "reported in the chosen range does not appear.",
        ),
        (0, 34, 14, 8),
        [_table("A", query)],
        defaults={"custom": {"align": "auto", "filterable": False}, "noValue": "-"},
        overrides=[
            _override(
                "byName", "Time", {"displayName": Text("Meldung", "Report"), "unit": "dateTimeFromNow"}
            ),
            _override("byName", "site", {"displayName": Text("Standort", "Site")}),
            _override("byName", "node", {"displayName": Text("Knoten", "Node")}),
            _override("byName", "spool_depth", {"displayName": Text("Wartend", "Waiting")}),
            _override(
                "byName",
                "missing",
                {
                    "displayName": Text("Fehlend", "Missing"),
                    "custom.cellOptions": coloured,
                    "color": {"mode": "thresholds"},
                    "thresholds": _thresholds("green", (1, "red")),
                },
            ),
            _override(
                "byName",
                "beam_blocked",
                {
                    "displayName": Text("Lichtschranke", "Beam"),
                    "custom.cellOptions": coloured,
                    "mappings": beam,
                },
            ),
            _override(
                "byName",
                "noisy",
                {
                    "displayName": Text("Licht", "Light"),
                    "custom.cellOptions": coloured,
                    "mappings": disturbed,
                },
            ),
            _override(
                "byName",
                "safe",
                {"displayName": Text("Betrieb", "Mode"), "custom.cellOptions": coloured, "mappings": safe},
            ),
            _override("byName", "crashes", {"displayName": Text("Abstürze", "Crashes")}),
            _override("byName", "rssi", {"displayName": Text("Funk", "Signal"), "unit": "dBm"}),
            _override(
                "byName", "clock_error_ms", {"displayName": Text("Uhrfehler", "Clock error"), "unit": "ms"}
            ),
            _override(
                "byName", "heap_free", {"displayName": Text("Speicher frei", "Heap free"), "unit": "bytes"}
            ),
            _override("byName", "uptime_s", {"displayName": Text("Läuft seit", "Up for"), "unit": "s"}),
        ],
        options={
            "showHeader": True,
            "cellHeight": "sm",
            "frameIndex": 0,
            "sortBy": [{"displayName": Text("Knoten", "Node"), "desc": False}],
        },
    )


def node_reports() -> dict[str, Any]:
    # A node reports once a minute. The average over two steps keeps the step that has only just begun from looking
    # like silence; ceil makes every positive average the same state.
    query = (
        'SELECT ceil(moving_average(count("missing"), 2) / 1000000) FROM "node_health" '
        f'WHERE $timeFilter AND {SITE} GROUP BY time($__interval), "site", "node" fill(0)'
    )
    return _timeline(
        Text("Zählknoten: meldet sich", "Nodes: reporting"),
        Text(
            "Rot: seit mindestens fünf Minuten keine Meldung. Der Knoten zählt dann weiter in seinen Speicher, sofern er "
            "Strom hat. Fehlen alle zugleich, ist eher das Netz oder der Zählrechner ausgefallen.",
            "Red: no report for at least five minutes. The node goes on counting into its memory as long as it has power. "
            "If all are missing at once, it is rather the network or the gateway that failed.",
        ),
        (14, 34, 10, 8),
        [_series("A", query, "$tag_site / $tag_node")],
        interval="5m",
        defaults={
            "mappings": [
                {
                    "type": "value",
                    "options": {
                        "0": {"index": 0, "text": Text("keine Meldung", "silent"), "color": "red"},
                        "1": {"index": 1, "text": Text("meldet sich", "reporting"), "color": "green"},
                    },
                }
            ],
            "color": {"mode": "thresholds"},
            "thresholds": _thresholds("red", (1, "green")),
        },
    )


def gateway_now() -> dict[str, Any]:
    now = f'FROM "gateway_health" WHERE {NOW} GROUP BY "gateway"'
    in_range = 'FROM "gateway_health" WHERE $timeFilter GROUP BY "gateway"'
    panel = _stat(
        Text("Zählrechner jetzt", "Gateway now"),
        Text(
            "Rückstand: so alt ist der älteste Wert, der noch nicht in der Datenbank steht. Quarantäne: Nachrichten, die "
            "abgewiesen und aufgehoben wurden; „neu“ im gewählten Zeitraum.",
            "Lag: the age of the oldest value that is not in the database yet. Quarantine: messages that were refused and "
            "kept; “new” within the chosen range.",
        ),
        (0, 42, 10, 7),
        [
            _series("A", f'SELECT last("lag_s") {now}', Text("$tag_gateway: Rückstand", "$tag_gateway: lag")),
            _series(
                "B", f'SELECT last("outbox") {now}', Text("$tag_gateway: wartend", "$tag_gateway: waiting")
            ),
            _series(
                "C",
                f'SELECT last("quarantined") {now}',
                Text("$tag_gateway: Quarantäne", "$tag_gateway: quarantine"),
            ),
            _series(
                "D",
                f'SELECT spread("quarantined") {in_range}',
                Text("$tag_gateway: Quarantäne neu", "$tag_gateway: quarantine, new"),
            ),
        ],
    )
    late = {"unit": "s", "decimals": 0, "thresholds": _thresholds("green", (300, "orange"), (3600, "red"))}
    panel["fieldConfig"]["overrides"] += [
        _override("byFrameRefID", "A", late),
        _override("byFrameRefID", "D", {"thresholds": _thresholds("green", (1, "orange"))}),
    ]
    panel["fieldConfig"]["defaults"]["color"] = {"mode": "thresholds"}
    panel["fieldConfig"]["defaults"]["thresholds"] = _thresholds("text")
    panel["options"]["colorMode"] = "value"
    return panel


def gateway_over_time() -> dict[str, Any]:
    where = 'FROM "gateway_health" WHERE $timeFilter GROUP BY time($__interval), "gateway" fill(null)'
    panel = _lines(
        Text("Zählrechner: Rückstand und Quarantäne", "Gateway: lag and quarantine"),
        Text(
            "Links der Rückstand in Sekunden, rechts die Nachrichten in Quarantäne. Lücken: der Zählrechner lief nicht.",
            "Left: the lag in seconds; right: messages in quarantine. Gaps: the gateway was not running.",
        ),
        (10, 42, 14, 7),
        [
            _series(
                "A", f'SELECT max("lag_s") {where}', Text("$tag_gateway: Rückstand", "$tag_gateway: lag")
            ),
            _series(
                "B",
                f'SELECT max("quarantined") {where}',
                Text("$tag_gateway: Quarantäne", "$tag_gateway: quarantine"),
            ),
        ],
        interval="1m",
        defaults={"unit": "s", "min": 0},
    )
    right = {"unit": "none", "decimals": 0, "custom.axisPlacement": "right"}
    panel["fieldConfig"]["overrides"].append(_override("byFrameRefID", "B", right))
    return panel


def passersby_by_hour() -> dict[str, Any]:
    query = (
        f'SELECT "passers_by" FROM "passersby_hour" WHERE $timeFilter AND {SITE} '
        f'AND ({WATCHED} OR "passers_by" > 0) GROUP BY "site", "door"'
    )
    return _bars(
        Text("Passanten je Stunde", "Passers-by per hour"),
        Text(
            "Menschen, die draußen an einer Lichtschranke für Passanten vorbeigingen, beide Richtungen zusammen. Sie sind in keiner "
            "Besucherzahl enthalten. Wer zweimal vorbeigeht, zählt zweimal. Leer, wo keine solche Schranke eingerichtet ist.",
            "People who walked past a light barrier for passers-by outside, both directions together. They are in no number of "
            "visitors. Whoever walks past twice counts twice. Empty where no such barrier is set up.",
        ),
        (0, 49, 12, 8),
        [_series("A", query, PER_DOOR)],
        interval="1h",
    )


def capture_by_hour() -> dict[str, Any]:
    # A quotient of sums, not a mean of quotients: an hour with three people outside must not weigh as much as one with 300
    query = (
        'SELECT 100 * sum("visitors") / sum("passers_by") FROM "capture_hour" '
        f'WHERE $timeFilter AND {SITE} AND "passers_by" > 0 GROUP BY time($__interval), "site", "door" fill(none)'
    )
    return _bars(
        Text("Eintrittsquote", "Capture rate"),
        Text(
            "Auf hundert Vorbeigehende kommen so viele Eintritte. Nur aus Viertelstunden, in denen draußen und an den Türen "
            "durchgehend gezählt wurde; sonst steht hier nichts. Wer zweimal vorbeigeht, wer beide Richtungen läuft und das Personal sind mitgezählt: "
            "zum Vergleichen von Wochen geeignet, nicht als Anteil der Personen.",
            "So many entries for every hundred people who pass by. Only from quarters of an hour in which both outside and the doors were "
            "watched throughout; else there is nothing here. People who pass twice, both ways, and staff are in it: good for "
            "comparing weeks, not a share of persons.",
        ),
        (12, 49, 12, 8),
        [_series("A", query, PER_DOOR)],
        interval="1h",
        unit="percent",
    )


# -------------------------------------------------------------------------------------------------- panel kinds

UNKNOWN = Text("unbekannt", "unknown")
LAST_VALUE = {"calcs": ["lastNotNull"], "fields": "", "values": False}
LEGEND = {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []}


def _panel(
    kind: str,
    title: Text,
    description: Text,
    place: tuple[int, int, int, int],
    targets: list[dict[str, Any]],
    *,
    defaults: dict[str, Any],
    options: dict[str, Any],
    overrides: Sequence[dict[str, Any]] = (),
    interval: str | None = None,
) -> dict[str, Any]:
    """`place` is x, y, width, height on Grafana's grid of 24 columns; `interval` the smallest step of $__interval."""
    x, y, width, height = place
    return {
        "type": kind,
        "title": title,
        "description": description,
        "gridPos": {"x": x, "y": y, "w": width, "h": height},
        "datasource": DATASOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "options": options,
        **({"interval": interval} if interval else {}),
    }


def _stat(
    title: Text, description: Text, place: tuple[int, int, int, int], targets: list[dict[str, Any]]
) -> dict[str, Any]:
    return _panel(
        "stat",
        title,
        description,
        place,
        targets,
        defaults={"unit": "none", "decimals": 0, "noValue": UNKNOWN},
        options={
            "reduceOptions": LAST_VALUE,
            "textMode": "value_and_name",
            "colorMode": "none",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
        },
    )


def _bars(
    title: Text,
    description: Text,
    place: tuple[int, int, int, int],
    targets: list[dict[str, Any]],
    *,
    interval: str,
    stacked: bool = False,
    unit: str = "none",
) -> dict[str, Any]:
    bars = {
        "drawStyle": "bars",
        "fillOpacity": 70,
        "lineWidth": 1,
        "barAlignment": 1,
    }  # a bucket begins at its time
    if stacked:
        bars["stacking"] = {"mode": "normal", "group": "A"}
    return _time_series(
        title, description, place, targets, interval, {"unit": unit, "decimals": 0, "min": 0}, bars
    )


def _lines(
    title: Text,
    description: Text,
    place: tuple[int, int, int, int],
    targets: list[dict[str, Any]],
    *,
    interval: str,
    defaults: dict[str, Any],
    custom: dict[str, Any] | None = None,
) -> dict[str, Any]:
    lines = {"drawStyle": "line", "lineInterpolation": "stepAfter", "lineWidth": 1, "fillOpacity": 10}
    # A lone value between two gaps is a point; without points it would be invisible
    lines |= {"spanNulls": False, "showPoints": "auto", **(custom or {})}
    return _time_series(title, description, place, targets, interval, defaults, lines)


def _time_series(
    title: Text,
    description: Text,
    place: tuple[int, int, int, int],
    targets: list[dict[str, Any]],
    interval: str,
    defaults: dict[str, Any],
    custom: dict[str, Any],
) -> dict[str, Any]:
    return _panel(
        "timeseries",
        title,
        description,
        place,
        targets,
        interval=interval,
        defaults={**defaults, "custom": custom},
        options={"legend": LEGEND, "tooltip": {"mode": "multi", "sort": "none"}},
    )


def _timeline(
    title: Text,
    description: Text,
    place: tuple[int, int, int, int],
    targets: list[dict[str, Any]],
    *,
    interval: str,
    defaults: dict[str, Any],
) -> dict[str, Any]:
    return _panel(
        "state-timeline",
        title,
        description,
        place,
        targets,
        interval=interval,
        defaults={**defaults, "custom": {"fillOpacity": 80, "lineWidth": 0}},
        options={
            "mergeValues": True,
            "showValue": "never",
            "rowHeight": 0.8,
            "legend": LEGEND,
            "tooltip": {"mode": "single", "sort": "none"},
        },
    )


def _series(ref_id: str, query: str, alias: str | Text) -> dict[str, Any]:
    return {**_target(ref_id, query), "resultFormat": "time_series", "alias": alias}


def _table(ref_id: str, query: str) -> dict[str, Any]:
    return {**_target(ref_id, query), "resultFormat": "table"}


def _target(ref_id: str, query: str) -> dict[str, Any]:
    return {"refId": ref_id, "datasource": DATASOURCE, "rawQuery": True, "query": query}


def _states(bad: Text, good: Text) -> list[dict[str, Any]]:
    """Words for a field that is true where something is wrong."""
    options = {
        "true": {"index": 0, "text": bad, "color": "red"},
        "false": {"index": 1, "text": good, "color": "green"},
    }
    return [{"type": "value", "options": options}]


def _thresholds(base: str, *steps: tuple[float, str]) -> dict[str, Any]:
    above = [{"value": value, "color": color} for value, color in steps]
    return {"mode": "absolute", "steps": [{"value": None, "color": base}, *above]}


def _override(matcher: str, what: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "matcher": {"id": matcher, "options": what},
        "properties": [{"id": key, "value": value} for key, value in properties.items()],
    }


# ------------------------------------------------------------------------------------------------------ writing


def in_language(node: Any, language: str) -> Any:
    """The same structure with each `Text` replaced by its words in `language`."""
    if isinstance(node, Text):
        return getattr(node, language)
    if isinstance(node, dict):
        return {key: in_language(value, language) for key, value in node.items()}
    if isinstance(node, list):
        return [in_language(value, language) for value in node]
    return node


def files() -> dict[Path, str]:
    """What belongs into each generated file."""
    definition = dashboard()
    return {
        FOLDER / f"{name}.json": json.dumps(in_language(definition, language), ensure_ascii=False, indent=2)
        + "\n"
        for language, name in LANGUAGES.items()
    }


def main(arguments: Sequence[str]) -> int:
    check = list(arguments) == ["--check"]
    if arguments and not check:
        print(f"usage: {Path(__file__).name} [--check]", file=sys.stderr)
        return 2
    stale = 0
    for path, text in files().items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        if check:
            print(f"{path} is not what build.py makes: run python3 dashboards/build.py", file=sys.stderr)
            stale = 1
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
