"""Scenario files: the built-in ones play, bad ones are refused with file, key and expectation in one line."""

import re

import pytest

from footfall_simulator.behaviours import BEHAVIOURS
from footfall_simulator.scenario import ScenarioError, built_in, load_scenario, play

GOOD = """
seed = 1
people = 20
[[door]]
name = "main"
[mix]
single_file = 1
"""


def written(tmp_path, text):
    path = tmp_path / "case.toml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("name", built_in())
def test_every_built_in_scenario_plays(name):
    performance = play(load_scenario(name))
    assert any(performance.edges.values())
    for edges in performance.edges.values():
        assert [edge.t_ms for edge in edges] == sorted({edge.t_ms for edge in edges})
        assert not edges or edges[-1].state == 0


def test_mischief_is_nobody_in_truth():
    assert play(load_scenario("mischief")).truth == {"main": []}


def test_the_calit2_day_is_the_days_own_number():
    truth = play(load_scenario("calit2_day")).truth["main"]
    assert sum(crossing.direction == 1 for crossing in truth) == 369
    assert sum(crossing.direction == -1 for crossing in truth) == 333


def test_the_same_file_gives_the_same_performance(tmp_path):
    path = written(tmp_path, GOOD)
    assert play(load_scenario(path)) == play(load_scenario(path))


def test_another_seed_gives_other_people(tmp_path):
    first = play(load_scenario(written(tmp_path, GOOD)))
    second = play(load_scenario(written(tmp_path, GOOD.replace("seed = 1", "seed = 2"))))
    assert first.edges != second.edges


def test_people_are_shared_out_among_the_doors(tmp_path):
    text = GOOD.replace("people = 20", "people = 400") + '\n[[door]]\nname = "yard"\nshare = 3\n'
    walks = play(load_scenario(written(tmp_path, text))).walks
    assert len(walks["main"]) + len(walks["yard"]) == 400
    assert 60 < len(walks["main"]) < 140
    assert {walk.door for walk in walks["yard"]} == {"yard"}


@pytest.mark.parametrize(("inwards", "directions"), [(1, {1}), (0, {-1})])
def test_inwards_says_how_many_go_in(tmp_path, inwards, directions):
    truth = play(load_scenario(written(tmp_path, f"inwards = {inwards}\n{GOOD}"))).truth["main"]
    assert {crossing.direction for crossing in truth} == directions


def test_random_arrivals_overlap_and_single_file_does_not(tmp_path):
    text = GOOD.replace("people = 20", "people = 300\nmean_gap_s = 0.6")
    single = play(load_scenario(written(tmp_path, text)))
    crowd = play(load_scenario(written(tmp_path, 'arrivals = "random"\n' + text)))
    blocks = [sum(edge.state == 0 for edge in p.edges["main"]) for p in (single, crowd)]
    assert blocks[0] >= 300 > blocks[1]


def test_a_start_is_where_the_clock_begins(tmp_path):
    path = written(tmp_path, "start = 2026-05-04T10:00:00+02:00\n" + GOOD)
    first = play(load_scenario(path)).edges["main"][0].t_ms
    assert 0 < first - 1_777_881_600_000 < 60_000


def test_a_profile_beside_the_scenario_is_found(tmp_path):
    (tmp_path / "hours.csv").write_text("start,in,out\n2026-05-04T09:00,7,3\n", "utf-8")
    path = written(tmp_path, 'seed = 1\n[[door]]\nname = "main"\n[profile]\nfile = "hours.csv"\n')
    truth = play(load_scenario(path)).truth["main"]
    assert sorted(crossing.direction for crossing in truth) == [-1] * 3 + [1] * 7


@pytest.mark.parametrize(
    ("change", "key", "expected"),
    [
        (("seed = 1", "sead = 1"), "sead", "did you mean 'seed'"),
        (("seed = 1", ""), "seed", "is missing"),
        (("seed = 1", 'seed = "one"'), "seed", "expected int, got str"),
        (("seed = 1", "seed = -1"), "seed", "expected int >= 0"),
        (("people = 20", "people = 0"), "people", "expected int >= 1"),
        (("people = 20", ""), "people", "is missing"),
        (('name = "main"', 'name = "Main Door"'), "door[0].name", "a-z, 0-9 and -"),
        (('name = "main"', 'name = "main"\nspacing = 90'), "door[0].spacing", "did you mean 'spacing_mm'"),
        (('name = "main"', 'name = "main"\nheight_mm = 5'), "door[0].height_mm", "expected int >= 200"),
        (("[mix]", '[[door]]\nname = "main"\n[mix]'), "door[1].name", "there twice"),
        (("single_file = 1", "singel_file = 1"), "mix.singel_file", "did you mean 'single_file'"),
        (("single_file = 1", "single_file = -1"), "mix.single_file", "0 or more"),
        (("single_file = 1", 'single_file = "all"'), "mix.single_file", "0 or more"),
        (("single_file = 1", "single_file = nan"), "mix.single_file", "0 or more"),
        (("single_file = 1", "single_file = 0"), "mix", "share above 0"),
        (("seed = 1", 'seed = 1\narrivals = "crowd"'), "arrivals", "crowd"),
        (("seed = 1", "seed = 1\nstart = 2026-05-04T08:00:00"), "start", "offset"),
        (("seed = 1", 'seed = 1\nfolder = "x"'), "folder", "unknown key"),
        (("[mix]", "[profile]\ndays = 1\n[mix]"), "people", "not with [profile]"),
        (("seed = 1", "seed = = 1"), "", "not valid TOML"),
    ],
)
def test_a_bad_scenario_is_one_line_with_file_key_and_expectation(tmp_path, change, key, expected):
    assert change[0] in GOOD
    path = written(tmp_path, GOOD.replace(*change, 1))
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    message = str(caught.value)
    assert re.match(re.escape(f"{path}: {key}"), message)
    assert expected in message
    assert "\n" not in message
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ('timezone = "Mars/Base"', ["profile.timezone", "Europe/Berlin"]),
        ('file = "none.csv"', ["none.csv", "expected a CSV"]),
        ("first_day = 2031-01-01", ["no counts for the days"]),
        ('people = "robots"', ["profile.people", "robots"]),
        ("day = 3", ["profile.day", "did you mean 'days'"]),
    ],
)
def test_a_bad_profile_section_is_one_line(tmp_path, profile, words):
    path = written(tmp_path, f'seed = 1\n[[door]]\nname = "main"\n[profile]\n{profile}\n')
    with pytest.raises(ScenarioError) as caught:
        play(load_scenario(path))
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_counts_of_a_door_that_the_scenario_lacks_are_refused(tmp_path):
    (tmp_path / "hours.csv").write_text("door,start,in,out\nattic,2026-05-04T09:00,7,3\n", "utf-8")
    path = written(tmp_path, 'seed = 1\n[[door]]\nname = "main"\n[profile]\nfile = "hours.csv"\n')
    with pytest.raises(ScenarioError, match="'attic' has counts but no"):
        play(load_scenario(path))


@pytest.mark.parametrize("name", ["none.toml", "folder", "binary.toml"])
def test_a_scenario_that_cannot_be_read_is_one_line(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScenarioError, match=name):
        load_scenario(tmp_path / name)


def test_every_behaviour_can_be_mixed(tmp_path):
    mix = "\n".join(f"{name} = 1" for name in BEHAVIOURS)
    text = GOOD.replace("single_file = 1", mix).replace("people = 20", "people = 200")
    walks = play(load_scenario(written(tmp_path, text))).walks["main"]
    assert len({walk.behaviour for walk in walks}) > len(BEHAVIOURS) * 0.8
