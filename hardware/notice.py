"""Fill in the notice for the door and make a page to print: `python hardware/notice.py --help`.

What is not given stays a dotted line, to be filled in by hand. The PDF is made by Chromium, where there is one; the HTML
prints the same from any browser. What the notice says follows docs/privacy.md, tests/unit/test_notice.py compares.
"""

from __future__ import annotations

import argparse
import html
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
LANGUAGES = ("de", "en")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LIMIT_S = 120
FIELDS = {
    "operator": "who counts: town, library, lab",
    "contact": "whom to ask: telephone, e-mail, room",
    "officer": "the data protection officer's contact",
    "purpose": "what for, in a sentence, in the notice's language",
    "days": "after how many days single passages are deleted: retention_days of footfall.toml (default: 90, as there)",
    "backup_days": "after how many days backups are deleted",
}


class NoticeError(Exception):
    """The page cannot be made; the text says why and what to do."""


def filled(language: str, values: dict[str, str]) -> str:
    """The notice as HTML, with the values that are given; the others stay empty lines. An unknown name is a KeyError."""
    for name in values:
        FIELDS[name]
    text = (HERE / f"door-notice.{language}.html").read_text("utf-8")
    line = re.compile(r'(<span class="fill[^>]*>)\{\{(\w+)\}\}(</span>)')
    return line.sub(
        lambda found: html.escape(values.get(found[2], "")) or f"{found[1]}&nbsp;{found[3]}", text
    )


def browser() -> str | None:
    """A program that prints HTML, or None."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def print_pdf(page: Path, target: Path) -> None:
    """Print an HTML page as PDF. Raises NoticeError."""
    program = browser()
    if program is None:
        raise NoticeError(
            f"no Chromium here to make the PDF: open {page} in any browser and print it (A4, no headers, background on)"
        )
    target.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        command = [
            program,
            "--headless",
            "--disable-gpu",
            f"--user-data-dir={profile}",
            "--no-pdf-header-footer",
        ]
        if os.geteuid() == 0:
            command.append("--no-sandbox")  # Chromium refuses root otherwise
        command += [f"--print-to-pdf={target}", page.resolve().as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if not target.exists():
        raise NoticeError(f"Chromium made no PDF of {page}: {done.stderr.strip()[-300:]}")
    if (count := pages(target)) != 1:
        raise NoticeError(f"{target} has {count} pages: shorten what you filled in, so that it fits on one")


def pages(pdf: Path) -> int:
    """How many pages a PDF of Chromium has."""
    return len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="The privacy notice for the door, in German and English, filled in."
    )
    for name, meaning in FIELDS.items():
        default = "90" if name == "days" else ""
        parser.add_argument(f"--{name.replace('_', '-')}", default=default, metavar="TEXT", help=meaning)
    parser.add_argument(
        "--language", choices=LANGUAGES, action="append", help="only this one (default: both)"
    )
    parser.add_argument("--into", type=Path, default=Path("build"), metavar="FOLDER", help="default: build")
    given = parser.parse_args(arguments)
    if given.purpose and len(given.language or LANGUAGES) > 1:
        parser.error(
            "--purpose is a sentence in one language: add --language de, then the other one with its own sentence"
        )
    values = {name: value for name in FIELDS if (value := getattr(given, name))}
    given.into.mkdir(parents=True, exist_ok=True)
    for language in given.language or LANGUAGES:
        page = given.into / f"door-notice.{language}.html"
        page.write_text(filled(language, values), "utf-8")
        print(f"wrote {page}")
        try:
            print_pdf(page, page.with_suffix(".pdf"))
        except NoticeError as error:
            print(error, file=sys.stderr)
            return 1
        print(f"wrote {page.with_suffix('.pdf')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
