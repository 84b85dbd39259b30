"""The spool's bytes in flash: written by hand, cut off, damaged, and left over from an older file."""

import binascii

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall_core.payload import PayloadError
from footfall_core.record import FIELDS, KINDS, check_record
from footfall_core.spool import MAX_FRAME_BYTES, SegmentReader, SegmentWriter, crc16


def checked(data, start):
    """The bytes with their check behind them, by the standard library's CRC-16/CCITT."""
    return data + binascii.crc_hqx(data, start).to_bytes(2, "big")


HEADER = checked(
    b"FS1" + bytes.fromhex("8f3a01c2") + b"\x0c" + b"\x91\x08", 0xFFFF
)  # boot 12, seq 1041 = 8 * 128 + 17

FRAMES = {
    "one in at 1000 ms, 420 ms long": ((1000, "P", 0, 1, 420), b"\x20" + b"\xd0\x0f" + b"\xa4\x03"),
    "one out through barrier 3": ((0, "P", 3, -1, 0), b"\xc0" + b"\x00" + b"\x00"),
    "one through a single beam": ((1, "P", 1, 0, 5), b"\x50" + b"\x02" + b"\x05"),
    "a press": ((63, "B", 2, 7), b"\x01" + b"\x7e" + b"\x02\x07"),
    "suppressed presses": ((64, "Q", 1, 200), b"\x02" + b"\x80\x01" + b"\x01\xc8\x01"),
    "a fault": ((5, "F", 0, 1, 1), b"\x03" + b"\x0a" + b"\x00\x01\x01"),
    "alive since 4 ms ago": ((5, "A", 1, 300, 2), b"\x04" + b"\x0a" + b"\x04" + b"\xac\x02" + b"\x02"),
    "the time": ((0, "C", 128, "gw"), b"\x05" + b"\x00" + b"\x80\x01" + b"\x02gw"),
    "a boot": ((0, "R", "Ä", "1", 0), b"\x06" + b"\x00" + b"\x02\xc3\x84" + b"\x011" + b"\x00"),
    "lost records": ((5, "L", 1), b"\x07" + b"\x0a" + b"\x01"),
    "hidden edges": ((5, "H", 2, 300, 1), b"\x09" + b"\x0a" + b"\x02\xac\x02\x01"),
    "an edge": ((5, "E", 2, 3), b"\x08" + b"\x0a" + b"\x02\x03"),
}


def segment(records, seq=1041):
    writer = SegmentWriter("8f3a01c2", 12, seq)
    return bytes(writer.header()) + b"".join(bytes(writer.frame(record)) for record in records)


@pytest.mark.parametrize(
    ("data", "start", "expected"), [(b"123456789", 0xFFFF, 0x29B1), (b"123456789", 0, 0x31C3)]
)
def test_the_check_is_the_crc_of_the_catalogue(data, start, expected):
    assert crc16(data, start) == expected


def test_a_header_has_these_bytes():
    assert segment([]) == HEADER


@pytest.mark.parametrize(("record", "frame"), FRAMES.values(), ids=FRAMES)
def test_a_record_has_these_bytes(record, frame):
    assert segment([record])[len(HEADER) :] == checked(frame, 0)


@pytest.mark.parametrize(("record", "frame"), FRAMES.values(), ids=FRAMES)
def test_a_record_is_read_from_these_bytes(record, frame):
    reader = SegmentReader(HEADER + checked(frame, 0))
    assert (reader.spool, reader.boot, reader.first_seq) == ("8f3a01c2", 12, 1041)
    assert list(reader) == [record]
    assert not reader.torn


def test_time_in_a_segment_counts_from_the_record_before_and_may_go_back():
    data = segment([(1000, "L", 1), (1010, "L", 1), (900, "L", 1)])
    frames = checked(b"\x07\xd0\x0f\x01", 0) + checked(b"\x07\x14\x01", 1) + checked(b"\x07\xdb\x01\x01", 2)
    assert data == HEADER + frames
    assert [record[0] for record in SegmentReader(data)] == [1000, 1010, 900]


def test_the_longest_boot_record_fits_into_a_frame():
    record = (0, "R", "\U0001f600" * 40, "\U0001f600" * 40, 2**31 - 1)
    data = segment([record, (5, "L", 1)])
    assert list(SegmentReader(data)) == [record, (5, "L", 1)]
    assert len(data) - len(HEADER) < MAX_FRAME_BYTES


def test_a_passage_takes_about_eight_bytes():
    records = [(1_000_000 + 5000 * n, "P", 0, 1, 420) for n in range(100)]
    assert (len(segment(records)) - len(HEADER)) / 100 <= 8


@st.composite
def records(draw):
    kind = draw(st.sampled_from(KINDS))
    t_ms = draw(st.one_of(st.integers(0, 10**6), st.integers(0, 2**42 - 1)))
    values = [
        draw(st.text(max_size=most)) if least is None else draw(st.integers(least, most))
        for _, least, most in FIELDS[kind]
    ]
    if kind == "A":
        values[0] = draw(st.integers(0, t_ms))
    return check_record([t_ms, kind, *values])


some_records = st.lists(records(), max_size=12)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(some_records)
def test_what_is_written_is_read_again(written):
    reader = SegmentReader(segment(written))
    assert list(reader) == written
    assert (reader.count, reader.torn) == (len(written), False)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(some_records, st.data())
def test_a_torn_write_costs_only_what_was_being_written(written, data):
    whole_segment = segment(written)
    ends = [len(segment(written[:n])) for n in range(len(written) + 1)]
    cut = data.draw(st.integers(len(HEADER), len(whole_segment)))
    reader = SegmentReader(whole_segment[:cut])
    complete = sum(end <= cut for end in ends) - 1
    assert list(reader) == written[:complete]
    assert reader.good_bytes == ends[complete]
    assert reader.torn == (cut not in ends)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(some_records.filter(bool), st.data())
def test_a_damaged_byte_ends_the_reading_before_it(written, data):
    whole_segment = bytearray(segment(written))
    at = data.draw(st.integers(len(HEADER), len(whole_segment) - 1))
    whole_segment[at] ^= data.draw(st.integers(1, 255))
    intact = sum(len(segment(written[: n + 1])) <= at for n in range(len(written)))
    reader = SegmentReader(bytes(whole_segment))
    assert list(reader) == written[:intact]
    assert reader.torn


def test_leftovers_of_an_older_file_are_not_taken_for_records():
    """A frame is valid only in its own place: the same bytes as number 0 are none as number 1."""
    record = (5, "L", 1)
    frame = segment([record])[len(HEADER) :]
    reader = SegmentReader(HEADER + frame + frame)
    assert list(reader) == [record]
    assert reader.torn


@pytest.mark.parametrize(
    "data", [b"", b"FS1", HEADER[:-1], b"FS2" + HEADER[3:], HEADER[:-1] + b"\x00", b"\xff" * 64]
)
def test_a_file_without_a_readable_header_is_refused(data):
    with pytest.raises(PayloadError) as refused:
        SegmentReader(data)
    assert refused.value.field == "segment"


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=2 * MAX_FRAME_BYTES))
def test_whatever_stands_behind_a_header_is_read_without_an_error(data):
    reader = SegmentReader(HEADER + data)
    assert len(list(reader)) <= len(data)
