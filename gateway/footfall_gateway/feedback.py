"""Votes: a quarter's presses by question and answer, their hours, their lines. Tables and lines; `accounts` says when.

A press belongs to the terminal that has the node's buttons, else to the door of its first barrier; suppressed presses to the
question that the same button's press before them answered (`compaction.suppressed_revision`).
"""

# ruff: noqa: S608 - the names put into statements here are our own tables and columns, values are bound
from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from footfall_gateway.buckets import HOUR_MS, QUARTER_MS
from footfall_gateway.outbox import point_line, put_line
from footfall_gateway.places import DOOR

if TYPE_CHECKING:
    import sqlite3

    from footfall_gateway.node_quarter import NodeReader
    from footfall_gateway.places import Placement, Places

__all__ = ["count_feedback", "replace_feedback", "sum_feedback", "write_feedback"]

TerminalKey = tuple[str, str, int]  # site, terminal or door, start_ms
Votes = dict[tuple[str, str], tuple[int, int]]  # (question, answer) -> (presses, suppressed)


def count_feedback(reader: NodeReader, places: Places, key: TerminalKey) -> Votes:
    """The votes of a door's or terminal's quarter."""
    site, door, start_ms = key
    presses: Counter[tuple[str, str]] = Counter()
    suppressed: Counter[tuple[str, str]] = Counter()
    nodes = {place.node for place in places.of_door(site, door, start_ms, start_ms + QUARTER_MS)}
    for node in sorted(nodes):
        for one in reader.quarter(node, start_ms).presses:
            place = _pressed_at(places, node, one.utc_ms)
            if place is None or (place.site, place.door) != (site, door):
                continue
            named = (
                places.questions.get(one.revision, f"revision-{one.revision}"),
                _answer(place, one.button),
            )
            presses[named] += one.presses
            suppressed[named] += one.suppressed
    return {named: (presses[named], suppressed[named]) for named in presses}


def _pressed_at(places: Places, node: str, utc_ms: int) -> Placement | None:
    """Where a node's buttons are: its terminal, else the door of its first barrier, else where it counts passers-by."""
    return min(
        places.of_node(node, utc_ms, utc_ms + 1),
        key=lambda one: (one.role != DOOR, -1 if one.barrier is None else one.barrier),
        default=None,
    )


def _answer(place: Placement, button: int) -> str:
    return place.answers[button] if button < len(place.answers) else f"button-{button}"


def replace_feedback(
    sql: sqlite3.Connection, key: TerminalKey, feedback: dict[tuple[str, str], tuple[int, int]]
) -> bool:
    """Puts a quarter's presses in their table; True where they changed."""
    where = "WHERE site = ? AND door = ? AND start_ms = ?"
    before = {
        (question, answer): (presses, suppressed)
        for question, answer, presses, suppressed in sql.execute(
            f"SELECT question, answer, presses, suppressed FROM feedback_quarter {where}",
            key,
        )
    }
    if before == feedback:
        return False
    sql.execute(f"DELETE FROM feedback_quarter {where}", key)
    site, door, start_ms = key
    sql.executemany(
        "INSERT INTO feedback_quarter VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(site, door, start_ms, *named, *counts) for named, counts in feedback.items()],
    )
    return True


def sum_feedback(sql: sqlite3.Connection, hour: TerminalKey) -> None:
    """The hour's presses from its quarters; an answer that was written and has none any more stays, with 0."""
    where = "WHERE site = ? AND door = ? AND start_ms = ?"
    sql.execute(f"DELETE FROM feedback_hour {where} AND sent = 0", hour)
    sql.execute(f"UPDATE feedback_hour SET presses = 0, suppressed = 0 {where}", hour)
    sql.execute(
        "INSERT INTO feedback_hour (site, door, question, answer, start_ms, presses, suppressed)"
        " SELECT site, door, question, answer, ?, sum(presses), sum(suppressed) FROM feedback_quarter"
        " WHERE site = ? AND door = ? AND start_ms >= ? AND start_ms < ? GROUP BY question, answer"
        " ON CONFLICT DO UPDATE SET presses = excluded.presses, suppressed = excluded.suppressed",
        (hour[2], *hour, hour[2] + HOUR_MS),
    )


def write_feedback(sql: sqlite3.Connection, key: TerminalKey, now_ms: int) -> int:
    site, door, start_ms = key
    where = "WHERE site = ? AND door = ? AND start_ms = ?"
    rows = sql.execute(
        f"SELECT question, answer, presses, suppressed FROM feedback_hour {where}",
        key,
    ).fetchall()
    for question, answer, presses, suppressed in rows:
        tags = {"site": site, "door": door, "question": question, "answer": answer}
        line = point_line("feedback_hour", tags, {"presses": presses, "suppressed": suppressed}, start_ms)
        put_line(sql, "|".join(("feedback_hour", *tags.values(), str(start_ms))), line, now_ms)
    sql.execute(f"UPDATE feedback_hour SET sent = 1 {where}", key)
    return len(rows)
