"""Fragments of a BAM in batches of arrays, for programs that count them all.

What a fragment is, and which reads are used, is as in `ringmark.alignments.iterate_fragments`: the
primary alignments of a read, or of both mates together, which are joined by their whole name and by
each other's place. Here the reads of many fragments stand in flat arrays, so that what follows can
be done for all of them at once.

A batch holds fragments of one contig. A fragment whose second mate is still to come is carried over
to the next batch, so memory holds one batch, however many fragments there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pysam

from ringmark.alignments import (
    SECONDARY,
    STRANDEDNESSES,
    SUPPLEMENTARY,
    UNMAPPED,
    Fragment,
    blocks_and_introns,
    take,
)
from ringmark.intervals import IntArray

#: Fragments after which a batch is handed on.
BATCH = 100_000

_PAIRED, _MATE_UNMAPPED, _REVERSE, _SECOND = 0x1, 0x8, 0x10, 0x80
_UNUSED = UNMAPPED | SECONDARY | SUPPLEMENTARY
_SIGNS = {"+": 1, "-": -1, ".": 0}


@dataclass(frozen=True)
class FragmentBatch:
    """Fragments of one contig.

    Attributes
    ----------
    chrom
        The contig.
    signs
        Strand of the RNA as 1, -1 or, where it is not known, 0; shape (fragments,).
    owner, starts, ends
        Aligned blocks, 0-based and half-open: the fragment and the bounds of each, shape (blocks,).
        Sorted by fragment and place, those of a fragment disjoint; deletions are bridged.
    intron_owner, intron_ends
        Fragment and right bound of the introns that reads are spliced over, shape (introns,).
    """

    chrom: str
    signs: IntArray
    owner: IntArray
    starts: IntArray
    ends: IntArray
    intron_owner: IntArray
    intron_ends: IntArray

    @property
    def fragments(self) -> int:
        """Number of fragments."""
        return len(self.signs)

    @classmethod
    def of(cls, fragments: Iterable[Fragment], chrom: str) -> FragmentBatch:
        """Return single fragments of one contig as a batch."""
        building = _Building()
        for number, fragment in enumerate(fragments):
            building.signs.append(_SIGNS[fragment.strand])
            for start, end in fragment.blocks:
                building.add_block(number, start, end)
            for _, end in fragment.introns:
                building.add_intron(number, end)
        return building.batch(chrom)


@dataclass
class _Building:
    """A batch that is being filled; blocks in the order of the reads."""

    signs: list[int] = field(default_factory=list)
    owner: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    intron_owner: list[int] = field(default_factory=list)
    intron_ends: list[int] = field(default_factory=list)

    def add_block(self, number: int, start: int, end: int) -> None:
        self.owner.append(number)
        self.starts.append(start)
        self.ends.append(end)

    def add_intron(self, number: int, end: int) -> None:
        self.intron_owner.append(number)
        self.intron_ends.append(end)

    def batch(self, chrom: str) -> FragmentBatch:
        owner, starts, ends = _united(*map(_array, (self.owner, self.starts, self.ends)))
        introns = _array(self.intron_owner), _array(self.intron_ends)
        return FragmentBatch(chrom, _array(self.signs), owner, starts, ends, *introns)

    def split(self, waiting: npt.NDArray[np.int64]) -> tuple[_Building, _Building, IntArray]:
        """Return what is complete, what waits, and the new number of each fragment."""
        waits = np.zeros(len(self.signs), dtype=bool)
        waits[waiting] = True
        numbers = np.where(waits, np.cumsum(waits), np.cumsum(~waits)) - 1
        parts = [self._kept(~waits, numbers), self._kept(waits, numbers)]
        return parts[0], parts[1], numbers

    def _kept(self, keep: npt.NDArray[np.bool_], numbers: IntArray) -> _Building:
        blocks, introns = _array(self.owner), _array(self.intron_owner)
        own, own_introns = keep[blocks], keep[introns]
        return _Building(
            _array(self.signs)[keep].tolist(),
            numbers[blocks[own]].tolist(),
            _array(self.starts)[own].tolist(),
            _array(self.ends)[own].tolist(),
            numbers[introns[own_introns]].tolist(),
            _array(self.intron_ends)[own_introns].tolist(),
        )


def _array(values: list[int]) -> IntArray:
    return np.array(values, dtype=np.int64)


def _united(
    owner: IntArray, starts: IntArray, ends: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Join the blocks of each fragment that overlap or touch, sorted by fragment and place."""
    if not len(owner):
        return owner, starts, ends
    order = np.lexsort((starts, owner))
    owner, starts, ends = owner[order], starts[order], ends[order]
    # one running maximum for all fragments, each in a range of its own
    shift = owner * (int(ends.max()) + 2)
    reach = np.maximum.accumulate(ends + shift)
    first = np.append(True, starts[1:] + shift[1:] > reach[:-1])
    last = np.append(first[1:], True)
    return owner[first], starts[first], (reach - shift)[last]


