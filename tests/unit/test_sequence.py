"""Sequences: reverse complement, DRACH, positions a junction can take."""

import pytest

from ringmark.sequence import (
    INTRON_SIGNALS,
    drach_positions,
    junction_shifts,
    reverse_complement,
)


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [("", ""), ("A", "T"), ("GATTACA", "TGTAATC"), ("acgtN", "Nacgt"), ("AUG", "CAT")],
)
def test_reverse_complement(sequence, expected):
    assert reverse_complement(sequence) == expected


def test_introns_are_told_on_both_strands():
    assert INTRON_SIGNALS == {
        ("GT", "AG"): ("+", "GT/AG"),
        ("CT", "AC"): ("-", "GT/AG"),
        ("GC", "AG"): ("+", "GC/AG"),
        ("CT", "GC"): ("-", "GC/AG"),
        ("AT", "AC"): ("+", "AT/AC"),
        ("GT", "AT"): ("-", "AT/AC"),
    }


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        ("", []),
        ("GGAC", []),
        ("GGACT", [2]),
        ("ggact", [2]),
        ("CGACT", []),
        ("GGACG", []),
        ("TTGGACTAACATT", [4, 8]),
        ("GGACAGACC", [2, 6]),
    ],
)
def test_drach_positions(sequence, expected):
    assert drach_positions(sequence).tolist() == expected


@pytest.mark.parametrize(
    ("around_start", "around_end", "expected"),
    [
        ("", "", (0, 0)),
        ("AC", "GT", (0, 0)),
        ("AC", "AC", (1, 1)),
        ("CAGGTC", "TAGCTA", (2, 0)),
        ("TTAGCC", "GGTGCA", (0, 2)),
        ("CACACA", "CACACA", (3, 3)),
    ],
)
def test_junction_shifts(around_start, around_end, expected):
    assert junction_shifts(around_start, around_end) == expected


def test_moving_a_junction_by_its_shifts_keeps_the_joined_sequence():
    genome = "CCAGACGTTTTACGGCTAGACGTCC"
    start, end = 5, 20
    left, right = junction_shifts(genome[start - 5 : start + 5], genome[end - 5 : end + 5])
    assert (left, right) == (3, 3)
    joined = genome[end - 5 : end] + genome[start : start + 5]
    for shift in range(-left, right + 1):
        first, last = start + shift, end + shift
        moved = genome[last - 5 - shift : last] + genome[first : first + 5 - shift]
        assert moved == joined
    first, last = start + right + 1, end + right + 1
    assert genome[last - 5 - right - 1 : last] + genome[first : first + 4 - right] != joined
