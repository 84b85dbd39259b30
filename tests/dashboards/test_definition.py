"""The dashboards' JSON and Grafana's provisioning files: built from one source, complete, and fitting together."""

import importlib.util
import itertools
import re
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.dashboards.grafana import FOLDER, dashboard, targets

NAMES = ("footfall-live", "footfall-live-en")
SCHEMA = {  # measurement -> tags and fields, as documented
    "footfall_hour": "site door in out covered_s faults calibrated_in calibrated_out undirected",
    "footfall_quarter": "site door in out covered_s faults calibrated_in calibrated_out undirected",
    "passersby_hour": "site door passers_by covered_s",
    "capture_hour": "site door visitors passers_by covered_s",
    "occupancy": "site persons in_today out_today capacity",
    "node_health": "site node uptime_s heap_free spool_depth rssi clock_error_ms beam_blocked missing noisy safe crashes",
    "gateway_health": "gateway lag_s outbox quarantined records_per_s",
}
TARGETS = [
    pytest.param(panel, target, id=f"{name}-{panel['id']}{target['refId']}")
    for name in NAMES
    for panel, target in targets(dashboard(name))
]
PANELS = [
    pytest.param(panel, id=f"{name}-{panel['id']}") for name in NAMES for panel in dashboard(name)["panels"]
]


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """dashboards/build.py"""
    spec = importlib.util.spec_from_file_location("dashboards_build", FOLDER / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def provisioned(name: str) -> Any:
    return yaml.safe_load(
        (FOLDER / "grafana/provisioning" / name / "footfall.yaml").read_text(encoding="utf-8")
    )


def test_the_committed_dashboards_are_what_the_definition_makes(build: ModuleType) -> None:
    made = {path.name: text for path, text in build.files().items()}
    assert made == {
        f"{name}.json": (FOLDER / f"grafana/{name}.json").read_text(encoding="utf-8") for name in NAMES
    }


def test_a_stale_dashboard_is_named_and_then_written(
    build: ModuleType, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    assert build.main(["--check"]) == 1
    assert "footfall-live.json is not what build.py makes" in capsys.readouterr().err
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0


def test_both_languages_ask_the_same_and_say_it_in_their_own_words() -> None:
    german, english = (dashboard(name) for name in NAMES)
    assert [t["query"] for _, t in targets(german)] == [t["query"] for _, t in targets(english)]
    for de, en in zip(german["panels"], english["panels"], strict=True):
        assert de["gridPos"] == en["gridPos"]
        assert de["title"] != en["title"]
        assert de["description"] != en["description"]


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_has_what_grafana_needs(name: str) -> None:
    shown = dashboard(name)
    assert shown["uid"] == name
    assert shown["id"] is None
    assert shown["schemaVersion"] == 42
    assert shown["timezone"] == "Europe/Berlin"
    assert shown["weekStart"] == "monday"
    assert {"title", "panels", "templating", "time", "refresh", "annotations"} <= shown.keys()
    for variable in shown["templating"]["list"]:
        assert variable["query"]["query"].startswith("SHOW TAG VALUES FROM ")
        assert variable["multi"]
        assert variable["includeAll"]
        assert variable["allValue"] == ".*"


@pytest.mark.parametrize("name", NAMES)
def test_panels_have_their_own_numbers_and_do_not_lie_on_each_other(name: str) -> None:
    panels = dashboard(name)["panels"]
    numbers = [panel["id"] for panel in panels]
    assert len(set(numbers)) == len(numbers)
    for one, other in itertools.combinations((panel["gridPos"] for panel in panels), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_explains_itself_and_its_overrides_meet_something(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"]
    ref_ids = [target["refId"] for target in panel["targets"]]
    assert len(set(ref_ids)) == len(ref_ids)
    queries = " ".join(target["query"] for target in panel["targets"])
    columns = {"Time", *re.findall(r'"(\w+)"', queries)}
    for override in panel["fieldConfig"]["overrides"]:
        known = {"byFrameRefID": set(ref_ids), "byName": columns}[override["matcher"]["id"]]
        assert override["matcher"]["options"] in known


@pytest.mark.parametrize(("panel", "target"), TARGETS)
def test_a_query_names_only_what_the_schema_has_and_reaches_the_provisioned_database(
    panel: dict[str, Any], target: dict[str, Any]
) -> None:
    [datasource] = provisioned("datasources")["datasources"]
    assert panel["datasource"] == target["datasource"] == {"type": "influxdb", "uid": datasource["uid"]}
    assert target["rawQuery"] is True
    [measurement] = re.findall(r'FROM "(\w+)"', target["query"])
    assert set(re.findall(r'"(\w+)"', target["query"])) <= {measurement, *SCHEMA[measurement].split()}
    grouped = target["query"].rpartition("GROUP BY")[2]
    for tag in re.findall(r"\$tag_(\w+)", target.get("alias", "")):
        assert f'"{tag}"' in grouped


@pytest.mark.parametrize(("panel", "target"), TARGETS)
def test_a_query_of_days_names_its_time_zone_and_one_of_hours_its_hour(
    panel: dict[str, Any], target: dict[str, Any]
) -> None:
    assert ("time(1d)" in target["query"]) == target["query"].endswith("tz('Europe/Berlin')")
    if "$__interval" in target["query"]:
        assert panel["interval"]  # never finer than what is written


def test_no_secret_stands_in_the_provisioning() -> None:
    [datasource] = provisioned("datasources")["datasources"]
    assert datasource["secureJsonData"] == {"password": "$FOOTFALL_GRAFANA_READS"}
    assert datasource["jsonData"]["httpMode"] == "POST"
    assert "version" not in datasource["jsonData"]  # absent: InfluxQL
    assert datasource["editable"] is False


def test_the_dashboards_are_read_only_in_grafana() -> None:
    [provider] = provisioned("dashboards")["providers"]
    assert provider["type"] == "file"
    assert provider["allowUiUpdates"] is False