#: Name, own place, place of the mate, bit of the second mate.
_Key = tuple[str | None, int, int, int]
_Waiting = dict[_Key, list[int]]


def _hand_over(building: _Building, waiting: _Waiting) -> tuple[_Building, _Building, _Waiting]:
    """Split what is complete from what waits, and number the latter anew."""
    open_numbers = [number for numbers in waiting.values() for number in numbers]
    complete, rest, numbers = building.split(_array(open_numbers))
    renumbered = {key: numbers[own].tolist() for key, own in waiting.items()}
    return complete, rest, renumbered


def read_batches(
    bam: pysam.AlignmentFile, strandedness: str, min_mapping_quality: int = 0
) -> Iterator[FragmentBatch]:
    """Yield the fragments of a coordinate-sorted BAM, contig by contig.

    Parameters
    ----------
    bam
        Open BAM that keeps the contract of `ringmark.alignments`.
    strandedness
        ``forward``, ``reverse`` or ``unstranded``: whether the first mate runs along the RNA.
    min_mapping_quality
        Alignments below it are not used; the mate of one is a fragment by itself.

    Raises
    ------
    ValueError
        If the strandedness is none of these.
    """
    if strandedness not in STRANDEDNESSES:
        raise ValueError(f"strandedness {strandedness!r} is none of {', '.join(STRANDEDNESSES)}")
    unstranded, against = strandedness == "unstranded", strandedness == "reverse"
    building = _Building()
    waiting: _Waiting = {}
    contig, chrom = -1, ""
    # this loop sees every read of every library: no calls for the common case
    for read in bam.fetch(until_eof=True):
        flag = read.flag
        if flag & _UNUSED or read.mapping_quality < min_mapping_quality:
            continue
        if read.reference_id != contig:
            if building.signs:
                yield building.batch(chrom)
            building, waiting = _Building(), {}
            contig, chrom = read.reference_id, str(read.reference_name)
        start = read.reference_start
        number = None
        if flag & _PAIRED and not flag & _MATE_UNMAPPED and read.next_reference_id == contig:
            second, mate = flag & _SECOND, read.next_reference_start
            if mate <= start:
                number = take(waiting, (read.query_name, mate, start, second ^ _SECOND))
            if number is None and mate >= start:
                key = (read.query_name, start, mate, second)
                waiting.setdefault(key, []).append(len(building.signs))
        if number is None:
            number = len(building.signs)
            building.signs.append(0)
            tells = True
        else:
            tells = not flag & _SECOND
        if tells and not unstranded:
            backwards = bool(flag & _REVERSE) ^ bool(flag & _SECOND) ^ against
            building.signs[number] = -1 if backwards else 1
        cigar = read.cigartuples or ()
        if len(cigar) == 1:
            building.owner.append(number)
            building.starts.append(start)
            building.ends.append(start + cigar[0][1])
        else:
            blocks, introns = blocks_and_introns(cigar, start)
            for left, right in blocks:
                building.add_block(number, left, right)
            for _, right in introns:
                building.add_intron(number, right)
        if len(building.signs) >= BATCH:
            complete, building, waiting = _hand_over(building, waiting)
            if complete.signs:
                yield complete.batch(chrom)
    if building.signs:
        yield building.batch(chrom)
