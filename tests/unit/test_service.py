"""The parts put together: what a start of the gateway says."""

from pathlib import Path

import pytest

from footfall_gateway.ingest import Batch
from footfall_gateway.ledger import Ledger
from footfall_gateway.service import Gateway, ledger_path
from footfall_gateway.settings import Settings, load_settings

NOW_MS = 1_780_045_200_000
SETTINGS = """
[[serial]]
port = "/dev/no-such-port"
node = "ff-new"
[[site]]
id = "lab"
timezone = "Europe/Berlin"
"""
OLD = """[[site.door]]
id = "main"
node = "ff-old"
"""
NEW = """[[site.door]]
id = "main"
node = "ff-new"
valid_from = 2026-05-29
"""


def settings(folder: Path, doors: str) -> Settings:
    file = folder / "footfall.toml"
    file.write_text(SETTINGS + doors)
    return load_settings(file)


@pytest.mark.parametrize(
    ("doors", "told"),
    [
        pytest.param(NEW, ["ff-old"], id="the old entry was overwritten"),
        pytest.param(OLD + NEW, [], id="the new one stands beside it"),
    ],
)
def test_a_node_whose_hours_would_vanish_is_named_at_the_start(tmp_path, caplog, doors, told):
    chosen = settings(tmp_path, doors)
    with Ledger.open(ledger_path(chosen)) as ledger:
        records = ((0, "C", NOW_MS - 86_400_000, "gw"), (1000, "P", 0, 1, 400))
        ledger.store([Batch("ff-old", "8f3a01c2", 1, 1, records)], now_ms=NOW_MS)
    gateway = Gateway(chosen, lambda: NOW_MS)
    gateway.start()
    gateway.stop()
    assert gateway.failure is None
    named = [
        one.args[0] for one in caplog.records if "no door or terminal in the settings names" in one.message
    ]
    assert named == told
