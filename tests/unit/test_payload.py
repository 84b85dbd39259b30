"""Batches and acknowledgements as they go over the wire."""

import json

import pytest

from footfall_core.payload import (
    MAX_BATCH_BYTES,
    MAX_BATCH_RECORDS,
    PayloadError,
    check_spool,
    check_whole,
    decode_ack,
    encode_ack,
    encode_batch,
    encode_record,
    loads,
)

THE_BATCH_OF_THE_DESIGN = (
    '{"v":1,"spool":"8f3a01c2","boot":12,"seq":1041,"r":[[81234567,"P",0,1,420],[81236120,"P",0,-1,390],'
    '[81240000,"A",80940000,51203,50877]]}'
)
THE_RECORDS_OF_THE_DESIGN = [
    (81_234_567, "P", 0, 1, 420),
    (81_236_120, "P", 0, -1, 390),
    (81_240_000, "A", 80_940_000, 51_203, 50_877),
]


def test_a_batch_is_written_as_the_design_shows_it():
    encoded = [encode_record(record) for record in THE_RECORDS_OF_THE_DESIGN]
    assert encode_batch("8f3a01c2", 12, 1041, encoded) == THE_BATCH_OF_THE_DESIGN


def test_an_acknowledgement_is_written_as_the_design_shows_it():
    assert encode_ack("8f3a01c2", 1090) == '{"v":1,"spool":"8f3a01c2","seq":1090}'


def test_fifty_passages_fit_into_a_batch():
    encoded = [encode_record((81_234_567 + n, "P", 0, -1, 1420)) for n in range(MAX_BATCH_RECORDS)]
    assert len(encode_batch("8f3a01c2", 12, 1041, encoded)) <= MAX_BATCH_BYTES


def test_a_text_keeps_its_meaning_on_the_wire():
    record = (0, "R", 'a "quoted" Ä\n', "0.1.0", 7)
    assert json.loads(encode_record(record)) == list(record)


@pytest.mark.parametrize(
    "text", ['{"v":1,"spool":"8f3a01c2","seq":1090}', b' {"seq":1090,"x":[],"v":1,"spool":"8f3a01c2"}\n']
)
def test_an_acknowledgement_is_read_from_text_and_bytes_whatever_else_it_says(text):
    assert decode_ack(text) == ("8f3a01c2", 1090)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "payload"),
        (b"", "payload"),
        ("nonsense", "payload"),
        ("{]}", "payload"),
        (b"\xff\xfe}", "payload"),
        ('{"v":1,"spool":"8f3a01c2","seq":10', "payload"),  # MicroPython's json would take this
        ("[1]", "payload"),
        ("7", "payload"),
        ("null", "payload"),
        ("{}", "v"),
        ('{"v":2,"spool":"8f3a01c2","seq":1}', "v"),
        ('{"v":true,"spool":"8f3a01c2","seq":1}', "v"),
        ('{"v":"1","spool":"8f3a01c2","seq":1}', "v"),
        ('{"v":1,"seq":1}', "spool"),
        ('{"v":1,"spool":"8F3A01C2","seq":1}', "spool"),
        ('{"v":1,"spool":"8f3a01c","seq":1}', "spool"),
        ('{"v":1,"spool":5,"seq":1}', "spool"),
        ('{"v":1,"spool":"8f3a01c2"}', "seq"),
        ('{"v":1,"spool":"8f3a01c2","seq":-1}', "seq"),
        ('{"v":1,"spool":"8f3a01c2","seq":1.5}', "seq"),
        ('{"v":1,"spool":"8f3a01c2","seq":true}', "seq"),
        ('{"v":1,"spool":"8f3a01c2","seq":70368744177664}', "seq"),
    ],
)
def test_a_wrong_acknowledgement_is_refused_with_the_field_at_fault(text, field):
    with pytest.raises(PayloadError) as refused:
        decode_ack(text)
    assert refused.value.field == field


def test_a_refusal_says_field_value_and_what_was_expected():
    with pytest.raises(PayloadError) as refused:
        check_whole({"boot": "x"}, "boot", 0, 9)
    assert str(refused.value) == "boot is 'x', expected a whole number from 0 to 9"
    assert (refused.value.field, refused.value.value, refused.value.expected) == (
        "boot",
        "x",
        "a whole number from 0 to 9",
    )


def test_a_refusal_shows_no_more_than_the_beginning_of_a_long_value():
    with pytest.raises(PayloadError) as refused:
        check_spool("x" * 5000)
    assert len(str(refused.value)) < 120


def test_an_object_is_read_with_all_its_fields():
    assert loads('{"v":1,"rev":7}') == {"v": 1, "rev": 7}
