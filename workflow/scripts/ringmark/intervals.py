"""Intervals on one strand of one contig: union, overlap, and mapping to spliced coordinates.

Intervals are NumPy arrays of starts and ends, 0-based and half-open.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


def merge(starts: IntArray, ends: IntArray) -> tuple[IntArray, IntArray]:
    """Return the union of intervals as sorted, disjoint intervals; touching ones are joined.

    Examples
    --------
    >>> merge(np.array([5, 0, 8]), np.array([7, 6, 9]))
    (array([0, 8]), array([7, 9]))
    """
    if len(starts) == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    order = np.argsort(starts, kind="stable")
    starts, ends = np.asarray(starts)[order], np.asarray(ends)[order]
    reach = np.maximum.accumulate(ends)
    first = np.concatenate([[True], starts[1:] > reach[:-1]])
    last = np.concatenate([first[1:], [True]])
    return starts[first].astype(np.int64), reach[last].astype(np.int64)


@dataclass(frozen=True)
class Blocks:
    """Disjoint, sorted blocks of a contig joined in order, as the exons of a transcript are.

    Attributes
    ----------
    starts, ends
        Block boundaries on the genome, shape (blocks,).
    strand
        ``+`` or ``-``: spliced position 0 is the 5' end of the RNA.
    """

    starts: IntArray
    ends: IntArray
    strand: str = "+"

    @classmethod
    def from_bed(cls, start: int, sizes: str, starts: str, strand: str) -> Blocks:
        """Return the blocks that the columns of a BED12 line describe.

        Parameters
        ----------
        start
            On the genome.
        sizes, starts
            Lengths of the blocks, and their starts from `start` on, comma-separated.

        Raises
        ------
        ValueError
            If there is something else than whole numbers.
        """
        lefts = start + np.array(starts.split(","), dtype=np.int64)
        return cls(lefts, lefts + np.array(sizes.split(","), dtype=np.int64), strand)

    @cached_property
    def length(self) -> int:
        """Spliced length in nucleotides."""
        return int((self.ends - self.starts).sum())

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """What lies between the blocks, from left to right: the introns of a transcript."""
        return list(zip(self.ends[:-1].tolist(), self.starts[1:].tolist(), strict=True))

    @cached_property
    def offsets(self) -> IntArray:
        """Spliced position of each block's first genomic base, counted from the left."""
        sizes = self.ends - self.starts
        return (np.cumsum(sizes) - sizes).astype(np.int64)

    def overlap(self, other: Blocks) -> int:
        """Return the nucleotides that two sets of blocks of a contig share, strand or no."""
        lefts = np.maximum(self.starts[:, None], other.starts[None, :])
        rights = np.minimum(self.ends[:, None], other.ends[None, :])
        return int(np.maximum(rights - lefts, 0).sum())

    def to_spliced(self, positions: IntArray) -> IntArray:
        """Map genomic positions to spliced positions from the RNA's 5' end; -1 outside blocks."""
        positions = np.asarray(positions, dtype=np.int64)
        if len(self.starts) == 0:
            return np.full(positions.shape, -1, np.int64)
        block = np.searchsorted(self.starts, positions, side="right") - 1
        inside = (block >= 0) & (positions < self.ends[np.maximum(block, 0)])
        left = self.offsets[np.maximum(block, 0)] + positions - self.starts[np.maximum(block, 0)]
        spliced = left if self.strand == "+" else self.length - 1 - left
        return np.where(inside, spliced, -1)

    def to_genome(self, positions: IntArray) -> IntArray:
        """Map spliced positions (0 at the RNA's 5' end) to the genome.

        Raises
        ------
        IndexError
            If a position is outside ``[0, length)``.
        """
        positions = np.asarray(positions, dtype=np.int64)
        if len(positions) and (positions.min() < 0 or positions.max() >= self.length):
            raise IndexError("spliced position outside the blocks")
        left = positions if self.strand == "+" else self.length - 1 - positions
        block = np.searchsorted(self.offsets, left, side="right") - 1
        return self.starts[block] + left - self.offsets[block]

    def slice(self, start: int, end: int) -> Blocks:
        """Return the blocks that hold spliced positions ``[start, end)`` from the RNA's 5' end."""
        if self.strand == "-":
            start, end = self.length - end, self.length - start
        offsets = self.offsets
        sizes = self.ends - self.starts
        lefts = np.maximum(start - offsets, 0)
        rights = np.minimum(end - offsets, sizes)
        keep = rights > lefts
        return Blocks((self.starts + lefts)[keep], (self.starts + rights)[keep], self.strand)

    def clip(self, start: int, end: int) -> Blocks:
        """Return the parts of the blocks inside the genomic interval ``[start, end)``."""
        starts = np.maximum(self.starts, start)
        ends = np.minimum(self.ends, end)
        keep = ends > starts
        return Blocks(starts[keep], ends[keep], self.strand)
