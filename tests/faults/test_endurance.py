"""Days of the real firmware with everything going wrong: the short version of `make soak` (endurance.py)."""

from pathlib import Path

import pytest

from tests.faults import endurance
from tests.servers import Mosquitto

DAYS = 2
PEOPLE_A_DAY = 60
SEED = 4  # one of whose power cuts hits somebody


@pytest.mark.timeout(600)
def test_days_of_wifi_losses_power_cuts_and_restarts_end_with_everybody_counted_once_and_a_flat_heap(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    lines: list[str] = []
    happened = endurance.run(tmp_path, mosquitto, DAYS, PEOPLE_A_DAY, SEED, lines.append)
    assert happened["cut"] == happened["broker"] == DAYS
    assert happened["wifi down"] == 2 * DAYS
    assert happened["gateway"] == 1
    assert happened["lost to cuts"] > 0, "no power cut hit anybody: the accounting for it was not on trial"
    assert [line.split(":")[0].split(" of")[0] for line in lines[:DAYS]] == ["day  1", "day  2"]
