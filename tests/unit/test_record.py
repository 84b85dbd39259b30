"""What a record may say: DESIGN's table of kinds, and its edges."""

import pytest

from footfall_core.payload import PayloadError
from footfall_core.record import FIELDS, KINDS, check_record

GOOD = [
    [0, "P", 0, 1, 0],
    [81_234_567, "P", 3, -1, 2**31 - 1],
    [5, "P", 0, 0, 420],
    [5, "B", 7, 2**31 - 1],
    [5, "Q", 0, 1],
    [5, "F", 3, 1, 0],
    [81_240_000, "A", 80_940_000, 51_203, 50_877],
    [7, "A", 7, 0, 0],
    [5, "C", 1_767_258_000_000, "gw"],
    [0, "R", "power on", "0.1.0", 7],
    [0, "R", "", "x" * 40, 0],
    [5, "L", 17],
    [5, "E", 0, 3],
    [2**42 - 1, "E", 0, 0],
    [5, "H", 3, 0, 2**31 - 1],
]

WRONG = [
    ("P", "record"),
    ({"t": 1}, "record"),
    (None, "record"),
    ([], "record"),
    ([5], "record"),
    ([5, "X"], "kind"),
    ([5, "PB", 0], "kind"),
    ([5, 0], "kind"),
    ([5, None, 0], "kind"),
    ([-1, "L", 1], "t"),
    ([2**42, "L", 1], "t"),
    ([1.0, "L", 1], "t"),
    (["5", "L", 1], "t"),
    ([True, "L", 1], "t"),
    ([None, "L", 1], "t"),
    ([5, "L"], "L"),
    ([5, "P", 0, 1], "P"),
    ([5, "H", 4, 1, 9], "barrier"),
    ([5, "H", 0, -1, 9], "missed_edges"),
    ([5, "H", 0, 1], "H"),
    ([5, "P", 4, 1, 9], "barrier"),
    ([5, "P", 0, 2, 9], "direction"),
    ([5, "P", 0, -2, 9], "direction"),
    ([5, "P", 0, 1, 2**31], "transit_ms"),
    ([5, "P", 0, 1, -1], "transit_ms"),
    ([5, "P", 0, True, 9], "direction"),
    ([5, "B", 8, 0], "button"),
    ([5, "Q", 0, 0], "n"),
    ([5, "F", 0, 2, 1], "beam"),
    ([5, "A", 6, 0, 0], "since_ms"),
    ([5, "C", 5, b"gw"], "source"),
    ([5, "C", 5, "ninechars"], "source"),
    ([5, "C", -1, "gw"], "utc_ms"),
    ([0, "R", "x" * 41, "0.1.0", 0], "cause"),
    ([0, "R", "power on", 1, 0], "firmware"),
    ([5, "L", 0], "n"),
    ([5, "E", 0, 4], "state"),
    ([5, "E", float("nan"), 0], "barrier"),
]


@pytest.mark.parametrize("values", GOOD)
def test_a_good_record_comes_back_as_a_tuple(values):
    assert check_record(values) == tuple(values)


@pytest.mark.parametrize(("values", "field"), WRONG)
def test_a_wrong_record_is_refused_with_the_field_at_fault(values, field):
    with pytest.raises(PayloadError) as refused:
        check_record(values)
    assert refused.value.field == field
    assert refused.value.expected


def test_fields_that_a_later_version_adds_are_left_out():
    assert check_record([5, "L", 1, "new", {}]) == (5, "L", 1)


def test_every_kind_of_the_design_is_known():
    assert sorted(KINDS) == sorted(FIELDS) == sorted("PBQFACRLEH")


def test_the_order_of_kinds_never_changes_for_it_is_in_every_flash():
    assert KINDS.startswith("PBQFACRLE")
