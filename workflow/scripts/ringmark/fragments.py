"""Fragments of a BAM in batches of arrays, for programs that count them all.

What a fragment is, and which reads are used, is as in `ringmark.alignments.iterate_fragments`: the
primary alignments of a read, or of both mates together, which are joined by their name and by each
other's place. Here the reads of many fragments stand in flat arrays (``ringmark.records``), so that
what is done is done for all of them at once.

A batch holds fragments of one contig. A read whose mate is still to come is carried over to the
next batch, so memory holds one batch, however many fragments there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ringmark.alignments import (
    DELETION,
    DIFFERENT,
    EQUAL,
    MATCH,
    REVERSE,
    SECOND_MATE,
    SECONDARY,
    SKIP,
    STRANDEDNESSES,
    SUPPLEMENTARY,
    UNMAPPED,
    Fragment,
)
from ringmark.intervals import IntArray
from ringmark.records import Records, contig_names, read_records

_PAIRED, _MATE_UNMAPPED = 0x1, 0x8
_UNUSED = UNMAPPED | SECONDARY | SUPPLEMENTARY
_SIGNS = {"+": 1, "-": -1, ".": 0}
_Mask = npt.NDArray[np.bool_]

# whether an operation of a CIGAR takes up bases of the reference
_REFERENCE = np.isin(np.arange(16), (MATCH, DELETION, EQUAL, DIFFERENT, SKIP))
_LOWER, _HIGHER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


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
        items = list(fragments)
        blocks = [(number, *block) for number, item in enumerate(items) for block in item.blocks]
        introns = [(number, end) for number, item in enumerate(items) for _, end in item.introns]
        return cls(
            chrom,
            np.array([_SIGNS[item.strand] for item in items], dtype=np.int64),
            *_united(*np.array(blocks, dtype=np.int64).reshape(-1, 3).T),
            *np.array(introns, dtype=np.int64).reshape(-1, 2).T,
        )


def _united(
    owner: IntArray, starts: IntArray, ends: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Join the blocks of each fragment that overlap or touch, sorted by fragment and place."""
    if not len(owner):
        return owner, starts, ends
    # one order and one running maximum for all fragments, each in a range of its own
    width = int(ends.max()) + 2
    order = np.argsort(owner * width + starts, kind="stable")
    owner, starts, ends = owner[order], starts[order], ends[order]
    shift = owner * width
    reach = np.maximum.accumulate(ends + shift)
    first = np.append(True, starts[1:] + shift[1:] > reach[:-1])
    last = np.append(first[1:], True)
    return owner[first], starts[first], (reach - shift)[last]


def read_batches(
    path: str | Path, strandedness: str, min_mapping_quality: int = 0
) -> Iterator[FragmentBatch]:
    """Yield the fragments of a coordinate-sorted BAM, contig by contig.

    Parameters
    ----------
    path
        BAM that keeps the contract of `ringmark.alignments`.
    strandedness
        ``forward``, ``reverse`` or ``unstranded``: whether the first mate runs along the RNA.
    min_mapping_quality
        Alignments below it are not used; the mate of one is a fragment by itself.

    Raises
    ------
    ValueError
        If the strandedness is none of these.
    OSError, ValueError
        If the file cannot be read as BAM.
    """
    if strandedness not in STRANDEDNESSES:
        raise ValueError(f"strandedness {strandedness!r} is none of {', '.join(STRANDEDNESSES)}")
    names = contig_names(path)
    waiting: Records | None = None
    for records in read_records(path, _UNUSED, min_mapping_quality):
        for part in _by_contig(records):
            if waiting is not None and waiting.contig[0] != part.contig[0]:
                yield _batch(waiting, np.full(len(waiting), -1), names, strandedness)
                waiting = None
            whole = part if waiting is None else waiting.joined(part)
            mates = _mates(whole)
            waits = (mates < 0) & _mate_is_here(whole)
            waits &= whole.next_start >= whole.start[-1]
            waiting = whole.select(waits) if waits.any() else None
            if not waits.all():
                number = np.cumsum(~waits) - 1
                own = np.where(mates < 0, -1, number[mates])[~waits]
                yield _batch(whole.select(~waits), own, names, strandedness)
    if waiting is not None:
        yield _batch(waiting, np.full(len(waiting), -1), names, strandedness)


