"""The build guide: both languages alike, a picture and a check for every step, and commands that are there and run."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from footfall_gateway.cli import cli
from footfall_gateway.commissioning.german import GERMAN, TOLD
from footfall_gateway.settings import load_settings

ROOT = Path(__file__).parents[2]
HARDWARE = ROOT / "hardware"
LANGUAGES = ("de", "en")
CHECKS = {"de": r"\*\*Sie (sehen|messen)", "en": r"\*\*You (see|measure)"}
ELSEWHERE = ("python3 -m venv", "~/footfall/bin/pip install", "export PATH=", "sudo systemctl")


def text(language: str) -> str:
    return (HARDWARE / f"build-guide.{language}.md").read_text("utf-8")


def steps(language: str) -> list[str]:
    """The numbered sections."""
    return re.split(r"^## (?=\d)", text(language).rpartition("\n## ")[0], flags=re.MULTILINE)[1:]


def shell(language: str) -> list[str]:
    return [
        line
        for body in re.findall(r"```sh\n(.*?)```", text(language), re.DOTALL)
        for line in body.splitlines()
    ]


def pictures(step: str) -> list[str]:
    return [re.sub(r"\.(de|en)\.", ".", path) for path in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", step)]


def test_the_steps_are_numbered_and_the_same_in_both_languages():
    numbers = {lang: [int(step.split(".")[0]) for step in steps(lang)] for lang in LANGUAGES}
    assert numbers["de"] == numbers["en"] == list(range(1, len(numbers["de"]) + 1))
    assert [pictures(step) for step in steps("de")] == [pictures(step) for step in steps("en")]
    assert shell("de") == shell("en")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("number", range(1, 13))
def test_every_step_has_a_picture_and_says_what_to_see(language, number):
    step = steps(language)[number - 1]
    assert pictures(step)
    assert re.search(CHECKS[language], step)


def test_both_tables_of_trouble_have_the_same_rows():
    rows = [text(language).rpartition("|---|---|")[2].strip().count("\n") for language in LANGUAGES]
    assert rows[0] == rows[1] > 8


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_picture_of_the_guides_folder_is_shown(language):
    shown = re.findall(r"\(pictures/([^)]+)\)", text(language))
    there = {
        path.name
        for path in (HARDWARE / "pictures").iterdir()
        if f".{language}." in path.name or "." not in path.stem
    }
    assert set(shown) == there


def test_every_line_to_type_is_a_command_of_ours_or_one_that_every_such_laptop_has():
    for line in shell("en"):
        assert line.startswith(("footfall ", *ELSEWHERE)), line


def test_the_commands_that_need_no_board_run_as_they_stand(tmp_path, monkeypatch):
    """In the order of the guide, in one folder; what needs a board is run against a virtual one in tests/contract."""
    monkeypatch.chdir(tmp_path)
    [door] = re.findall(r"```toml\n(.*?)```", text("en"), re.DOTALL)
    example = (ROOT / "gateway/footfall.example.toml").read_text("utf-8")
    head, _, _ = example.partition("[[site.door]]")
    Path("footfall.toml").write_text(head.partition("[influxdb]")[0] + head[head.index("[[site]]") :] + door)
    assert load_settings("footfall.toml").sites[0].doors[0].node == "ff-3c71bf4a"
    ran = []
    for line in shell("en"):
        words = shlex.split(line.removeprefix("footfall "))
        if not line.startswith("footfall ") or "--micropython" in words or words[0] in ("node", "accept"):
            continue
        words = [word for word in words if word != "--connect"]  # no broker here
        done = CliRunner().invoke(cli, words)
        if words[:1] == ["status"]:  # no gateway has run here: it says so, and how to start one
            assert "Traceback" not in done.output
            assert done.exit_code != 2, done.output
        else:
            assert done.exit_code == 0, done.output
        ran.append(words[0])
    assert ran == ["config", "status"]


def test_the_questions_that_the_guide_answers_are_asked():
    said = {"en": GERMAN.keys(), "de": GERMAN.values()}
    answers = {
        "en": ("terminal", "both", "bare"),
        "de": [GERMAN[one] for one in ("terminal", "both", "bare")],
    }
    for language in LANGUAGES:
        step = steps(language)[4]
        [asked] = re.findall(r"[„\"]((?:Is it wired|Ist es verdrahtet)[^?]+\?)", step)
        assert asked in said[language]
        for answer in answers[language]:
            assert f"`{answer}`" in step
    for part in ("flash", "wifi", "broker", "time"):
        assert f"`{part}`" in steps("en")[4]
        assert f"`{TOLD[part]}`" in steps("de")[4]
    assert "Lichtschranken: …" in steps("de")[4]
    assert GERMAN["Light barriers: ready-made, or bare LEDs"].startswith("Lichtschranken: ")


def test_the_status_lamp_shows_what_the_drawing_and_the_guide_say():
    lamp = (ROOT / "firmware/node/beacon.py").read_text("utf-8").partition("where one is configured:\n\n")[2]
    shown = [re.split(r" {2,}", line.strip())[0] for line in lamp.partition("\n\n")[0].splitlines()]
    assert {"lit", "slow blinking"} <= set(shown)
    drawn = (HARDWARE / "drawings/status-lamp.en.svg").read_text("utf-8").replace("\u00a0", " ").lower()
    for pattern in shown:
        assert pattern in drawn
    aligning = (ROOT / "firmware/node/aligning.py").read_text("utf-8").partition('"""')[2].partition('"""')[0]
    for pattern in ("one flash", "two", "three", "lit"):
        assert pattern in aligning
        assert pattern in steps("en")[9].lower()
