"""Malformed input of every kind: nothing raises, the reason is said, and the good records around it count."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall_core.payload import MAX_BATCH_BYTES, PayloadError, encode_batch, encode_record
from footfall_core.record import KINDS
from footfall_gateway.ingest import (
    BAD_BATCH,
    BAD_TOPIC,
    NOT_JSON,
    REASONS,
    TOO_LARGE,
    UNKNOWN_NODE,
    UNKNOWN_VERSION,
    BadRecord,
    Batch,
    Refusal,
    read_batch,
    receive,
)
from footfall_gateway.places import Placement, Places, Site

PLACES = Places([Site("lab", "Lab", "Europe/Berlin")], [Placement("lab", "main", "ff-1", 0)])
TOPIC = "footfall/1/ff-1/records"
GOOD = '[81234567,"P",0,1,420]'
DEEP = "[" * 900 + "]" * 900


def message(records: str = GOOD, **changed: str) -> bytes:
    """A batch as a node sends it; a changed field is given as JSON text, None leaves it out."""
    fields = {"v": "1", "spool": '"8f3a01c2"', "boot": "12", "seq": "1041", "r": f"[{records}]"} | changed
    return (
        "{" + ",".join(f'"{name}":{text}' for name, text in fields.items() if text is not None) + "}"
    ).encode("utf-8", "surrogateescape")


def test_the_example_of_the_wire_format_is_understood() -> None:
    records = (
        (81234567, "P", 0, 1, 420),
        (81236120, "P", 0, -1, 390),
        (81240000, "A", 80940000, 51203, 50877),
    )
    payload = encode_batch("8f3a01c2", 12, 1041, [encode_record(one) for one in records]).encode()
    assert receive(TOPIC, payload, PLACES) == Batch("ff-1", "8f3a01c2", 12, 1041, records)


def test_fields_that_are_not_known_are_ignored() -> None:
    batch = receive(TOPIC, message('[1,"P",0,1,420,"new",{"x":1}]', later='"field"'), PLACES)
    assert isinstance(batch, Batch)
    assert batch.records == ((1, "P", 0, 1, 420),)


@pytest.mark.parametrize(
    ("payload", "reason", "said"),
    [
        (b"", NOT_JSON, "JSON"),
        (b"\xff\xfe\x00", NOT_JSON, "JSON"),
        (b"hello", NOT_JSON, "JSON"),
        (message()[:-7], NOT_JSON, "JSON"),
        (b"[" * 2000, NOT_JSON, "JSON"),
        (message(v='1,"x":' + DEEP), BAD_BATCH, ""),
        (b"null", BAD_BATCH, "a JSON object"),
        (b"[1,2]", BAD_BATCH, "a JSON object"),
        (b"NaN", BAD_BATCH, "a JSON object"),
        (b"9" * 2000, BAD_BATCH, "a JSON object"),
        (b"{}", UNKNOWN_VERSION, "expected 1"),
        (message(v="2"), UNKNOWN_VERSION, "v is 2, expected 1"),
        (message(v="true"), UNKNOWN_VERSION, "v is True"),
        (message(v="NaN"), UNKNOWN_VERSION, "v is nan"),
        (message(v='"1"'), UNKNOWN_VERSION, "expected 1"),
        (message(spool=None), BAD_BATCH, "spool is None"),
        (message(spool='"8F3A01C2"'), BAD_BATCH, "8 hex digits"),
        (message(spool='"../../etc"'), BAD_BATCH, "8 hex digits"),
        (message(spool="12345678"), BAD_BATCH, "8 hex digits"),
        (message(boot=None), BAD_BATCH, "boot is None"),
        (message(boot="-1"), BAD_BATCH, "boot is -1"),
        (message(boot="true"), BAD_BATCH, "boot is True"),
        (message(boot="1.5"), BAD_BATCH, "boot is 1.5"),
        (message(boot="1e400"), BAD_BATCH, "boot is inf"),
        (message(seq="0"), BAD_BATCH, "seq is 0"),
        (message(seq="-5"), BAD_BATCH, "seq is -5"),
        (message(seq="Infinity"), BAD_BATCH, "seq is inf"),
        (message(seq=str(10**30)), BAD_BATCH, "seq is 1000"),
        (message(seq=str(0x3FFFFFFFFFFF)), BAD_BATCH, "seq is"),
        (message(r=None), BAD_BATCH, "r is None"),
        (message(r="[]"), BAD_BATCH, "r is []"),
        (message(r='{"0":1}'), BAD_BATCH, "a list of records"),
        (message(",".join(['[1,"L",1]'] * 51)), TOO_LARGE, "at most 50"),
        (message(",".join(["0"] * 51)), TOO_LARGE, "at most 50"),
        (b" " * (MAX_BATCH_BYTES + 1), TOO_LARGE, "at most 2048"),
        (b"x" * 5_000_000, TOO_LARGE, "5000000 bytes"),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, bytes) else "",
)
def test_a_wrong_frame_is_refused_with_its_reason(payload: bytes, reason: str, said: str) -> None:
    refusal = receive(TOPIC, payload, PLACES)
    if reason == BAD_BATCH and said == "":  # too deep for one reader, harmless for the other: either is right
        assert isinstance(refusal, (Batch, Refusal))
        return
    assert isinstance(refusal, Refusal), refusal
    assert refusal.reason == reason
    assert said in refusal.detail
    assert refusal.payload == payload[:MAX_BATCH_BYTES]
    assert len(refusal.detail) <= 200
    with pytest.raises(PayloadError):
        read_batch(TOPIC, payload)


@pytest.mark.parametrize(
    "topic",
    ["", "footfall/1//records", "footfall/2/ff-1/records", "footfall/1/ff-1/state", "footfall/1/FF-1/records",
     "footfall/1/ff-1/records/x", "footfall/1/" + "x" * 33 + "/records", "footfall/1/../records", "footfall/1/ff\ud800/records",
     "x" * 70_000],
)  # fmt: skip
def test_a_foreign_topic_is_refused(topic: str) -> None:
    refusal = receive(topic, message(), PLACES)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == BAD_TOPIC
    assert len(refusal.topic) <= 200
    refusal.topic.encode()


def test_a_node_that_no_settings_name_is_refused_and_told_what_happens() -> None:
    refusal = receive("footfall/1/ff-9/records", message(), PLACES)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == UNKNOWN_NODE
    assert "ff-9" in refusal.detail
    assert "stay on the node" in refusal.detail


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("null", "record is None"),
        ("7", "record is 7"),
        ('"P"', "record is 'P'"),
        ("[]", "record is []"),
        ("{}", "record is {}"),
        ("[1]", "record is [1]"),
        ('[1,"Z",0]', "kind is 'Z'"),
        ("[1,null,0]", "kind is None"),
        ("[1,[],0]", "kind is []"),
        ('[1,"PP",0,1,1]', "kind is 'PP'"),
        ('[1,"P",0,1]', "3 fields"),
        ('[-1,"P",0,1,420]', "t is -1"),
        ('[1.5,"P",0,1,420]', "t is 1.5"),
        ('[1.0,"P",0,1,420]', "t is 1.0"),
        ('[true,"P",0,1,420]', "t is True"),
        ('["1","P",0,1,420]', "t is '1'"),
        ('[NaN,"P",0,1,420]', "t is nan"),
        ('[-Infinity,"P",0,1,420]', "t is -inf"),
        ('[1e999,"P",0,1,420]', "t is inf"),
        (f'[{10**19},"P",0,1,420]', "t is 1000"),
        (f'[{10**300},"P",0,1,420]', "t is 1000"),
        ('[1,"P",-1,1,420]', "barrier is -1"),
        ('[1,"P",99,1,420]', "barrier is 99"),
        ('[1,"P",0,2,420]', "direction is 2"),
        ('[1,"P",0,true,420]', "direction is True"),
        ('[1,"P",0,1,-420]', "transit_ms is -420"),
        ('[1,"B",0,-1]', "question_revision is -1"),
        ('[1,"Q",0,0]', "n is 0"),
        ('[1,"A",2,0,0]', "since_ms is 2"),
        ('[1,"C","now","gw"]', "utc_ms is 'now'"),
        ('[1,"C",1e12,"gw"]', "utc_ms is 1000000000000.0"),
        ('[1,"R",5,"1.0",0]', "cause is 5"),
        ('[1,"R","' + "x" * 41 + '","1.0",0]', "at most"),
        ('[1,"R","a\\u0000b","1.0",0]', "printable"),
        ('[1,"R","\\ud800","1.0",0]', "printable"),
        ('[1,"R","\udcff","1.0",0]', "printable"),
        ('[1,"P",[[[[[[[[]]]]]]]],1,420]', "barrier is [[[["),
    ],
)
def test_a_bad_record_keeps_its_place_and_the_good_ones_around_it_count(bad: str, said: str) -> None:
    batch = receive(TOPIC, message(f"{GOOD},{bad},{GOOD}"), PLACES)
    assert isinstance(batch, Batch), batch
    assert (batch.seq, len(batch.records)) == (1041, 3)
    good = (81234567, "P", 0, 1, 420)
    first, between, last = batch.records
    assert (first, last) == (good, good)
    assert isinstance(between, BadRecord)
    assert said in between.detail
    between.text.encode()
    between.detail.encode()


@given(st.binary(max_size=300))
def test_no_bytes_raise(payload: bytes) -> None:
    assert isinstance(receive(TOPIC, payload, PLACES), (Batch, Refusal))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(KINDS),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(_json, st.sampled_from(["v", "spool", "boot", "seq", "r", None]), st.lists(_json, max_size=5))
def test_no_json_raises(value: object, field: str | None, records: list[object]) -> None:
    fields = {"v": 1, "spool": "8f3a01c2", "boot": 1, "seq": 1, "r": records}
    if field:
        fields[field] = value
    outcome = receive(TOPIC, json.dumps(fields).encode(), PLACES)
    assert isinstance(outcome, (Batch, Refusal))
    if isinstance(outcome, Refusal):
        assert outcome.reason in REASONS


def test_no_flipped_bytes_raise() -> None:
    rng = random.Random(2)
    good = message(",".join([GOOD, '[5,"R","power","1.0",3]', '[9,"C",1780000000000,"gw"]'] * 8))
    for _ in range(3000):
        bent = bytearray(good)
        for _ in range(rng.randrange(1, 6)):
            bent[rng.randrange(len(bent))] = rng.randrange(256)
        assert isinstance(receive(TOPIC, bytes(bent), PLACES), (Batch, Refusal))
