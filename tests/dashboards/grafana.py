"""What Grafana does between a dashboard's JSON and InfluxDB, as far as these dashboards use it.

Written from Grafana's own sources (public/app/plugins/datasource/influxdb, pkg/tsdb/influxdb): the browser replaces the
dashboard's variables, the server `$timeFilter` and `$__interval`, sends the query with epoch=ms, and names each series
by the target's alias.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.servers import InfluxDB

FOLDER = Path(__file__).parents[2] / "dashboards"
ALL = ".*"  # the variables' own allValue; it goes into the query as it is
DATABASE = "footfall"

Dashboard = dict[str, Any]
Target = dict[str, Any]
Series = dict[str, dict[int, Any]]  # name -> time in ms -> value


def dashboard(name: str) -> Dashboard:
    loaded: Dashboard = json.loads((FOLDER / "grafana" / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def targets(dashboard: Dashboard) -> Iterator[tuple[dict[str, Any], Target]]:
    """Each panel with each of its queries."""
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel, target


def panel(dashboard: Dashboard, title: str) -> dict[str, Any]:
    [found] = [panel for panel in dashboard["panels"] if panel["title"] == title]
    return found


def target(dashboard: Dashboard, title: str, ref_id: str = "A") -> Target:
    [found] = [target for target in panel(dashboard, title)["targets"] if target["refId"] == ref_id]
    return found


def replace_variables(text: str, variables: Mapping[str, list[str] | str]) -> str:
    """A list is a choice of several values: escaped and alternatives of a regular expression, also if it is but one."""
    for name, chosen in variables.items():
        words = chosen if isinstance(chosen, str) else f"({'|'.join(map(_escaped, chosen))})"
        text = re.sub(rf"\${name}\b", lambda _, words=words: words, text)
    return text


def sent_query(
    target: Target,
    from_ms: int,
    to_ms: int,
    *,
    interval: str = "1m",
    site: list[str] | str = ALL,
    door: list[str] | str = ALL,
) -> str:
    query = replace_variables(target["query"], {"site": site, "door": door})
    query = query.replace("$timeFilter", f"time >= {from_ms}ms and time <= {to_ms}ms")
    query = query.replace("$__interval", interval)
    assert "$" not in re.sub(r"/\^.*?\$/", "", query), f"not replaced: {query}"
    return query


def series(server: InfluxDB, target: Target, from_ms: int, to_ms: int, **how: Any) -> Series:
    """What a panel draws for a target with resultFormat time_series."""
    assert target["resultFormat"] == "time_series"
    drawn: Series = {}
    for row in server.query(sent_query(target, from_ms, to_ms, **how), DATABASE):
        tags = {key: value for key, value in row.items() if key in {"site", "door", "node", "gateway"}}
        [value] = [value for key, value in row.items() if key not in tags and key != "time"]
        name = re.sub(r"\$tag_(\w+)", lambda match, tags=tags: tags[match[1]], target["alias"])
        points = drawn.setdefault(name, {})
        assert row["time"] not in points, (
            f"{name}: two values at {row['time']}, two series have the same name"
        )
        points[row["time"]] = value
    return drawn


def table(server: InfluxDB, target: Target, from_ms: int, to_ms: int, **how: Any) -> list[dict[str, Any]]:
    """The rows that a table shows; the time column is called Time there."""
    assert target["resultFormat"] == "table"
    rows = server.query(sent_query(target, from_ms, to_ms, **how), DATABASE)
    return [{"Time" if key == "time" else key: value for key, value in row.items()} for row in rows]


def latest(drawn: Series) -> dict[str, Any]:
    """What a stat panel shows: the last value of each series that is not null; None is shown as the panel's noValue."""
    return {
        name: next((value for _, value in sorted(points.items(), reverse=True) if value is not None), None)
        for name, points in drawn.items()
    }


def _escaped(value: str) -> str:
    return re.sub(r"([\\^$*+?.()|\[\]{}/])", r"\\\1", value)
