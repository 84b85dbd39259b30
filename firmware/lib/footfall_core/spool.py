"""Records as bytes in flash: about 8 bytes a passage, and a torn write costs no more than what was being written.

A segment is a file: a header (spool, boot, number of its first record), then frames. A frame is one record:

    head     low nibble: kind (its place in record.KINDS); high nibble: for a passage barrier * 4 + direction + 1
    t        milliseconds since the record before it in the segment (the first: since 0), zigzag varint
    fields   numbers as varints (since_ms of an alive record as t - since_ms), texts as length and UTF-8
    check    CRC-16/CCITT over the frame, begun with the number of the frame in the segment

The check's start makes a frame valid only in its own place: leftovers of an older file are not taken for records.
The node writes and reads these; the simulator reads them to look into a dead node's flash.
"""

from footfall_core.payload import PayloadError
from footfall_core.record import ALIVE, FIELDS, KINDS, PASSAGE

MAGIC = b"FS1"
MAX_FRAME_BYTES = 400  # a boot record with two texts of 40 characters of 4 bytes
_NIBBLES = (
    0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50A5, 0x60C6, 0x70E7,
    0x8108, 0x9129, 0xA14A, 0xB16B, 0xC18C, 0xD1AD, 0xE1CE, 0xF1EF,
)  # fmt: skip


def crc16(data, crc):
    """CRC-16/CCITT (polynomial 0x1021) of data, going on from crc."""
    for byte in data:
        crc = (crc << 4 & 0xFFF0) ^ _NIBBLES[crc >> 12 ^ byte >> 4]
        crc = (crc << 4 & 0xFFF0) ^ _NIBBLES[crc >> 12 ^ byte & 15]
    return crc


def _put(out, value):
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def _put_signed(out, value):
    _put(out, value * 2 if value >= 0 else -value * 2 - 1)


class _Reader:
    """Takes numbers from bytes; IndexError at their end."""

    def __init__(self, data, at):
        self.data = data
        self.at = at

    def byte(self):
        value = self.data[self.at]
        self.at += 1
        return value

    def number(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 56:
                raise IndexError

    def signed(self):
        value = self.number()
        return value >> 1 if not value & 1 else -(value + 1 >> 1)

    def text(self):
        length = self.number()
        start = self.at
        self.at += length
        if length > MAX_FRAME_BYTES or self.at > len(self.data):
            raise IndexError
        return str(bytes(self.data[start : self.at]), "utf-8")


class SegmentWriter:
    """Makes the bytes of one segment, in order: first `header`, then each record's `frame`."""

    def __init__(self, spool, boot, first_seq):
        self.spool = spool
        self.boot = boot
        self.first_seq = first_seq
        self.count = 0  # frames made so far
        self._t_ms = 0

    def header(self):
        """The segment's first bytes."""
        out = bytearray(MAGIC)
        spool = int(self.spool, 16)
        for shift in (24, 16, 8, 0):
            out.append(spool >> shift & 255)
        _put(out, self.boot)
        _put(out, self.first_seq)
        _seal(out, 0xFFFF)
        return out

    def frame(self, record):
        """The bytes of the next record (as check_record returns it)."""
        kind = record[1]
        head = KINDS.index(kind)
        fields = record[2:]
        if kind == PASSAGE:
            head |= (fields[0] << 2 | fields[1] + 1) << 4
            fields = fields[2:]
        elif kind == ALIVE:
            fields = (record[0] - fields[0], fields[1], fields[2])
        out = bytearray((head,))
        _put_signed(out, record[0] - self._t_ms)
        for value in fields:
            if isinstance(value, str):
                text = value.encode()
                _put(out, len(text))
                out.extend(text)
            else:
                _put(out, value)
        _seal(out, self.count & 0xFFFF)
        self._t_ms = record[0]
        self.count += 1
        return out


def _seal(out, start):
    crc = crc16(out, start)
    out.append(crc >> 8)
    out.append(crc & 255)


def _checked(data, start, end, crc_start):
    if end + 2 > len(data) or crc16(data[start:end], crc_start) != data[end] << 8 | data[end + 1]:
        raise IndexError


class SegmentReader:
    """The records of one segment's bytes, in order; stops for good at the first frame that is torn or damaged.

    After the iteration: `count` frames were good, `good_bytes` is how far they go, `torn` tells whether anything
    stands behind them. PayloadError where the header itself is not readable.
    """

    def __init__(self, data):
        self.data = data
        self.count = 0
        self.torn = False
        reader = _Reader(data, len(MAGIC))
        try:
            if bytes(data[: len(MAGIC)]) != MAGIC:
                raise IndexError
            spool = 0
            for _ in range(4):
                spool = spool << 8 | reader.byte()
            self.spool = "%08x" % spool
            self.boot = reader.number()
            self.first_seq = reader.number()
            _checked(data, 0, reader.at, 0xFFFF)
        except IndexError:
            raise PayloadError("segment", bytes(data[:16]), "a segment header") from None
        self.good_bytes = reader.at + 2

    def __iter__(self):
        t_ms = 0
        reader = _Reader(self.data, self.good_bytes)
        while self.good_bytes < len(self.data):
            try:
                record = self._frame(reader, t_ms)
                _checked(self.data, self.good_bytes, reader.at, self.count & 0xFFFF)
            except (IndexError, UnicodeError):
                self.torn = True
                return
            reader.at += 2
            self.good_bytes = reader.at
            self.count += 1
            t_ms = record[0]
            yield record

    def _frame(self, reader, t_ms):
        head = reader.byte()
        if head & 15 >= len(KINDS):
            raise IndexError
        kind = KINDS[head & 15]
        t_ms += reader.signed()
        record = [t_ms, kind]
        fields = FIELDS[kind]
        if kind == PASSAGE:
            record.append(head >> 6)
            record.append((head >> 4 & 3) - 1)
            fields = fields[2:]
        for _, least, _ in fields:
            record.append(reader.text() if least is None else reader.number())
        if kind == ALIVE:
            record[2] = t_ms - record[2]
        return tuple(record)
