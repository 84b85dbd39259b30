"""The benchmark runs, and its competitors really count the same: not how fast, which no test asserts."""

import numpy as np
import pytest

from footfall_gateway.counting import BarrierSettings, count_buckets
from tests.bench import bench_counting, passages_c
from tests.bench.traffic import SCENES, traffic
from tests.differential import seeded


def test_a_small_run_compares_all_results_and_says_whether_the_targets_are_met(capsys):
    assert bench_counting.main(["--edges", "60000", "--rounds", "1"]) == 0
    said = capsys.readouterr().out
    assert "60,000 edges" in said
    for name in (bench_counting.C, bench_counting.ONE, "compiled engine, 2 threads", "the pure engine"):
        assert name in said.partition("all equal: ")[2].partition("\n")[0]
    assert said.count(" wanted: ") == 2


def test_a_difference_between_two_engines_ends_the_run(mocker):
    mocker.patch.object(passages_c, "rows_of", return_value=[])
    with pytest.raises(SystemExit, match="differ"):
        bench_counting.main(["--edges", "5000", "--rounds", "1"])


def test_a_benchmark_without_a_compiler_says_what_it_needs(mocker, capsys):
    mocker.patch.dict("os.environ", {"PATH": ""})
    assert bench_counting.main(["--edges", "5000"]) == 2
    assert "gcc is needed" in capsys.readouterr().err


def test_c_counts_what_the_engine_counts_whatever_the_edges_and_settings(tmp_path):
    in_c = passages_c.PassagesInC()
    compared = 0
    for settings, rows in seeded.write_recordings(tmp_path / "rows", seed=31, edges=150_000):
        if any(state > 3 or t_ms < 0 for _, t_ms, state in rows) or rows != sorted(
            rows, key=lambda row: row[:2]
        ):
            continue  # to be refused
        sensors, t_ms, states = zip(*rows, strict=True)
        columns = np.array(sensors, np.int32), np.array(t_ms, np.int64), np.array(states, np.uint8)
        counted = in_c.count(columns, passages_c.Settings(*settings))
        expected = count_buckets(*columns, settings=BarrierSettings(*settings[:4]), width_ms=settings[4])
        assert passages_c.rows_of(counted) == [tuple(bucket) for bucket in expected]
        compared += len(counted)
    assert compared > 5000


def test_drawn_traffic_is_sorted_seeded_and_of_people():
    columns = traffic(50_000, 3, seed=7)
    assert [len(column) for column in columns] == [50_000] * 3
    order = np.lexsort((columns.t_ms, columns.sensors))
    assert (order == np.arange(50_000)).all()
    assert set(np.unique(columns.sensors)) == {0, 1, 2}
    assert all((one == other).all() for one, other in zip(columns, traffic(50_000, 3, seed=7), strict=True))
    assert not (columns.t_ms == traffic(50_000, 3, seed=8).t_ms).all()
    counted = list(count_buckets(*columns))
    edges_a_crossing = sum(share * (len(held) + 1) for share, held in SCENES) / 1000
    people = sum(bucket.went_in + bucket.went_out for bucket in counted)
    # By the shares of SCENES 90 to 97 of 100 crossings are people, some of them two
    assert 0.85 < people / (50_000 / edges_a_crossing) < 1.0
