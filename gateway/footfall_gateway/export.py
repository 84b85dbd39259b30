"""The rows of `footfall export`: hours, votes and passers-by, straight from the ledger. The gateway may run meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from footfall_gateway.accounts import read_hours
from footfall_gateway.clock import utc_text
from footfall_gateway.passersby import passersby_hours

if TYPE_CHECKING:
    from collections.abc import Iterator

    from footfall_gateway.ledger import Ledger

__all__ = ["FeedbackRow", "HourRow", "PassersByRow", "export_feedback", "export_hours", "export_passers_by"]


@dataclass(frozen=True, slots=True)
class HourRow:
    """A row of `footfall export --hours`."""

    site: str
    door: str
    hour_utc: str
    n_in: int
    n_out: int
    covered_s: int


@dataclass(frozen=True, slots=True)
class FeedbackRow:
    """A row of `footfall export --feedback`."""

    site: str
    door: str
    hour_utc: str
    question: str
    answer: str
    presses: int
    suppressed: int


@dataclass(frozen=True, slots=True)
class PassersByRow:
    """A row of `footfall export --passers-by`."""

    site: str
    place: str
    hour_utc: str
    passers_by: int
    covered_s: int


def export_hours(ledger: Ledger) -> Iterator[HourRow]:
    """Every hour that was watched or counted somebody, ordered by site, door, hour.

    An hour that nobody watched has no row: it is missing, not zero. Passages without direction are in neither column.
    """
    with ledger.database.reading() as sql:
        hours = list(read_hours(sql))
    for hour in hours:
        one = hour.bucket
        yield HourRow(hour.site, hour.door, utc_text(hour.start_ms), one.n_in, one.n_out, one.covered_s)


def export_feedback(ledger: Ledger) -> Iterator[FeedbackRow]:
    """Every hour in which an answer was pressed, ordered by site, terminal, hour, question, answer."""
    with ledger.database.reading() as sql:
        rows = sql.execute(
            "SELECT site, door, start_ms, question, answer, presses, suppressed FROM feedback_hour"
            " WHERE presses > 0 OR suppressed > 0 ORDER BY site, door, start_ms, question, answer"
        ).fetchall()
    for site, door, start_ms, *rest in rows:
        yield FeedbackRow(site, door, utc_text(start_ms), *rest)


def export_passers_by(ledger: Ledger) -> Iterator[PassersByRow]:
    """Every hour in which a barrier for passers-by was watched or counted somebody, ordered by site, place, hour."""
    with ledger.database.reading() as sql:
        hours = list(passersby_hours(sql))
    for one in hours:
        yield PassersByRow(one.site, one.place, utc_text(one.start_ms), one.passers_by, one.covered_s)