def _by_contig(records: Records) -> Iterator[Records]:
    """Yield the records of each contig."""
    bounds = np.flatnonzero(np.diff(records.contig)) + 1
    if not len(bounds):
        yield records
        return
    place = np.arange(len(records))
    for left, right in zip([0, *bounds], [*bounds, len(records)], strict=True):
        yield records.select((place >= left) & (place < right))


def _mate_is_here(records: Records) -> _Mask:
    """Return which records have a mate that is aligned to the same contig."""
    paired = (records.flag & (_PAIRED | _MATE_UNMAPPED)) == _PAIRED
    return paired & (records.next_contig == records.contig)


def _mates(records: Records) -> IntArray:
    """Return the number of the mate of each record among records of one contig, or -1.

    Two mates have a name and the places of both in common; one is the earlier by place or, at the
    same place, by being the first mate. Of several such pairs the first ones go together.
    """
    rows = np.flatnonzero(_mate_is_here(records))
    start, following = records.start[rows], records.next_start[rows]
    second = (records.flag[rows] & SECOND_MATE) != 0
    later = np.where(start == following, second, start > following)
    low, high = np.minimum(start, following), np.maximum(start, following)
    key = records.name[rows] + low.astype(np.uint64) * _LOWER + high.astype(np.uint64) * _HIGHER
    # the last bits: which mate is the earlier one, and whether this is the later one
    key = (key << np.uint64(2)) | ((second ^ later) * 2 + later).astype(np.uint64)
    order = np.argsort(key, kind="stable")
    is_later = later[order]
    begins = np.flatnonzero(np.diff(key[order] >> np.uint64(1), prepend=~key[order[:1]]))
    sizes = np.diff(begins, append=len(order))
    earlier = np.repeat(np.add.reduceat(~is_later, begins, dtype=np.int64), sizes)
    first = np.repeat(begins, sizes)
    rank = np.arange(len(order)) - first - earlier
    both = is_later & (rank < earlier)
    mates = np.full(len(records), -1)
    left, right = rows[order[(first + rank)[both]]], rows[order[both]]
    mates[left], mates[right] = right, left
    return mates


def _batch(
    records: Records, mates: IntArray, names: tuple[str, ...], strandedness: str
) -> FragmentBatch:
    """Join mates to fragments; a fragment has the strand that its first mate tells."""
    place = np.arange(len(records))
    begins = (mates < 0) | (mates > place)
    number = np.cumsum(begins) - 1
    owner = np.where(begins, number, number[mates])
    signs = np.zeros(int(begins.sum()), dtype=np.int64)
    if strandedness != "unstranded":
        second = (records.flag & SECOND_MATE) != 0
        backwards = ((records.flag & REVERSE) != 0) ^ second ^ (strandedness == "reverse")
        tells = (mates < 0) | ~second
        signs[owner[tells]] = np.where(backwards, -1, 1)[tells]
    blocks, introns = _blocks_and_introns(records)
    return FragmentBatch(
        names[int(records.contig[0])],
        signs,
        *_united(owner[blocks[0]], *blocks[1:]),
        owner[introns[0]],
        introns[1],
    )


def _blocks_and_introns(
    records: Records,
) -> tuple[tuple[IntArray, IntArray, IntArray], tuple[IntArray, IntArray]]:
    """Return record, start and end of all aligned blocks, and record and end of all introns."""
    record = np.repeat(np.arange(len(records)), records.sizes)
    code = records.operations & 15
    length = np.where(_REFERENCE[code], records.operations >> 4, 0).astype(np.int64)
    reached = np.cumsum(length)
    first = np.append(True, record[1:] != record[:-1])[: len(record)]
    before = np.concatenate([[0], reached])[np.flatnonzero(first)]
    end = reached + np.repeat(records.start[record[first]] - before, records.sizes[record[first]])
    skip = code == SKIP
    opens = np.flatnonzero(first | skip)
    start = np.where(skip, end, end - length)[opens]
    size = np.add.reduceat(np.where(skip, 0, length), opens) if len(opens) else opens
    aligned = size > 0
    blocks = record[opens][aligned], start[aligned], (start + size)[aligned]
    return blocks, (record[skip], end[skip])
