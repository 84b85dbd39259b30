"""The light barrier against people: what walked is the truth, the counter is judged by it."""

import re
from pathlib import Path

import pytest

from footfall_core.beam import Barrier
from footfall_simulator.accuracy import OTHER_SCENES, Score, count_edges, main, match, measure, table, wilson
from footfall_simulator.behaviours import BEHAVIOURS
from footfall_simulator.people import IN, OUT, Beams, Crossing, Edge

BEAMS = Beams()


def test_single_file_people_are_counted_right_in_at_least_995_of_1000():
    score = measure("single_file", 20_000, seed=1, beams=BEAMS)
    assert score.true == 20_000
    assert score.right + score.wrong_way + score.missed == 20_000
    assert score.share >= 0.995, score


@pytest.mark.parametrize("name", ["back_before", "leaf", "insect"])
def test_nobody_is_counted_where_nobody_passes(name):
    score = measure(name, 400, seed=2, beams=BEAMS)
    assert (score.true, score.counted) == (0, 0)


def test_people_below_the_beams_are_missed_and_the_table_says_so():
    score = measure("child_below", 50, seed=3, beams=BEAMS)
    assert (score.true, score.missed, score.share) == (50, 50, 0.0)
    line = table([score], BEAMS, 3).splitlines()[-1]
    assert line.startswith("| Child below the beams | 50 | 50 | 0 | 0 | 50 | 0 | 0.00% |")


def test_a_lower_beam_sees_the_children():
    assert measure("child_below", 50, seed=3, beams=Beams(height_mm=900)).true == 50
    assert measure("child_above", 200, seed=3, beams=Beams(height_mm=900)).share > 0.9


def test_side_by_side_counts_about_one_of_two():
    assert 0.4 < measure("side_by_side", 200, seed=4, beams=BEAMS).share < 0.65


# --- the judge itself, on cases done by hand ---

A, B = Crossing(1000, IN), Crossing(5000, OUT)


@pytest.mark.parametrize(
    ("true", "counted", "right", "wrong_way", "missed", "extra"),
    [
        ([A, B], [A, B], 2, 0, 0, 0),
        ([A, B], [Crossing(1900, IN), Crossing(4100, OUT)], 2, 0, 0, 0),
        ([A], [Crossing(2001, IN)], 0, 0, 1, 1),
        ([A], [Crossing(1100, OUT)], 0, 1, 0, 0),
        ([A], [A, Crossing(1400, IN)], 1, 0, 0, 1),
        ([A, Crossing(1500, IN)], [Crossing(1500, IN)], 1, 0, 1, 0),
        ([A, Crossing(1200, OUT)], [Crossing(1200, IN), Crossing(1000, OUT)], 2, 0, 0, 0),
        ([], [A], 0, 0, 0, 1),
        ([A], [], 0, 0, 1, 0),
        # The extra count of the first does not take the only count of the second.
        ([A, Crossing(1900, IN)], [A, Crossing(1300, IN), Crossing(1900, IN)], 2, 0, 0, 1),
    ],
)
def test_counts_are_matched_one_to_one_in_time_and_direction(true, counted, right, wrong_way, missed, extra):
    matched = match(true, counted)
    assert len(matched.right) == right
    assert len(matched.wrong_way) == wrong_way
    assert len(matched.missed) == missed
    assert len(matched.extra) == extra


def test_extra_counts_lower_the_share_right():
    score = Score("single_file", 10, 10, 11, right=10, wrong_way=0, missed=0, extra=1, clean_scenes=9)
    assert score.share == pytest.approx(10 / 11)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 0, 0.0, 1.0), (10, 10, 0.7225, 1.0), (50, 100, 0.4038, 0.5962), (0, 20, 0.0, 0.1611)],
)
def test_wilson_agrees_with_published_values(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx((low, high), abs=0.0002)


def test_counting_reports_the_moment_the_second_beam_cleared():
    edges = [Edge(1000, 1), Edge(1070, 3), Edge(1250, 2), Edge(1320, 0)]
    assert count_edges(edges) == [Crossing(1320, IN)]
    mirrored = [Edge(1000, 2), Edge(1070, 3), Edge(1250, 1), Edge(1320, 0)]
    assert count_edges(mirrored, Barrier()) == [Crossing(1320, OUT)]
    assert count_edges([]) == []


def test_the_report_lists_every_behaviour(capsys):
    assert main(["--people", "20", "--scenes", "3"]) == 0
    printed = capsys.readouterr()
    for behaviour in BEHAVIOURS.values():
        assert re.search(rf"^\| {re.escape(behaviour.title)} \| (20|3) \|", printed.out, re.MULTILINE)
    assert "Single file" in printed.err, "it says what it is doing while it works"


def test_the_report_is_the_same_for_the_same_seed(capsys):
    reports = []
    for _ in range(2):
        main(["--people", "30", "--scenes", "3", "--seed", "7"])
        reports.append(capsys.readouterr().out)
    assert reports[0] == reports[1]


def test_a_senseless_number_is_refused_in_words(capsys):
    assert main(["--people", "0"]) == 2
    assert "'--people': 0 is not in the range x>=1" in capsys.readouterr().err


def test_the_siting_report_compares_heights_and_spacings(capsys):
    assert main(["--siting", "--scenes", "20"]) == 0
    rows = re.findall(r"^\| \d+ mm \| \d+ mm \|.*", capsys.readouterr().out, re.MULTILINE)
    assert len(rows) == 14
    assert rows[0].startswith("| 100 mm | 800 mm |")


def test_ctrl_c_ends_the_report_with_a_word(capsys, mocker):
    mocker.patch("footfall_simulator.accuracy.measure", side_effect=KeyboardInterrupt)
    assert main([]) == 130
    assert capsys.readouterr().err.endswith("stopped\n")


def test_the_table_is_written_between_its_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Page\n<!-- accuracy -->\nold\n<!-- /accuracy -->\nend\n", "utf-8")
    assert main(["--people", "10", "--scenes", "2", "--write", str(page)]) == 0
    text = page.read_text("utf-8")
    assert text.startswith("# Page\n<!-- accuracy -->\nSeed 1;")
    assert text.endswith("|\n<!-- /accuracy -->\nend\n")
    assert "old" not in text


@pytest.mark.parametrize(
    ("text", "words"), [("# Page\n", "has no lines <!-- accuracy -->"), (None, "No such file")]
)
def test_a_page_that_cannot_take_the_table_is_named(tmp_path, capsys, text, words):
    page = tmp_path / "page.md"
    if text is not None:
        page.write_text(text, "utf-8")
    assert main(["--people", "10", "--scenes", "2", "--write", str(page)]) == 1
    last_line = capsys.readouterr().err.splitlines()[-1]
    assert last_line.startswith(f"{page}: {words}")


@pytest.mark.parametrize("name", ["child_below", "tailgating_200", "back_last", "hand"])
def test_the_documented_table_is_what_this_code_gives(name):
    """A row of docs/accuracy.md that differs wants `footfall simulate accuracy --write docs/accuracy.md`."""
    documented = (Path(__file__).parents[2] / "docs" / "accuracy.md").read_text("utf-8").splitlines()
    row = table([measure(name, OTHER_SCENES, 1, BEAMS)], BEAMS, 1).splitlines()[-1]
    assert row in documented
