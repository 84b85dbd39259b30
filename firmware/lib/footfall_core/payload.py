"""Batches and acknowledgements as they go over the wire: compact JSON, version 1.

The node encodes batches and reads acknowledgements, the gateway the other way round.
"""

import json

VERSION = 1
MAX_BATCH_BYTES = 2048  # what a node with little memory can build and a gateway will take
MAX_BATCH_RECORDS = 50
MAX_SEQ = 0x3FFFFFFFFFFF
MAX_BOOT = 0x7FFFFFFF
_SHOWN = 60  # characters of a refused value that an error shows


class PayloadError(ValueError):
    """Refused input: which field, what stood there, what was expected."""

    def __init__(self, field, value, expected):
        shown = repr(value)
        if len(shown) > _SHOWN:
            shown = shown[:_SHOWN] + "..."
        super().__init__("%s is %s, expected %s" % (field, shown, expected))
        self.field = field
        self.value = value
        self.expected = expected


def _dumps(values):
    try:
        return json.dumps(values, separators=(",", ":"))
    except TypeError:  # a MicroPython whose dumps knows no separators
        return json.dumps(values)


def encode_record(record):
    """One record as JSON text; a batch is these, joined."""
    return _dumps(list(record))


def encode_batch(spool, boot, seq, encoded_records):
    """A batch from records already encoded; seq numbers the first, the rest follow. All are of one boot."""
    return '{"v":%d,"spool":"%s","boot":%d,"seq":%d,"r":[%s]}' % (
        VERSION,
        spool,
        boot,
        seq,
        ",".join(encoded_records),
    )


def encode_ack(spool, seq):
    """The acknowledgement: every record of this spool up to and including seq is on disk."""
    return '{"v":%d,"spool":"%s","seq":%d}' % (VERSION, spool, seq)


def loads(text):
    """JSON text or bytes to a dict; PayloadError where it is not a JSON object of this version."""
    # MicroPython reads a text that breaks off as if it were complete
    if text.strip()[-1:] != ("}" if isinstance(text, str) else b"}"):
        raise PayloadError("payload", text, "a JSON object")
    try:
        values = json.loads(text)
    except ValueError:
        raise PayloadError("payload", text, "JSON") from None
    if not isinstance(values, dict):
        raise PayloadError("payload", values, "a JSON object")
    check_version(values.get("v"))
    return values


def check_version(version):
    """PayloadError unless this is the version that this software speaks."""
    if version != VERSION or isinstance(version, bool):
        raise PayloadError("v", version, "%d, the version spoken here" % VERSION)


def check_whole(values, name, least, most):
    """values[name] if it is a whole number in this range, else PayloadError."""
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise PayloadError(name, value, "a whole number from %d to %d" % (least, most))
    return value


def check_spool(spool):
    """The spool id if it is one (8 hex digits), else PayloadError."""
    if not isinstance(spool, str) or len(spool) != 8 or spool.strip("0123456789abcdef"):
        raise PayloadError("spool", spool, "8 hex digits")
    return spool


def decode_ack(text):
    """(spool, seq) of an acknowledgement; PayloadError where it is not one."""
    values = loads(text)
    return check_spool(values.get("spool")), check_whole(values, "seq", 0, MAX_SEQ)
