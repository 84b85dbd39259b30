"""Where a table of `footfall simulate` goes: onto the terminal, or into a document. Used by accuracy, stalls and disturbances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["deliver"]


def deliver(report: str, document: Path | None, name: str) -> int:
    """Print a report, or put it between `<!-- name -->` and `<!-- /name -->` of a document. Returns the exit code."""
    if document is None:
        click.echo(report)
        return 0
    try:
        _put_between_markers(document, name, report)
    except (OSError, ValueError) as error:
        click.echo(f"{document}: {getattr(error, 'strerror', None) or error}", err=True)
        return 1
    return 0


def _put_between_markers(document: Path, name: str, report: str) -> None:
    text = document.read_text("utf-8")
    before, opening, rest = text.partition(f"<!-- {name} -->\n")
    _, closing, after = rest.partition(f"<!-- /{name} -->")
    if not opening or not closing:
        raise ValueError(f"has no lines <!-- {name} --> and <!-- /{name} --> to write between")
    document.write_text(f"{before}{opening}{report}\n{closing}{after}", "utf-8")
