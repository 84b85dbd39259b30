"""Which numbers are here: against a plain set of numbers, in any order."""

from hypothesis import given
from hypothesis import strategies as st

from footfall_gateway.seqset import SeqSet

RANGES = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 8)), max_size=30)


@given(RANGES)
def test_it_says_what_a_plain_set_says(ranges: list[tuple[int, int]]) -> None:
    seqs, plain = SeqSet(), set()
    for first, more in ranges:
        assert seqs.overlaps(first, first + more) == bool(plain & set(range(first, first + more + 1)))
        seqs.add(first, first + more)
        plain |= set(range(first, first + more + 1))
        contiguous = 0
        while contiguous + 1 in plain:
            contiguous += 1
        highest = max(plain)
        absent = set(range(1, highest)) - plain
        assert (seqs.contiguous, seqs.highest, seqs.missing()) == (contiguous, highest, len(absent))
        assert {n for first, last in seqs.holes() for n in range(first, last + 1)} == absent
        assert {n for low, high in seqs.absent(9, 40) for n in range(low, high + 1)} == set(
            range(9, 41)
        ) - plain
        assert all(number in seqs for number in plain)
        assert not any(number in seqs for number in absent)
        assert SeqSet(seqs.contiguous, seqs.islands).islands == seqs.islands


def test_a_spool_begins_at_one() -> None:
    seqs = SeqSet()
    seqs.add(2, 5)
    assert (seqs.contiguous, seqs.holes()) == (0, [(1, 1)])
    seqs.add(1, 1)
    assert (seqs.contiguous, seqs.islands) == (5, [])
