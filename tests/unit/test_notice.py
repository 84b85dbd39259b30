"""The notice for the door: one page, both languages alike, nothing that the privacy page does not say, no seal of approval."""

import importlib
import re
import sys
from pathlib import Path

import pytest

from footfall_gateway.settings import load_settings
from tests.large_programs import needs_large_program

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "hardware"))
notice = importlib.import_module("notice")
sys.path.remove(str(ROOT / "hardware"))

VALUES = {
    "operator": "Stadtbücherei <Muster & Co>",
    "contact": "Frau Muster, 01234 567-89, Zimmer 12, frage@musterstadt.example",
    "officer": "datenschutz@musterstadt.example",
    "purpose": "Wir planen damit Öffnungszeiten und Personal und melden die Besuche der Bibliotheksstatistik.",
    "days": "90",
    "backup_days": "30",
}


def template(language: str) -> str:
    return (ROOT / f"hardware/door-notice.{language}.html").read_text("utf-8")


@pytest.mark.parametrize("language", notice.LANGUAGES)
def test_the_notice_has_every_field_and_no_other(language):
    assert sorted(re.findall(r"\{\{(\w+)\}\}", template(language))) == sorted(notice.FIELDS)
    assert f'<html lang="{language}">' in template(language)


@pytest.mark.parametrize("language", notice.LANGUAGES)
def test_what_is_given_stands_there_and_what_is_not_stays_a_line(language):
    text = notice.filled(language, {**VALUES, "officer": ""})
    assert "Stadtbücherei &lt;Muster &amp; Co&gt;" in text
    assert text.count('<span class="fill') == 1
    assert "{{" not in text


def test_a_field_that_is_not_there_is_an_error():
    with pytest.raises(KeyError):
        notice.filled("de", {"town": "Musterstadt"})


@pytest.mark.parametrize("language", notice.LANGUAGES)
def test_no_ruling_and_no_certificate_is_claimed(language):
    words = "DSGVO|GDPR|zertifi|certif|konform|compliant|geprüft|approved|zugelassen|rechtlich|lawful|Aufsichtsbehörde"
    assert re.findall(words, template(language), re.IGNORECASE) == []


# What the notice says: words on it, and the words of docs/privacy.md that it rests on
FACTS = [
    ("de", "in welche Richtung und wie viele Millisekunden", "Zeitpunkt, Tür, Richtung, Dauer des Durchgangs in Millisekunden"),
    ("de", "welche Taste gedrückt wurde und wann", "welche Taste gedrückt wurde und wann"),
    ("de", "Keine Bilder und kein Ton", "Keine Bilder, kein Ton"),
    ("de", "Keine Kennungen von Telefonen, keine Karten, keine Namen", "keine WLAN- oder Bluetooth-Kennungen von Telefonen, keine Karten, keine Namen"),
    ("de", "Niemand wird wiedererkannt", "Das System kann niemanden wiedererkennen"),
    ("de", "nicht verknüpft", "nicht miteinander verknüpft"),
    ("de", "danach bleiben nur Zahlen je Viertelstunde", "danach nur noch Zahlen je Viertelstunde"),
    ("de", "Im Gerät an der Tür bleiben nur die jüngsten", "Ein kleiner Rest (ein Abschnitt von rund 4 kB) bleibt"),
    ("de", "Sicherungskopien werden nach", "eine Kopie enthält einzelne Durchgänge"),
    ("en", "in which direction, and how many milliseconds", "which direction, how many milliseconds it took"),
    ("en", "which button was pressed, and when", "which button was pressed, and when"),
    ("en", "No images and no sound", "No images, no sound"),
    ("en", "No identifiers of phones, no cards, no names", "no WiFi or Bluetooth identifiers of phones, no cards, no names"),
    ("en", "Nobody is recognised", "The system cannot recognise anybody"),
    ("en", "are not linked", "are not linked"),
    ("en", "only numbers per quarter hour remain", "then only numbers per quarter hour"),
    ("en", "keeps the latest ones only", "A small rest (one segment of about 4 kB) stays"),
    ("en", "Backups are deleted after", "a backup holds single passages"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "said", "reason"), FACTS)
def test_what_the_notice_says_stands_on_the_privacy_page(language, said, reason):
    privacy = " ".join((ROOT / "docs/privacy.md").read_text("utf-8").split())
    assert said in template(language)
    assert reason in privacy


def test_the_days_are_the_gateways_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.setattr(notice, "browser", lambda: None)
    settings = load_settings(str(ROOT / "gateway/footfall.example.toml"))
    assert notice.main(["--into", str(tmp_path)]) == 1
    assert f"nach {settings.gateway.retention_days} Tagen" in (tmp_path / "door-notice.de.html").read_text(
        "utf-8"
    )


def test_a_purpose_in_one_language_is_not_printed_in_the_other(tmp_path, capsys):
    with pytest.raises(SystemExit):
        notice.main(["--into", str(tmp_path), "--purpose", "Wir planen Öffnungszeiten."])
    assert "add --language de" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_without_a_browser_it_says_how_to_print(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(notice, "browser", lambda: None)
    assert notice.main(["--into", str(tmp_path), "--language", "de"]) == 1
    assert "open " in capsys.readouterr().err
    assert (tmp_path / "door-notice.de.html").exists()


@pytest.mark.parametrize("language", notice.LANGUAGES)
def test_the_headline_can_be_read_from_one_and_a_half_metres(language):
    [points] = re.findall(r"h1 \{ font-size: (\d+)pt", template(language))
    letter_mm = int(points) * 0.3528 * 0.7  # a capital letter is about 0.7 of the size
    assert letter_mm >= 1500 / 200  # a letter can be read from two hundred times its height


@pytest.mark.parametrize("language", notice.LANGUAGES)
def test_the_text_can_be_read_from_one_metre(language):
    sizes = [float(points) for points in re.findall(r"font(?:-size)?: ([\d.]+)pt", template(language))]
    assert len(sizes) == 4
    x_height_mm = min(sizes) * 0.3528 * 0.547  # of DejaVu Sans
    assert x_height_mm >= 2.6  # nine minutes of arc at 1 m: the least for reading


with_browser = needs_large_program(
    notice.browser(), "no Chromium here: that the notice is one page was not checked"
)


@with_browser
def test_too_long_a_text_is_said_and_not_cut_off(tmp_path, capsys):
    assert (
        notice.main(["--into", str(tmp_path), "--language", "de", "--purpose", "Wir zählen gern. " * 99]) == 1
    )
    assert "has 2 pages: shorten" in capsys.readouterr().err


@with_browser
@pytest.mark.parametrize("values", [VALUES, {}], ids=["filled", "empty"])
@pytest.mark.parametrize("language", notice.LANGUAGES)
def test_it_prints_on_exactly_one_page(language, values, tmp_path):
    page = tmp_path / "notice.html"
    page.write_text(notice.filled(language, values), "utf-8")
    notice.print_pdf(page, tmp_path / "notice.pdf")
    content = (tmp_path / "notice.pdf").read_bytes()
    assert notice.pages(tmp_path / "notice.pdf") == 1
    [width, height] = re.findall(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", content)[0]
    assert float(width) == pytest.approx(595, abs=1.5)
    assert float(height) == pytest.approx(842, abs=1.5)
