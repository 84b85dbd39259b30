"""What a record may say. A record is a tuple (t_ms, kind, ...), in flash, on the wire and in the ledger alike.

The node checks before it writes, the gateway checks what it receives; both with `check_record`.
"""

from footfall_core.payload import PayloadError

PASSAGE = "P"
PRESS = "B"
SUPPRESSED = "Q"
FAULT = "F"
ALIVE = "A"
CLOCK = "C"
BOOT = "R"
LOST = "L"
EDGE = "E"
HIDDEN = "H"

MAX_T_MS = 0x3FFFFFFFFFF  # 139 years since boot; keeps every sum of times within 64 bits
MAX_COUNT = 0x7FFFFFFF
MAX_BARRIERS = 4
MAX_BUTTONS = 8
MAX_TEXT_LENGTH = 40

# kind -> its fields after t and kind: (name, least, most), or (name, None, longest text)
FIELDS = {
    PASSAGE: (("barrier", 0, MAX_BARRIERS - 1), ("direction", -1, 1), ("transit_ms", 0, MAX_COUNT)),
    PRESS: (("button", 0, MAX_BUTTONS - 1), ("question_revision", 0, MAX_COUNT)),
    SUPPRESSED: (("button", 0, MAX_BUTTONS - 1), ("n", 1, MAX_COUNT)),
    FAULT: (("barrier", 0, MAX_BARRIERS - 1), ("beam", 0, 1), ("begins", 0, 1)),
    ALIVE: (("since_ms", 0, MAX_T_MS), ("lifetime_in", 0, MAX_COUNT), ("lifetime_out", 0, MAX_COUNT)),
    CLOCK: (("utc_ms", 0, MAX_T_MS), ("source", None, 8)),
    BOOT: (
        ("cause", None, MAX_TEXT_LENGTH),
        ("firmware", None, MAX_TEXT_LENGTH),
        ("config_revision", 0, MAX_COUNT),
    ),
    LOST: (("n", 1, MAX_COUNT),),
    EDGE: (("barrier", 0, MAX_BARRIERS - 1), ("state", 0, 3)),
    HIDDEN: (
        ("barrier", 0, MAX_BARRIERS - 1),
        ("missed_edges", 0, MAX_COUNT),
        ("recovered", 0, MAX_COUNT),
    ),
}
KINDS = "PBQFACRLEH"  # in this order they are numbered in flash; only ever append


def _whole(name, value, least, most):
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise PayloadError(name, value, "a whole number from %d to %d" % (least, most))


def check_record(values):
    """The record as a tuple; PayloadError(field, value, expected) where it is not one. Fields behind the known ones go."""
    if not isinstance(values, (list, tuple)) or len(values) < 2:
        raise PayloadError("record", values, "[t, kind, ...]")
    kind = values[1]
    if not isinstance(kind, str) or kind not in FIELDS:
        raise PayloadError("kind", kind, "one of " + ", ".join(KINDS))
    _whole("t", values[0], 0, MAX_T_MS)
    fields = FIELDS[kind]
    if len(values) < 2 + len(fields):
        raise PayloadError(kind, values, "%d fields after the kind" % len(fields))
    for i in range(len(fields)):
        name, least, most = fields[i]
        value = values[2 + i]
        if least is not None:
            _whole(name, value, least, most)
        elif not isinstance(value, str) or len(value) > most:
            raise PayloadError(name, value, "a text of %d characters at most" % most)
    if kind == ALIVE and values[2] > values[0]:
        raise PayloadError("since_ms", values[2], "no more than t (%d)" % values[0])
    return tuple(values[: 2 + len(fields)])
