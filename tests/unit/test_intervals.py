"""Intervals: union, and the way between the genome and the spliced RNA on both strands."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from ringmark.intervals import Blocks, merge

STARTS, ENDS = np.array([10, 30, 60]), np.array([15, 40, 61])


def blocks(strand: str = "+") -> Blocks:
    return Blocks(STARTS, ENDS, strand)


def nothing(strand: str = "+") -> Blocks:
    return Blocks(np.empty(0, np.int64), np.empty(0, np.int64), strand)


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([], []),
        ([(3, 7)], [(3, 7)]),
        ([(5, 7), (0, 6), (8, 9)], [(0, 7), (8, 9)]),
        ([(0, 5), (5, 9)], [(0, 9)]),
        ([(0, 5), (6, 9)], [(0, 5), (6, 9)]),
        ([(0, 100), (10, 20), (30, 40), (100, 101)], [(0, 101)]),
        ([(4, 8), (4, 6), (4, 8)], [(4, 8)]),
    ],
)
def test_merge(intervals, expected):
    table = np.array(intervals, dtype=np.int64).reshape(-1, 2)
    starts, ends = merge(table[:, 0], table[:, 1])
    assert list(zip(starts.tolist(), ends.tolist(), strict=True)) == expected
    assert starts.dtype == ends.dtype == np.int64


def test_merge_covers_the_same_bases_as_a_set():
    random = np.random.default_rng(5)
    for _ in range(50):
        starts = random.integers(0, 60, 12)
        ends = starts + random.integers(1, 9, 12)
        expected = {base for a, b in zip(starts, ends, strict=True) for base in range(a, b)}
        merged = list(zip(*merge(starts, ends), strict=True))
        assert [base for a, b in merged for base in range(a, b)] == sorted(expected)
        assert all(left[1] < right[0] for left, right in pairwise(merged))


@pytest.mark.parametrize("strand", ["+", "-"])
def test_every_base_goes_to_the_rna_and_back(strand):
    item = blocks(strand)
    bases = [base for start, end in zip(STARTS, ENDS, strict=True) for base in range(start, end)]
    along = bases if strand == "+" else bases[::-1]
    assert item.length == len(bases) == 16
    assert item.to_genome(np.arange(16)).tolist() == along
    assert item.to_spliced(np.array(along)).tolist() == list(range(16))


def test_bases_outside_the_blocks_have_no_spliced_position():
    for strand in "+-":
        outside = blocks(strand).to_spliced(np.array([-1, 0, 9, 15, 29, 40, 59, 61, 1000]))
        assert outside.tolist() == [-1] * 9


@pytest.mark.parametrize("position", [-1, 16])
def test_positions_outside_the_rna_are_an_error(position):
    for strand in "+-":
        with pytest.raises(IndexError, match="outside"):
            blocks(strand).to_genome(np.array([3, position]))


def test_offsets_are_where_each_block_begins():
    assert blocks().offsets.tolist() == [0, 5, 15]
    assert nothing().offsets.tolist() == []


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("bounds", [(0, 16), (0, 5), (3, 7), (5, 15), (15, 16), (2, 16), (4, 4)])
def test_slice_holds_the_positions_asked_for(strand, bounds):
    item = blocks(strand)
    part = item.slice(*bounds)
    assert part.strand == strand
    assert part.length == bounds[1] - bounds[0]
    assert np.all(part.ends > part.starts)
    expected = item.to_genome(np.arange(*bounds))
    assert part.to_genome(np.arange(part.length)).tolist() == expected.tolist()


def test_slice_stops_at_the_ends():
    for strand in "+-":
        assert blocks(strand).slice(-5, 100).length == 16
        assert blocks(strand).slice(20, 30).length == 0


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ((0, 100), [(10, 15), (30, 40), (60, 61)]),
        ((12, 33), [(12, 15), (30, 33)]),
        ((15, 30), []),
        ((31, 32), [(31, 32)]),
        ((40, 61), [(60, 61)]),
        ((33, 12), []),
    ],
)
def test_clip(bounds, expected):
    for strand in "+-":
        part = blocks(strand).clip(*bounds)
        assert list(zip(part.starts.tolist(), part.ends.tolist(), strict=True)) == expected
        assert part.strand == strand


def test_no_blocks_at_all():
    for strand in "+-":
        item = nothing(strand)
        assert item.length == 0
        assert item.to_spliced(np.array([0, 5])).tolist() == [-1, -1]
        assert item.to_genome(np.array([], dtype=np.int64)).tolist() == []
        assert item.slice(0, 10).length == 0
        assert item.clip(0, 10).length == 0
        with pytest.raises(IndexError):
            item.to_genome(np.array([0]))


def test_no_positions_at_all():
    assert blocks().to_spliced(np.array([], dtype=np.int64)).tolist() == []


def test_one_base():
    for strand in "+-":
        item = Blocks(np.array([7]), np.array([8]), strand)
        assert item.to_spliced(np.array([7, 8])).tolist() == [0, -1]
        assert item.to_genome(np.array([0])).tolist() == [7]


def test_blocks_of_a_bed_line():
    blocks = Blocks.from_bed(100, "10,20", "0,50", "-")
    assert blocks.starts.tolist() == [100, 150]
    assert blocks.ends.tolist() == [110, 170]
    assert blocks.strand == "-"
    with pytest.raises(ValueError):
        Blocks.from_bed(100, "10,", "0,50", "-")
