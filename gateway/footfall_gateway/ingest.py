"""Bytes from the link become `Batch`es of checked records, or a `Refusal` that says why not.

This is the border: behind it nobody looks into JSON again. `receive` is what the ingest thread calls; it never
raises. Whether a record means something is decided by `footfall_core.record`, the same rules the node writes by.

A record that is wrong inside a batch that is right becomes a `BadRecord` in its place: it keeps its number, so that
the ledger can acknowledge past it and the node does not send it for ever, and the good ones around it count. Where
the frame itself is wrong nobody knows which numbers it spoke of: the whole message is refused and nothing of it is
acknowledged. So it is with a node that no settings name: it keeps its records until the settings know it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import msgspec

from footfall_core.payload import (
    MAX_BATCH_BYTES,
    MAX_BATCH_RECORDS,
    MAX_BOOT,
    MAX_SEQ,
    PayloadError,
    check_spool,
    check_version,
    check_whole,
)
from footfall_core.record import BOOT, CLOCK, check_record
from footfall_core.topic import RECORDS, parse

if TYPE_CHECKING:
    from footfall_gateway.places import Places

# Why something was refused: few, because they are counted one by one. The detail beside them says the rest.
NOT_JSON = "not json"
TOO_LARGE = "too large"
BAD_TOPIC = "bad topic"
BAD_BATCH = "bad batch"
BAD_RECORD = "bad record"
UNKNOWN_VERSION = "unknown version"
UNKNOWN_NODE = "unknown node"
BAD_CLOCK = "bad clock"  # given by the ledger, which knows the time
CONFLICT = "conflict"  # given by the ledger, which knows the other record
REASONS = (
    NOT_JSON,
    TOO_LARGE,
    BAD_TOPIC,
    BAD_BATCH,
    BAD_RECORD,
    UNKNOWN_VERSION,
    UNKNOWN_NODE,
    BAD_CLOCK,
    CONFLICT,
)

MAX_DETAIL = 200  # characters of an explanation
MAX_QUARANTINED_BYTES = MAX_BATCH_BYTES  # of a refused message

_KINDS_WITH_TEXT = (CLOCK, BOOT)

Record = tuple[Any, ...]  # (t_ms, kind, ...) as footfall_core.record describes it


@dataclass(frozen=True, slots=True)
class BadRecord:
    """What stands in a batch where a record should be: its JSON, cut, and what is wrong with it."""

    detail: str
    text: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of one boot of a node; `seq` numbers the first."""

    node: str
    spool: str
    boot: int
    seq: int
    records: tuple[Record | BadRecord, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A whole message that is not taken: why, in one of REASONS and in a sentence, and what it was."""

    reason: str
    detail: str
    topic: str
    payload: bytes


class _RefusedError(PayloadError):
    """A PayloadError that knows which of REASONS it belongs to."""

    def __init__(self, reason: str, error: PayloadError) -> None:
        super().__init__(error.field, error.value, error.expected)  # type: ignore[no-untyped-call]
        self.reason = reason


_decode = msgspec.json.Decoder().decode


def receive(topic: str, payload: bytes, places: Places) -> Batch | Refusal:
    """The batch in this message, or why it is refused. Never raises, whatever the bytes."""
    try:
        batch = read_batch(topic, payload)
    except PayloadError as error:
        reason = error.reason if isinstance(error, _RefusedError) else BAD_BATCH
        return refusal(reason, str(error), topic, payload)
    if not places.knows(batch.node):
        detail = (
            f'no door or terminal in the settings names node "{batch.node}"; its records stay on the node'
        )
        return refusal(UNKNOWN_NODE, detail, topic, payload)
    return batch


def read_batch(topic: str, payload: bytes) -> Batch:
    """The batch in this message. Raises PayloadError where the frame is wrong; a wrong record becomes a BadRecord."""
    node = _node_of(topic)
    if len(payload) > MAX_BATCH_BYTES:
        raise _RefusedError(
            TOO_LARGE, PayloadError("payload", f"{len(payload)} bytes", f"at most {MAX_BATCH_BYTES}")
        )
    values = _decode_json(payload)
    if not isinstance(values, dict):
        raise PayloadError("payload", values, "a JSON object")
    try:
        check_version(values.get("v"))
    except PayloadError as error:
        raise _RefusedError(UNKNOWN_VERSION, error) from None
    spool = check_spool(values.get("spool"))
    boot = check_whole(values, "boot", 0, MAX_BOOT)
    given = values.get("r")
    if not isinstance(given, list) or not given:
        raise PayloadError("r", given, "a list of records")
    if len(given) > MAX_BATCH_RECORDS:
        raise _RefusedError(
            TOO_LARGE, PayloadError("r", f"{len(given)} records", f"at most {MAX_BATCH_RECORDS}")
        )
    seq = check_whole(values, "seq", 1, MAX_SEQ - len(given))
    return Batch(node, spool, boot, seq, tuple([_read_record(one) for one in given]))


def _node_of(topic: str) -> str:
    try:
        node, leaf = parse(topic)
    except PayloadError as error:
        raise _RefusedError(BAD_TOPIC, error) from None
    if leaf != RECORDS:
        raise _RefusedError(BAD_TOPIC, PayloadError("topic", topic, "footfall/1/<node>/" + RECORDS))
    return str(node)


def _read_record(values: object) -> Record | BadRecord:
    try:
        record: Record = check_record(values)
        if record[1] in _KINDS_WITH_TEXT:
            _check_texts(record)
    except PayloadError as error:
        return BadRecord(_cut(str(error), MAX_DETAIL), _cut(_show(values), MAX_QUARANTINED_BYTES))
    return record


def _check_texts(record: Record) -> None:
    """PayloadError where a text of this record cannot be shown; what was not UTF-8 is among it."""
    for value in record[2:]:
        if isinstance(value, str) and not value.isprintable():
            raise PayloadError("text", value, "printable characters")


def _decode_json(payload: bytes) -> Any:
    """The JSON value; PayloadError where it is none.

    NaN, Infinity and text that is not UTF-8 are not JSON, yet the records around them are readable: the second
    reader takes them as values that no field accepts, so that one of them costs its own record only.
    """
    try:
        return _decode(payload)
    except (msgspec.DecodeError, RecursionError, ValueError) as first:
        try:
            return json.loads(payload.decode("utf-8", "surrogateescape"), parse_constant=_Constant)
        except (ValueError, RecursionError):
            raise _RefusedError(NOT_JSON, PayloadError("payload", payload, f"JSON ({first})")) from None


class _Constant(float):
    """NaN or Infinity; shown as it was written."""

    def __new__(cls, text: str) -> Self:
        return super().__new__(cls, text)


def _show(values: object) -> str:
    """A refused record as text that can be kept: always valid UTF-8."""
    try:
        text = json.dumps(values, separators=(",", ":"))
    except (ValueError, RecursionError):
        text = "(cannot be shown)"
    return text.encode("utf-8", "backslashreplace").decode()


def refusal(reason: str, detail: str, topic: str, payload: bytes) -> Refusal:
    """A Refusal, cut to what is kept; what is not UTF-8 in it is shown with backslashes."""
    shown = topic.encode("utf-8", "backslashreplace").decode()
    return Refusal(
        reason, _cut(detail, MAX_DETAIL), _cut(shown, MAX_DETAIL), bytes(payload[:MAX_QUARANTINED_BYTES])
    )


def _cut(text: str, most: int) -> str:
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= most else text[: most - 3] + "..."
